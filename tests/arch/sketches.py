"""Networks on the meta device, for tests that look at shapes only."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import nn

P = ParamSpec("P")
Network = TypeVar("Network", bound=nn.Module)


def sketch(build: Callable[P, Network], *args: P.args, **kwargs: P.kwargs) -> Network:
    """The network without weights: that none are drawn saves most of the time that it would take."""
    with torch.device("meta"):
        return build(*args, **kwargs)

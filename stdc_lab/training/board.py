"""A training's curves for TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Board:
    """Curves that TensorBoard shows, in a training's folder; none where it is not installed.

    They are a by-product of `curve.csv`: where they cannot be written it is said, and the training goes on.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        """iteration: where the training goes on from; what was written beyond it is no longer shown."""
        self.folder = folder
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._trying(lambda: setattr(self, "_writer", SummaryWriter(str(folder), purge_step=iteration + 1)))

    def add(self, iteration: int, values: dict[str, float]) -> None:
        """Hear of an iteration (from 1): values by the curve's name."""
        for name, value in values.items():
            if self._writer is not None:
                self._trying(partial(self._writer.add_scalar, name, value, iteration))

    def close(self) -> None:
        """Write what is still to be written."""
        if self._writer is not None:
            self._trying(self._writer.close)
        self._writer = None

    def _trying(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError as error:
            log.warning("%s: the curves for TensorBoard cannot be written: %s", self.folder, error.strerror or error)
            self._writer = None

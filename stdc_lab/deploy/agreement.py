"""Whether what a runtime puts out is what the float32 eager network puts out."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stdc_lab.deploy.graph import Logits
from stdc_lab.errors import StdcLabError
from stdc_lab.records import Agreement


@dataclass(frozen=True)
class Limits:
    """What a runtime's logits may differ by from the float32 eager network's."""

    max_rel_error: float
    argmax_share: float


LIMITS = {
    "float32": Limits(1e-3, 0.999),
    "tf32": Limits(2e-2, 0.99),
    "float16": Limits(2e-2, 0.99),
    "bfloat16": Limits(1e-1, 0.97),
}
"""By dtype. float32: another order of summation through forty layers. Lower ones: 11 and 8 bits of mantissa."""
LEAST_REL_ERROR = {"tf32": 3e-5, "float16": 3e-5, "bfloat16": 1e-4}
"""Logits nearer than this to the float32 ones were computed in float32: rounding makes ten times as much."""


def compare(expected: Tensor, found: Tensor, weights: Literal["trained", "random"]) -> Agreement:
    """How far logits N×classes×… are from the expected ones."""
    expected, found = expected.float().cpu(), found.float().cpu()
    error = (found - expected).abs().max().item()
    largest = expected.abs().max().item()
    share = (found.argmax(1) == expected.argmax(1)).float().mean().item()
    return Agreement(
        max_abs_error=_finite(error),
        max_rel_error=_finite(error / largest if largest else error),
        argmax_share=share,
        weights=weights,
    )


def check(name: str, dtype: str, agreement: Agreement) -> None:
    """Raises `StdcLabError` if logits are farther from the float32 eager ones than the dtype explains."""
    limits = LIMITS[dtype]
    if agreement.max_rel_error > limits.max_rel_error or agreement.argmax_share < limits.argmax_share:
        raise StdcLabError(
            f"{name}: its logits are not those of the float32 eager network: largest error "
            f"{agreement.max_rel_error:.1e} of the largest logit, the same class in {agreement.argmax_share:.2%}; "
            f"allowed in {dtype}: {limits.max_rel_error:.0e}, {limits.argmax_share:.1%}"
        )


def check_rounding(name: str, dtype: str, agreement: Agreement) -> None:
    """Raises `StdcLabError` if logits are nearer to the float32 eager ones than computing in the dtype can come."""
    least = LEAST_REL_ERROR.get(dtype, 0.0)
    if agreement.max_rel_error < least:
        raise StdcLabError(
            f"{name}: it did not compute in {dtype} but in float32: its largest error is {agreement.max_rel_error:.1e} "
            f"of the largest logit, and rounding to {dtype} makes {least:.0e} at least"
        )


def expected_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Of the float32 eager network, on the CPU."""
    with torch.inference_mode():
        logits: Tensor = Logits(copy.deepcopy(network).cpu().float()).eval()(images.cpu().float())
    return logits


def _finite(value: float) -> float:
    # A record holds no infinity: what is no number at all is as wrong as can be.
    return value if value < float("inf") else 1e30

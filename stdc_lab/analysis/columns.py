"""The columns of a study's frame: those of its figures, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from stdc_lab.config.figures import CLASS_IOU, FIGURES

Kind = Literal["text", "whole", "flag", "number"]
_IDENTITY: dict[str, Kind] = {
    "number": "whole", "state": "text", "arch_id": "text", "seed": "whole", "reference": "text", "arm": "text"
}  # fmt: skip
_TIMING: dict[str, Kind] = {
    "latency_spread": "number", "latency_ms_low": "number", "latency_ms_high": "number", "latency_noisy": "flag",
    "latency_note": "text", "latency_ms_in_search": "number", "retimed": "flag", "fingerprint": "text",
}  # fmt: skip
_REST: dict[str, Kind] = {
    "control": "flag", "confirms": "whole", "feasible": "flag", "doubtful": "flag", "screened": "flag",
    "train_seconds": "number", "reason": "text", "duplicate_of": "whole", "same_training_as": "whole",
    "trial_key": "text", "arch": "text",
}  # fmt: skip


def columns(class_ious: Iterable[str] = (), asked: Iterable[str] = ()) -> dict[str, Kind]:
    """The columns that are no varied parameter, in their order, by what they hold.

    class_ious: names such as `iou.pedestrian`, of which there is a column for each trial. asked: those of them that
    the study asks for, with means over seeds as other scores have.
    """
    by_figure: dict[str, Kind] = {one.name: "whole" if one.whole else "number" for one in FIGURES.values()}
    scores = [one.name for one in FIGURES.values() if one.by_seed] + list(asked)
    return {
        **_IDENTITY,
        **by_figure,
        **dict.fromkeys(class_ious, "number"),
        **_TIMING,
        "on_front": "flag",
        "network": "whole",
        **_means("network", scores),
        **_means("confirmed", scores),
        **_REST,
    }


def is_column(name: str) -> bool:
    """Whether a column of a frame is none of a varied parameter."""
    return name in columns() or name.removeprefix("network_").removeprefix("confirmed_").startswith(CLASS_IOU)


def _means(of: str, scores: Iterable[str]) -> dict[str, Kind]:
    numbers: dict[str, Kind] = dict.fromkeys(
        [*(f"{of}_{score}" for score in scores), f"{of}_low", f"{of}_high"], "number"
    )
    return {f"{of}_seeds": "whole", **numbers}

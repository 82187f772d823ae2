"""What a network is as numbers that a surrogate can learn from, read off its operations: alike for every family."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import Cost, cost_of, operations, peak
from stdc_lab.arch.graph import GLOBAL, LAYERS, UPSAMPLINGS, Operation, Size
from stdc_lab.arch.receptive_field import Field, receptive_fields
from stdc_lab.errors import ResultsError, SpecError

SIZE: Size = (512, 1024)
NUM_CLASSES = 19
STRIDES = (2, 4, 8, 16, 32)
"""Levels of resolution; what is finer or coarser counts with the first or the last."""
JOINS = ("concatenation", "sum", "product")


def features_of(spec: ArchSpec, size: Size = SIZE, num_classes: int = NUM_CLASSES) -> dict[str, float]:
    """The same features, by name, for a network of any family; every one of them is a finite number.

    `log_…` are natural logarithms, of 1 + x where x may be 0. Over all: MACs, parameters, activations, the most
    elements of feature maps alive at once, layers (convolutions and linear ones). For each level of resolution on the
    way down (`at 1/8`): layers, the widest one's channels, MACs. Of what lies behind an upsampling: the same, and the
    stride at which the classes are told. Of what is computed from the whole image: how many poolings, and the
    parameters behind them. The largest receptive field in pixels. Shares of the MACs in 1×1, grouped and dilated
    convolutions. How many concatenations, sums, products, and bilinear upsamplings.

    size: height × width of the image. Raises `SpecError` for what no such network has.
    """
    done = operations(spec, size, num_classes)
    seen = receptive_fields(done)
    rising = _behind_upsampling(done, seen)
    layers = [one for one in done if one.kind in LAYERS]
    pooled = [one for one in layers if seen[one.output.number].pixels is None]
    local = [one for one in layers if seen[one.output.number].pixels is not None]
    upward = [one for one in local if one.output.number in rising]
    downward = [one for one in local if one.output.number not in rising]
    found = {f"log_{name}": math.log(value) for name, value in _totals(done).items()} | {"layers": float(len(layers))}
    for stride in STRIDES:
        level = [one for one in downward if _stride_of(one, size) == stride]
        found |= {f"{name} at 1/{stride}": value for name, value in _group(level).items()}
    found |= {f"{name} behind upsampling": value for name, value in _group(upward).items()}
    found["log_stride of classes"] = math.log(size[0] / local[-1].output.size[0])
    found["global poolings"] = float(sum(one.kind in GLOBAL for one in done))
    found["log_num_params of the whole image"] = math.log1p(cost_of(pooled).num_params)
    found["log_receptive_field"] = math.log(max(seen[one.output.number].pixels or 1 for one in downward or layers))
    return found | _shares(done, layers)


def architecture_features(frame: pd.DataFrame, size: Size = SIZE, num_classes: int = NUM_CLASSES) -> pd.DataFrame:
    """`features_of` the network that each row's `arch` describes as JSON; indexed as `frame`.

    frame: as `load_study` gives it. size: of the image, the same for all rows, so that networks are compared and
    nothing else. Raises `ResultsError` without the column, or for rows without a network in it.
    """
    specs = _specs_of(frame)
    rows = [_features_of(json.dumps(spec.to_dict(), sort_keys=True), size, num_classes) for spec in specs]
    return pd.DataFrame(rows, index=frame.index, dtype=np.float64)


def study_features(frame: pd.DataFrame, like: Sequence[str] | None = None) -> pd.DataFrame:
    """All that is known of a trial before it is trained: `architecture_features` and how it is to be trained.

    The latter are the varied parameters that are none of its architecture. One that is a number in every row is taken
    as it is; of any other there is a column for each value (`heads.detail_strides=8`), 1 where the row has it, else 0.

    like: the columns that are wanted, of an earlier frame; a value that it did not have is then 0 in all of them.
    Raises `ResultsError` as `architecture_features` does, and for a number of `like` that a row lacks.
    """
    of_network = set[str]().union(*(type(spec).keys() for spec in _specs_of(frame)))
    found = architecture_features(frame)
    wanted = None if like is None else [name for name in like if name not in found]
    for name in varied_parameters(frame):
        if name not in of_network and (wanted is None or name in wanted) and _is_number(frame[name], wanted is None):
            found[name] = frame[name].astype(np.float64)
        elif name not in of_network:
            texts = frame[name].map(_text)
            before = f"{name}="
            flags = sorted(set(texts.dropna()))
            if wanted is not None:
                flags = [one.removeprefix(before) for one in wanted if one.startswith(before)]
            for value in flags:
                found[before + value] = (texts == value).astype(np.float64)
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise ResultsError(f"columns: no {', '.join(missing)}; the surrogate was fitted with them")
    return found if like is None else found[list(like)]


def _specs_of(frame: pd.DataFrame) -> list[ArchSpec]:
    if "arch" not in frame:
        raise ResultsError("columns: no arch; a study's frame, as load_study gives it, has it (JSON, a row a network)")
    lacking = frame.index[frame["arch"].isna()].tolist()
    if lacking:
        raise ResultsError(f"arch: {len(lacking)} rows have no network, row {lacking[0]} among them; leave them out")
    try:
        return [ArchSpec.from_dict(json.loads(text)) for text in frame["arch"]]
    except (SpecError, ValueError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"arch: {error} (a study's frame, as load_study gives it, has an architecture's JSON there)"
        ) from error


@lru_cache(maxsize=10_000)
def _features_of(text: str, size: Size, num_classes: int) -> dict[str, float]:
    return features_of(ArchSpec.from_dict(json.loads(text)), size, num_classes)


def _totals(done: Sequence[Operation]) -> dict[str, int]:
    whole: Cost = cost_of(done)
    return {**whole._asdict(), "peak_activations": peak(done).elements}


def _group(layers: Sequence[Operation]) -> dict[str, float]:
    return {
        "layers": float(len(layers)),
        "log_width": math.log1p(max((one.output.channels for one in layers), default=0)),
        "log_macs": math.log1p(cost_of(layers).macs),
    }


def _shares(done: Sequence[Operation], layers: Sequence[Operation]) -> dict[str, float]:
    macs = max(1, cost_of(layers).macs)
    pointwise = cost_of([one for one in layers if one.kernel == 1]).macs
    grouped = cost_of([one for one in layers if one.groups > 1]).macs
    dilated = cost_of([one for one in layers if one.dilation > 1]).macs
    found = {"share of 1×1": pointwise / macs, "share of grouped": grouped / macs, "share of dilated": dilated / macs}
    found |= {f"{kind}s": float(sum(one.kind == kind for one in done)) for kind in JOINS}
    return found | {"bilinear upsamplings": float(sum(one.kind == "bilinear upsampling" for one in done))}


def _stride_of(operation: Operation, size: Size) -> int:
    times = size[0] / operation.output.size[0]
    return min(STRIDES, key=lambda stride: abs(math.log(stride / times)))


def _behind_upsampling(done: Sequence[Operation], seen: dict[int, Field]) -> set[int]:
    """Numbers of the feature maps that are computed from one that was made larger; a spread global mean is none."""
    rising: set[int] = set()
    for operation in done:
        enlarged = operation.kind in UPSAMPLINGS and seen[operation.inputs[0].number].pixels is not None
        if enlarged or any(tensor.number in rising for tensor in operation.inputs):
            rising.add(operation.output.number)
    return rising


def _is_number(column: pd.Series, whole: bool) -> bool:
    """Whether it holds numbers, and if `whole`, one in every row."""
    return bool(pd.api.types.is_numeric_dtype(column) and column.dtype != np.bool_ and not (whole and column.hasnans))


def _text(value: object) -> str | None:
    return None if value is None or value != value else str(value)

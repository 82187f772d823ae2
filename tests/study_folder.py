"""Study folders as a search leaves them, made without torch: real storage, real records, made-up numbers."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FixedTrial, TrialState, create_trial
from PIL import Image
from ruamel.yaml import YAML

from stdc_lab.arch import ArchSpec, analyse, presets
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import (
    CurvePoint,
    Environment,
    LatencyResult,
    MacCounters,
    ProfileResult,
    StageCost,
    TrainResult,
    TrialRecord,
    trial_key,
)

SPACE = {
    "name": "core",
    "base": "stdc1",
    "vary": {
        "base_width": {"type": "choice", "values": [16, 24, 32, 48]},
        "depths.stage3": {"type": "int", "low": 1, "high": 4},
        "depths.stage5": {"type": "int", "low": 1, "high": 3},
        "num_blocks": {"type": "int", "low": 2, "high": 6},
        "kernels": {"type": "choice", "values": [[1, 3], [3], [1, 5, 3]]},
        "channel_ratio": {"type": "choice", "values": [0.35, 0.5, 0.7, 1.0]},
        "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
    },
}
CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist")
COLOURS = ("#808080", "#800000", "#c0c080", "#804080", "#3c28de", "#808000", "#c08080", "#404080", "#400080",
           "#404000", "#0080c0")  # fmt: skip


def study_config(**changes: Any) -> StudyConfig:
    """The configuration of the studies made here (space `core`, which holds neither stdc1 nor stdc2)."""
    values: dict[str, Any] = {"name": "demo", "title": "Street scenes, core space", "space": SPACE, "trials": 20}
    values["latency"] = {"size": "180x240", "threads": 2}
    return StudyConfig.model_validate(values | changes)


@contextmanager
def open_study(folder: Path, config: StudyConfig):
    """The folder's Optuna study, made with its study.yaml if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "study.yaml").open("w", encoding="utf-8") as file:
        writer = YAML(typ="safe", pure=True)
        writer.sort_base_mapping_type_on_output = False  # as the search keeps it: the order of a plan's arms counts
        writer.dump(config.model_dump(mode="json"), file)
    creator = {"creator": lambda: sqlite3.connect(folder / "study.db", timeout=60)}  # a URL mistakes `?` in a path
    storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=creator)
    try:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        yield optuna.create_study(
            study_name=config.name, storage=storage, directions=["maximize", "minimize"], load_if_exists=True
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def add_complete(
    study: optuna.Study,
    folder: Path,
    config: StudyConfig,
    *,
    miou: float,
    latency_ms: float,
    params: Mapping[str, Any] | None = None,
    reference: str | None = None,
    record: bool = True,
    samples: int = 0,
    **attributes: Any,
) -> TrialRecord:
    """A finished trial at a point of the space, or a reference without parameters; with its record's files."""
    spec, train = presets[reference or "stdc1"], config.train
    if params is not None:
        chosen = config.space.choose(FixedTrial(dict(params), number=0))
        spec, train = config.space.spec_of(chosen), config.space.training_of(chosen, config.train)
    made = make_record(len(study.trials), spec, config, miou, latency_ms, reference, train)
    latency = made.profile.latency
    known = {
        "arch": spec.to_dict(),
        "arch_id": spec.arch_id,
        "trial_key": made.trial_key,
        "seed": made.seed,
        "macs": made.profile.macs,
        "num_params": made.profile.num_params,
        "latency_ms": latency.median_ms,
        "latency_p95_ms": latency.p95_ms,
        "latency_spread": latency.spread,
        "fingerprint": made.profile.environment.fingerprint,
        "train_seconds": made.result.seconds,
    }
    if reference is not None:
        known["reference"] = reference
    _add(study, config, params, TrialState.COMPLETE, known | attributes, [miou, latency_ms])
    run = folder / "runs" / made.trial_key
    if record:
        run.mkdir(parents=True, exist_ok=True)
        (run / "trial.json").write_text(made.model_dump_json(indent=1), encoding="utf-8")
    if samples:
        write_samples(run / "predictions", samples)
    return made


def add_unfinished(
    study: optuna.Study,
    config: StudyConfig,
    state: TrialState,
    *,
    params: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> None:
    """A trial that failed, was screened out (PRUNED), or still runs."""
    _add(study, config, params, state, attributes, None)


def _add(study, config, params, state, attributes, values) -> None:
    fixed = FixedTrial(dict(params or {}), number=0)
    if params:
        config.space.choose(fixed)
    study.add_trial(
        create_trial(
            state=state, values=values, params=fixed.params, distributions=fixed.distributions, user_attrs=attributes
        )
    )


def make_record(
    number: int,
    spec: ArchSpec,
    config: StudyConfig,
    miou: float,
    latency_ms: float,
    reference: str | None = None,
    train: Any = None,
    seed: int = 0,
) -> TrialRecord:
    """A record with the given outcome and everything else made up to be plausible."""
    train = train or config.train
    stages = _stages_of(spec, config)
    machine = Environment(
        device="cpu", processor="Example CPU", threads=2, python="3.11.7", torch="2.9.0", fingerprint="f00d"
    )
    macs = sum(stage.macs for stage in stages)
    height, width = config.latency.size
    profile = ProfileResult(
        arch=spec,
        arch_id=spec.arch_id,
        num_classes=len(CLASSES),
        size=config.latency.size,
        num_params=sum(stage.num_params for stage in stages),
        macs=macs,
        counters=MacCounters(theory=macs, fvcore=int(macs * 1.004), torch=macs),
        not_counted={"fvcore": {"aten::upsample_bilinear2d": 3, "aten::sigmoid": 4}},
        stages=stages,
        latency=latency_result(latency_ms, (1, 3, height, width)),
        environment=machine,
    )
    result = TrainResult(
        miou=miou,
        class_iou={name: _class_iou(name, miou, index) for index, name in enumerate(CLASSES)},
        pixel_accuracy=min(0.98, miou + 0.3),
        curve=made_up_curve(train.iterations, miou, number),
        seconds=40 + latency_ms,
        seed=seed,
        precision="float32",
        environment=machine,
        evaluated_weights="ema",
    )
    key = trial_key(spec, train, config.data, seed)
    return TrialRecord(
        number=number,
        arch=spec,
        arch_id=spec.arch_id,
        trial_key=key,
        reference=reference,
        train=train,
        data=config.data,
        seed=seed,
        profile=profile,
        result=result,
    )


def latency_result(median_ms: float, shape: tuple[int, int, int, int] = (1, 3, 180, 240)) -> LatencyResult:
    """A latency of a quiet machine around the given median."""
    return LatencyResult(
        median_ms=median_ms,
        p95_ms=median_ms * 1.08,
        ci95_ms=(median_ms * 0.99, median_ms * 1.01),
        spread=0.03,
        repeats=120,
        warmup_repeats=10,
        runtime="eager",
        device="cpu",
        dtype="float32",
        threads=2,
        input_shape=shape,
    )


def _stages_of(spec: ArchSpec, config: StudyConfig) -> tuple[StageCost, ...]:
    return tuple(map(StageCost.of, analyse(spec, config.latency.size, len(CLASSES)).parts))


def made_up_curve(iterations: int, miou: float, salt: int) -> tuple[CurvePoint, ...]:
    noise = random.Random(salt)
    points = []
    for step in range(1, 61):
        iteration = max(1, iterations * step // 60)
        loss = 6.5 * (0.12 + 0.88 * np.exp(-step / 14)) * (1 + noise.uniform(-0.06, 0.06))
        evaluated = miou * (1 - 0.7 * np.exp(-step / 18)) / (1 - 0.7 * np.exp(-60 / 18)) if step % 15 == 0 else None
        points.append(CurvePoint(iteration=iteration, loss=loss, learning_rate=0.02 * (1 - step / 61), miou=evaluated))
    return tuple(points)


def _class_iou(name: str, miou: float, index: int) -> float | None:
    return None if name == "cyclist" else float(np.clip(miou + 0.32 * np.cos(1.7 * index), 0.01, 0.99))


def write_samples(folder: Path, count: int) -> None:
    """Panels and a legend as a trial writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:96, :128]
    for index in range(count):
        labels = ((rows + 7 * index) // 16 + columns // 40) % len(CLASSES)
        palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], dtype=np.uint8)
        coloured = palette[labels]
        image = np.clip(coloured.astype(int) // 2 + 60 + rows[..., None] // 2, 0, 255).astype(np.uint8)
        gap = np.full((96, 4, 3), 255, np.uint8)
        panel = np.hstack([image, gap, coloured, gap, np.roll(coloured, 4, axis=1)])
        Image.fromarray(panel).save(folder / f"{index:04d}.png")
    legend = dict(zip(CLASSES, COLOURS, strict=True))
    (folder / "legend.json").write_text(json.dumps(legend), encoding="utf-8")


def some_params(seed: int) -> dict[str, Any]:
    """A point of the space `core`, the same for the same seed."""
    rng = random.Random(seed)
    space = SearchSpace.model_validate(SPACE)
    drawn: dict[str, Any] = {}
    for key, varied in space.parameters.items():
        if varied.type == "choice":
            value = rng.choice(varied.values)
            drawn[key] = ("-".join(map(str, value)) or "none") if isinstance(value, tuple) else value
        else:
            drawn[key] = rng.randint(varied.low, varied.high)
    return drawn


def realistic_study(folder: Path, finished: int = 20, **changes: Any) -> StudyConfig:
    """References, `finished` searched trials in all states, samples of the front's networks; not retimed."""
    config = study_config(**changes)
    rng = random.Random(4)
    with open_study(folder, config) as study:
        add_complete(study, folder, config, miou=0.587, latency_ms=31.4, reference="stdc1", samples=3)
        add_complete(study, folder, config, miou=0.611, latency_ms=46.9, reference="stdc2", samples=3)
        for index in range(finished):
            params = some_params(index)
            chosen = config.space.choose(FixedTrial(dict(params), number=0))
            stages = _stages_of(config.space.spec_of(chosen), config)
            giga = sum(stage.macs for stage in stages) / 1e9
            latency = 6 + 9.5 * giga + rng.uniform(-1.5, 1.5)
            miou = 0.63 - 0.26 * np.exp(-giga / 1.1) + rng.gauss(0, 0.012)
            add_complete(
                study, folder, config, miou=float(miou), latency_ms=latency, params=params, samples=3 * (index % 3 != 1)
            )
            if index == 5:
                add_unfinished(
                    study,
                    config,
                    TrialState.FAIL,
                    params=some_params(91),
                    reason="the loss became infinite at iteration 212 (learning rate 0.02)",
                )
            if index == 9:
                add_complete(
                    study,
                    folder,
                    config,
                    miou=float(miou),
                    latency_ms=latency,
                    params=params,
                    duplicate_of=len(study.trials) - 1,
                )
            if index == 11:
                add_unfinished(
                    study,
                    config,
                    TrialState.PRUNED,
                    params=some_params(92),
                    reason="over the limit of 60 ms: 84.1 ms",
                    screened=True,
                )
    return config

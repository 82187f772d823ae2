"""Networks that were trained at two lengths, from the studies that trained them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stdc_lab.analysis.calibration import MIN_NETWORKS, calibration, pooled_deviation, random_deviation, usual_groups
from stdc_lab.arch import ArchSpec
from stdc_lab.config.choosers import FixedChooser
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StudyError
from stdc_lab.storage import StoredStudy, StoredTrial, read_storage

LENGTH = frozenset({"iterations", "warmup_iterations", "evaluations"})
"""What may differ between two fidelities: how long a training is, and what is counted in its iterations."""
IDLE = frozenset({"data_workers"})
"""What changes no training."""


@dataclass(frozen=True)
class Fidelities:
    """Networks that were trained at both of two lengths, and how noisy their scores are."""

    networks: pd.DataFrame
    """A row a network: `network`, `arch_id`, `macs`, `num_params`, and for `low` and `high` the mean mIoU over seeds
    (`low_miou`), their number (`low_seeds`) and the standard error of that mean (`low_error`, NaN if unknown)."""
    low_iterations: int
    high_iterations: int
    low_deviation: float
    """Standard deviation of mIoU over seeds at the low fidelity, pooled over networks; NaN without repeated seeds."""
    high_deviation: float
    left_out: int
    """Networks that were trained at one of the lengths alone."""
    reference: tuple[str, float] | None
    """The control arm or the first network that the studies name, with its MACs; None if it is not among these."""

    def calibration(self, *, seed: int = 0) -> pd.DataFrame:
        """How well the short training, MACs and parameters rank the networks as the long one does: see there."""
        return calibration(
            self.networks,
            "low_miou",
            "high_miou",
            low_error=None if self.networks["low_error"].isna().any() else "low_error",
            high_error=None if self.networks["high_error"].isna().any() else "high_error",
            beside={"MACs": "macs", "parameters": "num_params"},
            groups=usual_groups("high_miou", "macs", self.reference),
            name=f"{self.low_iterations} iterations",
            seed=seed,
        )

    def notes(self) -> list[str]:
        """What these networks can tell, and what was taken for what."""
        count, sd = len(self.networks), random_deviation(len(self.networks))
        said = [
            f"{count} networks, {self.low_iterations} against {self.high_iterations} iterations; under a random order "
            f"the standard deviation of tau is {sd:.2f}, so a tau within ±{1.96 * sd:.2f} may be chance"
        ]
        if self.left_out:
            said.append(f"left out, for they have trainings of one length alone: {self.left_out} networks")
        known = {"low": self.low_deviation, "high": self.high_deviation}
        said += [f"seeds at the {name} fidelity: sd {sd:.4f} mIoU" for name, sd in known.items() if not math.isnan(sd)]
        missing = [name for name, sd in known.items() if math.isnan(sd)]
        if len(missing) == 2:
            said.append("single seeds: neither the noise ceiling nor ties are known")
        elif missing:
            said.append(f"single seeds at the {missing[0]} fidelity: its noise is taken to be that of the other")
        return said


@dataclass(frozen=True)
class _Training:
    """A finished training."""

    key: str
    """Of its network and of all of its training but the length."""
    network: str
    arch_id: str
    iterations: int
    seed: int
    miou: float
    macs: float
    num_params: float


def read_fidelities(folders: Sequence[str | Path]) -> Fidelities:
    """The networks that studies have trained at two lengths: two studies, or one that varies `train.iterations`.

    Two trainings are of one network if they differ in their length and seed alone. A training that occurs twice counts
    once. Where only one of the fidelities has repeated seeds, the other's noise is taken to be the same.

    Raises `StudyError` for a folder that cannot be read, for studies whose data or training differ beside the length,
    for other than two lengths, and for fewer than 4 networks that have both.
    """
    studies = {str(folder): read_storage(folder) for folder in folders}
    configs = {name: _config_of(name, study) for name, study in studies.items()}
    _refuse_other_protocols(configs)
    trainings = [one for name, study in studies.items() for one in _trainings(study, configs[name])]
    lengths = sorted({one.iterations for one in trainings})
    if len(lengths) != 2:
        raise StudyError(
            f"{', '.join(studies)}: finished trainings of {', '.join(map(str, lengths)) or 'no'} iterations; a "
            "calibration needs two lengths: give two studies that differ in train.iterations, or one that varies it"
        )
    low, high = (dict(_by_network(trainings, length)) for length in lengths)
    common = [key for key in high if key in low]
    if len(common) < MIN_NETWORKS:
        raise StudyError(
            f"{', '.join(studies)}: got {len(common)} networks with both {lengths[0]} and {lengths[1]} iterations (of "
            f"{len(low)} and {len(high)}); a ranking needs at least {MIN_NETWORKS}"
        )
    deviations = [pooled_deviation([[t.miou for t in rows] for rows in side.values()]) for side in (low, high)]
    # One fidelity may have single seeds, the dear one above all. Longer trainings are rather less noisy, so that this
    # makes the ceiling too low rather than too high.
    filled = [own if not math.isnan(own) else other for own, other in zip(deviations, deviations[::-1], strict=True)]
    networks = pd.DataFrame([_row(low[key], high[key], filled) for key in common])
    return Fidelities(
        networks=networks,
        low_iterations=lengths[0],
        high_iterations=lengths[1],
        low_deviation=deviations[0],
        high_deviation=deviations[1],
        left_out=len(low.keys() ^ high.keys()),
        reference=_reference(configs.values(), networks),
    )


def _config_of(name: str, study: StoredStudy) -> StudyConfig:
    if study.config is None:
        raise StudyError(f"{name}: no study.yaml beside the storage, so its training's length is unknown")
    return study.config


def _trainings(study: StoredStudy, config: StudyConfig) -> Iterator[_Training]:
    for trial in study.trials:
        notes = trial.notes
        known = notes.figures.get("miou"), notes.figures.get("macs"), notes.figures.get("num_params")
        told = dict(zip((one.figure for one in study.objectives), trial.values or (), strict=False))
        miou, macs, params = (
            told.get(name, value) for name, value in zip(("miou", "macs", "num_params"), known, strict=True)
        )
        if trial.state != "COMPLETE" or notes.arch is None or miou is None or macs is None or params is None:
            continue
        train = _training_of(trial, config)
        arch_id = ArchSpec.from_dict(notes.arch).arch_id
        rest = train.model_dump(mode="json", exclude=set(LENGTH | IDLE))
        yield _Training(
            key=f"{arch_id} {sorted(rest.items())}",
            network=notes.arm or notes.reference or arch_id,
            arch_id=arch_id,
            iterations=train.iterations,
            seed=config.seed if notes.seed is None else notes.seed,
            miou=float(miou),
            macs=float(macs),
            num_params=float(params),
        )


def _training_of(trial: StoredTrial, config: StudyConfig) -> TrainConfig:
    if trial.notes.arm is not None and config.plan is not None and trial.notes.arm in config.plan.arms:
        return config.plan.training_of(trial.notes.arm, config.train)
    if not trial.params:
        return config.space.training_of({}, config.train)
    return config.space.training_of(config.space.choose(FixedChooser(trial.params)), config.train)


def _by_network(trainings: Iterable[_Training], iterations: int) -> Iterator[tuple[str, list[_Training]]]:
    """The trainings of one length by network, each seed once."""
    found: dict[str, dict[int, _Training]] = {}
    for one in trainings:
        if one.iterations == iterations:
            found.setdefault(one.key, {}).setdefault(one.seed, one)
    for key, by_seed in found.items():
        yield key, list(by_seed.values())


def _row(low: Sequence[_Training], high: Sequence[_Training], deviations: Sequence[float]) -> dict[str, Any]:
    first = high[0]
    row: dict[str, Any] = {
        "network": first.network,
        "arch_id": first.arch_id,
        "macs": first.macs,
        "num_params": first.num_params,
    }
    for name, trainings, deviation in zip(("low", "high"), (low, high), deviations, strict=True):
        row[f"{name}_miou"] = float(np.mean([one.miou for one in trainings]))
        row[f"{name}_seeds"] = len(trainings)
        row[f"{name}_error"] = deviation / math.sqrt(len(trainings))
    return row


def _reference(configs: Iterable[StudyConfig], networks: pd.DataFrame) -> tuple[str, float] | None:
    for config in configs:
        named = [] if config.plan is None else [(config.plan.control_arm, config.plan.spec_of(config.plan.control_arm))]
        for name, spec in [*named, *config.known_networks.items()]:
            there = networks[networks["arch_id"] == spec.arch_id]
            if len(there):
                return name, float(there["macs"].iloc[0])
    return None


def _refuse_other_protocols(configs: Mapping[str, StudyConfig]) -> None:
    """Raise `StudyError` for studies that differ in what a mIoU or MACs depend on, beside the training's length."""
    (first, one), *others = ((name, _protocol(config)) for name, config in configs.items())
    for name, other in others:
        unequal = [key for key in one | other if one.get(key) != other.get(key)]
        if unequal:
            said = "; ".join(f"{key}: {one.get(key)} in {first}, {other.get(key)} in {name}" for key in unequal)
            raise StudyError(
                f"unequal protocols: {said}; allowed: studies that differ in {', '.join(sorted(LENGTH))} of their "
                "training alone"
            )


def _protocol(config: StudyConfig) -> dict[str, Any]:
    train = config.train.model_dump(mode="json", exclude=set(LENGTH | IDLE))
    parts = {"data": config.data.model_dump(mode="json"), "train": train, "scorer": config.scorer.model_dump()}
    parts["latency"] = {"size": config.latency.model_dump(mode="json")["size"]}  # at which MACs are counted
    return dict(_flat("", parts))


def _flat(prefix: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value

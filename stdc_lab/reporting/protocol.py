"""All that a study's numbers depend on beside the architecture, as rows of a table and as a figure's caption."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from stdc_lab.config.latency import TITLES
from stdc_lab.config.study import ScorerConfig, StudyConfig
from stdc_lab.config.values import show_size
from stdc_lab.data.kinds import describe
from stdc_lab.records import Environment, LatencyResult, TrainResult, TrialRecord, mixed_computing

Rows = list[tuple[str, str]]
NOT_KNOWN = "not known: no finished trial’s record could be read"


def search_rows(config: StudyConfig) -> Rows:
    """What was asked, and how trials were proposed, screened and stopped: label and value."""
    limits = [f"{limit} (theory)" for limit in config.space.limits] + [str(one) for one in config.constraints]
    rows = [
        ("Objectives", ", ".join(f"{one.figure} {'up' if one.maximize else 'down'}" for one in config.objectives)),
        ("Limits and constraints", "; ".join(limits) or "none"),
        ("Proposed by", _proposals(config)),
        ("Run besides", ", ".join(config.known_networks) or "no network by name"),
    ]
    pruning = config.pruning
    if pruning is not None:
        rows.append(
            (
                "Stopped early",
                f"trainings behind {pruning.dominators} finished trials that are no worse in all else, by more than "
                f"{pruning.margin:g} × the noise of that evaluation; none before {pruning.from_share:.0%} of it, none "
                f"before {pruning.finished} trials were finished",
            )
        )
    return rows


def training_rows(config: StudyConfig, records: Sequence[TrialRecord]) -> Rows:
    """How every trial was trained and scored: label and value."""
    train, data = config.train, config.data
    crop = _size(train.augmentation.crop) if train.augmentation.crop else "as the images"
    low, high = train.augmentation.scale
    rows = [
        ("Data", describe(config.data)),
        ("Image size", f"{_size(data.size)} pixels (height × width), crop {crop}"),
        ("Classes", distinct(record.profile.num_classes for record in records) or NOT_KNOWN),
        ("Initial weights", "random: no pretraining"),
        ("Length", f"{train.iterations} iterations of {train.batch_size} images"),
        (
            "Learning rate",
            f"{train.learning_rate:g}, warm-up over {train.warmup_iterations} iterations, then polynomial "
            f"(power {train.poly_power:g}); × {train.decoder_rate_factor:g} in fusion module and heads",
        ),
        ("Optimiser", f"SGD, momentum {train.momentum:g}, weight decay {train.weight_decay:g}"),
        (
            "Augmentation",
            f"resize × {low:g}–{high:g}, {'' if train.augmentation.flip else 'no '}mirroring, "
            f"colour {train.augmentation.colour:g}"
            + (", operation by operation as released" if train.augmentation.form == "released" else ""),
        ),
        (
            "Heads while training",
            f"auxiliary: {'yes' if train.heads.auxiliary else 'no'}; detail guidance at stride "
            f"{', '.join(map(str, train.heads.detail_strides)) or 'none'}",
        ),
        (
            "Loss weights",
            f"main {train.loss.main:g}, auxiliary {train.loss.auxiliary:g}, "
            f"detail {train.loss.detail_bce:g} (cross-entropy) and {train.loss.detail_dice:g} (dice)"
            + ("; cross-entropy over hard pixels (OHEM)" if train.loss.cross_entropy == "ohem" else "")
            + ("" if train.loss.class_weights == "none" else f"; classes weighted as {train.loss.class_weights} does"),
        ),
        ("Precision", distinct(_precision(record.result) for record in records) or train.precision),
        ("Seed", _seeds(config, records)),
        ("mIoU", _score(records)),
    ]
    if config.scorer != ScorerConfig():
        rows.append(("Scored by", f"{config.scorer.name}, not by the training of each network for itself"))
    varied = [key for key in config.space.parameters if "." in key and not key.startswith(("depths.", "decoder."))]
    if varied:
        by = "the search" if config.plan is None else "the arms"
        rows.append((f"Varied by {by}", f"{', '.join(varied)}: what stands above holds where they say nothing else"))
    return rows


def latency_rows(config: StudyConfig, records: Sequence[TrialRecord], retimed_at: str | None) -> Rows:
    """How and where latencies were measured: label and value."""
    timed = [record.profile.latency for record in records if record.profile.latency is not None]
    machines = [record.profile.environment for record in records if record.profile.environment is not None]
    batch = config.latency.batch
    moment = "while searching, each network before its training"
    if retimed_at:
        moment = f"all finished networks anew in one pass, interleaved ({retimed_at})"
    return [
        ("Input", f"{'×'.join(map(str, config.latency.input_shape))} (batch {config.latency.batch})"),
        ("Network", "inference graph: nothing that only training needs"),
        ("Runtime", _runtime(timed) + _making(timed)),
        ("Device", distinct(f"{m.device}, {m.processor}" for m in machines) or NOT_KNOWN),
        ("Threads", distinct(latency.threads for latency in timed) or NOT_KNOWN),
        *([("Latency", f"milliseconds a call of {batch} images; FPS counts images")] if batch > 1 else []),
        ("Timed", moment),
        ("Figure", _repeats(timed)),
        ("MACs", f"of convolutions and linear layers at {_size(config.latency.size)}; one MAC is two FLOPs"),
    ]


def environment_rows(records: Sequence[TrialRecord]) -> Rows:
    """The machines and versions behind the numbers: label and value."""
    machines: list[Environment] = [record.result.environment for record in records]
    machines += [record.profile.environment for record in records if record.profile.environment is not None]
    if not machines:
        return [("Environment", NOT_KNOWN)]
    return [
        ("Trained on", distinct(f"{r.result.environment.device}, {r.result.environment.processor}" for r in records)),
        ("Python", distinct(machine.python for machine in machines)),
        ("PyTorch", distinct(machine.torch for machine in machines)),
        (
            "Fingerprint of timing",
            distinct(r.profile.environment.fingerprint for r in records if r.profile.environment),
        ),
    ]


def caption(config: StudyConfig, records: Sequence[TrialRecord]) -> str:
    """The protocol in a line, for below a figure."""
    timed = [record.profile.latency for record in records if record.profile.latency is not None]
    machines = [record.profile.environment for record in records if record.profile.environment is not None]
    where = distinct(f"{m.device} ({m.processor})" for m in machines)
    threads = distinct(latency.threads for latency in timed)
    parts = [
        f"mIoU: {describe(config.data)}, {_size(config.data.size)} pixels, "
        f"{config.train.iterations} iterations of {config.train.batch_size}, from random weights"
        + ("." if config.scorer == ScorerConfig() else f", scored by {config.scorer.name}."),
        f"Latency: input {_size(config.latency.size)}, batch {config.latency.batch}, "
        + (_runtime(timed) if timed else "not measured")
        + (f", {where}" if where else "")
        + (f", {threads} thread{'' if threads == '1' else 's'}." if threads else "."),
    ]
    return " ".join(parts)


def distinct(values: Iterable[Any]) -> str:
    """The unlike ones of some values, as text; empty if there are none."""
    return "; ".join(dict.fromkeys(str(value) for value in values))


def _precision(result: TrainResult) -> str:
    return mixed_computing(result.computed) or result.precision


def _size(size: tuple[int, int]) -> str:
    return show_size(size).replace("x", "×")


def _seeds(config: StudyConfig, records: Sequence[TrialRecord]) -> str:
    if config.plan is None:
        return distinct(record.seed for record in records) or str(config.seed)
    return f"{', '.join(map(str, config.plan.seeds))} of every arm" + (
        f"; {config.seed} of {', '.join(config.known_networks)}" if config.known_networks else ""
    )


def _proposals(config: StudyConfig) -> str:
    if config.plan is not None:
        return f"a plan: {len(config.plan.arms)} arms ({', '.join(config.plan.arms)}) with each of seeds " + ", ".join(
            map(str, config.plan.seeds)
        )
    sampler = config.sampler
    return {
        "tpe": f"TPE, after {sampler.startup_trials} random proposals",
        "nsga2": f"NSGA-II, {sampler.population} complete trials a generation",
        "random": "chance",
    }[sampler.name]


def _score(records: Sequence[TrialRecord]) -> str:
    names = {"ema": "averaged (EMA) weights", "last": "last weights"}
    weights = distinct(names[record.result.evaluated_weights] for record in records) or "weights"
    return f"of the last evaluation, {weights}; mean over the classes that occur in labels or predictions, 0 to 1"


def _runtime(timed: Sequence[LatencyResult]) -> str:
    said = (f"{TITLES.get(t.runtime, t.runtime)}, {t.layout.replace('-', ' ')}, {t.dtype}" for t in timed)
    return distinct(said) or NOT_KNOWN


def _making(timed: Sequence[LatencyResult]) -> str:
    """How long a network's graph, session or compilation took, which is no part of a latency."""
    seconds = [one.making_s for one in timed if one.making_s is not None]
    return f"; made in {statistics.median(seconds):.1f} s (median), which no latency holds" if seconds else ""


def _repeats(timed: Sequence[LatencyResult]) -> str:
    if not timed:
        return NOT_KNOWN
    few, many = min(t.repeats for t in timed), max(t.repeats for t in timed)
    return f"median of {few if few == many else f'{few} to {many}'} calls after warm-up; p95 and spread beside it"

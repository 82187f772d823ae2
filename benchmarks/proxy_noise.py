"""How noisy is a proxy's mIoU, what makes it less so at the same cost, and how much of it do two arms share by seed?

    .venv/bin/python benchmarks/proxy_noise.py --data camvid=PATH
    .venv/bin/python benchmarks/proxy_noise.py --data camvid=PATH --iterations 350 --seeds 8 \\
        --only "STDC1, rate 0.02" --only "no detail guidance"

Trains each arm with several seeds for the same processor time on one thread: how many iterations that makes is found
first, from a few steps of each arm in turn, unless --iterations says it. Of every training both the last weights and
their average (EMA) are evaluated. Prints mean and standard deviation over seeds with its 95 % interval, how the arms'
spreads compare, and of each arm against the first the difference by seed: its standard deviation, and how closely the
arms' values go together (correlation). Finished trainings are kept in --out: the same command goes on after a stop.
About an hour on one core for six seeds of the first four arms.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from scipy import stats

from stdc_lab import ArchSpec, StdcSpec, TrainConfig, TrainingHeads, build_model, load_dataset, presets, read_study
from stdc_lab.cli.search import read_data_option
from stdc_lab.data import Dataset
from stdc_lab.hardware.environment import environment
from stdc_lab.training.evaluate import evaluate
from stdc_lab.training.trainer import Trainer, reproducible

STUDY = Path(__file__).parents[1] / "studies" / "camvid_pareto.yaml"
CALIBRATION_STEPS, FIRST_STEPS = 6, 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Arm:
    """One form of the proxy."""

    name: str
    spec: ArchSpec
    learning_rate: float
    heads: TrainingHeads | None = None
    """Other training heads than the study's."""


ARMS = (
    Arm("STDC1, rate 0.02", presets["stdc1"], 0.02),
    Arm("STDC1, rate 0.01", presets["stdc1"], 0.01),
    Arm("STDC1, rate 0.05", presets["stdc1"], 0.05),
    Arm("half the width, rate 0.02", StdcSpec(base_width=32), 0.02),
    Arm("no detail guidance", presets["stdc1"], 0.02, TrainingHeads(detail_strides=())),
)


def main(
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Where CamVid is: camvid=PATH.")] = None,
    study: Annotated[Path, typer.Option(help="The study whose data and training the arms share.")] = STUDY,
    seconds: Annotated[float, typer.Option(help="Processor time of each training, evaluation apart.")] = 100.0,
    seeds: Annotated[int, typer.Option(min=3, help="Seeds for each arm.")] = 6,
    iterations: Annotated[int | None, typer.Option(help="Of every training, in place of --seconds.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ARM", help="Only these arms, by name.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the trainings that are done.")] = Path("runs/proxy_noise"),
) -> None:
    torch.set_num_threads(1)
    config = read_study(study)
    dataset = load_dataset(config.data, read_data_option(data or [], config.data.name))
    out.mkdir(parents=True, exist_ok=True)
    unknown = set(only or []) - {arm.name for arm in ARMS}
    if unknown:
        raise typer.BadParameter(f"got {', '.join(sorted(unknown))}; allowed: {', '.join(arm.name for arm in ARMS)}")
    arms = [arm for arm in ARMS if arm.name in only] if only else ARMS
    lengths = (
        {arm.name: iterations for arm in arms}
        if iterations is not None
        else _lengths(dataset, config.train, seconds, out / "lengths.json")
    )
    found: dict[str, dict[str, list[float]]] = {arm.name: {"last": [], "EMA": []} for arm in arms}
    for seed in range(seeds):
        for arm in arms:
            result = _trained(arm, lengths[arm.name], dataset, config.train, seed, out)
            for weights, values in found[arm.name].items():
                values.append(result[weights])
            print(
                f"seed {seed}  {arm.name:<28} {lengths[arm.name]:>5} iterations  last {result['last']:.3f}  "
                f"EMA {result['EMA']:.3f}  {result['seconds']:.0f} s",
                flush=True,
            )
    size = "x".join(map(str, config.data.size))
    machine = environment(CPU, 1)
    print(
        f"\n{config.data.name} {size}, batch {config.train.batch_size}, "
        f"{f'{iterations} iterations' if iterations else f'{seconds:.0f} s of processor time'} on one "
        f"thread, {seeds} seeds; {machine.processor}, torch {machine.torch}\n"
    )
    print("| arm | iterations | weights | mean mIoU | sd | 95 % of the sd | sd / mean |\n| --- " + "| --- " * 6 + "|")
    for arm in arms:
        for weights, values in found[arm.name].items():
            mean, deviation, (low, high) = np.mean(values), np.std(values, ddof=1), _interval(values)
            print(
                f"| {arm.name} | {lengths[arm.name]} | {weights} | {mean:.3f} | {deviation:.4f} "
                f"| {low:.4f} – {high:.4f} | {deviation / mean:.3f} |"
            )
    ratio = np.sqrt(stats.f.ppf(0.975, seeds - 1, seeds - 1))
    print(
        f"\nWith {seeds} seeds each, two arms' deviations differ beyond chance (5 %) if one is {ratio:.1f} × the other."
    )
    _print_pairs(found)


def _print_pairs(found: dict[str, dict[str, list[float]]]) -> None:
    """Each arm against the first, seed by seed."""
    control, *others = found
    if not others:
        return
    print(f"\nAgainst {control}, by seed:\n")
    print("| arm | weights | mean difference | sd of it | 95 % of the sd | correlation | its 95 % |")
    print("| --- " * 7 + "|")
    for name in others:
        for weights, values in found[name].items():
            paired = stats.pearsonr(found[control][weights], values)
            differences = np.subtract(values, found[control][weights])
            (low, high), (least, most) = _interval(differences.tolist()), paired.confidence_interval()
            print(
                f"| {name} | {weights} | {np.mean(differences):+.4f} | {np.std(differences, ddof=1):.4f} "
                f"| {low:.4f} – {high:.4f} | {paired.statistic:.2f} | {least:.2f} – {most:.2f} |"
            )


def _lengths(dataset: Dataset, config: TrainConfig, seconds: float, path: Path) -> dict[str, int]:
    """Iterations of each arm that take `seconds`, from the median of a few steps taken in turn."""
    if path.exists():
        kept: dict[str, int] = json.loads(path.read_text())
        return kept
    steps = {}
    for arm in ARMS:
        plan = _plan(config, arm, FIRST_STEPS + CALIBRATION_STEPS)
        steps[arm.name] = Trainer(build_model(arm.spec, _classes(dataset), plan.heads), dataset, plan, 0, CPU).steps()
    times: dict[str, list[float]] = {arm.name: [] for arm in ARMS}
    for _ in range(FIRST_STEPS + CALIBRATION_STEPS):
        for name, stepping in steps.items():
            started = time.process_time()
            next(stepping)
            times[name].append(time.process_time() - started)
    lengths = {name: round(seconds / float(np.median(taken[FIRST_STEPS:]))) for name, taken in times.items()}
    path.write_text(json.dumps(lengths))
    return lengths


def _trained(
    arm: Arm, iterations: int, dataset: Dataset, config: TrainConfig, seed: int, out: Path
) -> dict[str, float]:
    """mIoU of the last weights and of their average; trained only if it is not in the folder yet."""
    heads = "" if arm.heads is None else "_" + "-".join(map(str, ("heads", *arm.heads.detail_strides)))
    path = out / f"{arm.spec.arch_id}_{arm.learning_rate}_{iterations}{heads}_{seed}.json"
    if path.exists():
        kept: dict[str, float] = json.loads(path.read_text())
        return kept
    plan = _plan(config, arm, iterations)
    with reproducible(seed, CPU):
        trainer = Trainer(build_model(arm.spec, _classes(dataset), plan.heads), dataset, plan, seed, CPU)
        started = time.process_time()
        for _ in trainer.steps():
            pass
        spent = time.process_time() - started
        found = {
            name: evaluate(network, dataset.val, _classes(dataset), CPU, trainer.dtype).miou()
            for name, network in (("last", trainer.network), ("EMA", trainer.evaluated))
        }
    result = {**found, "seconds": spent}
    path.write_text(json.dumps(result))
    return result


def _plan(config: TrainConfig, arm: Arm, iterations: int) -> TrainConfig:
    changes = {
        "iterations": iterations,
        "learning_rate": arm.learning_rate,
        "warmup_iterations": min(config.warmup_iterations, iterations // 2),
        "evaluations": 1,
        **({} if arm.heads is None else {"heads": arm.heads.model_dump()}),
    }
    return TrainConfig.model_validate({**config.model_dump(), **changes})


def _classes(dataset: Dataset) -> int:
    return len(dataset.class_names)


def _interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of a normal sample's standard deviation."""
    freedom = len(values) - 1
    total = np.var(values, ddof=1) * freedom
    low, high = np.sqrt(total / stats.chi2.ppf([0.975, 0.025], freedom))
    return float(low), float(high)


if __name__ == "__main__":
    typer.run(main)

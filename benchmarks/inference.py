"""How fast does STDC1 run here in each runtime, beside the released form that a user would otherwise run?

    .venv/bin/python benchmarks/inference.py

released form: the network with all its training heads (auxiliary and detail heads at 2, 4, 8 and 16), every one of them
executed, float32, default layout, eager, in a process of its own with the default allocator. The runtimes run the
deployed network with the same weights, which are trained first, shortly and on synthetic scenes, so that outputs can be
compared; each is compared with float32 eager before it is timed, on scenes. All take turns, so a ratio is that of
neighbouring calls: median and 95 % interval. All of it is done three times, everything made anew.

limit: the best rate that a direct convolution reaches here in the same dtype, over a few large ones
(`stdc_lab.profiling.limit`). share: MACs over the time at that rate. A runtime that needs fewer multiplications than
the network has MACs (winograd; merged doublings) may pass it. Then the two commands are timed, each a process of its
own.

Half an hour on two cores, on which nothing else should run meanwhile: most of it is what torch.compile takes.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer

from stdc_lab import DataConfig, LatencyConfig, TrainConfig, TrainingHeads, build_model, load_dataset, presets, train
from stdc_lab.arch import total_cost
from stdc_lab.deploy.palette import generated_colours
from stdc_lab.deploy.runtimes import find_runtimes, left_out
from stdc_lab.hardware.devices import choose_device
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.nn import Segmenter, load_checkpoint
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.profiling.latency import sample_images
from stdc_lab.profiling.limit import convolution_rate
from stdc_lab.profiling.ranking import measure_runtimes
from stdc_lab.profiling.timing import timed
from stdc_lab.records import RuntimeResult

NUM_CLASSES = 19
RELEASED = ("released form", "eager")
HEADS = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))
WANTED = {"float32": ("at least 3", 0.80), "bfloat16": ("at least 5, aim 6", 0.65)}
COMMANDS = {
    "stdc-lab profile stdc1": (["profile", "stdc1"], "within 10 s"),
    "stdc-lab arch show stdc1": (["arch", "show", "stdc1"], "within 0.6 s, torch not imported"),
}


def main(
    size: Annotated[str, typer.Option(help="Height x width of the input.")] = "512x1024",
    rounds: Annotated[int, typer.Option(min=1, help="How often all of it is done.")] = 3,
    seconds: Annotated[float, typer.Option(help="How long each runtime is timed at most.")] = 10.0,
    iterations: Annotated[int, typer.Option(help="Of the training that makes the weights.")] = 150,
    weights: Annotated[Path | None, typer.Option(help="Keep them in this file, and take them from it.")] = None,
    runtime: Annotated[str, typer.Option(help="Runtimes separated by commas, or all.")] = "all",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    config = LatencyConfig.model_validate({"size": size, "measure_s": seconds, "precision": 0.01, "min_repeats": 21})
    where = choose_device(device)
    threads = usable_cores()
    released = trained_network(iterations, weights)
    deployed = build_model(presets["stdc1"], NUM_CLASSES)
    deployed.load_state_dict(released.state_dict(), strict=False)
    deployed.eval()
    runtimes = find_runtimes(runtime.split(","), where)
    rates: dict[str, float] = {
        dtype: convolution_rate(getattr(torch, dtype), where, threads)
        for dtype in sorted({one.dtype for one in runtimes} & {"float32", "bfloat16", "float16"})
    }
    form = ReleasedForm(released, config.size, threads, where)
    said = [""]

    def tell(what: str, _share: float) -> None:
        if what != said[-1]:
            said.append(what)
            typer.echo(f"  {what}", err=True)

    turns: list[list[RuntimeResult]] = []
    for number in range(1, rounds + 1):
        typer.echo(f"round {number} of {rounds}", err=True)
        turns.append(
            measure_runtimes(
                {"stdc1": deployed},
                runtimes,
                config,
                where,
                trained={"stdc1"},
                reference=RELEASED,
                others={RELEASED: form.call},
                on_progress=tell,
            )
        )
    machine = environment(where, threads)
    macs = total_cost(presets["stdc1"], config.size, NUM_CLASSES).macs
    limits = ", ".join(f"{rate / 1e9:,.0f} GMACs/s in {dtype}" for dtype, rate in rates.items())
    print(
        f"{machine.processor}, {threads} threads, torch {machine.torch}, "
        f"{', '.join(f'{name} {version}' for name, version in machine.versions.items())}\n"
        f"STDC1, {NUM_CLASSES} classes, 1×3×{config.size[0]}×{config.size[1]}, {macs / 1e9:.2f} GMACs\n"
        f"limit: {limits}\nreleased form {released_ms(turns):.1f} ms; medians of {rounds} rounds\n"
    )
    print(table(turns, rates, macs))
    for name, reason in left_out(where).items() if "all" in runtime.split(",") else ():
        print(f"\n{name} was left out: {reason}")
    commands = {name: [in_process(words) for _ in range(rounds)] for name, (words, _) in COMMANDS.items()}
    print("\n| command | s, median | highest | wanted |\n| --- | ---: | ---: | --- |")
    for name, taken in commands.items():
        print(f"| `{name}` | {median(taken):.2f} | {max(taken):.2f} | {COMMANDS[name][1]} |")
    if json_file is not None:
        report = {
            "environment": machine.model_dump(mode="json"),
            "limits": rates,
            "macs": macs,
            "rounds": [[one.model_dump(mode="json") for one in turn] for turn in turns],
            "commands": commands,
        }
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


class ReleasedForm:
    """The released form in a process of its own, which nothing of stdc_lab's choices for speed has touched."""

    def __init__(self, network: Segmenter, size: tuple[int, int], threads: int, device: torch.device) -> None:
        context = get_context("spawn")
        self.ours, theirs = context.Pipe()
        state = {name: values.numpy() for name, values in network.state_dict().items()}
        arguments = (theirs, state, size, threads, str(device))
        context.Process(target=serve_released_form, args=arguments, daemon=True).start()

    def call(self) -> float:
        """Milliseconds of one call."""
        self.ours.send(None)
        return float(self.ours.recv())


def serve_released_form(
    orders: Connection, state: dict[str, Any], size: tuple[int, int], threads: int, device: str
) -> None:
    """Run the released form once for every message, and answer with the milliseconds that it took."""
    torch.set_num_threads(threads)
    network = build_model(presets["stdc1"], NUM_CLASSES, HEADS)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
    network.eval().to(device)
    images = sample_images((1, 3, *size), trained=True).to(device)

    def run() -> object:
        with torch.inference_mode():
            return network(images)

    call = timed(run, torch.device(device))
    with suppress(EOFError):
        while True:
            orders.recv()
            orders.send(call())


def trained_network(iterations: int, kept: Path | None) -> Segmenter:
    """STDC1 with all heads and 19 classes, of which scenes show eleven."""
    if kept is not None and kept.exists():
        network = load_checkpoint(kept).network
        assert isinstance(network, Segmenter)
        return network
    dataset = load_dataset(DataConfig.model_validate({"name": "scenes", "size": "128x256"}))
    names = tuple(f"class {number}" for number in range(NUM_CLASSES))
    dataset = dataclasses.replace(dataset, class_names=names, class_colours=generated_colours(NUM_CLASSES))
    config = TrainConfig(
        iterations=iterations, batch_size=8, evaluations=1, warmup_iterations=iterations // 5, heads=HEADS
    )
    trained = train(presets["stdc1"], dataset, config)
    print(f"weights: {iterations} iterations on synthetic scenes, mIoU {trained.result.miou:.3f}", file=sys.stderr)
    if kept is not None:
        save_checkpoint(kept, trained.network, {"miou": trained.result.miou})
    return trained.network


def table(turns: list[list[RuntimeResult]], rates: dict[str, float], macs: int) -> str:
    """A row a runtime, the fastest first: medians over the rounds; drift: how far their medians lie apart."""
    lines = [
        "| runtime | dtype | ms | drift | times the released form | share of the limit | largest error | same class |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    names = [one.runtime for one in turns[0]]
    rows = []
    for name in names:
        found = [one for turn in turns for one in turn if one.runtime == name]
        if any(one.latency is None for one in found):
            reason = next(one.reason for one in found if one.latency is None)
            rows.append((float("inf"), f"| {name} | {found[0].dtype} | not run: {reason} | | | | | |"))
            continue
        rows.append(row(found, rates, macs))
    return "\n".join([*lines, *(text for _, text in sorted(rows))])


def released_ms(turns: list[list[RuntimeResult]]) -> float:
    """The released form's latency, by the ratio of the fastest runtime to it."""
    fastest = [turn[0].latency for turn in turns]
    return median(one.median_ms * one.times_as_fast for one in fastest if one is not None and one.times_as_fast)


def row(found: list[RuntimeResult], rates: dict[str, float], macs: int) -> tuple[float, str]:
    """The middle of a runtime's medians, and its line."""
    medians, ratios, noisy = [], [], False
    for one in found:
        assert one.latency is not None and one.latency.times_as_fast is not None
        medians.append(one.latency.median_ms)
        ratios.append(one.latency.times_as_fast)
        noisy = noisy or bool(one.latency.noisy)
    middle, first = median(medians), found[0]
    share = "" if first.dtype not in rates else f"{1000 * macs / middle / rates[first.dtype]:.0%}"
    assert first.agreement is not None
    cells = (
        first.runtime,
        f"{first.dtype} (emulated)" if first.emulated else first.dtype,
        f"{middle:.1f}{' (noisy)' if noisy else ''}",
        f"{(max(medians) - min(medians)) / middle:.1%}",
        f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        share,
        f"{first.agreement.max_rel_error:.0e}",
        f"{first.agreement.argmax_share:.3%}",
    )
    return middle, f"| {' | '.join(cells)} |"


def in_process(words: list[str]) -> float:
    """Seconds that a command takes, from the start of its process to its end."""
    started = time.perf_counter()
    command: list[Any] = [sys.executable, "-m", "stdc_lab.cli.main", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)

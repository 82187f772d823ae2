"""How many specs a second can a search screen by theory, on one core, and what does counting on the network take?

    .venv/bin/python benchmarks/theory.py

Draws specs at random (no two alike, so that nothing is cached), makes them, and asks for their parameters, MACs and
activations at 512×1024; beside it, a few are built and counted by torch's counter on the meta device.
"""

from __future__ import annotations

import random
import time
from typing import Annotated, Any

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from stdc_lab import ArchSpec, build_model, total_cost


def main(
    specs: Annotated[int, typer.Option(help="How many specs are screened.")] = 5000,
    built: Annotated[int, typer.Option(help="How many of them are built and counted.")] = 10,
) -> None:
    draw = random.Random(0)
    fields = [_draw(draw) for _ in range(specs)]
    torch.set_num_threads(1)

    started = time.perf_counter()
    made = [ArchSpec.from_dict(values) for values in fields]
    made_s = time.perf_counter() - started
    started = time.perf_counter()
    costs = [total_cost(spec) for spec in made]
    screened_s = time.perf_counter() - started
    print(f"{len({spec.arch_id for spec in made})} different specs on one core")
    print(f"made from a mapping:     {specs / made_s:8.0f} a second")
    print(f"screened by theory:      {specs / screened_s:8.0f} a second")
    print(f"both:                    {specs / (made_s + screened_s):8.0f} a second")

    started = time.perf_counter()
    agree = 0
    for spec, cost in list(zip(made, costs, strict=True))[:built]:
        with torch.device("meta"):
            network = build_model(spec, 19).eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.zeros(1, 3, 512, 1024, device="meta"))
        agree += counter.get_total_flops() // 2 == cost.macs
    counted_s = time.perf_counter() - started
    print(f"built and counted:       {built / counted_s:8.1f} a second; {agree} of {built} agree")


def _draw(draw: random.Random) -> dict[str, Any]:
    return {
        "base_width": 2 * draw.randint(8, 64),
        "depths": [draw.randint(1, 8) for _ in range(3)],
        "num_blocks": draw.randint(2, 8),
        "channel_ratio": draw.uniform(0.2, 2),
        "fusion": draw.choice(["cat", "add"]),
        "downsample": draw.choice(["depthwise", "strided"]),
        "decoder": {"head_width": draw.randint(32, 256), "spatial_path": draw.random() < 0.3},
    }


if __name__ == "__main__":
    typer.run(main)

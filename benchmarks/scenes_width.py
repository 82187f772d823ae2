"""Do the synthetic scenes tell a narrow network from a wide one, and by how much more than seeds do?

    .venv/bin/python benchmarks/scenes_width.py

Trains STDC1 at base widths 16 and 64 with three seeds each and prints every mIoU, the difference of the means and
the spread (max − min) of the seeds. About an hour on one core.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from stdc_lab import DataConfig, StdcSpec, TrainConfig, load_dataset, train
from stdc_lab.training import Progress


def main(
    iterations: Annotated[int, typer.Option(help="Length of each training.")] = 1500,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 8,
    size: Annotated[str, typer.Option(help="Height x width of the scenes.")] = "96x144",
    learning_rate: Annotated[float, typer.Option(help="SGD's rate after warm-up.")] = 0.02,
    train_images: Annotated[int, typer.Option(help="Different scenes to train on.")] = 1000,
    seeds: Annotated[int, typer.Option(help="Seeds for each width.")] = 3,
) -> None:
    data = DataConfig.model_validate({"size": size, "train_images": train_images, "val_images": 100})
    dataset = load_dataset(data)
    config = TrainConfig(
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_iterations=min(50, iterations // 10),
        evaluations=1,
    )
    print(
        f"scenes {size}, {train_images} of them, {iterations} iterations, batch {batch_size}, rate {learning_rate}",
        flush=True,
    )
    found: dict[int, np.ndarray] = {}
    for width in (16, 64):
        results = []
        for seed in range(seeds):
            result = train(StdcSpec(base_width=width), dataset, config, seed=seed, on_progress=_show).result
            print(f"base width {width}, seed {seed}: mIoU {result.miou:.3f} in {result.seconds:.0f} s", flush=True)
            results.append(result.miou)
        found[width] = np.array(results)
    difference = found[64].mean() - found[16].mean()
    spread = max(np.ptp(values) for values in found.values())
    for width, values in found.items():
        print(f"base width {width}: mean {values.mean():.3f}, spread {np.ptp(values):.3f}")
    print(f"difference {difference:.3f} = {difference / spread:.1f} times the larger spread")


def _show(progress: Progress) -> None:
    if progress.iteration % 100 == 0:
        left = progress.seconds / progress.iteration * (progress.iterations - progress.iteration)
        print(f"  {progress.iteration}/{progress.iterations}  loss {progress.loss:.2f}  {left:.0f} s left", flush=True)


if __name__ == "__main__":
    typer.run(main)

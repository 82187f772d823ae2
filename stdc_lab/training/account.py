"""What a training will do, said before it starts, and where it departs from the paper's recipe."""

from __future__ import annotations

from collections.abc import Iterator

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.data import Dataset, crop_size
from stdc_lab.training.schedule import rate_at
from stdc_lab.training.workers import Workers

PAPER_BATCH, PAPER_ITERATIONS, PAPER_RATE = 48, 60_000, 0.01


def account(recipe: RecipeConfig, dataset: Dataset, workers: Workers, device: str, precision: str, start: str) -> str:
    """Lines for people: what is trained on what, how long, at which rates. `start`: where the weights come from."""
    config = recipe.training
    size = crop_size(config.augmentation, dataset.train)
    seen = config.iterations * config.batch_size
    part = config.batch_size // workers.count // config.accumulation
    rates = ", ".join(
        f"{config.learning_rate * rate_at(at, config):.2g} at {at:,}"
        for at in sorted({0, config.warmup_iterations, config.iterations // 2, config.iterations - 1})
    )
    loss = config.loss
    strides = ", ".join(f"1/{stride}" for stride in config.heads.detail_strides)
    details = (
        f"detail heads at {strides}: {loss.detail_target} targets of strides "
        f"{', '.join(map(str, loss.detail_target_strides))}, fusion {loss.detail_fusion}, "
        f"cross-entropy × {loss.detail_bce:g} ({loss.detail_weighting} weighting), dice × {loss.detail_dice:g}"
        if strides
        else "no detail guidance"
    )
    fast = f", × {config.decoder_rate_factor:g} on fusion and heads" if config.decoder_rate_factor != 1 else ""
    lines = [
        ("network", f"arch_id {recipe.arch.arch_id}, {len(dataset.class_names)} classes, {start}"),
        ("data", f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.val):,} validation images"),
        ("crop", f"{size[0]}x{size[1]}, scale {config.augmentation.scale[0]:g} to {config.augmentation.scale[1]:g}"),
        (
            "batch",
            f"{config.batch_size} images a step: {workers.count} process(es) × {config.accumulation} part(s) × {part}",
        ),
        (
            "length",
            f"{config.iterations:,} iterations, {seen:,} images, {seen / len(dataset.train):.1f} epochs",
        ),
        ("rate", f"{rates} (exponential warm-up, then polynomial, power {config.poly_power:g}){fast}"),
        ("optimiser", f"SGD, momentum {config.momentum:g}, decay {config.weight_decay:g} on convolutions only"),
        ("loss", f"cross-entropy: {loss.cross_entropy}; auxiliary × {loss.auxiliary:g}; {details}"),
        ("norms", config.norms.replace("_", " ")),
        ("weights", f"average, decay {config.ema_decay:g}" if config.ema_decay else "the last ones are evaluated"),
        ("computing", f"{device}, {precision}" + (", compiled" if config.compile else "")),
    ]
    text = "\n".join(f"{name:<10} {value}" for name, value in lines)
    warnings = list(departures(recipe, start))
    return text + "".join(f"\nwarning    {warning}" for warning in warnings) + "\n"


def departures(recipe: RecipeConfig, start: str) -> Iterator[str]:
    """Where a training is less than the paper's, and what to expect of that."""
    config = recipe.training
    if config.batch_size < PAPER_BATCH:
        scaled = PAPER_RATE * config.batch_size / PAPER_BATCH
        fits = config.learning_rate <= 2 * scaled
        advice = "" if fits else f" (the rate in proportion would be {scaled:.2g}, this is {config.learning_rate:.2g})"
        yield (
            f"batch {config.batch_size} instead of {PAPER_BATCH}: scale the rate or expect several points less{advice}"
        )
    if config.iterations < PAPER_ITERATIONS:
        yield f"{config.iterations:,} iterations instead of {PAPER_ITERATIONS:,}"
    if start == "random weights":
        yield "from scratch: pretraining on ImageNet is worth 3 to 4 points on Cityscapes"
    if config.loss.cross_entropy != "ohem":
        yield "cross-entropy over all pixels; the recipe mines hard ones (train.loss.cross_entropy: ohem)"
    if recipe.faithful and config.ema_decay:
        yield "averaged weights are evaluated, which the released code does not have (train.ema_decay: 0)"

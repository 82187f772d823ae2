"""What a training will do, said before it starts, and where it departs from the paper's recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stdc_lab.config.pretraining import PretrainConfig
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import Augmentation, OptimisationConfig, TrainConfig
from stdc_lab.data import crop_size
from stdc_lab.hardware.devices import not_native
from stdc_lab.nn import title_of
from stdc_lab.records import Computing, mixed_computing
from stdc_lab.training.classifier import ClassifierTrainer
from stdc_lab.training.schedule import average_decay_at, average_warmup, rate_at
from stdc_lab.training.trainer import Trainer

PAPER_BATCH, PAPER_ITERATIONS, PAPER_RATE = 48, 60_000, 0.01


def account(recipe: RecipeConfig, trainer: Trainer, start: str) -> str:
    """Lines for people: what is trained on what, how long, at which rates. `start`: where the weights come from."""
    config, dataset = recipe.training, trainer.dataset
    size, augmentation = crop_size(config.augmentation, dataset.train), config.augmentation
    scales = f"scale {augmentation.scale[0]:g} to {augmentation.scale[1]:g}"
    fast = f", × {config.decoder_rate_factor:g} on fusion and heads" if config.decoder_rate_factor != 1 else ""
    evaluated = f"{config.evaluations} times, at scale {config.evaluation_scale:g}"
    lines = {
        "network": f"{title_of(trainer.network)}, {len(dataset.class_names)} classes, {start}",
        "data": f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.val):,} validation images",
        "crop": f"{size[0]}x{size[1]}, {scales}, {_small(augmentation)}",
        "colour": _colour(augmentation),
        **_steps(trainer, len(dataset.train), fast),
        "loss": _loss(config),
        **_missing_heads(recipe),
        "norms": config.norms.replace("_", " "),
        **_evaluation(trainer, evaluated),
    }
    return _text(lines, departures(recipe, start))


def pretraining_account(recipe: PretrainConfig, trainer: ClassifierTrainer) -> str:
    """As `account`, of a classifier."""
    config, images, size = recipe.train, trainer.images, recipe.data.size
    area = config.augmentation.area
    lines = {
        "network": f"classifier of arch_id {recipe.arch.arch_id}, {len(images.class_names)} classes, random weights",
        "data": f"{images.name}: {len(images.train):,} training and {len(images.val):,} validation images",
        "crop": f"{size[0]}x{size[1]} of {area[0]:g} to {area[1]:g} of the image's area",
        **_steps(trainer, len(images.train)),
        "loss": f"cross-entropy, label smoothing {config.label_smoothing:g}",
        **_evaluation(trainer, f"{config.evaluations} times, on the middle of the images"),
    }
    return _text(lines, ())


def _steps(trainer: Trainer | ClassifierTrainer, num_images: int, more_rates: str = "") -> dict[str, str]:
    config, processes = trainer.config, trainer.workers.count
    seen = config.iterations * config.batch_size
    part = config.batch_size // processes // config.accumulation
    rates = ", ".join(
        f"{config.learning_rate * rate_at(at, config):.2g} at {at:,}"
        for at in sorted({0, config.warmup_iterations, config.iterations // 2, config.iterations - 1})
    )
    return {
        "batch": f"{config.batch_size} images a step: {processes} process(es) × {config.accumulation} part(s) × {part}",
        "length": f"{config.iterations:,} iterations, {seen:,} images, {seen / num_images:.1f} epochs",
        "rate": f"{rates} (exponential warm-up, then polynomial, power {config.poly_power:g}){more_rates}",
        "optimiser": f"SGD, momentum {config.momentum:g}, decay {config.weight_decay:g}, none on norms and biases",
    }


def _small(augmentation: Augmentation) -> str:
    """What becomes of an image that is smaller than the crop."""
    if augmentation.form == "released":
        return "a smaller image is shrunk first and then enlarged, as released"
    return "a smaller image is enlarged once, from the original" if augmentation.cover else "a smaller image is padded"


def _colour(augmentation: Augmentation) -> str:
    if not augmentation.colour:
        return "as it is"
    jitter = f"brightness, contrast and saturation ± {augmentation.colour:g}"
    if augmentation.form == "released":
        return f"{jitter}, one after another, of the whole image, as released"
    return f"{jitter}, in one, of the crop"


def _missing_heads(recipe: RecipeConfig) -> dict[str, str]:
    """What is trained without, though it was asked for."""
    if recipe.arch is None or not recipe.training.heads.auxiliary or recipe.arch.auxiliary_strides:
        return {}
    return {"heads": f"no auxiliary ones: the family {recipe.arch.family} has none, so it is trained without"}


def _loss(config: TrainConfig) -> str:
    loss = config.loss
    weighted = "" if loss.class_weights == "none" else f", classes weighted as {loss.class_weights} does"
    said = f"cross-entropy: {loss.cross_entropy}{weighted}; auxiliary × {loss.auxiliary:g}"
    if not config.heads.detail_strides:
        return f"{said}; no detail guidance"
    heads = ", ".join(f"1/{stride}" for stride in config.heads.detail_strides)
    strides = ", ".join(map(str, loss.detail_target_strides))
    return (
        f"{said}; detail heads at {heads}: {loss.detail_target} targets of strides {strides}, fusion "
        f"{loss.detail_fusion}, cross-entropy × {loss.detail_bce:g} ({loss.detail_weighting} weighting), "
        f"dice × {loss.detail_dice:g}"
    )


def _evaluation(trainer: Trainer | ClassifierTrainer, evaluated: str) -> dict[str, str]:
    config = trainer.config
    weights = f"averaged weights, {_decay(config)}" if config.ema_decay else "the last weights"
    precision = str(trainer.dtype).removeprefix("torch.")
    emulated = not_native(precision, trainer.device)
    return {
        "evaluated": f"{weights}; {evaluated}",
        "computing": f"{trainer.device}, {precision}"
        + (f" ({emulated})" if emulated else "")
        + (", compiled" if config.compile else ""),
    }


def _decay(config: OptimisationConfig) -> str:
    """What the decay of the averaged weights acts as by the end of the training."""
    acts, full = average_decay_at(config.iterations - 1, config.ema_decay), average_warmup(config.ema_decay)
    said = f"decay {config.ema_decay:g}"
    if acts < config.ema_decay:
        return f"{said}, which acts as {acts:.4g} at the end: it grows over the first {full:,} iterations"
    return f"{said} from iteration {full:,}, before that less"


def _text(lines: Mapping[str, str], warnings: Iterable[str]) -> str:
    rows = [*lines.items(), *(("warning", warning) for warning in warnings)]
    return "".join(f"{name:<10} {value}\n" for name, value in rows)


def mixed_warning(computed: Sequence[Computing]) -> str:
    """The account's line about a training that went on in another precision or on another kind of device."""
    mixed = mixed_computing(computed)
    return "" if mixed is None else _text({}, (f"{mixed}: its curve is not of one piece",))


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
    if config.augmentation.cover and config.augmentation.form != "released":
        yield (
            "an image smaller than the crop is enlarged from the original, which keeps detail that the recipe loses "
            "(train.augmentation.form: released, or faithful: true)"
        )
    if recipe.faithful and config.ema_decay:
        yield "averaged weights are evaluated, which the released code does not have (train.ema_decay: 0)"

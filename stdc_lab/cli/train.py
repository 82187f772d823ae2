"""`stdc-lab train`: a whole training of one network."""

from __future__ import annotations

import json as jsonlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from stdc_lab.cli.options import NETWORK, read_data_option, read_network, write_json
from stdc_lab.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stdc_lab.config.pretraining import PretrainConfig
    from stdc_lab.config.recipe import RecipeConfig
    from stdc_lab.records import ClassifierResult, TrainingOutcome, TrainResult

Recipe = TypeVar("Recipe", bound="RecipeConfig | PretrainConfig")
PROXY_TIMES = 20
SHOWN_TRIALS = 30


def train_command(
    config: Annotated[Path | None, typer.Argument(help="The training's YAML, such as studies/recipes/….yaml.")] = None,
    study: Annotated[
        Path | None, typer.Option("--from", metavar="STUDY_DIR", help="Train a network that it found.")
    ] = None,
    trial: Annotated[int | None, typer.Option(help="With --from: the number of its trial.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Where a data set is: camvid=path/to/camvid.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The training's folder; default: runs/NAME.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Train so many steps; default: as the YAML says.")
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help=f"{NETWORK} In place of arch.")] = None,
    pretrained: Annotated[Path | None, typer.Option(help="A checkpoint of ours whose backbone to begin with.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Let torch.compile make the step.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the result to this file (- for stdout).")] = None,
) -> None:
    """Train a network fully. What will be done is said first; called again, it goes on where it stopped.

    With --from alone: the trial's own data and training, twenty times as long. With a YAML too: the trial's network
    by that recipe. Several processes: torchrun --nproc_per_node 2 -m stdc_lab.cli.main train …

    Example: stdc-lab train studies/recipes/camvid_stdc1.yaml --data camvid=../camvid
    """
    if (study is None) != (trial is None):
        raise ConfigError("--from and --trial: got one of them; allowed: both, a study's folder and a trial's number")
    if network is not None and study is not None:
        raise ConfigError("--network: allowed without --from, which says the network itself")
    recipe = _recipe(config, study, trial)
    if network is not None:
        recipe = type(recipe).model_validate({**recipe.model_dump(), "arch": None, "own_network": network})
    if iterations is not None:
        recipe = _lengthened(recipe, iterations)
    if compile:
        recipe = recipe.replace(train=recipe.train.replace(compile=True))

    folder = out if out is not None else Path("runs") / recipe.name
    path = read_data_option(data, recipe.data.name, "the data set of this training")

    from stdc_lab.cli.training import TrainingWatcher
    from stdc_lab.data import load_dataset
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.training.run import TrainingCallbacks, run_training
    from stdc_lab.training.workers import joined_workers

    own = read_network(network)
    with joined_workers(choose_device(device)) as (workers, own_device):
        watcher = TrainingWatcher(speaks=workers.first, errors=json is not None and str(json) == "-")
        with watcher:
            dataset = load_dataset(recipe.data, path, progress=watcher.data)
            outcome = run_training(
                recipe,
                folder,
                dataset,
                own_device,
                pretrained=pretrained,
                own=own,
                workers=workers,
                callbacks=TrainingCallbacks(watcher.account, watcher.progress, watcher.print),
            ).outcome
        if workers.first:
            _draw(outcome.last, recipe, folder, anew=watcher.steps > 0)
            _say(outcome, folder, watcher.print)
            if json is not None:
                write_json(outcome.model_dump_json(indent=1), json)


def pretrain_command(
    config: Annotated[Path, typer.Argument(help="The pretraining's YAML: studies/recipes/pretrain_stdc1.yaml.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="images=PATH", help="The folder of train/CLASS/*.jpg and val/CLASS/*.jpg."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The training's folder; default: runs/NAME.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Train so many steps; default: as the YAML says.")
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Let torch.compile make the step.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the result to this file (- for stdout).")] = None,
) -> None:
    """Train a backbone as a classifier on a folder of images; train --pretrained begins with it.

    Everything is said, kept and gone on with as by train.

    Example: stdc-lab pretrain studies/recipes/pretrain_stdc1.yaml --data images=../imagenet
    """
    from stdc_lab.config.pretraining import PretrainConfig
    from stdc_lab.config.reading import read_value

    recipe = read_value(config, PretrainConfig)
    if iterations is not None:
        recipe = _lengthened(recipe, iterations)
    if compile:
        recipe = recipe.replace(train=recipe.train.replace(compile=True))

    folder = out if out is not None else Path("runs") / recipe.name
    path = read_data_option(data, recipe.data.name, "a folder of images sorted into classes")

    from stdc_lab.cli.training import TrainingWatcher
    from stdc_lab.data.images import load_image_folder
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.training.run import TrainingCallbacks, run_pretraining
    from stdc_lab.training.workers import joined_workers

    images = load_image_folder(recipe.data, path)
    with joined_workers(choose_device(device)) as (workers, own_device):
        watcher = TrainingWatcher(speaks=workers.first, errors=json is not None and str(json) == "-")
        callbacks = TrainingCallbacks(watcher.account, watcher.progress, watcher.print)
        with watcher:
            outcome = run_pretraining(recipe, folder, images, own_device, workers=workers, callbacks=callbacks)
        if workers.first:
            watcher.print(f"last: top-1 {outcome.last.top1:.4f} ({outcome.last.evaluated_weights} weights)")
            if outcome.best_top1 is not None:
                best = f"best: top-1 {outcome.best_top1:.4f} at iteration {outcome.best_iteration:,}"
                watcher.print(f"{best}, chosen on these same images")
            _say_mixed(outcome.last, watcher.print)
            _draw(outcome.last, recipe, folder, anew=watcher.steps > 0)
            watcher.print(f"kept: {folder}/last.pt, best.pt, curve.csv, curve.png, result.json")
            watcher.print(f"next: stdc-lab train RECIPE --pretrained {folder}/last.pt")
            if json is not None:
                write_json(outcome.model_dump_json(indent=1), json)


def _recipe(config: Path | None, study: Path | None, trial: int | None) -> RecipeConfig:
    from stdc_lab.config.reading import read_recipe

    if config is None and study is None:
        raise ConfigError(
            "train: got neither a YAML nor --from; allowed: CONFIG, or --from STUDY_DIR --trial N, or both"
        )
    if study is None:
        assert config is not None
        return read_recipe(config)

    assert trial is not None
    return _found(study, trial, None if config is None else read_recipe(config))


def _found(study: Path, trial: int, by: RecipeConfig | None) -> RecipeConfig:
    """The network of a study's trial, by another recipe or by the trial's own, twenty times as long."""
    from stdc_lab.analysis.frame import load_study
    from stdc_lab.arch import ArchSpec
    from stdc_lab.config.recipe import RecipeConfig

    frame = load_study(study)
    done = frame[(frame["state"] == "COMPLETE") & frame["arch"].notna()]
    rows = done[done["number"] == trial]
    if rows.empty:
        numbers = [str(number) for number in done["number"]]
        there = ", ".join(numbers[:SHOWN_TRIALS]) + (", …" if len(numbers) > SHOWN_TRIALS else "")
        raise StudyError(f"--trial: got {trial}; allowed: a finished trial of {study}: {there or 'there is none yet'}")
    row = rows.iloc[0]
    arch = ArchSpec.from_dict(jsonlib.loads(row["arch"]))
    # A folder may be called anything, a training may not.
    name = f"{re.sub('[^A-Za-z0-9_-]', '_', study.resolve().name).lstrip('_-')[:40] or 'study'}_trial{trial}"
    if by is not None:
        return by.replace(arch=arch, own_network=None, name=f"{name}_{by.name}"[:64])

    from stdc_lab.search.folder import read_record

    record = read_record(study, str(row["trial_key"]))
    if record is None:
        raise StudyError(
            f"{study}: the record of trial {trial} is gone (runs/{row['trial_key']}/trial.json), and with it how it "
            "was trained; give a training's YAML too"
        )
    recipe = RecipeConfig(name=name, arch=arch, data=record.data, train=record.train, seed=record.seed)
    return _lengthened(recipe, record.train.iterations * PROXY_TIMES)


def _lengthened(recipe: Recipe, iterations: int) -> Recipe:
    """The recipe with another length, checked anew; a warm-up that no longer fits is shortened."""
    from pydantic import ValidationError

    train = recipe.train
    changes = {
        "iterations": iterations,
        "warmup_iterations": min(train.warmup_iterations, iterations // 2),
        "evaluations": min(train.evaluations, iterations),
    }
    try:
        changed = type(train).model_validate({**train.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise ConfigError(f"--iterations: got {iterations}; allowed: {problem[0].lower() + problem[1:]}") from error
    return cast("Recipe", recipe.replace(train=changed))


def _draw(
    result: TrainResult | ClassifierResult, recipe: RecipeConfig | PretrainConfig, folder: Path, *, anew: bool
) -> None:
    """The curve as a picture, its protocol below it; if not `anew`, only where there is none."""
    path = folder / "curve.png"
    if path.exists() and not anew:
        return

    from stdc_lab.reporting.canvas import save_png
    from stdc_lab.reporting.figures import curve_figure

    train, size = recipe.train, recipe.data.size
    caption = (
        f"{recipe.title or recipe.name}: {recipe.data.name} {size[0]}x{size[1]}, batch {train.batch_size}, rate "
        f"{train.learning_rate:g}, {'averaged' if train.ema_decay else 'last'} weights, seed {recipe.seed}"
    )
    figure = curve_figure(result.curve, train.iterations, caption, result.computed)
    save_png(figure, path, lambda said: StudyError(f"{said}; everything else of it is kept"))


def _say(outcome: TrainingOutcome, folder: Path, say: Callable[[str], None]) -> None:
    last = outcome.last
    say(f"last: mIoU {last.miou:.4f}, pixel accuracy {last.pixel_accuracy:.4f} ({last.evaluated_weights} weights)")
    if outcome.best_miou is not None:
        say(f"best: mIoU {outcome.best_miou:.4f} at iteration {outcome.best_iteration:,}, chosen on these same images")
    _say_mixed(last, say)
    again = "" if outcome.own_network is None else f" --network {outcome.own_network}"
    say(f"kept: {folder}/last.pt, best.pt, curve.csv, curve.png, result.json")
    say(f"next: stdc-lab evaluate {folder}/last.pt{again}")


def _say_mixed(result: TrainResult | ClassifierResult, say: Callable[[str], None]) -> None:
    from stdc_lab.records import mixed_computing

    mixed = mixed_computing(result.computed)
    if mixed is not None:
        say(f"not of one piece: {mixed}")

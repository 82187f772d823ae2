"""`stdc-lab train`: a whole training of one network."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.cli.options import write_json
from stdc_lab.errors import ConfigError, StudyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stdc_lab.config.recipe import RecipeConfig
    from stdc_lab.records import TrainingOutcome

PROXY_TIMES = 20


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
    recipe = _recipe(config, study, trial)
    changes: dict[str, object] = {}
    if iterations is not None:
        changes["iterations"] = iterations
    if compile:
        changes["compile"] = True
    if changes:
        recipe = _changed(recipe, changes)

    from stdc_lab.cli.search import read_data_option

    folder = out if out is not None else Path("runs") / recipe.name
    path = read_data_option(data or [], recipe.data.name)

    from stdc_lab.cli.watching import TrainingWatcher
    from stdc_lab.data import load_dataset
    from stdc_lab.machine import choose_device
    from stdc_lab.training.run import Hears, run_training
    from stdc_lab.training.workers import joined_workers

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
                workers=workers,
                hears=Hears(watcher.account, watcher.progress),
            )
    if workers.first:
        _say(outcome, folder, watcher.print)
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

    from stdc_lab.analysis.frame import load_study
    from stdc_lab.analysis.storage import read_study_config
    from stdc_lab.arch import ArchSpec
    from stdc_lab.config.recipe import RecipeConfig

    frame = load_study(study)
    rows = frame[(frame["number"] == trial) & frame["arch"].notna()]
    if rows.empty:
        there = ", ".join(str(number) for number in frame.loc[frame["arch"].notna(), "number"][:20]) or "none"
        raise StudyError(f"--trial: got {trial}; allowed: a finished trial of {study}: {there}")
    row = rows.iloc[0]
    arch = ArchSpec.from_dict(jsonlib.loads(row["arch"]))
    name = f"{study.resolve().name[:40]}_trial{trial}"
    if config is not None:
        recipe = read_recipe(config)
        return recipe.model_copy(update={"arch": arch, "name": f"{name}_{recipe.name}"[:64]})
    own = read_study_config(study)
    train = own.train
    kept = study / "runs" / str(row["trial_key"]) / "trial.json"
    if kept.is_file():
        from stdc_lab.records import TrialRecord

        train = TrialRecord.model_validate_json(kept.read_bytes()).train
    recipe = RecipeConfig(name=name, arch=arch, data=own.data, train=train, seed=own.seed)
    return _changed(recipe, {"iterations": train.iterations * PROXY_TIMES})


def _changed(recipe: RecipeConfig, changes: dict[str, object]) -> RecipeConfig:
    """The recipe with other training settings, checked anew; a warm-up that no longer fits is shortened."""
    from pydantic import ValidationError

    from stdc_lab.config.training import TrainConfig

    values = {**recipe.train.model_dump(), **changes}
    if "iterations" in changes:
        values["warmup_iterations"] = min(values["warmup_iterations"], values["iterations"] // 2)
        values["evaluations"] = min(values["evaluations"], values["iterations"])
    try:
        return recipe.model_copy(update={"train": TrainConfig.model_validate(values)})
    except ValidationError as error:
        raise ConfigError(f"--iterations: {error.errors()[0]['msg']}") from error


def _say(outcome: TrainingOutcome, folder: Path, say: Callable[[str], None]) -> None:
    last = outcome.last
    say(f"last: mIoU {last.miou:.4f}, pixel accuracy {last.pixel_accuracy:.4f} ({last.evaluated_weights} weights)")
    if outcome.best_miou is not None:
        say(f"best: mIoU {outcome.best_miou:.4f} at iteration {outcome.best_iteration:,}, chosen on these same images")
    say(f"kept: {folder}/last.pt, best.pt, curve.csv, result.json\nnext: stdc-lab evaluate {folder}/last.pt")

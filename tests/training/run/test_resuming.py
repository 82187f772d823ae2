"""A training in a folder: stopped and called again in every way, it ends as one that ran through."""

import csv
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.data import Dataset
from stdc_lab.nn import build_model
from stdc_lab.nn.checkpoints import load_checkpoint
from stdc_lab.records import Computing, TrainingOutcome, mixed_computing
from stdc_lab.training import stepper as stepper_module
from stdc_lab.training import trainer as trainer_module
from stdc_lab.training.run import run_training
from stdc_lab.training.stepper import restore_random
from stdc_lab.training.trainer import Trainer
from tests.training.run.tiny import (
    CPU,
    RECIPE,
    SPEC,
    Notes,
    assert_same_training,
    contents,
    load,
    recipe_of,
    same,
    stop,
    stopped_at,
    unchanged,
)


def test_a_training_keeps_all_that_was_promised(through: tuple[Path, TrainingOutcome], dataset: Dataset) -> None:
    folder, outcome = through
    assert {path.name for path in folder.iterdir() if not path.name.startswith(("events", "."))} == {
        "training.yaml", "account.txt", "curve.csv", "state.pt", "last.pt", "best.pt", "result.json"
    }  # fmt: skip
    with (folder / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == list(range(1, 7))
    assert [bool(row["miou"]) for row in rows] == [number in (3, 6) for number in range(1, 7)]
    last, best = load_checkpoint(folder / "last.pt"), load_checkpoint(folder / "best.pt")
    assert last.protocol["miou"] == outcome.last.miou == float(rows[5]["miou"])
    assert last.protocol["iteration"] == 6
    assert best.protocol["miou"] == outcome.best_miou == max(float(rows[2]["miou"]), float(rows[5]["miou"]))
    assert best.protocol["iteration"] == outcome.best_iteration
    assert last.protocol["start"] == "random weights"
    assert TrainingOutcome.model_validate_json((folder / "result.json").read_bytes()) == outcome


@pytest.mark.parametrize(
    "recipe",
    [
        recipe_of(),
        recipe_of(faithful=True, accumulation=2, ema_decay=0.0, loss={"cross_entropy": "ohem"}),
        recipe_of(norms="frozen", heads=TrainingHeads(auxiliary=False, detail_strides=(4, 8)), data_workers=3),
    ],
    ids=["averaged", "faithful", "frozen"],
)
def test_a_training_that_was_stopped_ends_as_one_that_ran_through(
    recipe: RecipeConfig, through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    if recipe == RECIPE:
        reference, whole = through
    else:
        reference = tmp_path / "whole"
        whole = run_training(recipe, reference, dataset, CPU).outcome
    first = stopped_at(1, recipe, tmp_path / "parts", dataset)
    assert first.steps == [1]
    assert first.stopped == [
        f"stopped; the state of iteration 1 is kept in {tmp_path}/parts: the same command goes on from there"
    ]
    assert load_checkpoint(tmp_path / "parts" / "last.pt").protocol["iteration"] == 1
    torch.manual_seed(77)  # whatever the caller's random state
    second = stopped_at(5, recipe, tmp_path / "parts", dataset)
    assert second.steps == [2, 3, 4, 5]
    third = Notes()
    outcome = run_training(recipe, tmp_path / "parts", dataset, CPU, callbacks=third.callbacks).outcome
    assert third.steps == [6]
    assert third.texts[0].endswith("going on after iteration 5\n")
    assert_same_training(tmp_path / "parts", reference)
    assert (outcome.best_miou, outcome.best_iteration) == (whole.best_miou, whole.best_iteration)


def test_the_seconds_of_all_parts_add_up(dataset: Dataset, tmp_path: Path) -> None:
    stopped_at(1, RECIPE, tmp_path, dataset)
    state = load(tmp_path / "state.pt")
    assert state["seconds"] > 0
    torch.save({**state, "seconds": 5000.0}, tmp_path / "state.pt")
    stopped_at(5, RECIPE, tmp_path, dataset)
    assert 5000 < load(tmp_path / "state.pt")["seconds"] < 5100
    # Weights that were not evaluated claim no mIoU.
    assert load_checkpoint(tmp_path / "last.pt").protocol["miou"] is None
    assert load_checkpoint(tmp_path / "best.pt").protocol["miou"] is not None
    assert 5000 < run_training(RECIPE, tmp_path, dataset, CPU).outcome.last.seconds < 5100


def test_the_best_of_an_earlier_part_stays_the_best(dataset: Dataset, tmp_path: Path) -> None:
    stopped_at(4, RECIPE, tmp_path, dataset)
    state = load(tmp_path / "state.pt")
    assert state["best"]["iteration"] == 3
    state["best"]["score"] = 0.99
    torch.save(state, tmp_path / "state.pt")
    best = (tmp_path / "best.pt").read_bytes()
    outcome = run_training(RECIPE, tmp_path, dataset, CPU).outcome
    assert (outcome.best_miou, outcome.best_iteration) == (0.99, 3)
    assert outcome.last.miou < 0.99
    assert (tmp_path / "best.pt").read_bytes() == best


def test_a_finished_training_is_only_reported(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outcome = through
    before, notes = contents(folder), Notes()
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "evaluate", None)
        again = run_training(RECIPE, folder, dataset, CPU, callbacks=notes.callbacks).outcome
    assert again == outcome
    assert notes.steps == []
    assert notes.texts == [f"{folder}: all 6 iterations were done before; nothing to train\n"]
    assert unchanged(before, folder)


def test_a_finished_trainings_files_that_are_gone_are_made_anew(dataset: Dataset, tmp_path: Path) -> None:
    outcome = run_training(recipe_of(iterations=3), tmp_path, dataset, CPU).outcome
    last = load(tmp_path / "last.pt")
    (tmp_path / "last.pt").unlink()
    (tmp_path / "result.json").unlink()
    again = run_training(recipe_of(iterations=3), tmp_path, dataset, CPU).outcome
    assert again == outcome
    assert same(load(tmp_path / "last.pt"), last)
    assert TrainingOutcome.model_validate_json((tmp_path / "result.json").read_bytes()) == outcome


def test_rows_beyond_the_state_and_half_written_ones_are_dropped(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    stopped_at(1, RECIPE, tmp_path, dataset)
    with (tmp_path / "curve.csv").open("a") as file:
        file.write("2,1.5,0.01,\r\n3,1.4,0.009,0.2\r\n4,1.")
    (tmp_path / "state.pt.partial").write_bytes(b"cut off")  # what a kill leaves
    run_training(RECIPE, tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])
    assert not list(tmp_path.glob("*.partial"))


def test_what_has_no_effect_on_the_weights_may_change(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    stopped_at(1, RECIPE, tmp_path, dataset)
    other = recipe_of(every=5, data_workers=4).model_copy(update={"title": "Another title"})
    run_training(other, tmp_path, dataset, CPU)
    assert "Another title" in (tmp_path / "training.yaml").read_text()
    assert (tmp_path / "curve.csv").read_bytes() == (through[0] / "curve.csv").read_bytes()


def computes_in(dtype: torch.dtype, patch: pytest.MonkeyPatch) -> None:
    """As if this machine's `auto` were this precision."""
    patch.setattr(stepper_module, "choose_dtype", lambda precision, device: dtype)


def test_going_on_in_another_precision_is_said_and_the_curve_is_marked(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(precision="auto")
    computes_in(torch.bfloat16, monkeypatch)
    stopped_at(2, recipe, tmp_path, dataset)
    assert "of one piece" not in (tmp_path / "account.txt").read_text()
    computes_in(torch.float32, monkeypatch)
    second = stopped_at(4, recipe, tmp_path, dataset)
    said = "going on after iteration 2 in float32 on cpu, until then in bfloat16 on cpu\n"
    assert second.texts[0].endswith(said)
    mixed = "trained in bfloat16 on cpu to iteration 2, in float32 on cpu from there"
    warning = f"warning    {mixed}: its curve is not of one piece\n"
    assert second.texts[0] == (tmp_path / "account.txt").read_text() + said
    assert (tmp_path / "account.txt").read_text().endswith(warning)
    third = Notes()
    outcome = run_training(recipe, tmp_path, dataset, CPU, callbacks=third.callbacks).outcome
    assert third.texts[0].endswith(f"{warning}going on after iteration 4\n")
    assert outcome.last.precision == "float32"
    assert mixed_computing(outcome.last.computed) == mixed
    assert load_checkpoint(tmp_path / "last.pt").protocol["computed"] == mixed
    assert TrainingOutcome.model_validate_json((tmp_path / "result.json").read_bytes()) == outcome
    # Reporting a finished training is no part of it, wherever that is done.
    computes_in(torch.bfloat16, monkeypatch)
    assert run_training(recipe, tmp_path, dataset, CPU).outcome == outcome
    (tmp_path / "result.json").unlink()
    again = run_training(recipe, tmp_path, dataset, CPU).outcome
    assert (again.last.precision, again.last.computed) == ("float32", outcome.last.computed)


def test_a_training_of_one_piece_says_on_and_in_what(through: tuple[Path, TrainingOutcome]) -> None:
    computed = through[1].last.computed
    assert computed == (Computing(after=0, device="cpu", precision="float32"),)
    assert mixed_computing(computed) is None
    assert "computed" not in load_checkpoint(through[0] / "last.pt").protocol


def test_what_became_of_it_is_said_in_order() -> None:
    places = [(0, "cpu", "bfloat16"), (400, "cuda", "float32"), (1500, "cuda", "float16")]
    computed = [Computing(after=after, device=device, precision=what) for after, device, what in places]
    assert mixed_computing(computed) == (
        "trained in bfloat16 on cpu to iteration 400, in float32 on cuda to iteration 1,500, in float16 on cuda from "
        "there"
    )


def test_a_state_from_before_precisions_were_kept_goes_on(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    stopped_at(1, RECIPE, tmp_path, dataset)
    state = load(tmp_path / "state.pt")
    del state["trainer"]["computed"]
    torch.save(state, tmp_path / "state.pt")
    outcome = run_training(RECIPE, tmp_path, dataset, CPU).outcome
    assert outcome.last.miou == through[1].last.miou
    assert outcome.last.computed == (Computing(after=1, device="cpu", precision="float32"),)


def test_random_numbers_of_a_gpu_are_put_back_where_the_state_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: put.append(state))
    theirs = torch.get_rng_state()
    torch.rand(1)
    with torch.random.fork_rng([]):
        restore_random({"random": theirs, "random_cuda": None}, torch.device("cuda:0"))
        assert torch.equal(torch.get_rng_state(), theirs) and put == []
        restore_random({"random": theirs, "random_cuda": theirs}, torch.device("cuda:0"))
        restore_random({"random": theirs, "random_cuda": theirs}, CPU)
    assert len(put) == 1 and torch.equal(put[0], theirs)


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (True, True)])
def test_a_state_goes_on_with_and_without_scaled_gradients(before: bool, after: bool, dataset: Dataset) -> None:
    """Where float16 is trained in, and only there, gradients are scaled."""

    def trainer(scaled: bool) -> Trainer:
        made = Trainer(build_model(SPEC, 11, RECIPE.train.heads), dataset, RECIPE.train, 0, CPU)
        made.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, enabled=scaled)
        return made

    theirs, mine = trainer(before), trainer(after)
    for _ in zip(range(2), theirs.steps(), strict=False):
        pass
    theirs.scaler.update(32.0) if before else None
    mine.load_state_dict(theirs.state_dict())
    assert mine.iteration == 2
    assert mine.scaler.get_scale() == (1.0 if not after else 32.0 if before else 8.0)
    assert same(mine.optimiser.state_dict(), theirs.optimiser.state_dict())
    next(mine.steps())


@pytest.mark.gpu
def test_a_training_moves_from_the_cpu_to_a_gpu_and_back(dataset: Dataset, tmp_path: Path) -> None:
    gpu, heard = torch.device("cuda:0"), []
    stopped_at(2, RECIPE, tmp_path, dataset)
    for device, last in ((gpu, 4), (CPU, 6)):
        notes = Notes({4: stop} if last == 4 else {})
        with pytest.raises(KeyboardInterrupt) if last == 4 else nullcontext():
            run_training(RECIPE, tmp_path, dataset, device, callbacks=notes.callbacks)
        heard.append(notes.texts[0].splitlines()[-1])
    assert heard == [
        "going on after iteration 2 in float32 on cuda, until then in float32 on cpu",
        "going on after iteration 4 in float32 on cpu, until then in float32 on cuda",
    ]

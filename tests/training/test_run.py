"""A training in a folder: stopped, broken off and called again in every way, it ends as one that ran through."""

import csv
import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from stdc_lab.arch import ArchSpec, DecoderSpec
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, Dataset, Split
from stdc_lab.errors import CheckpointError, ConfigError, DataError, StudyError
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from stdc_lab.records import TrainingOutcome
from stdc_lab.training import DivergedError, Progress
from stdc_lab.training import trainer as trainer_module
from stdc_lab.training.run import Hears, run_training

SPEC = ArchSpec(base_width=8, depths=(1, 1, 1), num_blocks=2, decoder=DecoderSpec(16, 16, 16))
CPU = torch.device("cpu")


def recipe_of(*, arch: ArchSpec = SPEC, seed: int = 0, faithful: bool = False, every: int = 2, **train: Any):
    """Six steps, evaluated after each third, the state written every second."""
    values: dict[str, Any] = {
        "iterations": 6,
        "batch_size": 4,
        "warmup_iterations": 2,
        "learning_rate": 0.05,
        "decoder_rate_factor": 2.0,
        "ema_decay": 0.5,
        "evaluations": 2,
        "precision": "float32",
        **train,
    }
    config = TrainConfig.model_validate(values)
    return RecipeConfig(name="tiny", arch=arch, train=config, seed=seed, faithful=faithful, checkpoint_every=every)


RECIPE = recipe_of()


@pytest.fixture(scope="module", autouse=True)
def short_trainings() -> Iterator[None]:
    """TensorBoard takes longer to import than most of them; a point of the result's curve is two or three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        patch.setattr(trainer_module, "CURVE_POINTS", 2)
        yield


def halves(images: int = 8, height: int = 32) -> Dataset:
    """Pictures of two halves in different colours, a different part of each unlabelled."""
    rng = np.random.default_rng(0)
    labels = np.zeros((images, height, 64), np.uint8)
    labels[:, :, 32:] = 3
    pixels = (labels[..., None] * 60 + rng.integers(0, 40, (images, height, 64, 3))).astype(np.uint8)
    for number in range(images):
        labels[number, : 2 * number % 16] = 255
    train = Split(pixels, labels, tuple(str(i) for i in range(images)))
    val = Split(pixels[:3], labels[:3], ("v0", "v1", "v2"))
    return Dataset("halves", train, val, CLASS_NAMES, CLASS_COLOURS)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return halves()


class Notes:
    """Remembers what it heard; does something after a step."""

    def __init__(self, after: dict[int, Callable[[], Any]] | None = None) -> None:
        self.after = after or {}
        self.steps: list[int] = []
        self.texts: list[str] = []
        self.stopped: list[str] = []
        self.hears = Hears(self.texts.append, self._progress, self.stopped.append)

    def _progress(self, progress: Progress) -> None:
        self.steps.append(progress.iteration)
        self.after.get(progress.iteration, int)()


def stop() -> None:
    raise KeyboardInterrupt


def stopped_at(step: int, recipe: RecipeConfig, folder: Path, dataset: Dataset) -> Notes:
    notes = Notes({step: stop})
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, folder, dataset, CPU, hears=notes.hears)
    return notes


@pytest.fixture(scope="module")
def through(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingOutcome]:
    """The training that nothing came in the way of."""
    folder = tmp_path_factory.mktemp("through") / "run"
    return folder, run_training(RECIPE, folder, dataset, CPU)


def same(one: Any, other: Any) -> bool:
    """Whether two nests of values and tensors are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def assert_same_training(folder: Path, other: Path) -> None:
    """Curve, state, both checkpoints and the result: all but the seconds."""
    assert (folder / "curve.csv").read_bytes() == (other / "curve.csv").read_bytes()
    for name in ("state.pt", "last.pt", "best.pt"):
        mine, theirs = load(folder / name), load(other / name)
        mine.pop("seconds", None), theirs.pop("seconds", None)
        assert same(mine, theirs), name
    results = [json.loads((place / "result.json").read_text()) for place in (folder, other)]
    for result in results:
        del result["last"]["seconds"], result["folder"]
    assert results[0] == results[1]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def unchanged(before: dict[str, tuple[bytes, int]], folder: Path) -> bool:
    """Whether files are as they were; the lock is empty, and taken by whoever looks."""
    now = contents(folder)
    return {name: value for name, value in now.items() if name != ".training.lock"} == {
        name: value for name, value in before.items() if name != ".training.lock"
    }


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
        whole = run_training(recipe, reference, dataset, CPU)
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
    outcome = run_training(recipe, tmp_path / "parts", dataset, CPU, hears=third.hears)
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
    assert 5000 < run_training(RECIPE, tmp_path, dataset, CPU).last.seconds < 5100


def test_the_best_of_an_earlier_part_stays_the_best(dataset: Dataset, tmp_path: Path) -> None:
    stopped_at(4, RECIPE, tmp_path, dataset)
    state = load(tmp_path / "state.pt")
    assert state["best"]["iteration"] == 3
    state["best"]["score"] = 0.99
    torch.save(state, tmp_path / "state.pt")
    best = (tmp_path / "best.pt").read_bytes()
    outcome = run_training(RECIPE, tmp_path, dataset, CPU)
    assert (outcome.best_miou, outcome.best_iteration) == (0.99, 3)
    assert outcome.last.miou < 0.99
    assert (tmp_path / "best.pt").read_bytes() == best


def test_a_signal_waits_for_the_end_of_its_step(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, handled(signal.SIGTERM):
        signal_in_step(patch, 5, [signal.SIGTERM])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU)
    assert load(tmp_path / "state.pt")["trainer"]["iteration"] == 5
    run_training(RECIPE, tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


def test_a_second_signal_gets_through_and_the_older_state_is_kept(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    with monkeypatch.context() as patch, handled(signal.SIGINT):
        signal_in_step(patch, 6, [signal.SIGINT, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU, hears=notes.hears)
    assert notes.steps == [1, 2, 3, 4, 5]
    assert notes.stopped[0].startswith("stopped; the state of iteration 4 is kept")
    run_training(RECIPE, tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


def test_before_the_first_state_a_second_signal_leaves_nothing_to_go_on_from(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    with monkeypatch.context() as patch, handled(signal.SIGINT):
        signal_in_step(patch, 2, [signal.SIGINT, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU, hears=notes.hears)
    assert notes.stopped == [f"stopped; no state was written to {tmp_path} yet: the same command begins anew"]
    # Nothing is lost by another recipe then.
    run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 4


@contextmanager
def handled(number: signal.Signals) -> Iterator[None]:
    """The signal raises KeyboardInterrupt, as under the command line; the handler is put back by the training."""
    before = signal.getsignal(number)
    mine = signal.default_int_handler
    signal.signal(number, mine)
    try:
        yield
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)


def signal_in_step(patch: pytest.MonkeyPatch, step: int, numbers: list[signal.Signals]) -> None:
    """Let signals come between the gradients of a step and its weights."""
    real, steps = torch.optim.SGD.step, iter(range(1, 1000))

    def interrupted(self: torch.optim.SGD, *arguments: Any) -> Any:
        if next(steps) == step:
            for number in numbers:
                signal.raise_signal(number)
        return real(self, *arguments)

    patch.setattr(torch.optim.SGD, "step", interrupted)


def test_a_finished_training_is_only_reported(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outcome = through
    before, notes = contents(folder), Notes()
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "evaluate", None)
        again = run_training(RECIPE, folder, dataset, CPU, hears=notes.hears)
    assert again == outcome
    assert notes.steps == []
    assert notes.texts == [f"{folder}: all 6 iterations were done before; nothing to train\n"]
    assert unchanged(before, folder)


def test_a_finished_trainings_files_that_are_gone_are_made_anew(dataset: Dataset, tmp_path: Path) -> None:
    outcome = run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
    last = load(tmp_path / "last.pt")
    (tmp_path / "last.pt").unlink()
    (tmp_path / "result.json").unlink()
    again = run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": SPEC.replace(num_blocks=3)}, "training.yaml: this folder was begun with another training; nothing "
         "was changed. Use another --out, or put back: arch.num_blocks: was 2, is 3"),
        ({"seed": 4}, "seed: was 0, is 4"),
        ({"faithful": True}, "faithful: was False, is True"),
        ({"train": {"iterations": 12, "learning_rate": 1e-5}}, "train.iterations: was 6, is 12 train.learning_rate: "
         "was 0.05, is 1e-05"),
        ({"data": {"size": "64x64"}}, "data.size: was '96x128', is '64x64'"),
        ({"data": {"train_images": 9}}, "data.train_images: was 400, is 9"),
    ],
)  # fmt: skip
def test_going_on_with_something_else_changes_nothing_and_says_what_differs(
    change: dict[str, Any], message: str, stopped: Path, dataset: Dataset
) -> None:
    values = RECIPE.model_dump()
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    before = contents(stopped)
    with pytest.raises(StudyError) as error:
        run_training(RecipeConfig.model_validate(values), stopped, dataset, CPU)
    assert message in " ".join(str(error.value).split())
    assert str(stopped / "training.yaml") in str(error.value)
    assert unchanged(before, stopped)


@pytest.fixture(scope="module")
def stopped(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing shall change."""
    folder = tmp_path_factory.mktemp("stopped")
    stopped_at(1, RECIPE, folder, dataset)
    return folder


def test_going_on_with_other_data_or_another_start_changes_nothing(
    stopped: Path, dataset: Dataset, tmp_path: Path
) -> None:
    before = contents(stopped)
    save_checkpoint(tmp_path / "x.pt", build_model(SPEC, 19), {})
    with pytest.raises(StudyError, match=r"state\.pt: this folder was begun with another training") as error:
        run_training(RECIPE, stopped, halves(images=9), CPU, pretrained=tmp_path / "x.pt")
    lines = str(error.value).splitlines()[1:]
    assert lines[0] == "  images: was 8 for training and 3 for validation, is 9 for training and 3 for validation"
    assert lines[1].startswith("  data set: was halves ")
    assert lines[2:] == ["  start: was random weights, is backbone of x.pt"]
    with pytest.raises(StudyError, match=r"data set: was halves [0-9a-f]+, is halves [0-9a-f]+$"):
        run_training(RECIPE, stopped, halves(height=40), CPU)
    assert unchanged(before, stopped)


def test_a_state_without_its_recipe_still_knows_its_network(stopped: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((stopped / "state.pt").read_bytes())
    other = recipe_of(arch=SPEC.replace(num_blocks=3))
    with pytest.raises(StudyError, match=f"architecture: was {SPEC.arch_id}, is {other.arch.arch_id}"):
        run_training(other, tmp_path, dataset, CPU)


def test_what_has_no_effect_on_the_weights_may_change(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    stopped_at(1, RECIPE, tmp_path, dataset)
    other = recipe_of(every=5, data_workers=4).model_copy(update={"title": "Another title"})
    run_training(other, tmp_path, dataset, CPU)
    assert "Another title" in (tmp_path / "training.yaml").read_text()
    assert (tmp_path / "curve.csv").read_bytes() == (through[0] / "curve.csv").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "state.pt: no checkpoint that PyTorch can read"),
        (None, "state.pt: not the state of this training .*; remove it to start anew"),
    ],
)
def test_a_damaged_state_is_named(content: bytes | None, message: str, dataset: Dataset, tmp_path: Path) -> None:
    if content is None:
        save_checkpoint(tmp_path / "state.pt", build_model(SPEC, 11), {})
    else:
        (tmp_path / "state.pt").write_bytes(content)
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run_training(RECIPE, tmp_path, dataset, CPU)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_second_training_on_the_folder_is_told_so(dataset: Dataset, tmp_path: Path) -> None:
    def again() -> None:
        with pytest.raises(StudyError, match="another training is at work on this folder; wait for it or use another"):
            run_training(RECIPE, tmp_path, dataset, CPU)

    notes = Notes({1: again})
    run_training(recipe_of(iterations=2, warmup_iterations=0), tmp_path, dataset, CPU, hears=notes.hears)
    assert notes.steps == [1, 2]


def test_a_folder_that_cannot_be_made_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"file/run: cannot be written: Not a directory; use another --out"):
        run_training(RECIPE, tmp_path / "file" / "run", dataset, CPU)


@pytest.mark.parametrize(
    ("room", "file"), [(700_000, "state.pt"), (100_000, "last.pt"), (100, "curve.csv")], ids=lambda value: str(value)
)
def test_a_full_disk_costs_nothing_that_was_written(
    room: int, file: str, through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    # A limit on the size of files stands for the disk: the failure is as real, at a size that can be chosen.
    before: dict[str, bytes] = {}

    def fill() -> None:
        before["state"] = (tmp_path / "state.pt").read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(CheckpointError) as error:
            run_training(recipe_of(every=1), tmp_path, dataset, CPU, hears=Notes({4: fill}).hears)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{tmp_path / file}: cannot be written: " in str(error.value)
    assert f"the state of iteration 4 is kept in {tmp_path}. Once there is room, the same" in str(error.value)
    assert (tmp_path / "state.pt").read_bytes() == before["state"]
    assert load_checkpoint(tmp_path / "best.pt").protocol["iteration"] == 3
    assert not list(tmp_path.glob("*.partial"))
    run_training(recipe_of(every=1), tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_a_diverged_training_keeps_its_last_good_state_and_says_what_to_do(
    where: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(1, 1000))
    if where == "loss":
        loss = trainer_module.training_loss
        monkeypatch.setattr(
            trainer_module, "training_loss", lambda *a, **k: loss(*a, **k) * (np.nan if next(steps) == 5 else 1)
        )
        message = r"the loss became nan at iteration 5: try a lower train.learning_rate \(now 0.05\)"
    else:
        real = torch.optim.SGD.step

        def step(self: torch.optim.SGD, *arguments: Any) -> Any:
            if next(steps) == 5:
                self.param_groups[0]["params"][0].grad.fill_(np.inf)
            return real(self, *arguments)

        monkeypatch.setattr(torch.optim.SGD, "step", step)
        message = "the weights are no numbers any more at iteration 5: try a lower train.learning_rate"
    # With every step's state written, the weights are looked at before the next loss shows what they are.
    recipe = recipe_of(every=1)
    with pytest.raises(DivergedError, match=message) as error:
        run_training(recipe, tmp_path, dataset, CPU)
    assert str(error.value).endswith(
        f"; the state of iteration 4 is kept in {tmp_path} and leads here again: use another --out for other settings "
        f"(--pretrained {tmp_path}/last.pt begins with its backbone)"
    )
    assert load(tmp_path / "state.pt")["trainer"]["iteration"] == 4
    for name in ("last.pt", "best.pt"):
        checkpoint = load_checkpoint(tmp_path / name)
        assert all(tensor.isfinite().all() for tensor in checkpoint.network.state_dict().values())
    run_training(recipe, tmp_path, dataset, CPU)  # where nothing is wrong any more, it goes on
    assert load_checkpoint(tmp_path / "last.pt").protocol["iteration"] == 6


def test_a_training_that_diverges_before_its_first_state_begins_anew(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "training_loss", lambda output, *a, **k: output.logits.sum() * np.nan)
    with pytest.raises(DivergedError, match=r"no state was written to .* yet: change the settings and begin anew"):
        run_training(RECIPE, tmp_path, dataset, CPU)
    assert not list(tmp_path.glob("*.pt"))


def test_a_split_without_images_or_labels_is_refused_before_a_folder_is_made(dataset: Dataset, tmp_path: Path) -> None:
    train, val = dataset.train, dataset.val
    none = Split(train.images[:0], train.labels[:0], ())
    unlabelled = Split(val.images, np.full_like(val.labels, 255), val.names)
    for splits, message in (
        ((none, val), "halves: no training images; a training needs both"),
        ((train, none), "halves: no validation images; a training needs both"),
        ((train, unlabelled), "halves: no pixel of the validation images has a class; a training needs both"),
    ):
        with pytest.raises(DataError, match=message):
            run_training(RECIPE, tmp_path / "x", Dataset("halves", *splits, CLASS_NAMES, CLASS_COLOURS), CPU)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["classifier", "segmenter of 19 classes"])
def test_a_backbone_is_taken_from_whatever_was_trained_on_it(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(9)
    network = build_classifier(SPEC, 7) if kind == "classifier" else build_model(SPEC, 19)
    save_checkpoint(tmp_path / "before.pt", network, {})
    recipe = recipe_of(iterations=1, warmup_iterations=0, evaluations=1, learning_rate=1e-9, ema_decay=0.0)
    run_training(recipe, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "before.pt")
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    assert last.protocol["start"] == "backbone of before.pt"
    theirs = network.backbone.state_dict()
    ours = last.network.backbone.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours if name.endswith("weight"))


def test_a_backbone_of_another_network_is_refused_before_a_folder_is_made(dataset: Dataset, tmp_path: Path) -> None:
    other = SPEC.replace(num_blocks=3)
    save_checkpoint(tmp_path / "other.pt", build_classifier(other, 7), {})
    with pytest.raises(CheckpointError, match=rf"other\.pt: its backbone .*{other.arch_id}.*{SPEC.arch_id}"):
        run_training(RECIPE, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"none\.pt: cannot be read: No such file"):
        run_training(RECIPE, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "none.pt")
    assert not (tmp_path / "run").exists()


def test_the_account_is_said_and_kept(dataset: Dataset, tmp_path: Path) -> None:
    notes = stopped_at(1, RECIPE, tmp_path, dataset)
    text = (tmp_path / "account.txt").read_text()
    assert notes.texts == [text]
    for part in (
        f"arch_id {SPEC.arch_id}, 11 classes, random weights",
        "halves: 8 training and 3 validation images",
        "4 images a step",
        "6 iterations, 24 images, 3.0 epochs",
        "batch 4 instead of 48: scale the rate or expect several points less",
        "6 iterations instead of 60,000",
        "from scratch: pretraining on ImageNet is worth 3 to 4 points",
    ):
        assert part in text


def test_a_recipe_of_another_version_is_refused_with_its_key(stopped: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((stopped / "state.pt").read_bytes())
    (tmp_path / "training.yaml").write_text("name: tiny\nteacher: stdc2\n")
    with pytest.raises(ConfigError, match=r"training\.yaml:2: teacher: no such key"):
        run_training(RECIPE, tmp_path, dataset, CPU)


def test_tensorboard_hears_of_every_step_where_it_is_installed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            heard.append((folder, purge_step))

        def add_scalar(self, *scalar: Any) -> None:
            heard.append(scalar)

        def close(self) -> None:
            heard.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    stopped_at(3, RECIPE, tmp_path, dataset)
    assert heard[0] == (str(tmp_path), 1) and heard[-1] == "closed"
    assert [entry[2] for entry in heard if entry[0] == "loss"] == [1, 2, 3]
    assert [entry[2] for entry in heard if entry[0] == "miou"] == [3]
    heard.clear()
    stopped_at(5, RECIPE, tmp_path, dataset)
    assert heard[0] == (str(tmp_path), 4)


def test_curves_that_tensorboard_cannot_write_end_no_training(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    writer = SimpleNamespace(add_scalar=full, close=full)
    module = SimpleNamespace(SummaryWriter=lambda folder, purge_step: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
    assert caplog.messages == [f"{tmp_path}: the curves for TensorBoard cannot be written: No space left on device"]

"""Pretraining of a classifier: it learns, goes on exactly, and hands its backbone to a segmenter."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stdc_lab import StdcSpec, TrainingHeads, build_classifier, build_model, load_checkpoint
from stdc_lab.config.pretraining import ClassifierTrainConfig, ImagesConfig, PretrainConfig
from stdc_lab.data.images import centre_crop, load_image_folder, read_image
from stdc_lab.nn.checkpoints import load_backbone
from stdc_lab.training.classifier import ClassifierTrainer
from stdc_lab.training.evaluate import to_input
from stdc_lab.training.run import TrainingCallbacks, run_pretraining
from tests.cli.in_process import stdc_lab
from tests.data.test_images import write_images

CPU = torch.device("cpu")
SPEC = StdcSpec(widths=(4, 8, 16, 16, 16), depths=(1, 1, 1))
RECIPE = PretrainConfig(
    name="tiny",
    arch=SPEC,
    data=ImagesConfig(size=(32, 32)),
    train=ClassifierTrainConfig(
        iterations=6, batch_size=4, learning_rate=0.05, warmup_iterations=1, evaluations=2, precision="float32"
    ),
    checkpoint_every=2,
)


@pytest.fixture
def images(tmp_path: Path):
    return load_image_folder(RECIPE.data, write_images(tmp_path / "images"))


def changed(**values: object) -> PretrainConfig:
    train = ClassifierTrainConfig.model_validate({**RECIPE.train.model_dump(), **values})
    return RECIPE.model_copy(update={"train": train})


def rows(folder: Path) -> list[str]:
    return (folder / "curve.csv").read_text().splitlines()


def test_it_learns_to_tell_colours(images, tmp_path):
    calm = {"augmentation": {"area": (0.5, 1), "colour": 0}, "label_smoothing": 0, "ema_decay": 0}
    # So many steps at this rate: every one of eight seeds tells them, with bfloat16 kernels and without.
    recipe = changed(iterations=150, batch_size=12, learning_rate=0.02, **calm)
    outcome = run_pretraining(recipe, tmp_path / "out", images, CPU)
    assert outcome.last.top1 == 1.0
    assert outcome.best_top1 == 1.0
    assert outcome.last.curve[-1].top1 == 1.0 and outcome.last.curve[-1].miou is None
    losses = [point.loss for point in outcome.last.curve]
    assert losses[-1] < losses[0] / 3


def test_it_goes_on_exactly_where_it_stopped(images, tmp_path):
    whole = run_pretraining(RECIPE, tmp_path / "whole", images, CPU)

    def stop(progress) -> None:
        if progress.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pretraining(RECIPE, tmp_path / "halves", images, CPU, callbacks=TrainingCallbacks(progress=stop))
    again = run_pretraining(RECIPE, tmp_path / "halves", images, CPU)
    assert rows(tmp_path / "whole") == rows(tmp_path / "halves")
    assert rows(tmp_path / "whole")[0] == "iteration,loss,learning_rate,top1"
    assert again.last.top1 == whole.last.top1 and again.best_iteration == whole.best_iteration
    mine, theirs = (load_checkpoint(tmp_path / name / "last.pt").network.state_dict() for name in ("whole", "halves"))
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_parts_of_a_batch_add_up_to_the_whole(images):
    def first_loss(**values: object) -> tuple[float, torch.Tensor]:
        torch.manual_seed(0)
        network = build_classifier(SPEC, 3)
        network.dropout.p = 0.0  # each part would draw other units
        train = changed(norms="frozen", **values).train
        trainer = ClassifierTrainer(network, images, RECIPE.data, train, 0, CPU)
        loss, _ = next(trainer.steps())
        return loss, network.classes.weight.detach().clone()

    (loss, weight), (parts_loss, parts_weight) = first_loss(), first_loss(accumulation=2)
    assert loss == pytest.approx(parts_loss, rel=1e-6)
    torch.testing.assert_close(weight, parts_weight, rtol=1e-5, atol=1e-8)


def test_the_loss_is_the_smoothed_mean_over_the_images(images):
    trainer = ClassifierTrainer(build_classifier(SPEC, 3), images, RECIPE.data, RECIPE.train, 0, CPU)
    logits, labels = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]]), torch.tensor([0, 1])
    logs = (logits - logits.exp().sum(1, keepdim=True).log()).numpy()
    wanted = np.full((2, 3), 0.1 / 3)
    wanted[[0, 1], [0, 1]] += 0.9
    assert float(trainer.loss(logits, labels, torch.tensor(2.0))) == pytest.approx(-(wanted * logs).sum() / 2)


def test_class_255_counts_as_any_other(images):
    many = dataclasses.replace(images, class_names=tuple(map(str, range(300))))
    trainer = ClassifierTrainer(build_classifier(SPEC, 300), many, RECIPE.data, RECIPE.train, 0, CPU)
    matrix = trainer.new_matrix()
    matrix.add(torch.tensor([255, 255, 1]), torch.tensor([255, 0, 1]))
    assert matrix.counts.sum() == 3 and trainer.score(matrix) == pytest.approx(2 / 3)


@pytest.mark.parametrize("workers", [1, 3])
def test_validation_is_decoded_by_threads_and_scored_as_before(images, workers, monkeypatch):
    decoded: list[tuple[str, threading.Thread]] = []

    def noted(path: Path) -> np.ndarray:
        decoded.append((path.name, threading.current_thread()))
        return read_image(path)

    monkeypatch.setattr("stdc_lab.data.images.read_image", noted)
    monkeypatch.setattr("stdc_lab.training.classifier.EVALUATION_BATCH", 2)
    torch.manual_seed(0)
    trainer = ClassifierTrainer(
        build_classifier(SPEC, 3), images, RECIPE.data, changed(data_workers=workers).train, 0, CPU
    )
    matrix = trainer.evaluate()
    assert len(decoded) == len(images.val) == 6
    assert threading.main_thread() not in {thread for _, thread in decoded}
    assert not any(thread.is_alive() for _, thread in decoded)
    pixels = np.stack([centre_crop(read_image(path), (32, 32)) for path in images.val.paths])
    with torch.inference_mode():
        guesses = trainer.evaluated.eval()(to_input(pixels, CPU)).argmax(1).numpy()
    wanted = np.zeros((3, 3), int)
    np.add.at(wanted, (images.val.labels, guesses), 1)
    assert np.array_equal(matrix.counts, wanted)


def test_a_segmenter_begins_with_its_backbone(images, tmp_path):
    run_pretraining(RECIPE, tmp_path / "out", images, CPU)
    network = build_model(SPEC, 11, TrainingHeads())
    load_backbone(network, tmp_path / "out" / "last.pt")
    taught = load_checkpoint(tmp_path / "out" / "last.pt").network.backbone.state_dict()
    own = network.backbone.state_dict()
    assert own and all(torch.equal(own[key], taught[key]) for key in own)


def test_the_command_says_what_it_does_and_what_comes_next(tmp_path):
    folder = write_images(tmp_path / "images")
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\narch: {widths: [4, 8, 16, 16, 16], depths: [1, 1, 1]}\ndata: {size: 32x32}\n"
        "train: {iterations: 4, batch_size: 4, warmup_iterations: 1, evaluations: 1}\n"
    )
    ran = stdc_lab("pretrain", "tiny.yaml", "--data", f"images={folder}", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for words in ("classifier of arch_id", "12 training and 6 validation images", "4 images a step", "last: top-1 ",
                  "next: stdc-lab train RECIPE --pretrained runs/tiny/last.pt"):  # fmt: skip
        assert words in ran.stdout
    again = stdc_lab("pretrain", "tiny.yaml", "--data", f"images={folder}", cwd=tmp_path)
    assert "all 4 iterations were done before" in again.stdout
    other = stdc_lab("pretrain", "tiny.yaml", "--data", f"images={folder}", "--iterations", "5", cwd=tmp_path)
    assert other.returncode == 2 and "train.iterations: was 4, is 5" in other.stderr


def test_a_corrupt_image_in_the_middle_of_an_epoch_is_named(tmp_path):
    folder = write_images(tmp_path / "images")
    broken = folder / "train" / "emu" / "3.png"
    broken.write_bytes(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()[:40])
    text = (
        "name: tiny\narch: {widths: [4, 8, 16, 16, 16], depths: [1, 1, 1]}\n"
        "train: {iterations: 3, batch_size: 4, warmup_iterations: 1, evaluations: 1}\n"
    )
    (tmp_path / "strict.yaml").write_text(text + "data: {size: 32x32}\n")
    ran = stdc_lab("pretrain", "strict.yaml", "--data", f"images={folder}", cwd=tmp_path)
    assert ran.returncode == 2 and str(broken) in ran.stderr and "data.skip_unreadable: true" in ran.stderr
    (tmp_path / "lenient.yaml").write_text(text + "data: {size: 32x32, skip_unreadable: true}\n")
    ran = stdc_lab("pretrain", "lenient.yaml", "--data", f"images={folder}", "--out", "other", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr

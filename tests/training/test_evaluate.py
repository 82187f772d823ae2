from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, IMAGE_MEAN, IMAGE_STD, Dataset, Split
from stdc_lab.errors import CheckpointError, ConfigError, DataError
from stdc_lab.nn import SegOutput, build_classifier, build_model, strip_heads
from stdc_lab.nn.checkpoints import Checkpoint
from stdc_lab.training.boundary import BoundaryScore
from stdc_lab.training.evaluate import evaluate, evaluate_checkpoint, predict, to_input
from stdc_lab.training.trainer import Trainer

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 16, 16))
CPU = torch.device("cpu")


class Stand(nn.Module):
    """A network whose logits are the colours, seen at a size that it notes down."""

    def __init__(self, lopsided: bool = False) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        self.lopsided = lopsided

    def forward(self, images: torch.Tensor) -> SegOutput:
        self.sizes.append((images.shape[2], images.shape[3]))
        logits = images
        if self.lopsided:  # favours class 0 more and more to the right
            logits = images + 3 * torch.linspace(0, 1, images.shape[3]) * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
        return SegOutput(logits)


def pictures(number: int = 5, size: tuple[int, int] = (32, 48)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, *size, 3), dtype=np.uint8)


def split(images: np.ndarray, classes: int = 3) -> Split:
    labels = np.random.default_rng(1).integers(0, classes, images.shape[:3], dtype=np.uint8)
    labels[:, :4] = 255
    return Split(images, labels, tuple(str(index) for index in range(len(images))))


@pytest.mark.parametrize("kind", ["own", "read-only", "mirrored"])
def test_input_is_normalised_by_channel_and_the_images_stay_as_they_are(kind: str) -> None:
    images = pictures(size=(7, 11))
    images.flags.writeable = kind != "read-only"
    given = images[:, :, ::-1] if kind == "mirrored" else images
    before = given.copy()
    inputs = to_input(given, CPU)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    wanted = (torch.from_numpy(before).permute(0, 3, 1, 2) / 255 - mean) / std
    torch.testing.assert_close(inputs, wanted, rtol=0, atol=1e-5, check_stride=False)
    assert np.array_equal(given, before)


def test_one_scale_is_what_the_paper_does() -> None:
    """Images resized, logits brought back with corners aligned, and scored at the labels' size."""
    images, stand = pictures(size=(33, 47)), Stand()
    found = predict(stand, images, CPU, torch.float32, scales=(0.5,))
    assert stand.sizes == [(16, 23)]  # rounded down, as the released code
    inputs = to_input(images, CPU)
    small = functional.interpolate(inputs, (16, 23), mode="bilinear", align_corners=True)
    back = functional.interpolate(small, (33, 47), mode="bilinear", align_corners=True)
    assert torch.equal(found, back.argmax(1))
    assert not torch.equal(found, inputs.argmax(1))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_in_bfloat16_a_pixel_gets_the_class_of_float32_upsampling(scale: float) -> None:
    torch.manual_seed(0)
    network = build_model(SPEC, 11, TrainingHeads()).eval()
    small: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: small.append(output))
    found = predict(network, pictures(2, (64, 96)), CPU, torch.bfloat16, scales=(scale,))
    (low,) = small
    assert low.dtype == torch.bfloat16

    def enlarged(logits: torch.Tensor) -> torch.Tensor:
        for size in ((64, 96),) if scale == 1 else ((32, 48), (64, 96)):
            logits = functional.interpolate(logits, size, mode="bilinear", align_corners=True)
        return logits.argmax(1)

    assert torch.equal(found, enlarged(low.float()))
    assert not torch.equal(found, enlarged(low))


def test_heads_that_only_training_needs_are_not_computed_in_an_evaluation() -> None:
    """And nothing is copied for it: the weights that are evaluated are those that are trained."""
    part = split(pictures(), 5)
    config = TrainConfig(precision="float32", ema_decay=0, heads=TrainingHeads(detail_strides=(4, 8)))
    network = build_model(SPEC, 11, config.heads)
    trainer = Trainer(network, dataset(part), config, 0, CPU)
    ran: list[str] = []
    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: ran.append(name))
    found = trainer.evaluate()
    assert "head.classes" in ran and "backbone" in ran  # hooks are the layers' own: these are no copies
    assert not [name for name in ran if name.startswith(("auxiliary_heads", "detail_heads"))]
    assert all(module.training for module in network.modules())
    assert np.array_equal(found.counts, evaluate(strip_heads(network), part, 11, CPU).counts)


def test_several_scales_and_the_mirror_average_probabilities() -> None:
    images, stand = pictures(), Stand(lopsided=True)
    found = predict(stand, images, CPU, torch.float32, scales=(1.0, 0.5), flip=True)
    assert stand.sizes == [(32, 48), (32, 48), (16, 24), (16, 24)]
    inputs = to_input(images, CPU)
    total = torch.zeros(5, 3, 32, 48)
    for height, width in ((32, 48), (16, 24)):
        for mirrored in (False, True):
            seen = inputs.flip(3) if mirrored else inputs
            seen = functional.interpolate(seen, (height, width), mode="bilinear", align_corners=True)
            logits = functional.interpolate(stand(seen).logits, (32, 48), mode="bilinear", align_corners=True)
            shares = logits.exp() / logits.exp().sum(1, keepdim=True)
            total += shares.flip(3) if mirrored else shares
    agree = (found == total.argmax(1)).float().mean()
    assert agree > 0.999  # ties apart
    assert not torch.equal(found, predict(stand, images, CPU, torch.float32, scales=(1.0, 0.5)))


def test_mirroring_takes_a_lopsided_networks_side_away() -> None:
    grey = np.full((1, 32, 48, 3), 120, np.uint8)
    plain, both = (predict(Stand(lopsided=True), grey, CPU, torch.float32, flip=flip) for flip in (False, True))
    assert not torch.equal(plain, plain.flip(2))
    assert torch.equal(both, both.flip(2))


def test_the_matrix_is_the_same_in_any_batches_and_boundaries_are_counted_only_if_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = split(pictures())
    heard: list[tuple[int, int]] = []
    boundary = BoundaryScore(3)
    whole = evaluate(Stand(), part, 3, CPU)
    monkeypatch.setattr("stdc_lab.training.evaluate.BATCH_SIZE", 2)
    parts = evaluate(Stand(), part, 3, CPU, boundary=boundary, on_progress=lambda *done: heard.append(done))
    assert np.array_equal(whole.counts, parts.counts)
    assert whole.counts.sum() == 5 * 28 * 48
    assert heard == [(2, 5), (4, 5), (5, 5)]
    alone = BoundaryScore(3)
    for labels, guess in zip(part.labels, predict(Stand(), part.images, CPU, torch.float32).numpy(), strict=True):
        alone.add(labels, guess)
    assert boundary.class_f().tolist() == alone.class_f().tolist()


def checkpoint(protocol: dict[str, Any] | None = None, classes: int = 11) -> Checkpoint:
    torch.manual_seed(0)
    network = build_model(SPEC, classes, TrainingHeads()).eval()
    return Checkpoint(network, "0", protocol or {})


def dataset(part: Split) -> Dataset:
    return Dataset("scenes", part, part, CLASS_NAMES, CLASS_COLOURS)


def test_the_result_says_what_it_is_of() -> None:
    data = DataConfig(size=(32, 48))
    part = split(pictures(), 5)
    trained = {
        "data": data.model_dump(mode="json"),
        "train": {"precision": "float32"},
        "miou": 0.25,
        "odd": [float("nan")],
    }
    found = checkpoint(trained)
    result = evaluate_checkpoint(Path("x.pt"), found, data, dataset(part), CPU)
    matrix = evaluate(found.network, part, 11, CPU)
    assert result.miou == matrix.miou()
    assert result.class_iou["sky"] == matrix.class_iou()[0]
    assert result.pixel_accuracy == matrix.pixel_accuracy()
    boundary = BoundaryScore(11)
    evaluate(found.network, part, 11, CPU, boundary=boundary)
    assert result.boundary_f == pytest.approx(boundary.mean())
    assert result.recorded_miou == 0.25
    assert result.trained["odd"] == [None]
    protocol = result.protocol
    assert (protocol.num_images, protocol.num_classes, protocol.arch_id) == (5, 11, SPEC.arch_id)
    assert (protocol.scales, protocol.flip, protocol.precision) == ((1.0,), False, "float32")
    assert protocol.data == data
    assert protocol.notes == ()
    assert "one confusion matrix over all images" in protocol.miou_is
    assert "0.75%" in protocol.boundary_f_is


def test_nothing_labelled_is_null_and_not_zero() -> None:
    part = Split(pictures(2), np.full((2, 32, 48), 255, np.uint8), ("a", "b"))
    result = evaluate_checkpoint(Path("x.pt"), checkpoint(), DataConfig(size=(32, 48)), dataset(part), CPU)
    assert result.miou is None and result.pixel_accuracy is None and result.boundary_f is None
    assert set(result.class_iou.values()) == {None}


def test_images_that_were_trained_on_are_warned_of() -> None:
    trained = DataConfig(name="camvid", size=(32, 48))
    drive = DataConfig(name="camvid", size=(64, 96), split="drive")
    part = split(pictures())
    notes = evaluate_checkpoint(
        Path("x.pt"), checkpoint({"data": trained.model_dump(mode="json")}), drive, dataset(part), CPU
    ).protocol.notes
    assert "another split of this data set: it may have been trained on these images" in notes[0]
    assert notes[1] == "trained at 32x48, evaluated at 64x96"
    elsewhere = checkpoint({"data": DataConfig(size=(64, 96)).model_dump(mode="json")})
    assert evaluate_checkpoint(Path("x.pt"), elsewhere, drive, dataset(part), CPU).protocol.notes == ()
    notes = evaluate_checkpoint(Path("x.pt"), checkpoint({"imported": "y"}), drive, dataset(part), CPU).protocol.notes
    assert notes == ("the checkpoint does not say what it was trained on, which may be these images",)


@pytest.mark.parametrize("scale", [0.0, -1.0, 4.01, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match=r"--scale: got .*; allowed: above 0, up to 4"):
        evaluate_checkpoint(
            Path("x.pt"), checkpoint(), DataConfig(), dataset(split(pictures())), CPU, scales=(1.0, scale)
        )


def test_what_does_not_fit_is_refused() -> None:
    part = split(pictures())
    data = DataConfig(size=(32, 48))
    with pytest.raises(ConfigError, match="--scale: got 1, 1; allowed: at least one, each once"):
        evaluate_checkpoint(Path("x.pt"), checkpoint(), data, dataset(part), CPU, scales=(1.0, 1.0))
    with pytest.raises(
        CheckpointError, match=r"x.pt: 19 classes, but scenes has 11; allowed: a data set \(--dataset\)"
    ):
        evaluate_checkpoint(Path("x.pt"), checkpoint(classes=19), data, dataset(part), CPU)
    classifier = Checkpoint(build_classifier(SPEC, 11), "0", {})
    with pytest.raises(CheckpointError, match=r"x.pt: got the weights of a classifier"):
        evaluate_checkpoint(Path("x.pt"), classifier, data, dataset(part), CPU)
    empty = Dataset("scenes", part, split(pictures(0)), CLASS_NAMES, CLASS_COLOURS)
    with pytest.raises(DataError, match="scenes: got no validation image; allowed: at least one"):
        evaluate_checkpoint(Path("x.pt"), checkpoint(), data, empty, CPU)

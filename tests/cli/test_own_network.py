"""`--network`: a user's own network profiled, trained, evaluated and used, in the order in which a user would."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.in_process import stdc_lab
from tests.cli.tiny_training import assert_refused, read, write
from tests.own_networks import write_own_networks

NO_HEADS = {"auxiliary": False, "detail_strides": []}
OWN = ("--network", "own_models:build")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_own_networks(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    return tmp_path


def test_it_stands_beside_a_preset_with_its_cost_marked_as_measured(here: Path) -> None:
    done = stdc_lab("profile", "stdc1", *OWN, "--size", "32x32", "--no-latency", "--json", "out.json", cwd=here)
    assert done.returncode == 0, done.stderr
    ours, own = json.loads((here / "out.json").read_text())
    assert (own["network"], own["arch"], own["counters"]["theory"]) == ("own_models:build", None, None)
    assert own["macs"] == own["counters"]["torch"] and ours["macs"] == ours["counters"]["theory"]
    assert "MACs measured, not theory" in done.stdout and "not ours" in done.stdout


def test_from_training_to_a_picture(here: Path) -> None:
    recipe = write(here / "recipe.yaml", heads=NO_HEADS)
    done = stdc_lab("train", recipe, *OWN, "--json", "out.json", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "network    network own_models:build, 11 classes, weights as its code makes them" in done.stdout
    assert "next: stdc-lab evaluate runs/tiny/last.pt --network own_models:build" in done.stdout
    result, folder = json.loads((here / "out.json").read_text()), here / "runs" / "tiny"
    assert (result["arch"], result["own_network"]) == (None, "own_models:build")
    written = read(folder / "training.yaml")
    assert (written["arch"], written["own_network"]) == (None, "own_models:build")

    again = stdc_lab("train", recipe, *OWN, "--json", "-", cwd=here)
    assert json.loads(again.stdout) == result and "nothing to train" in again.stderr
    assert_refused(stdc_lab("train", recipe, cwd=here), "begun with another training")
    alone = stdc_lab("train", folder / "training.yaml", cwd=here)
    assert_refused(alone, "code runs only when it is asked for: --network own_models:build")

    evaluated = stdc_lab("evaluate", folder / "last.pt", *OWN, "--json", "-", cwd=here)
    said = json.loads(evaluated.stdout)
    assert said["miou"] == result["last"]["miou"]
    assert (said["protocol"]["arch_id"], said["protocol"]["own_network"]) == (None, "own_models:build")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(here / "photo.png")
    seen = stdc_lab("predict", folder / "last.pt", "photo.png", "--out", "seen", *OWN, cwd=here)
    assert seen.returncode == 0 and "(network own_models:build)" in seen.stdout, seen.stderr
    for command, *rest in (
        ("evaluate",),
        ("predict", "photo.png", "--out", "more"),
        ("export", "--out", "network.pth"),
    ):
        assert_refused(stdc_lab(command, folder / "last.pt", *rest, cwd=here), "--network own_models:build")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("profile", "--network", "nowhere_at_all:build"), ("there is no module nowhere_at_all",)),
        (("profile", "--network", "own_models:one_more"), ("answers with 1×20×16×24",)),
        (("profile", *OWN, "--task", "cls"), ("--network: got 'own_models:build' with --task cls",)),
        (("profile", *OWN, "--training-heads", "all", "--no-latency"), ("got training heads for own_models:build",)),
        (("profile",), ("ARCH: got none", "--network MODULE:FUNCTION")),
        (("train", "plain.yaml", *OWN, "--pretrained", "some.pt"), ("--pretrained: allowed without --network",)),
        (("train", "--from", "study", "--trial", "3", *OWN), ("--network: allowed without --from",)),
        (("train", "recipe.yaml", *OWN), ("got training heads for own_models:build", "detail_strides: []")),
    ],
)
def test_mistakes_are_answered_in_one_message(arguments: tuple[str, ...], parts: tuple[str, ...], here: Path) -> None:
    write(here / "recipe.yaml")
    write(here / "plain.yaml", heads=NO_HEADS)
    assert_refused(stdc_lab(*arguments, cwd=here), *parts)
    assert not (here / "runs").exists()

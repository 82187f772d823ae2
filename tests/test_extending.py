"""What it takes to add a family, as docs/extending.md lists it: done to a copy of the package, and tested there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "extending.md").read_text()
BLOCK = re.compile(r"^(?:`([\w/.]+)`:|```(\w+)\n(.*?)^```)$", re.MULTILINE | re.DOTALL)
LISTED = {
    "stdc_lab/arch/families/toy.py",
    "stdc_lab/nn/families/toy.py",
    "stdc_lab/arch/families/__init__.py",
    "stdc_lab/nn/families/__init__.py",
    "tests/families/drawn.py",
}
USE = """
import torch
from stdc_lab import build_model, presets, total_cost
from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from stdc_lab.training.optimiser import make_optimiser
from pathlib import Path
spec = presets["toy"].replace(width=4)
network = build_model(spec, 5, TrainingHeads(auxiliary=True, detail_strides=(4,)))
deployed = build_model(spec, 5)
cost = total_cost(spec, (64, 96), 5)
assert cost.num_params == sum(one.numel() for one in deployed.parameters())
optimiser = make_optimiser(network, TrainConfig())
output = network(torch.randn(2, 3, 64, 96))
before = [one.detach().clone() for one in network.parameters()]
(output.logits.square().mean() + output.details[0].square().mean()).backward()
optimiser.step()
assert all(one.grad is not None for one in network.parameters())
assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters()))
save_checkpoint(Path("toy.pt"), deployed, {})
assert load_checkpoint(Path("toy.pt")).network.spec == spec
"""


def changes() -> list[tuple[str, str, str]]:
    """File, language and text of each block of the section "A family"."""
    section = DOCS[DOCS.index("\n## A family") : DOCS.index("\n## A figure")]
    found, file = [], ""
    for path, language, text in BLOCK.findall(section):
        file = path or file
        if language:
            found.append((file, language, text))
    return found


def edited(content: str, diff: str) -> str:
    old = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " -")
    new = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " +")
    assert content.count(old) == 1, old
    return content.replace(old, new)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The package with the family that the page adds."""
    folder = tmp_path / "copy"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "stdc_lab", folder / "stdc_lab", ignore=leave)
    for part in ("families", "arch"):
        shutil.copytree(ROOT / "tests" / part, folder / "tests" / part, ignore=leave)
    for file in ("tests/__init__.py", "tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, folder / file)
    for name, language, text in changes():
        path = folder / name
        path.write_text(edited(path.read_text(), text) if language == "diff" else text)
    return folder


def run_in(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    surroundings = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=surroundings, capture_output=True, text=True)


def test_the_list_is_what_the_example_touches() -> None:
    assert {file for file, _, _ in changes()} == LISTED
    table = DOCS[DOCS.index("\n## A family") :]
    assert all(f"| `{file}` |" in table for file in LISTED)


def test_a_family_is_there_once_it_is_listed(copied: Path) -> None:
    done = run_in(copied, "-c", USE)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_family_that_is_listed_passes_the_conformance_tests(copied: Path) -> None:
    done = run_in(copied, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/families", "-k", "toy")
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 10

"""The house's rules on imports (README, "Where things are"): which room may use which, and who is free of torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "stdc_lab"
# A room may import those of lower rank only, or itself.
RANKS = {
    "errors": -1,
    "files": 0,
    "arithmetic": 0,
    "arch": 1,
    "config": 2,
    "records": 3,
    "analysis": 4,
    "machine": 5,
    "nn": 6,
    "data": 6,
    "training": 7,
    "deploy": 7,
    "profiling": 8,
    "search": 9,
    "cli": 10,
    "reporting": 5,
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.name != "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_list_only(path: Path) -> None:
    room = room_of(path)
    used = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stdc_lab."):
            used.add(node.module.split(".")[1])  # type: ignore[union-attr]
    used -= {room}
    assert {name for name in used if RANKS[name] >= RANKS[room]} == set()


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import stdc_lab",
        "from stdc_lab import ArchSpec, presets, StudyConfig, read_study",
        "from stdc_lab import load_study, render_report",
        "import stdc_lab.records, stdc_lab.data",
        "import stdc_lab.cli.main",
    ],
)
def test_these_need_no_torch(statement: str) -> None:
    assert "torch" not in loaded_after(statement)


def test_the_command_line_starts_light() -> None:
    heavy = {"torch", "optuna", "pandas", "matplotlib", "cv2", "scipy", "pydantic", "numpy"}
    assert loaded_after("import stdc_lab.cli.main") & heavy == set()


def test_every_name_that_the_package_offers_is_there() -> None:
    names = loaded_after("import stdc_lab\nfor name in stdc_lab.__all__: getattr(stdc_lab, name)")
    assert "stdc_lab.search.driver" in names


def test_an_unknown_name_is_an_attribute_error() -> None:
    import stdc_lab

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        stdc_lab.nothing  # noqa: B018

"""The house's rules on imports (README, "Where things are"): which room may use which, and who is free of torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "stdc_lab"
# A room may import those of lower rank only, or itself.
RANKS = {
    "errors": 0,
    "arithmetic": 0,
    "arch": 1,
    "config": 2,
    "records": 3,
    "storage": 4,
    "analysis": 5,
    "machine": 6,
    "nn": 7,
    "data": 7,
    "training": 8,
    "deploy": 8,
    "profiling": 9,
    "search": 10,
    "cli": 11,
    "reporting": 6,
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optuna_is_for_two_rooms_and_its_storage_for_one(path: Path) -> None:
    room = room_of(path)
    nodes = list(ast.walk(ast.parse(path.read_text())))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    if "optuna" in {module.split(".")[0] for module in modules}:
        assert room in ("storage", "search")
    if room != "storage":
        kept = {"user_attrs", "set_user_attr", "system_attrs", "_storage", "_trial_id", "_study_id"}
        assert {node.attr for node in nodes if isinstance(node, ast.Attribute)} & kept == set()
        assert not [module for module in modules if module.startswith("optuna") and "._" in module]


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
        "import stdc_lab.records, stdc_lab.data, stdc_lab.storage",
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

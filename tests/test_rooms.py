"""The house's rules on imports (README, "Where things are"): which room may use which, and who is free of torch."""

import ast
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stdc_lab.arch.decoders import DECODERS
from stdc_lab.arch.families import FAMILIES

PACKAGE = Path(__file__).parents[1] / "stdc_lab"
# A room may import those of lower rank only, or itself.
RANKS = {
    "errors": -1,
    "files": 0,
    "arithmetic": 0,
    "arch": 1,
    "config": 2,
    "records": 3,
    "storage": 4,
    "analysis": 5,
    "scenery": 5,
    "data": 6,
    "hardware": 6,
    "machine": 6,
    "nn": 7,
    "training": 8,
    "deploy": 8,
    "profiling": 9,
    "search": 10,
    "claims": 11,
    "cli": 12,
    "reporting": 7,
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
        "from stdc_lab import judge",
        "from stdc_lab import Surrogate",
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


KNOW_FAMILIES = {"arch", "nn"}
ALIKE_ELSEWHERE = {"kind", "interpolation", "dilations"}  # of operations, of an enlarging block, of a drawn part
OUTSIDE = [path for path in FILES if room_of(path) not in KNOW_FAMILIES]


def concrete_names() -> set[str]:
    """Classes of single families and decoders."""
    folders = [PACKAGE / room / part for room in KNOW_FAMILIES for part in ("families", "decoders")]
    trees = [ast.parse(path.read_text()) for folder in folders for path in folder.glob("*.py")]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)} - {"Decoder"}


def concrete_fields() -> set[str]:
    """What only the spec of some family or decoder has."""
    specs = [*FAMILIES.values(), *DECODERS.values()]
    shorthand = {name for spec in FAMILIES.values() for name in spec.shorthand}
    return {one.name for spec in specs for one in dataclasses.fields(spec)} | shorthand


CONCRETE, FIELDS = concrete_names(), concrete_fields() - ALIKE_ELSEWHERE


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_room_knows_a_family(path: Path) -> None:
    """What the specs and networks of all families promise is enough."""
    assert "StdcSpec" in CONCRETE and "DecoderSpec" in CONCRETE and "conv_last" in FIELDS
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and re.search(r"\.(families|decoders)\b", node.module or ""):
            found.add(node.module)
        elif isinstance(node, ast.alias | ast.Name) and (name := getattr(node, "id", None) or node.name) in CONCRETE:
            found.add(name)
        elif isinstance(node, ast.Attribute | ast.Compare) and _asks_a_family(node):
            found.add(ast.unparse(node))
    assert found == set()


def _asks_a_family(node: ast.Attribute | ast.Compare) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in FIELDS
    return re.search(r"\bfamily\b", ast.unparse(node)) is not None

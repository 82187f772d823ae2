"""`stdc-lab reproduce` on claims of no seconds: its table, its JSON, and what it exits with."""

import json
import shutil
from pathlib import Path

import pytest

from stdc_lab.cli.reproduce import read_budget, read_paths
from stdc_lab.errors import ConfigError
from tests.claims.tiny import write_claim
from tests.cli.in_process import stdc_lab

ROOT = Path(__file__).parents[2]
COUNTS = ROOT / "studies" / "claims" / "stdc1_counts.yaml"


def a_false_claim(folder: Path) -> Path:
    """A copy of an exact claim that states another number."""
    text = COUNTS.read_text()
    assert "params_millions: 8.44" in text
    path = folder / "false_counts.yaml"
    path.write_text(
        text.replace("params_millions: 8.44", "params_millions: 9.44").replace("id: stdc1_counts", "id: false_counts")
    )
    return path


def as_json(text: str) -> list[dict[str, object]]:
    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads(text, parse_constant=refused)
    assert isinstance(found, list)
    return found


def test_a_contradicted_claim_is_a_result(tmp_path: Path) -> None:
    false = a_false_claim(tmp_path)
    done = stdc_lab("reproduce", COUNTS, false, "--out", tmp_path / "out", "--json", tmp_path / "verdicts.json")
    assert done.returncode == 0, done.stderr
    assert "supported" in done.stdout and "contradicted" in done.stdout
    assert "because of params_millions" in done.stdout
    assert f"next:   stdc-lab report {tmp_path / 'out'}" in done.stdout
    first, second = as_json((tmp_path / "verdicts.json").read_text())
    assert (first["claim"], first["verdict"]) == ("stdc1_counts", "supported")
    assert (second["kind"], second["protocol"], second["verdict"]) == ("exact", "figures", "contradicted")
    keys = ["claim", "kind", "protocol", "verdict", "effect", "interval", "seeds", "margin", "metric"]
    assert [key for key in second if key in keys] == keys


def test_json_alone_is_on_standard_output(tmp_path: Path) -> None:
    claim = write_claim(tmp_path)
    done = stdc_lab("reproduce", claim, "--out", tmp_path / "out", "--seeds", 1, "--anyway", "--device", "cpu",
                    "--json", "-", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (verdict,) = as_json(done.stdout)
    assert (verdict["verdict"], verdict["pairs"], verdict["interval"]) == ("undecided", 1, None)
    assert "tiny_details/scenes: undecided" in done.stderr  # a look is told, elsewhere
    again = stdc_lab("reproduce", claim, "--out", tmp_path / "out", "--judge-only", "--json", "-", cwd=tmp_path)
    assert again.stdout == done.stdout


def test_judging_alone_needs_no_data_and_writes_nothing(tmp_path: Path) -> None:
    done = stdc_lab("reproduce", "detail_auxiliary", "--judge-only", "--out", tmp_path / "none", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "not run" in done.stdout and "camvid_drive" in done.stdout
    assert not (tmp_path / "none").exists()


def test_the_committed_verdicts_are_recomputed_to_the_digit() -> None:
    committed = as_json((ROOT / "reports" / "claims" / "verdicts.json").read_text())
    names = sorted({str(one["claim"]) for one in committed})
    done = stdc_lab("reproduce", *names, "--judge-only", "--json", "-", cwd=ROOT)
    assert done.returncode == 0, done.stderr

    def by_name(verdicts: list[dict[str, object]]) -> dict[tuple[object, object], dict[str, object]]:
        return {(one["claim"], one["protocol"]): one for one in verdicts}

    assert by_name(as_json(done.stdout)) == by_name(committed)


def test_one_broken_file_leaves_the_other_claims_judged(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "claims"
    folder.mkdir(parents=True)
    shutil.copy(COUNTS, folder)
    (folder / "hostile.yaml").write_text("kind: trained\nid: ../../x\nmargin: .nan\n")
    done = stdc_lab("reproduce", "--exact", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "supported" in done.stdout
    assert "hostile.yaml:2: id: got '../../x'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such_claim"], "claim: got 'no_such_claim'; allowed: the path of a claim's YAML, or one of "),
        (["none.yaml"], "none.yaml: no such file"),
        (["stdc1_counts", "--trained"], "claim: none of these is trained: stdc1_counts"),
        (["stdc1_counts", "--budget", "2"], "--budget: got '2'; allowed: a number with its unit, such as 2h"),
        (["stdc1_counts", "--data", "camvid"], "--data: got 'camvid'; allowed: NAME=PATH, where NAME is "),
        (["stdc1_counts", "--data", "camvdi=x"], "--data: got 'camvdi=x'; allowed: NAME=PATH"),
        (["stdc1_counts", "--device", "gpu"], "gpu"),
        (["global_context", "--protocol", "camvdi"], "--protocol: got 'camvdi'; allowed: camvid"),
        (["stdc1_counts", "--protocol", "camvid"], "--protocol: got 'camvid'; allowed: none, no claim is trained"),
        (["global_context", "--seeds", "1"], "global_context/camvid: not run on: needs --data camvid=PATH"),
        (["global_context", "--data", "camvid=/none/here"], "global_context/camvid: "),
    ],
)
def test_what_the_user_has_to_mend_exits_with_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = stdc_lab("reproduce", *arguments, "--out", tmp_path / "out", cwd=ROOT)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_no_chosen_claim_needs_is_passed_over(tmp_path: Path) -> None:
    done = stdc_lab("reproduce", "stdc1_counts", "--data", "camvid=/none/here", "--out", tmp_path / "out", cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1.5h", 5400), (" 600 s ", 600)])
def test_a_budget_has_a_unit(text: str, seconds: float) -> None:
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "0h", "1e3h", "2 weeks", "nan h", "2h30m"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget: got"):
        read_budget(text)


def test_a_path_may_hold_an_equals_sign() -> None:
    assert read_paths(["camvid=/data/a=b"]) == {"camvid": Path("/data/a=b")}


def test_help_has_an_example() -> None:
    done = stdc_lab("reproduce", "--help")
    assert done.returncode == 0
    assert "Example: stdc-lab reproduce --exact" in " ".join(done.stdout.split())

"""Plans, run as a user runs them: complete, whatever their arms share with a reference, and each training kept."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stdc_lab.analysis import compare_arms, load_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.reporting.phrases import signed
from stdc_lab.search import Confirmation, Crew, run_study
from tests.cli import in_process
from tests.search.kept_trainings import assert_every_training_is_kept
from tests.search.test_driver import Notes, study_config

SMALL = {"base_width": 4, **dict.fromkeys(("decoder.context_width", "decoder.fusion_width", "decoder.head_width"), 8)}
TINY = {
    "base_width": 4,
    "decoder": {"context_width": 8, "fusion_width": 8, "head_width": 8},
}


def plan_config(**changes: object) -> StudyConfig:
    """Two arms with two seeds, and a network that is the first arm."""
    plan = {"arms": {"plain": SMALL, "short": {**SMALL, "num_blocks": 2}}, "seeds": [0, 1]}
    return study_config(plan=plan, networks={"mine": TINY}, **changes)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The plan's YAML, its folder, and what the command said."""
    path = tmp_path_factory.mktemp("plan")
    study = path / "tiny.yaml"
    with study.open("w", encoding="utf-8") as file:
        writer = YAML(typ="safe", pure=True)
        writer.sort_base_mapping_type_on_output = False
        values = plan_config().model_dump(mode="json")
        writer.dump({name: value for name, value in values.items() if name != "space"}, file)
    done = in_process.stdc_lab("search", study, "--out", path / "out")
    assert done.returncode == 0, done.stderr
    return study, path / "out", done.stdout


def test_a_plan_with_a_reference_that_is_an_arm_is_complete(planned: tuple[Path, Path, str]) -> None:
    study, out, said = planned
    assert "not all of the plan could be trained" not in said
    assert "4 of 5 trials" not in said
    frame = assert_every_training_is_kept(out)
    assert frame["state"].tolist() == ["COMPLETE"] * 5
    assert frame["reference"].notna().sum() == 1
    assert compare_arms(frame).set_index("arm")["seeds"].to_dict() == {"plain": 2, "short": 2}
    assert len(list((out / "runs").iterdir())) == 4, "the reference and the arm's first seed are one training"
    assert frame["same_training_as"].notna().sum() == 1
    before = (out / "study.db").read_bytes()
    again = in_process.stdc_lab("search", study, "--out", out)
    assert "5 trials were trained before and 5 are wanted: nothing to do. For more: add arms or seeds" in " ".join(
        again.stdout.split()
    )
    assert (out / "study.db").read_bytes() == before
    status = " ".join(in_process.stdc_lab("study", "status", out).stdout.split())
    assert "5 of 5 trials trained" in status
    assert "left" not in status


def test_the_terminal_shows_the_arms_of_a_plan(planned: tuple[Path, Path, str]) -> None:
    _, out, said = planned
    arms = compare_arms(load_study(out)).set_index("arm")
    lines = {line.split()[0]: " ".join(line.split()) for line in said.splitlines() if line.strip()}
    shown = {
        arm: f"{row['miou']:.3f} ±{row['miou_high'] - row['miou']:.3f} (2)"
        for arm, row in arms.to_dict("index").items()
    }
    assert lines["plain"].startswith(f"plain {shown['plain']} control ")
    apart = arms.loc["short", "miou_difference"], arms.loc["short", "miou_difference_high"]
    assert lines["short"].startswith(f"short {shown['short']} {signed(apart[0])} ±{apart[1] - apart[0]:.3f} (2) ")
    assert lines["mine"].startswith(f"mine {shown['plain']} – "), "the same network: the same trainings"
    assert "(plain with seed 1)" in said


def test_a_folder_in_which_the_plan_was_stuck_is_complete_when_it_is_called_again(
    planned: tuple[Path, Path, str], tmp_path: Path, crew: Crew
) -> None:
    """Its arm had been told as a repetition of the reference, as it still is."""
    folder = Path(shutil.copytree(planned[1], tmp_path / "out"))
    notes = Notes()
    outcome = run_study(plan_config(), folder, crew=crew, watcher=notes)
    assert (outcome.trained_before, outcome.trained, outcome.wanted, outcome.ended) == (5, 5, 5, None)
    assert notes.trained == []


def test_the_control_of_a_plan_may_change_and_seeds_be_added(
    planned: tuple[Path, Path, str], tmp_path: Path, crew: Crew
) -> None:
    folder = Path(shutil.copytree(planned[1], tmp_path / "out"))
    config = plan_config()
    assert config.plan is not None
    plan = config.plan.model_copy(update={"control": "short", "seeds": (0, 1, 2)})
    outcome = run_study(config.model_copy(update={"plan": plan}), folder, crew=crew)
    assert (outcome.trained_before, outcome.trained, outcome.ended) == (5, 7, None)
    arms = compare_arms(load_study(folder)).set_index("arm")
    assert arms["seeds"].tolist() == [3, 3]
    assert arms["control"].to_dict() == {"plain": False, "short": True}


def test_two_names_of_one_network_are_both_rows_of_a_search(crew: Crew, tmp_path: Path) -> None:
    config = study_config(networks={"one": TINY, "other": TINY}, trials=3)
    outcome = run_study(config, tmp_path, crew=crew)
    assert (outcome.trained, outcome.ended) == (3, None)
    frame = assert_every_training_is_kept(tmp_path)
    assert frame["reference"].dropna().tolist() == ["one", "other"]
    assert frame.loc[frame["reference"].notna(), "duplicate_of"].isna().all()


def test_fresh_trainings_keep_their_checkpoints(crew: Crew, tmp_path: Path) -> None:
    config = study_config(trials=1)
    run_study(config, tmp_path, crew=crew)
    run_study(config, tmp_path, confirm=Confirmation(1), crew=crew)
    frame = assert_every_training_is_kept(tmp_path)
    assert frame["confirms"].notna().sum() == 1

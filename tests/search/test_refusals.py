"""What a search does not begin or go on with: another study, data, machine or precision; files that cannot be had."""

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import optuna
import pytest

from stdc_lab.analysis.frame import load_study
from stdc_lab.data import load_dataset
from stdc_lab.errors import DataError, StdcLabError, StudyError
from stdc_lab.nn import load_checkpoint
from stdc_lab.search import Crew, run_study
from stdc_lab.search import driver as driver_module
from stdc_lab.search.folder import check_same_data, driver_lock
from tests.data.trees import write_own
from tests.search.test_driver import DECODER, study_config
from tests.training.run.tiny import halves


@pytest.mark.slow
def test_a_damaged_record_is_named_when_it_is_needed(crew: Crew, tmp_path: Path) -> None:
    vary = {"base_width": {"type": "choice", "values": [4]}, **DECODER}
    config = study_config(space={"name": "one", "vary": vary}, trials=1)
    run_study(config, tmp_path, crew=crew)
    for path in (tmp_path / "runs").glob("*/trial.json"):
        path.write_text("{")
    with pytest.raises(StudyError, match=r"trial.json: not a trial's record"):
        run_study(config, tmp_path, trials=2, crew=crew)
    assert load_study(tmp_path)["state"].tolist() == ["COMPLETE", "FAIL"]


def test_a_folder_of_another_study_is_refused_and_left_alone(crew: Crew, study: Path) -> None:
    before = (study / "study.yaml").read_bytes()
    other = study_config(
        references=["stdc1"], train={"iterations": 3, "batch_size": 2, "warmup_iterations": 1, "evaluations": 1}
    )
    with pytest.raises(
        StudyError, match=r"begun with another study; nothing was changed(.|\n)*train.iterations: was 2, is 3"
    ):
        run_study(other, study, crew=crew)
    assert (study / "study.yaml").read_bytes() == before


@pytest.mark.parametrize("content", [b"this is not a database, whatever its name says", b"\x00" * 4096])
def test_a_storage_that_cannot_be_read_is_refused_and_kept(crew: Crew, study: Path, content: bytes) -> None:
    (study / "study.db").write_bytes(content)
    with pytest.raises(StudyError, match=r"study.db: not an SQLite database: got"):
        run_study(study_config(references=["stdc1"], trials=3), study, crew=crew)
    assert (study / "study.db").read_bytes() == content


def test_other_images_than_the_study_was_begun_with_are_refused(crew: Crew, tmp_path: Path) -> None:
    config = study_config(data={"name": "folder", "size": [32, 64]}, trials=1)
    write_own(tmp_path / "mine")
    write_own(tmp_path / "other")
    (tmp_path / "other" / "images" / "train" / "a.png").rename(tmp_path / "other" / "images" / "train" / "z.png")
    (tmp_path / "other" / "masks" / "train" / "a.png").rename(tmp_path / "other" / "masks" / "train" / "z.png")
    run_study(config, tmp_path / "out", data_path=tmp_path / "mine", crew=crew)
    (tmp_path / "mine").rename(tmp_path / "moved")
    run_study(config, tmp_path / "out", data_path=tmp_path / "moved", crew=crew)
    with pytest.raises(StudyError, match=r"begun with other data: was 3 training and 2 validation images of folder"):
        run_study(config, tmp_path / "out", trials=2, data_path=tmp_path / "other", crew=crew)
    assert len(load_study(tmp_path / "out")) == 1


def test_the_same_files_with_other_labels_are_other_data(crew: Crew, tmp_path: Path) -> None:
    config = study_config(data={"name": "folder", "size": [32, 64]}, trials=1)
    mine = write_own(tmp_path / "mine")
    run_study(config, tmp_path / "out", data_path=mine, crew=crew)
    before = load_dataset(config.data, mine).contents
    mask = mine / "masks" / "train" / "a.png"
    cv2.imwrite(str(mask), cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)[:, ::-1])
    after = load_dataset(config.data, mine).contents
    message = rf"begun with other data: was 3 training .* of folder \({before}\), is 3 training .*\({after}\)"
    with pytest.raises(StudyError, match=message):
        run_study(config, tmp_path / "out", trials=2, data_path=mine, crew=crew)
    # A worker that has the old ones in memory reads them again for another study.
    run_study(config, tmp_path / "new", data_path=mine, crew=crew)
    assert set(load_study(tmp_path / "new")["state"]) == {"COMPLETE"}
    assert load_study(tmp_path / "new")["trial_key"][0] != load_study(tmp_path / "out")["trial_key"][0]
    runs = tmp_path / "new" / "runs"
    checkpoint = load_checkpoint(runs / load_study(tmp_path / "new")["trial_key"][0] / "checkpoint.pt")
    assert checkpoint.val_contents == load_dataset(config.data, mine).val.contents


def test_a_study_from_before_contents_were_looked_at_goes_on_and_learns_them(tmp_path: Path) -> None:
    one, other = halves(), halves()
    other.val.labels[0] = 7
    study = optuna.create_study()
    check_same_data(study, one, tmp_path)
    said = study.user_attrs["data_set"]
    assert said["contents"] == one.contents
    study.set_user_attr("data_set", {key: said[key] for key in ("what", "digest")})
    check_same_data(study, one, tmp_path)
    assert study.user_attrs["data_set"] == said
    with pytest.raises(StudyError, match=rf"other data: was .*\({one.contents}\), is .*\({other.contents}\)"):
        check_same_data(study, other, tmp_path)
    with pytest.raises(StudyError, match=r"Give the --data it was begun with$"):
        check_same_data(study, other, tmp_path, tied=True)
    with pytest.raises(StudyError, match=r"Give the --data it was begun with, or use another --out$"):
        check_same_data(study, other, tmp_path)


def test_a_second_driver_is_told_so(crew: Crew, study: Path) -> None:
    with (
        driver_lock(study),
        pytest.raises(StudyError, match="another search is at work on this folder"),
    ):
        run_study(study_config(references=["stdc1"], trials=3), study, crew=crew)


def test_latencies_of_another_machine_never_join(crew: Crew, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = driver_module.environment

    def elsewhere(*args: Any) -> Any:
        return real(*args).model_copy(update={"fingerprint": "elsewhere"})

    monkeypatch.setattr(driver_module, "environment", elsewhere)
    with pytest.raises(StudyError, match=r"measured on another machine.* here: elsewhere"):
        run_study(study_config(references=["stdc1"], trials=4), study, crew=crew)


def test_bad_data_leaves_no_folder(crew: Crew, tmp_path: Path) -> None:
    config = study_config(data={"name": "camvid", "size": [32, 64]})
    with pytest.raises(DataError, match="--data camvid=PATH"):
        run_study(config, tmp_path / "out", crew=crew)
    with pytest.raises(DataError):
        run_study(config, tmp_path / "out", data_path=tmp_path / "none", crew=crew)
    with pytest.raises(StdcLabError, match="--device"):
        run_study(study_config(), tmp_path / "out", device="gpu", crew=crew)
    with pytest.raises(StudyError, match="--trials: got 0; allowed: a whole number from 1"):
        run_study(study_config(), tmp_path / "out", trials=0, crew=crew)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudyError, match=r"cannot be written.*use another --out"):
        run_study(study_config(), tmp_path / "file" / "out", crew=crew)


def test_a_storage_that_cannot_be_written_is_said_plainly(
    crew: Crew, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_study(study)

    def read_only(path: Path, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=timeout)

    monkeypatch.setattr("stdc_lab.storage.writing.sqlite3", SimpleNamespace(connect=read_only))
    with pytest.raises(StudyError, match=r"study\.db: cannot be written \(attempt to write a readonly database\)"):
        run_study(study_config(references=["stdc1"]), study, trials=99, crew=crew)
    assert load_study(study).equals(before)

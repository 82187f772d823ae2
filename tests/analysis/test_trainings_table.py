"""The table of a claim's trainings: every digit comes back, and a table that is none is refused by name."""

from pathlib import Path

import numpy as np
import pytest

from stdc_lab.analysis.trainings_table import (
    FREQUENT,
    TrainingRow,
    read_table,
    table_of,
    whole_pairs,
    with_frequent,
    write_table,
)
from stdc_lab.errors import StudyError

ARMS = ["neither", "detail"]


def row(arm: str, seed: int, miou: float | None = 0.1 + 0.2, **changes: object) -> TrainingRow:
    content: dict[str, object] = {
        "arm": arm,
        "seed": seed,
        "state": "complete" if miou is not None else "diverged",
        "miou": miou,
        "class_iou": {} if miou is None else {"road": 2 / 3, "sky, or so": 0.5, "pole": None},
        "pixel_accuracy": None if miou is None else 0.9,
        "iterations": 600,
        "seconds": None if miou is None else 12.5,
        "precision": "bfloat16",
        "processor": "A processor, of some kind",
        "fingerprint": "0123456789",
        "training": f"t{arm}",
        "trial_key": f"k{arm}{seed}",
        "contents": "c",
        "date": "2026-11-25T12:00:00Z",
        "reason": "" if miou is not None else "the loss is no number",
    }
    return TrainingRow.model_validate(content | changes)


def test_what_is_written_is_read_to_the_last_digit(tmp_path: Path) -> None:
    rows = [row("detail", 1), row("neither", 0), row("neither", 1, None), row("detail", 0, np.nextafter(0.3, 1))]
    write_table(tmp_path / "claim" / "camvid.csv", rows, ARMS)
    found = read_table(tmp_path / "claim" / "camvid.csv")
    assert found == [rows[1], rows[3], rows[2], rows[0]]  # by seed, arms in their order
    write_table(tmp_path / "again.csv", found, ARMS)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "claim" / "camvid.csv").read_bytes()


def test_keys_that_look_like_numbers_stay_texts(tmp_path: Path) -> None:
    rows = [row("neither", 0, trial_key="0001e10", fingerprint="0000000012", contents="12")]
    write_table(tmp_path / "t.csv", rows, ARMS)
    assert read_table(tmp_path / "t.csv") == rows


def test_no_file_is_no_row(tmp_path: Path) -> None:
    assert read_table(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("arm,", "arms,", "the column arm is missing"),
        ("complete", "completed", "no table of trainings: row 1: state: got 'completed'; allowed: "),
        ("complete", "diverged", "row 1: state diverged and miou 0.3"),
        ("0.30000000000000004", "", "row 1: state complete and miou None; allowed: a miou of each that did not"),
        ("0.30000000000000004", "nan", "row 1: miou: got 'nan'; allowed: input should be a finite number"),
        ("reason", "reason,extra", "no table of trainings"),
        ("neither,1", "neither,0", "two rows of arm neither, seed 0; keep one"),
        ("neither,1", "neither,one", "no table of trainings"),
        ("0.30000000000000004", "0,3", "no table of trainings"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "t.csv"
    write_table(path, [row(arm, seed) for seed in (0, 1) for arm in ARMS], ARMS)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StudyError, match=rf"t\.csv: .*{said}"):
        read_table(path)


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    arms = ["None", "NA"]  # which pandas takes for no value
    rows = [row(arm, seed) for seed in (0, 1) for arm in arms]
    write_table(tmp_path / "t.csv", rows, arms)
    saved = b"\xef\xbb\xbf" + (tmp_path / "t.csv").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "saved.csv").write_bytes(saved)
    assert read_table(tmp_path / "saved.csv") == read_table(tmp_path / "t.csv") == rows


def test_an_empty_file_is_no_table_and_a_header_alone_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(StudyError, match="no table of trainings"):
        read_table(tmp_path / "t.csv")
    write_table(tmp_path / "t.csv", [], ARMS)
    assert read_table(tmp_path / "t.csv") == []


def test_frequent_classes_are_unknown_where_every_training_diverged() -> None:
    frame = with_frequent(table_of([row(arm, 0, None) for arm in ARMS], ARMS), ["road"])
    assert frame[FREQUENT].isna().all()


def test_pairs_are_whole_and_of_one_machine_and_precision() -> None:
    rows = [row(arm, seed) for seed in range(4) for arm in ARMS][:-1]
    rows[2] = rows[2].replace(fingerprint="another")
    rows[5] = rows[5].replace(precision="float32")
    kept, left = whole_pairs(rows, ARMS)
    assert [(one.arm, one.seed) for one in kept] == [("neither", 0), ("detail", 0)]
    assert list(left) == [1, 2, 3]
    assert left[1] == left[2] == "arms of different machines or precisions"
    assert left[3] == "no training of detail"


def test_a_diverged_training_is_of_a_pair() -> None:
    kept, left = whole_pairs([row("neither", 0), row("detail", 0, None)], ARMS)
    assert len(kept) == 2
    assert not left


def test_frequent_classes_are_averaged_where_they_occur() -> None:
    frame = with_frequent(table_of([row("neither", 0), row("detail", 0, None)], ARMS), ["road", "pole"])
    assert frame[FREQUENT].tolist()[0] == 2 / 3
    assert np.isnan(frame[FREQUENT].tolist()[1])
    with pytest.raises(StudyError, match="frequent_classes: got 'car'; allowed: road, sky, or so, pole"):
        with_frequent(frame, ["car"])

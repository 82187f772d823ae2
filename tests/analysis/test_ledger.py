"""The ledger of a claim: only ever added to, and it knows what was changed after a look."""

from pathlib import Path

import pytest

from stdc_lab.analysis.ledger import Ledger, digest_of
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StudyError


def test_a_changed_claim_is_told_from_one_that_is_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "claim")
    assert ledger.changed("camvid", "old") is None  # nothing has begun
    ledger.begin("camvid", "old", {"contents": "pixels"})
    ledger.look("camvid", "old", 4, "undecided", 0.01, (-0.02, 0.04), 1.5)
    again = Ledger(tmp_path / "claim")
    assert again.changed("camvid", "old", {"contents": "pixels"}) is None
    assert "the claim's file was changed" in str(again.changed("camvid", "new"))
    assert "contents was pixels" in str(again.changed("camvid", "old", {"contents": "others"}))
    assert again.changed("scenes", "new") is None
    again.look("camvid", "new", 5, "supported", 0.02, (0.01, 0.03))
    first, second = Ledger(tmp_path / "claim").looks("camvid")
    assert first.exploratory is None
    assert "was changed" in str(second.exploratory)


def test_it_begins_once_and_the_same_look_is_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for _ in range(2):
        ledger.begin("camvid", "claim", {"contents": "pixels"}, "asked for")
        ledger.look("camvid", "claim", 4, "undecided", 0.01, (-0.02, 0.04))
        ledger.begin("camvid", "other", {})
    ledger.look("camvid", "claim", 5, "undecided", 0.01, (-0.02, 0.04))
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert [one.seeds for one in Ledger(tmp_path).looks("camvid")] == [4, 5]
    beginning = Ledger(tmp_path).beginning("camvid")
    assert beginning is not None
    assert (beginning.claim, beginning.anyway) == ("claim", "asked for")


def test_nothing_that_was_written_is_changed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin("camvid", "claim", {})
    before = (tmp_path / "ledger.jsonl").read_text()
    ledger.look("camvid", "claim", 4, "undecided")
    assert (tmp_path / "ledger.jsonl").read_text().startswith(before)


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin("camvid", "claim", {})
    with ledger.path.open("a") as file:
        file.write("half a li")
    with pytest.raises(StudyError, match=r"ledger.jsonl:2: no entry of a ledger"):
        Ledger(tmp_path)


def test_a_digest_is_of_what_differs_from_the_defaults() -> None:
    assert digest_of(TrainConfig()) == digest_of(TrainConfig(iterations=600))
    assert digest_of(TrainConfig()) != digest_of(TrainConfig(iterations=601))


def test_what_a_look_has_seen_may_be_added_to_and_not_edited(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin("camvid", "claim", {})
    ledger.look("camvid", "claim", 2, "undecided", seen={"seed 0": "aa", "seed 1": "bb"})
    again = Ledger(tmp_path)
    assert again.changed("camvid", "claim", seen={"seed 0": "aa", "seed 1": "bb", "seed 2": "cc"}) is None
    assert "seed 1 was edited after the look of" in str(
        again.changed("camvid", "claim", seen={"seed 0": "aa", "seed 1": "xx"})
    )
    assert "seed 0 was taken out of its table after" in str(again.changed("camvid", "claim", seen={"seed 1": "bb"}))
    again.look("camvid", "claim", 2, "supported", seen={"seed 0": "aa", "seed 1": "xx"})
    assert "seed 1 was edited" in str(Ledger(tmp_path).looks("camvid")[-1].exploratory)
    # Put back as it was, the edit that was looked at is still told.
    assert Ledger(tmp_path).changed("camvid", "claim", seen={"seed 0": "aa", "seed 1": "bb"}) is not None


def test_a_look_at_other_inputs_is_exploratory_and_a_newer_package_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin("camvid", "claim", {"contents": "pixels", "stdc_lab": "1.0"})
    ledger.look("camvid", "claim", 1, "undecided", inputs={"contents": "pixels", "stdc_lab": "1.1"})
    ledger.look("camvid", "claim", 2, "undecided", inputs={"contents": "others", "stdc_lab": "1.1"})
    first, second = Ledger(tmp_path).looks("camvid")
    assert first.exploratory is None
    assert "contents was pixels" in str(second.exploratory)


def test_a_ledger_without_its_beginning_is_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.changed("camvid", "claim", seen={}) is None
    assert "no line of the ledger says" in str(ledger.changed("camvid", "claim", seen={"seed 0": "aa"}))
    ledger.begin("camvid", "claim", {}, trainings=8)
    assert "its ledger began on" in str(ledger.changed("camvid", "claim"))
    assert "after 8 trainings" in str(Ledger(tmp_path).changed("camvid", "claim"))


def test_lines_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text(
        '{"event":"begun","date":"2026-11-25T00:00:00Z","protocol":"p","claim":"c","inputs":{},"anyway":null}\n'
        '{"event":"look","date":"2026-11-25T00:00:01Z","protocol":"p","claim":"c","seeds":4,"verdict":"undecided",'
        '"effect":0.1,"interval":[-1.0,1.0],"e_value":1.0,"exploratory":null}\n'
    )
    assert Ledger(tmp_path).changed("p", "c", {}, {"seed 0": "aa"}) is None

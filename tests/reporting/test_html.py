from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure
from optuna.trial import TrialState

from stdc_lab.arch import presets
from stdc_lab.errors import ConfigError, StudyError
from stdc_lab.records import TrialRecord
from stdc_lab.reporting import render_report
from stdc_lab.reporting.protocol import training_rows
from tests.reporting.conftest import HOSTILE, LONG
from tests.study_folder import (
    SPACE,
    add_complete,
    add_unfinished,
    latency_result,
    make_record,
    open_study,
    some_params,
    study_config,
)

VOID = {"meta", "img", "wbr", "br", "link"}


class Outline(HTMLParser):
    """Tags with their attributes, and whether all that opened was closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.problems, self.rows = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def section(page, name):
    return page.split(f'id="{name}"', 1)[1].split("</article>" if name.startswith("trial-") else "</section>", 1)[0]


def test_the_page_is_well_formed_and_links_within_itself(outline):
    assert outline.problems == []
    assert outline.open == []
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["href"][1:] in ids for attrs in outline.all("a"))


def test_the_page_needs_nothing_beside_itself(page, outline):
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in outline.all("img"))
    assert all(attrs.get("alt") for attrs in outline.all("img"))
    assert not outline.all("link")
    assert not re.search(r"https?://|@import|url\(", page)


def test_what_users_wrote_is_escaped(page, outline):
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert len(outline.all("script")) == 1
    assert page.count("OutOfMemory &lt;script&gt;") == 2  # shown, and what the column is sorted by
    assert LONG in page


def test_nothing_tells_of_the_machine(page, folder):
    assert str(folder.parent) not in page
    assert "/home/someone" not in page
    assert "…/model.py" in page


def test_every_trial_is_in_the_table(page):
    trials = section(page, "trials")
    assert trials.count("<tr") == 1 + 7
    rows = {row.split("<td", 2)[1].split(">", 1)[1]: row for row in trials.split("<tr")[2:]}
    marks = {
        "stdc1 (#0)": [">finished<"],
        "#1": [">finished<", "on the front", 'data-key="0.5">0.500<'],
        "#2": [">finished<", "on the front", 'data-key="0.56">0.560<'],
        "#3": [">finished<", "timed on an unquiet machine", 'data-key="0.48">0.480<'],
        "#4": [">finished<", "repeats #1, not trained again", 'data-key="0.5">0.500<'],
        "#5": ["failed", "OutOfMemory"],
        "#6": ["screened out", "over the limit of 60 ms"],
    }
    every = {mark for found in marks.values() for mark in found}
    for (name, found), row in zip(marks.items(), rows.values(), strict=True):
        assert name in row
        # What one trial is marked by is no mark of another: a table that marks them all says nothing.
        assert [mark for mark in every if mark in row] == [mark for mark in every if mark in found], name
    assert not re.search(r">[^<]*\bnan\b", page.split("<script>")[0])


def test_the_front_is_compared_with_the_reference(page):
    front = section(page, "front")
    assert "Latency ÷ stdc1" in front
    assert "0.80" in front
    assert "+0.010" in front
    assert front.count("<tr") == 1 + 2


def test_front_members_and_references_have_sections(page):
    assert re.findall(r'<article class="network" id="(trial-\d+)"', page) == ["trial-1", "trial-2", "trial-0"]
    one = section(page, "trial-1")
    for words in ("stage 5", "whole network", "not run", "aten::sigmoid × 4", "neither in labels nor predictions"):
        assert words in one
    assert one.count("data:image/png") == 1 + 2
    assert "background:#808080" in one
    assert "ArchSpec.from_dict" in one


def test_a_missing_record_is_said_and_nothing_is_broken(page):
    without = section(page, "trial-2")
    assert "The record of this trial (trial.json) is missing or cannot be read" in without
    assert "No sample predictions were kept for this trial." in without
    assert "block widths in stage 3" in without
    assert "<img" not in without


def test_the_protocol_tells_a_training_that_changed_its_precision_on_the_way():
    record = make_record(0, presets["stdc1"], study_config(), 0.5, 20.0)
    stretches = [{"after": 0, "device": "cpu", "precision": "bfloat16"}]
    stretches.append({"after": 90, "device": "cpu", "precision": "float32"})
    mixed = record.model_dump(mode="json")
    mixed["result"]["computed"] = stretches
    records = [record, TrialRecord.model_validate(mixed)]
    rows = dict(training_rows(study_config(), records))
    assert rows["Precision"] == "float32; trained in bfloat16 on cpu to iteration 90, in float32 on cpu from there"


def test_protocol_and_commands(page):
    assert "stdc-lab search study.yaml --out runs/demo" in page
    for words in ("eager PyTorch, channels last", "Example CPU", "1×3×180×240", "random: no pretraining", "2.9.0"):
        assert words in section(page, "protocol")
    assert "base_width" in section(page, "reproduce")


def test_the_charts_lie_beside_the_page(page_path):
    names = {path.name for path in page_path.parent.iterdir()}
    assert names == {"index.html", "pareto.png", "macs.png", "parameters.png", "curve-0.png", "curve-1.png"}


def test_rendering_again_replaces_charts_and_leaves_other_files(folder, tmp_path, plain_charts):
    target = tmp_path / "somewhere" / "new"
    target.mkdir(parents=True)
    for name in ("curve-77.png", "mine.png", "index.html"):
        (target / name).write_text("old")
    page = render_report(folder, with_images=False, out=target)
    assert page == target / "index.html"
    assert not (target / "curve-77.png").exists()
    assert (target / "mine.png").read_text() == "old"
    text = page.read_text(encoding="utf-8")
    assert "Sample predictions" not in text
    assert text.count("data:image/png") == 3 + 2
    assert not list(target.glob(".*"))


def test_an_empty_study_has_a_page(tmp_path):
    with open_study(tmp_path, study_config()):
        pass
    page = render_report(tmp_path).read_text(encoding="utf-8")
    assert "The study holds no trial yet." in page
    assert "None yet. Run <code>stdc-lab search</code>" in page
    assert 'id="networks"' not in page
    assert Outline(page).problems == []


def test_a_study_that_only_failed_has_a_page(tmp_path, plain_charts):
    config = study_config(name="n" * 64, title="", data={"name": "camvid", "split": "drive"})
    with open_study(tmp_path, config) as study:
        add_unfinished(study, config, TrialState.FAIL, params=some_params(1), reason="no memory")
        add_unfinished(study, config, TrialState.FAIL)
    page = render_report(tmp_path).read_text(encoding="utf-8")
    for words in ("2 trials: 2 failed.", "no memory", "no reason was recorded", "n" * 64, "--data camvid=PATH"):
        assert words in page
    assert "held-out drive 0006R0" in page


@pytest.fixture
def plain_charts(monkeypatch):
    """Empty charts: drawing takes seconds, and is tested elsewhere."""
    for name in ("pareto_figure", "macs_figure", "parameters_figure", "curve_figure"):
        monkeypatch.setattr(f"stdc_lab.reporting.html.{name}", lambda *_, **__: Figure(figsize=(1, 1)))


@pytest.fixture
def small(tmp_path, plain_charts):
    """One trial on the front, not retimed, with everything a run leaves."""
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=12.0, params=some_params(1), samples=1)
    return tmp_path


def test_damaged_files_of_a_run_are_said_in_words(small):
    (run,) = (small / "runs").iterdir()
    (run / "trial.json").write_text("{")
    (run / "predictions" / "0000.png").write_bytes(b"")
    (run / "predictions" / "legend.json").write_text(json.dumps({"sky": "red;}</style>", "road": 3}))
    page = render_report(small).read_text(encoding="utf-8")
    assert "is missing or cannot be read" in page
    assert "1 of its sample predictions cannot be read. The legend of their colours was not kept." in page
    assert "red;" not in page


def test_retimed_latencies_are_shown_beside_the_first(small):
    config = study_config()
    with open_study(small, config) as study:
        arch_id = study.trials[0].user_attrs["arch_id"]
        study.set_user_attr("retimed", {arch_id: latency_result(9.25).model_dump(mode="json")})
        study.set_user_attr("retimed_at", "2025-05-01T10:00:00+00:00")
    page = render_report(small).read_text(encoding="utf-8")
    trials = section(page, "trials")
    assert "Before" in trials
    assert "9.25" in trials
    assert "12.00" in trials
    assert "in one pass, interleaved (2025-05-01T10:00:00+00:00)" in page
    assert "stdc-lab study retime runs/" in section(page, "reproduce")


def test_what_another_timing_has_to_decide_is_on_the_page(tmp_path, plain_charts):
    config = study_config(constraints=["latency_ms <= 20"])
    open_ends = {"latency_ms_low": 19.0, "latency_ms_high": 21.0, "latency_note": "five times too much"}
    slow = {"screened": True, "latency_ms": 45.0, "latency_spread": 0.4}
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=19.8, params=some_params(1), **open_ends)
        for arch_id in ("still", "back"):
            add_unfinished(study, config, TrialState.PRUNED, params=some_params(2), arch_id=arch_id, **slow)
        study.set_user_attr("retimed", {"back": latency_result(12.0).model_dump(mode="json")})
    page = render_report(tmp_path).read_text(encoding="utf-8")
    trials = section(page, "trials")
    assert "latency is five times too much; may or may not meet a bound on latency: to be timed again" in trials
    assert trials.count("was screened out on a noisy timing: to be timed again</td>") == 1
    assert trials.count("breaks no bound by the new timing</td>") == 1
    assert "Of 1 network the timing leaves open whether a bound on latency is met" in page
    assert "1 candidate screened out on a noisy timing" in page


def test_what_cannot_be_read_or_written_is_a_study_error(small, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with pytest.raises(StudyError, match="no such folder"):
        render_report(elsewhere / "nowhere")
    (elsewhere / "file").touch()
    with pytest.raises(StudyError, match=r"cannot be written: .*; use another --out"):
        render_report(small, out=elsewhere / "file")
    (small / "study.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        render_report(small)
    shutil.copy(small / "study.db", elsewhere)
    with pytest.raises(StudyError, match=r"no study\.yaml in it"):
        render_report(elsewhere)


def test_the_page_says_what_was_asked(tmp_path):
    plan = {"arms": {"a": {}, "b": {"num_blocks": 3}}, "seeds": [0, 7]}
    changes = {"objectives": ["miou", "num_params"], "constraints": ["latency_ms <= 40"]}
    space = {**SPACE, "limits": ["macs <= 8e9 at 512x1024"]}
    with open_study(tmp_path / "one", study_config(pruning={}, space=space, **changes)):
        pass
    page = render_report(tmp_path / "one").read_text()
    assert "miou up, num_params down" in page
    assert "macs &lt;= 8000000000 at 512x1024 (theory); latency_ms &lt;= 40" in page
    assert "TPE, after 8 random proposals" in page
    assert "by more than 2 × the noise of that evaluation" in page
    with open_study(tmp_path / "two", study_config(plan=plan)):
        pass
    page = render_report(tmp_path / "two").read_text()
    assert "a plan: 2 arms (a, b) with each of seeds 0, 7" in page
    assert "No arm has a finished training yet." in page
    assert "0, 7 of every arm" in section(page, "protocol")

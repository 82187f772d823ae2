from __future__ import annotations

import pytest

from stdc_lab.reporting.phrases import signed, without_paths
from stdc_lab.reporting.words import aims_in_words, cautions, compare, count_sentence, summary
from tests.study_folder import study_config


def test_trials_are_counted_by_what_became_of_them(frame):
    assert count_sentence(frame) == (
        "7 trials: 4 finished, 1 failed, 1 screened out, 1 proposed again what had been trained, and was not trained."
    )
    assert count_sentence(frame[:1]) == "1 trial: 1 finished."
    assert count_sentence(frame[:0]) == "The study holds no trial yet."


def test_the_summary_tells_what_beats_the_reference(frame):
    text = " ".join(summary(frame))
    assert "2 networks are on the front, where more mIoU costs more time: from #1 (12.0 ms, mIoU 0.500) to #2" in text
    assert (
        "One trial is at least as fast and as accurate as stdc1 (30.0 ms, mIoU 0.550); it is #2 (24.0 ms, mIoU 0.560): "
        "0.80 × the latency, mIoU +0.010." in text
    )


def test_the_objectives_are_said_with_their_direction(frame):
    assert aims_in_words(frame) == "mIoU up, latency down"
    other = frame.copy()
    other.attrs["objectives"] = ["boundary_f", "maximize num_params", "peak_memory_bytes"]
    assert aims_in_words(other) == "boundary F-score up, parameters up, memory down"


def test_the_summary_tells_what_comes_near_where_nothing_beats_it(frame):
    text = " ".join(summary(frame[frame["number"] != 2]))
    assert "No searched trial is at least as fast and as accurate as stdc1" in text
    assert "the most accurate that is faster is #1 (12.0 ms, mIoU 0.500): 0.40 × the latency, mIoU −0.050." in text
    slower = frame[frame["number"].isin([0, 3])].assign(latency_ms=[30.0, 40.0], on_front=[True, False])
    assert "stdc1 (30.0 ms, mIoU 0.550), and none is faster." in " ".join(summary(slower))


def test_without_references_or_searched_trials_it_says_so(frame):
    assert "No reference network finished" in summary(frame[frame["number"].isin([1, 2])])[-1]
    alone = summary(frame[frame["number"] == 0].assign(on_front=True))
    assert alone[1:] == [
        "stdc1 (30.0 ms, mIoU 0.550) is the only finished network so far: there is nothing to compare."
    ]
    winner = summary(frame[frame["number"].isin([0, 2])])
    assert winner[1].startswith("#2 (24.0 ms, mIoU 0.560) is both the fastest and the most accurate")


def test_nothing_finished_is_said(frame):
    unfinished = frame[frame["state"] != "COMPLETE"]
    assert summary(unfinished)[-1] == "There is no finished trial to compare, so this page has no front."
    assert cautions(unfinished, study_config()) == []


def test_cautions_name_the_one_seed_and_the_noise(frame):
    text = " ".join(cautions(frame, study_config()))
    assert "Every network was trained once (seed 0)" in text
    assert "1 of 4 latencies have a spread above 0.1" in text
    assert "600 iterations from random weights on synthetic scenes" in text


def test_several_seeds_are_noticed(frame):
    again = frame[frame["number"].isin([0, 1, 2])].assign(network=[0, 1, 1], network_seeds=[1, 2, 2])
    assert cautions(again, study_config())[0] == (
        "1 of 2 networks were trained with several seeds: their mIoU is the mean, and its interval (Student’s t) is of "
        "their own spread. The other 1 has a single training, which may be lucky."
    )


def test_comparison_with_a_reference(frame):
    (one,) = compare(frame.loc[2], frame[:1])
    assert (one.reference, one.latency_ratio) == ("stdc1", pytest.approx(0.8))
    assert one.miou_difference == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0141, "+0.014"), (-0.05, "−0.050"), (0.0, "±0.000"), (-0.0001, "±0.000")]
)
def test_differences_have_signs(value, text):
    assert signed(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file /home/me/data/camvid/val.txt there", "no file …/val.txt there"),
        ("'/tmp/x/y.pt': gone", "'…/y.pt': gone"),
        ("~/data/camvid: gone", "…/camvid: gone"),
        (r"C:\Users\me\x.pt gone", r"…\x.pt gone"),
        ("heads at 1/8 and 1/16, 3 s/it, https://host/a/b", "heads at 1/8 and 1/16, 3 s/it, https://host/a/b"),
        ("and/or/else <script>x</script> </p>", "and/or/else <script>x</script> </p>"),
    ],
)
def test_folders_of_the_machine_are_cut_out(text, shown):
    assert without_paths(text) == shown

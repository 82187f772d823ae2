"""What `judge` says of a table, and of tables that cannot be judged."""

import json
import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stdc_lab
from stdc_lab import judge
from stdc_lab.analysis.judge import judge_contrast
from stdc_lab.analysis.results import read_results
from stdc_lab.analysis.sequential import repeated_interval
from stdc_lab.errors import ResultsError, StdcLabError

ASKED: dict[str, Any] = {"control": "plain", "treatment": "guided", "metric": "miou", "margin": 0.5}


def table(differences: Any, seed: int = 0) -> pd.DataFrame:
    """Rows of a seed's two arms, whose base differs from seed to seed."""
    differences = np.asarray(differences, float)
    base = np.random.default_rng(seed).normal(70, 2, len(differences))
    seeds = list(range(len(differences)))
    arms = ["plain"] * len(seeds) + ["guided"] * len(seeds)
    return pd.DataFrame({"arm": arms, "seed": seeds * 2, "miou": [*base, *(base + differences)]})


def noisy(effect: float, pairs: int, sd: float = 1.0, seed: int = 0) -> pd.DataFrame:
    return table(np.random.default_rng(seed).normal(effect, sd, pairs), seed)


def test_the_first_k_seeds_give_the_look_at_k() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 16)
    whole = judge(table(values), **ASKED, max_seeds=16)
    assert whole.verdict == "undecided" and whole.seeds == 16 and whole.more_seeds is None
    for look in whole.looks:
        k = look.seeds
        part = judge(table(values).query("seed < @k"), **ASKED, max_seeds=16)
        assert (part.verdict, part.seeds, part.effect) == ("undecided", k, pytest.approx(values[:k].mean()))
        assert part.interval == pytest.approx(repeated_interval(values[:k], 16)) == look.interval
        assert part.e_value == pytest.approx(look.e_value)
    assert [look.seeds for look in whole.looks] == list(range(4, 17))


def test_the_first_look_in_seed_order_counts_whatever_the_order_of_the_rows_and_what_comes_after() -> None:
    values = np.concatenate([np.random.default_rng(1).normal(3, 0.3, 8), np.full(8, -9) + np.arange(8)])
    frame = table(values)
    found = judge(frame.sample(frac=1, random_state=3), **ASKED, max_seeds=16)
    assert found.verdict == "supported" and found.more_seeds == 0 and found.pairs == 16
    assert found == judge(frame, **ASKED, max_seeds=16)
    assert found.interval[0] > 0 and found.interval == pytest.approx(repeated_interval(values[: found.seeds], 16))
    before = judge(frame[frame["seed"] < found.seeds - 1], **ASKED, max_seeds=16)
    assert before.verdict == "undecided" or found.seeds == 4
    names = frame.assign(seed=frame["seed"].map(lambda seed: f"run-{seed:02d}"))
    assert judge(names, **ASKED, max_seeds=16).interval == found.interval


def test_less_is_better_where_the_metric_is_minimized() -> None:
    frame = noisy(-3, 10)
    assert judge(frame, **ASKED, max_seeds=10).verdict == "contradicted"
    found = judge(frame, **ASKED, max_seeds=10, direction="minimize")
    assert found.verdict == "supported" and found.effect > 2
    assert judge(noisy(3, 10), **ASKED, max_seeds=10, direction="minimize").verdict == "contradicted"


def test_the_three_assertions_of_one_table() -> None:
    small = noisy(0, 16, sd=0.2)
    said = {one: judge(small, **ASKED, max_seeds=16, asserts=one).verdict for one in ("better", "not_worse", "equal")}  # type: ignore[arg-type]
    assert said == {"better": "no difference that matters", "not_worse": "supported", "equal": "supported"}
    large = noisy(-3, 16)
    assert judge(large, **ASKED, max_seeds=16, asserts="not_worse").verdict == "contradicted"
    assert judge(large, **ASKED, max_seeds=16, asserts="equal").verdict == "contradicted"


def test_more_seeds_are_named_with_their_chance() -> None:
    found = judge(noisy(0.9, 7, seed=1), **ASKED, max_seeds=16)
    assert found.verdict == "undecided" and found.more_seeds is not None and 1 <= found.more_seeds <= 9
    assert found.chance is not None and found.chance >= 0.5
    assert f"+{found.more_seeds} seeds decide with a chance of" in found.reason
    far = judge(table([3, -3, 3.1, -2.9, 3, -3.1, 0.1]), **ASKED, max_seeds=9)
    assert far.more_seeds == 2 and far.chance is not None and far.chance < 0.5


def test_a_main_effect_of_two_by_two_is_a_contrast() -> None:
    draw, rows = np.random.default_rng(4), []
    effects = {"neither": 0.0, "detail": 2.0, "heads": 1.0, "both": 3.0}
    for seed in range(12):
        base = draw.normal(70, 3)
        rows += [{"arm": a, "seed": seed, "miou": base + e + draw.normal(0, 0.3)} for a, e in effects.items()]
    frame = pd.DataFrame(rows)
    weights = {"both": 0.5, "detail": 0.5, "heads": -0.5, "neither": -0.5}
    found = judge_contrast(frame, weights, metric="miou", margin=0.5, max_seeds=12)
    assert found.verdict == "supported" and found.effect == pytest.approx(2, abs=0.3)
    assert "+0.5 × both" in str(found)
    pair = judge_contrast(frame, {"detail": 1, "neither": -1}, metric="miou", margin=0.5, max_seeds=12)
    assert pair == judge(frame, control="neither", treatment="detail", metric="miou", margin=0.5, max_seeds=12)
    with pytest.raises(ResultsError, match=r"weights: got .* allowed: two or more arms whose weights have the sum 0"):
        judge_contrast(frame, {"both": 1, "heads": -0.5}, metric="miou", margin=0.5)


def test_rows_past_the_plan_do_not_change_its_verdict() -> None:
    planned = noisy(2, 12)
    found = judge(planned, **ASKED, max_seeds=12)
    values = planned.pivot(index="seed", columns="arm", values="miou").eval("guided - plain").to_numpy()
    longer = judge(table([*values, *np.full(8, -20)]), **ASKED, max_seeds=12)
    assert (longer.verdict, longer.seeds) == (found.verdict, found.seeds) == ("supported", found.seeds)
    assert longer.pairs == 20


def test_past_an_undecided_plan_only_an_e_value_of_20_counts() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 16)
    assert judge(table(values), **ASKED, max_seeds=16).verdict == "undecided"
    still = judge(table([*values, 0.5, 0.9]), **ASKED, max_seeds=16)
    assert still.verdict == "undecided" and still.e_value < 20 and still.seeds == 18
    assert "the plan of 16 seeds ended undecided" in still.reason
    more = np.random.default_rng(1).normal(1.5, 1, 30)
    decided = judge(table([*values, *more]), **ASKED, max_seeds=16)
    assert decided.verdict == "supported" and decided.e_value >= 20
    assert "the direction of the effect decides" in decided.reason and "e-value is" in decided.reason
    assert not decided.looks[-1].planned and decided.looks[-2].e_value < 20
    worse = judge(table([*values, *(more - 4)]), **ASKED, max_seeds=16)
    assert worse.verdict == "contradicted"


def test_past_the_plan_the_first_look_with_enough_evidence_counts_and_little_evidence_for_nothing() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 16)
    more = np.random.default_rng(1).normal(1.5, 1, 30)
    decided = judge(table([*values, *more]), **ASKED, max_seeds=16)
    assert 16 < decided.seeds < 40
    longer = judge(table([*values, *more, *np.full(30, -20)]), **ASKED, max_seeds=16)
    assert (longer.verdict, longer.seeds, longer.interval) == ("supported", decided.seeds, decided.interval)
    close = judge(table([*values, *np.tile([0.1, -0.1], 40)]), **ASKED, max_seeds=16)
    assert close.verdict == "undecided" and close.e_value < 20  # though the interval lies within the margin
    assert close.interval[0] > -0.5 and close.interval[1] < 0.5
    same = judge(table([*values, *np.tile([0.1, -0.1], 40)]), **ASKED, max_seeds=16, asserts="equal")
    assert same.verdict == "supported" and "past it only evidence counts" in same.reason


def test_without_a_plan_it_is_one_look_at_all_rows() -> None:
    frame = noisy(1, 10)
    found = judge(frame, **ASKED)
    values = frame.pivot(index="seed", columns="arm", values="miou").eval("guided - plain")
    plain = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.interval == pytest.approx((plain.low, plain.high))
    assert "one look at all pairs" in str(found) and "no max_seeds was given" in str(found)
    assert len(found.looks) == 1


def test_without_seeds_it_is_one_interval_by_welch() -> None:
    frame = noisy(5, 10).drop(columns="seed").iloc[:-2]
    found = judge(frame, **ASKED, max_seeds=16)
    arms = {arm: rows["miou"] for arm, rows in frame.groupby("arm")}
    welch = stats.ttest_ind(arms["guided"], arms["plain"], equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((welch.low, welch.high))
    assert "Welch" in str(found) and "there is no seed column" in str(found)
    assert math.isnan(found.e_value)


@pytest.mark.parametrize("max_seeds", [None, 16])
@pytest.mark.parametrize("pairs", [1, 3])
def test_fewer_than_four_pairs_decide_nothing(max_seeds: int | None, pairs: int) -> None:
    found = judge(table([9, 9.1, 8.9][:pairs]), **ASKED, max_seeds=max_seeds)
    assert found.verdict == "undecided" and found.more_seeds == 4 - pairs
    assert f"fewer than four pairs ({pairs})" in found.reason
    unpaired = judge(table([9, 9.1, 8.9][:pairs]).drop(columns="seed"), **ASKED)
    assert unpaired.verdict == "undecided" and "fewer than four rows" in unpaired.reason


@pytest.mark.parametrize("max_seeds", [None, 16])
@pytest.mark.parametrize("with_seeds", [True, False])
def test_a_training_that_diverged_is_data(max_seeds: int | None, with_seeds: bool) -> None:
    frame = noisy(5, 10).assign(state="complete")
    frame.loc[[10, 13, 14, 17, 19], "state"] = "diverged"
    frame.loc[[10, 13, 14, 17], "miou"] = math.nan
    if not with_seeds:
        frame = frame.drop(columns="seed")
    found = judge(frame, **ASKED, max_seeds=max_seeds)
    assert found.verdict == "undecided" and found.reason.startswith("diverged 5 of 20")
    assert found.diverged == (("guided", 5, 10), ("plain", 0, 10))
    assert found.divergence_p_value == pytest.approx(stats.fisher_exact([[5, 5], [0, 10]]).pvalue)
    assert found.more_seeds is None
    assert judge(frame.assign(state="complete").fillna({"miou": 70}), **ASKED).diverged == ()


def test_a_training_that_diverged_past_the_plan_does_not_change_its_verdict() -> None:
    frame = noisy(5, 10).assign(state="complete")
    frame.loc[[9, 19], "state"] = "diverged"
    assert judge(frame, **ASKED, max_seeds=8).verdict == "supported"
    undecided = noisy(0.4, 18).assign(state="")
    undecided.loc[17, "state"] = "diverged"
    assert "diverged 1 of 36" in judge(undecided, **ASKED, max_seeds=16).reason


def test_differences_that_are_all_equal_have_an_interval_without_width() -> None:
    found = judge(table([0.0] * 5), **ASKED, max_seeds=8)
    assert found.verdict == "no difference that matters" and found.interval == pytest.approx((0, 0))


GOOD = noisy(1, 6)


def changed(column: str, row: int, value: object) -> pd.DataFrame:
    frame = GOOD.astype({column: object})
    frame.loc[row, column] = value
    return frame


BAD_TABLES = {
    "doubled": (pd.concat([GOOD, GOOD.iloc[:1]]), "two rows of arm 'plain' and seed 0; allowed: one"),
    "nan": (changed("miou", 2, math.nan), r"column 'miou', arm plain, seed 2: no value \(NaN\)"),
    "none": (changed("miou", 2, None), "column 'miou', arm plain, seed 2: no value"),
    "infinite": (changed("miou", 8, math.inf), "column 'miou', arm guided, seed 2: got inf; allowed: a finite number"),
    "unpaired": (GOOD.drop(index=8), "unpaired: arm 'guided' has no row of seed 2"),
    "comma": (changed("miou", 3, "70,5"), "arm plain, seed 3: got '70,5'; allowed: a number with a decimal point, not"),
    "text": (changed("miou", 3, "high"), "arm plain, seed 3: got 'high'; allowed: a number$"),
    "no seed": (changed("seed", 3, math.nan), "column 'seed': arm 'plain' has a row without a seed"),
    "failed": (GOOD.assign(state="failed"), "arm guided, seed 0: state is 'failed'; allowed: complete"),
    "no arm": (GOOD.replace("guided", "other"), "column 'arm': no arm 'guided'; got plain, other"),
    "no metric": (GOOD.rename(columns={"miou": "iou"}), "no column 'miou'; got arm, seed, iou"),
    "no arms": (GOOD.rename(columns={"arm": "name"}), "no column 'arm'; got name"),
    "two columns": (pd.concat([GOOD, GOOD[["miou"]]], axis=1), "column 'miou' is there 2 times; allowed: once"),
}


@pytest.mark.parametrize(("frame", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_what_cannot_be_judged_is_said_by_name(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(StdcLabError, match=message):
        judge(frame, **ASKED, max_seeds=16)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"margin": 0}, "margin: got 0; allowed: above 0"),
        ({"margin": math.nan}, "margin: got nan; allowed: above 0"),
        ({"margin": "1"}, "margin: got '1'; allowed: a number above 0"),
        ({"max_seeds": 3}, "max_seeds: got 3; allowed: from 4"),
        ({"asserts": "worse"}, "asserts: got 'worse'; allowed: better, not_worse, equal"),
        ({"direction": "up"}, "direction: got 'up'; allowed: maximize, minimize"),
        ({"treatment": "plain"}, "control and treatment are both 'plain'; allowed: two arms"),
        ({"seed_column": "run"}, "no column 'run'; got arm, seed, miou"),
    ],
)
def test_what_cannot_be_asked_is_said(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        judge(GOOD, **(ASKED | asked))


def test_arms_that_are_not_asked_for_may_be_anything() -> None:
    other = pd.DataFrame({"arm": ["other"] * 2, "seed": [0, 0], "miou": [math.nan, 3]})
    assert judge(pd.concat([GOOD, other]), **ASKED, max_seeds=8) == judge(GOOD, **ASKED, max_seeds=8)


def test_a_verdict_shows_itself() -> None:
    frame = GOOD.replace("guided", "<script>alert(1)</script>")
    found = judge(frame, **(ASKED | {"treatment": "<script>alert(1)</script>"}), max_seeds=16)
    page = found._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and found.verdict in page
    text = json.loads(json.dumps(judge(table([1, 2, 3]), **ASKED, max_seeds=16).to_dict(), allow_nan=False))
    assert text["interval"] == [None, None] and text["verdict"] == "undecided"
    assert text["weights"] == {"guided": 1, "plain": -1}
    assert "judge" in stdc_lab.__all__
    with pytest.raises(AttributeError):
        found.verdict = "supported"  # type: ignore[misc]


def test_a_thousand_calls_take_seconds() -> None:
    frames = [noisy(0.3, 16, seed=seed) for seed in range(100)]
    judge(frames[0], **ASKED, max_seeds=20)
    started = time.process_time()
    for frame in frames:
        judge(frame, **ASKED, max_seeds=20)
    assert time.process_time() - started < 1.0


def test_a_csv_is_read_as_it_stands(tmp_path: Any) -> None:
    path = tmp_path / "results.csv"
    GOOD.to_csv(path, index=False)
    assert judge(read_results(path), **ASKED, max_seeds=8) == judge(GOOD, **ASKED, max_seeds=8)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets write it
    assert judge(read_results(path), **ASKED, max_seeds=8) == judge(GOOD, **ASKED, max_seeds=8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 0 rows; allowed: a header and a row a training"),
        (b"arm,seed,miou\na,0,0,5\n", "row 2 has 4 fields and the header 3"),
        (b"arm,miou,miou\na,0,1\n", "column 'miou' is there 2 times"),
        (b"arm\xff,seed\n", "bytes that are no UTF-8"),
        (b'arm,seed\n"a,0\n', "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_table_is_said(content: bytes, message: str, tmp_path: Any) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=message):
        read_results(path)

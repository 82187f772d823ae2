"""What the tables of a claim say of it: contrasts, Holm within a claim and over the family, and what was left out."""

import numpy as np
import pytest

from stdc_lab.analysis.claim_verdict import ClaimVerdict, differences, judge_figures, judge_trained, with_holm
from stdc_lab.analysis.judge import judge_contrast
from stdc_lab.analysis.stated import frame_of
from stdc_lab.analysis.trainings_table import TrainingRow, table_of
from stdc_lab.config.claim import ExactClaim, TrainedClaim

ARMS = ("neither", "detail", "auxiliary", "both")
MAIN = {"detail": 0.5, "both": 0.5, "neither": -0.5, "auxiliary": -0.5}
HEAD = {"title": "t", "statement": "s", "source": "x", "replication": {"recipe": "none"}}


def claim_of(**changes: object) -> TrainedClaim:
    content = {
        **HEAD,
        "id": "details",
        "kind": "trained",
        "arms": {
            "neither": {"heads.detail_strides": (), "heads.auxiliary": False},
            "detail": {"heads.detail_strides": (8,), "heads.auxiliary": False},
            "auxiliary": {"heads.detail_strides": ()},
            "both": {"heads.detail_strides": (8,)},
        },
        "control": "neither",
        "contrast": MAIN,
        "secondary": {"heads": {"auxiliary": 1, "neither": -1}, "sum": {"both": 1, "neither": -1}},
        "margin": 0.01,
        "assumed_sd": 0.008,
        "protocols": {"scenes": {"frequent_classes": ("road",)}, "other": {"explores": True, "max_seeds": 4}},
    }
    return TrainedClaim.model_validate(content | changes)


def rows_of(effects: dict[str, float], seeds: int = 8, noise: float = 0.002) -> list[TrainingRow]:
    draws = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for arm in ARMS:
            miou = 0.4 + 0.01 * seed + effects.get(arm, 0.0) + noise * float(draws.standard_normal())
            rows.append(
                TrainingRow(
                    arm=arm, seed=seed, state="complete", miou=miou, class_iou={"road": miou + 0.2, "pole": 0.1},
                    iterations=2, precision="float32", processor="cpu", fingerprint="f", training="t",
                    trial_key=f"{arm}{seed}", contents="c", date=f"2026-11-{seed + 1:02d}T00:00:00Z",
                )
            )  # fmt: skip
    return rows


def test_the_main_effect_decides_and_the_first_look_counts() -> None:
    claim, rows = claim_of(), rows_of({"detail": 0.03, "both": 0.03})
    found = judge_trained(claim, "scenes", list(reversed(rows)))
    again = judge_contrast(table_of(rows, ARMS), MAIN, metric="miou", margin=0.01, max_seeds=16)
    assert found.verdict == again.verdict == "supported"
    assert (found.effect, found.interval, found.seeds) == (again.effect, again.interval, again.seeds)
    assert found.seeds < found.pairs == 8
    assert found.max_seeds == 16
    assert found.date == "2026-11-08T00:00:00Z"
    assert not found.explores
    assert judge_trained(claim, "other", rows[: 4 * 4]).explores


def test_a_contrast_is_signed_so_that_more_is_better() -> None:
    frame = table_of(rows_of({"detail": 0.03, "both": 0.01}, seeds=2, noise=0), ARMS)
    np.testing.assert_allclose(differences(frame, MAIN, "miou", "maximize"), [0.02, 0.02])
    np.testing.assert_allclose(differences(frame, MAIN, "miou", "minimize"), [-0.02, -0.02])
    np.testing.assert_allclose(differences(frame, {"detail": 1, "neither": -1}, "miou", "maximize"), [0.03, 0.03])


def test_secondary_contrasts_are_adjusted_within_the_claim() -> None:
    claim, rows = claim_of(), rows_of({"auxiliary": 0.004, "both": 0.05})
    both = {one.name: one for one in judge_trained(claim, "scenes", rows).secondary}
    alone = judge_trained(claim_of(secondary={"heads": {"auxiliary": 1, "neither": -1}}), "scenes", rows).secondary[0]
    assert both["heads"].effect == alone.effect
    smallest = min(one.p_value for one in both.values() if one.p_value is not None)
    assert both["sum"].p_value == smallest
    assert alone.p_value is not None
    # The larger of two is not multiplied, the smaller is doubled.
    assert both["heads"].p_value == pytest.approx(max(alone.p_value, smallest))
    single = judge_trained(claim_of(secondary={"sum": {"both": 1, "neither": -1}}), "scenes", rows).secondary[0]
    assert single.p_value is not None
    assert smallest == pytest.approx(2 * single.p_value)


def test_frequent_classes_are_judged_beside() -> None:
    found = judge_trained(claim_of(), "scenes", rows_of({"detail": 0.03, "both": 0.03})).frequent
    assert found is not None
    assert found.effect == pytest.approx(0.03, abs=0.002)
    assert judge_trained(claim_of(), "other", rows_of({}, 4)).frequent is None


def test_what_is_no_pair_is_said_and_left_out() -> None:
    rows = rows_of({"detail": 0.03, "both": 0.03})
    rows[1] = rows[1].replace(fingerprint="another")
    found = judge_trained(claim_of(), "scenes", rows[:-1])
    assert found.pairs == 6
    assert found.left_out == {0: "arms of different machines or precisions", 7: "no training of both"}


def test_a_training_that_diverged_leaves_it_undecided() -> None:
    rows = rows_of({"detail": 0.03, "both": 0.03})
    rows[5] = rows[5].replace(state="diverged", miou=None, class_iou={}, reason="no number")
    found = judge_trained(claim_of(), "scenes", rows)
    assert found.verdict == "undecided"
    assert "diverged 1 of 32" in str(found.reason)
    assert found.diverged == {"detail": 1}
    assert found.divergence_p_value == 1


def test_without_a_pair_it_is_not_run() -> None:
    assert judge_trained(claim_of(), "scenes", []).verdict == "not run"
    assert judge_trained(claim_of(), "scenes", rows_of({}, 1)[:-1]).verdict == "not run"
    few = judge_trained(claim_of(), "scenes", rows_of({"both": 1.0}, 3))
    assert (few.verdict, few.interval) == ("undecided", None)
    assert few.more_seeds == 1


def test_the_family_is_of_the_verdicts_that_stand_for_claims() -> None:
    def verdict(claim: str, p_value: float | None, explores: bool = False) -> ClaimVerdict:
        return ClaimVerdict(
            claim=claim,
            title="t",
            kind="trained",
            protocol="p",
            verdict="supported",
            p_value=p_value,
            explores=explores,
        )  # fmt: skip

    found = with_holm([verdict("a", 0.02), verdict("b", 0.03), verdict("c", 0.001, True), verdict("d", None)])
    assert [one.holds_in_family for one in found] == [True, True, None, None]
    found = with_holm([verdict("a", 0.03), verdict("b", 0.03)])
    assert [one.holds_in_family for one in found] == [False, False]


def test_the_family_counts_claims_that_were_not_asked_for() -> None:
    one = judge_trained(claim_of(), "scenes", rows_of({"detail": 0.03, "both": 0.03})).replace(p_value=0.03)
    (alone,), (among,) = with_holm([one]), with_holm([one], [one.replace(claim="another")])
    assert (alone.holds_in_family, among.holds_in_family) == (True, False)


def test_a_protocol_that_is_not_the_first_is_told_beside() -> None:
    claim = claim_of(protocols={"scenes": {}, "longer": {}})
    rows = rows_of({"detail": 0.03, "both": 0.03})
    first, second = (judge_trained(claim, name, rows) for name in ("scenes", "longer"))
    assert (first.explores, second.explores) == (False, True)
    assert [one.holds_in_family for one in with_holm([first, second.replace(p_value=1.0)])] == [True, None]


@pytest.mark.parametrize(("asserts", "small"), [("better", False), ("not_worse", True), ("equal", True)])
def test_the_family_asks_of_each_claim_what_it_asserts(asserts: str, small: bool) -> None:
    found = judge_trained(claim_of(asserts=asserts), "scenes", rows_of({}, 16))
    assert found.verdict == ("supported" if small else "no difference that matters")
    assert found.p_value is not None
    assert (found.p_value < 0.001) == small


def test_pairs_that_are_left_of_a_divergence_are_no_evidence_in_the_family() -> None:
    rows = rows_of({"detail": 0.03, "both": 0.03})
    rows[5] = rows[5].replace(state="diverged", miou=None, class_iou={}, reason="no number")
    found = judge_trained(claim_of(), "scenes", rows)
    assert found.p_value == 1
    assert with_holm([found])[0].holds_in_family is False


def test_where_everything_diverged_it_is_undecided() -> None:
    rows = [row.replace(state="diverged", miou=None, class_iou={}) for row in rows_of({}, 1)]
    found = judge_trained(claim_of(), "scenes", rows)
    assert found.verdict == "undecided"
    assert found.diverged == dict.fromkeys(ARMS, 1)
    assert found.effect is None
    assert "NaN" not in found.model_dump_json()


def test_figures_are_judged_and_absent_ones_are_not_run() -> None:
    content = {**HEAD, "id": "counts", "kind": "exact", "computes": "counts", "stated": {"a": 1, "b": 2}}
    claim = ExactClaim.model_validate(content)
    assert judge_figures(claim, None, "figures").verdict == "not run"
    found = judge_figures(claim, frame_of({"a": 1, "b": 3}), "figures")
    assert (found.verdict, found.reason) == ("contradicted", "because of b")
    assert found.replace(verdict="supported").figures == found.figures
    assert found.model_dump(mode="json")["figures"][1]["found"] == 3

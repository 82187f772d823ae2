"""The protocol of a page, row by row: every number depends on it, so a wrong word here is a wrong number."""

from __future__ import annotations

from stdc_lab.arch import presets
from stdc_lab.reporting import protocol
from tests.study_folder import make_record, study_config

TRAIN = {
    "iterations": 700,
    "batch_size": 6,
    "learning_rate": 0.03,
    "warmup_iterations": 40,
    "augmentation": {"scale": [0.5, 1.5], "crop": "64x96", "flip": False, "colour": 0.2},
    "heads": {"auxiliary": False, "detail_strides": [4, 8]},
}


def rows_of(**changes):
    config = study_config(**changes)
    record = make_record(0, presets["stdc1"], config, 0.5, 20.0)
    return dict(protocol.training_rows(config, [record])), config, record


def test_the_training_is_said_as_it_was_done():
    rows, _, _ = rows_of(train=TRAIN, data={"name": "scenes", "size": "96x128", "train_images": 40, "val_images": 8})
    assert rows["Data"] == "synthetic street scenes (40 to train, 8 to validate)"
    assert rows["Image size"] == "96×128 pixels (height × width), crop 64×96"
    assert rows["Classes"] == "11"
    assert rows["Length"] == "700 iterations of 6 images"
    assert rows["Learning rate"].startswith("0.03, warm-up over 40 iterations, then polynomial (power 0.9); × ")
    assert rows["Augmentation"] == "resize × 0.5–1.5, no mirroring, colour 0.2"
    assert rows["Heads while training"] == "auxiliary: no; detail guidance at stride 4, 8"
    assert rows["Seed"] == "0"
    assert rows["mIoU"].startswith("of the last evaluation, averaged (EMA) weights; mean over the classes")
    assert rows["Varied by the search"].startswith("heads.detail_strides: what stands above holds where")


def test_switches_are_said_the_other_way_round_too():
    heads = {"auxiliary": True, "detail_strides": []}
    rows, _, _ = rows_of(train={**TRAIN, "augmentation": {"flip": True}, "heads": heads})
    assert ", mirroring, " in rows["Augmentation"]
    assert "no mirroring" not in rows["Augmentation"]
    assert rows["Heads while training"] == "auxiliary: yes; detail guidance at stride none"
    assert rows["Image size"].endswith("crop as the images")


def test_what_the_cross_entropy_counts_is_said():
    plain = rows_of(train=TRAIN)[0]["Loss weights"]
    assert plain == "main 1, auxiliary 1, detail 1 (cross-entropy) and 1 (dice)"
    weighted = rows_of(train={**TRAIN, "loss": {"class_weights": "enet"}})[0]["Loss weights"]
    assert weighted == f"{plain}; classes weighted as enet does"
    hard = rows_of(train={**TRAIN, "loss": {"cross_entropy": "ohem"}})[0]["Loss weights"]
    assert hard == f"{plain}; cross-entropy over hard pixels (OHEM)"


def test_the_seeds_of_a_plan_and_of_what_is_beside_it():
    plan = {"arms": {"a": {}, "b": {"heads.detail_strides": []}}, "seeds": [3, 5]}
    rows, _, _ = rows_of(plan=plan, references=["stdc2"], seed=2)
    assert rows["Seed"] == "3, 5 of every arm; 2 of stdc2"
    assert "Varied by the arms" in rows
    assert rows_of(plan=plan)[0]["Seed"] == "3, 5 of every arm"


def test_the_proposals_are_said_by_their_sampler():
    def said(**sampler):
        return dict(protocol.search_rows(study_config(sampler=sampler)))["Proposed by"]

    assert said(name="tpe", startup_trials=5) == "TPE, after 5 random proposals"
    assert said(name="nsga2", population=9) == "NSGA-II, 9 complete trials a generation"
    assert said(name="random") == "chance"


def test_latencies_are_said_with_where_and_how_they_were_measured():
    _, config, record = rows_of()
    rows = dict(protocol.latency_rows(config, [record], None))
    assert rows["Input"] == "1×3×180×240 (batch 1)"
    assert rows["Runtime"] == "eager PyTorch, channels last, float32"
    assert rows["Timed"] == "while searching, each network before its training"
    assert rows["Figure"] == "median of 120 calls after warm-up; p95 and spread beside it"
    assert (rows["Threads"], rows["Device"]) == ("2", "cpu, Example CPU")
    again = dict(protocol.latency_rows(config, [record], "2025-05-01"))
    assert again["Timed"] == "all finished networks anew in one pass, interleaved (2025-05-01)"
    bare = dict(protocol.latency_rows(config, [], None))
    assert bare["Device"] == bare["Figure"] == protocol.NOT_KNOWN


def test_the_caption_is_the_protocol_in_a_line():
    _, config, record = rows_of(train=TRAIN)
    assert protocol.caption(config, [record]) == (
        "mIoU: synthetic street scenes (400 to train, 100 to validate), 96×128 pixels, 700 iterations of 6, from "
        "random weights. Latency: input 180×240, batch 1, eager PyTorch, channels last, float32, cpu (Example CPU), 2 "
        "threads."
    )


def test_a_scorer_that_is_not_the_default_is_said_with_the_numbers_that_come_from_it():
    rows, config, record = rows_of(scorer={"name": "supernet"})
    assert rows["Scored by"] == "supernet, not by the training of each network for itself"
    assert "from random weights, scored by supernet. Latency:" in protocol.caption(config, [record])
    rows, config, record = rows_of()
    assert "Scored by" not in rows
    assert "from random weights. Latency:" in protocol.caption(config, [record])

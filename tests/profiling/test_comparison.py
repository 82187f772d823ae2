from pathlib import Path

import pytest
import torch

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy.runtimes import find_runtimes
from stdc_lab.errors import StdcLabError
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.profiling.comparison import Request, profile_together, subject_of_checkpoint, subject_of_spec

CPU = torch.device("cpu")
SMALL = StdcSpec(base_width=8, depths=(1, 2, 1), decoder=DecoderSpec(16, 32, 16))
WIDER = SMALL.replace(base_width=16)
QUICK = LatencyConfig(threads=1, warmup_s=0, measure_s=1e-6, min_repeats=5, attempts=1)


def test_networks_of_all_sizes_in_order_with_ratios_to_one() -> None:
    subjects = [subject_of_spec(name, spec, "seg", 5) for name, spec in (("small", SMALL), ("wider", WIDER))]
    request = Request(sizes=[(64, 96), (32, 64)], stages=True, reference="wider")
    heard: list[str] = []
    found = profile_together(subjects, request, QUICK, CPU, lambda what, share: heard.append(what))
    assert [(one.network, one.size) for one in found] == [
        ("small", (64, 96)),
        ("wider", (64, 96)),
        ("small", (32, 64)),
        ("wider", (32, 64)),
    ]
    for one in found:
        assert one.latency is not None and one.stage_latencies is not None and one.environment is not None
        assert one.latency.input_shape == one.stage_latencies.input_shape == (1, 3, *one.size)
        assert one.latency.reference == "wider"
        assert [part.name for part in one.stages] == [part.name for part in one.stage_latencies.stages[:-1]]
    assert found[1].latency is not None and found[1].latency.times_as_fast == 1
    assert heard[0] == "counting small" and "timing" in heard


def test_a_checkpoint_is_compared_with_its_own_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    save_checkpoint(path, build_model(SMALL, 5, TrainingHeads(detail_strides=(8,))), {})
    subject = subject_of_checkpoint(path, "seg")
    assert (subject.name, subject.trained) == ("mine", True)
    request = Request(sizes=[(64, 96)], runtimes=find_runtimes(["eager", "folded"], CPU), batches=(2, 1))
    (found,) = profile_together([subject], request, QUICK, CPU)
    assert found.arch_id == SMALL.arch_id and found.num_classes == 5
    assert {(one.runtime, one.batch) for one in found.runtimes} == {(n, b) for n in ("eager", "folded") for b in (1, 2)}
    assert all(one.agreement is not None and one.agreement.weights == "trained" for one in found.runtimes)
    assert found.stages[-1].name == "head"  # without the training heads


def test_a_checkpoint_of_the_other_head_says_so(tmp_path: Path) -> None:
    path = tmp_path / "classifier.pt"
    save_checkpoint(path, build_classifier(SMALL, 5), {})
    with pytest.raises(StdcLabError, match=r"classifier.pt: holds a classifier: use --task cls"):
        subject_of_checkpoint(path, "seg")


def test_what_was_not_asked_for_is_absent() -> None:
    (found,) = profile_together(
        [subject_of_spec("small", SMALL, "cls", 7)], Request([(32, 32)], timed=False), QUICK, CPU
    )
    assert (found.latency, found.stage_latencies, found.runtimes, found.environment) == (None, None, (), None)

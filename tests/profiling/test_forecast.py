import pytest
import torch

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.runtimes import RUNTIMES, find_runtimes
from stdc_lab.profiling.comparison import Request, profile_together, subject_of_spec
from stdc_lab.profiling.forecast import COMPILED_S, PLAIN_S, forecast_s

CONFIG = LatencyConfig(measure_s=2, warmup_s=1, min_repeats=10, attempts=2)
COMPILE = next(one for one in RUNTIMES if one.name == "compile")
EAGER = next(one for one in RUNTIMES if one.name == "eager")


def test_quick_calls_take_their_windows_and_slow_ones_their_calls() -> None:
    quick = forecast_s([0.01], [EAGER], [1], CONFIG)
    assert quick == pytest.approx((PLAIN_S[0] + 0.06 + 2, PLAIN_S[1] + 0.03 + 1 + 4))
    slow = forecast_s([1.0], [EAGER], [1], CONFIG)  # 10 s for the calls that are asked for: no second window
    assert slow == pytest.approx((PLAIN_S[0] + 6 + 10, PLAIN_S[1] + 3 + 6 + 10))


def test_every_network_runtime_batch_and_size_takes_its_time() -> None:
    one = forecast_s([0.01], [COMPILE], [1], CONFIG)
    assert one[0] > COMPILED_S[0] and one[1] > COMPILED_S[1]
    both = forecast_s([0.01, 0.01], [COMPILE], [1], CONFIG)
    assert both == pytest.approx((2 * one[0], 2 * one[1]))
    assert forecast_s([0.01], [COMPILE, COMPILE], [1], CONFIG) == pytest.approx(both)
    assert forecast_s([1.0], [EAGER], [4], CONFIG)[0] > 3 * forecast_s([1.0], [EAGER], [1], CONFIG)[0]
    assert forecast_s([1.0], [EAGER], [1], CONFIG, areas=(4.0,)) == forecast_s([1.0], [EAGER], [4], CONFIG)


def test_it_is_told_before_the_first_runtime_is_made() -> None:
    cpu = torch.device("cpu")
    config = LatencyConfig(threads=1, warmup_s=0, measure_s=1e-6, min_repeats=5, attempts=1)
    small = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(8, 8, 8))
    heard: list[str] = []
    request = Request(sizes=[(32, 64), (32, 32)], runtimes=find_runtimes(["eager"], cpu))
    profile_together(
        [subject_of_spec("small", small, "seg", 5)],
        request,
        config,
        cpu,
        lambda what, share: heard.append(what),
        lambda least, most: heard.append("forecast" if 0 < least < most else "wrong"),
    )
    assert heard.count("forecast") == 1
    assert heard.index("timing") < heard.index("forecast") < heard.index("making small in eager")

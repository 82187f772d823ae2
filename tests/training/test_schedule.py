import pytest

from stdc_lab.config.training import TrainConfig
from stdc_lab.training.schedule import average_decay_at, average_warmup, rate_at


def test_warm_up_is_exponential_and_the_polynomial_spans_what_follows() -> None:
    # The released recipe: from 1e-5 to 1e-2 over 1,000 iterations, then power 0.9 up to 60,000.
    config = TrainConfig(
        iterations=60_000, learning_rate=1e-2, warmup_iterations=1000, warmup_start=1e-3, poly_power=0.9
    )
    rates = {i: config.learning_rate * rate_at(i, config) for i in (0, 500, 1000, 30_500, 59_999)}
    assert rates[0] == pytest.approx(1e-5)
    assert rates[500] == pytest.approx((1e-5 * 1e-2) ** 0.5)
    assert rates[1000] == pytest.approx(1e-2)
    assert rates[30_500] == pytest.approx(1e-2 * 0.5**0.9)
    assert 0 < rates[59_999] < 1e-5


def test_without_warm_up_it_starts_at_the_full_rate() -> None:
    assert rate_at(0, TrainConfig(iterations=10, warmup_iterations=0)) == 1


def test_the_averages_decay_acts_as_less_until_the_training_is_long_enough() -> None:
    acts = [average_decay_at(iteration, 0.99) for iteration in (0, 1, 499, 889, 890, 10**6)]
    assert acts == pytest.approx([0, 2 / 11, 500 / 509, 890 / 899, 0.99, 0.99], rel=1e-12)
    for decay, full in ((0.99, 891), (0.999, 8991), (0.9999, 89_991), (0.9, 81), (0.5, 9), (0.1, 2)):
        assert average_warmup(decay) == full
        assert average_decay_at(full - 1, decay) == decay
        assert full == 2 or average_decay_at(full - 2, decay) < decay

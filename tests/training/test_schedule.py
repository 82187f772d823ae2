import pytest

from stdc_lab.config.training import TrainConfig
from stdc_lab.training.schedule import rate_at


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

import pytest

from stdc_lab.profiling.plausibility import is_implausible

KNOWN = [(10.6, 1.0e9), (21.0, 2.0e9), (33.0, 3.0e9)]


@pytest.mark.parametrize(
    ("latency_ms", "macs", "expected"),
    [
        (1179.0, 1.15e9, True),  # was called quiet beside 10.6 ms at 1 / 1.15 of the MACs
        (53.1, 1e9, True),
        (52.9, 1e9, False),  # five times 10.6 ms is 53
        (105.0, 2e9, False),
        (10.0, 1e9, False),
        (0.1, 1e9, False),
    ],
)
def test_more_than_five_times_what_the_macs_predict_is_implausible(
    latency_ms: float, macs: float, expected: bool
) -> None:
    assert is_implausible(latency_ms, macs, KNOWN) is expected


def test_one_bad_network_among_the_known_does_not_move_what_is_expected() -> None:
    assert is_implausible(1179.0, 1.15e9, [*KNOWN, (1500.0, 1e9)])


def test_without_known_networks_nothing_is_implausible() -> None:
    assert not is_implausible(1e6, 1.0, [])
    assert not is_implausible(1e6, 1.0, [(3.0, 0.0)])

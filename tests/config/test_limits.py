import pytest

from stdc_lab.arch import analyse, presets
from stdc_lab.arch.costs import operations, peak
from stdc_lab.config.bounds import check_limits, parse_limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("macs <= 8e9 at 512x1024", "macs <= 8000000000 at 512x1024"),
        ("num_params<=10e6", "num_params <= 10000000"),
        ("activations >= 1_000 at 64 x 96", "activations >= 1000 at 64x96"),
        ("peak_activations <= 2.5e6 at 64×96", "peak_activations <= 2500000 at 64x96"),
    ],
)
def test_a_limit_is_read_and_written_the_same(text, shown):
    limit = parse_limit(text)
    assert str(limit) == shown
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("macs < 8e9 at 512x1024", "allowed: a limit such as"),
        ("macs <= eight at 512x1024", "allowed: a limit such as"),
        (8, "got 8; allowed: a limit such as"),
        ("flops <= 8e9 at 512x1024", "got 'flops'; allowed: macs, num_params, activations, peak_activations"),
        ("macs <= 8e9", "allowed: with a size, such as macs <= 8e9 at 512x1024"),
        ("num_params <= 8e6 at 512x1024", "allowed: without a size"),
        ("num_params <= 0", "allowed: a bound above 0"),
        ("macs <= 8e9 at 16x1024", "allowed: sides from 32 to 8192 pixels"),
    ],
)
def test_a_limit_that_says_nothing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_limit(text)


def test_values_are_those_of_the_theory_at_the_limits_own_sizes():
    spec = presets["stdc1"]
    texts = (
        "macs <= 1e9 at 64x96",
        "num_params >= 10e6",
        "peak_activations <= 1e6 at 32x64",
        "activations <= 1e9 at 64x96",
        "macs <= 1e9 at 32x64",
    )
    limits = [parse_limit(text) for text in texts]
    checked = check_limits(limits, spec, 11)
    large, small = analyse(spec, (64, 96), 11).cost, analyse(spec, (32, 64), 11).cost
    most = peak(operations(spec, (32, 64), 11)).elements
    assert [one.value for one in checked] == [large.macs, large.num_params, most, large.activations, small.macs]
    assert checked[0].excess == pytest.approx(large.macs / 1e9 - 1)
    assert checked[1].excess == pytest.approx(1 - large.num_params / 10e6)
    assert (checked[1].excess > 0, checked[3].excess < 0) == (True, True)
    assert check_limits([], spec, 11) == []
    assert check_limits(limits[1:2], spec, 11)[0].value == large.num_params

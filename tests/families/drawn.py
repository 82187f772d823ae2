"""The families under test: a new one joins the conformance tests by being listed here."""

from hypothesis import strategies as st

from stdc_lab.arch import ArchSpec, presets
from stdc_lab.arch.decoders import PpLiteSegDecoder
from stdc_lab.arch.families.regseg import RegSegSpec
from tests.arch.strategies import specs as stdc_specs

pp_liteseg_decoders = st.builds(
    PpLiteSegDecoder,
    context_width=st.integers(2, 20),
    bins=st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(lambda bins: tuple(sorted(bins))),
    widths=st.tuples(st.integers(2, 20), st.integers(2, 20), st.integers(2, 20)),
    attention=st.sampled_from(["spatial", "channel"]),
    head_width=st.integers(1, 20),
)


@st.composite
def pp_liteseg_specs(draw: st.DrawFn) -> ArchSpec:
    spec = draw(stdc_specs())
    return spec.replace(decoder=draw(pp_liteseg_decoders), pool_counts_padding=draw(st.booleans()))


@st.composite
def regseg_specs(draw: st.DrawFn) -> ArchSpec:
    unit = draw(st.integers(1, 4))
    return RegSegSpec(
        stem_width=draw(st.integers(1, 12)),
        widths=tuple(2 * unit * draw(st.integers(1, 4)) for _ in range(3)),
        last_width=2 * unit * draw(st.integers(1, 4)),
        depths=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        dilations=tuple(draw(st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=3))),
        group_width=unit,
        skip_width=draw(st.integers(1, 8)),
        lateral_width=draw(st.integers(1, 12)),
        decoder_width=draw(st.integers(1, 12)),
    )


DRAWN: dict[str, st.SearchStrategy[ArchSpec]] = {
    "stdc": stdc_specs(),
    "pp_liteseg": pp_liteseg_specs(),
    "regseg": regseg_specs(),
}
SMALL: dict[str, ArchSpec] = {
    "stdc": presets["stdc1"].replace(base_width=8, depths=(2, 1, 1), decoder=dict.fromkeys(
        ("context_width", "fusion_width", "head_width"), 8)),
    "pp_liteseg": presets["pp_liteseg_t"].replace(base_width=8, depths=(1, 1, 1), decoder={
        "context_width": 8, "widths": [4, 6, 8], "head_width": 4}),
    "pp_liteseg, channel attention": presets["pp_liteseg_t"].replace(base_width=8, depths=(1, 1, 1), decoder={
        "context_width": 8, "widths": [4, 6, 8], "head_width": 4, "attention": "channel"}),
    "regseg": presets["regseg"].replace(stem_width=4, widths=[4, 8, 8], last_width=8, depths=[1, 2], dilations=[1, 3],
        group_width=2, skip_width=2, lateral_width=6, decoder_width=4),
}  # fmt: skip
"""One of each, small enough to train."""

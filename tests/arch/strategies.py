"""Specs that hypothesis draws: every field of `ArchSpec` and `DecoderSpec`, small enough to build."""

from hypothesis import strategies as st

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec

decoders = st.builds(
    DecoderSpec,
    context_width=st.integers(4, 40),
    fusion_width=st.integers(4, 40),
    head_width=st.integers(4, 40),
    attention=st.booleans(),
    global_context=st.booleans(),
    spatial_path=st.booleans(),
    interpolation=st.sampled_from(["nearest", "bilinear"]),
)


@st.composite
def specs(draw: st.DrawFn, max_depth: int = 2) -> ArchSpec:
    num_blocks = draw(st.integers(2, 8))
    multiple = draw(st.sampled_from([1, 1, 2, 8]))
    widths = (
        draw(st.integers(1, 40)),
        draw(st.integers(1, 40)),
        *(multiple * draw(st.integers(num_blocks, num_blocks + 40)) for _ in range(3)),
    )
    return StdcSpec(
        widths=widths,
        stem_depths=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        depths=tuple(draw(st.integers(1, max_depth)) for _ in range(3)),
        num_blocks=num_blocks,
        channel_ratio=draw(st.one_of(st.just(0.5), st.just(1), st.floats(0.05, 16))),
        channel_multiple=multiple,
        kernels=draw(
            st.one_of(
                st.just(()),
                st.lists(st.sampled_from([1, 3, 5, 7]), min_size=num_blocks, max_size=num_blocks).map(tuple),
            )
        ),
        fusion=draw(st.sampled_from(["cat", "add"])),
        downsample=draw(st.sampled_from(["depthwise", "strided"])),
        conv_last=draw(st.booleans()),
        decoder=draw(decoders),
    )

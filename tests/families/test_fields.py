"""Receptive fields of the graph against what gradients show, for the families that tests/arch/test_theory.py lacks."""

import pytest
from torch.nn import functional

from stdc_lab.arch import analyse
from stdc_lab.nn import build_model
from tests.arch.test_theory import seen
from tests.families.drawn import SMALL


@pytest.mark.parametrize("name", ["regseg", "pp_liteseg, channel attention"])
def test_stages_see_what_gradients_show_and_what_follows_them_no_more_than_said(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SMALL[name]
    network = build_model(spec, 2, seed=0)
    largest = functional.adaptive_max_pool2d
    monkeypatch.setattr(functional, "adaptive_max_pool2d", lambda x, size: largest(x, size).detach())
    module_names = {module: path for path, module in network.named_modules()}
    paths = {part: module_names[module] for part, module in network.parts().items()}
    rows = seen(network, 1536, monkeypatch)
    said = {part.name: part.receptive_field for part in analyse(spec, (1024, 1024)).parts}
    stages = {part: (said[part], rows[path]) for part, path in paths.items() if part.startswith("stage")}
    assert len(stages) >= 4
    assert {part: pair for part, pair in stages.items() if pair[0] != pair[1]} == {}
    head = said["head"]
    assert head is not None
    assert rows[paths["head"]] <= head <= rows[paths["head"]] + 64


def test_a_larger_dilation_sees_farther() -> None:
    fields = []
    for dilation in (1, 2, 6):
        spec = SMALL["regseg"].replace(dilations=[1, dilation])
        fields.append(next(one.receptive_field for one in analyse(spec).parts if one.name == "stage 4"))
    # A 3×3 convolution at 1/16 sees 16 × 2 pixels more for each step of its dilation.
    assert [field - fields[0] for field in fields] == [0, 32, 160]

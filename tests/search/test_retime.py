"""`study retime`: what is timed anew, how many networks live meanwhile, what comes back into the queue."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stdc_lab.analysis.frame import load_study
from stdc_lab.arch import ArchSpec, presets
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import LatencyResult
from stdc_lab.search import groups as groups_module
from stdc_lab.search import retime_study, run_study
from stdc_lab.search.groups import GROUP, time_in_groups
from stdc_lab.search.known_costs import IMPLAUSIBLE
from stdc_lab.storage import open_study
from tests.search.scripted import ScriptedCrew, timing
from tests.search.test_driver import DECODER, study_config

SIZE = (32, 64)
CPU = torch.device("cpu")
SETTINGS = LatencyConfig(size=SIZE)


class Clock:
    """In place of the timer: a network takes `ms_of` its spec, times what the machine is slower in this group."""

    def __init__(self, ms_of: Callable[[ArchSpec], float], slower: Callable[[int], float] = lambda group: 1.0) -> None:
        self.ms_of, self.slower = ms_of, slower
        self.groups: list[list[str]] = []
        self.most_alive = 0
        self.alive: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self.classes: set[int] = set()

    def build(self, spec: ArchSpec, num_classes: int) -> nn.Module:
        network = nn.Linear(1, 1)
        network.spec = spec  # type: ignore[assignment]
        self.alive.add(network)
        self.most_alive = max(self.most_alive, len(self.alive))
        self.classes.add(num_classes)
        return network

    def measure(
        self, networks: Mapping[str, Any], config: Any, device: Any, on_progress: Any, *, reference: str
    ) -> dict[str, LatencyResult]:
        slower = self.slower(len(self.groups))
        self.groups.append(list(networks))
        on_progress(1.0)
        own = {name: self.ms_of(one.spec) for name, one in networks.items()}
        return {
            name: timing(slower * ms, slower * ms * 0.9, slower * ms * 1.1).model_copy(
                update={
                    "times_as_fast": own[reference] / ms,
                    "times_as_fast_ci95": (own[reference] / ms * 0.98, own[reference] / ms * 1.02),
                    "reference": reference,
                }
            )
            for name, ms in own.items()
        }


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    def make(*arguments: Any) -> Clock:
        clock = Clock(*arguments)
        monkeypatch.setattr(groups_module, "build_model", clock.build)
        monkeypatch.setattr(groups_module, "measure_latency", clock.measure)
        return clock

    return make


def some_specs(count: int) -> dict[str, ArchSpec]:
    specs = [presets["stdc1"].replace(base_width=4 + 2 * index) for index in range(count)]
    return {spec.arch_id: spec for spec in specs}


def by_macs(spec: ArchSpec) -> float:
    return total_cost(spec, SIZE, 11).macs / 1e6


def test_no_more_networks_live_than_a_group_holds(clocked: Callable[..., Clock]) -> None:
    clock, specs, shares = clocked(by_macs), some_specs(5 * GROUP), list[float]()
    found = time_in_groups(specs, SETTINGS, 11, CPU, on_progress=shares.append)
    assert set(found) == set(specs)
    assert clock.most_alive == GROUP
    [reference] = set.intersection(*map(set, clock.groups))
    assert len(clock.groups) == 6, "all of them, and the reference among each group"
    assert sorted(name for group in clock.groups for name in group) == sorted([*specs, *[reference] * 5])
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_groups_that_the_machine_was_unlike_in_still_compare(clocked: Callable[..., Clock]) -> None:
    specs = some_specs(3 * (GROUP - 1))
    clocked(by_macs, lambda group: (1.0, 1.5, 1.0)[group])
    found = time_in_groups(specs, SETTINGS, 11, CPU)
    assert {name: one.median_ms for name, one in found.items()} == {
        name: pytest.approx(by_macs(spec)) for name, spec in specs.items()
    }
    one = found[next(iter(specs))]
    assert one.ci95_ms == pytest.approx((one.median_ms / 1.02, one.median_ms / 0.98)), "that of the ratio"
    assert one.precision == pytest.approx(1 / 0.98 - 1)


def test_a_single_group_is_as_it_was_measured(clocked: Callable[..., Clock]) -> None:
    specs = some_specs(GROUP)
    clock = clocked(by_macs)
    found = time_in_groups(specs, SETTINGS, 11, CPU)
    assert len(clock.groups) == 1
    assert all(one.ci95_ms == pytest.approx((one.median_ms * 0.9, one.median_ms * 1.1)) for one in found.values())


def test_the_reference_of_a_studys_ratios_is_in_every_group_and_named(clocked: Callable[..., Clock]) -> None:
    specs, stdc2 = some_specs(2 * GROUP), presets["stdc2"]
    clock = clocked(by_macs)
    found = time_in_groups(specs, SETTINGS, 11, CPU, ("stdc2", stdc2))
    assert all(group[0] == stdc2.arch_id for group in clock.groups)
    assert stdc2.arch_id not in found
    assert {one.reference for one in found.values()} == {"stdc2"}


@pytest.mark.parametrize(("again_ms", "note"), [(2.0, None), (100.0, IMPLAUSIBLE)])
def test_a_latency_that_cannot_be_is_measured_again_and_then_marked(
    clocked: Callable[..., Clock], again_ms: float, note: str | None
) -> None:
    specs = some_specs(20)
    strange = list(specs)[-1]
    seen: list[float] = []

    def ms_of(spec: ArchSpec) -> float:
        if spec.arch_id != strange:
            return by_macs(spec)
        seen.append(by_macs(spec) * (100 if not seen else again_ms))
        return seen[-1]

    clock = clocked(ms_of)
    found = time_in_groups(specs, SETTINGS, 11, CPU)
    assert len(seen) == 2
    assert clock.groups[-1][1:] == [strange]
    assert (found[strange].note, found[strange].noisy) == (note, note is not None)
    assert found[strange].median_ms == pytest.approx(again_ms * by_macs(specs[strange]))
    assert all(one.note is None for name, one in found.items() if name != strange)


def test_the_real_timer_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "GROUP", 2)
    small = {"context_width": 8, "fusion_width": 8, "head_width": 8}
    specs = [presets["stdc1"].replace(base_width=width, decoder=small) for width in (4, 6, 8)]
    settings = LatencyConfig(size=SIZE, warmup_s=0, measure_s=0.01, min_repeats=5, attempts=1)
    found = time_in_groups({spec.arch_id: spec for spec in specs}, settings, 11, CPU)
    assert list(found) == [spec.arch_id for spec in specs]
    for one in found.values():
        assert one.reference == specs[1].arch_id, "of median MACs"
        assert 0 < one.ci95_ms[0] <= one.median_ms <= one.ci95_ms[1]


# Of a study


def widths(**changes: Any) -> Any:
    vary = {"base_width": {"type": "choice", "values": [4, 6, 8]}, **DECODER}
    space = {"name": "widths", "vary": vary}
    return study_config(**({"space": space, "constraints": ["latency_ms <= 40"], "trials": 1} | changes))


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one trained network; two were screened out meanwhile, one of them quietly and one noisily."""
    folder = tmp_path_factory.mktemp("busy") / "out"
    took = {64: timing(20, 19, 21), 96: timing(60, 50, 80, noisy=True), 128: timing(61, 60, 62)}

    def latency_of(spec: ArchSpec) -> LatencyResult:
        return took[spec.widths[-1]]

    config = widths(sampler={"name": "random"})
    crew = ScriptedCrew(latency_of)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stdc_lab.search.proposer.next_trial", _in_turn([6, 8, 6, 4]))
        run_study(config, folder, crew=crew)  # type: ignore[arg-type]
    frame = load_study(folder)
    assert frame["screened"].tolist() == [True, True, True, False]
    assert frame["doubtful"].tolist() == [True, False, True, False]
    return folder


def _in_turn(values: list[int]) -> Callable[..., Any]:
    """In place of the sampler: these widths."""

    def next_trial(study: Any, config: Any) -> Any:
        study.enqueue_trial({"base_width": values[len(study.trials)]})
        return study.ask()

    return next_trial


@pytest.fixture
def study(busy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(busy, tmp_path / "study"))


def test_what_was_screened_out_is_timed_again_and_what_may_meet_the_bound_is_trained_next(
    study: Path, clocked: Callable[..., Clock]
) -> None:
    clocked(lambda spec: {64: 21.0, 96: 25.0, 128: 62.0}[spec.widths[-1]])
    said: list[str] = []
    measured = retime_study(study, device="cpu", say=said.append)
    assert len(measured) == 3
    frame = load_study(study)
    assert frame["state"].tolist() == ["PRUNED", "PRUNED", "PRUNED", "COMPLETE", "WAITING"]
    assert frame["latency_ms"].tolist()[:4] == [25, 62, 25, 21]
    assert frame["latency_ms_in_search"].tolist()[:4] == [60, 61, 60, 20]
    assert frame["feasible"].tolist()[:4] == [True, False, True, True]
    assert not frame["doubtful"].any()
    assert len(said) == 1
    assert said[0].startswith("1 that a latency had screened out may meet the bounds, by the new timing: queued again")

    retime_study(study, device="cpu", say=said.append)
    assert len(load_study(study)) == 5, "what waits is not queued twice"

    crew = ScriptedCrew(lambda spec: pytest.fail("its new latency is known"))
    run_study(widths(), study, trials=2, crew=crew)  # type: ignore[arg-type]
    row = load_study(study).to_dict("records")[4]
    assert (row["state"], row["base_width"], row["latency_ms_in_search"]) == ("COMPLETE", 6, 25)
    retime_study(study, device="cpu", say=said.append)
    assert len(load_study(study)) == 5, "nor what is trained"


def test_what_stays_too_slow_stays_out(study: Path, clocked: Callable[..., Clock]) -> None:
    clocked(lambda spec: {64: 21.0, 96: 50.0, 128: 62.0}[spec.widths[-1]])
    said: list[str] = []
    retime_study(study, device="cpu", say=said.append)
    frame = load_study(study)
    assert (len(frame), said) == (4, [])
    assert not frame["doubtful"].any(), "by a quiet timing"


def test_the_number_of_classes_is_never_assumed(
    study: Path, clocked: Callable[..., Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clocked(lambda spec: 21.0)
    shutil.rmtree(study / "runs")
    shutil.rmtree(study / "profiles")
    opened = open_study(widths(), study)
    assert opened.user_attrs["num_classes"] == 11, "the search notes it"
    opened.set_user_attr("num_classes", 7)
    retime_study(study, device="cpu")
    assert clock.classes == {7}


def test_without_any_hint_of_the_number_of_classes_that_is_said(
    study: Path, clocked: Callable[..., Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clocked(lambda spec: 21.0)
    monkeypatch.setattr("stdc_lab.search.retime.num_classes", lambda data: None)
    opened = open_study(widths(), study)
    opened.set_user_attr("num_classes", None)  # of an older version
    retime_study(study, device="cpu")
    assert clock.classes == {11}, "by a record"
    key = load_study(study)["trial_key"].tolist()[3]
    shutil.rmtree(study / "runs")
    said: list[str] = []
    retime_study(study, device="cpu", say=said.append)
    assert said == [f"the record of trial 3 is gone: runs/{key}/trial.json"], "by a profile then"
    shutil.rmtree(study / "profiles")
    with pytest.raises(StudyError, match="how many classes its networks tell apart is not known"):
        retime_study(study, device="cpu")

"""What `stdc-lab search --dry-run` prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from stdc_lab.analysis.plan_survey import PlanSurvey
from stdc_lab.analysis.space_survey import CostRange, SpaceSurvey, why_nothing_fits
from stdc_lab.cli.options import write_json
from stdc_lab.cli.progress import clock, progress_line
from stdc_lab.cli.tables import Row, Table, as_rich
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.values import show_size
from stdc_lab.errors import StudyError
from stdc_lab.search.dry_run import TimeEstimate, dry_run


def show_dry_run(config: StudyConfig, data_path: Path | None, device: str, json_file: Path | None) -> None:
    """Print what a study would be, and write it as JSON if a file is given; with JSON on stdout, print nothing else.

    Raises `StudyError` if nothing in its space can be used.
    """
    console = Console(highlight=False, soft_wrap=True, stderr=json_file is not None and str(json_file) == "-")
    with progress_line() as on_progress:
        result = dry_run(
            config,
            data_path=data_path,
            device=device,
            on_survey=lambda surveyed: _print_surveyed(surveyed, console),
            on_progress=on_progress,
        )
    if json_file is not None:
        write_json(result.model_dump_json(indent=1), json_file)
    hopeless = None if result.survey is None else why_nothing_fits(result.survey)
    if hopeless is not None:
        raise StudyError(hopeless)
    print_estimate(result.estimate, result.no_estimate_because, console)


def print_survey(survey: SpaceSurvey, console: Console) -> None:
    """Print a space's size, what its limits do, and what its networks cost."""
    console.print(f"space {survey.space}: {survey.size.points:,} points{_continua(survey)}", markup=False)
    console.print(
        f"{survey.samples:,} random points (seed {survey.seed}): {survey.networks:,} unlike networks, "
        f"{survey.feasible:,} ({_percent(survey.feasible, survey.samples)}) can be made and meet the limits",
        markup=False,
    )
    if survey.impossible:
        console.print(
            f"{survey.impossible:,} cannot be made, the first of them: {survey.impossible_because}", markup=False
        )
    if survey.limits:
        rows = tuple(
            Row((one.limit, f"{one.violated:,}", f"{one.alone:,}", f"{one.lowest:,}", f"{one.highest:,}"))
            for one in survey.limits
        )
        columns = ("limit", "not met by", "by this one only", "lowest", "highest")
        console.print(as_rich(Table("limits", columns, rows)))
    if survey.macs is not None and survey.num_params is not None:
        console.print(_costs("cost of those that can be used", survey, survey.macs, survey.num_params))


def print_plan(plan: PlanSurvey, console: Console) -> None:
    """Print how many trainings a plan is made of, what its arms cost, and which limits they break."""
    arms, seeds = len(plan.arms), len(plan.seeds)
    beside = f", and {', '.join(plan.networks)} once: {plan.trials} trials" if plan.networks else ""
    console.print(
        f"plan: {arms} {'arm' if arms == 1 else 'arms'} × {seeds} {'seed' if seeds == 1 else 'seeds'} = "
        f"{arms * seeds:,} trainings{beside}",
        markup=False,
    )
    console.print(_costs("cost of its arms", plan, plan.macs, plan.num_params))
    for limit in plan.limits:
        breaks = [f"{arm.name} ({one.value:,})" for arm in plan.arms for one in arm.broken if one.limit == limit]
        if breaks:
            console.print(
                f"limit {limit}: not met by {', '.join(breaks)}; trained all the same, never on the front",
                markup=False,
            )


def print_estimate(estimate: TimeEstimate | None, reason: str | None, console: Console) -> None:
    """Print how long the study would take, or why that is not known."""
    if estimate is None:
        console.print(f"time: not measured: {reason}", markup=False)
        return
    console.print(
        f"time: about {clock(estimate.study_s)} for {estimate.trials} trials on {estimate.device}, one after another; "
        f"a trial of {estimate.network} {clock(estimate.trial_s)} "
        f"({estimate.step_s * 1000:.0f} ms a step, {estimate.evaluation_s:.1f} s an evaluation, "
        f"{estimate.timing_s:.1f} s for its latency), a typical one "
        f"({estimate.typical_macs_ratio:.2f} × its MACs) {clock(estimate.typical_trial_s)}",
        markup=False,
    )
    console.print(f"      {estimate.how}", markup=False)


def _print_surveyed(surveyed: SpaceSurvey | PlanSurvey, console: Console) -> None:
    if isinstance(surveyed, PlanSurvey):
        print_plan(surveyed, console)
    else:
        print_survey(surveyed, console)


def _costs(title: str, of: SpaceSurvey | PlanSurvey, macs: CostRange, num_params: CostRange) -> RichTable:
    size = f"{show_size(of.cost_size)}, {of.num_classes} classes"
    rows = _row(f"GMACs at {size}", macs, 1e9), _row("M parameters", num_params, 1e6)
    return as_rich(Table("cost", (title, "lowest", "median", "highest"), rows))


def _continua(survey: SpaceSurvey) -> str:
    keys = survey.size.continua
    return f", times {'a continuum' if len(keys) == 1 else 'continua'} in {', '.join(keys)}" if keys else ""


def _row(name: str, cost: CostRange, unit: float) -> Row:
    return Row((name, *(f"{value / unit:.2f}" for value in (cost.lowest, cost.median, cost.highest))))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"

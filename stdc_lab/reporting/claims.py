"""A page a claim, verdict first, and an overview of all: from what is kept of them, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from stdc_lab.analysis.claim_folder import KeptClaim, read_claims_folder
from stdc_lab.analysis.claim_verdict import ClaimVerdict
from stdc_lab.analysis.ledger import Look
from stdc_lab.analysis.trainings_table import TrainingRow, table_of, whole_pairs
from stdc_lab.analysis.variance import variance_parts
from stdc_lab.config.claim import MeasuredClaim, TrainedClaim
from stdc_lab.config.figures import figure_of
from stdc_lab.config.reading import yaml_text
from stdc_lab.errors import ResultsError, StudyError
from stdc_lab.files import write_text
from stdc_lab.reporting.canvas import save_png
from stdc_lab.reporting.claim_figures import classes_figure, looks_figure
from stdc_lab.reporting.claim_words import (
    contrast_sentence,
    effect_text,
    interval_text,
    remarks,
    seeds_text,
    signed,
)
from stdc_lab.reporting.sections import data_uri
from stdc_lab.reporting.tables import Cell, Row, Table

PAGE, VERDICTS_FILE = "index.html", "verdicts.json"


def render_claims(folder: Path, out: Path | None = None) -> Path:
    """Write the pages of all claims in a folder, their pictures and `verdicts.json`; gives the overview's path.

    Every verdict is computed from the tables again. out: another folder to write to, with the same layout.
    Raises `StdcLabError` for what cannot be read, judged or written.
    """
    kept, target = read_claims_folder(folder), folder if out is None else out
    pages = _environment()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for one in kept:
            page = target / one.claim.id
            page.mkdir(exist_ok=True)
            write_text(page / PAGE, _claim_page(one, page, pages), _refused)
    except OSError as error:
        raise StudyError(f"{target}: cannot be written: {error.strerror}; use another --out") from error
    verdicts = [verdict for one in kept for verdict in one.verdicts]
    content = json.dumps([verdict.model_dump(mode="json") for verdict in verdicts], indent=1)
    write_text(target / VERDICTS_FILE, content + "\n", _refused)
    return write_text(target / PAGE, _overview(kept, pages), _refused)


def overview_table(kept: Sequence[KeptClaim]) -> Table:
    """A row a claim and protocol."""
    headings = (
        ("Verdict", ""),
        ("Claim", ""),
        ("Kind", ""),
        ("Protocol", "data and training; figures: no training"),
        ("Effect", "treatment minus control, signed so that more is better"),
        ("95 % interval", "repeated: it holds however often one looks"),
        ("Seeds", "pairs seen, of the greatest number"),
        ("Family", "whether a difference still shows among all trained claims (Holm, 5 %)"),
    )
    rows = [Row(_cells(verdict), _kind(verdict)) for one in kept for verdict in one.verdicts]
    return Table(headings, tuple(rows))


def figures_table(verdict: ClaimVerdict) -> Table:
    """The stated figures of a claim against what was found."""
    headings = (("Figure", ""), ("Stated", ""), ("Found", ""), ("95 % interval", ""), ("Verdict", ""))
    rows = [
        Row(
            (
                Cell(one.figure, number=False),
                Cell(one.stated if one.tolerance is None else f"{one.stated} ± {one.tolerance:g}", number=False),
                Cell(f"{one.found:.10g}"),
                Cell("exact" if one.low == one.high else f"{one.low:.4g} to {one.high:.4g}"),
                Cell(one.verdict, number=False),
            ),
            "reference" if one.verdict == "contradicted" else "",
        )
        for one in verdict.figures
    ]
    return Table(headings, tuple(rows))


def _cells(verdict: ClaimVerdict) -> tuple[Cell, ...]:
    family = {None: "–", True: "holds", False: "does not"}[verdict.holds_in_family]
    return (
        Cell(verdict.verdict + (" (exploratory)" if verdict.changed else ""), verdict.verdict, number=False),
        Cell(verdict.title, verdict.claim, number=False),
        Cell(verdict.kind, number=False),
        Cell(verdict.protocol + (" *" if verdict.explores else ""), verdict.protocol, number=False),
        Cell(effect_text(verdict) or "–", verdict.effect),
        Cell(interval_text(verdict) or "–"),
        Cell(seeds_text(verdict) or "–", float(verdict.seeds)),
        Cell(family, number=False),
    )


def _kind(verdict: ClaimVerdict) -> str:
    return {"supported": "front", "contradicted": "reference"}.get(verdict.verdict, "")


def _claim_page(one: KeptClaim, folder: Path, pages: Environment) -> str:
    sections = []
    for verdict in one.verdicts:
        images: dict[str, str] = {}
        if isinstance(one.claim, TrainedClaim) and verdict.seeds:
            rows, line = one.rows[verdict.protocol], _caption(one.claim, verdict.protocol)
            for name, figure in (
                ("looks", looks_figure(one.claim, verdict.protocol, rows, line)),
                ("classes", classes_figure(one.claim, rows, line)),
            ):
                images[name] = data_uri(save_png(figure, folder / f"{verdict.protocol}-{name}.png", _refused))
        sections.append(
            {
                "verdict": verdict,
                "facts": _facts(one, verdict),
                "remarks": remarks(verdict, with_reason=False),
                "images": images,
                "figures": figures_table(verdict) if verdict.figures else None,
                "looks": _looks(one, verdict.protocol),
            }
        )
    values: dict[str, Any] = {
        "claim": one.claim,
        "sections": sections,
        "command": _command(one),
        "yaml": yaml_text(one.claim, flow=False),
    }
    return pages.get_template("claim.html.j2").render(values)


def _facts(one: KeptClaim, verdict: ClaimVerdict) -> list[tuple[str, str]]:
    """What a reader needs before the pictures: label and value."""
    claim, facts = one.claim, [] if verdict.reason is None else [("Because", verdict.reason)]
    if isinstance(claim, TrainedClaim):
        low = "–" if verdict.interval is None else interval_text(verdict)
        facts += [
            ("Effect", f"{effect_text(verdict) or '–'} {figure_of(claim.metric).title}, 95 % interval {low}"),
            ("Asserts", f"{claim.asserts.replace('_', ' ')}; margin {claim.margin:g}"),
            ("Seeds", seeds_text(verdict)),
            (
                "Evidence",
                "–" if verdict.e_value is None else f"e-value {verdict.e_value:.3g}; past the plan 20 counts",
            ),
            ("Contrast", ", ".join(f"{signed(weight)[:5]} {arm}" for arm, weight in claim.weights.items())),
            ("Trained on", _caption(claim, verdict.protocol)),
        ]
        facts += [("Beside it", contrast_sentence(contrast)) for contrast in verdict.secondary]
        if verdict.frequent is not None:
            classes = ", ".join(verdict.frequent_classes)
            facts.append(("Beside it", f"{contrast_sentence(verdict.frequent)} ({classes})"))
        facts += _noise(claim, one.rows[verdict.protocol])
        diverged = ", ".join(f"{arm} {count}" for arm, count in verdict.diverged.items())
        facts.append(("Diverged", diverged or "none"))
    if isinstance(claim, MeasuredClaim):
        facts.append(("Timed", f"{claim.latency}, {claim.latency.size[0]}x{claim.latency.size[1]}"))
    facts += [("Machines", "; ".join(verdict.machines) or "–")] if isinstance(claim, TrainedClaim) else []
    facts.append(("Last training", verdict.date or "–")) if isinstance(claim, TrainedClaim) else None
    return facts


def _noise(claim: TrainedClaim, rows: Sequence[TrainingRow]) -> list[tuple[str, str]]:
    """Where the scatter of the difference comes from; nothing where there are too few pairs to tell."""
    kept, _ = whole_pairs(rows, list(claim.arms))
    try:
        parts = variance_parts(table_of(kept, list(claim.arms)), claim.weights)
    except ResultsError:
        return []
    total = parts.class_variance + parts.seed_variance + parts.rest_variance
    if not total > 0:
        return []
    noisiest = parts.by_class.sort_values("share", ascending=False).head(3)
    names = ", ".join(f"{row['class']} {100 * row['share']:.0f} %" for _, row in noisiest.iterrows())
    shares = (
        f"{100 * part / total:.0f} % {name}"
        for name, part in (
            ("between classes", parts.class_variance),
            ("between seeds", parts.seed_variance),
            ("rest", parts.rest_variance),
        )
    )
    return [
        ("Scatter of a pair", f"standard deviation {parts.sd:.4f} of the mean over classes; most of it: {names}"),
        ("Differences vary", ", ".join(shares)),
    ]


def _caption(claim: TrainedClaim, protocol: str) -> str:
    wanted = claim.protocols[protocol]
    size, train = wanted.data.size, wanted.train
    variant = "".join(f", {name} {value}" for name, value in wanted.data.variant.items())
    return (
        f"{wanted.data.name}{variant}, {size[0]}x{size[1]}, {train.iterations} iterations of {train.batch_size}, rate "
        f"{train.learning_rate:g}, {'averaged' if train.ema_decay else 'last'} weights, last checkpoint, from scratch"
    )


def _looks(one: KeptClaim, protocol: str) -> list[tuple[str, str]]:
    """The ledger of a protocol, newest last."""
    begun = one.ledger.beginning(protocol)
    lines = [] if begun is None else [(begun.date, f"begun; claim {begun.claim}" + _anyway(begun.anyway))]
    return lines + [(look.date, _look(look)) for look in one.ledger.looks(protocol)]


def _anyway(reason: str | None) -> str:
    return "" if reason is None else f"; could hardly be decided: {reason}"


def _look(look: Look) -> str:
    found = "" if look.interval is None else f", {signed(look.interval[0])} to {signed(look.interval[1])}"
    said = f"{look.seeds} pair{'' if look.seeds == 1 else 's'}: {look.verdict}{found}" if look.seeds else look.verdict
    return said if look.exploratory is None else f"{said}; exploratory: {look.exploratory}"


def _command(one: KeptClaim) -> str:
    names = sorted(
        {wanted.data.name for wanted in one.claim.protocols.values() if not wanted.data.made_here}
        if isinstance(one.claim, TrainedClaim)
        else ()
    )
    return f"stdc-lab reproduce {one.claim.id}" + "".join(f" --data {name}=PATH" for name in names)


def _overview(kept: Sequence[KeptClaim], pages: Environment) -> str:
    values = {"table_of_verdicts": overview_table(kept), "kept": kept}
    return pages.get_template("claims.html.j2").render(values)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("stdc_lab.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _refused(said: str) -> StudyError:
    return StudyError(f"{said}; use another --out")

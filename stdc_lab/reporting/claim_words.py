"""How a verdict is written: in a table's cells, and in sentences."""

from __future__ import annotations

from stdc_lab.analysis.claim_verdict import NOT_RUN, ClaimVerdict, Contrast

DIGITS = 4


def signed(value: float) -> str:
    """A difference with its sign: `+0.0123`, `−0.0040`."""
    return f"{value:+.{DIGITS}f}".replace("-", "\N{MINUS SIGN}")


def effect_text(verdict: ClaimVerdict) -> str:
    """The effect, or how many figures of a claim hold."""
    if verdict.figures:
        holds = sum(one.verdict == "supported" for one in verdict.figures)
        return f"{holds} of {len(verdict.figures)} figures"
    return "" if verdict.effect is None else signed(verdict.effect)


def interval_text(verdict: ClaimVerdict) -> str:
    """`−0.0040 to +0.0123`; nothing where there is none yet."""
    return "" if verdict.interval is None else f"{signed(verdict.interval[0])} to {signed(verdict.interval[1])}"


def seeds_text(verdict: ClaimVerdict) -> str:
    """`6 of 16`; nothing for a claim without trainings."""
    return "" if verdict.max_seeds is None else f"{verdict.seeds} of {verdict.max_seeds}"


def contrast_sentence(one: Contrast) -> str:
    """A contrast beside the one that decides."""
    name = one.name.replace("_", " ")
    if one.effect is None or one.interval is None:
        return f"{name}: too few pairs yet"
    low, high = map(signed, one.interval)
    p = "" if one.p_value is None else f", p {one.p_value:.3f}"
    return f"{name}: {signed(one.effect)}, {low} to {high}{p}"


def remarks(verdict: ClaimVerdict, *, with_reason: bool = True) -> list[str]:
    """What has to be known of a verdict beside its row; nothing of a claim that was not run."""
    said: list[str] = []
    if verdict.verdict == NOT_RUN:
        return said
    if with_reason and verdict.reason is not None:
        said.append(verdict.reason)
    if verdict.divergence_p_value is not None:
        said.append(f"the sides diverge equally often: p {verdict.divergence_p_value:.2g} (Fisher)")
    if verdict.changed is not None:
        said.append(f"exploratory: {verdict.changed}")
    if verdict.explores:
        said.append("told beside the claim's verdict, not in its place")
    if len(verdict.machines) > 1 or len(verdict.precisions) > 1:
        said.append(f"pairs of several machines or precisions are pooled: {', '.join(verdict.machines)}")
    for seed, why in verdict.left_out.items():
        said.append(f"seed {seed} is no pair: {why}")
    if verdict.holds_in_family is False and verdict.verdict in ("supported", "contradicted"):
        what = "no difference shows" if verdict.asserts == "better" else "it is not decided"
        said.append(f"{what} once all trained claims are taken together (Holm, 5 %)")
    return said

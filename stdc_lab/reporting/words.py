"""What a study found, in plain sentences and comparisons computed from its trials."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from stdc_lab.analysis.confirmation import seed_deviation, winners_curse
from stdc_lab.config.objectives import parse_objective
from stdc_lab.config.study import StudyConfig
from stdc_lab.reporting.figure_data import (
    QUIET_SPREAD,
    aims,
    drawn_front,
    finished_trials,
    front_members,
    noisy_latencies,
    reference_trials,
    trades_miou_for_latency,
)

STATES = {
    "COMPLETE": "finished",
    "FAIL": "failed",
    "SCREENED": "screened out",
    "PRUNED": "stopped early",
    "RUNNING": "running",
    "WAITING": "waiting",
}
AIMS: dict[str, str] = {
    "miou": "mIoU",
    "boundary_f": "boundary F-score",
    "latency_ms": "latency",
    "latency_ratio": "latency over the reference’s",
    "macs": "MACs",
    "num_params": "parameters",
    "peak_activations": "feature maps alive at once",
    "peak_memory_bytes": "memory",
}


@dataclass(frozen=True)
class Comparison:
    """A trial beside a reference network."""

    reference: str
    latency_ratio: float
    """Its latency over the reference's: below 1 it is faster."""
    miou_difference: float
    """Its mIoU minus the reference's."""


def summary(frame: pd.DataFrame) -> list[str]:
    """Sentences: how many trials by state, what the front spans, and how it stands to the references."""
    sentences = [count_sentence(frame)]
    front = front_members(frame)
    if front.empty:
        return [*sentences, "There is no finished trial to compare, so this page has no front."]
    fastest, best = front.iloc[0], front.iloc[-1]
    if len(finished_trials(frame)) == 1:
        return [*sentences, f"{_network(fastest)} is the only finished network so far: there is nothing to compare."]
    if len(front) == 1:
        both = "is both the fastest and the most accurate: the front is this one network"
        sole = f"is best by {aims_in_words(frame)}: the front is this one network"
        sentences.append(f"{_network(fastest)} {both if trades_miou_for_latency(frame) else sole}.")
    else:
        known = " and ".join(front["reference"].dropna())
        start = f"{len(front)} networks are on the front{f' ({known} among them)' if known else ''}"
        if trades_miou_for_latency(frame):
            ends = f"from {_network(fastest)} to {_network(best)}"
            sentences.append(f"{start}, where more mIoU costs more time: {ends}.")
        else:
            sentences.append(f"{start} of {aims_in_words(frame)}; the fastest of them is {_network(fastest)}.")
    sentences += confirmation_sentences(frame)
    references = reference_trials(frame)
    for _, reference in references.iterrows():
        sentences.append(_against(frame, reference))
    if references.empty:
        sentences.append("No reference network finished, so there is nothing known to compare with.")
    return sentences


def count_sentence(frame: pd.DataFrame) -> str:
    """How many trials there are, by what became of them."""
    if frame.empty:
        return "The study holds no trial yet."
    repeated, fresh = frame["duplicate_of"].notna(), frame["confirms"].notna()
    states = frame["state"].mask(frame["screened"], "SCREENED")
    counts = states[~repeated & ~fresh].value_counts()
    parts = [f"{counts[state]} {word}" for state, word in STATES.items() if state in counts]
    if repeated.any():
        count = int(repeated.sum())
        parts.append(f"{count} proposed again what had been trained, and {'was' if count == 1 else 'were'} not trained")
    if fresh.any():
        done = int((frame.loc[fresh, "state"] == "COMPLETE").sum())
        parts.append(f"{done} of {_counted(int(fresh.sum()), 'fresh training')} of known networks finished")
    return f"{len(frame)} trial{'s' if len(frame) != 1 else ''}: {', '.join(parts)}."


def confirmation_sentences(frame: pd.DataFrame) -> list[str]:
    """What fresh seeds made of the front; nothing where none were trained."""
    confirmed = finished_trials(frame)
    confirmed = confirmed[confirmed["confirmed_seeds"] > 0]
    if confirmed.empty:
        return []
    least, most = int(confirmed["confirmed_seeds"].min()), int(confirmed["confirmed_seeds"].max())
    seeds = f"{least} to {most} fresh seeds each" if least < most else f"{_counted(most, 'fresh seed')} each"
    front, by_means = confirmed[confirmed["on_front"]], confirmed[confirmed["on_confirmed_front"]]
    fallen, risen = (
        ", ".join(trial_name(trial) for _, trial in rows.iterrows())
        for rows in (front[~front["on_confirmed_front"]], by_means[~by_means["on_front"]])
    )
    changes = [f"no longer {fallen}" if fallen else "", f"newly {risen}" if risen else ""]
    change = ", ".join(filter(None, changes)) or "the same as by single trainings"
    sentences = [
        f"{_counted(len(confirmed), 'network')} ({len(front)} of the front, {len(confirmed) - len(front)} near it) "
        f"trained again with {seeds}: by the means of these, {len(by_means)} on the front, {change}."
    ]
    deviation, freedom = seed_deviation(frame)
    if freedom:
        sentences.append(
            f"From one fresh seed to another the mIoU of a network has a standard deviation of {deviation:.3f} "
            f"({freedom} degrees of freedom)."
        )
    curse = winners_curse(frame)
    if curse is not None:
        within = f" (95 % interval {signed(curse.low)} to {signed(curse.high)})" if curse.networks > 1 else ""
        sentences.append(
            f"First trainings minus fresh ones, over {_counted(curse.networks, 'network')} of the front: "
            f"{signed(curse.lead)} mIoU{within}. What is above 0 was luck in the choice (winner’s curse)."
        )
    return sentences


def state_word(trial: pd.Series) -> str:
    """What became of a trial, in a word or two."""
    state = "SCREENED" if trial["screened"] else str(trial["state"])
    return STATES.get(state, state.lower())


def aims_in_words(frame: pd.DataFrame) -> str:
    """The study's objectives: `mIoU up, latency down`."""
    directions = {"maximize": "up", "minimize": "down"}
    phrases = []
    for text in aims(frame):
        objective = parse_objective(text)
        name = AIMS[objective.figure]
        phrases.append(f"{name} {directions['maximize' if objective.maximize else 'minimize']}")
    return ", ".join(phrases)


def cautions(frame: pd.DataFrame, config: StudyConfig) -> list[str]:
    """What keeps one from reading too much into the numbers."""
    finished = finished_trials(frame)
    if finished.empty:
        return []
    sentences = [_about_seeds(finished)]
    noisy = noisy_latencies(frame)
    if noisy:
        sentences.append(
            f"{noisy} of {len(finished)} latencies have a spread above {QUIET_SPREAD:g}: the machine was not quiet. "
            "Time all networks anew: stdc-lab search … --retime."
        )
    undecided = int((finished["doubtful"]).sum())
    if undecided:
        sentences.append(
            f"Of {_counted(undecided, 'network')} the timing leaves open whether a bound on latency is met: a bound "
            "counts as broken only where the whole 95 % interval lies beyond it. Time them anew."
        )
    screened = int((frame["screened"] & frame["doubtful"]).sum())
    if screened:
        sentences.append(
            f"{_counted(screened, 'candidate')} screened out on a noisy timing: stdc-lab search … --retime times them "
            "again, and queues those that may meet the bounds."
        )
    data = "synthetic scenes" if config.data.made_here else "this data set"
    sentences.append(
        f"mIoU is that of a proxy: {config.train.iterations} iterations from random weights on {data}. It ranks "
        "networks under this protocol; it is not comparable with published numbers."
    )
    return sentences


def compare(trial: pd.Series, references: pd.DataFrame) -> list[Comparison]:
    """A trial beside each reference, in their order."""
    return [
        Comparison(
            str(reference["reference"]),
            float(trial["latency_ms"] / reference["latency_ms"]),
            float(trial["miou"] - reference["miou"]),
        )
        for _, reference in references.iterrows()
    ]


def trial_name(trial: pd.Series) -> str:
    """`stdc1` for a reference, `#12` for another trial."""
    return f"#{int(trial['number'])}" if pd.isna(trial["reference"]) else str(trial["reference"])


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, and a true minus: `+0.014`, `−0.046`, `±0`."""
    text = f"{value:+.{digits}f}"
    return f"±{abs(value):.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def without_paths(text: str) -> str:
    """Text with folders cut out of absolute paths, as a page that is passed on should not tell of a machine."""
    text = re.sub(r"(?<![\w./:<])(?:~|/[^\s/'\",:;<>]+)(?:/[^\s/'\",:;<>]+)*/([^\s/'\",:;<>]+)", r"…/\1", text)
    return re.sub(r"\b[A-Za-z]:\\(?:[^\\\s'\",;<>]+\\)*([^\\\s'\",;<>]+)", r"…\\\1", text)


def _about_seeds(finished: pd.DataFrame) -> str:
    confirmed = int((finished["confirmed_seeds"] > 0).sum())
    if confirmed:
        return (
            f"{_counted(confirmed, 'network')} of {len(finished)} {'has' if confirmed == 1 else 'have'} fresh seeds: "
            "read their means. Every other value is a single training, on which small differences decide nothing."
        )
    seeds = finished["seed"].dropna().unique()
    per_arch = finished.groupby("arch_id")["seed"].nunique()
    if len(seeds) <= 1 or per_arch.max() <= 1:
        which = f" (seed {int(seeds[0])})" if len(seeds) == 1 else ""
        return (
            f"Every network was trained once{which}. How far mIoU moves from one seed to another was not measured, so "
            "differences are limited by noise of unknown size: a place on the front may be luck, and small "
            "differences in mIoU decide nothing until more seeds are trained."
        )
    several = int((per_arch > 1).sum())
    return (
        f"{several} of {len(per_arch)} networks were trained with several seeds; every row is one training. Compare "
        "networks over their seeds, not row by row."
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _network(trial: pd.Series) -> str:
    return f"{trial_name(trial)} ({trial['latency_ms']:.1f} ms, mIoU {trial['miou']:.3f})"


def _against(frame: pd.DataFrame, reference: pd.Series) -> str:
    """How the searched trials stand to one reference: what beats it in both, or what comes near."""
    finished, basis = finished_trials(frame), ""
    if reference["confirmed_seeds"]:
        finished, basis = drawn_front(frame), "By fresh seeds: "
        reference = reference.copy()
        reference["miou"] = reference["confirmed_miou"]
    searched = finished[finished["reference"].isna()]
    name = _network(reference)
    if searched.empty:
        return f"{basis}No searched trial has finished beside {name}."
    faster = searched[searched["latency_ms"] <= reference["latency_ms"]]
    better = faster[faster["miou"] >= reference["miou"]]
    if len(better):
        chosen = better.sort_values(["latency_ms", "number"]).iloc[0]
        count = f"{len(better)} trials are" if len(better) > 1 else "One trial is"
        which = "the fastest of them" if len(better) > 1 else "it"
        return f"{basis}{count} at least as fast and as accurate as {name}; {which} is {_relation(chosen, reference)}."
    start = f"{basis}No searched trial is at least as fast and as accurate as {name}"
    if faster.empty:
        return f"{start}, and none is faster."
    return f"{start}; the most accurate that is faster is {_relation(faster.loc[faster['miou'].idxmax()], reference)}."


def _relation(trial: pd.Series, reference: pd.Series) -> str:
    ratio, difference = trial["latency_ms"] / reference["latency_ms"], trial["miou"] - reference["miou"]
    return f"{_network(trial)}: {ratio:.2f} × the latency, mIoU {signed(difference)}"

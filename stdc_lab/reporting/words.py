"""What a study found, in plain sentences and comparisons computed from its trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from stdc_lab.analysis.arms import compare_arms
from stdc_lab.analysis.confirmation import fresh_difference, seed_deviation, winners_curse
from stdc_lab.config.figures import figure_of
from stdc_lab.config.objectives import parse_objective
from stdc_lab.config.study import StudyConfig
from stdc_lab.reporting.figure_data import (
    QUIET_SPREAD,
    aims,
    finished_networks,
    finished_trials,
    front_members,
    is_plan,
    noisy_latencies,
    reference_trials,
    trades_miou_for_latency,
)
from stdc_lab.reporting.phrases import between, counted, network_in_words, signed

STATES = {
    "COMPLETE": "finished",
    "FAIL": "failed",
    "SCREENED": "screened out",
    "PRUNED": "stopped early",
    "RUNNING": "running",
    "WAITING": "waiting",
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
    """Sentences: how many trials by state, what the front spans, and how it stands to the references; of a plan, how
    its arms stand to the control."""
    sentences = [count_sentence(frame)]
    if (within := frame.attrs.get("latency_in")) is not None:
        sentences.append(f"All speak of latency in {within}: milliseconds a call.")
    if is_plan(frame):
        return [*sentences, *arm_sentences(frame)]
    front = front_members(frame)
    if front.empty:
        return [*sentences, "There is no finished trial to compare, so this page has no front."]
    fastest, best = front.iloc[0], front.iloc[-1]
    if len(finished_networks(frame)) == 1:
        return [
            *sentences,
            f"{network_in_words(fastest)} is the only finished network so far: there is nothing to compare.",
        ]
    if len(front) == 1:
        both = "is both the fastest and the most accurate: the front is this one network"
        sole = f"is best by {aims_in_words(frame)}: the front is this one network"
        sentences.append(f"{network_in_words(fastest)} {both if trades_miou_for_latency(frame) else sole}.")
    else:
        known = " and ".join(front["reference"].dropna())
        start = f"{len(front)} networks are on the front{f' ({known} among them)' if known else ''}"
        if trades_miou_for_latency(frame):
            ends = f"from {network_in_words(fastest)} to {network_in_words(best)}"
            sentences.append(f"{start}, where more mIoU costs more time: {ends}.")
        else:
            sentences.append(f"{start} of {aims_in_words(frame)}; the fastest of them is {network_in_words(fastest)}.")
    sentences += confirmation_sentences(frame)
    references = reference_trials(frame)
    for _, reference in references.iterrows():
        fresh = reference["confirmed_seeds"] > 0
        sentences.append(_against_by_fresh_seeds(frame, reference) if fresh else _against(frame, reference))
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
        parts.append(f"{done} of {counted(int(fresh.sum()), 'fresh training')} of known networks finished")
    return f"{len(frame)} trial{'s' if len(frame) != 1 else ''}: {', '.join(parts)}."


def arm_sentences(frame: pd.DataFrame) -> list[str]:
    """What each arm of a plan reached, and by how much it differs from the control arm, paired by seed."""
    arms = compare_arms(frame)
    done = int(arms["seeds"].sum())
    if not done:
        return ["No arm has a finished training yet."]
    control = str(arms.loc[arms["control"], "arm"].iloc[0])
    sentences = [
        f"{counted(len(arms), 'arm')}, {counted(done, 'finished training')} of them; mIoU is a mean over seeds."
    ]
    for arm in arms.sort_values("control", ascending=False, kind="stable").to_dict("records"):
        if not arm["seeds"]:
            sentences.append(f"{arm['arm']} has no finished training yet.")
            continue
        within = between(arm["miou_low"], arm["miou_high"])
        reached = f"{arm['miou']:.3f} ({within}{counted(arm['seeds'], 'seed')})"
        if arm["control"]:
            sentences.append(f"The control, {control}, reaches {reached}.")
        elif not arm["pairs"]:
            sentences.append(f"{arm['arm']} reaches {reached}; it has no seed in common with {control} yet.")
        else:
            low, high = arm["miou_difference_low"], arm["miou_difference_high"]
            apart = f"{signed(arm['miou_difference'])} beside {control}, paired over {counted(arm['pairs'], 'seed')}"
            if arm["pairs"] == 1:
                said = ", which tells nothing of its noise"
            elif low <= 0 <= high:
                said = f" ({between(low, high, signed)}which holds 0: these seeds do not tell the two apart)"
            else:
                said = f" ({between(low, high, signed)}which does not hold 0)"
            sentences.append(f"{arm['arm']} reaches {reached}: {apart}{said}.")
    return sentences


def confirmation_sentences(frame: pd.DataFrame) -> list[str]:
    """What fresh seeds made of the front that was chosen before them; nothing where none were trained."""
    confirmed = finished_networks(frame)
    confirmed = confirmed[confirmed["confirmed_seeds"] > 0]
    if confirmed.empty:
        return []
    least, most = int(confirmed["confirmed_seeds"].min()), int(confirmed["confirmed_seeds"].max())
    seeds = f"{least} to {most} fresh seeds each" if least < most else f"{counted(most, 'fresh seed')} each"
    front, others = confirmed[confirmed["on_front"]], confirmed[~confirmed["on_front"]]
    controls = int(others["control"].sum())
    kinds = (
        (len(front), "of the front"),
        (len(others) - controls, "near it"),
        (controls, "taken whatever their score"),
    )
    parts = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    sentences = [
        f"{counted(len(confirmed), 'network')} ({parts}) trained again with {seeds}. These judge the front that the "
        "search chose, and choose none themselves."
    ]
    deviation, freedom = seed_deviation(frame)
    if freedom:
        sentences.append(
            f"From one fresh seed to another the mIoU of a network has a standard deviation of {deviation:.3f} "
            f"(over all of them, {freedom} degrees of freedom)."
        )
    curse = winners_curse(frame)
    if curse is not None:
        lead = (
            f"The trainings that chose {counted(curse.networks, 'network')} of the front are {signed(curse.lead)} "
            "mIoU beside fresh ones of the same"
        )
        if not curse.controls:
            sentences.append(f"{lead}; with no control trained again, how much of that is luck in the choice is open.")
        else:
            within = "" if math.isnan(curse.low) else f" (95 % interval {signed(curse.low)} to {signed(curse.high)})"
            sentences.append(
                f"{lead}, those of {counted(curse.controls, 'control')} {signed(curse.control_lead)}: the difference, "
                f"{signed(curse.luck)}{within}, is luck in the choice (winner’s curse)."
            )
    return sentences


def asked(config: StudyConfig) -> str:
    """What a study asks for, and what decides what is tried: a plan, or a sampler."""
    besides = ", ".join(config.known_networks)
    if config.plan is not None:
        plan = config.plan
        seeds = ", ".join(map(str, plan.seeds))
        once = f", and {besides} once besides" if besides else ""
        return (
            f"The study is a plan: {counted(len(plan.arms), 'arm')} ({', '.join(plan.arms)}), each with "
            f"{counted(len(plan.seeds), 'seed')} ({seeds}){once}: {counted(config.total_trials, 'trial')}. No "
            f"sampler chooses anything; {plan.control_arm} is the control."
        )
    return (
        f"The study asks for {counted(config.total_trials, 'trained trial')}, {besides or 'no network by name'} "
        f"first; the sampler is {config.sampler.name}, with seed {config.seed}."
    )


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
        name = figure_of(objective.figure).in_words
        phrases.append(f"{name} {directions['maximize' if objective.maximize else 'minimize']}")
    return ", ".join(phrases)


def cautions(frame: pd.DataFrame, config: StudyConfig) -> list[str]:
    """What keeps one from reading too much into the numbers."""
    finished = finished_trials(frame)
    if finished.empty:
        return []
    sentences = [_about_seeds(frame)]
    noisy = noisy_latencies(frame)
    if noisy:
        sentences.append(
            f"{noisy} of {len(finished)} latencies have a spread above {QUIET_SPREAD:g}: the machine was not quiet. "
            "Time all networks anew: stdc-lab study retime DIR."
        )
    undecided = int((finished["doubtful"]).sum())
    if undecided:
        sentences.append(
            f"Of {counted(undecided, 'network')} the timing leaves open whether a bound on latency is met: a bound "
            "counts as broken only where the whole 95 % interval lies beyond it. Time them anew."
        )
    screened = int((frame["screened"] & frame["doubtful"]).sum())
    if screened:
        sentences.append(
            f"{counted(screened, 'candidate')} screened out on a noisy timing: stdc-lab study retime DIR times them "
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


def _about_seeds(frame: pd.DataFrame) -> str:
    networks = finished_networks(frame)
    confirmed = int((networks["confirmed_seeds"] > 0).sum())
    if confirmed:
        return (
            f"{counted(confirmed, 'network')} of {len(networks)} {'has' if confirmed == 1 else 'have'} fresh seeds: "
            "read their means. Every other value is of the trainings that the search chose by, on which small "
            "differences decide nothing."
        )
    several = int((networks["network_seeds"] > 1).sum())
    if not several:
        seeds = finished_trials(frame)["seed"].dropna().unique()
        which = f" (seed {int(seeds[0])})" if len(seeds) == 1 else ""
        return (
            f"Every network was trained once{which}. How far mIoU moves from one seed to another was not measured, so "
            "differences are limited by noise of unknown size: a place on the front may be luck, and small "
            "differences in mIoU decide nothing until more seeds are trained."
        )
    text = (
        f"{several} of {len(networks)} networks were trained with several seeds: their mIoU is the mean, and its "
        "interval (Student’s t) is of their own spread."
    )
    once = len(networks) - several
    if once:
        text += f" The other {once} {'has' if once == 1 else 'have'} a single training, which may be lucky."
    compared = len(frame.attrs.get("arms", [])) - 1
    if compared > 1:
        text += f" Each of the {compared} differences has an interval for itself: of many, one may miss 0 by chance."
    return text


def _against(frame: pd.DataFrame, reference: pd.Series) -> str:
    """How the searched networks stand to one reference: what beats it in both, or what comes near."""
    finished = finished_networks(frame)
    searched = finished[finished["reference"].isna()]
    name = network_in_words(reference)
    if searched.empty:
        return f"No searched trial has finished beside {name}."
    faster = searched[searched["latency_ms"] <= reference["latency_ms"]]
    better = faster[faster["miou"] >= reference["miou"]]
    if len(better):
        chosen = better.sort_values(["latency_ms", "number"]).iloc[0]
        count = f"{len(better)} trials are" if len(better) > 1 else "One trial is"
        which = "the fastest of them" if len(better) > 1 else "it"
        return f"{count} at least as fast and as accurate as {name}; {which} is {_relation(chosen, reference)}."
    start = f"No searched trial is at least as fast and as accurate as {name}"
    if faster.empty:
        return f"{start}, and none is faster."
    return f"{start}; the most accurate that is faster is {_relation(faster.loc[faster['miou'].idxmax()], reference)}."


def _against_by_fresh_seeds(frame: pd.DataFrame, reference: pd.Series) -> str:
    """How the members of the front that are no slower than a reference stand to it, paired by fresh seeds. They are
    counted, and none is picked: the best of them by these seeds would be the luckiest."""
    front = front_members(frame)
    front = front[(front["confirmed_seeds"] > 0) & (front["network"] != reference["network"])]
    faster = front[front["latency_ms"] <= reference["latency_ms"]]
    name = f"{reference['reference']} ({reference['latency_ms']:.1f} ms, mIoU {reference['confirmed_miou']:.3f})"
    if faster.empty:
        return f"By fresh seeds: no other confirmed member of the front is as fast as {name}."
    apart = [fresh_difference(frame, int(number), int(reference["number"])) for number in faster["number"]]
    more, less = sum(one.low > 0 for one in apart), sum(one.high < 0 for one in apart)
    return (
        f"By fresh seeds, paired: of {counted(len(apart), 'confirmed member')} of the front that "
        f"{'is' if len(apart) == 1 else 'are'} at least as fast as {name}, {more} {'is' if more == 1 else 'are'} more "
        f"accurate, {less} less, and {len(apart) - more - less} cannot be told from it (95 % intervals)."
    )


def _relation(trial: pd.Series, reference: pd.Series) -> str:
    ratio, difference = trial["latency_ms"] / reference["latency_ms"], trial["miou"] - reference["miou"]
    return f"{network_in_words(trial)}: {ratio:.2f} × the latency, mIoU {signed(difference)}"

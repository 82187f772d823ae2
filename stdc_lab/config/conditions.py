"""Conditions of a search space: what has to be known before what, and that each can be met."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from stdc_lab.config.ranges import Allowed, Between, FloatRange, Varied, meets


def in_order(parameters: Mapping[str, Varied]) -> dict[str, Varied]:
    """The keys in an order in which every one comes after those that its conditions ask about, else as given.

    Raises ValueError for conditions in a circle, about a key that does not vary, or about values it never has.
    """
    for key, varied in parameters.items():
        for asked, allowed in varied.when.items():
            _check(key, asked, allowed, parameters)
    ordered: dict[str, Varied] = {}

    def visit(key: str, waiting: tuple[str, ...]) -> None:
        if key in waiting:
            circle = " → ".join((*waiting[waiting.index(key) :], key))
            raise ValueError(f"vary: conditions in a circle: {circle}")
        for asked in parameters[key].when:
            if asked not in ordered:
                visit(asked, (*waiting, key))
        ordered[key] = parameters[key]

    for key in parameters:
        if key not in ordered:
            visit(key, ())
    return ordered


def asked_about(parameters: Mapping[str, Varied]) -> set[str]:
    """The keys on which a condition depends."""
    return {asked for varied in parameters.values() for asked in varied.when}


def activating(key: str, parameters: Mapping[str, Varied]) -> dict[str, object]:
    """Values of other keys under which a key varies. Raises ValueError if its conditions contradict each other."""
    asked_of: dict[str, list[Allowed]] = {}
    open_keys, seen = [key], {key}
    while open_keys:
        for asked, allowed in parameters[open_keys.pop()].when.items():
            asked_of.setdefault(asked, []).append(allowed)
            if asked not in seen:
                seen.add(asked)
                open_keys.append(asked)
    pinned: dict[str, object] = {}
    for asked, conditions in asked_of.items():
        values = (value for value in parameters[asked].every() if all(meets(one, value) for one in conditions))
        value = next(values, None)
        if value is None:
            raise ValueError(f"vary.{key}.when: never holds: what is asked of {asked} contradicts itself")
        pinned[asked] = value
    return pinned


def _check(key: str, asked: str, allowed: Allowed, parameters: Mapping[str, Varied]) -> None:
    where = f"vary.{key}.when.{asked}"
    if asked not in parameters:
        raise ValueError(f"{where}: no such varied key{hint(asked, parameters)}; allowed: {', '.join(parameters)}")
    varied = parameters[asked]
    if isinstance(varied, FloatRange):
        raise ValueError(f"{where}: {asked} is a continuum; allowed: keys of type int or choice")
    values = list(varied.every())
    if isinstance(allowed, Between):
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
            raise ValueError(f"{where}: a range, but {asked} is no number; allowed: a list of its values")
        unmet = [] if any(meets(allowed, value) for value in values) else ["anything in that range"]
    else:
        options = allowed if isinstance(allowed, tuple) else (allowed,)
        unmet = [_shown(option) for option in options if not any(meets((option,), value) for value in values)]
    if unmet:
        there = ", ".join(_shown(value) for value in values[:20]) + (", …" if len(values) > 20 else "")
        raise ValueError(f"{where}: {asked} is never {unmet[0]}; allowed: {there}")


def hint(word: str, allowed: Collection[str]) -> str:
    """` (did you mean x?)` if one of the allowed words is close."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)

"""Options of earlier versions: one message that says what to type now."""

from __future__ import annotations

from collections.abc import Sequence

from stdc_lab.errors import ConfigError

TASK, TRAINING_HEADS = "--task seg|cls", "--training-heads"
NOW = {
    ("search", "--status"): "stdc-lab study status DIR",
    ("search", "--retime"): "stdc-lab study retime DIR",
    ("search", "--confirm"): "stdc-lab study confirm DIR K",
    ("search", "--tie"): "stdc-lab study confirm DIR K --tie MIOU",
    ("report", "--pruning"): "stdc-lab study pruning DIR",
    ("report", "--json"): "stdc-lab study pruning DIR --json FILE",
    ("arch", "--head"): TASK,
    ("profile", "--head"): TASK,
    ("profile", "--heads"): TRAINING_HEADS,
    ("import", "--heads"): TRAINING_HEADS,
}


def refuse_moved(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for the first option that has another form now, with that form."""
    options = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    command = next((word for word in options if not word.startswith("-")), "")
    for option in (word.partition("=")[0] for word in options):
        now = NOW.get((command, option))
        if now is not None:
            raise ConfigError(f"{command} {option}: now `{now}`")

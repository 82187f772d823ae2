"""Checkpoints of the code that a network's authors released: in, with every key accounted for, and out.

Each released form says which name it has for each of our tensors. STDC's own is more than names, see
`families.stdc_released`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import CheckpointError
from stdc_lab.nn.network import Classifier, FamilySegmenter
from stdc_lab.nn.segmenter import build_model

Network = FamilySegmenter | Classifier
State = Mapping[str, Tensor]
SHOWN = 12


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of a released state dict.

    used: tensors that filled the network. second_names: keys that named one of the file's tensors again, and agreed.
    skipped: keys of heads and layers that the file has and the network lacks.
    """

    used: int
    second_names: int
    skipped: tuple[str, ...]


class ReleasedForm(Protocol):
    """What the released code calls a network's tensors, and what else its files hold."""

    every_head: TrainingHeads
    """All training heads that its files may hold."""

    def task_of(self, state: State, source: str) -> Literal["seg", "cls"]:
        """Whether a state dict is a segmenter's or a classifier's. Raises `CheckpointError` if it is neither."""

    def classes_of(self, state: State) -> int | None:
        """Classes of the main head; None if the state dict has none."""

    def fill(self, network: Network, state: State, source: str) -> LoadReport:
        """Fill a network. Raises `CheckpointError` that names what does not fit; the network is then unchanged."""

    def state_of(self, network: Network) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        """A state dict that the released code loads strictly, and the names of layers that had to be restored.

        Raises `CheckpointError` for a network that the released code cannot build.
        """


class Renamed:
    """A released form that differs in names only.

    A child gives `every_head`, `classes_key` and `name_of`; and `skips`, for keys that a network may lack.
    """

    every_head: TrainingHeads
    classes_key: str
    """Of the weights that the main classes are told by."""
    counts_batches: bool = True
    """Whether its norms have PyTorch's counter of batches."""

    def name_of(self, name: str, network: Network) -> str:
        """The released name of one of our tensors."""
        raise NotImplementedError

    def skips(self, key: str) -> bool:
        """Whether a network may lack what a file has under this key."""
        raise NotImplementedError

    def departures(self, network: Network) -> list[str]:
        """What keeps the released code from building this network."""
        return []

    def task_of(self, state: State, source: str) -> Literal["seg", "cls"]:
        if self.classes_key in state:
            return "seg"
        shown = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{source}: not of this architecture: its keys are {shown} …; expected {self.classes_key}"
        )

    def classes_of(self, state: State) -> int | None:
        weight = state.get(self.classes_key)
        return int(weight.shape[0]) if weight is not None and weight.ndim else None

    def fill(self, network: Network, state: State, source: str) -> LoadReport:
        self.task_of(state, source)
        renamed: dict[str, Tensor] = {}
        used: set[str] = set()
        missing, shapes = [], []
        for name, tensor in network.state_dict().items():
            theirs = self.name_of(name, network)
            if theirs in state and state[theirs].shape == tensor.shape:
                used.add(theirs)
                renamed[name] = state[theirs]
            elif theirs in state:
                shapes.append(f"{theirs} ({tuple(state[theirs].shape)}, not {tuple(tensor.shape)})")
            elif name.endswith("num_batches_tracked"):
                renamed[name] = tensor  # which says nothing of the weights, and not every framework has
            else:
                missing.append(theirs)
        rest = [key for key in state if key not in used]
        left = [key for key in rest if not self.skips(key)]
        problems = {"missing": missing, "of another shape": shapes, "left over": left}
        if any(problems.values()):
            listed = ". ".join(f"{what}: {shortened(keys)}" for what, keys in problems.items() if keys)
            raise CheckpointError(f"{source}: does not fit this architecture: {listed}")
        network.load_state_dict(renamed)
        return LoadReport(len(used), 0, tuple(rest))

    def state_of(self, network: Network) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        departures = self.departures(network)
        if departures:
            raise CheckpointError(f"export: the released code has no such network: {'; '.join(departures)}")
        state = self._named(network)
        whole = build_model(network.spec, network.num_classes, self.every_head, seed=0)
        fresh = {name: tensor for name, tensor in self._named(whole).items() if name not in state}
        return state | fresh | self.unused(network), tuple(fresh)

    def unused(self, network: Network) -> dict[str, Tensor]:
        """What the released code registers and never uses."""
        return {}

    def _named(self, network: Network) -> dict[str, Tensor]:
        named = {self.name_of(name, network): tensor.cpu() for name, tensor in network.state_dict().items()}
        return {name: tensor for name, tensor in named.items() if self.counts_batches or "num_batches" not in name}


def translated(name: str, table: tuple[tuple[str, str], ...]) -> str:
    """A name with the first of the beginnings that fits replaced by theirs."""
    return next((theirs + name.removeprefix(ours) for ours, theirs in table if name.startswith(ours)), name)


def shortened(keys: list[str], most: int = SHOWN) -> str:
    """Some of the keys, and how many more there are."""
    more = f", and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more

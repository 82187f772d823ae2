"""The picture of `stdc-lab data preview`: what a training sees of a few images."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stdc_lab.config.training import Augmentation
from stdc_lab.data import IGNORE_LABEL, Pixels, augment
from stdc_lab.data.sample import Samples
from stdc_lab.errors import ConfigError
from stdc_lab.files import write_bytes

_IGNORED_COLOURS = ((255, 255, 255), (0, 0, 0), (255, 0, 255))
_PANEL_WIDTH_INCHES = 3.0
_LEGEND_ROW_INCHES = 0.28
_DPI = 110


class Row(NamedTuple):
    """A sample and what becomes of it; titles of the panels, each H×W×3 (RGB)."""

    name: str
    panels: dict[str, Pixels]


def preview_rows(samples: Samples, seed: int) -> list[Row]:
    """For each frame its image, labels, both augmented, and the detail targets of its labels."""
    palette = label_palette(samples.class_colours)
    rows = []
    for number, frame in enumerate(samples.frames):
        rng = np.random.default_rng([seed, number])
        image, labels = augment(frame.image, frame.labels, Augmentation(), frame.labels.shape, rng)
        panels = {
            "image": frame.image,
            "labels": palette[frame.labels],
            "augmented": image,
            "augmented labels": palette[labels],
            **detail_panels(frame.labels),
        }
        rows.append(Row(frame.name, panels))
    return rows


def detail_panels(labels: Pixels) -> dict[str, Pixels]:
    """The detail target of H×W labels in every form that the loss knows, as black and white H×W×3."""
    import torch

    from stdc_lab.training import losses

    targets: Callable[..., Any] = losses.detail_targets
    forms = ("released", "corrected") if "form" in inspect.signature(targets).parameters else (None,)
    given = torch.from_numpy(labels.astype(np.int64))[None]
    panels = {}
    for form in forms:
        target = (targets(given) if form is None else targets(given, form=form))[0, 0].numpy()
        white = np.where(target > 0, 255, 0).astype(np.uint8)
        panels[f"detail target, {form or 'released'}"] = np.repeat(white[..., None], 3, 2)
    return panels


def label_palette(class_colours: Pixels) -> Pixels:
    """256×3: the colour of each label; of the ignored one the first of white, black and magenta that is no class's."""
    taken = {tuple(colour) for colour in class_colours.tolist()}
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(class_colours)] = class_colours
    free = (colour for colour in _IGNORED_COLOURS if colour not in taken)
    palette[IGNORE_LABEL] = next(free, _IGNORED_COLOURS[0])
    return palette


def draw_preview(rows: list[Row], samples: Samples, out: Path) -> None:
    """Draw the rows and a legend of the classes to a PNG. Raises `ConfigError` if it cannot be written."""
    from matplotlib.figure import Figure

    columns = list(rows[0].panels)
    height, width = samples.frames[0].labels.shape
    panel_height = _PANEL_WIDTH_INCHES * height / width + 0.12
    per_line = max(1, round(len(columns) * 1.4))
    legend_height = _LEGEND_ROW_INCHES * -(-(len(samples.class_names) + 1) // per_line) + 0.2
    inches = (len(columns) * _PANEL_WIDTH_INCHES, len(rows) * panel_height + 0.3 + legend_height)
    figure = Figure(figsize=inches, dpi=_DPI)
    bottom, top = legend_height / inches[1], 1 - 0.3 / inches[1]
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    figure.subplots_adjust(left=0.02, right=0.998, bottom=bottom, top=top, wspace=0.02, hspace=0.04)
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        line[0].set_ylabel(_short(row.name), fontsize=7, parse_math=False)
        for axis, (title, panel) in zip(line, row.panels.items(), strict=True):
            axis.imshow(panel, interpolation="nearest", aspect="auto")
            axis.set_xticks([])
            axis.set_yticks([])
            if number == 0:
                axis.set_title(title, fontsize=10)
    _legend(figure, samples, per_line)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes(out, picture.getvalue(), lambda said: ConfigError(f"--out: {said}"))


def _legend(figure: Any, samples: Samples, per_line: int) -> None:
    from matplotlib.patches import Patch

    palette = label_palette(samples.class_colours) / 255
    colours = [*palette[: len(samples.class_names)], palette[IGNORE_LABEL]]
    patches = [Patch(facecolor=colour, edgecolor="black", linewidth=0.5) for colour in colours]
    # Underscored labels would be left out of a legend that matplotlib collects; these are handed over.
    legend = figure.legend(patches, [""] * len(patches), loc="lower center", ncols=per_line, fontsize=8, frameon=False)
    for text, name in zip(legend.get_texts(), (*samples.class_names, "ignored"), strict=True):
        text.set_parse_math(False)  # a class may be called $x$
        text.set_text(name)


def _short(name: str) -> str:
    return name if len(name) <= 32 else "…" + name[-31:]

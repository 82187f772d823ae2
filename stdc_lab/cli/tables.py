"""Tables as data, and how they look in a terminal and in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Look = Literal["", "bold", "dim", "green", "red"]


@dataclass(frozen=True)
class Row:
    """A row of a table, and what it looks like."""

    cells: tuple[str, ...]
    look: Look = ""


@dataclass(frozen=True)
class Table:
    """A table: words to the left, in the first `words` columns, numbers to the right. `notes` explain what is in it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    words: int = 1
    notes: tuple[str, ...] = ()


def as_rich(table: Table) -> RichTable:
    """The table for a terminal, without title and notes."""
    from rich.markup import escape
    from rich.table import Table as RichTable

    drawn = RichTable(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(table.columns):
        drawn.add_column(escape(title), justify="left" if index < table.words else "right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*map(escape, row.cells), style=row.look)
    return drawn


def as_markdown(table: Table) -> str:
    """The table with its title and its notes, in the dialect of GitHub."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    sides = tuple("---" if index < table.words else "---:" for index in range(len(table.columns)))
    rows = []
    for row in table.rows:
        # Leading blanks, which show what is part of what, would be lost.
        cells = (row.cells[0].replace("  ", "\u2003"), *row.cells[1:])
        rows.append(tuple(f"**{cell}**" if cell and row.look == "bold" else cell for cell in cells))
    lines = [f"### {table.title}", "", *map(line, (table.columns, sides, *rows)), ""]
    return "\n".join([*lines, *(note + "\n" for note in table.notes)])

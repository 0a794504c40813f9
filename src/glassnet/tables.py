"""One table for the terminal, for Markdown and for HTML: a caption, columns, rows of cells, a total and a note."""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

GAP = 2
"""Spaces between two columns on a terminal."""
NARROWEST_WRAPPED = 24
"""A cell of so many characters or fewer is never wrapped: '0.9876 ± 0.0012' is read as one."""


@dataclass(frozen=True)
class Table:
    """Cells as text. HTML escapes them, except what is `markupsafe.Markup`, which is a `str` too.

    Attributes:
        caption: What the table shows, with units; empty for none.
        columns: The heading of each column.
        rows: A text for each column; the first ones name the row.
        words: Indices of the columns that hold words, set flush left; the others hold numbers, set flush right. None:
            a column holds numbers where each of its cells is one.
        total: A last row of sums; empty for none.
        note: A sentence under the table; empty for none.
        names: How many of the first columns name a row. They are repeated where a table is too wide for one block.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] | None = None
    total: tuple[str, ...] = ()
    note: str = ""
    names: int = 1

    @property
    def word_columns(self) -> frozenset[int]:
        """Indices of the columns that are set flush left."""
        if self.words is not None:
            return self.words
        return frozenset(i for i in range(len(self.columns)) if not _holds_numbers([row[i] for row in self.rows]))

    def text(self, width: int | None = None) -> str:
        """Lay the table out for a terminal; nothing is cut.

        What does not fit wraps at spaces. What still does not fit goes into a further block below, which repeats the
        columns that name the rows. Only a single word can be wider than the terminal.

        Args:
            width: Characters in a line; if not given, those of the terminal, or 80 where there is none.
        """
        width = width or terminal_width()
        blocks = [self._block(block, width) for block in _blocks(self, width)]
        parts = [self.caption] * bool(self.caption) + blocks + [self.note] * bool(self.note)
        return "\n\n".join(parts)

    def fits(self, width: int) -> bool:
        """Tell whether a terminal of so many characters shows the table in one block, no line of which is too long."""
        least = _least_widths(self._lines())
        return sum(least) + GAP * (len(least) - 1) <= width

    def markdown(self) -> str:
        """Write the table in Markdown, its columns aligned so that the source is readable too."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in self._lines()]
        widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        caption = f"### {self.caption}\n\n" if self.caption else ""
        note = f"\n\n{self.note}" if self.note else ""
        return caption + "\n".join([lines[0], rule, *lines[1:]]) + note

    def _lines(self) -> list[tuple[str, ...]]:
        return [self.columns, *self.rows, *([self.total] if self.total else [])]

    def _block(self, columns: Sequence[int], width: int) -> str:
        cells = [[row[i] for i in columns] for row in self._lines()]
        widths = _shared_widths(cells, width)
        left = [i in self.word_columns for i in columns]
        header, *rows = (list(_wrapped(row, widths, left)) for row in cells)
        rule = [(" " * GAP).join("-" * one for one in widths)]
        total = [rule, rows.pop()] if self.total else []
        return "\n".join(line for part in (header, rule, *rows, *total) for line in part)


def terminal_width() -> int:
    """Return how many characters a line of the terminal has; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    words: Collection[int] | None = None,
    total: Sequence[object] = (),
    note: str = "",
    names: int = 1,
) -> Table:
    """Build a table from cells of any kind, which are written with `str`; the arguments are `Table`'s."""
    left_aligned = None if words is None else frozenset(words)
    cells = tuple(tuple(map(_text, row)) for row in rows)
    return Table(caption, tuple(columns), cells, left_aligned, tuple(map(_text, total)), note, names)


def text_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, total: Sequence[object] = (), names: int = 1
) -> str:
    """Lay out rows for the terminal, without a caption."""
    return make_table("", columns, rows, total=total, names=names).text()


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else str(cell)  # str() would turn Markup into text that is escaped again


def _holds_numbers(cells: Sequence[str]) -> bool:
    return bool(cells) and all(cell in ("", "–") or cell.translate(_SIGNS).isdigit() for cell in cells)


_SIGNS = {ord(sign): None for sign in ",.%-+"}


def _blocks(table: Table, width: int) -> Iterator[list[int]]:
    """Share the columns out over as few blocks as the width allows, each with those that name the rows."""
    least = _least_widths(table._lines())
    names = list(range(min(table.names, len(table.columns))))
    block, used = list(names), sum(least[i] + GAP for i in names)
    for i in range(len(names), len(table.columns)):
        if len(block) > len(names) and used + least[i] > width:
            yield block
            block, used = list(names), sum(least[one] + GAP for one in names)
        block.append(i)
        used += least[i] + GAP
    yield block


def _least_widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """Return how narrow each column can be: its longest word, and a short cell whole."""
    heading, *rows = lines
    return [max([_longest_word(name), *(_least_width(row[i]) for row in rows)]) for i, name in enumerate(heading)]


def _least_width(cell: str) -> int:
    return len(cell) if len(cell) <= NARROWEST_WRAPPED else max(NARROWEST_WRAPPED, _longest_word(cell))


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _shared_widths(lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Give each column its least width, and what is left of a line to those that would wrap most."""
    widths = _least_widths(lines)
    whole = [max(map(len, column)) for column in zip(*lines, strict=True)]
    spare = width - sum(widths) - GAP * (len(widths) - 1)
    while spare > 0 and widths != whole:
        tightest = max(range(len(widths)), key=lambda i: whole[i] / max(widths[i], 1))
        widths[tightest] += 1
        spare -= 1
    return widths


def _wrapped(row: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> Iterator[str]:
    """Yield the lines of one row, each cell wrapped to its column's width."""
    cells = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) if len(cell) > width else [cell]
        for cell, width in zip(row, widths, strict=True)
    ]
    for parts in itertools.zip_longest(*cells, fillvalue=""):
        aligned = (p.ljust(w) if flush else p.rjust(w) for p, w, flush in zip(parts, widths, left, strict=True))
        yield (" " * GAP).join(aligned).rstrip()

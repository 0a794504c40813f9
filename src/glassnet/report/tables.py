"""Tables of the report: a caption, named columns, and rows whose first cell names the row."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from glassnet.report.numbers import plain


@dataclass(frozen=True)
class Table:
    """Cells as text; what is `Markup` stands as it is, everything else is escaped by the template."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int]
    """Indices of the columns that hold words; the others hold numbers, which stand flush right."""
    total: tuple[str, ...] = ()
    """A last row that sums up, if there is one."""


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Collection[int] = (0,),
    total: Sequence[str] = (),
) -> Table:
    """Build a table.

    Args:
        caption: What the table shows, with units.
        columns: Heading of each column.
        rows: One text per column; the first names the row.
        words: Indices of the columns that hold words, not numbers.
        total: A row of sums for the foot of the table.
    """
    return Table(caption, tuple(columns), tuple(tuple(row) for row in rows), frozenset(words), tuple(total))


def pairs(caption: str, name: str, values: Mapping[str, Any]) -> Table:
    """Build a table of names and values.

    Args:
        caption: What the table shows.
        name: Heading of the first column.
        values: Name → value of any kind.
    """
    return table(caption, (name, "Value"), [(key, plain(value)) for key, value in values.items()], words=(0, 1))


def code(text: Any) -> Markup:
    """Set a name that one could type, escaped."""
    return Markup("<code>{}</code>").format(text)


def whole(text: str) -> Markup:
    """Set words that no line break may part, escaped."""
    return Markup('<span class="whole">{}</span>').format(text)


def strong(text: str) -> Markup:
    """Set a cell that stands out, escaped."""
    return Markup("<strong>{}</strong>").format(text)

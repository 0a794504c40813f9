"""Results that show themselves: a `repr` of one line, and in a notebook a small table.

The HTML stands alone: no script, no style sheet, all text escaped.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Real

from glassnet.console import printable, say_once
from glassnet.formats import is_number
from glassnet.tables import Table, make_table

LONGEST_LINE = 240
"""Characters of a repr."""
LONGEST_VALUE = 60
"""Characters of a text in it."""
NAMED = 4
"""Items of a sequence or mapping that are named."""
MOST_ROWS = 60
"""Rows of a table that a notebook shows; the others are counted."""


class Shown:
    """A result with a `repr` of one line and a table in a notebook; both are made of its dataclass fields.

    Attributes:
        shown_fields: Names of the attributes that are shown of what is no dataclass.
    """

    shown_fields: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        """Say in one line what it holds; arrays by type and shape."""
        return one_line(type(self).__name__, _fields(self))

    def _table(self) -> Table:
        """Return what a notebook shows of it."""
        return make_table("", ("", ""), [(name.replace("_", " "), brief(value)) for name, value in _fields(self)])

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        table = self._table()
        return f"<div><p><code>{html.escape(repr(self))}</code></p>{table_html(table) if table.rows else ''}</div>"


def one_line(name: str, values: Iterable[tuple[str, Any]]) -> str:
    """Write a name and values as a call, in one line of at most `LONGEST_LINE` characters."""
    text = f"{name}({', '.join(f'{key}={brief(value)}' for key, value in values)})"
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 2]}…)"


def brief(value: Any) -> str:
    """Write a value in a few characters of one line: an array by type and shape, a long sequence by its first items."""
    if isinstance(value, np.generic):
        return brief(value.item())
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{_some(map(_key, value), len(value))}}}"
    if isinstance(value, list | tuple):
        return f"({_some(map(brief, value), len(value))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, Shown):
        return one_line(type(value).__name__, _fields(value))
    name = getattr(value, "__name__", None) if callable(value) else None
    text = printable(" ".join(str(name or (repr(value) if isinstance(value, Shown) else value)).split()), lines=False)
    longest = LONGEST_LINE if isinstance(value, Shown) else LONGEST_VALUE
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def table_html(table: Table) -> str:
    """Write a table as HTML; numbers are set flush right."""
    words = table.word_columns
    rows, left = table.rows[:MOST_ROWS], len(table.rows) - MOST_ROWS
    head = "".join(_cell("th", name, i in words) for i, name in enumerate(table.columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', cell, i in words) for i, cell in enumerate(row))}</tr>"
        for row in (*rows, *([table.total] if table.total else []))
    )
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    header = f"<thead><tr>{head}</tr></thead>" if any(table.columns) else ""
    notes = [table.note, f"and {left:,} rows more" if left > 0 else ""]
    return f"<table>{caption}{header}<tbody>{body}</tbody></table>" + "".join(
        f"<p>{html.escape(note)}</p>" for note in notes if note
    )


def fraction(value: float | None) -> str:
    """Write a number with four decimals; a dash for none."""
    return f"{value:.4f}" if is_number(value) else "–"


def drawable(images: Any) -> Real[np.ndarray, "n c h w"]:
    """Return images as they can be drawn; what is normalised is stretched to its own range, channel by channel.

    Images of other than 1 or 3 channels become the mean of their channels. Both are said.
    """
    detached = images.detach().cpu() if hasattr(images, "detach") else images
    array = np.asarray(detached.float() if str(detached.dtype) == "torch.bfloat16" else detached)
    if array.ndim == 4 and array.shape[1] not in (1, 3):
        say_once(f"images with {array.shape[1]} channels are drawn as the mean of their channels.")
        array = array.mean(axis=1, keepdims=True) / (255 if array.dtype == np.uint8 else 1)
    if array.dtype != np.uint8 and array.size and np.isfinite(array).all() and not _is_in_unit(array):
        say_once(
            "the images do not lie between 0 and 1, so each channel is stretched to its own range; for true colours, "
            "pass images=… as they are before normalisation."
        )
        low, high = (end(array, axis=(0, 2, 3), keepdims=True) for end in (np.min, np.max))
        array = (array - low) / np.where(high > low, high - low, 1)
    return array


def _is_in_unit(array: np.ndarray) -> bool:
    return bool(array.min() >= -1e-3 and array.max() <= 1.001)


def _cell(tag: str, text: str, is_word: bool) -> str:
    side = "left" if is_word else "right"
    return f'<{tag} style="text-align:{side}">{html.escape(text)}</{tag}>'


def _fields(result: Any) -> Iterator[tuple[str, Any]]:
    fields = dataclasses.fields(result) if dataclasses.is_dataclass(result) else ()
    for name in (*(one.name for one in fields if one.repr), *getattr(result, "shown_fields", ())):
        yield name, getattr(result, name)


def _key(key: Any) -> str:
    return " at ".join(map(str, key)) if isinstance(key, tuple) else brief(key)


def _some(words: Iterable[str], number: int) -> str:
    named = [word for word, _ in zip(words, range(NAMED), strict=False)]
    return ", ".join(named) + (f" and {number - NAMED:,} more" if number > NAMED else "")

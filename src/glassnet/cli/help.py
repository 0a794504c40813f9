"""The help of a command, laid out anew from tyro's: grouped by what options are for, as wide as the terminal."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OWN = "that of the task"
"""Stands in a setting's text for a value that each task brings."""
INDENT = 22
"""Column at which the text of an option begins."""


@dataclass(frozen=True)
class Entry:
    """An option or a positional argument.

    Attributes:
        words: How it is written, as in "--epochs INT".
        text: What it does, with its default.
    """

    words: str
    text: str

    @property
    def name(self) -> str:
        """The name of the setting: learning_rate of --learning-rate; "" of a positional argument."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def flag(self) -> str:
        """The option alone, as in "--epochs"; "" of a positional argument."""
        first = re.search(r"--[\w-]+", self.words)
        return first[0] if first else ""


def docstring(thing: Any) -> str:
    """Return the docstring of a class or function, out of its file where Python runs without (python -OO)."""
    if not sys.flags.optimize > 1:
        return thing.__doc__ or ""
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(thing))).body
    except (OSError, TypeError, ValueError, SyntaxError):
        return ""
    return ast.get_docstring(body, clean=False) or "" if isinstance(body, ast.ClassDef | ast.FunctionDef) else ""


def summary(thing: Any) -> str:
    """Return the first line of a docstring."""
    return docstring(thing).strip().partition("\n")[0]


def lay_out(
    name: str,
    about: str,
    raw: str,
    groups: Mapping[str, Sequence[str]],
    own: Mapping[str, str] | None = None,
    rare: Sequence[str] = (),
) -> str:
    """Write a command's help.

    Args:
        name: The command.
        about: What it does.
        raw: tyro's help, printed so wide that it wraps nothing.
        groups: The names of settings by the heading that they stand under; all others come first, under "options".
        own: What the tasks bring, by the name of the setting, in place of "that of the task"; of --task its choices.
        rare: Settings that are named at the end only, without their texts.
    """
    width = shutil.get_terminal_size((80, 24)).columns
    found = [_filled(entry, own or {}) for entry in read_entries(raw)]
    entries = [entry for entry in found if entry.name not in rare]
    left_out = [entry.flag for entry in found if entry.name in rare]
    positional = [entry for entry in entries if not entry.words.startswith("-")]
    grouped = {name for names in groups.values() for name in names}
    others = [entry for entry in entries if entry not in positional and entry.name not in grouped]
    sections = {"arguments": positional, "options": others} | {
        heading: [entry for entry in entries if entry.name in names] for heading, names in groups.items()
    }
    usage = f"usage: glassnet {name} [OPTIONS] {' '.join(entry.words for entry in positional)}".rstrip()
    parts = [usage, "\n\n".join(textwrap.fill(" ".join(part.split()), width) for part in about.split("\n\n"))]
    for heading, listed in sections.items():
        if listed:
            parts.append("\n".join([f"{heading}:", *(_written(entry, width) for entry in listed)]))
    if left_out:
        names = textwrap.wrap(", ".join(left_out), max(width - 2, 20), break_on_hyphens=False, break_long_words=False)
        parts.append("\n".join([f"more options (see `glassnet {name} --help-all`):", *(f"  {line}" for line in names)]))
    return "\n\n".join(parts) + "\n"


def read_entries(raw: str) -> Iterator[Entry]:
    """Read the options out of tyro's help: each begins two spaces in, and its text may go on in the next lines."""
    words, text = "", ""
    for line in raw.splitlines():
        begins = re.match(r"  (\S.*?)(?:\s{2,}(\S.*))?$", line.rstrip())
        if begins:
            if words:
                yield _entry(words, text)
            words, text = begins[1], begins[2] or ""
        elif line.startswith("      "):
            text += " " + line
        elif words:
            yield _entry(words, text)
            words, text = "", ""
    if words:
        yield _entry(words, text)


def _entry(words: str, text: str) -> Entry:
    """Put an option before its short form, and leave out "None or", and a default of None that the text explains."""
    words = words.replace("{None}|", "").replace("{None,", "{")
    words = re.sub(r"\[(\S+) \[\1 \.\.\.\]\]", r"\1 ...", words)
    words = re.sub(r"\{(\w+ \.\.\.)\}", r"\1", words)
    words = re.sub(r"^(--\S+) (\S+), (--\S+) \2$", r"\3, \1 \2", words)
    explained = re.search(r"Default(?: for [^:.]*)?: ", text)
    text = re.sub(r"\(default: (None)?\)", "" if explained else "(default: none)", text)
    return Entry(words, " ".join(text.split()))


def _filled(entry: Entry, own: Mapping[str, str]) -> Entry:
    """Put what the tasks bring into an option's text, and the tasks themselves into the words of --task."""
    if entry.name == "task" and "task" in own:
        return Entry(f"--task {own['task']}", entry.text)
    return Entry(entry.words, entry.text.replace(OWN, own.get(entry.name, OWN)))


def _written(entry: Entry, width: int) -> str:
    """Write an option with its text beside it, or below where it is long."""
    head = f"  {entry.words}"
    lines = textwrap.wrap(entry.text, max(width - INDENT, 20), break_long_words=False, break_on_hyphens=False)
    if len(head) + 2 <= INDENT and lines:
        head, lines = head.ljust(INDENT) + lines[0], lines[1:]
    return "\n".join([head, *(" " * INDENT + line for line in lines)])

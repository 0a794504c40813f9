"""Progress on standard error: bars on a terminal, plain lines elsewhere; standard output is for results."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from glassnet.errors import InputError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NO_NAME = re.compile(_CONTROL.pattern.replace(r"\x08\x0b-", ""))


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, steps: float = 1, *, note: str = "") -> None:
        """Move on by `steps`, and show `note` behind the bar."""


class Watcher(Protocol):
    """Hears of each step of some work, and may raise `Cancelled` to end it."""

    def __call__(self, what: str, done: float, total: float | None, *, may_pause: bool) -> None:
        """Hear of a step.

        Args:
            what: What is counted, such as "images"; empty where a step says nothing.
            done: Steps done.
            total: Steps in all; None where unknown.
            may_pause: Whether other work may be done before the next step: no model is held.
        """


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Report the steps of what is done inside to a watcher, in place of a terminal."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def step(what: str = "", done: float = 0, total: float | None = None, *, may_pause: bool = False) -> None:
    """Report a step to who watches, if anyone does.

    Raises:
        Cancelled: The result is not wanted any more.
    """
    watcher = _watcher.get()
    if watcher is not None:
        watcher(what, done, total, may_pause=may_pause)


_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def _watched_advance(description: str, total: float | None) -> Advance:
    done = 0.0

    def advance(steps: float = 1, *, note: str = "") -> None:
        nonlocal done
        done += steps
        step(f"{description} {note}".strip(), done, total)

    return advance


def count_processes() -> int:
    """Return how many processes work together, as torchrun tells each of them by WORLD_SIZE.

    Raises:
        InputError: WORLD_SIZE is no number of processes.
    """
    text = os.environ.get("WORLD_SIZE", "") or "1"
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise InputError(f"WORLD_SIZE is '{text[:40]}', expected a number of processes, as torchrun sets it; unset it.")
    return int(text)


def is_main_process() -> bool:
    """Tell whether this process is the one that may print and write files; RANK counts only among several."""
    size = os.environ.get("WORLD_SIZE", "")
    several = size.isdecimal() and size.lstrip("0") not in ("", "1")
    return not several or os.environ.get("RANK", "0") in ("", "0")


def printable(text: str, *, lines: bool = True) -> str:
    """Write control characters, and what turns the direction of writing, as in \\x1b: a name must not move the cursor.

    A byte of a file's name that is no UTF-8 is written as in \\udcff.

    Args:
        text: Any text.
        lines: Whether line breaks and tabs stay, which a name must not have either.
    """
    return (_CONTROL if lines else _NO_NAME).sub(
        lambda match: match.group().encode("unicode_escape").decode("ascii"), text
    )


def say(message: str) -> None:
    """Print a line on standard error, from the main process only; inside `no_repeats` only if it is new there."""
    there = _said_here.get()
    if there is not None and message in there:
        return
    if there is not None:
        there.add(message)
    if is_main_process():
        print(printable(message), file=sys.stderr, flush=True)


@contextmanager
def no_repeats() -> Iterator[None]:
    """Let `say` print each line of the block once, where one call of the library makes many that would say the same."""
    outer = _said_here.get()
    token = _said_here.set(set() if outer is None else outer)
    try:
        yield
    finally:
        _said_here.reset(token)


_said_here: ContextVar[set[str] | None] = ContextVar("said_here", default=None)


def say_once(message: str) -> None:
    """Print a line on standard error that this process has not printed before."""
    if message not in _printed:
        _printed.add(message)
        say(message)


_printed: set[str] = set()


def _silent(steps: float = 1, *, note: str = "") -> None:
    """Show nothing, where there is no terminal for a bar."""


@contextmanager
def progress(description: str, total: float | None, *, unit: str = "", announce: bool = True) -> Iterator[Advance]:
    """Show the progress of one piece of work.

    Args:
        description: What is being done.
        total: Steps in all; None where unknown.
        unit: "bytes" shows sizes and speed as such; anything else counts.
        announce: Whether to print the description as a line where there is no terminal for a bar.
    """
    if _watcher.get() is not None:
        step(description, 0, total)
        yield _watched_advance(description, total)
        return
    if not is_main_process() or not sys.stderr.isatty():
        if announce:
            say(description)
        yield _silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
    )
    columns = [
        TextColumn("{task.description}", markup=False),  # a path may hold brackets
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(printable(description), total=total, note="")

        def advance(steps: float = 1, *, note: str = "") -> None:
            bars.advance(task, steps)
            if note:
                bars.update(task, note=printable(note))

        yield advance

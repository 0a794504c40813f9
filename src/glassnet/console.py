"""Progress on standard error: bars on a terminal, plain lines elsewhere; standard output is for results."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, steps: float = 1, *, note: str = "") -> None:
        """Move on by `steps`, and show `note` behind the bar."""


def is_main_process() -> bool:
    """Tell whether this process is the one that may print and write files."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """Print a line on standard error, from the main process only."""
    if is_main_process():
        print(message, file=sys.stderr, flush=True)


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
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total, note="")

        def advance(steps: float = 1, *, note: str = "") -> None:
            bars.advance(task, steps)
            if note:
                bars.update(task, note=note)

        yield advance

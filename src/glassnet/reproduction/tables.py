"""Tables with the report's number beside ours, and how they are written in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassnet.errors import InputError
from glassnet.reproduction.claims import Verdict
from glassnet.tuning import spread


@dataclass(frozen=True)
class Table:
    """A table as text cells under a title."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Beside:
    """One of the report's numbers beside ours."""

    report: float | None
    """None where the report has no such number."""
    mean: float
    std: float | None
    """Standard deviation over seeds, n - 1 in the denominator; None for one seed."""
    seeds: int

    @property
    def difference(self) -> float | None:
        """Ours minus the report's."""
        return None if self.report is None else self.mean - self.report

    @property
    def cells(self) -> tuple[str, str, str]:
        """Report, ours, difference, as text."""
        ours = f"{self.mean:.4f}" + (f" ± {self.std:.4f}" if self.std is not None else "")
        reported = "–" if self.report is None else f"{self.report:.4f}"
        return reported, f"{ours} ({self.seeds})", "–" if self.difference is None else f"{self.difference:+.4f}"


def beside(report: float | None, ours: Sequence[float]) -> Beside:
    """Put the report's number beside our mean ± standard deviation over seeds.

    Raises:
        InputError: We have no number.
    """
    if not ours:
        raise InputError("got no number of ours to put beside the report's, expected one a seed; train at least one.")
    mean, std = spread(ours)
    return Beside(report, mean, std, len(ours))


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """List the claims with what our figures say of them."""
    rows = tuple((v.claim, v.figure, v.supported, effect_text(v), v.decided) for v in verdicts)
    return Table("The report's claims", ("claim", "figure", "verdict", "effect [95% interval]", "decided by"), rows)


def effect_text(verdict: Verdict) -> str:
    """Write a verdict's effect with its interval."""
    if verdict.effect is None:
        return "–"
    if verdict.interval is None:
        return f"{verdict.effect:+.4f}"
    low, high = verdict.interval
    return f"{verdict.effect:+.4f} [{low:+.4f}, {high:+.4f}]"


def markdown(table: Table) -> str:
    """Write a table in Markdown, its columns aligned so that the source reads as well."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(table.header))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    note = f"\n\n{table.note}" if table.note else ""
    return f"### {table.title}\n\n" + "\n".join([lines[0], rule, *lines[1:]]) + note

"""The networks of Figures 1 and 3 as rows of a table: the report's numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from glassnet.reproduction.numbers import OWN_NETWORK, Reported
from glassnet.reproduction.tables import Beside, Table, beside
from glassnet.tuning import Cell, holm, paired_difference


@dataclass(frozen=True)
class Row:
    """A network of the report's tables, its number beside ours.

    Attributes:
        name: As the table names it.
        cell: Our runs; None where none came to an end.
        reported: The report's numbers; None where it has none.
    """

    name: str
    cell: Cell | None
    reported: Reported | None

    def beside(self, measure: str) -> Beside | None:
        """Put the report's number beside ours, for the measure "loss" or "accuracy"."""
        if self.cell is None:
            return None
        return beside(getattr(self.reported, measure, None), getattr(self.cell, f"test_{measure}"))

    def by_seed(self, measure: str) -> dict[int, float]:
        """Return our test figures by seed."""
        return (
            {} if self.cell is None else dict(zip(self.cell.seeds, getattr(self.cell, f"test_{measure}"), strict=True))
        )


def network_tables(networks: Sequence[Row], tuned: Sequence[Row]) -> list[Table]:
    """Lay out Figure 1, Figure 3 and its steps, those of them that were trained."""
    tables = []
    if networks:
        tables.append(_beside_table("Figure 1: networks on the test images", "network", networks))
    if tuned:
        tables.append(_beside_table(f"Figure 3: filters of {OWN_NETWORK}", "filters", tuned))
        tables.append(_steps(tuned))
    return tables


def _beside_table(title: str, kind: str, rows: Sequence[Row]) -> Table:
    header = (
        kind, "parameters",
        "accuracy: report", "ours (seeds)", "difference",
        "loss: report", "ours (seeds)", "difference",
    )  # fmt: skip
    cells = []
    for row in rows:
        accuracy, loss = row.beside("accuracy"), row.beside("loss")
        parameters = "–" if row.cell is None else f"{row.cell.parameters:,}"
        shown = [side.cells if side else ("–", "no finished run", "–") for side in (accuracy, loss)]
        cells.append((row.name, parameters, *shown[0], *shown[1]))
    return Table(title, header, tuple(cells), "Ours: mean ± standard deviation over seeds, their number in brackets.")


def _steps(tuned: Sequence[Row]) -> Table:
    """Compare each setting of the filters with the one before, seeds paired; Holm corrects over a measure's steps."""
    compared = {measure: _step_cells(tuned, measure) for measure in ("accuracy", "loss")}
    rows = tuple(
        (f"{before.name} → {after.name}", compared["accuracy"][i], compared["loss"][i])
        for i, (before, after) in enumerate(pairwise(tuned))
    )
    return Table(
        "Figure 3, step by step",
        ("from → to", "accuracy: difference [95% interval], p", "loss: difference [95% interval], p"),
        rows,
        "Paired over seeds, t interval; p after Holm's correction for all steps.",
    )


def _step_cells(tuned: Sequence[Row], measure: str) -> list[str]:
    found = []
    for before, after in pairwise(tuned):
        first, second = after.by_seed(measure), before.by_seed(measure)
        seeds = sorted(first.keys() & second.keys())
        pairs = ([first[seed] for seed in seeds], [second[seed] for seed in seeds])
        found.append(paired_difference(*pairs) if len(seeds) > 1 else None)
    corrected = iter(holm([difference.p for difference in found if difference]))
    return [
        f"{d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}], {next(corrected):.2g}" if d else "– (fewer than two seeds)"
        for d in found
    ]


def to_json(row: Row) -> dict[str, Any]:
    """Return a row's numbers in full as JSON values."""
    sides = {measure: row.beside(measure) for measure in ("accuracy", "loss")}
    cell = row.cell
    return {
        "name": row.name,
        "parameters": cell.parameters if cell else None,
        "seeds": list(cell.seeds) if cell else [],
        "runs": [str(path) for path in cell.runs] if cell else [],
        "seconds": list(cell.seconds) if cell else [],
        **{m: asdict(side) | {"difference": side.difference} if side else None for m, side in sides.items()},
        "test_accuracy": list(cell.test_accuracy) if cell else [],
        "test_loss": list(cell.test_loss) if cell else [],
    }

"""The networks of Figures 1 and 3 as rows of tables and as plots: the report's numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch

from glassnet import figures
from glassnet.experiment import Run
from glassnet.models import create_model
from glassnet.models.layers import layer_table
from glassnet.reproduction.claims import Verdict
from glassnet.reproduction.part import SavedFigure, save_plot
from glassnet.reproduction.reported import OWN_NETWORK, Comparison, Reported, compare, effect_text
from glassnet.run import RunDirectory
from glassnet.stats import PairedDifference, holm, paired_t
from glassnet.tables import Table
from glassnet.tuning import Cell


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

    def compare(self, measure: str) -> Comparison | None:
        """Put the report's number beside ours, for the measure "loss" or "accuracy"."""
        if self.cell is None:
            return None
        return compare(getattr(self.reported, measure, None), getattr(self.cell, f"test_{measure}"))

    def by_seed(self, measure: str) -> dict[int, float]:
        """Return our test figures by seed."""
        return (
            {} if self.cell is None else dict(zip(self.cell.seeds, getattr(self.cell, f"test_{measure}"), strict=True))
        )


def network_tables(networks: Sequence[Row], tuned: Sequence[Row]) -> list[Table]:
    """Lay out Figure 1, Figure 3 and its steps, those of them that were trained."""
    tables = []
    if networks:
        tables.append(_comparison_table("Figure 1: networks on the test images", "network", networks))
    if tuned:
        tables.append(_comparison_table(f"Figure 3: filters of {OWN_NETWORK}", "filters", tuned))
        tables.append(_steps(tuned))
    return tables


def _comparison_table(title: str, kind: str, rows: Sequence[Row]) -> Table:
    header = (
        kind, "parameters",
        "accuracy: report", "ours (seeds)", "difference",
        "loss: report", "ours (seeds)", "difference",
    )  # fmt: skip
    cells = []
    for row in rows:
        accuracy, loss = row.compare("accuracy"), row.compare("loss")
        parameters = "–" if row.cell is None else f"{row.cell.parameters:,}"
        compared = [side.cells if side else ("–", "no finished run", "–") for side in (accuracy, loss)]
        cells.append((row.name, parameters, *compared[0], *compared[1]))
    return Table(
        title, header, tuple(cells), note="Ours: mean ± standard deviation over seeds, their number in brackets."
    )


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
        note="Paired over seeds, t interval; p after Holm's correction for all steps.",
    )


def _step_cells(tuned: Sequence[Row], measure: str) -> list[str]:
    differences = []
    for before, after in pairwise(tuned):
        first, second = after.by_seed(measure), before.by_seed(measure)
        seeds = sorted(first.keys() & second.keys())
        pairs = ([first[seed] for seed in seeds], [second[seed] for seed in seeds])
        differences.append(paired_t(*pairs) if len(seeds) > 1 else None)
    corrected = iter(holm([difference.p for difference in differences if difference]))
    return [_step_cell(d, next(corrected)) if d else "– (fewer than two seeds)" for d in differences]


def _step_cell(difference: PairedDifference, p: float) -> str:
    bounds = "–" if difference.interval is None else ", ".join(f"{bound:+.4f}" for bound in difference.interval)
    return f"{difference.mean:+.4f} [{bounds}], {p:.2g}"


def to_json(row: Row) -> dict[str, Any]:
    """Return a row's numbers in full as JSON values."""
    sides = {measure: row.compare(measure) for measure in ("accuracy", "loss")}
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


def plot_networks(
    folder: RunDirectory, networks: Sequence[Row], tuned: Sequence[Row], verdicts: Sequence[Verdict], run: Run
) -> list[SavedFigure]:
    """Plot what was trained, and the own network, into the folder's figures/."""
    saved = []
    if any(row.cell for row in networks):
        claims = _claims(verdicts, "1")
        saved.append(_compared(folder, "figure-1", "Figure 1: networks compared", networks, claims))
    saved.append(_own_network(folder, run))
    if any(row.cell for row in tuned):
        claims = _claims(verdicts, "3")
        saved.append(_compared(folder, "figure-3", f"Figure 3: filters of {OWN_NETWORK}", tuned, claims))
    return saved


def _claims(verdicts: Sequence[Verdict], figure: str) -> list[str]:
    """Write the verdicts on a figure's claims, a line each."""
    judged = [verdict for verdict in verdicts if verdict.figure == figure]
    lines = [
        f"{v.claim}: {v.supported}, {effect_text(v)}" if v.interval else f"{v.claim}: {v.supported}" for v in judged
    ]
    return [line.replace("-0.", "−0.") for line in lines]


def _compared(folder: RunDirectory, name: str, title: str, rows: Sequence[Row], claims: Sequence[str]) -> SavedFigure:
    finished = [row for row in rows if row.cell]
    figure = figures.tuning_figure(
        [row.name for row in finished],
        [row.cell.test_accuracy for row in finished if row.cell],
        metric="test accuracy",
        report=[row.reported.accuracy if row.reported else None for row in finished],
        columns={"parameters": [f"{row.cell.parameters:,}" for row in finished if row.cell]},
        claims=claims,
        title=title,
    )
    alt = f"{title}: test accuracy of each, a dot a seed, the report's beside it."
    return save_plot(folder, name, figure, title=title, alt=alt)


def _own_network(folder: RunDirectory, run: Run) -> SavedFigure:
    """Plot the own network at the size of the images that were trained on."""
    shape = run.manifest["model"]
    channels, size = shape["in_channels"], shape["image_size"]
    with torch.device("meta"):
        model = create_model(OWN_NETWORK, in_channels=channels, num_classes=shape["num_classes"], image_size=size)
    rows = [asdict(row) for row in layer_table(model, (1, channels, size, size))]
    title = f"Figure 2: the report's own network, {OWN_NETWORK}"
    alt = f"{title}, layer by layer, with sizes and {sum(row['parameters'] for row in rows):,} parameters."
    return save_plot(folder, "figure-2", figures.architecture(rows, title=OWN_NETWORK), title=title, alt=alt)

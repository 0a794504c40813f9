"""Figures 1 to 3: networks compared, the report's own network, and its filters tuned, over several seeds.

The networks of Figures 1 and 3 are rows of tables and plots, with the report's numbers next to ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from glassnet import figures
from glassnet.errors import unknown_name
from glassnet.experiment import Run
from glassnet.models import create_model
from glassnet.models.layer_table import layer_table
from glassnet.reproduction.budget import filled
from glassnet.reproduction.claims import CLAIMS, Verdict, both, higher_over_seeds
from glassnet.reproduction.part import Part, Reproduction, SavedFigure, open_folder, save_plot
from glassnet.reproduction.reported import (
    FIGURE_1,
    FIGURE_3,
    OWN_FILTERS,
    OWN_NETWORK,
    Comparison,
    Reported,
    compare,
    effect_text,
)
from glassnet.reproduction.trainings import Training, base_settings, folder_of, grid_trainings
from glassnet.run import RunDirectory
from glassnet.settings.train import ReproduceSettings
from glassnet.stats import PairedDifference, holm, paired_t
from glassnet.tables import Table
from glassnet.tuning import Cell, Tuning, tune


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
    """Plot what was trained, and the report's network, into the folder's figures/."""
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
    """Plot the report's network at the size of the images that were trained on."""
    shape = run.manifest["model"]
    channels, size = shape["in_channels"], shape["image_size"]
    with torch.device("meta"):
        model = create_model(OWN_NETWORK, in_channels=channels, num_classes=shape["num_classes"], image_size=size)
    rows = [asdict(row) for row in layer_table(model, (1, channels, size, size))]
    title = f"Figure 2: the report's own network, {OWN_NETWORK}"
    alt = f"{title}, layer by layer, with sizes and {sum(row['parameters'] for row in rows):,} parameters."
    return save_plot(folder, "figure-2", figures.architecture(rows, title=OWN_NETWORK), title=title, alt=alt)


Filters = tuple[int, ...]


def classification(
    settings: ReproduceSettings, out: Path, *, filters: Sequence[Filters] = tuple(FIGURE_3)
) -> Reproduction:
    """Train what Figures 1 and 3 need with every seed, and put the report's numbers beside ours.

    Args:
        settings: Seeds, data and networks; the rest of the training is as by default.
        out: Folder; the runs go below its training/, and those that are finished there are not trained again.
        filters: Settings of the four convolutions of the report's network, from few to many.

    Raises:
        InputError: A network is none of the report's, or the folder holds runs of other settings.
    """
    folder, settings = open_folder(out), filled(settings, "classification")
    chosen = _chosen(settings.models)
    grids = _grids(chosen, filters)
    result = [tune(base_settings(settings), grid, seeds=settings.seeds, out=folder_of(out)) for grid, _ in grids][-1]
    networks = [Row(name, _cell(result, model=name), FIGURE_1[name]) for name in chosen if name != OWN_NETWORK]
    tuned = []
    if OWN_NETWORK in chosen:
        tuned = [Row(_text(f), _cell(result, model=OWN_NETWORK, filters=f), FIGURE_3.get(f)) for f in filters]
        networks.append(Row(f"{OWN_NETWORK} (Figure 2)", _cell(result, model=OWN_NETWORK, filters=_own(filters)), None))
    run = Run.open(result.cells[0].runs[0])  # any, for what all have in common
    verdicts = judge({row.name: row for row in networks}, tuned)
    return Reproduction(
        part="classification",
        out=out,
        tables=tuple(network_tables(networks, tuned)),
        verdicts=verdicts,
        figures=tuple(plot_networks(folder, networks, tuned, verdicts, run)),
        notes=_notes(settings, result, run),
        details={
            "data": run.manifest["data"]["name"],
            "test_images": run.manifest["data"]["test"],
            "figure_1": [to_json(row) for row in networks],
            "figure_3": [to_json(row) for row in tuned],
        },
    )


def trainings(settings: ReproduceSettings, out: Path) -> list[Training]:
    """List the trainings of both grids; the network that stands in both figures once."""
    settings = filled(settings, "classification")
    return [
        training
        for grid, figures_of in _grids(_chosen(settings.models), tuple(FIGURE_3))
        for training in grid_trainings(base_settings(settings), grid, settings.seeds, folder_of(out), figures_of)
    ]


CLASSIFICATION = Part(
    "Figures 1 to 3: networks compared, the report's network, its filters tuned",
    trainings,
    classification,
    ("seeds", "models"),
)


def _chosen(models: Sequence[str]) -> list[str]:
    known = [*FIGURE_1, OWN_NETWORK]
    for name in models:
        if name not in known:
            raise unknown_name("network", name, known, where=" in the report's Figures 1 to 3", noun="networks")
    return [name for name in known if not models or name in models]


def _own(filters: Sequence[Filters]) -> Filters:
    """Return the setting that stands for the report's network: its choice, or the last one if that is not there."""
    return OWN_FILTERS if OWN_FILTERS in filters else filters[-1]


def _grids(chosen: Sequence[str], filters: Sequence[Filters]) -> list[tuple[dict[str, Sequence[Any]], tuple[str, ...]]]:
    """Return both grids of one folder with their figures; the report's network is only in the second, trained once."""
    grids: list[tuple[dict[str, Sequence[Any]], tuple[str, ...]]] = []
    if others := [name for name in chosen if name != OWN_NETWORK]:
        grids.append(({"model": others}, ("1",)))
    if OWN_NETWORK in chosen:
        grids.append(({"model": [OWN_NETWORK], "filters": list(filters)}, ("3",)))
    return grids


def _cell(result: Tuning, **values: Any) -> Cell | None:
    """Return the cell with these values; None where none of its runs came to an end."""
    cells = [cell for cell in result.cells if all(cell.values.get(name) == value for name, value in values.items())]
    return cells[0] if cells else None


def judge(networks: Mapping[str, Row], tuned: Sequence[Row]) -> tuple[Verdict, ...]:
    """Judge the claims of Figures 1 and 3 that the trained networks speak to."""
    accuracy = {name: row.by_seed("accuracy") for name, row in networks.items()}
    verdicts = [
        higher_over_seeds(
            CLAIMS[f"vgg-{other}"], "1", accuracy["vgg_small"], accuracy[f"{other}_small"], measure="test accuracy"
        )
        for other in ("resnet", "alexnet")
        if "vgg_small" in accuracy and f"{other}_small" in accuracy
    ]
    by_filters = {row.name: row.by_seed("accuracy") for row in tuned}
    names = [_text(f) for f in FIGURE_3]
    if by_filters.keys() >= set(names):
        fewest, best, most = (by_filters[name] for name in (names[0], _text(OWN_FILTERS), names[-1]))
        parts = [
            higher_over_seeds(CLAIMS["more-filters"], "3", best, fewest, measure="test accuracy"),
            higher_over_seeds(CLAIMS["overfitting"], "3", best, most, measure="test accuracy"),
        ]
        verdicts += [*parts, both(CLAIMS["filters"], "3", parts)]
    return tuple(verdicts)


def _notes(settings: ReproduceSettings, result: Tuning, run: Run) -> tuple[str, ...]:
    data, made = run.manifest["data"], run.manifest
    seeds = sorted({seed for cell in result.cells for seed in cell.seeds})
    lost = [f"{cell.name}, seed {seed}" for cell in result.cells for seed in cell.unfinished]
    return (
        f"Data: {data['name']}, {data['train']:,} training, {data['validation']:,} validation, {data['test']:,} test "
        f"images; epochs: {run.settings.epochs}; seeds {', '.join(map(str, seeds))}; {made['precision']} on "
        f"{made['device']}; all other settings are the defaults of `glassnet train`.",
        "The epoch is chosen on the validation images; the test images are used once, with the chosen weights.",
        *([] if settings.data == "mnist" else [f"The report's numbers are for MNIST, not for {data['name']}."]),
        *([f"Left out because there is no result: {'; '.join(lost)}."] if lost else []),
    )


def _text(filters: Filters) -> str:
    return ",".join(map(str, filters))

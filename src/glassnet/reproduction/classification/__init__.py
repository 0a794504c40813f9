"""Figures 1 to 3: networks compared, the report's own network, and its filters tuned, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glassnet.errors import unknown_name
from glassnet.experiment import Run
from glassnet.reproduction.claims import CLAIMS, Verdict, both, higher_over_seeds
from glassnet.reproduction.classification.networks import Row, network_tables, plot_networks, to_json
from glassnet.reproduction.part import Part, Reproduction, base_settings, open_folder
from glassnet.reproduction.reported import FIGURE_1, FIGURE_3, OWN_FILTERS, OWN_NETWORK
from glassnet.settings.reproduce import ReproduceSettings
from glassnet.tuning import Cell, Tuning, tune

Filters = tuple[int, ...]


def classification(
    settings: ReproduceSettings, out: Path, *, filters: Sequence[Filters] = tuple(FIGURE_3)
) -> Reproduction:
    """Train what Figures 1 and 3 need with every seed, and put the report's numbers beside ours.

    Args:
        settings: Seeds, data and networks; the rest of the training is as by default.
        out: Folder; the runs go below its training/, and those that are finished there are not trained again.
        filters: Settings of the own network's four convolutions, from few to many.

    Raises:
        InputError: A network is none of the report's, or the folder holds runs of other settings.
    """
    folder = open_folder(out)
    chosen = _chosen(settings.models)
    result = _train(settings, chosen, filters, out / "training")
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
        details={"figure_1": [to_json(row) for row in networks], "figure_3": [to_json(row) for row in tuned]},
    )


CLASSIFICATION = Part(
    "Figures 1 to 3: networks compared, the own network, its filters tuned", classification, ("seeds", "models")
)


def _chosen(models: Sequence[str]) -> list[str]:
    known = [*FIGURE_1, OWN_NETWORK]
    for name in models:
        if name not in known:
            raise unknown_name("network", name, known, where=" in the report's Figures 1 to 3", noun="networks")
    return [name for name in known if not models or name in models]


def _own(filters: Sequence[Filters]) -> Filters:
    """Return the setting that stands for the own network: the report's choice, the last where it is not among them."""
    return OWN_FILTERS if OWN_FILTERS in filters else filters[-1]


def _train(settings: ReproduceSettings, chosen: Sequence[str], filters: Sequence[Filters], out: Path) -> Tuning:
    """Train both grids in one folder, so that the network which is in both is trained once."""
    base = base_settings(settings)
    grids: list[dict[str, Sequence[Any]]] = []
    if others := [name for name in chosen if name != OWN_NETWORK]:
        grids.append({"model": others})
    if OWN_NETWORK in chosen:
        grids.append({"model": [OWN_NETWORK], "filters": list(filters)})
    return [tune(base, grid, seeds=settings.seeds, out=out) for grid in grids][-1]


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
        f"{made['device']}; all else as `glassnet train` has it by default.",
        "The epoch is chosen on the validation images; the test images are looked at once, with the weights chosen.",
        *([] if settings.data == "mnist" else [f"The report's numbers are of MNIST, not of {data['name']}."]),
        *([f"Without a result, and left out: {'; '.join(lost)}."] if lost else []),
    )


def _text(filters: Filters) -> str:
    return ",".join(map(str, filters))

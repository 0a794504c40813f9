"""How faithful the maps of a run are, as a table, and what its numbers are to be compared with."""

from collections.abc import Mapping
from typing import Any

from glassnet.report import numbers
from glassnet.report.records import part, rows, text
from glassnet.report.tables import Table, table

COLUMNS = {
    "mask_share": "Inside the stroke",
    "pointing_game": "Maximum on the stroke",
    "deletion": "Deletion area (lower is better)",
    "insertion": "Insertion area (higher is better)",
    "average_drop": "Average drop (lower is better)",
    "increase": "Increase (higher is better)",
}
NOTICES = {True: "notices it", False: "does not notice it", None: "is undecided, for want of images"}


def measures(group: dict[str, Any], names: Mapping[str, str]) -> Table | None:
    """Build the table of what was measured of each method and layer; None where nothing was."""
    found = rows(group, "measures")
    keys = [key for key in COLUMNS if any(key in row for row in found)]
    if not keys:
        return None
    cells = [
        (
            names.get(text(row.get("method")), text(row.get("method"))) or numbers.DASH,
            text(row.get("layer")) or numbers.DASH,
            *(_cell(part(row, key)) for key in keys),
        )
        for row in found
    ]
    caption = "How faithful the maps are: mean over the images, and its 95% interval"
    return table(caption, ("Method", "Layer", *(COLUMNS[key] for key in keys)), cells, words=(0, 1))


def _cell(value: dict[str, Any]) -> str:
    bounds = (value.get("low"), value.get("high"))
    if not numbers.is_number(value.get("mean")):
        return numbers.DASH
    return f"{numbers.percent(value['mean'], 1)} ({numbers.interval(bounds, 1)})"


def measure_notes(group: dict[str, Any], names: Mapping[str, str]) -> tuple[str, ...]:
    """Say what a map without knowledge would have, and which methods notice that the weights are lost."""
    notes = []
    mask, random = part(group, "mask"), part(group, "random_order")
    if mask:
        notes.append(
            f"The stroke is what is brighter than {numbers.decimal(mask.get('threshold'), 1)} of white. A map that is "
            f"the same everywhere has {numbers.percent(mask.get('area'), 1)} of itself inside it."
        )
    if random:
        notes.append(
            "Deletion and insertion: the area below the class’s probability while the map’s highest pixels go, or "
            f"come, first. In random order it is {numbers.percent(random.get('deletion'), 1)} and "
            f"{numbers.percent(random.get('insertion'), 1)}. Drop and increase: what showing only the marked pixels "
            "costs, and how often it helps."
        )
    passes = part(part(group, "sanity"), "passes")
    if passes:
        told = [f"{names.get(m, m)} {NOTICES[passed]}" for m, passed in passes.items()]
        notes.append(
            f"When the network’s weights are replaced by random ones, from the output down: {'; '.join(told)}."
        )
    return tuple(notes)

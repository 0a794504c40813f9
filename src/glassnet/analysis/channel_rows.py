"""The channels that are named of a layer, the most selective and the most needed ones, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.formats import DASH, count, decimal, percent
from glassnet.measures import MEASURES, show
from glassnet.microscope.ablation_result import Ablation
from glassnet.tables import Table, make_table

NAMED = 20
"""Dead channels that are named, at most."""
LETTERS = (60, 20, 14, 10, 8, 6, 4)
"""Of a class's name in a table, at most: as many as leave it in one block."""


def overview(result: MeasuredChannels) -> Table:
    """Lay out the layers: dead channels, how selective they are, and whether the selective ones matter."""
    heads = ["layer", "dead", "median active"]
    classes, ablated = result.channels.classes is not None, bool(result.ablations)
    heads += ["median selectivity"] if classes else []
    heads += ["can be removed"] if ablated else []
    heads += ["selectivity and cost of removal"] if classes and ablated else []
    rows = []
    for name, one in result.channels.layers.items():
        row = [_layer(result, name), f"{count(len(one.dead))} of {count(len(one))}"]
        row.append(percent(float(np.median(one.active)), 1))
        if classes:
            row.append(decimal(_median(one.selectivity), 2))
        if ablated:
            row.append(_without_loss(result, name))
        if classes and ablated:
            found = result.agreement(name)
            row.append(DASH if found is None else found.short)
        rows.append(row)
    note = f"Measured on {result.images_words}"
    if ablated:
        ablation = next(iter(result.ablations.values()))
        first, last = (_title(key).lower() for key in (ablation.measure, list(ablation.baseline)[-1]))
        note += f"; removals, one channel at a time, on {count(ablation.images)} of them"
        note += f". Can be removed: {first} is no worse without the channel"
        if classes:
            note += f". Last column: rank correlation of selectivity with what removal costs ({last}), 95% interval"
    return make_table("Channels by layer", heads, rows, words=[0], note=f"{note}.")


def _layer(result: MeasuredChannels, name: str) -> str:
    """Name a layer in few letters: a batch normalisation by the convolution whose channels it holds."""
    short = result.convolutions.get(name, name)
    return name if short in result.channels.layers else short


def _median(values: np.ndarray | None) -> float | None:
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _without_loss(result: MeasuredChannels, name: str) -> str:
    """Count the channels whose removal, each alone, makes the first measure no worse."""
    found = result.ablations.get(name)
    return DASH if found is None else f"{count(int((found.lost() <= 0).sum()))} of {count(len(found.channels))}"


def channels_table(result: MeasuredChannels, name: str, *, width: int | None = None) -> Table:
    """Lay out a layer's most selective channels, and those that the network needs most.

    Args:
        result: The analysis.
        name: The layer.
        width: Characters in a line; names of classes are cut so that the table takes one block, if that can be. None
            cuts only the longest.
    """
    selective, needed = result.selective(name), result.needed(name)
    chosen = [int(one) for one in dict.fromkeys([*selective.tolist(), *needed.tolist()])]
    if not chosen:
        chosen = [int(one) for one in result[name].order()[:4]]
    rows = channel_rows(result, name, chosen)
    why = [_why(channel, selective, needed) for channel in chosen]
    for letters in LETTERS if width is not None else LETTERS[:1]:
        cells = [_cells(result, name, row, letters) for row in rows]
        columns = [{"channel": str(one), "why": word, **row} for one, word, row in zip(chosen, why, cells, strict=True)]
        words = [place for place, head in enumerate(columns[0]) if head in ("why", "selective for", *_BY_CLASS)]
        table = make_table(result.title(name), list(columns[0]), [list(one.values()) for one in columns], words=words)
        if width is None or table.fits(width):
            break
    return table


_BY_CLASS = ("IoU", "class that loses most")


def _why(channel: int, selective: np.ndarray, needed: np.ndarray) -> str:
    if channel in selective and channel in needed:
        return "both"
    return "selective" if channel in selective else "needed" if channel in needed else "strong"


def _cells(result: MeasuredChannels, name: str, row: dict[str, Any], letters: int) -> dict[str, str]:
    """Return a channel's cells by their headings."""
    layer, found, cells = result[name], result.ablations.get(name), {}
    if layer.selectivity is None and found is None:
        cells["active"] = percent(row["active"], 1)
    if layer.selectivity is not None:
        cells["selective for"] = _of_class(row["selective_for"], decimal(row["selectivity"], 2), letters)
        if layer.iou is not None:
            cells["IoU"] = _of_class(row["shows"], decimal(row["iou"], 3), letters)
        elif layer.auroc is not None:
            cells["AUROC"] = decimal(row["selective_auroc"], 3)
    if found is None:
        return cells
    for key in dict.fromkeys([found.measure, list(found.baseline)[-1]]):
        head = f"{_title(key)} {'rise' if _rises(key) else 'lost'}"
        cells[head] = _change(found, key, row)
    if found.ablated_by_class:
        key = next(iter(found.ablated_by_class))
        most = row["loses_most"].get(key)
        cells["class that loses most"] = DASH if most is None else _of_class(most["class"], _brief(key, most), letters)
    return cells


def _of_class(name: str | None, figure: str, letters: int) -> str:
    return DASH if name is None else f"{shortened(name, letters)}: {figure}"


def _brief(key: str, most: dict[str, Any]) -> str:
    """Write what a class loses with one decimal, where it is a share: there are few images of a class."""
    return percent(most["lost"], 1) if _show(key, 0.5).endswith("%") else _show(key, most["lost"])


def _change(found: Ablation, key: str, row: dict[str, Any]) -> str:
    """Write what is lost, with half the width of its 95% interval where the measure is the first."""
    lost = _show(key, row["lost"][key])
    if key != found.measure or row["interval"] is None:
        return lost
    half = (row["interval"][1] - row["interval"][0]) / 2
    unit = next((unit for unit in ("%", " dB") if lost.endswith(unit)), "")
    return f"{lost.removesuffix(unit)} ± {_show(key, half)}"


def shortened(name: str, letters: int) -> str:
    """Cut a class's name to so many letters."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _show(key: str, value: float | None) -> str:
    return show(key if key in MEASURES else "score", value).replace("-", "−")


def _title(key: str) -> str:
    return MEASURES[key].heading if key in MEASURES else key


def _rises(key: str) -> bool:
    return key in MEASURES and MEASURES[key].better == "lower"


def channel_rows(result: MeasuredChannels, name: str, channels: Iterable[int]) -> list[dict[str, Any]]:
    """Return some channels' numbers as JSON values: what they respond to, and what their removal costs."""
    layer, found, rows = result[name], result.ablations.get(name), []
    for channel in map(int, channels):
        row: dict[str, Any] = {"channel": channel, "active": float(layer.active[channel])}
        if layer.selectivity is not None and layer.preferred is not None:
            preferred = int(layer.preferred[channel])
            row["selectivity"] = _number(layer.selectivity[channel])
            row["selective_for"] = _class(result, preferred)
            if layer.auroc is not None:
                row["selective_auroc"] = _number(layer.auroc[channel, preferred]) if preferred >= 0 else None
        for key, which, scores in (("auroc", "detects", layer.auroc), ("iou", "shows", layer.iou)):
            if scores is not None:
                known = np.isfinite(scores[channel]).any()
                best = int(np.nanargmax(scores[channel])) if known else -1
                row |= {key: _number(scores[channel, best]) if known else None, which: _class(result, best)}
        if found is not None:
            place = int(np.flatnonzero(found.channels == channel)[0])
            row["lost"] = {key: _number(found.lost(key)[place]) for key in found.baseline}
            row["interval"] = found.interval(channel)
            row["loses_most"] = {key: _most(result, found, channel, key) for key in found.ablated_by_class}
        picture = picture_numbers(result, name, channel)
        rows.append(row if picture is None else row | {"synthetic_image": picture})
    return rows


def _most(result: MeasuredChannels, found: Ablation, channel: int, key: str) -> dict[str, Any] | None:
    most = found.loses_most(channel, key)
    return None if most is None else {"class": _class(result, most[0]), "lost": most[1]}


def picture_numbers(result: MeasuredChannels, name: str, channel: int) -> dict[str, Any] | None:
    """Return what a channel's synthetic image reaches, beside the real images; None where it has none."""
    made = result.pictures.get(name)
    if made is None or channel not in made.channels:
        return None
    number, multiple = int(np.flatnonzero(made.channels == channel)[0]), made.multiple
    return {
        "activation": _number(made.activation[number]),
        "best_real": None if made.real_best is None else _number(made.real_best[number]),
        "multiple": None if multiple is None else _number(multiple[number]),
        "rank": None if made.rank is None else int(made.rank[number]),
    }


def driven(result: MeasuredChannels, name: str) -> dict[str, Any] | None:
    """Count a layer's live channels whose synthetic image activates them more than any real image; None without."""
    made = result.pictures.get(name)
    if made is None or made.rank is None:
        return None
    known = np.empty(0) if made.multiple is None else made.multiple[np.isfinite(made.multiple)]
    above = int((made.rank == 1).sum())
    return {
        "channels": len(made.channels),
        "above_real": above,
        "share": above / len(made.channels),
        "median_multiple": float(np.median(known)) if len(known) else None,
    }


def driven_words(result: MeasuredChannels, name: str) -> str:
    """Say how many live channels the synthetic images drive above every real image; nothing where there are none."""
    found = driven(result, name)
    if found is None:
        return ""
    shown, layer = found["channels"], result[name]
    alive = len(layer) - len(layer.dead)
    of = f"{shown} live channels" if shown == alive else f"the {shown} live channels on the sheet"
    median = found["median_multiple"]
    times = "" if median is None else f", at a median of {median:.2f} times its activation"
    return (
        f"the synthetic images drive {found['above_real']} of {of} "
        f"({percent(found['share'], 0)}) above their best real image{times}"
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _class(result: MeasuredChannels, number: int) -> str | None:
    if number < 0:
        return None
    return str(number) if result.channels.classes is None else result.channels.classes[number]


def dead_words(result: MeasuredChannels, name: str) -> str:
    """Name a layer's dead channels; nothing where there is none."""
    dead = result[name].dead
    if not dead:
        return ""
    named = ", ".join(map(str, dead[:NAMED])) + (f" and {len(dead) - NAMED} more" if len(dead) > NAMED else "")
    return f"dead in {name}, activated by no image: {named}"

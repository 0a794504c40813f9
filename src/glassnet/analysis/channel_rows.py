"""The channels that are told of a layer: the most selective and the most harmful to remove, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.formats import DASH, count, decimal, percent
from glassnet.measures import MEASURES, show
from glassnet.tables import Table, make_table

NAMED = 20
"""Dead channels that are named, at most."""
MOST = 60
"""Letters of a name of a class in a table."""


def overview(result: MeasuredChannels) -> Table:
    """Lay out the layers: channels, dead ones, how selective they are, and whether the selective ones matter."""
    heads = ["layer", "channels", "dead", "median active"]
    classes, ablated = result.channels.classes is not None, bool(result.ablations)
    heads += ["median selectivity"] if classes else []
    heads += ["can be removed"] if ablated else []
    heads += ["selectivity and harm"] if classes and ablated else []
    rows = []
    for name, one in result.channels.layers.items():
        row = [result.title(name), count(len(one)), count(len(one.dead)), percent(float(np.median(one.active)), 1)]
        if classes:
            row.append(decimal(_median(one.selectivity), 2))
        if ablated:
            row.append(_without_loss(result, name))
        if classes and ablated:
            found = result.agreement(name)
            row.append(DASH if found is None else found.words)
        rows.append(row)
    note = result.images_words
    if ablated:
        ablation = next(iter(result.ablations.values()))
        first, last = (_title(key).lower() for key in (ablation.measure, list(ablation.baseline)[-1]))
        note += f", {count(ablation.images)} of them given to the network without each channel"
        note += f"; can be removed: without the channel alone, {first} is no worse"
        note += f"; selectivity and harm: rank correlation of selectivity with harm, by {last}" if classes else ""
    return make_table("Channels by layer", heads, rows, note=note)


def _median(values: np.ndarray | None) -> float | None:
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _without_loss(result: MeasuredChannels, name: str) -> str:
    """Count the channels whose removal, each alone, makes the first measure no worse."""
    found = result.ablations.get(name)
    return DASH if found is None else f"{count(int((found.lost() <= 0).sum()))} of {count(len(found.channels))}"


def channels_table(result: MeasuredChannels, name: str) -> Table:
    """Lay out a layer's most selective channels, and those that are most harmful to remove."""
    selective, harmful = result.selective(name), result.harmful(name)
    chosen = [int(one) for one in dict.fromkeys([*selective.tolist(), *harmful.tolist()])]
    if not chosen:
        chosen = [int(one) for one in result[name].order()[:4]]
    rows = channel_rows(result, name, chosen)
    cells = [
        [str(row["channel"]), _why(row["channel"], selective, harmful), *_cells(result, name, row)] for row in rows
    ]
    return make_table(result.title(name), ["channel", "why", *_heads(result, name)], cells, words=_words(result, name))


def _why(channel: int, selective: np.ndarray, harmful: np.ndarray) -> str:
    words = ["selective"] * (channel in selective) + ["harmful"] * (channel in harmful)
    return " and ".join(words) or "strong"


def _heads(result: MeasuredChannels, name: str) -> list[str]:
    layer, heads = result[name], ["active"]
    heads += ["selectivity", "for"] if layer.selectivity is not None else []
    heads += ["AUROC", "of"] if layer.auroc is not None else []
    heads += ["IoU", "with"] if layer.iou is not None else []
    found = result.ablations.get(name)
    if found is not None:
        keys = list(dict.fromkeys([found.measure, list(found.baseline)[-1]]))
        heads += [f"{_title(key)} {'rise' if _rises(key) else 'lost'}" for key in keys]
        heads += ["95% interval"] if found.measure in found.standard_errors else []
    return heads


def _words(result: MeasuredChannels, name: str) -> list[int]:
    """Return which columns hold words."""
    heads = ["channel", "why", *_heads(result, name)]
    return [place for place, head in enumerate(heads) if head in ("why", "for", "of", "with")]


def _cells(result: MeasuredChannels, name: str, row: dict[str, Any]) -> list[str]:
    layer, cells = result[name], [percent(row["active"], 1)]
    for figures, key, which, digits in (
        (layer.selectivity, "selectivity", "selective_for", 2),
        (layer.auroc, "auroc", "detects", 3),
        (layer.iou, "iou", "shows", 3),
    ):
        if figures is not None:
            cells += [decimal(row[key], digits), _short(row[which])]
    found = result.ablations.get(name)
    if found is not None:
        keys = list(dict.fromkeys([found.measure, list(found.baseline)[-1]]))
        cells += [_show(key, row["lost"][key]) for key in keys]
        if found.measure in found.standard_errors:
            bounds = row["interval"]
            cells.append(DASH if bounds is None else " to ".join(_show(found.measure, one) for one in bounds))
    return cells


def _short(name: str | None) -> str:
    return DASH if name is None else name if len(name) <= MOST else f"{name[: MOST - 1]}…"


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
            row["selectivity"] = _number(layer.selectivity[channel])
            row["selective_for"] = _class(result, int(layer.preferred[channel]))
        for key, which, scores in (("auroc", "detects", layer.auroc), ("iou", "shows", layer.iou)):
            if scores is not None:
                known = np.isfinite(scores[channel]).any()
                best = int(np.nanargmax(scores[channel])) if known else -1
                row |= {key: _number(scores[channel, best]) if known else None, which: _class(result, best)}
        if found is not None:
            place = int(np.flatnonzero(found.channels == channel)[0])
            row["lost"] = {key: _number(found.lost(key)[place]) for key in found.baseline}
            row["interval"] = found.interval(channel)
        rows.append(row)
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _class(result: MeasuredChannels, number: int) -> str | None:
    return None if number < 0 or result.channels.classes is None else result.channels.classes[number]


def dead_words(result: MeasuredChannels, name: str) -> str:
    """Name a layer's dead channels; nothing where there is none."""
    dead = result[name].dead
    if not dead:
        return ""
    named = ", ".join(map(str, dead[:NAMED])) + (f" and {len(dead) - NAMED} more" if len(dead) > NAMED else "")
    return f"dead in {name}, activated by no image: {named}"

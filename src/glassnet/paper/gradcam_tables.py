"""The tables of Figures 15 to 17: the share inside the stroke layer by layer, and at the last convolution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from glassnet.attribution.faithfulness import Measured, measured
from glassnet.paper.look import Look
from glassnet.paper.numbers import OWN_NETWORK
from glassnet.paper.tables import Table


def layer_table(looks: Mapping[str, Look], shares: Mapping[str, Sequence[Measured]]) -> Table:
    """List every convolution of every network, beside what a uniform map would have."""
    rows = tuple(
        (
            name,
            layer,
            str(side),
            _cell(found),
            f"{one.area.mean():.3f}",
            "–" if found.mean is None else f"{np.nanmean(row - one.area):+.3f}",
            f"{len(row) - found.count:,}",
        )
        for name, one in looks.items()
        for layer, side, row, found in _rows(one, shares[name])
    )
    header = ("network", "layer", "map, px", "inside the stroke", "uniform map", "above uniform", "all zero")
    count = len(next(iter(looks.values())).area)
    return Table(
        f"Share of Grad-CAM inside the stroke, layer by layer, {count:,} test images",
        header,
        rows,
        "Mean over images and its 95% interval; maps that are all zero have no share and are left out, and counted in "
        "the last column. The report gives no numbers for these figures.",
    )


def _rows(one: Look, shares: Sequence[Measured]) -> Iterator[tuple[str, int, np.ndarray, Measured]]:
    return zip(one.layers, one.arrays["sides"], one.arrays["shares"], shares, strict=True)


def last_table(looks: Mapping[str, Look], seed: int) -> Table:
    """List the last convolutions, and the own network's at the resolution of the others."""
    rows = []
    for name, one in looks.items():
        sides = [int(one.arrays["sides"][-1])]
        if name == OWN_NETWORK:
            sides += sorted({int(o.arrays["sides"][-1]) for o in looks.values()} - set(sides))
        for side in sides:
            maps = one.arrays["last"] if side == sides[0] else one.reduced(side)
            found = [measured(values, seed=seed) for values in (one.share(maps), one.roundness(maps))]
            words = f"{one.layers[-1]}" + ("" if side == sides[0] else f", averaged to {side} px")
            cells = [_cell(m) for m in found]
            rows.append((name, words, str(side), *cells))
    return Table(
        "The last convolution, and the own network's at VGG's resolution",
        ("network", "maps", "map, px", "inside the stroke", "roundness"),
        tuple(rows),
        "Roundness: how much of the region above half of the maximum a disc of the same size covers; 1 is a disc.",
    )


def shares_to_json(one: Look, shares: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return a network's shares as JSON values, a row a layer."""
    rows = zip(one.layers, one.arrays["sides"].tolist(), shares, strict=True)
    return [
        {"layer": layer, "side_pixels": side, "mean": m.mean, "low": m.low, "high": m.high, "images": m.count}
        for layer, side, m in rows
    ]


def _cell(value: Measured) -> str:
    return "–" if value.mean is None else f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"

"""Figures 15 to 17 as tables and plots: the maps, and the share inside the stroke layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glassnet import figures
from glassnet.attribution.faithfulness import MeanCI, mean_ci, share_inside, stroke_mask
from glassnet.figures.faithfulness import LayerShares
from glassnet.reproduction.gradcam.maps import METHODS, PLACES, GradcamMaps, Place
from glassnet.reproduction.part import SavedFigure, save_plot
from glassnet.reproduction.reported import ATTRIBUTED, OWN_NETWORK
from glassnet.run import RunDirectory
from glassnet.tables import Table

Shares = Mapping[Place, Sequence[MeanCI]]
"""A network's measured shares, place by place, a layer each."""


def measure_shares(one: GradcamMaps, seed: int) -> Shares:
    """Average a network's shares over the images, layer by layer, with intervals."""
    return {place: [mean_ci(row, seed=seed) for row in maps.shares] for place, maps in one.at.items()}


def layer_table(networks: Mapping[str, GradcamMaps], shares: Mapping[str, Shares]) -> Table:
    """List every convolution of every network and its ReLU, beside what a uniform map would have."""
    rows = tuple(
        (name, *(cell for place in PLACES for cell in _layer(one, place, row, shares[name])), f"{one.area.mean():.3f}")
        for name, one in networks.items()
        for row in range(len(one.at["ReLU"].layers))
    )
    cells = ("map, px", "inside the stroke", "all zero")
    header = ("network", "convolution", *cells, "its ReLU", *cells, "uniform map")
    count = len(next(iter(networks.values())).area)
    return Table(
        f"Share of Grad-CAM inside the stroke, layer by layer, {count:,} test images",
        header,
        rows,
        note="Mean over images and its 95% interval, at each convolution's own output and at the ReLU after it. Maps "
        "that are all zero have no share; they are counted and left out. The report gives no numbers for these "
        "figures.",
    )


def _layer(one: GradcamMaps, place: Place, row: int, shares: Shares) -> tuple[str, ...]:
    maps, share = one.at[place], shares[place][row]
    return maps.layers[row], str(maps.sides[row]), _cell(share), f"{len(one.area) - share.count:,}"


def last_table(networks: Mapping[str, GradcamMaps], seed: int) -> Table:
    """List the last convolutions and their ReLUs, and those of the report's network at the resolution of the others."""
    rows = tuple(row for place in PLACES for name in networks for row in _last(networks, name, place, seed))
    return Table(
        "The last convolution and its ReLU, and those of the report's network at VGG's resolution",
        ("network", "maps", "map, px", "inside the stroke", "roundness", "random map", "without"),
        rows,
        note="Roundness: how much of the region above half of the maximum is covered by a disc of the same size. 1 is "
        "a disc; a ring does not count as round. Next to it is the roundness of random maps of that size, scaled to "
        "the image's size too. A 2x2 map cannot follow a stroke, whatever the network looks at. The last column counts "
        "maps without a roundness: zero everywhere, or hot over the whole frame.",
    )


def _last(networks: Mapping[str, GradcamMaps], name: str, place: Place, seed: int) -> list[tuple[str, ...]]:
    one, rows = networks[name], []
    sides = [int(one.at[place].sides[-1])]
    if name == OWN_NETWORK:
        sides += sorted({int(o.at[place].sides[-1]) for o in networks.values()} - set(sides))
    for side in sides:
        maps = one.at[place].last if side == sides[0] else one.at[place].reduced(side)
        measures = [mean_ci(values, seed=seed) for values in (one.share(maps), one.roundness(maps))]
        words = one.at[place].layers[-1] + ("" if side == sides[0] else f", averaged to {side} px")
        without = f"{len(maps) - measures[1].count:,}"
        rows.append((name, words, str(side), *map(_cell, measures), f"{one.chance(maps):.3f}", without))
    return rows


def shares_to_json(one: GradcamMaps, shares: Shares) -> list[dict[str, Any]]:
    """Return a network's shares as JSON values, a row a convolution, that of its ReLU within."""
    convolutions, relus = ([_to_json(one, place, row, m) for row, m in enumerate(shares[place])] for place in PLACES)
    return [row | {"relu": relu} for row, relu in zip(convolutions, relus, strict=True)]


def _to_json(one: GradcamMaps, place: Place, row: int, m: MeanCI) -> dict[str, Any]:
    maps = one.at[place]
    above = None if m.mean is None else float(np.nanmean(maps.shares[row] - one.area))
    about = {"layer": maps.layers[row], "side_pixels": int(maps.sides[row]), "above_uniform": above}
    return about | {"mean": m.mean, "low": m.low, "high": m.high, "images": m.count}


def _cell(value: MeanCI) -> str:
    if value.mean is None:
        return "–"
    bounds = "–" if value.low is None else f"{value.low:.3f}, {value.high:.3f}"
    return f"{value.mean:.3f} [{bounds}]"


SHARES: Mapping[Place, tuple[str, str]] = {
    "ReLU": ("stroke-share", "at each ReLU"),
    "convolution": ("stroke-share-convolution", "at each convolution"),
}
"""Name and title of the figure of shares at a place."""


def plot_gradcam(
    folder: RunDirectory, networks: Mapping[str, GradcamMaps], shares: Mapping[str, Shares]
) -> list[SavedFigure]:
    """Plot all of them into the folder's figures/; the maps at the ReLUs, the shares at the convolutions too."""
    saved = [_grid(folder, one) for one in networks.values()]
    if len(networks) > 1:
        saved.append(_strip(folder, networks))
    return saved + [_shares(folder, networks, shares, place) for place in reversed(PLACES)]


def _grid(folder: RunDirectory, one: GradcamMaps) -> SavedFigure:
    images, figure, layers = one.arrays["images"], ATTRIBUTED[one.name], one.at["ReLU"].layers
    maps = {(method, layer): one.arrays[f"{method}/{layer}"] for method in METHODS for layer in layers}
    mask = stroke_mask(images)
    title = f"Figure {figure}: (Guided) Grad-CAM of {one.name}, at ReLUs"
    saved = figures.attribution_grid(
        images, maps, list(layers), METHODS, _captions(one), title=title,
        numbers={key: share_inside(values, mask) for key, values in maps.items()},
        number_name="share of its positive attribution inside the stroke",
    )  # fmt: skip
    alt = f"{title}: the first {len(images)} test images, each with its maps at {', '.join(layers)}."
    return save_plot(folder, f"figure-{figure}", saved, title=title, alt=alt)


def _captions(one: GradcamMaps) -> list[str]:
    classes = one.run.classes
    rows = zip(one.arrays["labels"], one.arrays["targets"], one.arrays["probability"], strict=True)
    return [
        f"test image {number}: true {classes[label]}, predicted {classes[target]}\np({classes[target]}) = {share:.3f}"
        for number, (label, target, share) in enumerate(rows)
    ]


def _strip(folder: RunDirectory, networks: Mapping[str, GradcamMaps]) -> SavedFigure:
    images, maps, notes = {}, {}, {}
    for name, one in networks.items():
        layer, side = one.at["ReLU"].layers[-1], one.at["ReLU"].sides[-1]
        images[name], maps[name] = one.arrays["images"], one.arrays[f"gradcam/{layer}"]
        notes[name] = f"{layer}, {side} px"
    below = {name: _predictions(one, maps[name]) for name, one in networks.items()}
    first = next(iter(networks.values()))
    captions = [f"image {n}\ntrue {first.run.classes[label]}" for n, label in enumerate(first.arrays["labels"])]
    title = "Figures 15 to 17: Grad-CAM at the last convolution's ReLU"
    alt = f"{title} of {', '.join(networks)}, on the first {len(captions)} test images."
    saved = figures.attribution_strip(images, maps, captions, below=below, notes=notes, title=title)
    return save_plot(folder, "networks", saved, title=title, alt=alt)


def _predictions(one: GradcamMaps, maps: np.ndarray) -> list[str]:
    shares = share_inside(maps, stroke_mask(one.arrays["images"]))
    rows = zip(one.arrays["targets"], one.arrays["probability"], shares, strict=True)
    return [
        f"p({one.run.classes[target]}) = {probability:.3f}"
        + ("" if np.isnan(share) else f"\nin the stroke {share:.0%}")
        for target, probability, share in rows
    ]


def _bar(value: MeanCI) -> tuple[float | None, float | None]:
    """Return the ends of a bar; without an interval it has no height."""
    return (value.mean, value.mean) if value.low is None else (value.low, value.high)


def _shares(
    folder: RunDirectory, networks: Mapping[str, GradcamMaps], shares: Mapping[str, Shares], place: Place
) -> SavedFigure:
    layer_shares = {
        name: LayerShares(
            one.at[place].layers,
            np.array([m.mean for m in shares[name][place]], dtype=float),
            np.array([_bar(m) for m in shares[name][place]], dtype=float),
            one.at[place].sides,
            float(one.area.mean()),
            np.array([len(one.area) - m.count for m in shares[name][place]]),
        )
        for name, one in sorted(networks.items(), key=lambda item: item[0] != OWN_NETWORK)
    }
    name, where = SHARES[place]
    title = f"Grad-CAM inside the stroke, {where}"
    alt = f"{title}, of {', '.join(layer_shares)}, with the share of a uniform map as a line."
    return save_plot(folder, name, figures.mask_share(layer_shares, title=title), title=title, alt=alt)

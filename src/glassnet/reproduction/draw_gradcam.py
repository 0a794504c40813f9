"""Figures 15, 16 and 17 as pictures, the networks side by side, and the stroke's share layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassnet import figures
from glassnet.attribution.faithfulness import share_inside, stroke_mask
from glassnet.figures.faithfulness import LayerShares
from glassnet.reproduction.gradcam_tables import Shares
from glassnet.reproduction.look import METHODS, PLACES, Look, Place
from glassnet.reproduction.numbers import ATTRIBUTED, OWN_NETWORK
from glassnet.reproduction.reproduction import Drawn
from glassnet.run import RunDirectory

SHARES: Mapping[Place, tuple[str, str]] = {
    "ReLU": ("stroke-share", "at each ReLU"),
    "convolution": ("stroke-share-convolution", "at each convolution"),
}
"""Name and title of the figure of shares at a place."""


def draw_gradcam(kept: RunDirectory, looks: Mapping[str, Look], shares: Mapping[str, Shares]) -> list[Drawn]:
    """Draw all of them into the folder's figures/; the maps at the ReLUs, the shares at the convolutions too."""
    drawn = [_grid(kept, one) for one in looks.values()]
    if len(looks) > 1:
        drawn.append(_strip(kept, looks))
    return drawn + [_shares(kept, looks, shares, place) for place in reversed(PLACES)]


def _grid(kept: RunDirectory, one: Look) -> Drawn:
    images, figure, layers = one.arrays["images"], ATTRIBUTED[one.name], one.at["ReLU"].layers
    maps = {(method, layer): one.arrays[f"{method}/{layer}"] for method in METHODS for layer in layers}
    mask = stroke_mask(images)
    title = f"Figure {figure}: (Guided) Grad-CAM of {one.name}, at ReLUs"
    drawn = figures.attribution_grid(
        images, maps, list(layers), METHODS, _captions(one), title=title,
        numbers={key: share_inside(values, mask) for key, values in maps.items()},
        number_name="share of its positive attribution inside the stroke",
    )  # fmt: skip
    alt = f"{title}: the first {len(images)} test images, each with its maps at {', '.join(layers)}."
    kept.save_figure(f"figure-{figure}", drawn, title=title, alt=alt)
    return Drawn(f"figure-{figure}", title, alt)


def _captions(one: Look) -> list[str]:
    classes = one.run.classes
    rows = zip(one.arrays["labels"], one.arrays["targets"], one.arrays["probability"], strict=True)
    return [
        f"test image {number}: true {classes[label]}, predicted {classes[target]}\np({classes[target]}) = {share:.3f}"
        for number, (label, target, share) in enumerate(rows)
    ]


def _strip(kept: RunDirectory, looks: Mapping[str, Look]) -> Drawn:
    images, maps, notes = {}, {}, {}
    for name, one in looks.items():
        layer, side = one.at["ReLU"].layers[-1], one.at["ReLU"].sides[-1]
        images[name], maps[name] = one.arrays["images"], one.arrays[f"gradcam/{layer}"]
        notes[name] = f"{layer}, {side} px"
    told = {name: _told(one, maps[name]) for name, one in looks.items()}
    first = next(iter(looks.values()))
    captions = [f"image {n}\ntrue {first.run.classes[label]}" for n, label in enumerate(first.arrays["labels"])]
    title = "Figures 15 to 17: Grad-CAM at the last convolution's ReLU"
    alt = f"{title} of {', '.join(looks)}, on the first {len(captions)} test images."
    drawn = figures.attribution_strip(images, maps, captions, told=told, notes=notes, title=title)
    kept.save_figure("networks", drawn, title=title, alt=alt)
    return Drawn("networks", title, alt)


def _told(one: Look, maps: np.ndarray) -> list[str]:
    shares = share_inside(maps, stroke_mask(one.arrays["images"]))
    rows = zip(one.arrays["targets"], one.arrays["probability"], shares, strict=True)
    return [
        f"p({one.run.classes[target]}) = {probability:.3f}"
        + ("" if np.isnan(share) else f"\nin the stroke {share:.0%}")
        for target, probability, share in rows
    ]


def _shares(kept: RunDirectory, looks: Mapping[str, Look], shares: Mapping[str, Shares], place: Place) -> Drawn:
    networks = {
        name: LayerShares(
            one.at[place].layers,
            np.array([m.mean for m in shares[name][place]], dtype=float),
            np.array([(m.low, m.high) for m in shares[name][place]], dtype=float),
            one.at[place].sides,
            float(one.area.mean()),
            np.array([len(one.area) - m.count for m in shares[name][place]]),
        )
        for name, one in sorted(looks.items(), key=lambda item: item[0] != OWN_NETWORK)
    }
    name, where = SHARES[place]
    title = f"Grad-CAM inside the stroke, {where}"
    alt = f"{title}, of {', '.join(networks)}, with the share of a uniform map as a line."
    kept.save_figure(name, figures.mask_share(networks, title=title), title=title, alt=alt)
    return Drawn(name, title, alt)

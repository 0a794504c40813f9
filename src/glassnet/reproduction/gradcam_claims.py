"""The report's claim about Figures 15 to 17, judged at the last convolution and at its ReLU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassnet.reproduction.claims import Verdict, agreed, both, higher_in_images
from glassnet.reproduction.look import PLACES, Look, Place
from glassnet.reproduction.numbers import ATTRIBUTED, CLAIMS, MAINLY, OWN_NETWORK

AT_VGG = ", at VGG's resolution"
AT: Mapping[Place, str] = {"convolution": ", at the convolution", "ReLU": ", at its ReLU"}
"""How a claim says where the maps were taken."""


def judge(looks: Mapping[str, Look], *, seed: int) -> list[Verdict]:
    """Judge the report's claim with the maps as they are, and with the own ones reduced to the size of VGG's.

    "Mainly" is more than half; more on the stroke is a larger share of Grad-CAM inside it, each above that of a
    uniform map in the same image; a circle is more `roundness` than random maps of that size have, and more of one is
    more above that. Pairs are the same images, without those where either map is all zero, or its hot region the whole
    frame. The report does not say whether it shows convolutions or ReLUs: what it claims is decided only where the two
    agree.
    """
    own = looks.get(OWN_NETWORK)
    if own is None:
        return []
    others = [one for name, one in looks.items() if name != OWN_NETWORK]
    verdicts: list[Verdict] = []
    wholes: dict[str, list[Verdict]] = {}
    for place in PLACES:
        mainly = _mainly(own, place, seed)
        wholes.setdefault("own-mainly", []).append(mainly)
        alone = [mainly, *(_round(other, place, seed) for other in others)]
        verdicts += alone
        for where in ("", AT_VGG) if others else ():
            parts = [v for other in others for v in _compare(own, other, place, where, seed)]
            verdicts += parts
            joined = both(CLAIMS["attention"] + where + AT[place], _figures(looks), [*alone, *parts])
            verdicts.append(joined)
            wholes.setdefault("attention" + where, []).append(joined)
    return verdicts + [_agreed(claim, looks, parts) for claim, parts in wholes.items()]


def _agreed(claim: str, looks: Mapping[str, Look], parts: list[Verdict]) -> Verdict:
    name = claim.removesuffix(AT_VGG)
    figure = ATTRIBUTED[OWN_NETWORK] if name == "own-mainly" else _figures(looks)
    return agreed(CLAIMS[name] + claim.removeprefix(name), figure, parts)


def _figures(looks: Mapping[str, Look]) -> str:
    return ", ".join(ATTRIBUTED[name] for name in looks)


def _mainly(own: Look, place: Place, seed: int) -> Verdict:
    margin = own.at[place].shares[-1] - MAINLY
    measure = f"share inside the stroke less {MAINLY:g}"
    return higher_in_images(
        CLAIMS["own-mainly"] + AT[place], ATTRIBUTED[OWN_NETWORK], margin, measure=measure, seed=seed
    )


def _round(other: Look, place: Place, seed: int) -> Verdict:
    last, name = other.at[place].last, other.name.upper()
    claim = f"{name}'s maps {CLAIMS['vgg-round']}{AT[place]}"
    return higher_in_images(
        claim, ATTRIBUTED[other.name], _rounder(other, last), measure="roundness above chance", seed=seed
    )


def _rounder(one: Look, maps: np.ndarray) -> np.ndarray:
    """Return how much rounder maps are than random ones of their size."""
    return one.roundness(maps) - one.chance(maps)


def _compare(own: Look, other: Look, place: Place, where: str, seed: int) -> list[Verdict]:
    """Compare the own network's last maps with those of another, image by image: the stroke, and the circle."""
    last = other.at[place].last
    maps: np.ndarray = own.at[place].reduced(last.shape[1]) if where else own.at[place].last
    figure, name = f"{ATTRIBUTED[other.name]}, {ATTRIBUTED[own.name]}", other.name.upper()
    more = own.share(maps) - own.area - (other.share(last) - other.area)
    rounder = _rounder(other, last) - _rounder(own, maps)
    stroke = f"{CLAIMS['own-stroke']} {name}'s{where}{AT[place]}"
    circle = f"{name}'s maps {CLAIMS['vgg-circle']}{where}{AT[place]}"
    above = "share inside the stroke above a uniform map's"
    return [
        higher_in_images(stroke, figure, more, measure=above, seed=seed),
        higher_in_images(circle, figure, rounder, measure="roundness above chance", seed=seed),
    ]

"""Figures 15, 16 and 17: where VGG16, VGG19 and the report's own network look, layer by layer, on the same digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.attribution.faithfulness import STROKE_THRESHOLD
from glassnet.data import DIGITS
from glassnet.devices import choose_device
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.reproduction.budget import USUAL_IMAGES
from glassnet.reproduction.claims import CLAIMS, Verdict, agreed, both, higher_in_images
from glassnet.reproduction.gradcam.maps import FIGURE_IMAGES, PLACES, GradcamMaps, Place, gradcam_maps
from glassnet.reproduction.gradcam.shares import last_table, layer_table, measure_shares, plot_gradcam, shares_to_json
from glassnet.reproduction.part import Part, Reproduction, open_folder
from glassnet.reproduction.reported import ATTRIBUTED, MAINLY, OWN_NETWORK
from glassnet.reproduction.trainings import (
    Training,
    base_settings,
    folder_of,
    grid_trainings,
    own_training,
    train_one,
    train_own_network,
)
from glassnet.settings.train import ReproduceSettings

VGGS = tuple(name for name in ATTRIBUTED if name != OWN_NETWORK)
VGG_PIXELS, VGG_LEARNING_RATE = 32, 0.0005
"""VGG's five pools leave one pixel of 28; without batch-norm it does not bear the usual learning rate."""


def gradcam(settings: ReproduceSettings, out: Path) -> Reproduction:
    """Explain the same test images at convolutions and ReLUs, measure the stroke's share, judge the claim.

    Raises:
        InputError: A run is of none of the report's networks, or not of digits, or the runs have different data.
    """
    folder, device = open_folder(out), choose_device(settings.device)
    if not settings.runs and settings.data not in DIGITS:
        raise InputError(f"--data is {settings.data}, but only digits have a stroke; expected {_or(DIGITS)}.")
    opened = _open(settings.runs) if settings.runs else _trained(settings, out)
    networks = [
        gradcam_maps(
            run,
            folder,
            device=device,
            data_root=settings.data_root,
            images=settings.images or USUAL_IMAGES,
            seed=settings.seed,
        )
        for run in opened
    ]
    by_name = {one.name: one for one in sorted(networks, key=lambda one: list(ATTRIBUTED).index(one.name))}
    verdicts = tuple(judge(by_name, seed=settings.seed))
    shares = {name: measure_shares(one, settings.seed) for name, one in by_name.items()}
    return Reproduction(
        part="gradcam",
        out=out,
        tables=(layer_table(by_name, shares), last_table(by_name, settings.seed)),
        verdicts=verdicts,
        figures=tuple(plot_gradcam(folder, by_name, shares)),
        notes=_notes(by_name),
        details={
            "data": opened[0].manifest["data"]["name"],
            "runs": {name: str(one.run.path) for name, one in by_name.items()},
            "test_accuracy": {name: one.run.metrics["test_accuracy"] for name, one in by_name.items()},
            "images": len(next(iter(by_name.values())).area),
            "stroke_area": {name: float(one.area.mean()) for name, one in by_name.items()},
            "stroke_share": {name: shares_to_json(one, shares[name]) for name, one in by_name.items()},
        },
    )


def trainings(settings: ReproduceSettings, out: Path) -> list[Training]:
    """List the trainings of the three networks; none where runs are given."""
    if settings.runs:
        return []
    others = [
        training
        for name in VGGS
        for training in grid_trainings(
            base_settings(settings), _grid_of(name), (settings.seed,), folder_of(out) / name, (ATTRIBUTED[name],)
        )
    ]
    return [own_training(settings, out, ATTRIBUTED[OWN_NETWORK]), *others]


GRADCAM = Part(
    "Figures 15 to 17: Grad-CAM of VGG16, VGG19 and the report's network, and how much of it lies on the stroke",
    trainings,
    gradcam,
    ("runs", "images", "seed"),
)


def _grid_of(name: str) -> dict[str, Sequence[Any]]:
    return {"model": [name], "image_size": [VGG_PIXELS], "learning_rate": [VGG_LEARNING_RATE]}


def _trained(settings: ReproduceSettings, out: Path) -> list[Run]:
    """Train the networks, or go on with them, or open those that are finished; the own one as part classification."""
    own = train_own_network(settings, out)
    base = base_settings(settings)
    return [own, *(train_one(base, _grid_of(vgg), settings.seed, folder_of(out) / vgg) for vgg in VGGS)]


def _open(paths: Sequence[Path]) -> list[Run]:
    runs = [Run.open(path) for path in paths]
    names = [str(run.manifest["model"]["name"]) for run in runs]
    for run, name in zip(runs, names, strict=True):
        data = run.manifest["data"]["name"]
        if name not in ATTRIBUTED or names.count(name) > 1:
            again = name in ATTRIBUTED
            raise InputError(
                f"{run.path} is {'another' if again else 'a'} run of {name}, expected one run each of "
                f"{_or(list(ATTRIBUTED))}; leave it out."
            )
        if data not in DIGITS or data != runs[0].manifest["data"]["name"]:
            raise InputError(
                f"{run.path} was trained on {data}, expected {_or(DIGITS)}, and the same data for all runs, so that "
                "the networks see the same digits."
            )
    return runs


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _notes(networks: Mapping[str, GradcamMaps]) -> tuple[str, ...]:
    sentences = [
        f"{name}: {one.run.path}, {one.run.manifest['model']['image_size']} px, test accuracy "
        f"{one.run.metrics['test_accuracy']:.4f}"
        for name, one in networks.items()
    ]
    data = next(iter(networks.values())).run.manifest["data"]["name"]
    return (
        f"Runs: {'; '.join(sentences)}.",
        "The maps explain the predicted class, before the softmax. The report does not say whether its maps come from "
        "a convolution's own output or from the ReLU after it. So both are measured, and a claim counts as decided "
        "only if the two agree. In the report's network, the ReLU comes after the pool, if there is one.",
        f"The figures are drawn at the ReLUs, where {_zeros(networks, 'ReLU'):.0%} of the maps are all zero "
        f"({_zeros(networks, 'convolution'):.0%} at the convolutions), on the first {FIGURE_IMAGES} test images, "
        "not picked.",
        f"The stroke: pixels brighter than {STROKE_THRESHOLD:g} of white, at each network's own image size.",
        "The criteria for the verdicts were fixed before any result of these networks was seen. Three were added "
        "later: the chance level of roundness, no roundness if the whole frame is hot, and that convolution and ReLU "
        "must agree.",
        "Intervals are over images only, for one training of each network.",
        *([] if data == "mnist" else [f"The report's figures are for MNIST, not for {data}."]),
    )


def _zeros(networks: Mapping[str, GradcamMaps], place: Place) -> float:
    """Return which share of all maps at a place is all zero."""
    return float(np.isnan(np.concatenate([one.at[place].shares.ravel() for one in networks.values()])).mean())


AT_VGG = ", at VGG's resolution"
AT: Mapping[Place, str] = {"convolution": ", at the convolution", "ReLU": ", at its ReLU"}
"""How a claim says where the maps were taken."""


def judge(networks: Mapping[str, GradcamMaps], *, seed: int) -> list[Verdict]:
    """Judge the report's claim with the maps as they are, and with the own ones reduced to the size of VGG's.

    "Mainly" is more than half; more on the stroke is a larger share of Grad-CAM inside it, each above that of a
    uniform map in the same image; a circle is more `roundness` than random maps of that size have, and more of one is
    more above that. Pairs are the same images, without those where either map is all zero, or its hot region the whole
    frame. The report does not say whether it shows convolutions or ReLUs: what it claims is decided only where the two
    agree.
    """
    own = networks.get(OWN_NETWORK)
    if own is None:
        return []
    others = [one for name, one in networks.items() if name != OWN_NETWORK]
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
            joined = both(CLAIMS["attention"] + where + AT[place], _figures(networks), [*alone, *parts])
            verdicts.append(joined)
            wholes.setdefault("attention" + where, []).append(joined)
    return verdicts + [_agreed(claim, networks, parts) for claim, parts in wholes.items()]


def _agreed(claim: str, networks: Mapping[str, GradcamMaps], parts: list[Verdict]) -> Verdict:
    name = claim.removesuffix(AT_VGG)
    figure = ATTRIBUTED[OWN_NETWORK] if name == "own-mainly" else _figures(networks)
    return agreed(CLAIMS[name] + claim.removeprefix(name), figure, parts)


def _figures(networks: Mapping[str, GradcamMaps]) -> str:
    return ", ".join(ATTRIBUTED[name] for name in networks)


def _mainly(own: GradcamMaps, place: Place, seed: int) -> Verdict:
    margin = own.at[place].shares[-1] - MAINLY
    measure = f"share inside the stroke less {MAINLY:g}"
    return higher_in_images(
        CLAIMS["own-mainly"] + AT[place], ATTRIBUTED[OWN_NETWORK], margin, measure=measure, seed=seed
    )


def _round(other: GradcamMaps, place: Place, seed: int) -> Verdict:
    last, name = other.at[place].last, other.name.upper()
    claim = f"{name}'s maps {CLAIMS['vgg-round']}{AT[place]}"
    return higher_in_images(
        claim, ATTRIBUTED[other.name], _rounder(other, last), measure="roundness above chance", seed=seed
    )


def _rounder(one: GradcamMaps, maps: np.ndarray) -> np.ndarray:
    """Return how much rounder maps are than random ones of their size."""
    return one.roundness(maps) - one.chance(maps)


def _compare(own: GradcamMaps, other: GradcamMaps, place: Place, where: str, seed: int) -> list[Verdict]:
    """Compare the last maps of the report's network with another's, image by image: the stroke and the circle."""
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

"""The channels of a layer, each with its images, its classes and what is lost without it, as a page shows them.

What `glassnet channels` has kept is shown; what is not there is measured as the command does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glassnet.analysis import KINDS, Analysis, load
from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.explorer.arrays import Arrays
from glassnet.explorer.described import PartName
from glassnet.explorer.ondisk import is_current
from glassnet.explorer.schemas import LayerChannelsMeta
from glassnet.explorer.shown import OpenSubject
from glassnet.measures import MEASURES
from glassnet.microscope.ablation_result import Ablation
from glassnet.microscope.channels_result import LayerChannels
from glassnet.microscope.visualized import Visualized


@dataclass(frozen=True)
class Wanted:
    """What a page asks for.

    Attributes:
        layer: The layer.
        part: Part of the images.
        pictures: Whether some channels should have a picture that drives them most.
    """

    layer: str
    part: PartName = "test"
    pictures: bool = False


def measured(opened: OpenSubject, wanted: Wanted) -> Analysis:
    """Return an analysis that holds the layer: from the store, whatever it was asked by, or a new one, which is kept.

    Raises:
        InputError: As the analysis says.
    """
    known = next((one for one in _kept(opened, wanted) if _has(one.result, wanted)), None)
    if known is not None:
        return known
    return opened.analysis("channels", layers=(wanted.layer,), split=wanted.part, visualize=wanted.pictures)


def _kept(opened: OpenSubject, wanted: Wanted) -> Iterator[Analysis]:
    """Yield what is kept of the model and the part as they are now, the latest first."""
    store = opened.subject.store
    if store is None:
        return
    for entry in reversed(store.entries("channels")):
        if entry.settings.get("split") == wanted.part and is_current(opened, entry):
            yield load(KINDS["channels"], opened.subject, entry)


def _has(result: MeasuredChannels, wanted: Wanted) -> bool:
    name = name_of(result, wanted.layer)
    return name is not None and (not wanted.pictures or name in result.pictures)


def name_of(result: MeasuredChannels, layer: str) -> str | None:
    """Return by which name a layer was measured: its own, or the normalisation's behind it; None if it was not."""
    behind = {convolution: name for name, convolution in result.convolutions.items()}
    return layer if layer in result.channels.layers else behind.get(layer)


def answer(opened: OpenSubject, wanted: Wanted) -> Arrays:
    """Return a layer's channels as they are sent."""
    analysis = measured(opened, wanted)
    result: MeasuredChannels = analysis.result
    name = name_of(result, wanted.layer)
    assert name is not None
    layer, lost = result[name], result.ablations.get(name)
    part = opened.part(wanted.part)
    arrays = {
        "numbers": part.numbers[layer.top_images],
        "activations": layer.top_activations,
        "active": layer.active,
        "order": layer.order(),
        **({"boxes": result.frames[name]} if name in result.frames else {}),
        **_classes(layer),
        **({} if lost is None else _lost(lost, len(layer))),
        **(_pictures(result.pictures[name]) if name in result.pictures else {}),
    }
    meta = LayerChannelsMeta(
        layer=wanted.layer,
        measured=name,
        channels=len(layer),
        images=layer.images,
        dead=len(layer.dead),
        lost="" if lost is None else _title(lost.measure),
        lost_is_share=lost is not None and lost.measure in MEASURES and "%" in MEASURES[lost.measure].show(0.5),
        lost_images=0 if lost is None else lost.images,
        baseline=None if lost is None else float(lost.baseline[lost.measure]),
        notes=list(result.notes),
        entry="" if analysis.entry is None else analysis.name,
    )
    return Arrays(arrays, meta)


def _title(key: str) -> str:
    title = MEASURES[key].title if key in MEASURES else key.replace("_", " ")
    return title if any(letter.isupper() for letter in title[1:]) else title.lower()


def _classes(layer: LayerChannels) -> dict[str, np.ndarray]:
    """Return what the channels tell of classes, where there are any."""
    known = {"class_means": layer.rectified_means, "selectivity": layer.selectivity, "preferred": layer.preferred}
    return {key: one for key, one in {**known, "auroc": layer.auroc, "iou": layer.iou}.items() if one is not None}


def _lost(lost: Ablation, channels: int) -> dict[str, np.ndarray]:
    """Return what each channel's removal costs, with its interval at 95%; NaN where that is not known."""
    arrays = {key: np.full(channels, np.nan) for key in ("lost", "lost_low", "lost_high", "lost_last")}
    arrays["lost"][lost.channels] = lost.lost()
    arrays["lost_last"][lost.channels] = lost.lost(list(lost.baseline)[-1])  # tells equal ones apart
    for channel in lost.channels.tolist():
        bounds = lost.interval(channel)
        if bounds is not None:
            arrays["lost_low"][channel], arrays["lost_high"][channel] = bounds
    return arrays


def _pictures(made: Visualized) -> dict[str, np.ndarray]:
    """Return the pictures that drive channels most, cut to what these see, and how much more than any image."""
    images = made.images
    if made.seen is not None:
        top, left, height, width = made.seen
        images = images[:, :, top : top + height, left : left + width]
    multiple = np.full(len(images), np.nan) if made.multiple is None else made.multiple
    pixels = np.clip(np.rint(255 * images), 0, 255).astype(np.uint8)
    return {"pictures": pixels, "pictured": made.channels, "multiple": multiple}

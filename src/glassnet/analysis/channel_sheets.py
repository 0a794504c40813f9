"""The sheets of an analysis of channels: a figure a layer, of more channels several pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from glassnet import figures
from glassnet.analysis.base import Context
from glassnet.analysis.channel_rows import driven, shortened
from glassnet.analysis.measured_channels import PAGE, ChannelsRequest, MeasuredChannels, part_of
from glassnet.display import drawable
from glassnet.figures.channels import ChannelRow
from glassnet.formats import DASH, count, decimal, percent
from glassnet.measures import MEASURES, show
from glassnet.microscope.ablation_result import Ablation
from glassnet.microscope.outcomes import HIGHER_IS_WORSE
from glassnet.microscope.visualized import Visualized
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Subject

IMAGES, WITH_PICTURE = 6, 5
"""Images of a channel; fewer where a synthetic image stands beside them."""
LETTERS = 14
"""Letters of a class's name among the facts, at most."""


def sheets(subject: Subject, request: ChannelsRequest, result: MeasuredChannels, context: Context) -> Iterator[Plot]:
    """Draw the channels of each layer's sheet, page by page."""
    part = part_of(subject, request.split, context)
    views = subject.task.views()
    for name, shown in result.sheets.items():
        layer = result[name]
        wide = WITH_PICTURE if name in result.pictures else IMAGES
        places = layer.top_images[:, :wide]
        needed = np.unique(places[shown])
        given, _ = views.given(subject, part.subset(torch.from_numpy(needed)), request.split)
        images = drawable(given[:] if not isinstance(given, Tensor) else given)
        for page, start in enumerate(range(0, len(shown), PAGE), 1):
            rows = [
                _row(result, name, int(channel), images[np.searchsorted(needed, places[channel])])
                for channel in shown[start : start + PAGE]
            ]
            yield _sheet(result, name, rows, page, result.pages(name))


def _row(result: MeasuredChannels, name: str, channel: int, images: np.ndarray) -> ChannelRow:
    layer, made = result[name], result.pictures.get(name)
    frames = result.frames.get(name)
    picture, reach = (None, "") if made is None else _picture(made, channel)
    return ChannelRow(
        name=f"channel {channel}",
        facts=tuple(facts(result, name, channel)),
        images=images,
        boxes=None if frames is None else frames[channel, : len(images)],
        picture=picture,
        reach=reach,
        bars=None if layer.rectified_means is None else layer.rectified_means[channel].astype(np.float64),
    )


def facts(result: MeasuredChannels, name: str, channel: int) -> Iterator[str]:
    """Say a channel's numbers, a line each."""
    layer, classes = result[name], result.channels.classes
    active = float(layer.active[channel])
    yield "dead: no image activates it" if active == 0 else f"active in {percent(active, 1)} of images"
    if layer.selectivity is not None and np.isfinite(layer.selectivity[channel]):
        assert layer.preferred is not None
        which = _class(classes, int(layer.preferred[channel]))
        yield f"selectivity {decimal(float(layer.selectivity[channel]), 2)} ({which})"
    for words, scores in (("AUROC", layer.auroc), ("IoU", layer.iou)):
        if scores is not None and np.isfinite(scores[channel]).any():
            best = int(np.nanargmax(scores[channel]))
            yield f"{words} {decimal(float(scores[channel, best]), 3)} ({_class(classes, best)})"
    found = result.ablations.get(name)
    if found is not None:
        yield f"removed: {_change(found, channel)}"
        yield from _loses_most(found, channel, classes)


def _change(found: Ablation, channel: int) -> str:
    """Say what a channel's removal changes: the first measure, or the last where that stays, as in "loss +0.0012"."""
    place = int(np.flatnonzero(found.channels == channel)[0])
    keys = (found.measure, list(found.baseline)[-1])
    changes = [float(found.ablated[key][place] - found.baseline[key]) for key in keys]
    key, change = next(((k, one) for k, one in zip(keys, changes, strict=True) if one), (keys[0], 0.0))
    return f"{_measure(key)} {_signed(key, change)}" if change else "nothing changes"


def _loses_most(found: Ablation, channel: int, classes: tuple[str, ...] | None) -> Iterator[str]:
    """Say which class loses most: of the first measure, or the last where no class loses any; nothing if none loses."""
    for one in dict.fromkeys([*list(found.ablated_by_class)[:1], *list(found.ablated_by_class)[-1:]]):
        most = found.loses_most(channel, one)
        if most is not None:
            change = -most[1] if one not in HIGHER_IS_WORSE else most[1]
            yield f"{_class(classes, most[0])} loses most: {_measure(one)} {_signed(one, change)}"
            return


def _measure(key: str) -> str:
    title = MEASURES[key].heading if key in MEASURES else key
    return title if any(letter.isupper() for letter in title[1:]) else title.lower()


def _signed(key: str, change: float) -> str:
    if not np.isfinite(change):
        return DASH
    return f"{'+' if change > 0 else '−'}{show(key if key in MEASURES else 'score', abs(change))}"


def _class(classes: tuple[str, ...] | None, number: int) -> str:
    """Name a class in a sentence, as in "class 3" or "dog"."""
    name = shortened(str(number) if classes is None else classes[number], LETTERS)
    return f"class {name}" if name.isdigit() else name


def _picture(made: Visualized, channel: int) -> tuple[np.ndarray | None, str]:
    """Return a channel's synthetic image, cut to what it sees, and how it compares with the real ones."""
    at = np.flatnonzero(made.channels == channel)
    if not len(at):
        return None, ""
    number = int(at[0])
    image = made.images[number]
    if made.seen is not None:
        top, left, height, width = made.seen
        image = image[:, top : top + height, left : left + width]
    if made.dead[number]:
        return None, ""
    if made.multiple is None or made.rank is None:
        return image, ""
    multiple = float(made.multiple[number])
    reached = f"{multiple:.2f}×" if np.isfinite(multiple) else f"at {float(made.activation[number]):.3g}"
    return image, f"{reached}, rank {count(int(made.rank[number]))}"


def _sheet(result: MeasuredChannels, name: str, rows: list[ChannelRow], page: int, pages: int) -> Plot:
    layer, shown = result[name], len(result.sheets[name])
    of = f"{count(len(layer))} channels" if shown == len(layer) else f"{shown} of {count(len(layer))} channels"
    number = f", page {page} of {pages}" if pages > 1 else ""
    title = f"What {result.title(name)} has learned: {of}{number}"
    note = " ".join(_note(result, name, shown))
    figure = figures.channel_sheet(
        rows, title=title, note=note, classes=result.channels.classes or (), feet=list(_feet(result, name))
    )
    words = FigureWords(
        name=f"channels-{name}{f'-{page}' if pages > 1 else ''}".replace(":", "-")[:80],
        title=title,
        alt=f"{len(rows)} channels, one per row: the images that activate it most, and its numbers.",
        caption=note,
        lead="Each row is a channel. It responds to what its strongest images have in common.",
    )
    return Plot(figure, words)


def _note(result: MeasuredChannels, name: str, shown: int) -> Iterable[str]:
    layer, classes = result[name], result.channels.classes is not None
    if shown < len(layer):
        kinds = ["the most selective"] if classes else ["the strongest"]
        kinds += ["the most needed"] if name in result.ablations else []
        others = len(layer) - shown
        left = "one more is not shown" if others == 1 else f"{count(others)} more are not shown"
        yield f"Shown are {' and '.join(kinds)} channels; {left}."
    dead = len(layer.dead)
    yield f"{count(dead) if dead else 'No'} channel{'' if dead < 2 else 's'} {'are' if dead > 1 else 'is'} dead."
    yield f"Measured on {result.images_words}."
    found = driven(result, name)
    if found is not None:
        which = f"{found['above_real']} of {found['channels']} synthetic images"
        yield f"{which} activate their channel more than any real image does."


def _feet(result: MeasuredChannels, name: str) -> Iterable[str]:
    layer = result[name]
    if layer.rectified_means is not None:
        yield "Bars: from 0 to the channel's highest mean, so compare them within a row only."
    if name in result.frames:
        yield "Frame: the part of the image that the channel sees at its most active place."
    if name in result.pictures:
        yield (
            "Synthetic image: optimised from noise to activate the channel as much as possible, cut to the part that "
            "the channel sees. Below it stands its activation as a multiple of the highest that a real image reaches "
            f"(or itself, where that is not above 0), and its rank among {count(layer.images)} real images: 1 is above "
            "all of them."
        )
    if layer.selectivity is not None:
        yield "Selectivity: 0 if all classes activate the channel equally, 1 if only the named class activates it."
    if layer.auroc is not None:
        yield "AUROC: how well the channel separates images of the named class from all others (0.5 = chance level)."
    if layer.iou is not None:
        yield "IoU: how well the channel's strongest places match the pixels of the named class, from 0 to 1."
    if name in result.ablations:
        found = result.ablations[name]
        change = "its mean" if found.value == "mean" else "zero"
        points = " Accuracy changes are in percentage points." if found.measure == "accuracy" else ""
        yield f"Removed: what changes on {count(found.images)} images when the channel is set to {change}.{points}"

"""The sheets of an analysis of channels: a figure a layer, of more channels several pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from glassnet import figures
from glassnet.analysis.base import Context
from glassnet.analysis.measured_channels import PAGE, ChannelsRequest, MeasuredChannels, part_of
from glassnet.display import drawable
from glassnet.figures.channels import ChannelRow
from glassnet.formats import DASH, count, decimal, percent
from glassnet.measures import MEASURES, show
from glassnet.microscope.ablation_result import Ablation
from glassnet.microscope.visualized import Visualized
from glassnet.run.store import FigureWords, Plot
from glassnet.subject import Subject

IMAGES, WITH_PICTURE = 6, 5
"""Images of a channel, and where its own picture stands beside them."""
LETTERS = 14
"""Of a class's name among the facts."""


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
        yield f"selectivity {decimal(float(layer.selectivity[channel]), 2)}: {which}"
    for words, scores in (("AUROC", layer.auroc), ("IoU", layer.iou)):
        if scores is not None and np.isfinite(scores[channel]).any():
            best = int(np.nanargmax(scores[channel]))
            yield f"{words} {decimal(float(scores[channel, best]), 3)}: {_class(classes, best)}"
    found = result.ablations.get(name)
    if found is not None:
        yield f"removed: {change_words(found, channel)}"


def change_words(found: Ablation, channel: int) -> str:
    """Say what a channel's removal changes: the first measure, or the last where that stays, as in "loss +0.0012"."""
    place = int(np.flatnonzero(found.channels == channel)[0])
    keys = (found.measure, list(found.baseline)[-1])
    changes = [float(found.ablated[key][place] - found.baseline[key]) for key in keys]
    key, change = next(((k, one) for k, one in zip(keys, changes, strict=True) if one), (keys[0], 0.0))
    if not change:
        return "nothing changes"
    title = MEASURES[key].heading if key in MEASURES else key
    title = title if any(letter.isupper() for letter in title[1:]) else title.lower()
    if not np.isfinite(change):
        return f"{title} {DASH}"
    return f"{title} {'+' if change > 0 else '−'}{show(key if key in MEASURES else 'score', abs(change))}"


def _class(classes: tuple[str, ...] | None, number: int) -> str:
    name = str(number) if classes is None else classes[number]
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _picture(made: Visualized, channel: int) -> tuple[np.ndarray | None, str]:
    """Return the picture of a channel, cut to what it sees, and how far it drives it."""
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
    multiple = np.nan if made.multiple is None else float(made.multiple[number])
    return image, f"{multiple:.1f} × the best" if np.isfinite(multiple) else ""


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
        alt=f"{len(rows)} channels, a row each: the images that activate it most, and its numbers.",
        caption=note,
        lead="Each row is a channel: what its strongest images have in common is what it responds to.",
    )
    return Plot(figure, words)


def _note(result: MeasuredChannels, name: str, shown: int) -> Iterable[str]:
    layer, classes = result[name], result.channels.classes is not None
    if shown < len(layer):
        kinds = ["the most selective"] if classes else ["the strongest"]
        kinds += ["the most harmful to remove"] if name in result.ablations else []
        yield f"Shown are {' and '.join(kinds)}; {count(len(layer) - shown)} others are left out."
    dead = len(layer.dead)
    yield f"{count(dead) if dead else 'No'} channel{'' if dead < 2 else 's'} {'are' if dead > 1 else 'is'} dead."
    yield f"Numbers are of {result.images_words}."


def _feet(result: MeasuredChannels, name: str) -> Iterable[str]:
    layer = result[name]
    if name in result.frames:
        yield "Frame: what the channel sees of the image where it is highest."
    if name in result.pictures:
        yield (
            "Made for it: a picture that was changed until it activates the channel as much as it can, and how many "
            f"times as much as the best of {count(layer.images)} images does. Shown is what the channel sees of it."
        )
    if layer.selectivity is not None:
        yield "Selectivity: 0 where all classes activate the channel alike, 1 where the class named alone does."
    if layer.auroc is not None:
        yield "AUROC: how well the channel tells images of the class named from all others; 0.5 by chance."
    if layer.iou is not None:
        yield "IoU: how well its strongest places cover the pixels of the class named; 0 not at all, 1 fully."
    if name in result.ablations:
        found = result.ablations[name]
        change = "its mean" if found.value == "mean" else "zero"
        yield f"Removed: how the network changes over {count(found.images)} images when the channel is set to {change}."

"""What a run's report is made from: its analyses, and pictures of its images as small PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from glassnet.analysis import Analysis
from glassnet.analysis.examples import Examples
from glassnet.analysis.views import Facts
from glassnet.blocks import Block, Example, Map, Missing, Picture, Thumbnails
from glassnet.console import say
from glassnet.data import Split
from glassnet.errors import InputError, OtherDataError
from glassnet.figures import heat_overlay, thumbnail
from glassnet.files import regular
from glassnet.measures import MEASURES
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports.svg import safe_svg
from glassnet.run.store import Entry, FigureWords, Plot

MAP_PIXELS = 160
SHEET_BYTES = 900_000
"""What the thumbnails of an embedding may take before they are compressed."""
LARGEST_SVG = 1_500_000
"""A larger SVG would make the page slow to open, so its PNG is shown instead."""


def as_far_as_made(*parts: Iterable[Block]) -> Iterator[Block]:
    """Yield each part's blocks, up to one that cannot be made; that is said, and the rest of the page is written."""
    for blocks in parts:
        try:
            yield from blocks
        except OtherDataError:
            raise
        except InputError as error:
            say(f"left out: {error}")
            yield Missing(f"Part of this section is left out: {error}")


def examples_of(result: Examples) -> tuple[Example, ...]:
    """Turn images with their maps into what the page shows; ids are their places in the part."""
    made = []
    for place, row in enumerate(result.rows):
        facts, group = result.group.facts[place], result.group
        (key, maps), *_ = group.maps.items()
        numbers = {key: value for key, value in facts.items() if value is not None and key in MEASURES}
        texts = tuple((MEASURES[key].title.lower(), MEASURES[key].show(value)) for key, value in numbers.items())
        title = f"{METHOD_TITLES.get(key[0], key[0])} at {key[1]}"
        overlay = png(heat_overlay(group.images[place], positive(maps[place]), size_pixels=MAP_PIXELS))
        picture = png(thumbnail(group.images[place], MAP_PIXELS))
        made.append(
            Example(
                row, group.names[place], heading(facts), picture, texts, (Map(title, overlay, about_zero(maps[place])),)
            )
        )
    return tuple(made)


def about_zero(values: Float[np.ndarray, ...]) -> str:
    """Say that a map is zero everywhere, which its picture does not show; nothing of any other."""
    return "" if values.any() else "all zero"


def positive(values: Float[np.ndarray, ...]) -> Float[np.ndarray, "h w"]:
    """Return a map (h, w): of (c, h, w), the largest magnitude over the channels."""
    return values if values.ndim == 2 else np.abs(values).max(axis=0)


def heading(facts: Facts) -> str:
    """Say in a few words what happened to an image, and whose map it is where that is not the one predicted."""
    label, predicted, target = facts.get("label"), facts.get("predicted"), facts.get("target")
    if predicted is None:
        return str(target or "")
    happened = str(predicted) if label is None or label == predicted else f"{label} taken for {predicted}"
    return happened if target is None or target == predicted else f"{happened}: map of {target}"


def picture_of(entry: Entry, words: FigureWords) -> Picture | Missing:
    """Read a figure of an analysis: its SVG, or its PNG where the SVG is very large, damaged or not there."""
    problem = "its files are missing"
    for kind, dpi, largest in (("svg", 96, LARGEST_SVG), ("png", 150, None)):
        file = entry.figure_file(words.name, kind)
        if not file.exists() or (largest is not None and file.stat().st_size > largest):
            continue
        name = f"{entry.name}-{words.name}"
        try:
            drawing = regular(file).read_bytes()
            picture = Picture(words.title, words.alt, drawing, words.lead, words.caption, kind, name, dpi)  # type: ignore[arg-type]
            check_picture(picture)
        except InputError as error:
            problem = str(error).rpartition(";")[0]
            say(f"left out: {file} is damaged; {entry.again}")
        else:
            return picture
    return Missing(f"The figure “{words.title}” is left out: {problem}.")


def check_picture(picture: Picture) -> None:
    """Refuse a figure that the page could not show.

    Raises:
        InputError: It is damaged.
    """
    if picture.kind == "svg":
        safe_svg(picture.drawing, name=picture.name, alt="", prefix="")
        return
    try:
        Image.open(io.BytesIO(picture.drawing)).load()
    except (OSError, SyntaxError, ValueError):
        raise InputError(f"{picture.name}.png is damaged; draw it again.") from None


def pictures(analysis: Analysis) -> list[Picture | Missing]:
    """Return the figures of an analysis, in order, and for one that cannot be shown why."""
    if analysis.entry is None:
        return [drawn(plot) for plot in analysis.plots]
    return [picture_of(analysis.entry, words) for words in analysis.entry.figures]


def drawn(plot: Plot) -> Picture:
    """Turn a figure that lies nowhere into what the page shows."""
    file = io.BytesIO()
    plot.figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    words = plot.words
    return Picture(words.title, words.alt, file.getvalue(), words.lead, words.caption, "svg", words.name)


def sheet(split: Split, rows: Sequence[int]) -> Thumbnails:
    """Lay the images of an embedding out as one PNG of small tiles, the smaller the more there are."""
    channels = split.image_shape[0]
    room = int((SHEET_BYTES / max(1, len(rows) * min(channels, 3))) ** 0.5)
    side = max(8, min(32, room, max(split.image_shape[1:])))
    columns = max(1, min(len(rows), 2048 // side))
    height = -(-len(rows) // columns) * side
    whole = np.zeros((height, columns * side, 3), dtype=np.uint8)
    for place, tile in enumerate(_tiles(split, rows, side)):
        row, column = divmod(place, columns)
        whole[row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    grey = channels == 1
    return Thumbnails(png(whole[..., 0] if grey else whole), side, side, columns)


def _tiles(split: Split, rows: Sequence[int], side: int) -> Iterable[UInt8[np.ndarray, "side side 3"]]:
    import torch

    images = split.take(torch.tensor(rows, dtype=torch.int64))[0].numpy()
    for image in images:
        yield np.asarray(Image.fromarray(thumbnail(image, max(side, max(image.shape[1:])))).resize((side, side)))


def png(pixels: UInt8[np.ndarray, "h w *c"]) -> bytes:
    """Write pixels as PNG, with a palette where that is smaller."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if pixels.ndim == 3:
        image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(file, "PNG", optimize=True)
    return file.getvalue()

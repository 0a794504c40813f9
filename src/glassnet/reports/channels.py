"""What the channels of a network's layers have learned: how many are dead, selective or needed, and their sheets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from glassnet.analysis import Analysis
from glassnet.analysis.channel_rows import channels_table, dead_words, driven_words, overview
from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.blocks import Block, Fold, Missing, Picture, Prose
from glassnet.formats import count
from glassnet.reports.material import pictures

SHEET_BYTES = 8_000_000
"""What the sheets of an analysis may take of a page."""


def channel_blocks(measured: Sequence[Analysis]) -> Iterator[Block]:
    """Return the newest analysis of channels, and the older ones folded.

    Args:
        measured: The analyses, the oldest first.
    """
    for place, one in enumerate(reversed(measured)):
        if place == 0:
            yield from _blocks(one)
        else:
            yield Fold(f"Also measured: {measured_words(one)}", tuple(_blocks(one)))


def measured_words(analysis: Analysis) -> str:
    """Say what an analysis of channels is of: layers, images, and what is not usual."""
    result: MeasuredChannels = analysis.result
    names = [result.title(name) for name in result.channels]
    where = f"{names[0]} to {names[-1]}" if len(names) > 3 else ", ".join(names)
    seed = [f"seed {analysis.request.seed}"] if analysis.request.seed else []
    return ", ".join([where, result.images_words, *seed])


def _blocks(analysis: Analysis) -> Iterator[Block]:
    result: MeasuredChannels = analysis.result
    yield Prose(tuple(_sentences(result)))
    yield overview(result)
    sheets = _sheets(analysis)
    *_, last = result.channels
    yield from sheets[last][:1]
    for name in result.channels:
        dead = dead_words(result, name)
        said = [f"{words[0].upper()}{words[1:]}." for words in (dead, driven_words(result, name)) if words]
        prose = [Prose(tuple(said))] if said else []
        others = sheets[name] if name != last else sheets[name][1:]
        title = f"{result.title(name)}: the most selective channels and those the network needs most"
        yield Fold(title if result.ablations else f"{result.title(name)}: its channels", (
            channels_table(result, name), *prose, *others,
        ))  # fmt: skip


def _sentences(result: MeasuredChannels) -> Iterator[str]:
    layers = len(result.channels)
    total, dead = sum(map(len, result.channels.layers.values())), sum(map(len, result.channels.dead.values()))
    of = f"Of the {count(total)} channels of {layers} {'layer' if layers == 1 else 'layers'}"
    images = f"of {result.images_words}"
    if not dead:
        yield f"{of}, none is dead: each is activated by at least one {images}."
    elif dead == 1:
        yield f"{of}, 1 is dead: none {images} activates it."
    else:
        yield f"{of}, {count(dead)} are dead: none {images} activates them."
    found = result.agreement()
    if found is not None:
        low, high = found.interval or (0.0, 0.0)
        yield (
            "The network tends to need its selective channels most"
            if low > 0
            else "The network tends to need its selective channels least"
            if high < 0
            else "There is no clear link between a channel's selectivity and the network's need of it"
        ) + f": over all layers, selectivity and the cost of removal have a rank correlation of {found.words}."
    yield from result.notes


def _sheets(analysis: Analysis) -> dict[str, list[Picture | Missing]]:
    """Return the sheets of each layer, page by page; from the last layer on as many as the page has room for."""
    result: MeasuredChannels = analysis.result
    drawn = iter(pictures(analysis))
    sheets = {name: list(islice(drawn, result.pages(name))) for name in result.channels}
    room = SHEET_BYTES
    for name in reversed(sheets):
        room -= sum(len(one.drawing) for one in sheets[name] if isinstance(one, Picture))
        if room < 0:
            where = "" if analysis.entry is None else f"; it is in {analysis.entry.path}"
            sheets[name] = [Missing(f"The sheet of {result.title(name)} would make this page too large{where}.")]
    return sheets

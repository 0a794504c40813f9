"""`glassnet channels`: what every channel of some layers has learned: a table and a sheet for each layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from glassnet.analysis import Analysis, analyse
from glassnet.analysis.channel_rows import channel_rows, channels_table, dead_words, driven, driven_words, overview
from glassnet.analysis.measured_channels import MeasuredChannels
from glassnet.cli import Answer
from glassnet.cli.subjects import answer_about, context_of, kept_at, open_subject
from glassnet.settings import ChannelsSettings
from glassnet.tables import terminal_width


def channels(settings: ChannelsSettings) -> Answer:
    """Measure the channels of a subject's layers, draw and keep them."""
    subject = open_subject(settings, settings.run, images=settings.data, out=settings.out)
    done = analyse(
        subject,
        "channels",
        layers=settings.layers,
        split=settings.split,
        images=settings.images,
        top=settings.top,
        ablation_images=settings.ablation_images if settings.ablate else 0,
        value=settings.value,
        visualize=settings.visualize,
        sheet=settings.sheet,
        seed=settings.seed,
        name=settings.name,
        context=context_of(settings),
    )
    result: MeasuredChannels = done.result
    parts = [overview(result).text()]
    for name in result.channels:
        parts += [channels_table(result, name, width=terminal_width()).text(), dead_words(result, name)]
        parts.append(driven_words(result, name))
    overall = result.agreement(seed=settings.seed)
    if overall is not None:
        parts.append(f"rank correlation of selectivity and the cost of removal, over all layers: {overall.words}")
    parts += [*result.notes, "\n".join(_sheets(done)), kept_at([done])]
    about = {"run": str(subject.path), "layers": _json(result, settings.seed), "channels": done.to_json()}
    return answer_about(subject, "\n\n".join(filter(None, parts)), about)


def _sheets(done: Analysis) -> Iterator[str]:
    """Say where the sheets lie."""
    if done.entry is not None:
        for words in done.figures:
            yield f"sheet: {done.entry.figure_file(words.name, 'png')}"


def _json(result: MeasuredChannels, seed: int) -> list[dict[str, Any]]:
    """Return each layer's most selective and most needed channels with their numbers, as JSON values."""
    layers = []
    for name, one in result.channels.layers.items():
        found = result.agreement(name, seed=seed)
        layers.append(
            {
                "layer": name,
                "convolution": result.convolutions.get(name),
                "channels": len(one),
                "dead": list(one.dead),
                "selective": channel_rows(result, name, result.selective(name)),
                "needed": channel_rows(result, name, result.needed(name)),
                "selectivity_and_cost": None if found is None else vars(found),
                "synthetic_images": driven(result, name),
            }
        )
    return layers

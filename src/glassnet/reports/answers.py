"""What a network says of images without labels, as a report shows it: classes, maps and channels of each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from glassnet.analysis import Analysis
from glassnet.analysis.predictions import Predictions
from glassnet.blocks import Answer, Answers, Block, Map, Section
from glassnet.figures import heat_overlay, signed_map, thumbnail
from glassnet.formats import count, decimal
from glassnet.method_titles import METHOD_TITLES
from glassnet.reports.material import MAP_PIXELS, about_zero, as_far_as_made, png
from glassnet.subject import Subject

MOST_PIXELS = 0.995
"""A guided map is mostly dark: a few pixels are far above all others, which would be black."""


def answer_sections(subject: Subject, predicted: Sequence[Analysis]) -> list[Section]:
    """Begin the report of images without labels with what the network says of them, where that was found."""
    blocks = tuple(as_far_as_made(_blocks(subject, predicted[-1]))) if predicted else ()
    return [Section("answers", "What it sees", blocks)] if blocks else []


def _blocks(subject: Subject, analysis: Analysis) -> Iterator[Block]:
    """Show each image with its likeliest classes, the maps of the first, and the channels that add most to it."""
    result: Predictions = analysis.result
    yield Answers(
        "What the network sees in each image",
        tuple(_answer(subject, result, row) for row in range(len(result.names))),
        _lead(subject, result),
        _caption(result),
    )


def _lead(subject: Subject, result: Predictions) -> str:
    images, classes = len(subject.part("test")), len(subject.classes)
    shown = "" if len(result.names) == images else f"The first {len(result.names)} of {count(images)} images. "
    return (
        f"{shown}Bars are probabilities over the {count(classes)} classes that the network knows. It must choose one "
        "of these, so it names anything else after something similar, or after something next to it. The pictures "
        "explain the first class, right or wrong."
    )


def _caption(result: Predictions) -> str:
    """Say how the pictures are read: each map by itself, and what the number of a channel is."""
    signs = [METHOD_TITLES.get(method, method) for method, values in result.maps.items() if values.ndim == 4]
    text = "Orange raises the score of the first class. Each map is scaled by its own largest value"
    if signs:
        text += f" ({' and '.join(signs)}: by the value that only 1 in 200 pixels exceeds; blue there lowers the score)"
    if not result.channels.shape[1]:
        return f"{text}."
    return (
        f"{text}. A channel is a feature detector that the network has learned. Its picture shows where in the image "
        "it is active, whatever the class. Its number is its contribution to the score (logit) of the first class: "
        "activation times gradient, summed over the map. This is exact if only averaging and a linear layer follow. "
        f"Maps and channels are from {result.layer}."
    )


def _answer(subject: Subject, result: Predictions, row: int) -> Answer:
    image = result.images[row]
    classes = zip(result.classes[row], result.probabilities[row], strict=True)
    channels = zip(result.channels[row], result.added[row], result.activations[row], strict=True)
    return Answer(
        result.names[row],
        png(thumbnail(image, MAP_PIXELS)),
        tuple((subject.classes[int(index)], float(share)) for index, share in classes),
        tuple(
            Map(METHOD_TITLES.get(method, method), png(_picture(image, values[row])), about_zero(values[row]))
            for method, values in result.maps.items()
        ),
        tuple(
            Map(
                f"channel {number}",
                png(_picture(image, active.clip(0))),
                f"{'+' if adds > 0 else ''}{decimal(float(adds), 2)}",
            )
            for number, adds, active in channels
        ),
    )


def _picture(image: np.ndarray, values: Float[np.ndarray, ...]) -> np.ndarray:
    """Lay a map (h, w) over its image, or draw one with signs (c, h, w)."""
    if values.ndim == 2:
        return heat_overlay(image, values, size_pixels=MAP_PIXELS)
    limit = float(np.quantile(np.abs(values).max(axis=0), MOST_PIXELS)) or float(np.abs(values).max())
    return signed_map(values.clip(-limit, limit), size_pixels=MAP_PIXELS)

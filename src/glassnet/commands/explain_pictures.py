"""The figures of `glassnet explain`: maps with their numbers, deletion and insertion, the randomisation check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from glassnet import figures
from glassnet.attribution import Explanation
from glassnet.attribution.faithfulness import MeanCI, mean_ci, share_inside
from glassnet.commands.explain_numbers import Numbers
from glassnet.commands.selection import Selection
from glassnet.commands.subject import Subject

DRAWN = 16  # a figure of more images is too tall to be read


def draw(
    subject: Subject,
    selection: Selection,
    explanation: Explanation,
    numbers: Numbers,
    captions: Sequence[str],
    regions: Bool[np.ndarray, "n h w"] | None = None,
) -> list[str]:
    """Draw what there is of one selection, and return the figures' names; of a segmentation, what part is explained."""
    regions = None if regions is None else regions[:DRAWN]
    drawn = [_grid(subject, selection, explanation, numbers, captions[:DRAWN], regions)]
    if numbers.random is not None:
        drawn.append(_curves(subject, selection, numbers))
    if numbers.sanity is not None:
        drawn.append(_sanity(subject, selection, explanation, numbers))
    return drawn


def _grid(
    subject: Subject,
    selection: Selection,
    explanation: Explanation,
    numbers: Numbers,
    captions: Sequence[str],
    regions: Bool[np.ndarray, "n h w"] | None,
) -> str:
    name, layers, methods = f"explain-{selection.name}", list(explanation.layers), list(explanation.methods)
    maps = {key: values[:DRAWN] for key, values in explanation.maps.items()}
    mask = None if numbers.mask is None else numbers.mask[:DRAWN]
    shares = None if mask is None else {key: share_inside(values, mask) for key, values in maps.items()}
    figure = figures.attribution_grid(
        selection.images[:DRAWN].numpy(), maps, layers, methods, captions, numbers=shares,
        number_name="share of its positive attribution inside the stroke", regions=regions,
    )  # fmt: skip
    caption = "Each map is scaled by its own largest value: colours compare places in one map, never two maps."
    line = "" if regions is None else " A white line surrounds the region that is explained."
    subject.kept.save_figure(
        name,
        figure,
        title=selection.title,
        alt=f"{selection.title}: {len(captions)} images, each with its {' and '.join(methods)} at {', '.join(layers)}.",
        caption=caption + line,
    )
    return name


def _curves(subject: Subject, selection: Selection, numbers: Numbers) -> str:
    name, curves = f"faithfulness-{selection.name}", numbers.found.curves
    assert numbers.random is not None
    title = f"{selection.title}: deletion and insertion"
    figure = figures.faithfulness_curves(
        numbers.random.fractions,
        {key: _bands(one.deletion) for key, one in curves.items()},
        {key: _bands(one.insertion) for key, one in curves.items()},
        random=(_bands(numbers.random.deletion), _bands(numbers.random.insertion)),
        title=title,
    )
    subject.kept.save_figure(
        name,
        figure,
        title=title,
        alt=f"{title}: the target's probability while pixels go, or come, in each map's order.",
        caption="A faithful map loses the class early when its highest pixels are deleted, and finds it early when "
        "they are inserted; random order is what it must beat.",
    )
    return name


def _sanity(subject: Subject, selection: Selection, explanation: Explanation, numbers: Numbers) -> str:
    name, check = f"sanity-{selection.name}", numbers.sanity
    assert check is not None
    layer = explanation.layers[-1] if explanation.layers else "the input"
    title = f"{selection.title}: do the maps see that weights are lost?"
    figure = figures.sanity_curves(
        check.layers, {method: _rows(check.steps(method)) for method in check.rank_correlation}, title=title
    )
    subject.kept.save_figure(
        name,
        figure,
        title=title,
        alt=f"{title} The rank correlation of each method's map with the trained model's, step by step.",
        caption=f"Maps at {layer}. The model's weights are randomised layer by layer, from the output down. A map that "
        "stays as it was does not depend on what the model has learned.",
    )
    return name


def _bands(curves: np.ndarray) -> np.ndarray:
    return _rows([mean_ci(column) for column in curves.T])


def _rows(values: Sequence[MeanCI]) -> np.ndarray:
    """Lay out mean, low and high in rows; without an interval, a band of no width."""
    bounds = [(value.mean, value.low, value.high) for value in values]
    return np.array([[mean if one is None else one for one in (mean, low, high)] for mean, low, high in bounds], float)

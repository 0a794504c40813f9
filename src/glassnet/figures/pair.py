"""Two embeddings of the same images side by side, each with its numbers: which keeps the classes better apart?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.borders import centre_margins, draw_borders, grid_of, point_margins
from glassnet.figures.embedding import checked_assignment, checked_points
from glassnet.figures.labels import write_names
from glassnet.figures.numbers import NUMBERS, check_numbers, number_lines
from glassnet.figures.panels import PANEL, class_panel, draw_panel, two_panels
from glassnet.figures.scatter import Method
from glassnet.figures.style import in_house_style, require_finite


@in_house_style
def embedding_pair(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "n d"],
    targets: Integer[np.ndarray, " n"],
    classes: Sequence[str],
    numbers: tuple[Mapping[str, float | None], Mapping[str, float | None]],
    title: str,
    *,
    names: tuple[str, str],
    method: Method | tuple[Method, Method] | None = None,
    assignments: tuple[Integer[np.ndarray, " n"], Integer[np.ndarray, " n"]] | None = None,
    centres: tuple[Float[np.ndarray, "j d"], Float[np.ndarray, "k d"]] | None = None,
) -> Figure:
    """Draw two embeddings by true class, side by side, with the borders of the clusters found in each.

    Args:
        left: Positions in 2 or 3 dimensions.
        right: Those of the same images in the other embedding, in as many dimensions.
        targets: True class of each image.
        classes: Names of the classes, in order.
        numbers: What to print below the left and the right, any of `figures.numbers.NUMBERS`; None is left out.
        title: The figure's heading.
        names: The panels' titles.
        method: What the axes are, the same for both or one each.
        assignments: Clusters of the left and of the right, -1 for noise; drawn in 2 dimensions as borders, where the
            nearest point is another cluster's.
        centres: Their centres on the left and on the right, for borders halfway between these instead.

    Raises:
        InputError: The arrays do not fit each other or hold NaN, or a number or a method is unknown.
    """
    sides = [checked_points(p, targets, classes, what=w) for p, w in ((left, "left points"), (right, "right points"))]
    shapes = [places.shape for places, _ in sides]
    if shapes[0] != shapes[1]:
        raise InputError(f"left points have shape {shapes[0]} and right {shapes[1]}, expected the same images in both.")
    for shown in numbers:
        check_numbers(shown)
    number, dims = shapes[0]
    middles = None if centres is None else [require_finite("the centres", c).astype(np.float64) for c in centres]
    clusters = None if assignments is None else [checked_assignment(a, number) for a in assignments]
    lines = [number_lines(shown, NUMBERS) for shown in numbers]
    truth = sides[0][1]
    bordered = dims == 2 and not (clusters is None and middles is None)
    note = "; lines: borders of the clusters" if bordered else ""
    first, second = (class_panel(truth, classes, lines[i], title=names[i], note=note) for i in (0, 1))
    figure, foot = two_panels(title, (first, second), number=number, flat=dims == 2)
    methods = method if isinstance(method, tuple) else (method, method)
    for i, panel in enumerate((first, second)):
        places = sides[i][0]
        axes = draw_panel(figure, i, foot, places, panel, methods[i])
        grid, margins = grid_of(axes), None
        if dims == 2 and middles is not None:
            margins = centre_margins(*grid, middles[i])
        elif dims == 2 and clusters is not None and clusters[i].max() >= 0:
            margins = point_margins(*grid, places, clusters[i], int(clusters[i].max()) + 1)
        if margins is not None:
            draw_borders(axes, *grid, margins, [-1] * margins.shape[-1], tint=False)
        write_names(axes, places, truth, classes, inches=PANEL)
    return figure

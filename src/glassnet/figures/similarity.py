"""How alike layers see the same images: centred kernel alignment as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, in_house_style, new_figure, require_finite, require_shape, shorten

NUMBERED = 40
"""Up to so many layers a side each cell holds its number."""
# At most 0.75 opaque, so that text in the ink of either theme keeps a contrast of 4.5 on it.
ALIKE = LinearSegmentedColormap.from_list("alike", [to_rgba(ACCENT, 0.0), to_rgba(ACCENT, 0.75)])


@in_house_style
def cka_heatmap(
    similarity: Float[np.ndarray, "a b"],
    names_a: Sequence[str],
    names_b: Sequence[str] | None = None,
    *,
    axes: tuple[str, str] = ("layer", "layer"),
    title: str = "Centred kernel alignment",
) -> Figure:
    """Draw how alike each two layers are, 0 to 1, the network's order going up and to the right.

    What a debiased estimate puts below 0 has the colour of 0, and its number says so.

    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414.

    Args:
        similarity: Alignment of each layer of the first run (row) with each of the second (column), at most 1.
        names_a: Layers of the first run.
        names_b: Layers of the second run; without, the first's.
        axes: What the rows and the columns are.
        title: The figure's heading.

    Raises:
        InputError: The matrix is not one number from -1 to 1 for each pair of layers.
    """
    columns = names_a if names_b is None else names_b
    values = require_finite("the alignments", similarity).astype(float)
    shape = (len(names_a), len(columns))
    require_shape("the alignments", values, shape, f"{shape}, a row and a column for each layer")
    if not values.size or values.min() < -1 - 1e-6 or values.max() > 1 + 1e-6:
        span = f"go from {values.min():.3g} to {values.max():.3g}" if values.size else "are none"
        raise InputError(f"the alignments {span}, expected numbers up to 1; divide by the layers' own.")
    cell = float(np.clip(8.6 / max(shape), 0.24, 0.5))
    labels = [0.075 * max(len(shorten(name, 18)) for name in names) for names in (names_a, columns)]
    width, height = 1.3 + labels[0] + cell * shape[1], 1.9 + labels[1] + cell * shape[0]
    figure = new_figure(float(np.clip(width, 5.4, 14)), float(np.clip(height, 3.4, 14)))
    drawn = figure.add_subplot()
    small = max(shape) > 20
    drawn.pcolormesh(np.clip(values, 0, 1), cmap=ALIKE, norm=Normalize(0, 1), rasterized=max(shape) > NUMBERED)
    turn = 90 if max(map(len, columns)) > 3 else 0
    for ticks, names, angle in ((drawn.set_yticks, names_a, 0), (drawn.set_xticks, columns, turn)):
        every = max(1, -(-len(names) // NUMBERED))
        ticks(
            np.arange(0, len(names), every) + 0.5, [shorten(name, 18) for name in names[::every]], rotation=angle,
            fontsize=7.5 if small else 9,
        )  # fmt: skip
    drawn.set(ylabel=axes[0], xlabel=axes[1], aspect="equal")
    drawn.tick_params(length=0)
    drawn.spines[:].set_visible(False)
    if max(shape) <= NUMBERED:
        _write(drawn, values, size=float(np.clip(24 * cell, 5.2, 8.5)))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), ALIKE), ax=drawn, location="bottom", aspect=40, shrink=0.75)
    bar.set_label("alignment: 0 unrelated, 1 alike up to rotation and scale")
    bar.outline.set_edgecolor(GRID)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def _write(axes: Axes, values: np.ndarray, *, size: float) -> None:
    """Write each cell's number in hundredths, without the zero that all have."""
    for (row, column), value in np.ndenumerate(values):
        written = f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)
        axes.text(column + 0.5, row + 0.5, written, color=INK, ha="center", va="center", fontsize=size)

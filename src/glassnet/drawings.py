"""Results as pictures: shown in a notebook's cell, opened from a script, saved to a file."""

from __future__ import annotations

import html
import io
import os
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Integer
from matplotlib.figure import Figure

from glassnet.attribution import Explanation
from glassnet.console import say
from glassnet.display import drawable
from glassnet.embedding import Embedding
from glassnet.errors import InputError, unknown_name
from glassnet.figures import attribution_grid, points_figure
from glassnet.files import atomic, writable_target
from glassnet.method_titles import EMBEDDING_TITLES

if TYPE_CHECKING:
    from glassnet.images import Images

FORMATS = ("png", "svg", "pdf")
"""Files that a drawing is saved as, by their endings."""
DPI = 150
MOST_NAMES = 30
"""Names of more points would lie on each other."""
DPI_OF_A_CELL = 96


class Drawing:
    """A picture of a result.

    A notebook shows it if it is the value of a cell; `save` writes it to a file.

    Attributes:
        figure: The matplotlib figure, which you may change.
        title: What it shows, in one sentence.
    """

    def __init__(self, figure: Figure, title: str) -> None:
        """Take a figure and what it shows."""
        self.figure, self.title = figure, title

    def __repr__(self) -> str:
        """Say in one line what it shows, and how it is seen."""
        return f"Drawing({self.title}; .save('picture.png') writes it)"

    def _repr_png_(self) -> bytes:
        """Show it in a notebook."""
        written = io.BytesIO()
        self.figure.savefig(written, format="png", dpi=DPI_OF_A_CELL)
        return written.getvalue()

    def _repr_html_(self) -> str:
        """Show it in a notebook, with its title for those who cannot see it."""
        picture = b64encode(self._repr_png_()).decode()
        return f'<img alt="{html.escape(self.title)}" src="data:image/png;base64,{picture}">'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture as .png, .svg or .pdf, according to the ending of the path.

        Raises:
            InputError: The path has another ending, or cannot be written.
        """
        target, ending = Path(path), Path(path).suffix.lower().removeprefix(".")
        if ending not in FORMATS:
            raise InputError(f"the path is {target}, expected one that ends in .png, .svg or .pdf.")
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
        with atomic(writable_target(target, "the path")) as temporary:
            self.figure.savefig(temporary, format=ending, dpi=DPI, metadata=metadata)
        return target

    def show(self) -> Drawing:
        """Open the picture in a window; without a display or notebook, print how to save it.

        Returns:
            The drawing itself, which a notebook shows.
        """
        if in_notebook():
            return self
        if not has_display():
            say("there is no display; save the picture with .save('picture.png'), or as .svg or .pdf.")
            return self
        from PIL import Image

        Image.open(io.BytesIO(self._repr_png_())).show(title=self.title)
        return self


def in_notebook() -> bool:
    """Tell whether this process serves a notebook, which shows the value of a cell."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel")


def has_display() -> bool:
    """Tell whether a window can be opened."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def draw_explanation(
    explanation: Explanation,
    images: Images | None = None,
    *,
    methods: str | Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    most: int = 8,
    nth: int = 0,
) -> Drawing:
    """Draw images next to their maps: one column per layer, one row per method.

    Args:
        explanation: What `explain` returned.
        images: The explained images, in the same order; by default those passed to `explain`.
        methods: The methods to draw; all by default.
        layers: The layers to draw; all by default.
        names: Name of each image.
        classes: Names of the classes by index; by default those that the model provides.
        most: Number of images to draw, from the first.
        nth: Which class to draw, if several classes per image were explained.

    Raises:
        InputError: There are no images, they do not fit, or a method or layer is not in the explanation.
    """
    pictures = drawable(explanation.images_given(images)[: max(1, most)])
    count = len(pictures)
    wanted = _chosen(methods, explanation.methods, "method"), _chosen(layers, explanation.layers, "layer")
    keys = [key for key in explanation.maps if key[0] in wanted[0] and key[1] in (*wanted[1], "input")]
    maps = {key: explanation.of_class(explanation.maps[key][:count], nth) for key in keys}
    captions = [_caption(explanation, row, nth, names, classes) for row in range(count)]
    asked = [one for one in wanted[0] if any(method == one for method, _ in keys)]
    places = [one for one in wanted[1] if one != "input" and any(layer == one for _, layer in keys)]
    figure = attribution_grid(pictures, maps, places, asked, captions)
    return Drawing(figure, f"where {', '.join(places) or 'the network'} looks in {count} images: {', '.join(asked)}")


def draw_embedding(
    embedding: Embedding,
    labels: Integer[np.ndarray, " n"] | Sequence[int] | None = None,
    *,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Drawing:
    """Draw the points of an embedding, each in the colour of its class.

    Args:
        embedding: What `embed` returned, with 2 or 3 dimensions.
        labels: Class index of each point; without labels all points have the same colour.
        classes: Names of the classes by index.
        names: Name of each point, as returned by `read_images`; shown next to the points if there are at most 30.
        title: The figure's title.

    Raises:
        InputError: The points do not have 2 or 3 dimensions, or the labels or names do not fit them.
    """
    if embedding.dims not in (2, 3):
        raise InputError(f"the points have {embedding.dims} dimensions, expected 2 or 3 to draw; embed with dims=2.")
    method = EMBEDDING_TITLES.get(embedding.method, embedding.method)
    heading = title or f"{method} of {embedding.columns:,} features"
    known = None if labels is None else _checked_labels(labels, len(embedding.points))
    numbers = {"kl_divergence": embedding.kl_divergence}
    if embedding.explained_variance is not None:
        numbers["explained_variance"] = float(np.sum(embedding.explained_variance))
    named = classes if classes is not None or known is None else [str(c) for c in range(int(known.max()) + 1)]
    method_key, called = cast("Any", embedding.method), _checked_names(names, len(embedding.points))
    figure = points_figure(embedding.points, known, named or (), numbers, heading, method=method_key, names=called)
    return Drawing(figure, f"{heading}, {len(embedding.points):,} points")


def _checked_names(names: Sequence[str] | None, points: int) -> list[str] | None:
    """Return what is written at the points; None where nobody could read so many names."""
    if names is None:
        return None
    if isinstance(names, str) or len(names) != points:
        raise InputError(f"got {len(names)} names, expected {points}, one for each point.")
    if points > MOST_NAMES:
        say(f"the points carry no names, because {points:,} are too many to read: at most {MOST_NAMES} are named.")
        return None
    return [str(name) for name in names]


def _checked_labels(labels: Any, points: int) -> Integer[np.ndarray, " n"]:
    known = np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)
    if known.shape != (points,) or known.dtype.kind not in "iu" or known.min() < 0:
        raise InputError(
            f"labels have shape {known.shape} and type {known.dtype}, expected whole numbers of shape ({points},), one "
            "class index per point."
        )
    return known


def _chosen(wanted: str | Sequence[str] | None, known: Sequence[str], kind: str) -> tuple[str, ...]:
    if wanted is None:
        return tuple(known)
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in known:
            raise unknown_name(kind, str(name), known, where=" in this explanation", noun=f"{kind}s")
    return names


def _caption(
    explanation: Explanation, row: int, nth: int, names: Sequence[str] | None, classes: Sequence[str] | None
) -> str:
    """Name an image, what is explained in it, and the score."""
    name = str(names[row]) if names is not None and row < len(names) else f"image {row}"
    at = (row,) if explanation.scores.ndim < 2 else (row, nth)
    score = float(explanation.scores[at])
    if explanation.targets is None:
        return f"{name}\nscore {score:.3g}"
    target, classes = int(explanation.targets[at]), explanation.classes if classes is None else classes
    label = classes[target] if classes is not None and target < len(classes) else str(target)
    label = f"class {label}" if label.isdigit() else label
    return f"{name}\n{label}, score {score:.3g}"

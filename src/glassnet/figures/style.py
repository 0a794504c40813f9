"""The house style of all figures: colours for colour-blind eyes and dark pages; the user's own settings stay."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, findSystemFonts, fontManager, get_font
from matplotlib.style import context
from matplotlib.text import Text

from glassnet.console import say
from glassnet.errors import InputError

INK = "#1b1f27"
"""Text and axes. The report replaces these four strings by theme colours, so nothing else may use them."""
MUTED = "#6a7180"
"""Text of second rank."""
GRID = "#dfe2e8"
"""Grid lines and frames."""
SURFACE = "#ffffff"
"""What lies behind everything; halos and gaps have it too."""

PALETTE = (
    "#0568ab", "#ff9f0f", "#129e66", "#bf75ba", "#43b2ff", "#d46504", "#8c46ef", "#9fb499", "#ab2780", "#725916",
)  # fmt: skip
"""Ten colours for classes: Okabe and Ito's (2008) first six, moved a little, and four more.

They were searched so that under simulated protanopia, deuteranopia and tritanopia (Machado et al. 2009) any two stay
0.095 apart in OKLab, and so that each has a contrast of at least 2 to white and to a dark page.
"""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">")
ERROR = "#b5400a"
"""What the model got wrong."""
ACCENT = "#2a80c8"
"""What stands for itself: curves and bars, as far from white as from a dark page."""

STYLE: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.facecolor": SURFACE,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": SURFACE,
    "figure.edgecolor": SURFACE,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "glassnet",
}

Intervals = Float[np.ndarray, "_ 2"] | Sequence[tuple[float | None, float | None] | None]
"""Low and high of each value; None or NaN where there is none, as of a mean of one image."""

P = ParamSpec("P")
R = TypeVar("R")


def in_house_style(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under `STYLE` on top of matplotlib's defaults, and leave the caller's rcParams as they were."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with context(["default", STYLE]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+")  # a box instead of a character: said once, in `_give_fonts`
            return function(*args, **kwargs)

    return styled


class HouseFigure(Figure):
    """A figure that is drawn and saved in the house style whoever does it: matplotlib reads some settings only then."""

    @in_house_style
    def draw(self, *args: Any, **kwargs: Any) -> None:
        """Draw it."""
        _give_fonts(self)
        super().draw(*args, **kwargs)

    @in_house_style
    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save it."""
        super().savefig(*args, **kwargs)


def _give_fonts(figure: Figure) -> None:
    """Give names in Chinese, say, a font that has their characters, where one is installed; say so where none is."""
    texts = {text: _lacking(text.get_text()) for text in figure.findobj(Text) if not text.get_text().isascii()}
    characters = frozenset[str]().union(*texts.values())
    if not characters:
        return
    families = fonts_with(characters)
    for text, lacking in texts.items():
        if lacking:
            text.set_fontfamily(
                [*text.get_fontfamily(), *(one for one in families if one not in text.get_fontfamily())]
            )


def _lacking(text: str) -> frozenset[str]:
    """Return the characters that the house font has not."""
    font = get_font(findfont(STYLE["font.sans-serif"][0]))
    return frozenset(one for one in text if one.isprintable() and not font.get_char_index(ord(one)))


@functools.cache
def fonts_with(characters: frozenset[str]) -> tuple[str, ...]:
    """Return the families of as few installed fonts as have these characters; what none has is said once.

    matplotlib keeps a list of the fonts that were installed when it was used first; later ones are added where the
    listed ones do not do.
    """
    families: list[str] = []
    left = characters
    for listed in (_listed_fonts, _new_fonts):
        has = {name: left & _characters(path, left) for name, path in listed() if left}
        while left and has and (best := max(has, key=lambda name: len(has[name] & left))) and has[best] & left:
            families.append(best)
            left -= has[best]
    if left and not _said:
        _said.add("boxes")
        say(
            f"no installed font has {''.join(sorted(left)[:5])}, so figures show boxes in such names; install a font "
            "that has them, such as Debian's fonts-noto-cjk."
        )
    return tuple(families)


_said: set[str] = set()


def _listed_fonts() -> Iterator[tuple[str, str]]:
    names = set[str]()
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.weight != 400, entry.style != "normal")):
        if entry.name not in names and "Last Resort" not in entry.name:
            names.add(entry.name)
            yield entry.name, entry.fname


def _new_fonts() -> Iterator[tuple[str, str]]:
    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            try:
                fontManager.addfont(path)
            except (OSError, RuntimeError):  # of a format that is not read, as of coloured pictures
                continue
    yield from ((name, path) for name, path in _listed_fonts() if path not in known)


def _characters(path: str, wanted: frozenset[str]) -> frozenset[str]:
    """Return which of some characters a font has."""
    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(one for one in wanted if font.get_char_index(ord(one)))


def new_figure(width_inches: float, height_inches: float) -> HouseFigure:
    """Make an empty figure that pyplot does not know of; call it in the house style."""
    return HouseFigure(figsize=(width_inches, height_inches), layout="constrained")


def new_free_figure(width_inches: float, height_inches: float) -> HouseFigure:
    """Make an empty figure like `new_figure`'s whose axes stand where they are put, so that panels stay aligned."""
    return HouseFigure(figsize=(width_inches, height_inches))


def new_canvas(width_inches: float, height_inches: float) -> tuple[HouseFigure, Axes]:
    """Make a figure with one bare axes over all of it, measured in inches from its top left corner."""
    figure = new_free_figure(width_inches, height_inches)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width_inches), ylim=(height_inches, 0))
    axes.set_axis_off()
    return figure, axes


def class_colour(index: int) -> str:
    """Give the colour of a class; those of eleven and more classes come again, with another marker."""
    return PALETTE[index % len(PALETTE)]


def class_marker(index: int) -> str:
    """Give the marker of a class; colour and marker together are unique for a hundred classes."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def shorten(text: str, length: int) -> str:
    """Cut a text to `length` characters; a space goes before a first underscore, which legends would leave out."""
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return " " + cut if cut.startswith("_") else cut


def require_finite(what: str, array: Any) -> np.ndarray:
    """Return `array` as numpy's, refusing one that holds NaN or infinity.

    Raises:
        InputError: It does.
    """
    values = np.asarray(array)
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise InputError(
            f"{what}: {bad:,} of {values.size:,} values are NaN or infinite, expected finite numbers; fix what "
            "computed them."
        )
    return values


def require_shape(what: str, array: np.ndarray, expected: Sequence[int | None], meaning: str) -> None:
    """Refuse an array of a wrong shape.

    Args:
        what: What the array is, as in "points".
        array: The array.
        expected: Its lengths; None where any will do.
        meaning: The shape in words, as in "(n, 2)".

    Raises:
        InputError: The shape differs.
    """
    if array.ndim != len(expected) or any(e is not None and e != n for e, n in zip(expected, array.shape, strict=True)):
        raise InputError(f"{what} have shape {array.shape}, expected {meaning}; pass one entry per image.")


def interval_pairs(what: str, intervals: Intervals, number: int, *, each: str) -> Float[np.ndarray, "n 2"]:
    """Return low and high of `number` values, NaN where there are none: nothing is drawn there.

    Args:
        what: What the intervals are, as in "the probe intervals".
        intervals: A pair for each value; None, or a pair of None or NaN, for none.
        number: How many values there are.
        each: What each value is of, as in "layer".

    Raises:
        InputError: They are not a pair each, one end is infinite or missing, or a low is above its high.
    """
    rows = [(None, None) if row is None else row for row in intervals]
    pairs = np.array(rows, dtype=float)
    require_shape(what, pairs, (number, 2), f"({number}, 2), low and high for each {each}")
    require_finite(what, pairs[~np.isnan(pairs).all(axis=1)])
    if (pairs[:, 0] > pairs[:, 1]).any():
        raise InputError(f"{what} have a low above their high, expected (low, high).")
    return pairs

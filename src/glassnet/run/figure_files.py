"""A figure as two files that look the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


def write_figure(figure: Figure, png: Path, svg: Path) -> None:
    """Write a figure as PNG (150 dpi) and SVG, every part in the same place in both.

    Saving the PNG lays the figure out, and the SVG keeps that layout. With any layout engine, the empty one included,
    matplotlib draws a figure twice to save it; without one, once.
    """
    from matplotlib import rc_context

    figure.savefig(png, format="png", dpi=DPI)
    with rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})

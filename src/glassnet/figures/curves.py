"""Curves: loss and error rate by epoch, and the variance that principal components explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, MUTED, PALETTE, in_house_style, new_figure, require_finite

TRAIN = {"color": PALETTE[1], "marker": "s", "linestyle": (0, (4, 1.5))}
VALIDATION = {"color": ACCENT, "marker": "o", "linestyle": "-"}
KEYS = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")


@in_house_style
def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    best_epoch: int | None = None,
    of: str = "images",
    title: str = "Learning curves",
) -> Figure:
    """Draw the loss and the share of what is wrong by epoch, of training and validation, with the saved epoch marked.

    Errors stand on a logarithmic axis: the way from 2 % to 1 % wrong is as long as the way from 20 % to 10 %.

    Args:
        history: One mapping per epoch with `epoch`, `train_loss`, `validation_loss`, `train_accuracy` and
            `validation_accuracy` (shares, 0 to 1); of a segmentation `validation_background_accuracy` as well, which is
            drawn as a line where it is there, and `validation_mean_iou` with `validation_background_mean_iou`, which
            make a third panel: the saved epoch of a segmentation is chosen by it.
        best_epoch: The epoch whose weights were kept; by default the one with the highest validation accuracy, the
            lowest validation loss among equals.
        of: What is right or wrong: images or pixels.
        title: The figure's heading.

    Raises:
        InputError: The history is empty, lacks a value, holds NaN or has no epoch `best_epoch`.
    """
    epochs, columns = _columns(history)
    best = _best(epochs, columns, best_epoch)
    overlaps = all(row.get("validation_mean_iou") is not None for row in history)
    figure = new_figure(11.6 if overlaps else 8.4, 3.7)
    loss, wrong, *third = figure.subplots(1, 3 if overlaps else 2)
    for part, look in (("train", TRAIN), ("validation", VALIDATION)):
        label = "training" if part == "train" else part
        _curve(loss, epochs, columns[f"{part}_loss"], look, label)
        _curve(wrong, epochs, 100 * (1 - columns[f"{part}_accuracy"]), look, label)
    _draw_background(wrong, history)
    loss.set(title="Loss", ylabel=f"loss (nats per {of.removesuffix('s')})")
    wrong.set(title="Error rate", ylabel=f"wrong {of} (%)")
    for axes, column in ((loss, columns["validation_loss"]), (wrong, 100 * (1 - columns["validation_accuracy"]))):
        _log_scale(axes)
        _epoch_axis(axes, epochs)
        axes.plot(epochs[best], column[best], "o", markersize=11, mfc="none", mec=INK, mew=1.4, label="saved epoch")
        axes.axvline(epochs[best], color=MUTED, linewidth=0.8, linestyle=":", zorder=0.5)
    overlap = _draw_overlap(third[0], epochs, history, best) if overlaps else ""
    _legend(figure, loss, wrong)
    figure.suptitle(f"{title}: {_headline(epochs, columns, best)}{overlap}", x=0.01, ha="left")
    return figure


def _draw_background(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    """Draw what calling every pixel background gets wrong of the validation images, the same after every epoch."""
    right = history[-1].get("validation_background_accuracy")
    if right is not None:
        axes.axhline(100 * (1 - right), color=MUTED, linewidth=1.2, linestyle=(0, (1, 1.5)), label="all background")


def _draw_overlap(axes: Axes, epochs: np.ndarray, history: Sequence[Mapping[str, Any]], best: int) -> str:
    """Draw the validation images' mean IoU with that of no object at all; return the saved epoch's as words."""
    overlap = require_finite("the history's validation_mean_iou", [row["validation_mean_iou"] for row in history])
    _curve(axes, epochs, overlap, VALIDATION, "validation")
    axes.plot(epochs[best], overlap[best], "o", markersize=11, mfc="none", mec=INK, mew=1.4)
    axes.axvline(epochs[best], color=MUTED, linewidth=0.8, linestyle=":", zorder=0.5)
    background = history[-1].get("validation_background_mean_iou")
    if background is not None:
        axes.axhline(background, color=MUTED, linewidth=1.2, linestyle=(0, (1, 1.5)))
    axes.set(title="Overlap (chooses the epoch)", ylabel="mean IoU", ylim=(0, None))
    _epoch_axis(axes, epochs)
    return f", mean IoU {overlap[best]:.3f}"


def _legend(figure: Figure, *panels: Axes) -> None:
    """Name each line once below the panels, whichever of them it is in."""
    named: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=len(named))


def _columns(history: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if not history:
        raise InputError("the history is empty, expected a row per epoch; train for at least one epoch.")
    missing = [key for key in ("epoch", *KEYS) if any(row.get(key) is None for row in history)]
    if missing:
        raise InputError(f"the history lacks {', '.join(missing)}, expected them in every row; see metrics.jsonl.")
    columns = {k: require_finite(f"the history's {k}", [float(row[k]) for row in history]) for k in KEYS}
    return np.array([int(row["epoch"]) for row in history]), columns


def _best(epochs: np.ndarray, columns: Mapping[str, np.ndarray], best_epoch: int | None) -> int:
    if best_epoch is None:
        return int(np.lexsort((columns["validation_loss"], -columns["validation_accuracy"]))[0])
    matches = np.flatnonzero(epochs == best_epoch)
    if not matches.size:
        raise InputError(f"best_epoch is {best_epoch}, expected one from {epochs.min()} to {epochs.max()}.")
    return int(matches[0])


def _headline(epochs: np.ndarray, columns: Mapping[str, np.ndarray], best: int) -> str:
    accuracy, loss = columns["validation_accuracy"][best], columns["validation_loss"][best]
    return f"saved epoch {epochs[best]} of {epochs[-1]}, validation accuracy {accuracy:.2%}, loss {loss:.4f}"


def _curve(axes: Axes, epochs: np.ndarray, values: np.ndarray, look: Mapping[str, Any], label: str) -> None:
    size = 4 if len(epochs) <= 40 else 0
    axes.plot(
        epochs, values, color=look["color"], linestyle=look["linestyle"], marker=look["marker"], markersize=size,
        linewidth=1.6, label=label,
    )  # fmt: skip


def _log_scale(axes: Axes) -> None:
    """Scale y by logarithm, plain numbers at 1, 2 and 5; a 0 gets its own place below the least positive value."""
    values = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if positive.size else (0.1, 1.0)
    if (values <= 0).any():
        axes.set_yscale("symlog", linthresh=low, linscale=0.4)
        bottom = -0.08 * low
    else:
        axes.set_yscale("log")
        bottom = low / 1.25
    top = max(high, low * 1.6) * 1.25  # at least a factor 2.5 above the bottom, so that one of 1, 2, 5 lies between
    axes.set_ylim(bottom, top)
    steps = np.concatenate([[0.0], *(np.array([1, 2, 5]) * 10.0**power for power in range(-9, 10))])
    axes.set_yticks([s for s in steps if bottom <= s <= top and (s == 0 or s >= low / 1.25)])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _epoch_axis(axes: Axes, epochs: np.ndarray) -> None:
    margin = max(0.4, 0.03 * (epochs[-1] - epochs[0]))
    axes.set(xlabel="epoch", xlim=(epochs[0] - margin, epochs[-1] + margin))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=GRID)


@in_house_style
def scree(explained_variance: Float[np.ndarray, " d"], *, title: str = "Variance explained", count: int = 20) -> Figure:
    """Draw the share of the variance that each principal component explains, and their running sum.

    Args:
        explained_variance: Share per component, 0 to 1, largest first.
        title: The figure's heading.
        count: Draw at most so many components.

    Raises:
        InputError: The shares are no list of numbers from 0 to 1 with a sum of at most 1.
    """
    shares = require_finite("the explained variances", explained_variance).astype(float)
    if shares.ndim != 1 or not shares.size or shares.min() < 0 or shares.sum() > 1 + 1e-4:
        raise InputError(
            f"the explained variances have shape {shares.shape} and sum {shares.sum():.3g}, expected one share of the "
            "whole per component, 0 to 1; divide by the total variance."
        )
    total = np.cumsum(shares)
    drawn = np.arange(1, min(count, shares.size) + 1)
    figure = new_figure(6.4, 3.7)
    axes = figure.add_subplot()
    axes.bar(drawn, 100 * shares[: drawn.size], color=ACCENT, width=0.7, label="this component")
    axes.plot(drawn, 100 * total[: drawn.size], "s-", color=PALETTE[5], markersize=4, label="cumulative")
    for at in sorted({2, 3, int(drawn[-1])} & set(drawn.tolist())):
        axes.annotate(
            f"{total[at - 1]:.1%}", (at, 100 * total[at - 1]), (-4, 5), textcoords="offset points", ha="right"
        )
    axes.set(xlabel="principal component", ylabel="explained variance (%)", ylim=(0, 109))
    axes.set_xticks(drawn[:: max(1, drawn.size // 10)])
    axes.grid(axis="y", color=GRID)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(f"{title}: {_scree_headline(total)}", x=0.01, ha="left")
    return figure


def _scree_headline(total: np.ndarray) -> str:
    counts = [count for count in (2, 3) if count <= total.size] or [1]
    reached = np.flatnonzero(total >= 0.9)
    first = f"{total[counts[0] - 1]:.1%} by {counts[0]} component{'s' if counts[0] > 1 else ''}"
    parts = [first, *(f"{total[count - 1]:.1%} by {count}" for count in counts[1:])]
    return ", ".join([*parts, f"90% by {reached[0] + 1}"] if reached.size else parts)

"""What the dimensions of a latent code carry, and how the two terms of the bound fall by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glassnet.errors import InputError
from glassnet.figures.style import ACCENT, GRID, INK, MUTED, PALETTE, in_house_style, new_figure, require_finite

MOST = 64
"""Dimensions drawn, those of the largest KL."""


@in_house_style
def latent_kl(
    kl: Float[np.ndarray, " latent"], active: Bool[np.ndarray, " as_many"], *, title: str = "Latent dimensions"
) -> Figure:
    """Draw each latent dimension's KL, the largest first: how many nats it tells of an image.

    Args:
        kl: Mean KL of each dimension in nats.
        active: Whether it depends on the image.
        title: The figure's heading.

    Raises:
        InputError: There is no dimension, or the two differ in length.
    """
    values = require_finite("the KL of the latent dimensions", kl).astype(float)
    used = np.asarray(active)
    if values.ndim != 1 or not values.size or used.shape != values.shape:
        raise InputError(
            f"kl has shape {values.shape} and active has shape {used.shape}, expected the same shape (n,) for both."
        )
    order = np.argsort(-values, kind="stable")[:MOST]
    figure = new_figure(7.2, 3.6)
    axes = figure.add_subplot()
    places = np.arange(1, len(order) + 1)
    for which, colour, label in ((True, ACCENT, "depends on the image"), (False, MUTED, "does not")):
        chosen = used[order] == which
        if chosen.any():
            axes.bar(places[chosen], values[order][chosen], color=colour, width=0.8, label=label)
    axes.set(xlabel="latent dimension, by KL", ylabel="KL (nats per image)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=GRID)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    cut = "" if len(order) == len(values) else f", the {len(order)} largest of {len(values):,} shown"
    figure.suptitle(f"{title}: {values.sum():.1f} nats, {int(used.sum()):,} active{cut}", x=0.01, ha="left")
    return figure


@in_house_style
def reconstruction_curves(
    history: Sequence[Mapping[str, Any]], *, best_epoch: int, title: str = "Learning curves"
) -> Figure:
    """Draw, by epoch, the two terms of the bound on training and validation images, and the validation's PSNR.

    Args:
        history: One mapping per epoch with `epoch`, `train_reconstruction`, `validation_reconstruction`,
            `validation_kl` and `validation_psnr`; `train_kl` where there is a KL term. Of a model that gives images
            alone, `train_loss` and `validation_loss` stand in place of the terms.
        best_epoch: The epoch whose weights were kept.
        title: The figure's heading.

    Raises:
        InputError: The history is empty or lacks a value.
    """
    plain = bool(history) and all("validation_kl" not in row and "train_loss" in row for row in history)
    bound = ("train_reconstruction", "validation_reconstruction", "validation_kl")
    needed = ("epoch", *(("train_loss", "validation_loss") if plain else bound), "validation_psnr")
    missing = [key for key in needed if not history or any(row.get(key) is None for row in history)]
    if missing:
        raise InputError(f"the history lacks {', '.join(missing)}, expected them in every row; see metrics.jsonl.")
    variational = all("train_kl" in row for row in history)
    epochs = [int(row["epoch"]) for row in history]
    figure = new_figure(10.2 if variational else 7.4, 3.5)
    panels = figure.subplots(1, 3 if variational else 2)
    if plain:
        _terms(panels[0], history, epochs, "loss", "Loss", "minus PSNR (dB), lower is better")
    else:
        _terms(panels[0], history, epochs, "reconstruction", "Reconstruction term", "nats per image, lower is better")
    if variational:
        _terms(panels[1], history, epochs, "kl", "KL term", "nats per image")
    _line(panels[-1], epochs, [float(row["validation_psnr"]) for row in history], "validation")
    panels[-1].set(title="PSNR", ylabel="PSNR (dB), higher is better")
    for axes in panels:
        axes.axvline(best_epoch, color=INK, linewidth=0.9, linestyle=":", label="saved epoch")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(axis="y", color=GRID)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    best = history[epochs.index(best_epoch)] if best_epoch in epochs else history[-1]
    figure.suptitle(f"{title}: saved epoch {best_epoch}, PSNR {best['validation_psnr']:.2f} dB", x=0.01, ha="left")
    return figure


def _terms(
    axes: Axes, history: Sequence[Mapping[str, Any]], epochs: Sequence[int], key: str, title: str, label: str
) -> None:
    for part in ("train", "validation"):
        values = [float(row[f"{part}_{key}"]) for row in history]
        _line(axes, epochs, values, "training" if part == "train" else part)
    axes.set(title=title, ylabel=label)


def _line(axes: Axes, epochs: Sequence[int], values: Sequence[float], label: str) -> None:
    colour, marker = (PALETTE[1], "s") if label == "training" else (ACCENT, "o")
    axes.plot(epochs, values, color=colour, marker=marker, markersize=3.5, linewidth=1.5, label=label)

"""A layer's picture as it is sent: points, numbers beside it, and how it is turned onto another layer's picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.explorer.arrays import Arrays
from glassnet.explorer.described import PartName
from glassnet.explorer.ondisk import entry_of, is_current
from glassnet.explorer.schemas import EmbeddingList, EmbeddingMeta, EmbeddingOnDisk, Measure
from glassnet.explorer.shown import OpenSubject
from glassnet.formats import is_number, percent
from glassnet.measures import MEASURES
from glassnet.run.store import Entry, Store, without_open

QUALITY = (
    "explained_variance", "knn_accuracy", "trustworthiness", "continuity", "neighbours_kept", "distance_correlation",
    "kl_divergence", "ari", "nmi", "cluster_accuracy", "silhouette",
)  # fmt: skip
"""Measures in the order of the page: how far to trust the picture, then its clusters."""


@dataclass(frozen=True)
class Wanted:
    """Which picture is asked for."""

    layer: str
    method: str = "tsne"
    dims: int = 2
    images: int = 5000
    part: PartName = "test"
    seed: int = 0
    perplexity: float | None = None

    def settings(self) -> dict[str, Any]:
        """Return the settings of the analysis."""
        perplexity = None if self.perplexity is None or self.method != "tsne" else [float(self.perplexity)]
        return {
            "layer": self.layer,
            "method": self.method,
            "dims": self.dims,
            "images": self.images,
            "split": self.part,
            "seed": self.seed,
            "engine": "glassnet",
            "perplexity": perplexity,
            "landmarks": None,
            "clustering": "kmeans",
            "clusters": None,
            "precision": "fp32",
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a layer, from disk or just made.

    Attributes:
        found: What the analysis found, as JSON values.
        arrays: Its arrays.
        entry: Where it is kept.
    """

    found: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    entry: Entry | None

    @property
    def points(self) -> np.ndarray:
        """A point an image, float32 (n, dims)."""
        return self.arrays["points"]


def on_disk(opened: OpenSubject, wanted: Wanted) -> Picture | None:
    """Read a picture before torch is loaded; None where it is not there."""
    entry = entry_of(opened, "embedding", wanted.settings())
    return None if entry is None else Picture(entry.result, entry.arrays, entry)


def made(opened: OpenSubject, wanted: Wanted) -> Picture:
    """Return a picture from the store, or make it.

    Raises:
        InputError: As the analysis says.
    """
    from glassnet.run.codec import encode

    analysis = opened.analysis("embedding", **wanted.settings())
    return Picture(*encode(analysis.result), analysis.entry)


def answer(opened: OpenSubject, wanted: Wanted, picture: Picture, onto: Picture | None, aligned: str | None) -> Arrays:
    """Return a picture as it is sent, turned onto another one where there is one."""
    points = picture.points
    if onto is not None:
        points = fit(points, onto.points).move(points)
    found, classes = picture.found, len(opened.basics.classes)
    components = picture.arrays.get("components")
    labels = picture.arrays["labels"]
    known = labels < classes if opened.basics.labelled else np.zeros(len(labels), bool)
    arrays = {
        "points": points,
        "numbers": picture.arrays["numbers"],
        "cluster": picture.arrays["assignment"],
        "label": np.where(known, labels, -1),
    }
    meta = EmbeddingMeta(
        layer=wanted.layer,
        method=wanted.method,
        dims=wanted.dims,
        images=len(points),
        of=opened.basics.parts.get(wanted.part, len(points)),
        measures=[measure_of(key, found["measures"].get(key), classes) for key in QUALITY if key in found["measures"]],
        explained=[] if components is None else [float(one) for one in components[: wanted.dims]],
        aligned=aligned if onto is not None else None,
        settings={
            **found["method_settings"],
            "images": wanted.images,
            "part": wanted.part,
            "features": found["features"],
        },
        clusters=int(found["clusters"]),
        entry="" if picture.entry is None else f"embedding/{picture.entry.name}",
        seconds=float(picture.entry.document.get("seconds") or 0) if picture.entry else 0.0,
    )
    return Arrays(arrays, meta)


def measure_of(key: str, value: Any, classes: int, interval: Any = None) -> Measure:
    """Describe a number for a page."""
    known = MEASURES[key]
    ends = known.ends.replace("{chance}", percent(1 / max(classes, 1), 0))
    by_chance = re.search("([^,=]+) = chance level", ends)
    return Measure(
        key=key,
        title=known.title,
        value=float(value) if is_number(value) else None,
        text=known.show(value),
        interval=known.interval(interval) if interval else "",
        chance=by_chance[1].strip() if by_chance else "",
        about=f"{known.meaning} {ends[:1].upper()}{ends[1:]}.".strip() if ends else known.meaning,
    )


def listed(opened: OpenSubject, part: PartName) -> EmbeddingList:
    """List the pictures that are on disk, of the model as it is now, and that `Wanted` can ask for."""
    if opened.path is None:
        folder, known = opened.subject.path, opened.subject.made_of(part)
        every = [] if folder is None else Store(folder).entries("embedding")
        entries = [one for one in every if dict(one.made_of) == known]
    else:
        entries = [one for one in opened.store.entries("embedding") if is_current(opened, one)]
    rows = [_listed(one) for one in entries if one.settings.get("split") == part]
    return EmbeddingList(embeddings=[one for one in rows if one is not None])


def _listed(entry: Entry) -> EmbeddingOnDisk | None:
    """Describe an entry; None for one of other settings than a page asks for, as another engine."""
    named = {key: entry.settings.get(key) for key in ("layer", "method", "dims", "images", "seed")}
    perplexity = entry.settings.get("perplexity")
    given = perplexity[0] if isinstance(perplexity, list) and len(perplexity) == 1 else None
    wanted = Wanted(**named, part=entry.settings["split"], perplexity=given)  # type: ignore[arg-type]
    if None in named.values() or without_open(wanted.settings()) != without_open(entry.settings):
        return None
    return EmbeddingOnDisk(**named, perplexity=given, entry=f"embedding/{entry.name}")  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Move:
    """A turn, perhaps with a reflection, a scale and a shift: y = s (x - m) R + t."""

    middle: np.ndarray
    turn: np.ndarray
    scale: float
    shift: np.ndarray

    def move(self, points: np.ndarray) -> np.ndarray:
        """Move points (n, dims)."""
        return (self.scale * (points - self.middle) @ self.turn + self.shift).astype(np.float32)


def fit(points: np.ndarray, onto: np.ndarray) -> Move:
    """Find the move that brings points nearest to others of the same images, in the sum of squares.

    With both centred, X^T Y = U S V^T gives R = U V^T and s = trace(S) / |X|². Schönemann 1966; Gower 1975.

    Args:
        points: (n, dims).
        onto: (n, dims), the same images in the same order.
    """
    first, second = points.astype(np.float64), onto.astype(np.float64)
    middle, shift = first.mean(axis=0), second.mean(axis=0)
    centred = first - middle
    left, singular, right = np.linalg.svd(centred.T @ (second - shift))
    size = float((centred**2).sum())
    return Move(middle, left @ right, float(singular.sum()) / size if size > 0 else 1.0, shift)

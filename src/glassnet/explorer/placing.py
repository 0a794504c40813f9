"""Where an own image falls in a layer's picture, and what a channel makes of every image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from torch import Tensor

from glassnet.embedding import embed
from glassnet.embedding.result import Options
from glassnet.embedding.tsne import Placing, placing_in
from glassnet.errors import InputError
from glassnet.explorer.arrays import Arrays
from glassnet.explorer.embedding import Picture, Wanted, fit, made
from glassnet.explorer.schemas import PlaceMeta
from glassnet.explorer.shown import OpenSubject
from glassnet.models.features import extract_features

NEIGHBOURS = 10
_UMAP_NOTE = "UMAP cannot map new images exactly: the point is the median of its nearest neighbours' points."
_TSNE_NOTE = (
    "t-SNE placed it among the existing points, which do not move; its position depends on its nearest neighbours."
)
_PCA_NOTE = "PCA projects it onto the same axes."
NOTES = {"pca": _PCA_NOTE, "tsne": _TSNE_NOTE, "umap": _UMAP_NOTE}


def features_of(opened: OpenSubject, wanted: Wanted) -> Any:
    """Return the features that a picture is of."""
    settings = {name: getattr(wanted, name) for name in ("layer", "images", "seed")}
    return opened.analysis("features", split=wanted.part, **settings).result


def activation(opened: OpenSubject, wanted: Wanted, channel: int) -> Arrays:
    """Return the mean activation of a channel, for each image of the picture.

    Raises:
        InputError: The layer has no such channel.
    """
    found = features_of(opened, wanted)
    channels = found.features.shape[1]
    if not 0 <= channel < channels:
        raise InputError(f"{wanted.layer} has no channel {channel}; it has {channels}, from 0 to {channels - 1}.")
    return Arrays({"numbers": found.numbers, "values": np.asarray(found.features[:, channel])})


def place(opened: OpenSubject, wanted: Wanted, align: str | None, image: Tensor) -> Arrays:
    """Return where an image falls in a picture (dims,).

    Raises:
        InputError: As the picture's analysis says.
    """
    picture, found = made(opened, wanted), features_of(opened, wanted)
    row = extract_features(opened.model(), image, [wanted.layer])[wanted.layer]
    key = ("placing", opened.version(), wanted)
    placing: Placing = opened.once(key, lambda: _placing(found.features, picture, wanted))
    nearest = placing.nearest(row, NEIGHBOURS)[0]
    point = _point(placing, found.features, picture, wanted, row, nearest)
    if align is not None and align != wanted.layer:
        onto = made(opened, dataclasses.replace(wanted, layer=align))
        point = fit(picture.points, onto.points).move(point[None])[0]
    meta = PlaceMeta(
        layer=wanted.layer,
        method=wanted.method,
        neighbours=[int(found.numbers[one]) for one in nearest],
        note=NOTES[wanted.method],
    )
    return Arrays({"point": point}, meta)


def _placing(features: np.ndarray, picture: Picture, wanted: Wanted) -> Placing:
    options = Options(dims=wanted.dims, seed=wanted.seed)
    return placing_in(np.asarray(features), np.ascontiguousarray(picture.points, np.float32), options)


def _point(
    placing: Placing, features: np.ndarray, picture: Picture, wanted: Wanted, row: np.ndarray, nearest: np.ndarray
) -> np.ndarray:
    if wanted.method == "tsne":
        return np.asarray(placing.place(row))[0]
    if wanted.method == "umap":
        return np.median(picture.points[nearest], axis=0)
    return embed(np.asarray(features), method="pca", dims=wanted.dims, seed=wanted.seed).transform(row)[0]

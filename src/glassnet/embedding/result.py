"""What every embedding method takes and gives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Integer, Real

import glassnet
from glassnet.display import Shown
from glassnet.embedding.checks import checked_rows, finite_rows
from glassnet.embedding.landmarks import LandmarkAccuracy, landmark_accuracy
from glassnet.errors import InputError

Rows = Real[np.ndarray, "n d"]
Points = Float32[np.ndarray, "n dims"]
Setting = int | float | str | tuple[float, ...] | None
Move = Callable[[Real[np.ndarray, "m d"]], Float[np.ndarray, "m e"]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of all embedding methods; each method reads its own."""

    dims: int = 2
    """Dimensions of the points."""
    seed: int = 0
    """Seed of all that the method draws."""
    perplexity: float | Iterable[float] = 30.0
    """t-SNE's effective number of neighbours; of several, their affinities' mean is taken."""
    pca_components: int | None = 50
    """t-SNE first reduces wider features to so many principal components; None keeps them as they are."""
    exaggeration: float = 1.0
    """Factor on t-SNE's attraction after the early steps; above 1 draws clusters together."""
    engine: str = "glassnet"
    """Who makes the t-SNE: "glassnet" or "opentsne"."""
    device: str = "cpu"
    """Where t-SNE's steps are taken: "cpu" or "cuda"."""
    neighbours: int = 15
    """UMAP's number of neighbours."""
    min_distance: float = 0.1
    """UMAP's least distance between points, in units of the embedding."""
    landmarks: int | None = None
    """Rows that t-SNE embeds, drawn by seed; all others are placed among them. None embeds all."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Embedding(Shown):
    """Points in few dimensions that represent features, and how to place new features among them."""

    points: Points
    """One point for each row of the features."""
    method: str
    """Name of the method, as in METHODS."""
    settings: Mapping[str, Setting]
    """The method's options, given or chosen by the method."""
    columns: int
    """Number of columns of the features."""
    explained_variance: Float64[np.ndarray, " dims"] | None = None
    """Share of the features' variance along each dimension, 0 to 1; PCA only."""
    kl_divergence: float | None = None
    """The KL divergence that t-SNE minimised, in nats; comparable only for equal features and perplexity."""
    landmarks: Int64[np.ndarray, " m"] | None = field(default=None, repr=False)
    """The rows that were embedded, in ascending order, if the others were only placed among them."""
    place: Move = field(repr=False)
    """Function from features to points; call `transform`, which checks them first."""
    restore: Move | None = field(default=None, repr=False)
    """Function from points to features; call `inverse`, which checks them first."""

    def show(
        self,
        labels: Integer[np.ndarray, " n"] | Sequence[int] | None = None,
        *,
        classes: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        title: str | None = None,
    ) -> Any:
        """Show the points, coloured by class, in a notebook or a window; without either, print how to save the picture.

        The arguments are those of `glassnet.draw_embedding`.

        Returns:
            The `Drawing`, which a notebook shows; `.save(path)` writes it.
        """
        return glassnet.draw_embedding(self, labels, classes=classes, names=names, title=title).show()

    def _repr_html_(self) -> str:
        """Show the points in a notebook, where they can be drawn, and the settings."""
        drawn = glassnet.draw_embedding(self)._repr_html_() if self.dims in (2, 3) else ""
        return f"<div>{drawn}{super()._repr_html_()}</div>"

    @property
    def dims(self) -> int:
        """Dimensions of the points."""
        return self.points.shape[1]

    def landmark_accuracy(
        self, labels: Integer[np.ndarray, " n"] | Sequence[int], *, neighbours: int = 10, seed: int = 0
    ) -> LandmarkAccuracy:
        """Compare the kNN accuracy of the landmarks and of the points placed among them.

        Raises:
            InputError: All points were embedded, or the labels are not one class index per point.
        """
        if self.landmarks is None:
            raise InputError("all points were embedded and none placed among landmarks; pass landmarks to `embed`.")
        return landmark_accuracy(self.points, self.landmarks, np.asarray(labels), neighbours=neighbours, seed=seed)

    def transform(self, features: Rows) -> Points:
        """Place new features among the points, which stay where they are.

        Raises:
            InputError: The features are not finite numbers with as many columns as those embedded, or lie too far
                from them.
        """
        # As they are, since they may be a memory map: each method copies a chunk at a time.
        rows = finite_rows(features, columns=self.columns)
        return np.ascontiguousarray(self.place(rows), dtype=np.float32)

    def inverse(self, points: Real[np.ndarray, "n dims"]) -> Float32[np.ndarray, "n d"]:
        """Return the features that points represent; exact if no dimension was left out.

        Raises:
            InputError: The method has no inverse, or the points are not finite numbers of `dims` columns.
        """
        if self.restore is None:
            raise InputError(f"{self.method} has no inverse; only pca can map points back to features.")
        rows = checked_rows(points, noun="points", columns=self.dims)
        return np.ascontiguousarray(self.restore(rows), dtype=np.float32)

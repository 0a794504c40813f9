"""Figures 12, 13 and 14 as pictures: by class, by cluster, and the two embeddings by t-SNE side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from glassnet import figures
from glassnet.experiment import Run
from glassnet.reproduction.numbers import FEATURE_LAYER
from glassnet.reproduction.pictures import Picture
from glassnet.reproduction.reproduction import Drawn
from glassnet.run import RunDirectory

DRAWN = (
    *("explained_variance", "kl_divergence", "knn_accuracy", "trustworthiness", "continuity", "neighbours_kept"),
    *("distance_correlation", "ari", "nmi", "accuracy", "silhouette"),
)


def draw_pictures(kept: RunDirectory, pictures: Mapping[str, Picture], labels: np.ndarray, run: Run) -> list[Drawn]:
    """Draw Figures 12, 13 and 14 into the folder's figures/."""
    return [
        _save(
            kept, "figure-12", f"Figure 12: two principal components of {FEATURE_LAYER}",
            _clustered(pictures["pca2"], labels, run, f"Two principal components of {FEATURE_LAYER}"),
        ),
        _save(
            kept, "figure-13", f"Figure 13: three principal components of {FEATURE_LAYER}",
            _clustered(pictures["pca3"], labels, run, f"Three principal components of {FEATURE_LAYER}"),
        ),
        _save(
            kept, "figure-14", f"Figure 14: t-SNE of {FEATURE_LAYER}, and of its principal components",
            _pair(pictures["tsne"], pictures["tsne-pca"], labels, run),
        ),
    ]  # fmt: skip


def _save(kept: RunDirectory, name: str, title: str, figure: Figure) -> Drawn:
    alt = f"{title}: the test images as points, coloured by class and by cluster."
    kept.save_figure(name, figure, title=title, alt=alt)
    return Drawn(name, title, alt)


def _shown(picture: Picture) -> dict[str, float | None]:
    return {key: picture.numbers.get(key) for key in DRAWN}


def _clustered(picture: Picture, labels: np.ndarray, run: Run, title: str) -> Figure:
    return figures.embedding_figure(
        picture.points,
        labels,
        picture.assignment,
        run.classes,
        _shown(picture),
        title,
        method=picture.wanted.method,
        matching=picture.matching,
        centres=_centres(picture),
    )


def _pair(left: Picture, right: Picture, labels: np.ndarray, run: Run) -> Figure:
    return figures.embedding_pair(
        left.points,
        right.points,
        labels,
        run.classes,
        (_shown(left), _shown(right)),
        f"t-SNE of the features of {FEATURE_LAYER}",
        names=(left.wanted.title, f"t-SNE of their {right.numbers['components']} principal components"),
        method="tsne",
        assignments=(left.assignment, right.assignment),
        centres=(_centres(left), _centres(right)),
    )


def _centres(picture: Picture) -> np.ndarray:
    return np.stack([picture.points[picture.assignment == c].mean(axis=0) for c in range(len(picture.matching))])

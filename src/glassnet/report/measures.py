"""What the numbers beside a picture of features mean, and how to read the picture itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glassnet.report import numbers


@dataclass(frozen=True)
class Measure:
    """A number that stands beside a picture of features; higher is better for each."""

    key: str
    name: str
    show: Callable[[Any], str]
    meaning: str
    ends: str
    """What its lowest and highest values stand for; {chance} is one in the number of classes."""


MEASURES = (
    Measure(
        "explained_variance",
        "Explained variance",
        numbers.percent,
        "How much of the features’ spread the axes of the picture keep; for PCA only.",
        "0% = nothing, 100% = all",
    ),
    Measure(
        "ari",
        "Adjusted Rand index",
        numbers.decimal,
        "How far the clusters of the picture and the classes agree on which pairs of images belong together.",
        "0 = as by chance, 1 = the same groups",
    ),
    Measure(
        "nmi",
        "Normalised mutual information",
        numbers.decimal,
        "How much the cluster of an image tells of its class, and the other way round.",
        "0 = nothing, 1 = everything",
    ),
    Measure(
        "accuracy",
        "Matched accuracy",
        numbers.percent,
        "Share of images whose class is right if each cluster is given the class that suits all best, one to one.",
        "{chance} = by chance, 100% = all",
    ),
    Measure(
        "silhouette",
        "Silhouette",
        numbers.decimal,
        "How much nearer an image lies to its own cluster than to the next one, without looking at the classes.",
        "−1 = misplaced, 0 = on a border, 1 = tight and apart",
    ),
    Measure(
        "trustworthiness",
        "Trustworthiness",
        numbers.decimal,
        "Whether neighbours in the picture are neighbours among the features too, or were only drawn together.",
        "about 0.5 = as by chance, 1 = always",
    ),
    Measure(
        "distance_correlation",
        "Rank correlation of distances",
        numbers.decimal,
        "Whether pairs of images that lie farther apart in the picture also do among the features (Spearman).",
        "0 = as by chance, 1 = in the same order",
    ),
    Measure(
        "knn_accuracy",
        "kNN accuracy",
        numbers.percent,
        "Share of images whose class is that of most of their nearest neighbours in the picture.",
        "{chance} = by chance, 100% = all",
    ),
)

READING: dict[str, tuple[str, str]] = {
    "pca": (
        "PCA",
        "Principal components turn the features without bending them: the first axis is the direction of the greatest "
        "spread, and far apart in the picture is far apart among the features. Near in the picture may still be far "
        "apart along the components that are left out.",
    ),
    "tsne": (
        "t-SNE",
        "t-SNE keeps neighbours together and bends everything else: which images lie side by side means something, "
        "the size of a group and the distance between two groups mean little.",
    ),
    "umap": (
        "UMAP",
        "UMAP keeps neighbours together and bends everything else: which images lie side by side means something, "
        "the distance between two groups means little.",
    ),
}

"""Every measure that glassnet prints, once: its title, how it is written, which direction is better.

Text, Markdown, HTML and JSON take titles and formats from here, so that a number is named and rounded in one way
everywhere. A value of None, or one that is not finite, is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from glassnet.formats import DASH, decibels, decimal, is_number, percent

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Measure:
    """One kind of number.

    Attributes:
        title: Its name, as a sentence or a heading has it.
        show: How a value is written, with its unit.
        better: Which direction is better.
        short: A heading where there is little room; the title if empty.
        meaning: What it says, in one sentence.
        ends: What its lowest and highest values stand for; {chance} is one in the number of classes.
    """

    title: str
    show: Callable[[Any], str]
    better: Direction
    short: str = ""
    meaning: str = ""
    ends: str = ""

    @property
    def heading(self) -> str:
        """The short name, for a column of a table."""
        return self.short or self.title

    def interval(self, bounds: Any) -> str:
        """Write a pair of bounds, as in 98.12 to 98.74%; a dash where there are none."""
        if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(map(is_number, bounds)):
            return DASH
        low, high = (self.show(bound) for bound in bounds)
        for unit in ("%", " dB"):
            low = low.removesuffix(unit) if high.endswith(unit) else low
        return f"{low} to {high}"


def _decimals(digits: int) -> Callable[[Any], str]:
    return lambda value: decimal(value, digits)


def _percents(digits: int) -> Callable[[Any], str]:
    return lambda value: percent(value, digits)


MEASURES: dict[str, Measure] = {
    # How good a model is.
    "loss": Measure("Loss", _decimals(4), "lower", meaning="Mean cross-entropy in nats."),
    "accuracy": Measure("Accuracy", percent, "higher", meaning="Fraction of images that get the right label."),
    "calibration_error": Measure(
        "Calibration error",
        percent,
        "lower",
        meaning="Mean gap between the stated confidence and the accuracy (Guo et al. 2017).",
    ),
    "precision": Measure(
        "Precision",
        _percents(1),
        "higher",
        meaning="Fraction of images with this prediction that really belong to the class.",
    ),
    "recall": Measure(
        "Recall", _percents(1), "higher", meaning="Fraction of the images of the class that are predicted as such."
    ),
    "f1": Measure("F1", _percents(1), "higher", meaning="Harmonic mean of precision and recall."),
    "average_precision": Measure(
        "Average precision",
        _percents(1),
        "higher",
        short="AP",
        meaning="Area under the precision–recall curve of one label.",
    ),
    "mean_average_precision": Measure(
        "Mean average precision",
        percent,
        "higher",
        short="mAP",
        meaning="Average precision, averaged over the labels that occur.",
    ),
    "exact_match": Measure(
        "Exact match", percent, "higher", meaning="Fraction of images for which every label is right."
    ),
    "hamming_loss": Measure("Hamming loss", percent, "lower", meaning="Fraction of yes-or-no labels that are wrong."),
    # Segmentation.
    "pixel_accuracy": Measure(
        "Pixel accuracy", percent, "higher", meaning="Fraction of pixels that get the right class."
    ),
    "mean_accuracy": Measure(
        "Mean class accuracy",
        percent,
        "higher",
        meaning="Pixel accuracy within each class, averaged over the classes that occur.",
    ),
    "mean_iou": Measure(
        "Mean IoU",
        percent,
        "higher",
        meaning="Pixels in both masks divided by pixels in either, averaged over the classes present in at least one "
        "of them.",
    ),
    "weighted_iou": Measure(
        "Frequency-weighted IoU", percent, "higher", meaning="IoU, each class weighted by its share of the pixels."
    ),
    "boundary_f": Measure(
        "Boundary F-score",
        percent,
        "higher",
        meaning="Agreement of outlines that lie close together, whatever their class: harmonic mean of precision and "
        "recall.",
    ),
    "iou": Measure("IoU", _percents(1), "higher", meaning="Pixels in both masks divided by pixels in either."),
    "share": Measure("Fraction of pixels", percent, "neither", short="share", meaning="How frequent the class is."),
    # Reconstruction.
    "psnr": Measure("PSNR", decibels, "higher", meaning="Peak signal-to-noise ratio, in decibels."),
    "ssim": Measure("SSIM", _decimals(4), "higher", meaning="Structural similarity (Wang et al. 2004), up to 1."),
    "mse": Measure("MSE", _decimals(5), "lower", meaning="Mean squared error, for pixel values from 0 to 1."),
    "margin": Measure("Margin", decibels, "higher", meaning="PSNR of the network minus that of the baseline."),
    "reconstruction": Measure(
        "Reconstruction term", _decimals(2), "lower", meaning="Nats per image, for one random draw of its code."
    ),
    "kl": Measure("KL term", _decimals(2), "neither", meaning="Nats per image that the code carries."),
    "negative_elbo": Measure("Negative ELBO", _decimals(2), "lower", meaning="Sum of both terms, in nats per image."),
    "nll": Measure(
        "Negative log-likelihood",
        _decimals(2),
        "lower",
        short="NLL",
        meaning="Nats per image, by importance sampling of the code (Burda et al. 2016).",
    ),
    "bits_per_dimension": Measure(
        "Bits per dimension", _decimals(3), "lower", meaning="Negative log-likelihood per pixel and channel, in bits."
    ),
    # How far to trust a picture of features.
    "explained_variance": Measure(
        "Explained variance",
        percent,
        "higher",
        short="variance",
        meaning="How much of the features’ variance the axes of the plot keep (PCA only).",
        ends="0% = nothing, 100% = all",
    ),
    "kl_divergence": Measure(
        "KL divergence", _decimals(3), "lower", short="KL", meaning="What t-SNE minimises, in nats.", ends="0 = perfect"
    ),
    "ari": Measure(
        "Adjusted Rand index",
        _decimals(3),
        "higher",
        short="ARI",
        meaning="How well the clusters in the plot and the classes agree on which pairs of images belong together.",
        ends="0 = chance level, 1 = identical groups",
    ),
    "nmi": Measure(
        "Normalised mutual information",
        _decimals(3),
        "higher",
        short="NMI",
        meaning="How much an image’s cluster tells about its class, and vice versa.",
        ends="0 = nothing, 1 = everything",
    ),
    "cluster_accuracy": Measure(
        "Matched accuracy",
        percent,
        "higher",
        short="matched",
        meaning="Fraction of images whose class is right when each cluster is assigned one class in the best "
        "one-to-one matching.",
        ends="{chance} = chance level, 100% = all",
    ),
    "silhouette": Measure(
        "Silhouette",
        _decimals(3),
        "higher",
        meaning="How much closer an image lies to its own cluster than to the next one; ignores classes.",
        ends="−1 = in the wrong cluster, 0 = on a border, 1 = tight and well separated",
    ),
    "trustworthiness": Measure(
        "Trustworthiness",
        _decimals(3),
        "higher",
        short="trust",
        meaning="Whether neighbours in the plot are also neighbours among the features.",
        ends="about 0.5 = chance level, 1 = always",
    ),
    "continuity": Measure(
        "Continuity",
        _decimals(3),
        "higher",
        short="contin",
        meaning="Whether neighbours among the features are also neighbours in the plot.",
        ends="about 0.5 = chance level, 1 = always",
    ),
    "neighbours_kept": Measure(
        "Neighbours kept",
        _decimals(3),
        "higher",
        short="kept",
        meaning="Fraction of an image’s nearest neighbours among the features that are also its nearest in the plot.",
        ends="0 = none, 1 = all",
    ),
    "distance_correlation": Measure(
        "Rank correlation of distances",
        _decimals(3),
        "higher",
        short="Spearman",
        meaning="Whether pairs of images that are farther apart in the plot are also farther apart among the "
        "features (Spearman).",
        ends="0 = chance level, 1 = same order",
    ),
    "knn_accuracy": Measure(
        "kNN accuracy",
        percent,
        "higher",
        short="kNN",
        meaning="Fraction of images whose class is the most common among their nearest neighbours.",
        ends="{chance} = chance level, 100% = all",
    ),
    # Layers compared.
    "probe_accuracy": Measure(
        "Linear probe",
        percent,
        "higher",
        short="probe",
        meaning="Fraction of test images whose class a linear classifier can read from the layer. It is fitted to "
        "training images, some of which choose its regularisation.",
        ends="{chance} = chance level, 100% = all",
    ),
    "nearest_mean_accuracy": Measure(
        "Nearest class mean",
        percent,
        "higher",
        short="nearest mean",
        meaning="Fraction of images that lie closest to the mean of their own class, computed without the image "
        "itself.",
        ends="{chance} = chance level, 100% = all",
    ),
    "scatter_ratio": Measure(
        "Scatter ratio",
        _decimals(3),
        "higher",
        meaning="Scatter of the class means, divided by the scatter of images about their class mean.",
        ends="0 = all classes share one mean; no upper limit",
    ),
    "effective_rank": Measure(
        "Effective rank",
        _decimals(1),
        "neither",
        meaning="Number of directions in which the features vary: 1 for a line, the number of features if all "
        "directions vary equally.",
        ends="describes the layer; neither more nor less is better",
    ),
    "cka": Measure("CKA", _decimals(3), "neither", meaning="Linear centred kernel alignment, debiased."),
    # How faithful a map is.
    "probability": Measure("Probability", _percents(1), "neither", meaning="Probability of the explained class."),
    "mask_share": Measure(
        "Share inside the mask",
        _percents(1),
        "higher",
        short="in mask",
        meaning="Fraction of the map’s positive attribution that lies inside the mask.",
    ),
    "pointing_game": Measure(
        "Pointing game",
        _percents(1),
        "higher",
        short="pointing",
        meaning="Fraction of images whose map has its maximum inside the mask (Zhang et al. 2016).",
    ),
    "deletion": Measure(
        "Deletion area",
        _percents(1),
        "lower",
        short="deletion",
        meaning="Area under the class’s probability as the map’s highest pixels are deleted (Petsiuk et al. 2018).",
    ),
    "insertion": Measure(
        "Insertion area",
        _percents(1),
        "higher",
        short="insertion",
        meaning="Area under the class’s probability as the map’s highest pixels are inserted (Petsiuk et al. 2018).",
    ),
    "faithfulness_gain": Measure(
        "Insertion minus deletion",
        _percents(1),
        "higher",
        short="ins − del",
        meaning="Insertion area minus deletion area: high if the map’s highest pixels alone are enough for the "
        "class, and it is lost without them.",
    ),
    "average_drop": Measure(
        "Average drop",
        _percents(1),
        "lower",
        short="avg drop",
        meaning="How much of the class’s probability is lost when only the marked pixels are shown (Chattopadhay et "
        "al. 2018).",
    ),
    "increase": Measure(
        "Increase in confidence",
        _percents(1),
        "higher",
        short="increase",
        meaning="Fraction of images whose probability rises when only the marked pixels are shown.",
    ),
    "score": Measure(
        "Score",
        lambda value: f"{value:.4g}" if is_number(value) else DASH,
        "neither",
        meaning="Value of the explained function, if no class is explained.",
    ),
    "rank_correlation": Measure(
        "Rank correlation", _decimals(3), "neither", short="correlation", meaning="Whether two maps rank pixels alike."
    ),
}


def show(key: str, value: Any) -> str:
    """Write a value of the measure `key`."""
    return MEASURES[key].show(value)


def interval(key: str, bounds: Any) -> str:
    """Write the interval of a measure."""
    return MEASURES[key].interval(bounds)


def with_interval(key: str, value: Any, bounds: Any) -> str:
    """Write a value and its interval, as in 98.40% (98.12 to 98.74%); without the interval where there is none."""
    text, bounded = show(key, value), interval(key, bounds)
    return text if bounded == DASH else f"{text} ({bounded})"

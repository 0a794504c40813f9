"""How far the classes come apart in features, and in how many directions the features spread."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real
from sklearn.metrics import pairwise_distances

from glassnet.embedding.checks import check_seed, check_varied, checked_labels, checked_rows
from glassnet.embedding.distances import centred, gram
from glassnet.errors import InputError

MOST_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class Separability:
    """How far classes lie apart, in units of their own spread."""

    scatter_ratio: float | None
    """Scatter of the class means over scatter within classes, tr S_b / tr S_w; None if there is none within."""
    nearest_mean_accuracy: float
    """Share of rows that lie nearest to the mean of the rest of their own class."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """In how many directions features spread, 1 to min(n - 1, d)."""

    effective_rank: float
    """exp of the entropy of the singular values' shares."""
    participation_ratio: float
    """(sum of the covariance's eigenvalues)² over the sum of their squares."""
    sample: int
    """Rows that it was measured on; all up to 2,000, else 2,000 drawn by seed."""


def separability(features: Real[np.ndarray, "n d"], labels: Integer[np.ndarray, " n"]) -> Separability:
    """Measure how far the classes lie apart.

    J = tr S_b / tr S_w = sum_c n_c ||m_c - m||² / sum_c sum_{i in c} ||x_i - m_c||²; and the share of rows nearer to
    the mean of the other rows of their class than to any other class's mean, which leaves each row out without a loop:
    x - m' = (x - m_c) n_c / (n_c - 1). A row that is alone in its class counts as wrong.

    Fukunaga 1990, Introduction to Statistical Pattern Recognition, chapter 10,
    https://doi.org/10.1016/C2009-0-27872-X.

    Raises:
        InputError: The features are no finite (n, d), or the labels not one class index a row of two classes at least.
    """
    rows = checked_rows(features)
    classes = checked_labels(labels, points=len(rows))
    present, members = np.unique(classes, return_inverse=True)
    if len(present) < 2:
        raise InputError("the labels are all of one class, expected at least two classes to tell apart.")
    rows -= rows.mean(axis=0)
    sizes = np.bincount(members)
    means = np.stack([rows[members == member].mean(axis=0) for member in range(len(present))])
    between = float(sizes @ (means**2).sum(axis=1))
    within = float(sum(((rows[members == member] - mean) ** 2).sum() for member, mean in enumerate(means)))
    return Separability(
        # What rounding alone can leave is no scatter.
        scatter_ratio=between / within if within > 1e-24 * between * len(rows) else None,
        nearest_mean_accuracy=_nearest_mean_accuracy(rows, members, means, sizes),
    )


def spread(features: Real[np.ndarray, "n d"], *, noun: str = "features", seed: int = 0) -> Spread:
    """Count the directions in which centred features spread.

    With singular values s_i and p_i = s_i / sum s: effective rank = exp(- sum p_i log p_i). With eigenvalues s_i²:
    participation ratio = (sum s_i²)² / sum s_i⁴. Both are r for r equal singular values and 1 for a line. Few rows
    bound both: compare layers by the same rows.

    Roy & Vetterli 2007, https://www.eurasip.org/Proceedings/Eusipco/Eusipco2007/Papers/a5p-h05.pdf (effective rank);
    Gao et al. 2017, https://doi.org/10.1101/214262 (participation ratio).

    Args:
        features: A row for each image.
        noun: What an error calls them.
        seed: Seed of the 2,000 rows drawn if there are more.

    Raises:
        InputError: The features are no finite (n, d), or all the same.
    """
    rows = checked_rows(features, noun=noun)
    check_varied(rows, noun=noun)
    check_seed(seed)
    if len(rows) > MOST_ROWS:
        rows = rows[np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))]
        check_varied(rows, noun=noun)
    rows -= rows.mean(axis=0)
    wide = rows.shape[1] > len(rows)
    products = gram(centred(rows), len(rows)) if wide else rows.T @ rows
    eigenvalues = np.linalg.eigvalsh(products).clip(min=0)
    # Below this an eigenvalue is rounding, and its square root would be far above what it stands for.
    eigenvalues[eigenvalues < len(products) * np.finfo(np.float64).eps * eigenvalues.max()] = 0
    singular = np.sqrt(eigenvalues[eigenvalues > 0])
    shares = singular / singular.sum()
    return Spread(
        effective_rank=float(np.exp(-(shares * np.log(shares)).sum())),
        participation_ratio=float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()),
        sample=len(rows),
    )


def _nearest_mean_accuracy(
    rows: Float64[np.ndarray, "n d"],
    members: Int64[np.ndarray, " n"],
    means: Float64[np.ndarray, "classes d"],
    sizes: Int64[np.ndarray, " classes"],
) -> float:
    distances = pairwise_distances(rows, means)
    own = (np.arange(len(rows)), members)
    size = sizes[members]
    mine = np.where(size > 1, distances[own] * size / np.maximum(size - 1, 1), np.inf)
    distances[own] = np.inf
    return float((mine < distances.min(axis=1)).mean())

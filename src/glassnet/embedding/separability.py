"""How well the classes can be told apart in features: by distances, and by a linear classifier, the linear probe."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int64, Integer, Real
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from glassnet.display import Shown
from glassnet.embedding.checks import check_seed, check_varied, checked_labels, checked_rows
from glassnet.embedding.distances import centred, gram, ruler, unit_rows
from glassnet.errors import InputError
from glassnet.stats import wilson_interval

MOST_ROWS = 2000


@dataclass(frozen=True, kw_only=True, repr=False)
class Separability(Shown):
    """How well the classes are separated, in units of their own spread."""

    scatter_ratio: float | None
    """Scatter of the class means divided by the scatter within classes, tr S_b / tr S_w; None if the latter is 0."""
    nearest_mean_accuracy: float
    """Share of rows that lie nearest to the mean of the other rows of their own class."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Spread(Shown):
    """In how many directions features spread, 1 to min(n - 1, d)."""

    effective_rank: float
    """exp of the entropy of the singular values' shares."""
    participation_ratio: float
    """(sum of the covariance's eigenvalues)² over the sum of their squares."""
    sample: int
    """Rows that it was measured on; all up to 2,000, else 2,000 drawn by seed."""


def separability(features: Real[np.ndarray, "n d"], labels: Integer[np.ndarray, " n"]) -> Separability:
    """Measure how well the classes are separated.

    Two measures are returned: the scatter ratio J = tr S_b / tr S_w = sum_c n_c ||m_c - m||² / sum_c sum_{i in c} ||x_i
    - m_c||², and the share of rows nearer to the mean of the other rows of their class than to any other class's mean,
    where x - m' = (x - m_c) n_c / (n_c - 1). A row that is alone in its class counts as wrong.

    Fukunaga 1990, Introduction to Statistical Pattern Recognition, chapter 10,
    https://doi.org/10.1016/C2009-0-27872-X.

    Raises:
        InputError: The features are not finite numbers of shape (n, d), there is not one class index per row, or there
            are fewer than two classes.
    """
    rows = checked_rows(features)
    classes = checked_labels(labels, points=len(rows))
    present, members = np.unique(classes, return_inverse=True)
    if len(present) < 2:
        raise InputError("all labels are the same class, expected at least two classes.")
    unit_rows(rows)
    sizes = np.bincount(members)
    means = np.stack([rows[members == member].mean(axis=0) for member in range(len(present))])
    between = float(sizes @ ((means - rows.mean(axis=0)) ** 2).sum(axis=1))
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
    unit_rows(rows)
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
    distances = np.sqrt(ruler(means).squared(rows))
    own = (np.arange(len(rows)), members)
    size = sizes[members]
    mine = np.where(size > 1, distances[own] * size / np.maximum(size - 1, 1), np.inf)
    distances[own] = np.inf
    return float((mine < distances.min(axis=1)).mean())


REGULARISATIONS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
MOST_ITERATIONS = 2000
TOLERANCE, FINAL_TOLERANCE = 1e-4, 1e-5
"""Of the gradient: in the fits that choose l, and in the one that is scored."""

Rows = Float64[np.ndarray, "n d"]
Fitted = Int64[np.ndarray, " fitted"]
HeldOut = Int64[np.ndarray, " out"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Probe(Shown):
    """How well a linear classifier reads the classes from features, on rows that it was not fitted to."""

    accuracy: float
    """Share of the test rows that are classified correctly."""
    interval: tuple[float, float]
    """95 % Wilson interval of the accuracy."""
    regularisation: float
    """The chosen l: the one with the best accuracy on the validation rows, the largest if several are equal."""
    validation: Mapping[float, float]
    """Accuracy on the validation rows for each l."""
    probabilities: Float64[np.ndarray, "n classes"] = field(repr=False)
    """Probability of each class for each test row."""
    classes: Int64[np.ndarray, " classes"]
    """Class index of each column of the probabilities: the classes in the training rows."""


def linear_probe(
    features: Real[np.ndarray, "n d"],
    labels: Integer[np.ndarray, " n"],
    *,
    train: Integer[np.ndarray, " train"],
    test: Integer[np.ndarray, " test"],
    regularisations: Sequence[float] = REGULARISATIONS,
    validation_share: float = 0.2,
    seed: int = 0,
) -> Probe:
    """Fit multinomial logistic regression to standardised features, and score it once on the test rows.

    Minimises mean_i -log softmax(W x_i + b)[y_i] + l/2 ||W||² over W and b. The regularisation l is chosen on part of
    the training rows; then all of them are fitted with it. Columns are standardised by the training rows' mean and
    standard deviation.

    Alain & Bengio 2016, https://arxiv.org/abs/1610.01644.

    Args:
        features: One row per image (n, d).
        labels: Class index of each row, from 0.
        train: Rows to fit, including those on which l is chosen.
        test: Rows to score, none of them in `train`.
        regularisations: The values of l to choose from.
        validation_share: Share of each class's training rows on which l is chosen.
        seed: Seed of the draw of these rows.

    Raises:
        InputError: The features are not finite numbers of shape (n, d); there is not one class index per row; the
            training rows have only one class; `train` and `test` share a row or have rows outside 0 to n - 1; or an
            option is out of range.
    """
    rows = checked_rows(features)
    classes = checked_labels(labels, points=len(rows))
    check_seed(seed)
    _check_parts(train, test, len(rows))
    _check_grid(regularisations)
    if len(np.unique(classes[train])) < 2:
        raise InputError("all training rows are the same class, expected at least two classes.")
    # Moved and scaled, since scikit-learn takes a column that varies little beside its mean for a constant.
    unit_rows(rows)
    scaler = StandardScaler().fit(rows[train])
    fitted, scored = scaler.transform(rows[train]), scaler.transform(rows[test])
    known, truth = classes[train], classes[test]
    validation = _validate(fitted, known, regularisations, held_out(known, share=validation_share, seed=seed))
    best = max(validation, key=lambda strength: (validation[strength], strength))
    model = _fit(LogisticRegression(), fitted, known, best, FINAL_TOLERANCE)
    right = int((model.predict(scored) == truth).sum())
    return Probe(
        accuracy=right / len(truth),
        interval=wilson_interval(right, len(truth)),
        regularisation=best,
        validation=MappingProxyType(validation),
        probabilities=model.predict_proba(scored),
        classes=model.classes_,
    )


def _validate(
    rows: Rows, labels: Int64[np.ndarray, " n"], regularisations: Sequence[float], parts: tuple[Fitted, HeldOut]
) -> dict[float, float]:
    """Return the accuracy on the rows held out under each l."""
    fitted, out = parts
    model, accuracy = LogisticRegression(warm_start=True), {}
    for strength in sorted(regularisations, reverse=True):  # each starts where the stronger one ended
        _fit(model, rows[fitted], labels[fitted], strength, TOLERANCE)
        accuracy[strength] = float((model.predict(rows[out]) == labels[out]).mean())
    return accuracy


def _fit(
    model: LogisticRegression, rows: Rows, labels: Int64[np.ndarray, " n"], regularisation: float, tolerance: float
) -> LogisticRegression:
    # Of two classes scikit-learn fits the difference v = 2 w of two opposite rows ±w, and l/2 ||±w||² is l/4 ||v||².
    halves = 2 if len(np.unique(labels)) == 2 else 1
    model.set_params(C=halves / (regularisation * len(rows)), tol=tolerance, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        # Classes that a hyperplane parts have no minimum to speak of under the weakest penalty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, labels)


def held_out(labels: Int64[np.ndarray, " n"], *, share: float, seed: int) -> tuple[Fitted, HeldOut]:
    """Draw a share of each class's rows to hold out; one row at least of each class is left to fit.

    Returns:
        The rows to fit and the rows held out, both ascending.

    Raises:
        InputError: The share is not between 0 and 1, or holds out no row.
    """
    if not 0 < share < 1:
        raise InputError(f"the share to hold out is {share}, expected above 0 and below 1.")
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: min(round(share * len(rows)), len(rows) - 1)])
    out = np.sort(np.concatenate(chosen))
    if not len(out):
        raise InputError(
            f"a share of {share} of {len(labels)} rows holds out no row; use more rows per class, or a larger share."
        )
    return np.setdiff1d(np.arange(len(labels)), out), out


def _check_parts(train: Integer[np.ndarray, " train"], test: Integer[np.ndarray, " test"], n: int) -> None:
    for name, part in (("train", train), ("test", test)):
        if np.ndim(part) != 1 or not np.size(part) or np.asarray(part).dtype.kind not in "iu":
            raise InputError(f"{name} has shape {np.shape(part)}, expected row indices, at least one.")
        if np.min(part) < 0 or np.max(part) >= n:
            raise InputError(f"{name} has rows {np.min(part)} to {np.max(part)}, expected 0 to {n - 1}.")
    shared = np.intersect1d(train, test)
    if len(shared):
        raise InputError(f"row {shared[0]} is in train and in test; leave it out of one of them.")


def _check_grid(regularisations: Sequence[float]) -> None:
    if not regularisations or not all(np.isfinite(value) and value > 0 for value in regularisations):
        raise InputError(f"regularisations are {tuple(regularisations)}, expected at least one, all above 0.")

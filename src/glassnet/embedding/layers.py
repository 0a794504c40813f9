"""Layers compared: how well each tells the classes apart, and how alike two see the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float64, Integer, Real

from glassnet.display import Shown, brief, fraction, table_html
from glassnet.embedding.checks import (
    check_seed,
    check_varied,
    checked_labels,
    checked_rows,
    finite_rows,
)
from glassnet.embedding.distances import centred, gram, majority, ruler, unit_rows
from glassnet.embedding.separability import (
    Fitted,
    HeldOut,
    Probe,
    Separability,
    Spread,
    held_out,
    linear_probe,
    separability,
    spread,
)
from glassnet.errors import InputError, checked_integer
from glassnet.tables import Table, make_table

Layers = Mapping[str, Real[np.ndarray, "n _"]]


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerScore(Shown):
    """How well the classes can be told apart at one layer."""

    layer: str
    """Name of the layer."""
    columns: int
    """Features an image has there."""
    probe: Probe
    """A linear classifier on the test rows."""
    knn_accuracy: float
    """Share of test rows whose class the majority of their nearest training rows names."""
    separability: Separability
    """How far the classes lie apart, over all rows."""
    spread: Spread
    """In how many directions the features spread, over all rows."""


class LayerScores(tuple[LayerScore, ...]):
    """The layers' scores, in the order of the features; a notebook shows them as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Say in one line which layers were scored."""
        return f"LayerScores({len(self)} layers: {brief([one.layer for one in self])})"

    def _repr_html_(self) -> str:
        """Show a row a layer."""
        rows = [
            (
                *(one.layer, f"{one.columns:,}", fraction(one.probe.accuracy), fraction(one.knn_accuracy)),
                *(fraction(one.separability.nearest_mean_accuracy), fraction(one.separability.scatter_ratio)),
                f"{one.spread.effective_rank:.1f}",
            )
            for one in self
        ]
        columns = ("layer", "features", "probe", "kNN", "nearest mean", "scatter ratio", "effective rank")
        return f"<div>{table_html(make_table('Accuracy on the test rows', columns, rows))}</div>"


def layer_scores(
    features: Mapping[str, Real[np.ndarray, "n _"]],
    labels: Integer[np.ndarray, " n"],
    *,
    test_share: float = 0.3,
    test_rows: Integer[np.ndarray, " test"] | None = None,
    neighbours: int = 10,
    seed: int = 0,
) -> LayerScores:
    """Measure how well the classes are separated at every layer, on the same rows.

    Args:
        features: Rows of each layer, as returned by `extract_features`.
        labels: Class index of each row, from 0.
        test_share: Share of each class's rows, drawn at random, on which the probe and the neighbours are scored.
        test_rows: The rows to score, instead of a random draw; all others are used for fitting.
        neighbours: Number of nearest training rows that vote; a tied vote goes to the smallest label.
        seed: Seed of the draws of test, validation and sample rows.

    Raises:
        InputError: There is no layer; its features are not finite numbers of shape (n, d), or are all the same; labels
            do not fit them, or are all one class; `test_share` is not between 0 and 1; `test_rows` are not among the n
            rows; or there are fewer training rows than neighbours.
    """
    features = _checked_layers(features, "score, expected the features of at least one")
    check_seed(seed)
    first = next(iter(features.values()))
    classes = checked_labels(labels, points=len(first))
    train, test = held_out(classes, share=test_share, seed=seed) if test_rows is None else _parts(test_rows, len(first))
    neighbours = checked_integer("neighbours", neighbours)
    if not 1 <= neighbours <= len(train):
        raise InputError(f"neighbours is {neighbours}, expected 1 to {len(train)}, the number of training rows.")
    for name, rows in features.items():
        if len(rows) != len(classes):
            raise InputError(f"{name} has {len(rows)} rows, but there are {len(classes)} labels; pass one per row.")
    # All of them before the first probe, which is slow, so that a layer that cannot be scored is reported at once.
    spreads = {name: spread(rows, noun=f"features of {name}", seed=seed) for name, rows in features.items()}
    return LayerScores(
        LayerScore(
            layer=name,
            columns=rows.shape[1],
            probe=linear_probe(rows, classes, train=train, test=test, seed=seed),
            knn_accuracy=_knn_accuracy(rows, classes, train, test, neighbours),
            separability=separability(rows, classes),
            spread=spreads[name],
        )
        for name, rows in features.items()
    )


def _checked_layers(features: Layers, wanted: str) -> Layers:
    if not isinstance(features, Mapping):
        raise InputError(
            f"features are a {type(features).__name__}, expected a mapping from layer names to (n, d) features."
        )
    if not features:
        raise InputError(f"got no layer to {wanted}.")
    return {name: finite_rows(rows, noun=f"features of {name}") for name, rows in features.items()}


def _parts(test: Integer[np.ndarray, " test"], n: int) -> tuple[Fitted, HeldOut]:
    rows = np.asarray(test)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not 0 < len(np.unique(rows)) == len(rows) < n:
        raise InputError(f"test_rows has shape {rows.shape}, expected distinct row indices, fewer than the {n} rows.")
    if rows.min() < 0 or rows.max() >= n:
        raise InputError(f"test_rows go from {rows.min()} to {rows.max()}, expected 0 to {n - 1}.")
    return np.setdiff1d(np.arange(n), rows), rows.astype(np.int64)


def _knn_accuracy(
    rows: Real[np.ndarray, "n d"],
    labels: Integer[np.ndarray, " n"],
    train: Integer[np.ndarray, " train"],
    test: Integer[np.ndarray, " test"],
    neighbours: int,
) -> float:
    values = checked_rows(rows)
    voters = ruler(values[train]).nearest(values[test], neighbours)
    return float((majority(labels[train][voters]) == labels[test]).mean())


LEAST_ROWS = 4


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Alignment(Shown):
    """How alike the layers of one or two runs see the same images."""

    first: tuple[str, ...]
    """Layers of the first run: the rows of the matrix."""
    second: tuple[str, ...]
    """Layers of the second run, or the first's again: the columns of the matrix."""
    matrix: Float64[np.ndarray, "first second"]
    """CKA of each pair, 1 if equal up to rotation and scale; the debiased estimate may fall slightly below 0."""
    debiased: bool
    """Whether it is free of the bias that few images in many dimensions bring."""
    images: int
    """Images that it was measured on."""

    def _table(self) -> Table:
        rows = [(name, *map(fraction, row.tolist())) for name, row in zip(self.first, self.matrix, strict=True)]
        return make_table(f"Linear CKA over {self.images:,} images", ("", *self.second), rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kernel:
    """A layer's K = X X^T of centred features, as the smaller of X and K."""

    values: Float64[np.ndarray, "n e"]
    whole: bool
    """Whether the values are K."""
    diagonal: Float64[np.ndarray, " n"]
    """Of K."""


def cka(features: Layers, others: Layers | None = None, *, debiased: bool = False) -> Alignment:
    """Compare all layers of one run, or of two runs on the same images, by linear CKA.

    CKA(X, Y) = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with K = X X^T, L = Y Y^T. For centred columns HSIC(K, L) is,
    up to a factor that cancels, sum_ij K_ij L_ij = ||Y^T X||²; the form with the smaller matrices is computed. CKA does
    not change when features are rotated, shifted, or scaled by one factor.

    The debiased estimate sets the diagonals of K and L to zero and uses

    HSIC(K, L) = (tr KL + (1'K1) (1'L1) / ((n - 1) (n - 2)) - 2/(n - 2) 1'KL1) / (n (n - 3)).

    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, equations 3 and 4; Song et al. 2012,
    https://jmlr.org/papers/v13/song12a.html, equation 5 (debiased).

    Args:
        features: Rows of each layer, as returned by `extract_features`.
        others: Rows of another run's layers; by default, the layers are compared with each other.
        debiased: Use the debiased estimate, for fewer than a few thousand images or for wide layers.

    Raises:
        InputError: A layer's features are not finite numbers of shape (n, d), or are all the same; layers differ in n;
            n is less than 4; or there is no layer.
    """
    runs = [
        _checked_layers(run, "align, expected at least one in each run")
        for run in ([features] if others is None else [features, others])
    ]
    kernels = [{name: _kernel(rows, name) for name, rows in run.items()} for run in runs]
    n = _rows_of_all(kernels)
    first, second = kernels[0], kernels[-1]
    own = [{name: _hsic(kernel, kernel, debiased=debiased) for name, kernel in run.items()} for run in kernels]
    _check_alike(own)
    matrix = np.ones((len(first), len(second)))
    for i, (row, kernel) in enumerate(first.items()):
        for j, (column, other) in enumerate(second.items()):
            if others is None and j <= i:
                matrix[i, j] = matrix[j, i]  # symmetric, and 1 on the diagonal
            else:
                joint = _hsic(kernel, other, debiased=debiased)
                matrix[i, j] = joint / sqrt(own[0][row] * own[-1][column])
    return Alignment(first=tuple(first), second=tuple(second), matrix=matrix, debiased=debiased, images=n)


def _kernel(features: Real[np.ndarray, "n d"], name: str) -> _Kernel:
    noun = f"features of {name}"
    rows = checked_rows(features, noun=noun)
    check_varied(rows, noun=noun)
    n, whole = len(rows), rows.shape[1] > len(rows)
    # Moved first, since far from zero scaling would round, and scaled, since sums of fourth powers leave float64 soon.
    unit_rows(rows)
    values = gram(centred(rows), n) if whole else rows - rows.mean(axis=0)
    values /= np.linalg.norm(values)
    diagonal = values.diagonal().copy() if whole else np.einsum("nd,nd->n", values, values)
    return _Kernel(values=values, whole=whole, diagonal=diagonal)


def _hsic(first: _Kernel, second: _Kernel, *, debiased: bool) -> float:
    product = _product(first, second)
    if not debiased:
        return product
    n, k, l = len(first.diagonal), first.diagonal, second.diagonal  # noqa: E741 - the paper's letters
    # Centred, K1 = 0: with its diagonal put to 0, K's row sums are minus the diagonal.
    traces = float(k.sum() * l.sum()) / ((n - 1) * (n - 2))
    return (product - float(k @ l) + traces - 2 / (n - 2) * float(k @ l)) / (n * (n - 3))


def _product(first: _Kernel, second: _Kernel) -> float:
    """Sum over all i and j of K_ij L_ij."""
    if first.whole and second.whole:
        return float(np.vdot(first.values, second.values))
    if first.whole or second.whole:
        kernel, rows = (first, second) if first.whole else (second, first)
        return float(np.vdot(kernel.values @ rows.values, rows.values))
    return float(np.linalg.norm(first.values.T @ second.values) ** 2)


def _rows_of_all(runs: list[dict[str, _Kernel]]) -> int:
    lengths = sorted({len(kernel.diagonal) for run in runs for kernel in run.values()})
    if len(lengths) > 1:
        raise InputError(f"layers have {lengths[0]} and {lengths[-1]} rows, expected the same images for all layers.")
    if lengths[0] < LEAST_ROWS:
        raise InputError(f"got {lengths[0]} rows, expected at least {LEAST_ROWS} images to compare layers.")
    return lengths[0]


def _check_alike(own: list[dict[str, float]]) -> None:
    for name, value in ((name, value) for run in own for name, value in run.items()):
        if not value > 0:
            raise InputError(f"these images are too few to compare {name} with itself; use more images.")

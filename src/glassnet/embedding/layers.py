"""Where in a network the classes come apart: the same measures at every layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, Real
from sklearn.neighbors import KNeighborsClassifier

from glassnet.embedding.checks import check_seed, checked_integer, checked_labels, checked_rows
from glassnet.embedding.probe import Fitted, HeldOut, Probe, held_out, linear_probe
from glassnet.embedding.separability import Separability, Spread, separability, spread
from glassnet.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LayerScore:
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


def layer_scores(
    features: Mapping[str, Real[np.ndarray, "n _"]],
    labels: Integer[np.ndarray, " n"],
    *,
    test_share: float = 0.3,
    test_rows: Integer[np.ndarray, " test"] | None = None,
    neighbours: int = 10,
    seed: int = 0,
) -> tuple[LayerScore, ...]:
    """Measure at every layer, on the same rows, how far the classes have come apart.

    Args:
        features: Rows of each layer, as `extract_features` gives them.
        labels: Class index of each row, from 0.
        test_share: Share of each class's rows that is drawn for the probe and the neighbours to be scored on.
        test_rows: The rows to score instead of such a draw; all others are fitted.
        neighbours: Nearest training rows that vote; a tied vote goes to the smallest label.
        seed: Seed of the draws of test, validation and sample rows.

    Raises:
        InputError: There is no layer, its features are no finite (n, d) or all the same, labels do not fit them or are
            of one class, `test_share` is not between 0 and 1, `test_rows` are not some of the n rows, or there
            are fewer training rows than neighbours.
    """
    if not features:
        raise InputError("got no layer to score, expected the features of at least one.")
    check_seed(seed)
    first = next(iter(features.values()))
    classes = checked_labels(labels, points=len(first))
    train, test = held_out(classes, share=test_share, seed=seed) if test_rows is None else _parts(test_rows, len(first))
    neighbours = checked_integer("neighbours", neighbours)
    if not 1 <= neighbours <= len(train):
        raise InputError(f"neighbours is {neighbours}, expected 1 to {len(train)}, the number of training rows.")
    for name, rows in features.items():
        if len(rows) != len(classes):
            raise InputError(f"{name} has {len(rows)} rows and there are {len(classes)} labels, expected as many.")
    # All of them before the first probe, which is slow, so that a layer that cannot be scored is told at once.
    spreads = {name: spread(rows, noun=f"features of {name}", seed=seed) for name, rows in features.items()}
    return tuple(
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


def _parts(test: Integer[np.ndarray, " test"], n: int) -> tuple[Fitted, HeldOut]:
    rows = np.asarray(test)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not 0 < len(np.unique(rows)) == len(rows) < n:
        raise InputError(f"test_rows has shape {rows.shape}, expected different row indices, fewer than the {n} rows.")
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
    model = KNeighborsClassifier(neighbours, algorithm="brute").fit(values[train], labels[train])
    return float((model.predict(values[test]) == labels[test]).mean())

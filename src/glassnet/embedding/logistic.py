"""Multinomial logistic regression with an L2 penalty, fast where columns are correlated or of unlike scales."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import minimize
from scipy.special import log_softmax

MOST_ITERATIONS = 5000
GRADIENT_TOLERANCE = 1e-4
# Pairs of steps and gradients that L-BFGS keeps.
MEMORY = 20

Rows = Float64[np.ndarray, "n d"]
Gradient = Float64[np.ndarray, " parameters"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearClassifier:
    """A score for each class: x W + b."""

    weights: Float64[np.ndarray, "d classes"]
    intercept: Float64[np.ndarray, " classes"]
    classes: Int64[np.ndarray, " classes"]
    """Class index of each column."""

    def log_probabilities(self, rows: Rows) -> Float64[np.ndarray, "n classes"]:
        """Logarithm of each class's probability."""
        return log_softmax(rows @ self.weights + self.intercept, axis=1)

    def predict(self, rows: Rows) -> Int64[np.ndarray, " n"]:
        """Class index of the largest score; the smallest of equals."""
        return self.classes[self.log_probabilities(rows).argmax(axis=1)]


def logistic_regression(
    rows: Rows,
    labels: Int64[np.ndarray, " n"],
    *,
    regularisation: float,
    start: LinearClassifier | None = None,
    tolerance: float = GRADIENT_TOLERANCE,
) -> LinearClassifier:
    """Minimise mean_i -log softmax(x_i W + b)[y_i] + l/2 ||W||² by L-BFGS.

    Each column of the rows is scaled by (mean x_j² / 2 + l)^-1/2: 1/2 bounds the second derivative of the loss by each
    score, so no curvature along a column is above 1. The penalty stays on the unscaled W.

    Böhning 1992, https://doi.org/10.1007/BF00048682 (the bound); Liu & Nocedal 1989,
    https://doi.org/10.1007/BF01589116 (L-BFGS).

    Args:
        rows: A row for each image; correlated columns cost steps.
        labels: Class index of each row.
        regularisation: l, above 0.
        start: Where to start, fitted to the same classes.
        tolerance: Largest entry of the scaled gradient at which to stop.
    """
    classes, members = np.unique(labels, return_inverse=True)
    n, d = rows.shape
    scale = 1 / np.sqrt(np.append((rows**2).mean(axis=0) / 2 + regularisation, 0.5))[:, None]
    truth = np.eye(len(classes))[members]

    def loss(parameters: Gradient) -> tuple[float, Gradient]:
        scaled = parameters.reshape(d + 1, -1) * scale
        weights = scaled[:-1]
        logs = log_softmax(rows @ weights + scaled[-1], axis=1)
        excess = (np.exp(logs) - truth) / n
        gradient = np.vstack([rows.T @ excess + regularisation * weights, excess.sum(axis=0)]) * scale
        penalty = regularisation / 2 * float(np.vdot(weights, weights))
        return penalty - float(np.vdot(truth, logs)) / n, gradient.ravel()

    first = np.zeros((d + 1, len(classes)))
    if start is not None:
        first = np.vstack([start.weights, start.intercept]) / scale
    options = {
        "maxiter": MOST_ITERATIONS,
        "maxfun": 2 * MOST_ITERATIONS,
        "maxcor": MEMORY,
        "gtol": tolerance,
        "ftol": 0,
    }
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    solution = found.x.reshape(d + 1, -1) * scale
    return LinearClassifier(weights=solution[:-1], intercept=solution[-1], classes=classes)

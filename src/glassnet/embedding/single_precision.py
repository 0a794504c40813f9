"""Rows for methods that compute in single precision: moved and scaled so that it holds them, and what it loses said."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from glassnet.console import say
from glassnet.embedding.distances import magnitude, middle, ruler
from glassnet.errors import InputError

FARTHEST = 1e15
SAMPLE = 500
DIGITS_LEFT, LOST_SHARE = 10, 0.01
"""Distances below ten times the rounding of the rows are lost; a hundredth of the rows may be copies, nearly."""


def mover(
    rows: Float64[np.ndarray, "n d"], method: str
) -> Callable[[Float64[np.ndarray, "m d"]], Float64[np.ndarray, "m d"]]:
    """Give what moves and scales rows so that float32 holds them and their squares."""
    exponent = magnitude(rows) + 1  # no difference overflows
    small = np.ldexp(rows, -exponent)
    centre = middle(small)
    # Most rows come near 1, so that a far one does not take the others' digits.
    reach = float(np.quantile(np.abs(small - centre).max(axis=1), 0.9)) or 1.0

    def move(new: Float64[np.ndarray, "m d"]) -> Float64[np.ndarray, "m d"]:
        with np.errstate(over="ignore"):
            moved = (np.ldexp(new, -exponent) - centre) / reach
        if not (np.abs(moved) < FARTHEST).all():
            raise InputError(
                f"features reach {np.abs(new).max():.3g}, too far from most of the embedded features for {method}; "
                "leave out the rows that lie so far away."
            )
        return moved

    return move


def say_lost_digits(rows: Float64[np.ndarray, "n d"], method: str) -> None:
    """Say where rows lie so close together, and so far from others, that float32 does not tell which are nearest."""
    some = rows[:: -(-len(rows) // SAMPLE)]
    apart = np.sqrt(np.partition(ruler(rows).squared(some), 1, axis=1)[:, 1])  # from the nearest other
    rounding = np.finfo(np.float32).eps * np.linalg.norm(some, axis=1)
    lost = float(((apart > 0) & (apart < DIGITS_LEFT * rounding)).mean())
    if lost > LOST_SHARE:
        say(
            f"for {lost:.0%} of the rows, {method} cannot resolve the distance to the nearest row in single precision, "
            "because groups of rows lie too far apart; embed each group on its own, or use t-SNE."
        )

"""A share of the rows held out, of every class alike."""

import numpy as np
from jaxtyping import Int64

from glassnet.errors import InputError

Kept = Int64[np.ndarray, " kept"]
Out = Int64[np.ndarray, " out"]


def held_out(labels: Int64[np.ndarray, " n"], *, share: float, seed: int) -> tuple[Kept, Out]:
    """Draw a share of each class's rows to hold out; one row at least of each class is kept.

    Returns:
        The rows kept and the rows held out, both ascending.

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
            f"a share of {share} of {len(labels)} rows holds out none of them, expected more rows a class."
        )
    return np.setdiff1d(np.arange(len(labels)), out), out

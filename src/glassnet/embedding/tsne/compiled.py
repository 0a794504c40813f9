"""How the loops of t-SNE are compiled: once a machine, and free to run beside each other."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop by numba at its first call, and keep the machine code on disk for the next process.

    Sums may be taken in another order than written, which vector instructions need; the order is settled when the
    loop is compiled, so equal numbers give equal sums. NaN and infinity keep their meaning.
    """
    return njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")(function)

"""Rows in an order in which near ones follow each other, so that what a loop reads next is in the cache already."""

import numpy as np
from jaxtyping import Float32, Int64

from glassnet.embedding.tsne.affinities import Affinities

BITS = 16


def curve_order(points: Float32[np.ndarray, "n dims"]) -> Int64[np.ndarray, " n"]:
    """Order points along the Z-curve: by the number whose bits are those of the coordinates, in turns.

    Morton 1966, A computer oriented geodetic data base and a new technique in file sequencing, IBM.
    """
    lowest = points.min(axis=0)
    extent = max(float((points - lowest).max()), np.finfo(np.float32).tiny)
    cells = ((points - lowest) / extent * (2**BITS - 1)).astype(np.uint64)
    places = np.zeros(len(points), np.uint64)
    dims = np.uint64(points.shape[1])
    for bit in range(BITS):
        for axis in range(points.shape[1]):
            digit = (cells[:, axis] >> np.uint64(bit)) & np.uint64(1)
            places |= digit << (np.uint64(bit) * dims + np.uint64(axis))
    return np.argsort(places, kind="stable").astype(np.int64)


def reorder(affinities: Affinities, order: Int64[np.ndarray, " n"]) -> Affinities:
    """Make row `order[i]` row i, and rename the columns alike."""
    n = len(order)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    counts = np.diff(affinities.indptr)[order]
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    source = np.arange(indptr[-1]) + np.repeat(affinities.indptr[order] - indptr[:-1], counts)
    return Affinities(
        indptr=indptr, indices=place[affinities.indices[source]], values=np.ascontiguousarray(affinities.values[source])
    )

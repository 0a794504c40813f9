"""The grid's answer to one unit of charge, so that splines on a coarse grid give t-SNE's kernel with least error."""

from itertools import product

import numpy as np
from jaxtyping import Float32
from scipy.fft import dctn

SPLINE_ORDER = 4


def influence(size: int, spacing: float, dims: int) -> Float32[np.ndarray, "..."]:
    """Spectrum by which the grid of charges is multiplied, for a periodic grid of `size` nodes a side.

    With K(r) = 1 / (1 + r²) known up to its spectrum at twice the grid's frequencies, U(k) = sinc(k h / 2π)⁴ the
    spline's spectrum, and sums over a frequency k and its aliases k + 2π m / h,

        G(k) = sum |k_m|² K(k_m) U(k_m)² / (sum U(k_m)² · sum |k_m|² U(k_m)²),

    which makes the mean squared error of the force least over all places of the points within their cells. Points
    must be less than half of the period apart, so that the period's copies are never seen.

    Hockney & Eastwood 1988, https://doi.org/10.1201/9780367806934, section 8-3;
    Ballenegger, Cerdà & Holm 2012, https://doi.org/10.1021/ct2001792, for derivatives of splines.

    Returns:
        Float32 of shape (size, …, size / 2 + 1): what rfftn's spectrum of the grid is multiplied by.
    """
    half = size // 2
    kernel = _kernel_spectrum(size, spacing, dims)
    plain, steep, wanted = (np.zeros((half + 1,) * dims) for _ in range(3))
    for sides in product((False, True), repeat=dims):
        # The frequency size - q is the alias of q, and even functions do not tell -q from q.
        where = tuple(slice(size, half - 1, -1) if side else slice(0, half + 1) for side in sides)
        axes = [np.arange(size + 1)[part] for part in where]
        spline, squared = np.ones((1,) * dims), np.zeros((1,) * dims)
        for axis, q in enumerate(axes):
            shape = [-1 if other == axis else 1 for other in range(dims)]
            spline = spline * (np.sinc(q / size) ** (2 * SPLINE_ORDER)).reshape(shape)
            squared = squared + (q.astype(np.float64) ** 2).reshape(shape)
        plain += spline
        steep += squared * spline
        wanted += squared * spline * kernel[where]
    zero = (0,) * dims
    steep[zero], wanted[zero] = 1, kernel[zero] * plain[zero]
    answer = (wanted / (plain * steep)).astype(np.float32)
    for axis in range(dims - 1):
        mirror = answer[(slice(None),) * axis + (slice(half - 1, 0, -1),)]
        answer = np.concatenate([answer, mirror], axis=axis)
    return np.ascontiguousarray(answer)


def _kernel_spectrum(size: int, spacing: float, dims: int) -> np.ndarray:
    # Samples at half the spacing from 0 to half of the period: the cosine transform is that of the even periodic whole.
    squared = (np.arange(size + 1) * spacing / 2) ** 2
    distance = sum(squared.reshape([-1 if other == axis else 1 for other in range(dims)]) for axis in range(dims))
    return dctn(1 / (1 + distance), type=1, workers=1) / 2**dims

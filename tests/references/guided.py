"""Guided backpropagation worked out operation by operation, in NumPy and float64, without any autograd.

Each operation returns its output and a function that takes the gradient there back to its input.
"""

from collections.abc import Callable

import numpy as np

Back = Callable[[np.ndarray], np.ndarray]


def relu(x: np.ndarray) -> tuple[np.ndarray, Back]:
    """Springenberg et al. 2015, figure 1: pass what is positive on the way back, where the input was positive."""
    return np.maximum(x, 0), lambda r: r * (x > 0) * (r > 0)


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int = 0) -> tuple[np.ndarray, Back]:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[-1]
    height, width = x.shape[2] - size + 1, x.shape[3] - size + 1
    y = np.zeros((len(x), len(weight), height, width))
    for i in range(height):
        for j in range(width):
            y[:, :, i, j] = np.einsum("ncab,kcab->nk", x[:, :, i : i + size, j : j + size], weight) + bias

    def back(r: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x)
        for i in range(height):
            for j in range(width):
                out[:, :, i : i + size, j : j + size] += np.einsum("nk,kcab->ncab", r[:, :, i, j], weight)
        return out[:, :, padding : x.shape[2] - padding, padding : x.shape[3] - padding]

    return y, back


def max_pool(x: np.ndarray) -> tuple[np.ndarray, Back]:
    n, c, height, width = x.shape
    blocks = x.reshape(n, c, height // 2, 2, width // 2, 2)
    y = blocks.max(axis=(3, 5), keepdims=True)
    return y[:, :, :, 0, :, 0], lambda r: ((blocks == y) * r[:, :, :, None, :, None]).reshape(x.shape)


def mean_pool(x: np.ndarray, size: int) -> tuple[np.ndarray, Back]:
    n, c, height, width = x.shape
    y = x.reshape(n, c, size, height // size, size, width // size).mean(axis=(3, 5))
    each = (height // size) * (width // size)
    return y, lambda r: r.repeat(height // size, axis=2).repeat(width // size, axis=3) / each


def batch_norm(x: np.ndarray, mean, variance, weight, bias, epsilon: float) -> tuple[np.ndarray, Back]:
    scale = (weight / np.sqrt(variance + epsilon))[:, None, None]
    return (x - mean[:, None, None]) * scale + bias[:, None, None], lambda r: r * scale


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, Back]:
    return x.reshape(len(x), -1) @ weight.T + bias, lambda r: (r @ weight).reshape(x.shape)


def one_hot(classes: list[int], count: int) -> np.ndarray:
    return np.eye(count)[classes]

"""Attribution methods as their papers write them: plain loops over one image, in NumPy and float64."""

from collections.abc import Callable
from itertools import permutations

import numpy as np

Score = Callable[[np.ndarray], float]
"""From one image (c, h, w) to the score explained."""


def gradcam(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Selvaraju et al. 2017, equations 1 and 2."""
    total = np.zeros(activation.shape[1:])
    for a, g in zip(activation, gradient, strict=True):
        total += sum(g[p] for p in np.ndindex(*g.shape)) / g.size * a
    return np.maximum(total, 0)


def gradcam_plus_plus(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Chattopadhyay et al. 2018, equations 5 and 19, with powers of the gradient for the derivatives of exp(y)."""
    total = np.zeros(activation.shape[1:])
    for a, g in zip(activation, gradient, strict=True):
        weight = 0.0
        for here in np.ndindex(*a.shape):
            below = 2 * g[here] ** 2 + sum(a[there] * g[here] ** 3 for there in np.ndindex(*a.shape))
            weight += (g[here] ** 2 / below if below else 0) * max(g[here], 0)
        total += weight * a
    return np.maximum(total, 0)


def xgradcam(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Fu et al. 2020, equation 8."""
    total = np.zeros(activation.shape[1:])
    for a, g in zip(activation, gradient, strict=True):
        total += sum(a[p] / a.sum() * g[p] for p in np.ndindex(*a.shape)) * a
    return np.maximum(total, 0)


def hirescam(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Draelos & Carin 2020, section 3.2."""
    return np.maximum(sum(a * g for a, g in zip(activation, gradient, strict=True)), 0)


def layercam(activation: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Jiang et al. 2021, equations 5 to 7."""
    total = np.zeros(activation.shape[1:])
    for a, g in zip(activation, gradient, strict=True):
        for p in np.ndindex(*a.shape):
            total[p] += max(g[p], 0) * a[p]
    return np.maximum(total, 0)


def eigencam(activation: np.ndarray) -> np.ndarray:
    """Muhammad & Yeasin 2020: A = U S V^T, L = A v_1."""
    pixels = activation.reshape(len(activation), -1).T
    projected = pixels @ np.linalg.svd(pixels)[2][0]
    return np.maximum(projected * (np.sign(projected.sum()) or 1), 0).reshape(activation.shape[1:])


def contrast(scores: np.ndarray, label: int) -> float:
    """Zhang et al. 2025: y_c - 0.6 times the mean of the three other scores that are nearest to y_c."""
    others = sorted((abs(score - scores[label]), k) for k, score in enumerate(scores) if k != label)[:3]
    return scores[label] - 0.6 * sum(scores[k] for _, k in others) / len(others)


def shapley_values(worth: Callable[[np.ndarray], float], players: int) -> np.ndarray:
    """Shapley 1953: what each player adds to the worth, averaged over all orders in which players join."""
    values = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        present = np.zeros(players, dtype=bool)
        for player in order:
            before = worth(present)
            present[player] = True
            values[player] += worth(present) - before
    return values / len(orders)


def upsample(map_: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate bilinearly between pixel centres, held at the borders."""
    out = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        at_y = min(max((y + 0.5) * map_.shape[0] / height - 0.5, 0), map_.shape[0] - 1)
        at_x = min(max((x + 0.5) * map_.shape[1] / width - 0.5, 0), map_.shape[1] - 1)
        for i, j in np.ndindex(*map_.shape):
            out[y, x] += max(1 - abs(at_y - i), 0) * max(1 - abs(at_x - j), 0) * map_[i, j]
    return out


def guided_gradcam(activation: np.ndarray, gradient: np.ndarray, guided: np.ndarray) -> np.ndarray:
    """Selvaraju et al. 2017, section 3.2: guided backpropagation (c, h, w) times the map at the image's size."""
    map_ = upsample(gradcam(activation, gradient), *guided.shape[1:])
    out = np.zeros_like(guided)
    for c, y, x in np.ndindex(*guided.shape):
        out[c, y, x] = guided[c, y, x] * map_[y, x]
    return out


def slopes(image: np.ndarray, score: Score, step: float = 1e-6) -> np.ndarray:
    """The score's derivative by each number of the image, from the score a step above and a step below."""
    out = np.zeros_like(image)
    for here in np.ndindex(*image.shape):
        above, below = image.copy(), image.copy()
        above[here] += step
        below[here] -= step
        out[here] = (score(above) - score(below)) / (2 * step)
    return out


def saliency(image: np.ndarray, score: Score) -> np.ndarray:
    """Simonyan et al. 2013, section 3.1."""
    slope = slopes(image, score)
    out = np.zeros(image.shape[1:])
    for y, x in np.ndindex(*out.shape):
        out[y, x] = max(abs(channel[y, x]) for channel in slope)
    return out


def input_x_gradient(image: np.ndarray, score: Score) -> np.ndarray:
    """Shrikumar et al. 2016, section 2: each number of the image times the score's derivative by it."""
    slope = slopes(image, score)
    out = np.zeros_like(image)
    for here in np.ndindex(*image.shape):
        out[here] = image[here] * slope[here]
    return out


def scorecam(activation: np.ndarray, image: np.ndarray, score: Score) -> np.ndarray:
    """Wang et al. 2020, equations 5 to 8, with a black image as the baseline."""
    raised = []
    for a in activation:
        mask = upsample(a, *image.shape[1:])
        span = mask.max() - mask.min()
        mask = (mask - mask.min()) / span if span else np.zeros_like(mask)
        raised.append(score(image * mask) - score(np.zeros_like(image)))
    chances = np.exp(raised) / np.exp(raised).sum()
    return np.maximum(sum(w * a for w, a in zip(chances, activation, strict=True)), 0)


def integrated_gradients(image: np.ndarray, gradient: Callable[[np.ndarray], np.ndarray], steps: int) -> np.ndarray:
    """Sundararajan et al. 2017, equation 1, from black, by the midpoint rule."""
    total = np.zeros_like(image)
    for step in range(steps):
        total += gradient((step + 0.5) / steps * image) / steps
    return image * total


def occlusion(image: np.ndarray, score: Score, window: int, stride: int, fill: float) -> np.ndarray:
    """Zeiler & Fergus 2013: the mean fall of the score over the squares that cover a pixel."""
    height, width = image.shape[1:]
    falls: list[list[list[float]]] = [[[] for _ in range(width)] for _ in range(height)]
    for top in range(0, height - window + stride, stride):
        for left in range(0, width - window + stride, stride):
            covered = image.copy()
            inside = [
                (y, x) for y in range(top, min(top + window, height)) for x in range(left, min(left + window, width))
            ]
            for y, x in inside:
                covered[:, y, x] = fill
            for y, x in inside:
                falls[y][x].append(score(image) - score(covered))
    return np.array([[np.mean(fall) for fall in row] for row in falls])

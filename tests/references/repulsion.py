"""t-SNE's repulsion as the papers write it: all pairs, in float64."""

import numpy as np


def repulsion(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sum_j (y_i - y_j) / (1 + |y_i - y_j|²)² and phi_i = sum_{j != i} 1 / (1 + |y_i - y_j|²) at each point."""
    points = points.astype(np.float64)
    force, potential = np.zeros_like(points), np.zeros(len(points))
    for i, point in enumerate(points):
        apart = point - points
        kernel = 1 / (1 + (apart**2).sum(axis=1))
        kernel[i] = 0
        force[i] = (kernel[:, None] ** 2 * apart).sum(axis=0)
        potential[i] = kernel.sum()
    return force, potential

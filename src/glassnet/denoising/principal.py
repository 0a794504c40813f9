"""PCA as an autoencoder: what as many numbers as a latent code can say of an image by straight lines."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.errors import InputError

Rows = Float[Tensor, "n d"]

MOST_IMAGES = 10_000
"""Training images that the components are found from, the first ones: the covariance settles long before."""


@dataclass(frozen=True)
class Principal:
    """The mean of the training images and the directions in which they vary most, one a column."""

    mean: Float[Tensor, " d"]
    components: Float[Tensor, "d k"]

    def reconstruct(self, rows: Rows) -> Rows:
        """Return what is left of images on the components: mean + W Wᵀ (x - mean), clipped to [0, 1]."""
        return (self.mean + (rows - self.mean) @ self.components @ self.components.T).clamp(0, 1)


def principal(rows: Rows, count: int) -> Principal:
    """Find the `count` principal components of clean training images, or as many as there are images less one.

    The eigenvectors of the covariance, or of the matrix of inner products where there are fewer images than values.

    Pearson 1901, https://doi.org/10.1080/14786440109462720; the optimal linear autoencoder by Baldi and Hornik 1989,
    https://doi.org/10.1016/0893-6080(89)90014-2.

    Raises:
        InputError: There are fewer than two images, or `count` is below 1 or above the values of an image.
    """
    taken = rows[:MOST_IMAGES].float()
    n, d = taken.shape
    if n < 2 or not 1 <= count <= d:
        raise InputError(f"got {n} images of {d} values and {count} components, expected 2 images and 1 to {d}.")
    mean = taken.mean(dim=0)
    centred, kept = taken - mean, min(count, n - 1)
    if n < d:
        vectors = torch.linalg.eigh(centred @ centred.T).eigenvectors.flip(1)[:, :kept]
        components = torch.linalg.qr(centred.T @ vectors).Q  # the columns' lengths are the singular values
    else:
        components = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :kept]
    return Principal(mean, components)

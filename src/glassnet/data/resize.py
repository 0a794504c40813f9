"""Resize a data set's images once, after loading."""

import dataclasses

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from glassnet.data.dataset import Dataset, Split

CHUNK_IMAGES = 1024  # bounds the memory that interpolation takes beside its input and output


def resize_images(
    images: UInt8[Tensor, "n channel height width"], size: int
) -> UInt8[Tensor, "n channel {size} {size}"]:
    """Resize to `size` by `size` pixels, bilinear, with an antialias filter as wide as the reduction.

    An output pixel is a weighted mean of the input, rounded to a whole level; the weights are a triangle whose half
    width is max(1, height / size) input pixels.
    """
    resized = torch.empty((*images.shape[:2], size, size), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK_IMAGES):
        chunk = images[start : start + CHUNK_IMAGES]
        resized[start : start + CHUNK_IMAGES] = F.interpolate(chunk, (size, size), mode="bilinear", antialias=True)
    return resized


def resize_dataset(dataset: Dataset, size: int | None) -> Dataset:
    """Resize both splits to `size` by `size` pixels and say so in the note; None or the own size change nothing."""
    if size is None or size == dataset.image_size:
        return dataset
    train, test = (Split(resize_images(part.images, size), part.targets) for part in (dataset.train, dataset.test))
    note = f"{dataset.note}, resized from {dataset.image_size} to {size} px"
    return dataclasses.replace(dataset, train=train, test=test, note=note)

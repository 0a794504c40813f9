"""Random numbers that belong to an image: the same in whatever batch, process or device it is looked at."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

SplitName = Literal["train", "validation", "test"]
Purpose = Literal["input", "code", "samples"]


@dataclass(frozen=True)
class PerImageRNG:
    """Source of the random numbers of a split's images, which follow from each image's place in it.

    The same place of another split has others, so that image 7 of the test is not met with the very noise of image 7
    of the validation, by which the epoch was chosen; and the draw of a code has others than the noise.

    Attributes:
        seed: Of the run.
        split: The images' part of the data set.
    """

    seed: int
    split: SplitName

    def generators(self, places: Sequence[int], purpose: Purpose) -> Iterator[Generator]:
        """Yield a generator on the CPU for each of some images.

        Args:
            places: Of the images in their split.
            purpose: What is drawn: what is done to the input, a latent code, or many of them.
        """
        digest = hashlib.sha256(f"{self.seed}:{self.split}:{purpose}".encode()).digest()
        # torch's generator reads 32 bits of a seed: counted on from the digest, no two images of a split share one.
        first = int.from_bytes(digest[:4])
        for place in places:
            yield Generator().manual_seed((first + place) % 2**32)

    def normal(self, places: Sequence[int], shape: tuple[int, ...], purpose: Purpose) -> Tensor:
        """Draw standard normal numbers of a shape for each of some images: (n, *shape), on the CPU."""
        return torch.stack([torch.randn(shape, generator=one) for one in self.generators(places, purpose)])

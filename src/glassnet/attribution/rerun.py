"""More passes for the methods that need them: over variants of the images, packed into batches."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

Rerun = Callable[[str, Iterable[Tensor]], Iterator[Tensor]]
"""`rerun(what, variants)` yields an ingredient or a method, as in "score", for each variant of the batch's images."""


def in_packs(
    run: Callable[[Float[Tensor, "many channel height width"], int], Float[Tensor, "many ..."]],
    variants: Iterable[Float[Tensor, "batch channel height width"]],
    batch_size: int,
) -> Iterator[Float[Tensor, "batch ..."]]:
    """Run several variants of a batch in one pass, as many as make up `batch_size` images.

    Variants are taken as they are needed, so that a generator of many never fills the memory.

    Args:
        run: Takes the images of a pack and the number of variants in it, and gives one row an image.
        variants: Variants of the same batch of images.
        batch_size: Images in one pass; a single variant may be larger.
    """
    waiting = iter(variants)
    for first in waiting:
        pack = [first, *islice(waiting, max(batch_size // len(first), 1) - 1)]
        yield from run(torch.cat(pack), len(pack)).split(len(first))

"""Results that grow batch by batch without being held twice."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from glassnet.errors import WorkError

K = TypeVar("K", bound=Hashable)


class Rows(Generic[K]):
    """float32 arrays with one row an image, allocated once at their full length and filled batch by batch."""

    def __init__(self, count: int) -> None:
        self._arrays: dict[K, np.ndarray] = {}
        self._count = count
        self._filled: dict[K, int] = {}

    def put(self, key: K, values: Shaped[Tensor, "batch ..."]) -> None:
        """Append the rows of one batch."""
        part = values.detach().float().cpu().numpy()
        start = self._filled.get(key, 0)
        if start == 0:
            self._arrays[key] = np.empty((self._count, *part.shape[1:]), np.float32)
        self._arrays[key][start : start + len(part)] = part
        self._filled[key] = start + len(part)

    def complete(self) -> dict[K, np.ndarray]:
        """Return the arrays.

        Raises:
            WorkError: What gave rows for some batches gave none for others.
        """
        for filled in self._filled.values():
            if filled != self._count:
                raise WorkError(
                    f"a layer gave {filled:,} rows for {self._count:,} images: which layers run depends on the batch; "
                    f"pass batch_size={self._count} to take all images at once."
                )
        return self._arrays

"""The results of all batches, gathered into one explanation."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassnet.attribution.explanation import Explanation, Maps
from glassnet.attribution.resize import resize
from glassnet.models.rows import Rows


class Gathered:
    """Collects attributions, scores and outputs batch by batch."""

    def __init__(self, count: int, size: Sequence[int]) -> None:
        """Make room.

        Args:
            count: Images in all.
            size: The images' height and width in pixels, to which maps are resized.
        """
        self._size = tuple(size)
        self._maps: Rows[tuple[str, str]] = Rows(count)
        self._raw: Rows[tuple[str, str]] = Rows(count)
        self._outputs: Rows[str] = Rows(count)
        self._classes: list[Tensor] = []

    def put_map(self, method: str, layer: str, raw: Float[Tensor, "batch ..."]) -> None:
        """Add what a method gave for one batch, and the same at the images' size if it is a map of another size."""
        resized = resize(raw, self._size) if raw.ndim == 3 else raw
        self._maps.put((method, layer), resized)
        if resized is not raw:
            self._raw.put((method, layer), raw)

    def put_scores(self, output: Any, scores: Float[Tensor, " batch"], classes: Int[Tensor, " batch"] | None) -> None:
        """Add the model's output for one batch, and the scores and classes that are explained."""
        self._outputs.put("scores", scores)
        if isinstance(output, Tensor) and output.ndim and len(output) == len(scores):
            self._outputs.put("output", output)
        if classes is not None:
            self._classes.append(classes.cpu())

    def explanation(self, methods: Sequence[str], layers: Sequence[str]) -> Explanation:
        """Return all of it.

        Raises:
            WorkError: A layer ran for some of the batches only.
        """
        maps, outputs = Maps(self._maps.complete()), self._outputs.complete()
        return Explanation(
            maps=maps,
            raw=Maps(maps | self._raw.complete()),
            methods=tuple(methods),
            layers=tuple(layers),
            targets=torch.cat(self._classes).numpy() if self._classes else None,
            scores=outputs["scores"],
            output=outputs.get("output"),
        )

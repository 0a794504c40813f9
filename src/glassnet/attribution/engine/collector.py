"""The results of all batches, gathered into one explanation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassnet.attribution.engine.maps import resize
from glassnet.attribution.engine.passes import Forward
from glassnet.attribution.explanation import Explanation, Maps
from glassnet.models.array_buffers import ArrayBuffers


class ResultCollector:
    """Collects attributions, scores and outputs batch by batch."""

    def __init__(self, count: int, size: Sequence[int]) -> None:
        """Make room.

        Args:
            count: Images in all.
            size: The images' height and width in pixels, to which maps are resized.
        """
        self._size = tuple(size)
        self._maps: ArrayBuffers[tuple[str, str]] = ArrayBuffers(count)
        self._raw: ArrayBuffers[tuple[str, str]] = ArrayBuffers(count)
        self._outputs: ArrayBuffers[str] = ArrayBuffers(count)
        self._classes: list[Tensor] = []

    def put(self, passed: Forward, maps: Mapping[tuple[str, str], Sequence[Tensor]]) -> None:
        """Add one batch: its forward pass, and by method and layer one attribution for each class explained."""
        several = passed.scores.ndim == 2
        self._put_scores(passed.output, passed.scores, passed.classes)
        for (method, layer), raw in maps.items():
            self._put_maps(method, layer, raw, several=several)

    def _put_maps(self, method: str, layer: str, raw: Sequence[Float[Tensor, "batch ..."]], *, several: bool) -> None:
        """Add what a method gave for one batch, and the same at the images' size if it is a map of another size.

        Args:
            method: Its name.
            layer: The layer's name, or "input".
            raw: What it gave, for each class explained.
            several: Whether there is an axis of classes, after that of the images.
        """
        resized = [resize(one, self._size) if one.ndim == 3 else one for one in raw]
        self._maps.put((method, layer), torch.stack(resized, dim=1) if several else resized[0])
        if any(one is not other for one, other in zip(raw, resized, strict=True)):
            self._raw.put((method, layer), torch.stack(list(raw), dim=1) if several else raw[0])

    def _put_scores(
        self, output: Any, scores: Float[Tensor, "batch ..."], classes: Int[Tensor, "batch ..."] | None
    ) -> None:
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

"""What `explain` returns: maps by method and layer and the scores that they explain, gathered batch by batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from glassnet.attribution.engine.maps import resize
from glassnet.attribution.engine.passes import Forward
from glassnet.attribution.methods.pixels import GAP_AIM
from glassnet.errors import InputError
from glassnet.measures import METHOD_TITLES
from glassnet.models.array_buffers import ArrayBuffers


class Maps(dict[tuple[str, str], np.ndarray]):
    """Arrays by (method, layer); an unknown key says which ones there are."""

    def __missing__(self, key: object) -> NoReturn:
        """Refuse a key that is not there.

        Raises:
            InputError: Always.
        """
        method, layer = key if isinstance(key, tuple) and len(key) == 2 else (key, "?")
        layers: dict[str, list[str]] = {}
        for known, where in self:
            layers.setdefault(known, []).append(where)
        if method in layers:
            raise InputError(f"no layer '{layer}' for {method} here. Its layers are {', '.join(layers[method])}.")
        there = ", ".join(f"'{name}' at {', '.join(where)}" for name, where in layers.items())
        raise InputError(f"no method '{method}' here; ask for explanation[method, layer] with {there}.")


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of a batch of images.

    Attributes:
        maps: float32, at the input's size: (n, height, width) for a map such as Grad-CAM's, (n, channel, height, width)
            for what has the input's channels, such as Guided Grad-CAM. `explanation[method, layer]` reads it. Where m
            classes an image were asked for, each array has an axis more, after the images': (n, m, height, width).
        raw: The same before resizing: maps at the layer's own size.
        methods: The methods, in the order asked.
        layers: The layers, in the model's order; a method that explains the input alone stands at the layer "input".
        targets: The class explained for each image, (n,), or the classes, (n, m); None where the target was a callable.
        scores: The scores explained, shaped as the targets: the class's output, before any softmax that the model does
            not do.
        output: The model's output, or the class scores in it; None where it is no tensor with a row an image.
        completeness: By (method, layer), of integrated gradients: how far each image's attributions are from adding up
            to the score's rise, |sum R - (y(x) - y(b))| / |y(x) - y(b)|, shaped as the scores; 0 is complete.
        asked: What the scores depend on and no array says: the callable "target", and the options "output" and
            "forward", as far as they were given. `faithfulness` goes on with them. A copy and a pickle are without.
    """

    maps: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    raw: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    targets: Int[np.ndarray, "n ..."] | None
    scores: Float[np.ndarray, "n ..."]
    output: Float[np.ndarray, "n ..."] | None
    completeness: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the caller's functions, which cannot be pickled."""
        return {**vars(self), "asked": {}}

    def __getitem__(self, key: tuple[str, str]) -> Float[np.ndarray, "n ..."]:
        """Return the attributions of (method, layer) at the input's size.

        Raises:
            InputError: There is no such method or layer; the message lists those there are.
        """
        return self.maps[key]

    def gap_note(self) -> str:
        """Say of how many images integrated gradients leave more of the score's rise unexplained than they aim at.

        Empty where they do not.
        """
        sentences = []
        for (method, _), gaps in self.completeness.items():
            wide = (gaps > GAP_AIM).reshape(len(gaps), -1).any(axis=1)
            if wide.any():
                sentences.append(
                    f"{METHOD_TITLES.get(method, method)}: the attributions of {int(wide.sum())} of {len(gaps)} images "
                    f"miss the score's rise from the baseline by more than {GAP_AIM:.0%}, by up to "
                    f"{float(gaps.max()):.0%} of it; more steps or another baseline may help."
                )
        return " ".join(sentences)

    def __repr__(self) -> str:
        """Say in one line what was explained."""
        where = ", ".join(self.layers) or "the input"
        return f"Explanation({len(self.scores):,} images, {', '.join(self.methods)} at {where})"


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
        self._completeness: ArrayBuffers[tuple[str, str]] = ArrayBuffers(count)
        self._outputs: ArrayBuffers[str] = ArrayBuffers(count)
        self._classes: list[Tensor] = []

    def put(
        self,
        passed: Forward,
        maps: Mapping[tuple[str, str], Sequence[Tensor]],
        gaps: Mapping[tuple[str, str], Sequence[Tensor]],
    ) -> None:
        """Add one batch: its forward pass, and by method and layer an attribution, and gap, for each class."""
        several = passed.scores.ndim == 2
        self._put_scores(passed.output, passed.scores, passed.classes)
        for (method, layer), raw in maps.items():
            self._put_maps(method, layer, raw, several=several)
        for key, each in ((key, each) for key, each in gaps.items() if each):
            self._completeness.put(key, torch.stack(list(each), dim=1) if several else each[0])

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
            completeness=Maps(self._completeness.complete()),
        )

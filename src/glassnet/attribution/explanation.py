"""What `explain` returns: maps by method and layer and the scores that they explain, gathered batch by batch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

import glassnet
from glassnet.attribution.engine.maps import resize
from glassnet.attribution.engine.passes import Forward
from glassnet.attribution.methods.pixels import GAP_AIM
from glassnet.display import LONGEST_LINE, Shown, brief, drawable
from glassnet.errors import InputError
from glassnet.files import atomic, writable_target
from glassnet.images import Images
from glassnet.method_titles import METHOD_TITLES
from glassnet.models.array_buffers import ArrayBuffers
from glassnet.tables import Table, make_table

SHOWN_IMAGES, SHOWN_LAYERS = 3, 4
"""What a notebook draws of an explanation by itself: so many of the first images, at so many of the last layers."""


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
            raise InputError(f"{method} has no layer '{layer}' here. Its layers are {', '.join(layers[method])}.")
        there = ", ".join(f"'{name}' at {', '.join(where)}" for name, where in layers.items())
        raise InputError(f"no method '{method}' here; the explanation holds explanation[method, layer] for {there}.")


@dataclass(frozen=True, eq=False)
class Explanation(Shown):
    """Attributions of a batch of images.

    Attributes:
        maps: float32 arrays at the input's size: (n, height, width) for maps such as Grad-CAM, (n, channel, height,
            width) for methods that keep the input's channels, such as Guided Grad-CAM. `explanation[method, layer]`
            reads one. If m classes were explained for each image, each array has one more axis, after that of the
            images: (n, m, height, width).
        raw: The same before resizing: maps at the layer's own size.
        methods: The methods, in the order in which they were asked for.
        layers: The layers, in the model's order. Methods that explain only the input are listed under the layer
            "input".
        targets: The class explained for each image, (n,), or the classes, (n, m); None if the target was a callable.
        scores: The explained scores, with the shape of the targets: the model's output for the class, before a softmax
            unless the model itself ends in one.
        output: The model's output, or the class scores in it; None if it is not a tensor with one row per image.
        classes: Names of the classes by index, if the model knows them (a network with ImageNet's weights does);
            pictures use them.
        completeness: For integrated gradients, by (method, layer): how far each image's attributions are from adding up
            to the rise of the score, |sum R - (y(x) - y(b))| / |y(x) - y(b)|, with the shape of the scores; 0 is
            complete.
        asked: What else the scores depend on: the callable "target", and the options "output" and "forward", if they
            were given. `faithfulness` uses them. Copies and pickles do not have them.
        images: The explained images, for pictures. This is the object that was passed, so it takes no extra memory, and
            later changes to it are visible here. Copies and pickles do not have it.
    """

    maps: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    raw: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    targets: Int[np.ndarray, "n ..."] | None
    scores: Float[np.ndarray, "n ..."]
    output: Float[np.ndarray, "n ..."] | None
    completeness: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    images: Images | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the caller's functions, which cannot be pickled, and the caller's images."""
        return {**vars(self), "asked": {}, "images": None}

    def __getitem__(self, key: tuple[str, str]) -> Float[np.ndarray, "n ..."]:
        """Return the attributions of (method, layer) at the input's size.

        Raises:
            InputError: There is no such method or layer; the message lists those there are.
        """
        return self.maps[key]

    def gap_note(self) -> str:
        """Say for how many images integrated gradients leave too much of the score's rise unexplained.

        The text is empty if there are none.
        """
        sentences = []
        for (method, _), gaps in self.completeness.items():
            wide = (gaps > GAP_AIM).reshape(len(gaps), -1).any(axis=1)
            if wide.any():
                sentences.append(
                    f"{METHOD_TITLES.get(method, method)}: for {int(wide.sum())} of {len(gaps)} images the "
                    f"attributions miss the score's rise from the baseline by more than {GAP_AIM:.0%}, by up to "
                    f"{float(gaps.max()):.0%} of it; more steps or another baseline may help."
                )
        return " ".join(sentences)

    def __repr__(self) -> str:
        """Say in one line what was explained."""
        where = ", ".join(self.layers) or "the input"
        text = f"Explanation({len(self.scores):,} images, {', '.join(self.methods)} at {where})"
        return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 2]}…)"

    def _table(self) -> Table:
        rows = [(*key, brief(one)) for key, one in self.maps.items()]
        return make_table("", ("method", "layer", "maps"), rows)

    def _repr_html_(self) -> str:
        """Show the last layers' maps of the first images, where the images are known, and which maps there are."""
        layers = [layer for layer in self.layers if layer != "input"][-SHOWN_LAYERS:]
        if self.images is None:
            return super()._repr_html_()
        drawn = glassnet.draw_explanation(self, layers=layers, most=SHOWN_IMAGES)._repr_html_()
        return f"<div>{drawn}{super()._repr_html_()}</div>"

    def show(
        self,
        images: Images | None = None,
        *,
        methods: str | Sequence[str] | None = None,
        layers: str | Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        most: int = 8,
        nth: int = 0,
    ) -> Any:
        """Show images with their maps, in a notebook or a window; if there is neither, say how to save them.

        The arguments are those of `glassnet.draw_explanation`.

        Returns:
            The `Drawing`, which a notebook shows; `.save(path)` writes it.
        """
        return glassnet.draw_explanation(
            self, images, methods=methods, layers=layers, names=names, classes=classes, most=most, nth=nth
        ).show()

    def save(self, path: str | os.PathLike[str], images: Images | None = None) -> Path:
        """Write a picture of the first images (.png, .svg, .pdf) or all numbers (.npz), by the path's ending.

        The .npz file holds an array for each method and layer, such as data["gradcam/features.3"], the same before
        resizing, such as data["raw/gradcam/features.3"], and "scores", "targets" and "output" if there are any.

        Args:
            path: File to write; it is written completely or not at all.
            images: The explained images; default: those that were passed to `explain`.

        Raises:
            InputError: The path has another ending or cannot be written, or the images for a picture are missing.
        """
        if Path(path).suffix.lower() != ".npz":
            return glassnet.draw_explanation(self, images).save(path)
        others = {"scores": self.scores, "targets": self.targets, "output": self.output}
        arrays = {f"{method}/{layer}": one for (method, layer), one in self.maps.items()}
        arrays |= {f"raw/{method}/{layer}": one for (method, layer), one in self.raw.items()}
        arrays |= {name: one for name, one in others.items() if one is not None}
        with atomic(writable_target(path, "the path")) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return Path(path)

    def overlay(
        self,
        method: str | None = None,
        layer: str | None = None,
        image: int = 0,
        *,
        images: Images | None = None,
        nth: int = 0,
        size_pixels: int | None = None,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Lay one map over its image; see `glassnet.overlay` for the colours.

        Args:
            method: The method; default: the first.
            layer: The layer; default: the last one that the method has.
            image: Number of the image, from 0.
            images: The explained images; default: those that were passed to `explain`.
            nth: Which of the image's classes to show, if several were explained for each image.
            size_pixels: Length of the longer side; default: that of the image.

        Raises:
            InputError: There is no such method, layer or image, or the images are missing.
        """
        chosen = method if method is not None else self.methods[0]
        there = [place for known, place in self.maps if known == chosen]
        maps = self.maps[chosen, layer if layer is not None else there[-1] if there else "?"]
        if not -len(self.scores) <= image < len(self.scores):
            raise InputError(f"image is {image}, expected 0 to {len(self.scores) - 1}, one of the explained images.")
        picture = drawable(self.images_given(images)[[image]])[0]
        return glassnet.overlay(picture, self.of_class(maps, nth)[image], size_pixels=size_pixels)

    def images_given(self, images: Images | None = None) -> Images:
        """Return the explained images: those given here, or else those that were passed to `explain`.

        Raises:
            InputError: There are none, or their number is wrong.
        """
        known = self.images if images is None else images
        if known is None:
            raise InputError("the explanation does not hold its images (copies and pickles never do); pass images=….")
        if len(known) != len(self.scores):
            raise InputError(
                f"got {len(known)} images for an explanation of {len(self.scores)}; pass the explained images."
            )
        return known

    def of_class(self, maps: Float[np.ndarray, "n ..."], nth: int = 0) -> Float[np.ndarray, "n ..."]:
        """Return one map per image, even if several classes were explained for each image.

        Raises:
            InputError: There are not that many classes.
        """
        if self.scores.ndim < 2:
            return maps
        several = self.scores.shape[1]
        if not -several <= nth < several:
            raise InputError(f"nth is {nth}, expected 0 to {several - 1}, one of the explained classes.")
        return maps[:, nth]


class ResultCollector:
    """Collects attributions, scores and outputs batch by batch."""

    def __init__(self, count: int, size: Sequence[int]) -> None:
        """Allocate the buffers.

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

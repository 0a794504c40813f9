"""What a static export holds: the requests that the page makes of some subjects, images and layers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from glassnet.errors import InputError
from glassnet.explorer.shown import OpenSubject
from glassnet.explorer.subjects import Subjects

Params = Mapping[str, str | int]
PICTURES = (("tsne", 2), ("pca", 2), ("pca", 3))
"""Methods and dimensions of the embeddings of each layer."""
CHOSEN_IMAGES, NEIGHBOURS, OPENED = 24, 24, 4
"""Images that are shown one by one where none are named; neighbours of each; images that a view opens by itself."""
_RESERVED = re.compile("[;/?:@&=+$,#]")


@dataclass(frozen=True)
class Request:
    """A request that the page makes of a subject, or of all.

    Attributes:
        path: Below /api, with the subject's name as it is.
        params: Its query.
        aligned: Of a list of embeddings, the layer that the others are turned onto.
        worst: Of the columns, whether a view opens the image of the lowest quality.
    """

    path: str
    params: Params = field(default_factory=dict)
    aligned: str = ""
    worst: bool = False

    @property
    def key(self) -> str:
        """Its name in the index, as `keyOf` in web/src/api/exported.ts makes it."""
        pieces = [_RESERVED.sub(lambda one: quote(one[0], safe=""), piece) for piece in self.path.split("/")]
        query = "&".join(f"{name}={self.params[name]}" for name in sorted(self.params))
        return f"GET {'/'.join(pieces)}{f'?{query}' if query else ''}"


def pages_of(request: Request, body: bytes) -> list[Request]:
    """Return the pages of thumbnails that an atlas names."""
    if not request.path.endswith("/atlas"):
        return []
    atlas = json.loads(body)
    return [
        Request(f"{request.path}/{page}", {**request.params, "digest": atlas["digest"]})
        for page in range(atlas["pages"])
    ]


def listed_embeddings(request: Request, body: bytes) -> list[Request]:
    """Return the embeddings that are listed, as the page asks for them: with all their settings."""
    if not request.path.endswith("/embeddings"):
        return []
    base = request.path.removesuffix("s")
    keys = ("layer", "method", "dims", "images", "seed", "perplexity")
    found = []
    for one in json.loads(body)["embeddings"]:
        params = {**request.params, **{key: _plain(one[key]) for key in keys if one[key] is not None}}
        onto = request.aligned if one["layer"] != request.aligned else ""
        found += [Request(base, params), *([Request(base, {**params, "align": onto})] if onto else [])]
    return found


def opened_first(request: Request, body: bytes) -> Iterator[tuple[str, int]]:
    """Yield subject and number of the images that a view opens by itself: the worst, and where two networks differ."""
    if request.path == "/compare":
        for one in json.loads(body)["disagreements"][:OPENED]:
            yield from ((str(request.params[side]), one["number"]) for side in ("first", "second"))
    if request.path.endswith("/columns") and request.worst:
        columns = np.frombuffer(body, "<f4").reshape(6, -1)  # numbers, label, predicted, confidence, loss, quality
        quality, numbers = columns[5], columns[0].view("<i4")
        known = np.flatnonzero(~np.isnan(quality))
        ends = known[np.argsort(quality[known], kind="stable")]
        for place in {*ends[:OPENED].tolist(), *ends[-OPENED:].tolist()}:
            yield request.path.split("/")[2], int(numbers[place])


def _plain(value: Any) -> str | int:
    """Write a number as JavaScript does."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else value


def chosen_numbers(subjects: Subjects, images: str) -> list[int]:
    """Return the numbers of the test images that are shown one by one: of all subjects together, each once.

    Raises:
        InputError: The words are no indices and no rule.
    """
    from glassnet.analysis.selection import is_file, select

    numbers: dict[int, None] = {}
    for opened in _finished(subjects):
        subject = opened.subject
        if images and is_file(images):
            raise InputError(f"--images is {images}, expected indices as in 3,14,15, or a rule as in first:24.")
        explain = subject.task.views().explain
        usual = f"{explain.images.partition(':')[0]}:{CHOSEN_IMAGES}" if subject.labelled else f"first:{CHOSEN_IMAGES}"
        for group in select(subject, images or usual, "test", "fp32", opened.context()):
            numbers |= dict.fromkeys(group.split.numbers.tolist())
    return list(numbers)


def _finished(subjects: Subjects) -> Iterator[OpenSubject]:
    return (one for one in subjects.all.values() if one.kind != "unfinished" and not one.problem)


def requests_of(opened: OpenSubject, numbers: Iterable[int], names: Sequence[str]) -> Iterator[Request]:
    """Yield what the page asks of a subject, for the test part, these images and these layers."""
    base, part = f"/subjects/{opened.id}", {"part": "test"}
    yield from (Request(base), Request(f"{base}/training"))
    if opened.kind == "unfinished" or opened.problem:
        return
    info = opened.info()
    yield from (Request(f"{base}/{route}", part) for route in ("labels", "atlas", "names"))
    yield Request(f"{base}/columns", part, worst=not {"segmentation", "reconstruction"}.isdisjoint(info.views))
    yield Request(f"{base}/network")
    if "mistakes" in info.views and info.label_of == "labels":
        yield from (Request(f"{base}/judged-labels", part), Request(f"{base}/wrong-labels", part))
        yield from (Request(f"{base}/wrong-labels", {**part, "label": label}) for label in range(len(info.classes)))
    elif "mistakes" in info.views and info.label_of == "image":
        yield from (Request(f"{base}/label-errors", {**part, "layer": name}) for name in names)
    if "channels" in info.views:
        channelled = [layer.name for layer in info.layers if layer.channels > 1 and layer.name in names]
        yield from (Request(f"{base}/layer-channels", {**part, "layer": name}) for name in channelled)
    if "embedding" in info.views:
        yield Request(f"{base}/scores", part)
        yield from _embeddings(base, names, info.default_layer)
        yield Request(f"{base}/embeddings", part, info.default_layer or "")  # when all of them are there
    if "reconstruction" in info.views:
        yield Request(f"{base}/latents", part)
    known = set(opened.part("test").numbers.tolist())
    for number in numbers:
        if number in known:
            yield from requests_of_image(opened, number, names)


def layers_of(opened: OpenSubject, layers: Sequence[str]) -> list[str]:
    """Return the layers of an export: those that are named, or the default one and those whose maps are shown.

    Raises:
        InputError: There is no such layer.
    """
    if opened.kind == "unfinished" or opened.problem:
        return []
    info = opened.info()
    if layers:
        from glassnet.models.layers import select_layers

        asked = set(select_layers(opened.model(), list(layers)))
    else:
        asked = {*info.map_layers, *([info.default_layer] if info.default_layer else [])}
    return [layer.name for layer in info.layers if layer.name in asked]


def _embeddings(base: str, names: Sequence[str], default: str | None) -> Iterator[Request]:
    """Yield the pictures of the layers, each as it is, and turned onto the default layer's."""
    for name in names:
        for method, dims in PICTURES:
            params: dict[str, str | int] = {"part": "test", "layer": name, "method": method, "dims": dims}
            yield Request(f"{base}/embedding", params)
            if default is not None and name != default:
                yield Request(f"{base}/embedding", {**params, "align": default})


def requests_of_image(opened: OpenSubject, number: int, names: Sequence[str]) -> Iterator[Request]:
    """Yield what the page asks of one image."""
    base = f"/subjects/{opened.id}"
    info, part = opened.info(), {"part": "test"}
    yield from (Request(f"{base}/{route}/{number}", part) for route in ("picture", "pixels", "image"))
    for layers, methods, target in _maps(opened):
        asked = {**part, "layers": layers, "methods": methods, "target": target}
        yield Request(f"{base}/maps/{number}", asked)
    mapped = [layer.name for layer in info.layers if layer.map and layer.name in names]
    yield from (Request(f"{base}/channels/{number}", {**part, "layer": name}) for name in mapped)
    count: dict[str, str | int] = {**part, "count": NEIGHBOURS}
    yield from (Request(f"{base}/neighbours/{number}", {**count, "layer": name}) for name in names)
    if "segmentation" in info.views:
        yield Request(f"{base}/segmentation/{number}", part)
    if "reconstruction" in info.views:
        from glassnet.explorer.reconstructed import strengths

        yield Request(f"{base}/reconstruction/{number}", part)
        noises = strengths(opened.subject)
        yield from (Request(f"{base}/reconstruction/{number}", {**part, "noise": noise}) for noise in noises)


def _maps(opened: OpenSubject) -> Iterator[tuple[str, str, str]]:
    """Yield layers, methods and target of the maps that the page asks for: all at once, and each alone."""
    info = opened.info()
    layers, methods = info.map_layers, info.default_methods
    target = info.targets[0] if info.targets else "predicted"
    yield ",".join(layers), ",".join(methods), target
    for layer in layers:
        yield from ((layer, method, target) for method in methods)
    if "segmentation" in info.views:
        yield from ((layer, methods[0], name) for layer in layers[-1:] for name in info.classes)


def comparisons(subjects: Subjects) -> list[Request]:
    """Return the comparisons of each two subjects that have such a view."""
    compared = [one.id for one in _finished(subjects) if "compare" in one.info().views]
    pairs = [(first, second) for first in compared for second in compared if first != second]
    return [
        Request(route, {"first": first, "second": second, "part": "test"})
        for first, second in pairs
        for route in ("/compare", "/cka")
    ]

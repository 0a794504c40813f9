"""What `explain` returns: maps by method and layer, and the scores that they explain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int

from glassnet.errors import InputError


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


@dataclass(frozen=True)
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
        output: The model's output; None where it is no tensor with a row an image.
    """

    maps: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    raw: Mapping[tuple[str, str], Float[np.ndarray, "n ..."]]
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    targets: Int[np.ndarray, "n ..."] | None
    scores: Float[np.ndarray, "n ..."]
    output: Float[np.ndarray, "n ..."] | None

    def __getitem__(self, key: tuple[str, str]) -> Float[np.ndarray, "n ..."]:
        """Return the attributions of (method, layer) at the input's size.

        Raises:
            InputError: There is no such method or layer; the message lists those there are.
        """
        return self.maps[key]

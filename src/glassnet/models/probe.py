"""A linear probe: the frozen features of any network, and one linear map from them to the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.console import say_once
from glassnet.errors import InputError, unknown_name
from glassnet.images import device_of
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import trace
from glassnet.models.references import Wanted, is_reference, load_reference

MODEL_NAME = "probe"
Maps = Float[Tensor, "batch channel height width"]


class Probe(nn.Module):
    """A linear probe: a linear classifier on one layer's features of a frozen network, averaged over pixels or tokens.

    The map is fitted all at once (`training/fitting.py`): the network runs over the training images only once, and no
    weight of it changes.

    Alain & Bengio 2016, https://arxiv.org/abs/1610.01644, section 3.
    """

    output = "scores"
    head_name = "head"
    fits_at_once = True
    pretrained_pixels = 224

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        of: str = "efficientnet_lite0",
        weights: str = "imagenet",
        layer: str = "",
    ) -> None:
        """Build the network and the map, which is zero until it is fitted.

        Args:
            in_channels: Channels of the images.
            num_classes: Classes of the map.
            image_size: Height and width of the images in pixels.
            of: Network whose features are taken, as --model takes it: by name, or by reference (net.py:make, hf:NAME,
                timm:NAME, net.pt2).
            weights: Its weights: imagenet or a file; empty for random ones. A reference has weights of its own, or
                takes a file's.
            layer: Layer whose output is taken; empty for what the network's last linear layer takes.

        Raises:
            InputError: There is no such network or layer, or its features have no channels that a trace tells.
        """
        super().__init__()
        self.network, self.reference = _network(of, weights, in_channels=in_channels, image_size=image_size)
        self.network.requires_grad_(requires_grad=False)
        self.layer = layer
        names = [name for name, _ in self.network.named_modules() if name]
        if layer and layer not in names:
            raise unknown_name("layer", layer, names, where=f" in {of}", noun="layers")
        self._place = layer or _last_linear(self.network, of)
        if not layer:  # its scores are of other classes, and would stand in every list of layers
            self.network.set_submodule(self._place, nn.Identity())
        self._reading: Reading | None = None
        self.eval()
        blank = torch.zeros(2, in_channels, image_size, image_size, device=device_of(self.network))
        with torch.no_grad():
            self._reading = self._traced(blank)
            rows = self.features(blank)
        if rows.ndim != 2:
            raise InputError(
                f"the last linear layer of {of}, {self._place}, takes inputs of shape {tuple(rows.shape)}, expected "
                "one row of features per image; name a layer, as in layer=conv4."
            )
        self.head = nn.Linear(rows.shape[1], num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def train(self, mode: bool = True) -> Probe:
        """Stay in evaluation mode but for the map: the features do not depend on the batch."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, images: Maps) -> Float[Tensor, "batch classes"]:
        """Return the logits of images in [0, 1]."""
        scores: Tensor = self.head(self.features(images))
        return scores

    def features(self, images: Maps) -> Float[Tensor, "batch d"]:
        """Return the layer's features, one row an image."""
        with self._tapped() as taken:
            self.network(images)
        if not taken:
            raise InputError(f"the probed network does not run its layer {self._place} by itself; name another layer.")
        value = taken[0]
        return value if self._reading is None else self._reading.to_rows(value, mean=True)

    @contextmanager
    def _tapped(self) -> Iterator[list[Tensor]]:
        taken: list[Tensor] = []
        module = self.network.get_submodule(self._place)
        if self.layer:
            hook = module.register_forward_hook(lambda _module, _inputs, output: taken.append(output))
        else:
            hook = module.register_forward_pre_hook(lambda _module, inputs: taken.append(inputs[0]))
        try:
            yield taken
        finally:
            hook.remove()

    def _traced(self, images: Maps) -> Reading | None:
        """Return how the layer's output is laid out; None for what the last linear layer takes, a row an image."""
        if not self.layer:
            return None
        reading = trace(self.network, images, [self._place]).get((self._place, 0))
        problem = "gives no tensor" if reading is None else reading.problem_as_rows(mean=True)
        if problem:
            raise InputError(f"layer '{self.layer}' of the probed network {problem}; choose another layer.")
        return reading


def _network(of: str, weights: str, *, in_channels: int, image_size: int) -> tuple[nn.Module, Mapping[str, Any] | None]:
    """Build the probed network; of a reference, also return what tells later whether its source is the same."""
    if is_reference(of):
        file = None if weights in ("", "imagenet") else Path(weights)
        with torch.device("cpu"):  # code of somebody's own needs numbers, also where ours is built without
            loaded = load_reference(of, Wanted(in_channels, image_size, weights=file), seed=0)
        return loaded.module, loaded.record
    from glassnet.models import create_model, model_options  # they know this class

    if of == MODEL_NAME:
        raise InputError("of is probe, expected the network to be probed, such as efficientnet_lite0.")
    options: dict[str, Any] = {"weights": weights} if weights and "weights" in model_options(of) else {}
    if not options:
        say_once(f"{of} has random weights, so the probe measures untrained features.")
    classes = 1000 if options else 2
    return create_model(of, in_channels=in_channels, num_classes=classes, image_size=image_size, **options), None


def _last_linear(network: nn.Module, of: str) -> str:
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"{of} has no linear layer whose input a probe could use; name a layer, as in layer=conv4.")
    return linear[-1]

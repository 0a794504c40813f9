"""The contenders of `attribution.py`: the same network, images, target and layers; as a script, one's peak memory."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.models import create_model

Maps = dict[str, np.ndarray]
Contender = Callable[[nn.Module, Tensor, list[str]], Maps]


def main() -> None:
    """Run one contender in this process alone, and print its peak memory, once the network is there and at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=0, help="only so many of the layers, for a slow contender")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, images, layers = scene(arguments.batch, arguments.pixels)
    CONTENDERS[arguments.contender](network, images[:1, :, :32, :32], layers[:1])  # imports, and little memory
    before = _resident("VmHWM")
    CONTENDERS[arguments.contender](network, images, layers[: arguments.layers or None])
    json.dump({"peak_bytes": _resident("VmHWM"), "peak_bytes_before": before}, sys.stdout)


def scene(batch: int, pixels: int) -> tuple[nn.Module, Tensor, list[str]]:
    """Build VGG16 with random weights and 1,000 classes, random images, and the names of its convolutions."""
    torch.manual_seed(0)
    network = create_model("vgg16", in_channels=3, num_classes=1000, image_size=pixels).eval()
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    return network, torch.rand(batch, 3, pixels, pixels), layers


def ours(*, method: str, precision: str) -> Contender:
    """Make glassnet: all layers in one call."""
    from glassnet.attribution import explain

    def run(network: nn.Module, images: Tensor, layers: list[str]) -> Maps:
        explanation = explain(
            network,
            images,
            target=[0] * len(images),
            layers=layers,
            methods=method,
            batch_size=len(images),
            precision=precision,
        )
        return {layer: explanation.raw[method, layer] for layer in explanation.layers}

    return run


def torchcam(network: nn.Module, images: Tensor, layers: list[str]) -> Maps:
    """Run torchcam: all layers in one call, maps as they are."""
    from torchcam.methods import GradCAM

    with GradCAM(network, layers) as extractor:
        maps = extractor([0] * len(images), network(images), normalized=False)
    return {layer: values.cpu().numpy() for layer, values in zip(layers, maps, strict=True)}


def captum(name: str) -> Contender:
    """Make captum, which takes one layer a call: call it for each."""

    def run(network: nn.Module, images: Tensor, layers: list[str]) -> Maps:
        from captum import attr

        maps = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the hooks that it sets for guided backpropagation
            for layer in layers:
                oracle = getattr(attr, name)(network, network.get_submodule(layer))
                options = {"relu_attributions": True} if name == "LayerGradCam" else {"interpolate_mode": "bilinear"}
                wanted = torch.zeros(len(images), dtype=torch.long, device=images.device)
                maps[layer] = oracle.attribute(images, target=wanted, **options).detach().cpu().numpy()
        return {layer: m[:, 0] if name == "LayerGradCam" else m for layer, m in maps.items()}

    return run


CONTENDERS: dict[str, Contender] = {
    "ours": ours(method="gradcam", precision="fp32"),
    "ours-bf16": ours(method="gradcam", precision="bf16"),
    "torchcam": torchcam,
    "captum": captum("LayerGradCam"),
    "ours-guided": ours(method="guided_gradcam", precision="fp32"),
    "captum-guided": captum("GuidedGradCam"),
}


def _resident(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


if __name__ == "__main__":
    main()

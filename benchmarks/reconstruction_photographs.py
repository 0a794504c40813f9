"""Denoisers on whole photographs: a trained network beside BM3D and non-local means, at one level of noise.

The photographs are scikit-image's, which our networks are not trained on (but for the data sets `photos-sample` and
`digit-scenes`, whose runs are refused): in grey and in colour, at their own sizes. Noise is Gaussian, clipped to [0, 1]
as 8-bit files have it, and follows from the photograph's name. Classical denoisers are told the true level, as their
papers have it.
"""

import importlib.resources
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor, nn

import glassnet as gn
from glassnet.denoising import DENOISERS, Pictures
from glassnet.models.inference import predict
from glassnet.tasks.reconstruction.image_quality import psnr

PHOTOGRAPHS: Mapping[int, tuple[str, ...]] = {
    1: ("camera.png", "coins.png", "moon.png", "page.png", "brick.png", "grass.png", "gravel.png"),
    3: ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"),
}
"""By channels."""
TRAINED_ON_THEM = ("photos-sample", "digit-scenes")
CLASSICAL = {"nonlocal_means": 0.6, "bm3d": 1.0}
"""Their strengths, as chosen on training images of CIFAR-10 and dogs: docs/results/reconstruction.md."""


def measure_photographs(paths: list[Path], level: float, most: int | None = None) -> dict:
    """Return, by run, the PSNR of each photograph, of as many channels as the run has, beside the classical ones'."""
    found: dict = {"level": level, "runs": {}, "left_out": []}
    for name in CLASSICAL:
        if not DENOISERS[name].available():
            found["left_out"].append(f"{DENOISERS[name].title} is not installed: {DENOISERS[name].needs}")
    for path in paths:
        run = gn.Run.open(path)
        if run.settings.data in TRAINED_ON_THEM:
            raise SystemExit(f"{path} was trained on {run.settings.data}, which holds these photographs; give another.")
        channels = run.manifest["model"]["in_channels"]
        if channels not in PHOTOGRAPHS:
            raise SystemExit(f"{path} takes images of {channels} channels, and the photographs have 1 or 3.")
        files = PHOTOGRAPHS[channels][:most]
        found["runs"][str(path)] = {
            "model": run.manifest["model"]["name"],
            "noise": run.settings.noise,
            "photographs": {file: _of_one(run.model(), file, channels, level) for file in files},
        }
    for told in found["runs"].values():
        told["mean"] = _means(told["photographs"])
    return found


def print_photographs(found: dict) -> None:
    """Print a table a run: a row a photograph, PSNR in dB, and seconds for the mean."""
    for path, told in found["runs"].items():
        ways = list(told["mean"])
        print(f"\n{path}: {told['model']}, trained with {told['noise']}; PSNR in dB at {found['level']:g}\n")
        print(f"| photograph | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
        for file, row in {**told["photographs"], "mean": told["mean"]}.items():
            cells = [f"{row[way]['psnr']:.2f} ({row[way]['seconds']:.1f} s)" for way in ways]
            print(f"| {file} | {' | '.join(cells)} |")
    for sentence in found["left_out"]:
        print(sentence)


def _of_one(model: nn.Module, file: str, channels: int, level: float) -> dict:
    clean = _read(file, channels)
    seed = int.from_bytes(file.encode()[:4])
    drawn = torch.randn(clean.shape, generator=Generator().manual_seed(seed))
    noisy = (clean + level * drawn).clamp(0, 1)
    ways: dict[str, Callable[[Tensor], Tensor]] = {"noisy": lambda images: images}
    for name, strength in CLASSICAL.items():
        if DENOISERS[name].available():
            ways[name] = _classical(DENOISERS[name].denoise, level, strength)
    ways["network"] = lambda images: _images(predict(model, images, batch_size=1))
    return {name: _timed(way, noisy, clean) for name, way in ways.items()}


def _classical(
    denoise: Callable[[Pictures, float, float], Pictures], level: float, strength: float
) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.from_numpy(denoise(images.numpy(), level, strength))


def _timed(way: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor) -> dict:
    begun = time.perf_counter()
    images = way(noisy)
    return {"psnr": float(psnr(images, clean)[0]), "seconds": time.perf_counter() - begun}


def _images(output: Tensor) -> Tensor:
    return output.float().cpu()


def _means(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict:
    ways = next(iter(rows.values()))
    return {
        way: {key: float(np.mean([row[way][key] for row in rows.values()])) for key in ("psnr", "seconds")}
        for way in ways
    }


def _read(file: str, channels: int) -> Tensor:
    with Image.open(str(importlib.resources.files("skimage") / "data" / file)) as image:
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    tensor = torch.from_numpy(pixels.copy()).float() / 255
    return (tensor[..., None] if channels == 1 else tensor).permute(2, 0, 1)[None].contiguous()

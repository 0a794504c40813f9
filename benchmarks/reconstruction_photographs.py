"""Trained denoisers beside BM3D and non-local means at one level of noise: on whole photographs, and on test images.

The photographs are scikit-image's, which our networks are not trained on (but for the data sets `photos-sample` and
`digit-scenes`, whose runs are refused): in grey and in colour, at their own sizes. Noise is Gaussian, clipped to [0, 1]
as 8-bit files have it, and follows from the photograph's name. Classical denoisers are told the true level, as their
papers have it.

The test images are the first of the run's own data set, with the very noise, and the classical denoisers at the very
strengths, chosen on training images, that `glassnet eval` has of a run of that level and seed.
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
from glassnet.data.augment.noise import NoiseCorruption, parse_noise
from glassnet.data.batches import corrupt
from glassnet.denoising import DENOISERS, Pictures
from glassnet.denoising.baselines import TUNED_ON, denoise_all
from glassnet.images import to_float
from glassnet.models.denoiser import UNetDenoiser, self_ensemble
from glassnet.models.inference import outputs
from glassnet.rng import PerImageRNG, SplitName
from glassnet.tasks.reconstruction.image_quality import psnr
from glassnet.tasks.reconstruction.learn import mean_interval, output_images

PHOTOGRAPHS: Mapping[int, tuple[str, ...]] = {
    1: ("camera.png", "coins.png", "moon.png", "page.png", "brick.png", "grass.png", "gravel.png"),
    3: ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"),
}
"""By channels."""
TRAINED_ON_THEM = ("photos-sample", "digit-scenes")
CLASSICAL = {"nonlocal_means": 0.6, "bm3d": 1.0}
"""Their strengths, as chosen on training images of CIFAR-10 and dogs: docs/results/reconstruction.md."""
NETWORK, EIGHT = "network", "network, eight views"


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


def measure_test_images(paths: list[Path], level: float, count: int, data_root: Path | None = None) -> dict:
    """Return, by run, the mean PSNR on the first test images, and by how much the network lies above each of them."""
    found: dict = {"level": level, "images": count, "runs": {}, "left_out": []}
    for path in paths:
        run = gn.Run.open(path)
        noisy, clean = _pair(run, "test", count, level, data_root)
        others, left_out = denoise_all(noisy, _pair(run, "train", TUNED_ON, level, data_root))
        model = run.model()
        ways = {NETWORK: _restored(model, noisy)}
        if isinstance(model, UNetDenoiser):
            ways[EIGHT] = _averaged(model, noisy)
        own = {way: psnr(images, clean).double().numpy() for way, images in ways.items()}
        told: dict = {way: {"psnr": each.mean(), "interval": mean_interval(each)} for way, each in own.items()}
        for one in others:
            each = psnr(one.images, clean[: len(one.images)]).double().numpy()
            above = {way: values[: len(each)] - each for way, values in own.items()}
            told[one.title] = {
                "images": len(each),
                "psnr": each.mean(),
                "margins": {way: gap.mean() for way, gap in above.items()},
                "margin_intervals": {way: mean_interval(gap) for way, gap in above.items()},
            }
        found["runs"][str(path)] = told
        found["left_out"] = left_out
    return found


def print_test_images(found: dict) -> None:
    """Print a table a run: each way's PSNR and the network's margin over it."""
    for path, told in found["runs"].items():
        print(f"\n{path}: first {found['images']} test images at {found['level']:g}; PSNR in dB\n")
        ways = [name for name, row in told.items() if "margins" not in row]
        print(f"| | PSNR | {' | '.join(f'{way} above it [95%]' for way in ways)} |\n|---|---|{'---|' * len(ways)}")
        for name, row in told.items():
            print(f"| {name} | {row['psnr']:.2f} | {' | '.join(_margin(row, way) for way in ways)} |")
    for sentence in found["left_out"]:
        print(sentence)


def _margin(row: Mapping, way: str) -> str:
    if "margins" not in row:
        return ""
    low, high = row["margin_intervals"][way]
    return f"{row['margins'][way]:+.2f} [{low:+.2f}, {high:+.2f}]"


def _pair(run: gn.Run, part: SplitName, count: int, level: float, data_root: Path | None) -> tuple[Tensor, Tensor]:
    """Return the first images of a part with their noise, and as they were."""
    split = getattr(run.dataset(data_root), part)
    places = torch.arange(min(count, len(split)))
    corruption = NoiseCorruption(parse_noise(f"gaussian:{level:g}"), run.settings.binarize)
    rng = PerImageRNG(run.settings.seed, part)
    return corrupt(to_float(split.take(places)[0]), places.tolist(), corruption=corruption, rng=rng)


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
    ways[NETWORK] = lambda images: _restored(model, images)
    if isinstance(model, UNetDenoiser):
        ways[EIGHT] = lambda images: _averaged(model, images)
    return {name: _timed(way, noisy, clean) for name, way in ways.items()}


def _classical(
    denoise: Callable[[Pictures, float, float], Pictures], level: float, strength: float
) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.from_numpy(denoise(images.numpy(), level, strength))


def _timed(way: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor) -> dict:
    begun = time.perf_counter()
    images = way(noisy)
    return {"psnr": float(psnr(images, clean)[0]), "seconds": time.perf_counter() - begun}


def _restored(model: nn.Module, images: Tensor) -> Tensor:
    """Run a denoiser over images; its output may be these alone, or a code beside them."""
    found = [output_images(output).float().cpu().clamp(0, 1) for output in outputs(model, images.split(50))]
    return torch.cat(found)


def _averaged(model: nn.Module, images: Tensor) -> Tensor:
    """Return the mean of a denoiser's results for the eight orientations of each image."""
    return torch.cat([self_ensemble(model, some) for some in images.split(50)])


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

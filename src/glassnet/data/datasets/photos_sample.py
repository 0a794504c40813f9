"""Photographs sample: 32 px crops of five photographs that scikit-image ships, for a first run without a download."""

import hashlib
import importlib.metadata
import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.pictures import resize_dataset
from glassnet.errors import InputError
from glassnet.files import atomic

SIDE_PIXELS = 32
STRIDE_PIXELS = 16
TEST_SHARE = 0.2
# SHA-256 of each file, so that figures on the sample stay comparable.
FILES = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}
PHOTOGRAPHS = (
    *FILES,
    "camera.png",
    "clock_motion.png",
    "coins.png",
)
"""Those that are of things, of all that scikit-image ships."""
FLAT_LEVELS = 1.0
"""Standard deviation in grey levels below which a crop shows nothing, as of a night sky, and is left out."""


def load(_root: Path, image_size: int | None = None) -> Dataset:
    """Cut each photograph into crops of 32 by 32 pixels: the left four fifths to train on, the right fifth to test on.

    Crops begin 16 pixels apart, so that neighbours overlap within a part, never over the parts' border. The class of a
    crop is the photograph that it is of.

    Raises:
        InputError: The installed scikit-image ships other photographs, or none.
    """
    photos = [_read(name, digest) for name, digest in FILES.items()]
    borders = [round(photo.shape[2] * (1 - TEST_SHARE)) for photo in photos]
    train = [_crops(photo[:, :, :border]) for photo, border in zip(photos, borders, strict=True)]
    test = [_crops(photo[:, :, border:]) for photo, border in zip(photos, borders, strict=True)]
    dataset = Dataset(
        name="photos-sample",
        task="classification",
        classes=tuple(name.partition(".")[0].partition("_")[0] for name in FILES),
        train=_split(train),
        test=_split(test),
        augmentation="photos",
        note="32 px crops of five photographs from scikit-image, the right fifth of each for the test; neighbouring "
        "crops overlap by half within a part, also those held out for validation and those trained on",
    )
    return resize_dataset(dataset, image_size)


def find(_root: Path) -> Path | None:
    """Return the folder inside the installed scikit-image, if all five photographs are there."""
    return Path(str(_folder())) if all(_folder().joinpath(name).is_file() for name in FILES) else None


def copy_photographs(folder: Path) -> Path:
    """Write those of PHOTOGRAPHS that the installed scikit-image ships into a folder, whole, and return it.

    Raises:
        InputError: It ships none of them.
    """
    there = [name for name in PHOTOGRAPHS if (_folder() / name).is_file()]
    if not there:
        version = importlib.metadata.version("scikit-image")
        raise InputError(
            f"the installed scikit-image {version} ships no photographs; `pip install scikit-image==0.26.0`."
        )
    for name in there:
        with atomic(folder / name) as temporary:
            temporary.write_bytes((_folder() / name).read_bytes())
    return folder


def _folder() -> Traversable:
    return importlib.resources.files("skimage") / "data"


def _read(name: str, digest: str) -> UInt8[np.ndarray, "3 height width"]:
    file = _folder() / name
    problem = f"has no {name}"
    if file.is_file():
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() == digest:
            with file.open("rb") as opened, Image.open(opened) as image:
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        problem = f"ships another {name} than expected"
    version = importlib.metadata.version("scikit-image")
    raise InputError(
        f"the installed scikit-image {version} {problem}; install one that fits: `pip install scikit-image==0.26.0`."
    )


def _crops(photo: UInt8[np.ndarray, "3 height width"]) -> UInt8[np.ndarray, "n 3 32 32"]:
    windows = np.lib.stride_tricks.sliding_window_view(photo, (SIDE_PIXELS, SIDE_PIXELS), axis=(1, 2))
    crops = (
        windows[:, ::STRIDE_PIXELS, ::STRIDE_PIXELS].transpose(1, 2, 0, 3, 4).reshape(-1, 3, SIDE_PIXELS, SIDE_PIXELS)
    )
    return crops[crops.std(axis=(1, 2, 3)) > FLAT_LEVELS]


def _split(parts: list[np.ndarray]) -> Split:
    targets = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(part) for part in parts]))
    return Split(torch.from_numpy(np.concatenate(parts)), targets)


SOURCE = Source(
    summary="crops of five photographs, from the package scikit-image",
    load=load,
    find=find,
    needs="`pip install scikit-image`",
    tasks=("reconstruction", "classification"),
    classes=len(FILES),
    channels=3,
    image_size=SIDE_PIXELS,
    train=3_640,
    test=769,
)

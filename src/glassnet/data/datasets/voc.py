"""PASCAL VOC 2012 and SBD on disk: their lists, and the class of every pixel as each of them writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, UnidentifiedImageError

from glassnet.data.decoding import DamagedError, opened
from glassnet.data.mat import MatError, read_mat
from glassnet.errors import InputError
from glassnet.images import VOID

CLASSES = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOC = Path("VOCdevkit") / "VOC2012"
SBD = Path("benchmark_RELEASE") / "dataset"
REMEDY = "delete {folder} and run `glassnet data fetch voc-aug`"
PARTS = ("voc_train", "voc_val", "sbd_train", "sbd_val")


@dataclass(frozen=True)
class Archives:
    """The unpacked archives, and the names of the images that each list holds.

    Attributes:
        voc: Folder VOC2012.
        sbd: Folder dataset of SBD.
        lists: Names by a key of PARTS.
    """

    voc: Path
    sbd: Path
    lists: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All images that have a mask, in order."""
        return tuple(sorted({name for part in self.lists.values() for name in part}))

    def image(self, name: str) -> Path:
        """Return the image's file: VOC's, or SBD's where VOC's archive lacks it; of none, the one that lists name."""
        own, other = self.voc / "JPEGImages" / f"{name}.jpg", self.sbd / "img" / f"{name}.jpg"
        return own if own.exists() or (name in self._of_voc and not other.exists()) else other

    def mask(self, name: str) -> Path:
        """Return the mask's file: VOC's own, which is the finer one, wherever VOC lists the image or there is one."""
        own = self.voc / "SegmentationClass" / f"{name}.png"
        return own if name in self._of_voc or own.exists() else self.sbd / "cls" / f"{name}.mat"

    @cached_property
    def _of_voc(self) -> frozenset[str]:
        return frozenset(self.lists["voc_train"]) | frozenset(self.lists["voc_val"])


def open_archives(voc: Path, sbd: Path) -> Archives:
    """Read the four lists.

    Raises:
        InputError: One is missing or empty.
    """
    files = {
        "voc_train": voc / VOC / "ImageSets" / "Segmentation" / "train.txt",
        "voc_val": voc / VOC / "ImageSets" / "Segmentation" / "val.txt",
        "sbd_train": sbd / SBD / "train.txt",
        "sbd_val": sbd / SBD / "val.txt",
    }
    return Archives(voc / VOC, sbd / SBD, {part: _names(path) for part, path in files.items()})


def trainaug(lists: dict[str, tuple[str, ...]]) -> tuple[set[str], set[str]]:
    """Split so that no image is in both parts: VOC's validation images to test on, all others to learn from."""
    whole = {name for part in lists.values() for name in part}
    test = set(lists["voc_val"])
    return whole - test, test


def union(lists: dict[str, tuple[str, ...]]) -> tuple[set[str], set[str]]:
    """Split as the 2019 report did: all training lists, all validation lists; some images are in both parts."""
    return set(lists["voc_train"]) | set(lists["sbd_train"]), set(lists["voc_val"]) | set(lists["sbd_val"])


def union_clean(lists: dict[str, tuple[str, ...]]) -> tuple[set[str], set[str]]:
    """Split as `union` does, but train on none of the images that are tested; so it has fewer to train on as well."""
    train, test = union(lists)
    return train - test, test


def read_pair(archives: Archives, name: str, size: int) -> tuple[UInt8[np.ndarray, "3 s s"], UInt8[np.ndarray, "s s"]]:
    """Read an image and its mask, both squeezed to a square: the image bilinear with antialias, the mask nearest.

    Raises:
        InputError: A file is missing or damaged, the two differ in size, or the mask holds a class that there is not.
    """
    image, mask = _image(archives.image(name), size), read_mask(archives.mask(name))
    pixels, original = image
    if mask.shape != original:
        raise InputError(
            f"{archives.mask(name)} is a mask of {mask.shape[1]}x{mask.shape[0]} pixels for an image of "
            f"{original[1]}x{original[0]}; {_remedy(archives.mask(name))}."
        )
    small = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
    return pixels, np.asarray(small)


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Read the class of every pixel, from a PNG's palette indices or from SBD's GTcls.Segmentation.

    Raises:
        InputError: The file is missing or damaged, or holds a value that is no class and not VOID.
    """
    mask = _mat(path) if path.suffix == ".mat" else _png(path)
    wrong = mask[(mask != VOID) & ((mask < 0) | (mask >= len(CLASSES)))]
    if wrong.size:
        raise InputError(
            f"{path} holds the class {wrong[0]}, expected 0 to {len(CLASSES) - 1}, or {VOID} for void; {_remedy(path)}."
        )
    return np.ascontiguousarray(mask, dtype=np.uint8)


def require_files(archives: Archives) -> None:
    """Refuse archives that lack a file.

    Raises:
        InputError: One that the lists name is not there.
    """
    for path in (path for one in archives.names for path in (archives.image(one), archives.mask(one))):
        if not path.exists():
            raise InputError(f"{path} is missing, which the lists name; {_remedy(path)}.")


def _remedy(path: Path) -> str:
    """Say how to get a file anew: fetching removed its archive, and does nothing while the unpacked folder is there."""
    unpacked = (VOC.parts, SBD.parts)
    folder = next((one for one in path.parents if one.parts[-2:] in unpacked), path.parent)
    return REMEDY.format(folder=folder)


def _names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {_remedy(path)}.") from None
    if not names:
        raise InputError(f"{path} is empty, expected a name of an image a line; {_remedy(path)}.")
    return names


def _image(path: Path, size: int) -> tuple[UInt8[np.ndarray, "3 s s"], tuple[int, int]]:
    try:
        with opened(path) as file:
            original = (file.height, file.width)
            file.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size, and faster
            small = file.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    except DamagedError as error:
        raise _unread("image", path, error) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "it is damaged" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(f"{path} cannot be read as an image ({reason}); {_remedy(path)}.") from None
    return np.asarray(small).transpose(2, 0, 1), original


def _unread(what: str, path: Path, error: DamagedError) -> InputError:
    """Say that a file is missing, or that it is no regular one."""
    if not path.exists():
        return InputError(f"the {what} {path} is missing; {_remedy(path)}.")
    return InputError(
        f"{path} cannot be read as {'an' if what == 'image' else 'a'} {what} ({error.reason}); {_remedy(path)}."
    )


def _png(path: Path) -> UInt8[np.ndarray, "height width"]:
    try:
        with opened(path) as file:
            if file.mode not in ("P", "L"):
                raise InputError(
                    f"{path} is a {file.mode} image, expected palette indices or grey levels; {_remedy(path)}."
                )
            return np.array(file, dtype=np.uint8)
    except DamagedError as error:
        raise _unread("mask", path, error) from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as a mask ({error}); {_remedy(path)}.") from None


def _mat(path: Path) -> Integer[np.ndarray, "height width"]:
    if not path.exists():
        raise InputError(f"the mask {path} is missing; {_remedy(path)}.")
    try:
        content = read_mat(path, ("GTcls",)).get("GTcls")
        mask = content.get("Segmentation") if isinstance(content, dict) else None
        if not isinstance(mask, np.ndarray):
            raise MatError("it has no GTcls.Segmentation")
        if mask.dtype.kind == "f" and np.isfinite(mask).all() and (mask == mask.round()).all():
            mask = mask.astype(np.int64)  # MATLAB's numbers are of double precision where nothing else is said
        if mask.ndim != 2 or mask.dtype.kind not in "iu":
            raise MatError(f"its Segmentation is {mask.dtype} of shape {mask.shape}")
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a mask ({error}); {_remedy(path)}.") from None
    return np.asarray(mask)


def count_leak(parts: Sequence[set[str]]) -> int:
    """Count the images that are in both parts."""
    return len(parts[0] & parts[1])

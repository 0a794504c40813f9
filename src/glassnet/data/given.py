"""Images and labels as a user has them, without a data set: arrays, or a folder that is taken whole."""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glassnet.console import say
from glassnet.data.dataset import Split, check_labels
from glassnet.data.listing import (
    are_classes,
    find_parts,
    identity,
    is_hidden_in,
    listed,
    not_regular,
    require_live_folders,
    sub_folders,
    walk,
)
from glassnet.data.pictures import SUFFIXES, read_undamaged_pictures, say_ignored
from glassnet.errors import InputError
from glassnet.images import VOID, Images

Labels = Sequence[int] | np.ndarray | Tensor | None
"""Class of each image (n,), the labels that it has (n, labels), or a class for each pixel (n, height, width)."""


def read_folder(
    path: Path, size: int, channels: int, *, skip_damaged: bool = False, without: Path | None = None
) -> tuple[Tensor, tuple[str, ...], tuple[str, ...] | None]:
    """Read a file, a folder of images, or a folder of class folders.

    Hidden files and folders are left out; where images lie beside the folders, these are no classes.

    Args:
        path: The file or folder.
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        skip_damaged: Leave out images that cannot be read, and say so, instead of refusing them.
        without: A folder in it that holds no images of the user's.

    Returns:
        Pixels, names relative to the folder, and the class folder of each image; None where there are none.

    Raises:
        InputError: There is nothing there, or nothing that can be read as an image, or images cannot be so.
    """
    if channels not in (1, 3) or size < 1:
        raise InputError(
            f"images are to be read with {channels} channels and {size} pixels, expected 3 channels for colour or 1 "
            "for grey, and at least 1 pixel; give other images as an array."
        )
    files = image_files(path, without=without)
    pixels, rows = read_undamaged_pictures(
        files, size=size, channels=channels, description=f"reading {path}", skip_damaged=skip_damaged
    )
    if not rows:
        raise InputError(f"no image of {path} can be read, expected one at least; add images, or replace these.")
    files = [files[row] for row in rows]
    if path.is_file():
        return pixels, (path.name,), None
    inside = [one.relative_to(path) for one in files]
    folders = tuple(one.parts[0] for one in inside) if all(len(one.parts) > 1 for one in inside) else None
    return pixels, tuple(one.as_posix() for one in inside), folders


def read_given(
    images: str | Path, size: int, channels: int, *, skip_damaged: bool, labels: bool
) -> tuple[Tensor, tuple[str, ...], tuple[str, ...] | None, tuple[str, ...]]:
    """Read a file or folder as `read_folder` does, or the test part of hf:NAME_OR_FOLDER.

    Args:
        images: The file, folder or name.
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        skip_damaged: Leave out images that cannot be read, and say so, instead of refusing them.
        labels: Whether classes are asked for.

    Returns:
        Pixels, names, the name of each image's class, None where they have none, and all these names in order.

    Raises:
        InputError: They cannot be read, or class folders are parts of a data set.
    """
    if not str(images).startswith("hf:"):
        path = Path(images)
        pixels, names, folders = read_folder(path, size, channels, skip_damaged=skip_damaged)
        return pixels, names, folders, class_folders(path) if labels and folders is not None else ()
    from glassnet.data import read_dataset  # which needs the modules that import this one

    dataset = read_dataset(str(images), None, size, skip_damaged=skip_damaged, task=None)
    pixels, targets = dataset.test.take(slice(None))
    if channels == 3 and pixels.shape[1] == 1:
        pixels = pixels.expand(-1, 3, -1, -1)
    classes = None if len(dataset.classes) < 2 else tuple(dataset.classes[one] for one in targets.tolist())
    return pixels, dataset.test.files or (), classes, dataset.classes


def image_files(path: Path, *, without: Path | None = None) -> list[Path]:
    """Return the image files of a folder, or the one file that it is; hidden ones are left out, others counted aloud.

    Args:
        path: The file or folder.
        without: A folder in it that holds no images of the user's.

    Raises:
        InputError: There is nothing there, or no image file.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; expected an image file or a folder of images.")
    if not path.is_file() and not path.is_dir():
        raise InputError(f"{path} cannot be read, {not_regular(path)}; give an image file or a folder of images.")
    apart = frozenset([identity(without)] if without is not None and without.is_dir() else [])
    files_there = (path,) if path.is_file() else walk(path, without=apart).files
    visible = [one for one in files_there if not is_hidden_in(one.relative_to(path))]
    files = visible if path.is_file() else [one for one in visible if one.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(f"{path} holds no image files; expected some that end in {', '.join(sorted(SUFFIXES))}.")
    say_ignored(path, Counter(one.suffix.lower() or "without suffix" for one in visible if one not in set(files)))
    return files


def class_folders(path: Path) -> tuple[str, ...]:
    """Return the names of the folders in a folder that are not hidden, in order; one may hold no image.

    Raises:
        InputError: Some of them are parts of a data set, by the rule of a training, or a link leads nowhere.
    """
    require_live_folders(path)
    folders = sub_folders(path)
    parts = find_parts(path, folders)
    if not are_classes(parts, [one for one in folders if one not in parts.values()], needs_classes=True):
        names = [one.name for one in folders]
        of = "which are parts, not classes" if len(folders) == len(parts) else "some of which are parts, not classes"
        raise InputError(
            f"{path} has {listed(names)}, {of}; give one of them, as {path / next(iter(parts.values())).name}, or "
            "rename what is no part."
        )
    return tuple(sorted(one.name for one in folders))


def labels_by_folder(folders: tuple[str, ...], classes: Sequence[str]) -> np.ndarray:
    """Return the class of each image by the name of its folder.

    Raises:
        InputError: A folder has the name of no class.
    """
    unknown = sorted(set(folders) - set(classes))
    if unknown:
        raise InputError(
            f"the folder {unknown[0]} is none of the {len(classes)} classes ({', '.join(classes[:10])}"
            f"{' and more' if len(classes) > 10 else ''}); rename the folders, or give labels."
        )
    return np.array([list(classes).index(folder) for folder in folders])


def read_with_classes(
    images: str | Path,
    size: int,
    channels: int,
    *,
    classes: Sequence[str] | None,
    own: tuple[str, ...] | None,
    labels: Labels,
    skip_damaged: bool,
) -> tuple[Tensor, tuple[str, ...], Sequence[str] | None, Labels]:
    """Read images, and where no labels are given, take them from the class folders, if there are such.

    Args:
        images: As `read_given` takes them.
        size: Height and width in pixels.
        channels: 3 for colour, 1 for grey.
        classes: Names of the classes that the caller gives.
        own: Names of the network's outputs, to which class folders are then matched.
        labels: Class of each image; they then count alone.
        skip_damaged: As `read_given` takes it.

    Returns:
        Pixels, names of the images, names of the classes as far as they are known, and labels as far as there are any.

    Raises:
        InputError: As `read_given`, `matched_folders` and `labels_by_folder` say.
    """
    pixels, names, folders, every = read_given(images, size, channels, skip_damaged=skip_damaged, labels=labels is None)
    if labels is not None or folders is None:
        return pixels, names, classes, labels
    if own is not None:
        return pixels, names, *matched_folders(folders, every, own, path=images)
    known = every if classes is None else tuple(classes)
    return pixels, names, known, labels_by_folder(folders, known)


def matched_folders(
    folders: tuple[str, ...], own: Sequence[str], classes: tuple[str, ...], *, path: str | Path
) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Match class folders to the names of a network's classes, and return names and the class of each image.

    A folder is a class of its name, or else of one of its names where commas divide them ("tabby, tabby cat"), whatever
    the case, the blanks and the hyphens. Where none matches a class, but there are as many folders as classes, they are
    taken for these in the order of their names; where one matches at another place,
    that order would contradict the names, and the folders are no labels. Both are said.

    Args:
        folders: Class folder of each image.
        own: All class folders, in the order of their names.
        classes: The network's, by index.
        path: Where the folders are.

    Raises:
        InputError: Two folders are one class, or a folder could be either of two.
    """
    places = {folder: _class_of(folder, classes, path) for folder in own}
    first = next((folder for folder, place in places.items() if place is None), None)
    if first is None:
        if len(set(places.values())) < len(own):
            raise InputError(f"two of the folders in {path} are one class of the model; put their images together.")
        return classes, np.array([places[folder] for folder in folders])
    in_place = all(place in (None, number) for number, place in enumerate(places.values()))
    if len(own) != len(classes) or not in_place:
        say(f"{path}: {first} is not a class of the model, so the folders are not used as labels.")
        return classes, None
    say(
        f"{path}: {first} is not a class of the model; the model's outputs are taken to be {', '.join(own)}, in this "
        "order."
    )
    return tuple(own), np.array([list(own).index(folder) for folder in folders])


def _class_of(folder: str, classes: Sequence[str], path: str | Path) -> int | None:
    """Return the class of a folder's name; a whole name counts before one of several ("Cardigan, Welsh corgi")."""
    plain = _plain(folder)
    fitting = [number for number, name in enumerate(classes) if _plain(name) == plain]
    fitting = fitting or [
        number for number, name in enumerate(classes) if plain in {_plain(one) for one in name.split(",")}
    ]
    if len(fitting) > 1:
        exact = [number for number in fitting if classes[number] == folder]
        if len(exact) != 1:
            raise InputError(
                f"the folder {folder} in {path} could be any of the classes "
                f"{' or '.join(f'{number}, {classes[number]}' for number in fitting)}; give it the full name of one."
            )
        return exact[0]
    return fitting[0] if fitting else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def images_as_tensor(images: Images) -> Tensor:
    """Return images as a tensor, without a copy where NumPy and torch can share them."""
    if isinstance(images, Tensor):
        return images.detach()
    if any(stride < 0 for stride in images.strides) or not images.dtype.isnative:
        images = np.ascontiguousarray(images, dtype=images.dtype.newbyteorder("="))
    with warnings.catch_warnings():  # a read-only array is not written to
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)


def labels_as_tensor(labels: Any, images: int) -> Tensor:
    """Return labels as a tensor of whole numbers: one an image, several yes or no an image, or one a pixel.

    Raises:
        InputError: They are no whole numbers, or not one an image or a pixel.
    """
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.dtype.kind not in ("iub" if array.ndim == 2 else "iu"):
        raise InputError(f"labels are {array.dtype}, expected whole numbers, each the index of a class.")
    if array.ndim not in (1, 2, 3) or len(array) != images:
        raise InputError(
            f"labels have shape {array.shape} for {images} images, expected ({images},), one class per image; "
            f"({images}, labels), 1 for each label an image has; or ({images}, height, width), one class per pixel."
        )
    return torch.from_numpy(array.astype(np.int64))


def checked_split(images: Tensor, targets: Tensor | None, names: tuple[str, ...] | None) -> Split:
    """Put images and targets together; without labels, all targets are 0 and mean nothing.

    Raises:
        InputError: A pixel is NaN or infinite, or masks are of another size than the images.
    """
    if images.is_floating_point():
        finite = torch.cat([part.flatten(1).isfinite().all(dim=1) for part in images.split(256)])
        if not bool(finite.all()):
            raise InputError(f"image {int(finite.int().argmin())} has NaN or infinite pixels; leave it out.")
    if targets is None:
        targets = torch.zeros(len(images), dtype=torch.int64)
    if targets.ndim == 3 and targets.shape[1:] != images.shape[2:]:
        raise InputError(
            f"masks are {' by '.join(map(str, targets.shape[1:]))} pixels, and images "
            f"{' by '.join(map(str, images.shape[2:]))}; expected masks of the images' size."
        )
    return Split(images, targets.to(torch.int64 if targets.ndim == 1 else torch.uint8), files=names)


def check_classes(targets: Tensor | None, classes: Sequence[str]) -> None:
    """Refuse labels that are the index of no class.

    Raises:
        InputError: There are such.
    """
    if targets is None:
        return
    if targets.ndim == 2:
        check_labels(targets, len(classes))
        return
    known = targets[targets != VOID] if targets.ndim == 3 else targets
    if len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(classes):
        raise InputError(
            f"labels run from {int(known.min())} to {int(known.max())}, expected 0 to {len(classes) - 1}, an index "
            f"into the {len(classes)} classes."
        )

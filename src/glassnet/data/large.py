"""Folders of more images than are held in memory: decoded once into a cache, from which they are read by the batch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glassnet.data.dataset import Split
from glassnet.data.listing import Part
from glassnet.data.pictures import SAMPLED, is_gray_and_wide, leave_out, read_picture_and_kind, say_dim, say_wide
from glassnet.data.shards.build import StoppedError, Stored, store
from glassnet.data.shards.decode import Picture, Wanted
from glassnet.data.shards.index import GRAY, MADE_OF, WIDE
from glassnet.download import data_root
from glassnet.errors import InputError
from glassnet.files import read_json

IN_MEMORY_BYTES = 1 << 29
"""Decoded pixels of a folder (three channels and the mask) up to which it is held in memory, and in no cache."""
VERSION = 1
"""Of what is done to the pixels; another one makes every cache anew."""


def is_large(images: int, size: int, *, planes: int = 3) -> bool:
    """Tell whether images are read from a cache: whether their pixels take more than `IN_MEMORY_BYTES`.

    Args:
        images: How many.
        size: Height and width in pixels.
        planes: Bytes a pixel: 3, and 1 for the mask.
    """
    return images * planes * size * size > IN_MEMORY_BYTES


def cache_folder(kind: str, path: Path, size: int, root: Path | None) -> Path:
    """Return where the pixels of a folder at a size are kept.

    Args:
        kind: folder or masks.
        path: The folder, whose whole path is part of the name.
        size: Height and width in pixels.
        root: Folder of the data sets.
    """
    whole = path.expanduser().resolve()
    name = re.sub(r"[^\w.-]+", "-", whole.name)[:40] or "root"
    digest = hashlib.sha256(str(whole).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return data_root(root) / "cache" / f"{kind}-{name}-{digest}-{size}px"


def stored_pictures(path: Path, names: Sequence[str], size: int, root: Path | None, *, skip_damaged: bool) -> Stored:
    """Return the images of a folder from its cache, after decoding what it lacks, as `read_pictures` would read them.

    They are grey if all of them are. Whether they are is known at the end; so a sample decides, and where it was wrong
    they are decoded anew.

    Args:
        path: The folder.
        names: Files, relative to it.
        size: Height and width in pixels.
        root: Folder of the data sets.
        skip_damaged: Leave out files that cannot be read, instead of refusing them.

    Raises:
        InputError: Files cannot be read and are not to be left out, or the cache cannot be written.
        WorkError: A process that decodes was killed.
    """
    folder = cache_folder("folder", path, size, root)
    files = [f"{path}{os.sep}{name}" for name in names]  # a Path for each would take long
    gray = _looks_gray(folder, files)
    while True:
        try:
            found, damaged = store(folder, _of_pictures(files, names, size, gray=gray))
        except StoppedError:
            gray = False
            continue
        if gray or not (found.entries["flags"][found.there] & GRAY == GRAY).all() or not found.there.any():
            break
        gray = True
    wide = np.flatnonzero(found.there & (found.entries["flags"] & WIDE == WIDE))
    say_wide([Path(files[i]) for i in wide.tolist()])
    say_dim([Path(file) for file in _sample(files)])
    leave_out(damaged, skip_damaged=skip_damaged)
    return found


def stored_pairs(
    path: Path,
    pairs: Sequence[Any],
    size: int,
    root: Path | None,
    *,
    read: Callable[[Any, int], tuple[np.ndarray, np.ndarray, frozenset[int]]],
    skip_damaged: bool,
) -> Stored:
    """Return images and masks of a folder from its cache, after decoding what it lacks.

    Args:
        path: The folder.
        pairs: Each with its `image` and its `mask`, which are files.
        size: Height and width in pixels.
        root: Folder of the data sets.
        read: Reads a pair at a size: the image, the mask, and the values of the mask at its full size.
        skip_damaged: Leave out what cannot be read, instead of refusing it.

    Raises:
        InputError: Files cannot be read and are not to be left out, or the cache cannot be written.
        WorkError: A process that decodes was killed.
    """

    def picture(row: int, _is_regular: bool) -> Picture:
        image, mask, present = read(pairs[row], size)
        return Picture((image, mask), present=present)

    say_dim([pair.image for pair in pairs])
    folder = cache_folder("masks", path, size, root)
    wanted = Wanted(
        made_of={"version": VERSION, "kind": "masks", "size": size},
        shapes={"images": (3, size, size), "masks": (size, size)},
        names=[pair.image.relative_to(path).as_posix() for pair in pairs],
        files=[(str(pair.image), str(pair.mask)) for pair in pairs],
        read=picture,
        noun="images with masks",
    )
    found, damaged = store(folder, wanted)
    leave_out(damaged, skip_damaged=skip_damaged)
    return found


def stored_parts(
    found: Stored, names: Sequence[str], counts: Mapping[Part, int], targets: Tensor | None = None
) -> dict[Part, Split]:
    """Divide what is in a cache into parts, which know their rows.

    Args:
        found: The images, part after part.
        names: Files of all of them.
        counts: Images of each part.
        targets: A target for each image; None for their masks.
    """
    images = found.arrays["images"]
    whole = found.arrays["masks"] if targets is None else _by_place(targets, found.places, len(images))
    splits: dict[Part, Split] = {}
    first = 0
    for part, count in counts.items():
        rows = first + np.flatnonzero(found.there[first : first + count])
        files = [names[row] for row in rows.tolist()]
        splits[part] = Split(images, whole, found.places[torch.from_numpy(rows)], files=files)
        first += count
    return splits


def _by_place(targets: Tensor, places: Tensor, count: int) -> Tensor:
    whole = torch.zeros((count, *targets.shape[1:]), dtype=targets.dtype)
    whole[places] = targets
    return whole


def _of_pictures(files: Sequence[str], names: Sequence[str], size: int, *, gray: bool) -> Wanted:
    def read(row: int, is_regular: bool) -> Picture:
        pixels, kind = read_picture_and_kind(
            files[row] if is_regular else Path(files[row]), "L" if gray else "RGB", size
        )
        return Picture((pixels,), kind.gray, kind.wide)

    return Wanted(
        made_of={"version": VERSION, "kind": "folder", "size": size, "channels": 1 if gray else 3},
        shapes={"images": (1 if gray else 3, size, size)},
        names=names,
        files=[(file,) for file in files],
        read=read,
        noun="images",
        stop=(lambda entries: bool((entries["flags"] & GRAY == 0).any())) if gray else (lambda _entries: False),
    )


def _looks_gray(folder: Path, files: Sequence[str]) -> bool:
    """Tell whether images are grey, by their cache, or by a sample of them."""
    try:
        return bool(read_json(folder / MADE_OF)["channels"] == 1)
    except (InputError, KeyError, TypeError):
        return all(gray for gray, _ in map(is_gray_and_wide, map(Path, _sample(files))))


def _sample(files: Sequence[str]) -> Sequence[str]:
    return files[:: max(1, -(-len(files) // SAMPLED))]

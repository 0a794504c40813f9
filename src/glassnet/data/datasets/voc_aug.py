"""VOC 2012 merged with SBD's masks, at one size in a cache: the split without a leak, and the 2019 report's with one.

Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4; Hariharan et al. 2011,
https://doi.org/10.1109/ICCV.2011.6126343.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from glassnet.console import say
from glassnet.data.archive import fetch_again, fetched_archive, unpack_folder
from glassnet.data.cache import cached_pictures, files_digest
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.datasets.voc import (
    CLASSES,
    SBD,
    VOC,
    Archives,
    count_leak,
    open_archives,
    read_pair,
    require_files,
    trainaug,
    union,
    union_clean,
)
from glassnet.download import RemoteFile, one_process_at_a_time
from glassnet.errors import InputError

DEFAULT_PIXELS = 96
"""The 2019 report's size."""
CACHE_VERSION = 1
"""Of what is done to the pixels; another one makes every cache anew."""
ARCHIVES = {
    "voc2012": RemoteFile(
        "VOCtrainval_11-May-2012.tar",
        1_999_639_040,
        "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    ),
    "sbd": RemoteFile(
        "benchmark.tgz", 1_419_539_633, "6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53"
    ),
}
MIRRORS = {
    "voc2012": (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/",
        "http://pjreddie.com/media/files/",
    ),
    "sbd": (
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/",
        "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/",
    ),
}
UNPACKED = {"voc2012": VOC, "sbd": SBD}
OFFICIAL_IMAGES = 12_031
Parts = Callable[[dict[str, tuple[str, ...]]], tuple[set[str], set[str]]]


def load(root: Path, image_size: int | None = None, *, name: str = "voc-aug", parts: Parts = trainaug) -> Dataset:
    """Map images and masks from the cache below ROOT/cache, after fetching and resizing what is missing.

    Args:
        root: Holds voc2012/VOCdevkit and sbd/benchmark_RELEASE, or gets them.
        image_size: Height and width in pixels; 96 if not given.
        name: Of the data set.
        parts: From the lists to the names to learn from and those to test on.

    Raises:
        InputError: A file is missing and downloads are forbidden, or one is damaged; it is named.
        WorkError: The download failed.
    """
    fetch(root)
    archives, size = open_archives(root / "voc2012", root / "sbd"), image_size or DEFAULT_PIXELS
    images, masks = _cached(root, archives, size)
    chosen = parts(archives.lists)
    leak = count_leak(chosen)
    files = [archives.image(one).relative_to(root).as_posix() for one in archives.names]

    def split(part: set[str]) -> Split:
        rows = [row for row, one in enumerate(archives.names) if one in part]
        return Split(images, masks, torch.tensor(rows, dtype=torch.int64), files=[files[row] for row in rows])

    train, test = map(split, chosen)
    return Dataset(
        name=name,
        task="segmentation",
        classes=CLASSES,
        train=train,
        test=test,
        augmentation="objects",
        note=_note(archives, size, leak, parts),
        leak=leak,
    )


def find(root: Path) -> Path | None:
    """Return ROOT/voc2012 if the lists of both archives are there."""
    there = [
        *(root / "voc2012" / VOC / "ImageSets" / "Segmentation" / f"{part}.txt" for part in ("train", "val")),
        *(root / "sbd" / SBD / f"{part}.txt" for part in ("train", "val")),
    ]
    return root / "voc2012" if all(path.is_file() for path in there) else None


def fetch(root: Path) -> None:
    """Download the archives that are needed and not there, verify and unpack them, and remove them.

    Raises:
        InputError: Downloads are forbidden, or an archive that lies there is not the published one or leads outside.
        WorkError: Every mirror failed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(root):  # or another one would unpack over this one's, and remove its archive
            for key, remote in ARCHIVES.items():
                if not (root / key / UNPACKED[key]).is_dir():
                    _fetch_archive(key, remote, root / key)
    except OSError as error:
        raise InputError(
            f"cannot write to {root} ({error.strerror or error}); choose another place with --data-root."
        ) from None


def _fetch_archive(key: str, remote: RemoteFile, folder: Path) -> None:
    with fetched_archive(remote, mirrors=MIRRORS[key], folder=folder, dataset="voc-aug") as archive:
        unpack_folder(archive, UNPACKED[key], folder=folder, remedy=fetch_again("voc-aug"))


def _cached(root: Path, archives: Archives, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    names = archives.names
    require_files(archives)
    origin = {
        "version": CACHE_VERSION,
        "size": size,
        "image": "bilinear, antialias",
        "mask": "nearest",
        "files": files_digest(path for one in names for path in (archives.image(one), archives.mask(one))),
    }
    images, masks = cached_pictures(
        root / "cache" / f"voc-aug-{size}",
        origin=origin,
        count=len(names),
        shapes={"images": (3, size, size), "masks": (size, size)},
        read=lambda row: read_pair(archives, names[row], size),
        description=f"Resizing {len(names):,} images of VOC and SBD to {size} px",
    )
    return images, masks


def _note(archives: Archives, size: int, leak: int, parts: Parts) -> str:
    whole = len(archives.names)
    subset = "" if whole == OFFICIAL_IMAGES else f" (a subset: {whole:,} of {OFFICIAL_IMAGES:,} images)"
    note = f"PASCAL VOC 2012 with SBD's masks{subset}, squeezed to {size} px, VOC's own mask where both have one"
    if not leak:
        tested = "VOC's validation images" if parts is trainaug else "the 2019 report's test images"
        return f"{note}; tested on {tested}, none of which is in the training set"
    warning = f"{leak} images are in both the training and the test part, so figures on this split are too good"
    say(f"warning: {warning}.")
    return f"{note}; the 2019 report's split, in which {warning}"


def _source(summary: str, loader: Callable[..., Dataset], train: int, test: int) -> Source:
    return Source(
        summary=summary,
        load=loader,
        find=find,
        needs="`glassnet data fetch voc-aug` (3.4 GB)",
        tasks=("segmentation",),
        fetch=fetch,
        classes=len(CLASSES),
        channels=3,
        image_size=DEFAULT_PIXELS,
        train=train,
        test=test,
    )


SOURCE = _source("photographs with the class of every pixel (VOC 2012 and SBD, no leak)", load, 10_582, 1_449)
UNION_SOURCE = _source(
    "the same in the 2019 report's split, which leaks 546 images",
    partial(load, name="voc-aug-union", parts=union),
    8_829,
    3_748,
)
CLEAN_SOURCE = _source(
    "the report's test images, none of them used for training: the reference for measuring the leak",
    partial(load, name="voc-aug-union-clean", parts=union_clean),
    8_283,
    3_748,
)

"""Folders of images that are read from a cache on the disk, as those too large for memory are."""

import time

import numpy as np
from PIL import Image

import glassnet as gn
from glassnet.data.shards import index

SIZE = 8


def photos(folder, count=30, *, first=0, gray=False):
    """Make different images of two classes, up to number `count`."""
    rng = np.random.default_rng(first)
    for i in range(first, count):
        file = folder / ("cat" if i % 2 else "dog") / f"{i:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = (SIZE + i % 3, SIZE, 3)[: 2 if gray else 3]
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file)
    return folder


def load(folder, kind="folder", **options):
    return gn.load_dataset(f"{kind}:{folder}", image_size=SIZE, **options)


def content(root):
    """Return the bytes of the files of the one cache below a root, once its pixels are marked as on the disk."""
    (folder,) = (root / "cache").iterdir()
    wait_for(lambda: (entries(root)["flags"] & index.SYNCED).all())
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def entries(root):
    found = list(root.glob("cache/*/index.bin"))
    return np.frombuffer(found[0].read_bytes(), index.entry_type(["images"])) if found else np.empty(0)

"""Every kind of file that glassnet reads: a good one, how it is changed, and the library's reader of it."""

import gzip
import io
import json
import pickle
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from torture.mutate import mutate, mutate_json, mutate_json_lines

REMEDY = "Delete it."


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        file: Where the good one lies; the changed one takes its place.
        read: Reads it as the library does.
        change: Changes its bytes.
    """

    file: Path
    read: Callable[[], object]
    change: Callable[[bytes, random.Random], bytes] = mutate


def make_kinds(place: Path, finished: Path, started: Path) -> dict[str, Kind]:
    """Write good files into a folder, from a finished and a started run too, and say how each is read."""
    run, unfinished = place / "run", place / "unfinished"
    shutil.copytree(finished, run)
    shutil.copytree(started, unfinished)
    return {
        "run.json": Kind(run / "run.json", lambda: _read_run(run), mutate_json),
        "metrics.jsonl": Kind(run / "metrics.jsonl", lambda: _read_run(run), mutate_json_lines),
        "safetensors": Kind(run / "model.safetensors", lambda: _read_run(run)),
        "analysis.json": Kind(run / "analyses/evaluation/test/analysis.json", lambda: _analyses(run), mutate_json),
        "npz": Kind(run / "analyses/evaluation/test/arrays.npz", lambda: _analyses(run)),
        "state.pt": Kind(unfinished / "checkpoint/state.pt", lambda: _checkpoint(unfinished), _mutate_checkpoint),
        **_of_data(place),
    }


def _read_run(path: Path) -> None:
    import glassnet as gn
    from glassnet.reports.provenance import provenance
    from glassnet.subject import Subject

    run = gn.Run.open(path)
    for value in (run.history, run.settings, run.classes, run.task, run.metrics):
        assert value is not None
    run.model()
    subject = Subject.of_run(run)
    subject.model()
    provenance(run)


def _analyses(path: Path) -> None:
    import glassnet as gn
    from glassnet.analysis import stored
    from glassnet.run.store import Store
    from glassnet.subject import Subject

    Store(path).entries()
    for analysis in stored(Subject.of_run(gn.Run.open(path))):
        assert analysis.result is not None


def _checkpoint(path: Path) -> None:
    from glassnet.run import read_checkpoint

    read_checkpoint(path)


class Bomb:
    """Unpickled, it makes a folder where the process stands."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Tell pickle to call os.mkdir."""
        import os

        return os.mkdir, ("pickle-bomb-exploded",)


def _mutate_checkpoint(content: bytes, draw: random.Random) -> bytes:
    """Put a bomb in, now and then, as a plain pickle or as torch writes one; else change bytes."""
    if draw.random() > 0.1:
        return mutate(content, draw)
    import torch

    bombs: list[Any] = [Bomb(), {"settings": Bomb()}, {"state": {"model": Bomb()}, "settings": {}, "started": 0}]
    bomb, file = draw.choice(bombs), io.BytesIO()
    if draw.random() < 0.5:
        return pickle.dumps(bomb)
    torch.save(bomb, file, _use_new_zipfile_serialization=draw.random() < 0.5)
    return file.getvalue()


def _of_data(place: Path) -> dict[str, Kind]:
    """Write files of data sets and pictures."""
    from scipy.io import savemat

    from glassnet.data.archive import unpack
    from glassnet.data.datasets import cifar10
    from glassnet.data.datasets.mnist import idx_header, read_idx
    from glassnet.data.datasets.stanford_dogs import read_file_list
    from glassnet.data.datasets.voc import read_mask
    from glassnet.data.pictures import read_pictures

    draw = np.random.default_rng(0)
    cifar10.RECORDS_PER_FILE = 20  # in this process; a real file has 30 MB
    pixels = draw.integers(0, 255, (40, 28, 28)).astype(np.uint8)
    colours = draw.integers(0, 255, (48, 48, 3)).astype(np.uint8)
    records = draw.integers(0, 9, (20, cifar10.RECORD_BYTES)).astype(np.uint8)
    idx = idx_header(pixels.shape) + pixels.tobytes()
    (place / "a-idx3-ubyte").write_bytes(idx)
    (place / "a-idx3-ubyte.gz").write_bytes(gzip.compress(idx))
    (place / "data_batch_1.bin").write_bytes(records.tobytes())
    Image.fromarray(colours).save(place / "a.png")
    Image.fromarray(colours).save(place / "a.jpg")
    names = np.empty((5, 1), dtype=object)
    names[:, 0] = [np.array([f"n-dog/{i}.jpg"]) for i in range(5)]
    savemat(place / "list.mat", {"file_list": names, "labels": np.arange(1, 6).reshape(5, 1)})
    mask = {"Segmentation": draw.integers(0, 20, (40, 40)).astype(np.uint8)}
    savemat(place / "mask.mat", {"GTcls": mask})
    savemat(place / "packed.mat", {"GTcls": mask}, do_compression=True)
    with tarfile.open(place / "a.tar.gz", "w:gz") as tar, tarfile.open(place / "a.tar", "w") as plain:
        for name in ("x/a.png", "x/a.jpg", "x/list.mat"):
            for one in (tar, plain):
                one.add(place / Path(name).name, name)
    (place / "unpacked").mkdir()

    def unpacked(name: str) -> Callable[[], object]:
        def read() -> None:
            shutil.rmtree(place / "unpacked")
            (place / "unpacked").mkdir()
            unpack(place / name, ["x/a.png"], folder=place / "unpacked", remedy=REMEDY)

        return read

    def picture(name: str) -> Callable[[], object]:
        return lambda: read_pictures([place / name], size=32, description="")

    def array(name: str) -> Callable[[], object]:
        return lambda: read_idx(place / name, dimensions=3, remedy=REMEDY)

    return {
        "idx": Kind(place / "a-idx3-ubyte", array("a-idx3-ubyte")),
        "idx.gz": Kind(place / "a-idx3-ubyte.gz", array("a-idx3-ubyte.gz")),
        "cifar": Kind(place / "data_batch_1.bin", lambda: cifar10._read_records(place / "data_batch_1.bin")),
        "mat list": Kind(place / "list.mat", lambda: read_file_list(place / "list.mat", remedy=REMEDY)),
        "mat mask": Kind(place / "mask.mat", lambda: read_mask(place / "mask.mat")),
        "mat packed": Kind(place / "packed.mat", lambda: read_mask(place / "packed.mat")),
        "png": Kind(place / "a.png", picture("a.png")),
        "jpeg": Kind(place / "a.jpg", picture("a.jpg")),
        "tar.gz": Kind(place / "a.tar.gz", unpacked("a.tar.gz")),
        "tar": Kind(place / "a.tar", unpacked("a.tar")),
    }


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "run.json": lambda run: ["report", str(run)],
    "metrics.jsonl": lambda run: ["report", str(run)],
    "safetensors": lambda run: ["eval", str(run)],
    "analysis.json": lambda run: ["report", str(run)],
    "npz": lambda run: ["report", str(run)],
}
"""Kinds of a run's files → the command that some of them are tried by, too."""


def line(value: dict[str, Any]) -> bytes:
    """Write a value as a line."""
    return json.dumps(value).encode() + b"\n"

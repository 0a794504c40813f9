"""Results that grow batch by batch without being held twice, in memory or as files."""

import contextlib
import os
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, TypeVar
from urllib.parse import quote

import numpy as np
from jaxtyping import Float32, Shaped
from torch import Tensor

from glassnet.errors import InputError, WorkError

K = TypeVar("K", bound=Hashable)


class ArrayBuffers(Generic[K]):
    """float32 arrays with one row an image, allocated once at their full length and filled batch by batch."""

    def __init__(self, count: int) -> None:
        self._arrays: dict[K, np.ndarray] = {}
        self._count = count
        self._filled: dict[K, int] = {}

    def put(self, key: K, values: Shaped[Tensor, "batch ..."]) -> None:
        """Append the rows of one batch."""
        part = _plain(values)
        start = self._filled.get(key, 0)
        if start == 0:
            self._arrays[key] = np.empty((self._count, *part.shape[1:]), np.float32)
        self._arrays[key][start : start + len(part)] = part
        self._filled[key] = start + len(part)

    def complete(self) -> dict[K, np.ndarray]:
        """Return the arrays.

        Raises:
            WorkError: What gave rows for some batches gave none for others.
        """
        for filled in self._filled.values():
            _check_whole(filled, self._count)
        return self._arrays

    def named(self, names: Mapping[str, K]) -> dict[str, np.ndarray]:
        """Return some of the arrays under other names; raises as `complete` does."""
        arrays = self.complete()
        return {name: arrays[key] for name, key in names.items()}


class FileBuffers(Generic[K]):
    """float32 .npy files with one row an image, written batch by batch under temporary names.

    The bytes go through ordinary writes, not through a memory map: its pages would count as this process's memory.
    Leaving the block removes what was not given a name; what a killed process leaves, the next one overwrites.
    """

    def __init__(self, count: int, folder: str | os.PathLike[str]) -> None:
        self._count = count
        self._folder = Path(folder)
        self._files: dict[K, BinaryIO] = {}
        self._shapes: dict[K, tuple[int, ...]] = {}
        self._filled: dict[K, int] = {}

    def __enter__(self) -> "FileBuffers[K]":
        """Make the folder.

        Raises:
            InputError: It cannot be made, as where a file has its name.
        """
        with self._translate_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Remove what was not given a name."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # a full disk also refuses what was still buffered
                file.close()
            with contextlib.suppress(OSError):
                Path(file.name).unlink(missing_ok=True)

    def put(self, key: K, values: Shaped[Tensor, "batch ..."]) -> None:
        """Append the rows of one batch.

        Raises:
            InputError: The rows of this batch have another shape than those before, or the disk is full.
        """
        part = _plain(values)
        if self._shapes.setdefault(key, part.shape[1:]) != part.shape[1:]:
            raise InputError(
                f"a layer gave rows of shape {self._shapes[key]}, then of shape {part.shape[1:]}; choose another layer."
            )
        with self._translate_errors():
            if key not in self._files:
                self._files[key] = (self._folder / f".{len(self._files)}.npy.tmp").open("wb")
                shape = (self._count, *part.shape[1:])
                header = {"descr": np.lib.format.dtype_to_descr(part.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(self._files[key], header)
            self._files[key].write(np.ascontiguousarray(part).data)
        self._filled[key] = self._filled.get(key, 0) + len(part)

    def named(self, names: Mapping[str, K]) -> dict[str, np.ndarray]:
        """Give the arrays their names, as NAME.npy, and open them to be read.

        Raises:
            WorkError: What gave rows for some batches gave none for others.
            InputError: The files cannot be written.
        """
        for filled in self._filled.values():
            _check_whole(filled, self._count)
        arrays: dict[str, np.ndarray] = {}
        with self._translate_errors():
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
            for name, key in names.items():
                path = self._folder / f"{quote(name, safe=' :')}.npy"
                Path(self._files[key].name).replace(path)
                arrays[name] = np.lib.format.open_memmap(path, mode="r")
        return arrays

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"cannot write features to {self._folder} ({error.strerror or error}); free some space, or choose "
                "another folder."
            ) from None


def _plain(values: Shaped[Tensor, "batch ..."]) -> Float32[np.ndarray, "batch ..."]:
    array: np.ndarray = values.detach().float().cpu().numpy()
    return array


def _check_whole(filled: int, count: int) -> None:
    if filled != count:
        raise WorkError(
            f"a layer gave {filled:,} rows for {count:,} images, because which layers run depends on the batch; "
            f"pass batch_size={count} to process all images at once."
        )

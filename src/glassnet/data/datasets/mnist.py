"""MNIST: 70,000 handwritten digits in the four IDX files that LeCun, Cortes and Burges published in 1998."""

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from glassnet.data.archive import fetch_again
from glassnet.data.dataset import Dataset, Source, Split
from glassnet.data.pictures import resize_dataset
from glassnet.download import RemoteFile, fetch_files
from glassnet.errors import InputError

UNSIGNED_BYTE = 0x08
CHUNK_BYTES = 1 << 20
OFFICIAL_BYTES = 60_000 * 28 * 28
"""Of the largest official file, unpacked and without its header."""
DIGITS = tuple("0123456789")
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
FILES = {
    "train-images-idx3-ubyte": RemoteFile(
        "train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte": RemoteFile(
        "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte": RemoteFile(
        "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte": RemoteFile(
        "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
# The same content is found compressed in several ways, so what is read is verified unpacked.
CONTENT_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
REMEDY = fetch_again("mnist")


def load(root: Path, image_size: int | None = None) -> Dataset:
    """Read MNIST from ROOT/mnist, after downloading the files that are missing; packed and unpacked files will do.

    Raises:
        InputError: A file is damaged or is not the official one, or is missing and downloads are forbidden.
        WorkError: The download failed on every mirror.
    """
    fetch(root)
    dataset = Dataset(
        name="mnist",
        task="classification",
        classes=DIGITS,
        train=_read_split(root / "mnist", "train"),
        test=_read_split(root / "mnist", "t10k"),
        augmentation="digits",
        note="MNIST, the official training and test images",
    )
    return resize_dataset(dataset, image_size)


def find(root: Path) -> Path | None:
    """Return ROOT/mnist if all four files are there."""
    folder = root / "mnist"
    return folder if all(_locate(folder, stem) for stem in FILES) else None


def fetch(root: Path) -> None:
    """Download those of the four files that are missing; what is there stays untouched.

    Raises:
        InputError: Downloads are forbidden.
        WorkError: Every mirror failed.
    """
    folder = root / "mnist"
    missing = [file for stem, file in FILES.items() if _locate(folder, stem) is None]
    if missing:
        fetch_files(missing, mirrors=MIRRORS, folder=folder, dataset="mnist")


def _locate(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def _read_split(folder: Path, part: str) -> Split:
    images = _read(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels = _read(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    return Split(images[:, None], labels.long())


def _read(folder: Path, stem: str, *, dimensions: int) -> torch.Tensor:
    path = _locate(folder, stem)
    assert path is not None  # fetch has seen to it
    array = read_idx(path, dimensions=dimensions, remedy=REMEDY)
    md5 = content_md5(array)
    if md5 != CONTENT_MD5[stem]:
        raise InputError(f"{path} has unpacked MD5 {md5}, expected the official file's {CONTENT_MD5[stem]}. {REMEDY}")
    return torch.from_numpy(array)


def idx_header(shape: tuple[int, ...]) -> bytes:
    """Build the header of an IDX file of unsigned bytes: 0, 0, type, number of dimensions, each size in 32 bits."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, UNSIGNED_BYTE, len(shape), *shape)


def content_md5(array: UInt8[np.ndarray, "..."]) -> str:
    """Compute the MD5 of the unpacked IDX file that holds `array`, the same however the file was compressed."""
    digest = hashlib.md5(idx_header(array.shape), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_idx(path: Path, *, dimensions: int, remedy: str, most_bytes: int = OFFICIAL_BYTES) -> UInt8[np.ndarray, "..."]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: The file; gzip is recognised by its first two bytes, not by its suffix.
        dimensions: Dimensions that the array must have.
        remedy: Sentence for the error, on what to do with a damaged file.
        most_bytes: Bytes that the array may have; a header that announces more is not followed.

    Raises:
        InputError: The file is of another type, too short, too long, too large, or damaged.
    """
    content = bytearray()
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            stream = gzip.GzipFile(fileobj=file) if packed else file
            shape = _read_shape(stream, content, path, dimensions, remedy)
            start, end = len(content), len(content) + math.prod(shape)
            if end - start > most_bytes:
                raise InputError(
                    f"{path} announces {end - start:,} bytes unpacked, expected at most {most_bytes:,}. {remedy}"
                )
            _read_up_to(end, stream, content, path, remedy)
            if stream.read1(1):
                raise InputError(f"{path} goes on after the {end:,} bytes that its header announces. {remedy}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged after {len(content):,} bytes ({error}). {remedy}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _read_shape(
    stream: gzip.GzipFile | io.BufferedReader, content: bytearray, path: Path, dimensions: int, remedy: str
) -> tuple[int, ...]:
    """Read the header and return the sizes that it announces."""
    expected = idx_header((0,) * dimensions)
    _read_up_to(len(expected), stream, content, path, remedy)
    if content[:4] != expected[:4]:
        got, magic = bytes(content[:4]).hex(), expected[:4].hex()
        raise InputError(
            f"{path} starts with bytes {got}, expected {magic} (IDX, unsigned bytes, {dimensions} dimensions). {remedy}"
        )
    return struct.unpack(f">{dimensions}I", content[4:])


def _read_up_to(
    end: int, stream: gzip.GzipFile | io.BufferedReader, content: bytearray, path: Path, remedy: str
) -> None:
    """Grow `content` to `end` bytes; it grows with what is there, so a header that lies takes no memory."""
    while len(content) < end:
        try:
            # read1 hands over what could be unpacked before a cut; read would drop it with the error
            piece = stream.read1(min(CHUNK_BYTES, end - len(content)))
        except EOFError:
            piece = b""
        if not piece:
            raise InputError(f"{path} ends after {len(content):,} of {end:,} bytes. {remedy}")
        content += piece


SOURCE = Source(
    summary="handwritten digits, the official files",
    load=load,
    find=find,
    needs="`glassnet data fetch mnist` (11.6 MB)",
    tasks=("classification", "reconstruction"),
    fetch=fetch,
    classes=10,
    channels=1,
    image_size=28,
    train=60_000,
    test=10_000,
)

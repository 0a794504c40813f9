"""Read the IDX format of MNIST: a big-endian header (type, dimensions, sizes), then the bytes, as a rule in a gzip."""

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from glassnet.errors import InputError

UNSIGNED_BYTE = 0x08
CHUNK_BYTES = 1 << 20


def idx_header(shape: tuple[int, ...]) -> bytes:
    """Build the header of an IDX file of unsigned bytes: 0, 0, type, number of dimensions, each size in 32 bits."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, UNSIGNED_BYTE, len(shape), *shape)


def content_md5(array: UInt8[np.ndarray, "..."]) -> str:
    """Compute the MD5 of the unpacked IDX file that holds `array`, the same however the file was compressed."""
    digest = hashlib.md5(idx_header(array.shape), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_idx(path: Path, *, dimensions: int, remedy: str) -> UInt8[np.ndarray, "..."]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: The file; gzip is told by its first two bytes, not by its suffix.
        dimensions: Dimensions that the array must have.
        remedy: Sentence for the error, on what to do with a damaged file.

    Raises:
        InputError: The file is of another type, too short, too long, or damaged.
    """
    content = bytearray()
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            stream = gzip.GzipFile(fileobj=file) if packed else file
            shape = _read_shape(stream, content, path, dimensions, remedy)
            start, end = len(content), len(content) + math.prod(shape)
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

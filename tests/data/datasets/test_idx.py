import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glassnet.data.datasets.mnist import content_md5, idx_header, read_idx
from glassnet.errors import InputError

REMEDY = "Delete it and try again."


@pytest.fixture
def read(tmp_path):
    """Write bytes to a file and read it."""

    def write_and_read(content, *, dimensions=3, name="x-idx3-ubyte.gz"):
        (tmp_path / name).write_bytes(content)
        return read_idx(tmp_path / name, dimensions=dimensions, remedy=REMEDY)

    return write_and_read


def test_by_hand(read):
    content = bytes.fromhex("00000802 00000002 00000003 0a0b0c 141516")
    assert read(content, dimensions=2).tolist() == [[10, 11, 12], [20, 21, 22]]


@settings(max_examples=50, deadline=None)
@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)), packed=st.booleans()
)
def test_round_trip(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / "array"
    content = idx_header(array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    back = read_idx(path, dimensions=array.ndim, remedy=REMEDY)
    assert back.shape == array.shape
    assert np.array_equal(back, array)
    assert content_md5(back) == hashlib.md5(content).hexdigest()


def test_header_as_the_format_has_it(idx_bytes):
    array = np.zeros((300, 2), dtype=np.uint8)
    assert idx_bytes(array).startswith(idx_header(array.shape))
    assert len(idx_header(array.shape)) == 12


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("keep", "of"), [(0, 16), (7, 16), (16, 316), (200, 316)])
def test_too_short(read, idx_bytes, pack, keep, of):
    content = idx_bytes(np.ones((3, 10, 10)))
    with pytest.raises(InputError, match=rf"x-idx3-ubyte.gz ends after {keep} of {of} bytes\. {REMEDY}$"):
        read(pack(content[:keep]))


def test_truncated_gzip_tells_how_far_it_goes(read, idx_bytes):
    content = idx_bytes(np.random.default_rng(0).integers(0, 256, (100, 100, 100)))
    with pytest.raises(InputError, match=r"ends after [45]\d\d,\d{3} of 1,000,016 bytes\. Delete it"):
        read(gzip.compress(content)[:500_000])


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_too_long(read, idx_bytes, pack):
    with pytest.raises(InputError, match=rf"goes on after the 316 bytes that its header announces\. {REMEDY}"):
        read(pack(idx_bytes(np.ones((3, 10, 10))) + b"x"))


def test_wrong_magic(read, idx_bytes):
    with pytest.raises(InputError, match=r"starts with bytes 00000801, expected 00000803 \(IDX, unsigned bytes, 3 dim"):
        read(idx_bytes(np.ones(300)))
    with pytest.raises(InputError, match="starts with bytes 3c68746d, expected 00000803"):
        read(b"<html>Log in to the network</html>")


@pytest.mark.parametrize("position", [30, -6], ids=["data", "checksum"])
def test_flipped_bits(read, idx_bytes, position):
    packed = bytearray(gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (3, 10, 10))), mtime=0))
    packed[position] ^= 0xFF
    with pytest.raises(InputError, match=rf"x-idx3-ubyte.gz .*bytes.*{REMEDY}"):
        read(bytes(packed))


def test_junk_behind_the_gzip(read, idx_bytes):
    with pytest.raises(InputError, match=r"is damaged after 316 bytes \(Not a gzipped file"):
        read(gzip.compress(idx_bytes(np.ones((3, 10, 10)))) + b"junk")


def test_a_lying_header_takes_no_memory(read):
    with pytest.raises(InputError, match=r"announces 79,228,162,458,924,105,385,300,197,375 bytes unpacked, expected"):
        read(bytes.fromhex("00000803 ffffffff ffffffff ffffffff"))


def test_a_folder_in_its_place(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, dimensions=1, remedy=REMEDY)


def test_a_header_that_announces_too_much_is_refused_before_it_is_unpacked(read, monkeypatch):
    bomb = gzip.compress(bytes.fromhex("00000803 00010000 00001000 00001000") + bytes(2_000_000))
    unpacked = []
    inflate = gzip.GzipFile.read1
    monkeypatch.setattr(gzip.GzipFile, "read1", lambda self, size: unpacked.append(size) or inflate(self, size))
    with pytest.raises(
        InputError, match=r"announces 1,099,511,627,776 bytes unpacked, expected at most 47,040,000\. Delete it"
    ):
        read(bomb)
    assert sum(unpacked) == 16

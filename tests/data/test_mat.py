"""MATLAB files: one put together by hand, scipy's reader on sound ones, also MATLAB's own, and damage of every kind."""

import io
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io.matlab
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import loadmat, savemat

from glassnet.data.mat import MOST_BYTES, MatError, read_mat

OF_MATLAB = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
"""What MATLAB 6 and 7 wrote on machines of both byte orders; scipy's package has them where its tests are packed."""


def header(order="<", version=0x0100):
    return b"MATLAB 5.0".ljust(124) + struct.pack(f"{order}H", version) + {"<": b"IM", ">": b"MI"}[order]


def element(kind, content, order="<"):
    return struct.pack(f"{order}II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def array(kind, shape, name, *rest, order="<", flags=0):
    """Bytes of an array: flags, sizes, name, and what it holds."""
    head = element(6, struct.pack(f"{order}II", kind | flags, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + element(1, name, order)
    return element(14, head + b"".join(rest), order)


@pytest.fixture
def read(tmp_path):
    """Write bytes to a file and read all its variables of one letter."""

    def read_bytes(content):
        (tmp_path / "x.mat").write_bytes(content)
        return read_mat(tmp_path / "x.mat", "abc")

    return read_bytes


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_put_together_by_hand(read, order):
    small = struct.pack(f"{order}I", 3 << 16 | 2) + bytes([7, 8, 9, 0])  # three bytes in the head itself
    numbers = array(6, (1, 3), b"a", small, order=order)  # doubles, stored in bytes
    text = array(
        4, (2, 2), b"b", element(17, "axby".encode("utf-16-le" if order == "<" else "utf-16-be"), order), order=order
    )
    inner = array(9, (2, 2), b"", element(2, bytes([1, 2, 3, 4]), order), order=order)
    names = element(5, struct.pack(f"{order}i", 8), order) + element(1, b"long\0\0\0\0s\0\0\0\0\0\0\0", order)
    made = array(
        2, (1, 1), b"c", names, inner, array(1, (1, 2), b"", inner, element(14, b"", order), order=order), order=order
    )
    found = read(
        header(order) + numbers + text + element(15, zlib.compress(made), order)[: 8 + len(zlib.compress(made))]
    )
    assert (found["a"].dtype, found["a"].tolist()) == (np.float64, [[7, 8, 9]])
    assert found["b"] == ["ab", "xy"]
    assert found["c"]["long"].tolist() == [[1, 3], [2, 4]]  # column after column
    assert [one.shape for one in found["c"]["s"]] == [(2, 2), (0, 0)]


def alike(ours, scipys):
    """Compare with what loadmat gives; what is not read is alike to all."""
    if ours is None:
        return True
    if isinstance(ours, str):
        return "".join(scipys.ravel()) == ours
    if isinstance(ours, dict):
        ours, scipys = [ours], scipys.ravel()
    if isinstance(ours, np.ndarray):
        return np.array_equal(ours, scipys, equal_nan=True) and scipys.dtype.kind in (ours.dtype.kind, "b")
    if scipys.dtype.kind == "U":
        return ours == scipys.tolist()
    flat = scipys.ravel(order="F")
    if scipys.dtype.names:
        return all(
            alike(one[name], row[name]) for one, row in zip(ours, flat, strict=True) for name in scipys.dtype.names
        )
    return all(map(alike, ours, flat))


@pytest.mark.parametrize("file", sorted(OF_MATLAB.glob("test*[5-8].?*.mat")), ids=lambda file: file.name)
@pytest.mark.filterwarnings("ignore::scipy.io.matlab.MatReadWarning", "ignore::numpy.exceptions.ComplexWarning")
def test_what_matlab_wrote_is_read_as_scipy_reads_it(file):
    if "4.2c" in file.name or "hdf5" in file.name:
        with pytest.raises(MatError, match="expected 5 to 7"):
            read_mat(file, ["x"])
        return
    expected = {name: one for name, one in loadmat(file, mat_dtype=True).items() if not name.startswith("__")}
    ours = read_mat(file, expected)
    assert set(ours) == set(expected)
    for name, one in expected.items():
        assert alike(ours[name], one), name
    assert read_mat(file, ["other"]) == {}


def cell(items):
    """Make a cell array."""
    made = np.empty((1, len(items)), dtype=object)
    for i, item in enumerate(items):
        made[0, i] = item
    return made


values = st.recursive(
    st.one_of(
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1, max_size=9),
        st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]).flatmap(
            lambda kind: arrays(kind, st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(2, 3)))
        ),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(cell),
    ),
    max_leaves=6,
)


@given(value=values, packed=st.booleans())
def test_what_scipy_writes_is_read_as_scipy_reads_it(tmp_path_factory, value, packed):
    file = tmp_path_factory.getbasetemp() / "written.mat"
    savemat(file, {"a": value, "b": 1}, do_compression=packed)
    assert alike(read_mat(file, ["a"])["a"], loadmat(file, mat_dtype=True)["a"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no MATLAB file of a known version, expected 5 to 7"),
        (b"x" * 500, "no MATLAB file of a known version"),
        (header(version=0x0200), "is of version 7.3, expected 5 to 7"),
        (header() + b"abc", "3 bytes are left over"),
        (header() + struct.pack("<II", 14, 2**31), "an element announces 2,147,483,648 bytes, more than there are"),
        (header() + element(9, bytes(8)), "holds an element of type 9 where a variable is expected"),
        (header() + element(14, b""), "an array ends early"),
        (header() + array(9, (-1, 2), b"a"), r"an array has the shape \(-1, 2\)"),
        (header() + array(9, (2, 2), b"a", element(2, b"abc")), r"3 bytes of type 2 have the shape \(2, 2\)"),
        (header() + array(9, (2**31 - 1, 2**31 - 1), b"a", element(2, b"abc")), "3 bytes of type 2 have the shape"),
        (header() + array(9, (1, 1), b"a", element(99, b"a")), "1 bytes of type 99"),
        (header() + array(1, (2**31 - 1, 2**31 - 1), b"a", element(14, b"")), "an array ends early"),
        (header() + array(1, (1, 1), b"a", element(2, b"a")), "a cell holds an element of type 2"),
        (header() + array(2, (2**31 - 1, 9), b"a", element(5, bytes(4)), element(1, b"")), "names of a struct"),
        (header() + array(4, (2**31 - 1, 1), b"a", element(1, b"abc")), "text of 3 characters has the shape"),
        (header() + array(4, (1, 1), b"a", element(16, b"\xff")), "text cannot be read"),
        (header() + array(4, (1, 1), b"a", element(9, b"a")), "text is of type 9"),
        (header() + element(15, b"rubbish"), "it is packed wrongly"),
        (header() + element(15, zlib.compress(b"abc")[:-2]), "a packed variable ends early"),
        (header() + element(15, zlib.compress(bytes(MOST_BYTES + 1))), "or is too large"),
    ],
)  # fmt: skip
def test_what_a_file_announces_is_not_believed(read, content, message):
    with pytest.raises(MatError, match=message):
        read(content)


def test_nothing_is_made_of_what_is_not_there(read):
    assert read(header() + array(4, (2**31 - 1, 0), b"a", element(1, b"")))["a"] == ""
    empty = array(2, (2**31 - 1, 9), b"b", element(5, struct.pack("<i", 32)), element(1, b""))
    assert read(header() + empty)["b"] == []
    nested = array(1, (1, 1), b"")
    for _ in range(50):
        nested = array(1, (1, 1), b"a", nested)
    with pytest.raises(MatError, match="cells lie deeper in each other than 8"):
        read(header() + nested)


def test_what_is_too_large_or_a_pipe_is_not_opened(tmp_path):
    with (tmp_path / "large.mat").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(MatError, match="it has 16,777,217 bytes, expected at most 16,777,216"):
        read_mat(tmp_path / "large.mat", "a")
    with pytest.raises(MatError, match="it is a folder"):
        read_mat(tmp_path, "a")


def test_mutated_files_are_read_or_refused_at_once(read):
    written = []
    for packed in (False, True):
        content = io.BytesIO()
        value = {"edges": cell([np.eye(3), "text"]), "mask": np.arange(60, dtype=np.uint8).reshape(6, 10)}
        savemat(content, {"a": value, "b": cell(["x.jpg", "y.jpg"]), "c": np.arange(4)}, do_compression=packed)
        written.append(content.getvalue())
    drawn, outcomes = random.Random(0), set()
    start = time.monotonic()
    for _ in range(700):
        content = bytearray(drawn.choice(written))
        for _ in range(drawn.choice((1, 1, 3, 10))):
            at = drawn.randrange(len(content))
            new = drawn.choice((bytes([content[at] ^ 1 << drawn.randrange(8)]), b"\xff" * 4, b"\x7f\0\0\0", b""))
            content[at : at + max(1, len(new))] = new
        try:
            outcomes.add(len(read(content)))
        except MatError:
            outcomes.add("refused")
    assert {"refused", 3} <= outcomes
    assert time.monotonic() - start < 30

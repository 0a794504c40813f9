"""What a cache says is there, after kills, power failures and disks that refuse."""

import errno
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glassnet.data.cache import CacheError
from glassnet.data.shards import build, index, journal, verify
from glassnet.errors import InputError
from large_folders import SIZE, content, entries, load, photos


def mark_as_unsynced(root):
    """Leave the cache as a power failure may: entries are there, and nobody knows whether their pixels are."""
    content(root)
    (file,) = root.glob("cache/*/index.bin")
    found = entries(root).copy()
    found["flags"] &= 255 - index.SYNCED
    file.write_bytes(found.tobytes())


def damage(root, row):
    (place,) = root.glob(f"cache/*/images-{row // 10:05d}.u8")
    with place.open("r+b") as file:
        file.seek(row % 10 * 192)
        file.write(b"\0" * 192)


def test_pixels_that_may_not_have_reached_the_disk_are_all_verified_and_then_marked(
    tmp_path, cached, capsys, monkeypatch
):
    """Of a large cache only some rows are verified at each opening; that is not enough after a power failure."""
    monkeypatch.setattr(verify, "VERIFIED_BYTES", 192)
    monkeypatch.setattr(time, "time", lambda: 0)  # verifies row 0 alone
    folder, root = photos(tmp_path / "data"), tmp_path / "root"
    load(folder)
    before = content(root)
    mark_as_unsynced(root)
    damage(root, 17)
    capsys.readouterr()
    load(folder)
    assert "1 images of the cache" in capsys.readouterr().err
    assert content(root) == before  # waits for the marks of all
    damage(root, 17)
    load(folder)
    assert "of the cache" not in capsys.readouterr().err  # a disk's own fault, left to another opening
    damage(root, 0)
    load(folder)
    assert "1 images of the cache" in capsys.readouterr().err


def test_verified_pixels_are_marked_where_nothing_is_decoded(tmp_path, cached):
    folder, root = photos(tmp_path / "data"), tmp_path / "root"
    load(folder)
    before = content(root)
    mark_as_unsynced(root)
    assert not (entries(root)["flags"] & index.SYNCED).any()
    load(folder)
    assert content(root) == before  # waits for the marks of all
    assert (entries(root)["flags"] == index.DONE | index.SYNCED).all()


@pytest.fixture
def refused(monkeypatch):
    """Let the disk refuse what is synced: files whose names hold a word."""
    words = []

    def flushed(path):
        if any(word in path.name for word in words):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal, "_flush", flushed)
    return words


def finish():
    for thread in threading.enumerate():
        if thread.name.startswith("glassnet-journal"):
            thread.join()


def test_what_a_disk_refuses_is_entered_as_missing_and_read_by_nobody(tmp_path, cached, capsys, refused):
    """After a failed fsync the system calls pages written that are not, so a second one would tell nothing."""
    folder, root = photos(tmp_path / "data"), tmp_path / "root"
    refused.append("images-00001")
    opened = load(folder)
    finish()
    said = capsys.readouterr().err
    assert said.count("cannot be written to the disk (Input/output error); what is lost is decoded again") == 1
    flags = entries(root)["flags"]
    assert (flags[10:20] == 0).all()
    assert not (flags & index.SYNCED).any()
    with pytest.raises(InputError, match=r"could not be written to the disk \(Input/output error\); start again, or"):
        opened.train.images[:1]
    refused.clear()
    again = load(folder)
    assert "20 of 30 images are in the cache" in capsys.readouterr().err
    before = content(root)
    assert torch.equal(again.train.images[:3], opened.train.images[:3])
    assert (entries(root)["flags"] == index.DONE | index.SYNCED).all()
    assert content(root) == before


def test_a_build_ends_when_the_disk_refuses_meanwhile(tmp_path, cached, refused, monkeypatch):
    refused.append("images")
    monkeypatch.setattr(journal, "SYNCED_BYTES", 1)
    folder = photos(tmp_path / "data", 200)
    with pytest.raises(CacheError, match=r"cannot be written \(Input/output error\)"):
        load(folder)


def test_entries_are_on_the_disk_before_they_are_marked(tmp_path, cached, monkeypatch):
    """An entry may lie on two pages of the disk; the one with the mark must not be there first."""
    folder, root, seen = photos(tmp_path / "data"), tmp_path / "root", []
    flush = journal.flush

    def looked(file):
        seen.append(entries(root)["flags"].copy())
        flush(file)

    monkeypatch.setattr(journal, "flush", looked)
    load(folder)
    finish()
    assert (seen[-1] == index.DONE).all()
    assert (entries(root)["flags"] == index.DONE | index.SYNCED).all()


def test_pixels_found_damaged_are_known_as_missing_where_their_file_cannot_be_read(tmp_path, cached):
    folder, root = photos(tmp_path / "data"), tmp_path / "root"
    load(folder)
    content(root)
    damage(root, 17)
    for file in folder.rglob("*.png"):  # which look the same as before
        status = file.stat()
        file.write_bytes(b"x" * status.st_size)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    kept = load(folder, skip_damaged=True)
    finish()
    assert len(kept.train) + len(kept.test) == 29
    assert np.flatnonzero(entries(root)["flags"] == 0).tolist() == [17]


def open_files():
    """Return what this process has open."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return [os.readlink(link) for link in links if os.path.lexists(link)]  # noqa: PTH115


def test_a_cache_that_is_thrown_away_keeps_no_file_open(tmp_path, cached):
    folder = photos(tmp_path / "data", 60, gray=True)
    Image.new("RGB", (SIZE, SIZE), "red").save(folder / "cat" / "059.png")
    assert load(folder).channels == 3
    finish()
    assert not [link for link in open_files() if str(tmp_path) in link and "(deleted)" in link]


def test_files_are_opened_once(tmp_path, cached, monkeypatch):
    """Of a cache of 500 GB each of 500 files is held open: twice would be too many for a usual system."""
    opened, held = os.open, []

    def counting(path, flags, *rest, **options):
        number = opened(path, flags, *rest, **options)
        if str(path).endswith(".u8"):
            held.append(sum(link.startswith(str(tmp_path)) and link.endswith(".u8") for link in open_files()))
        return number

    monkeypatch.setattr(os, "open", counting)
    monkeypatch.setattr(build, "allocate", lambda path, size: path.touch() or os.truncate(path, size))
    load(photos(tmp_path / "data", 100))
    finish()
    assert max(held) <= 10 + 1

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from glassnet.data import cache
from glassnet.data.cache import cached_pictures
from glassnet.errors import InputError

SIZE = 4


def picture(index):
    return np.full((3, SIZE, SIZE), index, np.uint8), np.full((SIZE, SIZE), index + 100, np.uint8)


def build(folder, read=picture, *, origin="here", count=10):
    shapes = {"images": (3, SIZE, SIZE), "masks": (SIZE, SIZE)}
    return cached_pictures(folder, origin={"of": origin}, count=count, shapes=shapes, read=read, description="reading")


def test_pixels_are_mapped_and_read_once(tmp_path):
    images, masks = build(tmp_path / "c")
    assert [int(image[0, 0, 0]) for image in images] == list(range(10))
    assert [int(mask[0, 0]) for mask in masks] == list(range(100, 110))

    def never(index):
        raise AssertionError(index)

    again, _ = build(tmp_path / "c", never)
    assert torch.equal(again, images)


def test_a_write_changes_no_file(tmp_path):
    images, _ = build(tmp_path / "c")
    images.fill_(7)
    assert not (build(tmp_path / "c")[0] == 7).all()


def counting(asked, fails=None):
    def read(index):
        asked.append(index)
        if fails:
            fails(index)
        return picture(index)

    return read


def test_what_was_done_before_a_stop_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FLUSHED_EVERY", 3)

    def stop(index):
        if index == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "c", counting([], stop))
    asked = []
    images, _ = build(tmp_path / "c", counting(asked))
    assert sorted(asked) == [6, 7, 8, 9]
    assert [int(image[0, 0, 0]) for image in images] == list(range(10))


@pytest.mark.parametrize("flushed", [3, 256])
def test_damaged_images_are_named_all_at_once_and_the_others_are_kept(tmp_path, monkeypatch, flushed):
    monkeypatch.setattr(cache, "FLUSHED_EVERY", flushed)

    def damaged(count):
        def fail(index):
            if index % 3 == 1 and index < count:
                raise InputError(f"image {index} is damaged; fetch it again.")

        return fail

    named = "; ".join(f"image {index} is damaged; fetch it again" for index in (1, 4, 7))
    with pytest.raises(InputError, match=rf"^3 images cannot be read, all others are in the cache: {named}\.$"):
        build(tmp_path / "c", counting([], damaged(9)))
    asked = []
    with pytest.raises(InputError, match=r"^image 1 is damaged; fetch it again\.$"):
        build(tmp_path / "c", counting(asked, damaged(3)))
    assert sorted(asked) == [1, 4, 7]
    asked.clear()
    images, masks = build(tmp_path / "c", counting(asked))
    assert asked == [1]
    assert [int(image[0, 0, 0]) for image in images] == list(range(10))
    assert [int(mask[0, 0]) for mask in masks] == list(range(100, 110))
    with pytest.raises(InputError, match=r"^20 images .*image 13 is damaged; fetch it again; and 15 more\.$"):
        build(tmp_path / "d", counting([], damaged(60)), count=60)


def test_another_origin_makes_another_cache(tmp_path):
    build(tmp_path / "c")
    images, _ = build(tmp_path / "c", lambda index: picture(index + 50), origin="there")
    assert int(images[0, 0, 0, 0]) == 50


@pytest.mark.parametrize("name", ["images.u8", "masks.u8", "sums.u32", "cache.json"])
def test_a_cache_with_a_cut_file_is_made_anew(tmp_path, name):
    images, masks = (one.clone() for one in build(tmp_path / "c"))
    os.truncate(tmp_path / "c" / name, 5)
    again = build(tmp_path / "c")
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], masks)


def test_a_complete_cache_is_only_read(tmp_path, monkeypatch):
    images, _ = build(tmp_path / "c")
    monkeypatch.setattr(cache.np, "memmap", lambda *given, **options: pytest.fail("opened to be written"))
    assert torch.equal(build(tmp_path / "c")[0], images)


@pytest.mark.parametrize("name", ["images.u8", "masks.u8", "sums.u32", "cache.json"])
def test_one_wrong_bit_is_noticed_and_the_image_is_read_again(tmp_path, name):
    images, masks = (one.clone() for one in build(tmp_path / "c"))
    file = tmp_path / "c" / name
    before = file.read_bytes()
    for bit in np.random.default_rng(0).integers(0, 8 * len(before), 25).tolist():
        damaged = bytearray(before)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        asked = []
        again = build(tmp_path / "c", lambda index, asked=asked: asked.append(index) or picture(index))
        assert torch.equal(again[0], images)
        assert torch.equal(again[1], masks)
        assert len(asked) in ((1,) if name != "cache.json" else (0, 10)), bit
        assert file.read_bytes() == before


def read_only(*given, **options):
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("name", ["images.u8", "masks.u8", "sums.u32"])
def test_a_damaged_image_of_a_cache_that_cannot_be_written_is_read_into_memory(tmp_path, monkeypatch, capsys, name):
    images, masks = (one.clone() for one in build(tmp_path / "c"))
    file = tmp_path / "c" / name
    damaged = bytearray(file.read_bytes())
    damaged[3] ^= 1  # of image 0
    file.write_bytes(damaged)
    monkeypatch.setattr(cache.np, "memmap", read_only)
    capsys.readouterr()
    asked = []
    again = build(tmp_path / "c", counting(asked))
    assert torch.equal(again[0], images)
    assert torch.equal(again[1], masks)
    assert asked == [0]
    assert file.read_bytes() == damaged
    said = "c cannot be written (Read-only file system); 1 of its 10 images are missing or damaged, and are read into"
    assert capsys.readouterr().err.count(said) == 1
    with pytest.raises(InputError, match="image 0 is gone"):
        build(tmp_path / "c", counting([], missing))


def missing(index):
    raise InputError(f"image {index} is gone.")


def test_more_images_than_memory_should_hold_are_refused(tmp_path, monkeypatch):
    build(tmp_path / "c")
    (tmp_path / "c" / "sums.u32").write_bytes(bytes(40))
    monkeypatch.setattr(cache.np, "memmap", read_only)
    monkeypatch.setattr(cache, "MOST_IN_MEMORY", 10 * 4 * SIZE * SIZE - 1)
    with pytest.raises(InputError, match=r"c cannot be written \(Read-only file system\)"):
        build(tmp_path / "c")
    monkeypatch.setattr(cache, "MOST_IN_MEMORY", 10 * 4 * SIZE * SIZE)
    assert [int(image[0, 0, 0]) for image in build(tmp_path / "c")[0]] == list(range(10))


def test_a_cut_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    build(tmp_path / "c")
    os.truncate(tmp_path / "c" / "images.u8", 5)
    monkeypatch.setattr(cache.shutil, "rmtree", read_only)
    with pytest.raises(InputError, match=r"c cannot be written \(Read-only file system\)"):
        build(tmp_path / "c")


def test_of_a_very_large_cache_a_share_is_verified_at_a_time(tmp_path, monkeypatch):
    build(tmp_path / "c")
    monkeypatch.setattr(cache, "_VERIFIED_BYTES", 4 * SIZE * SIZE * 5)
    checked, real = [], cache._checksum
    monkeypatch.setattr(cache, "_checksum", lambda arrays, index: checked.append(int(index)) or real(arrays, index))
    for start in (0, 1):
        checked.clear()
        monkeypatch.setattr(cache.random, "randrange", lambda step, start=start: start)
        build(tmp_path / "c")
        assert sorted(checked) == list(range(start, 10, 2))


def test_a_disk_without_room_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(file, start, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"c cannot be written \(No space left on device\); free some disk space"):
        build(tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_two_processes_make_a_cache_once(tmp_path):
    asked, begun, go = [], threading.Event(), threading.Event()

    def slow(index):
        asked.append(index)
        begun.set()
        assert go.wait(10)
        return picture(index)

    def counted(index):
        asked.append(index)
        return picture(index)

    with ThreadPoolExecutor(2) as pool:  # a lock of flock's holds between two openings of a file as between processes
        first = pool.submit(build, tmp_path / "c", slow)
        assert begun.wait(10)
        second = pool.submit(build, tmp_path / "c", counted)
        time.sleep(0.2)
        assert not second.done()
        go.set()
        found = [one.result(10)[0] for one in (first, second)]
    assert sorted(asked) == list(range(10))
    assert torch.equal(*found)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"written .*; free some disk space, or choose another place with --data-root"):
        build(tmp_path / "file" / "c")

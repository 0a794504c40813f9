import errno
import os
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.data import large
from glassnet.data.cache import CacheError
from glassnet.data.dataset import Split
from glassnet.data.datasets import folder as of_folder
from glassnet.data.fingerprint import fingerprint
from glassnet.data.shards import build
from glassnet.errors import InputError
from large_folders import SIZE, content, entries, load, photos, wait_for
from torture.process import Process


def pairs(folder, count=12):
    rng = np.random.default_rng(1)
    for kind, shape in (("images", (SIZE, SIZE, 3)), ("masks", (SIZE, SIZE))):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 3 if kind == "masks" else 256, shape, np.uint8)).save(
                folder / kind / f"{i}.png"
            )
    return folder


def same(one, other):
    for name, part in one.parts.items():
        twin = other.parts[name]
        assert torch.equal(part.images, twin.images)
        assert torch.equal(part.targets, twin.targets)
        assert part.files == twin.files
    assert (one.classes, one.note, one.leak) == (other.classes, other.note, other.leak)
    assert fingerprint(one) == fingerprint(other)


def labelled(folder):
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.png"))
    lines = [f"{file},{i % 2},{1 - i % 3 // 2}" for i, file in enumerate(files)]
    (folder / "labels.csv").write_text("\n".join(["file,round,red", *lines]))
    return folder


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (photos, "folder"),
        (lambda folder: photos(folder, gray=True), "folder"),
        (lambda folder: labelled(photos(folder)), "folder"),
        (pairs, "masks"),
    ],
)
def test_a_cache_gives_what_memory_gives(tmp_path, cached, monkeypatch, make, kind):
    folder = make(tmp_path / "data")
    stored = load(folder, kind)
    monkeypatch.setattr(large, "IN_MEMORY_BYTES", 1 << 29)
    memory = load(folder, kind)
    assert stored.train.is_stored
    assert not memory.train.is_stored
    same(stored, memory)


def test_copies_are_counted_by_checksums_and_then_by_pixels(tmp_path, cached, monkeypatch):
    folder = photos(tmp_path / "data")
    for part, names in (("train", ("dog/000.png", "cat/001.png")), ("test", ("dog/000.png", "cat/003.png"))):
        for name in names:
            (tmp_path / "split" / part / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "split" / part / name).write_bytes((folder / name).read_bytes())
    assert load(tmp_path / "split").leak == 1
    monkeypatch.setattr(Split, "sums", property(lambda split: np.zeros(len(split))))  # which tell nothing apart
    assert load(tmp_path / "split").leak == 1


def test_a_changed_file_is_decoded_again_and_nothing_else(tmp_path, cached, capsys):
    folder = photos(tmp_path / "data")
    before = load(folder)
    old = before.train.images.clone()
    Image.new("RGB", (SIZE, SIZE), "red").save(folder / before.train.files[3])
    capsys.readouterr()
    after = load(folder)
    assert "29 of 30 images are in the cache " in capsys.readouterr().err
    assert after.train.images[3].flatten(1).tolist() == [[255] * 64, [0] * 64, [0] * 64]
    assert torch.equal(after.train.images[[0, 1, 2, 4]], old[[0, 1, 2, 4]])
    assert torch.equal(before.train.images, old)  # who has it open reads what was there
    load(folder)
    assert "ecod" not in capsys.readouterr().err


def test_added_and_removed_files_leave_the_others_where_they_are(tmp_path, cached, capsys, monkeypatch):
    folder = photos(tmp_path / "data")
    load(folder)
    photos(folder, 34, first=30)
    (folder / "dog" / "000.png").unlink()
    capsys.readouterr()
    now = load(folder)
    assert "29 of 33 images are in the cache" in capsys.readouterr().err
    monkeypatch.setattr(large, "IN_MEMORY_BYTES", 1 << 29)
    same(now, load(folder))


def test_a_cache_of_which_most_is_of_no_use_is_made_anew(tmp_path, cached):
    folder = photos(tmp_path / "data")
    load(folder)
    for file in sorted(folder.rglob("*.png"))[:28]:
        Image.new("RGB", (SIZE, SIZE), (len(file.stem), 7, 9)).save(file)
        os.utime(file, ns=(1, 1))
    load(folder)
    load(folder)
    assert sum(len(value) for name, value in content(tmp_path / "root").items() if name.startswith("images")) == (
        30 * 3 * SIZE * SIZE
    )


def test_one_image_in_colour_among_grey_ones_is_met_late(tmp_path, cached, monkeypatch):
    folder = photos(tmp_path / "data", 60, gray=True)
    assert load(folder).channels == 1
    Image.new("RGB", (SIZE, SIZE), "red").save(folder / "cat" / "059.png")
    coloured = load(folder)
    assert coloured.channels == 3
    monkeypatch.setattr(large, "IN_MEMORY_BYTES", 1 << 29)
    same(coloured, load(folder))
    monkeypatch.setattr(large, "IN_MEMORY_BYTES", -1)
    (folder / "cat" / "059.png").unlink()
    assert load(folder).channels == 1


def start(folder, root, pause, monkeypatch):
    """Read the folder in a process of its own, each image after a pause."""
    read = large.read_picture_and_kind

    def slow(*given):
        time.sleep(pause)
        return read(*given)

    with monkeypatch.context() as patch:
        patch.setattr(large, "read_picture_and_kind", slow)
        return Process(lambda: of_folder.load(folder, SIZE, root=root) and 0)


def said(process):
    return os.pread(process.output.fileno(), 10_000, 0).decode()


def test_killed_while_another_process_waits_the_other_goes_on_to_the_same_bytes(tmp_path, cached, monkeypatch):
    folder, killed = photos(tmp_path / "data", 60), tmp_path / "killed"
    first = start(folder, killed, 0.3, monkeypatch)
    wait_for(lambda: "Decoding 60 images" in said(first))
    second = start(folder, killed, 0, monkeypatch)
    wait_for(lambda: "waiting for another process" in said(second))
    wait_for(lambda: entries(killed)["flags"].any())
    os.kill(first.number, signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    done = int((entries(killed)["flags"] != 0).sum())
    assert 0 < done < 60
    ended = second.wait(60)
    assert ended.code == 0, ended.text
    assert f"{done} of 60 images are in the cache" in ended.text
    load(folder)
    assert content(killed) == content(tmp_path / "root")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, cached, monkeypatch):
    def full(*_given):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = photos(tmp_path / "data")
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\); it takes 0.0 GB: make "):
            load(folder)
    assert not list((tmp_path / "root").rglob("*.u8"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)  # of a file system that cannot reserve
        with pytest.raises(CacheError, match=r"cannot be written \(No space left on device\)"):
            load(folder)
    assert len(load(folder).train) == 24


@pytest.fixture
def read_only(monkeypatch):
    """Makes all files ones that can only be read."""

    def refuse(path, flags, *given, **options):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return os_open(path, flags, *given, **options)

    def refuse_all(*_given):
        raise OSError(errno.EROFS, "Read-only file system")

    os_open = os.open

    def begin():
        monkeypatch.setattr(os, "open", refuse)
        monkeypatch.setattr(build, "allocate", refuse_all)

    return begin


def test_a_cache_that_is_complete_is_only_read(tmp_path, cached, read_only):
    folder = photos(tmp_path / "data")
    load(folder)
    read_only()
    assert load(folder).train.is_stored
    Image.new("RGB", (SIZE, SIZE), "red").save(folder / "cat" / "001.png")
    with pytest.raises(CacheError, match=r"cannot be written \(Read-only file system\).* --data-root or GLASSNET_DATA"):
        load(folder)


def test_pixels_that_are_damaged_are_decoded_again(tmp_path, cached, capsys):
    folder = photos(tmp_path / "data")
    before = load(folder)
    (place,) = (tmp_path / "root").glob("cache/*/images-00001.u8")
    with place.open("r+b") as file:
        file.write(b"\0" * 192)
    capsys.readouterr()
    same(load(folder), before)
    assert "1 images of the cache" in capsys.readouterr().err
    place.unlink()
    same(load(folder), before)


def test_pixels_that_are_damaged_and_cannot_be_written_are_decoded_into_memory(
    tmp_path, cached, capsys, monkeypatch, read_only
):
    folder = photos(tmp_path / "data")
    load(folder)
    (place,) = (tmp_path / "root").glob("cache/*/images-00001.u8")
    with place.open("r+b") as file:
        file.write(b"\0" * 192)
    damaged = place.read_bytes()
    read_only()
    capsys.readouterr()
    stored = load(folder)
    said = "cannot be written (Read-only file system); 1 of its 30 images are missing or damaged, and are decoded into"
    assert capsys.readouterr().err.count(said) == 1
    assert place.read_bytes() == damaged
    with monkeypatch.context() as patched:
        patched.setattr(large, "IN_MEMORY_BYTES", 1 << 29)
        memory = load(folder)
    same(stored, memory)
    for rows in (torch.arange(0, 24, 2), torch.arange(23, 0, -2)):  # wherever it stands
        assert torch.equal(stored.train.subset(rows).images, memory.train.images[rows])
    monkeypatch.setattr(build, "MOST_IN_MEMORY", 191)
    with pytest.raises(CacheError, match=r"cannot be written \(Read-only file system\)"):
        load(folder)


def test_damaged_files_are_named_or_left_out(tmp_path, cached):
    folder = photos(tmp_path / "data")
    for name in ("cat/003.png", "dog/004.png"):
        (folder / name).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"2 images cannot be read: .*\.png .* them out with --skip-damaged"):
        load(folder)
    kept = load(folder, skip_damaged=True)
    assert len(kept.train) + len(kept.test) == 28
    assert not {"cat/003.png", "dog/004.png"} & {*kept.train.files, *kept.test.files}


def test_small_folders_stay_in_memory(tmp_path):
    assert large.is_large(1 << 15, 75)
    assert not large.is_large(1 << 15, 73)
    assert not load(photos(tmp_path / "data"), root=tmp_path / "root").train.is_stored
    assert not (tmp_path / "root").exists()


def test_a_training_and_all_that_is_asked_of_it_never_hold_a_part(tmp_path, cached, monkeypatch):
    whole = Split.images.fget

    def refuse(split):
        assert not split.is_stored or len(split) <= 4, "all images of a part are read at once"
        return whole(split)

    monkeypatch.setattr(Split, "images", property(refuse))
    folder = photos(tmp_path / "data", 60)
    settings = {"data": f"folder:{folder}", "model": "convnet", "image_size": SIZE, "epochs": 1, "batch_size": 16}
    run = gn.train(gn.TrainSettings(**settings, out=tmp_path / "stored"))
    gn.evaluate(run)
    gn.analyse(run, "features", layer="fc1", images=40)
    gn.analyse(run, "attribution", layers=("last-conv",), images="mixed:4", methods=("gradcam",))
    monkeypatch.undo()
    memory = gn.train(gn.TrainSettings(**settings, out=tmp_path / "memory"))
    ours, theirs = run.model().state_dict(), memory.model().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.io import savemat

from data.published import published
from glassnet.cli import run
from glassnet.data import load_dataset
from glassnet.data.datasets import stanford_dogs
from glassnet.data.datasets.stanford_dogs import read_file_list
from glassnet.data.pictures import read_pictures
from glassnet.download import RemoteFile
from glassnet.errors import InputError, WorkError

REAL = os.environ.get("GLASSNET_DATA")


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def archives(tiny_dogs_files, pack_tar, monkeypatch):
    """The two archives as bytes by name, which the reader is made to expect."""
    lists = {name: body for name, body in tiny_dogs_files.items() if name.endswith(".mat")}
    images = {name: body for name, body in tiny_dogs_files.items() if name not in lists}
    return expect(monkeypatch, {"lists.tar": pack_tar(lists), "images.tar": pack_tar(images)})


def expect(monkeypatch, content):
    for constant, name in (("LISTS", "lists.tar"), ("IMAGES", "images.tar")):
        remote = RemoteFile(name, len(content[name]), hashlib.sha256(content[name]).hexdigest())
        monkeypatch.setattr(stanford_dogs, constant, remote)
    return content


def fetch(root, monkeypatch, files, **how):
    with published(files, **how) as (address, asked):
        monkeypatch.setattr(stanford_dogs, "MIRRORS", (address,))
        stanford_dogs.fetch(root)
    return asked


def left(root):
    return sorted(path.name for path in (root / "stanford_dogs").iterdir())


def listing(files, labels):
    cells = np.empty((len(files), 1), dtype=object)
    cells[:, 0] = files
    buffer = io.BytesIO()
    savemat(buffer, {"file_list": cells, "labels": np.array(labels, dtype=np.uint8)[:, None]})
    return buffer.getvalue()


def test_images_labels_and_breeds(tiny_stanford_dogs):
    name, root = tiny_stanford_dogs
    dataset = load_dataset(name, root=root, image_size=16)
    assert dataset.classes == ("Shih-Tzu", "English foxhound")
    assert dataset.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.targets.tolist() == [0, 1]
    assert dataset.note.startswith("2-breed stand-in in Stanford Dogs' layout (6 training and 2 test images)")
    folder = root / "stanford_dogs" / "Images" / "n02089973-English_foxhound"
    expected = read_pictures([folder / "3.jpg"], size=16, description="", channels=3)
    assert torch.equal(dataset.test.images[1:], expected)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train_list.mat", b"no matlab", r"train_list.mat is damaged ("),
        (
            "test_list.mat",
            listing(["a/1.jpg"], [1, 2]),
            "test_list.mat has 1 files and 2 labels, expected one for each",
        ),
        ("test_list.mat", listing(["n02086240-Shih-Tzu/9.jpg"], [1]), "9.jpg"),
        ("Images/n02086240-Shih-Tzu/1.jpg", b"no picture", "1.jpg"),
    ],
)
def test_damaged_files_stop_the_command_with_one_line(tiny_stanford_dogs, tmp_path, capsys, file, content, message):
    name, root = tiny_stanford_dogs
    (root / name / file).write_bytes(content)
    out = tmp_path / "run"
    words = ["train", "--data", name, "--data-root", str(root), "--image-size", "16", "--model", "vae_conv"]
    code = run([*words, "--model-options", "latent=2", "hidden=4", "--out", str(out)])
    said = [line for line in capsys.readouterr().err.splitlines() if line != "Reading 8 photographs, once"]
    assert code == 2
    (line,) = said
    assert line.startswith("glassnet: ")
    assert message in line
    assert not out.exists()


def test_the_official_counts_are_told(monkeypatch, tiny_stanford_dogs):
    monkeypatch.setattr(stanford_dogs, "OFFICIAL", (2, 6, 2))
    name, root = tiny_stanford_dogs
    note = load_dataset(name, root=root, image_size=16).note
    assert note == "Stanford Dogs, the official training and test images, resized and cropped to 16 px"


def test_the_photographs_are_decoded_once_for_each_size(tiny_stanford_dogs, monkeypatch):
    name, root = tiny_stanford_dogs
    first = load_dataset(name, root=root, image_size=16)
    assert "cache-16px" in left(root)
    monkeypatch.setattr("glassnet.data.datasets.stanford_dogs.read_picture", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(load_dataset(name, root=root, image_size=16).train.images, first.train.images)


@pytest.mark.parametrize(
    ("file", "spoil"),
    [
        ("images.u8", lambda b: b[: len(b) // 2]),
        ("images.u8", lambda b: b""),
        ("sums.u32", lambda b: b[:-1]),
        ("cache.json", lambda b: b"x" * len(b)),
    ],
)
def test_a_cache_that_is_damaged_is_made_anew(tiny_stanford_dogs, file, spoil):
    name, root = tiny_stanford_dogs
    before = load_dataset(name, root=root, image_size=16).train.images.clone()
    cache = root / "stanford_dogs" / "cache-16px" / file
    whole = cache.read_bytes()
    cache.write_bytes(spoil(whole))
    assert torch.equal(load_dataset(name, root=root, image_size=16).train.images, before)
    assert cache.read_bytes() == whole


def test_a_photograph_that_changed_is_read_again(tiny_stanford_dogs, save_picture):
    name, root = tiny_stanford_dogs
    first = load_dataset(name, root=root, image_size=16)
    save_picture(root / "stanford_dogs" / "Images" / "n02086240-Shih-Tzu" / "0.jpg", width=50)
    assert not torch.equal(load_dataset(name, root=root, image_size=16).train.images, first.train.images)


def test_a_cache_that_cannot_be_written_is_said_and_the_photographs_are_read(tiny_stanford_dogs, capsys):
    name, root = tiny_stanford_dogs
    (root / "stanford_dogs" / "cache-16px").write_text("in the way")
    assert len(load_dataset(name, root=root, image_size=16).train) == 6
    assert "could not be cached for next time: the cache" in capsys.readouterr().err


def test_an_unreadable_photograph_is_named_and_read_once_it_is_mended(tiny_stanford_dogs):
    name, root = tiny_stanford_dogs
    path = root / "stanford_dogs" / "Images" / "n02086240-Shih-Tzu" / "1.jpg"
    whole = path.read_bytes()
    path.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(InputError, match=r"Shih-Tzu/1\.jpg cannot be read as an image"):
        load_dataset(name, root=root, image_size=16)
    path.write_bytes(whole)
    dataset = load_dataset(name, root=root, image_size=16)
    expected = read_pictures([path], size=16, channels=3, description="")[0]
    assert torch.equal(dataset.train.images[dataset.train.files.index("Images/n02086240-Shih-Tzu/1.jpg")], expected)


def test_a_missing_photograph_is_named(tiny_stanford_dogs):
    name, root = tiny_stanford_dogs
    (root / "stanford_dogs" / "Images" / "n02086240-Shih-Tzu" / "1.jpg").unlink()
    with pytest.raises(InputError, match=r"Shih-Tzu/1\.jpg is listed but cannot be read \(No such file"):
        load_dataset(name, root=root, image_size=16)


@pytest.mark.parametrize("keep", [0, 60, 200, 300])
def test_a_corrupt_mat(tiny_stanford_dogs, keep):
    name, root = tiny_stanford_dogs
    file = root / "stanford_dogs" / "train_list.mat"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"train_list\.mat (is damaged \(.*\)|lacks .*)\. Delete it and run `glassnet data"
    ):
        load_dataset(name, root=root, image_size=16)


def test_a_mat_of_something_else(tmp_path):
    file = tmp_path / "list.mat"
    savemat(file, {"labels": np.arange(3)})
    with pytest.raises(InputError, match=r"list\.mat lacks file_list, expected file_list and labels\. Mend it"):
        read_file_list(file, remedy="Mend it.")
    names = np.array(list("abcd"), dtype=object)
    savemat(file, {"file_list": names, "labels": np.arange(3)})
    with pytest.raises(InputError, match="has 4 files and 3 labels, expected one for each"):
        read_file_list(file, remedy="")
    for labels in (np.array([np.arange(2), np.arange(3)], dtype=object), names):  # found by a mutated file
        savemat(file, {"file_list": names[:2], "labels": labels})
        with pytest.raises(InputError, match="holds no list of names and numbers"):
            read_file_list(file, remedy="")
    savemat(file, {"file_list": np.arange(4), "labels": np.arange(4)})
    with pytest.raises(InputError, match="holds no list of names and numbers"):
        read_file_list(file, remedy="")
    savemat(file, {"file_list": np.array(["a.jpg", "b.jpg"], dtype=object), "labels": np.array([1, np.inf])})
    with pytest.raises(InputError, match="holds no list of names and numbers"):
        read_file_list(file, remedy="")
    savemat(file, {"file_list": sparse.eye_array(2).tocsc(), "labels": np.arange(2)})
    with pytest.raises(InputError, match="holds a sparse matrix, expected plain arrays"):
        read_file_list(file, remedy="")
    with pytest.raises(InputError, match="is missing"):
        read_file_list(tmp_path / "none.mat", remedy="")


def test_a_list_of_known_content(tmp_path):
    (tmp_path / "list.mat").write_bytes(listing(["a/1.jpg", "b/2.jpg"], [1, 2]))
    read = read_file_list(tmp_path / "list.mat", remedy="")
    assert (read.files, read.labels) == (("a/1.jpg", "b/2.jpg"), (1, 2))


@pytest.mark.parametrize("bad", ["../../etc/passwd", "/etc/passwd", "a/../b.jpg", "b.jpg"])
def test_a_listed_name_that_leads_out(tiny_stanford_dogs, bad):
    name, root = tiny_stanford_dogs
    (root / "stanford_dogs" / "test_list.mat").write_bytes(listing([bad], [1]))
    (root / "stanford_dogs" / "train_list.mat").write_bytes(listing([bad], [1]))
    with pytest.raises(InputError, match=r"lists the photograph '.*', expected a name like n02085620-Chihuahua/1.jpg"):
        load_dataset(name, root=root, image_size=16)


def test_one_label_for_two_breeds(tiny_stanford_dogs):
    name, root = tiny_stanford_dogs
    (root / "stanford_dogs" / "test_list.mat").write_bytes(listing(["n02089973-English_foxhound/3.jpg"], [1]))
    with pytest.raises(InputError, match="has label 1 for n02086240-Shih-Tzu and for n02089973-English_foxhound"):
        load_dataset(name, root=root, image_size=16)


def test_download_unpacks_and_leaves_nothing_else(online, archives, tmp_path, monkeypatch):
    asked = fetch(tmp_path, monkeypatch, archives)
    assert asked == [("lists.tar", None), ("images.tar", None)]
    assert left(tmp_path) == ["Images", "test_list.mat", "train_list.mat"]
    assert len(load_dataset("stanford_dogs", root=tmp_path, image_size=16).train) == 6


def test_a_cut_download_goes_on(online, archives, tmp_path, monkeypatch):
    asked = fetch(tmp_path, monkeypatch, archives, cuts=[1000])
    assert asked == [("lists.tar", None), ("lists.tar", "bytes=1000-"), ("images.tar", None)]
    assert stanford_dogs.find(tmp_path)


def test_a_bad_checksum(online, archives, tmp_path, monkeypatch):
    with pytest.raises(WorkError, match=r"could not download images\.tar: .* sent another file"):
        fetch(tmp_path, monkeypatch, archives | {"images.tar": archives["images.tar"][:-1] + b"x"})
    assert left(tmp_path) == ["test_list.mat", "train_list.mat"]
    assert stanford_dogs.find(tmp_path) is None
    (tmp_path / "stanford_dogs" / "images.tar").write_bytes(b"another")
    with pytest.raises(InputError, match=r"images\.tar has SHA-256 \w{64}, expected the official file's"):
        stanford_dogs.fetch(tmp_path)


def test_a_missing_member(online, archives, tiny_dogs_files, pack_tar, tmp_path, monkeypatch):
    fewer = {n: b for n, b in tiny_dogs_files.items() if n.endswith(".jpg") and not n.endswith("Shih-Tzu/1.jpg")}
    expect(monkeypatch, archives | {"images.tar": pack_tar(fewer)})
    files = {"lists.tar": archives["lists.tar"], "images.tar": pack_tar(fewer)}
    with pytest.raises(InputError, match=r"images\.tar lacks Images/n02086240-Shih-Tzu/1\.jpg\. Delete it"):
        fetch(tmp_path, monkeypatch, files)
    assert stanford_dogs.find(tmp_path) is None


def test_a_path_that_leads_out(online, archives, tiny_dogs_files, pack_tar, tmp_path, monkeypatch):
    evil = {n: b for n, b in tiny_dogs_files.items() if n.endswith(".jpg")} | {"../../out": b"1"}
    content = expect(monkeypatch, archives | {"images.tar": pack_tar(evil)})
    with pytest.raises(InputError, match=r"images\.tar is not safe to unpack \(.*outside the destination"):
        fetch(tmp_path / "root", monkeypatch, content)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert stanford_dogs.find(tmp_path / "root") is None


def test_missing_and_offline(tmp_path):
    with pytest.raises(InputError, match=r"GLASSNET_OFFLINE forbids downloads: put lists\.tar there, or unset"):
        load_dataset("stanford_dogs", root=tmp_path)


def test_the_table_is_that_of_the_published_archives():
    assert all(len(remote.sha256) == 64 for remote in (stanford_dogs.IMAGES, stanford_dogs.LISTS))
    total = stanford_dogs.IMAGES.size_bytes + stanford_dogs.LISTS.size_bytes
    assert f"{total / 1e6:.1f} MB" in stanford_dogs.SOURCE.needs


@pytest.mark.skipif(not (REAL and stanford_dogs.find(Path(REAL))), reason="$GLASSNET_DATA has no stanford_dogs folder")
def test_the_real_lists():
    folder = Path(REAL) / "stanford_dogs"
    for name in stanford_dogs.LIST_FILES:
        read = read_file_list(folder / name, remedy="")
        assert all((folder / "Images" / file).is_file() for file in read.files)

"""Small data sets on disk, one per entry of the registry: the fixture tiny_NAME gives (name to load, root)."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import tiny_voc
from glassnet.data import large
from glassnet.data.datasets import cifar10, digit_pairs, digit_scenes, fashion_mnist, mnist
from glassnet.data.shards import build, rows, workers
from glassnet.download import RemoteFile
from large_folders import SIZE


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    monkeypatch.delenv("GLASSNET_DATA", raising=False)


@pytest.fixture
def idx_bytes():
    """Spell an array as the IDX format has it: 0x08 for unsigned bytes, the number of dimensions, the sizes."""

    def spell(array):
        sizes = b"".join(struct.pack(">I", size) for size in array.shape)
        return struct.pack(">I", 0x0800 + array.ndim) + sizes + array.astype(np.uint8).tobytes()

    return spell


@pytest.fixture
def tiny_mnist_files(monkeypatch, idx_bytes):
    """Content of four small IDX files, which the reader is made to expect."""
    random = np.random.default_rng(0)
    files = {
        f"{part}-{kind}-ubyte": idx_bytes(array)
        for part, n in (("train", 30), ("t10k", 10))
        for kind, array in (
            ("images-idx3", random.integers(0, 256, (n, 28, 28))),
            ("labels-idx1", np.arange(n) % 10),
        )
    }
    monkeypatch.setattr(
        mnist, "CONTENT_MD5", {stem: hashlib.md5(content).hexdigest() for stem, content in files.items()}
    )
    return files


@pytest.fixture
def tiny_mnist(tmp_path, tiny_mnist_files):
    (tmp_path / "mnist").mkdir()
    for stem, content in tiny_mnist_files.items():
        (tmp_path / "mnist" / f"{stem}.gz").write_bytes(gzip.compress(content))
    return "mnist", tmp_path


@pytest.fixture
def tiny_fashion_mnist_files(monkeypatch, tiny_mnist_files):
    """The same four files packed, which the reader of Fashion-MNIST is made to expect."""
    packed = {f"{stem}.gz": gzip.compress(content, mtime=0) for stem, content in tiny_mnist_files.items()}
    files = {name: RemoteFile(name, len(b), hashlib.sha256(b).hexdigest()) for name, b in packed.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    return packed


@pytest.fixture
def tiny_fashion_mnist(tmp_path, tiny_fashion_mnist_files):
    (tmp_path / "fashion-mnist").mkdir()
    for name, content in tiny_fashion_mnist_files.items():
        (tmp_path / "fashion-mnist" / name).write_bytes(content)
    return "fashion-mnist", tmp_path


@pytest.fixture
def tiny_cifar10_files(monkeypatch):
    """Six files of ten records, one a class, and the names of the classes, which the reader is made to expect."""
    random = np.random.default_rng(0)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    files = {name: b"".join(bytes([c]) + random.bytes(3072) for c in range(10)) for name in names}
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", 10)
    monkeypatch.setattr(cifar10, "FILE_SHA256", {n: hashlib.sha256(b).hexdigest() for n, b in files.items()})
    classes = "airplane automobile bird cat deer dog frog horse ship truck"
    return files | {"batches.meta.txt": classes.replace(" ", "\n").encode() + b"\n\n"}


@pytest.fixture
def tiny_cifar10(tmp_path, tiny_cifar10_files):
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, content in tiny_cifar10_files.items():
        (folder / name).write_bytes(content)
    return "cifar10", tmp_path


@pytest.fixture
def pack():
    """Pack files by name into the bytes of a .tar.gz, as the official archive is one."""

    def to_bytes(files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    return to_bytes


@pytest.fixture
def pack_tar():
    """Pack files by name into the bytes of a plain .tar."""

    def to_bytes(files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    return to_bytes


@pytest.fixture(scope="session")
def tiny_dogs_files():
    """Content of Stanford Dogs' files by name: four JPEGs of two breeds each, and the two lists."""
    random = np.random.default_rng(0)
    breeds = ("n02086240-Shih-Tzu", "n02089973-English_foxhound")
    files = {}
    for breed in breeds:
        for i in range(4):
            buffer = io.BytesIO()
            coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            coarse.resize((40, 30)).save(buffer, "JPEG")
            files[f"Images/{breed}/{i}.jpg"] = buffer.getvalue()
    for part, numbers in (("train", range(3)), ("test", range(3, 4))):
        names = [(f"{breed}/{i}.jpg", label) for label, breed in enumerate(breeds, 1) for i in numbers]
        cells = np.empty((len(names), 1), dtype=object)
        cells[:, 0] = [name for name, _ in names]
        buffer = io.BytesIO()
        labels = np.array([[label] for _, label in names], dtype=np.uint8)
        savemat(buffer, {"file_list": cells, "annotation_list": cells, "labels": labels})
        files[f"{part}_list.mat"] = buffer.getvalue()
    return files


@pytest.fixture
def tiny_stanford_dogs(tmp_path, tiny_dogs_files):
    for name, content in tiny_dogs_files.items():
        path = tmp_path / "stanford_dogs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return "stanford_dogs", tmp_path


@pytest.fixture
def tiny_photos_sample(tmp_path):
    return "photos-sample", tmp_path


@pytest.fixture
def tiny_mnist_sample(tmp_path):
    return "mnist-sample", tmp_path


@pytest.fixture
def save_picture():
    """Save random pixels as an image file, of the kind that its suffix names."""
    random = np.random.default_rng(0)

    def save(path, *, mode="RGB", width=40, height=30):
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width) if mode == "L" else (height, width, 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
        return path

    return save


@pytest.fixture
def tiny_folder(tmp_path, save_picture):
    for name in ("cat", "dog"):
        for i in range(5):
            save_picture(tmp_path / "photos" / name / f"{i}.png")
    return f"folder:{tmp_path / 'photos'}", None


@pytest.fixture
def tiny_hf(tmp_path, save_picture):
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                save_picture(tmp_path / "photos" / part / name / f"{i}.png")
    return f"hf:{tmp_path / 'photos'}", tmp_path / "root"


@pytest.fixture
def tiny_voc_aug(tmp_path):
    return "voc-aug", tiny_voc.lay_out(tmp_path)


@pytest.fixture
def tiny_voc_aug_union(tmp_path):
    return "voc-aug-union", tiny_voc.lay_out(tmp_path)


@pytest.fixture
def tiny_voc_aug_union_clean(tmp_path):
    return "voc-aug-union-clean", tiny_voc.lay_out(tmp_path)


@pytest.fixture
def tiny_digit_scenes(monkeypatch):
    monkeypatch.setattr(digit_scenes, "SCENES", {"train": 40, "test": 10})
    return "digit-scenes", None


@pytest.fixture
def tiny_digit_pairs(monkeypatch):
    monkeypatch.setattr(digit_pairs, "IMAGES", {"train": 60, "test": 10})
    return "digit-pairs", None


@pytest.fixture
def tiny_labelled(tmp_path, save_picture):
    """A folder with a labels.csv, which the registry's entry of a folder reads as well."""
    for i in range(10):
        save_picture(tmp_path / "pets" / f"{i}.png")
    rows = [f"{i}.png,{int(i % 2 == 0)},{int(i % 3 == 0)}" for i in range(10)]
    (tmp_path / "pets" / "labels.csv").write_text("\n".join(["file,cat,dog", *rows]))
    return f"folder:{tmp_path / 'pets'}", None


@pytest.fixture
def tiny_masks(tmp_path, save_picture):
    random = np.random.default_rng(0)
    for i in range(5):
        save_picture(tmp_path / "scans" / "images" / f"{i}.png")
        (tmp_path / "scans" / "masks").mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 2, (30, 40), dtype=np.uint8)).save(tmp_path / "scans" / "masks" / f"{i}.png")
    return f"masks:{tmp_path / 'scans'}", None


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Read every folder from a cache of several small files, decoded by two processes in pieces of four images."""
    monkeypatch.setattr(large, "IN_MEMORY_BYTES", -1)
    monkeypatch.setattr(rows, "SHARD_BYTES", 10 * 3 * SIZE * SIZE)
    monkeypatch.setattr(build, "PIECE_IMAGES", 4)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path / "root"))
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("glassnet-journal"):
            thread.join()

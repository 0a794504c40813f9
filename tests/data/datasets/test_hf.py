"""Data sets of the library datasets, from tiny folders, offline: an imagefolder and parquet files."""

import builtins
import io

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from command_line import answer, refused
from glassnet.data import load_dataset
from glassnet.errors import InputError

datasets = pytest.importorskip("datasets")
NAMES = ["cat", "dog", "bird"]


def encoded(number, mode="RGB"):
    random = np.random.default_rng(number)
    shape = (20, 24, 3) if mode == "RGB" else (20, 24)
    written = io.BytesIO()
    Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(written, "png")
    return {"bytes": written.getvalue(), "path": None}


def table(labels, *, mode="RGB", first=0, names=NAMES, **features):
    """A split whose images are encoded in its rows; its labels are class labels unless told otherwise."""
    columns = {"image": [encoded(first + i, mode) for i in range(len(labels))], "label": list(labels)}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names), **features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


@pytest.fixture
def write(tmp_path):
    """Write splits as parquet files, as repositories on the hub have them, and return the folder."""

    def written(**splits):
        (tmp_path / "set" / "data").mkdir(parents=True)
        for name, one in splits.items():
            one.to_parquet(tmp_path / "set" / "data" / f"{name}-00000-of-00001.parquet")
        return tmp_path / "set"

    return written


def load(folder, **options):
    return load_dataset(f"hf:{folder}", root=folder.parent / "root", **options)


def test_parquet_files_have_their_splits_classes_and_pixels(write):
    folder = write(train=table([0, 1, 2, 0]), test=table([2, 1], first=4))
    dataset = load(folder, image_size=20)
    assert dataset.classes == tuple(NAMES)
    assert dataset.train.targets.tolist() == [0, 1, 2, 0]
    assert dataset.test.targets.tolist() == [2, 1]
    assert dataset.test.files == ("test/0", "test/1")
    pixels = np.asarray(Image.open(io.BytesIO(encoded(5)["bytes"])))[:, 2:22].transpose(2, 0, 1)
    assert torch.equal(dataset.test.images[1], torch.tensor(pixels))


def test_it_is_read_once_and_again_where_it_has_changed(write, capfd, monkeypatch):
    folder = write(train=table([0, 1, 2, 0]), test=table([2, 1], first=4))
    first = load(folder)
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("glassnet.data.datasets.hf.read_picture", lambda *_: pytest.fail("read again"))
        again = load(folder)
    assert torch.equal(first.train.images, again.train.images)
    table([1, 0], first=6).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    changed = load(folder)
    assert changed.test.targets.tolist() == [1, 0]
    assert not torch.equal(changed.test.images, first.test.images)
    assert "Generating" not in capfd.readouterr().err


def test_validation_and_one_split_alone_become_the_parts_that_are_needed(write):
    dataset = load(write(train=table([0, 1, 2]), validation=table([1], first=3), test=table([2], first=4)))
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [3, 1, 1]


def test_a_validation_split_is_the_test_where_there_is_no_other(write, capsys):
    dataset = load(write(train=table([0, 1, 2]), validation=table([1], first=3)))
    assert "has no test split; its validation split is used as the test." in capsys.readouterr().err
    assert dataset.validation is None
    assert dataset.test.targets.tolist() == [1]


def test_of_one_split_a_fifth_of_each_class_is_tested(write, capsys):
    dataset = load(write(train=table([0, 1, 2] * 5)))
    assert sorted(dataset.test.targets.tolist()) == [0, 1, 2]
    assert len(dataset.train) == 12
    assert "has only the split train; a fifth of each class is drawn from it for the test." in capsys.readouterr().err


def test_grey_images_stay_grey_and_rows_without_a_class_are_left_out(write, capsys):
    dataset = load(write(train=table([0, 1, -1, 2], mode="L"), test=table([1, -1], mode="L", first=4)))
    assert dataset.channels == 1
    assert dataset.train.files == ("train/0", "train/1", "train/3")
    assert "1 of 2 rows of test have no class and are left out." in capsys.readouterr().err


def test_without_class_labels_it_is_one_sentence_and_a_reconstruction_takes_it(write):
    text = datasets.Value("int64")
    folder = write(train=table([0, 1, 2, 0, 1], label=text), test=table([2, 1], first=5, label=text))
    sentence = (
        r"hf:.*set has no column of class labels: its columns are image \(PIL.Image.Image\), label \(int64\); cast "
        r"one by dataset.cast_column\('label', datasets.ClassLabel\(names=\[...\]\)\), or take --task reconstruction\.$"
    )
    with pytest.raises(InputError, match=sentence):
        load(folder, task="classification")
    assert load(folder, task="reconstruction").task == "reconstruction"


def test_what_cannot_be_used_is_one_sentence(write, tmp_path):
    with pytest.raises(InputError, match="'hf' has no path: give hf:NAME_OR_FOLDER"):
        load_dataset("hf")
    with pytest.raises(InputError, match=r"none is not a folder; expected an imagefolder or parquet files, or a name"):
        load(tmp_path / "none")
    with pytest.raises(
        InputError, match=r"hf:no/such cannot be loaded \(.*; GLASSNET_OFFLINE forbids downloads\); exp"
    ):
        load_dataset("hf:no/such", root=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty cannot be loaded \(.*\); expected an image data set"):
        load(tmp_path / "empty")
    folder = write(train=table([0, 1]), other=table([1], first=2))
    with pytest.raises(
        InputError, match=r"has the splits train, other, expected train and test, or validation, or one"
    ):
        load(folder)


def test_a_table_without_images_is_one_sentence(write):
    numbers = datasets.Dataset.from_dict({"a": [1, 2], "b": ["x", "y"]})
    with pytest.raises(
        InputError, match=r"has no column of images: its columns are a \(int64\), b \((large_)?string\)"
    ):
        load(write(train=numbers))


def test_damaged_rows_are_named_or_skipped(write, capsys):
    broken = table([0, 1, 2, 0]).to_dict()
    broken["image"][1] = {"bytes": b"nothing", "path": None}
    features = table([0]).features
    folder = write(train=datasets.Dataset.from_dict(broken, features=features), test=table([2, 1], first=4))
    with pytest.raises(InputError, match=r"row 1 of train in hf:.*set cannot be read as an image"):
        load(folder)
    dataset = load(folder, skip_damaged=True)
    assert dataset.train.targets.tolist() == [0, 2, 0]
    assert dataset.train.files == ("train/0", "train/2", "train/3")
    assert len(dataset.test) == 2
    assert "1 image cannot be read and is left out: row 1 of train" in capsys.readouterr().err


def test_where_no_row_can_be_read_it_is_one_sentence(write):
    broken = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"x", "path": None}] * 4, "label": [0, 1, 0, 1]}, features=table([0]).features
    )
    with pytest.raises(InputError, match=r"no image of hf:.*set can be read, expected one at least"):
        load(write(train=broken), skip_damaged=True)


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch, tmp_path):
    real = builtins.__import__

    def missing(name, *arguments):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"hf:x needs datasets; install it with `pip install 'glassnet\[hub\]'`"):
        load_dataset("hf:x", root=tmp_path)


def test_it_is_trained_on_and_a_network_is_measured_on_it(write, capsys, monkeypatch, tmp_path):
    """Also from another folder than that where the training was started."""
    folder = write(train=table([0, 1, 2] * 4), test=table([2, 1, 0, 0], first=12))
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    words = ["--data", "hf:set", "--image-size", 16, "--epochs", 1, "--batch-size", 4, "--validation", 0.4]
    run = answer(capsys, "train", *words, "--model-options", "filters=4,4,4,4")["run"]
    assert run == "runs/set-convnet-seed0"
    monkeypatch.chdir(folder)
    assert answer(capsys, "eval", tmp_path / run)["images"] == 4
    subject = gn.Subject(gn.Run.open(tmp_path / run).model(), f"hf:{folder}", size=16)
    assert subject.classes == tuple(NAMES)
    assert subject.evaluate().accuracy == gn.Run.open(tmp_path / run).metrics["test_accuracy"]
    assert answer(capsys, "data", "check", f"hf:{folder}")["classes"]
    assert "'hf' has no path" in refused(capsys, "train", "--data", "hf")

import os
import shutil

import numpy as np
import pytest
import torch

from glassnet.data import find_source, load_dataset
from glassnet.data.datasets.labels_csv import read_labels
from glassnet.data.split import labelled_split
from glassnet.errors import InputError

ROWS = "file,cat,big dog\na.png,1,0\nsub/b.png,1,1\nc.png,0,0\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="labels.csv"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def pets(tmp_path, save_picture, write):
    """Ten images, one in a sub-folder, two labels; pets(text) gives another table."""

    def lay_out(text):
        for i in range(9):
            save_picture(tmp_path / f"{i}.png")
        save_picture(tmp_path / "sub" / "9.png")
        write(text)
        return tmp_path

    return lay_out


def table(split=None, rare=()):
    rows = []
    for i in range(10):
        name = "sub/9.png" if i == 9 else f"{i}.png"
        rows.append(f"{name},{int(i % 2 == 0)},{int(i in (rare or (0, 3, 6, 9)))}" + (f",{split[i]}" if split else ""))
    return "\n".join([f"file,cat,dog{',split' if split else ''}", *rows])


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        "\ufeff" + ROWS,
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\r"),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace("big dog", '"big dog"').replace("sub/b.png", '"sub/b.png"'),
        ROWS.replace("sub/b", "sub\\b").replace("a.png", "./a.png"),
        ROWS.replace(",1", ", 1.0").replace(",0", ",FALSE").replace("file", "File"),
        ROWS.replace("\nc", "\n\n  \nc") + "\n",
        "file,labels\na.png,cat\nsub/b.png,cat; big dog\nc.png,\n",
        "file,labels\na.png,cat\nsub/b.png,big dog|cat|cat\nc.png\n",
        'file;labels\na.png;cat\nsub/b.png;"cat;big dog"\nc.png;""\n',
        "labels,file\ncat,a.png\ncat;big dog,sub/b.png\n;,c.png\n",
    ],
)
def test_tables_as_programs_write_them(write, content):
    read = read_labels(write(content))
    assert read.files == ("a.png", "sub/b.png", "c.png")
    assert read.parts is None
    assert {name: read.has[:, i].tolist() for i, name in enumerate(read.labels)} == {
        "cat": [1, 1, 0],
        "big dog": [0, 1, 0],
    }


def test_columns_keep_their_order_and_names_are_sorted_and_parts_are_read(write):
    assert read_labels(write("file,z,a\n1.png,1,1\n")).labels == ("z", "a")
    read = read_labels(write('file,labels,Split\n1.png,"z;a,b",train\n2.png,z,Test\n3.png,z,val\n'))
    assert read.labels == ("a,b", "z")
    assert read.parts == ("train", "test", "validation")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"labels\.csv has no row for an image; expected a header with a column file, and"),
        ("file,cat\n", "has no row for an image"),
        ("name,cat\na.png,1\n", r"the header of .* is name, cat; expected a column file, and a column of 0 and 1 for"),
        ("file\na.png\n", "the header of .* is file; expected"),
        ("file,split\na.png,test\n", "the header of .* is file, split; expected"),
        ("file,labels,cat\na.png,x,1\n", r"has a column labels and others besides \(cat\); expected one or the other"),
        ("file,cat,cat\na.png,1,1\n", "has two columns cat; expected a name of its own for each"),
        (",file,cat\n0,a.png,1\n", r"has a column without a name \(1\); expected a name of its own"),
        ("file,cat\na.png,1\na.png,0\n", r"has a\.png more than once, expected one row for each image"),
        ("file,cat\na.png,1\nb.png,maybe\n", r"line 3 of .* has 'maybe' for the label cat, expected 0 or 1"),
        ("file,cat,dog\na.png,1\n", r"line 2 of .* has '' for the label dog, expected 0 or 1"),
        ("file,cat\na.png,1,0\n", r"line 2 of .* has 3 cells, expected 2: file, cat"),
        ("file,cat\n,1\n", r"line 2 of .* has the file '', expected a path below"),
        ("file,cat\n../a.png,1\n", r"line 2 of .* has the file '\.\./a\.png', expected a path below"),
        ("file,cat\n/a.png,1\n", "line 2 of .* has the file '/a.png', expected a path below"),
        ("file,cat\nC:\\a.png,1\n", "line 2 of .* expected a path below"),
        ("file,cat,dog\na.png,1,0\n", r"no image in .* has dog; expected at least one image for each label"),
        ("file,labels\na.png,\n", r"no image in .* has any label; expected"),
        ("file,cat,split\na.png,1,later\n", r"line 2 of .* has the split 'later', expected train or test"),
        ("file,cät\na.png,1\n".encode("latin-1"), r"labels\.csv is not valid UTF-8 \(.*\); save it as CSV in UTF-8"),
    ],
)
def test_tables_that_cannot_be_used_make_one_sentence(write, content, message):
    with pytest.raises(InputError, match=message) as refused:
        read_labels(write(content))
    assert "\n" not in str(refused.value)


def test_a_folder_with_labels_is_first_for_several_labels_an_image(pets, tmp_path):
    source, where = find_source(f"folder:{tmp_path}")
    assert source.learnable(where) == ("classification", "reconstruction", "multilabel")
    dataset = load_dataset(f"folder:{pets(table())}", image_size=16)
    assert source.learnable(where) == ("multilabel", "classification", "reconstruction")
    assert (dataset.task, dataset.classes, dataset.augmentation) == ("multilabel", ("cat", "dog"), "photos")
    assert (len(dataset.train), len(dataset.test)) == (8, 2)
    assert dataset.train.images.shape == (8, 3, 16, 16)
    assert "fixed split 8/2" in dataset.note
    assert repr(dataset.train) == "Split(8 images of 3×16×16, labels)"
    for part in (dataset.train, dataset.test):
        for file, target in zip(part.files, part.targets.tolist(), strict=True):
            number = int(file.removeprefix("sub/")[0])
            assert target == [int(number % 2 == 0), int(number in (0, 3, 6, 9))]


def test_parts_that_are_named_are_taken(pets):
    split = ["train"] * 4 + ["test"] * 3 + ["train"] * 3
    dataset = load_dataset(f"folder:{pets(table(split))}", image_size=8)
    assert sorted(dataset.test.files) == ["4.png", "5.png", "6.png"]
    assert "split of labels.csv" in dataset.note


@pytest.mark.parametrize(
    ("rare", "split", "message"),
    [
        ((4,), ["train"] * 4 + ["test"] * 6, "no training image of dog in .* can be read, expected one at least"),
        ((), ["train"] * 10, "no test image in .* can be read"),
    ],
)
def test_each_label_needs_a_training_image_and_the_test_an_image(pets, rare, split, message):
    with pytest.raises(InputError, match=message):
        load_dataset(f"folder:{pets(table(split, rare))}", image_size=8)


def test_files_and_rows_that_do_not_fit_are_named(pets, tmp_path):
    root = pets(table())
    (root / "4.png").unlink()
    with pytest.raises(InputError, match=r"labels\.csv names 4\.png, of which .* has no image; correct the paths"):
        load_dataset(f"folder:{root}")
    shutil.copy(root / "5.png", root / "4.png")
    shutil.copy(root / "5.png", root / "more.png")
    with pytest.raises(InputError, match=r"has no row for more\.png; add a row for each image, or take the images"):
        load_dataset(f"folder:{root}")
    (root / "more.png").unlink()
    (root / "labels.csv").unlink()
    with pytest.raises(InputError, match=r"labels\.csv does not exist; expected a table with a column file, and"):
        load_dataset(f"folder:{root}", task="multilabel")
    os.mkfifo(root / "labels.csv")
    with pytest.raises(InputError, match=r"labels\.csv is not a regular file but a pipe, .*; expected a table"):
        load_dataset(f"folder:{root}", task="multilabel")
    with pytest.raises(InputError, match=r"nowhere does not exist: expected a folder of images with a labels\.csv"):
        load_dataset(f"folder:{root / 'nowhere'}", task="multilabel")


def test_a_damaged_image_is_left_out_with_its_labels(pets, capsys):
    root = pets(table())
    whole = load_dataset(f"folder:{root}", image_size=8)
    (root / whole.train.files[2]).write_bytes(b"no image")
    rest = load_dataset(f"folder:{root}", image_size=8, skip_damaged=True)
    assert "1 image cannot be read and is left out" in capsys.readouterr().err
    assert rest.train.files == whole.train.files[:2] + whole.train.files[3:]
    assert torch.equal(rest.train.targets, torch.cat([whole.train.targets[:2], whole.train.targets[3:]]))
    assert rest.test.files == whole.test.files


def test_a_reconstruction_takes_the_images_alone(pets):
    root = pets(table())
    shutil.move(root / "sub" / "9.png", root / "9.png")
    (root / "sub").rmdir()
    dataset = load_dataset(f"folder:{root}", task="reconstruction", image_size=8)
    assert (dataset.classes, len(dataset.train) + len(dataset.test)) == (("images",), 10)


def test_a_split_leaves_every_label_an_image_to_learn_from():
    random = np.random.default_rng(0)
    keys = [f"{i}.png" for i in range(50)]
    has = (random.random((50, 12)) < 0.06).astype(np.uint8)
    has[0, 0] = 1
    train, test = labelled_split(keys, has, test_share=0.2, seed=0)
    assert sorted(train + test) == list(range(50))
    assert len(test) == 10
    assert ((has[train].sum(axis=0) > 0) == (has.sum(axis=0) > 0)).all()
    assert labelled_split(keys, has, test_share=0.2, seed=1) != (train, test)
    single = np.eye(5, dtype=np.uint8)  # of each label one image, which none can spare
    assert labelled_split(keys[:5], single, test_share=0.2, seed=0)[1] == []


@pytest.mark.parametrize("names", ["cat,dog", "cat, dog", "cat dog", "cat dog,bird"])
def test_names_joined_by_commas_or_spaces_are_no_label(write, names):
    file = write(f'file,labels\na.png,cat;bird\nb.png,dog\nc.png,"{names}"\n')
    with pytest.raises(InputError, match=f"has the label '{names}' besides cat, dog.*, as in cat;dog"):
        read_labels(file)


def test_a_label_may_be_of_several_words(write):
    file = write('file,labels\na.png,big dog|dog\nb.png,"dog, black"\n')
    assert read_labels(file).labels == ("big dog", "dog", "dog, black")


def test_the_column_is_valid_is_the_split(write):
    columns = read_labels(write("file,cat,is_valid\na.png,1,False\nb.png,0,True\n"))
    assert (columns.labels, columns.parts) == (("cat",), ("train", "validation"))
    names = read_labels(write("file,labels,is_valid\na.png,cat,True\nb.png,dog,False\n"))
    assert (names.labels, names.parts) == (("cat", "dog"), ("validation", "train"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,cat,is_valid\na.png,1,maybe\n", "has 'maybe' for the label is_valid, expected 0 or 1"),
        ("file,cat,is_valid,split\na.png,1,True,test\n", "has a column split and a column is_valid; remove one"),
    ],
)
def test_a_column_is_valid_that_leaves_a_doubt_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        read_labels(write(text))

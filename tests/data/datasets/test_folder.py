import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glassnet.data import load_dataset
from glassnet.data.split import hold_out
from glassnet.errors import InputError
from glassnet.tasks import TASKS


@pytest.fixture
def photos(tmp_path, save_picture):
    """Lay out image files: photos("cat/1.png", ...) gives the folder that holds them."""

    def lay_out(*names, mode="RGB"):
        for name in names:
            save_picture(tmp_path / name, mode=mode)
        return tmp_path

    return lay_out


def several(*folders, n=5):
    return [f"{folder}/{i}.png" for folder in folders for i in range(n)]


def load(path, **options):
    return load_dataset(f"folder:{path}", **options)


def test_a_fixed_fifth_of_each_class(photos):
    dataset = load(photos(*several("dog", n=10), *several("cat", n=5)))
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.targets.bincount().tolist() == [4, 8]
    assert dataset.test.targets.bincount().tolist() == [1, 2]
    assert dataset.train.images.shape == (12, 3, 64, 64)
    assert dataset.augmentation == "photos"
    assert dataset.note.endswith("fixed split 12/3, resized and cropped to 64 px")


def test_grayscale_and_size(photos):
    dataset = load(photos(*several("cat", "dog"), mode="L"), image_size=16)
    assert dataset.train.images.shape == (8, 1, 16, 16)


def test_each_image_keeps_its_class(photos, tmp_path):
    alone = load(photos(*several("a", "b", n=6)), image_size=30)
    from glassnet.data.pictures import read_pictures

    for index, name in enumerate("ab"):
        paths = sorted((tmp_path / name).iterdir())
        expected = {image.numpy().tobytes() for image in read_pictures(paths, size=30, description="")}
        found = {
            image.numpy().tobytes()
            for part in (alone.train, alone.test)
            for image in part.images[part.targets == index]
        }
        assert found == expected


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("train", test) for test in ("test", "val", "validation", "Test", "valid")),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("TRAIN", "VALID"),
        ("trainset", "testset"),
        ("train-images", "test-images"),
        ("train2017", "val2017"),
    ],
)
def test_given_parts(photos, train, test):
    root = photos(
        *several(f"{train}/cat", f"{train}/dog", n=3), *several(f"{test}/dog", n=2), f"{train}/dog/puppy/9.JPG"
    )
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.targets.bincount().tolist() == [3, 4]
    assert dataset.test.targets.tolist() == [1, 1]
    assert f"parts {train} and {test}" in dataset.note


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_the_validation_part_is_that_to_choose_the_epoch_by(photos, name):
    root = photos(*several("train/a", "train/b", "test/a", f"{name}/b", n=2), "seg_pred/1.png")
    dataset = load(root)
    assert dataset.test.targets.tolist() == [0, 0]
    assert dataset.validation.targets.tolist() == [1, 1]
    assert sorted(dataset.validation.files) == [f"{name}/b/0.png", f"{name}/b/1.png"]
    assert f"parts train, test and {name}, seg_pred not used" in dataset.note


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            several("train/cat", "train/dog", "test/cat", "lion", "wolf"),
            "^.* has test and train, named as parts of a data set, beside lion and wolf, named as classes: move the "
            r"classes into the parts, or rename what is no part\.$",
        ),
        (several("Training/cat", "Training/dog", "lion"), "has Training, named as .* beside lion, named as classes"),
        (several("test", "cat", "dog"), "has test, named as parts of a data set, beside cat and dog"),
        (several("train", "test", "cat"), "has test and train, named as parts .* beside cat"),
        (several("val/cat", "test/cat"), "has test and val but no train beside it"),
        (several("train", "test"), "train has no class sub-folders"),
        (several("train/a", "train/b", "val/a", "valid/a"), "has val and valid, which both stand for the validation"),
        (several("train/a", "train/b", "test/a", "val/c"), "has classes to validate on that are not in .*: c; it has"),
    ],
)
def test_names_of_parts_that_leave_a_doubt_are_asked_about(photos, names, message):
    with pytest.raises(InputError, match=message):
        load(photos(*names))


def test_a_class_that_is_a_link_and_one_that_holds_a_link(photos, tmp_path, save_picture, capsys):
    for i in range(6):
        save_picture(tmp_path / "pool" / "cats" / f"{i}.png")
        save_picture(tmp_path / "pool" / "dogs" / f"{i}.png")
    root = tmp_path / "photos"
    (root / "dog").mkdir(parents=True)
    save_picture(root / "dog" / "own.png")
    (root / "cat").symlink_to(tmp_path / "pool" / "cats")
    (root / "dog" / "more").symlink_to(Path("..") / ".." / "pool" / "dogs")
    dataset = load(root, image_size=8)
    assert (dataset.train.targets.bincount() + dataset.test.targets.bincount()).tolist() == [6, 7]
    assert "dog/more/0.png" in dataset.train.files + dataset.test.files
    assert "ignored" not in dataset.note
    assert "not read" not in capsys.readouterr().err


def test_links_are_followed_once_and_without_loops(photos, tmp_path, capsys):
    root = photos(*several("in/cat", "in/cat/deep", "in/dog")) / "in"
    (root / "cat" / "deep" / "back").symlink_to(root / "cat")
    (root / "cat" / "again").symlink_to(root / "cat" / "deep")
    (root / "dog" / "up").symlink_to(root)
    (root / "dog" / "self").symlink_to(root / "dog" / "self")
    dataset = load(root, image_size=8)
    assert (dataset.train.targets.bincount() + dataset.test.targets.bincount()).tolist() == [10, 5]
    assert f"1 file in {root} not read: 1 without a suffix" in capsys.readouterr().err


def test_classes_that_share_a_folder_by_a_link_are_refused(photos):
    root = photos(*several("cat", "dog"))
    (root / "dog" / "cats").symlink_to(root / "cat")
    with pytest.raises(InputError, match=r"the classes 'cat' and 'dog' in .* hold the same folder, by a link; remove"):
        load(root)
    (root / "dog" / "cats").unlink()
    (root / "puss").symlink_to(root / "cat")
    with pytest.raises(InputError, match="the classes 'cat' and 'puss'"):
        load(root)


def test_a_pipe_and_a_link_that_leads_nowhere_are_named_at_once(photos):
    root = photos(*several("cat", "dog"))
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "lost.png").symlink_to(root / "nowhere.png")
    with pytest.raises(
        InputError,
        match=r"2 images cannot be read: .*pipe\.png \(it is not a regular file but a pipe, .*lost\.png "
        r"\(it is a link to .*nowhere\.png, which does not exist\)",
    ):
        load(root, image_size=8)
    assert len(load(root, image_size=8, skip_damaged=True).train) == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_cannot_be_listed_is_named(photos):
    root = photos(*several("cat", "dog"))
    (root / "cat").chmod(0)
    try:
        with pytest.raises(InputError, match=r"the folder .*cat cannot be listed \(Permission denied\)"):
            load(root)
    finally:
        (root / "cat").chmod(0o755)


def test_a_class_may_be_called_train(photos):
    assert load(photos(*several("train", "plane"))).classes == ("plane", "train")


def test_hidden_and_other_files_are_counted_and_said_by_kind(photos, capsys):
    root = photos(
        *several("cat", "dog"), "cat/.hidden.png", ".trash/1.png", "__MACOSX/cat/1.png", "cat/.x/1.png", "top.png"
    )
    (root / "cat" / "notes.txt").write_text("")
    (root / "__MACOSX" / "cat" / "._1.png").write_text("")
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.train) + len(dataset.test) == 10
    assert dataset.note.endswith(", 7 hidden or other files ignored")
    said = capsys.readouterr().err
    assert f"7 files in {root} not read: 5 hidden, 1 " in said
    assert "1 .txt" in said
    assert "1 .png outside the sub-folders" in said


def test_the_split_does_not_depend_on_the_place(photos, tmp_path):
    root = photos(*several("cat", "dog"))
    before = load(root)
    root.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    after = load(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert torch.equal(before.test.images, after.test.images)


def test_no_such_folder(tmp_path):
    with pytest.raises(
        InputError, match=r"none does not exist: expected a folder with a sub-folder of images per class"
    ):
        load(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file is a file: expected a folder"):
        load(tmp_path / "file")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"has no class sub-folders: expected a sub-folder of images per class, as in cat/1\.jpg"),
        (["1.png", "2.png"], "has no class sub-folders"),
        (["cat/1.png", "cat/2.png"], r"has only one class \(cat\), expected at least two"),
        (["cat/1.png", "cat/2.png", "dog/1.png"], r"class 'dog' in .* has 1 image, expected at least 2 to split"),
        (["cat/1.png", "cat/2.png", "dog/.1.png"], r"class 'dog' in .* has no images \(\.bmp, .*\): add some"),
        (
            ["train/cat/1.png", "train/dog/1.png"],
            r"has train but no test, val or validation .* give .*train itself to split that",
        ),
        (["train/cat/1.png", "train/dog/1.png", "test/1.png"], r"test has no class sub-folders"),
        (
            ["train/cat/1.png", "train/dog/1.png", "test/cow/1.png"],
            "classes to test that are not in its train folder: cow; it has cat, dog",
        ),
    ],
)
def test_folders_that_cannot_be_used(photos, names, message):
    with pytest.raises(InputError, match=message):
        load(photos(*names))


def test_an_unreadable_image_is_named(photos):
    root = photos(*several("cat", "dog"))
    (root / "dog" / "3.png").write_bytes((root / "dog" / "3.png").read_bytes()[:500])
    with pytest.raises(InputError, match=r"dog.3\.png cannot be read as an image"):
        load(root)


def damage(root, *names):
    for name in names:
        (root / name).write_bytes(b"no image")


def test_damaged_images_are_all_named_at_once(photos):
    root = photos(*several("cat", "dog", n=8))
    damage(root, *several("cat", n=7), *several("dog", n=5))
    with pytest.raises(InputError, match=r"^12 images cannot be read: ") as caught:
        load(root)
    assert str(caught.value).count(".png (it is damaged, or in an unknown format)") == 10
    assert str(caught.value).endswith(
        " and 2 more; replace them or delete them, or leave them out with --skip-damaged."
    )


def test_one_damaged_image_may_be_left_out_too(photos):
    root = photos(*several("cat", "dog"))
    damage(root, "cat/1.png")
    with pytest.raises(
        InputError, match=r"cat.1\.png cannot .*; replace it or delete it, or leave it out with --skip-"
    ):
        load(root)


def test_rows_keep_the_names_of_their_files_also_where_some_are_left_out(photos, capsys):
    root = photos(*several("cat", "dog", n=10))
    whole = load(root, image_size=30)
    lost = ("cat/3.png", "dog/0.png", "dog/7.png")
    damage(root, *lost)
    rest = load(root, image_size=30, skip_damaged=True)
    assert "3 images cannot be read and are left out: " in capsys.readouterr().err
    assert {*whole.train.files, *whole.test.files} - {*rest.train.files, *rest.test.files} == set(lost)
    for before, after in ((whole.train, rest.train), (whole.test, rest.test)):
        assert after.files == tuple(file for file in before.files if file not in lost)  # none changed its part
        for image, target, file in zip(after.images, after.targets, after.files, strict=True):
            with Image.open(root / file) as opened:
                expected = np.asarray(opened.crop((5, 0, 35, 30))).transpose(2, 0, 1)
            assert np.array_equal(image, expected)
            assert file.startswith(rest.classes[target])
    train, validation = hold_out(rest.train, 0.25, seed=0)
    for part in (train, validation):
        assert part.files == tuple(rest.train.files[number] for number in part.numbers.tolist())
        assert torch.equal(part.images, rest.train.images[part.numbers])


def test_a_class_that_is_damaged_altogether_is_said(photos):
    root = photos(*several("cat", "dog"))
    damage(root, *several("cat"))
    with pytest.raises(InputError, match=r"no training image of cat in .* can be read, expected one at least"):
        load(root, skip_damaged=True)


def test_a_reconstruction_needs_no_class_folders(photos):
    root = photos(*(f"{i}.png" for i in range(10)))
    dataset = load(root, task="reconstruction", image_size=16)
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (8, 2, ("images",))
    assert sorted(dataset.train.files + dataset.test.files) == sorted(f"{i}.png" for i in range(10))
    with pytest.raises(
        InputError, match=r"has no class sub-folders: .*; --task reconstruction takes its 10 images without classes\.$"
    ):
        load(root, task="classification")


def test_a_reconstruction_takes_given_parts_without_classes(photos):
    root = photos(*several("train", n=3), "test/8.png")
    dataset = load(root, task="reconstruction", image_size=16)
    assert dataset.test.files == ("test/8.png",)
    assert sorted(dataset.train.files) == several("train", n=3)


def test_a_reconstruction_is_happy_with_one_class_and_keeps_several(photos):
    assert load(photos(*several("cat")), task="reconstruction", image_size=8).classes == ("cat",)
    assert load(photos(*several("dog")), task="reconstruction", image_size=8).classes == ("cat", "dog")


def test_an_empty_folder_is_said_to_a_reconstruction_too(tmp_path):
    with pytest.raises(InputError, match=r"holds no images: expected files that end in \.bmp"):
        load(tmp_path, task="reconstruction")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["folder", "masks"])
def test_what_is_absent_is_said_to_be_absent_and_a_file_to_be_one(tmp_path, kind, task):
    (tmp_path / "file").write_text("x")
    for name, problem in (("nodir", "does not exist"), ("file", "is a file")):
        with pytest.raises(InputError, match=f"{name} {problem}[;:] expected a folder"):
            load_dataset(f"{kind}:{tmp_path / name}", task=task)

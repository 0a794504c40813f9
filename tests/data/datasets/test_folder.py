import numpy as np
import pytest
import torch
from PIL import Image

from glassnet.data import load_dataset
from glassnet.data.split import hold_out
from glassnet.errors import InputError


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


@pytest.mark.parametrize("test", ["test", "val", "validation", "Test"])
def test_given_parts(photos, test):
    root = photos(*several("train/cat", "train/dog", n=3), *several(f"{test}/dog", n=2), "train/dog/puppy/9.JPG")
    dataset = load(root)
    assert dataset.train.targets.bincount().tolist() == [3, 4]
    assert dataset.test.targets.tolist() == [1, 1]
    assert f"parts train and {test}" in dataset.note


def test_the_test_part_goes_before_the_validation_part(photos):
    root = photos(*several("train/a", "train/b", "test/a", "val/b", n=2))
    dataset = load(root)
    assert dataset.test.targets.tolist() == [0, 0]
    assert "val not used" in dataset.note


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
        (["cat/1.png", "cat/2.png"], r"has one class \(cat\), expected at least two"),
        (["cat/1.png", "cat/2.png", "dog/1.png"], r"class 'dog' in .* has 1 image, expected at least 2 to split"),
        (["cat/1.png", "cat/2.png", "dog/.1.png"], r"class 'dog' in .* has no images \(\.bmp, .*\): add some"),
        (
            ["train/cat/1.png", "train/dog/1.png"],
            r"has train but no test, val or validation .* give folder:.*train to split",
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
    assert str(caught.value).count(".png (it is damaged, or of an unknown format)") == 10
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

import pytest
import torch

from glassnet.data import load_dataset
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


def test_hidden_and_other_files_are_counted(photos):
    root = photos(
        *several("cat", "dog"), "cat/.hidden.png", ".trash/1.png", "__MACOSX/cat/1.png", "cat/.x/1.png", "top.png"
    )
    (root / "cat" / "notes.txt").write_text("")
    (root / "__MACOSX" / "cat" / "._1.png").write_text("")
    dataset = load(root)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.train) + len(dataset.test) == 10
    assert dataset.note.endswith(", 7 hidden or other files ignored")


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

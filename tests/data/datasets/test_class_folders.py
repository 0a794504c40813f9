import re

import pytest

from glassnet.data import given
from glassnet.data.datasets.class_folders import find_layout
from glassnet.errors import InputError


@pytest.fixture
def lay_out(tmp_path):
    """Return a function that makes empty image files and gives the layout of their folder."""

    def make(*names, needs_classes=True):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return find_layout(tmp_path, needs_classes=needs_classes)

    return make


def several(*folders, n=3):
    return [f"{folder}/{i}.png" for folder in folders for i in range(n)]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("TrainData", "TestData"),
        ("X_train", "X_val"),
        ("my-train", "my-test"),
        ("train1", "test1"),
        ("trainA", "testA"),
        ("train", "holdout test"),
    ],
)
def test_parts_may_have_another_word_in_their_name(lay_out, train, test):
    layout = lay_out(*several(f"{train}/cat", f"{train}/dog"), *several(f"{test}/cat", f"{test}/dog", n=1))
    assert {part: sorted(one.labels) for part, one in layout.parts.items()} == {
        "train": ["cat"] * 3 + ["dog"] * 3,
        "test": ["cat", "dog"],
    }


def test_parts_with_the_same_classes_are_parts_also_beside_another_folder(lay_out):
    names = several("X_train/cat", "X_train/dog", "X_test/cat", "X_test/dog")
    assert list(lay_out(*names, "notes/a.txt").parts) == ["train", "test"]
    with pytest.raises(InputError, match=re.escape("X_test and X_train, named as parts of a data set, beside extra")):
        lay_out("extra/1.png")


@pytest.mark.parametrize(
    "classes", [("car", "train"), ("car", "steam train", "test tube"), ("TrainStation", "House"), ("latest", "strain")]
)
def test_classes_with_such_words_stay_classes(lay_out, classes):
    layout = lay_out(*several(*classes))
    assert set(layout.parts["train"].labels) == set(classes)
    assert "fixed split" in layout.note


def test_names_of_parts_alone_over_images_without_classes_are_asked_about(lay_out):
    with pytest.raises(InputError, match="has no class sub-folders"):
        lay_out(*several("X_train", "X_test"))
    assert list(lay_out(needs_classes=False).parts) == ["train", "test"]
    with pytest.raises(InputError, match="X_train and trainA and trainB, which both stand for the train part"):
        lay_out(*several("trainA", "trainB"))


@pytest.mark.parametrize("test", ["test", "val"])
def test_parts_inside_the_classes_are_taken(lay_out, test):
    layout = lay_out(*several("cat/train", "dog/train"), *several(f"cat/{test}", f"dog/{test}", n=2))
    assert layout.note == "parts inside the classes"
    assert {part: sorted(one.labels) for part, one in layout.parts.items()} == {
        "train": ["cat"] * 3 + ["dog"] * 3,
        "test": ["cat", "cat", "dog", "dog"],
    }
    assert {file.parent.name for file in layout.parts["test"].files} == {test}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (several("dog"), "the class 'cat' in .* is divided into test and train, but 'dog' is not"),
        (several("dog/train"), "the class 'cat' in .* is divided into test and train, but 'dog' is not"),
        ([*several("dog/train", "dog/test"), "cat/a.png"], "cat/a.png lies beside the parts of the class 'cat'"),
    ],
)
def test_classes_that_are_not_all_divided_are_refused(lay_out, more, message):
    with pytest.raises(InputError, match=message):
        lay_out(*several("cat/train", "cat/test"), *more)


def test_a_network_without_a_run_takes_parts_for_no_classes(lay_out, tmp_path):
    with pytest.raises(InputError):
        lay_out(*several("train/cat", "train/dog", "holdout/cat", "holdout/dog"))
    with pytest.raises(InputError, match="has holdout and train, some of which are parts, not classes; give one of"):
        given.class_folders(tmp_path)
    assert given.class_folders(tmp_path / "train") == ("cat", "dog")


@pytest.mark.parametrize("place", ["", "train/", "test/"])
def test_a_class_or_part_that_is_a_link_to_nowhere_is_named(lay_out, tmp_path, place):
    names = several(f"{place}cat", f"{place}dog", *(["train/cat", "test/cat"] if place else []))
    lay_out(*names) if not place else lay_out(*names, *several("train/dog"))
    (tmp_path / place / "bird").symlink_to(tmp_path / "unmounted" / "bird")
    (tmp_path / place / "notes.txt").symlink_to(tmp_path / "unmounted" / "notes.txt")
    with pytest.raises(InputError, match=re.escape(f"{place}bird is a link to {tmp_path}/unmounted/bird, which does")):
        lay_out()
    with pytest.raises(InputError, match="connect the disk where it lies, or remove the link"):
        given.class_folders(tmp_path / place)

"""What every entry of the registry keeps; a new data set needs a fixture tiny_NAME and is tested here."""

import pytest
import torch

from glassnet.data import DATASETS, data_root, find_source, load_dataset
from glassnet.errors import InputError
from glassnet.images import VOID

FILES = {"folder", "hf", "masks", "stanford_dogs", "voc-aug", "voc-aug-union", "voc-aug-union-clean"}
"""Data sets whose images lie on disk one by one, or in rows that are named."""


@pytest.fixture(params=[*sorted(DATASETS), "labelled"])
def tiny(request):
    return request.getfixturevalue(f"tiny_{request.param.replace('-', '_')}")


def test_images_and_targets(tiny):
    name, root = tiny
    dataset = load_dataset(name, root=root)
    size, shapes = dataset.image_size, {"segmentation": "masks", "multilabel": "labels"}
    source, where = find_source(name, root)
    kind = shapes.get(source.learnable(where)[0], "classes")
    for part in (dataset.train, dataset.test):
        images, targets = part.images, part.targets
        assert len(images) == len(targets) == len(part)
        assert all(torch.equal(*pair) for pair in zip((images, targets), part.take(slice(None)), strict=True))
        assert (part.files is None) == (name.partition(":")[0] not in FILES)
        assert part.files is None or len(set(part.files)) == len(part)
        assert part.numbers.tolist() == list(range(len(part)))
        assert images.dtype == torch.uint8
        assert images.shape == (len(part), dataset.channels, size, size)
        expected = {"masks": (size, size), "labels": (len(dataset.classes),), "classes": ()}[kind]
        assert targets.dtype == (torch.int64 if kind == "classes" else torch.uint8)
        assert targets.shape == (len(part), *expected)
        assert images.float().std() > 10  # pixels, not an empty buffer
    assert len(set(dataset.classes)) == len(dataset.classes) > 1
    if kind == "labels":
        train, test = (set(part.targets.nonzero()[:, 1].tolist()) for part in (dataset.train, dataset.test))
    else:
        train, test = (set(part.targets.flatten().tolist()) - {VOID} for part in (dataset.train, dataset.test))
    classes = set(range(len(dataset.classes)))
    assert train <= classes if name.startswith("voc") else train == classes  # a tiny VOC has not every class
    assert test <= classes
    assert dataset.name == name
    assert dataset.note


def test_no_image_is_in_both_parts(tiny):
    name, root = tiny
    dataset = load_dataset(name, root=root)
    train, test = ({image.numpy().tobytes() for image in part.images} for part in (dataset.train, dataset.test))
    assert train.isdisjoint(test) == (name != "voc-aug-union")  # which is there for its leak
    assert bool(dataset.leak) == (name == "voc-aug-union")


def test_same_twice(tiny):
    name, root = tiny
    first, second = load_dataset(name, root=root), load_dataset(name, root=root)
    for part in ("train", "test"):
        one, other = (getattr(dataset, part).take(slice(None)) for dataset in (first, second))
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_image_size(tiny):
    name, root = tiny
    dataset = load_dataset(name, root=root, image_size=20)
    assert dataset.image_size == 20
    assert dataset.test.images.shape[2:] == (20, 20)
    if not dataset.test.has_masks:
        assert torch.equal(dataset.test.targets, load_dataset(name, root=root).test.targets)
    assert "20 px" in dataset.note


def test_the_registry_tells_what_loads(tiny):
    name, root = tiny
    source, where = find_source(name, root)
    assert source.find(where).exists()
    dataset = load_dataset(name, root=root)
    told = (source.classes, source.channels, source.image_size)
    loaded = (len(dataset.classes), dataset.channels, dataset.image_size)
    assert all(t in (None, x) for t, x in zip(told, loaded, strict=True))


def test_unknown_name_lists_the_nearest():
    with pytest.raises(
        InputError, match=r"no data set 'mnits'\. Did you mean mnist.*The data sets are: mnist, mnist-sample"
    ):
        load_dataset("mnits")
    with pytest.raises(InputError, match="no data set 'mnist:here'"):
        load_dataset("mnist:here")


def test_a_path_without_a_kind_is_answered_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my dogs" / "pug").mkdir(parents=True)
    with pytest.raises(InputError, match=r"'my dogs' is a folder, not a data set: give folder:\"my dogs\", where it"):
        load_dataset("my dogs")
    for part in ("images", "masks"):
        (tmp_path / "scans" / part).mkdir(parents=True)
    with pytest.raises(InputError, match="'scans' is a folder, not a data set: give masks:scans, where it has images/"):
        load_dataset("scans")
    with pytest.raises(InputError, match="'my cats/pets' does not exist: expected folder:PATH of a folder, or a name"):
        load_dataset("my cats/pets")
    (tmp_path / "cat.png").touch()
    with pytest.raises(InputError, match=r"'cat\.png' is a file, not a data set: give folder:PATH"):
        load_dataset("cat.png")


def test_folder_needs_a_path(tiny_folder):
    with pytest.raises(InputError, match=r"'folder' has no path: give folder:PATH"):
        load_dataset("folder")
    path = tiny_folder[0].removeprefix("folder:")
    assert load_dataset("folder", root=path).name == tiny_folder[0]


def test_a_size_below_one_pixel_is_refused():
    with pytest.raises(InputError, match="image_size is 0, expected at least 1 pixel"):
        load_dataset("mnist-sample", image_size=0)


def test_data_root(monkeypatch, tmp_path):
    assert data_root().name == "glassnet"  # the user's cache folder
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path / "environment"))
    assert data_root() == tmp_path / "environment"
    assert data_root(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root("~/sets") == tmp_path / "sets"

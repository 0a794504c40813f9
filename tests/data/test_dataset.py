import pytest
import torch
from jaxtyping import config

from glassnet.data import Dataset, Split
from glassnet.data.split import hold_out
from glassnet.errors import InputError


@pytest.fixture(autouse=True)
def as_users_run_it():
    """Without the shape checks of the tests, which would refuse the tensors first."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def split(*, n=3, size=4, target=0):
    return Split(torch.zeros(n, 1, size, size, dtype=torch.uint8), torch.full((n,), target))


def dataset(**parts):
    return Dataset("set", "classification", ("a", "b"), **parts, augmentation="none", note="")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(3, 1, 4, 4).int(),
            r"images are torch.int32 of shape \(3, 1, 4, 4\), expected torch.uint8, or floats",
        ),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"of shape \(3, 4, 4\), expected .*\(n, channels, height, width\)"),
        (torch.zeros(3, 4, 4), r"images are torch.float32 of shape \(3, 4, 4\), expected"),
    ],
)
def test_split_refuses_images(images, message):
    with pytest.raises(InputError, match=message):
        Split(images, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("targets", [torch.zeros(3), torch.zeros(2, dtype=torch.int64)])
def test_split_refuses_targets(targets):
    with pytest.raises(InputError, match=r"targets are .*, expected torch.int64 of shape \(3,\), one per image"):
        Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), targets)


def test_dataset_refuses_parts_that_differ():
    with pytest.raises(InputError, match=r"training images are \(1, 4, 4\), test images \(1, 5, 5\)"):
        dataset(train=split(), test=split(size=5))


def test_dataset_refuses_images_that_are_no_squares():
    oblong = Split(torch.zeros(3, 1, 4, 5, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="set: images are 4×5 pixels, expected squares"):
        dataset(train=oblong, test=oblong)


def test_floats_are_taken_as_they_are():
    images = torch.rand(3, 1, 4, 5)
    part = Split(images, torch.zeros(3, dtype=torch.int64)).subset(torch.tensor([2, 0]))
    assert torch.equal(part.images, images[[2, 0]])


@pytest.mark.parametrize("target", [-1, 2])
def test_dataset_refuses_targets_outside_its_classes(target):
    with pytest.raises(InputError, match=rf"targets run from {target} to {target}, expected 0 to 1"):
        dataset(train=split(), test=split(target=target))


def test_sizes():
    found = dataset(train=split(), test=split(n=2))
    assert (found.channels, found.image_size, len(found.train), len(found.test)) == (1, 4, 3, 2)


@pytest.mark.parametrize("rows", [None, torch.tensor([0, 2, 3, 6, 1])])
def test_targets_are_read_in_parts(rows):
    found = Split(torch.zeros(7, 1, 2, 2, dtype=torch.uint8), torch.arange(7), rows)
    parts = list(found.target_parts(2))
    assert [len(part) for part in parts] == ([2, 2, 2, 1] if rows is None else [2, 2, 1])
    assert torch.equal(torch.cat(parts), found.targets)


def test_masks_are_uint8_of_the_images_size_and_hold_classes_or_void():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(InputError, match=r"masks are torch.uint8 of shape \(2, 4, 5\), expected torch.uint8 of shape"):
        Split(images, torch.zeros(2, 4, 5, dtype=torch.uint8))
    masks = torch.full((2, 4, 4), 255, dtype=torch.uint8)
    masks[0, 0, 0] = 2
    part = Split(images, masks)
    about = {"name": "m", "task": "segmentation", "augmentation": "none", "note": ""}
    Dataset(classes=("a", "b", "c"), train=part, test=part, **about)
    with pytest.raises(InputError, match="m: targets run from 2 to 2, expected 0 to 1"):
        Dataset(classes=("a", "b"), train=part, test=part, **about)


def numbered(rows=None, **how):
    """Ten images of which each is its number, all over."""
    values = torch.arange(10)
    return Split(values.byte()[:, None, None, None].expand(10, 3, 4, 4).contiguous(), values, rows, **how)


@pytest.mark.parametrize("rows", [[7, 2, 3], [2, 3, 4], [9], []])
def test_a_part_of_a_mapped_file_has_its_own_rows_alone(rows):
    part = numbered(torch.tensor(rows, dtype=torch.int64))
    assert len(part) == len(part.images) == len(part.targets) == len(rows)
    assert part.images[:, 0, 0, 0].tolist() == part.targets.tolist() == rows
    assert part.image_shape == (3, 4, 4)


def test_rows_that_lie_together_are_a_view():
    storage = numbered()
    together, apart = (Split(storage.images, storage.targets, torch.tensor(rows)) for rows in ([4, 5, 6], [4, 6]))
    assert together.images.data_ptr() == storage.images[4].data_ptr()
    assert apart.images.data_ptr() != storage.images[4].data_ptr()
    apart.images.fill_(0)
    assert storage.images[4].unique().tolist() == [4]


@pytest.mark.parametrize("rows", [None, torch.tensor([8, 1, 0, 5])])
def test_a_subset_keeps_files_and_numbers(rows):
    names = [f"{row}.png" for row in (range(10) if rows is None else rows.tolist())]
    part = numbered(rows, files=names)
    assert part.numbers.tolist() == list(range(len(part)))
    twice = part.subset(torch.tensor([3, 2, 0])).subset(torch.tensor([1, 0]))
    assert twice.numbers.tolist() == [2, 3]
    assert twice.number(1) == 3
    assert twice.files == (names[2], names[3])
    assert [f"{value}.png" for value in twice.images[:, 0, 0, 0].tolist()] == list(twice.files)
    moved = twice.to(torch.device("meta"))
    assert (moved.files, moved.numbers.tolist()) == (twice.files, [2, 3])
    assert numbered(rows).subset(torch.tensor([0])).files is None


def test_files_are_one_an_image():
    with pytest.raises(InputError, match="there are 2 files for 10 images, expected one per image"):
        numbered(files=["a", "b"])


@pytest.mark.parametrize("rows", [None, torch.arange(9, -1, -1)])
def test_files_and_numbers_survive_what_is_held_out(rows):
    names = [f"{row}.png" for row in (range(10) if rows is None else rows.tolist())]
    parts = hold_out(Split(numbered().images, torch.zeros(10, dtype=torch.int64), rows, files=names), 0.3, seed=1)
    assert sorted(number for part in parts for number in part.numbers.tolist()) == list(range(10))
    for part in parts:
        assert [f"{value}.png" for value in part.images[:, 0, 0, 0].tolist()] == list(part.files)
        assert [names[number] for number in part.numbers.tolist()] == list(part.files)


def labelled(targets):
    targets = torch.as_tensor(targets, dtype=torch.uint8)
    return Split(torch.zeros(len(targets), 1, 4, 4, dtype=torch.uint8), targets)


def test_targets_may_say_of_each_label_whether_an_image_has_it():
    part = labelled([[1, 0], [1, 1], [0, 0]])
    assert (part.target_dimensions, part.has_masks) == (2, False)
    assert part.subset(torch.tensor([1, 2])).targets.tolist() == [[1, 1], [0, 0]]
    dataset(train=part, test=part)
    train, validation = hold_out(labelled([[1, 0]] * 10), 0.2, seed=0)
    assert (len(train), len(validation)) == (8, 2)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[1, 0, 1]], "set: targets have 3 columns, expected one for each of the 2 labels"),
        ([[1, 2]], "set: targets hold 2, expected 1 for a label that an image has, and 0 for others"),
    ],
)
def test_labels_that_do_not_fit_the_classes_are_refused(targets, message):
    with pytest.raises(InputError, match=message):
        dataset(train=labelled(targets), test=labelled(targets))


@pytest.mark.parametrize("targets", [torch.zeros(3, 2), torch.zeros(2, 2, dtype=torch.uint8)])
def test_split_refuses_labels_of_another_type_or_number(targets):
    with pytest.raises(InputError, match=r"targets are .*, expected torch.uint8 of shape \(3, labels\), a row per"):
        Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), targets)

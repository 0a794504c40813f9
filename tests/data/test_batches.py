import pytest
import torch
from torch import Generator

from glassnet.data import Split
from glassnet.data.batches import batch_order, shuffled_batches, to_float
from glassnet.data.draw import balanced_draw
from glassnet.data.holdout import channel_statistics, hold_out
from glassnet.errors import InputError

CPU = torch.device("cpu")


def numbered(count, classes=5):
    """Images whose first pixel is their index."""
    images = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(count)
    return Split(images, torch.arange(count) % classes)


def test_a_pass_shows_each_image_at_most_once_and_fills_every_batch():
    seen = []
    for images, targets in shuffled_batches(
        numbered(103), batch_size=10, generator=Generator().manual_seed(1), device=CPU
    ):
        indices = (images[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(indices % 5, targets)
        assert len(targets) == 10
        seen += indices.tolist()
    assert len(seen) == len(set(seen)) == 100
    assert seen != sorted(seen)


def test_fewer_images_than_a_batch_make_one_batch():
    batches = list(shuffled_batches(numbered(7), batch_size=64, generator=Generator(), device=CPU))
    assert [len(targets) for _, targets in batches] == [7]


@pytest.mark.parametrize("augmentation", ["none", "digits", "clothes", "photos"])
def test_two_processes_see_what_one_would(augmentation):
    def one_pass(part):
        generator = Generator().manual_seed(3)
        return list(
            shuffled_batches(
                numbered(40), batch_size=8, generator=generator, device=CPU, augmentation=augmentation, part=part
            )
        )

    whole, first, second = one_pass((0, 1)), one_pass((0, 2)), one_pass((1, 2))
    for (images, targets), (a, ta), (b, tb) in zip(whole, first, second, strict=True):
        assert torch.equal(images, torch.cat([a, b]))
        assert torch.equal(targets, torch.cat([ta, tb]))


def test_a_batch_that_does_not_split_is_refused():
    with pytest.raises(InputError, match="a batch of 9 images does not split over 2 processes"):
        batch_order(100, 9, Generator(), 2)


def test_grey_values_become_shares():
    assert to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


def test_validation_part_keeps_the_shares_of_classes_and_follows_the_seed():
    split = Split(numbered(100).images, torch.tensor([0] * 80 + [1] * 20))
    train, validation = hold_out(split, 0.25, seed=0)
    assert torch.bincount(validation.targets).tolist() == [20, 5]
    both = torch.cat([train.images, validation.images])[:, 0, 0, 0]
    assert sorted(both.tolist()) == list(range(100))
    assert torch.equal(hold_out(split, 0.25, seed=0)[1].images, validation.images)
    assert not torch.equal(hold_out(split, 0.25, seed=1)[1].images, validation.images)


@pytest.mark.parametrize("share", [0.01, 0.999])
def test_an_empty_part_is_refused(share):
    with pytest.raises(InputError, match="leaves an empty part"):
        hold_out(numbered(10), share, seed=0)


def test_channel_statistics_equal_numpy():
    images = torch.randint(0, 256, (3000, 2, 4, 4), dtype=torch.uint8, generator=Generator().manual_seed(0))
    images[:, 1] = 7  # a channel that never changes
    mean, std = channel_statistics(Split(images, torch.zeros(3000, dtype=torch.int64)))
    values = images.numpy() / 255
    assert mean == pytest.approx(values.mean(axis=(0, 2, 3)).tolist())
    assert std == pytest.approx([values[:, 0].std(), 1.0])


def test_a_draw_keeps_the_shares_of_classes():
    targets = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    drawn = balanced_draw(targets, 100, seed=0)
    assert torch.bincount(targets[drawn]).tolist() == [60, 30, 10]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert not torch.equal(drawn, balanced_draw(targets, 100, seed=1))
    assert torch.equal(balanced_draw(targets, 5000, seed=0), torch.arange(1000))

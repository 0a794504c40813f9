import pytest
import torch
from torch import Generator

from glassnet.data import Split
from glassnet.data.batches import batch_order, ordered_batches, ordered_places, shuffled_batches
from glassnet.data.split import balanced_draw, channel_statistics, hold_out
from glassnet.errors import InputError
from glassnet.images import VOID, to_float
from glassnet.rng import PerImageRNG

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


def test_flips_mirror_an_image_with_its_mask_or_leave_both():
    generator = Generator().manual_seed(0)
    images = torch.randint(256, (32, 3, 6, 6), generator=generator, dtype=torch.uint8)
    masks = torch.randint(5, (32, 6, 6), generator=generator, dtype=torch.uint8)
    whole = Split(images, masks)
    order = batch_order(32, 32, Generator().manual_seed(1))[0]
    batches = shuffled_batches(
        whole, batch_size=32, generator=Generator().manual_seed(1), device=CPU, augmentation="flips"
    )
    (seen, classes), mirrored = next(batches), 0
    for image, mask, number in zip(seen, classes, order, strict=True):
        flipped = torch.equal(mask, masks[number].flip(-1))
        assert flipped or torch.equal(mask, masks[number])
        mirrored += flipped
        expected = to_float(images[number])
        torch.testing.assert_close(image, expected.flip(-1) if flipped else expected, rtol=0, atol=1e-5)
    assert 8 < mirrored < 24


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


def test_the_batches_of_all_processes_hold_each_place_once():
    assert ordered_places(7, batch_size=3) == [range(3), range(3, 6), range(6, 7)]
    assert ordered_places(7, batch_size=3, part=(1, 2)) == [range(4, 7)]
    assert ordered_places(1, batch_size=3, part=(1, 2)) == []


class Salt:
    """A corruption: whole numbers from 1 to 9 are added, and the clean images become the targets."""

    def draw(self, shape, generator):
        return torch.randint(1, 10, (shape[0], 1, 1, 1), generator=generator).float()

    def apply(self, images, drawn):
        return images + drawn, images


def test_a_corruption_is_drawn_anew_each_batch_and_alike_in_all_processes():
    def one_pass(part):
        generator = Generator().manual_seed(3)
        return list(
            shuffled_batches(numbered(40), batch_size=8, generator=generator, device=CPU, part=part, corruption=Salt())
        )

    whole, first, second = one_pass((0, 1)), one_pass((0, 2)), one_pass((1, 2))
    drawn = torch.cat([(given - clean)[:, 0, 0, 0].round() for given, clean in whole])
    assert len(set(drawn.tolist())) > 3
    for (given, _), (one, _), (other, _) in zip(whole, first, second, strict=True):
        assert torch.equal(given, torch.cat([one, other]))


def test_at_test_time_an_image_is_corrupted_by_its_place_and_the_seed_alone():
    def given(size, seed=5, part=(0, 1), split="test"):
        batches = ordered_batches(
            numbered(11), batch_size=size, device=CPU, part=part, corruption=Salt(), rng=PerImageRNG(seed, split)
        )
        return torch.cat([images for images, _ in batches])

    assert torch.equal(given(4), given(11))
    assert torch.equal(given(4), torch.cat([given(3, part=(rank, 2)) for rank in range(2)]))
    assert not torch.equal(given(4), given(4, seed=6))
    assert not torch.equal(given(4), given(4, split="validation"))
    clean = torch.cat([images for images, _ in ordered_batches(numbered(11), batch_size=4, device=CPU)])
    assert (clean[:, 0, 0, 0] * 255).round().tolist() == list(range(11))


def test_masks_move_with_their_images():
    masks = torch.zeros(16, 8, 8, dtype=torch.uint8)
    masks[:, 2:6, 1:4] = 1
    split = Split(masks[:, None].repeat(1, 3, 1, 1) * 200, masks)
    (batch,) = shuffled_batches(
        split, batch_size=16, generator=Generator().manual_seed(0), device=CPU, augmentation="objects"
    )
    images, moved = batch
    assert moved.dtype == torch.uint8
    assert {0, 1, 255} >= set(moved.unique().tolist()) >= {0, 1}
    bright = torch.stack([image[:, mask == 1].mean() for image, mask in zip(images, moved, strict=True)])
    dark = torch.stack([image[:, mask == 0].mean() for image, mask in zip(images, moved, strict=True)])
    assert (bright > dark).all()


@pytest.mark.parametrize("augmentation", ["none", "flips", "objects"])
def test_images_and_masks_of_a_smaller_size_lie_over_each_other(augmentation):
    masks = torch.zeros(16, 24, 24, dtype=torch.uint8)
    masks[:, 6:18, 3:12] = 1
    split = Split(masks[:, None].repeat(1, 3, 1, 1) * 200, masks)
    (batch,) = shuffled_batches(
        split, batch_size=16, generator=Generator().manual_seed(0), device=CPU, augmentation=augmentation, size=16
    )
    images, moved = batch
    assert images.shape == (16, 3, 16, 16)
    assert moved.shape == (16, 16, 16)
    bright = torch.stack([image[:, mask == 1].mean() for image, mask in zip(images, moved, strict=True)])
    dark = torch.stack([image[:, mask == 0].mean() for image, mask in zip(images, moved, strict=True)])
    assert (bright > dark + 0.2).all()
    if augmentation == "none":
        assert (moved == 1).sum(dim=(1, 2)).tolist() == [8 * 6] * 16


def squares(count):
    """Images of a grey value and a square of a class of their own, which a void frame surrounds."""
    masks = torch.zeros(count, 12, 12, dtype=torch.uint8)
    for number in range(count):
        masks[number, number : number + 4, 2:6] = VOID
        masks[number, number + 1 : number + 3, 3:5] = number + 1
    grey = torch.arange(1, count + 1, dtype=torch.uint8) * 20
    return Split(grey.view(-1, 1, 1, 1).expand(-1, 3, 12, 12).contiguous(), masks)


def pasted_batch(split, pasted, augmentation="none", part=(0, 1), seed=0, size=None):
    (batch,) = shuffled_batches(
        split, batch_size=len(split), generator=Generator().manual_seed(seed), device=CPU, copy_paste=pasted, part=part,
        augmentation=augmentation, size=size,
    )  # fmt: skip
    return batch


@pytest.mark.parametrize(("rows", "size"), [(None, None), (torch.tensor([5, 0, 3, 1]), None), (None, 6)])
def test_objects_and_the_void_about_them_are_pasted_from_the_image_before(rows, size):
    whole = squares(6)
    split = Split(whole.images, whole.targets, rows)
    (images, masks), (plain, own) = pasted_batch(split, 1.0, size=size), pasted_batch(split, 0.0, size=size)
    for number in range(len(split)):
        given = own[number - 1]
        assert (given != 0).any()
        assert torch.equal(masks[number], torch.where(given != 0, given, own[number]))
        expected = torch.where(given != 0, plain[number - 1], plain[number])
        assert torch.equal(images[number], expected)
    assert torch.equal(whole.images, squares(6).images)  # what is pasted onto is a copy
    assert torch.equal(whole.targets, squares(6).targets)


def test_objects_are_pasted_onto_a_share_of_the_images():
    split = Split(*(torch.cat([part] * 50) for part in (squares(8).images, squares(8).targets)))
    (_, masks), (_, own) = pasted_batch(split, 0.25), pasted_batch(split, 0.0)
    # One in eight has the object already that it is given.
    assert (masks != own).flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.25 * 7 / 8, abs=0.06)


def test_what_a_pasted_image_has_outside_is_not_pasted():
    split = Split(squares(8).images, torch.zeros(8, 12, 12, dtype=torch.uint8))
    with_pasting, without = (pasted_batch(split, share, "objects") for share in (1.0, 0.0))
    assert (without[1] == VOID).any()
    assert all(torch.equal(a, b) for a, b in zip(with_pasting, without, strict=True))


def test_pasted_objects_move_and_change_colour_on_their_own():
    masks = torch.zeros(8, 32, 32, dtype=torch.uint8)
    masks[:, 12:20, 12:20] = torch.arange(1, 9, dtype=torch.uint8).view(-1, 1, 1)
    split = Split(torch.full((8, 3, 32, 32), 100, dtype=torch.uint8), masks)
    (images, pasted), (plain, own) = pasted_batch(split, 1.0, "objects"), pasted_batch(split, 0.0, "objects")
    moved = recoloured = 0
    for number in range(8):
        given = pasted[number] == own[number - 1].where(own[number - 1] != VOID, 0).max()  # the class of the one before
        assert given.any()
        moved += not torch.equal(given, (own[number] != 0) & (own[number] != VOID))
        colour = images[number][:, given].median(dim=1).values
        receiver = plain[number][:, own[number] != VOID].median(dim=1).values
        recoloured += bool((colour - 100 / 255).abs().max() > 0.02 and (colour - receiver).abs().max() > 0.02)
    assert moved >= 7
    assert recoloured >= 7


def test_a_batch_that_nothing_is_pasted_onto_is_left_alone():
    for one, other in zip(
        pasted_batch(squares(4), 1e-9, "objects"), pasted_batch(squares(4), 0.0, "objects"), strict=True
    ):
        assert torch.equal(one, other)


def test_two_processes_paste_what_one_would():
    split = squares(8)
    whole, *parts = (pasted_batch(split, 0.5, "objects", part) for part in ((0, 1), (0, 2), (1, 2)))
    for one, halves in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(one, torch.cat(halves), rtol=0, atol=1e-6)


def test_a_corruption_is_drawn_for_the_smaller_size():
    class Doubled:
        def draw(self, shape, generator):
            return torch.ones(shape)

        def apply(self, images, drawn):
            return images + drawn, images

    ((images, targets),) = shuffled_batches(
        numbered(4), batch_size=4, generator=Generator().manual_seed(0), device=CPU, corruption=Doubled(), size=2
    )
    assert images.shape == targets.shape == (4, 1, 2, 2)


def test_parts_of_a_mapped_file_share_its_pixels():
    whole = numbered(10, classes=1)
    split = Split(whole.images, whole.targets, torch.arange(0, 10, 2))
    train, validation = hold_out(split, 0.2, seed=0)
    assert train._images is validation._images is whole._images
    assert sorted(torch.cat([train.images, validation.images])[:, 0, 0, 0].tolist()) == [0, 2, 4, 6, 8]
    assert len(split) == 5
    assert split.targets.tolist() == whole.targets[::2].tolist()
    assert split.take(torch.tensor([1]))[0][0, 0, 0, 0] == 2
    copied = Split(*split.take(slice(None)))
    assert channel_statistics(split) == channel_statistics(copied)
    assert split.to(CPU) is split


def test_parts_of_mapped_masks_are_those_of_the_whole_batch():
    """Rows of a tensor that both parts of a data set share; each process augments what is its own."""
    random = torch.Generator().manual_seed(3)
    images = torch.randint(256, (24, 3, 8, 8), generator=random).byte()
    masks = torch.randint(3, (24, 8, 8), generator=random).byte()
    split = Split(images, masks, torch.randperm(24, generator=random)[:16])

    def given(part):
        generator = torch.Generator().manual_seed(0)
        batches = shuffled_batches(
            split, batch_size=8, generator=generator, device=CPU, augmentation="objects", part=part
        )
        return list(batches)

    whole, halves = given((0, 1)), zip(given((0, 2)), given((1, 2)), strict=True)
    for (images, masks), parts in zip(whole, halves, strict=True):
        torch.testing.assert_close(torch.cat([one for one, _ in parts]), images)
        assert torch.equal(torch.cat([one for _, one in parts]), masks)
        assert (masks == VOID).any()
    in_order = [list(ordered_batches(split, batch_size=3, device=CPU, part=(rank, 2))) for rank in range(2)]
    assert torch.equal(torch.cat([one for half in in_order for _, one in half]), split.targets)

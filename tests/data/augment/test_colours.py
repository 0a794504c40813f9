import pytest
import torch

from glassnet.data.augment import LUMINANCE, Colours, apply_colours, random_colours

GENERATOR = torch.Generator()


def draw(**spread):
    options = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "tint": 0.0}
    return random_colours(5, GENERATOR.manual_seed(0), **{**options, **spread})


def test_no_spread_changes_nothing():
    images = torch.rand(5, 3, 4, 6)
    torch.testing.assert_close(apply_colours(images, draw()), images)


def test_grey_stays_grey_and_luminance_stays_where_only_saturation_changes():
    images = 0.3 + 0.2 * torch.rand(5, 3, 4, 6)
    changed = apply_colours(images, draw(saturation=0.5))
    weights = torch.tensor(LUMINANCE)
    torch.testing.assert_close(
        torch.einsum("c,nchw->nhw", weights, changed), torch.einsum("c,nchw->nhw", weights, images)
    )
    assert (changed - images).abs().max() > 0.01
    grey = torch.full((5, 3, 2, 2), 0.4)
    torch.testing.assert_close(apply_colours(grey, draw(saturation=0.5)), grey)


def test_contrast_turns_about_middle_grey_and_results_are_cut_off():
    middle = torch.full((5, 3, 2, 2), 0.5)
    torch.testing.assert_close(apply_colours(middle, draw(contrast=0.4)), middle)
    steep = Colours(4 * torch.eye(3)[None], torch.full((1, 3, 1), -1.5))
    changed = apply_colours(torch.linspace(0, 1, 12).view(1, 3, 2, 2), steep)
    assert (changed.min().item(), changed.max().item()) == (0, 1)


def test_a_map_by_hand():
    colours = Colours(torch.tensor([[[0.0, 1, 0], [1, 0, 0], [0, 0, 0.5]]]), torch.tensor([[[0.1], [0.0], [0.0]]]))
    pixel = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    assert apply_colours(pixel, colours).flatten().tolist() == pytest.approx([0.5, 0.2, 0.3])


def test_an_image_of_one_channel_becomes_what_a_grey_one_of_three_would_seen_without_colour():
    colours = draw(brightness=0.1, contrast=0.2, saturation=0.3, tint=0.1)
    grey = 0.4 + 0.2 * torch.rand(5, 1, 4, 6)
    coloured = apply_colours(grey.expand(-1, 3, -1, -1).contiguous(), colours)
    luminance = torch.einsum("c,nchw->nhw", torch.tensor(LUMINANCE), coloured)[:, None]
    torch.testing.assert_close(apply_colours(grey, colours), luminance)

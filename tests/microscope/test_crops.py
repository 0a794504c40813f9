"""The parts of images that channels see where they are highest: equal to receptive fields worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from channel_loops import IMAGES, LABELS, given
from glassnet.errors import InputError
from tiny_nets import TinyNet


def spotted():
    """Return dark images of 9 x 12 pixels, each with one bright pixel, at (row, column)."""
    spots = [(0, 0), (4, 6), (8, 11)]
    images = np.zeros((3, 1, 9, 12), np.uint8)
    for number, (row, column) in enumerate(spots):
        images[number, 0, row, column] = 100 + 50 * number
    return images, spots


class Strided(nn.Module):
    """Sums of 3 x 3 pixels, then of 2 x 2 of these, every second; the second sees 4 x 4 pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 2, 2, stride=2)
        for one in self.parameters():
            one.data.fill_(1.0 if one.ndim > 1 else 0.0)
        self.second.weight.data[1] *= -1

    def forward(self, images):
        return self.second(self.first(images))


def test_crops_are_those_of_receptive_fields_worked_out_by_hand():
    images, _ = spotted()
    found = gn.channels(Strided(), images, top=3)
    assert found["first"].top_images[0].tolist() == [2, 1, 0]
    # The first of the equal maxima around each spot, and a pixel to each side of it, as far as there are any.
    assert found["first"].top_places[0].tolist() == [[7, 10], [3, 5], [0, 0]]
    assert found["first"].boxes[0].tolist() == [[9, 6, 12, 9], [4, 2, 7, 5], [0, 0, 2, 2]]
    # Place (i, j) takes the places 2 i, 2 i + 1 and 2 j, 2 j + 1, and so sees pixels 2 i - 1 to 2 i + 2.
    rows, columns = found["second"].top_places[0].T
    expected = [np.maximum(2 * columns - 1, 0), np.maximum(2 * rows - 1, 0), 2 * columns + 3, 2 * rows + 3]
    expected[2], expected[3] = np.minimum(expected[2], 12), np.minimum(expected[3], 9)
    assert found["second"].boxes[0].tolist() == np.stack(expected, axis=1).tolist()
    crops = found.crops(images, "first", 0)
    assert [one.shape for one in crops] == [(1, 3, 3), (1, 3, 3), (1, 2, 2)]
    assert [one.max() for one in crops] == [200, 150, 100]
    assert [one.dtype for one in crops] == [np.uint8] * 3
    tensors = found.crops(torch.from_numpy(images), "first", 0)
    assert all(np.array_equal(one, other) for one, other in zip(crops, tensors, strict=True))


def test_boxes_of_maps_vectors_and_calls_are_kept():
    found = gn.channels(TinyNet(), IMAGES, LABELS, layers=["conv1", "relu", "fc1"], top=2)
    assert list(found) == ["conv1", "relu:0", "relu:1", "relu:2", "fc1"]
    assert (found["conv1"].boxes[..., 2:] - found["conv1"].boxes[..., :2] == 3).all()
    assert (found["relu:1"].boxes[..., 2:] - found["relu:1"].boxes[..., :2] == 5).all()
    # conv2 gives places 0 to 5, each of which sees pixels from 2 i to 2 i + 4; the mean of all sees 0 to 14.
    assert found["fc1"].boxes.reshape(-1, 4).tolist() == [[0, 0, 15, 15]] * 12
    assert found.to_json()["layers"][0]["boxes"] == found["conv1"].boxes.tolist()


def test_the_highest_activation_is_that_of_the_crop_alone():
    net = TinyNet()
    images = torch.from_numpy(IMAGES).float() / 255
    found = gn.channels(net, images, layers=["conv1", "conv2"], top=4)
    for channel, highest in enumerate(found["conv2"].top_activations):
        for crop, expected in zip(found.crops(images, "conv2", channel), highest, strict=True):
            maps = given(net, "conv2", images=torch.from_numpy(crop)[None])
            assert maps.shape[2:] == (1, 1)
            assert float(maps[0, channel]) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_what_cannot_be_cut_out_is_said():
    found = gn.channels(TinyNet(), IMAGES, LABELS)
    with pytest.raises(InputError, match="no layer 'fc9' here"):
        found.crops(IMAGES, "fc9", 0)
    with pytest.raises(InputError, match="channel is 8, expected 0 to 7, the channels of conv2"):
        found.crops(IMAGES, "conv2", 8)
    with pytest.raises(InputError, match=r"there are 3 images of 16 x 16 pixels, .*pass the images given to channels"):
        found.crops(IMAGES[:3], "conv2", 0)
    with pytest.raises(InputError, match=r"there are 23 images of 6 x 16 pixels, .*pass the images given to channels"):
        found.crops(IMAGES[:, :, :6], "bn", 0)


class Unseen(nn.Module):
    """Has a layer that looks at no image."""

    def __init__(self):
        super().__init__()
        self.conv, self.lost = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, images):
        return self.conv(images) + self.lost(torch.ones_like(images))


def test_a_layer_that_sees_no_pixel_keeps_its_figures_and_has_no_crop():
    found = gn.channels(Unseen(), IMAGES, LABELS, layers=["conv", "lost"], top=2)
    assert found["conv"].boxes.shape == (4, 2, 4)
    lost = found["lost"].boxes
    assert lost is None or not lost.any()

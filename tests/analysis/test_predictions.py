"""What a classifier says of images without labels, against sums by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.analysis import analyse
from glassnet.analysis.predictions import last_maps, strongest_channels
from glassnet.errors import InputError
from tiny_nets import CLASSES, ClassMeans, TinyNet, coloured, make_subject


@pytest.fixture
def images():
    return torch.from_numpy(coloured(5)[0])


def linear_end(*, bias=0.25):
    """A network that ends in an average and a linear layer, whose summands are what its channels add."""
    torch.manual_seed(0)
    layers = nn.Sequential()
    for name, layer in {
        "conv": nn.Conv2d(3, 6, 3),
        "bn": nn.BatchNorm2d(6),
        "relu": nn.ReLU6(inplace=True),
        "average": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(6, 3),
    }.items():
        layers.add_module(name, layer)
    nn.init.constant_(layers.fc.bias, bias)
    nn.init.constant_(layers.bn.bias, 0.5)
    return layers.eval()


def test_channels_add_up_to_the_score_where_an_average_and_a_linear_layer_follow(images):
    model = linear_end()
    classes = torch.tensor([0, 1, 2, 2, 0])
    channels, added, activations = strongest_channels(model, images, "relu", classes, 6)
    with torch.no_grad():
        x = images / 255
        maps = model.relu(model.bn(model.conv(x)))
        logits = model(x)
    for row, wanted in enumerate(classes.tolist()):
        assert sorted(channels[row].tolist()) == list(range(6))
        assert added[row].sum() + 0.25 == pytest.approx(float(logits[row, wanted]), abs=1e-5)
        assert np.all(np.diff(added[row]) <= 0)  # the strongest first
        for place, channel in enumerate(channels[row].tolist()):
            by_hand = float(maps[row, channel].mean() * model.fc.weight[wanted, channel].detach())
            assert added[row, place] == pytest.approx(by_hand, abs=1e-6)
            inner = activations[row, place, 6, 5]  # a pixel of the image lies in the middle of four of the map
            assert 0 <= inner <= float(maps[row, channel].max()) + 1e-6
    assert activations.shape == (5, 6, *images.shape[2:])


def test_the_model_is_left_as_it_was(images):
    model = linear_end().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    strongest_channels(model, images, last_maps(model, images), torch.zeros(5, dtype=torch.int64), 2)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_last_maps_are_those_behind_the_last_convolution(images):
    assert last_maps(linear_end(), images) == "relu"
    assert last_maps(TinyNet(), images) == "conv2"  # its ReLU runs several times
    assert last_maps(ClassMeans(), images) == "relu"
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    pooled(images / 255)
    assert last_maps(pooled, images) == "0"  # the pool changes the size
    head = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.Flatten())
    assert last_maps(head, images) == "1"  # a convolution of one pixel is a linear layer
    assert last_maps(nn.Sequential(nn.Flatten(), nn.Linear(360, 2)), images) is None


def test_the_likeliest_classes_come_first_with_their_probabilities():
    model = linear_end()
    subject = make_subject(labelled=False, model=model)
    result = analyse(subject, "predictions", images="first:4", top=2, channels=1).result
    with torch.no_grad():
        expected = model(subject.part("test").images[:4] / 255).softmax(1).sort(dim=1, descending=True)
    assert result.classes.tolist() == expected.indices[:, :2].tolist()
    np.testing.assert_allclose(result.probabilities, expected.values[:, :2], atol=1e-6)
    assert result.layer == "relu"
    assert result.maps.keys() == {"gradcam", "guided_gradcam"}
    assert result.channels.shape == (4, 1)
    assert result.names == tuple(f"test image {row}" for row in range(4))
    everything = analyse(subject, "predictions", images="0,3", top=9).result
    np.testing.assert_allclose(everything.probabilities.sum(axis=1), 1, atol=1e-6)
    assert everything.classes.shape == (2, len(CLASSES))


def test_a_network_without_convolution_or_relu_has_the_maps_that_it_can_have():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(360, 8), nn.ReLU(), nn.Linear(8, 3))
    result = analyse(make_subject(labelled=False, model=plain), "predictions").result
    assert (result.layer, result.channels.shape) == ("", (12, 0))
    assert result.maps.keys() == {"saliency", "guided_backpropagation"}
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    result = analyse(make_subject(labelled=False, model=smooth), "predictions").result
    assert result.maps.keys() == {"gradcam"}
    assert result.layer == "1"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top": 0}, "top is 0 and channels 3, expected at least 1 and 0"),
        ({"images": "photos"}, "images is 'photos', expected indices, or a rule as in first:12"),
    ],
)
def test_what_means_nothing_is_refused(settings, words, tmp_path):
    with pytest.raises(InputError, match=words):
        analyse(make_subject(tmp_path, labelled=False), "predictions", **settings)

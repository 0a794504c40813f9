"""The weights of a seed and the names they are saved under: runs of any version of this file must open in the next."""

import pytest
import torch
from torch import nn

import glassnet as gn


def create(name, **options):
    torch.manual_seed(3)
    return gn.create_model(name, in_channels=3, image_size=8, **options)


def layers_of(keys):
    return list(dict.fromkeys(key.rpartition(".")[0] for key in keys))


def test_the_names_of_vae_conv():
    assert layers_of(create("vae_conv", latent=4).state_dict()) == [
        "normalize",
        *(f"encoder.{name}" for name in ("conv1", "bn1", "conv2", "bn2", "fc1", "bn_fc1")),
        "mean",
        "log_variance",
        *(f"decoder.{name}" for name in ("fc2", "bn_fc2", "fc3", "bn_expand", "deconv1", "bn3", "deconv2")),
    ]


def test_the_names_of_vae_deep():
    down, up = ("conv1", "conv2", "conv3", "conv4"), ("conv5", "deconv1", "conv6")
    assert layers_of(create("vae_deep", latent=4, depth=1).state_dict()) == [
        "normalize",
        *(f"encoder.{part}{name}" for name in down for part in ("", "bn_")),
        "mean",
        "log_variance",
        "decoder.expand",
        "decoder.bn_expand",
        *(f"decoder.{part}{name}" for name in up for part in ("", "bn_")),
        "decoder.deconv2",
    ]


def conv_layers():
    """Those of vae_conv with a map as its code, in the order in which a seed draws their weights."""
    yield "decoder.expand", nn.Conv2d(4, 64, 3, bias=False)
    yield "encoder.conv1", nn.Conv2d(3, 32, 4, bias=False)
    yield "encoder.conv2", nn.Conv2d(32, 64, 4, bias=False)
    yield "decoder.deconv1", nn.ConvTranspose2d(64, 32, 4, bias=False)
    yield "decoder.deconv2", nn.ConvTranspose2d(32, 3, 4)
    yield "mean", nn.Conv2d(64, 4, 1)
    yield "log_variance", nn.Conv2d(64, 4, 1)


def deep_layers():
    """Those of vae_deep, its code a map, of depth 1."""
    yield "encoder.conv1", nn.Conv2d(3, 48, 4, bias=False)
    yield "encoder.conv2", nn.Conv2d(48, 48, 3, bias=False)
    yield "encoder.conv3", nn.Conv2d(48, 96, 4, bias=False)
    yield "encoder.conv4", nn.Conv2d(96, 96, 3, bias=False)
    yield "decoder.expand", nn.Conv2d(4, 96, 3, bias=False)
    yield "decoder.conv5", nn.Conv2d(96, 96, 3, bias=False)
    yield "decoder.deconv1", nn.ConvTranspose2d(96, 48, 4, bias=False)
    yield "decoder.conv6", nn.Conv2d(48, 48, 3, bias=False)
    yield "decoder.deconv2", nn.ConvTranspose2d(48, 3, 4)
    yield "mean", nn.Conv2d(96, 4, 1)
    yield "log_variance", nn.Conv2d(96, 4, 1)


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [("vae_conv", {"spatial": True}, conv_layers), ("vae_deep", {"depth": 1}, deep_layers)],
)
def test_the_weights_of_a_seed(name, options, layers):
    model = create(name, latent=4, **options)
    torch.manual_seed(3)
    for path, layer in layers():
        assert torch.equal(model.get_submodule(path).weight, layer.weight), path


@pytest.mark.parametrize(("name", "kind"), [("vae_conv", nn.ReLU), ("vae_deep", nn.LeakyReLU)])
def test_the_activations_on_the_way_down_and_up(name, kind):
    model = create(name, latent=4)
    down, up = (
        {type(one) for one in part if "ReLU" in type(one).__name__} for part in (model.encoder[:6], model.decoder)
    )
    assert down == {kind}
    assert up == {nn.ReLU}

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
    assert layers_of(create("vae_deep", latent=4, depth=1, residual=False).state_dict()) == [
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
    [("vae_conv", {"spatial": True}, conv_layers), ("vae_deep", {"depth": 1, "residual": False}, deep_layers)],
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


def test_the_names_of_a_residual_vae_deep():
    keys = layers_of(create("vae_deep", latent=4, depth=2).state_dict())
    assert [name for name in keys if name.startswith("encoder")] == [
        "encoder.conv1",
        "encoder.bn_conv1",
        *(f"encoder.block1.{part}{name}" for name in ("conv2", "conv3") for part in ("", "bn_")),
        "encoder.conv4",
        "encoder.bn_conv4",
        *(f"encoder.block2.{part}{name}" for name in ("conv5", "conv6") for part in ("", "bn_")),
    ]
    up = ["decoder.block3.conv7", "decoder.block3.conv8", "decoder.block4.conv9", "decoder.block4.conv10"]
    assert [name for name in keys if ".conv" in name and name.startswith("decoder")] == up


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_residual_block_begins_as_nothing_and_then_adds(depth, training):
    """In the encoder of a new network nothing but the strided convolutions, batch-norms and activations counts."""
    model = create("vae_deep", latent=4, depth=depth).train(training)
    encoder, images = model.encoder, torch.rand(3, 3, 8, 8)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU)
    assert isinstance(encoder.act_block1, nn.LeakyReLU)
    assert isinstance(model.decoder.act_block3, nn.ReLU)
    plain = nn.Sequential(*(layer for layer in encoder if isinstance(layer, kinds)))
    with torch.no_grad():
        expected = plain(images)
        torch.testing.assert_close(encoder(images), expected)
        last = list(encoder.block1)[-1]
        last.weight.fill_(1.0)
        maps = torch.rand(3, 48, 4, 4)
        inner = nn.Sequential(*encoder.block1)
        torch.testing.assert_close(encoder.block1(maps), maps + inner(maps))
        assert not torch.allclose(encoder(images), expected, atol=1e-3)


def test_a_residual_network_has_the_parameters_of_the_plain_one_and_gradients_for_all():
    plain, residual = (create("vae_deep", latent=4, residual=one) for one in (False, True))
    count = [sum(p.numel() for p in model.parameters()) for model in (plain, residual)]
    assert count[0] == count[1]
    output = residual(torch.rand(4, 3, 8, 8))
    score = output.logits.square().mean() + output.log_variance.square().mean()
    gradients = torch.autograd.grad(score, list(residual.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert residual.encoder.block1.bn_conv3.weight.eq(0).all()
    assert gradients[[name for name, _ in residual.named_parameters()].index("encoder.block1.bn_conv3.weight")].any()

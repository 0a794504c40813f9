from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.figures import architecture
from glassnet.models import models_giving
from glassnet.models.blocks import SubpixelConvTranspose2d, bilinear_kernel, upsampling
from glassnet.models.inference import FlipTTA, predict

TINY = {
    "fcn8_small": {"filters": (4, 4, 4, 4, 6, 6, 8), "head": 8},
    "fcn8s_vgg16": {"hidden": 8},
    "fcn_lite0": {"width": 8, "enlarge": 64},
    "unet_small": {"filters": (4, 6, 8)},
}


def create(name, *, channels=3, classes=5, size=32, **options):
    return gn.create_model(name, in_channels=channels, num_classes=classes, image_size=size, **options)


@pytest.fixture(scope="module", params=sorted(TINY))
def name(request):
    return request.param


def test_every_model_for_segmentation_is_tried():
    assert models_giving("score maps") == sorted(TINY)


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (4, 96)])
def test_logits_have_the_images_size(name, channels, size):
    with torch.device("meta"):
        model = create(name, channels=channels, size=size)
        assert model(torch.empty(2, channels, size, size)).shape == (2, 5, size, size)


def test_the_layer_table_counts_and_draws_every_layer(name):
    with torch.device("meta"):
        model = create(name, size=96)
    rows = gn.layer_table(model, (1, 3, 96, 96))
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    # Of fcn_lite0 a function enlarges the last map, which here has a stride of 4.
    assert rows[-1].output == ((5, 24, 24) if name == "fcn_lite0" else (5, 96, 96))
    assert architecture([asdict(row) for row in rows], title=name).axes


def test_the_published_ones_have_at_most_six_million_parameters():
    with torch.device("meta"):
        counts = {n: sum(p.numel() for p in create(n, classes=21).parameters()) for n in ("fcn8_small", "unet_small")}
    assert counts == {"fcn8_small": 2_148_512, "unet_small": 3_910_805}


def test_gradients_reach_every_parameter_and_outputs_are_finite(name):
    torch.manual_seed(0)
    model = create(name, **TINY[name])
    masks = torch.randint(5, (2, 32, 32))
    loss = F.cross_entropy(model(torch.rand(2, 3, 32, 32)), masks)
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_predict_and_a_folded_network_agree(name):
    torch.manual_seed(0)
    model = create(name, **TINY[name]).eval()
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
    torch.testing.assert_close(predict(model, images, batch_size=2), expected, rtol=1e-4, atol=1e-4)


def test_a_bilinear_kernel_by_hand():
    tent = torch.tensor([0.25, 0.75, 0.75, 0.25])
    torch.testing.assert_close(bilinear_kernel(2), tent[:, None] * tent)


@pytest.mark.parametrize("stride", [2, 8])
def test_a_new_enlargement_interpolates(stride):
    maps = torch.rand(1, 3, 5, 6)
    enlarged = upsampling(3, 3, stride)(maps)
    expected = F.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False)
    inner = slice(stride, -stride)  # at the edge interpolation repeats what a convolution takes for 0
    torch.testing.assert_close(enlarged[..., inner, inner], expected[..., inner, inner])


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_an_enlargement_by_squares_is_the_transposed_convolution(stride):
    layer = SubpixelConvTranspose2d(5, 3, stride).double()
    maps = torch.randn(2, 5, 4, 6, dtype=torch.float64, requires_grad=True)
    expected = F.conv_transpose2d(maps, layer.weight, stride=stride, padding=stride // 2)
    output = layer(maps)
    torch.testing.assert_close(output, expected)
    towards = torch.randn_like(expected)
    for wanted in (maps, layer.weight):
        both = [torch.autograd.grad(one, wanted, towards, retain_graph=True)[0] for one in (output, expected)]
        torch.testing.assert_close(*both)


def test_fcn8_equals_its_formula():
    torch.manual_seed(0)
    model = create("fcn8_small", **TINY["fcn8_small"]).eval()
    images, parts = torch.rand(2, 3, 32, 32), dict(model.named_children())
    maps, stages = images, {}
    for number, pooled in zip(range(1, 8), (False, True, False, True, True, True, True), strict=True):
        maps = F.conv2d(maps, parts[f"conv{number}"].weight, padding=1)
        maps = F.max_pool2d(maps, 2) if pooled else maps
        maps = stages[number] = (maps / (1 + 1e-5) ** 0.5).clamp(min=0)

    def score(stride, maps):
        layer = parts[f"score{stride}"]
        return F.conv2d(maps, layer.weight, layer.bias)

    def up(stride, scores, factor):
        return F.conv_transpose2d(scores, parts[f"up{stride}"].weight, stride=factor, padding=factor // 2)

    at16 = up(16, score(32, stages[7]), 2) + score(16, stages[6])
    at8 = up(8, at16, 2) + score(8, stages[5])
    with torch.no_grad():
        torch.testing.assert_close(model(images), up(1, at8, 8), rtol=1e-4, atol=1e-5)


def test_published_features_are_taken_and_others_refused(tmp_path):
    vgg = create("vgg16", size=32, classes=2, hidden=4)
    torch.save({k: v for k, v in vgg.state_dict().items() if not k.startswith("normalize")}, tmp_path / "vgg.pth")
    model = create("fcn8s_vgg16", hidden=4, weights=str(tmp_path / "vgg.pth"))
    assert torch.equal(model.features[0].weight, vgg.features[0].weight)
    assert model.normalize.fixed
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"lacks VGG16's features\.0\.weight; give weights of that network"):
        create("fcn8s_vgg16", hidden=4, weights=str(tmp_path / "other.pth"))


def test_vggs_linear_layers_are_taken_as_convolutions(tmp_path):
    vgg = create("vgg16", size=32, classes=2, hidden=4)
    state = {k: v for k, v in vgg.state_dict().items() if k.startswith("features")}
    sizes = {"classifier.0": (4, 512 * 7 * 7), "classifier.3": (4, 4)}
    for name, shape in sizes.items():
        state |= {f"{name}.weight": torch.randn(shape), f"{name}.bias": torch.randn(4)}
    torch.save(state, tmp_path / "vgg.pth")
    model = create("fcn8s_vgg16", hidden=4, weights=str(tmp_path / "vgg.pth"))
    maps = torch.randn(2, 512, 7, 7)
    hidden = F.linear(maps.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"])
    expected = F.linear(hidden.relu(), state["classifier.3.weight"], state["classifier.3.bias"])
    with torch.no_grad():
        output = model.fc7(model.relu6(model.fc6(maps)))[:, :, 3, 3]  # where the kernel lies on the maps exactly
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-3)


def test_the_mean_with_the_mirror_image_is_mirrored_with_the_image():
    torch.manual_seed(0)
    model = FlipTTA(create("unet_small", **TINY["unet_small"])).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        output, turned = model(images), model(images.flip(-1))
    torch.testing.assert_close(output.flip(-1), turned, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.exp().sum(dim=1), torch.ones(2, 32, 32))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fcn8_small", {"size": 40}, "image_size is 40, expected a multiple of 32, because five pools halve it"),
        ("fcn8_small", {"filters": (1, 2)}, r"filters is \(1, 2\), expected 7 positive numbers"),
        ("fcn8_small", {"head": 0}, "head is 0, expected at least 1 channel"),
        ("unet_small", {"size": 40}, "image_size is 40, expected a multiple of 16, for 5 levels that halve it"),
        ("unet_small", {"filters": (4,)}, r"filters is \(4,\), expected two or more positive numbers"),
        ("fcn8s_vgg16", {"size": 33}, "image_size is 33, expected a multiple of 32"),
        ("fcn8s_vgg16", {"hidden": 0}, "hidden is 0, expected at least 1 channel"),
        ("fcn8s_vgg16", {"channels": 1, "weights": "imagenet"}, "in_channels is 1, expected 3, because"),
    ],
)
def test_impossible_options_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        create(name, **options)

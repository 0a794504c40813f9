import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models import MODELS

# The positions of the convolutions in torchvision's features, and all parameters at 224 pixels and 1,000 classes.
FACTS = {
    "vgg16": ((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), 138_357_544),
    "vgg19": ((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), 143_667_240),
    "vgg16_bn": ((0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40), 138_365_992),
    "vgg19_bn": ((0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49), 143_678_248),
}
WIDTHS = {
    "vgg16": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
    "vgg19": (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512),
}
# Table 1 of the paper, columns D and E.
PAPER = {
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def create(name, *, channels=3, classes=1000, size=224, **options):
    return gn.create_model(name, in_channels=channels, num_classes=classes, image_size=size, **options)


def published_shapes(name):
    """All keys and shapes of torchvision's state, from the facts above."""
    shapes, taken = {}, 3
    for position, width in zip(FACTS[name][0], WIDTHS[name.removesuffix("_bn")], strict=True):
        shapes |= {f"features.{position}.weight": (width, taken, 3, 3), f"features.{position}.bias": (width,)}
        if name.endswith("_bn"):
            keys = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"features.{position + 1}.{key}": (width,) for key in keys}
            shapes[f"features.{position + 1}.num_batches_tracked"] = ()
        taken = width
    for position, (units, inputs) in {0: (4096, 25_088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        shapes |= {f"classifier.{position}.weight": (units, inputs), f"classifier.{position}.bias": (units,)}
    return shapes


@pytest.mark.parametrize("name", FACTS)
def test_keys_shapes_and_counts_are_torchvisions(name):
    with torch.device("meta"):
        model = create(name)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    ours = {key: shape for key, shape in shapes.items() if key.startswith("normalize.")}
    assert ours == {"normalize.mean": (3, 1, 1), "normalize.std": (3, 1, 1)}
    assert shapes == published_shapes(name) | ours
    assert sum(parameter.numel() for parameter in model.parameters()) == FACTS[name][1]


@pytest.mark.parametrize(
    ("size", "side", "units"), [(28, 1, 512), (32, 1, 512), (64, 2, 512), (223, 6, 512), (224, 7, 4096), (256, 7, 4096)]
)
def test_the_classifier_shrinks_with_the_features(size, side, units):
    with torch.device("meta"):
        model = create("vgg16", size=size)
    assert model.classifier[0].weight.shape == (units, 512 * side**2)
    rows = {row.name: row.output for row in gn.layer_table(model, (1, 3, size, size))}
    assert rows["avgpool"] == (512, side, side)
    assert rows["classifier.6"] == (1000,)


def reference(state, images, paper):
    """The network as the paper's table spells it, on tensors by key; convolutions as sums of shifted images."""
    x = (images - state["normalize.mean"]) / state["normalize.std"]
    position, with_norm = 0, "features.1.running_mean" in state
    for letter in paper.split():
        if letter == "M":
            # each pixel of the pooled map is the largest of four
            x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
            position += 1
            continue
        weight, padded = state[f"features.{position}.weight"], F.pad(x, (1, 1, 1, 1))
        height, width = x.shape[2:]
        x = sum(
            torch.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
            for i in range(3)
            for j in range(3)
        ) + state[f"features.{position}.bias"].view(-1, 1, 1)
        if with_norm:
            gamma, beta, mean, variance = (
                state[f"features.{position + 1}.{key}"].view(-1, 1, 1)
                for key in ("weight", "bias", "running_mean", "running_var")
            )
            x = (x - mean) / (variance + 1e-5).sqrt() * gamma + beta
        x, position = x.clamp(min=0), position + 2 + with_norm
    x = x.flatten(1)
    for position in (0, 3, 6):
        x = x @ state[f"classifier.{position}.weight"].T + state[f"classifier.{position}.bias"]
        x = x.clamp(min=0) if position < 6 else x
    return x


@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn"])
def test_forward_equals_a_slow_reference_with_loaded_weights(name):
    with torch.device("meta"):
        model = create(name, classes=10, size=32)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, value in model.state_dict().items():
        fan = max(value[0].numel(), 1) if value.ndim > 1 else 100
        state[key] = torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5
        if "var" in key or "std" in key:
            state[key] = state[key].abs() + 0.5
        if "num_batches" in key:
            state[key] = torch.tensor(1)
    if name.endswith("_bn"):
        state |= {
            k: v + 1 for k, v in state.items() if k.startswith("features") and k.endswith("weight") and v.ndim == 1
        }
    model.load_state_dict(state, assign=True)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    with torch.no_grad():
        output = model.eval()(images)
        expected = reference(state, images, PAPER[name.removesuffix("_bn")])
    assert expected.std(dim=0).max() > 1e-3
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_new_network_passes_on_a_signal_of_the_same_size():
    torch.manual_seed(0)
    with torch.no_grad():
        logits = create("vgg16", size=32, classes=10).eval()(torch.randn(8, 3, 32, 32))
    assert 0.03 < logits.std() < 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 15}, "image_size is 15, expected at least 16 pixels, which five pools reduce to 1"),
        ({"hidden": -1}, "hidden is -1, expected a number of units, or 0 for the default"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"channels": 4, "weights": "imagenet"}, "in_channels is 4, expected 1 or 3, because weights=imagenet"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message):
        create("vgg16", **options)


def test_on_the_meta_device_nothing_is_loaded():
    with torch.device("meta"):
        model = create("vgg16", channels=1, weights="imagenet")
    assert model.repeat.channels == 3
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_published_files_are_named_by_their_hash():
    for name in FACTS:
        file = MODELS[name].pretrained
        assert file.name == f"{name}-{file.sha256[:8]}.pth"
        floats = sum(torch.Size(shape).numel() for shape in published_shapes(name).values())
        assert 0 < file.size_bytes - 4 * floats < 20_000  # the rest is names

import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.resnet import BasicBlock


def create(name, *, channels=1, classes=10, size=28, **options):
    return gn.create_model(name, in_channels=channels, num_classes=classes, image_size=size, **options)


def sizes(name):
    """Each weight layer and pool: name, output size, parameters."""
    with torch.device("meta"):
        rows = gn.layer_table(create(name), (1, 1, 28, 28))
    kinds = ("Conv2d", "Linear", "MaxPool2d", "AdaptiveAvgPool2d")
    return [(row.name, row.output, row.parameters) for row in rows if row.kind in kinds], rows


def test_alexnet_by_hand():
    layers, rows = sizes("alexnet_small")
    assert layers == [
        ("conv1", (32, 28, 28), 32 * 25),
        ("pool1", (32, 14, 14), 0),
        ("conv2", (48, 14, 14), 48 * 32 * 9),
        ("pool2", (48, 7, 7), 0),
        ("conv3", (64, 7, 7), 64 * 48 * 9),
        ("conv4", (64, 7, 7), 64 * 64 * 9),
        ("pool3", (64, 4, 4), 0),
        ("fc1", (256,), 256 * 1024),
        ("fc2", (128,), 128 * 256),
        ("fc3", (10,), 10 * 128 + 10),
    ]
    assert [row.name for row in rows if row.kind == "Dropout"] == ["dropout1", "dropout2"]


def test_vgg_by_hand():
    layers, _ = sizes("vgg_small")
    assert layers == [
        ("conv1", (16, 28, 28), 16 * 9),
        ("conv2", (32, 28, 28), 32 * 16 * 9),
        ("pool1", (32, 14, 14), 0),
        ("conv3", (48, 14, 14), 48 * 32 * 9),
        ("conv4", (64, 14, 14), 64 * 48 * 9),
        ("pool2", (64, 7, 7), 0),
        ("conv5", (96, 7, 7), 96 * 64 * 9),
        ("conv6", (96, 7, 7), 96 * 96 * 9),
        ("pool3", (96, 3, 3), 0),
        ("fc1", (128,), 128 * 864),
        ("fc2", (10,), 1290),
    ]


def test_vgg_of_triples():
    model = create("vgg_small", filters=(4, 4, 4, 8, 8, 8, 16, 16, 16))
    names = [name for name, _ in model.named_children() if name.startswith(("conv", "pool"))]
    assert names == [
        *("conv1", "conv2", "conv3", "pool1"),
        *("conv4", "conv5", "conv6", "pool2"),
        *("conv7", "conv8", "conv9", "pool3"),
    ]


def test_allconv_by_hand():
    layers, rows = sizes("allconv")
    assert [name for name, _, _ in layers if name.startswith("pool")] == ["pool1", "pool2"]
    assert [(name, shape) for name, shape, _ in layers if name in ("conv2", "conv4", "conv7", "average")] == [
        ("conv2", (32, 28, 28)),
        ("conv4", (64, 14, 14)),
        ("conv7", (128, 7, 7)),
        ("average", (128, 1, 1)),
    ]
    assert sum(row.parameters for row in rows) == 435_882  # below 500,000


def test_six_convolutions_have_the_parameters_of_the_sum():
    with torch.device("meta"):
        model = create("allconv", filters=(32, 32, 64, 64, 128, 128))
    kernels = 9 * (32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    norms = 2 * (32 + 32 + 64 + 64 + 128 + 128)
    assert sum(p.numel() for p in model.parameters()) == kernels + norms + 1290 == 288_170


def test_resnet_stages_halve_and_its_blocks_are_counted():
    model = create("resnet_small", filters=(4, 6, 8), blocks=(1, 2, 3))
    assert [len(stage) for stage in (model.stage1, model.stage2, model.stage3)] == [1, 2, 3]
    shapes = {row.name: row.output for row in gn.layer_table(model, (1, 1, 28, 28))}
    assert [shapes[f"stage{n}.0.relu2"] for n in (1, 2, 3)] == [(4, 14, 14), (6, 7, 7), (8, 4, 4)]
    assert isinstance(model.stage1[0].shortcut, torch.nn.Identity)
    assert [name for name, _ in model.stage2[0].shortcut.named_children()] == ["pool", "conv", "bn"]


def test_a_new_block_passes_its_input_on():
    block = BasicBlock(3, 3, 1).eval()
    maps = torch.rand(2, 3, 5, 5)
    assert torch.equal(block(maps), maps)


def test_a_block_equals_its_formula():
    torch.manual_seed(0)
    block = BasicBlock(3, 4, 2)
    for norm in (block.bn1, block.bn2, block.shortcut.bn):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    maps = torch.rand(2, 3, 5, 5)

    def norm(x, bn):
        mean, variance = bn.running_mean.view(-1, 1, 1), bn.running_var.view(-1, 1, 1)
        return (x - mean) / (variance + 1e-5).sqrt() * bn.weight.view(-1, 1, 1) + bn.bias.view(-1, 1, 1)

    change = norm(F.conv2d(maps, block.conv1.weight, stride=2, padding=1), block.bn1).clamp(min=0)
    change = norm(F.conv2d(change, block.conv2.weight, padding=1), block.bn2)
    # Averages of 2x2 pixels by loops; the last row and column of five have only what is there.
    averaged = torch.stack(
        [torch.stack([maps[:, :, i : i + 2, j : j + 2].mean((2, 3)) for j in (0, 2, 4)], dim=-1) for i in (0, 2, 4)],
        dim=-2,
    )
    around = norm(F.conv2d(averaged, block.shortcut.conv.weight), block.shortcut.bn)
    torch.testing.assert_close(block.eval()(maps), (change + around).clamp(min=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "alexnet_small",
            {"filters": (1, 2, 3)},
            r"filters is \(1, 2, 3\), expected 4 positive numbers, as in filters=32",
        ),
        ("alexnet_small", {"hidden": (8,)}, r"hidden is \(8,\), expected 2 positive numbers, as in hidden=256,128"),
        ("alexnet_small", {"dropout": 1.0}, "dropout is 1.0, expected a share of at least 0 and below 1"),
        ("alexnet_small", {"size": 7}, "image_size is 7, expected at least 8 pixels, which three pools reduce to 1"),
        ("vgg_small", {"filters": (1, 2, 3, 4)}, r"filters is \(1, 2, 3, 4\), expected 3, 6, 9 or more"),
        ("vgg_small", {"filters": ()}, r"filters is \(\), expected 3, 6, 9"),
        ("vgg_small", {"hidden": 0}, "hidden is 0, expected at least 1 unit"),
        ("vgg_small", {"dropout": -0.1}, "dropout is -0.1"),
        ("vgg_small", {"size": 7}, "image_size is 7, expected at least 8 pixels"),
        ("resnet_small", {"filters": (1, 2)}, r"filters is \(1, 2\), expected 3 positive numbers"),
        (
            "resnet_small",
            {"blocks": (1, 0, 1)},
            r"blocks is \(1, 0, 1\), expected 3 positive numbers, as in blocks=1,1,1",
        ),
        ("allconv", {"filters": (1, 2, 3, 4)}, r"filters is \(1, 2, 3, 4\), expected five or more"),
        ("allconv", {"dropout": 1.0}, "dropout is 1.0"),
        ("allconv", {"size": 3}, "image_size is 3, expected at least 4 pixels"),
    ],
)
def test_impossible_options_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        create(name, **options)

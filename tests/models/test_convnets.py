import pytest
import torch
import torch.nn.functional as F

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models import parse_options


def test_layers_are_named_and_sized_as_the_report_draws_them():
    rows = gn.layer_table(gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28), (1, 1, 28, 28))
    sizes = {row.name: (row.kind, row.input, row.output, row.parameters, row.macs) for row in rows}
    assert sizes["conv1"] == ("Conv2d", (1, 28, 28), (32, 28, 28), 288, 28 * 28 * 32 * 9)
    assert sizes["conv2"] == ("Conv2d", (32, 28, 28), (32, 28, 28), 9216, 28 * 28 * 32 * 288)
    assert sizes["conv3"][1:3] == ((32, 14, 14), (64, 14, 14))
    assert sizes["conv4"][1:3] == ((64, 14, 14), (64, 14, 14))
    assert sizes["fc1"][1:3] == ((3136,), (128,))
    assert sizes["fc2"] == ("Linear", (128,), (10,), 1290, 1280)
    assert sum(row.parameters for row in rows) == 468_138


def test_forward_equals_the_layers_written_out(request):
    torch.manual_seed(0)
    model = gn.create_model("convnet", in_channels=3, num_classes=5, image_size=12, filters=(4, 6, 8, 8), hidden=7)
    model(torch.rand(16, 3, 12, 12))  # running statistics other than 0 and 1
    model.eval()
    images, part = torch.rand(2, 3, 12, 12), dict(model.named_children())

    def batch_norm(x, name):
        bn = part[name]
        shape = (1, -1, 1, 1)[: x.dim()]
        x = (x - bn.running_mean.view(shape)) / (bn.running_var.view(shape) + 1e-5).sqrt()
        return x * bn.weight.view(shape) + bn.bias.view(shape)

    x = images
    for number in range(1, 5):
        x = F.conv2d(x, part[f"conv{number}"].weight, padding=1)
        x = F.max_pool2d(x, 2) if number % 2 == 0 else x
        x = batch_norm(x, f"bn{number}").clamp(min=0)
    x = batch_norm(x.flatten(1) @ part["fc1"].weight.T, "bn5").clamp(min=0)
    expected = x @ part["fc2"].weight.T + part["fc2"].bias
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_normalization_is_part_of_the_model():
    model = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28).eval()
    image = torch.rand(1, 1, 28, 28)
    plain = model(image)
    model.normalize.mean.fill_(0.25)
    model.normalize.std.fill_(0.5)
    torch.testing.assert_close(model(image * 0.5 + 0.25), plain)
    assert {"normalize.mean", "normalize.std"} <= set(model.state_dict())


def test_dropout_is_there_only_when_asked_for():
    names = dict(gn.create_model("convnet", in_channels=1, num_classes=2, image_size=28, dropout=0.5).named_children())
    assert names["dropout"].p == 0.5
    assert "dropout" not in dict(
        gn.create_model("convnet", in_channels=1, num_classes=2, image_size=28).named_children()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": (1, 2)}, r"filters is \(1, 2\), expected four positive numbers"),
        ({"filters": (1, 2, 0, 3)}, "expected four positive numbers"),
        ({"hidden": 0}, "hidden is 0"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"image_size": 3}, "image_size is 3, expected at least 4 pixels"),
        ({"in_channels": 0}, "in_channels is 0, expected a whole number of at least 1"),
        ({"filter": (1, 2, 3, 4)}, r"no option 'filter' in convnet\. Did you mean filters"),
    ],
)
def test_impossible_options_are_refused(options, message):
    sizes = {"in_channels": 1, "num_classes": 10, "image_size": 28}
    with pytest.raises(InputError, match=message):
        gn.create_model("convnet", **{**sizes, **options})


def test_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match=r"no model 'convnte'\. Did you mean convnet"):
        gn.create_model("convnte", in_channels=1, num_classes=10, image_size=28)


def test_options_are_read_with_the_type_of_their_default():
    words = ["filters=8,8,16,16", "hidden=32", "dropout=0.25"]
    assert parse_options("convnet", words) == {"filters": (8, 8, 16, 16), "hidden": 32, "dropout": 0.25}
    with pytest.raises(InputError, match=r"filters is '8,x', expected a value like 32,32,64,64"):
        parse_options("convnet", ["filters=8,x"])
    with pytest.raises(InputError, match="'hidden' has no value; expected NAME=VALUE"):
        parse_options("convnet", ["hidden"])
    with pytest.raises(InputError, match=r"no option 'width' in convnet"):
        parse_options("convnet", ["width=3"])


def test_images_of_another_kind_are_refused_not_broadcast():
    model = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28).eval()
    with pytest.raises(InputError, match=r"expected \(batch, 1, height, width\); convert their channels first"):
        model.normalize(torch.rand(2, 3, 28, 28))

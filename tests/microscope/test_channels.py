"""What channels respond to: equal to plain loops, whatever the layer's layout, and however the images are cut."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import glassnet as gn
from channel_loops import IMAGES, LABELS, PIXELS, check, given
from glassnet.errors import InputError
from glassnet.microscope import dissection, statistics
from odd_nets import Attention, ClassToken
from tiny_nets import TinyNet


class ByHand(nn.Module):
    """Red less a half, its negative, and a channel that is never above 0."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1)
        self.conv.weight.data = torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1)
        self.conv.bias.data = torch.tensor([-0.5, 0.5, -1.0])

    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))


class Twice(nn.Module):
    """One ReLU that runs twice, in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)

    def forward(self, images):
        return self.relu(self.second(self.relu(self.first(images)))).mean(dim=(2, 3))


def hand_images():
    images = torch.full((4, 1, 2, 3), 0.5)
    images[0, 0, 1, 2], images[1, 0, 0, 1], images[2, 0, 0, 0] = 1.0, 0.75, 0.0
    return images


def test_a_case_worked_out_by_hand():
    found = gn.channels(ByHand(), hand_images(), [0, 0, 1, 1], top=2)["conv"]
    assert found.size == (2, 3)
    assert found.top_images.tolist() == [[0, 1], [2, 0], [0, 1]]
    assert found.top_activations.tolist() == [[0.5, 0.25], [0.5, 0], [-1, -1]]
    assert found.top_places.tolist() == [[[1, 2], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    assert found.active.tolist() == [0.5, 0.25, 0]
    assert found.dead == (2,)
    assert found.class_means == pytest.approx(np.array([[0.75 / 12, -0.5 / 12], [-0.75 / 12, 0.5 / 12], [-1, -1]]))
    assert found.rectified_means == pytest.approx(np.array([[0.75 / 12, 0], [0, 0.5 / 12], [0, 0]]))
    assert found.selectivity == pytest.approx([1, 1, np.nan], nan_ok=True)
    assert found.preferred.tolist() == [0, 1, -1]
    assert found.auroc.tolist() == [[1, 0], [0.25, 0.75], [0.5, 0.5]]
    assert found.order().tolist() == [0, 1, 2]


@pytest.mark.parametrize("batch_size", [23, 7, 1])
@pytest.mark.parametrize("on_disk", [False, True])
def test_equal_plain_loops(monkeypatch, batch_size, on_disk):
    monkeypatch.setattr(statistics, "IN_MEMORY", 0 if on_disk else 2**28)
    net = TinyNet()
    found = gn.channels(net, IMAGES, LABELS, layers=["conv", "relu:1", "fc1"], top=5, batch_size=batch_size)
    assert list(found) == ["bn", "relu:1", "conv2", "fc1"]
    for name, layer, call in (("bn", "bn", 0), ("conv2", "conv2", 0), ("relu:1", "relu", 1), ("fc1", "fc1", 0)):
        maps = given(net, layer, call)
        check(found[name], maps if maps.ndim == 4 else maps[:, :, None, None])


@pytest.mark.parametrize("make", [ClassToken, Attention])
def test_tokens_are_read_as_maps(make):
    torch.manual_seed(0)
    net = make()
    name = {ClassToken: "head", Attention: "attention"}[make]
    found = gn.channels(net, IMAGES, LABELS, layers=["patch", *([] if make is Attention else [name])], top=5)
    check(found["patch"], given(net, "patch"))
    assert found["patch"].size == (4, 4)


def test_a_layer_that_runs_twice_in_place():
    torch.manual_seed(0)
    net = Twice()
    found = gn.channels(net, IMAGES, LABELS, layers=["relu", "first"], top=5, batch_size=9)
    assert list(found) == ["first", "relu:0", "relu:1"]
    for call in (0, 1):
        check(found[f"relu:{call}"], given(net, "relu", call))
    check(found["first"], given(net, "first"))  # as it was before the ReLU wrote over it


def test_labels_that_an_image_has_several_of():
    net = TinyNet()
    truth = np.stack([LABELS == 0, LABELS != 1, LABELS == 3], axis=1).astype(int)
    found = gn.channels(net, IMAGES, truth, layers="conv2", classes=["a", "b", "c"])["conv2"]
    maps = given(net, "conv2").double()
    highest = maps.amax(dim=(2, 3)).numpy()
    for label in (0, 1):
        assert found.class_means[:, label] == pytest.approx(maps[truth[:, label] == 1].mean(dim=(0, 2, 3)).numpy())
        expected = [roc_auc_score(truth[:, label], one) for one in highest.T]
        assert found.auroc[:, label] == pytest.approx(expected)
    assert np.isnan(found.auroc[:, 2]).all()
    assert np.isnan(found.class_means[:, 2]).all()
    assert not np.isnan(found.selectivity).all()


def test_one_image_constant_images_and_no_labels():
    net = TinyNet()
    one = gn.channels(net, IMAGES[:1], LABELS[:1], layers="conv1")
    assert one["conv1"].top_images.tolist() == [[0]] * 4
    assert np.isnan(one["conv1"].selectivity).all()
    assert np.isnan(one["conv1"].auroc).all()
    json.dumps(one.to_json(), allow_nan=False)
    same = gn.channels(net, np.full((6, 3, 16, 16), 90, np.uint8), [0, 0, 1, 1, 2, 2], top=3, batch_size=4)
    assert same["conv2"].top_images.tolist() == [[0, 1, 2]] * 8
    assert set(same["conv2"].auroc.ravel().tolist()) == {0.5}
    none = gn.channels(net, IMAGES, layers="conv2")
    assert none.classes is none["conv2"].auroc is none["conv2"].selectivity is none["conv2"].iou is None
    assert none.table().columns == ("layer", "map", "channels", "dead", "median active")
    assert none["conv2"].order().tolist()[-len(none["conv2"].dead) :] == list(none["conv2"].dead)


def test_the_model_is_left_as_it_was_found_and_figures_repeat():
    net = TinyNet().train()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    first, second = (gn.channels(net, IMAGES, LABELS, layers="all").to_json() for _ in range(2))
    assert first == second
    assert net.training
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert all(one.grad is None and one.requires_grad for one in net.parameters())
    assert not any(one._forward_hooks for one in net.modules())


def broken(**values):
    net = TinyNet()
    with torch.no_grad():
        net.conv2.weight[3] = torch.nan
    return {"model": net, **values}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (broken(), r"layer 'conv2' gives NaN or infinity in channel 3 for image 0; look for NaN in the weights"),
        ({"top": 0}, "top is 0, expected at least 1"),
        ({"top": 1.5}, r"top is 1\.5, expected a whole number"),
        ({"labels": np.eye(3, dtype=int)[LABELS], "classes": ["a"]}, "labels has 3 columns, expected 1, one for each"),
        ({"layers": "conv9"}, "no layer 'conv9' in TinyNet"),
        ({"labels": LABELS[:3]}, r"labels have shape \(3,\) for 23 images"),
        ({"labels": LABELS - 1}, "labels holds -1, expected 0, 1, 2 and so on"),
        ({"classes": ["a", "b"]}, "labels holds 2, expected classes from 0 to 1, one for each name"),
        ({"labels": LABELS[:, None] * [1, 1]}, "holds numbers other than 0 and 1"),
        ({"images": PIXELS / 0}, "image 0 has NaN or infinite pixels"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_errors_say_what_was_expected(options, message):
    with pytest.raises(InputError, match=message):
        gn.channels(**({"model": TinyNet(), "images": IMAGES, "labels": LABELS} | options))


def test_figures_are_saved_and_read_back(tmp_path):
    found = gn.channels(TinyNet(), IMAGES, LABELS, layers=["conv1", "relu"], classes=["red", "green", "blue"])
    again = gn.Channels.load(found.save(tmp_path / "channels.npz"))
    assert (list(again), again.images, again.classes) == (list(found), found.images, found.classes)
    for name, one in found.layers.items():
        for field in dataclasses.fields(one):
            first, second = (getattr(layer, field.name) for layer in (one, again[name]))
            assert np.array_equal(first, second, equal_nan=True) if isinstance(first, np.ndarray) else first == second
            assert getattr(first, "dtype", None) == getattr(second, "dtype", None)
    with np.load(tmp_path / "channels.npz") as file:
        assert file["layers/relu:1/top_images"].tolist() == found["relu:1"].top_images.tolist()
    plain = gn.channels(TinyNet(), IMAGES)
    assert gn.Channels.load(plain.save(tmp_path / "plain.npz")).to_json() == plain.to_json()


def test_files_that_cannot_be_read_or_written_are_named(tmp_path):
    found = gn.channels(TinyNet(), IMAGES, LABELS)
    with pytest.raises(InputError, match=r"expected one that ends in \.npz"):
        found.save(tmp_path / "channels.json")
    with pytest.raises(InputError, match=r"none\.npz does not exist, expected a file written by Channels\.save"):
        gn.Channels.load(tmp_path / "none.npz")
    file = found.save(tmp_path / "channels.npz")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"channels\.npz was not written by Channels\.save, or is damaged"):
        gn.Channels.load(file)
    np.savez(file, document=np.array('{"images": 3}'))
    with pytest.raises(InputError, match=r"channels\.npz is damaged .*; call glassnet\.channels again"):
        gn.Channels.load(file)


def test_it_says_in_one_line_what_it_is():
    found = gn.channels(TinyNet(), IMAGES, LABELS, classes=["red", "green", "blue"])
    assert repr(found).startswith("Channels(12 channels of 2 layers, 23 images, 3 classes, ")
    assert found.dead == {name: one.dead for name, one in found.layers.items() if one.dead}
    with pytest.raises(InputError, match="no layer 'fc9' here, expected one of bn, conv2"):
        found["fc9"]
    assert found["conv2"].table().columns[-1] == "detects"


# Dissection.


def make_masks(size=20):
    rng = np.random.default_rng(1)
    masks = rng.integers(0, 3, (len(IMAGES), size, size)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.1] = 255
    masks[LABELS == 0] = np.where(masks[LABELS == 0] == 2, 0, masks[LABELS == 0])  # no class 2 in these
    return masks


def dissected(maps, masks, classes=3):
    """Count pixel by pixel, as Bau et al. write it."""
    values = maps.transpose(0, 1).flatten(1).numpy()
    places = values.shape[1]
    thresholds = np.sort(values, axis=1)[:, places - 1 - int(0.005 * places)]
    resized = nn.functional.interpolate(maps, masks.shape[1:], mode="bilinear", align_corners=False).numpy()
    iou = np.full((len(values), classes), np.nan)
    for channel, threshold in enumerate(thresholds):
        above = (resized[:, channel] > threshold + 1e-6 * abs(threshold)) & (masks != 255)
        for one in range(classes):
            both, either = (above & (masks == one)).sum(), (above | (masks == one)).sum()
            iou[channel, one] = both / either if either else np.nan
    return thresholds, iou


@pytest.mark.parametrize("batch_size", [23, 5])
def test_dissection_counts_pixels(monkeypatch, batch_size):
    monkeypatch.setattr(dissection, "AT_ONCE", 4000)  # a few images and channels at a time
    net, masks = TinyNet(), make_masks()
    found = gn.channels(net, IMAGES, masks=masks, layers=["conv1", "fc1"], batch_size=batch_size)
    thresholds, iou = dissected(given(net, "conv1"), masks)
    assert found["conv1"].thresholds == pytest.approx(thresholds)
    assert found["conv1"].iou == pytest.approx(iou)
    assert found["conv1"].iou.max() > 0
    _, of_vectors = dissected(given(net, "fc1")[:, :, None, None], masks)
    assert found["fc1"].iou == pytest.approx(of_vectors)
    assert found.classes == ("0", "1", "2")
    has = np.array([(one == 2).any() for one in masks])
    highest = given(net, "conv1").amax(dim=(2, 3)).numpy()
    assert found["conv1"].auroc[:, 2] == pytest.approx([roc_auc_score(has, one) for one in highest.T])
    assert found["conv1"].table().columns[-1] == "shows"


def test_a_channel_that_shows_a_class_has_an_iou_of_one():
    masks = np.zeros((4, 10, 25), np.uint8)
    masks[2, 4, 7:11] = masks[0, 0, 0] = 1  # 5 of 1,000 pixels
    found = gn.channels(ByHand(), torch.from_numpy(masks)[:, None].float(), masks=masks)["conv"]
    assert found.iou.tolist() == [[0, 1], [0, 0], [0, 0]]  # the second exceeds no threshold: 99.5% are equal
    assert found.thresholds.tolist() == [-0.5, 0.5, -1]


def test_a_plateau_at_the_threshold_does_not_exceed_it_when_it_is_resized():
    values = torch.linspace(0.1, 0.9, 50).view(50, 1, 1, 1)
    for value in values:  # a background that is alike everywhere, as that of digits
        images = torch.full((3, 1, 7, 5), float(value))
        found = gn.channels(ByHand(), images, masks=np.zeros((3, 31, 17), np.uint8))["conv"]
        assert found.iou.tolist() == [[0], [0], [0]]


def test_a_threshold_from_a_part_of_the_places_is_as_far_off_as_is_said(monkeypatch):
    monkeypatch.setattr(dissection, "TAIL_BYTES", 4 * 2 * 400)
    values = torch.rand(200, 2, 2000, generator=torch.Generator().manual_seed(3))
    tail = dissection.Tail(2, len(values))
    for part in values.split(30):
        tail.add(part)
    assert tail.part == pytest.approx(0.2)
    above = (values > tail.thresholds()[:, None]).float().mean(dim=(0, 2))
    assert ((above - 0.005).abs() < 3 * 0.005 / 400**0.5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": make_masks()[:4]}, r"masks has shape \(4, 20, 20\) and type uint8 for 23 images"),
        ({"masks": make_masks() / 2}, "type float64 for 23 images, expected whole numbers"),
        ({"masks": make_masks() * 0 + 255}, "masks holds only 255"),
        ({"masks": make_masks(), "classes": ["a", "b"]}, "masks holds classes from 0 to 2, expected 0 to 1"),
        ({"masks": make_masks(), "labels": LABELS}, "labels and masks are given without classes"),
        ({"masks": make_masks() + 1, "labels": LABELS, "classes": "abc"}, "masks holds classes from 0 to 3, expected"),
        ({"labels": make_masks()}, "pass it as masks"),
    ],
)
def test_masks_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        gn.channels(TinyNet(), IMAGES, layers="conv1", **options)


# Runs and subjects.


def test_a_subject_and_a_run_are_asked_over_their_test_images(copy):
    subject = gn.Subject(TinyNet(), IMAGES, labels=LABELS, classes=["red", "green", "blue"])
    assert (
        subject.channels(layers="conv2", ablation_images=0).result.channels.to_json()
        == gn.channels(subject.model(), IMAGES, LABELS, classes=["red", "green", "blue"], layers="conv2").to_json()
    )
    assert gn.Subject(TinyNet(), IMAGES).channels().result["conv2"].auroc is None
    found = copy.channels(layers="conv1", top=2, ablation_images=0)
    assert (found.result.channels.images, found.result.channels.classes) == (1000, copy.classes)
    assert copy.channels(layers="conv1", top=2, ablation_images=0).entry.path == found.entry.path


@pytest.mark.parametrize("layers", ["conv", ["conv"], "last-conv"])
def test_a_convolution_is_looked_at_behind_its_normalisation_in_all_figures(layers):
    net = TinyNet()
    net.bn.weight.data = torch.tensor([1.0, -1.0, 1.0, 0.5])
    net.bn.bias.data = torch.tensor([-0.2, 0.1, -99.0, 0.0])
    net.conv2 = nn.Identity()
    net.fc1 = nn.Linear(4, 6)
    found = gn.channels(net, IMAGES, LABELS, layers=layers, top=5)
    assert list(found) == ["bn"]
    check(found["bn"], given(net, "bn"))
    assert found["bn"].dead == (2,)
    subject = gn.Subject(net, IMAGES, LABELS).channels(layers=layers, top=5, ablation_images=0).result
    assert subject.channels["bn"].to_json() == found["bn"].to_json()


def test_a_layers_own_name_means_that_very_layer_in_all_figures():
    net = TinyNet()
    net.bn.weight.data = torch.tensor([1.0, -1.0, 1.0, 0.5])
    net.bn.bias.data = torch.tensor([-0.2, 0.1, -99.0, 0.0])
    check(gn.channels(net, IMAGES, LABELS, layers="conv1", top=5)["conv1"], given(net, "conv1"))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_normalisation_behind_a_relu_is_not_the_convolutions(inplace):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=inplace), nn.BatchNorm2d(4))
    net[2].bias.data = torch.tensor([0.0, 0.0, -99.0, -99.0])
    assert list(gn.channels(net, IMAGES, layers="conv")) == ["0"]
    found = gn.channels(net, IMAGES, LABELS, layers=["0", "1"], top=5)
    for name in ("0", "1"):
        check(found[name], given(net, name))
        assert found[name].dead == ()
    assert gn.channels(net, IMAGES, layers="2")["2"].dead == (2, 3)


class Strided(nn.Module):
    """A network that asks for its pixels by their places in memory, as torch orders them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        n, c, h, w = x.shape
        return self.conv(x.as_strided((n, c, h, w), (c * h * w, h * w, w, 1))).mean(dim=(2, 3))


@pytest.mark.parametrize("blank", [False, True])
def test_pixels_asked_for_by_their_places_in_memory_are_the_right_ones(blank):
    net, images = Strided().eval(), torch.from_numpy(IMAGES).float() / 255
    if blank:
        images[:2] = 0.5  # of which any order is the same
    found = gn.channels(net, images, layers="conv")["conv"]
    with torch.no_grad():
        maps = net.conv(images).flatten(2).amax(dim=2)
    best = maps.argsort(dim=0, descending=True)
    for channel in range(5):
        assert found.top_images[channel][0] == best[0, channel]
        assert found.top_activations[channel][0] == pytest.approx(float(maps[best[0, channel], channel]), rel=1e-5)


def test_a_network_that_does_not_ask_gets_its_images_channels_last():
    seen = []

    class Noting(TinyNet):
        def forward(self, x):
            seen.append(x.is_contiguous(memory_format=torch.channels_last))
            return super().forward(x)

    gn.channels(Noting(), IMAGES, layers="conv1", batch_size=len(IMAGES))
    assert True in seen

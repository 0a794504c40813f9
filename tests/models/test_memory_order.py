"""How images lie in memory: channels last only where the network computes the same from them."""

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.microscope.layer import find_layer
from glassnet.models import MODELS, create_model
from glassnet.models.inference import call_model, outputs, predict
from glassnet.models.memory_order import memory_order, works_channels_last
from glassnet.models.undisturbed import undisturbed

IMAGES = torch.rand(8, 3, 10, 12, generator=torch.Generator().manual_seed(1))
LAST, OWN = torch.channels_last, torch.contiguous_format


class Twin(nn.Module):
    """A network whose places in memory are those of torch's own order, whatever it is given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(32, 5)

    def order(self, x):
        return x.contiguous()

    def forward(self, x):
        maps = self.conv(self.order(x)).relu()
        return self.fc(self.order(maps).mean(dim=3).flatten(1))


class Strided(Twin):
    """The same network, but that it takes for granted that pixels lie in torch's own order."""

    def order(self, x):
        _, c, h, w = x.shape
        return x.as_strided(x.shape, (c * h * w, h * w, w, 1))


class Asking(Twin):
    """A network that computes something else from images that do not lie in torch's own order."""

    def order(self, x):
        return x if x.is_contiguous() else x.flip(3)


def lie_channels_last():
    return IMAGES.contiguous(memory_format=LAST)


def as_an_array_turned_from_rows():
    return np.ascontiguousarray(IMAGES.permute(0, 2, 3, 1).numpy()).transpose(0, 3, 1, 2)


KINDS = pytest.mark.parametrize("kind", [Strided, Asking])
GIVEN = pytest.mark.parametrize("given", [IMAGES.clone, lie_channels_last, as_an_array_turned_from_rows])


@KINDS
@GIVEN
def test_maps_are_those_of_torchs_own_order(kind, given):
    asked = {"target": 2, "layers": "conv", "methods": ("gradcam", "saliency", "occlusion")}
    found, right = gn.explain(kind(), given(), **asked), gn.explain(Twin(), IMAGES, **asked)
    np.testing.assert_allclose(found.output, Twin()(IMAGES).detach(), atol=1e-5)
    for method, layer in (("gradcam", "conv"), ("saliency", "input"), ("occlusion", "input")):
        np.testing.assert_allclose(found[method, layer], right[method, layer], atol=1e-4)


@KINDS
@GIVEN
def test_what_layers_give_and_lose_is_that_of_torchs_own_order(kind, given):
    rows = gn.extract_features(kind(), given(), ["conv", "fc"], pool="none")
    right = gn.extract_features(Twin(), IMAGES, ["conv", "fc"], pool="none")
    for layer in ("conv", "fc"):
        np.testing.assert_allclose(rows[layer], right[layer], atol=1e-5)
    lost, wanted = (gn.ablate(net, images, [2] * 8, "conv") for net, images in ((kind(), given()), (Twin(), IMAGES)))
    np.testing.assert_allclose(lost.ablated["loss"], wanted.ablated["loss"], atol=1e-5)
    found = gn.channels(kind(), given(), layers=["conv"])["conv"]
    assert found.means == pytest.approx(gn.channels(Twin(), IMAGES, layers=["conv"])["conv"].means, abs=1e-5)


@KINDS
def test_predictions_and_faithfulness_are_those_of_torchs_own_order(kind):
    torch.testing.assert_close(predict(kind(), lie_channels_last()), Twin()(IMAGES).detach())
    maps = gn.explain(Twin(), IMAGES, target=2, layers="conv", methods="gradcam")
    found, right = (gn.faithfulness(net, IMAGES, maps, steps=4, output="logits") for net in (kind(), Twin()))
    for measure in ("deletion", "insertion"):
        found_curve, curve = (getattr(one.curves["gradcam", "conv"], measure) for one in (found, right))
        np.testing.assert_allclose(found_curve, curve, atol=1e-5)


@KINDS
def test_pictures_are_those_of_a_network_that_gets_them_in_torchs_own_order(kind):
    asked = {"channels": [0, 3], "size": (10, 12), "steps": 3, "seed": 1, "transforms": None}
    found, right = (gn.visualize(net, "conv", **asked) for net in (kind(), Twin()))
    np.testing.assert_allclose(found.images, right.images, atol=1e-5)
    np.testing.assert_allclose(found.activation, right.activation, atol=1e-5)


def test_other_maps_lie_in_memory_as_the_layers_own_did():
    net = Twin().to(memory_format=LAST)
    layer = find_layer(net, "conv", IMAGES, call_model)
    (made,), maps = layer.readings, net.conv(IMAGES).detach()
    mixed = layer.with_maps(made, maps, maps.flip(0).contiguous())
    assert mixed.stride() == maps.stride() != maps.contiguous().stride()
    assert torch.equal(mixed, maps.flip(0))


def test_only_a_network_that_gives_the_same_is_trained_channels_last():
    assert works_channels_last(Twin(), IMAGES)
    assert not works_channels_last(Strided(), IMAGES)
    assert not works_channels_last(Asking(), IMAGES)


class Undone(nn.Module):
    """A network whose scores are the same, but not what a layer of it takes."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        _, c, h, w = x.shape
        self.inner(x.as_strided(x.shape, (c * h * w, h * w, w, 1)))
        return x.mean(dim=(2, 3))


class Views(Twin):
    def order(self, x):
        return x.view(len(x), -1).view(x.shape)


class Counting(Twin):
    """A network with a state, and random draws that it does not use."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def order(self, x):
        self.passes += 1
        torch.rand(1)
        return x


def hooked():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    net[0].register_forward_pre_hook(lambda _, taken: (Strided().order(taken[0]),))
    return net


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (Twin, LAST),
        (Counting, LAST),
        (Strided, OWN),
        (Asking, OWN),
        (Undone, OWN),
        (Views, OWN),
        (hooked, OWN),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), LAST),
        (lambda: nn.Sequential(Strided(), nn.ReLU()), OWN),
    ],
)
def test_the_order_is_channels_last_only_where_every_module_gives_the_same(make, order):
    net = make().eval()
    assert memory_order(net, IMAGES) is order
    assert memory_order(net, torch.full_like(IMAGES, 0.5)) is order  # in which all places are the same
    assert memory_order(net, IMAGES, call=lambda model, images: model(Strided().order(images))) is OWN


def test_finding_out_leaves_a_state_and_random_draws_alone():
    net, before = Counting().eval(), torch.random.get_rng_state()
    with undisturbed(net):
        memory_order(net, IMAGES)
        assert float(net.passes) == 0
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_few_images_lie_in_torchs_own_order_without_a_pass():
    net = Counting().eval()
    net.forward = None  # which would fail
    assert memory_order(net, IMAGES[:3]) is OWN


@pytest.mark.parametrize("name", [name for name in MODELS if name != "probe"])
def test_networks_by_name_compute_the_same_in_either_order(name):
    net = create_model(name, in_channels=3, num_classes=4, image_size=32).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert works_channels_last(net, images)


def test_predicting_does_not_write_into_the_callers_images():
    class Centred(nn.Module):
        def forward(self, x):
            return x.sub_(0.5).mean(dim=(2, 3))

    images = torch.rand(5, 1, 4, 4)
    before = images.clone()
    torch.testing.assert_close(predict(Centred(), images), (before - 0.5).mean(dim=(2, 3)))
    assert torch.equal(images, before)


def test_a_crop_of_a_users_tensor_is_laid_out_before_a_network_reads_it_by_places():
    """A view is not contiguous, and `to(memory_format=...)` leaves some as they are."""
    whole = torch.rand(5, 3, 10, 16, generator=torch.Generator().manual_seed(0))
    crop, turned = whole[..., :10], whole[..., :10].transpose(2, 3)
    model = Strided().eval()
    for view in (crop, turned):
        assert not view.is_contiguous()
        expected = predict(model, view.clone(memory_format=torch.contiguous_format))
        assert torch.equal(predict(model, view), expected)
        for batch in (view[:2], view):
            (found,) = outputs(model, [batch])
            assert torch.equal(found, expected[: len(batch)])


def test_a_pixel_that_is_no_number_does_not_decide_the_order():
    images = torch.rand(5, 3, 10, 12, generator=torch.Generator().manual_seed(0))
    images[0, 0, 0, 0] = torch.nan
    assert memory_order(Strided().eval(), images) is torch.contiguous_format
    assert memory_order(Strided().eval(), torch.full((5, 3, 10, 12), torch.nan)) is torch.contiguous_format

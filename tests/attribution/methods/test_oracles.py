"""Every gradient method beside captum and torchcam, at every layer of networks of all kinds: within 1e-5 in float32."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from captum.attr import (
    GuidedBackprop,
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    LayerGradientXActivation,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torchcam.methods import GradCAM, GradCAMpp, LayerCAM, ScoreCAM, XGradCAM

from glassnet.attribution import METHODS, explain
from glassnet.models import create_model
from references import attributions as reference

CLASSES = [0, 1, 2]
TORCHCAM = {"gradcam": GradCAM, "layercam": LayerCAM, "xgradcam": XGradCAM}
# torchcam adds 1e-8 to XGrad-CAM's divisor, which tells where a channel adds up to little.
NEAR = {"xgradcam": 1e-3}
NETWORKS = ["convnet", "resnet_small", "in-place", "functional", "residual", "tokens"]
RELU_MODULES = ["convnet", "resnet_small", "in-place", "shared"]  # captum guides no other


def assert_close(ours, theirs, near=1e-5):
    scale = np.abs(theirs).max()
    assert scale > 0
    assert np.abs(ours - theirs).max() <= near * scale


def captum(oracle, images, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return oracle.attribute(images, target=torch.tensor(CLASSES[: len(images)]), **options).detach().numpy()


def layers_of(name):
    return ["patch", "before", "joined", "narrow"] if name == "tokens" else "conv"


def grid(tokens):
    return tokens if tokens.ndim == 4 else tokens[:, -16:].transpose(1, 2).reshape(len(tokens), -1, 4, 4)


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def network(name, build_network):
    return build_network(name).eval()


@pytest.fixture
def three(images):
    return images[:3]


def test_layer_methods_equal_captums(name, network, three):
    ours = explain(network, three, target=CLASSES, layers=layers_of(name), methods=("gradcam", "hirescam"))
    assert len(ours.layers) >= 3
    for layer in ours.layers:
        module = network.get_submodule(layer)
        product = torch.from_numpy(captum(LayerGradientXActivation(network, module), three))
        assert_close(ours.raw["hirescam", layer], grid(product).sum(1).relu().numpy())
        if product.ndim == 4:  # captum takes tokens for channels
            theirs = captum(LayerGradCam(network, module), three, relu_attributions=True)
            assert_close(ours.raw["gradcam", layer], theirs[:, 0])


@pytest.mark.parametrize("method", TORCHCAM)
def test_layer_methods_equal_torchcams(name, network, three, method):
    if name in ("in-place", "residual"):
        pytest.skip("torchcam explains what an in-place ReLU made of the layer: see test_gradcam.py")
    ours = explain(network, three, target=CLASSES, layers=layers_of(name), methods=method)
    with TORCHCAM[method](network, list(ours.layers), reshape_transform=grid) as extractor:
        theirs = extractor(CLASSES, network(three), normalized=False)
    for layer, maps in zip(ours.layers, theirs, strict=True):
        assert_close(ours.raw[method, layer], maps.numpy(), NEAR.get(method, 1e-5))


def test_gradcam_plus_plus_equals_the_paper_and_torchcams_does_not(build_network, three):
    """torchcam divides a copy, so that its coefficient is g² instead of g² / (2 g² + sum A g³)."""
    network = build_network("convnet").eval()
    ours = explain(network, three, target=CLASSES, methods="gradcam_plus_plus", layers="conv3")
    taken = {}
    network.conv3.register_forward_hook(lambda _m, _i, output: taken.update(at=output))
    scores = network(three).gather(1, torch.tensor(CLASSES)[:, None]).sum()
    activation, gradient = taken["at"].detach(), torch.autograd.grad(scores, taken["at"])[0]
    pairs = zip(activation.double().numpy(), gradient.double().numpy(), strict=True)
    assert_close(
        ours.raw["gradcam_plus_plus", "conv3"], np.stack([reference.gradcam_plus_plus(*pair) for pair in pairs])
    )
    with GradCAMpp(network, "conv3") as extractor:
        (theirs,) = extractor(CLASSES, network(three), normalized=False)
    weight = (gradient.square() * gradient.relu()).sum((2, 3))
    assert_close(theirs.numpy(), torch.einsum("nk,nkhw->nhw", weight, activation).relu().numpy())


def test_scorecam_equals_torchcams_where_nothing_is_upsampled(build_network, three):
    network = build_network("convnet").eval()
    ours = explain(network, three, target=CLASSES, methods="scorecam", layers="conv1")
    with ScoreCAM(network, "conv1") as extractor:
        (theirs,) = extractor(CLASSES, network(three), normalized=False)
    assert_close(ours.raw["scorecam", "conv1"], theirs.detach().numpy())


def test_input_methods_equal_captums(network, three):
    methods = {
        "saliency": METHODS["saliency"],
        "input_x_gradient": METHODS["input_x_gradient"],
        "integrated": partial(METHODS["integrated_gradients"], steps=9),
        "occlusion": partial(METHODS["occlusion"], window=5, stride=3, fill=0.25),
    }
    ours = explain(network, three, target=CLASSES, methods=methods)
    assert_close(ours["saliency", "input"], captum(Saliency(network), three).max(1))
    assert_close(ours["input_x_gradient", "input"], captum(InputXGradient(network), three.clone()))
    integrated = captum(IntegratedGradients(network), three, n_steps=9, method="riemann_middle")
    assert_close(ours["integrated", "input"], integrated)
    squares = captum(Occlusion(network), three, sliding_window_shapes=(3, 5, 5), strides=(3, 3, 3), baselines=0.25)
    assert_close(ours["occlusion", "input"], squares[:, 0], 1e-4)  # small differences of scores


def test_smoothgrad_equals_captums_with_the_same_noise(build_network, three, monkeypatch):
    network, noise = build_network("functional").eval(), 0.15 * torch.randn(4, 3, 12, 12)
    images = three / three.amax((1, 2, 3), keepdim=True)
    images[:, 0, 0, 0] = 0  # so that the range of each is 1
    drawn = iter(noise / 0.15)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: next(drawn))
    smooth = partial(METHODS["smoothgrad"], of="plain", samples=4)
    methods = {"smooth": smooth, "plain": lambda input_gradient: input_gradient}
    ours = explain(network, images, target=CLASSES, methods=methods)["smooth", "input"]
    repeated = noise.repeat(3, 1, 1, 1)
    monkeypatch.setattr(torch, "normal", lambda mean, *_: mean + repeated)
    tunnel = NoiseTunnel(Saliency(network))
    theirs = captum(tunnel, images, nt_type="smoothgrad", nt_samples=4, stdevs=0.15, abs=False)
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", RELU_MODULES)
def test_guided_methods_equal_captums(build_network, name, three):
    network = build_network(name).eval()
    ours = explain(network, three, target=CLASSES, methods=("guided_gradcam", "guided_backpropagation"))
    assert_close(ours["guided_backpropagation", "input"], captum(GuidedBackprop(network), three))
    for layer in ours.layers:
        oracle = GuidedGradCam(network, network.get_submodule(layer))
        theirs = captum(oracle, three, interpolate_mode="bilinear")
        assert_close(ours["guided_gradcam", layer], theirs)


@pytest.mark.slow
def test_vgg16_at_full_size():
    torch.manual_seed(0)
    network = create_model("vgg16", in_channels=3, num_classes=10, image_size=224, hidden=64).eval()
    # In the layout that explain computes in: another order of sums turns pools and ReLUs that stand at a tie.
    image = torch.rand(1, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    of_input = ("saliency", "input_x_gradient", "guided_backpropagation")
    methods = (*TORCHCAM, "hirescam", "guided_gradcam", *of_input)
    ours = explain(network, image, target=0, methods=methods)
    assert len(ours.layers) == 13
    for method, extractor in TORCHCAM.items():
        with extractor(network, list(ours.layers)) as cam:
            for layer, maps in zip(ours.layers, cam([0], network(image), normalized=False), strict=True):
                assert_close(ours.raw[method, layer], maps.numpy(), NEAR.get(method, 1e-5))
    assert_close(ours["saliency", "input"], captum(Saliency(network), image).max(1))
    assert_close(ours["input_x_gradient", "input"], captum(InputXGradient(network), image.clone()))
    assert_close(ours["guided_backpropagation", "input"], captum(GuidedBackprop(network), image))
    for layer in (ours.layers[0], ours.layers[6], ours.layers[12]):
        module = network.get_submodule(layer)
        product = captum(LayerGradientXActivation(network, module), image)
        assert_close(ours.raw["hirescam", layer], product.sum(1).clip(0))
        assert_close(
            ours.raw["gradcam", layer], captum(LayerGradCam(network, module), image, relu_attributions=True)[:, 0]
        )
        guided = captum(GuidedGradCam(network, module), image, interpolate_mode="bilinear")
        assert_close(ours["guided_gradcam", layer], guided)

"""What explains the input alone: saliency, input x gradient, SmoothGrad, integrated gradients, occlusion."""

from functools import partial

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from glassnet.attribution import METHODS, explain
from glassnet.errors import InputError
from references import attributions as reference

X = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


class Weighed(nn.Module):
    """y = sum_p (w_p x_p + v_p x_p²), a single output, which is the score of class 1."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        self.square = nn.Parameter(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))

    def forward(self, x):
        return (self.linear * x + self.square * x**2).sum((2, 3))


def of(method, images=X, model=None, target=1, **options):
    explained = explain(model or Weighed(), images, target=target, methods={"it": partial(METHODS[method], **options)})
    return explained["it", "input"]


# The gradient is w + 2 v x: 1, -2 + 2*2 = 2, 3, -2*4 = -8.
def test_saliency_by_hand():
    assert of("saliency").tolist() == [[[1, 2], [3, 8]]]
    gradient = torch.tensor([[[[1.0, -5.0]], [[-2.0, 3.0]]]])
    assert METHODS["saliency"](gradient).tolist() == [[[2, 5]]]


def test_input_x_gradient_by_hand():
    assert of("input_x_gradient").tolist() == [[[[1, 4], [9, -32]]]]


def test_integrated_gradients_by_hand():
    # The midpoint rule is exact for squares: each pixel gets its own part of the score, w x + v x².
    np.testing.assert_allclose(of("integrated_gradients", steps=3), [[[[1, 0], [9, -16]]]], atol=1e-5)
    # From 1: w (x - 1) + v (x² - 1).
    np.testing.assert_allclose(of("integrated_gradients", baseline=1), [[[[0, 1], [6, -15]]]], atol=1e-5)


def test_occlusion_by_hand():
    # A single pixel covered by 0.5 takes away w (x - 0.5) + v (x² - 0.25).
    expected = np.array([[0.5, -3 + 3.75], [7.5, -15.75]])
    np.testing.assert_allclose(of("occlusion")[0], expected, atol=1e-5)
    # Squares of two with stride one, of which three end at the border: the means of all, right, lower and corner.
    right, lower, corner = expected[:, 1].sum(), expected[1].sum(), expected[1, 1]
    whole = expected.sum()
    padded = torch.nn.functional.pad(X, (0, 1, 0, 1), value=0.5)
    both = of("occlusion", padded, Padded(), window=2, stride=1)[0, :2, :2]
    means = [[whole, (whole + right) / 2], [(whole + lower) / 2, (whole + right + lower + corner) / 4]]
    np.testing.assert_allclose(both, means, atol=1e-5)


class Padded(Weighed):
    def forward(self, x):
        return super().forward(x[:, :, :2, :2])


def test_smoothgrad_by_hand():
    # The noise has mean m at each pixel, and the gradient is linear in x: its mean is w + 2 v (x + s m), s = 0.1 * 3.
    generator = torch.Generator().manual_seed(5)
    mean = torch.stack([torch.randn(1, 2, 2, generator=generator) for _ in range(4)]).mean(0)
    model = Weighed()
    expected = (model.linear + 2 * model.square * (X + 0.3 * mean)).detach()
    smoothgrad = partial(METHODS["smoothgrad"], of="plain", samples=4, noise=0.1, seed=5)
    methods = {"smooth": smoothgrad, "plain": lambda input_gradient: input_gradient}
    explanation = explain(model, X, target=1, methods=methods)
    np.testing.assert_allclose(explanation["smooth", "input"], expected, atol=1e-5)
    assert np.abs(explanation["plain", "input"] - expected.numpy()).max() > 0.1


@pytest.mark.parametrize("wrapped", ["gradcam", "guided_gradcam", "saliency", "integrated_gradients"])
def test_smoothgrad_is_the_mean_over_noisy_images(build_network, images, wrapped):
    network, images = build_network("residual").double(), images[:3].double()
    smoothgrad = partial(METHODS["smoothgrad"], of=wrapped, samples=3, noise=0.2)
    smooth = explain(network, images, target=[0, 1, 2], methods={"smooth": smoothgrad}, batch_size=5)
    generator, total = torch.Generator().manual_seed(0), 0
    for _ in range(3):
        noise = torch.randn(3, 12, 12, generator=generator).double()
        noisy = torch.stack([image + 0.2 * (image.max() - image.min()) * noise for image in images])
        each = explain(network, noisy, target=[0, 1, 2], methods=wrapped)
        total = total + np.stack([each.raw[wrapped, layer] for layer in smooth.layers or ["input"]]) / 3
    for mean, layer in zip(total, smooth.layers or ["input"], strict=True):
        np.testing.assert_allclose(smooth.raw["smooth", layer], mean, atol=1e-6 * np.abs(mean).max())


@pytest.fixture
def network(build_network):
    return build_network("functional").double().eval()


def test_integrated_gradients_equal_the_papers_sum_and_are_complete(network, images):
    def gradient(x, target=3):
        x = torch.from_numpy(x)[None].requires_grad_()
        return torch.autograd.grad(network(x)[0, target], x)[0][0].numpy()

    ours = of("integrated_gradients", images[:2], network, target=3, steps=8)
    for mine, image in zip(ours, images[:2].double().numpy(), strict=True):
        expected = reference.integrated_gradients(image, gradient, 8)
        np.testing.assert_allclose(mine, expected, atol=1e-6 * np.abs(expected).max())
    fine = of("integrated_gradients", images, network, target=3, steps=200)
    rise = (network(images.double()) - network(torch.zeros(1, 3, 12, 12).double()))[:, 3].detach()
    np.testing.assert_allclose(fine.sum((1, 2, 3)), rise, atol=0.02 * rise.abs().max())


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_gradient_methods_equal_plain_loops_over_differences(network, images, method):
    def score(x):
        with torch.no_grad():
            return network(torch.from_numpy(x)[None])[0, 2].item()

    (ours,) = of(method, images[:1], network, target=2)
    expected = getattr(reference, method)(images[0].double().numpy(), score)
    np.testing.assert_allclose(ours, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (12, 1)])
def test_occlusion_equals_plain_loops(network, images, window, stride):
    def score(x):
        return network(torch.from_numpy(x)[None])[0, 1].item()

    ours = of("occlusion", images[:1], network, target=1, window=window, stride=stride, fill=0.25)
    expected = reference.occlusion(images[0].double().numpy(), score, window, stride, 0.25)
    np.testing.assert_allclose(ours[0], expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("smoothgrad", {"samples": 0}, "samples is 0, expected at least 1"),
        ("smoothgrad", {"of": "grad"}, r"no method or ingredient 'grad' for it\. Did you mean .*gradcam"),
        ("integrated_gradients", {"steps": 0}, "steps is 0, expected at least 1"),
        ("occlusion", {"window": 0}, "window is 0 and stride 1, expected at least 1 pixel each"),
    ],
)
def test_wrong_options_are_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        of(method, **options)


class Power(nn.Module):
    """y = sum_p x_p ** k: the midpoint rule leaves a gap that is known."""

    def __init__(self, power) -> None:
        super().__init__()
        self.power = power

    def forward(self, x):
        return x.pow(self.power).sum((1, 2, 3))[:, None]


def midpoint_gap(power, points):
    """1 - k / N sum_i ((i - 1/2) / N) ** (k - 1), the part of the rise of x ** k that the rule leaves out."""
    at = (np.arange(points) + 0.5) / points
    return abs(1 - power * (at ** (power - 1)).mean())


def test_the_completeness_gap_is_the_rules_own_error():
    images = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    for steps in (1, 2, 5):
        methods = {"it": partial(METHODS["integrated_gradients"], steps=steps)}
        explanation = explain(Power(4), images, target=1, methods=methods)
        np.testing.assert_allclose(explanation.completeness["it", "input"], [midpoint_gap(4, steps)] * 2, rtol=1e-4)
        np.testing.assert_allclose(
            explanation["it", "input"].sum((1, 2, 3)), (1 - midpoint_gap(4, steps)) * np.array([4, 64]), rtol=1e-5
        )


class Steep(nn.Module):
    """y = sum_p x_p / (x_p + 0.001) rises near black, the more of it there the brighter the image; counts its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return (x / (x + 1e-3)).sum((1, 2, 3))[:, None]


def plain_integral(model, image, points):
    """The midpoint rule as a plain loop."""
    total = torch.zeros_like(image)
    for i in range(points):
        x = ((i + 0.5) / points * image).requires_grad_()
        total += torch.autograd.grad(model(x).sum(), x)[0]
    return (image * total / points).numpy()


def test_points_are_tripled_for_the_images_that_need_it_and_none_is_computed_twice(capsys):
    model = Steep()
    images = torch.tensor([0.01, 0.05, 0.3]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    explanation = explain(model, images, target=lambda o: o[:, 0], methods="integrated_gradients", batch_size=3)
    points = [32, 96, 288]
    for number, count in enumerate(points):
        expected = plain_integral(Steep(), images[number : number + 1], count)
        np.testing.assert_allclose(explanation["integrated_gradients", "input"][number], expected[0], rtol=1e-4)
        rise = Steep()(images[number : number + 1]).item()
        gap = abs(expected.sum() - rise) / rise
        np.testing.assert_allclose(explanation.completeness["integrated_gradients", "input"][number], gap, atol=1e-4)
    gaps = explanation.completeness["integrated_gradients", "input"]
    assert (gaps[:2] <= 0.05).all()
    assert gaps[2] > 0.05
    # The images, the baseline, 32 points of all, 64 more of two, 192 more of the last.
    assert model.rows == 3 + 3 + 32 * 3 + 64 * 2 + 192
    said = capsys.readouterr().err
    assert (
        "Integrated gradients: for 1 of 3 images the attributions miss the score's rise from the baseline by more"
        in said
    )
    assert "by up to 7% of it; more steps or another baseline may help" in said
    assert explanation.gap_note() in said
    alone = explain(Steep(), images[1:2], target=1, methods="integrated_gradients")
    np.testing.assert_allclose(
        alone["integrated_gradients", "input"][0], explanation["integrated_gradients", "input"][1]
    )


def test_points_equal_captums_rule_at_as_many(network, images):
    integrated = IntegratedGradients(network)
    explanation = explain(network, images, target=3, methods="integrated_gradients")
    x = images.double()
    rise = (network(x) - network(torch.zeros_like(x)))[:, 3].detach()
    for number, ours in enumerate(explanation["integrated_gradients", "input"]):
        for points in (32, 96, 288):
            of_one = x[number : number + 1]
            theirs = integrated.attribute(of_one, target=3, n_steps=points, method="riemann_middle").detach()
            gap = abs((theirs.sum() - rise[number]) / rise[number])
            if gap <= 0.05:
                break
        np.testing.assert_allclose(ours, theirs[0], atol=1e-6 * theirs.abs().max())
        np.testing.assert_allclose(explanation.completeness["integrated_gradients", "input"][number], gap, atol=1e-5)


def test_a_normalised_image_keeps_its_gap_and_it_is_said(images, capsys):
    """With a norm, black is a pole: brightness has no gradient but at the baseline itself."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, bias=False), nn.InstanceNorm2d(4, eps=1e-12), nn.Flatten(), nn.Linear(400, 5)
    model = nn.Sequential(*layers)
    explanation = explain(model, images, target=2, methods="integrated_gradients")
    gaps = explanation.completeness["integrated_gradients", "input"]
    rise = (model(images) - model(torch.zeros_like(images)))[:, 2].detach().numpy()
    total = explanation["integrated_gradients", "input"].sum((1, 2, 3))
    np.testing.assert_allclose(gaps, np.abs(total - rise) / np.abs(rise), rtol=1e-3)
    assert (gaps > 0.5).all()
    assert (
        "for 7 of 7 images the attributions miss the score's rise from the baseline by more than 5%"
        in capsys.readouterr().err
    )


def test_an_image_that_is_the_baseline_has_no_gap(capsys):
    explanation = explain(Weighed(), torch.zeros(2, 1, 2, 2), target=1, methods="integrated_gradients")
    assert explanation.completeness["integrated_gradients", "input"].tolist() == [0, 0]
    assert "miss" not in capsys.readouterr().err


def test_several_classes_have_a_gap_each(network, images):
    explanation = explain(network, images, target=[[0, 1, 2]], methods=("integrated_gradients", "saliency"))
    assert list(explanation.completeness) == [("integrated_gradients", "input")]
    assert explanation.completeness["integrated_gradients", "input"].shape == (7, 3)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_a_target_that_takes_the_maximum_is_held_to_the_images_own_class(network, images, method, capsys):
    expected = explain(network, images, methods=method)
    highest = explain(network, images, target=lambda output: output.max(dim=1).values, methods=method, batch_size=3)
    np.testing.assert_allclose(highest[method, "input"], expected[method, "input"], atol=1e-6)
    assert capsys.readouterr().err.count("the target uses each image's highest class") == 1
    fixed = explain(network, images, target=lambda output: output[:, 3], methods=method)
    np.testing.assert_allclose(
        fixed[method, "input"], explain(network, images, target=3, methods=method)[method, "input"]
    )
    assert "the target" not in capsys.readouterr().err


def test_a_stride_above_the_window_is_refused_as_it_leaves_gaps():
    with pytest.raises(InputError, match="stride is 3 and window 2, so some pixels are never covered"):
        of("occlusion", torch.rand(1, 1, 9, 9), Power(2), window=2, stride=3)
    assert of("occlusion", torch.rand(1, 1, 9, 9), Power(2), window=9, stride=20).shape == (1, 9, 9)

"""What deletion and insertion follow: the right probability of any output, or a callable's score."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.attribution.faithfulness import confidence_change, deletion_insertion, faithfulness
from glassnet.errors import InputError

STEPS = 6


class Net(nn.Module):
    """A small network with any end; `float64`, so that probabilities are exact."""

    def __init__(self, classes, end=lambda y: y) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(classes)
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(400, classes)
        self.head.weight.data *= 8
        self.end = end
        self.double()

    def forward(self, x):
        return self.end(self.head(self.conv(x).relu().flatten(1)))


@pytest.fixture
def pictures(images):
    return images.double()


def slow(follow, image, values, number):
    """Deletion, one count of pixels after the other, each frame alone."""
    pixels = values.size
    order = sorted(range(pixels), key=lambda p: -values.flat[p])
    curve = []
    for step in range(STEPS + 1):
        frame = image.clone().flatten(1)
        gone = order[: round(step * pixels / STEPS)]
        frame[:, gone] = image.mean(dim=(1, 2))[:, None]
        with torch.no_grad():
            curve.append(float(follow(frame.view_as(image)[None], number)))
    return curve


def check(net, pictures, follow, targets, maps=None, **options):
    maps = np.random.default_rng(0).random((7, 12, 12)) if maps is None else maps
    curves = deletion_insertion(net, pictures, maps, targets, steps=STEPS, batch_size=5, **options)
    for number in (0, 3, 6):
        expected = slow(follow, pictures[number], maps[number], number)
        np.testing.assert_allclose(curves.deletion[number], expected, rtol=1e-6)
        np.testing.assert_allclose(curves.insertion[number, -1], expected[0], rtol=1e-6)
    return curves


TARGETS = np.array([0, 1, 2, 3, 4, 1, 2])


def logits(net, x):
    return net.head(net.conv(x).relu().flatten(1))[0]


def softmax_of(net, targets):
    return lambda x, number: logits(net, x).softmax(0)[targets[number]]


def sigmoid_of(net, targets):
    return lambda x, number: logits(net, x).sigmoid()[targets[number]]


def one_of_two(net, targets):
    return lambda x, number: (logits(net, x)[0] * (1 if targets[number] else -1)).sigmoid()


ENDS = {
    "logits": (5, lambda y: y, {}, softmax_of, "treated as logits of mutually exclusive classes"),
    "softmax": (
        5,
        lambda y: y.softmax(1),
        {},
        softmax_of,
        "as probabilities, because they come out of a softmax or a sig",
    ),
    "softmax, sliced": (5, lambda y: y.softmax(1).T[:, None].transpose(0, 2)[:, 0].clone(), {}, softmax_of, "come out"),
    "softmax by hand": (5, lambda y: y.exp() / y.exp().sum(1, keepdim=True), {}, softmax_of, "sum to one"),
    "log-softmax": (5, lambda y: y.log_softmax(1), {}, softmax_of, "as logits"),
    "log of softmax": (5, lambda y: (y.softmax(1).clamp_min(1e-300)).log(), {}, softmax_of, "as logits"),
    "sigmoid": (5, lambda y: y.sigmoid(), {}, sigmoid_of, "come out of a softmax or a sigmoid"),
    "mean of sigmoids": (5, lambda y: torch.stack([y.sigmoid(), y.sigmoid()]).mean(0), {}, sigmoid_of, "come out"),
    "log-sigmoid": (5, lambda y: nn.functional.logsigmoid(y), {}, sigmoid_of, "logarithms of probabilities"),
    "sigmoid, detached": (5, lambda y: y.sigmoid().detach(), {"output": "probabilities"}, sigmoid_of, ""),
    "labels' logits": (5, lambda y: y, {"output": "sigmoid"}, sigmoid_of, ""),
    "dict of logits": (5, lambda y: {"logits": y}, {}, softmax_of, "are taken from the output's 'logits'"),
    "named": (5, lambda y: {"a": y.softmax(1), "b": y}, {"output": "a"}, softmax_of, "come out of a softmax"),
    "made": (5, lambda y: [y], {"output": lambda o: o[0].sigmoid()}, sigmoid_of, "come out of a softmax or a sig"),
    "one": (1, lambda y: y, {}, one_of_two, "read as a binary classifier's logit"),
    "one, flat": (1, lambda y: y[:, 0], {}, one_of_two, "read as a binary classifier's logit"),
    "one, sigmoid": (1, lambda y: y.sigmoid(), {}, one_of_two, "read as a binary classifier's probability"),
    "one, log": (1, lambda y: nn.functional.logsigmoid(y)[:, 0], {}, one_of_two, "classifier's log-probability"),
    "one, said": (1, lambda y: y, {"output": "logits"}, one_of_two, "classifier's logit"),
    "one, detached": (1, lambda y: y.sigmoid().detach(), {"output": "probabilities"}, one_of_two, "probability"),
}


@pytest.mark.parametrize(("classes", "end", "options", "follow", "said"), ENDS.values(), ids=ENDS)
def test_the_right_probability_is_followed_whatever_the_end(pictures, capsys, classes, end, options, follow, said):
    targets = TARGETS % (2 if classes == 1 else 5)
    net = Net(classes, end)
    curves = check(net, pictures, follow(net, targets), targets, **options)
    assert curves.unit == "probability"
    printed = capsys.readouterr().err
    assert said in printed
    assert said or "scores" not in printed


def test_one_output_has_an_area_of_its_own_probability_and_not_of_one(pictures):
    """A softmax of one class is 1 for every map; the area below the sigmoid's curve is not."""
    net = Net(1)
    explanation = gn.explain(net, pictures, methods="saliency")
    targets = explanation.targets
    assert set(targets) == {0, 1}
    curves = check(net, pictures, one_of_two(net, targets), targets, explanation["saliency", "input"])
    numbers = faithfulness(net, pictures, explanation, steps=STEPS).numbers["saliency", "input"]
    assert numbers["deletion"].mean == pytest.approx(curves.deletion_area.mean())
    assert 0.05 < numbers["deletion"].mean < 0.95
    assert numbers["deletion"].low < numbers["deletion"].high
    # The drop of an image whose map is black everywhere: sigmoid(y) to sigmoid(y of a black image).
    drop, _ = confidence_change(net, pictures, np.zeros((7, 12, 12)), targets)
    y, o = (follow_all(net, x, targets) for x in (pictures, torch.zeros_like(pictures)))
    np.testing.assert_allclose(drop, np.maximum(0, y - o) / y, rtol=1e-6)


def follow_all(net, x, targets):
    with torch.no_grad():
        return np.array([float(one_of_two(net, targets)(image[None], n)) for n, image in enumerate(x)])


def test_values_in_a_range_without_a_sum_are_said_to_be_in_doubt(pictures, capsys):
    class Unit(Net):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x).sigmoid()

    deletion_insertion(Unit(5), pictures, np.zeros((7, 12, 12)), TARGETS, steps=2)
    assert (
        "treated as logits of mutually exclusive classes (softmax), though all of them lie between 0 and 1; if they a"
        in (capsys.readouterr().err)
    )


def test_probabilities_that_are_none_are_refused(pictures):
    with pytest.raises(
        InputError, match=r"scores range from -.* but were treated as probabilities; pass output=\"logits\""
    ):
        deletion_insertion(Net(5), pictures, np.zeros((7, 12, 12)), TARGETS, output="probabilities")


def test_what_the_scores_are_does_not_depend_on_the_batches(pictures):
    net = Net(5, lambda y: y.softmax(1))
    one, all_ = (
        deletion_insertion(net, pictures, np.zeros((7, 12, 12)), TARGETS, steps=3, batch_size=size) for size in (1, 100)
    )
    np.testing.assert_allclose(one.deletion, all_.deletion, rtol=1e-9)


class Flattening(nn.Module):
    """Flattens by `view`, which channels-last images do not let it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 5, padding=2), nn.Linear(576, 5)

    def forward(self, x):
        return self.head(self.conv(x).view(-1, 576))


def test_a_colour_network_that_flattens_by_view_is_measured(images):
    model = Flattening()
    explanation = gn.explain(model, images, layers="conv", methods="gradcam")
    curves = faithfulness(model, images, explanation, steps=3).curves["gradcam", "conv"]
    expected = model(images).softmax(1)[range(7), explanation.targets].detach()
    np.testing.assert_allclose(curves.deletion[:, 0], expected, rtol=1e-5)


def test_a_callables_own_score_is_followed(pictures):
    net = Net(5)

    def target(output):
        return output[:, 2] - output[:, 1]

    explanation = gn.explain(net, pictures, target=target, methods="saliency")
    maps = explanation["saliency", "input"]
    curves = check(net, pictures, lambda x, _: logits(net, x)[2] - logits(net, x)[1], target, maps)
    assert curves.unit == "score"
    found = faithfulness(net, pictures, explanation, steps=STEPS)
    assert found.unit == "score"
    numbers = found.numbers["saliency", "input"]
    assert list(numbers) == ["deletion", "insertion", "increase"]
    assert numbers["deletion"].mean == pytest.approx(curves.deletion_area.mean(), rel=1e-5)
    drop, increase = confidence_change(net, pictures, maps, target)
    assert np.isnan(drop).all()
    assert increase.mean() == numbers["increase"].mean


def test_a_callable_of_two_arguments_gets_the_unchanged_images(pictures):
    net = Net(5, lambda y: y[:, :, None, None].expand(-1, -1, 2, 2))

    def target(output, x):
        return (output[:, 1] * x[:, :1, 0, 0, None]).mean((1, 2))

    curves = check(net, pictures, lambda x, number: logits(net, x)[1] * pictures[number, 0, 0, 0], target)
    assert curves.unit == "score"


def test_a_callable_that_the_explanation_no_longer_holds_is_passed_again(pictures):
    net = Net(5)
    explanation = gn.explain(net, pictures, target=lambda o: o[:, 1], methods="saliency")
    expected = faithfulness(net, pictures, explanation, steps=2).curves["saliency", "input"]
    for other in (copy.deepcopy(explanation), pickle.loads(pickle.dumps(explanation))):
        with pytest.raises(
            InputError, match="target is a callable that it no longer holds; pass the callable as target"
        ):
            faithfulness(net, pictures, other)
        again = faithfulness(net, pictures, other, steps=2, target=lambda o: o[:, 1]).curves["saliency", "input"]
        np.testing.assert_array_equal(again.deletion, expected.deletion)


def test_the_explanations_output_and_forward_hold_for_its_measures(pictures):
    net = Net(5, lambda y: {"logits": -y, "right": y})
    explanation = gn.explain(
        net, pictures, methods="saliency", output="right", forward=lambda model, x: model(x.clone())
    )
    curves = faithfulness(net, pictures, explanation, steps=2).curves["saliency", "input"]
    plain = Net(5)
    np.testing.assert_allclose(
        curves.deletion[:, 0],
        plain(pictures).softmax(1).max(1).values.detach(),
        rtol=1e-6,
    )


class Texts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net(5)

    def forward(self, images, text):
        return self.net(images) * text


def test_forward_says_how_the_model_is_called(pictures):
    text = torch.tensor([2.0, -1, 0, 1, 3]).double()
    model = Texts()

    def follow(x, number):
        return (logits(model.net, x) * text).softmax(0)[TARGETS[number]]

    check(model, pictures, follow, TARGETS, forward=lambda m, x: m(x, text))
    drop, _ = confidence_change(model, pictures, np.ones((7, 12, 12)), TARGETS, forward=lambda m, x: m(x, text))
    assert drop.tolist() == [0] * 7
    with pytest.raises(InputError, match="missing 1 required positional argument: 'text'"):
        deletion_insertion(model, pictures, np.ones((7, 12, 12)), TARGETS)


@pytest.mark.parametrize(
    "target",
    [
        lambda output: output.max(dim=1).values,
        lambda output: output.amax(dim=1),
        lambda output: output.topk(1).values[:, 0],
        lambda output: output.gather(1, output.argmax(1, keepdim=True))[:, 0],
        lambda output: output.sort(1).values[:, -1],
    ],
)
def test_a_maximum_is_held_to_the_class_of_the_unchanged_image(pictures, capsys, target):
    net = Net(5)
    maps = np.random.default_rng(0).random((7, 12, 12))
    predicted = net(pictures).argmax(1).tolist()
    curves = check(net, pictures, lambda x, number: logits(net, x)[predicted[number]], target, maps)
    assert curves.unit == "score"
    said = "the target uses each image's highest class; in changed copies of the image that class stays fixed"
    assert capsys.readouterr().err.count(said) == 1
    ends = torch.stack([image.mean(dim=(1, 2), keepdim=True).expand_as(image) for image in pictures])
    assert (net(ends).argmax(1).numpy() != predicted).any()  # so that another class would have been followed


def test_a_choice_that_cannot_be_held_is_said(pictures, capsys):
    net = Net(5)
    maps = np.zeros((7, 12, 12))
    deletion_insertion(net, pictures, maps, lambda o: o.topk(2).values[:, 1], steps=2)
    assert "the target chooses new output entries for" in capsys.readouterr().err
    for fine in (
        lambda o: o[:, 3],
        lambda o: o.logsumexp(1),
        lambda o: o[:, 3] - o[:, 1],
        lambda o: o.softmax(1)[:, 2],
        lambda o: o[:, 2].relu(),
        lambda o: o.square().sum(1),
    ):
        deletion_insertion(net, pictures, maps, fine, steps=2)
    assert capsys.readouterr().err == ""


def test_the_model_is_left_as_it_was_found(pictures):
    net = Net(1, lambda y: y.sigmoid())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.inference_mode():
        faithfulness(net, pictures, gn.explain(net, pictures, methods="saliency"), steps=2)
    assert net.training
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

"""Class scores found in what other libraries' models give, and a binary classifier's single output."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import glassnet as gn
from glassnet.attribution import explain
from glassnet.errors import InputError, WorkError


class ModelOutput(OrderedDict):
    """As of Hugging Face: keys, attributes and indices."""

    def __getattr__(self, name):
        return self[name]

    def __getitem__(self, key):
        return dict.__getitem__(self, key) if isinstance(key, str) else tuple(self.values())[key]


class Named(NamedTuple):
    scores: Tensor
    loss: Tensor


@dataclass
class Held:
    scores: Tensor
    hidden: Tensor | None = None


class Object:
    def __init__(self, scores):
        self.scores = scores


class Giving(nn.Module):
    """A network whose class scores are wrapped in something."""

    def __init__(self, wrap) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(400, 5)
        self.wrap = wrap

    def forward(self, x):
        hidden = self.conv(x).relu()
        return self.wrap(self.head(hidden.flatten(1)), hidden)


PLAIN = Giving(lambda scores, _: scores)
FOUND = {
    "ModelOutput": (lambda s, h: ModelOutput(loss=s.sum(), logits=s, hidden=h.mean((2, 3))), "'logits'"),
    "dict of logits": (lambda s, h: {"features": h.mean((2, 3)), "logits": s}, "'logits'"),
    "dict": (lambda s, h: {"hidden": h, "out": s, "step": 3}, "'out'"),
    "tuple": (lambda s, h: (h, s, None), 1),
    "list": (lambda s, h: [s, [h]], 0),
    "named": (lambda s, _: Named(s, s.sum()), "'scores'"),
    "dataclass": (lambda s, _: Held(s), "'scores'"),
    "object": (lambda s, _: Object(s), "'scores'"),
}


def same(one, other):
    np.testing.assert_array_equal(one.targets, other.targets)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    np.testing.assert_allclose(one.output, other.output, rtol=1e-5)
    for key, maps in other.maps.items():
        np.testing.assert_allclose(one[key], maps, atol=1e-6)


@pytest.mark.parametrize(("wrap", "where"), FOUND.values(), ids=FOUND)
def test_the_one_obvious_class_score_is_found_and_said(images, capsys, wrap, where):
    methods = ("gradcam", "saliency", "occlusion")
    same(explain(Giving(wrap), images, methods=methods, batch_size=3), explain(PLAIN, images, methods=methods))
    said = capsys.readouterr().err
    place = f"entry {where} of the output" if isinstance(where, int) else f"the output's {where}"
    assert said.count(f"the class scores are taken from {place} (pass output= to choose another).") == 1


@pytest.mark.parametrize(
    ("wrap", "output"),
    [
        (lambda s, h: {"features": h.mean((2, 3)), "out": s}, "out"),
        (lambda s, h: {"logits": h.mean((2, 3)), "out": s}, "out"),
        (lambda s, h: {0: h.mean((2, 3)), 1: s}, 1),
        (lambda s, h: (h.mean((2, 3)), s), 1),
        (lambda s, h: (h.mean((2, 3)), s), -1),
        (lambda s, _: Held(s, -s), "scores"),
        (lambda s, h: ModelOutput(features=h.mean((2, 3)), out=s), 1),
        (lambda s, h: ([h], [s]), lambda output: output[1][0]),
        (lambda s, _: s.unsqueeze(1), lambda output: output[:, 0]),
        (lambda s, _: s[:, :, None, None], None),
        (lambda s, h: {"sigmoid": -s, "probabilities": s.softmax(1), "logits": s}, "logits"),
    ],
)
def test_what_the_caller_names_is_taken(images, capsys, wrap, output):
    same(explain(Giving(wrap), images, methods="saliency", output=output), explain(PLAIN, images, methods="saliency"))
    assert "to choose another" not in capsys.readouterr().err or output == "logits"


def test_the_word_for_the_scale_names_the_entry_of_that_name(images):
    given = explain(Giving(lambda s, _: {"logits": s, "probabilities": s.softmax(1)}), images, output="probabilities")
    np.testing.assert_allclose(given.output.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrap", "options", "message"),
    [
        (
            lambda s, h: (s, h.mean((2, 3))),
            {},
            r"several .* 0 of shape \(7, 5\), 1 of shape \(7, 4\); choose one with out",
        ),
        (lambda s, _: {"a": s, "b": s}, {}, r"a dict with several tensors .* choose one with output='a'\."),
        (lambda s, _: {"out": s}, {"output": "uot"}, "no output 'uot' in the dict that it gives. Did you mean out?"),
        (lambda s, _: (s,), {"output": 3}, "output is index 3, but the model gives a tuple with 1 entries"),
        (lambda s, _: s, {"output": "out"}, r"gives a tensor of shape \(7, 5\), which has no parts; leave output out"),
        (lambda s, _: s, {"output": 0}, r"output is 0, but the model gives a tensor of shape"),
        (lambda s, _: s, {"output": True}, "output is True, expected the name or index"),
        (lambda s, _: s, {"output": 0.5}, "output is 0.5, expected the name"),
        (lambda s, _: s, {"output": lambda o: o["x"]}, "the output callable fails on the model's output, a tensor of"),
        (lambda s, h: {"hidden": h}, {}, r"lambda output: output\['hidden'\]\.mean\(dim=\(1, 2, 3\)\)"),
        (
            lambda s, h: {"logits": h},
            {},
            r"is of shape \(7, 4, 10, 10\), .* output\['logits'\]\.mean\(dim=\(1, 2, 3\)\)",
        ),
        (lambda s, h: Held(h), {}, r"lambda output: output\.scores\.mean\(dim=\(1, 2, 3\)\)"),
        (lambda s, h: "nothing", {}, "a str, not class scores .* pass output, a callable"),
        (lambda s, h: h, {}, r"target=lambda output: output\.mean\(dim=\(1, 2, 3\)\)\.$"),
        (lambda s, h: h.flatten(2), {}, r"target=lambda output: output\.mean\(dim=\(1, 2\)\)\.$"),
        (
            lambda s, h: s.repeat(2, 1),
            {},
            r"2 rows per image: combine them, as in output=lambda output: output.unflatten\(",
        ),
        (lambda s, h: s[:4], {}, "not have one row for each of the 7 images"),
        (lambda s, h: s.sum(), {}, "not have one row for each of the 7 images"),
        (lambda s, h: s.argmax(1, keepdim=True), {}, "it is int64, which has no gradient"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_holds_no_obvious_class_scores_is_one_sentence_that_helps(images, wrap, options, message):
    with pytest.raises(InputError, match=message) as caught:
        explain(Giving(wrap), images, methods="saliency", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrap", "options"),
    [
        (lambda s, h: h, {"target": lambda output: output.mean(dim=(1, 2, 3))}),
        (lambda s, h: h.flatten(2), {"target": lambda output: output.mean(dim=(1, 2))}),
        (lambda s, h: {"hidden": h}, {"target": lambda output: output["hidden"].mean(dim=(1, 2, 3))}),
        (lambda s, h: s.repeat_interleave(2, 0), {"output": lambda o: o.unflatten(0, (-1, 2)).mean(dim=1)}),
    ],
)
def test_the_advice_works(images, wrap, options):
    assert explain(Giving(wrap), images, methods="saliency", batch_size=3, **options).scores.shape == (7,)


def test_a_callable_target_gets_the_part_that_output_names(images):
    model = Giving(lambda s, h: {"out": s, "hidden": h})
    for output, target in ((None, lambda o: o["out"][:, 2]), ("out", lambda o: o[:, 2])):
        given = explain(model, images, target=target, output=output, methods="saliency")
        expected = explain(PLAIN, images, target=2, methods="saliency")
        np.testing.assert_array_equal(given.scores, expected.scores)
        np.testing.assert_array_equal(given["saliency", "input"], expected["saliency", "input"])


class Asking(nn.Module):
    """Takes a text besides the images, as CLIP does."""

    def __init__(self) -> None:
        super().__init__()
        self.model = PLAIN

    def forward(self, images, text):
        return {"logits": self.model(images) * text}


def test_forward_says_how_the_model_is_called(images):
    text = torch.tensor([1.0, -1, 2, -2, 0])
    methods = ("gradcam", "integrated_gradients")
    given = explain(
        Asking(), images, methods=methods, forward=lambda model, x: model(x, text), batch_size="auto", memory_bytes=1
    )
    expected = explain(Giving(lambda s, _: s * text), images, methods=methods, batch_size=1)
    for layer, other in (("model.conv", "conv"), ("input", "input")):
        method = methods[layer == "input"]
        np.testing.assert_array_equal(given[method, layer], expected[method, other])


def test_a_forward_that_fails_is_one_sentence(images):
    with pytest.raises(
        InputError, match=r"the forward callable fails on images of shape \(7, 3, 12, 12\): 'Asking' ob"
    ):
        explain(Asking(), images, forward=lambda model, x: model.encode(x))
    with pytest.raises(WorkError, match="not enough memory for 7 images"):
        explain(Asking(), images, forward=lambda *_: (_ for _ in ()).throw(MemoryError()))


class One(nn.Module):
    """y = sum of the first column minus that of the second: positive, negative and again positive in `TWO`."""

    def __init__(self, end) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.end = end

    def forward(self, x):
        return self.end(self.scale * (x[:, 0, :, :1] - x[:, 0, :, 1:]).sum((1, 2)))


TWO = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]], [[[0.0, 1.0], [1.0, 1.0]]]])  # y is 1 and -1


@pytest.mark.parametrize("methods", ["saliency", "occlusion", "input_x_gradient", "integrated_gradients"])
@pytest.mark.parametrize("end", [lambda y: y[:, None], lambda y: y, lambda y: y[:, None, None, None]])
def test_the_predicted_class_of_a_single_logit(methods, end, capsys):
    """Class 1 has the score y and class 0 -y."""
    predicted = explain(One(end), TWO, methods=methods)
    assert predicted.targets.tolist() == [1, 0]
    assert predicted.scores.tolist() == [1, 1]
    one, zero = (explain(One(end), TWO, target=target, methods=methods) for target in (1, 0))
    assert one.scores.tolist() == [1, -1]
    assert zero.scores.tolist() == [-1, 1]
    np.testing.assert_array_equal(predicted[methods, "input"][0], one[methods, "input"][0])
    np.testing.assert_array_equal(predicted[methods, "input"][1], zero[methods, "input"][1])
    if methods != "saliency":
        np.testing.assert_array_equal(zero[methods, "input"], -one[methods, "input"])
    assert capsys.readouterr().err.count("the model has one output, which is read as a binary classifier's logit") == 3


@pytest.mark.parametrize("methods", ["saliency", "occlusion"])
@pytest.mark.parametrize(
    "end", [lambda y: y.sigmoid()[:, None], lambda y: torch.sigmoid(y), lambda y: y.double().sigmoid().float()]
)
def test_a_single_probability_is_predicted_from_a_half_whatever_the_method(methods, end, capsys):
    """Its graph says that it is one, also where the method needs no gradient."""
    p = 1 / (1 + np.exp(-1))
    predicted = explain(One(end), TWO, methods=methods)
    assert predicted.targets.tolist() == [1, 0]
    np.testing.assert_allclose(predicted.scores, [p, p], rtol=1e-6)
    assert "classifier's probability: class 1 is the output, class 0 is 1 minus it" in capsys.readouterr().err


def test_a_single_log_probability():
    predicted = explain(One(torch.nn.functional.logsigmoid), TWO, methods="occlusion")
    assert predicted.targets.tolist() == [1, 0]
    np.testing.assert_allclose(predicted.scores, [-np.log1p(np.exp(-1))] * 2, rtol=1e-5)


def test_the_word_for_the_scale_decides_what_a_single_output_is():
    given = explain(One(lambda y: y.mul(0.1).add(0.3)), TWO, output="probabilities", methods="saliency")
    assert given.targets.tolist() == [0, 0]
    np.testing.assert_allclose(given.scores, [0.6, 0.8], rtol=1e-6)
    given = explain(One(lambda y: y.sigmoid()), TWO, output="logits", methods="saliency")
    assert given.targets.tolist() == [1, 1]


def test_class_two_of_a_single_output_is_refused():
    with pytest.raises(InputError, match="target 2 is out of range: the model has 2 classes, numbered from 0 to 1"):
        gn.explain(One(lambda y: y), TWO, target=2, methods="saliency")


@pytest.mark.parametrize(
    "shape", [lambda s: s[:, 0], lambda s: s[:, :1], lambda s: s[:, :1, None, None], lambda s: {"only": s[:, :1]}]
)
def test_the_advice_for_a_number_that_is_no_class_works(images, capsys, shape):
    network = Giving(lambda s, _: shape(s))
    explain(network, images, methods="saliency")
    advice = capsys.readouterr().err.partition("such as a regression's, pass ")[2].partition(")")[0]
    if advice.startswith("target="):
        target = eval(advice.removeprefix("target="))  # the very words that are printed
        assert explain(network, images, methods="saliency", target=target).scores.shape == (len(images),)
    else:
        assert advice == "a function as target that takes it from the output"

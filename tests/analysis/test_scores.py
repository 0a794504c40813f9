"""A network of one's own that ends in a softmax or a sigmoid has one answer in all analyses: its own probabilities."""

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.analysis import analyse
from glassnet.analysis.scores import as_logits, as_probabilities, subject_scale
from glassnet.subject import Subject
from tiny_nets import CLASSES, TinyNet, coloured

ENDS = {"sigmoid": nn.Sigmoid(), "log-sigmoid": nn.LogSigmoid()}


class Hidden(nn.Module):
    """Gives what another module gives, and hides how it was made."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images).detach()


def scored(*ends):
    """A network whose scores are spread, followed by the given ends."""
    net = TinyNet().eval()
    with torch.no_grad():
        net.fc2.weight.mul_(8)
        net.fc2.bias.copy_(torch.tensor([0.5, -1.0, -2.0]))
    return nn.Sequential(net, *ends).eval()


def labelled(model):
    """Images with several labels of each."""
    images, _ = coloured(24)
    targets = np.random.default_rng(0).integers(0, 2, (24, 3))
    return Subject(model, images, targets, classes=CLASSES)


def classified(model):
    images, labels = coloured(24)
    return Subject(model, images, labels, classes=CLASSES)


def pixels(model):
    images, _ = coloured(6)
    return Subject(model, images, np.random.default_rng(0).integers(0, 3, (6, 12, 10)), classes=CLASSES)


@pytest.mark.parametrize("end", ENDS)
def test_labels_of_a_network_that_ends_in_a_sigmoid_are_measured_by_its_probabilities(end):
    plain = analyse(labelled(scored()), "evaluation").result
    ended = analyse(labelled(scored(ENDS[end])), "evaluation").result
    assert np.allclose(ended.probabilities, plain.probabilities, atol=1e-6)
    assert ended.loss == pytest.approx(plain.loss, rel=1e-5)
    assert ended.hamming_loss == plain.hamming_loss
    assert 0 < ended.hamming_loss < 1
    assert ended.mean_average_precision == pytest.approx(plain.mean_average_precision)


@pytest.mark.parametrize("end", ENDS)
def test_labels_of_a_network_that_ends_in_a_sigmoid_are_explained_by_its_probabilities(end):
    asked = {"layers": ("0.conv2",), "methods": ("gradcam",), "images": "mixed:8"}
    plain = analyse(labelled(scored()), "attribution", **asked).result.groups
    ended = analyse(labelled(scored(ENDS[end])), "attribution", **asked).result.groups
    assert [one.numbers for one in ended] == [one.numbers for one in plain]
    for one, other in zip(ended, plain, strict=True):
        for found, expected in zip(one.facts, other.facts, strict=True):
            assert {**found, "probability": 0} == {**expected, "probability": 0}
            assert found["probability"] == pytest.approx(expected["probability"], abs=1e-6)


@pytest.mark.parametrize("end", ENDS)
def test_labels_of_a_network_that_ends_in_a_sigmoid_are_followed_by_its_probabilities(end):
    asked = {"layers": ("0.conv2",), "methods": ("gradcam",), "images": "0,1,2", "target": "owl"}
    groups = {}
    for name, model in {"plain": scored(), "ended": scored(ENDS[end])}.items():
        (groups[name],) = analyse(labelled(model), "faithfulness", attribution=asked).result.groups
    starts = {name: one.random.deletion[:, 0] for name, one in groups.items()}
    assert starts["ended"] == pytest.approx(starts["plain"], abs=1e-6)


def test_a_probability_of_one_or_zero_costs_a_finite_loss():
    """As torch's BCELoss, which cuts logarithms at -100."""
    subject = labelled(nn.Sequential(TinyNet().eval(), nn.Sigmoid()))
    logits = as_logits(subject, torch.tensor([[0.0, 0.5, 1.0]]))
    assert logits.tolist() == [[-100.0, 0.0, 100.0]]
    assert as_probabilities(subject, torch.tensor([[0.0, 0.25, 1.0]]))[0].tolist() == pytest.approx([0, 0.25, 1])
    assert as_logits(subject, torch.tensor([[float("nan"), 0.0, 0.0]]))[0, 0].isnan()


def test_log_probabilities_become_logits():
    subject = labelled(nn.Sequential(TinyNet().eval(), nn.LogSigmoid()))
    wanted = torch.tensor([[-3.0, 0.0, 2.0]])
    assert as_logits(subject, nn.functional.logsigmoid(wanted))[0].tolist() == pytest.approx([-3, 0, 2], abs=1e-5)


@pytest.mark.parametrize(
    ("model", "scale"),
    [
        (scored(), "sigmoid"),
        (scored(nn.Sigmoid()), "probabilities"),
        (scored(nn.LogSigmoid()), "logarithms"),
        (Hidden(scored()), "sigmoid"),
        (Hidden(scored(nn.Sigmoid())), "probabilities"),  # since all lie in 0 to 1
    ],
    ids=["plain", "sigmoid", "log-sigmoid", "hidden", "hidden sigmoid"],
)
def test_what_the_scores_of_labels_are(model, scale):
    assert subject_scale(labelled(model)) == scale


def test_a_linear_layer_gives_logits_though_all_lie_in_zero_to_one():
    net = TinyNet().eval()
    with torch.no_grad():
        net.fc2.weight.zero_()
        net.fc2.bias.copy_(torch.tensor([0.1, 0.2, 0.9]))
    assert subject_scale(labelled(net)) == "sigmoid"


def test_what_the_scores_are_is_told_anew_where_the_network_changes():
    net = scored(nn.Sigmoid())
    subject = labelled(net)
    assert subject_scale(subject) == "probabilities"
    net[1] = nn.Identity()
    assert subject_scale(subject) == "sigmoid"


def test_likeliest_classes_of_a_network_that_ends_in_a_softmax_have_its_probabilities():
    asked = {"images": "0,1,2", "channels": 0}
    plain = analyse(classified(scored()), "predictions", **asked).result
    ended = analyse(classified(scored(nn.Softmax(dim=1))), "predictions", **asked).result
    assert np.allclose(ended.probabilities, plain.probabilities, atol=1e-6)
    assert np.array_equal(ended.classes, plain.classes)
    images, _ = coloured(3)
    with torch.no_grad():
        expected = scored()(torch.from_numpy(images).float() / 255).softmax(dim=1).sort(descending=True).values
    assert np.allclose(plain.probabilities, expected[:, : plain.probabilities.shape[1]], atol=1e-6)


def test_classes_of_a_network_that_ends_in_a_sigmoid_have_probabilities_divided_by_their_sum():
    images, _ = coloured(24)
    with torch.no_grad():
        each = scored(nn.Sigmoid())(torch.from_numpy(images).float() / 255)
    result = analyse(classified(scored(nn.Sigmoid())), "evaluation").result
    assert np.allclose(result.probabilities, each / each.sum(dim=1, keepdim=True), atol=1e-6)


def test_a_segmentation_that_ends_in_a_softmax_is_measured_by_its_probabilities():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        conv.weight.mul_(20)
    plain = analyse(pixels(conv), "evaluation").result
    ended = analyse(pixels(nn.Sequential(conv, nn.Softmax(dim=1))), "evaluation").result
    assert ended.loss == pytest.approx(plain.loss, rel=1e-5)
    assert ended.mean_iou == plain.mean_iou


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.LogSigmoid(), nn.Hardsigmoid()])
def test_without_labels_a_network_that_ends_in_a_sigmoid_names_several_labels_by_its_own_probabilities(capsys, end):
    images, _ = coloured(6)
    model = scored(end)
    subject = Subject(model, images, classes=CLASSES)
    assert subject.task.name == "multilabel"
    assert "ends in a sigmoid for each class, so several classes may apply to one image" in capsys.readouterr().err
    with torch.no_grad():
        given = model(torch.from_numpy(images).float() / 255)
    each = given.exp() if isinstance(end, nn.LogSigmoid) else given
    asked = {"images": "first:6", "layers": ("0.conv2",), "methods": ("gradcam",)}
    (group,) = analyse(subject, "attribution", **asked).result.groups
    assert [one["probability"] for one in group.facts] == pytest.approx(each.amax(dim=1).tolist(), abs=1e-5)
    assert Subject(model, images, classes=CLASSES, task="classification").task.name == "classification"


@pytest.mark.parametrize("ends", [(), (nn.Softmax(dim=1),), (nn.Linear(3, 1), nn.Sigmoid())])
def test_without_labels_any_other_network_names_one_class(ends):
    images, _ = coloured(6)
    assert Subject(scored(*ends), images).task.name == "classification"

"""What class scores are, told by where their graph ends and by their values."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.attribution.engine.scales import complement, scale_of, scale_of_one, to_probabilities
from glassnet.errors import InputError
from glassnet.models.score_ends import ends_in

Y = torch.tensor([[2.0, -1, 0.5], [0, 3, -2]], requires_grad=True)


class ByHand(torch.autograd.Function):
    """A sigmoid that torch does not know."""

    @staticmethod
    def forward(_, x):
        return x.sigmoid()

    @staticmethod
    def backward(_, gradient):
        return gradient


@pytest.mark.parametrize(
    ("make", "end"),
    [
        (lambda y: y.softmax(1), "probabilities"),
        (lambda y: F.softmax(y, 1).T.contiguous().t(), "probabilities"),
        (lambda y: torch.cat([y, y], 1).softmax(1)[:, :3].clone(), "probabilities"),
        (lambda y: (y.softmax(1) + y.sigmoid()) / 2, "probabilities"),
        (lambda y: torch.stack([y.softmax(1)] * 3).mean(0), "probabilities"),
        (lambda y: 1 - y.sigmoid(), "probabilities"),
        (lambda y: y.sigmoid().clamp(1e-6, 1 - 1e-6).half().float(), "probabilities"),
        (lambda y: F.hardsigmoid(y), "probabilities"),
        (lambda y: y.log_softmax(1), "logits"),
        (lambda y: y.softmax(1).clamp_min(1e-9).log(), "logits"),
        (lambda y: F.logsigmoid(y), "logarithms"),
        (lambda y: y.sigmoid().log(), "logarithms"),
        (lambda y: nn.Linear(3, 2)(y), "linear"),
        (lambda y: nn.Conv2d(3, 2, 1)(y[:, :, None, None]).flatten(1), "linear"),
        (lambda y: nn.Linear(3, 3)(y).clamp(0, 1), ""),
        (lambda y: y + y.sigmoid(), ""),
        (lambda y: y.sigmoid() * nn.Linear(3, 3)(y), ""),
        (lambda y: ByHand.apply(y), ""),
        (lambda y: y.relu(), ""),
        (lambda y: y.sigmoid().detach(), ""),
    ],
)
def test_the_end_of_a_graph(make, end):
    assert ends_in(make(Y)) == end


@pytest.mark.parametrize(
    ("scores", "end", "scale"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], "", "probabilities"),
        ([[0.25, 0.75], [1.0, 0.0]], "linear", "logits"),  # a linear layer's scores are none, whatever they add up to
        ([[0.25, 0.75], [1.0, 0.1]], "", "logits"),
        ([[0.25, 0.85], [1.0, 0.1]], "probabilities", "probabilities"),
        ([[0.25, 1.75], [1.0, 0.1]], "probabilities", "logits"),  # a multiple of probabilities
        ([[-1.0, 2.0]], "", "logits"),
        ([[-1.0, -2.0]], "logarithms", "logarithms"),
        ([[0.3]], "", "sigmoid"),
        ([[0.3]], "probabilities", "probabilities"),
        ([[3.0]], "linear", "sigmoid"),
        ([[-0.3]], "logarithms", "logarithms"),
    ],
)
def test_the_scale_of_scores(scores, end, scale):
    assert scale_of(torch.tensor(scores), end)[0] == scale


def test_half_precision_may_miss_one_by_a_hundredth():
    shares = torch.tensor([[0.3, 0.3, 0.404]])
    assert scale_of(shares, "")[0] == "logits"
    assert scale_of(shares.bfloat16(), "")[0] == "probabilities"


@pytest.mark.parametrize(
    ("end", "scale", "low"),
    [
        (lambda y: y, "sigmoid", lambda p: -torch.logit(p)),
        (lambda y: y.sigmoid(), "probabilities", lambda p: 1 - p),
        (F.logsigmoid, "logarithms", lambda p: (1 - p).log()),
    ],
)
def test_both_classes_of_a_single_output_add_up_to_one(end, scale, low):
    y = torch.tensor([[2.0], [-0.5]], requires_grad=True)
    column = end(y)
    assert scale_of_one(column) == scale
    torch.testing.assert_close(complement(column, scale), low(y.sigmoid()))
    both = to_probabilities(torch.cat([complement(column, scale), column], 1), scale)
    torch.testing.assert_close(both, torch.cat([1 - y.sigmoid(), y.sigmoid()], 1))


def test_what_is_no_probability_is_refused():
    with pytest.raises(
        InputError, match=r"scores range from 0.5 to 1.5 but were treated as probabilities; pass output="
    ):
        to_probabilities(torch.tensor([[0.5, 1.5]]), "probabilities")


def test_a_long_chain_of_sums_is_followed_in_one_go():
    y = Y.sigmoid()
    for _ in range(200):
        y = (y + y) / 2
    assert ends_in(y) == "probabilities"

"""Rollout, attention relevance and LeGrad: by hand, and by slow versions written from the papers."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.attribution import METHODS, explain
from glassnet.attribution.engine.attention_layout import Tokens
from glassnet.errors import InputError
from glassnet.models.layout.axes import fresh
from glassnet.models.layout.reading import Reading

ALL = ("attention_rollout", "attention_relevance", "legrad")
GRID = (2, 4)


class Block(nn.Module):
    """Attention of two heads and a perceptron, each with a residual connection; `way` is how attention is computed."""

    def __init__(self, width, way):
        super().__init__()
        self.way, self.norm, self.mixed = way, nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.joined, self.wide, self.narrow = nn.Linear(width, width), nn.Linear(width, 9), nn.Linear(9, width)
        self.module = nn.MultiheadAttention(width, 2, batch_first=True)
        self.kept = None

    def forward(self, x):
        if self.way == "module":
            self.tie()
            y = self.norm(x)
            x = x + self.module(y, y, y, need_weights=False)[0]
        else:
            parts = self.mixed(self.norm(x)).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(*parts) if self.way == "fused" else self.by_hand(*parts)
            x = x + self.joined(y.transpose(1, 2).flatten(2))
        return x + self.narrow(self.wide(x).relu())

    def by_hand(self, q, k, v):
        self.kept = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
        return self.kept @ v

    @torch.no_grad()
    def tie(self):
        self.module.in_proj_weight.copy_(self.mixed.weight)
        self.module.in_proj_bias.copy_(self.mixed.bias)
        self.module.out_proj.load_state_dict(self.joined.state_dict())


class Vit(nn.Module):
    """A class token, or the mean of all, over 2 x 4 patches and two registers."""

    def __init__(self, *, way="by hand", pooled=False, width=6):
        super().__init__()
        self.patch, self.pooled = nn.Conv2d(1, width, 3, stride=3), pooled
        self.first = nn.Parameter(torch.randn(1, 3, width))
        self.blocks = nn.ModuleList(Block(width, way) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        if not self.pooled:
            x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.end(x)

    def end(self, x):
        x = self.norm(x)
        return self.head(x.mean(1) if self.pooled else x[:, 0])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


IMAGES = torch.randn(2, 1, 6, 12, generator=torch.Generator().manual_seed(1))


def build(**options):
    torch.manual_seed(3)
    return Vit(**options).eval()


def matrices(network, images, classes):
    """Attentions, and gradients of the classes' logits there, by plain autograd on attention written out."""
    scores = network(images).gather(1, classes[:, None]).sum()
    kept = [block.kept for block in network.blocks]
    return kept, torch.autograd.grad(scores, kept)


def slow_rollout(attention):
    """The paper's picture: the flow from a token to another adds up over all paths through the layers."""
    n, tokens = len(attention[0]), attention[0].shape[-1]
    flow = np.zeros((n, tokens, tokens))
    steps = [(0.5 * a.mean(1) + 0.5 * torch.eye(tokens)).detach().numpy() for a in attention]
    for image, start, *way in itertools.product(range(n), *[range(tokens)] * (len(steps) + 1)):
        path = [start, *way]  # from the last layer's token down to the input's
        flow[image, path[0], path[-1]] += np.prod(
            [steps[-1 - level][image, path[level], path[level + 1]] for level in range(len(steps))]
        )
    return flow


def slow_relevance(attention, gradient):
    n, heads, tokens, _ = attention[0].shape
    attention = [a.detach() for a in attention]
    relevance = np.stack([np.eye(tokens)] * n)
    for a, g in zip(attention, gradient, strict=True):
        added = np.zeros_like(relevance)
        for i, t, u, head, s in itertools.product(range(n), range(tokens), range(tokens), range(heads), range(tokens)):
            raised = max(float(g[i, head, t, s] * a[i, head, t, s]), 0)
            added[i, t, u] += raised / heads * relevance[i, s, u]
        relevance = relevance + added
    return relevance


def slow_legrad(network, images, classes):
    """The score of each block's tokens, read by the model's own end."""
    total = np.zeros((len(images), network.blocks[0].kept.shape[-1]))
    for last in range(len(network.blocks)):
        x = network.patch(images).flatten(2).mT
        x = x if network.pooled else torch.cat([network.first.expand(len(x), -1, -1), x], dim=1)
        for block in network.blocks[: last + 1]:
            x = block(x)
        score = network.end(x).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, [network.blocks[last].kept])
        for i, head, query in itertools.product(*map(range, gradient.shape[:3])):
            total[i] += gradient[i, head, query].clamp(min=0).numpy() / gradient.shape[1] / gradient.shape[2]
    return total / len(network.blocks)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("way", ["by hand", "fused", "module"])
def test_slow_versions_from_the_papers(way, pooled):
    network, plain = build(way=way, pooled=pooled), build(pooled=pooled)
    explanation = explain(network, IMAGES, methods=ALL)
    classes = plain(IMAGES).argmax(1)
    attention, gradient = matrices(plain, IMAGES, classes)

    def read(rows):
        return rows.mean(1) if pooled else rows[:, 0]

    expected = {
        "attention_rollout": read(slow_rollout(attention)),
        "attention_relevance": read(slow_relevance(attention, gradient)),
        "legrad": slow_legrad(plain, IMAGES, classes),
    }
    for method, tokens in expected.items():
        grid = tokens[:, 0 if pooled else 3 :].reshape(2, *GRID)
        np.testing.assert_allclose(explanation.raw[method, "input"], grid, rtol=1e-4, atol=1e-7)


STRAIGHT = Tokens(
    Reading((fresh("batch", 2), (*fresh("height", 2), *fresh("width", 2)), fresh("channel", 1)), (2, 4, 1), 2), None
)
"""Four tokens that are the patches themselves, and no class token."""


def test_rollout_and_relevance_by_hand():
    # Two tokens of four matter: token 0 attends to 1, all others to themselves.
    attention = torch.eye(4)[None, None].clone()
    attention[0, 0, 0] = torch.tensor([0.0, 1, 0, 0])
    gradient = torch.full((1, 1, 4, 4), -1.0)
    gradient[0, 0, 0, 1] = 2
    rollout = METHODS["attention_rollout"]([attention, attention], STRAIGHT)
    # Row 0 twice: half stays, half goes to 1: (1/4, 3/4, 0, 0); the mean of all rows.
    assert torch.allclose(rollout, torch.tensor([[[0.25 / 4, 1.75 / 4], [0.25, 0.25]]]))
    relevance = METHODS["attention_relevance"]([attention], [gradient], STRAIGHT)
    assert torch.allclose(relevance, torch.tensor([[[0.25, 0.75], [0.25, 0.25]]]))
    legrad = METHODS["legrad"]([gradient, gradient], STRAIGHT)
    assert torch.allclose(legrad, torch.tensor([[[0.0, 0.5], [0, 0]]]))


def test_several_classes_and_chunks_are_the_same():
    network = build(way="fused")
    both = explain(network, IMAGES, methods=ALL, target=[[0, 2]])
    for place, label in enumerate((0, 2)):
        alone = explain(network, IMAGES, methods=ALL, target=label, batch_size=1)
        for method in ALL:
            np.testing.assert_allclose(both.raw[method, "input"][:, place], alone.raw[method, "input"], rtol=1e-4)


def test_the_model_is_left_as_it_was():
    network = build(way="module").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    explain(network, IMAGES, methods=ALL)
    assert network.training
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "module" not in name)


class Windowed(nn.Module):
    """Attention within the left and the right half of the patches."""

    def __init__(self):
        super().__init__()
        self.patch, self.mixed, self.head = nn.Conv2d(1, 6, 3, stride=3), nn.Linear(6, 18), nn.Linear(6, 2)

    def forward(self, x):
        x = self.patch(x)
        x = x.unflatten(3, (2, 2)).permute(0, 3, 2, 4, 1).flatten(0, 1).flatten(1, 2)
        x = F.scaled_dot_product_attention(*self.mixed(x).chunk(3, dim=-1))
        return self.head(x.unflatten(0, (-1, 2)).mean((1, 2)))


class Cut(Vit):
    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        with torch.no_grad():
            y = self.blocks[0](x)
        return self.end(self.blocks[1](x + y))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Windowed(), "goes from 4 to 4 tokens, within windows, but all attentions must go"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(80, 2)), "ran no attention between image patches"),
        (Cut(pooled=True), "1 of 2 attentions lead to the score, expected all"),
    ],
)
def test_what_does_not_join_into_a_map_is_refused(network, message):
    with pytest.raises(InputError, match=message):
        explain(network, IMAGES, methods="attention_relevance")


class Plain(nn.Module):
    """Two others before eight patches, three attentions without any norm; `read` is how the score is read."""

    def __init__(self, read, *, first=2, across=False):
        super().__init__()
        torch.manual_seed(5)
        self.patch, self.first = nn.Conv2d(1, 6, 3, stride=3), nn.Parameter(torch.randn(1, first, 6))
        self.mixed, self.head = nn.ModuleList(nn.Linear(6, 18) for _ in range(3)), nn.Linear(6, 4)
        self.queries = nn.Parameter(torch.randn(1, 8, 6))
        self.read, self.across, self.kept = read, across, []

    def attend(self, number, x, queries=None):
        q, k, v = self.mixed[number](x).chunk(3, dim=-1)
        q = q if queries is None else queries.expand(len(x), -1, -1)
        if self.across:  # keys before queries
            self.kept.append((k @ q.mT).softmax(dim=-2))
            return self.kept[-1].mT @ v
        self.kept.append((q @ k.mT).softmax(dim=-1))
        return self.kept[-1] @ v

    def forward(self, x):
        self.kept = []
        x = torch.cat([self.first.expand(len(x), -1, -1), self.patch(x).flatten(2).mT], dim=1)
        return self.head(self.read(self, x))


def deep(network, x):
    for number in range(3):
        x = x + network.attend(number, x)
    return x


READ_FROM = {
    "the mean of the patches": (lambda n, x: deep(n, x)[:, 2:].mean(1), range(2, 10)),
    "the second token": (lambda n, x: deep(n, x)[:, 1], [1]),
    "two tokens, as distilled": (lambda n, x: deep(n, x)[:, :2].mean(1), [0, 1]),
    "a class token and the patches": (lambda n, x: deep(n, x)[:, [0, *range(2, 10)]].mean(1), [0, *range(2, 10)]),
    "all": (lambda n, x: deep(n, x).mean(1), range(10)),
}


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("name", READ_FROM)
def test_rows_are_those_of_the_tokens_that_the_score_is_read_from(name, across):
    read, rows = READ_FROM[name]
    network = Plain(read, across=across)
    explanation = explain(network, IMAGES, methods=ALL[:2], target=1)
    gradient = torch.autograd.grad(network(IMAGES)[:, 1].sum(), network.kept)
    matrices = [(one.mT if across else one).unsqueeze(1) for one in network.kept]
    gradient = [(one.mT if across else one).unsqueeze(1) for one in gradient]
    for method, slow in ((ALL[0], slow_rollout(matrices)), (ALL[1], slow_relevance(matrices, gradient))):
        expected = slow[:, list(rows), 2:].mean(1).reshape(2, *GRID)
        np.testing.assert_allclose(explanation.raw[method, "input"], expected, rtol=1e-4, atol=1e-7)


SIDE_BY_SIDE = {
    "parallel": (lambda n, x: (x + n.attend(0, x) + n.attend(1, x)).mean(1), "runs next to it"),
    "two networks": (lambda n, x: (x + n.attend(0, x)).mean(1) + (x + n.attend(1, x)).mean(1), "runs next to it"),
    "learned queries": (
        lambda n, x: n.attend(1, x + n.attend(0, x), n.queries).mean(1),
        "does not go from the patches to themselves",
    ),
    "patches shuffled": (lambda n, x: n.attend(0, x[:, torch.arange(8).flip(0)]).mean(1), "no attention"),
}


@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_attentions_that_are_no_chain_over_the_patches_are_refused(name):
    read, message = SIDE_BY_SIDE[name]
    with pytest.raises(InputError, match=message):
        explain(Plain(read, first=0), IMAGES, methods="attention_rollout", target=1)

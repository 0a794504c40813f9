"""Hooks that take a layer's own output, and leave no trace."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glassnet.models.capture import followed_in_place, record, tapped
from glassnet.models.undisturbed import undisturbed

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Overwrites(nn.Module):
    """Writes over the convolution's output in the way given, and keeps what the output was."""

    def __init__(self, write):
        super().__init__()
        self.conv, self.after, self.write = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1), write

    def forward(self, x):
        y = self.conv(x)
        self.own = y.detach().clone()
        return self.after(self.write(y)).mean((1, 2, 3))


def add_in_place(y):
    y += 3
    return y


def write_through_a_view(y):
    y[:, :2].relu_()
    return y


WRITES = {
    "relu_": lambda y: y.relu_(),
    "nn.ReLU(inplace)": nn.ReLU(inplace=True),
    "F.relu(inplace)": lambda y: F.relu(y, inplace=True),
    "+=": add_in_place,
    "a view": write_through_a_view,
    "flattened view": lambda y: y.view(2, 4, -1).clamp_(-0.1, 0.1).view_as(y),
}


@pytest.mark.parametrize("input_needs_gradient", [False, True])
@pytest.mark.parametrize("copied", [(), ("conv",)])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_layers_own_output_and_gradient_are_recorded_whatever_writes_over_it(write, copied, input_needs_gradient):
    torch.manual_seed(0)
    model, forwards = Overwrites(write), []
    images = IMAGES.clone().requires_grad_(input_needs_gradient)
    with undisturbed(model):
        output, recorder = record(
            model, ["conv", "after"], lambda: forwards.append(1) or model(images.clone()), copied=copied
        )
    (gradient,) = torch.autograd.grad(output.sum(), [recorder.edges["conv", 0]])
    expected = model.own.clone().requires_grad_()
    (expected_gradient,) = torch.autograd.grad(model.after(write(expected.clone())).mean((1, 2, 3)).sum(), expected)
    torch.testing.assert_close(recorder.values["conv", 0], model.own, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected_gradient)
    # The root of the graph goes on as a copy, so that nothing can write over it.
    assert len(forwards) == (2 if input_needs_gradient and not copied else 1)
    assert recorder.touched == ({"conv"} if input_needs_gradient else set())


def test_an_output_that_is_the_input_is_protected_from_what_happens_to_the_input():
    class Aliased(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x):
            y = self.same(x)
            x.mul_(0)
            return (y + x).flatten(1).sum(1)

    model = Aliased()
    output, recorder = record(model, ["same"], lambda: model(IMAGES.clone()), copied=())
    torch.testing.assert_close(recorder.values["same", 0], IMAGES)
    assert torch.autograd.grad(output.sum(), list(recorder.edges.values()))[0].unique().tolist() == [1]


def test_a_container_and_its_last_child_give_the_same():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)), nn.Flatten(), nn.Linear(144, 1))
    output, recorder = record(model, ["0", "0.0", "0.1"], lambda: model(IMAGES), copied=())
    block, conv, relu = torch.autograd.grad(output.sum(), [recorder.edges[name, 0] for name in ("0", "0.0", "0.1")])
    torch.testing.assert_close(block, relu)
    torch.testing.assert_close(conv, relu * (recorder.values["0.0", 0] > 0))
    assert recorder.values["0.0", 0].min() < 0


def test_what_has_no_gradient_is_said():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.count, self.cut, self.fast = Gives((1, 2)), Gives(torch.ones(2).long()), Gives(), Gives()

        def forward(self, x):
            self.pair(x), self.count(x)
            with torch.no_grad():
                self.cut(x)
            with torch.inference_mode():
                self.fast(x * 1)
            return x

    model = Odd()
    _, recorder = record(model, ["pair", "count", "cut", "fast"], lambda: model(IMAGES), copied=())
    assert recorder.unusable == {
        ("pair", 0): "gives a tuple instead of a tensor, which has no gradient",
        ("count", 0): "gives a tensor of dtype torch.int64, which has no gradient",
        ("cut", 0): "runs under torch.no_grad(), so no gradient path leads from it to the score "
        "(so do layers inside torch.utils.checkpoint with use_reentrant=True)",
        ("fast", 0): "gives a tensor of torch.inference_mode(), which has no gradient",
    }
    assert not recorder.edges


class Gives(nn.Module):
    def __init__(self, what=None):
        super().__init__()
        self.what = what

    def forward(self, x):
        return x if self.what is None else self.what


def test_in_place_followers_are_guessed_from_the_order_of_definition():
    model = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True), nn.Sequential(nn.Conv2d(1, 1, 1)), nn.BatchNorm2d(1), nn.ReLU6(True)
    )
    assert followed_in_place(model) == {"0", "3"}


def test_taps_count_calls_and_go():
    relu = nn.ReLU()
    model, seen = nn.Sequential(relu, relu), []
    with tapped(model, ["0"], lambda call, output: seen.append(call)) as counts:
        model(IMAGES)
        counts.clear()
        model(IMAGES)
    model(IMAGES)
    assert seen == [("0", 0), ("0", 1)] * 2
    with pytest.raises(AttributeError), tapped(model, ["0", "missing"], lambda call, output: None):
        pass
    assert not relu._forward_hooks


def test_undisturbed_evaluates_and_restores_also_when_it_raises():
    model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
    model[1].bias.requires_grad_(False)
    state = torch.get_rng_state()

    def work():
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
        torch.rand(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), undisturbed(model):
        work()
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert torch.equal(torch.get_rng_state(), state)

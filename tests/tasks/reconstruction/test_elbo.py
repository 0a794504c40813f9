import math

import pytest
import torch

from glassnet.tasks.reconstruction.elbo import (
    LIKELIHOODS,
    bernoulli,
    bits_per_dimension,
    discretized_gaussian,
    gaussian,
    kl_per_dimension,
    latent_use,
    warm_up,
)
from references import evidence


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 1, 3, 3, generator=generator)
    pixels = torch.randint(0, 256, (2, 1, 3, 3), generator=generator) / 255
    return logits, pixels


def test_bernoulli_by_hand():
    # mean 1/2 and 3/4: pixels 1 and 0 cost log 2 and log 4
    logits = torch.tensor([0.0, math.log(3)]).view(1, 1, 1, 2)
    assert bernoulli(logits, torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)).item() == pytest.approx(math.log(8))
    grey = bernoulli(logits, torch.tensor([0.5, 0.25]).view(1, 1, 1, 2)).item()
    assert grey == pytest.approx(math.log(2) + 0.25 * math.log(4 / 3) + 0.75 * math.log(4))


def test_gaussian_by_hand():
    # one pixel a deviation of 1/4 away from the mean 1/2, s = 1/4: (1/2) + log(1/4) + log(2 pi)/2
    found = gaussian(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.75), torch.full((1, 1, 1), math.log(0.25)))
    assert found.item() == pytest.approx(0.5 - math.log(4) + math.log(2 * math.pi) / 2)


def test_likelihoods_equal_the_slow_reference(batch):
    logits, pixels = batch
    deviation = torch.full((1, 1, 1), math.log(0.2))
    for image in range(2):
        values, x = logits[image].flatten().tolist(), pixels[image].flatten().tolist()
        assert bernoulli(logits, pixels)[image].item() == pytest.approx(evidence.bernoulli(values, x), rel=1e-5)
        assert gaussian(logits, pixels, deviation)[image].item() == pytest.approx(
            evidence.gaussian(values, x, 0.2), rel=1e-5
        )
        slow = -sum(
            math.log(evidence.discretized_gaussian(v, round(255 * p), 0.2)) for v, p in zip(values, x, strict=True)
        )
        assert discretized_gaussian(logits, pixels, deviation)[image].item() == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("deviation", [0.002, 0.05, 1.0])
def test_a_pixels_256_probabilities_add_up_to_one(deviation):
    levels = (torch.arange(256) / 255).view(256, 1, 1, 1)
    logits = torch.full_like(levels, 0.8)
    chances = (-discretized_gaussian(logits, levels, torch.full((1, 1, 1), math.log(deviation)))).exp()
    assert chances.sum().item() == pytest.approx(1, abs=2e-4)


def test_a_level_far_from_the_mean_has_a_finite_cost_and_gradient():
    logits = torch.full((1, 1, 1, 2), 12.0, requires_grad=True)
    cost = discretized_gaussian(logits, torch.tensor([0.2, 1.0]).view(1, 1, 1, 2), torch.full((1, 1, 1), -5.0))
    (gradient,) = torch.autograd.grad(cost.sum(), logits)
    assert cost.isfinite().all()
    assert gradient.isfinite().all()
    # by Mills' ratio log Phi(-a) is near -a²/2 - log(a sqrt(2 pi))
    a = (0.8 - 0.5 / 255) * math.exp(5)
    assert cost.item() == pytest.approx(a * a / 2 + math.log(a * math.sqrt(2 * math.pi)), rel=1e-3)


def test_each_channel_has_its_own_deviation():
    logits, pixels = torch.zeros(1, 2, 1, 1), torch.full((1, 2, 1, 1), 0.6)
    both = torch.tensor([-1.0, -2.0]).view(2, 1, 1)
    for name in ("gaussian", "discretized_gaussian"):
        apart = [LIKELIHOODS[name](logits[:, :1], pixels[:, :1], both[i : i + 1]).item() for i in range(2)]
        assert LIKELIHOODS[name](logits, pixels, both).item() == pytest.approx(sum(apart), rel=1e-5)


def test_kl_by_hand_and_by_integration():
    # mean 1, variance 1: 1/2; mean 0, variance e: (e - 2)/2
    kl = kl_per_dimension(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]]))
    assert kl[0].tolist() == pytest.approx([0.5, (math.e - 2) / 2, 0.0])
    for mean, deviation in ((0.7, 0.3), (-2.0, 1.8)):
        found = kl_per_dimension(torch.tensor([[mean]]), torch.tensor([[2 * math.log(deviation)]])).item()
        assert found == pytest.approx(evidence.kl_by_integration(mean, deviation), rel=1e-4)


def test_kl_equals_torchs_distributions():
    generator = torch.Generator().manual_seed(1)
    mean, log_variance = torch.randn(2, 3, 5, generator=generator)
    q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_per_dimension(mean, log_variance), expected, rtol=1e-5, atol=1e-6)


def test_warm_up():
    assert [warm_up(p, 0.5) for p in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]
    assert warm_up(0, 0) == 1


def test_bits_per_dimension():
    assert bits_per_dimension(3072 * 8 * math.log(2), 3072) == pytest.approx(8)


def test_a_collapsed_code_and_an_exploded_variance_are_told():
    kl, calm = torch.tensor([3.0, 2.0, 1.0, 0.5]), -3.0
    healthy = latent_use(kl, torch.full((4,), 0.8), calm)
    assert healthy.active.tolist() == [True] * 4
    assert healthy.warnings == ()
    collapsed = latent_use(kl / 1000, torch.full((4,), 0.009), calm)
    assert "collapsed: no latent dimension depends on the image" in collapsed.warnings[0]
    partly = latent_use(kl, torch.tensor([0.8, 0.009, 0, 0]), calm)
    assert partly.active.tolist() == [True, False, False, False]
    assert partly.warnings[0].startswith("Only 1 of 4 latent dimensions")
    exploded = latent_use(kl, torch.full((4,), 0.8), 6.0)
    assert exploded.warnings == (
        "The variance exploded: a code has a standard deviation of 20.1, while the prior's is 1.",
    )

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import MultivariateNormal

from glassnet.models.autoencoder import Posterior, draw
from glassnet.run.codec import encode
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS
from glassnet.tasks.reconstruction.elbo import LIKELIHOODS
from glassnet.tasks.reconstruction.learn import quality, should_checkpoint, use_of

TASK = TASKS["reconstruction"]


def output_of(logits, mean=None, log_variance=None, deviation=None, likelihood="bernoulli", decode=None):
    return SimpleNamespace(
        logits=logits, images=logits.sigmoid(), mean=mean, log_variance=log_variance, likelihood=likelihood,
        log_deviation=None if deviation is None else torch.full((1, 1, 1), math.log(deviation)), decode=decode,
    )  # fmt: skip


def settings(**changes):
    return TrainSettings(model="vae_conv", task="reconstruction", **changes)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 256, (5, 1, 8, 8), generator=generator) / 255
    logits, mean = torch.randn(5, 1, 8, 8, generator=generator), torch.randn(5, 3, generator=generator)
    return logits, targets, mean, torch.full((5, 3), math.log(0.25))


def test_the_loss_is_the_two_terms_by_hand():
    # one pixel at mean 1/2 costs log 2; a code of mean 1 and variance 1 costs 1/2, here weighted by 0.4 x 3/5
    output = output_of(torch.zeros(1, 1, 1, 1), torch.ones(1, 1), torch.zeros(1, 1))
    objective = TASK.objective(settings(beta=0.4, kl_warmup=0.5), torch.empty(0), 0)
    loss, parts = objective(output, torch.ones(1, 1, 1, 1), 0.3)
    assert loss.item() == pytest.approx(math.log(2) + 0.4 * 0.6 * 0.5)
    assert {name: value.item() for name, value in parts.items()} == pytest.approx(
        {"reconstruction": math.log(2), "kl": 0.5}
    )
    late, _ = objective(output, torch.ones(1, 1, 1, 1), 0.9)
    assert late.item() == pytest.approx(math.log(2) + 0.4 * 0.5)


def test_a_code_that_is_a_point_has_no_kl():
    output = output_of(torch.zeros(1, 1, 1, 1), torch.ones(1, 1))
    loss, parts = TASK.objective(settings(), torch.empty(0), 0)(output, torch.ones(1, 1, 1, 1), 0.0)
    assert loss.item() == pytest.approx(math.log(2))
    assert parts.keys() == {"reconstruction"}


def test_the_bound_of_a_linear_gaussian_is_the_evidence_less_the_divergence_of_its_code():
    # x = b + a z + s eps in each of 64 pixels: p(z | x) is normal, and log p(x) that of N(b, s² I + a² 1 1ᵀ)
    a, b, s, many = 0.02, 0.5, 0.05, 20_000
    x = b + a * 0.7 + s * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    variance = 1 / (1 + 64 * a**2 / s**2)
    mean = variance * a / s**2 * (x - b).sum().item()
    covariance = (s**2 * torch.eye(64) + a**2).double()
    whole = MultivariateNormal(torch.full((64,), b).double(), covariance).log_prob(x.flatten().double()).item()

    def bound(mean, variance):
        code = Posterior(torch.full((many, 1), mean), torch.full((many, 1), math.log(variance)))
        drawn = draw(code, torch.Generator().manual_seed(2))
        logits = torch.logit(b + a * drawn).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        output = output_of(logits, *code, deviation=s, likelihood="gaussian")
        return TASK.objective(settings(), torch.empty(0), 0)(output, x.expand(many, -1, -1, -1), 1.0)[0].item()

    assert bound(mean, variance) == pytest.approx(-whole, abs=0.05)
    divergence = (2 + 0.5**2 / variance - 1 - math.log(2)) / 2  # of twice the variance, half a unit beside the mean
    assert bound(mean + 0.5, 2 * variance) == pytest.approx(-whole + divergence, abs=0.15)


def test_the_bound_is_taken_at_a_drawn_code_and_quality_at_the_mean(batch):
    logits, targets, mean, log_variance = batch
    recorder = TASK.test_stats(settings(beta=0.5), 0)
    asked = []

    def decode(latent):
        asked.append(latent)
        return logits + 1

    eps = torch.randn(5, 3)
    records = recorder(output_of(logits, mean, log_variance, decode=decode), targets, {(3,): eps}.__getitem__)
    torch.testing.assert_close(asked[0], mean + 0.5 * eps)
    torch.testing.assert_close(records["reconstruction"], LIKELIHOODS["bernoulli"](logits + 1, targets))
    torch.testing.assert_close(records["mse"], (logits.sigmoid() - targets).square().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(records["loss"], records["reconstruction"] + 0.5 * records["kl"])
    measures = TASK.measure(records)
    assert measures["loss"] == pytest.approx(records["loss"].mean().item())
    assert measures["kl"] == pytest.approx(0.5 * 3 * (0.25 - 1 - math.log(0.25)) + 0.5 * mean.square().sum().item() / 5)


def test_records_of_batches_join_to_those_of_the_whole(batch):
    logits, targets, mean, log_variance = batch
    recorder = TASK.test_stats(settings(), 0)
    parts = [
        recorder(
            output_of(logits[p], mean[p], log_variance[p], decode=lambda z, p=p: logits[p]), targets[p], torch.zeros
        )
        for p in (slice(0, 2), slice(2, 5))
    ]
    records = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    use = use_of(records)
    torch.testing.assert_close(use.kl.float(), 0.5 * (mean.square().mean(dim=0) + 0.25 - 1 - math.log(0.25)))
    assert use.active.tolist() == (mean.var(dim=0, correction=0) > 0.01).tolist()
    assert use.largest_deviation == pytest.approx(0.5)
    result = TASK.evaluate(records, ())
    assert result.images == 5
    assert result.negative_elbo == pytest.approx((records["reconstruction"] + records["kl"]).mean().item())
    assert result.psnr_interval[0] < result.psnr < result.psnr_interval[1]
    assert result.bits_per_dimension is None  # Bernoulli is no likelihood of grey levels
    assert result.latent.dimensions == 3


def test_bits_per_dimension_are_those_of_the_discretised_likelihood(batch):
    logits, targets, mean, log_variance = batch
    output = output_of(logits, mean, log_variance, deviation=0.3, likelihood="gaussian", decode=lambda z: logits)
    result = TASK.evaluate(TASK.test_stats(settings(), 0)(output, targets, torch.zeros), ())
    nats = LIKELIHOODS["discretized_gaussian"](logits, targets, output.log_deviation).mean().item() + result.kl
    assert result.bits_per_dimension == pytest.approx(nats / (64 * math.log(2)), rel=1e-5)
    told = TASK.summary_line({f"test_{key}": getattr(result, key) for key in TASK.saved_metrics})
    assert f"{result.bits_per_dimension:.3f} bits per dimension (discretised)" in told
    assert f"negative ELBO {result.negative_elbo:.2f} nats" in told


@pytest.mark.parametrize("log_variance", [100.0, 2000.0])
def test_a_variance_that_exploded_is_said_though_nothing_is_finite(batch, log_variance):
    logits, targets, mean, _ = batch
    output = output_of(logits, mean, torch.full_like(mean, log_variance), decode=lambda z: logits)
    result = TASK.evaluate(TASK.test_stats(settings(), 0)(output, targets, torch.zeros), ())
    assert json.dumps(encode(result)[0], allow_nan=False)
    assert result.negative_elbo is result.negative_elbo_interval is result.latent.kl_per_dimension[0] is None
    (line,) = result.warnings
    assert line.startswith("The variance exploded: a code has a standard deviation of")
    assert "PSNR" in TASK.summary_line({f"test_{key}": getattr(result, key) for key in TASK.saved_metrics})


@pytest.mark.parametrize(
    ("likelihood", "binarize", "title"),
    [
        ("bernoulli", False, "Bernoulli, grey values as means"),
        ("bernoulli", True, "Bernoulli, binarised pixels"),
        ("gaussian", False, "Gaussian density"),
        ("discretized_gaussian", False, "discretised Gaussian"),
    ],
)
def test_nats_are_told_with_their_likelihood(batch, likelihood, binarize, title):
    logits, targets, mean, log_variance = batch
    deviation = None if likelihood == "bernoulli" else 0.3
    output = output_of(logits, mean, log_variance, deviation, likelihood, decode=lambda z: logits)
    result = TASK.evaluate(TASK.test_stats(settings(binarize=binarize), 0)(output, targets, torch.zeros), ())
    assert result.likelihood == title
    assert result.likelihood_deviation == (None if deviation is None else (pytest.approx(0.3, rel=1e-5),))
    assert f"of them KL; {title})" in TASK.summary_line(
        {f"test_{key}": getattr(result, key) for key in TASK.saved_metrics}
    )


@pytest.mark.parametrize(("likelihood", "said"), [("gaussian", 1), ("discretized_gaussian", 0)])
def test_a_density_without_bound_is_said(batch, likelihood, said):
    logits, targets, mean, log_variance = batch
    output = output_of(logits, mean, log_variance, 0.001, likelihood, decode=lambda z: logits)
    result = TASK.evaluate(TASK.test_stats(settings(), 0)(output, targets, torch.zeros), ())
    assert (
        sum(
            "The likelihood's standard deviation fell to 0.001, less than half a grey" in one for one in result.warnings
        )
        == said
    )


def test_an_autoencoder_has_no_bound(batch):
    logits, targets, mean, _ = batch
    result = TASK.evaluate(TASK.test_stats(settings(), 0)(output_of(logits, mean), targets, torch.zeros), ())
    assert result.negative_elbo is result.latent is None
    assert "ELBO" not in TASK.summary_line({f"test_{key}": getattr(result, key) for key in TASK.saved_metrics})


def test_the_lowest_loss_is_kept():
    assert should_checkpoint({"loss": 1.0}, {"loss": 1.0, "loss_error": 5.0})
    assert not should_checkpoint({"loss": 1.1}, {"loss": 1.0, "loss_error": 5.0})


def test_quality_has_intervals():
    values = torch.arange(10.0).numpy()
    found = quality({"psnr": values})
    low, high = found["psnr_interval"]
    assert found["psnr"] == 4.5
    assert low < 4.5 < high

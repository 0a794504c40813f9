"""The likelihood by importance sampling, against closed forms and quadrature."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.analysis import analyse
from glassnet.denoising import DENOISERS
from glassnet.errors import InputError
from glassnet.models.autoencoder import Reconstruction
from glassnet.run.codec import encode
from glassnet.subject import Subject
from glassnet.tasks import TASKS
from glassnet.tasks.reconstruction import importance
from glassnet.tasks.reconstruction.elbo import LIKELIHOODS, kl_per_dimension
from glassnet.tasks.reconstruction.importance import log_weights, summed_up

DEVIATION = 0.05
ROOT_HALF = math.sqrt(0.5)
WEIGHTS = 0.04 * torch.tensor([[ROOT_HALF, ROOT_HALF], [ROOT_HALF, -ROOT_HALF], [0.0, 0.0]], dtype=torch.float64)
"""Of three pixels by two latent dimensions; its columns are orthogonal, so that the posterior is independent."""


def linear(codes):
    """Logits whose sigmoid is 1/2 + W z: a decoder of which everything is known."""
    return torch.logit(0.5 + codes.double() @ WEIGHTS.T).float().view(-1, 1, 1, 3)


def exact_nll(image):
    """-log N(x; 1/2, W Wᵀ + s² I)."""
    covariance = WEIGHTS @ WEIGHTS.T + DEVIATION**2 * torch.eye(3, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.full((3,), 0.5, dtype=torch.float64), covariance)
    return -float(normal.log_prob(image.double()))


def posterior(image):
    """Mean and variance of the code given the image: N(V Wᵀ (x - 1/2) / s², V), V = (I + Wᵀ W / s²)⁻¹."""
    variance = 1 / (1 + WEIGHTS.square().sum(dim=0) / DEVIATION**2)
    return variance * (WEIGHTS.T @ (image.double() - 0.5)) / DEVIATION**2, variance


def said(mean, variance, decode, likelihood, deviation=DEVIATION):
    log_deviation = None if likelihood == "bernoulli" else torch.full((1, 1, 1), math.log(deviation))
    mean, variance = (torch.as_tensor(one, dtype=torch.float32)[None] for one in (mean, variance))
    return Reconstruction(decode(mean), mean, variance.log(), log_deviation, likelihood, decode)


def drawn(seed):
    return torch.Generator().manual_seed(seed)


IMAGES = [torch.tensor(one) for one in ([0.5, 0.5, 0.5], [0.56, 0.47, 0.52], [0.4, 0.45, 0.61])]


@pytest.mark.parametrize("image", IMAGES)
def test_the_true_posterior_gives_the_exact_likelihood_with_any_number_of_codes(image):
    output = said(*posterior(image), linear, "gaussian")
    for samples in (1, 7):
        nll, bound, effective = summed_up(log_weights(output, image.view(1, 1, 1, 3), samples, drawn(0)))
        assert nll == pytest.approx(exact_nll(image), abs=1e-4)
        assert bound == pytest.approx(exact_nll(image), abs=1e-4)
        assert effective == pytest.approx(samples, rel=1e-4)


@pytest.mark.parametrize("image", IMAGES)
def test_another_posterior_comes_near_the_exact_likelihood_with_many_codes_and_its_bound_does_not(image):
    mean, variance = posterior(image)
    output = said(mean + 0.3, 1.7 * variance, linear, "gaussian")
    nll, bound, effective = summed_up(log_weights(output, image.view(1, 1, 1, 3), 40_000, drawn(1)))
    assert nll == pytest.approx(exact_nll(image), abs=0.02)
    # KL(q || p(z | x)) by hand, two dimensions: what the bound lacks.
    gap = float(((1.7 - 1 - math.log(1.7)) / 2 + 0.3**2 / (2 * variance)).sum())
    assert bound == pytest.approx(exact_nll(image) + gap, abs=0.03)
    assert 1 < effective < 40_000


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_agrees_with_quadrature(likelihood):
    """One latent dimension, four pixels: the trapezoidal rule gives the integral over the code."""
    slope, shift = torch.tensor([1.0, -2.0, 0.5, 0.0]), torch.tensor([0.2, 0.1, -0.5, 1.0])
    image = torch.tensor([1.0, 0.0, 1.0, 1.0]) if likelihood == "bernoulli" else torch.tensor([140, 51, 102, 178]) / 255

    def decode(codes):
        return (codes * slope + shift).view(-1, 1, 2, 2)

    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    log_deviation = None if likelihood == "bernoulli" else torch.full((1, 1, 1), math.log(0.15))
    grid = image.view(1, 1, 2, 2).expand(len(z), 1, 2, 2)
    log_joint = -LIKELIHOODS[likelihood](decode(z[:, None].float()), grid, log_deviation).double()
    log_joint = log_joint - z.square() / 2 - math.log(2 * math.pi) / 2
    exact = -math.log(float(torch.trapezoid(log_joint.exp(), z)))
    output = said([0.3], [0.8], decode, likelihood, 0.15)
    nll, bound, _ = summed_up(log_weights(output, image.view(1, 1, 2, 2), 100_000, drawn(2)))
    assert nll == pytest.approx(exact, abs=0.02)
    assert bound > exact + 0.02


def test_the_weights_are_those_of_the_definition():
    """log p(x | z) + log p(z) - log q(z | x), by torch's own normals."""
    image, mean, variance = IMAGES[1], torch.tensor([0.3, -0.2]), torch.tensor([0.4, 1.5])
    weights = log_weights(said(mean, variance, linear, "gaussian"), image.view(1, 1, 1, 3), 50, drawn(3))
    noise = torch.randn((50, 2), generator=drawn(3)).double()
    codes = mean.double() + variance.double().sqrt() * noise
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(codes).sum(dim=1)
    proposal = torch.distributions.Normal(mean.double(), variance.double().sqrt()).log_prob(codes).sum(dim=1)
    pixels = torch.distributions.Normal(0.5 + codes @ WEIGHTS.T, DEVIATION).log_prob(image.double()).sum(dim=1)
    torch.testing.assert_close(weights, pixels + prior - proposal, atol=1e-4, rtol=0)
    assert weights.dtype == torch.float64


def test_more_codes_come_nearer_in_the_mean_and_never_below():
    """Theorem 1 of Burda et al. 2016; the mean over 400 draws of each number of codes."""
    image = IMAGES[2]
    mean, variance = posterior(image)
    output = said(mean + 0.5, 2 * variance, linear, "gaussian")
    weights = log_weights(output, image.view(1, 1, 1, 3), 400 * 64, drawn(4)).view(400, 64)
    means = [np.mean([summed_up(row[:k])[0] for row in weights]) for k in (1, 4, 16, 64)]
    assert means == sorted(means, reverse=True)
    assert means[0] > means[-1] + 0.3
    assert means[-1] > exact_nll(image) - 0.02


def test_far_weights_are_summed_without_overflow():
    nll, bound, effective = summed_up(torch.tensor([-1e5, -1e5 - 800.0], dtype=torch.float64))
    assert nll == pytest.approx(1e5 + math.log(2))
    assert (bound, effective) == (pytest.approx(1e5 + 400), pytest.approx(1))


def test_memory_is_bounded_and_codes_are_drawn_a_chunk_at_a_time(monkeypatch):
    monkeypatch.setattr(importance, "VALUES_AT_ONCE", 30)  # ten codes of three pixels
    sizes = []

    def decode(codes):
        sizes.append(len(codes))
        return linear(codes)

    output = said(*posterior(IMAGES[1]), decode, "gaussian")
    sizes.clear()
    weights = log_weights(output, IMAGES[1].view(1, 1, 1, 3), 25, drawn(0))
    assert sizes == [10, 10, 5]
    assert len(weights) == 25


@pytest.fixture
def run(vae, tmp_path, monkeypatch):
    monkeypatch.delitem(DENOISERS, "bm3d")
    shutil.copytree(vae.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


def test_an_evaluation_measures_it_beside_the_bound_and_repeats_it(run):
    result = run.evaluate(nll_samples=60)
    found = result.importance
    assert (found.samples, found.images, len(found.each)) == (60, result.images, result.images)
    assert found.nll == pytest.approx(found.each.mean())
    assert found.nll_error == pytest.approx(found.each.std(ddof=1) / len(found.each) ** 0.5)
    assert found.nll < found.negative_elbo
    # The bound of one code and that of 60 codes are of the same images, as they were given to the model.
    assert found.negative_elbo == pytest.approx(result.negative_elbo, abs=4 * result.negative_elbo / 100)
    assert 1 <= found.effective <= 60
    whole = dataclasses.replace(result, importance=None)
    plain = run.evaluate()
    assert encode(plain)[0] == encode(whole)[0]
    settings = {"samples": 60, "batch_size": 7, "precision": "fp32"}
    again = importance.measure_likelihood(Subject.of_run(run), run.model("cpu"), run.dataset().test, "test", **settings)
    np.testing.assert_allclose(again.each, found.each, rtol=1e-6)
    settings["batch_size"] = 512
    third = importance.measure_likelihood(Subject.of_run(run), run.model("cpu"), run.dataset().test, "test", **settings)
    np.testing.assert_array_equal(third.each, found.each)


def test_the_mean_of_the_bound_s_draws_is_the_bound(run):
    """-E[log w] = reconstruction + KL: by 2,000 codes of an image, against the KL's closed form."""
    model = run.model("cpu").eval()
    images = run.dataset().test.images[:1].float() / 255
    with torch.no_grad():
        output = model(images)
        weights = log_weights(output, images, 2000, drawn(5))
        normal = torch.randn((2000, *model.latent_shape), generator=drawn(6))
        logits = model.decode(output.mean + (output.log_variance / 2).exp() * normal)
    term = LIKELIHOODS[output.likelihood](logits, images.expand(2000, -1, -1, -1)).double().mean()
    kl = kl_per_dimension(output.mean, output.log_variance).sum()
    assert float(-weights.mean()) == pytest.approx(float(term + kl), rel=0.01)


def test_it_is_told_kept_and_asked_for_on_some_images(run):
    made = analyse(run, "evaluation", nll_samples=20, nll_images=3)
    assert (made.result.importance.images, made.result.images > 3) == (3, True)
    assert made.entry.name == "test-nll20"
    views = TASKS["reconstruction"].views()
    assert f"Negative log-likelihood {made.result.importance.nll:.2f} ± " in views.text(made.result)
    (row,) = [row for row in views.tables(made.result)[1].rows if row[0] == "Negative log-likelihood"]
    assert row[1] == f"{made.result.importance.nll:.2f} ± {made.result.importance.nll_error:.2f}"
    assert "with 20 codes for each of 3 images" in row[2]
    assert f"2016). The bound on the same images is {made.result.importance.negative_elbo:.2f}." in row[2]
    few = dataclasses.replace(made.result, importance=dataclasses.replace(made.result.importance, effective=9.0))
    assert "In the median image, 9.0 of the codes count: more codes would lower" in views.text(few)
    many = dataclasses.replace(made.result, importance=dataclasses.replace(made.result.importance, effective=10.0))
    assert "In the median image, 10.0 of the codes count." in views.text(many)
    kept = analyse(run, "evaluation", nll_samples=20, nll_images=3)
    np.testing.assert_array_equal(kept.result.importance.each, made.result.importance.each)
    settings = json.loads(made.entry.file.read_text())["settings"]
    assert (settings["nll_samples"], settings["nll_images"]) == (20, 3)


def test_an_evaluation_without_it_is_kept_as_before(run):
    """What earlier versions kept has no such settings, and is still found."""
    made = analyse(run, "evaluation")
    assert json.loads(made.entry.file.read_text())["settings"].keys() == {"split", "data", "flip", "precision"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"nll_samples": 0}, r"--nll-samples is 0, expected at least 1"),
        ({"nll_samples": 5, "nll_images": 0}, r"--nll-images is 0, expected at least 1"),
        ({"nll_images": 5}, r"--nll-images needs --nll-samples"),
    ],
)
def test_what_cannot_be_drawn_is_refused(run, asked, message):
    with pytest.raises(InputError, match=message):
        run.evaluate(**asked)


def test_a_network_without_a_distribution_of_codes_has_no_such_likelihood(finished):
    images = torch.rand(4, 1, 8, 8)
    point = gn.create_model("autoencoder_fc", in_channels=1, image_size=8, latent=5)
    plain = nn.Conv2d(1, 1, 3, padding=1)
    for model, what in ((point, "a single code per image"), (plain, "images only")):
        subject = Subject(model, images, task="reconstruction")
        with pytest.raises(
            InputError, match=rf"--nll-samples draws codes .* gives {what}; leave it out, or train a VAE"
        ):
            gn.evaluate(subject, nll_samples=5)
    with pytest.raises(
        InputError,
        match="--nll-samples applies only to reconstruction by a variational autoencoder, not to classification",
    ):
        finished.evaluate(nll_samples=5)

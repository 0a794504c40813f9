"""One reconstruction and the latent code: the same numbers as the evaluation, whatever the noise."""

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.analysis import Context, analyse
from glassnet.analysis.evaluation import EvaluationRequest, evaluated
from glassnet.explorer.reconstructed import decode, latents, own_noise, reconstruct, strengths
from glassnet.models import create_model
from glassnet.rng import PerImageRNG
from glassnet.subject import Subject
from tiny_runs import copied


@pytest.fixture(scope="module")
def subject(vae, tmp_path_factory):
    return Subject.of_run(copied(vae, tmp_path_factory.mktemp("runs")))


def one(subject, number, noise, part="test"):
    split = subject.part(part).subset(torch.tensor([number]))
    return reconstruct(subject, subject.model(), split, part, noise, name=f"{part} image {number}")


@pytest.mark.parametrize("part", ["test", "train"])
def test_with_its_own_noise_it_is_what_the_evaluation_measured(subject, part):
    records = evaluated(subject, EvaluationRequest(split=part), Context(torch.device("cpu"))).records
    for number in (0, 3):
        made = one(subject, number, own_noise(subject), part)
        assert made.psnr == pytest.approx(float(records["psnr"][number]), rel=1e-5)
        assert made.ssim == pytest.approx(float(records["ssim"][number]), rel=1e-5)
        assert made.loss == pytest.approx(float(records["loss"][number]), rel=1e-5)
        assert made.code.shape == (3,)


def test_stronger_noise_is_the_same_random_numbers_more_of_them(subject):
    drawn = next(PerImageRNG(subject.seed, "test").generators([2], "input"))
    normal = torch.randn((1, 1, 12, 12), generator=drawn)[0]
    for amount in (0.1, 0.6):
        made = one(subject, 2, f"gaussian:{amount}")
        expected = (torch.from_numpy(made.original) + amount * normal).clamp(0, 1)
        assert np.array_equal(made.noisy, expected.numpy())
    clean = one(subject, 2, "none")
    assert np.array_equal(clean.noisy, clean.original)
    assert clean.noisy_psnr is None
    image = subject.part("test").images[2:3].float() / 255
    assert np.array_equal(clean.original, image[0].numpy())
    with torch.no_grad():
        assert np.allclose(clean.output, subject.model()(image).images[0].numpy(), atol=1e-6)


def test_the_slider_offers_none_and_the_runs_own(subject):
    assert own_noise(subject) == "gaussian:0.3"
    offered = strengths(subject)
    assert offered[0] == "none"
    assert "gaussian:0.3" in offered
    with pytest.raises(gn.InputError, match="noise"):
        one(subject, 0, "gaussian:7")


def test_latents_are_those_of_the_evaluation_sorted_by_kl(subject):
    found = latents(subject, subject.model(), subject.part("test"), "test", batch_size=7)
    code = analyse(subject, "evaluation", figures=False).result.latent
    order = np.argsort(-np.array(code.kl_per_dimension), kind="stable")
    assert found.dims.tolist() == order.tolist()
    assert found.kl == pytest.approx(np.array(code.kl_per_dimension)[order], rel=1e-4)
    assert (found.dimensions, found.active, found.variational) == (3, code.active, True)
    assert (found.low < found.high).all()
    codes = np.stack([one(subject, n, "gaussian:0.3").code for n in range(len(subject.part("test")))])[:, order]
    assert found.low == pytest.approx(np.quantile(codes, 0.01, axis=0), abs=1e-5)


def test_a_code_decodes_to_the_reconstruction_it_is_of(subject):
    made = [one(subject, number, "none") for number in (0, 1)]
    images = decode(subject.model(), np.stack([each.code for each in made]))
    assert np.allclose(images, np.stack([each.output for each in made]), atol=1e-5)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((1, 4), np.float32), r"codes of shape \(1, 4\), expected 1 to 64 of 3 numbers each"),
        (np.zeros((65, 3), np.float32), "expected 1 to 64"),
        (np.zeros((0, 3), np.float32), "expected 1 to 64"),
        (np.full((1, 3), np.nan, np.float32), "a NaN or infinite number"),
    ],
)
def test_what_is_no_code_is_refused(subject, codes, message):
    with pytest.raises(gn.InputError, match=message):
        decode(subject.model(), codes)


def test_a_point_code_is_sorted_by_its_variance_and_a_network_without_a_code_has_none(subject):
    model = create_model("autoencoder_fc", in_channels=1, num_classes=2, image_size=12, latent=5).eval()
    found = latents(subject, model, subject.part("test"), "test")
    assert not found.variational
    assert (np.diff(found.kl) <= 0).all()
    with pytest.raises(gn.InputError, match="has no latent code"):
        decode(torch.nn.Identity(), np.zeros((1, 3), np.float32))


def test_a_broken_model_is_said_at_that_image(subject, vae):
    model = vae.model()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    split = subject.part("test").subset(torch.tensor([1]))
    with pytest.raises(gn.WorkError, match="the model gives NaN for test image 1"):
        reconstruct(subject, model, split, "test", "none", name="test image 1")

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.cli import run
from glassnet.commands.reconstruction_pictures import code_spread
from glassnet.commands.report import COMPLETED
from glassnet.data.batches import ordered_batches
from glassnet.denoising import DENOISERS
from glassnet.experiment import build_corruption
from glassnet.rng import PerImageRNG
from glassnet.run import write_weights
from glassnet.tasks.reconstruction.image_quality import psnr
from glassnet.training import loop
from references.attributions import occlusion


def call(capsys, *words):
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder of 60 pictures of 12 by 12 pixels in two classes."""
    root, random = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    for name in ("bars", "posts"):
        (root / name).mkdir()
        for number in range(30):
            pixels = np.zeros((12, 12), dtype=np.uint8)
            at = random.integers(0, 9)
            pixels[at : at + 3] = 255
            Image.fromarray(pixels if name == "bars" else pixels.T).save(root / name / f"{number}.png")
    return f"folder:{root}"


@pytest.fixture(scope="session")
def vae(digits, tmp_path_factory):
    """A small run of a VAE, to be read only."""
    out = tmp_path_factory.mktemp("runs") / "vae"
    return gn.train(
        gn.TrainSettings(
            data=digits, model="vae_conv", model_options=("filters=4,8", "hidden=8", "latent=3"), image_size=12,
            noise="gaussian:0.3", kl_warmup=0.5, epochs=2, batch_size=16, precision="fp32", augment=False, out=out,
        )
    )  # fmt: skip


@pytest.fixture
def copy(vae, tmp_path):
    shutil.copytree(vae.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


@pytest.fixture
def save_folder(tmp_path):
    """Save 6 pictures a class of 12 by 12 pixels, of a mode as PIL names it."""

    def save(mode, *, classes):
        root, random = tmp_path / mode, np.random.default_rng(1)
        for name in range(classes):
            (root / f"class{name}").mkdir(parents=True)
            for number in range(6):
                pixels = random.integers(0, 256, (12, 12, 3)[: 2 if mode == "L" else 3], dtype=np.uint8)
                Image.fromarray(pixels).save(root / f"class{name}" / f"{number}.png")
        return f"folder:{root}"

    return save


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """BM3D takes a second an image."""
    monkeypatch.delitem(DENOISERS, "bm3d")


def test_the_epochs_report_the_two_terms(vae):
    assert [row["epoch"] for row in vae.history] == [1, 2]
    for row in vae.history:
        assert {"train_reconstruction", "train_kl", "validation_kl", "validation_psnr", "validation_ssim"} <= row.keys()
    assert vae.metrics["test_negative_elbo"] == pytest.approx(
        vae.metrics["test_reconstruction"] + vae.metrics["test_kl"], rel=1e-5
    )
    assert vae.settings.task == "reconstruction"
    assert vae.settings.noise == "gaussian:0.3"


def test_a_resumed_training_ends_at_the_same_weights(vae, tmp_path, monkeypatch):
    real, seen = loop._write_epoch, []

    def stop_after_one(*parts):
        real(*parts)
        seen.append(1)
        if len(seen) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_write_epoch", stop_after_one)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        gn.train(dataclasses.replace(vae.settings, out=out))
    resumed = gn.train(gn.TrainSettings(resume=out))
    expected = vae.weights()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.weights().items())


def test_eval_measures_the_images_and_the_baselines(capsys, copy):
    code, out, err = call(capsys, "eval", copy.path, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["psnr"] == pytest.approx(copy.metrics["test_psnr"], abs=1e-3)
    test = copy.dataset().test
    corruption = build_corruption(copy.settings, copy.task)
    ((noisy, clean),) = ordered_batches(
        test, batch_size=100, device=torch.device("cpu"), corruption=corruption,
        rng=PerImageRNG(copy.settings.seed, "test"),
    )  # fmt: skip
    by_name = {row["name"]: row for row in document["baselines"]}
    assert list(by_name) == ["noisy", "median", "nonlocal_means", "pca"]
    assert by_name["noisy"]["psnr"] == pytest.approx(psnr(noisy, clean).mean().item(), rel=1e-5)
    assert by_name["pca"]["title"] == "PCA, 3 components"
    kept = copy.load_arrays("evaluation/test.npz")
    with torch.no_grad():
        own = psnr(copy.model()(noisy).images, clean)
    np.testing.assert_allclose(kept["psnr"], own.numpy(), rtol=1e-3)
    np.testing.assert_allclose(kept["noisy/psnr"], psnr(noisy, clean).numpy(), rtol=1e-5)
    differences = kept["psnr"].astype(float) - kept["median/psnr"]
    assert by_name["median"]["margin"] == pytest.approx(differences.mean(), rel=1e-5)
    low, high = by_name["median"]["margin_interval"]
    assert low < differences.mean() < high
    for name in ("reconstructions", "prior-samples", "traversals", "interpolation", "latent-kl"):
        assert copy.has(f"figures/{name}.png")


def test_the_report_shows_quality_bound_and_pictures(capsys, copy):
    code, _, err = call(capsys, "report", copy.path)
    assert code == 0, err
    page = (copy.path / "report.html").read_text()
    for words in ("non-local means", "PCA, 3 components", "Negative ELBO", "KL term", "Latent traversals", "Noise"):
        assert words in page
    assert "Of what needs no network, " in page
    assert page.count("was not drawn") == 0
    assert copy.has("embeddings/mean.json")
    document = copy.load_json("attributions/error.json")
    assert document["target"] == "error"


def test_a_latent_dimension_is_explained(capsys, copy):
    words = ("explain", copy.path, "--target", "latent:1", "--images", "0,3", "--methods", "gradcam", "saliency")
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    (document,) = json.loads(out)["explained"]
    assert document["layers"] == ["encoder.conv1", "encoder.conv2"]  # those that lead up to the code
    kept = copy.load_arrays("attributions/latent-1.npz")
    images = torch.from_numpy(kept["images"]).requires_grad_()
    codes = copy.model().encode(images).mean
    np.testing.assert_allclose([row["latent 1"] for row in document["scores"]], codes[:, 1].tolist(), rtol=1e-4)
    (gradient,) = torch.autograd.grad(codes[:, 1].sum(), images)
    np.testing.assert_allclose(kept["saliency/input"][:, ...].squeeze(), gradient.abs().amax(dim=1).numpy(), rtol=1e-3)


def test_the_error_that_is_explained_is_the_mean_squared_one(capsys, copy):
    weights = copy.weights()  # after two epochs hardly any pixel matters, and rounding would be all that is compared
    weights["mean.weight"] *= 10
    weights["decoder.deconv2.weight"] *= 10
    write_weights(copy.path, weights)
    words = ("--target", "error", "--images", "0,3", "--methods", "saliency", "occlusion")
    code, out, err = call(capsys, "explain", copy.path, *words, "--json")
    assert code == 0, err
    kept, model = copy.load_arrays("attributions/error.npz"), copy.model()
    test = copy.dataset().test
    clean = test.images[[0, 3]].double() / 255
    noisy = torch.from_numpy(kept["images"]).double()
    assert 0.1 < (noisy - clean).std() < 0.3  # gaussian:0.3, clipped
    model = model.double()

    def errors(images):
        return (model(images).logits.double().sigmoid() - clean).square().mean(dim=(1, 2, 3))

    (document,) = json.loads(out)["explained"]
    with torch.no_grad():
        np.testing.assert_allclose([row["error"] for row in document["scores"]], errors(noisy), rtol=1e-4)
        step, slow = 1e-6, np.zeros((2, 12, 12))
        for y, x in np.ndindex(12, 12):  # central differences, pixel by pixel
            moved = torch.zeros(1, 1, 12, 12, dtype=torch.double)
            moved[..., y, x] = step
            slow[:, y, x] = (errors(noisy + moved) - errors(noisy - moved)).abs() / (2 * step)
        np.testing.assert_allclose(kept["saliency/input"], slow, rtol=1e-3, atol=1e-3 * slow.max())
        for place in (0, 1):

            def score(image, place=place):
                pair = noisy.clone()
                pair[place] = torch.from_numpy(image)
                return errors(pair)[place].item()

            expected = occlusion(noisy[place].numpy(), score, 1, 1, 0.5)
            np.testing.assert_allclose(kept["occlusion/input"][place], expected, atol=2e-3 * np.abs(expected).max())


def test_an_exploded_variance_is_drawn_and_told(capsys, copy, monkeypatch):
    monkeypatch.setitem(COMPLETED, "reconstruction", lambda *_: None)  # features and maps are of the mean, as ever
    weights = copy.weights()
    weights["log_variance.bias"] += 200.0  # exp of it is no finite number in single precision
    write_weights(copy.path, weights)
    code, _, err = call(capsys, "report", copy.path)
    assert code == 0, err
    page, evaluation = (copy.path / "report.html").read_text(), copy.load_json("evaluation/test.json")
    assert page.count("The variance exploded: a code has a standard deviation of") == 2  # in short, and at its numbers
    assert "KL not finite" in page
    assert "nan" not in re.sub(r"<(script|style).*?</\1>|data:[^\"]*|<[^>]*>", "", page, flags=re.DOTALL).split()
    assert evaluation["negative_elbo"] is None
    assert evaluation["psnr"] == pytest.approx(copy.metrics["test_psnr"], abs=1e-3)  # the code's mean is as it was
    assert page.count("was not drawn") == 0
    for name in ("reconstructions", "traversals", "prior-samples", "interpolation"):
        assert copy.has(f"figures/{name}.png")
    assert not copy.has("figures/latent-kl.png")  # there is no bar of infinite height


def test_a_file_of_ones_own_is_explained_as_it_is(capsys, copy):
    file = sorted(Path(copy.settings.data.partition(":")[2]).rglob("*.png"))[0]
    code, _, err = call(capsys, "explain", copy.path, "--target", "error", "--images", file, "--methods", "saliency")
    assert code == 0, err
    kept = copy.load_arrays("attributions/error.npz")
    np.testing.assert_allclose(kept["images"].squeeze(), np.asarray(Image.open(file)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "latent:3"), "--target is 'latent:3', expected error, or latent:K with K from 0 to 2"),
        (("--target", "dog"), "--target is 'dog', expected error, or latent:K"),
        (("--mask", "stroke"), "--mask stroke measures maps of a class's score"),
        (("--images", "wrong:4"), "--images is 'wrong:4', but a reconstruction is neither right nor wrong"),
        (("--images", "mixed:8"), "--images is 'mixed:8', but a reconstruction is neither right nor wrong"),
        (("--faithfulness",), "--faithfulness measures maps of a class's score, and a reconstruction has none"),
    ],
)
def test_explanations_that_there_are_none_of(capsys, vae, words, message):
    code, _, err = call(capsys, "explain", vae.path, *words)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--image-size", "30"),
            "image_size is 30, expected a multiple of 4, which is halved twice; give --image-size 28",
        ),
        (("--noise", "gausian:0.3"), "no noise model 'gausian'. Did you mean gaussian?"),
        (("--noise", "gaussian:3"), "the noise is 'gaussian:3', expected a standard deviation above 0 and at most 1"),
        (("--model-options", "latent=9999"), "the latent code has 9,999 numbers (9999) for an image of 784"),
        (("--model-options", "likelihood=poisson"), "no likelihood 'poisson'"),
        (("--beta", "-1"), "--beta is -1.0, expected at least 0"),
        (("--kl-warmup", "1"), "--kl-warmup is 1.0, expected at least 0 and below 1"),
        (("--task", "classification"), "vae_conv is a model for reconstruction, not for --task classification"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(capsys, tmp_path, words, message):
    out = tmp_path / "run"
    code, _, err = call(capsys, "train", "--data", "mnist-sample", "--model", "vae_conv", "--out", out, *words)
    assert code == 2
    assert message in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("autoencoder_fc", "--beta", "0.5"), "--beta weighs a KL term, and AutoencoderFC has none; leave it out"),
        (("autoencoder_fc", "--kl-warmup", "0.5"), "--kl-warmup weighs a KL term, and AutoencoderFC has none"),
        (
            ("vae_conv", "--binarize", "--model-options", "likelihood=gaussian"),
            "--binarize makes pixels of 0 and 1, expected likelihood=bernoulli with it, got gaussian; leave one out.",
        ),
        (("vae_deep", "--model-options", "hidden=8"), "hidden is 8, but a code that is a map has no hidden layer"),
        (("vae_conv", "--model-options", "hidden=0"), "hidden is (0,), expected 1 positive numbers"),
        (("vae_conv", "--image-size", "4"), "image_size is 4, expected at least 8"),
        (("convnet", "--task", "reconstruction"), "vae_conv, vae_deep; name one with --model."),
    ],
)
def test_what_would_have_no_effect_is_refused_in_one_line(capsys, tmp_path, words, message):
    out = tmp_path / "run"
    code, _, err = call(capsys, "train", "--data", "mnist-sample", "--out", out, "--model", *words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("glassnet: ")] == err.splitlines()[-1:]
    assert not out.exists()


def test_other_images_of_as_many_channels_are_measured_whatever_their_classes(capsys, copy, save_folder):
    code, out, err = call(capsys, "eval", copy.path, "--data", save_folder("L", classes=3), "--json")
    assert code == 0, err
    document = json.loads(out)
    assert (document["images"], document["data"].partition(":")[0]) == (3, "folder")
    assert document["baselines"][0]["images"] == 3
    code, _, err = call(capsys, "eval", copy.path, "--data", save_folder("RGB", classes=2))
    assert code == 2
    assert "has 3 channels; expected 1, as " in err


def test_a_collapsed_code_is_said_by_training_and_evaluation(capsys, copy, tmp_path, monkeypatch):
    # no mean varies that much, which is what a collapse looks like
    monkeypatch.setattr("glassnet.tasks.reconstruction.elbo.ACTIVE_VARIANCE", 1e9)
    words = ("--image-size", 12, "--model", "vae_conv", "--model-options", "filters=2,4", "hidden=4", "latent=2")
    code, out, err = call(
        capsys, "train", "--data", copy.settings.data, *words, "--epochs", 1, "--precision", "fp32", "--no-augment",
        "--out", tmp_path / "collapsed",
    )  # fmt: skip
    assert code == 0, err
    assert "The KL term collapsed: no latent dimension depends on the image" in out
    code, out, err = call(capsys, "eval", copy.path)
    assert code == 0, err
    assert out.count("The KL term collapsed") == 1


def test_traversals_reach_as_far_as_the_codes():
    # two images with codes (-30, 0) and (50, 0.2): the first dimension is wider than the prior, the second is not
    records = {
        "code_images": torch.tensor([2]), "code_sum": torch.tensor([[20.0, 0.2]]),
        "code_squares": torch.tensor([[3400.0, 0.04]]),
    }  # fmt: skip
    centre, deviation = code_spread(records)
    torch.testing.assert_close(centre, torch.tensor([10.0, 0.0]))
    torch.testing.assert_close(deviation, torch.tensor([40.0, 1.0]))


def test_noise_is_of_no_use_to_a_classifier(capsys, tmp_path):
    code, _, err = call(capsys, "train", "--noise", "gaussian:0.3", "--out", tmp_path / "run")
    assert code == 2
    assert (
        "--noise is of no use to classification, only to reconstruction; leave it out, or give --task reconstruction."
        in err
    )


def test_a_task_alone_takes_its_model(capsys, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--model-options", "filters=4,8", "hidden=8", "latent=3", "--epochs", 1, "--precision", "fp32")
    code, said, err = call(capsys, "train", "--task", "reconstruction", "--data", digits, *words)
    assert code == 0, err
    assert said.startswith("vae_conv (")
    run = gn.Run.open(tmp_path / "runs" / "folder-vae_conv-seed0")
    assert (run.settings.task, run.settings.data, run.settings.model) == ("reconstruction", digits, "vae_conv")

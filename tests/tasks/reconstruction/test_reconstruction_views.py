"""A reconstruction evaluated and explained: baselines, pictures, what is listed and told, maps of error and code."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import glassnet as gn
from glassnet import figures
from glassnet.analysis import analyse
from glassnet.data.batches import ordered_batches
from glassnet.denoising import DENOISERS
from glassnet.experiment import build_corruption
from glassnet.rng import PerImageRNG
from glassnet.subject import Subject
from glassnet.tasks import TASKS
from glassnet.tasks.reconstruction import elbo, pictures
from glassnet.tasks.reconstruction.image_quality import psnr
from glassnet.tasks.reconstruction.pictures import code_spread
from references.attributions import occlusion
from tiny_runs import replace_weights

VIEWS = TASKS["reconstruction"].views()
DRAWN = ["reconstructions", "interpolation", "traversals", "prior-samples", "latent-kl"]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """BM3D takes a second an image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(DENOISERS, "bm3d")
        yield


@pytest.fixture
def copy(vae, tmp_path):
    shutil.copytree(vae.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


@pytest.fixture(scope="module")
def evaluated(vae, tmp_path_factory):
    """An evaluation, to be read only."""
    path = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(vae.path, path)
    return analyse(path, "evaluation")


def noisy_and_clean(run):
    corruption = build_corruption(run.settings, run.task)
    (pair,) = ordered_batches(
        run.dataset().test, batch_size=100, device=torch.device("cpu"), corruption=corruption,
        rng=PerImageRNG(run.settings.seed, "test"),
    )  # fmt: skip
    return pair


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


def test_an_evaluation_measures_the_images_and_the_baselines(evaluated, vae):
    result = evaluated.result
    assert result.psnr == pytest.approx(vae.metrics["test_psnr"], abs=1e-3)
    assert result.noise == "gaussian:0.3"
    noisy, clean = noisy_and_clean(vae)
    by_name = {one.name: one for one in result.baselines}
    assert list(by_name) == ["noisy", "median", "nonlocal_means", "pca"]
    assert by_name["noisy"].psnr == pytest.approx(psnr(noisy, clean).mean().item(), rel=1e-5)
    assert by_name["pca"].title == "PCA, 3 components"
    with torch.no_grad():
        own = psnr(vae.model()(noisy).images, clean)
    np.testing.assert_allclose(result.values["psnr"], own.numpy(), rtol=1e-3)
    np.testing.assert_allclose(result.values["noisy/psnr"], psnr(noisy, clean).numpy(), rtol=1e-5)
    differences = result.values["psnr"].astype(float) - result.values["median/psnr"]
    assert by_name["median"].margin == pytest.approx(differences.mean(), rel=1e-5)
    low, high = by_name["median"].margin_interval
    assert low < differences.mean() < high
    assert [words.name for words in evaluated.figures] == DRAWN
    assert all(words.lead and words.alt for words in evaluated.figures)
    again = analyse(evaluated.entry.path.parents[2], "evaluation").result
    assert (again.baselines, again.latent, again.left_out) == (result.baselines, result.latent, result.left_out)
    np.testing.assert_array_equal(again.values["median/psnr"], result.values["median/psnr"])


def test_each_image_is_listed_by_its_file(evaluated, vae):
    rows = list(csv.DictReader((evaluated.entry.path / "predictions.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == list(vae.dataset().test.files)
    for key in ("psnr", "ssim", "mse"):
        np.testing.assert_allclose([float(row[key]) for row in rows], evaluated.result.values[key], rtol=1e-5)
    assert {row["split"] for row in rows} == {"test"}


def draw_rows(monkeypatch, run):
    """Evaluate without keeping it, and return the rows and captions of the main figure."""
    drawn = []
    monkeypatch.setattr(figures, "image_rows", lambda rows, **options: drawn.append((rows, options)) or Figure())
    subject = Subject.of_run(run)
    subject.store = None
    return analyse(subject, "evaluation"), *drawn[0]


def test_the_denoisers_pictures_stand_next_to_the_networks(vae, monkeypatch):
    measured, real = [], pictures.measure_baselines
    monkeypatch.setattr(pictures, "measure_baselines", lambda *asked: measured.append(1) or real(*asked))
    analysis, rows, options = draw_rows(monkeypatch, vae)
    assert len(measured) == 1  # for the numbers and the pictures together
    titles = [one.title for one in analysis.result.baselines if one.name in ("median", "nonlocal_means")]
    assert list(rows) == ["noisy", "network", *(title.replace(" (", "\n(") for title in titles), "original"]
    noisy, clean = noisy_and_clean(vae)
    places = [int((noisy - image).abs().amax(dim=(1, 2, 3)).argmin()) for image in torch.from_numpy(rows["noisy"])]
    np.testing.assert_allclose(rows["noisy"], noisy[places], atol=1e-6)
    np.testing.assert_allclose(rows["original"], clean[places], atol=1e-6)
    of_median = psnr(torch.from_numpy(rows[titles[0].replace(" (", "\n(")]), clean[places])
    np.testing.assert_allclose(of_median, analysis.result.values["median/psnr"][places], rtol=1e-5)
    assert options["captions"][titles[0].replace(" (", "\n(")] == [f"{value:.1f} dB" for value in of_median]
    assert options["captions"]["noisy"] == [f"{value:.1f} dB" for value in psnr(noisy, clean)[places]]


def test_only_images_that_a_slow_denoiser_has_are_pictured(vae, monkeypatch):
    slow = DENOISERS["median"]
    monkeypatch.setitem(DENOISERS, "median", type(slow)(slow.title, slow.denoise, slow.strengths, limit=4))
    analysis, rows, _ = draw_rows(monkeypatch, vae)
    assert {len(row) for row in rows.values()} == {4}
    np.testing.assert_allclose(rows["original"], noisy_and_clean(vae)[1][:4], atol=1e-6)
    assert {one.name: one.images for one in analysis.result.baselines}["median"] == 4


def test_without_noise_there_is_nothing_to_denoise(copy, monkeypatch):
    manifest = copy.load_json("run.json")
    manifest["settings"]["noise"] = "none"
    copy.save_json("run.json", manifest)
    analysis, rows, options = draw_rows(monkeypatch, gn.Run.open(copy.path))
    assert list(rows) == ["input", "reconstructed", "original"]
    assert list(options["captions"]) == ["reconstructed"]
    assert [one.name for one in analysis.result.baselines] == ["pca"]
    assert analysis.result.left_out == ("The input has no noise, so no denoiser is measured.",)


def test_drawing_leaves_gradients_as_they_were(vae, monkeypatch):
    modes = []
    monkeypatch.setattr(figures, "latent_kl", lambda *_: modes.append(torch.is_grad_enabled()) or Figure())
    subject = Subject.of_run(vae)
    subject.store = None
    analyse(subject, "evaluation")
    assert modes == [False]
    assert torch.is_grad_enabled()


def test_text_tables_and_summary_have_the_baselines_and_the_bound(evaluated):
    result = evaluated.result
    text = VIEWS.text(result)
    assert text.startswith(f"noise gaussian:0.3: PSNR {result.psnr:.2f} dB")
    assert f"{result.latent.active} of 3 latent dimensions are active." in text
    quality, bound = VIEWS.tables(result)
    assert [row[0] for row in quality.rows] == ["this network", *(one.title for one in result.baselines)]
    assert quality.columns[2] == "PSNR"
    assert quality.rows[0][2] == f"{result.psnr:.2f} dB"
    assert [row[0] for row in bound.rows[:3]] == ["Reconstruction term", "KL term", "Negative ELBO"]
    assert bound.rows[2][1] == f"{result.negative_elbo:,.2f}"
    best = min(result.baselines, key=lambda one: one.margin)
    (sentence,) = [one for one in VIEWS.summary(result) if one.startswith("The best baseline without a network is ")]
    side = "above" if best.margin > 0 else "below"
    assert f"{best.title}. On the same 12 images, the network is {abs(best.margin):.2f} dB {side} it" in sentence


def test_the_numbers_of_a_run_are_told(vae):
    names = [name for name, _, _ in VIEWS.headlines(vae.metrics)]
    assert names == ["Test PSNR", "Test SSIM", "Negative ELBO"]
    assert VIEWS.epoch_note(vae.metrics) == f"validation PSNR {vae.metrics['validation_psnr']:.2f} dB"
    assert "–" not in [show(vae.metrics) for _, show in VIEWS.comparison]
    assert {key for key, *_ in VIEWS.history} <= vae.history[-1].keys()
    assert isinstance(VIEWS.curves(vae.history, vae.metrics["epoch"]), Figure)
    (diagram,) = VIEWS.network(vae.manifest["model"])
    assert diagram.words.name == "diagram"


def test_a_report_wants_the_codes_and_the_errors(copy):
    wanted = VIEWS.wanted(Subject.of_run(copy))
    assert [(kind, asked.get("method")) for kind, asked in wanted] == [
        ("evaluation", None), ("embedding", "tsne"), ("embedding", "pca"), ("attribution", None),
    ]  # fmt: skip
    asked = wanted[-1][1]
    shown = analyse(copy, "attribution", **asked)
    assert (shown.request.target, len(shown.result.groups[0].names)) == ("error", 4)
    usual = analyse(copy, "attribution")  # what is explained where nothing is asked: twice as many images
    assert (usual.request.target, len(usual.result.groups[0].names)) == ("error", 8)
    assert len(list(copy.path.glob("analyses/attribution/*"))) == 2


def test_a_network_of_linear_layers_is_explained_by_other_methods(vae):
    test = vae.dataset().test
    model = gn.create_model("autoencoder_fc", in_channels=1, image_size=12, num_classes=2, latent=8)
    subject = Subject(model.eval(), test.images, test.targets, vae.classes, task="reconstruction", name="mine")
    asked = dict(VIEWS.wanted(subject))["attribution"]
    assert asked["methods"] == ("saliency", "input_x_gradient")
    group = analyse(subject, "attribution", **asked).result.groups[0]
    np.testing.assert_allclose(group.images, test.images[:4] / 255, atol=1e-6)  # no noise: it was not trained here
    result = analyse(subject, "evaluation").result
    assert result.baselines == ()
    assert result.left_out == ("Baselines are left out: they need training images, which only a run has.",)


def test_a_latent_dimension_is_explained(copy):
    asked = {"target": "latent:1", "images": "0,3", "methods": ("gradcam", "saliency")}
    result = analyse(copy, "attribution", **asked).result
    assert result.layers == ("encoder.conv1", "encoder.conv2")  # those that lead up to the code
    (group,) = result.groups
    images = torch.from_numpy(group.images).requires_grad_()
    codes = copy.model().encode(images).mean
    assert [one["target"] for one in group.facts] == ["latent 1", "latent 1"]
    np.testing.assert_allclose([one["score"] for one in group.facts], codes[:, 1].tolist(), rtol=1e-4)
    (gradient,) = torch.autograd.grad(codes[:, 1].sum(), images)
    saliency = group.maps["saliency", "input"]
    np.testing.assert_allclose(saliency.squeeze(), gradient.abs().amax(dim=1).numpy(), rtol=1e-3)


def test_the_error_that_is_explained_is_the_mean_squared_one(copy):
    weights = copy.weights()  # after two epochs hardly any pixel matters, and rounding would be all that is compared
    weights["mean.weight"] *= 10
    weights["decoder.deconv2.weight"] *= 10
    replace_weights(copy.path, weights)
    copy = gn.Run.open(copy.path)
    asked = {"target": "error", "images": "0,3", "methods": ("saliency", "occlusion")}
    (group,) = analyse(copy, "attribution", **asked).result.groups
    model, test = copy.model(), copy.dataset().test
    clean = test.images[[0, 3]].double() / 255
    noisy = torch.from_numpy(group.images).double()
    np.testing.assert_allclose(noisy, noisy_and_clean(copy)[0][[0, 3]], atol=1e-6)  # the noise of their places
    assert 0.1 < (noisy - clean).std() < 0.3  # gaussian:0.3, clipped
    model = model.double()

    def errors(images):
        return (model(images).logits.double().sigmoid() - clean).square().mean(dim=(1, 2, 3))

    with torch.no_grad():
        np.testing.assert_allclose([one["score"] for one in group.facts], errors(noisy), rtol=1e-4)
        step, slow = 1e-6, np.zeros((2, 12, 12))
        for y, x in np.ndindex(12, 12):  # central differences, pixel by pixel
            moved = torch.zeros(1, 1, 12, 12, dtype=torch.double)
            moved[..., y, x] = step
            slow[:, y, x] = (errors(noisy + moved) - errors(noisy - moved)).abs() / (2 * step)
        np.testing.assert_allclose(group.maps["saliency", "input"], slow, rtol=1e-3, atol=1e-3 * slow.max())
        for place in (0, 1):

            def score(image, place=place):
                pair = noisy.clone()
                pair[place] = torch.from_numpy(image)
                return errors(pair)[place].item()

            expected, occluded = occlusion(noisy[place].numpy(), score, 1, 1, 0.5), group.maps["occlusion", "input"]
            np.testing.assert_allclose(occluded[place], expected, atol=2e-3 * np.abs(expected).max())


def test_training_images_get_the_noise_of_their_part(copy):
    (group,) = analyse(copy, "attribution", images="0,3", split="train", methods=("saliency",)).result.groups
    split, corruption = copy.dataset().train, build_corruption(copy.settings, copy.task)
    rng = PerImageRNG(copy.settings.seed, "train")
    batches = ordered_batches(split, batch_size=4, device=torch.device("cpu"), corruption=corruption, rng=rng)
    np.testing.assert_allclose(group.images, next(batches)[0][[0, 3]], atol=1e-6)


def test_an_exploded_variance_is_drawn_and_told(copy):
    weights = copy.weights()
    weights["log_variance.bias"] += 200.0  # exp of it is no finite number in single precision
    replace_weights(copy.path, weights)
    analysis = analyse(copy.path, "evaluation")
    result = analysis.result
    assert VIEWS.text(result).count("The variance exploded: a code has a standard deviation of") == 1
    assert sum("The variance exploded" in one for one in VIEWS.summary(result)) == 1
    (quality,) = VIEWS.tables(result)  # no table of a bound that is not finite
    assert "The variance exploded" in quality.note
    assert "nan" not in VIEWS.text(result).split()
    assert "KL not finite" in (analysis.entry.path / "traversals.svg").read_text()
    assert result.negative_elbo is None
    assert result.psnr == pytest.approx(copy.metrics["test_psnr"], abs=1e-3)  # the code's mean is as it was
    assert [words.name for words in analysis.figures] == DRAWN[:-1]  # there is no bar of infinite height


def test_a_file_of_ones_own_is_explained_as_it_is(copy):
    file = sorted(Path(copy.settings.data.partition(":")[2]).rglob("*.png"))[0]
    (group,) = analyse(copy, "attribution", target="error", images=str(file), methods=("saliency",)).result.groups
    np.testing.assert_allclose(group.images.squeeze(), np.asarray(Image.open(file)) / 255, atol=1e-6)
    assert group.names == (file.name,)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "latent:3"}, "--target is 'latent:3', expected error, or latent:K with K from 0 to 2"),
        ({"target": "dog"}, "--target is 'dog', expected error, or latent:K"),
        ({"mask": "stroke"}, "--mask stroke measures maps of a class's score"),
        ({"images": "wrong:4"}, "--images is 'wrong:4', but a reconstruction is neither right nor wrong"),
        ({"images": "mixed:8"}, "--images is 'mixed:8', but a reconstruction is neither right nor wrong"),
    ],
)
def test_explanations_that_there_are_none_of(copy, asked, message):
    with pytest.raises(gn.InputError, match=message):
        analyse(copy, "attribution", **asked)
    assert not list(copy.path.glob("analyses/*/*"))


def test_faithfulness_is_for_classifiers(copy):
    with pytest.raises(gn.InputError, match="--faithfulness needs the score of a class for the whole image, but"):
        analyse(copy, "faithfulness")


def test_other_images_of_as_many_channels_are_measured_whatever_their_classes(copy, save_folder):
    result = analyse(copy, "evaluation", data=save_folder("L", classes=3)).result
    assert result.images == 3
    assert result.baselines[0].images == 3
    with pytest.raises(gn.InputError, match=r"has 3 channels.*; expected 1"):
        analyse(copy, "evaluation", data=save_folder("RGB", classes=2))


def test_a_collapsed_code_is_said_once(copy, monkeypatch):
    # no mean varies that much, which is what a collapse looks like
    monkeypatch.setattr(elbo, "ACTIVE_VARIANCE", 1e9)
    assert VIEWS.text(analyse(copy, "evaluation").result).count("The KL term collapsed") == 1


def test_traversals_reach_as_far_as_the_codes():
    # two images with codes (-30, 0) and (50, 0.2): the first dimension is wider than the prior, the second is not
    records = {
        "code_images": torch.tensor([2]), "code_sum": torch.tensor([[20.0, 0.2]]),
        "code_squares": torch.tensor([[3400.0, 0.04]]),
    }  # fmt: skip
    centre, deviation = code_spread(records)
    torch.testing.assert_close(centre, torch.tensor([10.0, 0.0]))
    torch.testing.assert_close(deviation, torch.tensor([40.0, 1.0]))

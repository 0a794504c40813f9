from dataclasses import replace

import numpy as np
import pytest
import torch

from glassnet.denoising import DENOISERS, Denoiser, baselines, median, nonlocal_means, unchanged
from glassnet.denoising.baselines import denoise_all, noise_deviation, principal_components, project
from glassnet.errors import InputError
from glassnet.tasks.reconstruction.image_quality import psnr


@pytest.fixture(scope="module")
def pair():
    """Smooth images, and the same with noise of deviation 0.1."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(6, 3, 4, 4, generator=generator)
    clean = torch.nn.functional.interpolate(coarse, size=16, mode="bilinear") * 0.6 + 0.2
    return clean + 0.1 * torch.randn(clean.shape, generator=generator), clean


def test_median_by_hand():
    image = np.zeros((1, 1, 5, 5))
    image[0, 0, 2, 2] = 1  # one grain of salt is no median of nine
    assert not median(image, 0.1, 3).any()
    image[0, 0, :, 3:] = 1  # an edge stays where it is
    assert median(image, 0.1, 3)[0, 0, 0].tolist() == [0, 0, 0, 1, 1]


def test_nonlocal_means_averages_what_looks_alike():  # and gives a grey image back upright
    stripes = np.tile((np.arange(24) // 4 % 2).astype(float), (24, 1))[None, None]
    noisy = stripes + 0.1 * np.random.default_rng(0).normal(size=stripes.shape)
    found = nonlocal_means(noisy, 0.1, 0.8)
    assert np.abs(found - stripes).max() < 0.15  # the edges of the stripes stay
    assert np.square(found - stripes).mean() < 0.2 * np.square(noisy - stripes).mean()


def test_noise_deviation(pair):
    assert noise_deviation(*pair) == pytest.approx(0.1, rel=0.05)


def test_each_is_used_at_its_best_strength(pair, monkeypatch):
    monkeypatch.setattr(baselines, "TUNING_IMAGES", 3)
    noisy, clean = pair
    monkeypatch.setitem(DENOISERS, "bm3d", Denoiser("BM3D", unchanged, available=lambda: False, needs="pip"))
    found, left_out = denoise_all(noisy, pair)
    assert left_out == ["BM3D is left out because it is not installed: pip."]
    quality = {one.name: psnr(one.images, clean).mean().item() for one in found}
    assert quality["noisy"] == pytest.approx(20, abs=0.5)
    assert torch.equal(found[0].images, noisy)
    assert quality["median"] > quality["noisy"] + 2
    assert quality["nonlocal_means"] > quality["noisy"] + 2
    assert [one.title for one in found][1] in ("median filter (3)", "median filter (5)")
    chosen = float(found[2].title.split("(")[1].rstrip(")"))
    others = [
        psnr(torch.from_numpy(nonlocal_means(noisy[:3].numpy(), noise_deviation(*pair), s)), clean[:3]).mean()
        for s in DENOISERS["nonlocal_means"].strengths
    ]
    assert max(others) == others[DENOISERS["nonlocal_means"].strengths.index(chosen)]


def test_a_slow_one_has_fewer_images(pair, monkeypatch):
    monkeypatch.setattr(baselines, "DENOISERS", {"slow": Denoiser("slow", unchanged, limit=2)})
    found, _ = denoise_all(pair[0], pair)
    assert len(found[0].images) == 2


@pytest.mark.parametrize("name", ["median", "nonlocal_means"])
@pytest.mark.parametrize("threads", [2, 4, 7])
def test_threads_share_the_images_and_change_nothing(pair, monkeypatch, name, threads):
    sizes, one = [], DENOISERS[name]

    def counted(noisy, deviation, strength):
        sizes.append(len(noisy))
        return one.denoise(noisy, deviation, strength)

    both = {"alone": replace(one, threads=False), "shared": replace(one, denoise=counted)}
    with monkeypatch.context() as patch:
        patch.setattr(baselines, "DENOISERS", both)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        (alone, shared), _ = denoise_all(pair[0], pair)
    assert torch.equal(alone.images, shared.images)
    assert max(sizes) == -(-len(pair[0]) // threads)


@pytest.mark.skipif(not DENOISERS["bm3d"].available(), reason="the extra bm3d is not installed")
def test_bm3d_takes_grey_and_colour(pair):
    noisy, clean = (part.numpy() for part in pair)
    colour = DENOISERS["bm3d"].denoise(noisy[:1], 0.1, 1.0)
    assert np.square(colour - clean[:1]).mean() < 0.3 * np.square(noisy[:1] - clean[:1]).mean()
    grey = DENOISERS["bm3d"].denoise(noisy[:1, :1], 0.1, 1.0)
    assert grey.shape == (1, 1, 16, 16)
    assert np.square(grey - clean[:1, :1]).mean() < 0.5 * np.square(noisy[:1, :1] - clean[:1, :1]).mean()


@pytest.mark.parametrize(("images", "count"), [(200, 5), (20, 5), (20, 40)])
def test_principal_components_by_the_eigenvectors_of_the_covariance(images, count):
    generator = torch.Generator().manual_seed(3)
    rows = torch.rand(images, 48, generator=generator) * torch.linspace(0.1, 1, 48)
    test = torch.rand(4, 48, generator=generator)
    known, mean = rows.double().numpy(), rows.double().numpy().mean(axis=0)
    vectors = np.linalg.eigh((known - mean).T @ (known - mean))[1][:, ::-1][:, : min(count, images - 1)]
    expected = (mean + (test.double().numpy() - mean) @ vectors @ vectors.T).clip(0, 1)
    reconstructed = project(test.view(4, 1, 6, 8), rows.view(images, 1, 6, 8), count).images
    np.testing.assert_allclose(reconstructed.flatten(1).numpy(), expected, atol=2e-4)


def test_as_many_components_as_values_give_the_image_back():
    rows = torch.rand(60, 16, generator=torch.Generator().manual_seed(4))
    whole = project(rows[:3].view(3, 1, 4, 4), rows.view(60, 1, 4, 4), 16)
    torch.testing.assert_close(whole.images, rows[:3].view(3, 1, 4, 4), atol=1e-4, rtol=0)
    baseline = project(rows[:3].view(3, 1, 4, 4), rows.view(60, 1, 4, 4), 7)
    assert baseline.images.shape == (3, 1, 4, 4)
    assert baseline.title == "PCA, 7 components"


def test_impossible_components():
    with pytest.raises(InputError, match="got 3 images of 4 values and 5 components, expected at least 2 images"):
        principal_components(torch.rand(3, 4), 5)


def test_images_that_are_all_the_same_are_their_mean():
    same = torch.full((4, 1, 3, 3), 0.25)
    assert torch.allclose(project(same, same, 2).images, same)

"""PCA of large sets: in chunks, from a file, never copied whole."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from glassnet.embedding import checks, embed
from glassnet.embedding.checks import checked_rows, finite_rows, row_chunks
from glassnet.embedding.pca import fit_chunked
from glassnet.errors import InputError


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(500, 6)) * [5, 4, 3, 2, 1, 0.5] @ rng.normal(size=(6, 6)) + 50).astype(np.float32)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 7 rows of 6 columns, the last of them shorter; PCA takes them whatever the size."""
    monkeypatch.setattr(checks, "CHUNK_NUMBERS", 45)
    monkeypatch.setattr(import_module("glassnet.embedding.pca"), "CHUNKED_FROM_NUMBERS", 0)


@pytest.fixture
def mapped(features, tmp_path):
    np.save(tmp_path / "features.npy", features)
    return np.load(tmp_path / "features.npy", mmap_mode="r")


def test_by_hand(small_chunks):
    # The line y = x: all variance lies along (1, 1) / sqrt 2, at distances from the mean of ∓ sqrt 8 and 0.
    model = fit_chunked(np.array([[0, 0], [2, 2], [4, 4]], dtype=np.float32), components=2)
    np.testing.assert_allclose(model.mean, [2, 2])
    np.testing.assert_allclose(np.abs(model.axes[0]), np.sqrt([0.5, 0.5]))
    np.testing.assert_allclose(model.ratio, [1, 0], atol=1e-12)
    np.testing.assert_allclose(model.transform(np.array([[4, 4]]))[0], [np.sqrt(8), 0], atol=1e-6)


@pytest.mark.usefixtures("small_chunks")
def test_equals_a_plain_svd_and_scikit_learn(features, mapped):
    result = embed(mapped, method="pca", dims=4)
    assert result.settings["solver"] == "chunked_covariance"
    whole = features.astype(np.float64)
    _, values, axes = np.linalg.svd(whole - whole.mean(axis=0), full_matrices=False)
    plain = (whole - whole.mean(axis=0)) @ axes[:4].T
    signs = np.sign((plain * result.points).sum(axis=0))
    np.testing.assert_allclose(result.points * signs, plain, atol=1e-4)
    np.testing.assert_allclose(result.explained_variance, (values**2 / (values**2).sum())[:4], rtol=1e-9)
    # The sign is settled as scikit-learn's: without one.
    oracle = PCA(4, svd_solver="covariance_eigh").fit_transform(whole)
    np.testing.assert_allclose(result.points, oracle, atol=1e-4)


def test_rows_far_from_zero_lose_no_digits(small_chunks):
    # A sum of squares less the square of the sum would lose all of them.
    rows = np.random.default_rng(0).normal(size=(400, 3)) * [3, 2, 1]
    np.testing.assert_allclose(
        fit_chunked(rows + 1e8, components=3).ratio, fit_chunked(rows, components=3).ratio, rtol=1e-6
    )


@pytest.mark.usefixtures("small_chunks")
def test_transform_and_inverse_in_chunks(features, mapped):
    result = embed(mapped, method="pca", dims=6)
    np.testing.assert_array_equal(result.transform(features), result.points)
    np.testing.assert_allclose(result.inverse(result.points), features, atol=1e-3)
    assert result.explained_variance.sum() == pytest.approx(1)


@pytest.mark.usefixtures("small_chunks")
def test_no_more_than_a_chunk_is_read_at_once(mapped, monkeypatch):
    sizes = []
    read = np.memmap.astype

    def spy(self, *arguments, **options):
        sizes.append(self.size)
        return read(self, *arguments, **options)

    class Watched(np.memmap):
        astype = spy

    result = embed(mapped.view(Watched), method="pca", dims=2)
    assert max(sizes) <= 45
    assert sum(sizes) == 2 * mapped.size  # once to fit, once to project
    sizes.clear()
    result.transform(mapped.view(Watched))
    assert max(sizes) <= 45
    assert sum(sizes) == mapped.size


@pytest.mark.usefixtures("small_chunks")
def test_constant_columns_and_equal_rows(features):
    features[:, 2] = 7
    assert embed(features, method="pca", dims=6).explained_variance[-1] == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="all 500 rows of the features are the same"):
        embed(np.ones_like(features), method="pca", dims=2)
    features[-1, 0] += 1
    with pytest.raises(InputError, match="all 1 rows of the features are the same"):
        embed(features[:1], method="pca", dims=1)


@pytest.mark.usefixtures("small_chunks")
def test_bad_rows_in_several_chunks_are_counted_and_the_first_named(features):
    features[[40, 41, 300], 1] = [np.nan, np.inf, -np.inf]
    for check in (finite_rows, checked_rows):
        with pytest.raises(InputError, match="a NaN or an infinity in 3 of 500 rows, first in row 40, expected finite"):
            check(features)


def test_finite_rows_copies_nothing_and_checked_rows_does(features, mapped):
    assert finite_rows(mapped) is mapped
    assert finite_rows(features) is features
    assert checked_rows(features).dtype == np.float64
    exact = features.astype(np.float64)
    assert not np.shares_memory(checked_rows(exact), exact)


def test_chunks_cover_every_row_once(features, mapped, monkeypatch):
    monkeypatch.setattr(checks, "CHUNK_NUMBERS", 45)
    for rows in (features, mapped):
        parts = list(row_chunks(rows))
        assert [start for start, _ in parts] == list(range(0, 500, 7))
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), features)
    monkeypatch.setattr(checks, "CHUNK_NUMBERS", 1)  # a row wider than a chunk is a chunk
    assert len(list(row_chunks(features))) == 500


def test_what_was_written_to_a_private_map_is_kept(features, tmp_path):
    np.save(tmp_path / "features.npy", features)
    private = np.load(tmp_path / "features.npy", mmap_mode="c")
    private[0] = 3
    list(row_chunks(private))
    assert (private[0] == 3).all()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="the peak is read from /proc")
def test_a_million_rows_take_less_than_one_gigabyte():
    script = Path(__file__).parents[2] / "benchmarks" / "large_pca.py"
    said = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True).stdout
    assert int(re.search(r'"peak_megabytes": (\d+)', said)[1]) < 1000

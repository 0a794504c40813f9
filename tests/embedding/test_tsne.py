import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import openTSNE
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier

from glassnet.embedding import Options, embed, quality
from glassnet.embedding.tsne import engines, loops
from glassnet.embedding.tsne.affinities import conditional, symmetrise
from glassnet.embedding.tsne.neighbours import build_index
from glassnet.embedding.tsne.repulsion import pairs_are_faster
from glassnet.errors import InputError

tsne_module = sys.modules["glassnet.embedding.tsne"]


def slow_affinities(rows: np.ndarray, perplexity: float) -> np.ndarray:
    """p_ij of van der Maaten & Hinton 2008, equations 1 and 2, over the 3 * perplexity nearest neighbours."""
    n, k = len(rows), int(3 * perplexity)
    conditional = np.zeros((n, n))
    for i in range(n):
        squared = ((rows - rows[i]) ** 2).sum(axis=1)
        neighbours = [j for j in np.argsort(squared) if j != i][:k]
        low, high = 1e-12, 1e12
        for _ in range(90):
            precision = np.sqrt(low * high)
            weights = np.exp(-precision * (squared[neighbours] - squared[neighbours].min()))
            chances = weights / weights.sum()
            entropy = -(chances * np.log(np.maximum(chances, 1e-300))).sum()
            low, high = (precision, high) if entropy > np.log(perplexity) else (low, precision)
        conditional[i, neighbours] = chances
    return (conditional + conditional.T) / (2 * n)


def slow_divergence(affinities: np.ndarray, points: np.ndarray) -> float:
    """KL(P || Q) with q_ij of equation 4, by all pairs."""
    kernel = 1 / (1 + cdist(points, points, "sqeuclidean"))
    np.fill_diagonal(kernel, 0)
    q = kernel / kernel.sum()
    some = affinities > 0
    return float((affinities[some] * np.log(affinities[some] / q[some])).sum())


@pytest.fixture(scope="module")
def embedded(digits):
    return embed(digits[0][:600], method="tsne")


def test_affinities_equal_the_papers(digits):
    # Moved a little, since digits of 17 grey levels have equal distances.
    rows = digits[0][:80] + 1e-3 * np.random.default_rng(0).normal(size=(80, 64))
    indices, squared = build_index(rows, threads=1).neighbours(37)
    graph = symmetrise(indices, conditional(squared, (12.5,)))
    affinities = csr_array((graph.values, graph.indices, graph.indptr)).toarray()
    np.testing.assert_allclose(affinities, slow_affinities(rows, 12.5), rtol=1e-3, atol=1e-9)
    assert affinities.sum() == pytest.approx(1)


def test_divergence_equals_the_papers_at_the_points(blobs):
    result = embed(blobs[0], method="tsne", perplexity=10)
    slow = slow_divergence(slow_affinities(blobs[0].astype(np.float64), 10), result.points)
    # So few points end on exact pairs, in float32.
    assert result.kl_divergence == pytest.approx(slow, rel=1e-4)


def test_equals_open_tsnes_own_estimator_and_ends_as_low_as_scikit_learns(digits):
    rows = digits[0][:300].astype(np.float64)
    result = embed(rows, method="tsne", perplexity=20, pca_components=None, engine="opentsne")
    start = tsne_module._start(rows, Options()).astype(np.float64)
    oracle = openTSNE.TSNE(perplexity=20, initialization=start, neighbors="exact", random_state=0).fit(rows)
    centred = np.asarray(oracle) - (oracle.max(axis=0) + oracle.min(axis=0)) / 2
    np.testing.assert_allclose(result.points, centred, rtol=1e-5, atol=1e-5)
    assert result.kl_divergence == pytest.approx(oracle.kl_divergence)
    other = TSNE(perplexity=20, random_state=0).fit(rows)
    assert result.kl_divergence == pytest.approx(other.kl_divergence_, rel=0.05)


def test_steps_lower_the_divergence(blobs):
    rows = blobs[0].astype(np.float64)
    affinities = slow_affinities(rows, 10)
    spread = embed(rows, method="pca").points
    result = embed(rows, method="tsne", perplexity=10)
    assert result.kl_divergence < 0.5 * slow_divergence(affinities, spread)


def test_keeps_the_classes_of_real_digits(digits, embedded):
    features, labels = digits[0][:600], digits[1][:600]
    assert embedded.points.shape == (600, 2)
    assert embedded.points.dtype == np.float32
    assert np.isfinite(embedded.points).all()
    assert 0 < embedded.kl_divergence < 1
    random_projection = features @ np.random.default_rng(0).normal(size=(64, 2))
    by_tsne = quality(features, embedded.points, labels=labels)
    by_chance = quality(features, random_projection, labels=labels)
    assert by_tsne.knn_accuracy > 0.93
    assert by_chance.knn_accuracy < 0.5
    assert by_tsne.trustworthiness > 0.97 > 0.8 > by_chance.trustworthiness


def test_repeats_bit_for_bit_in_this_and_another_process(digits, tmp_path):
    features = digits[0][:120]
    np.save(tmp_path / "features.npy", features)
    script = (
        "import hashlib, sys, numpy as np\n"
        "from glassnet.embedding import embed\n"
        f"result = embed(np.load({str(tmp_path / 'features.npy')!r}), method='tsne', seed=3, perplexity=20)\n"
        "print(hashlib.sha256(result.points.tobytes()).hexdigest(), result.kl_divergence.hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-W", "error", "-c", script]
    # First here, so that there the loops are compiled, of which a line would tell.
    results = [embed(features, method="tsne", seed=3, perplexity=20) for _ in range(2)]
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert other.returncode == 0, other.stderr
    assert other.stderr == ""
    for result in results:
        here = f"{hashlib.sha256(result.points.tobytes()).hexdigest()} {result.kl_divergence.hex()}"
        assert other.stdout.strip() == here
    assert (embed(features, method="tsne", seed=4, perplexity=20).points != result.points).any()


def test_the_grid_repeats_bit_for_bit_with_two_threads_in_another_process(digits, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).normal(scale=0.05, size=(2200, 64))
    np.save(tmp_path / "features.npy", np.resize(digits[0], (2200, 64)) + noise)
    script = (
        "import hashlib, numpy as np\n"
        "from glassnet.embedding import embed\n"
        "from glassnet.embedding.tsne import engines, loops\n"
        "engines.EARLY_STEPS, engines.STEPS = 40, 30\n"
        "assert loops.thread_count(2200) == 2\n"
        f"result = embed(np.load({str(tmp_path / 'features.npy')!r}), seed=3)\n"
        "print(hashlib.sha256(result.points.tobytes()).hexdigest(), result.kl_divergence.hex())\n"
    )
    # The linear algebra of the PCA before stays on one thread, as here: its rounding may depend on their number.
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert other.returncode == 0, other.stderr
    monkeypatch.setattr(engines, "EARLY_STEPS", 40)
    monkeypatch.setattr(engines, "STEPS", 30)
    for count in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", count)
        result = embed(np.load(tmp_path / "features.npy"), seed=3)
        here = f"{hashlib.sha256(result.points.tobytes()).hexdigest()} {result.kl_divergence.hex()}"
        assert other.stdout.strip() == here
    assert not pairs_are_faster(2200, float(np.ptp(result.points, axis=0).max()), 2)


def test_threads_do_not_change_the_points(digits, monkeypatch):
    monkeypatch.setattr(loops, "THREADS_FROM_POINTS", 300)
    monkeypatch.setattr(engines, "STEPS", 50)
    monkeypatch.setattr(engines, "EARLY_STEPS", 50)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(embed(digits[0][:300], method="tsne", perplexity=20))
    np.testing.assert_array_equal(results[0].points, results[1].points)
    assert results[0].kl_divergence == results[1].kl_divergence


def test_threads_are_the_cores_where_none_are_asked_for(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert 1 <= loops.thread_count(5000) <= os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert loops.thread_count(5000) == 5
    assert loops.thread_count(1999) == 1


def test_transform_places_held_out_digits_beside_their_class(digits, embedded):
    train, test = slice(0, 600), slice(600, 900)
    before = embedded.points.copy()
    placed = embedded.transform(digits[0][test])
    assert placed.shape == (300, 2)
    assert placed.dtype == np.float32
    by_neighbours = KNeighborsClassifier(10).fit(embedded.points, digits[1][train])
    assert by_neighbours.score(placed, digits[1][test]) > 0.9
    np.testing.assert_array_equal(embedded.points, before)
    np.testing.assert_array_equal(embedded.transform(digits[0][test]), placed)


def test_transform_brings_rows_back_to_their_own_points(digits, embedded):
    back = embedded.transform(digits[0][:100])
    spread = embedded.points.std()
    assert np.median(np.linalg.norm(back - embedded.points[:100], axis=1)) < 0.1 * spread


def test_wide_features_are_reduced_first(blobs):
    wide = np.hstack([blobs[0], np.zeros((120, 88), dtype=np.float32)])
    reduced = embed(wide, method="tsne", perplexity=10)
    assert reduced.settings["pca_components"] == 50
    assert reduced.transform(wide[:5]).shape == (5, 2)
    whole = embed(wide, method="tsne", perplexity=10, pca_components=None)
    assert whole.settings["pca_components"] is None
    # Ten components hold less of the noise than twelve columns, so the affinities and the divergence differ.
    some = embed(blobs[0], method="tsne", perplexity=10, pca_components=3)
    assert some.settings["pca_components"] == 3
    assert some.kl_divergence != pytest.approx(whole.kl_divergence, rel=1e-3)


@pytest.mark.parametrize("columns", [1, 12])
def test_three_dimensions(blobs, columns):
    result = embed(blobs[0][:, :columns], method="tsne", dims=3, perplexity=10)
    assert result.points.shape == (120, 3)
    assert np.isfinite(result.points).all()
    assert (result.points.std(axis=0) > 0).all()
    assert result.transform(blobs[0][:4, :columns]).shape == (4, 3)


@pytest.mark.parametrize("copies", [3, 30])
def test_equal_rows_are_parted_only_a_little(blobs, copies):
    features = np.repeat(blobs[0][: 240 // copies], copies, axis=0)
    result = embed(features, method="tsne", perplexity=5)
    assert np.isfinite(result.points).all()
    assert np.isfinite(result.kl_divergence)
    assert np.isfinite(result.transform(features[:7])).all()
    groups = result.points.reshape(-1, copies, 2)
    assert groups.std(axis=1).mean() < 0.5 * result.points.std()


def test_the_fewest_rows():
    result = embed(np.eye(4, dtype=np.float32), method="tsne", perplexity=1)
    assert np.isfinite(result.points).all()
    assert np.isfinite(result.transform(np.eye(4)[:1])).all()


def test_refuses_what_does_not_fit(blobs, unchecked):
    with pytest.raises(InputError, match=r"perplexity is 30, expected 1 to 16\.33, .* for 50 points; lower it or use"):
        embed(blobs[0][:50], method="tsne")
    with pytest.raises(InputError, match=r"perplexity is 0\.5, expected 1 to"):
        embed(blobs[0], method="tsne", perplexity=0.5)
    with pytest.raises(InputError, match=r"perplexity is nan, expected 1 to"):
        embed(blobs[0], method="tsne", perplexity=float("nan"))
    with pytest.raises(InputError, match=r"dims is 4, expected 2 or 3"):
        embed(blobs[0], method="tsne", dims=4)
    with pytest.raises(InputError, match=r"t-SNE got 3 rows, expected at least 4"):
        embed(blobs[0][:3], method="tsne", perplexity=1)
    with pytest.raises(InputError, match=r"pca_components is 0, expected at least 1, or None"):
        embed(blobs[0], method="tsne", perplexity=10, pca_components=0)
    with pytest.raises(InputError, match=r"perplexity is 'x', expected a number"):
        embed(blobs[0], method="tsne", perplexity="x")
    with pytest.raises(InputError, match=r"perplexity is '5', expected a number"):
        embed(blobs[0], method="tsne", perplexity=["5", 10])


def test_several_perplexities_may_be_any_sequence_and_can_be_replayed(blobs, monkeypatch, unchecked):
    monkeypatch.setattr(engines, "EARLY_STEPS", 5)
    monkeypatch.setattr(engines, "STEPS", 5)
    result = embed(blobs[0], perplexity=(5, 10))
    assert result.settings["perplexity"] == (5.0, 10.0)
    for given in ([5, 10], np.array([5, 10]), json.loads(json.dumps(result.settings["perplexity"]))):
        np.testing.assert_array_equal(embed(blobs[0], perplexity=given).points, result.points)
    assert embed(blobs[0], perplexity=np.float32(5)).settings["perplexity"] == 5.0


def test_tells_of_a_collapse(capsys):
    features = np.random.default_rng(0).normal(size=(50, 12))
    collapsed = embed(features, perplexity=10, exaggeration=4)
    assert collapsed.points.std() < 1e-10
    expected = r"t-SNE collapsed all 50 points to one .*; lower the exaggeration, now 4, or the perplexity"
    assert re.search(expected, capsys.readouterr().err)
    embed(features, perplexity=10)
    assert "into one" not in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["glassnet", "opentsne"])
def test_says_where_it_ran(blobs, monkeypatch, engine):
    monkeypatch.setattr(engines, "EARLY_STEPS", 1)
    monkeypatch.setattr(engines, "STEPS", 1)
    assert embed(blobs[0], perplexity=10, engine=engine).settings["device"] == "cpu"


@pytest.mark.parametrize("engine", ["glassnet", "opentsne"])
def test_keeps_the_classes_as_the_features_do(digits, engine):
    # The kNN accuracy before and after: of the features themselves, of the start, and of the points.
    features, labels = digits[0][:400], digits[1][:400]
    start = embed(features, method="pca").points
    points = embed(features, perplexity=20, engine=engine).points
    before, first, after = (quality(features, rows, labels=labels).knn_accuracy for rows in (features, start, points))
    assert first < 0.75
    assert after > before - 0.02 > 0.9

"""Distances wherever the rows lie: moved far off, scaled, with one row far from all others; against differences."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from glassnet.embedding import cka, cluster, embed, layer_scores, linear_probe, quality, separability, spread
from glassnet.embedding.clusters import methods as clusterings
from glassnet.embedding.clusters.methods import from_sample
from glassnet.embedding.distances import all_squared_distances, magnitude, majority, ruler, unit_rows
from glassnet.embedding.separability import held_out
from glassnet.embedding.tsne import neighbours
from glassnet.embedding.tsne.neighbours import build_index
from glassnet.embedding.tsne.torch_engine import neighbours_on
from glassnet.errors import InputError

PLACES = ("near", "moved", "outlier", "outliers", "two places", "tiny", "huge")


@pytest.fixture(scope="module")
def rows(digits) -> np.ndarray:
    # Eighths and a little noise in as many binary digits as 1e8 leaves, so that moving the rows rounds nothing.
    noise = np.random.default_rng(0).integers(-(2**20), 2**20, size=(300, 64)) * 2.0**-25
    return digits[0][:300].astype(np.float64) + noise


@pytest.fixture(scope="module")
def labels(digits) -> np.ndarray:
    return digits[1][:300]


def put(rows: np.ndarray, place: str) -> np.ndarray:
    placed = rows.copy()
    if place == "moved":
        placed += 1e8
    if place == "outlier":
        placed[7] = 1e11
    if place == "outliers":
        placed[:20] += 1e11
    if place == "two places":
        placed[::2] += 1e8
    return placed * {"tiny": 1e-170, "huge": 1e170}.get(place, 1.0)


def exact_neighbours(rows: np.ndarray, k: int) -> np.ndarray:
    distances = cdist(rows * 2.0 ** -magnitude(rows), rows * 2.0 ** -magnitude(rows), "sqeuclidean")
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    columns=st.sampled_from([1, 8, 9, 60]),
    shift=st.sampled_from([0.0, 1.0, -1e6, 1e8, 1e12]),
    scale=st.sampled_from([1e-250, 1e-3, 1.0, 1e5, 1e250]),
    far=st.sampled_from([0.0, 1e3, 1e8, 1e11, 1e14]),
    far_rows=st.sampled_from([1, 2, 12, 20]),
    copies=st.booleans(),
)
def test_squared_distances_equal_those_by_differences(seed, columns, shift, scale, far, far_rows, copies):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, columns)) + shift
    rows[:far_rows] += far
    if copies:
        rows[20:30] = rows[5]
    rows, queries = rows * scale, (rng.normal(size=(7, columns)) + shift) * scale
    measured = ruler(rows)
    unit = 2.0**measured.exponent
    np.testing.assert_allclose(measured.squared(queries), cdist(queries / unit, rows / unit, "sqeuclidean"), rtol=1e-8)
    whole = all_squared_distances(rows)
    exact = cdist(np.ldexp(rows, -magnitude(rows)), np.ldexp(rows, -magnitude(rows)), "sqeuclidean")
    np.fill_diagonal(exact, np.inf)
    np.testing.assert_allclose(whole, exact, rtol=1e-8)


def test_rows_near_the_unit_keep_their_differences_and_never_overflow():
    rows = np.array([[1.7e308, 0.0], [-1.7e308, 0.0], [0.0, 1.7e308]])
    np.testing.assert_allclose(unit_rows(rows.copy()), [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], atol=0.06)
    far = 1e8 + np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 0.25]])
    np.testing.assert_array_equal(unit_rows(far), [[-0.5, 0.75], [0.0, -0.25], [0.5, 0.0]])


def test_of_a_tie_the_smallest_label_wins():
    votes = np.array([[3, 3, 9], [9, 3, 5], [10**12, 10**12, 3]])
    np.testing.assert_array_equal(majority(votes), [3, 3, 10**12])


@pytest.mark.parametrize("place", PLACES)
def test_the_vote_of_neighbours(rows, labels, place):
    placed = put(rows, place)
    train, test = held_out(labels, share=0.3, seed=0)
    score = layer_scores({"a": placed}, labels)[0]
    unit = 2.0 ** -magnitude(placed)
    order = np.argsort(cdist(placed[test] * unit, placed[train] * unit), axis=1, kind="stable")[:, :10]
    right = [np.bincount(labels[train][nearest]).argmax() for nearest in order] == labels[test]
    assert score.knn_accuracy == pytest.approx(np.mean(right))
    if place in ("near", "moved", "outlier", "tiny", "huge"):
        assert score.knn_accuracy > 0.93


@pytest.mark.parametrize("place", PLACES)
def test_silhouettes_and_the_nearest_mean(rows, labels, place):
    placed = put(rows, place)
    unit = placed * 2.0 ** -magnitude(placed)
    measured = cluster(placed, k=10, labels=labels)
    expected = silhouette_score(cdist(unit, unit), labels, metric="precomputed")
    assert measured.class_silhouette == pytest.approx(expected, rel=1e-6)
    right = []
    for row in range(len(unit)):
        others = np.arange(len(unit)) != row
        means = np.stack([unit[others & (labels == label)].mean(axis=0) for label in range(10)])
        right.append(cdist(unit[row : row + 1], means).argmin() == labels[row])
    assert separability(placed, labels).nearest_mean_accuracy == pytest.approx(np.mean(right))


@pytest.mark.parametrize("place", PLACES)
def test_quality(rows, labels, place):
    placed, points = put(rows, place), rows[:, 20:22]
    near = exact_neighbours(placed, 10)
    among = exact_neighbours(points, 10)
    measured = quality(placed, points, labels=labels)
    kept = np.mean([len({*a} & {*b}) / 10 for a, b in zip(near, among, strict=True)])
    assert measured.neighbours_kept == pytest.approx(kept)
    ours = quality(placed, placed, labels=labels)
    assert (ours.trustworthiness, ours.continuity, ours.neighbours_kept) == (1, 1, 1)
    votes = [np.bincount(labels[nearest]).argmax() for nearest in near]
    assert ours.knn_accuracy == pytest.approx(np.mean(votes == labels))
    assert ours.distance_correlation == pytest.approx(1)


def test_distances_are_ranked_beside_a_row_at_1e25(rows):
    placed = rows.copy()
    placed[7] = 1e25
    assert quality(placed, rows).distance_correlation == pytest.approx(
        quality(put(rows, "outlier"), rows).distance_correlation
    )


@pytest.mark.parametrize("place", ["near", "moved", "outlier", "two places"])
def test_k_means_finds_the_groups_of_rows_that_are_far_apart(place):
    rng = np.random.default_rng(0)
    groups = np.arange(120) % 3
    rows = put(30 * np.eye(3, 12)[groups] + rng.normal(size=(120, 12)), place)
    expected = groups.copy()
    if place == "outlier":
        expected[7] = 3
    if place == "two places":
        expected[::2] += 3
    k = len(np.unique(expected))
    assert cluster(rows, k=k, labels=expected).ari == 1
    assert cluster(rows, k=k, labels=expected, method="agglomerative").ari == 1


def test_k_means_as_good_as_scikit_learns_where_both_see_all(rows, monkeypatch):
    theirs = KMeans(10, n_init=10, random_state=0).fit(rows)
    monkeypatch.setattr(clusterings, "COMPACT", 1.0)
    assignment = cluster(rows, k=10).assignment
    means = np.stack([rows[assignment == k].mean(axis=0) for k in range(10)])
    assert ((rows - means[assignment]) ** 2).sum() < 1.02 * theirs.inertia_


@pytest.mark.parametrize("columns", [6, 30])
def test_a_point_left_out_joins_its_nearest(rows, columns):
    placed = put(rows[:, :columns], "two places")
    assignment, fitted = from_sample(lambda some: np.arange(len(some)), placed, most=100, seed=0)
    chosen = np.sort(np.random.default_rng(0).choice(300, 100, replace=False))
    assert fitted == 100
    np.testing.assert_array_equal(assignment, cdist(placed, placed[chosen]).argmin(axis=1))


@pytest.mark.parametrize("place", ["moved", "outlier", "outliers", "two places"])
@pytest.mark.parametrize("search", ["exact", "cells", "torch"])
def test_neighbours_of_t_sne(rows, place, search, monkeypatch):
    placed = put(rows, place)
    if search == "cells":
        monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)
        monkeypatch.setattr(neighbours, "PROBES", 300)
    find = neighbours_on if search == "torch" else None
    indices, squared = find(placed, 20, device="cpu") if find else build_index(placed, threads=1).neighbours(20)
    agree = np.mean([len({*a} & {*b}) / 20 for a, b in zip(indices, exact_neighbours(placed, 20), strict=True)])
    assert agree > 0.999
    exact = np.stack([((placed[i] - placed[indices[i]]) ** 2).sum(axis=1) for i in range(300)])
    np.testing.assert_allclose(squared, exact, rtol=1e-3)


@pytest.mark.parametrize("place", ["moved", "outlier", "two places"])
def test_new_rows_of_t_sne_have_their_true_neighbours(rows, place):
    placed = put(rows, place)
    indices, _ = build_index(placed[60:], threads=1).search(placed[:60], 10)
    order = np.argsort(cdist(placed[:60], placed[60:]), axis=1, kind="stable")[:, :10]
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(indices, order, strict=True)]) > 0.999


@pytest.mark.parametrize("pca_components", [None, 30])
@pytest.mark.parametrize("engine", ["glassnet", "opentsne"])
def test_t_sne_keeps_classes_beside_a_row_at_1e11(pca_components, engine):
    rng = np.random.default_rng(0)
    labels = np.arange(150) % 3
    rows = 8 * np.eye(3, 60)[labels] + rng.normal(size=(150, 60))
    rows[5] = 1e11
    points = embed(rows, pca_components=pca_components, perplexity=15, engine=engine).points
    others = np.arange(150) != 5
    assert quality(rows[others], points[others], labels=labels[others]).knn_accuracy == 1


@pytest.mark.parametrize("shape", [(300, 40), (60, 200)])
def test_the_principal_components_after_that_of_a_far_row(shape):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=shape) * np.linspace(5, 1, shape[1])
    rows[3] = 1e11
    rest = np.delete(rows, 3, axis=0)
    # The far row lies along one axis; the others are those of the rest at right angles to it, nearly.
    far = np.ones(shape[1]) / np.sqrt(shape[1])
    rest = rest - rest.mean(axis=0)
    rest -= np.outer(rest @ far, far)
    expected = np.linalg.svd(rest, full_matrices=False)[2][:3]
    found = embed(rows, method="pca", dims=4)
    axes = np.stack([found.inverse(np.eye(4)[i : i + 1])[0] - found.inverse(np.zeros((1, 4)))[0] for i in range(4)])
    assert found.explained_variance[0] == pytest.approx(1)
    scores = (rest @ expected.T)[:, 0]
    mine = np.delete(found.points[:, 1], 3)
    assert abs(np.corrcoef(scores, mine)[0, 1]) > 0.999
    assert axes.shape == (4, shape[1])


def test_spread_alignment_and_probe_do_not_depend_on_where_rows_lie(rows, labels):
    moved = put(rows, "moved")
    ours, theirs = spread(rows), spread(moved)
    assert theirs.effective_rank == pytest.approx(ours.effective_rank, rel=1e-6)
    assert theirs.participation_ratio == pytest.approx(ours.participation_ratio, rel=1e-6)
    assert separability(moved, labels).scatter_ratio == pytest.approx(separability(rows, labels).scatter_ratio)
    for debiased in (False, True):
        near, far = (cka({"a": some}, {"b": rows[:, :30]}, debiased=debiased).matrix for some in (rows, moved))
        np.testing.assert_allclose(far, near, rtol=1e-6)
    train, test = held_out(labels, share=0.3, seed=0)
    # Spread so little that scikit-learn's scaler takes the columns for constants.
    little = rows * 2.0**-14
    one, two = (linear_probe(some, labels, train=train, test=test) for some in (little, little + 2.0**24))
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-3)


@pytest.mark.parametrize("place", ["moved", "outlier"])
def test_umap_keeps_classes(place):
    pytest.importorskip("umap")
    labels = np.arange(90) % 3
    rows = put(9 * np.eye(3, 20)[labels] + np.random.default_rng(0).normal(size=(90, 20)), place)
    made = embed(rows, method="umap", neighbours=8)
    others = np.arange(90) != 7
    assert quality(rows[others], made.points[others], labels=labels[others]).knn_accuracy == 1
    placed = made.transform(rows[20:40])
    assert cdist(placed, made.points).argmin(axis=1).tolist() != [0] * 20


def test_umap_says_what_single_precision_does_not_tell(capsys):
    pytest.importorskip("umap")
    rows = np.random.default_rng(0).normal(size=(60, 20))
    embed(rows, method="umap", neighbours=8)
    assert capsys.readouterr().err == ""
    embed(put(rows, "two places"), method="umap", neighbours=8)
    assert "for 100% of the rows, UMAP cannot resolve the distance to the nearest" in capsys.readouterr().err


@pytest.mark.parametrize("unit", [1e-200, 1e25, 1e200])
def test_umap_does_not_depend_on_the_unit(unit):
    pytest.importorskip("umap")
    labels = np.arange(90) % 3
    rows = 9 * np.eye(3, 20)[labels] + np.random.default_rng(0).normal(size=(90, 20))
    made = embed(rows * unit, method="umap", neighbours=8)
    assert quality(rows, made.points, labels=labels).knn_accuracy == 1
    assert np.isfinite(made.transform(rows[:5] * unit)).all()


KINDS = {
    "list": lambda rows: rows.tolist(),
    "np.matrix": np.asmatrix,
    "scipy sparse": lambda rows: scipy.sparse.csr_matrix(rows),
    "scipy sparse array": lambda rows: scipy.sparse.coo_array(rows),
    "tensor with gradient": lambda rows: torch.tensor(rows, requires_grad=True),
    "bfloat16": lambda rows: torch.tensor(rows).bfloat16(),
    "half": lambda rows: torch.tensor(rows).half(),
    "torch sparse": lambda rows: torch.tensor(rows).to_sparse(),
    "torch sparse rows": lambda rows: torch.tensor(rows).to_sparse_csr(),
    "longdouble": lambda rows: rows.astype(np.longdouble),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_is_the_same_rows(kind, unchecked):
    # Whole numbers up to 7, which bfloat16 holds.
    rng = np.random.default_rng(0)
    rows = rng.integers(-3, 4, size=(60, 12)).astype(np.float64)
    labels = np.arange(60) % 3
    rows[:, 0] += labels
    some = KINDS[kind](rows)
    assert separability(some, labels.tolist()) == separability(rows, labels)
    assert spread(some) == spread(rows)
    assert quality(some, some, labels=torch.tensor(labels)) == quality(rows, rows, labels=labels)
    ours, theirs = layer_scores({"a": some}, labels)[0], layer_scores({"a": rows}, labels)[0]
    assert (ours.knn_accuracy, ours.probe.accuracy) == (theirs.knn_accuracy, theirs.probe.accuracy)
    np.testing.assert_array_equal(cka({"a": some, "b": rows}).matrix, cka({"a": rows, "b": rows}).matrix)
    np.testing.assert_array_equal(cluster(some, k=3).assignment, cluster(rows, k=3).assignment)
    for method in ("pca", "tsne"):
        made = embed(some, method=method, perplexity=5)
        np.testing.assert_array_equal(made.points, embed(rows, method=method, perplexity=5).points)
        placed = made.transform(some)
        assert placed.shape == (60, 2)
    np.testing.assert_allclose(made.points, embed(rows, perplexity=5).points)
    pca = embed(rows, method="pca", dims=12)
    np.testing.assert_allclose(pca.transform(some), pca.points, atol=1e-5)
    np.testing.assert_allclose(pca.inverse(torch.tensor(pca.points)), rows, atol=1e-4)


NOT_ROWS = {
    "None": (None, "are of type object"),
    "ragged": ([[1.0, 2.0], [3.0]], "are not an array"),
    "text": ([["a", "b"]], "are of type <U1"),
    "complex": (torch.ones(6, 2, dtype=torch.complex64), "are of type complex64"),
    "meta": (torch.ones(6, 2, device="meta"), "are a tensor without numbers"),
    "masked": (np.ma.masked_equal(np.eye(6), 1.0), "have 6 masked values"),
    "scalar": (3.0, r"have shape \(\)"),
    "one row": (torch.ones(6, requires_grad=True), r"have shape \(6,\)"),
}


@pytest.mark.parametrize("kind", NOT_ROWS)
def test_what_are_no_rows_is_one_sentence(kind, unchecked):
    rows, expected = NOT_ROWS[kind]
    labels, good = np.arange(6) % 2, np.random.default_rng(0).normal(size=(6, 2))
    pca = embed(good, method="pca")
    calls = [
        lambda: embed(rows, method="pca"),
        lambda: embed(rows),
        lambda: quality(rows, good, neighbours=2),
        lambda: separability(rows, labels),
        lambda: spread(rows),
        lambda: layer_scores({"a": rows}, labels),
        lambda: cluster(rows, k=2),
        lambda: cka({"a": rows}),
        lambda: pca.transform(rows),
        lambda: pca.inverse(rows),
        lambda: linear_probe(rows, labels, train=[0, 1, 2, 3], test=[4, 5]),
    ]
    for call in calls:
        with pytest.raises(InputError, match=expected):
            call()


def test_layers_come_by_name(unchecked):
    for layers in (None, np.ones((6, 2)), [np.ones((6, 2))]):
        with pytest.raises(InputError, match="expected a mapping from layer names"):
            layer_scores(layers, np.arange(6) % 2)
        with pytest.raises(InputError, match="expected a mapping from layer names"):
            cka(layers)
    with pytest.raises(InputError, match="labels are of type object"):
        layer_scores({"a": np.eye(6)}, None)

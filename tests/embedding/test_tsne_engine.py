"""The compiled t-SNE, piece by piece: neighbours, affinities, both forces, the descent."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from glassnet.embedding import embed
from glassnet.embedding.tsne.affinities import conditional, neighbour_count, symmetrise
from glassnet.embedding.tsne.loops import Team
from glassnet.embedding.tsne.neighbours import build_index
from glassnet.embedding.tsne.optimizer import Descent, Phase, optimise
from glassnet.errors import InputError


def dense(affinities, n):
    matrix = np.zeros((n, n))
    for i in range(n):
        part = slice(affinities.indptr[i], affinities.indptr[i + 1])
        matrix[i, affinities.indices[part]] = affinities.values[part]
    return matrix


def slow_forces(p, points):
    """Attraction and repulsion of van der Maaten 2014, equation 8, and Z, by all pairs in float64."""
    apart = points[:, None] - points[None]
    kernel = 1 / (1 + (apart**2).sum(axis=2))
    np.fill_diagonal(kernel, 0)
    attraction = ((p * kernel)[:, :, None] * apart).sum(axis=1)
    repulsion = ((kernel**2)[:, :, None] * apart).sum(axis=1)
    return attraction, repulsion, kernel.sum()


def affinities_of(rows, perplexity):
    index = build_index(rows.astype(np.float64), threads=1)
    indices, squared = index.neighbours(neighbour_count((perplexity,), len(rows)))
    return symmetrise(indices, conditional(squared, (perplexity,)))


def test_neighbours_equal_scikit_learns(digits):
    rows = digits[0][:300] + 1e-3 * np.random.default_rng(0).normal(size=(300, 64))
    indices, squared = build_index(rows, threads=1).neighbours(12)
    distances, others = NearestNeighbors(n_neighbors=13).fit(rows).kneighbors(rows)
    np.testing.assert_array_equal(indices, others[:, 1:])
    np.testing.assert_allclose(squared, distances[:, 1:] ** 2, rtol=1e-3)


def test_a_row_is_not_its_own_neighbour_even_among_its_copies():
    rows = np.repeat(np.eye(4), 5, axis=0)
    indices, squared = build_index(rows, threads=1).neighbours(4)
    for i, row in enumerate(indices):
        assert i not in row
        assert set(row // 5) == {i // 5}
    assert (squared == 0).all()


def test_chances_by_hand():
    # Equal distances share the chance; at perplexity 2 over (0, 0, far, far), the two nearest share it.
    np.testing.assert_allclose(conditional(np.ones((1, 4)), (4.0,)), 0.25)
    np.testing.assert_allclose(conditional(np.array([[0.0, 0.0, 9.0, 9.0]]), (2.0,)), [[0.5, 0.5, 0, 0]], atol=1e-3)


def test_several_perplexities_are_the_mean_of_each():
    squared = np.random.default_rng(0).gamma(2.0, size=(20, 30))
    both = conditional(squared, (3.0, 10.0))
    apart = (conditional(squared, (3.0,)) + conditional(squared, (10.0,))) / 2
    np.testing.assert_allclose(both, apart, atol=1e-12)
    entropy = -(p := conditional(squared, (10.0,))) * np.log(np.maximum(p, 1e-300))
    np.testing.assert_allclose(np.exp(entropy.sum(axis=1)), 10, rtol=1e-6)


def test_affinities_are_symmetric_and_sum_to_one(digits):
    matrix = dense(affinities_of(digits[0][:100], 10.0), 100)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.sum() == pytest.approx(1, abs=1e-6)
    assert (matrix.diagonal() == 0).all()


# Few points take all pairs, many the grid; 3,000 are more than any bound between the two.
@pytest.mark.parametrize(("n", "dims"), [(200, 2), (200, 3), (3000, 2), (3000, 3)])
@pytest.mark.parametrize("deviation", [0.5, 15.0])
def test_the_gradient_equals_the_exact_one(n, dims, deviation):
    generator = np.random.default_rng(1)
    points = (deviation * generator.normal(size=(n, dims))).astype(np.float32)
    affinities = affinities_of(generator.normal(size=(n, 5)), 10.0)
    with Team(1) as team:
        attraction, repulsion, total = Descent(affinities, points, team).forces()
    slow_attraction, slow_repulsion, slow_total = slow_forces(dense(affinities, n), points.astype(np.float64))
    assert total == pytest.approx(slow_total, rel=0.01)
    assert np.linalg.norm(attraction - slow_attraction) < 1e-5 * np.linalg.norm(slow_attraction)
    # The grid's own error, a few hundredths of a force that no step takes in full.
    assert np.linalg.norm(repulsion - slow_repulsion) < 0.06 * np.linalg.norm(slow_repulsion)


@pytest.mark.parametrize("dims", [2, 3])
def test_two_points_by_hand(dims):
    # At distance 2 the kernel is 1/5: Z = 2/5, attraction p · 2 / 5 = 1/5, repulsion 2 / 25 along the first axis.
    points = np.zeros((2, dims), np.float32)
    points[1, 0] = 2
    affinities = symmetrise(np.array([[1], [0]]), np.ones((2, 1)))
    with Team(1) as team:
        attraction, repulsion, total = Descent(affinities, points, team).forces()
    assert total == pytest.approx(0.4, rel=0.01)
    np.testing.assert_allclose(attraction[:, 0], [-0.2, 0.2], rtol=1e-5)
    np.testing.assert_allclose(repulsion[:, 0], [-0.08, 0.08], rtol=0.02)


def test_threads_do_not_change_a_bit(digits):
    affinities = affinities_of(digits[0][:400], 10.0)
    start = (1e-4 * np.random.default_rng(0).normal(size=(400, 2))).astype(np.float32)
    phases = (Phase(steps=20, exaggeration=12.0), Phase(steps=20, exaggeration=1.0))
    one, three = (optimise(affinities, start, phases, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one.points, three.points)
    assert one.kl_divergence == three.kl_divergence


def test_both_engines_end_alike(digits):
    features, labels = digits[0][:400], digits[1][:400]
    ours = embed(features, method="tsne", perplexity=20)
    theirs = embed(features, method="tsne", perplexity=20, engine="opentsne")
    assert ours.kl_divergence == pytest.approx(theirs.kl_divergence, rel=0.03)
    shares = [(labels[np.argsort(cdist(e.points, e.points), axis=1)[:, 1]] == labels).mean() for e in (ours, theirs)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_refuses_an_unknown_engine_and_device(blobs):
    with pytest.raises(InputError, match=r"no t-SNE engine 'fitsne'.*glassnet, opentsne"):
        embed(blobs[0], method="tsne", perplexity=10, engine="fitsne")
    with pytest.raises(InputError, match=r"exaggeration is 0\.5, expected at least 1"):
        embed(blobs[0], method="tsne", perplexity=10, exaggeration=0.5)
    with pytest.raises(InputError, match="perplexity is empty"):
        embed(blobs[0], method="tsne", perplexity=())

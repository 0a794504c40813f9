"""Repulsion over a grid and by all pairs, against the papers' double sum."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from glassnet.embedding.tsne import mesh
from glassnet.embedding.tsne.loops import PIECES, Team
from glassnet.embedding.tsne.optimizer import repel_2d, repel_3d
from glassnet.embedding.tsne.repulsion import Repulsion, _spacing, convolve, influence, pairs_are_faster
from references.repulsion import repulsion as slow_repulsion


def over_grid(points, threads=1):
    force, potential = np.empty_like(points), np.empty(PIECES)
    with Team(threads) as team:
        law = Repulsion(points.shape[1], team)
        law.fit(points.min(axis=0), points.max(axis=0))
        grid = law.potential(points)
        team.each(lambda first, last: law.read(grid, points, force, potential, first, last))
    return force, potential.sum()


def by_pairs(points):
    force, potential = np.empty_like(points), np.empty(PIECES)
    {2: repel_2d, 3: repel_3d}[points.shape[1]](np.ascontiguousarray(points.T), force, potential, 0, PIECES)
    return force, potential.sum()


def scattered(n, dims, deviation):
    # Two groups, one ten times as dense, off the origin.
    points = np.random.default_rng(5).normal(size=(n, dims)) * deviation
    points[: n // 2] = points[: n // 2] / 10 + 2 * deviation
    return (points + 7).astype(np.float32)


# From the start's 1e-4 to sparse points, where single neighbours count and the grid is at its worst.
@pytest.mark.parametrize(
    ("dims", "deviation", "tolerance"),
    [(2, 1e-4, 0.01), (2, 0.1, 2e-4), (2, 3.0, 0.02), (2, 20.0, 0.01), (3, 1e-4, 0.02), (3, 1.0, 5e-3), (3, 6.0, 0.02)],
)
def test_the_grid_equals_the_double_sum(dims, deviation, tolerance):
    points = scattered(400, dims, deviation)
    force, total = over_grid(points)
    slow_force, slow_potential = slow_repulsion(points)
    assert np.linalg.norm(force - slow_force) < tolerance * np.linalg.norm(slow_force)
    assert total == pytest.approx(slow_potential.sum(), rel=1e-4)


def test_in_space_a_wide_range_coarsens_the_grid_as_its_docstring_says():
    assert _spacing(90.0, 3) == 0.6
    assert _spacing(126.0, 3) == pytest.approx(0.84)
    points = np.random.default_rng(1).normal(size=(3000, 3))
    points = (126 * points / np.ptp(points, axis=0).max()).astype(np.float32)
    force, total = over_grid(points)
    slow_force, slow_potential = slow_repulsion(points)
    assert np.linalg.norm(force - slow_force) == pytest.approx(0.09 * np.linalg.norm(slow_force), rel=0.1)
    assert total == pytest.approx(slow_potential.sum(), rel=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_pairs_equal_the_double_sum(dims):
    points = scattered(101, dims, 3.0)
    force, total = by_pairs(points)
    slow_force, slow_potential = slow_repulsion(points)
    np.testing.assert_allclose(force, slow_force, rtol=1e-4, atol=1e-4)
    assert total == pytest.approx(slow_potential.sum(), rel=1e-6)


@pytest.mark.parametrize("law", [over_grid, by_pairs])
def test_two_points_by_hand(law):
    # At distance 2 the kernel is 1/5: each is pushed by 2 / 25, and Z = 2/5.
    force, total = law(np.array([[-1.0, 0.3], [1.0, 0.3]], np.float32))
    np.testing.assert_allclose(force, [[-0.08, 0], [0.08, 0]], atol=2e-4)
    assert total == pytest.approx(0.4, rel=1e-3)


def test_one_point_does_not_push_itself():
    points = np.random.default_rng(0).normal(scale=20, size=(2, 2)).astype(np.float32)
    points[1] = points[0] + 40
    force, total = over_grid(points)
    expected, potential = slow_repulsion(points)
    np.testing.assert_allclose(force, expected, atol=1e-5)
    assert total == pytest.approx(potential.sum(), rel=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_threads_do_not_change_the_grids_sums(dims):
    points = scattered(300, dims, 4.0)
    one, total = over_grid(points)
    for threads in (2, 3):
        force, sums = over_grid(points, threads)
        np.testing.assert_array_equal(force, one)
        assert sums == total


def test_all_points_in_one_place():
    force, total = over_grid(np.full((50, 2), 3.5, np.float32))
    np.testing.assert_allclose(force, 0, atol=2e-3)
    assert total == pytest.approx(50 * 49, rel=1e-4)


def test_splines_are_scipys():
    u = np.float32(0.3)
    spline = BSpline.basis_element(np.arange(5))
    places = u + np.arange(3, -1, -1)
    np.testing.assert_allclose(mesh.weights(u), spline(places), atol=1e-6)
    np.testing.assert_allclose(mesh.slopes(u), spline.derivative()(places), atol=1e-6)


def test_overlaps_are_sums_over_pairs_of_nodes():
    u, step = np.float32(0.3), np.float32(1e-2)

    def slow(u):
        w = np.array(mesh.weights(np.float32(u)), dtype=np.float64)
        return [sum(w[a] * w[b] for a in range(4) for b in range(4) if abs(a - b) == apart) for apart in range(4)]

    w = mesh.weights(u)
    np.testing.assert_allclose(mesh.overlaps(w), slow(u), atol=1e-6)
    assert sum(mesh.overlaps(w)) == pytest.approx(1, abs=1e-6)
    difference = (np.array(slow(u + step)) - np.array(slow(u - step))) / (4 * step)
    np.testing.assert_allclose(mesh.overlap_slopes(w, mesh.slopes(u)), difference, atol=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_convolution_is_the_plain_sum(dims):
    generator = np.random.default_rng(2)
    grid = np.zeros((*[4] * (dims - 1), 8), np.float32)
    grid[..., :4] = generator.random((4,) * dims)
    spectrum = influence(8, 0.5, dims)
    answer = np.fft.irfftn(spectrum, s=(8,) * dims, axes=range(dims))
    expected = np.zeros((4,) * dims)
    for to in np.ndindex(*expected.shape):
        for source in np.ndindex(*expected.shape):
            expected[to] += grid[source] * answer[tuple(np.subtract(to, source))]
    result = convolve(grid, spectrum.repeat(2, axis=-1), 1)[..., :4]
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_pairs_where_points_are_few_or_far_apart():
    assert pairs_are_faster(1000, 100.0, 2)
    assert not pairs_are_faster(1000, 1e-3, 2)
    assert not pairs_are_faster(10_000, 180.0, 2)
    assert pairs_are_faster(10_000, 180.0, 3)

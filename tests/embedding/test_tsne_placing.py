import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

from glassnet.embedding.tsne import placing
from glassnet.embedding.tsne.affinities import conditional, symmetrise
from glassnet.embedding.tsne.neighbours import build_index
from glassnet.embedding.tsne.optimizer import Phase, optimise
from glassnet.embedding.tsne.placing import attraction, place_new, weighted_median
from glassnet.errors import InputError


def slow_chances(squared: np.ndarray, perplexity: float) -> np.ndarray:
    """p_j proportional to exp(-b |x - x_j|²), with b such that the entropy is log(perplexity)."""
    low, high = 1e-12, 1e12
    for _ in range(90):
        precision = np.sqrt(low * high)
        weights = np.exp(-precision * (squared - squared.min()))
        chances = weights / weights.sum()
        entropy = -(chances * np.log(np.maximum(chances, 1e-300))).sum()
        low, high = (precision, high) if entropy > np.log(perplexity) else (low, precision)
    return chances


def slow_divergence(place: np.ndarray, points: np.ndarray, chances: np.ndarray, neighbours: np.ndarray) -> float:
    """KL(p || q) of one place, up to the entropy of p."""
    kernel = 1 / (1 + ((place - points) ** 2).sum(axis=1))
    return float(-(chances * np.log(kernel[neighbours] / kernel.sum())).sum())


def slow_place(points: np.ndarray, rows: np.ndarray, new: np.ndarray, perplexity: float) -> np.ndarray:
    """The descent for one new row with every sum over all points, in double precision."""
    points = points.astype(np.float64)
    squared = ((rows - new) ** 2).sum(axis=1)
    neighbours = np.argsort(squared)[: int(3 * perplexity)]
    chances = slow_chances(squared[neighbours], perplexity)
    place = np.empty(points.shape[1])
    for axis, values in enumerate(points[neighbours].T):
        order = np.argsort(values)
        place[axis] = values[order][np.searchsorted(chances[order].cumsum(), 0.5)]
    update = np.zeros_like(place)
    for _ in range(placing.STEPS):
        apart = place - points
        kernel = 1 / (1 + (apart**2).sum(axis=1, keepdims=True))
        pull = (chances[:, None] * (kernel * apart)[neighbours]).sum(axis=0)
        push = (kernel**2 * apart).sum(axis=0) / kernel.sum()
        update = placing.MOMENTUM * update - placing.RATE * 2 * (pull - push)
        place = np.clip(place + update, points.min(axis=0), points.max(axis=0))
    return place


@pytest.fixture
def scene(blobs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of three groups, their points in three islands of the plane, and new rows of the same groups."""
    rows, groups = blobs
    rng = np.random.default_rng(1)
    islands = np.array([[0, 0], [14, 3], [5, 12]], dtype=np.float32)
    points = islands[groups] + 1.5 * rows[:, 3:5] + 0.2 * rng.normal(size=(120, 2))
    return rows, points.astype(np.float32), (rows[:30] + 0.5 * rng.normal(size=(30, 12))).astype(np.float32)


def test_weighted_median_by_hand():
    values = np.array([[[3, 0], [1, 5], [2, 9]]], dtype=np.float32)
    # Sorted, the first coordinate is 1, 2, 3 with chances 0.2, 0.2, 0.6; the second is 0, 5, 9 with 0.6, 0.2, 0.2.
    np.testing.assert_array_equal(weighted_median(values, np.array([[0.6, 0.2, 0.2]])), [[3, 0]])
    np.testing.assert_array_equal(weighted_median(values, np.array([[0.2, 0.3, 0.5]])), [[2, 5]])


def test_attraction_by_hand():
    # At distance 2 the kernel is 1/5, at distance 1 it is 1/2.
    points = np.array([[2, 0], [0, 1], [100, 100]], dtype=np.float32)
    pull = attraction(np.zeros((1, 2)), points, np.array([[0, 1]]), np.array([[0.75, 0.25]]))
    np.testing.assert_allclose(pull, [[0.75 * -2 / 5, 0.25 * -1 / 2]])


def test_the_step_follows_the_divergence_down():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2)).astype(np.float32)
    place, neighbours = np.array([0.3, -0.4]), np.arange(5)
    chances = rng.dirichlet(np.ones(5))
    apart = place - points
    kernel = 1 / (1 + (apart**2).sum(axis=1, keepdims=True))
    pull = attraction(place[None], points, neighbours[None], chances[None])[0]
    gradient = 2 * (pull - (kernel**2 * apart).sum(axis=0) / kernel.sum())
    for axis, step in enumerate(1e-5 * np.eye(2)):
        ahead, behind = (slow_divergence(place + way * step, points, chances, neighbours) for way in (1, -1))
        assert gradient[axis] == pytest.approx((ahead - behind) / 2e-5, rel=1e-5)


def test_equals_the_slow_descent(scene):
    rows, points, new = scene
    placed = place_new(points, build_index(rows, threads=1), new, perplexity=7)
    slow = np.array([slow_place(points, rows, row, 7) for row in new])
    # The grid approximates the repulsion.
    np.testing.assert_allclose(placed, slow, atol=0.1)
    started = np.median(points, axis=0)
    assert np.abs(slow - started).max() > 1


@pytest.mark.parametrize("dims", [2, 3])
def test_a_place_does_not_depend_on_the_other_new_rows(scene, dims, monkeypatch):
    rows, points, new = scene
    points = np.ascontiguousarray(np.hstack([points, rows[:, 5:6]])[:, :dims])
    index, new = build_index(rows, threads=1), new[:9]
    together = place_new(points, index, new)
    np.testing.assert_array_equal(np.vstack([place_new(points, index, row[None]) for row in new]), together)
    np.testing.assert_array_equal(place_new(points, index, new[::-1])[::-1], together)
    np.testing.assert_array_equal(place_new(points, index, new, threads=2), together)
    monkeypatch.setattr(placing, "ROWS_AT_ONCE", 4)
    np.testing.assert_array_equal(place_new(points, index, new), together)


def test_held_out_digits_lie_as_true_to_class_as_those_fitted(digits):
    features, labels = digits
    order = np.random.default_rng(0).permutation(len(features))
    fitted, held_out = order[:1000], order[1000:]
    index = build_index(features[fitted], threads=1)
    affinities = symmetrise(*_fitted_chances(index, 30.0))
    axes = np.linalg.svd(features[fitted] - features[fitted].mean(axis=0), full_matrices=False)[2][:2]
    start = (features[fitted] - features[fitted].mean(axis=0)) @ axes.T
    start = (1e-4 * start / start.std(axis=0)).astype(np.float32)
    points = optimise(
        affinities, start, (Phase(steps=100, exaggeration=12.0), Phase(steps=150, exaggeration=1.0)), threads=1
    ).points
    by_neighbours = KNeighborsClassifier(10).fit(points, labels[fitted])
    others = np.argsort(cdist(points, points), axis=1)[:, 1:11]
    among_fitted = np.mean([np.bincount(labels[fitted][nearest]).argmax() for nearest in others] == labels[fitted])
    placed = place_new(points, index, features[held_out])
    assert among_fitted > 0.95
    assert by_neighbours.score(placed, labels[held_out]) > among_fitted - 0.01
    back = place_new(points, index, features[fitted][:100])
    assert np.median(np.linalg.norm(back - points[:100], axis=1)) < 0.1 * points.std()


def _fitted_chances(index, perplexity: float) -> tuple[np.ndarray, np.ndarray]:
    indices, squared = index.neighbours(int(3 * perplexity))
    return indices, conditional(squared, (perplexity,))


def test_what_lies_far_off_stays_in_the_box_and_the_points_stay(scene):
    rows, points, _ = scene
    before = points.copy()
    placed = place_new(points, build_index(rows, threads=1), np.full((2, 12), 1e4, dtype=np.float32))
    assert (points.min(axis=0) <= placed).all()
    assert (placed <= points.max(axis=0)).all()
    np.testing.assert_array_equal(points, before)


def test_few_and_equal_rows(scene):
    rows, points, new = scene
    assert np.isfinite(place_new(points[:4], build_index(rows[:4], threads=1), new)).all()
    equal = np.repeat(rows[:4], 30, axis=0)
    placed = place_new(points, build_index(equal, threads=1), equal[:40])
    assert np.isfinite(placed).all()
    np.testing.assert_array_equal(placed[:30], np.repeat(placed[:1], 30, axis=0))


def test_refuses_what_cannot_be_placed(scene, unchecked):
    rows, points, new = scene
    index = build_index(rows, threads=1)
    with pytest.raises(InputError, match=r"features have 11 columns, expected 12, like the rows that were fitted"):
        place_new(points, index, new[:, 1:])
    with pytest.raises(InputError, match=r"features have a NaN or an infinity in 1 of 30 rows, first in row 4"):
        place_new(points, index, np.where(np.arange(30)[:, None] == 4, np.nan, new))
    with pytest.raises(InputError, match=r"perplexity is 0\.5, expected at least 1\."):
        place_new(points, index, new, perplexity=0.5)
    with pytest.raises(InputError, match=r"got 119 points and an index of 120 rows, expected one point per row"):
        place_new(points[1:], index, new)


@pytest.mark.parametrize("far", [1e20, 1e45, 1e300])
def test_refuses_what_lies_too_far_off_to_be_measured(scene, far):
    rows, points, _ = scene
    with pytest.raises(InputError, match=r"features lie up to .* from the middle of the embedded rows, expected at"):
        place_new(points, build_index(rows, threads=1), np.full((2, 12), far))
    # Just inside of the bound, the place is some point of the box.
    assert np.isfinite(place_new(points, build_index(rows, threads=1), np.full((2, 12), 1e15))).all()


def test_new_rows_are_never_copied_whole(scene, tmp_path, monkeypatch):
    rows, points, new = scene
    np.save(tmp_path / "new.npy", new)
    index, copied = build_index(rows, threads=1), []
    search = type(index).search
    monkeypatch.setattr(placing, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(type(index), "search", lambda self, some, k: copied.append(some) or search(self, some, k))
    mapped = np.load(tmp_path / "new.npy", mmap_mode="r")
    placed = place_new(points, index, mapped)
    assert all(np.shares_memory(some, mapped) for some in copied)
    np.testing.assert_array_equal(placed, place_new(points, index, new.astype(np.float64)))

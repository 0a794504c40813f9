import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from glassnet.embedding import embed
from glassnet.errors import InputError

SOLVED_BY = {
    "covariance_eigh": (300, 20, 5),
    "arpack": (60, 200, 4),
    "full": (40, 60, 30),
}


def correlated(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(3, 0.5, d) @ rng.normal(size=(d, d)) + 7).astype(np.float32)


def up_to_sign(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return points * np.sign((points * reference).sum(axis=0))


def test_by_hand():
    # The line y = x: all variance lies along (1, 1) / sqrt 2, at distances ∓ sqrt 8 and 0 from the mean (2, 2).
    result = embed(np.array([[0, 0], [2, 2], [4, 4]], dtype=np.float32), method="pca", dims=2)
    np.testing.assert_allclose(result.points, [[-np.sqrt(8), 0], [0, 0], [np.sqrt(8), 0]], atol=1e-6)
    np.testing.assert_allclose(result.explained_variance, [1, 0], atol=1e-12)
    assert (result.method, result.dims, result.kl_divergence) == ("pca", 2, None)


@pytest.mark.parametrize("solver", SOLVED_BY)
def test_equals_a_plain_svd_and_scikit_learn_up_to_sign(solver):
    n, d, dims = SOLVED_BY[solver]
    features = correlated(n, d)
    result = embed(features, method="pca", dims=dims)
    assert result.settings["solver"] == solver
    centred = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plain = (left * values)[:, :dims]
    np.testing.assert_allclose(up_to_sign(result.points, plain), plain, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(result.explained_variance, (values**2 / (values**2).sum())[:dims], rtol=1e-9)
    oracle = PCA(dims, svd_solver="full").fit_transform(features.astype(np.float64))
    np.testing.assert_allclose(up_to_sign(result.points, oracle), oracle, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVED_BY)
def test_sign_does_not_depend_on_the_order_of_the_rows(solver):
    n, d, dims = SOLVED_BY[solver]
    features = correlated(n, d)
    order = np.random.default_rng(1).permutation(n)
    points = embed(features, method="pca", dims=dims).points
    shuffled = embed(features[order], method="pca", dims=dims, seed=5).points
    np.testing.assert_allclose(shuffled, points[order], rtol=1e-4, atol=1e-3)


def test_transform_and_inverse():
    features = correlated(80, 6)
    result = embed(features, method="pca", dims=6)
    np.testing.assert_array_equal(result.transform(features), result.points)
    assert result.transform(features[:3] + 1).dtype == np.float32
    np.testing.assert_allclose(result.inverse(result.points), features, rtol=1e-4, atol=1e-4)
    assert result.explained_variance.sum() == pytest.approx(1)
    # What two components leave out is what they do not explain.
    two = embed(features, method="pca", dims=2)
    left_out = ((two.inverse(two.points) - features) ** 2).sum() / ((features - features.mean(axis=0)) ** 2).sum()
    assert left_out == pytest.approx(1 - two.explained_variance.sum(), rel=1e-4)


small = st.tuples(st.integers(2, 8), st.integers(1, 6))


@settings(max_examples=50, deadline=None)
@given(small.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-8, 8, width=16))))
def test_all_components_keep_every_distance(features):
    if (features == features[0]).all():
        with pytest.raises(InputError, match=r"rows of the features are the same"):
            embed(features, method="pca", dims=1)
        return
    points = embed(features, method="pca", dims=min(features.shape)).points
    np.testing.assert_allclose(pdist(points), pdist(features), atol=1e-4)


def test_refuses_too_many_components():
    with pytest.raises(InputError, match=r"dims is 5, expected 1 to 4, because PCA of 4 rows with 6 columns"):
        embed(correlated(4, 6), method="pca", dims=5)
    with pytest.raises(InputError, match=r"dims is 0, expected 1 to 4"):
        embed(correlated(4, 6), method="pca", dims=0)


@pytest.mark.parametrize("solver", SOLVED_BY)
def test_rows_far_from_zero_lose_no_digits(solver):
    n, d, dims = SOLVED_BY[solver]
    features = correlated(n, d).astype(np.float64)
    near, far = (embed(features + shift, method="pca", dims=dims) for shift in (0, 1e8))
    assert far.settings["solver"] == solver
    np.testing.assert_allclose(far.explained_variance, near.explained_variance, rtol=1e-6)
    np.testing.assert_allclose(up_to_sign(far.points, near.points), near.points, rtol=1e-4, atol=1e-4)


def test_two_blobs_far_from_zero_equal_scikit_learns_svd():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 10)) + np.where(np.arange(120) % 2, 4, 0)[:, None] + 1e8
    result, oracle = embed(features, method="pca"), PCA(2, svd_solver="full").fit(features)
    assert result.settings["solver"] == "covariance_eigh"
    np.testing.assert_allclose(result.explained_variance, oracle.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(up_to_sign(result.points, oracle.transform(features)), result.points, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVED_BY)
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_takes_features_of_any_unit_whose_points_are_numbers(solver, scale):
    n, d, dims = SOLVED_BY[solver]
    features = correlated(n, d).astype(np.float64)
    result, scaled = (embed(factor * features, method="pca", dims=dims) for factor in (1, scale))
    np.testing.assert_allclose(scaled.explained_variance, result.explained_variance, rtol=1e-6)
    expected = result.points.astype(np.float64)
    np.testing.assert_allclose(up_to_sign(scaled.points / scale, expected), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-170, 1e-40, 1e50, 1e300])
def test_refuses_a_range_that_points_cannot_hold(scale):
    expected = r"features (reach .*, expected at most 1e\+30|differ by less than 1e-30, .*); rescale them"
    with pytest.raises(InputError, match=expected):
        embed(scale * correlated(60, 6).astype(np.float64), method="pca")


def test_refuses_new_rows_whose_points_are_no_numbers():
    features = correlated(60, 6).astype(np.float64)
    new = features.copy()
    new[[3, 7]] *= 1e60
    new[8] = 1.7e308
    expected = r"3 of 60 rows, the first of them row 3, are too far from the fitted features"
    with pytest.raises(InputError, match=expected):
        embed(features, method="pca").transform(new)


def test_tells_of_small_differences_beside_a_large_constant():
    features = np.hstack([np.full((60, 1), 5.0), 1e-170 * correlated(60, 3).astype(np.float64)])
    with pytest.raises(InputError, match=r"features differ by less than 1e-30, expected larger differences"):
        embed(features, method="pca")
    features[-1, 0] = 6
    assert embed(features, method="pca").explained_variance[0] == pytest.approx(1)

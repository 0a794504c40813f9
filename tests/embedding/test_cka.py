import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassnet.embedding.layers import cka
from glassnet.errors import InputError


def plain(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al. 2019, equations 3 and 4, with the centring matrix H written out."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    hsic = lambda k, l: np.trace(k @ h @ l @ h) / (n - 1) ** 2  # noqa: E731, E741
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def plain_debiased(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 5, for kernels that were not centred."""

    def hsic(a, b):
        k, l, ones = a @ a.T, b @ b.T, np.ones(len(a))  # noqa: E741
        np.fill_diagonal(k, 0)
        np.fill_diagonal(l, 0)
        n = len(a)
        middle = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
        return (np.trace(k @ l) + middle - 2 / (n - 2) * ones @ k @ l @ ones) / (n * (n - 3))

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def layers(n: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Related layers, narrower and wider than there are rows."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, 7)) + 3
    wide = np.maximum(first @ rng.normal(size=(7, 90)), 0)
    return {"first": first, "wide": wide, "last": wide @ rng.normal(size=(90, 5)), "other": rng.normal(size=(n, 60))}


def test_by_hand():
    # Centred, X = (-1, -1, 1, 1) and Y = (-2, 0, 1, 1): (X'Y)² = 4² against X'X Y'Y = 4 * 6, of the squared norms.
    x, y = np.array([[0.0], [0], [2], [2]]), np.array([[0.0], [2], [3], [3]])
    result = cka({"x": x, "y": y})
    y = y - y.mean()
    assert result.matrix[0, 1] == pytest.approx((np.array([-1, -1, 1, 1]) @ y[:, 0]) ** 2 / (4 * (y**2).sum()))
    assert result.matrix[0, 1] == pytest.approx(16 / 24)
    np.testing.assert_array_equal(np.diag(result.matrix), 1)
    assert (result.first, result.second, result.images) == (("x", "y"), ("x", "y"), 4)


@pytest.mark.parametrize(("debiased", "formula"), [(False, plain), (True, plain_debiased)])
def test_equals_the_formula_in_plain_numpy(debiased, formula):
    runs = layers()
    expected = [[formula(x, y) for y in runs.values()] for x in runs.values()]
    result = cka(runs, debiased=debiased)
    np.testing.assert_allclose(result.matrix, expected, atol=1e-9)
    assert result.debiased is debiased


def test_two_runs():
    one, two = layers(seed=1), dict(list(layers(seed=2).items())[:3])
    result = cka(one, two)
    assert result.matrix.shape == (4, 3)
    assert (result.first, result.second) == (tuple(one), tuple(two))
    assert result.matrix[1, 2] == pytest.approx(plain(one["wide"], two["last"]))
    np.testing.assert_allclose(cka(one, one).matrix, cka(one).matrix, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6), st.floats(-100, 100), st.booleans())
def test_does_not_change_with_rotation_scale_and_place(seed, scale, shift, debiased):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 20))
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    before = cka({"x": x, "y": y}, debiased=debiased).matrix
    after = cka({"x": x, "y": scale * (y @ turn) + scale * shift}, debiased=debiased).matrix
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_changes_with_an_invertible_linear_map():
    runs = layers()
    stretched = runs["first"] * np.array([100, 1, 1, 1, 1, 1, 1])
    assert cka({"a": runs["first"], "b": stretched}).matrix[0, 1] < 0.8


def test_debiased_does_not_call_noise_alike():
    rng = np.random.default_rng(0)
    noise = {"a": rng.normal(size=(30, 500)), "b": rng.normal(size=(30, 500))}
    assert cka(noise).matrix[0, 1] > 0.8
    assert abs(cka(noise, debiased=True).matrix[0, 1]) < 0.2


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_takes_features_of_any_size(scale):
    runs = layers()
    np.testing.assert_allclose(cka({k: v * scale for k, v in runs.items()}).matrix, cka(runs).matrix, atol=1e-9)


def test_refuses_bad_input(unchecked):
    runs = layers()
    with pytest.raises(InputError, match=r"got no layer to align, expected at least one in each run"):
        cka({})
    with pytest.raises(InputError, match=r"layers have 39 and 40 rows, expected the same images for all layers"):
        cka(runs, {"short": runs["first"][1:]})
    with pytest.raises(InputError, match=r"got 3 rows, expected at least 4 images"):
        cka({"short": runs["first"][:3]})
    with pytest.raises(InputError, match=r"features of wide have a NaN or an infinity in 40 of 40 rows"):
        cka({"first": runs["first"], "wide": runs["wide"] * np.nan})
    with pytest.raises(InputError, match=r"all 40 rows of the features of flat are the same"):
        cka({"first": runs["first"], "flat": np.ones((40, 3))})

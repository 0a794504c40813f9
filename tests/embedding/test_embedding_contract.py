"""What every entry of METHODS owes."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from glassnet.embedding import CLUSTERINGS, METHODS, embed
from glassnet.errors import InputError
from glassnet.method_titles import CLUSTERING_TITLES, EMBEDDING_TITLES

EXTRAS = ("umap", "pacmap")
# They compile for half a minute; test_umap.py and test_pacmap.py try them with less.
ALL = [pytest.param(name, marks=[pytest.mark.slow] if name in EXTRAS else []) for name in METHODS]


@pytest.fixture(params=ALL)
def method(request):
    if request.param in EXTRAS and importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is an extra")
    return request.param


def run(features, method, **changed):
    return embed(features, method=method, **{"perplexity": 10, **changed})


@pytest.mark.parametrize("dims", [2, 3])
def test_points_have_the_promised_form(blobs, method, dims):
    result = run(blobs[0], method, dims=dims)
    assert result.points.shape == (120, dims)
    assert result.points.dtype == np.float32
    assert np.isfinite(result.points).all()
    assert (result.method, result.dims, result.columns) == (method, dims, 12)
    assert (result.explained_variance is not None) == (method == "pca")
    assert (result.kl_divergence is not None) == (method == "tsne")
    json.dumps(dict(result.settings), allow_nan=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.method = "other"


def test_repeats_for_a_seed_and_leaves_the_features_alone(blobs, method):
    features = blobs[0].copy()
    first, second = run(features, method, seed=7), run(features, method, seed=7)
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(features, blobs[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_takes_any_real_numbers_in_any_order(blobs, method, dtype):
    features = np.asfortranarray(blobs[0].round().astype(dtype))
    assert np.isfinite(run(features, method).points).all()


def test_places_new_rows_beside_their_group(blobs, method):
    features, labels = blobs
    result = run(features, method)
    new = features[:9] + np.float32(0.1)
    placed = result.transform(new)
    assert placed.shape == (9, 2)
    assert placed.dtype == np.float32
    centres = np.stack([result.points[labels == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(placed[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels[:9])
    with pytest.raises(InputError, match=r"features have 5 columns, expected 12, like the rows that were fitted"):
        result.transform(new[:, :5])
    with pytest.raises(InputError, match=r"features have a NaN or an infinity in 9 of 9 rows"):
        result.transform(new * np.inf)
    with pytest.raises(InputError, match=r"features have shape \(0, 12\), expected \(n, d\)"):
        result.transform(new[:0])


def test_constant_columns_and_equal_rows_do_no_harm(blobs, method):
    features = np.hstack([blobs[0], np.full((120, 3), 4.0, dtype=np.float32)])
    assert np.isfinite(run(np.vstack([features, features]), method).points).all()


def test_an_inverse_is_there_or_says_that_it_is_not(blobs, method):
    result = run(blobs[0], method)
    if method == "pca":
        assert result.inverse(result.points).shape == (120, 12)
        with pytest.raises(InputError, match=r"points have 3 columns, expected 2"):
            result.inverse(np.zeros((1, 3)))
    else:
        with pytest.raises(InputError, match=rf"{method} has no inverse; only pca can map points back"):
            result.inverse(result.points)


def test_refuses_features_that_it_cannot_use(blobs, method, unchecked):
    features = blobs[0]
    with_nan = features.copy()
    with_nan[[3, 8], 0] = np.nan
    for message, bad in {
        r"features have a NaN or an infinity in 2 of 120 rows, first in row 3": with_nan,
        r"features have shape \(120, 3, 4\), expected \(n, d\)": features.reshape(120, 3, 4),
        r"features have shape \(12,\), expected \(n, d\)": features[0],
        r"features have shape \(0, 12\), expected \(n, d\)": features[:0],
        r"features are of type <U1, expected real numbers": np.full((9, 3), "a"),
        r"features are of type complex128, expected real numbers": features.astype(np.complex128),
        r"all 120 rows of the features are the same, expected at least two that differ": np.full((120, 5), 0.1),
        r"all 1 rows of the features are the same": features[:1],
    }.items():
        with pytest.raises(InputError, match=message):
            run(bad, method)
    with pytest.raises(InputError, match=r"seed is -1, expected 0 to 4294967295"):
        run(features, method, seed=-1)


def test_an_unknown_method_is_told_the_choices(blobs):
    expected = r"no embedding method 't-sne'\. Did you mean tsne\? The methods are: pca, tsne, umap, pacmap\."
    with pytest.raises(InputError, match=expected):
        embed(blobs[0], method="t-sne")


def test_refuses_options_of_a_wrong_type(blobs, method, unchecked):
    for name in ("dims", "seed", "pca_components", "neighbours"):
        for value in (2.0, "2", [2], True):
            with pytest.raises(InputError, match=rf"{name} is .*, expected a whole number"):
                run(blobs[0], method, **{name: value})
    for name in ("exaggeration", "min_distance"):
        with pytest.raises(InputError, match=rf"{name} is 'x', expected a number"):
            run(blobs[0], method, **{name: "x"})


def test_integers_of_numpys_will_do(blobs, method, unchecked):
    result = run(blobs[0], method, dims=np.int64(2), seed=np.uint8(3), pca_components=np.int16(5))
    json.dumps(dict(result.settings), allow_nan=False)
    np.testing.assert_array_equal(result.points, run(blobs[0], method, seed=3, pca_components=5).points)


def test_a_memory_map_is_placed_as_the_same_rows_are(blobs, method, tmp_path):
    np.save(tmp_path / "features.npy", blobs[0])
    result = run(blobs[0], method)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    np.testing.assert_array_equal(result.transform(mapped), result.transform(blobs[0]))


def test_every_embedding_and_every_clustering_has_a_title():
    assert list(EMBEDDING_TITLES) == list(METHODS)
    assert list(CLUSTERING_TITLES) == list(CLUSTERINGS)

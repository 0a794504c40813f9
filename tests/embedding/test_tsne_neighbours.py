"""The approximate neighbours of many rows: those in the nearest cells."""

import numpy as np
import pytest

from glassnet.embedding.tsne import neighbours
from glassnet.embedding.tsne.neighbours import build_index


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 100)


@pytest.fixture
def rows(digits) -> np.ndarray:
    # Moved a little, since digits of 17 grey levels have equal distances.
    return digits[0][:1200] + 1e-3 * np.random.default_rng(0).normal(size=(1200, 64))


def exact(rows, k, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(neighbours, "EXACT_UP_TO", len(rows))
        return build_index(rows, threads=1).neighbours(k)


def test_finds_nearly_all_neighbours_with_their_exact_distances(rows, monkeypatch):
    index = build_index(rows, threads=1)
    assert not index.exact
    assert index.faiss_index.nlist == 34
    indices, squared = index.neighbours(15)
    true, _ = exact(rows, 15, monkeypatch)
    recall = np.mean([len({*mine} & {*theirs}) / 15 for mine, theirs in zip(indices, true, strict=True)])
    assert recall > 0.98
    assert (np.diff(squared, axis=1) >= 0).all()
    assert (indices != np.arange(len(rows))[:, None]).all()
    np.testing.assert_allclose(squared, ((rows[:, None] - rows[indices]) ** 2).sum(axis=2), rtol=1e-4)
    found, lengths = index.search(rows[:9], 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(9))
    np.testing.assert_allclose(lengths, 0, atol=1e-9)


def test_copies_of_a_row_are_its_neighbours_and_it_is_not_its_own(rows):
    copies = np.repeat(rows[:150], 6, axis=0)
    indices, squared = build_index(copies, threads=1).neighbours(5)
    np.testing.assert_array_equal(np.sort(indices // 6, axis=1), np.repeat(np.arange(900)[:, None] // 6, 5, axis=1))
    assert (indices != np.arange(900)[:, None]).all()
    assert (squared == 0).all()


def test_where_the_nearest_cells_hold_too_few_all_are_searched(rows, monkeypatch):
    # Of 400 rows in 20 cells, 16 cells never hold 390.
    some, k = rows[:400], 390
    indices, squared = build_index(some, threads=1).neighbours(k)
    true, lengths = exact(some, k, monkeypatch)
    np.testing.assert_array_equal(indices, true)
    np.testing.assert_allclose(squared, lengths)
    found, _ = build_index(some, threads=1).search(some[:3] + 100, k)
    assert all(len({*row}) == k for row in found)


def test_threads_do_not_change_the_neighbours(rows):
    one, two, three = (build_index(rows, threads=threads).neighbours(12) for threads in (1, 2, 3))
    for other in (two, three):
        np.testing.assert_array_equal(other[0], one[0])
        np.testing.assert_array_equal(other[1], one[1])

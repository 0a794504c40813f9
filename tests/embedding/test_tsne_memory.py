"""What a t-SNE takes is said before, and refused where the machine has not that much."""

import re

import numpy as np
import pytest

from glassnet.embedding import embed
from glassnet.embedding.tsne import affinities, memory, neighbours
from glassnet.embedding.tsne.memory import Size, check_memory, free_bytes, needed_bytes
from glassnet.errors import InputError

GIGABYTE = 10**9
MANY = Size(points=2_000_000, columns=50, neighbours=90, dims=2)


def test_the_formula_by_hand():
    assert needed_bytes(MANY) == 2_000_000 * (20 * 50 + 36 * 90 + 300) + 650_000_000
    small = Size(points=1000, columns=2000, neighbours=30, dims=3, features=2000, placed=500)
    assert needed_bytes(small) == 1000 * (36 * 2000 + 36 * 30 + 300 + 16 * 2000) + 1_250_000_000 + 500 * 29
    in_space = Size(points=10_000, columns=50, neighbours=90, dims=3)
    assert needed_bytes(in_space) == 10_000 * (20 * 50 + 36 * 90 + 300 + 40_000) + 50_000_000
    huge = Size(points=20_000_000, columns=50, neighbours=90, dims=2)
    assert needed_bytes(huge) == 20_000_000 * (20 * 50 + 52 * 90 + 300) + 650_000_000


def test_refuses_what_does_not_fit_with_both_numbers_and_landmarks(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 2 * GIGABYTE)
    expected = (
        "t-SNE of 2,000,000 points needs 9.7 GB of memory, but 2.0 GB are free; landmarks=200000 "
        "(--landmarks 200000) fits only that many points, in 1.2 GB, and places the others among them."
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        check_memory(MANY)
    monkeypatch.setattr(memory, "free_bytes", lambda: 600_000_000)
    sample = Size(points=200_000, columns=50, neighbours=90, dims=2, features=50, placed=1_800_000)
    with pytest.raises(InputError, match=r"t-SNE of 200,000 landmarks needs 1\.\d GB of memory, .* landmarks=50000 "):
        check_memory(sample)


def test_says_what_many_points_take(monkeypatch, capsys):
    monkeypatch.setattr(memory, "free_bytes", lambda: 20 * GIGABYTE)
    check_memory(MANY)
    assert "t-SNE of 2,000,000 points needs up to 9.7 GB of the 20.0 GB of free memory" in capsys.readouterr().err
    check_memory(Size(points=500_000, columns=50, neighbours=90, dims=2))
    assert capsys.readouterr().err == ""


def test_small_ones_are_never_refused(blobs, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    check_memory(Size(points=50_000, columns=50, neighbours=90, dims=2))
    with pytest.raises(InputError, match=r"t-SNE of 100,000 points needs"):
        check_memory(Size(points=100_000, columns=50, neighbours=90, dims=2))


def test_embed_asks_before_it_works(blobs, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "check_memory", lambda size: asked.append(size) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        embed(blobs[0], perplexity=(5, 10), pca_components=4, dims=3)
    with pytest.raises(ZeroDivisionError):
        embed(blobs[0], perplexity=5, landmarks=50)
    assert asked == [
        Size(points=120, columns=4, neighbours=30, dims=3),
        Size(points=50, columns=12, neighbours=15, dims=2, features=12, placed=70),
    ]


@pytest.mark.parametrize("version", [0, 1])
def test_a_control_groups_limit_counts(tmp_path, monkeypatch, version):
    limit, used = tmp_path / "limit", tmp_path / "used"
    cache = memory.GROUPS[version][2]
    monkeypatch.setattr(memory, "GROUPS", ((str(limit), str(used), cache),))
    machine = free_bytes()
    assert machine > 0
    limit.write_text("900000\n")
    used.write_text("700000\n")
    assert free_bytes() > 1e6  # without statistics nothing is known
    (tmp_path / "memory.stat").write_text(f"other 5\n{cache} 100000\n")
    assert free_bytes() == 300_000
    limit.write_text("max\n")
    assert free_bytes() > 1e6


def test_the_estimate_holds_where_all_is_found_in_parts(digits, monkeypatch):
    """Neighbours in parts, and float32 chances, give what the whole gives."""
    rows = digits[0][:700].astype(np.float64) + 1e-3 * np.random.default_rng(0).normal(size=(700, 64))
    index = neighbours.build_index(rows, threads=1)
    whole = affinities.graph(index, 30, (10.0,), threads=1)
    for module in (affinities, neighbours):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 90)
    parts = affinities.graph(index, 30, (10.0,), threads=1)
    np.testing.assert_array_equal(parts.indptr, whole.indptr)
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-6)
    order = np.random.default_rng(1).permutation(700)
    in_parts = affinities.reorder(parts, order)
    monkeypatch.undo()
    at_once = affinities.reorder(parts, order)
    np.testing.assert_array_equal(in_parts.indices, at_once.indices)
    np.testing.assert_array_equal(in_parts.values, at_once.values)

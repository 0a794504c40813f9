import sys

import numpy as np
import pytest
import torch

from glassnet.embedding import embed, quality
from glassnet.errors import InputError


def test_names_the_line_that_installs_it(blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"needs umap-learn; install it with `pip install 'glassnet\[umap\]'`\."):
        embed(blobs[0], method="umap")


def test_repeats_and_keeps_the_classes_of_real_digits(digits):
    pytest.importorskip("umap")
    features, labels = digits[0][:400], digits[1][:400]
    first = embed(features, method="umap", seed=1)
    again = embed(features, method="umap", seed=1)
    np.testing.assert_array_equal(first.points, again.points)
    assert (embed(features, method="umap", seed=2).points != first.points).any()
    assert quality(features, first.points, labels=labels).knn_accuracy > 0.9
    placed = first.transform(digits[0][400:450])
    assert placed.shape == (50, 2)
    np.testing.assert_array_equal(placed, again.transform(digits[0][400:450]))


def test_takes_many_equal_rows(blobs):
    pytest.importorskip("umap")
    result = embed(np.repeat(blobs[0][:6], 20, axis=0), method="umap", neighbours=5)
    assert np.isfinite(result.points).all()


def test_torch_keeps_its_number_of_threads(blobs):
    pytest.importorskip("umap")
    placed = embed(blobs[0], method="umap", neighbours=5)
    assert torch.get_num_threads() == 1
    placed.transform(blobs[0][:3])
    assert torch.get_num_threads() == 1


def test_refuses_what_does_not_fit(blobs):
    pytest.importorskip("umap")
    with pytest.raises(InputError, match=r"neighbours is 15, expected 2 to 11 for 12 points"):
        embed(blobs[0][:12], method="umap")
    with pytest.raises(InputError, match=r"dims is 10, expected 1 to 9 for 12 points"):
        embed(blobs[0][:12], method="umap", neighbours=5, dims=10)
    with pytest.raises(InputError, match=r"min_distance is 2, expected 0 to 1"):
        embed(blobs[0], method="umap", min_distance=2)

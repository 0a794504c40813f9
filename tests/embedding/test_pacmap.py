import importlib.util
import logging
import sys

import faiss
import numpy as np
import pytest
import torch

from glassnet.embedding import embed, quality
from glassnet.embedding.pacmap import neighbour_count
from glassnet.errors import InputError

# Not importorskip, whose import would have changed the number of threads before the test looks.
needs_it = pytest.mark.skipif(importlib.util.find_spec("pacmap") is None, reason="pacmap is an extra")


def test_without_it_the_extra_is_named(blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(InputError, match=r"needs pacmap; install it with `pip install 'glassnet\[pacmap\]'`\."):
        embed(blobs[0], method="pacmap")


@needs_it
def test_keeps_the_classes_and_leaves_the_process_as_it_was(digits, capsys):
    features, labels = digits[0][:400], digits[1][:400]
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    level = logging.getLogger("pacmap.pacmap").level
    result = embed(features, method="pacmap", seed=2**32 - 1)
    assert result.settings == {"dims": 2, "neighbours": 10, "seed": 2**32 - 1}
    assert quality(features, result.points, labels=labels).knn_accuracy > 0.9
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == threads
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert logging.getLogger("pacmap.pacmap").level == level
    assert capsys.readouterr() == ("", "")
    far = embed(features.astype(np.float64) + 1e6, method="pacmap", seed=2**32 - 1)
    assert quality(features, far.points, labels=labels).knn_accuracy > 0.9


@needs_it
def test_few_rows_and_what_does_not_fit(blobs):
    assert np.isfinite(embed(blobs[0][:10], method="pacmap").points).all()
    with pytest.raises(InputError, match=r"PaCMAP got 9 rows, expected at least 10; use more images, or PCA\."):
        embed(blobs[0][:9], method="pacmap")
    with pytest.raises(InputError, match=r"dims is 13, expected 1 to 12 for 120 rows of 12 columns\."):
        embed(blobs[0], method="pacmap", dims=13)


@pytest.mark.parametrize(("points", "count"), [(10, 2), (20, 5), (36, 10), (10_000, 10), (100_000, 25)])
def test_neighbours_by_the_papers_rule_and_fewer_of_few(points, count):
    assert neighbour_count(points) == count
    assert count + round(count / 2) + 2 * count < points

import numpy as np
import pytest
import torch

from glassnet.errors import WorkError
from glassnet.models.array_buffers import ArrayBuffers


def test_rows_are_appended_as_float32_without_growing():
    rows = ArrayBuffers(5)
    rows.put("a", torch.ones(3, 2, dtype=torch.bfloat16))
    rows.put("b", torch.tensor([1, 2, 3]))
    first = rows._arrays["a"]
    rows.put("a", torch.full((2, 2), 2.0, dtype=torch.float64, requires_grad=True))
    rows.put("b", torch.tensor([4, 5]))
    arrays = rows.complete()
    assert arrays["a"] is first
    assert arrays["a"].dtype == arrays["b"].dtype == np.float32
    assert arrays["a"].tolist() == [[1, 1]] * 3 + [[2, 2]] * 2
    assert arrays["b"].tolist() == [1, 2, 3, 4, 5]


def test_missing_rows_are_said():
    rows = ArrayBuffers(1000)
    rows.put("a", torch.ones(3))
    with pytest.raises(WorkError, match="a layer gave 3 rows for 1,000 images"):
        rows.complete()

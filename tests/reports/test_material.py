"""Pictures of a run's images on the page: a map that is zero everywhere says so, as its picture does not show it."""

from types import SimpleNamespace

import numpy as np

from glassnet.reports.material import examples_of


def test_a_map_that_is_all_zero_says_so():
    group = SimpleNamespace(
        images=np.full((2, 1, 4, 4), 128, dtype=np.uint8),
        names=("one", "two"),
        facts=({"label": "cat", "predicted": "dog"}, {"label": "dog", "predicted": "dog"}),
        maps={("gradcam", "conv1"): np.stack([np.zeros((4, 4)), np.eye(4)])},
    )
    zero, other = examples_of(SimpleNamespace(rows=(3, 5), group=group))
    assert [(one.title, one.value) for one in (*zero.maps, *other.maps)] == [
        ("Grad-CAM at conv1", "all zero"), ("Grad-CAM at conv1", ""),
    ]  # fmt: skip

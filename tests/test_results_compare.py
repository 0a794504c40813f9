"""Results that hold arrays: `==` is by identity, since NumPy has no truth value for an array's comparison."""

import copy
import dataclasses
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn

# Arrays and tensors as their annotations are written, or as Python writes the classes.
HOLDS_ARRAYS = re.compile(r"^(?!.*Callable).*(\bnp\.ndarray|\bndarray|\bTensor\b|\bAssignment\b|\bPoints\b)")


def all_dataclasses() -> list[type]:
    classes = {}
    for module in pkgutil.walk_packages(gn.__path__, "glassnet."):
        if module.name.endswith("__main__"):
            continue
        try:
            members = vars(importlib.import_module(module.name)).values()
        except ModuleNotFoundError:  # what an extra brings
            continue
        for member in members:
            if inspect.isclass(member) and dataclasses.is_dataclass(member) and member.__module__ == module.name:
                classes[member.__qualname__, module.name] = member
    return list(classes.values())


def test_no_dataclass_compares_arrays():
    wrong = []
    for made in all_dataclasses():
        fields = [field for field in dataclasses.fields(made) if field.compare]
        arrays = [field.name for field in fields if HOLDS_ARRAYS.search(str(field.type))]
        if arrays and made.__dataclass_params__.eq:
            wrong.append(f"{made.__module__}.{made.__name__}: {arrays}")
    assert wrong == []


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 3))
    images = torch.rand(8, 1, 8, 8)
    rows = np.random.default_rng(0).normal(size=(40, 6))
    labels = np.arange(40) % 3
    return {
        "explain": gn.explain(net, images, target=0, methods=("gradcam", "saliency")),
        "embed": gn.embed(rows, method="pca"),
        "cluster": gn.cluster(rows, k=3, labels=labels),
        "faithfulness": gn.faithfulness(net, images, gn.explain(net, images, methods="gradcam"), steps=3),
        "quality": gn.quality(rows, rows[:, :2], labels=labels),
        "layer_scores": gn.layer_scores({"a": rows}, labels)[0],
        "cka": gn.cka({"a": rows}),
        "linear_probe": gn.linear_probe(rows, labels, train=np.arange(30), test=np.arange(30, 40)),
        "layer_table": gn.layer_table(net, (1, 1, 8, 8))[0],
    }


def test_every_result_can_be_compared_with_a_copy_and_another(results):
    for name, result in results.items():
        assert result == result, name
        assert isinstance(result == copy.copy(result), bool), name
        assert result != results["embed" if name != "embed" else "cka"], name
        assert result in [None, result], name

"""No call leaves a trace: not in the model, whether it ends well or raises, and not in memory."""

import contextlib
import gc
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from glassnet.attribution import explain
from glassnet.errors import InputError, WorkError
from traces import traces


@contextlib.contextmanager
def left_as_found(model):
    """Ask that the block leaves a model in mixed modes, half frozen, with a gradient and a hook, as it is."""
    model.train()
    [*model.modules()][1].eval()
    first, second, *_ = model.parameters()
    first.requires_grad_(False)
    second.grad = torch.ones_like(second)
    hook = model.register_forward_hook(lambda *_: None)
    before = traces(model)
    yield
    assert traces(model) == before
    assert not torch.is_autocast_enabled("cpu")
    assert torch.is_grad_enabled()
    hook.remove()


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_the_model_is_left_as_found_where_guided_methods_are_left_out(build_network, images, name):
    network = build_network(name)
    with left_as_found(network):
        assert explain(network, images, batch_size=3).methods == ("gradcam",)


def test_the_model_is_left_as_found(network, images):
    with left_as_found(network):
        explanation = explain(network, images, batch_size=3)
    assert len(explanation.scores) == len(images)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_the_model_is_left_as_found_when_its_forward_raises(network, images, calls):
    with left_as_found(network):
        seen = []

        def fail_later(*_):
            seen.append(1)
            if len(seen) > calls:
                raise RuntimeError("the disk is on fire\nand more lines")

        message = r"fails on images of shape \([12], 3, 12, 12\): the disk is on fire\.$"
        with fails_in([*network.modules()][-1], fail_later), pytest.raises(InputError, match=message):
            explain(network, images, batch_size=2)


@contextlib.contextmanager
def fails_in(module, hook):
    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_the_model_is_left_as_found_when_the_target_or_a_method_raises(network, images, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    with left_as_found(network), pytest.raises(InputError, match=r"the target callable fails .*: ZeroDivisionError"):
        explain(network, images, target=fail)
    monkeypatch.setattr("glassnet.attribution.engine.batch.compute", fail)
    with left_as_found(network), pytest.raises(ZeroDivisionError):
        explain(network, images)


def test_memory_that_does_not_suffice_is_said(build_network, images):
    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    model = build_network("in-place")
    with (
        fails_in(model[2], exhausted),
        pytest.raises(WorkError, match="not enough memory for 7 images at once; pass a sm"),
    ):
        explain(model, images, batch_size=7)


def live_tensors():
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("name", ["in-place", "residual", "tanh", "gelu"])
def test_no_tensor_waits_for_the_garbage_collector(build_network, name, images):
    network = build_network(name)
    explain(network, images)
    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        explain(network, images)
        assert live_tensors() == before
    finally:
        gc.enable()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fails_later(model, images):
    """The model raises half-way, in its second batch."""
    seen = []

    def fail(*_):
        seen.append(1)
        if len(seen) > 1:
            raise RuntimeError("no")

    with fails_in(model[2], fail), pytest.raises(InputError, match="no"):
        explain(model, images, methods=("gradcam", "guided_gradcam", "saliency"), batch_size=1)


CALLS = {
    "cheap": lambda model, images: explain(model, images),
    "several classes": lambda model, images: explain(
        model, images, target=[[0, 1, 2]], methods=("layercam", "saliency")
    ),
    "raises": fails_later,
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "calls"),
    [("several classes", 100), *(pytest.param(c, 400, marks=pytest.mark.slow) for c in ("cheap", "raises"))],
)
def test_memory_is_flat(build_network, call, calls):
    model, images = build_network("in-place"), torch.rand(2, 3, 20, 20)
    for number in range(calls):
        CALLS[call](model, images)
        if number == 10:
            before = resident_bytes()
    assert resident_bytes() - before < max(10e3 * calls, 4e6)  # so a leak of 10 kB a call is noticed


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.usefixtures("unchecked")
def test_memory_is_flat_with_methods_of_many_passes(build_network):
    model, images = build_network("in-place"), torch.rand(1, 3, 12, 12)
    for number in range(10):
        methods = ("scorecam", "smoothgrad", "integrated_gradients", "occlusion")
        explain(model, images[:, :, :8, :8], methods=methods, layers="last-conv")
        if number == 4:
            before = resident_bytes()
    assert resident_bytes() - before < 5e6

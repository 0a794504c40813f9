"""A model that is looked at, and left as it was found: its modes, needs of gradients, state, and random generators."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from glassnet.images import device_of
from glassnet.models.structure import check_weights
from glassnet.turns import eager, evaluating, exclusive, random_state_kept


@contextmanager
def undisturbed(model: nn.Module, *, frozen: bool = True) -> Iterator[Callable[[], None]]:
    """Evaluate the model with frozen parameters, and leave it and the random generators as they were found.

    Frozen parameters get no gradients, and cost no memory for what those would need. Calls of other threads on the
    model wait; code compiled by torch runs as it was written, so that hooks see its layers. Yields a function that
    puts the buffers back, for the next batch of a model that keeps a state in them, as a spiking network does.

    Args:
        model: Any module.
        frozen: Whether to freeze parameters; a backward pass written by hand may differentiate them, and then what it
            adds to their `.grad` is taken away again.

    Raises:
        InputError: Weights are not there: a lazy layer was never called, or they are on the device "meta".
    """
    check_weights(model)
    with (
        exclusive(model),
        eager(),
        evaluating(model),
        _normal(model),
        keeping_state(model) as put_back,
        _frozen(model) if frozen else _without_gradients(model),
    ):
        yield put_back


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.grad = None
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


@contextmanager
def keeping_state(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Leave a model's buffers, the tensors that it keeps as attributes, and torch's random generators as they were.

    A spiking or recurrent network writes its state over its buffers, or puts others in their place. Yields a function
    that puts the buffers and attributes back.
    """
    with exclusive(model), random_state_kept(device_of(model)):
        # A scripted module rebinds nothing, and gives its buffers out anew each time: their values alone are kept.
        modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        homes = [home for module in modules for home in (module._buffers, vars(module))]
        places = [(home, name, value) for home in homes for name, value in home.items() if isinstance(value, Tensor)]
        found = (*(one for _, _, one in places), *model.buffers())
        values = {one: (one.clone(), one._version) for one in found if not (one.is_meta or one.is_inference())}
        # A buffer that is None becomes a tensor with the first images.
        empty = [(buffers, name) for buffers in homes[::2] for name, one in buffers.items() if one is None]

        def put_back(changed: Callable[[Tensor, Tensor, int], bool] = _has_moved_on) -> None:
            for home, name, value in places:
                if home.get(name) is not value:
                    home[name] = value
            for buffers, name in empty:
                buffers[name] = None
            for one, (value, version) in values.items():
                # Only where it changed: a graph of the caller's own may have saved this version of it.
                if changed(one, value, version):
                    with torch.no_grad():
                        one.resize_(value.shape).copy_(value)
                    values[one] = value, one._version

        try:
            yield put_back
        finally:
            put_back(_differs)


def _has_moved_on(buffer: Tensor, _value: Tensor, version: int) -> bool:
    return buffer._version != version


def _differs(buffer: Tensor, value: Tensor, version: int) -> bool:
    """Tell whether a tensor was written to, also through its .data, which counts no version."""
    try:
        return buffer._version != version or not torch.equal(buffer, value)
    except RuntimeError:  # sparse, or of a type that torch cannot compare
        return False


@contextmanager
def _normal(model: nn.Module) -> Iterator[None]:
    """Put normal tensors in place of weights made in inference mode, which no graph can save."""
    made = [one for one in (*model.parameters(), *model.buffers()) if one.is_inference()]
    with replaced(model, {one: one.clone() for one in made}):
        yield


@contextmanager
def widened(model: nn.Module) -> Iterator[None]:
    """Run a model in float32 while the block runs, with the values that its weights have in half precision."""
    weights = (*model.parameters(), *model.buffers())
    half = [one for one in weights if one.is_floating_point() and one.element_size() < 4]
    with replaced(model, {one: one.detach().float() for one in half}):
        yield


@contextmanager
def replaced(model: nn.Module, others: dict[Tensor, Tensor]) -> Iterator[None]:
    """Run a model with other parameters and buffers for a while, frozen and of any type.

    Args:
        model: Whose own are put back, the very same objects.
        others: By parameter or buffer, what stands in its place.
    """
    modules = list(model.modules()) if others else []
    homes = [(module, held) for module in modules for held in (module._parameters, module._buffers)]
    places = [(module, name, one) for module, held in homes for name, one in held.items() if one in others]
    new = {
        one: nn.Parameter(other, requires_grad=False) if isinstance(one, nn.Parameter) else other
        for one, other in others.items()
    }
    try:
        # By setattr, since recurrent layers keep a list of their weights besides.
        for module, name, one in places:
            setattr(module, name, new[one])
        yield
    finally:
        for module, name, one in places:
            setattr(module, name, one)

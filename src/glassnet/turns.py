"""Calls on one model take turns, whichever threads make them, and the last one puts back what all threads share."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from glassnet.errors import InputError, WorkError


class _Turns:
    """Which thread holds which modules and weights; a thread takes all parts of a model at once, or waits.

    The table has the parts of running calls only, by their ids: nothing is attached to a model, so it can be copied and
    pickled at any time, and nothing keeps it alive.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owners: dict[int, int] = {}
        self._waiting: dict[int, frozenset[int]] = {}

    def take(self, parts: frozenset[int]) -> frozenset[int]:
        """Wait until no other thread holds any of these parts, and return those that are newly held.

        Raises:
            WorkError: A thread that holds some of them waits for this one.
        """
        thread = threading.get_ident()
        with self._changed:
            self._waiting[thread] = parts
            try:
                while blockers := self._blockers(thread):
                    if thread in self._all_waited_for(blockers):
                        raise WorkError(
                            "two threads each use a model that the other one needs, for example because the target of "
                            "one call runs the model of the other; make one call after the other."
                        )
                    self._changed.wait()
            finally:
                del self._waiting[thread]
            taken = frozenset(part for part in parts if part not in self._owners)
            self._owners |= dict.fromkeys(taken, thread)
        return taken

    def give_back(self, parts: frozenset[int]) -> None:
        """Let other threads have these parts."""
        with self._changed:
            for part in parts:
                del self._owners[part]
            self._changed.notify_all()

    def _blockers(self, thread: int) -> set[int]:
        """Return the other threads that hold what this one waits for."""
        return {self._owners.get(part, thread) for part in self._waiting.get(thread, ())} - {thread}

    def _all_waited_for(self, threads: set[int]) -> set[int]:
        """Return the threads that must finish before all of these can go on."""
        needed: set[int] = set()
        while threads:
            threads = {other for one in threads for other in self._blockers(one)} - needed
            needed |= threads
        return needed


_turns = _Turns()


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Keep other threads' calls off the model, and off all models that share a module or a weight with it.

    Calls inside the block, of the same thread, go through.

    Raises:
        WorkError: It would wait for ever.
    """
    # A list, which keeps them alive: an id is only an object's own as long as that lives.
    parts = [*model.modules(), *model.parameters(), *model.buffers()]
    taken = _turns.take(frozenset(map(id, parts)))
    try:
        yield
    finally:
        _turns.give_back(taken)


class _Shared:
    """State that all threads share: the first of several users at a time saves it, and the last one restores it."""

    def __init__(self, save: Callable[[], Any], restore: Callable[[Any], object]) -> None:
        self._save, self._restore = save, restore
        self._lock, self._users, self._saved = threading.Lock(), 0, None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the state as it is for whoever comes after the block."""
        with self._lock:
            if not self._users:
                self._saved = self._save()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._restore(self._saved)


def _force_eager() -> Any:
    """Let compiled code run as it was written, if any was compiled; return what ends that."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else None


def _slow_attention() -> bool:
    """Turn off torch's fast path, which runs whole blocks of attention in one operation; return how it was."""
    before: bool = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    return before


def _exact_convolutions() -> Callable[[], None]:
    """Turn TF32 and algorithms without a fixed order off in cuDNN; return what puts both back."""
    cudnn: Any = torch.backends.cudnn
    deterministic, cudnn.deterministic = cudnn.deterministic, True
    exact: Any
    # Torch counts mixing its older and its newer names of one switch as an error; a user may have taken either.
    try:
        place, name, exact = cudnn, "allow_tf32", False
        before = getattr(place, name)
    except RuntimeError:
        place, name, exact = cudnn.conv, "fp32_precision", "ieee"
        before = getattr(place, name)
    setattr(place, name, exact)

    def put_back() -> None:
        cudnn.deterministic = deterministic
        setattr(place, name, before)

    return put_back


_random: dict[torch.device, _Shared] = {
    torch.device("cpu"): _Shared(torch.random.get_rng_state, torch.random.set_rng_state)
}
_eager = _Shared(_force_eager, lambda stance: stance.__exit__(None, None, None) if stance else None)
_by_layer = _Shared(_slow_attention, torch.backends.mha.set_fastpath_enabled)
_exact = _Shared(_exact_convolutions, lambda put_back: put_back())


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Leave torch's random generators, the CPU's and this device's, as they were found.

    Where calls overlap, they are as the first one found them when the last one ends.
    """
    with ExitStack() as stack:
        stack.enter_context(_random[torch.device("cpu")].kept())
        if device.type == "cuda":
            new = _Shared(lambda: torch.cuda.get_rng_state(device), lambda s: torch.cuda.set_rng_state(s, device))
            stack.enter_context(_random.setdefault(device, new).kept())
        yield


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Keep torch from running whole blocks of attention in one operation, past their layers."""
    with _by_layer.kept():
        yield


@contextmanager
def eager() -> Iterator[None]:
    """Run compiled modules as they were written: compiled code that knows of no hooks would run without them."""
    with _eager.kept():
        yield


@contextmanager
def exact_convolutions(device: torch.device) -> Iterator[None]:
    """Let a GPU's convolutions be repeatable to the last bit, and those in fp32 be no TF32, which torch makes them.

    TF32 rounds to 10 bits of mantissa before it multiplies, and fp32 has 23.
    """
    if device.type != "cuda":
        yield
        return
    with _exact.kept():
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of a model into evaluation mode, and back also when the block raises; other threads wait.

    Raises:
        InputError: The model was exported in training mode, which cannot be changed.
    """
    with exclusive(model):
        # What torch.jit.freeze made has no mode, and what torch.export made has one alone.
        modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
        try:
            if modes:
                _evaluate(model)
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def _evaluate(model: nn.Module) -> None:
    try:
        model.eval()
    except NotImplementedError:
        for module in model.modules():
            for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
                if _TRAINS.get(str(node.target), lambda _: False)(node.args):
                    raise InputError(
                        f"{type(model).__name__} was exported in training mode, which cannot be changed; export "
                        "model.eval() instead."
                    ) from None


_TRAINS: dict[str, Callable[[Any], bool]] = {
    "aten.batch_norm.default": lambda arguments: arguments[5],
    "aten.dropout.default": lambda arguments: arguments[2],
}
"""Operations of an exported graph that work in training mode, by their arguments."""

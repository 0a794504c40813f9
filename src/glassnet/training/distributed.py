"""Several processes that train as one: how they meet, the same errors everywhere, batch-norm over the whole batch."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.distributed.rendezvous import rendezvous

from glassnet.console import count_processes, is_main_process, printable
from glassnet.errors import GlassnetError, InputError, WorkError

T = TypeVar("T")
MEETING_SECONDS = 120
"""How long a process waits for the others to start."""
SEEING_SECONDS = 20
"""How long it waits for a folder that another one made."""
LOST = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""What gloo says of a process that is gone."""


def join_processes(device: torch.device) -> Accelerator:
    """Return what this process trains with, together with the others that WORLD_SIZE counts.

    Raises:
        InputError: The environment does not say where the processes meet.
        WorkError: The others do not come.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # a training before this one may have used another device
    if count_processes() == 1:
        with _alone():
            return Accelerator(cpu=device.type == "cpu")
    if not torch.distributed.is_initialized():
        try:
            _meet(device)
        except GlassnetError as error:
            if not is_main_process():  # the first process speaks for all, but knows nothing of this
                print(f"glassnet: {printable(str(error))}", file=sys.stderr, flush=True)
            raise
    return Accelerator(cpu=device.type == "cpu")


def _meet(device: torch.device) -> None:
    """Wait for the other processes, as torchrun or the environment says where, and connect with them."""
    count, rank = count_processes(), os.environ.get("RANK", "")
    if not rank.isdecimal() or int(rank) >= count:
        raise InputError(f"RANK is '{rank}', expected 0 to {count - 1} for WORLD_SIZE {count}; use torchrun.")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise InputError(f"WORLD_SIZE is {count}, but {name} is not set; start the processes with torchrun.")
    address, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    if not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 1 << 16:
        raise InputError(f"MASTER_PORT is '{port[:40]}', expected a number from 1 to 65,535.")
    try:
        socket.getaddrinfo(address, int(port))
    except (OSError, UnicodeError):
        raise InputError(
            f"MASTER_ADDR is '{address[:80]}', which is not known on this network; expected the name of a computer."
        ) from None
    others = f"{count - 1} other process{'es' * (count > 2)}"  # each says so: it may be the only one that was started
    print(f"process {rank} of {count}: waiting for {others} at {address}:{port}", file=sys.stderr, flush=True)
    try:
        meeting = rendezvous("env://", timeout=timedelta(seconds=MEETING_SECONDS))
        store, _, _ = next(iter(meeting))
    except (RuntimeError, ValueError, OSError):  # each of which torch raises, for a name, a port or a process
        raise WorkError(
            f"process {rank} of {count} did not meet the others at {address}:{port} within {MEETING_SECONDS} seconds; "
            "check that MASTER_ADDR and MASTER_PORT are those of process 0, and that all processes are started."
        ) from None
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=int(rank), world_size=count)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hide what is left in the environment of a process among several, which this one is not."""
    hidden = {name: os.environ.pop(name) for name in ("RANK", "LOCAL_RANK") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def broadcast_from_main(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in the main process alone and give its result, or its error, to all."""
    outcome: list[T | GlassnetError | None] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [work()]
        except GlassnetError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if isinstance(outcome[0], GlassnetError):
        raise outcome[0]
    return outcome[0]  # type: ignore[return-value]


def main_first(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in every process, in the main one first; where that one fails, the others do not begin."""
    done: list[T] = []
    broadcast_from_main(accelerator, lambda: done.append(work()))
    return done[0] if done else work()


def require_everywhere(accelerator: Accelerator, path: Path) -> None:
    """Refuse a run's folder that some of the processes, on other hosts, do not see: each reads its weights at the end.

    Raises:
        InputError: Some do not, also after waiting for a shared disk to show what is new.
    """
    if accelerator.num_processes == 1:
        return
    last = time.monotonic() + SEEING_SECONDS
    while not path.is_dir() and time.monotonic() < last:
        time.sleep(0.1)
    missing = gather_object([path.is_dir()]).count(False)
    if missing:
        raise InputError(
            f"{missing} of {accelerator.num_processes} processes cannot see {path}, expected a folder that all hosts "
            "can see; give --out on a shared disk."
        )


def check_lost(error: Exception, path: Path) -> None:
    """Say in one sentence that another process was lost, if that is what an error of this one's means.

    Raises:
        WorkError: One was.
    """
    if count_processes() == 1 or isinstance(error, GlassnetError):
        return
    if isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in LOST):
        said = (
            f"another process was lost; continue with `glassnet train --resume {path}`, with any number of processes."
        )
        if not is_main_process():  # the first one, which speaks for all, may be the one that was lost
            print(f"glassnet: {printable(said)}", file=sys.stderr, flush=True)
        raise WorkError(said) from None


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes; the gradient of a sum everywhere is the sum of the gradients from everywhere."""

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor) -> Tensor:  # noqa: ARG004
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


class SynchronizedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch-norm with mean and variance over all processes, on any device.

    torch.nn.SyncBatchNorm refuses CPU tensors. The variance is summed around the common mean, in a second exchange,
    since a difference of squares would lose the digits that "equal within rounding" needs.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}.")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (batch, channel, ...) over batch and space, in fp32 at least."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
        mean = _SumOverProcesses.apply(values.sum(axes)) / count  # type: ignore[no-untyped-call]
        centred = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(axes)) / count  # type: ignore[no-untyped-call]
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance, self.momentum or 0.1)


def synchronize_batchnorm(model: nn.Module) -> nn.Module:
    """Replace each batch-norm inside a model by one over all processes, with the same parameters and buffers."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                common = SynchronizedBatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
                common.weight, common.bias = child.weight, child.bias
                for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                    setattr(common, buffer, getattr(child, buffer))
                setattr(parent, name, common.train(child.training))
    return model

"""How the score curves along a layer's output: second derivatives, for the methods that ask for them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from glassnet.errors import InputError
from glassnet.models.capture import Recorder
from glassnet.models.inference import check_memory
from glassnet.models.layers import Call


def twice_differentiable(*, wanted: bool) -> AbstractContextManager[object]:
    """Run attention by the one kernel whose gradient has a gradient."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext()


def curvatures(recorder: Recorder, scores: Float[Tensor, " batch"], calls: Sequence[Call]) -> dict[Call, Tensor | None]:
    """Return H A of the outputs A of layers' calls, H being the second derivatives of the scores by A.

    It is the slope of the gradient along A, which one more backward pass through the first one gives. A layer to which
    no path leads has None.

    Raises:
        InputError: Something in the model has no second derivative.
    """
    places = [recorder.edges[call] for call in calls]
    if not places or not scores.requires_grad:
        return dict.fromkeys(calls)
    firsts = torch.autograd.grad(scores.sum(), places, create_graph=True, allow_unused=True)
    return {
        call: None if first is None else _along(first, place, recorder.values[call])
        for call, first, place in zip(calls, firsts, places, strict=True)
    }


def _along(first: Tensor, place: Any, activation: Tensor) -> Tensor:
    if not first.requires_grad:  # the score is linear in A
        return torch.zeros_like(activation)
    _refuse_once_only(first)
    try:
        (second,) = torch.autograd.grad(first, [place], activation.to(first), retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        check_memory(error, len(activation))
        raise _no_curvature(str(error).strip().splitlines()[0].rstrip(".")) from error
    return torch.zeros_like(activation) if second is None else second


def _refuse_once_only(first: Tensor) -> None:
    """Refuse a gradient behind a `once_differentiable` backward: torch cuts its graph there without a word."""
    seen, waiting = set(), [first.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name().endswith("Error"):
            raise _no_curvature("one of its autograd functions can be differentiated only once")
        seen.add(node)
        waiting += [above for above, _ in node.next_functions]


def _no_curvature(reason: str) -> InputError:
    return InputError(f"shapleycam needs second derivatives, but {reason}; use gradcam instead.")

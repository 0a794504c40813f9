"""How a batch of images lies in memory: channels last, which is faster, where the network computes the same from it.

Most networks compute the same from either order. One that reads pixels by their places in memory (`as_strided`), or
asks how they lie, computes something else from images that lie channels last, and nothing fails. So images lie in
torch's own order, unless it is known, or seen, that the other makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from glassnet.devices import autocast
from glassnet.images import first_weight
from glassnet.models.capture import tapped
from glassnet.models.structure import inside_scripted, whole_modules
from glassnet.models.undisturbed import keeping_state, replaced
from glassnet.turns import evaluating

LARGEST_GAP = 1e3
"""Units in the last place of the largest number by which two passes may differ by rounding alone."""
_KNOWN = ("torch.nn.modules.", "glassnet.models.")
"""Where modules are from whose results do not depend on how their inputs lie in memory."""
_FEWEST = 4
"""Images below which two passes to find out would take longer than what they save."""

Given = dict[tuple[str, int], list[Tensor]]
"""What each call of each module gave, and under ("", 0) the model."""


def memory_order(
    model: nn.Module,
    images: Float[Tensor, "batch channel height width"],
    *,
    call: Callable[[nn.Module, Tensor], Any] | None = None,
    count: int | None = None,
) -> torch.memory_format:
    """Return the order in which a network, in evaluation mode, gets its images: channels last, or torch's own.

    Networks of torch's and glassnet's modules alone get them channels last. Any other network runs twice on a random
    image, once in each order, and every module must give the same but for rounding. Fewer than 4 images lie in torch's
    order, since two passes would take longer than they save.

    Args:
        model: Any module.
        images: As the model takes them, on its device; their range and shape are looked at.
        call: How the model is called on a batch; None for model(images).
        count: How many images will go through the model; as many as `images` by default.
    """
    if call is None and all(map(_is_known, model.modules())):
        return torch.channels_last
    if (len(images) if count is None else count) < _FEWEST:
        return torch.contiguous_format
    drawn = _random_image(images)
    try:
        plain = _given(model, drawn, call)
        same = _same(plain, _given(model, drawn.clone(memory_format=torch.channels_last), call))
    except Exception:  # whatever the model raises; the pass that is wanted says it
        same = False
    return torch.channels_last if same else torch.contiguous_format


def works_channels_last(model: nn.Module, images: Float[Tensor, "batch channel height width"]) -> bool:
    """Tell whether a network gives the same where its weights and images lie channels last; it is left as it is.

    Args:
        model: Any module.
        images: As the model takes them, on its device.
    """
    drawn = _random_image(images)
    weights = [one for one in (*model.parameters(), *model.buffers()) if one.ndim == 4]
    try:
        with evaluating(model):
            plain = _given(model, drawn)
            with replaced(model, {one: one.detach().clone(memory_format=torch.channels_last) for one in weights}):
                return _same(plain, _given(model, drawn.clone(memory_format=torch.channels_last)))
    except Exception:  # whatever the model raises; the pass that is wanted says it
        return False


def agree(one: Tensor, whole: Tensor) -> bool:
    """Tell whether one pass gives what another gives, but for rounding."""
    if one.shape != whole.shape or one.dtype != whole.dtype:
        return False
    known = whole.isfinite()
    if not torch.equal(known, one.isfinite()):
        return False
    first, second = one[known].double(), whole[known].double()
    if not len(first):
        return True
    eps = torch.finfo(whole.dtype).eps if whole.is_floating_point() else 0
    return float((first - second).abs().max()) <= min(LARGEST_GAP * eps, 0.05) * float(second.abs().max())


def _is_known(module: nn.Module) -> bool:
    """Tell whether a module is one of torch's or glassnet's as it is, with nothing of anybody's own in its call."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return type(module).__module__.startswith(_KNOWN) and not hooks and "forward" not in vars(module)


def _random_image(images: Tensor) -> Float[Tensor, "1 channel height width"]:
    """Draw an image in the range of others: in an even one, all places are the same. NaNs do not count."""
    finite = images.detach()[images.detach().isfinite()]
    low, high = finite.aminmax() if len(finite) else (images.new_zeros(()), images.new_ones(()))
    drawn = torch.rand((1, *images.shape[1:]), generator=torch.Generator().manual_seed(0)).to(images)
    return low + (high - low if high > low else 1) * drawn


def _given(model: nn.Module, image: Tensor, call: Callable[[nn.Module, Tensor], Any] | None = None) -> Given:
    """Run a network once, and leave its state and the random generators as they were."""
    device, hidden = first_weight(model).device, inside_scripted(model)
    names = [] if isinstance(model, torch.jit.ScriptModule) else [one for one in whole_modules(model) if one]
    found: Given = {}

    def tap(made: tuple[str, int], given: Any) -> None:
        found[made] = _tensors(given)

    with (
        keeping_state(model),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.no_grad(),
        autocast(device, "fp32"),
        tapped(model, [name for name in names if name not in hidden], tap),
    ):
        found["", 0] = _tensors(model(image.clone()) if call is None else call(model, image.clone()))
    return found


def _tensors(given: Any) -> list[Tensor]:
    tensors = [one.detach() for one in tree_leaves(given) if isinstance(one, Tensor)]
    return [torch.view_as_real(one) if one.is_complex() else one for one in tensors]


def _same(plain: Given, other: Given) -> bool:
    return plain.keys() == other.keys() and all(
        len(plain[made]) == len(other[made]) and all(map(agree, other[made], plain[made])) for made in plain
    )

"""What glassnet says of a network nobody here wrote, against plain PyTorch: hooks, autograd, its flop counter."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import glassnet as gn
from glassnet.attribution.engine.guided import GuidedReLUError
from glassnet.models.memory_order import memory_order
from zoo.guided import GuidedCalls, has_relu_modules_alone

CHECKS = ("parameters", "MACs", "features", "Grad-CAM", "guided", "as found")
NOT_MADE = "– "
"""How a check begins that could not be made; why follows."""
TOLERANCE = 1e-4

Reading = Callable[[Tensor], Tensor]
"""From a layer's output to (n, channel, height, width), written down by hand for each architecture."""


Gradient = tuple[tuple[str, int], Tensor, Tensor]
"""A layer's name and call, what it gave, and the score's gradient there."""


@dataclass(frozen=True)
class Architecture:
    """One network of another library.

    Attributes:
        name: As that library calls it.
        build: Builds it with random weights.
        size: Height and width of its image in pixels.
        channels: Of the image.
        tokens: How the tokens lie that its linear layers and layer norms give, by their number: how many come before
            the grid, its height and width.
        channels_last: Whether a linear layer of it that gives four axes has them as (n, height, width, channel).
        scores: Whether it gives (n, classes); if not, the mean of its first output is explained.
    """

    name: str
    build: Callable[[], nn.Module]
    size: int = 64
    channels: int = 3
    tokens: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    channels_last: bool = False
    scores: bool = True


def compare(architecture: Architecture) -> dict[str, str]:
    """Return for each check "" where glassnet is right, what is wrong where it is not, or why it could not be made."""
    model, images = _network(architecture), _images(architecture)
    found, outcome = _state(model), {}
    for check, function in _FUNCTIONS.items():
        try:
            outcome[check] = function(architecture, model, images)
        except Exception as error:  # the table says what failed, whatever it is
            outcome[check] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    outcome["as found"] = _changed(found, _state(model))
    return outcome


def failures(outcome: Mapping[str, str]) -> dict[str, str]:
    """Return the checks that found something wrong, and what."""
    return {check: what for check, what in outcome.items() if what and not what.startswith(NOT_MADE)}


def describe(architecture: Architecture) -> tuple[int, int]:
    """Return a network's parameters and how many calls of layers its table lists."""
    model = _network(architecture)
    rows = gn.layer_table(model, _images(architecture).shape)
    return sum(row.parameters for row in rows), len(rows)


def _network(architecture: Architecture) -> nn.Module:
    """Build the network; its batch-norms take the statistics of a few images, so that no layer dies or explodes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = architecture.build()
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        with torch.no_grad():
            model.eval()
            for norm in norms:
                norm.train()
            model(_images(architecture, 4))
    return model.eval()


def _images(architecture: Architecture, count: int = 2) -> Tensor:
    shape = (count, architecture.channels, architecture.size, architecture.size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def first_tensor(output: Any) -> Tensor:
    """Return the scores of a classifier's output, or whatever comes first."""
    logits = getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else next(x for x in tree_leaves(output) if isinstance(x, Tensor))


def _score(architecture: Architecture) -> Callable[[Any], Tensor]:
    if architecture.scores:
        return lambda output: first_tensor(output)[:, 1]
    return lambda output: first_tensor(output).flatten(1).float().mean(1)


def _target(architecture: Architecture) -> Any:
    return 1 if architecture.scores else _score(architecture)


def _parameters(_architecture: Architecture, model: nn.Module, images: Tensor) -> str:
    ours = sum(row.parameters for row in gn.layer_table(model, images.shape))
    theirs = sum(p.numel() for p in model.parameters())
    return "" if ours == theirs else f"{ours:,} of {theirs:,}"


def _macs(_architecture: Architecture, model: nn.Module, images: Tensor) -> str:
    ours = sum(row.macs for row in gn.layer_table(model, images.shape))
    # Mathematics' own kernel: torch has no formula for the fused attention of the CPU.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(images)
    theirs = counter.get_total_flops() / 2 / len(images)
    return "" if abs(ours - theirs) <= 0.02 * theirs else f"{ours:,} for {theirs:,.0f}"


def _layers(architecture: Architecture, model: nn.Module, images: Tensor) -> dict[str, Reading]:
    """Return every convolution, and every linear layer and layer norm that gives tokens, each with its reading."""
    layers: dict[str, Reading] = {}
    others: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            layers[name] = lambda output: output
        elif isinstance(module, nn.Linear | nn.LayerNorm):
            others.append(name)
    if architecture.tokens or architecture.channels_last:
        with torch.no_grad():
            _, taken = _record(model, others, images)
        for (name, _), output in taken.items():
            linear = isinstance(model.get_submodule(name), nn.Linear)
            reading = _reading(output, len(images), architecture, linear=linear)
            if reading is not None:
                layers[name] = reading
    return layers


def _reading(output: Tensor, count: int, architecture: Architecture, *, linear: bool) -> Reading | None:
    if output.ndim == 4 and architecture.channels_last and linear:
        return lambda maps: maps.permute(0, 3, 1, 2)
    grid = architecture.tokens.get(output.shape[1]) if output.ndim == 3 and len(output) == count else None
    if grid is None:
        return None
    prefix, height, width = grid
    return lambda tokens: tokens[:, prefix:].transpose(1, 2).unflatten(2, (height, width))


def _choice(layers: Mapping[str, Reading], model: nn.Module) -> list[str]:
    modules = dict(model.named_modules())
    tokens = [name for name in layers if isinstance(modules[name], nn.Linear | nn.LayerNorm)]
    convolutions = len(tokens) < len(layers)
    return [*(["conv"] if convolutions else []), *tokens]


def _record(
    model: nn.Module, layers: Iterable[str], images: Tensor, *, alone: bool = False
) -> tuple[Any, dict[tuple[str, int], Tensor]]:
    """Run the model; return its output and each call's; a clone goes on, so that nothing is written over.

    With `alone`, the only tensor of a tuple counts too, as it does in features.
    """
    taken: dict[tuple[str, int], Tensor] = {}
    counts: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., Any]:
        def take(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            tensors = [one for one in tree_leaves(output) if isinstance(one, Tensor)]
            if isinstance(output, Tensor) or (alone and len(tensors) == 1):
                taken[name, counts[name]] = tensors[0]
            counts[name] += 1
            return output.clone() if isinstance(output, Tensor) else None

        return take

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook(name)) for name in layers]
    try:
        return model(images), taken
    finally:
        for handle in handles:
            handle.remove()


def _named(taken: Mapping[tuple[str, int], Any]) -> dict[str, tuple[str, int]]:
    calls = Counter(name for name, _ in taken)
    return {name if calls[name] == 1 else f"{name}:{number}": (name, number) for name, number in taken}


def _given(model: nn.Module, images: Tensor) -> Tensor:
    """Return images laid out as the engine does: another order of sums turns a ReLU on or off here and there."""
    return images.clone(memory_format=memory_order(model, images)).requires_grad_()


def _features(architecture: Architecture, model: nn.Module, images: Tensor) -> str:
    layers = _layers(architecture, model, images)
    ours = gn.extract_features(model, images, _choice(layers, model), pool="none")
    with torch.no_grad():
        _, taken = _record(model, layers, images, alone=True)
    names = {name: call for name, call in _named(taken).items() if len(taken[call]) == len(images)}
    if set(names) != set(ours):
        return _differing(set(ours), set(names))
    errors = {name: _error(torch.from_numpy(ours[name]), taken[call].flatten(1)) for name, call in names.items()}
    return _worst(errors)


def _gradcam(architecture: Architecture, model: nn.Module, images: Tensor) -> str:
    layers = _layers(architecture, model, images)
    theirs = _gradients(architecture, model, layers, images)
    chosen = _choice({call[0]: layers[call[0]] for call, _, _ in theirs.values()}, model)
    ours = gn.explain(model, images, target=_target(architecture), layers=chosen, methods="gradcam")
    if set(theirs) != set(ours.layers):
        return _differing(set(ours.layers), set(theirs))
    errors = _gradcam_errors(ours, layers, theirs)
    zero = {name for name, error in errors.items() if error > TOLERANCE and not ours.raw["gradcam", name].any()}
    if zero:  # said to be zero, where this reference has its rounding: float64 must have zero too
        precise = _gradients(architecture, _network(architecture).double(), layers, images.double())
        errors |= _gradcam_errors(ours, layers, {name: precise[name] for name in zero})
    return _worst(errors)


def _gradcam_errors(ours: Any, layers: Mapping[str, Reading], theirs: Mapping[str, Gradient]) -> dict[str, float]:
    return {
        name: _gradcam_error(ours, name, layers[call[0]](activation), layers[call[0]](gradient))
        for name, (call, activation, gradient) in theirs.items()
    }


def _gradients(
    architecture: Architecture, model: nn.Module, layers: Mapping[str, Reading], images: Tensor
) -> dict[str, Gradient]:
    """Return by name each call that leads to the score, with what it gave and the score's gradient there."""
    output, taken = _record(model, layers, _given(model, images))
    calls = {name: call for name, call in _named(taken).items() if taken[call].requires_grad}
    score = _score(architecture)(output).sum()
    gradients = torch.autograd.grad(score, [taken[call] for call in calls.values()], allow_unused=True)
    return {
        name: (call, taken[call].detach(), gradient)
        for (name, call), gradient in zip(calls.items(), gradients, strict=True)
        if gradient is not None and len(gradient) == len(images)
    }


def _gradcam_error(ours: Any, name: str, activation: Tensor, gradient: Tensor) -> float:
    """Compare one layer's maps; what cancels is measured by a thousandth of what cancels, as before an InstanceNorm."""
    weight = gradient.mean((2, 3), keepdim=True)
    map_ = (weight * activation).sum(1).relu()
    noise = float((gradient.abs().mean((2, 3), keepdim=True) * activation.abs()).sum(1).max())
    return _error(torch.as_tensor(ours.raw["gradcam", name]), map_, least=1e-3 * noise)


def _guided(architecture: Architecture, model: nn.Module, images: Tensor) -> str:
    """Compare with ReLUs replaced as they are called; a refusal is right where other activations or functions ran."""
    try:
        ours = gn.explain(model, images, target=_target(architecture), methods="guided_backpropagation")
    except GuidedReLUError as error:
        refused = has_relu_modules_alone(model, images) and "autograd Function" not in error.reason
        return f"refused: {error.reason}" if refused else f"{NOT_MADE}{error.reason}"
    given = _given(model, images)
    with GuidedCalls() as calls:
        output = model(given)
    (theirs,) = torch.autograd.grad(_score(architecture)(output).sum(), [given])
    error = _error(torch.as_tensor(ours["guided_backpropagation", "input"]), theirs)
    if calls.gates:
        return f"{NOT_MADE}uses relu6 as a gate, for which there is no reference"
    if not calls.count:
        return "guided, though it has no ReLU"
    return "" if error <= TOLERANCE else f"off by {error:.1e}"


def _error(ours: Tensor, theirs: Tensor, least: float = 0.0) -> float:
    """Return the largest difference in units of the reference's largest value."""
    if ours.shape != theirs.shape:
        return float("inf")
    scale = max(float(theirs.abs().max()), least, 1e-30)
    return float((ours.double() - theirs.double()).abs().max()) / scale


def _worst(errors: Mapping[str, float]) -> str:
    wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
    if not wrong:
        return "" if errors else "no layer"
    name = max(wrong, key=lambda one: wrong[one])
    return f"{len(wrong)} of {len(errors)} layers, {name} off by {wrong[name]:.1e}"


def _differing(ours: set[str], theirs: set[str]) -> str:
    lacking, more = sorted(theirs - ours), sorted(ours - theirs)
    return f"lacks {len(lacking)} layers {lacking[:2]}, has {len(more)} more {more[:2]}"


def _state(model: nn.Module) -> dict[str, Any]:
    tensors = {
        name: (id(value), value.clone())
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor)
    }
    settings = {name: (p.requires_grad, p.grad is None) for name, p in model.named_parameters()}
    hooks = {
        name: (one.training, len(one._forward_hooks), len(one._forward_pre_hooks))
        for name, one in model.named_modules()
    }
    return {"tensors": tensors, "parameters": settings, "modules": hooks, "random": torch.get_rng_state()}


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    for name, (identity, value) in before["tensors"].items():
        now = after["tensors"].get(name)
        if now is None or now[0] != identity or not torch.equal(now[1], value):
            return f"{name} is another"
    if not torch.equal(before["random"], after["random"]):
        return "the random generator moved on"
    changed = [what for what in ("parameters", "modules") if before[what] != after[what]]
    return f"{changed[0]} changed" if changed else ""


_FUNCTIONS: dict[str, Callable[[Architecture, nn.Module, Tensor], str]] = {
    "parameters": _parameters,
    "MACs": _macs,
    "features": _features,
    "Grad-CAM": _gradcam,
    "guided": _guided,
}

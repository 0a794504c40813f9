"""One forward pass for every layer, one backward pass for all their gradients, one more for guided backpropagation."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.attribution.explanation import Explanation
from glassnet.attribution.gather import Gathered
from glassnet.attribution.methods import choose_methods, compute, ingredients, is_of_a_layer
from glassnet.attribution.rectifiers import GuidedRectifiers
from glassnet.attribution.targets import Target, check_target, score
from glassnet.devices import autocast, choose_precision
from glassnet.errors import InputError
from glassnet.models.capture import Recorder, followed_in_place, record, undisturbed
from glassnet.models.images import Images, check_images, device_of, image_batches, in_words
from glassnet.models.layers import Call, name_calls, select_layers, split_call


def explain(
    model: nn.Module,
    images: Images,
    *,
    target: Target = "predicted",
    layers: str | Sequence[str] = "conv",
    methods: str | Sequence[str] = ("gradcam", "guided_gradcam"),
    batch_size: int = 16,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
) -> Explanation:
    """Attribute one score per image to any layers, by any methods, and leave the model as it was found.

    The model runs in evaluation mode, on its own device. A batch costs one forward pass, one backward pass for the
    gradients of all layers, and one more if a method needs guided backpropagation.

    Args:
        model: Any module that takes one image batch.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here) or float as the model takes it; a tensor or a
            NumPy array.
        target: What is explained: "predicted", a class number, one class number an image, or a callable from the output
            for a batch to one score an image, shape (batch,); the last suits any output.
        layers: What `select_layers` takes: names, patterns, kinds. A layer that runs twice is explained at each call,
            as "relu:0" and "relu:1". What a kind or pattern brings in is left out where it cannot be explained: it did
            not run, gives no (n, channel, height, width), or does not reach the score.
        methods: Keys of METHODS. Those that explain the input alone stand at the layer "input".
        batch_size: Images per pass; it changes memory and time, not the result.
        precision: "bf16" computes the passes under autocast, "auto" where the hardware gains from it; methods and
            results are float32 in all.

    Raises:
        InputError: A name is unknown, a shape or the target is wrong, images or scores are NaN, a layer asked for by
            name cannot be explained, no gradient path leads to it, or the model has no ReLU to guide.
        WorkError: The memory does not suffice, or a layer runs for some batches only.
    """
    check_images(images, batch_size)
    wanted, device, chosen = check_target(target, len(images)), device_of(model), choose_methods(methods)
    plan = _plan(model, layers, chosen, choose_precision(precision, device))
    gathered = Gathered(len(images), images.shape[-2:])
    # The caller's modes must not matter: gradients are needed, and only the passes may run in bf16.
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad(), autocast(device, "fp32"):
        for start, batch in image_batches(model, images, batch_size):
            part = wanted[start : start + len(batch)] if isinstance(wanted, Tensor) else wanted
            explained = _explain_batch(plan, batch, part, gathered)
    return gathered.explanation(chosen, explained)


@dataclass
class _Plan:
    """What is done for every batch; `overwritten` learns whose outputs the model overwrites."""

    model: nn.Module
    asked: str | Sequence[str]
    names: list[str]
    of_layers: list[str]
    of_input: list[str]
    guided: bool
    precision: str
    overwritten: set[str]


def _plan(model: nn.Module, layers: str | Sequence[str], methods: Sequence[str], precision: str) -> _Plan:
    of_layers = [method for method in methods if is_of_a_layer(method)]
    return _Plan(
        model=model,
        asked=layers,
        names=select_layers(model, layers) if of_layers else [],
        of_layers=of_layers,
        of_input=[method for method in methods if method not in of_layers],
        guided="guided_gradient" in ingredients(*methods),
        precision=precision,
        overwritten=followed_in_place(model),
    )


def _explain_batch(plan: _Plan, batch: Tensor, target: Any, gathered: Gathered) -> list[str]:
    """Explain one batch and return the names of the layers explained."""
    images, rectifiers = batch.requires_grad_(plan.guided), GuidedRectifiers()

    def forward() -> tuple[Any, Tensor, Tensor | None]:
        seeing = rectifiers if plan.guided else nullcontext()
        with in_words(plan.model, batch), autocast(batch.device, plan.precision), seeing:
            # A copy, since the model may write into what it is given, but not into a graph's root.
            output = plan.model(images.clone())
        return output, *score(output, target, len(batch))

    modules = {split_call(name)[0] for name in plan.names}
    (output, scores, classes), recorder = record(plan.model, modules, forward, copied=plan.overwritten)
    plan.overwritten = recorder.touched
    gathered.put_scores(output, scores, classes)
    known: dict[str, Tensor] = {}
    with in_words(plan.model, batch):
        if plan.guided:
            known["guided_gradient"] = _guided_gradient(scores, images, rectifiers, keep_graph=bool(plan.of_layers))
        gradients, ran = _gradients(scores, recorder, plan.names)
    for method in plan.of_input:
        gathered.put_map(method, "input", compute(method, known))
    explained = name_calls(plan.names, plan.asked, ran) if plan.of_layers else {}
    for name, call in explained.items():
        here = known | {"activation": _wide(recorder.values[call]), "gradient": _wide(gradients[call])}
        for method in plan.of_layers:
            gathered.put_map(method, name, compute(method, here))
    return list(explained)


def _guided_gradient(
    scores: Float[Tensor, " batch"], images: Tensor, rectifiers: GuidedRectifiers, *, keep_graph: bool
) -> Float[Tensor, "batch channel height width"]:
    gradient = None
    if scores.requires_grad:
        if not rectifiers.count:
            raise InputError(
                "guided backpropagation does not apply: it changes how ReLUs pass gradients back, and no ReLU ran "
                "between the images and the output of this model; use gradcam instead."
            )
        with rectifiers.guiding():
            (gradient,) = torch.autograd.grad(scores.sum(), images, retain_graph=keep_graph, allow_unused=True)
    if gradient is None:
        raise InputError("no gradient path leads from the images to the score: torch.no_grad() or detach() cuts it.")
    return _wide(gradient)


def _gradients(
    scores: Float[Tensor, " batch"], recorder: Recorder, names: Sequence[str]
) -> tuple[dict[Call, Tensor], dict[Call, str]]:
    """Return the score's gradient at the named layers' calls, and what makes each call unusable, or ""."""
    ran = {call: _shape_problem(value, len(scores)) for call, value in recorder.values.items()} | recorder.unusable
    asked = {call for call in ran if call[0] in names or f"{call[0]}:{call[1]}" in names}
    edges = {call: edge for call, edge in recorder.edges.items() if call in asked and not ran[call]}
    found: Sequence[Tensor | None] = [None] * len(edges)
    if edges and scores.requires_grad:
        found = torch.autograd.grad(scores.sum(), list(edges.values()), allow_unused=True)
    for call, gradient in zip(edges, found, strict=True):
        if gradient is None:
            ran[call] = (
                "has no gradient path to the score: torch.no_grad() or detach() cuts it, or the score ignores it"
            )
    return {call: gradient for call, gradient in zip(edges, found, strict=True) if gradient is not None}, ran


def _shape_problem(value: Tensor, size: int) -> str:
    if value.ndim == 4 and len(value) == size:
        return ""
    return f"gives shape {tuple(value.shape)}, but a map needs ({size}, channel, height, width); choose a convolution"


def _wide(value: Tensor) -> Tensor:
    """Return half precision as float32, so that a method's sums keep their digits."""
    return value.float() if value.element_size() < 4 else value

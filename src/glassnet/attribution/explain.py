"""One forward pass for every layer, one backward pass for all their gradients, one more for guided backpropagation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from glassnet.attribution.engine.batch import Plan, explain_batch
from glassnet.attribution.engine.budget import MEMORY_BYTES, choose_batch_size
from glassnet.attribution.engine.guided import GuidedReLUError
from glassnet.attribution.engine.maps import Maps, Reshapes, check_reshape
from glassnet.attribution.engine.outputs import Output
from glassnet.attribution.engine.passes import Network, build_network
from glassnet.attribution.engine.targets import Classes, Scorer, Target, check_target, of_batch
from glassnet.attribution.explanation import Explanation, ResultCollector
from glassnet.attribution.methods import Method, choose_methods, ingredients, is_of_a_layer
from glassnet.console import say
from glassnet.devices import autocast
from glassnet.errors import InputError
from glassnet.images import Images, check_images, device_of, image_batches
from glassnet.method_titles import METHOD_TITLES
from glassnet.models.inference import ModelCall
from glassnet.models.last_layer import settle_last
from glassnet.models.layers import LayerChoice, asked_by_name, select_layers, split_call
from glassnet.models.pretrained import named_classes
from glassnet.models.structure import check_weights
from glassnet.models.undisturbed import undisturbed


def explain(
    model: nn.Module,
    images: Images,
    *,
    target: Target = "predicted",
    layers: LayerChoice = "conv",
    methods: str | Sequence[str] | Mapping[str, Method] = ("gradcam", "guided_gradcam"),
    reshape: Reshapes | None = None,
    batch_size: int | Literal["auto"] = "auto",
    memory_bytes: int = MEMORY_BYTES,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    output: Output = None,
    forward: ModelCall | None = None,
) -> Explanation:
    """Attribute one score per image, or several, to any layers, by any methods, and leave the model as it was found.

    The model runs in evaluation mode, on its own device. A batch costs one forward pass, and for each class explained
    one backward pass for the gradients of all layers and of the images, and one more if a method needs guided
    backpropagation. Methods that look at changed images (scorecam, smoothgrad, integrated_gradients, occlusion) cost
    more passes, those of a layer for each layer; their docstrings say how many.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here) or float as the model takes it; a tensor or a
            NumPy array.
        target: What is explained: "predicted", a class number, one class number an image (n,), several an image, as
            (n, m), or (1, m) for the same ones of every image, or a callable from the output for a batch to one score
            an image, shape (batch,); the last suits any output. A callable of two arguments gets the batch's images
            too, as floats on the model's device, as in lambda output, x: -((output - x) ** 2).mean((1, 2, 3)) for a
            reconstruction's error; methods that look at changed images leave these as they were.
        layers: What `select_layers` takes: names, patterns, kinds, modules (which stand under their names). A layer
            that runs twice is explained at each call, as "relu:0" and "relu:1", less the calls that cannot be
            explained. What a kind or pattern brings in is left out where it cannot be explained: it did not run, gives
            no map, or does not reach the score.
        methods: Keys of METHODS, or a mapping from names to methods of the caller's own, as in
            {"smooth": functools.partial(METHODS["smoothgrad"], of="gradcam")}. Those that explain the input alone stand
            at the layer "input".
        reshape: From each layer's output to (n, channel, height, width), and so its gradient, for what is no map; it
            may only pick and rearrange. A mapping from names or patterns of layers gives each its own. All others are
            read as a trace of the forward pass tells, which follows images, channels, rows and columns through it:
            (n, height, width, channel), tokens on any grid with others around it, sequences first, windows of Swin. How
            tokens are read is said; a layer whose layout the trace does not tell cannot be explained.
        batch_size: Images per pass; it changes memory and time, not the result. "auto" measures how many fit.
        memory_bytes: What "auto" fills: activations and gradients; weights and results come on top.
        precision: "bf16" computes the passes under autocast, "auto" where the hardware gains from it; methods and
            results are float32 in all.
        output: Where the class scores (n, classes) are in what the model gives: a key or name, an index, or a callable
            from the model's output to them. None finds them where there is one such tensor, `logits` first, and says
            which. "logits", "probabilities" or "sigmoid" says what the scores are; that matters here for a network of
            one output y alone, which is read as a binary classifier: class 1 has the score y, class 0 -y, or 1 - y
            where y comes out of a sigmoid. A callable target gets what the model gives, or what is named here.
        forward: How the model is called on a batch of images, for one that takes more than them, as in
            lambda model, images: model(images, text). Methods that look at changed images call it with these, of which
            there may be several times as many.

    Raises:
        InputError: A name is unknown, a shape or the target is wrong, images, scores or attributions are NaN, a layer
            asked for by name cannot be explained, no gradient path leads to it, or no method is left: those of guided
            backpropagation, which apply to ReLUs alone, are left out for other models, and that is said.
        WorkError: The memory does not suffice, or a layer runs for some batches only.
    """
    check_images(images, batch_size if isinstance(batch_size, int) else 1)
    check_weights(model)
    device = device_of(model)
    # The caller's modes must not matter: gradients are needed, for which nothing made in inference mode can be saved,
    # and only the passes may run in bf16.
    with torch.inference_mode(False), torch.enable_grad(), autocast(device, "fp32"):
        wanted = check_target(target, len(images))
        wanted = wanted.clone() if isinstance(wanted, Tensor) else wanted
        network = build_network(model, precision=precision, output=output, forward=forward)
        plan = _planned(network, images, layers, methods, reshape)
        explanation = _explained(plan, images, wanted, batch_size, memory_bytes)
    if note := explanation.gap_note():
        say(note)
    callable_target = target if callable(target) else None
    dependent = {"target": callable_target, "output": output, "forward": forward}
    return replace(explanation, asked=dependent, images=images, classes=_names(model, explanation))


def _names(model: nn.Module, explanation: Explanation) -> tuple[str, ...] | None:
    """Return what the model says that its classes are, as long as it is these that the output has."""
    names, scores = named_classes(model), explanation.output
    return names if names and scores is not None and scores.shape[1:] == (len(names),) else None


def _planned(
    network: Network,
    images: Images,
    layers: LayerChoice,
    methods: str | Sequence[str] | Mapping[str, Method],
    reshape: Reshapes | None,
) -> Plan:
    """Find the methods, and the layers if a method is of layers; the batch size is settled later."""
    model = network.model
    check_reshape(reshape, dict(model.named_modules()))
    chosen, known_methods = choose_methods(methods)
    names: list[str] = []
    asked: Sequence[str] = []
    if any(is_of_a_layer(method, known_methods) for method in chosen):
        layers = settle_last(model, layers, images, forward=network.call)
        names, asked = select_layers(model, layers), asked_by_name(model, layers)
    return Plan(network, chosen, known_methods, asked, names, Maps(model, network.call, reshape), batch_size=1)


_FROZEN = "does not require grad"


def _explained(
    plan: Plan, images: Images, wanted: Scorer | Classes | None, batch_size: object, memory_bytes: int
) -> Explanation:
    """Explain with frozen parameters, or with others where the model's own backward pass differentiates them."""
    network = plan.network
    for frozen in (True, False):
        with undisturbed(network.model, frozen=frozen) as network.put_back:
            try:
                modules = {split_call(name)[0] for name in plan.names}
                size = choose_batch_size(network.model, images, modules, batch_size, memory_bytes, network.call)
                return _guided_or_not(replace(plan, batch_size=size), images, wanted)
            except InputError as error:
                if _FROZEN not in str(error) or not frozen:
                    raise
    raise AssertionError  # one of both has returned or raised


def _guided_or_not(plan: Plan, images: Images, wanted: Scorer | Classes | None) -> Explanation:
    try:
        return _in_batches(plan, images, wanted)
    except GuidedReLUError as error:
        plan = _without_guiding(plan, error)
    # Outside of the handler, whose error holds the failed pass with its graph.
    return _in_batches(plan, images, wanted)


def _without_guiding(plan: Plan, error: GuidedReLUError) -> Plan:
    """Leave out, and say so, the methods that need guided ReLUs, for a model that has none to guide.

    Raises:
        GuidedReLUError: No other method was asked for.
    """
    guided = [m for m in plan.methods if "guided_gradient" in ingredients(m, known_methods=plan.known_methods)]
    others = tuple(method for method in plan.methods if method not in guided)
    if not others:
        raise error
    titles = " and ".join(METHOD_TITLES.get(method, method) for method in guided)
    say(f"left out {titles}: guided backpropagation does not apply, because {error.reason}.")
    return replace(plan, methods=others)


def _in_batches(plan: Plan, images: Images, wanted: Scorer | Classes | None) -> Explanation:
    """Explain all images, so many at a time, and join what comes of it."""
    collector = ResultCollector(len(images), images.shape[-2:])
    for start, batch in image_batches(plan.network.model, images, plan.batch_size):
        explained = explain_batch(plan, batch, of_batch(wanted, start, batch))
        collector.put(explained.passed, explained.maps, explained.gaps)
        layer_names = explained.layers()
    return collector.explanation(plan.methods, layer_names)

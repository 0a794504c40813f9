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
    """Explain one or several scores per image at any layers, with any methods.

    The model runs in evaluation mode on its own device and is left as it was found. A batch costs one forward pass.
    Each explained class adds one backward pass for the gradients of all layers and of the images, and one more if a
    method needs guided backpropagation. Methods that look at changed images (scorecam, smoothgrad,
    integrated_gradients, occlusion) cost more passes, layer methods among them for every layer; see their docstrings.
    On a CPU, a network with modules of its own first passes one random image twice, to see whether images may lie
    channels last in memory, which is faster.

    Args:
        model: Any module that takes one image batch, or what `forward` gives it.
        images: (n, channel, height, width): uint8 (scaled to [0, 1] here) or float as the model takes it; a tensor or a
            NumPy array.
        target: What to explain: "predicted", a class number, one class number per image (n,), several per image (n, m),
            the same several for every image (1, m), or a callable from a batch's output to one score per image,
            shape (batch,). A callable suits any output. With two arguments it also gets the batch's images, as floats
            on the model's device: lambda output, x: -((output - x) ** 2).mean((1, 2, 3)) explains a reconstruction's
            error. Methods that look at changed images pass the unchanged ones here.
        layers: What `select_layers` takes: names, patterns, kinds or modules (listed under their names). A layer that
            runs twice is explained at each call, as "relu:0" and "relu:1", except at calls that cannot be explained.
            Layers that a kind or pattern adds are skipped if they cannot be explained: they did not run, give no map,
            or do not reach the score. "conv" and "last-conv" mean the convolutions themselves; where channels are
            measured (`channels`), they mean the batch normalisation behind.
        methods: Keys of METHODS, or a mapping from names to your own methods, such as
            {"smooth": functools.partial(METHODS["smoothgrad"], of="gradcam")}. Methods that explain only the input are
            listed under the layer "input".
        reshape: Function from a layer's output (and so its gradient) to (n, channel, height, width), for outputs that
            are not maps; it may only select and rearrange. A mapping from layer names or patterns gives each its own.
            Without it, a trace of the forward pass follows images, channels, rows and columns to find the layout:
            (n, height, width, channel), tokens on any grid with extra tokens, sequences first, windows of Swin. How
            tokens are read is printed; a layer whose layout the trace cannot find cannot be explained.
        batch_size: Images per pass; affects memory and time, not the result. "auto" measures how many fit.
        memory_bytes: Memory for "auto" to fill with activations and gradients; weights and results come on top.
        precision: "bf16" runs the passes under autocast, "auto" does so where the hardware gains from it; methods and
            results are always float32.
        output: Where the class scores (n, classes) are in the model's output: a key or name, an index, or a callable
            from the output to them. None finds them if only one tensor fits, `logits` first, and prints which.
            "logits", "probabilities" or "sigmoid" says what the scores are. This matters for networks with a single
            output y, which are read as binary classifiers: class 1 has the score y, class 0 has -y, or 1 - y if y
            comes out of a sigmoid. A callable target gets the model's output, or the part named here.
        forward: How to call the model on a batch of images if it needs more than images, as in
            lambda model, images: model(images, text). Methods that look at changed images call it with these, possibly
            several times as many.

    Raises:
        InputError: A name is unknown; a shape or the target is wrong; images, scores or attributions are NaN; a layer
            asked for by name cannot be explained or has no gradient path to it; or no method is left. Guided
            backpropagation methods apply to ReLUs only; for other models they are left out, with a message.
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

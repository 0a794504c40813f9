"""Forward and backward passes of one batch: the scores, what layers give, and the gradients of both kinds.

Guided backward passes go through the ReLUs that `guided` recognises, on the graph of an ordinary forward pass.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from glassnet.attribution.engine.curvature import twice_differentiable
from glassnet.attribution.engine.guided import GuidedReLU, GuidedReLUError
from glassnet.attribution.engine.outputs import Output, OutputReader, model_call
from glassnet.attribution.engine.targets import Classes, Scorer, contrast, score
from glassnet.console import say_once
from glassnet.devices import autocast, choose_precision
from glassnet.errors import InputError
from glassnet.images import device_of, first_weight
from glassnet.models.capture import Recorder, followed_in_place, record
from glassnet.models.inference import NO_VIEW, ModelCall, call_model, translate_torch_errors
from glassnet.models.layers import Call
from glassnet.models.memory_order import memory_order
from glassnet.models.undisturbed import widened

R = TypeVar("R")

GRADIENTS = frozenset({"gradient", "input_gradient", "contrast_gradient", "curvature"})
"""Ingredients that need the graph of the forward pass."""

_CUT = "torch.no_grad() or detach() cuts it"


@dataclass
class Network:
    """A model and how it is run.

    Attributes:
        model: The model.
        precision: "fp32" or "bf16", for autocast.
        overwritten: Modules whose outputs it overwrites in place; grows as more are seen.
        memory_format: Of the images, and so of all maps. Convolutions on a CPU are faster where a pixel's channels lie
            together; None until the first batch tells whether the model computes the same from it.
        call: How the model is called on a batch of images.
        reader: Takes the class scores from its outputs.
        put_back: Puts the state that the model keeps in its buffers back, so that no pass depends on another one.
    """

    model: nn.Module
    precision: str
    overwritten: set[str]
    memory_format: torch.memory_format | None = None
    call: ModelCall = call_model
    reader: OutputReader = field(default_factory=OutputReader)
    put_back: Callable[[], object] = lambda: None

    @property
    def is_half(self) -> bool:
        """Whether its weights are of half precision."""
        return first_weight(self.model).element_size() < 4

    def run(self, images: Float[Tensor, "batch channel height width"]) -> Any:
        """Return what the model gives for images, which it may write into."""
        self.put_back()
        with translate_torch_errors(self.model, images), autocast(images.device, self.precision):
            return self.call(self.model, images.contiguous(memory_format=self.order))

    @property
    def order(self) -> torch.memory_format:
        """The order in which images lie in memory."""
        return self.memory_format or torch.contiguous_format

    def in_its_layout(self, images: Float[Tensor, "batch channel height width"], run: Callable[[], R]) -> R:
        """Return what `run` gives, run again in torch's own order of images if the model cannot `view` the other.

        The first images tell the order in which the model gets these and all others.
        """
        if self.memory_format is None:
            self.memory_format = memory_order(self.model, images, call=None if self.call is call_model else self.call)
        try:
            return run()
        except InputError as error:
            if self.memory_format is not torch.channels_last or NO_VIEW not in str(error):
                raise
        # Outside of the handler, whose error holds the failed pass with its graph.
        self.memory_format = torch.contiguous_format
        return run()

    def with_graph(self, images: Float[Tensor, "batch channel height width"]) -> Any:
        """Return what the model gives with the graph behind it, which shows how it was made, if it can have one."""
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return self.in_its_layout(images, lambda: self.run(images.detach().clone().requires_grad_().clone()))
        except InputError:  # what was made in inference mode cannot stand in a graph
            with torch.no_grad():
                return self.in_its_layout(images, lambda: self.run(images.detach().clone()))


def build_network(
    model: nn.Module, *, precision: str = "fp32", output: Output = None, forward: ModelCall | None = None
) -> Network:
    """Return a model with the ways in which it is run and its outputs are read, as the options of `explain` say."""
    device = device_of(model)
    memory_format = None if device.type == "cpu" else torch.contiguous_format
    call, reader = model_call(forward), OutputReader(output)
    return Network(model, choose_precision(precision, device), followed_in_place(model), memory_format, call, reader)


@dataclass(eq=False)
class Forward:
    """One forward pass.

    Attributes:
        images: What the model took, the root of the graph where a gradient there is needed.
        output: What it gave: of it the class scores, or what the caller named.
        scores: (n,), or (n, m) for several classes an image; they carry the graph.
        classes: The classes explained, shaped as the scores; None for a callable target.
        recorder: What the layers gave.
        guided_relu: Counts the ReLUs that ran, and guides their backward passes.
        contrasts: The scores less those of similar classes, where a method asks for their gradient.
    """

    images: Float[Tensor, "batch channel height width"]
    output: Any
    scores: Float[Tensor, "batch ..."]
    classes: Int[Tensor, "batch ..."] | None
    recorder: Recorder
    guided_relu: GuidedReLU
    contrasts: Float[Tensor, "batch ..."] | None = None


class _ScaleUnknownError(Exception):
    """A network's single output has no graph behind it here that tells a probability from a logit."""


def forward(
    network: Network,
    images: Float[Tensor, "batch channel height width"],
    target: Scorer | Classes | None,
    modules: Collection[str],
    needs: Collection[str],
) -> Forward:
    """Run the model once, recording what the modules give, with no more graph than the ingredients need."""
    guided = "guided_gradient" in needs
    images = images.detach().requires_grad_(guided or "input_gradient" in needs)
    guided_relu = GuidedReLU()

    def run() -> tuple[Any, Tensor, Tensor | None, Tensor | None]:
        with guided_relu.watching() if guided else nullcontext(), twice_differentiable(wanted="curvature" in needs):
            # A copy, since the model may write into what it is given, but not into a graph's root.
            output = network.run(images.clone(memory_format=network.order))
        if not callable(target) and not network.reader.knows_scale(output, len(images)):
            raise _ScaleUnknownError
        scores, classes = score(output, target, len(images), network.reader)
        if guided:
            guided_relu.find(output, scores)
        contrasts = _contrasts(network, output, classes) if "contrast_gradient" in needs else None
        reported = network.reader.reported(output, len(images), of_a_class=not callable(target))
        return reported, scores, classes, contrasts

    def recorded() -> tuple[tuple[Any, Tensor, Tensor | None, Tensor | None], Recorder]:
        return network.in_its_layout(images, lambda: record(network.model, modules, run, copied=network.overwritten))

    with torch.set_grad_enabled(guided or not GRADIENTS.isdisjoint(needs)):
        try:
            (output, scores, classes, contrasts), recorder = recorded()
        except _ScaleUnknownError:
            network.reader.settle(network.with_graph(images), len(images))
            (output, scores, classes, contrasts), recorder = recorded()
    network.overwritten |= recorder.touched
    return Forward(images, output, scores, classes, recorder, guided_relu, contrasts)


def _contrasts(network: Network, output: Any, classes: Tensor | None) -> Tensor:
    if classes is None:
        raise InputError(
            "finercam compares a class with similar ones, but the target is a function of the output; pass a class "
            "as target, or use gradcam."
        )
    return contrast(network.reader.classes(output, len(classes)), classes)


def guided_gradient(
    passed: Forward, scores: Float[Tensor, " batch"], *, keep_graph: bool
) -> Float[Tensor, "batch channel height width"]:
    """Return the gradient of the scores by the images, ReLUs guided.

    Raises:
        InputError: No gradient path leads to the images.
    """
    with passed.guided_relu.guiding():
        (gradient,) = _gradients(passed, scores, [passed.images], keep_graph=keep_graph)
    return _reaching_the_images(gradient)


def guided_in_float32(
    network: Network, images: Float[Tensor, "batch channel height width"], target: Scorer | Classes | None
) -> Float[Tensor, "batch channel height width"]:
    """Return the guided gradient of a model in half precision, computed in float32 from its weights as they are.

    The rule asks each gradient for its sign: where half precision rounds one across 0, a whole path opens or shuts, and
    the result is off by a tenth. This costs a forward pass more.

    Raises:
        InputError: As `forward` and `guided_gradient`.
    """
    network.put_back()
    wide = replace(network, put_back=lambda: None)  # it would put the narrow buffers back
    try:
        with widened(network.model):
            passed = forward(wide, images.detach().float(), target, (), {"guided_gradient"})
            return guided_gradient(passed, passed.scores, keep_graph=False)
    except GuidedReLUError:
        raise
    except InputError:  # it casts to half precision by itself
        say_once(
            f"{type(network.model).__name__} runs in half precision only, which makes guided backpropagation "
            "inaccurate by about a tenth."
        )
    passed = forward(network, images, target, (), {"guided_gradient"})
    return guided_gradient(passed, passed.scores, keep_graph=False)


def gradients(
    passed: Forward, scores: Float[Tensor, " batch"], calls: Sequence[Call], *, images: bool, keep_graph: bool
) -> tuple[dict[Call, Tensor | None], Tensor | None]:
    """Return the gradients of the scores by the outputs of layers' calls and, if asked for, by the images.

    One backward pass gives all of them. A layer to which no path leads has None.

    Raises:
        InputError: No gradient path leads to the images.
    """
    places: list[Any] = [passed.recorder.edges[call] for call in calls]
    at_places = _gradients(passed, scores, [*places, *([passed.images] if images else [])], keep_graph=keep_graph)
    at_images = _reaching_the_images(at_places.pop()) if images else None
    return dict(zip(calls, at_places, strict=True)), at_images


def no_path(problem: str = "") -> str:
    """Say why a layer has no gradient."""
    return problem or f"has no gradient path to the score: {_CUT}, or the score ignores it"


def _gradients(passed: Forward, scores: Tensor, places: Sequence[Any], *, keep_graph: bool) -> list[Tensor | None]:
    if not places or not scores.requires_grad:
        return [None] * len(places)
    with passed.recorder.hooked():  # torch.utils.checkpoint runs modules again here
        return list(torch.autograd.grad(scores.sum(), list(places), retain_graph=keep_graph, allow_unused=True))


def _reaching_the_images(gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise InputError(f"no gradient path leads from the images to the score: {_CUT}.")
    return gradient

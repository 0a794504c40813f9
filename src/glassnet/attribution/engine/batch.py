"""One batch explained: the passes that the methods need, and then the methods, layer by layer."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from glassnet.attribution.engine.attention import Attentions
from glassnet.attribution.engine.budget import Rerun, in_packs
from glassnet.attribution.engine.choices import choice_of, describe_choice
from glassnet.attribution.engine.curvature import curvatures
from glassnet.attribution.engine.maps import Maps
from glassnet.attribution.engine.passes import (
    GRADIENTS,
    Forward,
    Network,
    forward,
    gradients,
    guided_gradient,
    guided_in_float32,
    no_path,
)
from glassnet.attribution.engine.rounding import mean_vanishes
from glassnet.attribution.engine.targets import Classes, Scorer, of_pack, of_rows
from glassnet.attribution.methods import Method, compute, ingredients, is_of_a_layer
from glassnet.console import say
from glassnet.errors import InputError
from glassnet.method_titles import METHOD_TITLES
from glassnet.models.inference import translate_torch_errors
from glassnet.models.layers import Call, name_calls, split_call

_OF_MEANS = ("gradcam", "guided_gradcam")
"""Methods that weigh channels by their mean gradients."""


@dataclass(frozen=True)
class Plan:
    """What is done for every batch.

    Attributes:
        network: The model and how it is run.
        methods: What is computed: methods, or ingredients where a method asked for more passes.
        known_methods: All methods by name, the caller's own among them.
        asked: The layers as they were asked for, modules by their names.
        names: The layers' names.
        maps: How layers' outputs become maps.
        batch_size: Images in one pass.
        attentions: Of a transformer, found when a method needs them.
        notices: Notices already given to the user, so that each is printed once.
    """

    network: Network
    methods: tuple[str, ...]
    known_methods: Mapping[str, Method]
    asked: Sequence[str]
    names: Sequence[str]
    maps: Maps
    batch_size: int
    attentions: Attentions = field(default_factory=Attentions)
    notices: set[str] = field(default_factory=set)

    def of_layers(self) -> list[str]:
        """Return the methods that explain layers."""
        return [method for method in self.methods if is_of_a_layer(method, self.known_methods)]

    def needs(self) -> frozenset[str]:
        """Return the ingredients of all methods."""
        return ingredients(*self.methods, known_methods=self.known_methods)


Gaps = dict[tuple[str, str], list[Tensor]]
"""By (method, layer), how far attributions are from adding up to the score, for each class explained."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What came of one batch: its forward pass, and by method and layer one attribution for each class explained.

    Where a method measures how far its attributions are from adding up to the score, `gaps` has that likewise.
    """

    passed: Forward
    maps: dict[tuple[str, str], list[Tensor]]
    gaps: Gaps

    def layers(self) -> list[str]:
        """Return the layers explained, in the model's order."""
        return list(dict.fromkeys(layer for _, layer in self.maps if layer != "input"))


def explain_batch(plan: Plan, images: Tensor, target: Scorer | Classes | None) -> Explained:
    """Explain one batch: one forward pass, and for each class its backward passes and its methods.

    Raises:
        InputError: As `explain` does.
    """
    modules = {split_call(name)[0] for name in plan.names}
    needs = plan.needs() - ({"guided_gradient"} if plan.network.is_half else set())
    passed = forward(plan.network, images, target, modules, needs)
    several = passed.scores.ndim == 2
    columns = passed.scores.unbind(1) if several else (passed.scores,)
    contrasts = passed.contrasts.unbind(1) if several and passed.contrasts is not None else (passed.contrasts,)
    explained = Explained(passed, {}, {})
    target = _held(plan, passed, target)
    for number, (scores, contrast) in enumerate(zip_longest(columns, contrasts)):
        own = target if passed.classes is None else passed.classes[:, number] if several else passed.classes
        keep_graph = number + 1 < len(columns)
        this = replace(passed, contrasts=contrast)
        for key, value in _explain_scores(plan, this, scores, own, explained.gaps, keep_graph=keep_graph):
            _check_finite(value, *key)
            explained.maps.setdefault(key, []).append(value)
    return explained


def _held(plan: Plan, passed: Forward, target: Scorer | Classes | None) -> Scorer | Classes | None:
    """Return the target of changed images: of a callable that takes the highest class, the class it took here."""
    if not callable(target) or "rerun" not in plan.needs():
        return target
    choice = choice_of(target, passed.output, plan.network.reader, len(passed.images))
    if choice.anew:
        plan.network.reader.announce(describe_choice(held=choice.classes is not None))
    return target if choice.classes is None else choice.classes


def _explain_scores(
    plan: Plan, passed: Forward, scores: Tensor, target: Scorer | Classes | None, gaps: Gaps, *, keep_graph: bool
) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Yield ((method, layer), attribution) for one score an image, and put down the gaps that methods report."""
    of_layers = plan.of_layers()
    known, at_calls, ran = _ingredients(plan, passed, scores, keep_graph=keep_graph)
    known |= plan.attentions.ingredients(plan.needs(), plan.network, passed.images, target)
    if plan.network.is_half and "guided_gradient" in plan.needs():
        known["guided_gradient"] = guided_in_float32(plan.network, passed.images, target)
    for method in plan.methods:
        if method not in of_layers:
            known["rerun"] = _rerun(plan, passed.images, target, "")
            known["report_gap"] = gaps.setdefault((method, "input"), []).append
            yield (method, "input"), compute(method, known, plan.known_methods)
    calls = name_calls(plan.names, plan.asked, ran) if of_layers else {}
    plan.maps.describe(calls)
    for name, call in calls.items():
        # Popped, so that the gradient is gone when the layer is done.
        here = known | at_calls.pop(call)
        here["rerun"] = _rerun(plan, passed.images, target, f"{call[0]}:{call[1]}")
        here["report_gap"] = [].append  # it is of a layer's map that integrated gradients are a part of
        for method, value in _computed(plan, of_layers, here):
            _say_vanishing(plan, method, name, value, here.get("gradient"))
            yield (method, name), value


def _say_vanishing(plan: Plan, method: str, layer: str, maps: Tensor, gradient: Tensor | None) -> None:
    """Say it once for a layer where Grad-CAM is 0 since the score cannot depend on its channels' means."""
    if method not in _OF_MEANS or gradient is None or layer in plan.notices:
        return
    empty = ~maps.flatten(1).any(dim=1)
    if bool(empty.any()) and bool(mean_vanishes(_wide(gradient[empty])).any()):
        plan.notices.add(layer)
        say(
            f"{METHOD_TITLES[method]} at {layer} is 0: the mean gradients of its channels are rounding errors, "
            "because what follows (such as an instance norm) subtracts each channel's mean; use the layer after that."
        )


def _computed(plan: Plan, methods: Sequence[str], known: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Compute methods of one layer in float32, half precision being widened image by image.

    Wide copies of whole batches would take longer than the convolutions: memory of such a size is always new.
    """
    half = any(isinstance(value, Tensor) and value.element_size() < 4 for value in known.values())
    size = 1 if half and "rerun" not in plan.needs() else len(known["score"])
    parts: dict[str, list[Tensor]] = {method: [] for method in methods}
    for start in range(0, len(known["score"]), size):
        here = {
            name: _wide(value[start : start + size]) if isinstance(value, Tensor) else value
            for name, value in known.items()
        }
        for method in methods:
            parts[method].append(compute(method, here, plan.known_methods))
    for method, values in parts.items():
        yield method, values[0] if len(values) == 1 else torch.cat(values)


def _ingredients(
    plan: Plan, passed: Forward, scores: Tensor, *, keep_graph: bool
) -> tuple[dict[str, Any], dict[Call, dict[str, Any]], dict[Call, str]]:
    """Return the ingredients of all layers, those of each call, and what makes each call unusable, or ""."""
    needs, recorder = plan.needs(), passed.recorder
    plan.maps.prepare(recorder.values, passed.images, [edge.node for edge in recorder.edges.values()])
    ran = {call: plan.maps.problem(call, value, passed.images) for call, value in recorder.values.items()}
    # What only has no gradient is fine for methods that need none.
    of_layers = needs & {"gradient", "contrast_gradient", "curvature"}
    ran |= {call: why for call, why in recorder.unusable.items() if of_layers or call not in ran}
    asked = [c for c in ran if not ran[c] and (c[0] in plan.names or f"{c[0]}:{c[1]}" in plan.names)]
    known: dict[str, Any] = {"images": _wide(passed.images.detach()), "score": _wide(scores.detach())}
    again = GRADIENTS & needs
    with translate_torch_errors(plan.network.model, passed.images):
        if "guided_gradient" in needs and not plan.network.is_half:
            known["guided_gradient"] = _wide(guided_gradient(passed, scores, keep_graph=keep_graph or bool(again)))
        at, at_images = gradients(
            passed,
            scores,
            asked if "gradient" in needs else [],
            images="input_gradient" in needs,
            keep_graph=keep_graph or bool(of_layers - {"gradient"}),
        )
        found = {"gradient": at} | _further(passed, scores, asked, of_layers, keep_graph=keep_graph)
    if at_images is not None:
        known["input_gradient"] = _wide(at_images)
    ran |= {call: no_path() for of_calls in found.values() for call, one in of_calls.items() if one is None}
    at_calls = {call: _of_a_call(plan, call, recorder.values[call], found) for call in asked if not ran[call]}
    return known, at_calls, ran


def _further(
    passed: Forward, scores: Tensor, calls: Sequence[Call], wanted: Collection[str], *, keep_graph: bool
) -> dict[str, dict[Call, Tensor | None]]:
    """Return the ingredients of layers that only some methods need, each with backward passes of its own."""
    found = {}
    if "curvature" in wanted:
        found["curvature"] = curvatures(passed.recorder, scores, calls)
    if passed.contrasts is not None:
        at, _ = gradients(passed, passed.contrasts, calls, images=False, keep_graph=keep_graph)
        found["contrast_gradient"] = at
    return found


def _of_a_call(
    plan: Plan, call: Call, value: Tensor, found: Mapping[str, Mapping[Call, Tensor | None]]
) -> dict[str, Any]:
    maps = {"activation": plan.maps.to_maps(call, value)}
    slopes = {name: of_calls[call] for name, of_calls in found.items() if call in of_calls}
    return maps | {name: plan.maps.to_maps(call, one) for name, one in slopes.items() if one is not None}


def _rerun(plan: Plan, images: Tensor, target: Scorer | Classes | None, layer: str) -> Rerun:
    def rerun(what: str, variants: Iterable[Tensor], rows: Tensor | None = None) -> Iterator[Tensor]:
        of_a_layer = is_of_a_layer(what, plan.known_methods)
        names = [layer] if of_a_layer else []
        inner = replace(plan, methods=(what,), asked=names, names=names)
        own = target if rows is None else of_rows(target, rows)

        def run(pack: Tensor, copies: int) -> Tensor:
            explained = explain_batch(inner, pack.to(images.dtype), of_pack(own, copies))
            return explained.maps[what, layer if of_a_layer else "input"][0]

        return in_packs(run, variants, plan.batch_size)

    return rerun


def _check_finite(value: Tensor, method: str, layer: str) -> None:
    finite = value.isfinite().reshape(len(value), -1).all(dim=1)
    if not finite.all():
        raise InputError(
            f"{method} at {layer} has NaN or infinite values for {int((~finite).sum())} of {len(value)} images, "
            "because the activation or the gradient has; look for NaN in the weights, or leave out the method or the "
            "layer."
        )


def _wide(value: Tensor) -> Tensor:
    """Return half precision as float32, so that a method's sums keep their digits."""
    return value.float() if value.element_size() < 4 else value

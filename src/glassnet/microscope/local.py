"""One channel of a layer edited at a time, at a fraction of the cost of what follows the layer.

As long as operations leave channels apart (activations, pools, normalisation in evaluation mode, means over pixels),
an edited channel changes itself alone: they run twice for all channels, once with none edited and once with all. What
then mixes channels linearly, y = W x, changes by W_c (x'_c - x_c), of one channel's columns. The rest runs for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from glassnet.microscope.places import Place, place_after
from glassnet.microscope.replay import Suffix, Values, run_node, run_nodes

CANCELLING = 1e3
"""A sum that is this many times smaller than before a channel was taken off it is added up anew."""

_aten = torch.ops.aten
_INPUT = {_aten.mm.default: 0, _aten.addmm.default: 1, _aten.convolution.default: 0}
"""Which argument of a linear operation is the input; the next one is the weight."""


class ChannelSuffix:
    """What is behind a layer, for one batch, with one channel edited at a time.

    Attributes:
        output_of_none: What the network gives as it is.
    """

    def __init__(self, suffix: Suffix, none: Sequence[Tensor], every: Sequence[Tensor]) -> None:
        """Run what leaves channels apart twice, and once what follows.

        Args:
            suffix: Of the edit where(mask, filling, output); its first input is the mask.
            none: Inputs of the edit of no channel.
            every: Inputs of the edit of all channels.
        """
        self._suffix = suffix
        self._none, self._all = (
            {**suffix.fixed, **dict(zip(suffix.inputs, one, strict=True))} for one in (none, every)
        )
        self._places: dict[fx.Node, Place] = {}
        self._linear: dict[fx.Node, float] = {}
        self._of_inputs = set(suffix.inputs)
        last = {one: node for node in suffix.steps for one in (node, *node.all_input_nodes)}
        for node in suffix.steps:
            self._none[node] = run_node(suffix.module, node, self._none)
            self._sort(node)
            for one in (node, *node.all_input_nodes):
                if last[one] is node and not self._is_kept(one):
                    self._none.pop(one, None)
                    self._all.pop(one, None)
        self.output_of_none: Tensor = self._none[suffix.result]
        self._steps = self._plan()

    def _sort(self, node: fx.Node) -> None:
        """Find out whether a node leaves channels apart, depends on the edit alone, or mixes channels linearly."""
        changing = [one for one in node.all_input_nodes if one in self._suffix.edited]
        place = place_after(node, self._none, self._places, changing, self._of_inputs)
        if place is not None:
            self._places[node] = place
        elif self._of_inputs.issuperset(changing):
            self._of_inputs.add(node)
        elif self._is_linear(node, changing):
            self._linear[node] = _largest(self._none[node])
        if node in self._places or node in self._of_inputs:
            self._all[node] = run_node(self._suffix.module, node, self._all)

    def _is_kept(self, node: fx.Node) -> bool:
        """Tell whether the value of a node that was run is needed for each channel."""
        if (
            node is self._suffix.result
            or node in self._linear
            or node.op != "call_function"
            or node not in self._suffix.edited
        ):
            return True
        return node in self._places and any(user not in self._places for user in node.users)

    def _plan(self) -> list[fx.Node]:
        """Return what is run for each channel; of what leaves channels apart, what others take as a whole."""
        steps, apart = self._suffix.steps, self._places.keys() | self._of_inputs
        rest = [node for node in steps if node not in apart]
        needed = {one for node in rest if node not in self._linear for one in node.all_input_nodes}
        needed |= {self._suffix.result, *rest}
        for node in reversed(steps):
            if node in needed and node in self._of_inputs:
                needed.update(node.all_input_nodes)
        return [node for node in steps if node in needed]

    def _is_linear(self, node: fx.Node, changing: Sequence[fx.Node]) -> bool:
        """Tell whether a node mixes channels linearly, in a precision that bears a difference of sums."""
        number = _INPUT.get(node.target)  # type: ignore[call-overload]
        source = None if number is None else node.args[number]
        if source not in self._places or list(changing) != [source] or node.kwargs:
            return False
        place, value = self._places[source], self._none[source]
        convolved = node.target is _aten.convolution.default
        if place.axis != 1 or (convolved and (place.inner != 1 or node.args[8] != 1)):
            return False
        both = (value, self._all[source])
        return value.dtype in (torch.float32, torch.float64) and all(bool(one.isfinite().all()) for one in both)

    def output(self, channel: int, inputs: Sequence[Tensor]) -> Tensor:
        """Return what the network gives with one channel edited.

        Args:
            channel: Its number.
            inputs: Inputs of the edit of this channel.
        """
        suffix = self._suffix

        def compute(node: fx.Node, values: Values) -> Any:
            if node in self._places:
                return self._with_channel(node, channel)
            changed = self._changed(node, channel, values) if node in self._linear else None
            if changed is not None:
                return changed
            if node in self._linear:
                source = node.args[_INPUT[node.target]]  # type: ignore[index]
                values = {**values, source: self._with_channel(source, channel)}  # type: ignore[dict-item, arg-type]
            return run_node(suffix.module, node, values)

        values = {**suffix.fixed, **dict(zip(suffix.inputs, inputs, strict=True))}
        run_nodes(self._steps, values, compute, keep={suffix.result, *suffix.fixed})
        return values[suffix.result]

    def _with_channel(self, node: fx.Node, channel: int) -> Any:
        """Return the value of a node that leaves channels apart, with one of them edited."""
        place = self._places[node]
        value = self._none[node].clone()
        place.of(value, channel).copy_(place.of(self._all[node], channel))
        return value

    def _changed(self, node: fx.Node, channel: int, values: Values) -> Tensor | None:
        """Return what a linear operation gives with one channel edited; None where too many digits cancel."""
        number = _INPUT[node.target]  # type: ignore[index]
        source, weight = node.args[number], values[node.args[number + 1]]  # type: ignore[index]
        place = self._places[source]  # type: ignore[index]
        before, after = (place.of(one[source], channel) for one in (self._none, self._all))  # type: ignore[index]
        if node.target is _aten.convolution.default:
            columns = weight.narrow(0 if node.args[6] else 1, channel, 1)
            change = _aten.convolution.default(after - before, columns, None, *node.args[3:])
        else:
            change = (after - before) @ weight[place.slice(channel)]
        # In the order in memory that the trace saw, by which it may view the result otherwise.
        result = torch.add(self._none[node], change, out=torch.empty_like(self._none[node]))
        return None if self._linear[node] > CANCELLING * _largest(result) else result


def _largest(value: Tensor) -> float:
    low, high = value.aminmax()
    return max(-float(low), float(high))

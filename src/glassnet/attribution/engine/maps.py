"""Maps: layers' outputs read as (n, channel, height, width), and maps resized to the images."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from glassnet.console import say
from glassnet.errors import InputError, unknown_name
from glassnet.models.inference import ModelCall
from glassnet.models.layers import Call
from glassnet.models.layout.reading import Reading
from glassnet.models.layout.trace import is_plain, trace_or_reason

Reshape = Callable[[Tensor], Tensor]
"""From what a layer gives, as (n, tokens, d), to (n, channel, height, width); it may only pick and rearrange values."""

Reshapes = Reshape | Mapping[str, Reshape]
"""One function for all layers, or one for each name or pattern of layers; the others are read by their layout."""


@dataclass
class Maps:
    """How each layer's output becomes a map, and so its gradient.

    A layer's own function comes first. Convolutions and other modules that only know (n, channel, height, width) are
    taken as they are; all others as a trace of the forward pass tells, which is made when the first one needs it.

    Attributes:
        model: That the layers are of.
        call: How it is called on images.
        reshape: Functions of the caller's.
        readings: By call, what the trace found; None before the first trace.
        untraced: Why no trace was possible, or "".
    """

    model: nn.Module
    call: ModelCall
    reshape: Reshapes | None = None
    readings: dict[Call, Reading] | None = None
    untraced: str = ""
    _described: set[str] = field(default_factory=set)

    def prepare(self, values: Mapping[Call, Tensor], images: Tensor, nodes: Sequence[Any] = ()) -> None:
        """Trace the forward pass where a layer's output is not known to be a map by the layer's kind.

        So too where the graph, of which the layers' nodes are given, permutes maps before a convolution.
        """
        unknown = [
            c for c, value in values.items() if not self._function(c[0]) and not self._is_plain(c, value, images)
        ]
        if self.readings is None and (unknown or _turns_maps(nodes)):
            modules = {call[0] for call in values}
            self.readings, self.untraced = trace_or_reason(self.model, images, modules, self.call)

    def to_maps(self, call: Call, value: Shaped[Tensor, "..."]) -> Float[Tensor, "batch channel height width"]:
        """Rearrange an output for which there is no `problem`, or the gradient there."""
        function = self._function(call[0])
        if function is not None:
            return function(value)
        reading = (self.readings or {}).get(call)
        return value if reading is None else reading.to_maps(value)

    def problem(self, call: Call, value: Shaped[Tensor, "..."], images: Tensor) -> str:
        """Say why a layer's output for these images is no map, or ""."""
        function, shape = self._function(call[0]), tuple(value.shape)
        wanted = f"({len(images)}, channel, height, width)"
        if function is not None:
            return _problem_of_function(function, value, wanted)
        if self._is_plain(call, value, images) and (self.readings or {}).get(call) is None:
            return ""
        if value.ndim < 3:
            return f"gives shape {shape}, but a map needs {wanted}; choose a convolution"
        reading = (self.readings or {}).get(call)
        reason = self.untraced or "does not have the same layout in every pass"
        if reading is not None and reading.fits(shape, len(images)):
            reason = reading.problem_as_map()
        return reason and f"gives shape {shape}, which {reason}; pass reshape, a function from this to {wanted}"

    def describe(self, names: Mapping[str, Call]) -> None:
        """Say once how tokens are read."""
        layers: dict[str, list[str]] = {}
        for name, call in names.items():
            reading = (self.readings or {}).get(call)
            if reading is not None and self._function(call[0]) is None and (text := reading.describe()):
                layers.setdefault(text, []).append(name)
        new = {text: names for text, names in layers.items() if text not in self._described}
        self._described |= new.keys()
        if new:
            parts = [text.format(_listed(names)) for text, names in new.items()]
            say(f"{'; '.join(parts)} (pass reshape to explain to read them differently).")

    def _is_plain(self, call: Call, value: Tensor, images: Tensor) -> bool:
        return is_plain(self.model.get_submodule(call[0]), value.shape, len(images))

    def _function(self, module: str) -> Reshape | None:
        if self.reshape is None or callable(self.reshape):
            return self.reshape
        patterns = [pattern for pattern in self.reshape if module == pattern or fnmatchcase(module, pattern)]
        return self.reshape[module if module in self.reshape else patterns[0]] if patterns else None


_IN_ORDER = ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2))
"""Permutations of a map's axes that keep rows before columns."""


def _turns_maps(nodes: Iterable[Any]) -> bool:
    """Tell by the graph whether the model may give a convolution rows for columns: it permutes maps in another way."""
    seen: set[Any] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() in ("PermuteBackward0", "TransposeBackward0") and _moved(node) not in _IN_ORDER:
            return True
        waiting += [before for before, _ in node.next_functions]
    return False


def _moved(node: Any) -> tuple[int, ...]:
    """Return the permutation that a node made of a tensor of four axes; of any other, one that changes nothing."""
    rank = len(node._input_metadata[0].shape)
    if rank != len(_IN_ORDER[0]):
        return _IN_ORDER[0]
    if node.name() == "PermuteBackward0":
        return tuple(_signed(dim) % rank for dim in node._saved_dims)
    order = list(range(rank))
    first, second = _signed(node._saved_dim0) % rank, _signed(node._saved_dim1) % rank
    order[first], order[second] = second, first
    return tuple(order)


def _signed(dim: int) -> int:
    """Return an axis that autograd saved as a number without a sign."""
    return dim - 2**64 if dim >= 2**63 else dim


def check_reshape(reshape: Reshapes | None, modules: Iterable[str]) -> None:
    """Refuse what is no function, and names of no layer.

    Raises:
        InputError: It is neither a function nor a mapping of such, or a name or pattern is that of no module.
    """
    functions = reshape.items() if isinstance(reshape, Mapping) else [("", reshape)]
    names = list(modules)
    for name, function in functions:
        if function is not None and not callable(function):
            raise InputError(
                f"reshape is a {type(function).__name__}, expected a function from a layer's output to "
                "(n, channel, height, width), or a mapping from layers' names to such functions."
            )
        if isinstance(reshape, Mapping) and not any(name == one or fnmatchcase(one, name) for one in names):
            raise unknown_name("layer", name, names, noun="layers", where=" in reshape")


def _problem_of_function(function: Reshape, value: Tensor, wanted: str) -> str:
    shape = tuple(value.shape)
    try:
        maps = function(value)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return f"gives shape {shape}, on which reshape fails: {str(error).splitlines()[0].rstrip('.')}"
    if isinstance(maps, Tensor) and maps.ndim == 4 and wanted.startswith(f"({len(maps)},"):
        return ""
    became = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    return f"gives shape {shape}, of which reshape makes {became}, but a map needs {wanted}"


def _listed(names: Collection[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more layers" if len(others) > 1 else " and ".join(names)


def resize(
    maps: Float[Tensor, "batch layer_height layer_width"], size: Sequence[int]
) -> Float[Tensor, "batch height width"]:
    """Resize maps bilinearly to (height, width) in pixels, pixels being areas whose edges stay aligned."""
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps.unsqueeze(1), tuple(size), mode="bilinear", align_corners=False).squeeze(1)

"""A copy of a model whose weights can be lost, layer by layer in the order in which the images pass them."""

import copy
import gc
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from glassnet.errors import InputError
from glassnet.images import Images, image_batches
from glassnet.models.capture import tapped
from glassnet.models.inference import ModelCall, translate_torch_errors
from glassnet.models.structure import check_weights
from glassnet.models.undisturbed import undisturbed
from glassnet.turns import exclusive

# What copy.deepcopy takes over as it is, and what leads from there to half of the interpreter.
_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType, types.CodeType)


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model, its weights among it; the model is only read.

    `copy.deepcopy` refuses tensors that stand in a graph, as a model has them that keeps its last activation, or whose
    weight is computed by `torch.nn.utils.weight_norm`: they are copied without their graph. What cannot be copied
    at all, as a lock or an open file, is shared.

    Raises:
        InputError: The model cannot be copied all the same.
    """
    check_weights(model)
    # In turn, since the model carries the hooks of a call that another thread makes; without gradients, since torch
    # makes those of a scripted copy part of the model's graph.
    with exclusive(model), torch.inference_mode(False), torch.no_grad():
        parts = _reachable(model)
        memo: dict[int, Any] = {
            id(one): one.detach().clone()
            for one in parts
            if isinstance(one, Tensor) and not isinstance(one, nn.Parameter) and (not one.is_leaf or one.is_inference())
        }
        memo |= {id(one): one for one in parts if _is_bound_to_here(one)}
        try:
            return copy.deepcopy(model, memo)
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            raise InputError(
                f"{type(model).__name__} cannot be copied to randomise its weights: {reason}; remove attributes that "
                "are not weights, or pass a model that copy.deepcopy accepts."
            ) from error


def _reachable(model: nn.Module) -> list[Any]:
    """Return all objects that the model holds, also inside lists, hooks and objects of its own."""
    waiting: list[Any] = [model]
    seen: dict[int, Any] = {}
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen[id(one)] = one
        if not isinstance(one, Tensor):
            waiting += gc.get_referents(one)
    return list(seen.values())


def _is_bound_to_here(one: Any) -> bool:
    """Tell whether something belongs to this process alone, as a lock, an open file or a running generator does."""
    return isinstance(one, types.GeneratorType) or type(one).__module__ in ("_thread", "_io")


class _Uses(TorchFunctionMode):
    """Notes when each weight is first used in a forward pass, and when each module is left."""

    def __init__(self, weights: Mapping[int, str]) -> None:
        super().__init__()
        self._weights = weights
        self.first: dict[str, int] = {}
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], kinds: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function and note the weights that it is given."""
        for one in tree_leaves((tuple(args), dict(kwargs or {}))):
            if isinstance(one, Tensor) and id(one) in self._weights:
                self.note(self._weights[id(one)])
        return func(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        """Note the first time."""
        self.count += 1
        self.first.setdefault(name, self.count)


def weights_in_order(model: nn.Module, images: Images, call: ModelCall) -> dict[str, list[Tensor]]:
    """Return all weights of a model by the layer that owns them, in the order in which the first image passes them.

    A weight counts where it is first used, whichever module owns it: the output projection of an attention, which is
    never called itself, and a class token of the whole model, which stands under its own name. One whose use is not
    seen, as inside a scripted module, counts where the nearest module around it is left; one that is used nowhere comes
    first. Parametrised weights count to their module. A model that is scripted or traced as a whole shows nothing of
    this: its weights come as they are defined.

    Raises:
        InputError: There are none, or the model cannot take the image.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.is_floating_point()}
    uses = _Uses({id(weight): name for name, weight in weights.items()})
    left: dict[str, int] = {}

    def note(module_call: tuple[str, int], _: Any) -> None:
        uses.count += 1
        left.setdefault(module_call[0], uses.count)

    scripted = isinstance(model, torch.jit.ScriptModule)
    modules = [name for name, _ in model.named_modules() if name and not scripted]
    _, batch = next(image_batches(model, images, 1))
    with undisturbed(model), torch.no_grad(), translate_torch_errors(model, batch), tapped(model, modules, note), uses:
        call(model, batch)
    if not weights:
        raise InputError("the model has no weights to randomise, expected a module with parameters.")
    times = {name: uses.first.get(name, _nearest(name, left)) for name in weights}
    groups: dict[str, list[Tensor]] = {}
    for name in sorted(weights, key=lambda one: times[one]):
        groups.setdefault(_owner(name), []).append(weights[name])
    return groups


def _nearest(weight: str, left: Mapping[str, int]) -> int:
    """Return when the nearest module around a weight was left; 0 if none ran."""
    module = weight
    while "." in module:
        module = module.rpartition(".")[0]
        if module in left:
            return left[module]
    return 0


def _owner(weight: str) -> str:
    """Name the module of a weight, less its parametrisation; the weight itself where the whole model owns it."""
    module = weight.partition(".parametrizations.")[0] if ".parametrizations." in weight else weight.rpartition(".")[0]
    return module or weight


@torch.no_grad()
def randomise(weights: Sequence[Tensor], generator: torch.Generator) -> None:
    """Draw weights anew from a normal distribution with the mean and the standard deviation that each had."""
    for weight in weights:
        values = weight.float()
        noise = torch.randn(weight.shape, generator=generator).to(weight.device)
        weight.copy_(values.mean() + values.std(correction=0) * noise)

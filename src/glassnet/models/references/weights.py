"""A file of weights, put into a network of somebody's own: every key must fit, and those that do not are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.models.pretrained import read_weights
from glassnet.models.references.base import digest_of

NAMED = 3
"""Keys that an error names of each kind."""


def put_weights(model: nn.Module, file: Path, *, name: str) -> str:
    """Put the weights of a .safetensors, .pt or .pth file into a model; nothing in the file can run code.

    A dictionary of tensors is taken, or one that a training wrote around it, under "state_dict", "model" or
    "model_state_dict"; also where each key begins with the name of what held the network in its training, as "module."
    of DataParallel and "model." of a LightningModule, which is said.

    Args:
        model: Where to; it is changed only if all keys fit.
        file: Where from.
        name: What messages call the model.

    Returns:
        The file's SHA-256.

    Raises:
        InputError: The file cannot be read, keys or shapes do not fit, or a weight is no finite number; they are named.
    """
    if not file.expanduser().is_file():
        raise InputError(
            f"{file} does not exist; expected a .safetensors, .pt or .pth file with the weights of {name}."
        )
    own = model.state_dict()
    state = _without_holder(read_weights(file.expanduser(), nested=True), own, file)
    problems = _problems(own, state)
    if problems:
        raise InputError(f"{file} does not fit {name}: {'; '.join(problems)}; give weights of the same network.")
    broken = [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise InputError(
            f"{file} holds NaN or infinite numbers in {_listed(broken)}; give weights from before the training "
            "diverged."
        )
    model.load_state_dict(state)
    return digest_of([file.expanduser()])


def _without_holder(state: dict[str, Tensor], own: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Leave out what stands before every key, name by name, if the keys are the network's own then; else nothing."""
    shorter, left_out = state, ""
    while shorter.keys() != own.keys():
        holder = next(iter(shorter), "").partition(".")[0] + "."
        if not shorter or not all(key.startswith(holder) and key != holder for key in shorter):
            return state
        shorter, left_out = {key.removeprefix(holder): one for key, one in shorter.items()}, left_out + holder
    if left_out:
        say(f"every key in {file} begins with '{left_out}'; this prefix is removed.")
    return shorter


def _problems(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Say which keys do not fit, and why."""
    shapes = [
        f"{key} (shape {tuple(state[key].shape)}, expected {tuple(own[key].shape)})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    kinds = {
        "it lacks": [key for key in own if key not in state],
        "it has unknown keys:": [key for key in state if key not in own],
        "it has other shapes:": shapes,
    }
    return [f"{words} {_listed(keys)}" for words, keys in kinds.items() if keys]


def _listed(keys: Iterable[str]) -> str:
    every = list(keys)
    more = f" and {len(every) - NAMED:,} more" if len(every) > NAMED else ""
    return f"{', '.join(every[:NAMED])}{more}"

"""A file of weights, put into a network of somebody's own: every key must fit, and those that do not are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from glassnet.errors import InputError
from glassnet.models.pretrained import read_weights
from glassnet.models.references.base import digest_of

NAMED = 3
"""Keys that an error names of each kind."""
_PARALLEL = "module."
"""What DataParallel and DistributedDataParallel write before every key."""


def put_weights(model: nn.Module, file: Path, *, name: str) -> str:
    """Put the weights of a .safetensors, .pt or .pth file into a model; nothing in the file can run code.

    A dictionary of tensors is taken, or one that a training wrote around it, under "state_dict", "model" or
    "model_state_dict"; also where each key begins with "module.", as DataParallel writes them.

    Args:
        model: Where to; it is changed only if all keys fit.
        file: Where from.
        name: What messages call the model.

    Returns:
        The file's SHA-256.

    Raises:
        InputError: The file cannot be read, or keys or shapes do not fit; they are named.
    """
    state, own = read_weights(file.expanduser(), nested=True), model.state_dict()
    if state and all(key.startswith(_PARALLEL) for key in state) and not any(k.startswith(_PARALLEL) for k in own):
        state = {key.removeprefix(_PARALLEL): tensor for key, tensor in state.items()}
    problems = _problems(own, state)
    if problems:
        raise InputError(f"{file} does not fit {name}: {'; '.join(problems)}; give weights of the same network.")
    model.load_state_dict(state)
    return digest_of([file.expanduser()])


def _problems(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Say which keys do not fit, and why."""
    shapes = [
        f"{key} (shape {tuple(state[key].shape)}, expected {tuple(own[key].shape)})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    kinds = {
        "it lacks": [key for key in own if key not in state],
        "it holds what the network has not:": [key for key in state if key not in own],
        "of another shape:": shapes,
    }
    return [f"{words} {_listed(keys)}" for words, keys in kinds.items() if keys]


def _listed(keys: Iterable[str]) -> str:
    every = list(keys)
    more = f" and {len(every) - NAMED:,} more" if len(every) > NAMED else ""
    return f"{', '.join(every[:NAMED])}{more}"

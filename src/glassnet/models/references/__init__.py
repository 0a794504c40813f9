"""Networks by reference: the user's own code, the hubs', exported programs. A scheme is one file and one line here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from glassnet.errors import InputError
from glassnet.models.references import exported, factory, hub
from glassnet.models.references.base import Reference, Wanted

__all__ = [
    "FORMS",
    "Reference",
    "Wanted",
    "check_same_source",
    "image_size_of",
    "is_reference",
    "load_reference",
    "rebuild",
    "resolved",
    "short_name",
    "source_of",
]

FORMS: dict[str, str] = {
    "py": "net.py:make, a function in a file of your own",
    "hf": "hf:NAME_OR_FOLDER, a transformers network for image classification",
    "timm": "timm:NAME, a timm network",
    "pt2": "net.pt2, a program saved by torch.export",
}
"""How a reference of each scheme is written, and what it means."""

SCHEMES: dict[str, Callable[[str, Wanted], Reference]] = {
    "py": factory.load,
    "hf": hub.load_hf,
    "timm": hub.load_timm,
    "pt2": exported.load,
}
_NAMES: dict[str, Callable[[str], str]] = {
    "py": factory.short_name,
    "hf": hub.short_name,
    "timm": hub.short_name,
    "pt2": lambda text: Path(text).stem,
}


_SIZES: dict[str, Callable[[str], int | None]] = {
    "py": factory.image_size_of,
    "hf": hub.image_size_of_hf,
    "timm": lambda text: hub.load_timm(text, Wanted(pretrained=False)).image_size,
    "pt2": exported.image_size_of,
}


def _scheme(text: str) -> str | None:
    """Tell the scheme of a reference; None for a word that is none."""
    head, colon, tail = text.rpartition(":")
    if colon and head.endswith(".py") and tail.isidentifier():
        return "py"
    prefix, colon, rest = text.partition(":")
    if colon and rest and prefix in ("hf", "timm"):
        return prefix
    return "pt2" if text.endswith(".pt2") else None


def is_reference(text: str) -> bool:
    """Tell whether a word means a network by reference, as net.py:make, hf:NAME, timm:NAME or net.pt2 do."""
    return _scheme(text) is not None


def load_reference(text: str, wanted: Wanted | None = None, *, seed: int | None = None) -> Reference:
    """Build the network that a reference means, in evaluation mode.

    Args:
        text: The reference.
        wanted: Sizes to build it for, and weights to put into it.
        seed: Of torch's generator while it is built, which is as before afterwards; None leaves the generator alone.

    Raises:
        InputError: It is no reference, or leads to no network; what it needs is not installed or not there; the weights
            do not fit.
    """
    scheme = _scheme(text)
    if scheme is None:
        raise InputError(f"'{text}' is not a network; expected {'; '.join(FORMS.values())}.")
    if seed is None:
        return _evaluating(SCHEMES[scheme](text, wanted or Wanted()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _evaluating(SCHEMES[scheme](text, wanted or Wanted()))


def _evaluating(reference: Reference) -> Reference:
    return dataclasses.replace(reference, module=reference.module.eval())


def short_name(text: str) -> str:
    """Return what a reference's network is called, without loading it."""
    scheme = _scheme(text)
    assert scheme is not None
    return _NAMES[scheme](text)


def require_trainable(text: str) -> None:
    """Refuse a reference whose network cannot be trained.

    Raises:
        InputError: It is an exported program.
    """
    if _scheme(text) == "pt2":
        raise InputError(
            f"{text} cannot be trained because it is an exported program; give the network's code instead, as in "
            "net.py:make."
        )


def image_size_of(text: str) -> int | None:
    """Return the side of the images that a reference's network was made for, without its weights; None if not said.

    Raises:
        InputError: The reference leads nowhere.
    """
    scheme = _scheme(text)
    return _SIZES[scheme](text) if scheme else None


def resolved(text: str) -> str:
    """Return the reference so that it works from any folder: a path in it is absolute."""
    scheme = _scheme(text)
    if scheme in ("py", "pt2"):
        head, colon, tail = text.rpartition(":") if scheme == "py" else (text, "", "")
        return f"{Path(head).expanduser().resolve()}{colon}{tail}"
    return hub.resolved(text) if scheme == "hf" else text


def rebuild(description: Mapping[str, Any]) -> nn.Module:
    """Build the network of a run anew, without its first weights, from what `Reference.record` wrote down.

    Args:
        description: What run.json says of the model.

    Raises:
        InputError: The source is gone, or is another than the run was trained with.
    """
    about = description["reference"]
    sizes = {name: description[name] for name in ("in_channels", "image_size", "num_classes")}
    loaded = load_reference(about["text"], Wanted(**sizes, pretrained=False), seed=0)
    check_same_source(loaded.record, about)
    return loaded.module


def source_of(description: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a run wrote down of a network by reference: its model, or that which its probe is of."""
    return description.get("reference") or description.get("probed")


def check_same_source(now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> None:
    """Refuse a network whose source is another than that which a run wrote down; its first weights do not matter.

    Raises:
        InputError: It is.
    """
    if now and before and now["source"] != before["source"]:
        raise InputError(
            f"{now['text']} is not what the run was trained with: its SHA-256 is {now['source'][:12]}…, expected "
            f"{before['source'][:12]}…; put it back as it was, or train the run again."
        )

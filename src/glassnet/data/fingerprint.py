"""What a model was trained on, in a few digests, by which changed data are noticed when they are read again."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.data.dataset import KINDS, Dataset, Split
from glassnet.errors import OtherDataError

_READ_BYTES = 1 << 33
"""Of more pixels than this, every second image is read, or every third, and so on; of the targets all are."""
_EARLY_READ_BYTES = 1 << 28
"""The same in fingerprints of before, which left out the targets of the others, too."""
_CHUNK_BYTES = 1 << 24
_MEMBER = np.dtype([("label", np.int64), ("digest", "S16")])
"""Class and digest of an image: 24 bytes, where a set of them would take 200."""
_PARTS = {"train": "to train on", "validation": "to validate on", "test": "to test on"}
_DIGESTS = {"names": "other files", "targets": "other labels", "pixels": "other pixels"}
"""What it means that a digest differs, where the number of images does not; the first that differs is named."""

_NOTHING = {"images": 0}


def fingerprint(dataset: Dataset, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what goes into run.json: the kind of the targets, and for each part its number of images and digests.

    The digests are of the files' names, of the targets, and of the pixels. Of class folders there is also one for each
    class, of the set of its images, in each part and in all: by these it is noticed that two folders were exchanged.

    Args:
        dataset: The data.
        like: A fingerprint to compare with; what it left out of many images is left out again.
    """
    parts = {name: split for name in _PARTS if (split := getattr(dataset, name)) is not None}
    early = {name for name, part in (like or {}).items() if name in parts and "every" not in part}
    digests, members = {}, {}
    for name, split in parts.items():
        digests[name], members[name] = _part(split, early=name in early)
    members["all"] = np.concatenate(list(members.values()))
    classes = {where: _of_classes(dataset.classes, own) for where, own in members.items()}
    whole = all(part.get("every") == 1 for part in digests.values())
    return {
        "targets": KINDS[dataset.train.target_dimensions],
        **digests,
        **({"classes": classes} if whole and any(classes.values()) else {}),
    }


def _part(split: Split, *, early: bool) -> tuple[dict[str, Any], np.ndarray]:
    """Digest a part; return with it class and digest of each image, of class folders that are read as a whole."""
    names = None if split.files is None else _hexdigest("\n".join(split.files).encode())
    pixels, targets = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    each = max(1, math.prod(split.image_shape))
    step = max(1, math.ceil(len(split) * each / (_EARLY_READ_BYTES if early else _READ_BYTES)))
    early = early and step > 1
    of_class_folders = split.files is not None and split.target_dimensions == 1 and step == 1
    members = np.empty(len(split) if of_class_folders else 0, _MEMBER)
    for some in torch.arange(0, len(split), step).split(max(1, _CHUNK_BYTES // each)):
        images, labels = split.take(some)
        pixels.update(tensor_bytes(images))
        if early:
            targets.update(tensor_bytes(labels))
        if of_class_folders and len(some):
            own = members[int(some[0]) : int(some[-1]) + 1]
            own["label"] = labels.cpu().numpy()
            own["digest"] = [hashlib.blake2b(tensor_bytes(image), digest_size=16).digest() for image in images]
    for labels in () if early else split.target_parts():
        targets.update(tensor_bytes(labels))
    described = {"images": len(split), "names": names, "targets": targets.hexdigest(), "pixels": pixels.hexdigest()}
    return described if early else described | {"every": step}, members


def _of_classes(classes: Sequence[str], members: np.ndarray) -> dict[str, str]:
    """Digest the set of images of each class that has any, whatever their order and their files' names."""
    members = np.unique(members)  # sorted by class, and then by digest
    first = np.searchsorted(members["label"], np.arange(len(classes) + 1))
    own = [members["digest"][start:stop] for start, stop in itertools.pairwise(first.tolist())]
    return {name: _hexdigest(digests.tobytes()) for name, digests in zip(classes, own, strict=True) if len(digests)}


def _hexdigest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def tensor_bytes(tensor: Tensor) -> Any:
    """Return the bytes of a tensor, without a copy where it lies on the CPU in order."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def images_digest(split: Split) -> str:
    """Return a digest of the images, targets and file names of a part, in order, read a chunk at a time."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(split.files or ()).encode())
    step = max(1, _CHUNK_BYTES // max(1, math.prod(split.image_shape)))
    for start in range(0, len(split), step):
        for tensor in split.take(slice(start, start + step)):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def model_digest(model: nn.Module, structure: str = "") -> str:
    """Return a digest of a model's parameters and buffers, and of words on how it is built."""
    digest = hashlib.blake2b(structure.encode(), digest_size=16)
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say in words how data differ from what they were, part by part; nothing where all that is known is the same.

    Args:
        before: A fingerprint; of the data of an early version, which knew no digests, one with the numbers of images.
        now: The fingerprint of the data as they are.
    """
    words = []
    for part, use in _PARTS.items():
        old, new = before.get(part, _NOTHING), now.get(part, _NOTHING)
        more = new["images"] - old["images"]
        if more:
            words.append(f"{abs(more):,} image{'s' * (abs(more) != 1)} {'more' if more > 0 else 'fewer'} {use}")
            continue
        different = (key for key in _DIGESTS if old.get(key) not in (None, new.get(key)))
        words.extend(f"{_DIGESTS[key]} {use}" for key in list(different)[:1])
    return words


def check_classes_stay(before: Mapping[str, Any], now: Mapping[str, Any], *, data: str, of: str) -> None:
    """Refuse data where all the images of a class are now under the name of another.

    Args:
        before: The fingerprint of the data that were trained on; one of an early version knows no classes.
        now: That of the data as they are.
        data: What they are called.
        of: Name of the run.

    Raises:
        OtherDataError: The images of a class are another's.
    """
    for where, old in before.get("classes", {}).items():
        for name, images in now.get("classes", {}).get(where, {}).items():
            was = next((other for other, digest in old.items() if digest == images), name)
            if was != name and old.get(name) != images:
                raise OtherDataError(
                    f"{data} has the images of '{was}' now under '{name}', expected each class's images under its "
                    f"name, as {of} was trained on; name the classes as they were."
                )


def counted(data: Mapping[str, Any], *, apart: bool) -> dict[str, Any]:
    """Return the numbers of images in place of a fingerprint, which early versions did not write down.

    Args:
        data: What run.json says of the data.
        apart: Whether the images to validate on are a part of their own, not held out of those to train on.
    """
    counts = {"train": data["train"] + data["validation"], "test": data["test"]}
    if apart:
        counts |= {"train": data["train"], "validation": data["validation"]}
    return {part: {"images": count} for part, count in counts.items()}


def check_fits(
    dataset: Dataset,
    *,
    data: str,
    of: str,
    channels: int,
    image_size: int,
    classes: Sequence[str] | None,
    targets: str | None = None,
) -> None:
    """Refuse data whose images or classes are not those that a model was made for.

    Args:
        dataset: The data.
        data: What they are called.
        of: Name of the run that was trained on others.
        channels: Of the images that it takes.
        image_size: Their height and width in pixels.
        classes: Names of its classes in order; None where they do not matter.
        targets: Kind of the targets, as a fingerprint names it; None where it does not matter.

    Raises:
        OtherDataError: They are not.
    """
    if targets is not None and (kind := KINDS[dataset.train.target_dimensions]) != targets:
        raise OtherDataError(f"{data} has {kind} to learn from, expected {targets}, as {of} was trained on.")
    if dataset.image_size != image_size:
        raise OtherDataError(
            f"{data} has images of {dataset.image_size} pixels, expected {image_size}, as {of} was trained on."
        )
    if dataset.channels != channels or (classes is not None and tuple(classes) != dataset.classes):
        got, expected = _listed(dataset.classes, classes), _listed(classes or (), dataset.classes)
        raise OtherDataError(
            f"{data} has {dataset.channels} channel{'s' * (dataset.channels > 1)} and the classes {got}; "
            f"expected {channels} and {expected}, as {of} was trained on{_but_for_accents(dataset.classes, classes)}."
        )


def _but_for_accents(names: Sequence[str], others: Sequence[str] | None) -> str:
    """Say where two lists differ only in how Unicode writes an accent, as folders from a Mac do: they look alike."""
    plain, other = ([normalize("NFC", name) for name in some] for some in (names, others or ()))
    if sorted(plain) != sorted(other) or list(names) == list(others or ()):
        return ""
    return "; the names differ only in how Unicode writes their accents (NFC or NFD), so rename the folders"


def _listed(names: Sequence[str], others: Sequence[str] | None) -> str:
    """List names: of many those about the first that is another."""
    if len(names) <= 20:
        return ", ".join(names)
    first = next((i for i, (a, b) in enumerate(zip(names, others or (), strict=False)) if a != b), 0)
    around = names[max(0, first - 1) : first + 9]
    return f"{'…, ' * (first > 1)}{', '.join(around)}, … ({len(names)} in all)"

"""Networks of the hubs: transformers' for image classification (hf:NAME_OR_FOLDER), and timm's (timm:NAME).

Neither library is imported before such a network is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from glassnet.console import say, say_once
from glassnet.download import is_offline
from glassnet.errors import InputError
from glassnet.models.blocks import Normalize
from glassnet.models.pretrained import name_classes
from glassnet.models.references.base import Reference, Wanted, digest_of
from glassnet.models.references.processor import normalization, read_processor, size_of
from glassnet.models.references.weights import put_weights

_WITHOUT_NAMES = "LABEL_"
"""What transformers calls the classes of a network that has no names for them, with a number."""


class Normalized(nn.Module):
    """A network behind the normalisation that it was trained with: images in [0, 1] in, logits out."""

    def __init__(self, network: nn.Module, mean: list[float], std: list[float], *, is_bgr: bool = False) -> None:
        """Take the network, mean and deviation of each of its channels, and whether these are blue, green and red."""
        super().__init__()
        self.normalize = Normalize(mean, std, fixed=True)
        self.network = network
        self.is_bgr = is_bgr

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of images (n, channels, height, width)."""
        output = self.network(self.normalize(images.flip(1) if self.is_bgr else images))
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits


def short_name(text: str) -> str:
    """Return the last part of a network's name or folder."""
    return text.partition(":")[2].rstrip("/").rpartition("/")[2] or text


def resolved(text: str) -> str:
    """Return hf:NAME as it is, and hf:FOLDER with the folder's whole path."""
    folder = Path(text.partition(":")[2]).expanduser()
    return f"hf:{folder.resolve()}" if folder.is_dir() else text


# transformers


def load_hf(text: str, wanted: Wanted) -> Reference:
    """Load a network that transformers' AutoModelForImageClassification knows, from the hub or from a folder.

    What its image processor says of size, mean and deviation becomes the reading size and a `Normalize` in front.

    Raises:
        InputError: transformers is not installed; there is no such network; it classifies no images; it takes images
            that are not square.
    """
    transformers = _transformers(text)
    text = resolved(text)
    where = text.partition(":")[2]
    _require_place(text, Path(where).expanduser())
    if not Path(where).is_dir() and not is_offline():
        say_once(f"{text}: files that are not on this computer yet are downloaded from huggingface.co.")
    with _quiet(transformers), _explained(text):
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=is_offline())
        processor = read_processor(transformers, where)
        network = _network(transformers, where, config, wanted, text)
        files = _files(where)
    weights = _digest(files, (".safetensors", ".bin")) if wanted.pretrained else None
    if wanted.weights is not None:
        weights = put_weights(network, wanted.weights, name=text)
    channels = int(getattr(network.config, "num_channels", None) or 3)
    is_bgr = bool(processor.get("do_flip_channel_order"))  # as MobileViT's, which was trained so
    module = Normalized(network, *normalization(processor, channels), is_bgr=is_bgr)
    classes = _classes(network.config)
    name_classes(module, classes)
    return Reference(
        text=text,
        name=short_name(text),
        module=module,
        source=_digest(files, ("config.json",)) or "",
        weights=weights,
        image_size=size_of(text, processor, config),
        in_channels=channels,
        classes=classes,
    )


def image_size_of_hf(text: str) -> int | None:
    """Return the side of the images that a network is for, in pixels; no weights are read.

    Raises:
        InputError: As `load_hf` says.
    """
    transformers, where = _transformers(text), resolved(text).partition(":")[2]
    _require_place(text, Path(where).expanduser())
    with _quiet(transformers), _explained(text):
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=is_offline())
        return size_of(text, read_processor(transformers, where), config)


def _transformers(text: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise InputError(f"{text} needs transformers; install it with `pip install 'glassnet[hub]'`.") from None
    return transformers


def _require_place(text: str, folder: Path) -> None:
    """Refuse a path that leads nowhere, before the hub is asked for a network of that name."""
    is_path = folder.is_absolute() or len(folder.parts) > 2 or text.partition(":")[2].startswith(".")
    if is_path and not folder.is_dir():
        raise InputError(f"{folder} does not exist; expected a folder written by save_pretrained, as in hf:FOLDER.")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Let transformers print no tables and bars of its own; what matters in them is said here."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()


@contextmanager
def _explained(text: str) -> Iterator[None]:
    """Turn what transformers raises for a name that it cannot load into a sentence.

    Raises:
        InputError: It raised something.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # OSError, ValueError, KeyError, and those of the hub
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")[:300]
        offline = " (GLASSNET_OFFLINE forbids downloads)" if is_offline() else ""
        raise InputError(
            f"{text} cannot be loaded{offline}: {reason}; expected the name of an image classifier on "
            "huggingface.co, or a folder written by save_pretrained."
        ) from None


def _network(transformers: Any, where: str, config: Any, wanted: Wanted, text: str) -> Any:
    """Build the network; with weights, unless others take their place, and with another head for other classes."""
    auto = transformers.AutoModelForImageClassification
    others = wanted.num_classes not in (None, config.num_labels)
    if not wanted.pretrained or wanted.weights is not None:
        if others:
            config.num_labels = wanted.num_classes
        return auto.from_config(config).float()
    labels = {"num_labels": wanted.num_classes} if others else {}
    network, loaded = auto.from_pretrained(
        where, local_files_only=is_offline(), output_loading_info=True, ignore_mismatched_sizes=others, **labels
    )
    fresh = sorted({*loaded["missing_keys"], *(one[0] for one in loaded["mismatched_keys"])})
    if fresh:
        say(f"{text} starts with random weights in {', '.join(fresh[:4])}{' and more' * (len(fresh) > 4)}.")
    return network.float()  # what was saved in half precision is calculated in single, as all networks here are


def _files(where: str) -> list[Path]:
    """List the files that lie beside the configuration that is used."""
    from transformers.utils.hub import cached_file

    return sorted(Path(str(cached_file(where, "config.json", local_files_only=is_offline()))).parent.iterdir())


def _digest(files: list[Path], ends: tuple[str, ...]) -> str | None:
    """Compute the digest of the files whose names end so; None where there are none."""
    chosen = [file for file in files if file.is_file() and file.name.endswith(ends)]
    return digest_of(chosen) if chosen else None


def _classes(config: Any) -> tuple[str, ...] | None:
    """Return the names of the classes; None where they are only numbers.

    What several have, as ImageNet's two cranes, gets the class's number behind it.
    """
    numbers = sorted(config.id2label)
    names = [str(config.id2label[number]) for number in numbers]
    if not names or all(name == f"{_WITHOUT_NAMES}{number}" for number, name in enumerate(names)):
        return None
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name for number, name in zip(numbers, names, strict=True)
    )


# timm


def load_timm(text: str, wanted: Wanted) -> Reference:
    """Build a network by its name in timm, with its published weights; size, mean and deviation are timm's.

    Raises:
        InputError: timm is not installed, or not the torchvision that it imports; it has no such network; or its
            weights would have to be downloaded, and must not be.
    """
    name = text.partition(":")[2]
    timm = _timm(text)
    pretrained = wanted.pretrained and wanted.weights is None
    if pretrained and is_offline():
        raise InputError(
            f"{text} needs its published weights, but GLASSNET_OFFLINE forbids downloads; give --weights FILE, or "
            "unset GLASSNET_OFFLINE."
        )
    sizes = {"num_classes": wanted.num_classes, "in_chans": wanted.in_channels}
    try:
        network = timm.create_model(
            name, pretrained=pretrained, **{key: value for key, value in sizes.items() if value is not None}
        )
    except Exception as error:  # RuntimeError for a name that is none, and those of the hub
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise InputError(f"{text} cannot be loaded: {reason}; `timm.list_models()` lists the names.") from None
    config = timm.data.resolve_model_data_config(network)
    channels, size, _ = config["input_size"]
    weights = None if wanted.weights is None else put_weights(network, wanted.weights, name=text)
    return Reference(
        text=text,
        name=short_name(text),
        module=Normalized(network, list(config["mean"]), list(config["std"])),
        source=hashlib.sha256(f"{text}\n{network}".encode()).hexdigest(),
        weights=weights or (_state_digest(network) if pretrained else None),
        image_size=size,
        in_channels=channels,
    )


def _timm(text: str) -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise InputError(
            f"{text} needs timm, which imports torchvision ({error}); install them for your torch with "
            "`pip install 'glassnet[hub]' timm torchvision`."
        ) from None
    return timm


def _state_digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().numpy().tobytes())
    return digest.hexdigest()

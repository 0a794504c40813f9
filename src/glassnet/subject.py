"""What every analysis looks at: a model, images, labels and class names, and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from glassnet.building import check_images_given_back, count_scores, usual_task
from glassnet.console import printable
from glassnet.data import Dataset, Split, find_source
from glassnet.data.fingerprint import images_digest, model_digest
from glassnet.data.given import (
    check_classes,
    checked_split,
    images_as_tensor,
    labels_as_tensor,
    read_with_classes,
)
from glassnet.display import Shown, brief
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Questions, Run
from glassnet.files import writable_target
from glassnet.images import Images, check_images
from glassnet.models.pretrained import named_classes
from glassnet.models.references import Reference, Wanted, is_reference, load_reference
from glassnet.run.store import Store
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS, Task

Part = Literal["train", "test"]


class Subject(Questions, Shown):
    """A model with images, which every analysis takes. It is made from a run, or from an `nn.Module` and images.

    Attributes:
        name: What messages and reports call it.
        task: What the model is made for.
        classes: Names of its classes.
        run: The run that it was made from; None for a network that glassnet did not train.
        store: Where analyses are kept; None if they are only returned.
        labelled: Whether the images have labels, so that right and wrong can be told apart.
        skip_damaged: Whether to skip image files that cannot be read, instead of raising an error.
        data_changed: A sentence that says how a run's data have changed since the training; empty if they have not, or
            are not read yet.
    """

    data_changed, shown_fields = "", ("data", "classes", "labelled", "path")

    def __init__(
        self,
        model: nn.Module | Reference | str | Path,
        images: Images | str | Path,
        labels: Sequence[int] | np.ndarray | Tensor | None = None,
        classes: Sequence[str] | None = None,
        *,
        name: str | None = None,
        model_name: str | None = None,
        task: str | None = None,
        size: int | None = None,
        channels: int | None = None,
        skip_damaged: bool = False,
        out: str | Path | None = None,
    ) -> None:
        """Take a network and images.

        Args:
            model: Any network, or a reference to one: "net.py:make", "hf:NAME_OR_FOLDER", "timm:NAME", "net.pt2". It is
                analysed in evaluation mode, on the device where its weights are, and left as it was found.
            images: (n, channel, height, width), uint8 or float as the model takes it. Or an image file, a folder of
                images, or a folder of class folders, which are read as squares of `size` pixels. Or
                "hf:NAME_OR_FOLDER", whose test part is used.
            labels: Class of each image (n,); or 1 for each label that an image has and 0 otherwise (n, labels); or
                class of each pixel (n, height, width), 255 for none. For class folders, the folders are the labels.
                Without labels nothing can be evaluated.
            classes: Names of the classes by index of the model's outputs. Default: the names of a reference, or the
                model's own `class_names` (a network with ImageNet's weights has them), else the class folders in
                alphabetical order, or numbers. `matched_folders` says how class folders are matched to names.
            name: Name in reports; default: `model_name`.
            model_name: Name of the model; default: that of the reference, or the model's class.
            task: Key of TASKS; default: the first task that learns from such labels. Without labels: multilabel if the
                model ends in a sigmoid for each of several classes, else classification.
            size: Height and width to resize image files to, in pixels; default: those that a reference's network was
                made for, or 224.
            channels: 3 reads image files in colour, 1 in grey; default: as a reference's network needs, or 3.
            skip_damaged: Skip image files that cannot be read and report them, instead of raising an error.
            out: Folder in which to keep the analyses; without it, they are returned and not kept.

        Raises:
            InputError: Images, labels, classes and the model's outputs do not fit each other, or there are no images.
        """
        model, reference = _loaded(model, size, channels)
        own = _names_of_outputs(model, reference) if classes is None else None
        if isinstance(images, str | Path):
            size, channels = _reading(reference, size, channels)
            pixels, names, classes, labels = read_with_classes(
                images, size, channels, classes=classes, own=own, labels=labels, skip_damaged=skip_damaged
            )
        else:
            check_images(images, 1)
            pixels, names = images_as_tensor(images), None
        classes = own if classes is None else classes
        targets = None if labels is None else labels_as_tensor(labels, len(pixels))
        kind = task or usual_task(model, pixels[:1], targets)
        if kind not in TASKS:
            raise unknown_name("task", kind, TASKS, noun="tasks")
        if targets is not None and TASKS[kind].target_dimensions not in (0, targets.ndim):
            raise InputError(
                f"labels have {targets.ndim} dimensions, but {kind} needs other labels; leave task out, so that it "
                "follows from the labels."
            )
        whole = checked_split(pixels, targets, names)
        self._model_name = model_name or (type(model).__name__ if reference is None else reference.name)
        self._reference = None if reference is None else reference.record
        self.name = name or self._model_name
        self.task: Task = TASKS[kind]
        self.run: Run | None = None
        self.labelled, self.skip_damaged = targets is not None, skip_damaged
        self.store = None if out is None else Store(writable_target(out, "out", folder=True, read_only=True))
        self.classes = _classes(model, whole, self.task, classes, targets)
        check_classes(targets, self.classes)
        self._data_root: Path | None = None
        self._load_model: Callable[[torch.device | None], nn.Module] = lambda _device: model
        self._load_part: Callable[[Part], Split] = lambda part: _only_test(part, whole, self.name)
        self._origin: dict[str, Any] = {"data": str(images) if isinstance(images, str | Path) else None}

    @classmethod
    def of_run(cls, run: Run | str | Path, *, data_root: Path | None = None, skip_damaged: bool = False) -> Subject:
        """Make a subject from a run or the path of one: its model, its data set, and its folder for analyses."""
        run = run if isinstance(run, Run) else Run.open(run)
        self = cls.__new__(cls)
        self.name, self.task, self.classes, self.run, self.labelled = run.name, run.task, run.classes, run, True
        self.store = Store(run.path)
        load = cache(run.model)
        self._load_model = lambda device: load(str(device or "cpu"))
        self._data_root, self.skip_damaged = data_root, skip_damaged
        self._load_part = lambda part: getattr(self.dataset, part)
        self._origin = {"data": run.manifest["data"]["name"]}
        return self

    @property
    def path(self) -> Path | None:
        """Folder that keeps the analyses."""
        return None if self.store is None else self.store.folder

    @property
    def model_name(self) -> str:
        """Name of the model as `glassnet models` lists it, or the name of its class."""
        return self._model_name if self.run is None else str(self.run.manifest["model"]["name"])

    @property
    def reference(self) -> Mapping[str, Any] | None:
        """Reference of the network, with digests of its source and weights; None if it was not given by reference."""
        return self._reference if self.run is None else self.run.manifest["model"].get("reference")

    @property
    def data(self) -> str | None:
        """Name of the data set, or the folder that the images are from; None for arrays."""
        return self._origin["data"]

    @property
    def settings(self) -> TrainSettings | None:
        """The settings of the training; None if glassnet did not train the model."""
        return None if self.run is None else self.run.settings

    @property
    def seed(self) -> int:
        """Seed of the training, from which noise on the input is drawn; 0 if glassnet did not train the model."""
        return 0 if self.run is None else self.run.settings.seed

    @cached_property
    def dataset(self) -> Dataset:
        """The run's data set.

        Raises:
            InputError: It is missing or damaged, or this is no run.
        """
        if self.run is None:
            raise InputError(f"{self.name} is not a run and has no data set, only the images it was given.")
        dataset, self.data_changed = self.run.checked_dataset(self._data_root, skip_damaged=self.skip_damaged)
        return dataset

    def owns(self, data: str, root: Path | None) -> bool:
        """Tell whether a name means the run's own data set, even if the path is written differently."""
        if self.run is None:
            return False
        own, place = find_source(*self.run.source(self._data_root))
        other, elsewhere = find_source(data, root)
        return own is other and place.resolve() == elsewhere.resolve()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images that the model takes."""
        if self.run is not None:
            described = self.run.manifest["model"]
            return described["in_channels"], described["image_size"], described["image_size"]
        return self.part("test").image_shape

    def model(self, device: torch.device | None = None) -> nn.Module:
        """Return the model in evaluation mode; a run's is loaded onto `device` once, your own stays where it is."""
        return self._load_model(device)

    def part(self, name: Part) -> Split:
        """Return a part of the images.

        Raises:
            InputError: There is no such part.
        """
        if name not in get_args(Part):
            raise unknown_name("part", name, get_args(Part), where=f" of {self.name}", noun="parts")
        return self._load_part(name)

    @property
    def weights_digest(self) -> str:
        """A digest of the model's parameters and buffers; for your own model, it follows changes of the weights."""
        model = self.model()
        if self.run is None:
            return model_digest(model, f"{type(model).__qualname__} {model}")  # as weights may fit two networks
        written = tuple((id(one), one._version) for one in (*model.parameters(), *model.buffers()))
        if self.__dict__.get("_digested", ("", ()))[1] != written:
            self._digested = model_digest(model), written
        return self._digested[0]

    def made_of(self, part: Part, *, split: Split | None = None) -> dict[str, Any]:
        """Return digests of the model, the images and the classes, by which an analysis is found again.

        Args:
            part: Part of the images.
            split: Other images, if these are analysed instead.
        """
        if split is None:
            digests = self.__dict__.setdefault("_digests", {})
            if part not in digests:
                digests[part] = images_digest(self.part(part))
            images = digests[part]
        else:
            images = images_digest(split)
        named = f"{self.task.name}{self.labelled}{self.classes}".encode()
        classes = hashlib.blake2b(named, digest_size=8).hexdigest()
        return {"model": self.weights_digest, "images": images, "classes": classes}

    def __repr__(self) -> str:
        """Say in one line what it is."""
        return f"Subject({brief(self.name)}: {self.task.name}, {len(self.classes)} classes)"


def _loaded(
    model: nn.Module | Reference | str | Path, size: int | None, channels: int | None
) -> tuple[nn.Module, Reference | None]:
    """Return a network that was given, or load that which a reference means."""
    if isinstance(model, nn.Module):
        return model, None
    if isinstance(model, str | Path) and is_reference(str(model)):
        model = load_reference(str(model), Wanted(image_size=size, in_channels=channels), seed=0)
    if isinstance(model, Reference):
        return model.module, model
    raise InputError(
        f"model is a {type(model).__name__}, expected a torch.nn.Module; open a run with Run.open, or name a network "
        "by reference, as in net.py:make."
    )


def _reading(reference: Reference | None, size: int | None, channels: int | None) -> tuple[int, int]:
    """Return in which size and how many channels image files are read: as asked, else as the network was made for."""
    made_for = (None, None) if reference is None else (reference.image_size, reference.in_channels)
    return (
        (made_for[0] or 224) if size is None else size,
        (made_for[1] or 3) if channels is None else channels,
    )


def as_subject(what: Subject | Run | str | Path, *, data_root: Path | None = None) -> Subject:
    """Turn what a function was given into a subject: one already, a run, or the path of a run.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(what, Subject):
        return what
    if not isinstance(what, Run | str | Path):
        raise InputError(
            f"got a {type(what).__name__}, expected a run, its path, or a subject; a network needs images, as in "
            "glassnet.Subject(model, images, labels)."
        )
    return Subject.of_run(what, data_root=data_root)


def _only_test(part: Part, whole: Split, name: str) -> Split:
    if part == "train":
        raise InputError(f"{name} has only the images it was given, and no training part; leave --split out.")
    return whole


def _names_of_outputs(model: nn.Module, reference: Reference | None) -> tuple[str, ...] | None:
    """Return what a reference, or a model itself, says that its outputs mean, as long as its last layer has as many."""
    if reference is not None and reference.classes is not None:
        return reference.classes
    return named_classes(model)


def _classes(
    model: nn.Module, split: Split, task: Task, names: Sequence[str] | None, targets: Tensor | None
) -> tuple[str, ...]:
    """Name the classes by number where they have no names, and compare them with the model's outputs.

    Raises:
        InputError: The model cannot take the images, or tells another number of classes apart.
    """
    if names is not None and len(set(names)) < len(names):
        raise InputError(
            f"two classes have the same name in {', '.join(map(str, names))}; give each class its own name."
        )
    if task.compares_classes:
        scores = count_scores(model, split.take(slice(0, 1))[0], task)
        if names is not None and len(names) != scores:
            raise InputError(
                f"the model has {scores} classes, but there are {len(names)} class names "
                f"({', '.join(map(str, names[:10]))}); give the names of all its outputs, in order, as classes=[...], "
                "or a folder with a sub-folder for each class."
            )
    else:  # a reconstruction has no scores of classes
        check_images_given_back(model, split.take(slice(0, 1))[0], task)
        scores = 0 if targets is None or targets.ndim != 1 else int(targets.max()) + 1
    return tuple(printable(str(name), lines=False) for name in (range(scores) if names is None else names))

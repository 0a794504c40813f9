"""What every analysis looks at: a model, images, labels and class names, and where they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import glassnet
from glassnet.data import Dataset, Split, load_dataset
from glassnet.data.dataset import check_labels
from glassnet.data.pictures import SUFFIXES, read_pictures
from glassnet.errors import InputError, unknown_name
from glassnet.experiment import Run
from glassnet.images import Images, check_images
from glassnet.run.store import Store
from glassnet.settings import TrainSettings
from glassnet.tasks import TASKS, Task

Part = Literal["train", "test"]
_CHUNK_BYTES = 1 << 24


class Subject:
    """A model with images, which every analysis takes; a run is one way to get one, an `nn.Module` another.

    Attributes:
        name: What messages and reports call it.
        task: What the model is made for.
        classes: Names of its classes.
        run: The run that it is of; None for a network that glassnet did not train.
        store: Keeps the analyses; None where they are only returned.
        labelled: Whether the images have labels, so that right and wrong can be told apart.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Images | str | Path,
        labels: Sequence[int] | np.ndarray | Tensor | None = None,
        classes: Sequence[str] | None = None,
        *,
        name: str | None = None,
        task: str | None = None,
        size: int = 224,
        channels: int = 3,
        out: str | Path | None = None,
    ) -> None:
        """Take a network and images.

        Args:
            model: Any network; it is analysed in evaluation mode, on the device where its weights are, and left as it
                was found.
            images: (n, channel, height, width), uint8 or float as the model takes it; or an image file, or a folder of
                images or of class folders with images, which are read as squares of `size` pixels.
            labels: Class of each image (n,), or 1 for each label that an image has, else 0 (n, labels), or class of
                each pixel (n, height, width), 255 for none; of a folder of class folders they are the folders. Without
                labels nothing can be evaluated.
            classes: Names of the classes by index; numbers if not given.
            name: What reports call it; the model's class if not given.
            task: Key of TASKS; if not given, the first that learns from such labels, for none classification.
            size: Height and width that image files are brought to, in pixels.
            channels: 3 reads image files in colour, 1 in grey.
            out: Folder that keeps the analyses, as a run does; if not given, they are returned and not kept.

        Raises:
            InputError: Images, labels and classes do not fit each other, or there are none.
        """
        if isinstance(images, str | Path):
            pixels, names, found, folders = _read(Path(images), size, channels)
            labels, classes = (found if labels is None else labels), (folders if classes is None else classes)
        else:
            check_images(images, 1)
            pixels, names = torch.as_tensor(images), None
        targets = None if labels is None else torch.as_tensor(np.asarray(labels))
        kind = task or _usual_task(1 if targets is None else targets.ndim)
        if kind not in TASKS:
            raise unknown_name("task", kind, TASKS, noun="tasks")
        whole = _split(pixels, targets, names)
        self.name = name or type(model).__name__
        self.task: Task = TASKS[kind]
        self.run: Run | None = None
        self.labelled = targets is not None
        self.store = None if out is None else Store(Path(out))
        self.classes = tuple(classes) if classes is not None else _numbered(model, whole, targets)
        _check_labels(targets, self.classes)
        self._load_model: Callable[[torch.device | None], nn.Module] = lambda _device: model
        self._load_part: Callable[[Part], Split] = lambda part: _only_test(part, whole, self.name)
        self._origin: dict[str, Any] = {"data": str(images) if isinstance(images, str | Path) else None}

    @classmethod
    def of_run(cls, run: Run, *, data_root: Path | None = None) -> Subject:
        """Return the subject that a run is: its model, its data set, its folder for the analyses."""
        self = cls.__new__(cls)
        self.name, self.task, self.classes, self.run, self.labelled = run.name, run.task, run.classes, run, True
        self.store = Store(run.path)
        self._load_model = lambda device: run.model(device or "cpu")
        self._data_root = data_root
        self._load_part = lambda part: getattr(self.dataset, part)
        self._origin = {"data": run.manifest["data"]["name"]}
        return self

    @property
    def path(self) -> Path | None:
        """Folder that keeps the analyses."""
        return None if self.store is None else self.store.folder

    @property
    def model_name(self) -> str:
        """Name of the model, as `glassnet models` lists it, or its class."""
        return self.name if self.run is None else str(self.run.manifest["model"]["name"])

    @property
    def data(self) -> str | None:
        """Name of the data set, or the folder that the images are from; None for arrays."""
        return self._origin["data"]

    @property
    def settings(self) -> TrainSettings | None:
        """The settings of the training; None where glassnet did not train the model."""
        return None if self.run is None else self.run.settings

    @property
    def seed(self) -> int:
        """Seed of the training, which noise on the input follows; 0 for a model that glassnet did not train."""
        return 0 if self.run is None else self.run.settings.seed

    @cached_property
    def dataset(self) -> Dataset:
        """The run's data set.

        Raises:
            InputError: It is missing or damaged, or this is no run.
        """
        if self.run is None:
            raise InputError(f"{self.name} is no run and has no data set, only the images that it was given.")
        return self.run.dataset(self._data_root)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images that the model takes."""
        if self.run is not None:
            described = self.run.manifest["model"]
            return described["in_channels"], described["image_size"], described["image_size"]
        return self.part("test").image_shape

    def model(self, device: torch.device | None = None) -> nn.Module:
        """Return the model in evaluation mode; a run's is loaded onto `device`, a user's stays where it is."""
        return self._load_model(device)

    def part(self, name: Part) -> Split:
        """Return a part of the images.

        Raises:
            InputError: There is no such part.
        """
        return self._load_part(name)

    @cached_property
    def weights_digest(self) -> str:
        """A digest of the model's parameters and buffers."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in self.model().state_dict().items():
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def made_of(self, part: Part, *, split: Split | None = None) -> dict[str, Any]:
        """Return what an analysis of a part is made of: digests by which it is found again.

        Args:
            part: Part of the images.
            split: Images of another data set, where it is these that are analysed.
        """
        if split is None:
            digests = self.__dict__.setdefault("_digests", {})
            if part not in digests:
                digests[part] = images_digest(self.part(part))
            images = digests[part]
        else:
            images = images_digest(split)
        return {"model": self.weights_digest, "images": images}

    # What a subject can be asked; each is the public function with this subject as its first argument.

    def evaluate(self, **options: Any) -> Any:
        """Measure the model on its images; see `glassnet.evaluate`."""
        return glassnet.evaluate(self, **options)

    def embed(self, layer: str, **options: Any) -> Any:
        """Draw the features of a layer as points, and measure the picture; see `glassnet.analyse`."""
        return glassnet.analyse(self, "embedding", layer=layer, **options)

    def explain(self, **options: Any) -> Any:
        """Show where the layers look; see `glassnet.analyse`."""
        return glassnet.analyse(self, "attribution", **options)

    def report(self, **options: Any) -> Any:
        """Write the report; see `glassnet.report`."""
        return glassnet.report([self], **options)

    def __repr__(self) -> str:
        """Say in one line what it is."""
        return f"Subject({self.name}: {self.task.name}, {len(self.classes)} classes)"


def images_digest(split: Split) -> str:
    """Return a digest of the images and targets of a part, in order, read a chunk at a time."""
    digest = hashlib.blake2b(digest_size=16)
    step = max(1, _CHUNK_BYTES // max(1, split.images[:1].numel()))
    for start in range(0, len(split), step):
        rows = torch.arange(start, min(start + step, len(split)))
        for tensor in split.take(rows):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def as_subject(what: Subject | Run | str | Path, *, data_root: Path | None = None) -> Subject:
    """Turn what a function was given into a subject: one already, a run, or the path of a run."""
    if isinstance(what, Subject):
        return what
    run = what if isinstance(what, Run) else Run.open(what)
    return Subject.of_run(run, data_root=data_root)


def load_other(subject: Subject, data: str, data_root: Path | None) -> Dataset:
    """Load another data set that the subject's model can be measured on.

    Raises:
        InputError: Its channels or classes are not those of the model.
    """
    assert subject.run is not None
    model = subject.run.manifest["model"]
    dataset = load_dataset(data, root=data_root, image_size=model["image_size"], task=subject.task.name)
    fits = not subject.task.compares_classes or dataset.classes == subject.classes
    if dataset.channels != model["in_channels"] or not fits:
        raise InputError(
            f"{data} has {dataset.channels} channels and the classes {', '.join(dataset.classes)}; "
            f"expected {model['in_channels']} and {', '.join(subject.classes)}, as {subject.name} was trained on."
        )
    return dataset


def _read(
    path: Path, size: int, channels: int
) -> tuple[Tensor, tuple[str, ...], np.ndarray | None, tuple[str, ...] | None]:
    """Read a file, a folder of images, or a folder of class folders: pixels, names, labels and classes."""
    if not path.exists():
        raise InputError(f"{path} does not exist; expected an image file or a folder of images.")
    folders = (
        sorted(one.name for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
        if path.is_dir()
        else []
    )
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{path} holds no image files; expected some that end in {', '.join(sorted(SUFFIXES))}.")
    pixels = read_pictures(files, size=size, channels=channels, description=f"reading {path}")
    names = tuple(str(one.relative_to(path)) if one != path else one.name for one in files)
    homes = [name.split("/")[0] for name in names]
    if not folders or not set(homes) <= set(folders):
        return pixels, names, None, None
    return pixels, names, np.array([folders.index(home) for home in homes]), tuple(folders)


def _split(images: Tensor, targets: Tensor | None, names: tuple[str, ...] | None) -> Split:
    """Put images and targets together; without labels, all targets are 0 and mean nothing."""
    if targets is None:
        targets = torch.zeros(len(images), dtype=torch.int64)
    targets = targets.to(torch.int64 if targets.ndim == 1 else torch.uint8)
    return Split(images, targets, files=names)


def _usual_task(dimensions: int) -> str:
    """Return the first task that learns from targets of so many dimensions.

    Raises:
        InputError: There is none.
    """
    for name, task in TASKS.items():
        if task.target_dimensions == dimensions:
            return name
    raise InputError(
        f"labels have {dimensions} dimensions; expected (n,), a class an image; (n, labels), 1 for each that an image "
        "has; or (n, height, width), a class a pixel."
    )


def _only_test(part: Part, whole: Split, name: str) -> Split:
    if part == "train":
        raise InputError(f"{name} has only the images that it was given, no training part; leave --split out.")
    return whole


def _numbered(model: nn.Module, split: Split, targets: Tensor | None) -> tuple[str, ...]:
    """Name the classes by number: as many as the model tells apart."""
    from glassnet.models.inference import predict

    output = predict(model, split.take(torch.arange(1))[0])
    if not isinstance(output, Tensor) or output.ndim < 2:
        raise InputError("the model's output is no tensor with a score per class; give the names as classes=[...].")
    if targets is not None and targets.ndim == 2:
        return tuple(map(str, range(targets.shape[1])))
    count = max(output.shape[1], 0 if targets is None else int(targets[targets != 255].max()) + 1)
    return tuple(map(str, range(count)))


def _check_labels(targets: Tensor | None, classes: tuple[str, ...]) -> None:
    if targets is None:
        return
    if targets.ndim == 2:
        check_labels(targets, len(classes))
        return
    known = targets[targets != 255] if targets.ndim == 3 else targets
    if len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(classes):
        raise InputError(
            f"labels run from {int(known.min())} to {int(known.max())}, expected 0 to {len(classes) - 1}, an index "
            f"into the {len(classes)} classes."
        )

"""What each command is asked to do: one frozen dataclass a command, validated, saved in run.json to be replayed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tyro.conf import Positional

from glassnet.errors import InputError, unknown_name

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
S = TypeVar("S")


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, int) and not 0 < value < 2**31:
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a number above 0 and below 2^31.")
        if isinstance(value, float) and not 0 < value < math.inf:  # a NaN fails every comparison
            raise InputError(f"--{name.replace('_', '-')} is {value}, expected a finite number above 0.")


def _between(settings: Any, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value < high:
        raise InputError(f"--{name.replace('_', '-')} is {value}, expected at least {low} and below {high}.")


def _seeded(settings: Any) -> None:
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"--seed is {settings.seed}, expected 0 or more and below 2^31.")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Train a model on a data set and write a run directory."""

    data: str = "mnist-sample"
    """Data set: a name that `glassnet data` lists, or folder:PATH for images in class sub-folders."""
    model: str = "convnet"
    """Model: a name that `glassnet models` lists."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, as in filters=64,64,64,64."""
    task: Literal["classification"] = "classification"
    """What the model learns."""
    image_size: int | None = None
    """Height and width that images are resized to, in pixels; the data set's own if not given."""
    epochs: int = 5
    """Passes over the training images."""
    batch_size: int = 128
    """Images per optimizer step, over all processes together."""
    learning_rate: float = 0.01
    """Peak of the one-cycle schedule."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay, on weights with two or more dimensions."""
    label_smoothing: float = 0.0
    """Share of each target spread evenly over all classes, 0 to 1."""
    weight_averaging: float = 0.995
    """Decay per step of the exponential moving average of the weights; 0 keeps the raw weights."""
    augment: bool = True
    """Augment the training images as suits the data set (random affine maps for digits)."""
    validation: float = 0.1
    """Share of the training images held out to choose the best epoch."""
    seed: int = 0
    """Seed of the initial weights, the held-out part, the batch order and the augmentation."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "auto"
    """auto takes bf16 where the hardware gains from it, else fp32."""
    data_root: Path | None = None
    """Folder that holds the data sets; default $GLASSNET_DATA, then the user's cache folder."""
    out: Path | None = None
    """Run directory to write; default runs/DATA-MODEL-seedN, numbered on if taken."""
    resume: Path | None = None
    """Run directory of an unfinished run to continue, with the settings that it has."""

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        _positive(self, "epochs", "batch_size", "learning_rate", "image_size")
        _seeded(self)
        _between(self, "label_smoothing", 0, 1)
        _between(self, "weight_averaging", 0, 1)
        _between(self, "weight_decay", 0, float("inf"))
        if not 0 < self.validation < 1:
            raise InputError(f"--validation is {self.validation}, expected a share above 0 and below 1.")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Do the main job on real digits that need no download: train, evaluate, features, attributions, report."""

    epochs: int = 20
    """Passes over the 4,000 training digits."""
    seed: int = 0
    """Seed of everything random."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "auto"
    """auto takes bf16 where the hardware gains from it, else fp32."""
    out: Path | None = None
    """Run directory to write; default runs/demo, numbered on if taken."""

    def __post_init__(self) -> None:
        """Refuse what no demo could use."""
        _positive(self, "epochs")
        _seeded(self)


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Measure a run's model on a data set: loss, accuracy with its 95% interval, per-class table, confusion matrix."""

    run: Positional[Path]
    """Run directory."""
    data: str | None = None
    """Data set to measure on; the run's own if not given."""
    split: Literal["train", "test"] = "test"
    """Part of the data set."""
    batch_size: int = 512
    """Images per forward pass."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse what no evaluation could use."""
        _positive(self, "batch_size")


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings:
    """Embed a run's features by PCA and t-SNE, cluster them, and print how well each picture keeps what it shows."""

    run: Positional[Path]
    """Run directory."""
    layers: tuple[str, ...] = ("fc1",)
    """Layers by name, by pattern (conv*) or by kind (conv, last-conv, linear, all)."""
    images: int = 5000
    """At most so many test images, drawn by seed with classes balanced as in the whole."""
    perplexity: float | None = None
    """t-SNE's effective number of neighbours; 30 if not given, less where there are too few images for it."""
    clusters: int | None = None
    """Clusters that k-means looks for; the number of classes if not given."""
    seed: int = 0
    """Seed of the draw, of t-SNE and of k-means."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse what no embedding could use."""
        _positive(self, "images", "perplexity", "clusters")
        _seeded(self)


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Show where each layer looks: Grad-CAM, guided backpropagation and Guided Grad-CAM, layer by layer."""

    run: Positional[Path]
    """Run directory."""
    images: str = "mixed:8"
    """Test images: indices as in 3,14,15; correct:N, wrong:N, mixed:N (half of each), first:N; or a folder or file."""
    layers: tuple[str, ...] = ("conv",)
    """Layers by name, by pattern (conv*) or by kind (conv, last-conv, all)."""
    methods: tuple[str, ...] = ("gradcam", "guided_gradcam")
    """Attribution methods: gradcam, guided_backpropagation, guided_gradcam."""
    target: str = "predicted"
    """Class whose score is explained: predicted, label, or a class by name or number."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Write one self-contained HTML report of a run, doing first what has not been done: eval, features, explain."""

    run: Positional[Path]
    """Run directory."""
    out: Path | None = None
    """HTML file to write; default report.html in the run directory."""
    seed: int = 0
    """Seed of the embeddings that are missing."""
    device: Device = "auto"
    """Where to compute what is missing; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes."""
        _seeded(self)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """List the data sets, fetch one from its official source, or verify the files on disk."""

    action: Positional[Literal["list", "fetch", "verify"]] = "list"
    """What to do."""
    name: Positional[str | None] = None
    """Data set; all of them if not given."""
    data_root: Path | None = None
    """Folder that holds the data sets; default $GLASSNET_DATA, then the user's cache folder."""


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """List the models, or print one model's layer table: name, kind, sizes, parameters, multiply-accumulates."""

    name: Positional[str | None] = None
    """Model; the list of all models if not given."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, as in filters=64,64,64,64."""
    in_channels: int = 1
    """Channels of the input image."""
    image_size: int = 28
    """Height and width of the input image in pixels."""
    num_classes: int = 10
    """Classes at the output."""
    figure: Path | None = None
    """Also draw the table as a figure into this file (.png, .svg or .pdf)."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has, and options without a model."""
        _positive(self, "in_channels", "image_size", "num_classes")
        if self.name is None and (self.model_options or self.figure):
            raise InputError(
                "--model-options and --figure need a model, as in `glassnet models convnet --figure net.png`."
            )


def to_json(settings: Any) -> dict[str, Any]:
    """Turn a settings dataclass into values that JSON holds: paths become strings, tuples lists."""
    plain = {Path: str, tuple: list}
    pairs = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {k: next((f(v) for t, f in plain.items() if isinstance(v, t)), v) for k, v in pairs.items()}


def from_json(kind: type[S], values: Mapping[str, Any]) -> S:
    """Rebuild a settings dataclass from `to_json`'s values.

    Raises:
        InputError: A value's name is none of the dataclass's fields, or it has another type than the field.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    rebuilt: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise unknown_name("setting", name, fields, where=f" in {kind.__name__}", noun="settings")
        if isinstance(value, str) and "Path" in str(fields[name].type):
            value = Path(value)
        rebuilt[name] = tuple(value) if isinstance(value, list) else value
        _check_type(name, rebuilt[name], fields[name].default)
    return kind(**rebuilt)


def _check_type(name: str, value: Any, default: Any) -> None:
    """Compare a value's type with that of the field's default, where there is one that says something."""
    wanted = (int, float) if type(default) is float else type(default)
    if default is not None and default is not dataclasses.MISSING and not isinstance(value, wanted):
        raise InputError(f"the setting {name} is {value!r}, expected a value like {default!r}.")

"""What `glassnet train`, `tune`, `demo` and `reproduce` are asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from tyro.conf import Fixed, Positional, Suppress, UseAppendAction, arg

from glassnet.errors import InputError, unknown_name
from glassnet.settings.convert import Device, Precision, between, paths, positive, seeded
from glassnet.settings.engine import EngineSettings

LogName = Literal["tensorboard", "wandb", "mlflow"]
"""Where a training can be logged, as in `loggers.LOGGERS`."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What is trained on what.

    Attributes:
        data: Data set, as --data takes it.
        model: Model, as --model takes it.
    """

    data: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and in which steps a model is trained.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per optimizer step.
        learning_rate: Peak of the schedule.
        weight_averaging: Decay per step of the average of the weights; 0 for none.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_averaging: float


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Train a model on a data set and write a run directory."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        # Fewer epochs, and fewer images to choose the best of them by.
        "fast": {"epochs": 5, "validation": 0.02},
    }
    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data and model": ("data", "model", "model_options", "weights", "task", "image_size", "skip_damaged"),
        "training": (
            *("preset", "epochs", "steps", "batch_size", "learning_rate", "weight_decay", "label_smoothing"),
            *("weight_averaging", "augment", "plain_epochs", "validation", "seed", "seeds", "grid"),
        ),
        "fine-tuning": ("freeze", "backbone_rate", "layer_decay"),
        "segmentation only": ("loss", "class_weights", "low_res_epochs", "low_res_size", "copy_paste"),
        "reconstruction only": ("noise", "beta", "kl_warmup", "binarize"),
        "where and how": (
            *("out", "resume", "log", "device", "precision", "data_root", "engine", "workers", "address", "trial_cpus"),
            *("json", "help"),
        ),
    }
    """Headings of the help."""
    data: str | None = None
    """Data set: a name from `glassnet data`; folder:PATH for images in a sub-folder per class; masks:PATH for images
    with a mask each, where 0 is background and 255 void; or hf:NAME_OR_FOLDER for one of the library datasets; if not
    given, that of the task."""
    model: str | None = None
    """Model: a name from `glassnet models`; or net.py:make, hf:NAME_OR_FOLDER or timm:NAME for one of another's making;
    if not given, that of the task."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, such as filters=64,64,64,64."""
    weights: Path | None = None
    """Network by reference: file with its first weights (.safetensors, or .pt without code in it)."""
    task: str | None = None
    """What to learn; if not given, the first task of the data set that the model can learn."""
    image_size: int | None = None
    """Resize images to this height and width, in pixels; if not given, the data set's own size."""
    skip_damaged: bool = False
    """Skip images that cannot be read in folder:PATH or masks:PATH, and say how many, instead of stopping."""
    epochs: int | None = None
    """Passes over the training images; if not given, that of the task, or what --steps comes to."""
    steps: int | None = None
    """Optimizer steps in all, in place of --epochs, rounded to whole passes. A network with trained weights takes 400,
    but at most 12 passes, if neither is given."""
    batch_size: int | None = None
    """Images per optimizer step, over all processes; if not given, that of the task."""
    learning_rate: Annotated[float | None, arg(aliases=("--lr",))] = None
    """Peak of the one-cycle schedule; if not given, that of the task."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay; applies to weights with two or more dimensions."""
    freeze: tuple[str, ...] = ()
    """Layers whose weights and running statistics stay as they are, by name or pattern: stem, "stages.[01]*"."""
    backbone_rate: float | None = None
    """Learning rate of all layers but the head, as a share of --learning-rate; if not given, 0.1 for a network with
    trained weights, else 1."""
    layer_decay: float = 1.0
    """Factor by which the rate falls from each stage of the backbone to the one before it, as 0.8; 1 for one rate."""
    label_smoothing: float = 0.0
    """Share of each target that is spread evenly over all classes, from 0 to below 1."""
    loss: Literal["cross-entropy", "dice", "lovasz"] = "cross-entropy"
    """Cross-entropy alone, or with Dice or Lovász-softmax added."""
    class_weights: bool = False
    """Weight each class in the cross-entropy by the square root of its rarity in the training masks."""
    noise: str = "none"
    """Noise added to the input: gaussian:0.3 (standard deviation), saltpepper:0.1 or mask:0.25 (share of pixels); with
    gaussian:0.02-0.5 each image has an amount of its own, between these."""
    beta: float = 1.0
    """Weight of the KL term in the loss; 1 is the evidence lower bound, less gives sharper images."""
    kl_warmup: float = 0.0
    """Share of the training over which the KL weight rises from 0 to its value."""
    binarize: bool = False
    """Sample each pixel as 0 or 1 with its grey value as probability: anew at each step, fixed by --seed in tests."""
    weight_averaging: float | None = None
    """Decay per step of the exponential moving average of the weights, 0 for the raw weights; if not given, that of the
    task."""
    augment: bool = True
    """Augment the training images in a way that suits the data set: shifts, rotations, scaling, distortion, colour."""
    plain_epochs: float = 0.25
    """Share of the epochs, at the end, without augmentation other than mirrored photographs; rounded down."""
    low_res_epochs: float = 0.0
    """Share of the epochs, at the start, that train on smaller images, which is faster; rounded down. 0 for none."""
    low_res_size: int | None = None
    """Height and width of these smaller images, in pixels; if not given, two thirds of the full size, or the next
    smaller size that the model accepts."""
    copy_paste: float = 0.0
    """Share of the training images that receive the objects of another image (all classes but 0, and void), each moved
    and recoloured; none in the plain epochs at the end. 0 for none."""
    validation: float = 0.1
    """Share of the training images held out to choose the best epoch."""
    seed: int = 0
    """Seed for the initial weights, the held-out images, the batch order and the augmentation."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """auto uses bf16 where the hardware runs it faster, else fp32."""
    data_root: Path | None = None
    """Folder of the data sets; default $GLASSNET_DATA, then the user's cache folder."""
    log: tuple[LogName, ...] = ()
    """Log curves, confusion matrix and maps of fixed images to tensorboard (into the run directory), wandb or mlflow;
    needs `pip install 'glassnet[loggers]'`."""
    out: Path | None = None
    """Run directory to create; default runs/DATA-MODEL-seedN, where DATA is the folder's name for your own images; a
    number is added if it exists."""
    resume: Path | None = None
    """Run directory of an unfinished run to continue with its own settings."""

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        paths(self)
        positive(self, "epochs", "steps", "batch_size", "learning_rate", "image_size", "low_res_size")
        seeded(self)
        for name in self.log:
            if name not in get_args(LogName):
                raise unknown_name("logger", str(name), get_args(LogName), noun="loggers")
        between(self, "label_smoothing", 0, 1)
        if self.weight_averaging is not None:
            between(self, "weight_averaging", 0, 1)
        between(self, "plain_epochs", 0, 1)
        if self.backbone_rate is not None:
            between(self, "backbone_rate", 0, float("inf"))
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"--layer-decay is {self.layer_decay}, expected a factor above 0 and at most 1.")
        between(self, "low_res_epochs", 0, 1)
        between(self, "weight_decay", 0, float("inf"))
        between(self, "beta", 0, float("inf"))
        between(self, "kl_warmup", 0, 1)
        if not 0 < self.validation < 1:
            raise InputError(f"--validation is {self.validation}, expected a share above 0 and below 1.")
        if not 0 <= self.copy_paste <= 1:
            raise InputError(f"--copy-paste is {self.copy_paste}, expected a share from 0 to 1.")
        if self.copy_paste and not self.augment:
            raise InputError(
                "--copy-paste changes the training images, which --no-augment forbids; leave one of them out."
            )
        if self.low_res_size is not None and not self.low_res_epochs:
            raise InputError(
                "--low-res-size is of no use without --low-res-epochs; give a share, as in --low-res-epochs 0.7."
            )

    @classmethod
    def preset(cls, name: str, **changes: Any) -> TrainSettings:
        """Values to start from; fast trains fewer epochs and holds out fewer images.

        Raises:
            InputError: There is no such preset, or a change is out of its range.
        """
        if name not in cls.PRESETS:
            raise unknown_name("preset", name, cls.PRESETS, noun="presets")
        return cls(**{**cls.PRESETS[name], **changes})


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(TrainSettings):
    """Settings in which nothing is open: `experiment.resolve` took from the task what was not given.

    A run keeps these, so that it can be done again. The path of a user's own images and the folder of the data sets are
    absolute; `data_root` is None for the user's cache folder, and `low_res_size` and `image_size` are None where the
    model and the data set decide.
    """

    data: str = field()
    model: str = field()
    task: str = field()
    epochs: int = field()
    batch_size: int = field()
    learning_rate: float = field()
    weight_averaging: float = field()
    backbone_rate: float = 1.0


def share_of_epochs(epochs: int, share: float) -> int:
    """Count the epochs that are a share of all, rounded down."""
    return math.floor(epochs * share + 1e-9)  # 10 times 0.7 is a little below 7 in binary


@dataclass(frozen=True, kw_only=True)
class TuneSettings(TrainSettings, EngineSettings):
    """Train every combination of some settings with several seeds, and test which differences are real."""

    grid: UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A setting or model option as NAME=VALUE, followed by its other values: filters=8,8,8,8 16,16,16,16. (required)"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds that each combination is trained with."""
    trial_cpus: int | None = None
    """Threads of each training, and CPUs that Ray keeps for it; if not given 1, for engine local as many as there
    are."""
    out: Path | None = None
    """Folder for the runs; runs in it are continued or reused; default runs/tune-DATA-MODEL."""
    seed: Suppress[Fixed[int]] = 0
    """Not used: --seeds gives the seeds."""
    resume: Suppress[Fixed[Path | None]] = None
    """Not used: a grid continues by itself."""

    def __post_init__(self) -> None:
        """Refuse what no grid could use."""
        super().__post_init__()
        EngineSettings.__post_init__(self)
        positive(self, "trial_cpus")
        if not self.grid:
            raise InputError(
                "--grid is missing, expected at least one axis, as in --grid filters=16,16,16,16 32,32,64,64."
            )


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Train on real digits that need no download, evaluate, embed, explain and report; then do so for photographs.

    These are what scikit-image ships, named by a network that learned from ImageNet, whose weights are in the extra
    `pretrained`. Its report lies next to the run, in runs/demo-photographs.
    """

    epochs: int = 20
    """Passes over the 4,000 training digits."""
    seed: int = 0
    """Seed of everything that is random."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """Of the training: auto uses bf16 where the hardware runs it faster, else fp32. The analyses are in fp32."""
    out: Path | None = None
    """Run directory to create; default runs/demo, with a number added if it exists."""

    def __post_init__(self) -> None:
        """Refuse what no demo could use."""
        paths(self)
        positive(self, "epochs")
        seeded(self)


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings:
    """Reproduce the 2019 report part by part: its tables and figures, its numbers beside ours, a verdict on each claim.

    Finished work in the output folder is reused, so a stopped reproduction continues.
    """

    part: Positional[str | None] = None
    """Part of the report, or all; if not given, the parts are listed."""
    run: Path | None = None
    """Part features: a run of the report's network to analyse; if not given, one is trained with the defaults."""
    data: str = "mnist"
    """Data set to train on: mnist as in the report, or mnist-sample for a quick try without a download. For these two,
    part segmentation uses voc-aug (3.4 GB to download) and digit-scenes; it also takes any other data set of masks."""
    epochs: int | None = None
    """Passes over the training images; if not given, what each part uses for its networks."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Parts classification, segmentation and reconstruction: seeds for each network; an interval over seeds needs at
    least two. The leak of segmentation is measured with the lowest seed only."""
    models: tuple[str, ...] = ()
    """Parts classification and reconstruction: only these networks of the report; if not given, all of them. Part
    segmentation: networks to add to the report's own, such as unet_small; if not given, none."""
    datasets: tuple[str, ...] = ()
    """Part reconstruction: only these data sets; if not given, the one of --data, or for mnist the report's three:
    mnist, cifar10 and stanford_dogs. mnist-sample and photos-sample are for a quick try without a download."""
    runs: tuple[Path, ...] = ()
    """Part gradcam: runs of convnet, vgg16 and vgg19 to analyse; if not given, they are trained, VGG at 32 px."""
    images: int = 2000
    """Part gradcam: number of test images, drawn by seed with the classes balanced as in the whole set."""
    seed: int = 0
    """All parts but classification: seed for samples, t-SNE, k-means, the bootstrap, and a part's single training."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """For training: auto uses bf16 where the hardware runs it faster, else fp32. Features are always fp32."""
    data_root: Path | None = None
    """Folder of the data sets; default $GLASSNET_DATA, then the user's cache folder."""
    out: Path | None = None
    """Folder to write; default runs/reproduce-PART. With all: the folder for the parts' folders; default runs."""

    def __post_init__(self) -> None:
        """Refuse what no reproduction could use."""
        paths(self)
        positive(self, "epochs", "images")
        seeded(self)
        if not self.seeds or min(self.seeds) < 0 or max(self.seeds) >= 2**31 or len(set(self.seeds)) < len(self.seeds):
            text = " ".join(map(str, self.seeds)) or "empty"
            raise InputError(f"--seeds is {text}, expected different numbers of 0 or more, below 2^31.")
        for option, given, subject in (("run", self.run, "the run is"), ("runs", self.runs, "the runs are")):
            if given and (self.data != "mnist" or self.epochs is not None):
                raise InputError(
                    f"--data and --epochs cannot be given with --{option}: {subject} trained already; leave them out."
                )

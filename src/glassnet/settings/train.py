"""Settings of `glassnet train`, `demo` and `reproduce`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from tyro.conf import Positional, arg

from glassnet.errors import InputError, unknown_name
from glassnet.settings.convert import Device, Precision, between, paths, positive, seeded

LogName = Literal["tensorboard", "wandb", "mlflow"]
"""Where training can be logged, as in `loggers.LOGGERS`."""
BudgetName = Literal["quick", "standard", "full"]
"""How much a reproduction trains, as in `reproduction.budget.BUDGETS`."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which model is trained on which data set.

    Attributes:
        data: Data set, as --data takes it.
        model: Model, as --model takes it.
    """

    data: str
    model: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained: for how long, and with which steps.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per optimizer step.
        learning_rate: Peak of the schedule.
        weight_averaging: Decay per step of the moving average of the weights; 0 for none.
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
        "classification only": ("teachers", "teacher_weight", "temperature"),
        "segmentation only": ("loss", "class_weights", "low_res_epochs", "low_res_size", "copy_paste"),
        "reconstruction only": ("noise", "beta", "kl_warmup", "binarize"),
        "where and how": (
            *("out", "resume", "log", "device", "precision", "data_root", "engine", "workers", "address", "trial_cpus"),
            *("json", "help"),
        ),
    }
    """Headings of the help."""
    RARE: ClassVar[tuple[str, ...]] = (
        *("weights", "skip_damaged", "steps", "label_smoothing", "weight_averaging", "plain_epochs", "backbone_rate"),
        *("layer_decay", "low_res_epochs", "low_res_size", "copy_paste", "kl_warmup", "binarize"),
        *("teachers", "teacher_weight", "temperature"),
    )
    """Options that only --help-all describes, so that --help fits two screens."""
    data: str | None = None
    """Data set: a name from `glassnet data`; folder:PATH for images with one sub-folder per class; masks:PATH for
    images with masks (0 is background, 255 is void); or hf:NAME_OR_FOLDER for a Hugging Face data set. Default: that of
    the task."""
    model: str | None = None
    """Model: a name from `glassnet models`, or someone else's network as net.py:make, hf:NAME_OR_FOLDER or timm:NAME.
    Default: that of the task."""
    model_options: tuple[str, ...] = ()
    """Model options as NAME=VALUE, such as filters=64,64,64,64."""
    weights: Path | None = None
    """Initial weights of a network given by reference (net.py:make, hf:, timm:): a .safetensors file, or a .pt file
    without code."""
    task: str | None = None
    """What to learn. Default: the first task of the data set that the model can learn."""
    image_size: int | None = None
    """Resize images to this height and width, in pixels. Default: the data set's own size."""
    skip_damaged: bool = False
    """Skip images in folder:PATH or masks:PATH that cannot be read and report how many, instead of stopping."""
    epochs: int | None = None
    """Passes over the training images. Default: that of the task, or as many as --steps needs."""
    steps: int | None = None
    """Total number of optimizer steps, instead of --epochs; rounded to whole passes. If neither is given, a network
    with pretrained weights trains for 400 steps, but at most 12 passes."""
    batch_size: int | None = None
    """Images per optimizer step, over all processes. Default: that of the task."""
    learning_rate: Annotated[float | None, arg(aliases=("--lr",))] = None
    """Peak of the one-cycle learning-rate schedule. Default: that of the task."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay; applies to weights with two or more dimensions."""
    freeze: tuple[str, ...] = ()
    """Layers to freeze, weights and running statistics alike: names or patterns, such as stem "stages.[01]*"."""
    backbone_rate: float | None = None
    """Learning rate of all layers except the head, as a fraction of --learning-rate. Default: 0.1 for a network with
    pretrained weights, else 1."""
    layer_decay: float = 1.0
    """Factor by which the learning rate drops from each backbone stage to the one before it, such as 0.8; 1 for no
    drop."""
    teachers: tuple[Path, ...] = ()
    """Finished classification runs to learn from (knowledge distillation): their mean probabilities are used as targets
    along with the labels."""
    teacher_weight: float = 0.9
    """Weight of the teachers' targets in the loss, from 0 to 1; the labels have the rest."""
    temperature: float = 2.0
    """Temperature of the softmax in the distillation; above 1 it shows more of the teachers' less likely classes."""
    label_smoothing: float = 0.0
    """Fraction of each target that is spread evenly over all classes, from 0 to below 1."""
    loss: Literal["cross-entropy", "dice", "lovasz"] = "cross-entropy"
    """Cross-entropy alone, or combined with Dice or Lovász-softmax."""
    class_weights: bool = False
    """Weight each class in the cross-entropy by the square root of its rarity in the training masks."""
    noise: str = "none"
    """Noise added to the input: gaussian:0.3 (standard deviation), saltpepper:0.1 or mask:0.25 (fraction of pixels). A
    range such as gaussian:0.02-0.5 draws a level for each image."""
    beta: float = 1.0
    """Weight of the KL term in the loss. 1 gives the evidence lower bound; smaller values give sharper images."""
    kl_warmup: float = 0.0
    """Fraction of training over which the KL weight rises from 0 to its full value."""
    binarize: bool = False
    """Sample each pixel as 0 or 1 with its grey value as probability: anew at each training step, fixed by --seed in
    tests."""
    weight_averaging: float | None = None
    """Decay per step of the exponential moving average of the weights; 0 uses the raw weights. Default: that of the
    task."""
    augment: bool = True
    """Augment the training images as suits the data set: shifts, rotations, scaling, distortion, colour."""
    plain_epochs: float = 0.25
    """Fraction of the epochs, at the end, without augmentation (photographs are still mirrored); rounded down."""
    low_res_epochs: float = 0.0
    """Fraction of the epochs, at the start, that train on smaller images, which is faster; rounded down. 0 for none."""
    low_res_size: int | None = None
    """Height and width of these smaller images, in pixels. Default: two thirds of the full size, or the next smaller
    size that the model accepts."""
    copy_paste: float = 0.0
    """Fraction of the training images onto which objects from another image are pasted (all classes except 0, and
    void), moved and recoloured. The last epochs without augmentation have none. 0 for none."""
    validation: float = 0.1
    """Fraction of the training images held out to choose the best epoch."""
    seed: int = 0
    """Seed for the initial weights, the held-out images, the batch order and the augmentation."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """Numerical precision: auto uses bf16 where the hardware runs it faster, else fp32."""
    data_root: Path | None = None
    """Folder that holds the data sets. Default: $GLASSNET_DATA, then the user's cache folder."""
    log: tuple[LogName, ...] = ()
    """Log curves, the confusion matrix and maps of fixed images to tensorboard (in the run directory), wandb or mlflow;
    needs `pip install 'glassnet[loggers]'`."""
    out: Path | None = None
    """Run directory to create. Default: runs/DATA-MODEL-seedN, where DATA is the folder's name for your own images; a
    number is added if it exists."""
    resume: Path | None = None
    """Unfinished run directory to continue, with its own settings."""

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        paths(self)
        positive(self, "epochs", "steps", "batch_size", "learning_rate", "image_size", "low_res_size", "temperature")
        seeded(self)
        for logger in self.log:
            if logger not in get_args(LogName):
                raise unknown_name("logger", str(logger), get_args(LogName), noun="loggers")
        for name in ("label_smoothing", "plain_epochs", "low_res_epochs", "kl_warmup"):
            between(self, name, 0, 1)
        for name in ("weight_decay", "beta"):
            between(self, name, 0, float("inf"))
        if self.weight_averaging is not None:
            between(self, "weight_averaging", 0, 1)
        if self.backbone_rate is not None:
            between(self, "backbone_rate", 0, float("inf"))
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"--layer-decay is {self.layer_decay}, expected a factor above 0 and at most 1.")
        if not 0 < self.validation < 1:
            raise InputError(f"--validation is {self.validation}, expected a share above 0 and below 1.")
        for name in ("copy_paste", "teacher_weight"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise InputError(f"--{name.replace('_', '-')} is {share}, expected a share from 0 to 1.")
        if self.copy_paste and not self.augment:
            raise InputError(
                "--copy-paste changes the training images, which --no-augment forbids; leave one of them out."
            )
        if self.low_res_size is not None and not self.low_res_epochs:
            raise InputError(
                "--low-res-size is of no use without --low-res-epochs; give a share, as in --low-res-epochs 0.7."
            )
        for name in () if self.teachers else ("teacher_weight", "temperature"):
            if getattr(self, name) != getattr(TrainSettings, name):
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} has no effect without --teachers; name finished runs to learn from.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> TrainSettings:
        """Starting values; fast trains fewer epochs and holds out fewer images.

        Raises:
            InputError: There is no such preset, or a change is out of its range.
        """
        if name not in cls.PRESETS:
            raise unknown_name("preset", name, cls.PRESETS, noun="presets")
        return cls(**{**cls.PRESETS[name], **changes})


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(TrainSettings):
    """Settings with every default filled in; `experiment.resolve` takes from the task what was not given.

    A run stores these, so that it can be repeated. The path of a user's own images and the folder of the data sets are
    absolute. `data_root` is None for the user's cache folder; `low_res_size` and `image_size` are None where the model
    and the data set decide.
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
    """Count the epochs in a fraction of all epochs, rounded down."""
    return math.floor(epochs * share + 1e-9)  # 10 times 0.7 is a little below 7 in binary


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Train on real digits, evaluate, embed, explain and write a report; then explain photographs. No download needed.

    The photographs come with scikit-image. A network trained on ImageNet classifies them; its weights are in the extra
    `pretrained`. The second report is written next to the run, in runs/demo-photographs.

    With --all, a segmentation network and a variational autoencoder are trained on such samples too, each with a report
    of its own.
    """

    all: bool = False
    """Train all three tasks: digits, then digits to segment on photographs (runs/demo-segmentation), then digits to
    reconstruct (runs/demo-reconstruction)."""
    epochs: int | None = None
    """Passes over the training images. Default: 20, and 6 for the segmentation."""
    seed: int = 0
    """Seed for everything random."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """Precision of training: auto uses bf16 where the hardware runs it faster, else fp32. The analyses always use
    fp32."""
    out: Path | None = None
    """Run directory to create. Default: runs/demo, with a number added if it exists."""

    def __post_init__(self) -> None:
        """Refuse what no demo could use."""
        paths(self)
        positive(self, "epochs")
        seeded(self)


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings:
    """Reproduce the 2019 report, or one part: its tables and figures, its numbers beside ours, a verdict on each claim.

    Without a part, all parts are done, from one plan, and report.html shows them in the report's order. Finished work
    in the output folder is reused, so a stopped reproduction continues where it was.
    """

    part: Positional[str | None] = None
    """Part to reproduce: classification, segmentation, reconstruction, features, gradcam or channels. Default: all of
    them, and one HTML report."""
    budget: BudgetName | None = None
    """How much to train. quick: a twelfth of the epochs, two seeds for classification and one for the rest. standard:
    all epochs, three seeds for classification and one for the rest. full: five seeds for classification, three for
    segmentation and reconstruction. Default: standard for all parts; a single part uses the seeds 0 1 2."""
    dry_run: bool = False
    """Print the plan with an estimate of its time, and stop: what would be trained, on which data, what is finished."""
    run: Path | None = None
    """Part features: run of the report's network to analyse. Default: train one with the default settings."""
    data: str = "mnist"
    """Data set to train on: mnist as in the report, or mnist-sample for a quick try without a download. For these two,
    part segmentation uses voc-aug (3.4 GB to download) and digit-scenes; it also takes any other data set of masks.
    With mnist, a reproduction of all parts uses embedded samples in place of data that cannot be had, and says so."""
    epochs: int | None = None
    """Passes over the training images. Default: what each part uses for its networks, or the share of it that --budget
    gives."""
    seeds: tuple[int, ...] = ()
    """Parts classification, segmentation and reconstruction: seeds to train each network with; an interval over seeds
    needs at least two. The leak in the segmentation data is measured with the lowest seed only. Default: those of
    --budget."""
    models: tuple[str, ...] = ()
    """Parts classification and reconstruction: train only these networks of the report. Default: all of them. Part
    segmentation: networks to add to the report's own, such as unet_small. Default: none."""
    datasets: tuple[str, ...] = ()
    """Part reconstruction: only these data sets. Default: the one given by --data, or for mnist the report's three:
    mnist, cifar10 and stanford_dogs. Use mnist-sample and photos-sample for a quick try without a download."""
    runs: tuple[Path, ...] = ()
    """Part gradcam: runs of convnet, vgg16 and vgg19 to analyse. Default: train them, VGG at 32 px."""
    images: int | None = None
    """Part gradcam: number of test images, drawn at random in the same class proportions. Default: 2000, or 500 with
    --budget quick."""
    seed: int = 0
    """All parts except classification: seed for samples, t-SNE, k-means, the bootstrap, and a part's single training
    run."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """Precision of training: auto uses bf16 where the hardware runs it faster, else fp32. Features always use fp32."""
    data_root: Path | None = None
    """Folder that holds the data sets. Default: $GLASSNET_DATA, then the user's cache folder."""
    out: Path | None = None
    """Folder to write. Default: runs/reproduce-PART, and for all parts runs/reproduce-BUDGET."""

    def __post_init__(self) -> None:
        """Refuse what no reproduction could use."""
        paths(self)
        positive(self, "epochs", "images")
        seeded(self)
        wrong = any(not 0 <= seed < 2**31 for seed in self.seeds)
        if wrong or len(set(self.seeds)) < len(self.seeds):
            text = " ".join(map(str, self.seeds))
            raise InputError(f"--seeds is {text}, expected different numbers of 0 or more, below 2^31.")
        for option, given, subject in (("run", self.run, "the run is"), ("runs", self.runs, "the runs are")):
            if given and (self.data != "mnist" or self.epochs is not None):
                raise InputError(
                    f"--data and --epochs cannot be given with --{option}: {subject} trained already; leave them out."
                )

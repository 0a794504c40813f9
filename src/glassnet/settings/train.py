"""What `glassnet train` and `glassnet demo` are asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from glassnet.errors import InputError, unknown_name
from glassnet.settings.checks import Device, Precision, between, paths, positive, seeded

TaskName = Literal["classification", "segmentation", "reconstruction"]


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
        "data and model": ("data", "model", "model_options", "task", "image_size", "skip_damaged"),
        "training": (
            *("preset", "epochs", "batch_size", "learning_rate", "weight_decay", "label_smoothing"),
            *("weight_averaging", "augment", "plain_epochs", "validation", "seed", "seeds", "grid"),
        ),
        "segmentation only": ("loss", "class_weights", "low_res_epochs", "low_res_size", "copy_paste"),
        "reconstruction only": ("noise", "beta", "kl_warmup", "binarize"),
        "where and how": ("out", "resume", "device", "precision", "data_root", "json", "help"),
    }
    """Headings of the help."""
    data: str | None = None
    """Data set: a name that `glassnet data` lists, folder:PATH for images in class sub-folders (also for a
    reconstruction, whose code is coloured by them), or masks:PATH for images with a mask each, in which 0 is
    the background and 255 void; if not given,
    digit-scenes for segmentation, else mnist-sample."""
    model: str | None = None
    """Model: a name that `glassnet models` lists; if not given, convnet for classification,
    fcn8_small for segmentation, vae_conv for reconstruction."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, as in filters=64,64,64,64."""
    task: TaskName | None = None
    """What is learned; if not given, what the model is made for, else what the data set is mostly used for:
    segmentation of masks, reconstruction of photos-sample, classification of all others."""
    image_size: int | None = None
    """Height and width that images are resized to, in pixels; the data set's own if not given."""
    skip_damaged: bool = False
    """Leave out images of folder:PATH or masks:PATH that cannot be read, and say how many, instead of refusing them."""
    epochs: int | None = None
    """Passes over the training images; if not given, 8 for classification, 13 for
    segmentation, 20 for reconstruction."""
    batch_size: int | None = None
    """Images per optimizer step, over all processes together; if not given, 16 for segmentation, else 128."""
    learning_rate: Annotated[float | None, arg(aliases=("--lr",))] = None
    """Peak of the one-cycle schedule; if not given, 0.01 for classification, 0.003 for
    segmentation, 0.006 for reconstruction."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay, on weights with two or more dimensions."""
    label_smoothing: float = 0.0
    """Share of each target spread evenly over all classes, 0 to 1."""
    loss: Literal["cross-entropy", "dice", "lovasz"] = "cross-entropy"
    """Segmentation: cross-entropy alone, or Dice or Lovász-softmax added to it."""
    class_weights: bool = False
    """Segmentation: weigh cross-entropy by the root of each class's rarity in the training masks."""
    noise: str = "none"
    """Reconstruction: put on the input, as in gaussian:0.3 (deviation), saltpepper:0.1 or mask:0.25 (share)."""
    beta: float = 1.0
    """Reconstruction: weight of the KL term in the loss; 1 is the evidence lower bound, less gives sharper images."""
    kl_warmup: float = 0.0
    """Reconstruction: share of the training over which that weight rises from 0."""
    binarize: bool = False
    """Reconstruction: draw each pixel as 0 or 1 by its grey value, afresh at each step, fixed by --seed in tests."""
    weight_averaging: float | None = None
    """Decay per step of the exponential moving average of the weights, 0.995 if not given; 0 keeps the raw weights."""
    augment: bool = True
    """Augment the training images as suits the data set (moved, turned, scaled; digits bent, some recoloured)."""
    plain_epochs: float = 0.25
    """Share of the epochs, rounded down, that show the training images as they are at the end, photographs mirrored at
    random, without further augmentation or pasted objects."""
    low_res_epochs: float = 0.0
    """Segmentation: share of the epochs, rounded down, that show the training images smaller at the beginning, which
    takes less time; 0 for none."""
    low_res_size: int | None = None
    """Segmentation: height and width of these, in pixels; if not given, two thirds of the images', or the next smaller
    that the model takes."""
    copy_paste: float = 0.0
    """Segmentation: share of the training images onto which all objects of another are pasted (what is not class 0, and
    void), moved and recoloured on their own; 0 for none. The last, plain epochs are left as they are."""
    validation: float = 0.1
    """Share of the training images held out to choose the epoch whose weights are kept."""
    seed: int = 0
    """Seed of the initial weights, the held-out part, the batch order and the augmentation."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "auto"
    """auto takes bf16 where the hardware gains from it, else fp32."""
    data_root: Path | None = None
    """Folder that holds the data sets; default $GLASSNET_DATA, then the user's cache folder."""
    out: Path | None = None
    """Run directory to write; default runs/DATA-MODEL-seedN (DATA may be your folder's name), numbered on if taken."""
    resume: Path | None = None
    """Run directory of an unfinished run to continue, with the settings that it has."""

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        paths(self)
        positive(self, "epochs", "batch_size", "learning_rate", "image_size", "low_res_size")
        seeded(self)
        between(self, "label_smoothing", 0, 1)
        if self.weight_averaging is not None:
            between(self, "weight_averaging", 0, 1)
        between(self, "plain_epochs", 0, 1)
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
        """Start from a preset, a named set of values, and change some; fast trains less, and holds out fewer images.

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
    task: TaskName = field()
    epochs: int = field()
    batch_size: int = field()
    learning_rate: float = field()
    weight_averaging: float = field()


def share_of_epochs(epochs: int, share: float) -> int:
    """Count the epochs that are a share of all, rounded down."""
    return math.floor(epochs * share + 1e-9)  # 10 times 0.7 is a little below 7 in binary


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
        paths(self)
        positive(self, "epochs")
        seeded(self)

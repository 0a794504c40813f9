"""What `glassnet eval`, `features`, `explain` and `report` are asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.checks import Device, Precision, positive, seeded


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """Measure a run's model on a data set: loss, accuracy with its 95% interval, per-class table, confusion matrix.

    Of a segmentation: overlap and outlines beside those of predicting background everywhere, by class, and pictures.
    """

    run: Positional[Path]
    """Run directory."""
    data: str | None = None
    """Data set to measure on; the run's own if not given."""
    split: Literal["train", "test"] = "test"
    """Part of the data set."""
    batch_size: int = 512
    """Images per forward pass, at most; segmentation takes 64."""
    flip: bool = False
    """Segmentation: also measure the mean of each image's and its mirror image's probabilities, told apart."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse what no evaluation could use."""
        positive(self, "batch_size")


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings:
    """Embed a run's features, cluster them, say how well each picture keeps what it shows, and compare the layers."""

    run: Positional[Path]
    """Run directory."""
    layers: tuple[str, ...] = ("fc1",)
    """Layers to embed, by name, by pattern (conv*) or by kind (conv, last-conv, linear, all)."""
    images: int = 5000
    """So many images at most, drawn by seed, classes balanced as in the whole; above 20,000 they stream to files."""
    split: Literal["train", "test"] = "test"
    """Part of the data set that the images to embed are drawn from."""
    methods: tuple[Literal["pca", "tsne", "umap"], ...] = ("pca", "tsne")
    """Ways to embed; umap needs `pip install 'glassnet[umap]'`."""
    dims: tuple[int, ...] | None = None
    """Dimensions of the pictures, 2, 3 or both; if not given, 2 and 3 for PCA and 2 for the others."""
    engine: Literal["glassnet", "opentsne"] = "glassnet"
    """What computes t-SNE."""
    perplexity: tuple[float, ...] | None = None
    """t-SNE's effective number of neighbours, or several to be averaged; 30 if not given, less for few images."""
    clustering: Literal["kmeans", "agglomerative", "hdbscan"] = "kmeans"
    """How clusters are found in each picture."""
    clusters: int | None = None
    """Clusters to look for; the number of classes if not given. HDBSCAN finds their number itself."""
    compare: tuple[str, ...] = ()
    """Layers to compare by probe, neighbours, separability, rank and CKA, by name, pattern or kind (conv linear)."""
    against: Path | None = None
    """Another run on the same data: CKA between its layers and this run's, of those to compare."""
    seed: int = 0
    """Seed of the draws, of the embeddings and of the clusters."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse what no embedding could use."""
        positive(self, "images", "clusters")
        seeded(self)
        for value in self.perplexity or ():
            if not 1 <= value < math.inf:  # a NaN fails every comparison
                raise InputError(f"--perplexity is {value:g}, expected a finite number of at least 1.")
        for value in self.dims or ():
            if value not in (2, 3):
                raise InputError(f"--dims is {value}, expected 2 or 3, in which a picture can be drawn.")
        for name in ("layers", "methods", "dims", "perplexity"):
            if getattr(self, name) == ():
                raise InputError(f"--{name} is empty, expected at least one; leave the option out for the default.")
        if self.clustering == "hdbscan" and self.clusters is not None:
            raise InputError(
                f"--clusters is {self.clusters}, but hdbscan finds their number itself; leave the option out."
            )


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Show where each layer looks, by Grad-CAM, Guided Grad-CAM or any other of fourteen methods, layer by layer."""

    run: Positional[Path]
    """Run directory, or a model by name (vgg16), which explains image files."""
    images: str | None = None
    """Test images: indices as in 3,14,15; correct:N, wrong:N, mixed:N (half of each), first:N; or a folder or file.
    Of a segmentation, correct and wrong are those of highest and of lowest IoU. If not given, mixed:8, and of a
    reconstruction first:8."""
    layers: tuple[str, ...] = ("conv",)
    """Layers by name, by pattern (conv*) or by kind (conv, last-conv, all)."""
    methods: tuple[str, ...] = ("gradcam", "guided_gradcam")
    """Attribution methods; of layers: gradcam, gradcam_plus_plus, xgradcam, hirescam, layercam, eigencam, scorecam,
    guided_gradcam; of the input: guided_backpropagation, saliency, input_x_gradient, smoothgrad, integrated_gradients,
    occlusion. Not of a segmentation: scorecam, smoothgrad, integrated_gradients, occlusion."""
    target: str = "predicted"
    """Class whose score is explained: predicted, label, or a class by name or number. Of a segmentation: the score of
    the region of the largest class that is predicted, or of a class by name or number."""
    mask: Literal["auto", "stroke", "none"] = "auto"
    """Measure the share of each map inside the stroke (pixels above half of white); auto: where the data are digits."""
    faithfulness: bool = False
    """Also hide pixels (60 passes an image and map) and randomise weights (all maps anew for each weight layer):
    seconds for convnet, minutes for VGG."""
    model_options: tuple[str, ...] = ()
    """Model by name: its options as NAME=VALUE, as in weights=imagenet (about 550 MB, once) or weights=FILE."""
    image_size: int | None = None
    """Model by name: height and width that images are brought to, in pixels; 224 if not given."""
    num_classes: int | None = None
    """Model by name: classes at its output; 1000 if not given."""
    in_channels: int | None = None
    """Model by name: channels of its images; 3 if not given."""
    out: Path | None = None
    """Model by name: folder to write; default runs/explain-MODEL. A run keeps its maps in its own folder."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has."""
        positive(self, "image_size", "num_classes", "in_channels")


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
        seeded(self)

"""Settings of the commands that come after training: `glassnet eval`, `features`, `explain`, `report`, and others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.convert import Device, Precision, paths, positive, seeded
from glassnet.settings.engine import EngineSettings


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What every analysis takes: where to compute, and what it needs to know about a network without a run."""

    GROUPS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "network without a run": ("model_options", "weights", "image_size", "num_classes", "in_channels"),
        "where and how": (
            *("engine", "workers", "address", "worker_cpus", "device", "precision", "data_root", "skip_damaged"),
            *("name", "out", "json", "help"),
        ),
    }
    """Headings of the help; all other options come first."""
    model_options: tuple[str, ...] = ()
    """Options of a model given by name, as NAME=VALUE: weights=imagenet or weights=FILE."""
    weights: Path | None = None
    """Weights of a network given by reference (net.py:make, hf:, timm:): a .safetensors file, or a .pt file without
    code."""
    image_size: int | None = None
    """Height and width at which image files are read, in pixels. Default: the size the network was
    made for, or 224."""
    num_classes: int | None = None
    """Number of output classes. Default for a model given by name: 1000, or 21 for segmentation."""
    in_channels: int | None = None
    """Number of image channels. Default: what the network was made for, or 3."""
    skip_damaged: bool = False
    """Skip image files that cannot be read and report how many, instead of stopping."""
    device: Device = "auto"
    """Where to compute; auto uses a GPU if there is one."""
    precision: Precision = "fp32"
    """Numerical precision: fp32 is exact, bf16 is faster on hardware that supports it, auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets. Default: the one used when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has."""
        paths(self)
        positive(self, "image_size", "num_classes", "in_channels")


@dataclass(frozen=True, kw_only=True)
class EvalSettings(NetworkSettings):
    """Measure how good a model is, with 95% intervals, tables and figures.

    Classification: accuracy, loss, calibration, a row per class, the confusion matrix. Segmentation: overlap and
    outlines, compared with calling every pixel background. Reconstruction: PSNR and SSIM, compared with classical
    denoisers.
    """

    run: Positional[Path]
    """A run directory or a network: a model name (vgg16), net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """Data set to measure on. Default: the run's own. For a network without a run: folder:PATH with one sub-folder per
    class, or hf:NAME_OR_FOLDER."""
    split: Literal["train", "test"] = "test"
    """Which part of the data set to measure on."""
    batch_size: int = 512
    """Largest number of images per forward pass; segmentation uses at most 64."""
    flip: bool = False
    """Segmentation: also measure the prediction averaged over each image and its mirror image."""
    nll_samples: int | None = None
    """Variational autoencoder: also estimate the likelihood from this many codes per image. Papers use 5000; it is
    slow."""
    nll_images: int | None = None
    """With --nll-samples: use only the first images, this many. Default: all."""
    name: str | None = None
    """Name of the analysis. Default: a short name made from its settings."""
    out: Path | None = None
    """For a network without a run: folder for the analyses. Default: runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no evaluation could use."""
        super().__post_init__()
        positive(self, "batch_size", "nll_samples", "nll_images")


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(NetworkSettings, EngineSettings):
    """Plot what layers have learned as points, cluster the points, and measure how far each plot can be trusted."""

    RARE: ClassVar[tuple[str, ...]] = ("num_classes", "in_channels", "address", "worker_cpus", "skip_damaged")
    """Options that only --help-all describes, so that --help fits two screens."""
    run: Positional[Path]
    """A run directory or a network: a model name (vgg16), net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    layers: tuple[str, ...] | None = None
    """Layers to embed: names, patterns (conv*) or kinds (conv, last-conv, linear, all). Default: the last hidden
    layer."""
    data: str | None = None
    """For a network without a run: its images, as folder:PATH (ideally one sub-folder per class) or
    hf:NAME_OR_FOLDER."""
    images: int | str = 5000
    """Largest number of images, drawn at random in the same class proportions; above 20,000 the features go to files,
    not memory. For a network without a run this can also be a folder, like --data folder:PATH."""
    split: Literal["train", "test"] = "test"
    """Which part of the data set to draw the images from."""
    methods: tuple[Literal["pca", "tsne", "umap", "pacmap"], ...] = ("pca", "tsne")
    """Embedding methods. umap needs `pip install 'glassnet[umap]'`, pacmap needs `pip install 'glassnet[pacmap]'`."""
    dims: tuple[int, ...] | None = None
    """Dimensions of the plots: 2, 3 or both. Default: 2 and 3 for PCA, 2 for the other methods."""
    tsne_engine: Literal["glassnet", "opentsne"] = "glassnet"
    """Implementation of t-SNE to use."""
    perplexity: tuple[float, ...] | None = None
    """Effective number of neighbours in t-SNE; several values are averaged. Default: 30, fewer for few images."""
    landmarks: int | None = None
    """Embed only this many randomly drawn images with t-SNE and place all others among them. The command reports what
    this costs in kNN accuracy. Default: embed all."""
    clustering: Literal["kmeans", "agglomerative", "hdbscan"] = "kmeans"
    """Clustering method."""
    clusters: int | None = None
    """Number of clusters. Default: the number of classes. HDBSCAN finds the number itself."""
    compare: tuple[str, ...] = ()
    """Layers to compare by linear probe, neighbours, separability, rank and CKA: names, patterns or kinds (conv
    linear)."""
    against: Path | None = None
    """Another run on the same data: compare its layers with this run's by CKA. Choose the layers with --compare."""
    rows: Path | None = None
    """Folder to save the features in: LAYER.npy with one row per image. With --engine processes or ray, rows that are
    already there are not computed again."""
    format: Literal["npy", "parquet"] = "npy"
    """With --rows: parquet also writes LAYER.parquet/00000.parquet and so on, with each image's number, label and
    file."""
    worker_cpus: int = 1
    """With --engine processes or ray: threads per worker, and CPUs that Ray reserves for it."""
    seed: int = 0
    """Seed for drawing images, embedding and clustering."""
    name: str | None = None
    """Name of the analysis, if the command makes only one. Default: a short name made from its settings."""
    out: Path | None = None
    """For a network without a run: folder for the analyses. Default: runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no embedding could use."""
        super().__post_init__()
        EngineSettings.__post_init__(self)
        positive(self, "worker_cpus")
        if self.format == "parquet" and self.rows is None:
            raise InputError("--format parquet needs --rows FOLDER, which says where to write.")
        if not isinstance(self.images, int):  # a script may give a path
            object.__setattr__(self, "images", str(self.images))
        positive(self, "images", "clusters", "landmarks")
        seeded(self)
        for value in self.perplexity or ():
            if not 1 <= value < math.inf:  # a NaN fails every comparison
                raise InputError(f"--perplexity is {value:g}, expected a finite number of at least 1.")
        for value in self.dims or ():
            if value not in (2, 3):
                raise InputError(f"--dims is {value}, expected 2 or 3.")
        for name in ("layers", "methods", "dims", "perplexity"):
            if getattr(self, name) == ():
                raise InputError(f"--{name} is empty, expected at least one; leave the option out for the default.")
        if isinstance(self.images, str) and self.data is not None:
            raise InputError(
                f"--images {self.images} and --data {self.data} both name the images; give --images a number, or leave "
                "--data out."
            )
        if self.clustering == "hdbscan" and self.clusters is not None:
            raise InputError(
                f"--clusters is {self.clusters}, but hdbscan finds their number itself; leave the option out."
            )

    @property
    def most(self) -> int:
        """The largest number of images to draw."""
        return self.images if isinstance(self.images, int) else 5000


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(NetworkSettings):
    """Show where each layer looks, with Grad-CAM, Guided Grad-CAM or any of nineteen attribution methods."""

    run: Positional[Path]
    """A run directory or a network: a model name (vgg16), net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    images: str | None = None
    """Images to explain: indices (3,14,15); a rule with a number (correct:N, wrong:N, mixed:N for half of each,
    first:N); or an image file or folder. For segmentation, correct and wrong mean highest and lowest IoU. Default:
    mixed:8, or first:8 for reconstruction."""
    data: str | None = None
    """For a network without a run: its images, as folder:PATH (ideally one sub-folder per class); --images then chooses
    among them. Without --data, --images is an image file or a folder: all its images are explained, or mixed:8 of class
    folders."""
    split: Literal["train", "test"] = "test"
    """Which part of the data set --images refers to."""
    layers: tuple[str, ...] = ("conv",)
    """Layers: names, patterns (conv*) or kinds (conv, last-conv, all)."""
    methods: tuple[str, ...] = ("gradcam", "guided_gradcam")
    """Attribution methods. For layers: gradcam, gradcam_plus_plus, xgradcam, hirescam, layercam, eigencam, finercam,
    shapleycam, scorecam, guided_gradcam. For input pixels: guided_backpropagation, saliency, input_x_gradient,
    smoothgrad, integrated_gradients, occlusion. For transformers: attention_rollout, attention_relevance, legrad.
    Segmentation excludes finercam, scorecam, smoothgrad, integrated_gradients and occlusion."""
    target: str = "predicted"
    """Which score to explain. Classification: predicted, label, or a class name or number. Segmentation: the region of
    the largest predicted class, the region of a class given by name or number, or region:ROW,COLUMN for the connected
    region at that pixel. Reconstruction: error, or latent:K."""
    mask: Literal["auto", "stroke", "none"] = "auto"
    """Measure how much of each map lies inside the pen stroke (pixels brighter than half of white). auto does so for
    digits."""
    faithfulness: bool = False
    """Also test the maps: delete and insert pixels (60 passes per image and map), and randomise the weights (all maps
    again for each weight layer). Takes seconds for convnet, minutes for VGG."""
    rank_layers: bool = False
    """Also rank the layers by how faithful their maps are, and say which one to look at. Uses the layer methods among
    --methods, on --images or, by default, the first 100 images."""
    name: str | None = None
    """Name of the analysis. Default: a short name made from its settings."""
    out: Path | None = None
    """For a network without a run: folder for the analyses. Default: runs/network-NAME."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings(NetworkSettings):
    """Write one self-contained HTML report on one or more runs or networks, with all their analyses.

    Analyses that the report needs and does not find (eval, features, explain) are made first.
    """

    run: Positional[tuple[Path, ...]]
    """Run directories or networks: model names (vgg16), net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """For a network without a run: its images, as folder:PATH (ideally one sub-folder per class) or
    hf:NAME_OR_FOLDER."""
    out: Path | None = None
    """HTML file to write. Default: report.html in the first run's directory."""
    seed: int = 0
    """Seed for embeddings that are not there yet."""

    def __post_init__(self) -> None:
        """Take one run as a tuple of one, and refuse a seed that no generator takes."""
        given: Any = self.run  # a script may give one path, as text too
        if isinstance(given, str | Path):
            object.__setattr__(self, "run", (given,))
        super().__post_init__()
        seeded(self)
        if not self.run:
            raise InputError("no run was given, expected at least one run directory, as `glassnet train` writes one.")


@dataclass(frozen=True, kw_only=True)
class ExploreSettings(NetworkSettings):
    """Explore runs, or a network with images, in your browser: points, images, maps and layers, all linked.

    Only this machine can open the page, at an address with a token. The explorer saves what it computes in the run,
    just as the commands do. Press Ctrl-C to stop it.
    """

    run: Positional[tuple[Path, ...]]
    """Run directories, including runs still in training, or networks: model names (vgg16), net.py:make,
    hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """For a network without a run: its images, as folder:PATH (ideally one sub-folder per class) or
    hf:NAME_OR_FOLDER."""
    host: str = "127.0.0.1"
    """Address to listen on. Any address other than 127.0.0.1 lets other machines in; they need the token."""
    port: int = 0
    """Port to listen on; 0 picks a free one."""
    browser: bool = True
    """Open the page in a browser if there is a display."""
    out: Path | None = None
    """For a network without a run: folder for the analyses. Default: runs/network-NAME."""
    export: Path | None = None
    """Instead of serving, write the page with precomputed answers to this folder, for any web server to serve."""
    images: str | None = None
    """With --export: test images to include with maps, channels and neighbours: indices (3,14,15) or a rule (mixed:24,
    first:24). Default: 24 by the task's usual rule. Thumbnails and predictions of all images are always included."""
    layers: tuple[str, ...] = ()
    """With --export: layers to include embeddings of. Default: the layer shown first and those whose maps are shown."""

    def __post_init__(self) -> None:
        """Take one run as a tuple of one, and refuse a port that there is not, and what is for an export alone."""
        given: Any = self.run  # a script may give one path, as text too
        if isinstance(given, str | Path):
            object.__setattr__(self, "run", (given,))
        super().__post_init__()
        if not self.run:
            raise InputError("no run was given, expected at least one run directory, as `glassnet train` writes one.")
        if not 0 <= self.port < 65536:
            raise InputError(f"--port is {self.port}, expected 1 to 65535, or 0 for a free one.")
        if self.export is None and (self.images or self.layers):
            raise InputError("--images and --layers say what an export holds; give --export DIR, or leave them out.")


@dataclass(frozen=True, kw_only=True)
class AnalysesSettings:
    """List the analyses of a run, or remove or rename one."""

    run: Positional[Path]
    """A run directory, or the folder that holds a network's analyses."""
    remove: str | None = None
    """Name of the analysis to remove, as listed; "browsed" removes all that the explorer made on its own."""
    rename: tuple[str, str] | None = None
    """Name of the analysis, and its new name."""

    def __post_init__(self) -> None:
        """Take text for a path, and refuse two things at once."""
        paths(self)
        if self.remove and self.rename:
            raise InputError("--remove and --rename cannot be given together; do one after the other.")

"""What the commands after a training are asked to do: `glassnet eval`, `features`, `explain` … and `data`, `models`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.convert import Device, Precision, paths, positive, seeded
from glassnet.settings.engine import EngineSettings


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What every analysis takes: where to compute, and what a network without a run needs."""

    model_options: tuple[str, ...] = ()
    """Model by name: its options as NAME=VALUE, as in weights=imagenet or weights=FILE."""
    weights: Path | None = None
    """Network by reference: file with its weights (.safetensors, or .pt without code in it)."""
    image_size: int | None = None
    """Network without a run: height and width that image files are brought to, in pixels; if not given, those that the
    network was made for, or 224."""
    num_classes: int | None = None
    """Network without a run: classes at its output; for a model by name 1000 if not given, 21 for segmentation."""
    in_channels: int | None = None
    """Network without a run: channels of its images; if not given, those that the network was made for, or 3."""
    skip_damaged: bool = False
    """Skip image files of your own that cannot be read, and say how many, instead of stopping."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "fp32"
    """fp32 is exact; bf16 is faster where the hardware multiplies it; auto chooses as in training."""
    data_root: Path | None = None
    """Folder that holds the data sets; default as when the run was trained."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has."""
        paths(self)
        positive(self, "image_size", "num_classes", "in_channels")


@dataclass(frozen=True, kw_only=True)
class EvalSettings(NetworkSettings):
    """Measure how good a model is, with 95% intervals, tables and figures.

    Classification: accuracy, loss, calibration, a row per class, the confusion matrix. Segmentation: overlap and
    outlines, beside those of calling every pixel background. Reconstruction: PSNR and SSIM beside classical denoisers.
    """

    run: Positional[Path]
    """Run directory; or a network: a model by name (vgg16), or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """Data set to measure on; a run's own if not given. For a network: folder:PATH with a sub-folder for each class,
    or hf:NAME_OR_FOLDER."""
    split: Literal["train", "test"] = "test"
    """Part of the data set."""
    batch_size: int = 512
    """Images per forward pass, at most; segmentation takes 64."""
    flip: bool = False
    """Segmentation: also measure the mean of each image's and its mirror image's probabilities."""
    nll_samples: int | None = None
    """Variational autoencoder: also measure the likelihood by so many codes an image, 5000 in papers; takes long."""
    nll_images: int | None = None
    """With --nll-samples: on so many images, the first ones; if not given, on all."""
    name: str | None = None
    """Name of the analysis; short words of its settings if not given."""
    out: Path | None = None
    """Network without a run: folder that keeps the analyses; default runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no evaluation could use."""
        super().__post_init__()
        positive(self, "batch_size", "nll_samples", "nll_images")


@dataclass(frozen=True, kw_only=True)
class FeaturesSettings(NetworkSettings, EngineSettings):
    """Draw the features of layers as points, cluster them, measure how far to trust each picture, compare layers."""

    run: Positional[Path]
    """Run directory; or a network: a model by name (vgg16), or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    layers: tuple[str, ...] | None = None
    """Layers to embed, by name, by pattern (conv*) or by kind (conv, last-conv, linear, all); if not given, the last
    hidden layer."""
    data: str | None = None
    """Network without a run: folder:PATH with its images, best in a sub-folder for each class; or hf:NAME_OR_FOLDER."""
    images: int | str = 5000
    """So many images at most, drawn by seed, classes balanced as in the whole; above 20,000 they stream to files. For a
    network without a run also a folder, as --data folder:PATH."""
    split: Literal["train", "test"] = "test"
    """Part of the data set that the images are drawn from."""
    methods: tuple[Literal["pca", "tsne", "umap", "pacmap"], ...] = ("pca", "tsne")
    """Ways to embed; umap needs `pip install 'glassnet[umap]'`, pacmap `pip install 'glassnet[pacmap]'`."""
    dims: tuple[int, ...] | None = None
    """Dimensions of the pictures, 2, 3 or both; if not given, 2 and 3 for PCA and 2 for the others."""
    tsne_engine: Literal["glassnet", "opentsne"] = "glassnet"
    """What computes t-SNE."""
    perplexity: tuple[float, ...] | None = None
    """t-SNE's effective number of neighbours, or several to be averaged; 30 if not given, less for few images."""
    landmarks: int | None = None
    """Images that t-SNE embeds, drawn by seed; all others are placed among them, and what that costs in kNN accuracy is
    said. If not given, all are embedded."""
    clustering: Literal["kmeans", "agglomerative", "hdbscan"] = "kmeans"
    """How clusters are found in each picture."""
    clusters: int | None = None
    """Clusters to look for; the number of classes if not given. HDBSCAN finds their number itself."""
    compare: tuple[str, ...] = ()
    """Layers to compare by probe, neighbours, separability, rank and CKA, by name, pattern or kind (conv linear)."""
    against: Path | None = None
    """Another run on the same data: CKA between its layers and this run's, of those to compare."""
    rows: Path | None = None
    """Folder for the features themselves, LAYER.npy with a row an image; of engines processes and ray, what is finished
    there is not computed again."""
    format: Literal["npy", "parquet"] = "npy"
    """With --rows: parquet also writes LAYER.parquet/00000.parquet and so on, with each image's number, label and
    file."""
    worker_cpus: int = 1
    """Engines processes and ray: threads of each worker that extracts, and CPUs that Ray keeps for it."""
    seed: int = 0
    """Seed of the draws, of the embeddings and of the clusters."""
    name: str | None = None
    """Name of the analysis, where the settings ask for one; short words of its settings if not given."""
    out: Path | None = None
    """Network without a run: folder that keeps the analyses; default runs/network-NAME."""

    def __post_init__(self) -> None:
        """Refuse what no embedding could use."""
        super().__post_init__()
        EngineSettings.__post_init__(self)
        positive(self, "worker_cpus")
        if self.format == "parquet" and self.rows is None:
            raise InputError("--format parquet writes files, and needs --rows FOLDER to know where.")
        if not isinstance(self.images, int):  # a script may give a path
            object.__setattr__(self, "images", str(self.images))
        positive(self, "images", "clusters", "landmarks")
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
        """How many images are drawn, at most."""
        return self.images if isinstance(self.images, int) else 5000


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(NetworkSettings):
    """Show where each layer looks, by Grad-CAM, Guided Grad-CAM or any other of nineteen methods, layer by layer."""

    run: Positional[Path]
    """Run directory; or a network: a model by name (vgg16), or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    images: str | None = None
    """Indices as in 3,14,15; a rule with a number: correct:N, wrong:N, mixed:N (half of each), first:N; or an image
    file or a folder. For segmentation, correct and wrong are those of highest and of lowest IoU. If not given, mixed:8,
    for reconstruction first:8."""
    data: str | None = None
    """Network without a run: folder:PATH with its images, best in a sub-folder for each class, among which --images
    chooses. Without it, --images is a file or a folder, all of which is explained; of class folders, mixed:8."""
    split: Literal["train", "test"] = "test"
    """Part of the data set that indices and rules mean."""
    layers: tuple[str, ...] = ("conv",)
    """Layers by name, by pattern (conv*) or by kind (conv, last-conv, all)."""
    methods: tuple[str, ...] = ("gradcam", "guided_gradcam")
    """Attribution methods; of layers: gradcam, gradcam_plus_plus, xgradcam, hirescam, layercam, eigencam, finercam,
    shapleycam, scorecam, guided_gradcam; of the input: guided_backpropagation, saliency, input_x_gradient, smoothgrad,
    integrated_gradients, occlusion; of transformers: attention_rollout, attention_relevance, legrad. Not for
    segmentation: finercam, scorecam, smoothgrad, integrated_gradients, occlusion."""
    target: str = "predicted"
    """Class whose score is explained: predicted, label, or a class by name or number. Segmentation: the region of the
    largest class that is predicted, or of a class by name or number, or region:ROW,COLUMN, what hangs together with
    that pixel. Reconstruction: error, or latent:K."""
    mask: Literal["auto", "stroke", "none"] = "auto"
    """Measure the share of each map inside the stroke (pixels above half of white); auto: where the data are digits."""
    faithfulness: bool = False
    """Also hide pixels (60 passes an image and map) and randomise weights (all maps anew for each weight layer):
    seconds for convnet, minutes for VGG."""
    rank_layers: bool = False
    """Also rank the layers by how faithful their maps are, and say which one to look at: by the methods of layers among
    --methods, on --images, or on the first 100 if not given."""
    name: str | None = None
    """Name of the analysis; short words of its settings if not given."""
    out: Path | None = None
    """Network without a run: folder that keeps the analyses; default runs/network-NAME."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings(NetworkSettings):
    """Write one self-contained HTML report of one or more runs or networks, with all analyses that are kept of them.

    What a report needs and does not find is done first: eval, features, explain.
    """

    run: Positional[tuple[Path, ...]]
    """Run directories; or networks: models by name (vgg16), or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """Network without a run: folder:PATH with its images, best in a sub-folder for each class; or hf:NAME_OR_FOLDER."""
    out: Path | None = None
    """HTML file to write; default report.html in the first run's directory."""
    seed: int = 0
    """Seed of the embeddings that are missing."""

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
    """Show runs, or a network with images, in a page of your browser: points, pictures, maps and layers, linked.

    The page is served on this machine alone, at an address with a token. What it computes is kept in the run, as the
    commands keep it. Ctrl-C ends it.
    """

    run: Positional[tuple[Path, ...]]
    """Run directories, also of runs that are being trained; or networks: models by name (vgg16), or net.py:make,
    hf:NAME_OR_FOLDER, timm:NAME or net.pt2."""
    data: str | None = None
    """Network without a run: folder:PATH with its images, best in a sub-folder for each class; or hf:NAME_OR_FOLDER."""
    host: str = "127.0.0.1"
    """Address of this machine to listen at; others than 127.0.0.1 let other machines in, who need the token."""
    port: int = 0
    """Port to listen at; 0 takes a free one."""
    browser: bool = True
    """Open the page in a browser, where there is a display."""
    out: Path | None = None
    """Network without a run: folder that keeps the analyses; default runs/network-NAME."""
    export: Path | None = None
    """Do not serve: write the page with precomputed answers into this folder, which any web server then shows."""
    images: str | None = None
    """With --export, test images whose maps, channels and neighbours are in it: indices, as in 3,14,15, or a rule, as
    in mixed:24 or first:24; default 24 by the task's usual rule. Thumbnails and predictions of all are in it."""
    layers: tuple[str, ...] = ()
    """With --export, layers whose embeddings are in it; default the one shown first and those whose maps are shown."""

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
    """List what a run holds, or remove or rename an analysis."""

    run: Positional[Path]
    """Run directory, or the folder of a network's analyses."""
    remove: str | None = None
    """Name of an analysis to remove, as it is listed; "browsed" for all that the explorer made by itself."""
    rename: tuple[str, str] | None = None
    """Name of an analysis, and its new name."""

    def __post_init__(self) -> None:
        """Take text for a path, and refuse two things at once."""
        paths(self)
        if self.remove and self.rename:
            raise InputError("--remove and --rename cannot be given together; do one after the other.")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """List the data sets, download one from its official source, verify the files on disk, or check one's images.

    `check` looks a data set over before a training, also folder:PATH or masks:PATH: copies between its parts and in
    them, near copies, files that cannot be read or are not, small classes, images of odd sizes or formats. The exit
    code is 2 where a training would refuse it.
    """

    action: Positional[Literal["list", "fetch", "verify", "check"]] = "list"
    """What to do."""
    name: Positional[str | None] = None
    """Data set; if not given, all of them. `check` needs one."""
    data_root: Path | None = None
    """Folder of the data sets; default $GLASSNET_DATA, then the user's cache folder."""

    def __post_init__(self) -> None:
        """Refuse a check of nothing."""
        if self.action == "check" and self.name is None:
            raise InputError("check needs a data set, as in `glassnet data check folder:photos`.")


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    """List the models, or print one model's layer table: name, kind, sizes, parameters, multiply-adds."""

    name: Positional[str | None] = None
    """Model by name, or net.py:make, hf:NAME_OR_FOLDER, timm:NAME or net.pt2; if not given, all models are listed."""
    model_options: tuple[str, ...] = ()
    """Options of the model as NAME=VALUE, such as filters=64,64,64,64."""
    in_channels: int | None = None
    """Channels of the input image; if not given 1, for a network by reference what it was made for, or 3."""
    image_size: int | None = None
    """Height and width of the input image in pixels; if not given 28, for a network by reference what it was made for,
    or 224."""
    num_classes: int | None = None
    """Classes at the output; if not given 10, for a network by reference what it has."""
    figure: Path | None = None
    """Also draw the table to this file (.png, .svg or .pdf)."""

    def __post_init__(self) -> None:
        """Refuse sizes that no image has, and options without a model."""
        positive(self, "in_channels", "image_size", "num_classes")
        if self.name is None and (self.model_options or self.figure):
            raise InputError(
                "--model-options and --figure need a model, as in `glassnet models convnet --figure net.png`."
            )

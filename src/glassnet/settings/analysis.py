"""What `glassnet eval`, `features`, `explain` and `report` are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from glassnet.settings.checks import Device, Precision, positive, seeded


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
        positive(self, "batch_size")


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
        positive(self, "images", "perplexity", "clusters")
        seeded(self)


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
        seeded(self)

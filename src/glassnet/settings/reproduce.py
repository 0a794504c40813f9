"""What `glassnet reproduce` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.checks import Device, Precision, paths, positive, seeded


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
            shown = " ".join(map(str, self.seeds)) or "empty"
            raise InputError(f"--seeds is {shown}, expected different numbers of 0 or more, below 2^31.")
        for option, given, told in (("run", self.run, "the run is"), ("runs", self.runs, "the runs are")):
            if given and (self.data != "mnist" or self.epochs is not None):
                raise InputError(
                    f"--data and --epochs cannot be given with --{option}: {told} trained already; leave them out."
                )

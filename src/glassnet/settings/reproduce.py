"""What `glassnet reproduce` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from glassnet.errors import InputError
from glassnet.settings.checks import Device, Precision, paths, positive, seeded


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings:
    """Do the 2019 report again, part by part: its tables and figures, its numbers beside ours, a verdict on its claims.

    What is finished in the output folder is not done again, so a reproduction that was stopped goes on.
    """

    part: Positional[str | None] = None
    """Part of the report, or all; the list of parts if not given."""
    run: Path | None = None
    """Part features: run of the report's network to look into; trained with the defaults if not given."""
    data: str = "mnist"
    """Data set to train on; mnist is the report's, mnist-sample a quick try that needs no download. For these two, part
    segmentation takes voc-aug (3.4 GB to download) and digit-scenes; it takes any other data set of masks as well."""
    epochs: int | None = None
    """Passes over the training images; what each part takes for its networks if not given."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Parts classification, segmentation and reconstruction: seeds of every network; an interval
    over seeds needs two at least. The leak of segmentation is measured with the lowest alone."""
    models: tuple[str, ...] = ()
    """Parts classification and reconstruction: only these networks of the report's; all of them if not given. Part
    segmentation: networks beside the report's one, as unet_small; none if not given."""
    datasets: tuple[str, ...] = ()
    """Part reconstruction: only these data sets; if not given, that of --data, or mnist, cifar10 and stanford_dogs
    for mnist. mnist-sample and photos-sample are a quick try that needs no download."""
    runs: tuple[Path, ...] = ()
    """Part gradcam: runs of convnet, vgg16 and vgg19 to look into; trained with the defaults, VGG at 32 px, if none."""
    images: int = 2000
    """Part gradcam: test images that are measured, drawn by seed, classes balanced as in the whole."""
    seed: int = 0
    """All parts but classification: seed of draws, t-SNE, k-means, the bootstrap, and of the one training of a part."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Precision = "auto"
    """Of the training: auto takes bf16 where the hardware gains from it, else fp32. Features are always fp32."""
    data_root: Path | None = None
    """Folder that holds the data sets; default $GLASSNET_DATA, then the user's cache folder."""
    out: Path | None = None
    """Folder to write; default runs/reproduce-PART. With all, the folder of the parts' folders; default runs."""

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

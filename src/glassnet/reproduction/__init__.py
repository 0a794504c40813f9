"""The 2019 report done again. A new part is a file or a folder and one line in PARTS."""

from glassnet.reproduction.channels import CHANNELS
from glassnet.reproduction.classification import CLASSIFICATION
from glassnet.reproduction.features import FEATURES
from glassnet.reproduction.gradcam import GRADCAM
from glassnet.reproduction.part import Part, Reproduction, SavedFigure
from glassnet.reproduction.reconstruction import RECONSTRUCTION
from glassnet.reproduction.reported import verdict_table
from glassnet.reproduction.segmentation import SEGMENTATION

__all__ = ["PARTS", "Part", "Reproduction", "SavedFigure", "verdict_table"]

PARTS: dict[str, Part] = {
    "classification": CLASSIFICATION,
    "segmentation": SEGMENTATION,
    "reconstruction": RECONSTRUCTION,
    "features": FEATURES,
    "gradcam": GRADCAM,
    "channels": CHANNELS,
}

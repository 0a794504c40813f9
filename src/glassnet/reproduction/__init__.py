"""The 2019 report done again. A new part is one file and one line in PARTS."""

from glassnet.reproduction.classification import CLASSIFICATION
from glassnet.reproduction.features import FEATURES
from glassnet.reproduction.gradcam import GRADCAM
from glassnet.reproduction.reconstruction import RECONSTRUCTION
from glassnet.reproduction.reproduction import Drawn, Part, Reproduction
from glassnet.reproduction.segmentation import SEGMENTATION
from glassnet.reproduction.tables import Table, verdict_table

__all__ = ["PARTS", "Drawn", "Part", "Reproduction", "Table", "verdict_table"]

PARTS: dict[str, Part] = {
    "classification": CLASSIFICATION,
    "segmentation": SEGMENTATION,
    "features": FEATURES,
    "gradcam": GRADCAM,
    "reconstruction": RECONSTRUCTION,
}

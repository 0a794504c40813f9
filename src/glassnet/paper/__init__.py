"""The 2019 report done again. A new part is one file and one line in PARTS."""

from glassnet.paper.classification import CLASSIFICATION
from glassnet.paper.features import FEATURES
from glassnet.paper.gradcam import GRADCAM
from glassnet.paper.reconstruction import RECONSTRUCTION
from glassnet.paper.reproduction import Drawn, Part, Reproduction
from glassnet.paper.segmentation import SEGMENTATION
from glassnet.paper.tables import Table, verdict_table

__all__ = ["PARTS", "Drawn", "Part", "Reproduction", "Table", "verdict_table"]

PARTS: dict[str, Part] = {
    "classification": CLASSIFICATION,
    "segmentation": SEGMENTATION,
    "features": FEATURES,
    "gradcam": GRADCAM,
    "reconstruction": RECONSTRUCTION,
}

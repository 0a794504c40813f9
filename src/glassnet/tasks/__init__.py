"""What a model can learn. A task is one file and one line in TASKS."""

from glassnet.tasks.classification import CLASSIFICATION
from glassnet.tasks.reconstruction import RECONSTRUCTION
from glassnet.tasks.segmentation import SEGMENTATION
from glassnet.tasks.task import Measures, Normal, Objective, Recorder, Records, Task

__all__ = ["TASKS", "Measures", "Normal", "Objective", "Recorder", "Records", "Task"]

TASKS: dict[str, Task] = {
    "classification": CLASSIFICATION,
    "segmentation": SEGMENTATION,
    "reconstruction": RECONSTRUCTION,
}

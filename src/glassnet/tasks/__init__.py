"""What a model can learn. A task is one file and one line in TASKS."""

from glassnet.tasks.base import Measures, Normal, Objective, Recorder, Records, Task
from glassnet.tasks.classification.learn import CLASSIFICATION
from glassnet.tasks.reconstruction.learn import RECONSTRUCTION
from glassnet.tasks.segmentation.learn import SEGMENTATION

__all__ = ["TASKS", "Measures", "Normal", "Objective", "Recorder", "Records", "Task"]

TASKS: dict[str, Task] = {
    "classification": CLASSIFICATION,
    "segmentation": SEGMENTATION,
    "reconstruction": RECONSTRUCTION,
}

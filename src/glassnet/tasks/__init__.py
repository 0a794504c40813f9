"""What a model can learn. A task is a folder and one line in TASKS."""

from glassnet.tasks.base import Measures, Normal, Objective, Recorder, Records, Task
from glassnet.tasks.classification import learn as classification
from glassnet.tasks.multilabel import learn as multilabel
from glassnet.tasks.reconstruction import learn as reconstruction
from glassnet.tasks.segmentation import learn as segmentation

__all__ = ["TASKS", "Measures", "Normal", "Objective", "Recorder", "Records", "Task"]

TASKS: dict[str, Task] = {
    "classification": classification.TASK,
    "segmentation": segmentation.TASK,
    "reconstruction": reconstruction.TASK,
    "multilabel": multilabel.TASK,
}

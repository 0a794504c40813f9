"""The tasks by name: a line each."""

from glassnet.tasks.base import Task
from glassnet.tasks.classification import learn as classification
from glassnet.tasks.multilabel import learn as multilabel
from glassnet.tasks.reconstruction import learn as reconstruction
from glassnet.tasks.segmentation import learn as segmentation

TASKS: dict[str, Task] = {
    "classification": classification.TASK,
    "segmentation": segmentation.TASK,
    "reconstruction": reconstruction.TASK,
    "multilabel": multilabel.TASK,
}

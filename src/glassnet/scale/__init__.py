"""Many trainings and many images: the work of one process, given to others of this machine or to a Ray cluster.

An engine is a number of workers that take tasks (`workers`); a task whose worker dies is given to another one. The
tasks of a grid are its trainings (`trials`), those of an extraction shards of the images (`features`).
"""

from glassnet.scale.engines import Engine
from glassnet.scale.features import extract_features
from glassnet.scale.trials import tune

__all__ = ["Engine", "extract_features", "tune"]

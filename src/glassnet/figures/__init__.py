"""Figures: arrays in, a matplotlib figure out; never a model, never a file."""

from glassnet.figures.architecture import architecture
from glassnet.figures.attribution import attribution_grid
from glassnet.figures.confusion import confusion_matrix
from glassnet.figures.curves import learning_curves, scree
from glassnet.figures.embedding import embedding_figure
from glassnet.figures.images import image_grid, worst_mistakes

__all__ = [
    "architecture",
    "attribution_grid",
    "confusion_matrix",
    "embedding_figure",
    "image_grid",
    "learning_curves",
    "scree",
    "worst_mistakes",
]

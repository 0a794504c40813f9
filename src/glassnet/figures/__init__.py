"""Figures: arrays in, a matplotlib figure out; never a model, never a file."""

from glassnet.figures.architecture import architecture
from glassnet.figures.attribution import attribution_grid
from glassnet.figures.confusion import confusion_matrix
from glassnet.figures.curves import learning_curves, scree
from glassnet.figures.embedding import embedding_figure
from glassnet.figures.grid import tuning_grid
from glassnet.figures.images import image_grid, worst_mistakes
from glassnet.figures.layers import layer_comparison
from glassnet.figures.pair import embedding_pair
from glassnet.figures.similarity import cka_heatmap
from glassnet.figures.tuning import tuning_figure

__all__ = [
    "architecture",
    "attribution_grid",
    "cka_heatmap",
    "confusion_matrix",
    "embedding_figure",
    "embedding_pair",
    "image_grid",
    "layer_comparison",
    "learning_curves",
    "scree",
    "tuning_figure",
    "tuning_grid",
    "worst_mistakes",
]

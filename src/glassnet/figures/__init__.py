"""Figures: arrays in, a matplotlib figure or a picture (an array of colours) out; never a model, never a file."""

from glassnet.figures.architecture import architecture, autoencoder_diagram
from glassnet.figures.attribution import attribution_grid
from glassnet.figures.attribution_strip import attribution_strip
from glassnet.figures.channels import channel_sheet
from glassnet.figures.classes import class_bars, confusion_matrix
from glassnet.figures.curves import learning_curves, scree
from glassnet.figures.embedding import embedding_figure, embedding_pair, points_figure
from glassnet.figures.faithfulness import faithfulness_curves, mask_share, sanity_curves
from glassnet.figures.images import image_grid, image_rows, worst_mistakes
from glassnet.figures.latent import latent_kl, reconstruction_curves
from glassnet.figures.layers import cka_heatmap, layer_comparison
from glassnet.figures.overlay import heat_overlay, signed_map, thumbnail
from glassnet.figures.segmentation import segmentation_grid
from glassnet.figures.tuning import tuning_figure

__all__ = [
    "architecture",
    "attribution_grid",
    "attribution_strip",
    "autoencoder_diagram",
    "channel_sheet",
    "cka_heatmap",
    "class_bars",
    "confusion_matrix",
    "embedding_figure",
    "embedding_pair",
    "faithfulness_curves",
    "heat_overlay",
    "image_grid",
    "image_rows",
    "latent_kl",
    "layer_comparison",
    "learning_curves",
    "mask_share",
    "points_figure",
    "reconstruction_curves",
    "sanity_curves",
    "scree",
    "segmentation_grid",
    "signed_map",
    "thumbnail",
    "tuning_figure",
    "worst_mistakes",
]

"""How faithful a map is to the model: hide pixels, compare with a mask, randomise the model, compare methods."""

from glassnet.attribution.faithfulness.confidence import confidence_change
from glassnet.attribution.faithfulness.curves import Curves, deletion_insertion
from glassnet.attribution.faithfulness.masks import STROKE_THRESHOLD, pointing_game, share_inside, stroke_mask
from glassnet.attribution.faithfulness.mean_ci import MeanCI, mean_ci
from glassnet.attribution.faithfulness.measure import Faithfulness, faithfulness, inside
from glassnet.attribution.faithfulness.sanity import SanityCheck, sanity_check
from glassnet.attribution.faithfulness.similarity import agreement, rank_correlation, structural_similarity

__all__ = [
    "STROKE_THRESHOLD",
    "Curves",
    "Faithfulness",
    "MeanCI",
    "SanityCheck",
    "agreement",
    "confidence_change",
    "deletion_insertion",
    "faithfulness",
    "inside",
    "mean_ci",
    "pointing_game",
    "rank_correlation",
    "sanity_check",
    "share_inside",
    "stroke_mask",
    "structural_similarity",
]

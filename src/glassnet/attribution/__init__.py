"""Where a network looks: attributions of any score, at every layer, for whole batches of images."""

from glassnet.attribution.explain import explain
from glassnet.attribution.explanation import Explanation
from glassnet.attribution.methods import METHODS

__all__ = ["METHODS", "Explanation", "explain"]

"""Tuning: a grid of trainings over several seeds, the choice on validation, and which differences are real."""

from glassnet.tuning.grid import parse_grid
from glassnet.tuning.plan import named
from glassnet.tuning.result import Cell, Tuning
from glassnet.tuning.statistics import Difference, holm, paired_difference, spread
from glassnet.tuning.tune import tune

__all__ = ["Cell", "Difference", "Tuning", "holm", "named", "paired_difference", "parse_grid", "spread", "tune"]

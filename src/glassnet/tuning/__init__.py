"""Tuning: a grid of trainings over several seeds, the choice on validation, and which differences are real."""

from glassnet.tuning.grid import parse_grid
from glassnet.tuning.plan import named
from glassnet.tuning.result import Cell, Tuning, spread
from glassnet.tuning.tune import Trial, one_by_one, tune

__all__ = ["Cell", "Trial", "Tuning", "named", "one_by_one", "parse_grid", "spread", "tune"]

"""Training: settings in, a finished run directory out."""

from glassnet.training.train import train

__all__ = ["train"]

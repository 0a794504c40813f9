"""Training: settings in, a finished run directory out."""

from glassnet.training.resume import train_or_resume
from glassnet.training.train import train

__all__ = ["train", "train_or_resume"]

"""Training: settings in, a finished run directory out."""

from glassnet.training.resume import epochs_done, train_or_resume
from glassnet.training.train import train

__all__ = ["epochs_done", "train", "train_or_resume"]

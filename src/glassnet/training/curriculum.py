"""How the training images are shown from epoch to epoch: augmented at first, small at first, plain in the end."""

from __future__ import annotations

from glassnet.data.augment import PLAIN
from glassnet.settings import TrainSettings
from glassnet.settings.train import share_of_epochs


def augmentation_of(usual: str, settings: TrainSettings, epoch: int) -> str:
    """Augment as usual but for the last epochs, whose images are distributed as those that the model will meet.

    He et al. 2019, https://arxiv.org/abs/1909.09148, who refine on less augmented images.

    Args:
        usual: The data set's augmentation.
        settings: Whether to augment, and the share of epochs that leave the images as they are but for a mirror.
        epoch: Number of epochs that are done.
    """
    if not settings.augment:
        return "none"
    return PLAIN.get(usual, "none") if _is_plain(settings, epoch) else usual


def size_of(small: int | None, settings: TrainSettings, epoch: int) -> int | None:
    """Return the side of the images of an epoch, given how many are done: None for the data set's own.

    Networks that take images of any size learn most of what they will from smaller ones, which cost less (Tan and Le
    2021, https://arxiv.org/abs/2104.00298, section 4).
    """
    return small if epoch < share_of_epochs(settings.recipe.epochs, settings.low_res_epochs) else None


def copy_paste_share(settings: TrainSettings, epoch: int) -> float:
    """Return the share of images that objects are pasted onto in an epoch, given how many are done; 0 in plain ones."""
    return 0.0 if _is_plain(settings, epoch) else settings.copy_paste


def _is_plain(settings: TrainSettings, epoch: int) -> bool:
    return epoch >= settings.recipe.epochs - share_of_epochs(settings.recipe.epochs, settings.plain_epochs)

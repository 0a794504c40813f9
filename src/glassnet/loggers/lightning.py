"""A Lightning callback: Grad-CAM of fixed images at each epoch, in the logger of the user's own training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from glassnet.attribution.engine.targets import Target
from glassnet.console import say, say_once
from glassnet.files import atomic
from glassnet.images import Images, check_images
from glassnet.loggers.logger import needed
from glassnet.loggers.pictures import Picture, map_strip
from glassnet.models.layers import LayerChoice

_LIGHTNING: Any = needed("lightning.pytorch.callbacks", "GlassnetCallback", "lightning")


class GlassnetCallback(_LIGHTNING.Callback):  # type: ignore[misc]
    """Logs where a LightningModule looks: the maps of the same images after each epoch.

    `trainer = Trainer(callbacks=[GlassnetCallback(images)])`. If the trainer's logger accepts pictures (TensorBoard,
    Weights & Biases, MLflow), they go there, at the trainer's step; otherwise to files such as glassnet/maps-0001.png
    in the logger's folder. Training is not changed. If maps cannot be made, a warning is printed once, and the training
    continues.
    """

    def __init__(
        self,
        images: Images,
        *,
        target: Target = "predicted",
        layers: LayerChoice = "last-conv",
        method: str = "gradcam",
        every: int = 1,
        name: str = "glassnet/maps",
    ) -> None:
        """Take what is explained.

        Args:
            images: A few images as the module takes them.
            target: As `glassnet.explain` takes it; the images' own classes make epochs comparable.
            layers: As there; of several, the last is drawn.
            method: Key of METHODS.
            every: Epochs between two pictures.
            name: What the logger calls them.

        Raises:
            InputError: The images are no batch.
        """
        check_images(images, 1)
        self._images, self._target, self._layers, self._method = images, target, layers, method
        self._every, self._name = max(1, every), name
        self._failed = False

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Draw and log the maps, in the first process alone."""
        if self._failed or not trainer.is_global_zero or (trainer.current_epoch + 1) % self._every:
            return
        try:
            device = pl_module.device
            images = self._images.to(device) if isinstance(self._images, torch.Tensor) else self._images
            strip = map_strip(pl_module, images, target=self._target, layers=self._layers, method=self._method)
            self._log(trainer, strip)
        except Exception as error:  # hours of training are worth more than a picture
            self._failed = True
            say(f"warning: no more maps are logged ({type(error).__name__}: {error}); the training continues.")

    def _log(self, trainer: Any, strip: Picture) -> None:
        step, epoch = trainer.global_step, trainer.current_epoch + 1
        taken = [_LOGGED[kind](logger, self._name, strip, step) for logger, kind in _known(trainer)]
        if not taken:
            folder = Path(trainer.log_dir or trainer.default_root_dir) / "glassnet"
            folder.mkdir(parents=True, exist_ok=True)
            with atomic(folder / f"maps-{epoch:04}.png") as temporary:
                Image.fromarray(strip).save(temporary, format="png")
            say_once(f"the trainer has no logger for pictures, so the maps are files in {os.fspath(folder)}.")


def _known(trainer: Any) -> list[tuple[Any, str]]:
    """Return the trainer's loggers that take pictures, each with its class, or the one above it, that is known."""
    known = [
        (one, [kind.__name__ for kind in type(one).__mro__ if kind.__name__ in _LOGGED]) for one in trainer.loggers
    ]
    return [(one, kinds[0]) for one, kinds in known if kinds]


def _to_tensorboard(logger: Any, name: str, strip: Picture, step: int) -> None:
    logger.experiment.add_image(name, strip, step, dataformats="HWC")


def _to_wandb(logger: Any, name: str, strip: Picture, step: int) -> None:
    logger.log_image(key=name, images=[strip], step=step)


def _to_mlflow(logger: Any, name: str, strip: Picture, step: int) -> None:
    logger.experiment.log_image(logger.run_id, strip, f"{name}-{step:06}.png")


_LOGGED = {"TensorBoardLogger": _to_tensorboard, "WandbLogger": _to_wandb, "MLFlowLogger": _to_mlflow}
"""How a picture is given to a Lightning logger, by the name of its class: none is imported to ask."""

"""Write what a training's first three steps average and measure; run by test_train.py alone and under torchrun.

In double precision: in single, the rounding of another order of sums turns ReLUs and pools that stand at a tie, and a
turn of one of them is no longer small.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from glassnet import experiment
from glassnet.data import DATASETS, Dataset, Source, Split, batches
from glassnet.data.warps import Warp
from glassnet.settings import TrainSettings
from glassnet.training.train import _Loop, _records, _start, _train_epoch

SETTINGS = {
    "digits": TrainSettings(model_options=("filters=4,4,8,8", "hidden=16"), epochs=1, batch_size=64),
    "masks": TrainSettings(
        data="squares",
        model="unet_small",
        model_options=("filters=4,8", "dropout=0"),
        epochs=1,
        batch_size=8,
        augment=False,
    ),
}


def main() -> None:
    accelerator = Accelerator(cpu=True)
    batches.to_float = lambda images: images.double() / 255
    draw = batches.AUGMENTATIONS["digits"]
    batches.AUGMENTATIONS["digits"] = lambda count, generator: _double(draw(count, generator))
    DATASETS["squares"] = Source(
        "", load=lambda *_: squares(), find=lambda path: path, needs="", tasks=("segmentation",)
    )
    found = {name: first_steps(settings, accelerator) for name, settings in SETTINGS.items()}
    if accelerator.is_main_process:
        torch.save(found, sys.argv[1])


def squares() -> Dataset:
    """Bright squares whose masks are shared by both parts, as those mapped from a cache are: each has its own rows.

    As many pixels are void in each, since a loss is a mean over the pixels of a process's part.
    """
    random = torch.Generator().manual_seed(0)
    images, masks = torch.randint(0, 90, (27, 3, 16, 16), generator=random), torch.zeros(27, 16, 16)
    for number, (top, left) in enumerate(torch.randint(1, 9, (27, 2), generator=random).tolist()):
        masks[number, top : top + 6, left : left + 6] = 1 + number % 2
        images[number, :, top : top + 6, left : left + 6] += 60 * (1 + number % 2)
    masks[:, 0] = 255
    order = torch.randperm(27, generator=random)
    train, test = (Split(images.byte(), masks.byte(), rows) for rows in (order[:24], order[24:]))
    return Dataset("squares", "segmentation", ("ground", "dark", "bright"), train, test, "none", "made here")


def first_steps(settings: TrainSettings, accelerator: Accelerator) -> dict:
    """Take three steps, and keep each one's averaged gradients, the loss, and what is remembered of some images."""
    settings = experiment.resolve(settings)
    parts = experiment.build(settings)
    parts.model.double()
    training = parts.dataset.train.part(torch.arange(3 * settings.batch_size))
    state = _start(parts, settings, accelerator, steps=3)
    seen = []
    step = state.optimizer.step

    def record(*arguments):
        seen.append({name: p.grad.clone() for name, p in state.model.named_parameters()})
        return step(*arguments)

    state.schedule.optimizer.step = record
    loop = _Loop(parts, settings, accelerator, state, training, training, "fp32", Path(), "now")
    means = _train_epoch(loop, accelerator.prepare_model(state.model))
    test = parts.dataset.test
    measured = [_records(loop, test.part(torch.arange(count))) for count in (1, 3)]  # 1: one process has no image
    return {"gradients": seen, "means": means, "measured": measured}


def _double(warp):
    return Warp(warp.affine.double(), warp.bend.double())


if __name__ == "__main__":
    main()

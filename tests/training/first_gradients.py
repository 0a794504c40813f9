"""Write the averaged gradients of a training's first three steps; run by test_train.py alone and under torchrun.

In double precision: in single, the rounding of another order of sums turns ReLUs and pools that stand at a tie, and a
turn of one of them is no longer small.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator

from glassnet import experiment
from glassnet.data import batches
from glassnet.data.warps import Warp
from glassnet.settings import TrainSettings
from glassnet.training.train import _Loop, _start, _train_epoch


def main() -> None:
    tiny = TrainSettings(model_options=("filters=4,4,8,8", "hidden=16"), epochs=1, batch_size=64)
    settings = experiment.resolve(tiny)
    accelerator = Accelerator(cpu=True)
    parts = experiment.build(settings)
    parts.model.double()
    batches.to_float = lambda images: images.double() / 255
    draw = batches.AUGMENTATIONS["digits"]
    batches.AUGMENTATIONS["digits"] = lambda count, generator: _double(draw(count, generator))
    training = parts.dataset.train
    training = type(training)(training.images[: 3 * 64], training.targets[: 3 * 64])
    state = _start(parts, settings, accelerator, steps=3)
    seen = []
    step = state.optimizer.step

    def record(*arguments):
        seen.append({name: p.grad.clone() for name, p in state.model.named_parameters()})
        return step(*arguments)

    state.schedule.optimizer.step = record
    loop = _Loop(parts, settings, accelerator, state, training, training, "fp32", Path(), "now")
    _train_epoch(loop, accelerator.prepare_model(state.model))
    if accelerator.is_main_process:
        torch.save(seen, sys.argv[1])


def _double(warp):
    return Warp(warp.affine.double(), warp.bend.double())


if __name__ == "__main__":
    main()

"""Write the averaged gradients of a training's first three steps; run by test_train.py alone and under torchrun.

For a classifier, and for a VAE together with what it remembers of its test images.

In double precision: in single, the rounding of another order of sums turns ReLUs and pools that stand at a tie, and a
turn of one of them is no longer small.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from glassnet import experiment
from glassnet.data import Split, batches
from glassnet.data.warps import Warp
from glassnet.models import autoencoder
from glassnet.settings import TrainSettings
from glassnet.training.train import _Loop, _records, _start, _train_epoch


def main() -> None:
    accelerator = Accelerator(cpu=True)
    single, batches.to_float = batches.to_float, lambda images: images.double() / 255
    draw = batches.AUGMENTATIONS["digits"]
    batches.AUGMENTATIONS["digits"] = lambda count, generator: _double(draw(count, generator))
    autoencoder.draw = _with_a_fixed_eps  # processes draw apart, which no comparison with one alone could bear
    classifier = TrainSettings(model_options=("filters=4,4,8,8", "hidden=16"), epochs=1, batch_size=64)
    options = ("filters=4,8", "hidden=16", "latent=3")
    vae = replace(classifier, model="vae_conv", model_options=options, noise="gaussian:0.3", augment=False)
    found = {"classifier": _gradients(classifier, accelerator)[0]}
    found["vae"], loop = _gradients(vae, accelerator)
    batches.to_float = single  # measured outputs are in single precision, whatever the model is in
    loop.state.judged.float()
    records = _records(loop, "test")
    found["records"] = {name: records[name] for name in ("reconstruction", "kl", "psnr", "mse")}
    told = loop.parts.task.evaluate(records, ())
    found["told"] = {name: told[name] for name in ("images", "negative_elbo", "psnr_interval")}
    found["told"] |= {name: told["latent"][name] for name in ("kl_per_dimension", "largest_deviation")}
    if accelerator.is_main_process:
        torch.save(found, sys.argv[1])


def _gradients(tiny, accelerator):
    """Train three steps; return the gradients of each by name, and the loop."""
    settings = experiment.resolve(tiny)
    parts = experiment.build(settings)
    parts.model.double()
    train, test = parts.dataset.train, parts.dataset.test
    parts = replace(parts, dataset=replace(parts.dataset, test=Split(test.images[:51], test.targets[:51])))
    training = Split(train.images[: 3 * 64], train.targets[: 3 * 64])
    state = _start(parts, settings, accelerator, steps=3)
    seen = []
    step = state.optimizer.step

    def record(*arguments):
        seen.append({name: p.grad.clone() for name, p in state.model.named_parameters()})
        return step(*arguments)

    state.schedule.optimizer.step = record
    loop = _Loop(parts, settings, accelerator, state, training, training, "fp32", Path(), "now")
    _train_epoch(loop, accelerator.prepare_model(state.model))
    return seen, loop


def _with_a_fixed_eps(posterior):
    return posterior.mean + (posterior.log_variance / 2).exp() * 0.5


def _double(warp):
    return Warp(warp.affine.double(), warp.bend.double())


if __name__ == "__main__":
    main()

"""What a training's first three steps average and measure, then a whole training; under torchrun, or by a test alone.

The steps are those of a classifier, a segmentation, and a VAE, in double precision: in single, the rounding of another
order of sums turns ReLUs and pools that stand at a tie, and a turn of one of them is no longer small.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from glassnet import cli, experiment
from glassnet.data import DATASETS, Dataset, Source, Split, batches
from glassnet.data.augment import AUGMENTATIONS
from glassnet.data.augment.warps import Warp
from glassnet.models import autoencoder
from glassnet.settings import TrainSettings
from glassnet.training.loop import Loop, evaluate_split, train_epoch
from glassnet.training.train import _start

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
    "vae": TrainSettings(
        model="vae_conv",
        model_options=("filters=4,8", "hidden=16", "latent=3"),
        noise="gaussian:0.3",
        epochs=1,
        batch_size=64,
        augment=False,
    ),
}
COUNTS = {"digits": (1, 3), "masks": (1, 3), "vae": (51,)}
"""Images that are measured: of one, one of two processes has none."""


def main() -> None:
    """`two_processes.py OUT WORDS`: OUT/steps.pt holds the first steps; then `glassnet WORDS`."""
    out, *words = sys.argv[1:]
    accelerator = Accelerator(cpu=True)
    steps = all_first_steps(accelerator)
    if accelerator.is_main_process:
        torch.save(steps, f"{out}/steps.pt")
    accelerator.wait_for_everyone()
    sys.exit(cli.run(words))  # which also ends the processes' connection: one that just left would abort the other


def all_first_steps(accelerator: Accelerator) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        # processes draw apart, which no comparison with one alone could bear
        patch.setattr(autoencoder, "draw", _with_a_fixed_eps)
        draw = AUGMENTATIONS["digits"]
        patch.setitem(AUGMENTATIONS, "digits", lambda count, generator: _double(draw(count, generator)))
        source = Source("", load=lambda *_: squares(), find=lambda path: path, needs="", tasks=("segmentation",))
        patch.setitem(DATASETS, "squares", source)
        return {name: first_steps(name, accelerator, patch) for name in SETTINGS}


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


def first_steps(name: str, accelerator: Accelerator, patch: pytest.MonkeyPatch) -> dict:
    """Take three steps, and keep each one's averaged gradients, the loss, and what is remembered of some images."""
    patch.setattr(batches, "to_float", _in_double)
    settings = experiment.resolve(SETTINGS[name])
    parts = experiment.build(settings)
    parts.model.double()
    training = parts.dataset.train.subset(torch.arange(3 * settings.batch_size))
    state = _start(parts, settings, accelerator, steps=3)
    seen = []
    state.optimizer.register_step_pre_hook(
        lambda *_: seen.append({name: p.grad.clone() for name, p in state.model.named_parameters()})
    )
    loop = Loop(parts, settings, accelerator, state, training, training, "fp32", Path(), "now")
    means = train_epoch(loop, accelerator.prepare_model(state.model))
    if name == "vae":  # its likelihoods are taken in single precision, whatever the model is in
        state.eval_model.float()
        patch.setattr(batches, "to_float", lambda images: images.float() / 255)
    measured = [evaluate_split(_with_test_images(loop, count), "test") for count in COUNTS[name]]
    return {"gradients": seen, "means": means, "measured": measured}


def _with_test_images(loop: Loop, count: int) -> Loop:
    dataset = loop.parts.dataset
    test = dataset.test.subset(torch.arange(count))
    return replace(loop, parts=replace(loop.parts, dataset=replace(dataset, test=test)))


def _in_double(images):
    return images.double() / 255


def _with_a_fixed_eps(posterior):
    return posterior.mean + (posterior.log_variance / 2).exp() * 0.5


def _double(warp):
    return Warp(warp.affine.double(), warp.elastic.double())


if __name__ == "__main__":
    main()

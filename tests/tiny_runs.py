"""The smallest trainings: of a classifier on the embedded digits, of a segmentation and a VAE on pictures made here."""

import contextlib
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.run import write_weights
from glassnet.training import loop

TINY = ("filters=4,4,8,8", "hidden=16")


def tiny(out, **options):
    """Its settings; three epochs take a second."""
    return gn.TrainSettings(**{"model_options": TINY, "epochs": 3, "precision": "fp32", "out": out, **options})


def replace_weights(path, weights):
    """Give a run other weights, as if its training had ended at them."""
    manifest = json.loads((path / "run.json").read_text())
    epoch = manifest["weights"]["epoch"]
    manifest["weights"]["digest"] = write_weights(path, weights, epoch=epoch)
    (path / "run.json").write_text(json.dumps(manifest))


def copied(run, folder):
    """Copy a run, which may then be written to."""
    shutil.copytree(run.path, folder / run.path.name)
    return gn.Run.open(folder / run.path.name)


def weakened(path, copied):
    """Copy a run with other weights in its last layer, so that it says other things of the same images."""
    shutil.copytree(path, copied)
    weights = gn.Run.open(copied).weights()
    noise = torch.randn(weights["fc2.weight"].shape, generator=torch.Generator().manual_seed(0))
    replace_weights(copied, {**weights, "fc2.weight": weights["fc2.weight"] + 0.3 * noise})
    return copied


def save_scans(folder):
    """Bright squares on dark noise, and bright columns: two classes and the background, with a void frame."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(20):
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.integers(2, 14, 2)
        mask[top : top + 14, left : left + 14] = 1
        mask[:, 28:31] = 2
        mask[0], mask[-1] = 255, 255
        pixels = random.integers(0, 60, (32, 32, 3)) + 150 * (mask[..., None] == 1) + 80 * (mask[..., None] == 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    (folder / "classes.txt").write_text("ground\nsquare\ncolumn\n")
    return folder


def tiny_segmentation(scans, out, **options):
    """Settings of the smallest segmentation of such scans, of which 16 are learned from and 4 are tested."""
    base = {"data": f"masks:{scans}", "model": "fcn8_small", "image_size": 32, "epochs": 3, "batch_size": 4}
    small = ("filters=4,4,4,4,6,6,8", "head=8", "dropout=0")
    return gn.TrainSettings(**{**base, "model_options": small, "precision": "fp32", "out": out, **options})


def save_bars(folder):
    """60 pictures of 12 by 12 pixels: a bar that lies in one class and stands in the other."""
    random = np.random.default_rng(0)
    for name in ("bars", "posts"):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            pixels = np.zeros((12, 12), dtype=np.uint8)
            at = random.integers(0, 9)
            pixels[at : at + 3] = 255
            Image.fromarray(pixels if name == "bars" else pixels.T).save(folder / name / f"{number}.png")
    return folder


def tiny_vae(bars, out, **options):
    """Settings of the smallest VAE of such bars."""
    base = {"data": f"folder:{bars}", "model": "vae_conv", "image_size": 12, "noise": "gaussian:0.3", "epochs": 2}
    small = ("filters=4,8", "hidden=8", "latent=3")
    more = {"model_options": small, "kl_warmup": 0.5, "batch_size": 16, "precision": "fp32", "augment": False}
    return gn.TrainSettings(**{**base, **more, "out": out, **options})


@contextlib.contextmanager
def stops_after_an_epoch(monkeypatch):
    """Within the block a training is stopped when its second epoch begins, as by Ctrl-C."""
    epochs = iter([loop.train_epoch])

    def once(*arguments):
        for epoch in epochs:
            return epoch(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", once)
        with pytest.raises(KeyboardInterrupt):
            yield

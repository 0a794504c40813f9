"""The Lightning callback in real trainings of a LightningModule of one's own."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from tiny_nets import TinyNet

lightning = pytest.importorskip("lightning.pytorch")

from glassnet.loggers.lightning import GlassnetCallback  # noqa: E402
from glassnet.loggers.pictures import map_strip  # noqa: E402

IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = TinyNet()

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, _):
        images, targets = batch
        return torch.nn.functional.cross_entropy(self(images), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, callback, logger, epochs=2):
    torch.manual_seed(0)
    module = Module()
    images = torch.rand(16, 3, 12, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=logger, callbacks=[callback] if callback else [],
            default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(TensorDataset(images, torch.arange(16) % 3), batch_size=8))
    return module


@pytest.fixture
def tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(tmp_path, name="logs")


def logged(logger):
    from tensorboard.backend.event_processing.event_accumulator import IMAGES as KIND
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(logger.log_dir, size_guidance={KIND: 0}).Reload().Images("glassnet/maps")


def test_maps_of_fixed_images_are_in_the_trainers_tensorboard_and_the_training_is_as_without(tmp_path, tensorboard):
    module = fit(tmp_path, GlassnetCallback(IMAGES, target=1), tensorboard)
    pictures = logged(tensorboard)
    assert [one.step for one in pictures] == [2, 4]  # two steps an epoch
    drawn = np.asarray(Image.open(io.BytesIO(pictures[-1].encoded_image_string)))
    assert np.array_equal(drawn, map_strip(module, IMAGES, target=1))
    alone = fit(tmp_path, None, False)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), alone.parameters(), strict=True))


def test_every_second_epoch(tmp_path, tensorboard):
    fit(tmp_path, GlassnetCallback(IMAGES, every=2), tensorboard, epochs=3)
    assert [one.step for one in logged(tensorboard)] == [4]


def test_without_a_logger_of_pictures_they_are_files(tmp_path, capsys):
    fit(tmp_path, GlassnetCallback(IMAGES), False)
    assert sorted(one.name for one in (tmp_path / "glassnet").iterdir()) == ["maps-0001.png", "maps-0002.png"]
    assert f"the maps are files in {tmp_path / 'glassnet'}" in capsys.readouterr().err


def test_maps_that_cannot_be_made_do_not_end_the_training(tmp_path, capsys):
    fit(tmp_path, GlassnetCallback(IMAGES, layers="conv9"), False)
    assert capsys.readouterr().err.count("warning: no more maps are logged (InputError: no layer 'conv9'") == 1
    assert not (tmp_path / "glassnet").exists()


def test_wandb_offline_gets_the_pictures(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from lightning.pytorch.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(project="t", save_dir=str(tmp_path), offline=True)
    fit(tmp_path, GlassnetCallback(IMAGES), logger)
    logger.experiment.finish()
    assert len(list(tmp_path.rglob("maps*.png"))) == 2

import numpy as np
import pytest
import torch
from PIL import Image

from glassnet.data import load_dataset
from glassnet.data.pictures import resize_dataset, resize_images


def random_images(size, *, n=2, channels=1):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, channels, size, size), dtype=np.uint8))


def resize_axis(values, size):
    """Weigh the input along the last axis with a triangle of half width max(1, input / output), pixel centres at .5."""
    scale = values.shape[-1] / size
    width = max(1.0, scale)
    rows = []
    for i in range(size):
        distance = [(j + 0.5 - (i + 0.5) * scale) / width for j in range(values.shape[-1])]
        weights = np.array([max(0.0, 1 - abs(d)) for d in distance])
        rows.append((values * weights).sum(-1) / weights.sum())
    return np.stack(rows, axis=-1)


def test_by_hand():
    halves = torch.tensor([[[[0, 0, 100, 100]] * 4]], dtype=torch.uint8).view(1, 1, 4, 4)
    # half width 2: the left pixel's weights over the row are 3, 3, 1 of 7 (centres .5, 1.5, 2.5 around 1, in eighths)
    assert resize_images(halves, 2).flatten().tolist() == [14, 86, 14, 86]
    assert resize_images(torch.full((1, 3, 9, 9), 77, dtype=torch.uint8), 5).unique().tolist() == [77]


@pytest.mark.parametrize(("size", "to"), [(28, 20), (28, 32), (9, 3), (7, 7)])
def test_slow_reference(size, to):
    images = random_images(size)
    across = resize_axis(images.numpy().astype(float), to)
    expected = resize_axis(across.swapaxes(2, 3), to).swapaxes(2, 3)
    assert np.abs(resize_images(images, to).numpy() - expected).max() <= 1.01  # it rounds after each axis


@pytest.mark.parametrize("to", [20, 40])
def test_pillow(to):
    images = random_images(28, channels=3)
    for image, resized in zip(images, resize_images(images, to), strict=True):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((to, to), Image.Resampling.BILINEAR)
        assert np.abs(resized.permute(1, 2, 0).numpy().astype(int) - np.asarray(pillow)).max() <= 1


def test_chunks_are_joined(monkeypatch):
    images = random_images(12, n=10)
    whole = resize_images(images, 8)
    monkeypatch.setattr("glassnet.data.pictures.CHUNK_IMAGES", 3)
    assert torch.equal(resize_images(images, 8), whole)


def test_the_own_size_changes_nothing():
    dataset = load_dataset("mnist-sample")
    assert resize_dataset(dataset, 28) is dataset
    assert resize_dataset(dataset, None) is dataset
    assert resize_dataset(dataset, 14).note.endswith("resized from 28 to 14 px")

"""The rows that the t-SNE benchmark embeds: real MNIST images, as pixels or as a network's features."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import glassnet as gn

COMPONENTS = 50
MOVED_AT_ONCE = 10_000


def make_rows(
    folder: Path, points: int, *, data_root: Path | None, run: Path | None, layer: str, seed: int
) -> tuple[Path, np.ndarray]:
    """Write rows of at most 50 columns once, as float32, and return their file and their classes.

    Up to 60,000 points are training images in an order drawn by seed. Above, further copies of them follow, each turned
    by at most 10 degrees, scaled by at most a tenth and shifted by at most two pixels. The principal components are
    those of the 60,000 training images at every size.
    """
    name = "pixels" if run is None else f"{run.resolve().name}-{layer}"
    rows_file, labels_file = (folder / f"{name}-{points}-{seed}-{kind}.npy" for kind in ("rows", "labels"))
    if not (rows_file.exists() and labels_file.exists()):
        train = gn.load_dataset("mnist", root=data_root).train
        describe = _describer(train.images, run, layer)
        rng = np.random.default_rng(seed)
        order = torch.from_numpy(rng.permutation(len(train.images)))
        rows, labels = [], []
        for start in range(0, points, len(order)):
            chosen = order[: points - start]
            for part in chosen.split(MOVED_AT_ONCE):
                images = train.images[part]
                rows.append(describe(_moved(images, rng) if start else images))
            labels.append(train.targets[chosen].numpy())
        np.save(rows_file, np.concatenate(rows))
        np.save(labels_file, np.concatenate(labels))
    return rows_file, np.load(labels_file)


def describe_rows(points: int, *, run: Path | None, layer: str) -> str:
    """Say in words what the rows are."""
    kind = "pixels" if run is None else f"features of {layer} in {run.resolve().name}"
    images = "MNIST training images" + (
        "; beyond 60,000 copies of them, turned, scaled and shifted a little" if points > 60_000 else ""
    )
    return f"{points:,} {images}: {kind}, at most {COMPONENTS} principal components"


def _describer(images: Tensor, run: Path | None, layer: str):
    if run is None:

        def features(batch: Tensor) -> np.ndarray:
            return batch.flatten(1).float().numpy() / 255
    else:
        network = gn.Run.open(run).model()

        def features(batch: Tensor) -> np.ndarray:
            return gn.extract_features(network, batch, layers=[layer])[layer]

    fitted = np.concatenate([features(part) for part in images.split(MOVED_AT_ONCE)]).astype(np.float64)
    mean = fitted.mean(axis=0)
    if fitted.shape[1] <= COMPONENTS:
        return lambda batch: (features(batch) - mean).astype(np.float32)
    covariance = (fitted - mean).T @ (fitted - mean) / len(fitted)
    axes = np.linalg.eigh(covariance).eigenvectors[:, : -COMPONENTS - 1 : -1]
    return lambda batch: ((features(batch) - mean) @ axes).astype(np.float32)


def _moved(images: Tensor, rng: np.random.Generator) -> Tensor:
    n, size = len(images), images.shape[-1]
    angle = torch.from_numpy(np.deg2rad(rng.uniform(-10, 10, n)))
    scale = torch.from_numpy(rng.uniform(0.9, 1.1, n))
    shift = torch.from_numpy(rng.uniform(-2, 2, (n, 2)) * 2 / size)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    where = F.affine_grid(torch.cat([matrix, shift[:, :, None]], 2).float(), list(images.shape), align_corners=False)
    return (F.grid_sample(images.float(), where, align_corners=False) + 0.5).clamp(0, 255).byte()

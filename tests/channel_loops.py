"""What channels respond to, worked out image by image, and the images that most tests ask about."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from tiny_nets import coloured

IMAGES, LABELS = coloured(23, height=16, width=16)
PIXELS = torch.from_numpy(IMAGES).float() / 255


def loops(maps, labels, top):
    """Work out all figures of maps (n, c, h, w) image by image."""
    n, c, _, width = maps.shape
    highest = np.array([[maps[i, j].max() for j in range(c)] for i in range(n)])
    best = np.array([sorted(range(n), key=lambda i: (-highest[i, j], i))[:top] for j in range(c)])
    places = np.array([[divmod(int(maps[i, j].argmax()), width) for i in best[j]] for j in range(c)])
    known = sorted(set(labels.tolist()))
    rectified = np.array([[np.maximum(maps[labels == k, j], 0).mean() for k in known] for j in range(c)])
    selective = []
    for one in rectified:
        most, rest = one.max(), np.delete(one, one.argmax()).mean()
        selective.append((most - rest) / (most + rest) if most + rest > 0 else np.nan)
    return {
        "top_images": best,
        "top_places": places,
        "top_activations": np.array([highest[best[j], j] for j in range(c)]),
        "active": (highest > 0).mean(axis=0),
        "means": maps.mean(axis=(0, 2, 3)),
        "class_means": np.array([[maps[labels == k, j].mean() for k in known] for j in range(c)]),
        "rectified_means": rectified,
        "selectivity": np.array(selective),
        "auroc": np.array([[roc_auc_score(labels == k, highest[:, j]) for k in known] for j in range(c)]),
    }


def check(found, maps, labels=LABELS, top=5):
    """Compare what `gn.channels` found of a layer with the loops."""
    for name, expected in loops(maps.double().numpy(), labels, top).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True), name


def given(model, layer, call=0, images=PIXELS):
    """Return what a layer gives for images in one of its calls."""
    kept = []
    with model.get_submodule(layer).register_forward_hook(lambda *args: kept.append(args[2].clone())), torch.no_grad():
        model.eval()(images)
    return kept[call]

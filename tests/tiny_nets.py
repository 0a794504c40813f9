"""Networks of a few weights, and images for them, for whoever looks at any network."""

import numpy as np
import torch
from torch import nn

from glassnet.subject import Subject

CLASSES = ("cat", "dog", "owl")


class TinyNet(nn.Module):
    """Two convolutions and two linear layers with normalisation and dropout between, for images of any size."""

    def __init__(self, classes=3, channels=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv1, self.bn = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4)
            self.relu, self.drop = nn.ReLU(), nn.Dropout(0.5)
            self.conv2, self.pool = nn.Conv2d(4, 8, 3, stride=2), nn.AdaptiveAvgPool2d(1)
            self.fc1, self.fc2 = nn.Linear(8, 6), nn.Linear(6, classes)
        self.passes = 0

    def forward(self, images):
        self.passes += len(images)
        maps = self.relu(self.conv2(self.drop(self.relu(self.bn(self.conv1(images))))))
        return self.fc2(self.relu(self.fc1(self.pool(maps).flatten(1))))


class ClassMeans(nn.Module):
    """Tells red, green and blue images apart, without a mistake."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3)[:, :, None, None].clone()
        self.relu = nn.ReLU()

    def forward(self, images):
        return 10 * self.relu(self.conv(images)).mean(dim=(2, 3))


def coloured(n, *, height=12, width=10, seed=0, channels=3):
    """Return uint8 images of noise in three colours by turns, and the class of each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (n, channels, height, width), dtype=np.uint8)
    labels = np.arange(n) % 3
    images[np.arange(n), labels % channels] += 100
    return images, labels


def make_subject(out=None, *, n=24, labelled=True, model=None, **options):
    """Return a subject of images in three colours."""
    images, labels = coloured(n)
    labels = labels if labelled else None
    return Subject(model or TinyNet(), images, labels=labels, classes=CLASSES, name="tiny", out=out, **options)


class LabelPixels(nn.Module):
    """Reads the probability of each of two labels from the first pixels of an image of 2 by 2."""

    def __init__(self):
        super().__init__()
        self.pick = nn.Linear(4, 2, bias=False)
        with torch.no_grad():
            self.pick.weight.copy_(torch.eye(2, 4))

    def forward(self, images):
        return torch.logit(self.pick(images.flatten(1)))


def two_labels():
    """Five images: label a is missed in 1 and 4 and invented in 2; b is missed in 3 and invented in 2."""
    images = np.zeros((5, 1, 2, 2), np.float32)
    images[:, 0, 0] = [[0.9, 0.2], [0.1, 0.7], [0.8, 0.6], [0.3, 0.4], [0.45, 0.1]]
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]])
    return Subject(LabelPixels().eval(), images, truth, ("a", "b"), name="pairs")

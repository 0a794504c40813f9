"""What the 2019 report measured, as data: its Figures 1 and 3, both on MNIST's 10,000 test images, one run each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """A row of the report: mean cross-entropy in nats and share of right answers, both on the test images."""

    loss: float
    accuracy: float


FIGURE_1 = {
    "alexnet_small": Reported(0.0921, 0.9797),
    "resnet_small": Reported(0.0798, 0.9812),
    "vgg_small": Reported(0.0144, 0.9955),
}
"""Simplified networks compared; by the name of ours that stands for each."""

FIGURE_3: dict[tuple[int, ...], Reported] = {
    (16, 16, 16, 16): Reported(0.0389, 0.9872),
    (16, 16, 32, 32): Reported(0.0272, 0.9914),
    (32, 32, 32, 32): Reported(0.0254, 0.9918),
    (32, 32, 64, 64): Reported(0.0173, 0.9943),
    (64, 64, 64, 64): Reported(0.0174, 0.9941),
}
"""Filters of the four convolutions of the report's own network, from few to many."""

OWN_NETWORK = "convnet"
"""The report's own network, its Figure 2; Figure 1 has no row for it."""
OWN_FILTERS = (32, 32, 64, 64)
"""The report's choice among Figure 3's settings: the highest accuracy and the lowest loss."""
FEATURE_LAYER = "fc1"
"""The layer whose outputs Figures 12 to 14 show: the first fully connected one."""

ATTRIBUTED = {"vgg16": "15", "vgg19": "16", "convnet": "17"}
"""The networks whose Grad-CAM the report shows, and its figure of each."""
MAINLY = 0.5
"""What "mainly on the track of the number" is taken to mean where the report gives no yardstick: more than half."""

OWN_SEGMENTER = "fcn8_small"
"""The report's own network of section 3, its Figure 4."""
PIXEL_ACCURACY = 0.78
"""Of that network, as section 3 gives it ("about")."""

CLAIMS = {
    "vgg-resnet": "VGG beats ResNet here",
    "vgg-alexnet": "VGG beats AlexNet here",
    "more-filters": "More filters help, up to 32,32,64,64",
    "overfitting": "Still more filters, 64,64,64,64, do worse",
    "filters": "More filters help until overfitting",
    "three-two": "Three components separate the classes where two do not",
    "three-better": "Three components separate the classes better than two",
    "tsne-pca": "t-SNE separates the classes better than PCA",
    "own-mainly": "The own network looks mainly at the stroke",
    "own-stroke": "The own network's maps lie more on the stroke than",
    "vgg-round": "are rounder than random ones of their size",
    "vgg-circle": "are more of a circle than the own network's",
    "leak": "The split that trains on some of its test images looks better than it is",
    "people-animals": "People are segmented better than animals",
    "people-things": "People are segmented better than things",
    "centre": "Objects near the centre are segmented better",
    "centre-explains": "Standing in the centre is why people are segmented better",
    "well": "performs well, better than any classical denoiser",
    "simple-fails": "fails, worse than the best classical denoiser",
    "vae-simple": "The VAE beats the fully connected network",
    "deep-vae": "The deeper VAE beats the VAE",
    "all-beat": "Each network is better than each baseline",
    "best-clear": "The best network is 1 dB or more above non-local means",
    "attention": "The own network looks at the stroke, VGG at a circle",
}
"""The claims that its figures are to show, in our words."""

"""A segmentation network that sees each image and its mirror image, and answers with the mean of both."""

from jaxtyping import Float
from torch import Tensor, nn


class Mirrored(nn.Module):
    """Wrap a network so that it returns the log of the mean of both probabilities, each pixel at its own place."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Return log((p(x) + flip(p(flip(x)))) / 2), with p the softmax over the classes and flip left to right."""
        plain = self.network(images).float().softmax(dim=1)
        turned = self.network(images.flip(-1)).float().softmax(dim=1).flip(-1)
        return ((plain + turned) / 2).clamp_min(1e-12).log()

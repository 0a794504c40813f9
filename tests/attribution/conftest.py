"""Networks that trip up attribution libraries: the report's own, and ReLUs in place, shared, and functional."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glassnet.models import create_model


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(channels * 9, 5))


def in_place() -> nn.Module:
    """Every convolution is followed by an in-place ReLU, as in VGG."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        _head(8),
    )


class SharedRelu(nn.Module):
    """One ReLU module runs twice; a dropout shows whether the model is evaluated."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2)
        self.relu = nn.ReLU(inplace)
        self.drop = nn.Dropout(0.5)
        self.head = _head(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.relu(self.conv2(self.relu(self.conv1(x))))))


class Functional(nn.Module):
    """No ReLU module at all: F.relu, torch.relu, Tensor.relu, and batch-norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
        self.bn, self.conv3 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)
        self.hidden, self.out = nn.Linear(8 * 4, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = torch.relu(self.bn(self.conv2(x)))
        x = self.conv3(x).relu()
        return self.out(F.relu(self.hidden(F.adaptive_avg_pool2d(x, 2).flatten(1))))


class Residual(nn.Module):
    """Branches that are added in place, and functional in-place ReLUs that no module announces."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.conv3 = nn.Conv2d(6, 6, 1)
        self.head = _head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x.relu_()
        y = self.conv2(x)
        y += self.conv3(x)
        return self.head(F.relu_(y))


class Tokens(nn.Module):
    """A small transformer: patches of 4 x 4 pixels, a class token before them or none, one block of attention."""

    def __init__(self, class_token: bool = True, width: int = 8) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 3, stride=3)
        self.first = nn.Parameter(torch.randn(1, int(class_token), width))
        self.position = nn.Parameter(torch.randn(1, 16 + int(class_token), width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixed, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.first.expand(len(x), -1, -1), x), dim=1) + self.position
        x = x + self.joined(F.scaled_dot_product_attention(*self.mixed(self.before(x)).chunk(3, dim=-1)))
        x = x + self.narrow(self.wide(self.after(x)).relu())
        return self.head(x.mean(dim=1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convnet": lambda: create_model("convnet", in_channels=3, num_classes=5, image_size=12),
    "in-place": in_place,
    "shared": SharedRelu,
    "functional": Functional,
    "residual": Residual,
    "shared-in-place": lambda: SharedRelu(inplace=True),
}


def without_relu(activation: Callable[[], nn.Module]) -> nn.Module:
    """Two convolutions with another activation than ReLU."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), activation(), nn.Conv2d(6, 8, 3, padding=1), activation(), _head(8)
    )


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: without_relu(nn.Tanh),
    "gelu": lambda: without_relu(nn.GELU),
    "resnet_small": lambda: create_model("resnet_small", in_channels=3, num_classes=5, image_size=12),
    "tokens": Tokens,
    "tokens-without-class": lambda: Tokens(class_token=False),
}


def build(name: str) -> nn.Module:
    """Build a network in training mode with random weights, biases and batch statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        model = {**NETWORKS, **OTHERS}[name]()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
    return model


@pytest.fixture(params=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> nn.Module:
    """Each of the networks in turn, in training mode; they take images of 3 x 12 x 12."""
    return build(request.param)


@pytest.fixture
def build_network() -> Callable[[str], nn.Module]:
    """A function that builds one of the networks by name."""
    return build


@pytest.fixture
def images() -> Tensor:
    """Seven images of 3 x 12 x 12 in [0, 1]."""
    return torch.rand(7, 3, 12, 12, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def signed() -> tuple[nn.Module, Tensor]:
    """y = sum V1 relu(x) + V2 relu(-x), small enough to be worked out by hand, and an image x of 2 x 2."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        model[3].weight.copy_(torch.tensor([[2.0, 5, -3, 7, 6, -1, 4, 8]]))
    return model, torch.tensor([[[[1.0, -2.0], [3.0, -4.0]]]])

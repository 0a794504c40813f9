import jaxtyping
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.models.fold import TOLERANCE, fold_batchnorm
from glassnet.models.inference import predict


@pytest.fixture(autouse=True)
def unchecked_shapes():
    """The tests' shape checks refuse the tracer's stand-ins; outside the tests there are none."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def lived_in(model):
    """Give batch-norms statistics and weights as training leaves them."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model.eval()


def norms(model):
    return [node.target for node in model.graph.nodes if node.op == "call_module" and "bn" in node.target]


def same(model, images):
    folded = fold_batchnorm(model, images[:1])
    with torch.no_grad():
        expected, found = model(images), folded(images)
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    return folded


class Net(nn.Module):
    """Named parts in a row, so that a test may call them `bn`."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        for part in self.children():
            x = part(x)
        return x


def test_by_hand():
    model = Net(conv=nn.Conv2d(1, 1, 1, bias=False), bn=nn.BatchNorm2d(1, eps=0)).eval()
    model.conv.weight.data.fill_(3.0)
    for tensor, value in zip(
        (model.bn.weight, model.bn.bias, model.bn.running_mean, model.bn.running_var), (5.0, 7.0, 2.0, 4.0), strict=True
    ):
        tensor.data.fill_(value)
    folded = fold_batchnorm(model, torch.rand(1, 1, 2, 2))
    # (3 x - 2) / sqrt(4) * 5 + 7 = 7.5 x + 2
    assert folded.conv.weight.item() == 7.5
    assert folded.conv.bias.item() == 2.0
    assert model.conv.weight.item() == 3.0
    assert model.conv.bias is None


@pytest.mark.parametrize("name", ["convnet", "alexnet_small", "resnet_small", "vgg_small", "allconv"])
def test_our_models_lose_every_batch_norm_and_keep_their_outputs(name):
    torch.manual_seed(0)
    model = lived_in(gn.create_model(name, in_channels=1, num_classes=10, image_size=28))
    assert norms(same(model, torch.rand(4, 1, 28, 28))) == []


def test_a_negative_scale_behind_a_pool_is_left():
    def create(**pool):
        parts = {"conv": nn.Conv2d(1, 3, 3), **pool, "bn": nn.BatchNorm2d(3)}
        return lived_in(Net(**parts, conv2=nn.Conv2d(3, 2, 1), bn2=nn.BatchNorm2d(2)))

    images = torch.randn(4, 1, 8, 8)
    assert norms(same(create(pool=nn.MaxPool2d(2)), images)) == []
    for model, left in ((create(pool=nn.MaxPool2d(2)), ["bn"]), (create(), [])):
        model.bn.weight.data[1] *= -1
        assert norms(same(model, images)) == left


def test_linear_grouped_and_one_dimensional_layers():
    linear = Net(flat=nn.Flatten(), fc=nn.Linear(48, 5), bn=nn.BatchNorm1d(5))
    grouped = Net(conv=nn.Conv2d(3, 6, 3, groups=3, stride=2), bn=nn.BatchNorm2d(6, affine=False), act=nn.ReLU())
    rows = Net(flat=nn.Flatten(2), conv=nn.Conv1d(3, 4, 3), bn=nn.BatchNorm1d(4))
    for model in (linear, grouped, rows):
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        assert norms(same(model.eval(), torch.randn(3, 3, 4, 4))) == []


def test_what_others_also_use_is_left():
    class Branches(Net):
        def forward(self, x):
            y = self.conv(x)
            return self.bn2(self.conv2(y + self.bn(y)))

    class Twice(Net):
        def forward(self, x):
            return self.bn2(self.conv2(self.bn(self.conv(self.conv(x)))))

    for kind in (Branches, Twice):
        parts = {"conv": nn.Conv2d(2, 2, 1), "bn": nn.BatchNorm2d(2)}
        model = lived_in(kind(**parts, conv2=nn.Conv2d(2, 3, 1), bn2=nn.BatchNorm2d(3)))
        assert norms(same(model, torch.rand(2, 2, 3, 3))) == ["bn"]


def test_what_cannot_be_traced_is_left():
    class Decides(Net):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    class Fixed(Net):
        def forward(self, x):
            return super().forward(x) * torch.rand(())  # the same number never again

    for kind in (Decides, Fixed):
        model = lived_in(kind(conv=nn.Conv2d(1, 2, 1), bn=nn.BatchNorm2d(2)))
        assert fold_batchnorm(model, torch.rand(1, 1, 2, 2)) is model


def test_batch_norm_over_tokens_is_found_out():
    # (batch, 4 tokens, 4 units): the batch-norm scales tokens, the linear map gives units
    model = lived_in(Net(flat=nn.Flatten(2), fc=nn.Linear(9, 4), bn=nn.BatchNorm1d(4)))
    assert fold_batchnorm(model, torch.rand(2, 4, 3, 3)) is model


def test_kept_layers_keep_their_own_outputs():
    model = lived_in(gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28))
    images = torch.rand(3, 1, 28, 28)
    folded = fold_batchnorm(model, images[:1], keep=["conv2", "bn3", "fc1"])
    assert norms(folded) == ["bn2", "bn3", "bn5"]
    for name in ("conv2", "bn3", "fc1"):
        assert folded.get_submodule(name) is model.get_submodule(name)
    features = gn.extract_features(model, images, ["conv2", "bn3", "fc1"], pool="none")
    again = gn.extract_features(folded, images, ["conv2", "bn3", "fc1"], pool="none")
    for name, rows in features.items():
        assert abs(again[name] - rows).max() <= TOLERANCE * abs(rows).max()
    assert fold_batchnorm(model, images[:1], keep=["conv9"]) is model


def test_a_hook_would_be_lost_so_the_model_is_left():
    model = lived_in(gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28))
    handle = model.bn1.register_forward_hook(lambda *_: None)
    assert fold_batchnorm(model, torch.rand(1, 1, 28, 28)) is model
    handle.remove()
    assert fold_batchnorm(model, torch.rand(1, 1, 28, 28)) is not model


def test_the_model_is_left_as_it_was_found():
    model = lived_in(gn.create_model("resnet_small", in_channels=1, num_classes=10, image_size=28)).train()
    model.stage1.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    predict(model, torch.rand(3, 1, 28, 28))
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_predict_with_and_without_folding(precision):
    model = lived_in(gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28))
    images = torch.rand(8, 1, 28, 28)
    exact = predict(model, images, fold=False)
    found = predict(model, images, precision=precision, batch_size=3)
    share = (found - exact).abs().max() / exact.abs().max()
    assert share <= (TOLERANCE if precision == "fp32" else 0.03)


def test_channels_last_weights_stay_channels_last():
    model = lived_in(gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28))
    model = model.to(memory_format=torch.channels_last)
    folded = fold_batchnorm(model, torch.rand(1, 1, 28, 28))
    assert folded.conv3.weight.is_contiguous(memory_format=torch.channels_last)

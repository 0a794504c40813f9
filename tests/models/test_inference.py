import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError, WorkError
from glassnet.models.inference import outputs, predict, translate_torch_errors


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("a\nb"), InputError, r"Conv2d fails on images of shape \(2, 1, 4, 4\): a\.$"),
        (AssertionError(), InputError, "AssertionError"),
        (TypeError("what?"), InputError, "what"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            WorkError,
            "not enough memory for 2 images",
        ),
        (InputError("as it is"), InputError, "^as it is$"),
        (
            KeyError("text"),
            InputError,
            "no 'text'; if it takes more than images, call it through forward=lambda model, images: ",
        ),
        (
            AttributeError("'NoneType' has no 'shape'"),
            InputError,
            "has no 'shape'; if it takes more than images, call it",
        ),
        (ZeroDivisionError("by zero"), InputError, r"shape \(2, 1, 4, 4\): by zero\.$"),
        (
            RuntimeError("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad()."),
            InputError,
            r"^Conv2d uses torch.utils.checkpoint with use_reentrant=True, .*; pass use_reentrant=False there",
        ),
    ],
)
def test_failures_become_one_sentence(error, kind, message):
    with (
        pytest.raises(kind, match=message) as caught,
        translate_torch_errors(nn.Conv2d(3, 4, 3), torch.zeros(2, 1, 4, 4)),
    ):
        raise error
    assert caught.value is error or caught.value.__cause__ is error


@pytest.mark.parametrize(("channels", "text"), [(3, "3 channels"), (1, "1 channel")])
def test_a_wrong_number_of_channels_is_said(channels, text):
    model, images = nn.Sequential(nn.Conv2d(channels, 4, 3)), torch.zeros(2, 2, 4, 4)
    message = rf"^images has shape \(n, 2, 4, 4\), but Sequential takes images of {text}\.$"
    with pytest.raises(InputError, match=message), translate_torch_errors(model, images):
        model(images)


def test_a_wrong_number_of_channels_inside_the_model_is_not_blamed_on_the_images():
    model, images = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(3, 4, 1)), torch.zeros(2, 2, 4, 4)
    message = r"Sequential fails on images of shape .* Given groups=1, weight of size"
    with pytest.raises(InputError, match=message), translate_torch_errors(model, images):
        model(images)


def test_predict_leaves_the_model_as_it_was_found():
    model = gn.create_model("resnet_small", in_channels=1, num_classes=10, image_size=28).train()
    model.stage1.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    predict(model, torch.rand(3, 1, 28, 28))
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.03)])
def test_predict_gives_float32_near_the_models_own_outputs(precision, tolerance):
    torch.manual_seed(0)
    model = gn.create_model("convnet", in_channels=1, num_classes=10, image_size=28).eval()
    images = torch.rand(8, 1, 28, 28)
    with torch.no_grad():
        exact = model(images)
    logits = predict(model, images, precision=precision, batch_size=3)
    assert logits.dtype == torch.float32
    assert (logits - exact).abs().max() <= tolerance * exact.abs().max()


def test_predict_refuses_what_the_model_cannot_take_in_one_sentence():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(InputError, match=r"^Sequential fails on images of shape \(2, 3, 8, 8\): mat1 and mat2 shapes"):
        predict(model, torch.rand(2, 3, 8, 8))


def test_a_model_is_as_it_was_found_between_the_batches_of_outputs():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(4, 2)).train()
    modes = [model.training for _ in outputs(model, torch.rand(4, 1, 2, 2).split(2))]
    assert modes == [True, True]

import pytest
import torch
from torch import nn

from glassnet.errors import InputError, WorkError
from glassnet.models.images import translate_torch_errors


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
        (KeyError("a bug"), KeyError, "a bug"),
    ],
)
def test_failures_become_one_sentence(error, kind, message):
    with (
        pytest.raises(kind, match=message) as caught,
        translate_torch_errors(nn.Conv2d(3, 4, 3), torch.zeros(2, 1, 4, 4)),
    ):
        raise error
    assert caught.value is error or caught.value.__cause__ is error


@pytest.mark.parametrize(("channels", "said"), [(3, "3 channels"), (1, "1 channel")])
def test_a_wrong_number_of_channels_is_said(channels, said):
    model, images = nn.Sequential(nn.Conv2d(channels, 4, 3)), torch.zeros(2, 2, 4, 4)
    message = rf"^images has shape \(n, 2, 4, 4\), but Sequential takes images of {said}\.$"
    with pytest.raises(InputError, match=message), translate_torch_errors(model, images):
        model(images)


def test_a_wrong_number_of_channels_inside_the_model_is_not_blamed_on_the_images():
    model, images = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(3, 4, 1)), torch.zeros(2, 2, 4, 4)
    message = r"Sequential fails on images of shape .* Given groups=1, weight of size"
    with pytest.raises(InputError, match=message), translate_torch_errors(model, images):
        model(images)

import numpy as np
import pytest
import torch
from torch import nn

from glassnet.errors import InputError, WorkError
from glassnet.models.images import check_images, device_of, image_batches, translate_torch_errors


def test_chunks_are_float_copies_in_the_type_of_the_weights():
    images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 1, 2, 2)
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        chunks = list(image_batches(nn.Linear(1, 1, dtype=kind), images, 2))
        assert [(start, len(chunk)) for start, chunk in chunks] == [(0, 2), (2, 2), (4, 1)]
        joined = torch.cat([chunk for _, chunk in chunks])
        assert joined.dtype == kind
        assert torch.equal(joined, torch.from_numpy(images).to(kind) / 255)


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 2, 2), np.zeros((2, 1, 2, 2), np.float32)])
def test_chunks_never_share_the_callers_memory(images):
    for _, chunk in image_batches(nn.Flatten(), images, 2):
        chunk += 1
    assert images.sum() == 0


def test_float_images_keep_their_values():
    images = torch.tensor([-2.0, 300.0]).view(2, 1, 1, 1)
    assert torch.equal(next(image_batches(nn.Flatten(), images, 2))[1], images)


def test_not_finite_pixels_are_said_with_the_images_number():
    images = torch.zeros(5, 1, 2, 2)
    images[3, 0, 1, 1] = torch.inf
    with pytest.raises(InputError, match="image 3 has NaN or infinite pixels"):
        list(image_batches(nn.Flatten(), images, 2))


def test_the_device_is_the_first_weights():
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
    assert device_of(nn.Flatten()).type == "cpu"


def test_images_of_every_kind_pass():
    for images in (torch.zeros(1, 3, 2, 2), np.zeros((1, 1, 2, 2), np.uint8), torch.zeros(1, 1, 1, 1).half()):
        check_images(images, 1)


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

import numpy as np
import pytest
import torch
from jaxtyping import config
from torch import nn

from glassnet.errors import InputError
from glassnet.images import check_images, device_of, first_weight, image_batches, to_float
from glassnet.models.structure import check_weights


@pytest.fixture
def unchecked():
    """The library as users run it, without the tests' type checks."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def test_grey_values_become_shares():
    assert to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_is_that_of_the_first_layers_weights_not_of_what_stands_before_them(dtype):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2).double())
    network.register_parameter("scale", nn.Parameter(torch.ones((), dtype=dtype)))
    network.register_parameter("token", nn.Parameter(torch.ones(1, 2, dtype=dtype)))
    assert next(network.parameters()).dtype == dtype
    assert first_weight(network) is network[0].weight
    assert next(image_batches(network, torch.rand(1, 3, 4, 4, dtype=torch.float64), 1))[1].dtype == torch.float32
    del network[0], network[0]
    assert first_weight(network) is network.token


def test_images_of_every_kind_pass():
    for images in (torch.zeros(1, 3, 2, 2), np.zeros((1, 1, 2, 2), np.uint8), torch.zeros(1, 1, 1, 1).half()):
        check_images(images, 1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "model is of type NoneType, expected a torch.nn.Module"),
        (torch.relu, "model is of type builtin_function_or_method, expected"),
        (torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), "expected a .*; for an exported program, pass"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_module_is_refused(model, message):
    with pytest.raises(InputError, match=message):
        first_weight(model)
    with pytest.raises(InputError, match=message):
        check_weights(model)


def test_sparse_images_are_refused():
    with pytest.raises(InputError, match="images is a sparse tensor, expected a dense one"):
        check_images(torch.zeros(1, 1, 2, 2).to_sparse(), 1)

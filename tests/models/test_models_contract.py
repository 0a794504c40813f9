"""What every classifier in MODELS must do, whatever its architecture."""

from dataclasses import asdict

import pytest
import torch

import glassnet as gn
from glassnet.figures import architecture
from glassnet.models import MODELS, models_giving
from glassnet.models.inference import predict
from glassnet.models.layers import select_layers

CHANNELS, CLASSES, SIZE = 3, 7, 32


def create(name, *, channels=CHANNELS, size=SIZE):
    return gn.create_model(name, in_channels=channels, num_classes=CLASSES, image_size=size)


# A probe is another model's features and a map; its tests are those of its fitting.
NAMES = [name for name in models_giving("scores") if not getattr(MODELS[name], "fits_at_once", False)]


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    """A model whose batch-norms have seen some images."""
    torch.manual_seed(0)
    model = create(name)
    with torch.no_grad():
        model(torch.rand(4, CHANNELS, SIZE, SIZE))
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (4, 45), (2, 64), (3, 224)])
def test_any_channels_and_sizes(name, channels, size):
    with torch.device("meta"):
        model = create(name, channels=channels, size=size)
        assert model(torch.empty(2, channels, size, size)).shape == (2, CLASSES)


def test_the_documentation_begins_with_a_sentence(name):
    assert MODELS[name].__doc__.splitlines()[0].endswith(".")


def test_the_layer_table_counts_every_parameter(name):
    with torch.device("meta"):
        model = create(name)
    rows = gn.layer_table(model, (1, CHANNELS, SIZE, SIZE))
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert rows[-1].output == (CLASSES,)
    if name not in ("vgg16", "vgg16_bn", "vgg19"):  # drawn like vgg19_bn
        assert architecture([asdict(row) for row in rows], title=name).axes


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("vgg1", "efficientnet"))])
def test_small_models_have_less_than_three_million_parameters(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in create(name, channels=1).parameters()) < 3_000_000


def test_finite_outputs_that_depend_on_the_image_alone(model, images):
    with torch.no_grad():
        together, alone = model(images), model(images[1:2])
    assert together.isfinite().all()
    assert together.std(dim=0).max() > 0
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_and_the_image(model, images):
    images = images.clone().requires_grad_()
    score = torch.nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2]))
    gradients = torch.autograd.grad(score, [images, *model.parameters()], allow_unused=True)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().max() > 0


def test_the_state_is_all_there_is(name, model, images):
    with torch.device("meta"):
        twin = create(name)
    twin.load_state_dict(model.state_dict(), assign=True)
    assert all(value.isfinite().all() for value in twin.state_dict().values())
    with torch.no_grad():
        assert torch.equal(twin.eval()(images), model(images))


def test_normalization_is_part_of_the_model(model, images):
    with torch.no_grad():
        plain = model(images)
        model.normalize.mean.fill_(0.25)
        model.normalize.std.fill_(0.5)
        shifted = model(images * 0.5 + 0.25)
        model.normalize.mean.fill_(0)
        model.normalize.std.fill_(1)
    torch.testing.assert_close(shifted, plain, rtol=1e-3, atol=1e-4)


def test_the_first_fully_connected_layer_gives_features(model, images):
    names = select_layers(model, "linear")
    features = gn.extract_features(model, images, [*select_layers(model, "conv")[:1], names[0]])
    assert all(len(rows) == len(images) and rows.std() > 0 for rows in features.values())
    assert names[0] == ("classifier.0" if hasattr(model, "classifier") else "fc1")


def test_predict_gives_the_models_outputs(model, images):
    with torch.no_grad():
        expected = model(images)
    torch.testing.assert_close(predict(model, images, batch_size=2), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [0, 1])
def test_too_small_images_are_refused(name, size):
    with pytest.raises(gn.errors.InputError, match=f"image_size is {size}, expected"):
        create(name, size=size)

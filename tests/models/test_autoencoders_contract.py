"""What every network with a code and a decoder must do, whatever its architecture."""

import math

import pytest
import torch

import glassnet as gn
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.models import MODELS, models_giving
from glassnet.models.autoencoder import Autoencoder, Posterior, draw
from glassnet.models.features import extract_features
from glassnet.settings import TrainSettings
from glassnet.training.state import new_state

SIZE = 8


def create(name, *, channels=3, size=SIZE, **options):
    return gn.create_model(name, in_channels=channels, image_size=size, **options)


@pytest.fixture(
    scope="module", params=[name for name in models_giving("image") if issubclass(MODELS[name], Autoencoder)]
)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(name, images):
    torch.manual_seed(0)
    model = create(name, latent=8 if name != "vae_deep" else 2)
    with torch.no_grad():
        model(images)
    return model.eval()


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (4, 12), (2, 64)])
def test_any_channels_and_any_size_divisible_by_four(name, channels, size):
    with torch.device("meta"):
        output = create(name, channels=channels, size=size)(torch.empty(2, channels, size, size))
        assert output.logits.shape == (2, channels, size, size)


@pytest.mark.parametrize(("spatial", "shape"), [(False, (5,)), (True, (5, 2, 2))])
def test_the_code_is_a_vector_or_a_map(name, images, spatial, shape):
    options = {} if name == "autoencoder_fc" else {"spatial": spatial}
    if name == "autoencoder_fc" and spatial:
        pytest.skip("a fully connected layer has no map")
    model = create(name, latent=5, **options).eval()
    posterior = model.encode(images)
    assert model.latent_shape == posterior.mean.shape[1:] == shape
    assert model.decode(posterior.mean).shape == images.shape


def test_evaluation_gives_the_code_of_the_mean(model, images):
    with torch.no_grad():
        output, again, alone = model(images), model(images), model(images[1:2])
        torch.testing.assert_close(output.logits, model.decode(model.encode(images).mean))
    assert torch.equal(output.logits, again.logits)
    torch.testing.assert_close(alone.images, output.images[1:2], rtol=1e-4, atol=1e-5)
    assert ((output.images > 0) & (output.images < 1)).all()
    torch.testing.assert_close(output.images, output.logits.sigmoid())


def test_training_draws_a_code_anew_where_it_is_variational(name, images):
    torch.manual_seed(0)
    model = create(name, latent=2)
    first, second = model(images), model(images)
    assert (first.log_variance is None) == (name == "autoencoder_fc")
    assert torch.equal(first.logits, second.logits) == (name == "autoencoder_fc")


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_gradients_reach_every_parameter_and_the_image(name, images, likelihood):
    torch.manual_seed(0)
    model = create(name, latent=4, likelihood=likelihood)
    images = images.clone().requires_grad_()
    output = model(images)
    score = output.logits.square().mean() + output.mean.mean()
    score = score + (0 if output.log_variance is None else output.log_variance.square().mean())
    score = score + (0 if output.log_deviation is None else output.log_deviation.sum())
    gradients = torch.autograd.grad(score, [images, *model.parameters()], allow_unused=True)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert (output.log_deviation is None) == (likelihood == "bernoulli")


def test_weight_decay_leaves_the_deviation_of_the_likelihood_alone(name):
    model = create(name, latent=4, likelihood="gaussian")
    groups = new_state(model, resolve(TrainSettings(weight_decay=0.05)), steps=10).optimizer.param_groups
    (decay,) = [group["weight_decay"] for group in groups if any(p is model.log_deviation for p in group["params"])]
    assert decay == 0


def test_the_state_is_all_there_is(name, model, images):
    with torch.device("meta"):
        twin = create(name, latent=8 if name != "vae_deep" else 2)
    twin.load_state_dict(model.state_dict(), assign=True)
    with torch.no_grad():
        assert torch.equal(twin.eval()(images).logits, model(images).logits)


def test_normalization_is_part_of_the_model(model, images):
    with torch.no_grad():
        plain = model(images).logits
        model.normalize.mean.fill_(0.25)
        model.normalize.std.fill_(0.5)
        shifted = model(images * 0.5 + 0.25).logits
        model.normalize.mean.fill_(0)
        model.normalize.std.fill_(1)
    torch.testing.assert_close(shifted, plain, rtol=1e-3, atol=1e-4)


def test_the_layer_table_and_the_code_as_features(name, model, images):
    rows = gn.layer_table(model, (1, 3, SIZE, SIZE))
    assert rows[-1].output == (3, SIZE, SIZE)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    features = extract_features(model, images, ["mean"])["mean"]
    assert features.shape[0] == len(images)
    assert features.std() > 0
    assert MODELS[name].__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize("size", [0, 2, 4, 6, 30])
def test_a_size_that_no_network_takes(name, size):
    with pytest.raises(InputError, match=rf"image_size is {size}, expected"):
        create(name, size=size)


def test_a_code_larger_than_the_image(name):
    latent = 193 if name != "vae_deep" else 49
    with pytest.raises(
        InputError, match=r"the latent code has 19\d dimensions \(.*\) for images of 192 values, expected 1 to 192"
    ):
        create(name, latent=latent)
    with pytest.raises(InputError, match="the latent code has 0 dimensions"):
        create(name, latent=0)


def test_a_hidden_layer_that_is_none():
    with pytest.raises(InputError, match=r"hidden is \(0,\), expected 1 positive numbers, as in hidden=256"):
        create("vae_conv", latent=2, hidden=0)
    with pytest.raises(InputError, match="hidden is 8, but a spatial code has no hidden layer; leave it out"):
        create("vae_deep", latent=2, hidden=8)


def test_an_unknown_likelihood(name):
    with pytest.raises(InputError, match=r"no likelihood 'gausian'. Did you mean gaussian"):
        create(name, latent=2, likelihood="gausian")


def test_a_draw_by_hand():
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(9)]])
    eps = torch.randn(1, 2, generator=torch.Generator().manual_seed(7))
    drawn = draw(Posterior(mean, log_variance), torch.Generator().manual_seed(7))
    torch.testing.assert_close(drawn, torch.tensor([[1 + eps[0, 0], -2 + 3 * eps[0, 1]]]))
    assert torch.equal(draw(Posterior(mean, None)), mean)


def test_the_reparameterised_gradient_equals_the_exact_one():
    # of E[(z - 3)²] with z ~ N(m, s²): d/dm = 2 (m - 3), d/dlog s² = s², over many draws
    mean = torch.full((200_000, 1), 0.5, requires_grad=True)
    log_variance = torch.full((200_000, 1), math.log(0.64), requires_grad=True)
    drawn = draw(Posterior(mean, log_variance), torch.Generator().manual_seed(0))
    to_mean, to_variance = torch.autograd.grad((drawn - 3).square().sum(), [mean, log_variance])
    assert to_mean.mean().item() == pytest.approx(2 * (0.5 - 3), abs=0.02)
    assert to_variance.mean().item() == pytest.approx(0.64, abs=0.02)
    # and draw by draw it is 2 (z - 3) times dz/dm = 1 and dz/dlog s² = (z - m) / 2
    torch.testing.assert_close(to_mean, 2 * (drawn - 3).detach())
    torch.testing.assert_close(to_variance, ((drawn - 3) * (drawn - mean)).detach())

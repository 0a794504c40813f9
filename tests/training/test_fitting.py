"""The linear probe: scikit-learn's logistic regression on the same features, its decay chosen on validation images."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import glassnet as gn
from glassnet.data.split import training_parts
from glassnet.errors import InputError
from glassnet.experiment import resolve
from glassnet.models import create_model
from glassnet.models import probe as probing
from glassnet.training import fitting
from glassnet.training.fitting import STRENGTHS, fit_head
from tiny_runs import tiny

OPTIONS = ("of=convnet", "weights=", "layer=pool1")


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    settings = tiny(tmp_path_factory.mktemp("probe") / "run", data="mnist-sample", model="probe", epochs=None)
    return gn.train(gn.TrainSettings(**{**vars(settings), "model_options": OPTIONS}))


def test_it_is_fitted_in_one_epoch_and_no_weight_of_the_network_changes(probed):
    assert probed.settings.epochs == len(probed.history) == 1
    assert probed.history[0]["train_strength"] in STRENGTHS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = create_model(
            "probe", in_channels=1, num_classes=10, image_size=28, of="convnet", weights="", layer="pool1"
        )
    for name, value in fresh.network.state_dict().items():
        if not name.startswith("normalize."):
            assert torch.equal(value, probed.model().state_dict()[f"network.{name}"].cpu()), name
    assert probed.metrics["test_accuracy"] > 0.5  # of random features; chance is 0.1


def test_settings_of_steps_are_of_no_use_to_it_which_is_said(capsys):
    settings = gn.TrainSettings(
        data="mnist-sample", model="probe", model_options=OPTIONS, epochs=5, weight_averaging=0.9, layer_decay=0.5
    )
    resolved = resolve(settings)
    assert (resolved.epochs, resolved.weight_averaging, resolved.layer_decay) == (1, 0, 1)
    sentence = (
        "probe is fitted in one go, not step by step, so --epochs, --weight-averaging, --layer-decay have no effect."
    )
    assert sentence in capsys.readouterr().err


def test_the_scores_of_the_networks_own_classes_are_no_layer_of_it():
    probe = create_model("probe", in_channels=1, num_classes=3, image_size=32, of="convnet", weights="")
    convnet = create_model("convnet", in_channels=1, num_classes=2, image_size=32)
    linear = [name for name, module in probe.named_modules() if isinstance(module, torch.nn.Linear)]
    theirs = [name for name, module in convnet.named_modules() if isinstance(module, torch.nn.Linear)]
    assert linear == [*(f"network.{name}" for name in theirs[:-1]), "head"]
    width = convnet.get_submodule(theirs[-1]).in_features
    assert probe.features(torch.rand(2, 1, 32, 32)).shape == (2, width)


class Bypassed(torch.nn.Module):
    """A network that uses a linear layer's weight without running the layer."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Linear(2, 2)

    def forward(self, images):
        return images.mean(dim=(2, 3))


def test_a_layer_that_does_not_run_is_refused(monkeypatch):
    monkeypatch.setattr(probing, "_network", lambda *_args, **_sizes: (Bypassed(), None))
    with pytest.raises(InputError, match="the probed network does not run its layer unused by itself; name another"):
        create_model("probe", in_channels=1, num_classes=3, image_size=32)


def test_of_random_features_it_is_said(capsys):
    create_model("probe", in_channels=1, num_classes=3, image_size=32, of="convnet", weights="")
    assert "convnet has random weights, so the probe measures" in capsys.readouterr().err


def test_the_map_is_that_of_logistic_regression(probed):
    model, dataset = probed.model(), probed.dataset()
    training, _ = training_parts(dataset, 0.1, seed=0)
    places = torch.arange(len(training))
    images, targets = training.take(places)
    with torch.no_grad():
        rows = model.features(images.float() / 255).numpy().astype(np.float64)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    strength = probed.history[0]["train_strength"]
    # scikit-learn minimises C times the summed loss plus the same penalty.
    oracle = LogisticRegression(C=1 / (strength * len(rows)), max_iter=2000, tol=1e-6).fit(scaled, targets.numpy())
    with torch.no_grad():
        ours = model(images.float() / 255).softmax(1).numpy()
    assert np.abs(ours - oracle.predict_proba(scaled)).max() < 0.02


def test_the_strength_is_that_of_least_validation_loss(probed, monkeypatch):
    model, dataset = probed.model(), probed.dataset()
    training, validation = training_parts(dataset, 0.1, seed=0)

    def objective(output, targets, done):
        return torch.nn.functional.cross_entropy(output, targets), {}

    def fitted(strength):
        monkeypatch.setattr(fitting, "STRENGTHS", (strength,))
        fit_head(model, training, validation, objective, device=torch.device("cpu"), precision="fp32")
        images, targets = validation.take(torch.arange(len(validation)))
        with torch.no_grad():
            return float(objective(model(images.float() / 255), targets, 1)[0])

    losses = {strength: fitted(strength) for strength in STRENGTHS}
    assert min(losses, key=losses.get) == probed.history[0]["train_strength"]


def test_few_held_out_images_say_little_of_the_strength(probed, capsys):
    training, validation = training_parts(probed.dataset(), 0.1, seed=0)

    def fit(count):
        few = validation.subset(torch.arange(count))
        some = training.subset(torch.arange(64))
        loss = torch.nn.functional.cross_entropy
        fit_head(probed.model(), some, few, lambda output, targets, _done: (loss(output, targets), {}), **where)
        return capsys.readouterr().err

    where = {"device": torch.device("cpu"), "precision": "fp32"}
    assert "held-out images" not in fit(20)
    assert "the probe's penalty is chosen on 3 held-out images, too few for a reliable choice; give" in fit(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "fcn8_small"}, "fcn8_small has no linear layer whose input a probe could use; name a layer"),
        ({"of": "convnet", "layer": "conv9"}, "no layer 'conv9'"),
        ({"of": "probe"}, "of is probe, expected the network to be probed"),
        ({"of": "nosuch"}, "no model 'nosuch'"),
    ],
)
def test_networks_and_layers_that_there_are_not_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        create_model("probe", in_channels=1, num_classes=3, image_size=32, **{"weights": "", **options})

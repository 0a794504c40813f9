"""Networks of another's making, from the command line: analysed without a training, trained, and opened again."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from command_line import answer, call, refused
from glassnet import experiment
from glassnet.building import low_res_size
from glassnet.console import _printed
from glassnet.errors import InputError
from glassnet.models.references.base import digest_of
from glassnet.run.store import Store
from glassnet.training.transfer import parameter_groups
from tiny_references import NET, Small, write_exported, write_hub_folder

pytestmark = pytest.mark.usefixtures("blank_figures")

DATA = ["--data", "folder:photos"]
NETWORKS = {"net.py:make": 16, "hf:vit": 16, "hf:convnext": 32, "net.pt2": 16}
"""And the size in which each reads images."""


class Stopping:
    """A user who stops a training after its first epoch."""

    def on_start(self, info):
        pass

    def on_epoch(self, record):
        raise KeyboardInterrupt

    def on_end(self, metrics):
        pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with all networks, and eight photographs in two class folders."""
    place = tmp_path_factory.mktemp("references")
    random = np.random.default_rng(0)
    for level, name in ((0, "cat"), (100, "dog")):
        (place / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(level, level + 150, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{name}{number}.png")
    (place / "net.py").write_text(NET)
    write_exported(place / "net.pt2")
    for kind in ("vit", "convnext"):
        write_hub_folder(place / kind, kind)
    return place


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A folder of the test's own with links to all of it; commands run in it, offline."""
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_is_evaluated_embedded_explained_and_reported(capsys, place, network, request):
    if network not in ("net.py:make", "hf:vit"):  # of the others a report shows what the commands here have made
        request.getfixturevalue("short_reports")
    evaluation = answer(capsys, "eval", network, *DATA)
    # transformers' networks name their classes "dog" and "tabby cat, Cat", in this order.
    names = ["dog", "tabby cat, Cat"] if network.startswith("hf:") else ["cat", "dog"]
    assert [row["name"] for row in evaluation["per_class"]] == names
    assert [row["images"] for row in evaluation["per_class"]] == [4, 4]
    folder = evaluation["run"]
    explained = answer(capsys, "explain", network, *DATA, "--images", "first:2", "--methods", "gradcam")["explained"]
    assert explained["groups"][0]["facts"][0]["label"] == names[names[0] == "dog"]
    store = Store(place / folder)
    (entry,) = store.entries("attribution")
    assert entry.arrays["groups/0/images"].shape == (2, 3, NETWORKS[network], NETWORKS[network])
    about = entry.document["subject"]["reference"]
    assert about["text"].endswith(network.removeprefix("hf:"))
    source = {"net.py:make": "net.py", "net.pt2": "net.pt2"}.get(network, f"{network.removeprefix('hf:')}/config.json")
    assert network.startswith("hf:") or about["source"] == digest_of([place / source])
    words = ["features", network, *DATA, "--methods", "pca", "--dims", 2]
    (picture,) = answer(capsys, *words)["pictures"]
    assert store.entry(picture["analysis"]).arrays["points"].shape == (8, 2)
    page = answer(capsys, "report", network, *DATA)["report"]
    assert "cat/cat0.png" in (place / page).read_text()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_has_a_layer_table(capsys, place, network):
    table = answer(capsys, "models", network)
    assert table["image_size"] == NETWORKS[network]
    assert table["parameters"] == sum(row["parameters"] for row in table["layers"]) > 100
    assert table["macs"] > 0


@pytest.mark.parametrize("network", ["net.py:make", "hf:vit"])
def test_a_network_is_trained_and_its_run_opened_again(capsys, place, network):
    words = ["--epochs", 1, "--batch-size", 4, "--validation", 0.4, "--precision", "fp32", *DATA]
    run = answer(capsys, "train", "--model", network, *words)["run"]
    assert run.startswith(f"runs/photos-{'net-make' if network.endswith('make') else 'vit'}-seed0")
    manifest = json.loads((place / run / "run.json").read_text())
    about, size = manifest["model"]["reference"], NETWORKS[network]
    assert manifest["model"]["image_size"] == size
    assert about["text"] == manifest["settings"]["model"]
    opened = gn.Run.open(place / run)
    weights = opened.weights()
    assert all(torch.equal(value, weights[key]) for key, value in opened.model().state_dict().items())
    assert answer(capsys, "eval", run)["accuracy"] == manifest["metrics"]["test_accuracy"]
    listed = answer(capsys, "explain", run, "--images", "first:1", "--methods", "gradcam")
    assert Store(place / run).entry(listed["explained"]["analysis"]).document["subject"]["reference"] == about


def test_a_run_refuses_another_source(capsys, place):
    (place / "net.py").unlink()
    (place / "net.py").write_text(NET)
    words = ["--epochs", 1, "--batch-size", 4, "--validation", 0.4, *DATA, "--image-size", 16]
    run = answer(capsys, "train", "--model", "net.py:sized", *words)["run"]
    (place / "net.py").write_text(NET + "# mended\n")
    message = (
        r"net.py:sized is not what the run was trained with: its SHA-256 is \w+…, expected \w+…; put it back as it"
    )
    with pytest.raises(InputError, match=message):
        gn.Run.open(run).model()
    (place / "net.py").unlink()
    assert "net.py does not exist; expected a Python file" in refused(capsys, "eval", run)


def test_a_network_that_views_its_maps_is_trained_in_the_order_that_it_needs(capsys, place):
    (place / "own.py").write_text("from tiny_references import Small as make\n")
    words = ["--epochs", 1, "--batch-size", 4, "--validation", 0.4, *DATA, "--image-size", 16]
    run = gn.Run.open(answer(capsys, "train", "--model", "own.py:make", *words)["run"])
    assert run.manifest["model"]["channels_last"] is False
    assert run.evaluate().images == 2


ENDS = """
import torch
from net import make
from torch import nn


class Scaled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x) - 1


def softmax(num_classes, in_channels):
    return nn.Sequential(make(num_classes, in_channels), nn.Softmax(dim=1))


def sigmoid(num_classes, in_channels):
    return nn.Sequential(make(num_classes, in_channels), nn.Sigmoid())


def log_softmax(num_classes, in_channels):
    return nn.Sequential(make(num_classes, in_channels), nn.LogSoftmax(dim=1))


def scaled(num_classes, in_channels):
    return Scaled(make(num_classes, in_channels), nn.Sigmoid())
"""


@pytest.mark.parametrize(
    ("network", "labels", "message"),
    [
        (
            "softmax",
            False,
            "ends:softmax ends in a softmax in evaluation mode, but the loss applies a softmax itself",
        ),
        ("sigmoid", False, "ends:sigmoid ends in a sigmoid in evaluation mode, but the loss applies a softmax itself"),
        ("sigmoid", True, "ends:sigmoid ends in a sigmoid in evaluation mode, but the loss applies a sigmoid itself"),
        (
            "log_softmax",
            True,
            "ends:log_softmax ends in a log-softmax in evaluation mode, but the loss applies a sigmoid itself",
        ),
    ],
)
def test_a_network_whose_scores_are_no_logits_is_not_trained(capsys, place, network, labels, message):
    (place / "ends.py").write_text(ENDS)
    words = ["--task", "multilabel", "--data", "digit-pairs"] if labels else [*DATA, "--image-size", 16]
    assert message in refused(capsys, "train", "--model", f"ends.py:{network}", *words)
    assert not list(place.glob("runs/*"))


@pytest.mark.parametrize("network", ["log_softmax", "scaled"])
def test_a_network_whose_scores_the_softmax_turns_into_probabilities_is_trained(capsys, place, network):
    (place / "ends.py").write_text(ENDS)
    words = ["--epochs", 1, "--batch-size", 4, "--validation", 0.4, "--image-size", 16, *DATA]
    assert gn.Run.open(answer(capsys, "train", "--model", f"ends.py:{network}", *words)["run"]).evaluate().images == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--model", "net.py:two", "--data", "folder:three"], "net:two distinguishes 2 classes, but folder:"),
        (["train", "--model", "net.pt2", *DATA], "net.pt2 cannot be trained because it is an exported program"),
        (["train", "--model", "net.py", *DATA], "net.py is a Python file; name the function in it that"),
        (["train", "--model", "net.py:make", *DATA, "--model-options", "a=1"], "--model-options are for models given"),
        (["train", "--model", "convnet", *DATA, "--weights", "w.pt"], "--weights is for networks given by reference"),
        (["train", "--model", "net.py:make", *DATA, "--weights", "w.pt"], "w.pt does not exist; expected a .safetens"),
        (["train", "--model", "net.py:make", *DATA, "--low-res-epochs", 0.5], "--low-res-epochs applies to segm"),
        (["eval", "convnet", *DATA, "--weights", "w.pt"], "--weights is for networks given by reference, such"),
        (["eval", "net.pt2", *DATA, "--image-size", 32], "--image-size is 32, but net.pt2 was exported for 16; leave"),
        (["eval", "hf:vit", "--data", "folder:three"], "has images without labels, so nothing can be measured"),
        (["eval", "hf:none/", *DATA], "hf:none cannot be loaded (GLASSNET_OFFLINE forbids downloads)"),
        (["eval", "net.py:sized", *DATA], "net.py:sized needs num_classes; give --num-classes."),
        (["models", "net.py:number"], "net.py has no 'number', expected a function that makes the network"),
        (["eval", "resnet99", *DATA], "a network of someone else's is net.py:make, a function in a file of your"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence_and_writes_nothing(capsys, place, words, message):
    for name in ("a", "b", "c"):
        (place / "three" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(place / "three" / name / f"{number}.png")
    before = sorted(place.rglob("*"))
    assert message in refused(capsys, *words)
    assert [path for path in sorted(place.rglob("*")) if "__pycache__" not in path.parts] == before


def test_as_many_folders_as_classes_are_taken_in_order_which_is_said(capsys, place):
    (place / "photos").unlink()
    for name in ("house", "tree"):
        (place / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(place / "photos" / name / "1.png")
    code, out, err = call(capsys, "eval", "hf:vit", *DATA)
    assert code == 0
    assert (
        "photos: house is not a class of the model; the model's outputs are taken to be house, tree, in this order."
        in err
    )
    assert "house" in out


def test_a_subject_takes_a_reference_and_is_asked_all_that_a_run_is(place):
    subject = gn.Subject("hf:vit", "photos")
    assert repr(subject) == "Subject(vit: classification, 2 classes)"
    assert subject.reference["text"] == f"hf:{place / 'vit'}".replace(
        str(place / "vit"), str((place / "vit").resolve())
    )
    assert subject.image_shape == (3, 16, 16)
    assert subject.evaluate().images == 8
    layer = "network.classifier"
    assert subject.features(layer).result.features.shape == (8, 2)
    assert subject.embed(layer, method="pca", dims=2).result.points.shape == (8, 2)
    assert subject.explain(images="first:1", methods=("gradcam",)).result.groups[0].names == ("cat/cat0.png",)
    assert subject.report(out="page.html").is_file()
    small = gn.Subject("net.pt2", np.zeros((4, 3, 16, 16), np.uint8), labels=[0, 1, 0, 1], classes=["a", "b"])
    assert small.evaluate().images == 4
    assert small.classes == ("a", "b")


def test_a_network_that_views_its_maps_is_evaluated(place):
    images = np.zeros((4, 3, 16, 16), np.uint8)
    assert gn.Subject(Small(), images, labels=[0, 1, 0, 1]).evaluate().images == 4


@pytest.mark.parametrize("network", ["net.py:make", "hf:vit", "hf:convnext", "net.pt2"])
def test_a_probe_takes_a_reference_and_its_run_is_opened_again(capsys, place, network):
    words = ["--model-options", f"of={network}", "--validation", 0.4, "--precision", "fp32", *DATA]
    run = answer(capsys, "train", "--model", "probe", *words)["run"]
    opened = gn.Run.open(place / run)
    assert opened.manifest["model"]["image_size"] == NETWORKS[network]
    option = opened.manifest["model"]["options"]["of"]
    assert option.endswith(network.removeprefix("hf:"))
    assert option.removeprefix("hf:").startswith("/")  # it works from any folder
    probed, weights = opened.model(), opened.weights()
    assert all(torch.equal(value, weights[key]) for key, value in probed.state_dict().items())
    assert opened.history[0]["train_accuracy"] >= 0.5
    assert answer(capsys, "eval", run)["accuracy"] == opened.metrics["test_accuracy"]


def test_a_probe_of_another_source_is_refused(capsys, place):
    (place / "net.py").unlink()
    (place / "net.py").write_text(NET)
    words = ["--model-options", "of=net.py:make", "--validation", 0.4, *DATA]
    run = answer(capsys, "train", "--model", "probe", *words)["run"]
    (place / "net.py").write_text(NET + "# mended\n")
    with pytest.raises(InputError, match=r"net.py:make is not what the run was trained with"):
        gn.Run.open(run).model()


@pytest.mark.parametrize("model", [["net.py:make"], ["probe", "--model-options", "of=net.py:make"]])
def test_a_run_of_another_source_is_not_resumed(capsys, place, model):
    (place / "net.py").unlink()
    (place / "net.py").write_text(NET)
    settings = gn.TrainSettings(
        data="folder:photos",
        model=model[0],
        model_options=tuple(model[2:]),
        epochs=3,
        batch_size=4,
        validation=0.4,
        out="run",
    )
    with pytest.raises(KeyboardInterrupt):
        gn.train(settings, callbacks=[Stopping()])
    (place / "net.py").write_text(NET + "# mended\n")
    before = {path: path.read_bytes() for path in sorted((place / "run").rglob("*")) if path.is_file()}
    assert "net.py:make is not what the run was trained with: its SHA-256 is" in refused(
        capsys, "train", "--resume", "run"
    )
    assert {path: path.read_bytes() for path in sorted((place / "run").rglob("*")) if path.is_file()} == before
    (place / "net.py").write_text(NET)
    assert answer(capsys, "train", "--resume", "run")["run"] == "run"


def test_a_grid_is_trained_over_a_reference(capsys, place):
    words = ["--epochs", 1, "--batch-size", 4, "--validation", 0.4, "--seeds", 0, 1, *DATA]
    table = answer(capsys, "tune", "--model", "net.py:make", "--grid", "learning_rate=0.01", "0.02", *words)
    assert [len(cell["runs"]) for cell in table["cells"]] == [2, 2]
    assert "no setting or model option 'filters'" in refused(
        capsys, "tune", "--model", "net.py:make", "--grid", "filters=1", "2", *words
    )


def test_smaller_first_images_are_for_models_by_name(place):
    described = {"name": "net:make", "reference": {}, "image_size": 32}
    settings = experiment.resolve(gn.TrainSettings(task="segmentation", low_res_epochs=0.5))
    with pytest.raises(
        InputError, match="--low-res-epochs needs a model name, because the model must accept every size, but"
    ):
        low_res_size(settings, described | {"reference": {"text": "net.py:make"}})


def test_hub_networks_are_fine_tuned_and_own_code_is_told_how(capsys, place):
    tuned = experiment.resolve(gn.TrainSettings(data="folder:photos", model="hf:vit"))
    assert (tuned.backbone_rate, tuned.learning_rate, tuned.batch_size, tuned.steps) == (0.1, 0.002, 32, 400)
    assert experiment.build(tuned).dataset.augmentation == "zooms"
    own = experiment.resolve(gn.TrainSettings(data="folder:photos", model="net.py:make"))
    assert (own.backbone_rate, own.steps) == (1.0, None)
    _printed.clear()
    experiment.resolve(gn.TrainSettings(data="folder:photos", model="net.py:make"))
    assert "net.py:make is trained as if its weights were random; if its code loads" in capsys.readouterr().err
    assert experiment.resolve(
        gn.TrainSettings(data="folder:photos", model="net.py:make", weights="w.pt")
    ).backbone_rate == pytest.approx(0.1)


def test_the_blocks_of_a_hub_network_learn_at_rates_of_their_own(place):
    settings = experiment.resolve(gn.TrainSettings(data="folder:photos", model="hf:vit", layer_decay=0.5))
    groups = parameter_groups(experiment.build(settings).model, settings)
    assert sorted({group["share"] for group in groups}, reverse=True) == [1.0, 0.1, 0.05, 0.025, 0.0125]

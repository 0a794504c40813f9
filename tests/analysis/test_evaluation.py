"""An evaluation is what one computes by hand, and names the files."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.analysis import analyse, evaluate
from glassnet.errors import InputError
from glassnet.models.inference import predict
from glassnet.subject import Subject
from tiny_nets import CLASSES, ClassMeans, TinyNet, coloured
from tiny_runs import tiny

pytestmark = pytest.mark.usefixtures("blank_figures")


def rows_of(analysis):
    with (analysis.entry.path / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_network_is_measured_as_by_hand(make):
    images, labels = coloured(24)
    with torch.no_grad():
        logits = TinyNet().eval()(torch.from_numpy(images).float() / 255).double()
    right = logits.argmax(dim=1).numpy() == labels
    losses = -logits.log_softmax(dim=1).numpy()[np.arange(24), labels]
    result = evaluate(make(n=24))
    assert result.images == 24
    assert result.accuracy == right.mean()
    assert result.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert result.loss_error == pytest.approx(losses.std() / 24**0.5, rel=1e-5)
    assert np.array(result.confusion).sum(axis=1).tolist() == [8, 8, 8]
    assert np.allclose(result.probabilities, logits.softmax(dim=1).numpy(), atol=1e-6)
    assert len(result.wrong) == 24 - right.sum()


def test_a_network_that_ends_in_a_softmax_is_measured_by_its_probabilities():
    images, labels = coloured(24)
    net = TinyNet().eval()
    plain = evaluate(Subject(net, images, labels, classes=CLASSES))
    ended = evaluate(Subject(torch.nn.Sequential(net, torch.nn.Softmax(dim=1)), images, labels, classes=CLASSES))
    assert ended.loss == pytest.approx(plain.loss, rel=1e-5)
    assert np.allclose(ended.probabilities, plain.probabilities, atol=1e-6)


def test_a_network_that_is_always_right(make):
    result = evaluate(make(model=ClassMeans()))
    assert result.accuracy == 1
    assert result.confusions() == []


def test_floats_and_double_weights_give_the_same_measures(make):
    images, labels = coloured(24)
    expected = evaluate(make())
    floats = evaluate(Subject(TinyNet(), images.astype(np.float32) / 255, labels=labels))
    double = evaluate(Subject(TinyNet().double(), images, labels=labels))
    for result in (floats, double):
        assert result.accuracy == expected.accuracy
        assert result.loss == pytest.approx(expected.loss, rel=1e-5)


def test_a_run_is_measured_as_by_its_training(finished, copy):
    result = evaluate(copy)
    for key in ("loss", "accuracy"):
        assert getattr(result, key) == pytest.approx(finished.metrics[f"test_{key}"], rel=1e-5)
    assert list(result.accuracy_interval) == pytest.approx(finished.metrics["test_accuracy_interval"])
    assert evaluate(copy, split="train").images == len(finished.dataset().train)
    assert sorted(one.name for one in (copy.path / "analyses/evaluation").iterdir()) == ["test", "train"]


def test_a_run_on_another_data_set(copy):
    assert evaluate(copy, data="mnist-sample").accuracy == evaluate(copy).accuracy
    assert sorted(one.name for one in (copy.path / "analyses/evaluation").iterdir()) == ["mnist-sample-test", "test"]
    with pytest.raises(InputError, match=r"channels and the classes .*; expected 1 and 0, 1, 2, .*was trained on"):
        evaluate(copy, data="photos-sample")


def test_one_forward_pass_serves_measures_figures_and_tables(subject):
    before = subject.model().passes
    analysis = analyse(subject, "evaluation")
    assert subject.model().passes - before == 24 + 2  # one image in both orders of memory
    assert [words.name for words in analysis.figures][:2] == ["confusion-matrix", "worst-mistakes"]
    assert f"{len(analysis.result.wrong)} of 24 images are misclassified" in analysis.figures[1].caption


def test_predictions_name_images_by_their_number(subject):
    analysis = analyse(subject, "evaluation")
    rows = rows_of(analysis)
    assert list(rows[0]) == ["image", "true", "predicted", "probability", "split"]
    assert [row["image"] for row in rows] == [f"test image {i}" for i in range(24)]
    assert [row["true"] for row in rows] == [CLASSES[i % 3] for i in range(24)]
    assert [row["predicted"] for row in rows] == [CLASSES[i] for i in analysis.result.predicted]
    highest = analysis.result.probabilities.max(axis=1)
    assert [float(row["probability"]) for row in rows] == pytest.approx(highest.tolist(), abs=1e-6)
    assert {row["split"] for row in rows} == {"test"}


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory):
    """A run on a folder of two classes of which one file is damaged, and the folder."""
    folder = tmp_path_factory.mktemp("photos")
    for place, name in enumerate(("red", "teal")):
        (folder / name).mkdir()
        for i in range(8):
            pixels = np.random.default_rng(i).integers(0, 100, (12, 12, 3), dtype=np.uint8)
            pixels[..., place] += 150
            Image.fromarray(pixels).save(folder / name / f"{name}, {i}.png")
    (folder / "red" / "a-damaged.png").write_bytes(b"nonsense")
    out = tmp_path_factory.mktemp("runs") / "photos"
    options = {"epochs": 1, "image_size": 16, "skip_damaged": True, "batch_size": 8}
    return gn.train(tiny(out, data=f"folder:{folder}", **options)), folder


def test_predictions_of_a_folder_name_its_files(folder_run):
    run, folder = folder_run
    dataset, model = run.dataset(), run.model()
    names = []
    for part in ("test", "train"):
        rows, split = rows_of(analyse(run, "evaluation", split=part)), getattr(dataset, part)
        assert list(rows[0]) == ["file", "true", "predicted", "probability", "split"]
        assert [row["file"] for row in rows] == list(split.files)
        assert all((folder / row["file"]).is_file() for row in rows)
        assert all(row["true"] == row["file"].split("/")[0] for row in rows)
        predicted = predict(model, split.images).argmax(dim=1)
        assert [row["predicted"] for row in rows] == [dataset.classes[i] for i in predicted]
        names += [row["file"] for row in rows]
    assert len(names) == len(set(names)) == 16
    assert not any("damaged" in name for name in names)


def test_predictions_of_a_folder_that_is_taken_whole_name_its_files(folder_run, tmp_path):
    _, folder = folder_run
    shutil.copytree(folder, tmp_path / "photos")
    (tmp_path / "photos/red/a-damaged.png").unlink()
    subject = Subject(TinyNet(classes=2), tmp_path / "photos", size=12, out=tmp_path / "out")
    rows = rows_of(analyse(subject, "evaluation"))
    assert [row["file"] for row in rows] == [f"{name}/{name}, {i}.png" for name in ("red", "teal") for i in range(8)]
    assert [row["true"] for row in rows] == ["red"] * 8 + ["teal"] * 8


def test_what_cannot_be_measured_is_refused(make, copy):
    with pytest.raises(InputError, match="has images without labels, so nothing can be measured; give labels"):
        evaluate(make(labelled=False))
    with pytest.raises(InputError, match="--flip applies to segmentation only, not to classification"):
        evaluate(make(), flip=True)
    with pytest.raises(InputError, match="--data mnist needs a run, but tiny is a network with images; leave it out"):
        evaluate(make(), data="mnist")
    with pytest.raises(InputError, match="has only the images it was given, and no training part"):
        evaluate(make(), split="train")
    shutil.rmtree(copy.path)
    with pytest.raises(InputError, match="no run at"):
        evaluate(copy.path)


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images_are_measured(make, tmp_path, n):
    analysis = analyse(make(tmp_path, n=n), "evaluation")
    assert analysis.result.images == n
    assert len(rows_of(analysis)) == n
    assert [row.images for row in analysis.result.per_class] == [1, n - 1, 0]


@pytest.mark.parametrize(
    ("output", "labels"),
    [
        (lambda x: x.mean(dim=(2, 3)), torch.tensor([0, 1, 2, 0])),
        (lambda x: x.mean(dim=(2, 3)), torch.tensor([[1, 0, 0]] * 4, dtype=torch.uint8)),
        (lambda x: x, torch.ones(4, 8, 8, dtype=torch.uint8)),
    ],
    ids=["classification", "multilabel", "segmentation"],
)
def test_a_network_that_gives_no_numbers_has_no_measures(output, labels):
    class Bad(torch.nn.Module):
        def forward(self, x):
            return output(x / (x < 1) - x / (x < 1) + x)  # NaN where an image is white

    images = torch.zeros(4, 3, 8, 8)
    images[[1, 3]] = 1
    subject = Subject(Bad(), images, labels=labels, classes=("a", "b", "c"))
    with pytest.raises(InputError, match="the model gives NaN for 2 of 4 images; look for NaN in its weights"):
        evaluate(subject)

"""A small segmentation from its folder of masks to its report."""

import json
import shutil

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import glassnet as gn
from glassnet import cli
from glassnet.commands import explain_pictures
from glassnet.commands import report as report_command
from glassnet.commands.evaluate_segmentation import chosen_images
from glassnet.run import write_weights
from glassnet.tasks.segmentation.metrics import pixel_confusion, scores

OPTIONS = ("filters=4,4,4,4,6,6,8", "head=8", "dropout=0")


def call(capsys, *words):
    code = cli.run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def answer(capsys, *words):
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Bright squares on dark noise, and bright columns: two classes and the background, with a void frame."""
    folder, random = tmp_path_factory.mktemp("data") / "scans", np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(20):
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.integers(2, 14, 2)
        mask[top : top + 14, left : left + 14] = 1
        mask[:, 28:31] = 2
        mask[0], mask[-1] = 255, 255
        pixels = random.integers(0, 60, (32, 32, 3)) + 150 * (mask[..., None] == 1) + 80 * (mask[..., None] == 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    (folder / "classes.txt").write_text("ground\nsquare\ncolumn\n")
    return folder


def settings(scans, out, **changes):
    base = {"data": f"masks:{scans}", "model": "fcn8_small", "model_options": OPTIONS, "image_size": 32, "epochs": 3}
    return gn.TrainSettings(**{**base, "batch_size": 4, "precision": "fp32", "out": out, **changes})


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    return gn.train(
        settings(scans, tmp_path_factory.mktemp("runs") / "seg", loss="dice", class_weights=True, copy_paste=0.5)
    )


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


def test_a_run_keeps_its_task_its_parts_and_the_background(trained):
    assert trained.settings.task == "segmentation"
    assert trained.settings.loss == "dice"
    row = trained.history[-1]
    assert {"train_loss", "train_accuracy", "train_cross_entropy", "train_dice", "validation_mean_iou"} <= row.keys()
    assert row["train_loss"] == pytest.approx(row["train_cross_entropy"] + row["train_dice"], rel=1e-5)
    best = max(row["validation_mean_iou"] for row in trained.history)
    assert trained.history[trained.metrics["epoch"] - 1]["validation_mean_iou"] == best
    test = trained.dataset().test
    known = test.targets != 255
    empty = (test.targets[known] == 0).double().mean().item()
    assert trained.metrics["test_background"]["pixel_accuracy"] == pytest.approx(empty)
    with torch.no_grad():
        predicted = trained.model()(test.images / 255).argmax(1).to(torch.uint8)
    expected = scores(pixel_confusion(predicted, test.targets, 3).numpy())
    assert trained.metrics["test_mean_iou"] == pytest.approx(expected.mean_iou, abs=1e-3)


def test_explain_outlines_the_region_and_says_where_there_is_none(capsys, copy, monkeypatch):
    drawn, real = [], explain_pictures.figures.attribution_grid

    def grid(*arguments, **options):
        drawn.append(options["regions"])
        return real(*arguments, **options)

    monkeypatch.setattr(explain_pictures.figures, "attribution_grid", grid)
    words = ("explain", copy.path, "--images", "0,1", "--layers", "conv7", "--methods", "gradcam", "--target")
    found = answer(capsys, *words, "ground")["explained"][0]["images"]
    with torch.no_grad():
        predicted = copy.model()(copy.dataset().test.images[:2] / 255).argmax(1)
    assert drawn[0].any()
    assert np.array_equal(drawn[0], (predicted == 0).numpy())
    assert np.array_equal(copy.load_arrays("attributions/selected.npz")["regions"], drawn[0])
    caption = json.loads((copy.path / "figures" / "explain-selected.json").read_text())["caption"]
    assert caption.endswith("A white line surrounds the region that is explained.")
    assert [about["share"] for about in found] == pytest.approx(drawn[0].mean(axis=(1, 2)).tolist())
    weights = copy.weights()
    weights["up1.weight"][:, 2] = weights["up1.weight"][:, 0]  # never more than the first: predicted nowhere
    write_weights(copy.path, weights)
    code, out, err = call(capsys, *words, "column")
    assert code == 0, err
    assert "column is predicted nowhere in 2 of 2 images: their maps are all zero." in out


def test_eval_explain_and_report_show_it(capsys, copy):
    found = answer(capsys, "eval", copy.path, "--flip")
    assert found["mean_iou"] == pytest.approx(copy.metrics["test_mean_iou"], abs=1e-3)
    assert found["flipped"]["mean_iou"] is not None
    assert [row["class"] for row in found["per_class"]] == ["ground", "square", "column"]
    assert set(found["selection"]) == {"unpicked", "best", "median", "worst"}
    code, out, _ = call(capsys, "eval", copy.path)
    assert code == 0
    assert copy.load_json("evaluation/test.json")["flipped"] == found["flipped"]  # what else was found is the same
    copy.file("evaluation/test.json").write_text('{"mean_')
    assert "flipped" not in answer(capsys, "eval", copy.path)  # the damaged file is written anew
    assert "all background" in out
    explained = answer(capsys, "explain", copy.path, "--images", "0,1", "--target", "square", "--layers", "conv7")
    assert [about["target"] for about in explained["explained"][0]["images"]] == ["square", "square"]
    assert answer(capsys, "report", copy.path)["report"]
    html = (copy.path / "report.html").read_text()
    for words in ("Test mean IoU", "all background", "Best, middle and worst", "Overlap (IoU) of each class"):
        assert words in html
    assert "losses in nats (the training’s with Dice added)" in html
    assert "Onto 50% of the images all objects of another are" in html
    assert html.count("All background</th>") == 3  # the last row of the epochs, and a column each of two tables
    assert f"{100 * found['mean_iou']:.2f}%<small>" in html  # the head takes it from the evaluation, as the text does
    assert copy.stems("attributions") == ["correct", "selected", "wrong"]
    shown = [json.loads((copy.path / "attributions" / f"{name}.json").read_text()) for name in ("correct", "wrong")]
    ranked = [[about["index"] for about in document["images"]] for document in shown]
    assert sorted(ranked[0] + ranked[1]) == [0, 1, 2, 3]  # of eight wanted, the four that there are: none is in both
    best = max(range(4), key=lambda index: found["by_image"][index])
    assert ranked[0][0] == best
    assert shown[1]["rule"].startswith("The 2 test images of lowest mean IoU.")
    assert "took no part in the training" in html


def test_curves_show_of_a_loss_with_regions_the_part_that_validation_has(copy, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        report_command.figures, "learning_curves", lambda history, **_: drawn.extend(history) or Figure()
    )
    report_command._draw(copy)
    assert [row["train_loss"] for row in drawn] == [row["train_cross_entropy"] for row in copy.history]
    assert all(row["train_loss"] < row["train_cross_entropy"] + row["train_dice"] for row in drawn)


@pytest.mark.parametrize(
    ("count", "best", "median", "worst"),
    [
        (30, [29, 28, 27, 26], [16, 15, 14, 13], [0, 1, 2, 3]),
        (7, [6, 5], [4, 3], [0, 1]),
        (3, [2], [1], [0]),
        (1, [0], [0], [0]),
    ],
)
def test_images_are_chosen_by_rule(count, best, median, worst):
    """IoUs that rise with the index: of few images none is among the best and the worst as well."""
    found = chosen_images([index / 40 for index in range(count)])
    assert (found["best"], found["median"], found["worst"]) == (best, median, worst)
    assert len(found["unpicked"]) == min(count, 12)
    assert found["unpicked"][0] == 0
    assert found["unpicked"][-1] == count - 1
    void = chosen_images([None, 0.5, None])
    assert (void["unpicked"], void["best"], void["worst"]) == ([0, 1, 2], [1], [1])


def test_the_report_of_a_split_with_a_leak_warns(capsys, copy):
    answer(capsys, "eval", copy.path)
    about = json.loads((copy.path / "run.json").read_text())
    assert about["data"]["leak"] == 0
    about["data"]["leak"] = 3
    (copy.path / "run.json").write_text(json.dumps(about))
    assert answer(capsys, "report", copy.path)["report"]
    html = (copy.path / "report.html").read_text()
    assert "Warning: 3 of the test images are training images too" in html
    assert "3 of the test images are among the training images" in html
    assert "took no part in the training" not in html
    assert "choose nothing" not in html


def test_an_evaluation_on_masks_that_are_void_all_over_is_refused_and_writes_nothing(capsys, copy, scans, tmp_path):
    for part in ("train", "test"):
        for kind in ("images", "masks"):
            (tmp_path / part / kind).mkdir(parents=True)
            shutil.copy(scans / kind / "0.png", tmp_path / part / kind)
    shutil.copy(scans / "classes.txt", tmp_path)
    Image.new("L", (32, 32), 255).save(tmp_path / "test" / "masks" / "0.png")
    code, out, err = call(capsys, "eval", copy.path, "--data", f"masks:{tmp_path}")
    assert (code, out) == (2, "")
    message = "all pixels of the test masks are void, so that nothing could be measured on masks:"
    assert err.splitlines()[-1].startswith(f"glassnet: {message}{tmp_path}; give other images by --data or --split.")
    assert not (copy.path / "evaluation").exists()
    assert not (copy.path / "figures").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "RUN", "--target", "circle"], "no target 'circle' in"),
        (["explain", "RUN", "--target", "label"], "but an image of a segmentation has a label at every pixel; give"),
        (
            ["explain", "RUN", "--methods", "gradcam", "scorecam", "occlusion"],
            "scorecam and occlusion compare changed images, whose segmented regions are others; take one of gradcam, ",
        ),
        (["explain", "RUN", "--methods", "smoothgrad"], "smoothgrad compares changed images, whose segmented regions"),
        (["explain", "RUN", "--faithfulness"], "--faithfulness measures maps of classifiers, and"),
        (["explain", "RUN", "--mask", "stroke"], "--mask stroke measures maps of classifiers, and"),
        (["features", "RUN"], "learned segmentation, and features are embedded by the class of each image"),
    ],
)
def test_what_is_not_for_a_segmentation_is_refused(capsys, copy, words, message):
    code, out, err = call(capsys, *(copy.path if word == "RUN" else word for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not copy.stems("attributions")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "convnet"}, r"convnet is a model for classification, and masks:.* a data set for segmentation; for"
         r" .* take one of the models fcn8_small, fcn8s_vgg16, unet_small, or for convnet one of the data sets mnist"),
        ({"data": "mnist-sample"}, "fcn8_small is a model for segmentation, and mnist-sample a data set for classific"),
        ({"task": "classification"}, "fcn8_small is a model for segmentation, not for --task classification; models"),
        ({"data": "mnist-sample", "model": "convnet", "loss": "dice"}, "--loss is of no use to classification, only"),
        ({"image_size": 30}, "image_size is 30, expected a multiple of 32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_a_sentence_and_writes_nothing(scans, tmp_path, changes, message):
    with pytest.raises(gn.InputError, match=message):
        gn.train(settings(scans, tmp_path / "none", **{"model_options": (), **changes}))
    assert not (tmp_path / "none").exists()


def test_a_folder_of_masks_is_segmented_where_nothing_else_is_said(capsys, scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--model-options", *OPTIONS, "--epochs", 1, "--precision", "fp32")
    told = answer(capsys, "train", "--data", f"masks:{scans}", *words)
    assert told["run"] == "runs/scans-fcn8_small-seed0"
    run = gn.Run.open(told["run"])
    assert (run.settings.task, run.settings.model, run.settings.batch_size) == ("segmentation", "fcn8_small", 16)


def test_the_same_seed_gives_the_same_weights(trained, scans, tmp_path):
    again = gn.train(settings(scans, tmp_path / "again", loss="dice", class_weights=True, copy_paste=0.5))
    assert all(torch.equal(a, b) for a, b in zip(trained.weights().values(), again.weights().values(), strict=True))

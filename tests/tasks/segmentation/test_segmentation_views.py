"""A segmentation evaluated and explained: what is measured, drawn, listed, told and refused."""

import csv
import dataclasses
import shutil

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import glassnet as gn
from glassnet import figures
from glassnet.analysis import analyse
from glassnet.subject import Subject
from glassnet.tasks import TASKS
from glassnet.tasks.segmentation.explain import region_at
from glassnet.tasks.segmentation.metrics import pixel_counts
from glassnet.tasks.segmentation.result import Overlap, Segmentation
from tiny_runs import replace_weights

VIEWS = TASKS["segmentation"].views()


@pytest.fixture
def copy(segmented, tmp_path):
    shutil.copytree(segmented.path, tmp_path / "run")
    return gn.Run.open(tmp_path / "run")


@pytest.fixture(scope="module")
def evaluated(segmented, tmp_path_factory):
    """An evaluation with mirror images, to be read only."""
    path = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(segmented.path, path)
    return analyse(path, "evaluation", flip=True)


def predictions(run):
    with torch.no_grad():
        return run.model()(run.dataset().test.images / 255).argmax(1).to(torch.uint8)


def test_an_evaluation_is_drawn_and_kept(evaluated, segmented):
    result = evaluated.result
    assert result.mean_iou == pytest.approx(segmented.metrics["test_mean_iou"], abs=1e-3)
    assert [row.name for row in result.per_class] == ["ground", "square", "column"]
    assert [words.name for words in evaluated.figures] == ["segmentations", "segmentations-ranked", "class-iou"]
    assert all(words.lead and words.alt for words in evaluated.figures)
    assert type(result.flipped) is Overlap
    assert result.flipped.mean_iou is not None
    assert result.flipped_intervals["mean_iou"] is not None
    again = analyse(evaluated.entry.path.parents[2], "evaluation", flip=True).result
    assert again.flipped == result.flipped
    assert (again.per_class, again.intervals, again.by_image) == (result.per_class, result.intervals, result.by_image)
    np.testing.assert_array_equal(again.counts, result.counts)


def test_each_image_is_listed_by_its_file(evaluated, segmented):
    rows = list(csv.DictReader((evaluated.entry.path / "predictions.csv").read_text().splitlines()))
    test = segmented.dataset().test
    assert [row["file"] for row in rows] == list(test.files)
    predicted = predictions(segmented)
    for row, mask, guess in zip(rows, test.targets, predicted, strict=True):
        known = mask != 255
        assert float(row["pixel_accuracy"]) == pytest.approx((mask == guess)[known].double().mean().item(), abs=1e-6)
        ious = [
            ((mask == c) & (guess == c)).sum() / either
            for c in range(3)
            if (either := (((mask == c) | (guess == c)) & known).sum())
        ]
        assert float(row["mean_iou"]) == pytest.approx(torch.stack(ious).mean().item(), abs=1e-6)
        assert row["split"] == "test"


def test_the_pictures_name_files_and_give_each_mistake_its_colour(segmented, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        figures, "segmentation_grid", lambda *args, **options: drawn.append((args, options)) or Figure()
    )
    subject = Subject.of_run(segmented)
    subject.store = None
    result = analyse(subject, "evaluation").result
    files = segmented.dataset().test.files
    (unpicked, options), (ranked, _) = drawn
    assert unpicked[4] == [f"{file}: IoU {100 * iou:.1f}%" for file, iou in zip(files, result.by_image, strict=True)]
    assert options.get("colours", "mistakes") == "mistakes"
    best = int(np.argmax(result.by_image))
    assert ranked[4][0] == f"best, {files[best]}: IoU {100 * result.by_image[best]:.1f}%"


def test_text_and_tables_put_all_background_next_to_every_number(evaluated):
    result = evaluated.result
    text = VIEWS.text(result)
    assert "all background" in text
    assert f"{100 * result.mean_iou:.2f}%" in text
    assert "Averaged over each image and its mirror image, the mean IoU is" in text
    measures, classes = VIEWS.tables(result)
    assert [row[0] for row in measures.rows][:3] == ["Pixel accuracy", "Mean class accuracy", "Mean IoU"]
    assert measures.columns[3] == classes.columns[-1] == "All background"
    assert measures.note.startswith("Averaged over each image")
    assert [row[0] for row in classes.rows] == ["ground", "square", "column"]
    summary = " ".join(VIEWS.summary(result))
    assert f"{100 * result.background.mean_iou:.2f}% for background alone" in summary
    without = dataclasses.replace(result, flipped=None, intervals={})
    assert "Averaged" not in VIEWS.text(without)
    assert "95% interval" not in " ".join(VIEWS.summary(without))


def test_the_numbers_of_a_run_stand_with_those_of_all_background(segmented):
    metrics = segmented.metrics
    (_, value, note), (_, accuracy, other) = VIEWS.headlines(metrics)
    assert value == f"{100 * metrics['test_mean_iou']:.2f}%"
    assert note.endswith(f"all background {100 * metrics['test_background']['mean_iou']:.2f}%")
    assert accuracy == f"{100 * metrics['test_pixel_accuracy']:.2f}%"
    assert other == f"all background {100 * metrics['test_background']['pixel_accuracy']:.2f}%"
    assert "; all background" in VIEWS.epoch_note(metrics)
    assert "–" not in [show(metrics) for _, show in VIEWS.comparison]


def test_epochs_end_with_all_background_and_name_the_loss_of_regions(segmented):
    total = VIEWS.history_total(segmented.history[-1])
    assert total["epoch"] == "All background"
    assert total["validation_mean_iou"] == f"{100 * segmented.history[-1]['validation_background_mean_iou']:.2f}%"
    assert set(total) - {"epoch"} <= {key for key, *_ in VIEWS.history}
    assert "losses in nats (Dice added for training), and" in VIEWS.history_caption(segmented.history)
    assert VIEWS.history_caption([{"epoch": 1}]) == "Each epoch: losses in nats, and other measures"
    assert VIEWS.history_total({"epoch": 1}) == {}


def test_curves_show_of_a_loss_with_regions_the_part_that_validation_has(segmented, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "learning_curves", lambda history, **_: drawn.extend(history) or Figure())
    VIEWS.curves(segmented.history, 1)
    assert [row["train_loss"] for row in drawn] == [row["train_cross_entropy"] for row in segmented.history]
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
def test_images_are_chosen_by_rule(evaluated, count, best, median, worst):
    """IoUs that rise with the index: of few images none is among the best and the worst as well."""
    chosen = dataclasses.replace(evaluated.result, by_image=tuple(index / 40 for index in range(count))).chosen
    assert (chosen.best, chosen.median, chosen.worst) == (tuple(best), tuple(median), tuple(worst))
    assert len(chosen.unpicked) == min(count, 12)
    assert chosen.unpicked[0] == 0
    assert chosen.unpicked[-1] == count - 1
    void = dataclasses.replace(evaluated.result, by_image=(None, 0.5, None)).chosen
    assert (void.unpicked, void.best, void.worst) == ((0, 1, 2), (1,), (1,))


def test_an_evaluation_on_masks_that_are_void_all_over_is_refused_and_writes_nothing(copy, scans, tmp_path):
    for part in ("train", "test"):
        for kind in ("images", "masks"):
            (tmp_path / part / kind).mkdir(parents=True)
            shutil.copy(scans / kind / "0.png", tmp_path / part / kind)
    shutil.copy(scans / "classes.txt", tmp_path)
    Image.new("L", (32, 32), 255).save(tmp_path / "test" / "masks" / "0.png")
    message = "all pixels of the test masks are void, so nothing could be measured on masks:"
    with pytest.raises(gn.InputError, match=f"^{message}.*; give other images with --data or --split."):
        analyse(copy, "evaluation", data=f"masks:{tmp_path}")
    assert not list(copy.path.glob("analyses/*/*"))


def test_a_network_that_glassnet_did_not_train_is_evaluated_and_explained(segmented):
    test = segmented.dataset().test
    subject = Subject(segmented.model(), test.images, test.targets, segmented.classes, name="mine")
    result = analyse(subject, "evaluation").result
    assert isinstance(result, Segmentation)
    assert result.mean_iou == pytest.approx(segmented.metrics["test_mean_iou"], abs=1e-3)
    explained = analyse(subject, "attribution", images="0,1", layers=("conv7",), methods=("gradcam",))
    assert explained.result.groups[0].names == ("test image 0", "test image 1")


def test_an_explanation_outlines_the_region_and_says_where_there_is_none(copy, monkeypatch):
    drawn, real = [], figures.attribution_grid

    def grid(*arguments, **options):
        drawn.append(options["regions"])
        return real(*arguments, **options)

    monkeypatch.setattr(figures, "attribution_grid", grid)
    asked = {"images": "0,1", "layers": ("conv7",), "methods": ("gradcam",)}
    analysis = analyse(copy, "attribution", target="ground", **asked)
    (group,) = analysis.result.groups
    assert drawn[0].any()
    np.testing.assert_array_equal(drawn[0], (predictions(copy)[:2] == 0).numpy())
    np.testing.assert_array_equal(group.regions, drawn[0])
    assert analysis.figures[0].caption.endswith("A white line outlines the region that is explained.")
    assert [one["share"] for one in group.facts] == pytest.approx(drawn[0].mean(axis=(1, 2)).tolist())
    test = copy.dataset().test
    counts = pixel_counts(predictions(copy)[:2], test.targets[:2], 3).double()
    union = counts[:, 1] + counts[:, 2] - counts[:, 0]
    assert [one["iou"] for one in group.facts] == pytest.approx((counts[:, 0] / union).nanmean(dim=1).tolist())
    assert group.names == test.files[:2]
    assert "predicted nowhere" not in group.note
    weights = copy.weights()
    weights["up1.weight"][:, 2] = weights["up1.weight"][:, 0]  # never more than the first: predicted nowhere
    replace_weights(copy.path, weights)
    (empty,) = analyse(gn.Run.open(copy.path), "attribution", target="column", **asked).result.groups
    assert "column is predicted nowhere in 2 of 2 images: their maps are all zero." in empty.note


def test_the_best_and_the_worst_images_are_explained(copy, evaluated):
    asked = next(settings for kind, settings in VIEWS.wanted(Subject.of_run(copy)) if kind == "attribution")
    assert len(asked["layers"]) == 6
    assert asked["layers"][0] == "conv1"
    correct, wrong = analyse(copy, "attribution", **asked).result.groups
    assert sorted(correct.numbers + wrong.numbers) == [0, 1, 2, 3]  # of eight wanted, the four there are: none in both
    by_image = evaluated.result.by_image
    assert correct.numbers[0] == max(range(4), key=lambda row: by_image[row])
    assert correct.facts[0]["iou"] == pytest.approx(max(by_image))
    assert wrong.rule.startswith("The 2 test images with the lowest mean IoU.")


def test_a_class_is_asked_for_by_name_or_number(copy):
    groups = [
        analyse(copy, "attribution", images="0,1", target=target, layers=("conv7",), methods=("gradcam",)).result.groups
        for target in ("square", "1")
    ]
    assert all([one["target"] for one in group.facts] == ["square", "square"] for (group,) in groups)


def flooded(predicted, row, column):
    """The region of a pixel, by walking from neighbour to neighbour."""
    waiting, there = [(row, column)], set()
    while waiting:
        y, x = waiting.pop()
        inside = 0 <= y < len(predicted) and 0 <= x < len(predicted[0])
        if inside and (y, x) not in there and predicted[y][x] == predicted[row][column]:
            there.add((y, x))
            waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return there


def test_a_region_is_what_hangs_together_edge_to_edge():
    random = np.random.default_rng(0)
    for _ in range(20):
        predicted = random.integers(0, 3, (7, 9))
        row, column = int(random.integers(7)), int(random.integers(9))
        marked = {tuple(place) for place in np.argwhere(region_at(predicted, row, column)).tolist()}
        assert marked == flooded(predicted.tolist(), row, column)
    assert region_at(np.eye(3, dtype=int), 0, 0).sum() == 1  # corners do not join


def test_the_region_at_a_pixel_is_explained_alone(copy):
    predicted = predictions(copy)[:1]
    row, column = (int(one) for one in (predicted[0] == predicted[0].flatten().mode().values).nonzero()[0])
    asked = {"images": "0", "layers": ("conv7",), "methods": ("gradcam",)}
    (group,) = analyse(copy, "attribution", target=f"region:{row},{column}", **asked).result.groups
    region = region_at(predicted[0].numpy(), row, column)
    np.testing.assert_array_equal(group.regions[0], region)
    assert group.facts[0]["target"] == copy.classes[int(predicted[0, row, column])]
    assert "of one of its regions" in group.note
    model, image = copy.model(), copy.dataset().test.images[:1]
    label = int(predicted[0, row, column])

    def of_region(output):
        return (output[:, label] * torch.from_numpy(region)).sum(dim=(1, 2))

    expected = gn.explain(model, image, target=of_region, layers="conv7", methods="gradcam")
    np.testing.assert_array_equal(group.maps["gradcam", "conv7"], expected["gradcam", "conv7"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": "region:3"}, "--target is 'region:3', expected region:ROW,COLUMN with a row from 0 to 31 and a"),
        ({"target": "region:32,0"}, "a column from 0 to 31: the pixel whose region is explained"),
        ({"target": "circle"}, "no target 'circle' in"),
        ({"target": "label"}, "but in segmentation every pixel has a label; give"),
        (
            {"methods": ("gradcam", "scorecam", "occlusion")},
            "scorecam and occlusion compare changed images, whose segmented regions differ; use one of gradcam, ",
        ),
        ({"methods": ("smoothgrad",)}, "smoothgrad compares changed images, whose segmented regions"),
        ({"mask": "stroke"}, "--mask stroke measures maps of classifiers, but"),
    ],
)
def test_what_is_not_for_a_segmentation_is_refused(copy, asked, message):
    with pytest.raises(gn.InputError, match=message) as refused:
        analyse(copy, "attribution", **asked)
    assert "\n" not in str(refused.value)
    assert not list(copy.path.glob("analyses/*/*"))


def test_faithfulness_is_for_classifiers(copy):
    with pytest.raises(gn.InputError, match="--faithfulness needs the score of a class for the whole image, but"):
        analyse(copy, "faithfulness")
    assert not list(copy.path.glob("analyses/*/*"))

"""Average precision three ways, the loss and its rule, what an evaluation finds, and how it is told."""

import csv
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import glassnet as gn
from glassnet.analysis import analyse
from glassnet.stats import wilson_interval
from glassnet.subject import Subject
from glassnet.tasks import TASKS
from glassnet.tasks.multilabel import learn
from glassnet.tasks.multilabel.result import MultiLabel

VIEWS = TASKS["multilabel"].views()
CLASSES = ("cat", "dog", "bird")


def by_definition(scores, targets):
    """Precision at each distinct threshold times the recall that it adds, from the highest threshold down."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(scores), reverse=True):
        called = [target for score, target in zip(scores, targets, strict=True) if score >= threshold]
        points.append((sum(called) / sum(targets), sum(called) / len(called)))
    return sum((recall - before) * precision for (before, _), (recall, precision) in pairwise(points))


def test_average_precision_by_hand():
    """In order of score: yes, no, yes, no. Precisions 1 and 2/3 at recalls 1/2 and 1."""
    scores, targets = np.array([0.9, 0.8, 0.3, 0.1]), np.array([1, 0, 1, 0])
    assert learn.average_precision(scores, targets) == pytest.approx([1 / 2 + 2 / 3 / 2])
    assert learn.average_precision(-scores, targets) == pytest.approx([1 / 2 / 2 + 2 / 4 / 2])
    assert learn.average_precision(np.zeros(4), targets) == pytest.approx([1 / 2])  # all equal: the share
    assert np.isnan(learn.average_precision(scores, np.zeros(4, dtype=int))).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 1)), min_size=1, max_size=30))
def test_average_precision_is_that_of_the_definition_and_of_scikit_learn(pairs):
    scores, targets = (np.array(side) for side in zip(*pairs, strict=True))
    found = learn.average_precision(scores.astype(float), targets)
    if not targets.any():
        assert np.isnan(found[0])
        return
    assert found[0] == pytest.approx(by_definition(scores.tolist(), targets.tolist()))
    assert found[0] == pytest.approx(average_precision_score(targets, scores))


def test_an_image_that_counts_twice_is_an_image_twice_in_the_data():
    random = np.random.default_rng(0)
    scores, targets = random.normal(size=20).round(1), random.integers(2, size=20)
    times = random.integers(0, 4, size=(5, 20))
    expected = [average_precision_score(np.repeat(targets, row), np.repeat(scores, row)) for row in times]
    assert learn.average_precision(scores, targets, times) == pytest.approx(expected)


def test_the_mean_leaves_out_labels_without_a_value():
    values = np.array([[0.5, np.nan, 1.0], [np.nan, np.nan, np.nan]])
    assert learn.mean_over_labels(values)[0] == 0.75
    assert np.isnan(learn.mean_over_labels(values)[1])


def test_intervals_are_those_of_images_drawn_whole(monkeypatch):
    random = np.random.default_rng(1)
    targets = (random.random((200, 3)) < 0.3).astype(np.uint8)
    scores = targets + random.normal(size=targets.shape)
    mean, labels = learn.bootstrap(scores, targets, seed=0)
    assert mean[0] < learn.average_precisions(scores, targets).mean() < mean[1]
    assert all(
        low < average_precision_score(targets[:, i], scores[:, i]) < high for i, (low, high) in enumerate(labels)
    )
    assert mean[1] - mean[0] < max(high - low for low, high in labels)
    monkeypatch.setattr(learn, "_CHUNK", 200 * 7)  # in parts it is the same
    assert learn.bootstrap(scores, targets, seed=0)[0] == pytest.approx(mean)
    assert learn.bootstrap(scores[:1], targets[:1], seed=0)[0] is None


def test_the_loss_by_hand_and_the_mean_of_the_measured_one():
    logits, targets = torch.tensor([[math.log(3.0), 0.0], [-math.log(3.0), 0.0]]), torch.tensor([[1, 0], [1, 1]]).byte()
    images = [(math.log(4 / 3) + math.log(2)) / 2, (math.log(4) + math.log(2)) / 2]
    measures = learn.measure(logits, targets)
    assert measures["loss"] == pytest.approx(sum(images) / 2)
    assert measures["loss_error"] == pytest.approx(abs(images[0] - images[1]) / 2 / math.sqrt(2))
    assert learn.loss(logits, targets).item() == pytest.approx(measures["loss"])
    assert measures["hamming_loss"] == pytest.approx(2 / 4)  # a probability of a half is a yes
    yes, no = torch.ones(2, 2), torch.zeros(2, 2)
    smooth = [0.8 * learn.loss(logits, one.byte()) for one in (targets, yes, no)]
    assert learn.loss(logits, targets, 0.2).item() == pytest.approx(
        (smooth[0] + 0.1 / 0.8 * smooth[1] + 0.1 / 0.8 * smooth[2]).item()
    )


@pytest.mark.parametrize(("loss", "kept"), [(0.9, True), (1.0, True), (1.1, True), (1.11, False)])
def test_a_later_epoch_is_kept_within_one_standard_error(loss, kept):
    lowest = {"loss": 1.0, "loss_error": 0.1}
    assert learn.should_checkpoint({"loss": loss, "loss_error": 9.0}, lowest) is kept


LOGITS = torch.tensor([[3.0, -2, -1], [2, 1, -3], [-1, 4, -2], [-2, -1, -4]])
TARGETS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]]).byte()


@pytest.fixture(scope="module")
def result():
    """Four images, of which one has its cat missed; there is no bird."""
    return learn.evaluate(LOGITS, TARGETS, CLASSES)


def test_an_evaluation_by_hand(result):
    cat, dog, bird = result.per_label
    assert (cat.images, cat.precision, cat.recall) == (3, 1.0, 2 / 3)
    assert cat.f1 == pytest.approx(0.8)
    assert (dog.average_precision, dog.by_chance) == (1.0, 0.5)
    assert cat.average_precision == pytest.approx(1.0)
    assert (bird.images, bird.average_precision, bird.interval, bird.f1) == (0, None, None, None)
    assert result.mean_average_precision == 1.0
    assert (result.exact_match, result.exact_match_interval) == (0.75, wilson_interval(3, 4))
    assert result.hamming_loss == pytest.approx(1 / 12)
    assert (result.absent, result.wrong, result.mistakes()) == (("bird",), 1, [(2, 0)])
    assert result.typical(0) == [0, 1]  # the upper one of two in the middle
    assert result.typical(1)[0] == 1  # all right, before one of which the cat is missed
    assert repr(result) == "MultiLabel(4 images, mAP 1.0000, exact match 0.7500)"


def test_a_test_without_any_label_is_told():
    bare = learn.evaluate(LOGITS, torch.zeros_like(TARGETS), CLASSES)
    assert bare.mean_average_precision is None
    assert learn.measure(LOGITS, torch.zeros_like(TARGETS))["mean_average_precision"] == 0
    assert "mean average precision –" in VIEWS.text(bare)
    assert VIEWS.summary(bare)[-1] == "Left out because no image has it: cat, dog, bird."
    assert repr(bare).startswith("MultiLabel(4 images, no label occurs")


def test_the_most_confident_mistake_comes_first_and_each_image_is_explained_once():
    logits = torch.tensor([[-3.0, -5, 4], [2, 2, 2], [1, -1, -1]])
    targets = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).byte()
    result = learn.evaluate(logits, targets, CLASSES)
    assert result.mistakes() == [(0, 1), (0, 2), (0, 0)]
    rows, explained = VIEWS.example_rows(result), VIEWS.example_targets(result)
    assert rows[0] == 0
    assert explained[0] == 1
    assert len(set(rows)) == len(rows)
    for row, label in list(zip(rows, explained, strict=True))[1:]:
        assert targets[row, label] == 1


def test_tables_and_text_name_what_is_left_out(result):
    measures, labels = VIEWS.tables(result)
    assert [row[0] for row in measures.rows] == ["Mean average precision", "Exact match", "Hamming loss", "Loss"]
    assert [row[0] for row in labels.rows] == list(CLASSES)
    assert labels.rows[2][2:4] == ("–", "–")
    assert labels.note == "Left out because no image has it: bird."
    assert "exact match 75.00%" in VIEWS.text(result)
    assert VIEWS.summary(result)[0] == "It gets every label right for 3 of 4 images."


@pytest.fixture(scope="module")
def network():
    """A network that says a label of each image by its brightest quarter, and images of some quarters lit."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 4, stride=4), torch.nn.Flatten(), torch.nn.Linear(16, 4))
    with torch.no_grad():
        model[0].weight.fill_(1 / 16)
        model[0].bias.zero_()
        model[2].weight.zero_()
        for label in range(4):
            model[2].weight[label, label] = 8.0
        model[2].bias.fill_(-4.0)
    lit = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]]).byte()
    images = lit.float().view(4, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    wrong = lit.clone()
    wrong[3, 0] = 1  # a label that it cannot see
    return Subject(model.eval(), images, wrong, ("a", "b", "c", "d"), name="quarters")


def test_labels_of_several_columns_make_it_this_task(network):
    assert network.task is TASKS["multilabel"]
    analysis = analyse(network, "evaluation")
    assert isinstance(analysis.result, MultiLabel)
    assert analysis.result.exact_match == 0.75
    assert [words.name for words in analysis.figures] == ["average-precision", "worst-mistakes"]
    numbered = Subject(network.model(), network.part("test").images, network.part("test").targets)
    assert numbered.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.ones(4, 3).long(), "targets have 3 columns, expected one for each of the 4 labels"),
        (torch.full((4, 4), 2), "targets hold 2, expected 1 for a label that an image has"),
        (
            torch.zeros(4, 1, 1, 1).long(),
            r"labels have shape \(4, 1, 1, 1\) for 4 images, expected \(4,\), one class per image; ",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(network, labels, message):
    with pytest.raises(gn.InputError, match=message):
        Subject(network.model(), network.part("test").images, labels, ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("target", "explained"),
    [("predicted", [0, 0, 0, 1]), ("label", [0, 0, 0, 0]), ("c", [2, 2, 2, 2]), ("3", [3, 3, 3, 3])],
)
def test_the_map_is_that_of_one_label(network, target, explained):
    asked = {"images": "0,1,2,3", "layers": ("0",), "methods": ("gradcam",), "target": target}
    (group,) = analyse(network, "attribution", **asked).result.groups
    assert [one["target"] for one in group.facts] == ["abcd"[label] for label in explained]
    assert [one["label"] for one in group.facts] == ["a", "a, b", "no label", "a, b, c, d"]
    assert [one["predicted"] for one in group.facts] == ["a", "a, b", "no label", "b, c, d"]
    assert [one["correct"] for one in group.facts] == [True, True, True, False]
    sigmoid = 1 / (1 + math.exp(-4))
    lit = [(0,), (0, 1), (), (1, 2, 3)]
    expected = [sigmoid if label in on else 1 - sigmoid for label, on in zip(explained, lit, strict=True)]
    assert [one["probability"] for one in group.facts] == pytest.approx(expected, abs=1e-5)
    assert bool(group.note) == (target == "label")
    assert group.note in ("", "1 of 4 images have no label; for these, the most probable label is explained.")


def test_images_are_chosen_by_whether_every_label_is_right(network):
    right, wrong = analyse(network, "attribution", images="mixed:4", layers=("0",), methods=("gradcam",)).result.groups
    assert (right.numbers, wrong.numbers) == ((0, 1), (3,))
    assert right.title == "Correctly labelled images"
    assert wrong.rule == "The first test images that are labelled wrongly, not hand-picked."


def test_what_means_nothing_is_refused(network):
    with pytest.raises(gn.InputError, match="no target 'e' in quarters"):
        analyse(network, "attribution", images="0", layers=("0",), methods=("gradcam",), target="e")
    bare = Subject(network.model(), network.part("test").images, classes=network.classes, task="multilabel")
    with pytest.raises(gn.InputError, match="--target is label, but these images have no labels; give predicted or a"):
        analyse(bare, "attribution", images="0", layers=("0",), methods=("gradcam",), target="label")
    (group,) = analyse(bare, "attribution", images="3", layers=("0",), methods=("gradcam",)).result.groups
    assert (group.facts[0]["label"], group.facts[0]["target"]) == (None, "b")


def test_faithfulness_follows_the_labels_own_probability(network):
    """A sigmoid of its label's score alone, which other labels do not change."""
    asked = {"images": "0,1,3", "layers": ("0",), "methods": ("gradcam",)}
    (group,) = analyse(network, "faithfulness", attribution=asked).result.groups
    (explained,) = analyse(network, "attribution", **asked).result.groups
    model = network.model()
    with torch.no_grad():
        scores = model(torch.from_numpy(explained.images))
    expected = scores[range(len(scores)), explained.targets].sigmoid()
    np.testing.assert_allclose(group.curves["gradcam", "0"].deletion[:, 0], expected, rtol=1e-5)
    assert not np.allclose(expected, scores.softmax(1)[range(len(scores)), explained.targets])


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Bright left or right halves, or both or none, named in a labels.csv; and a run that learns them."""
    from PIL import Image

    folder, random = tmp_path_factory.mktemp("data") / "halves", np.random.default_rng(0)
    folder.mkdir()
    rows = ["file;labels"]
    for number in range(60):
        left, right = number % 2, number // 2 % 2
        pixels = random.integers(0, 60, (12, 12)) + np.repeat([150 * left, 150 * right], 6)[None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png;{'left|' * left}{'right' * right}")
    (folder / "labels.csv").write_text("\n".join(rows))
    small = ("filters=4,4,4,4", "hidden=8")
    return gn.train(
        gn.TrainSettings(
            data=f"folder:{folder}", model="convnet", image_size=12, model_options=small, epochs=8, batch_size=8,
            precision="fp32", augment=False, label_smoothing=0.02, out=folder.parent / "run",
        )
    )  # fmt: skip


def test_a_folder_with_labels_is_learned_and_listed_by_file(pets):
    assert pets.settings.task == "multilabel"
    assert pets.classes == ("left", "right")
    assert pets.metrics["test_mean_average_precision"] > 0.95
    analysis = analyse(pets, "evaluation")
    rows = list(csv.DictReader((analysis.entry.path / "predictions.csv").read_text().splitlines()))
    assert list(rows[0]) == ["file", "true", "predicted", "split", "p(left)", "p(right)"]
    test = pets.dataset().test
    assert [row["file"] for row in rows] == list(test.files)
    for row, target, probability in zip(rows, test.targets, analysis.result.probabilities, strict=True):
        assert row["true"] == ";".join(name for name, has in zip(("left", "right"), target, strict=True) if has)
        assert float(row["p(left)"]) == pytest.approx(float(probability[0]), abs=1e-6)
        said = [name for name in ("left", "right") if float(row[f"p({name})"]) >= 0.5]
        assert row["predicted"] == ";".join(said)


def test_the_report_shows_a_typical_image_of_each_label_with_its_map(pets):
    path = gn.report(pets)
    page = path.read_text()
    for words in ("Which labels are recognised", "A typical image of each label", "Average precision", "Exact match"):
        assert words in page
    examples = next(iter(pets.path.glob("analyses/examples/*/analysis.json")))
    assert '"targets"' in examples.read_text()


def test_features_are_coloured_by_the_first_label(pets):
    embedded = analyse(pets, "embedding", layer="fc1", method="pca", dims=2).result
    first = {0: "left", 1: "right", 2: "no label"}
    files = pets.dataset().test.files
    numbers = [int(files[number].removesuffix(".png")) for number in embedded.numbers]
    expected = ["left" if n % 2 else "right" if n // 2 % 2 else "no label" for n in numbers]
    assert [first[label] for label in embedded.labels] == expected


def test_other_images_need_the_same_labels(pets, tmp_path):
    with pytest.raises(gn.InputError, match="expected 1 and left, right, as"):
        analyse(pets, "evaluation", data="digit-pairs")


def test_curves_count_each_label(pets):
    figure = VIEWS.curves(pets.history, 1)
    texts = [axes.get_ylabel() for axes in figure.axes]
    assert texts == ["loss (nats per label)", "wrong labels (%)"]

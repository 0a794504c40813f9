import dataclasses
import hashlib
import re
import shutil
from types import SimpleNamespace

import jinja2
import pytest
import torch
from PIL import Image
from torch import nn

import glassnet as gn
from glassnet.analysis import Context, stored
from glassnet.analysis.ranking import ranking_of
from glassnet.blocks import Missing
from glassnet.errors import InputError
from glassnet.reports.assemble import _methods, gather, metrics_of, run_report
from glassnet.reports.layers import layer_blocks
from glassnet.reports.pictures import _lead, embedding_blocks, heading_of
from glassnet.reports.summary import summary
from glassnet.subject import Subject
from glassnet.tasks import TASKS

TITLES = [
    "Which classes are confused", "Where it looks", "What it distinguishes", "Layer by layer",
    "Learning curves and the network", "How these numbers were made", "Settings and versions",
]  # fmt: skip
HOSTILE = ['<img src=x onerror="alert(1)">', "{{ 7 * 7 }}", "</script><script>alert(2)</script>"]
SILENT = re.compile(r">[^<]*\b(?:nan|NaN|None|null|inf)\b[^<]*<")


def digests(folder):
    """A digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assembled(run):
    """The report of a run, as blocks."""
    return run_report(gather(Subject.of_run(run), seed=0, precision="fp32", context=Context()))


def network(classes=3, channels=1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(),
        nn.Linear(8, classes),
    )  # fmt: skip


@pytest.fixture
def digits(finished):
    """Forty test digits with their labels."""
    test = finished.dataset().test
    return test.images[:40], test.targets[:40]


@pytest.fixture
def many(finished):
    """More of them."""
    return finished.dataset().test.images[:120]


def page_of(path, outline):
    text = path.read_text()
    words = re.sub(r"<script.*?</script>", "", text.partition("</head>")[2], flags=re.DOTALL)
    assert SILENT.findall(words) == []
    return outline(text)


# ---- a run ----


def test_results_come_first_and_settings_last(reported, outline):
    page = page_of(reported.path / "report.html", outline)
    assert [words for level, words in page.headings if level == 2][:-1] == TITLES
    assert "95% interval" in page.text
    assert (reported.path / "report.html").stat().st_size < 3_000_000


def test_the_main_numbers_stand_once_and_are_the_evaluations(reported):
    report = assembled(reported)
    evaluation = stored(Subject.of_run(reported), "evaluation")[-1].result
    headlines = {line.name: (line.value, line.note) for line in report.headlines}
    accuracy = f"{100 * evaluation.accuracy:.2f}%"
    low, high = (f"{100 * bound:.2f}" for bound in evaluation.accuracy_interval)
    assert headlines["Test accuracy"] == (accuracy, f"95% interval {low} to {high}%")
    assert headlines["Saved epoch"][0] == f"{reported.metrics['epoch']} of 3"
    words = " ".join(report.summary)
    assert accuracy not in words
    assert f"{1000 - len(evaluation.wrong)} of 1,000 images correctly and {len(evaluation.wrong)} wrongly" in words


def test_a_report_changes_no_file_of_a_run_but_its_own(run, finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "bare")
    gn.analyse(tmp_path / "bare", "attribution", images="correct:2", layers=("conv4",), methods=("gradcam",))
    for folder in (run.path, tmp_path / "bare"):
        before = digests(folder)
        gn.report(folder)
        after = digests(folder)
        changed = {name for name in before if after.get(name) != before[name]}
        assert changed <= {"report.html"}
        assert {name for name in after.keys() - before.keys() if not name.startswith("analyses/")} <= {"report.html"}
    assert digests(run.path).keys() == before_names(run.path)
    assert len(stored(Subject.of_run(gn.Run.open(tmp_path / "bare")), "attribution")) == 2


def before_names(folder):
    """What a second report must not add to."""
    gn.report(folder)
    return digests(folder).keys()


def test_it_is_written_the_same_again_or_elsewhere(run, tmp_path):
    elsewhere = tmp_path / "pages" / "page.html"
    assert gn.report(run, out=elsewhere) == elsewhere
    assert elsewhere.read_text() == gn.report(run).read_text()
    with pytest.raises(InputError, match="expected a file, as in"):
        gn.report(run, out=tmp_path)


@pytest.mark.parametrize(
    ("kind", "file", "title", "words"),
    [
        ("evaluation", "analysis.json", "Results", "The images were not evaluated: "),
        ("evaluation", "arrays.npz", "Results", "The images were not evaluated: "),
        ("embedding", "analysis.json", "What it distinguishes", "Some plots of its features are missing: "),
        ("attribution", "analysis.json", "Layer by layer", "Some maps of its predictions are missing: "),
    ],
)
def test_a_damaged_analysis_is_left_out_and_said_and_the_rest_is_written(
    run, outline, capsys, kind, file, title, words
):
    place = next((run.path / "analyses" / kind).iterdir()) / file
    place.write_bytes(b"{")
    page = page_of(gn.report(run), outline)
    assert f"{place} is damaged" in capsys.readouterr().err
    assert words in page.text
    assert f"{file} is damaged" in page.text
    expected = TITLES if kind != "evaluation" else ["Results", *TITLES[2:]]
    assert title in expected
    assert [heading for level, heading in page.headings if level == 2][:-1] == expected
    assert place.read_bytes() == b"{"


def test_a_damaged_figure_gives_way_to_its_other_file_or_is_left_out_and_said(run, outline, capsys):
    folder = run.path / "analyses" / "attribution"
    drawing = next(folder.glob("*/maps-wrong.svg"))
    drawing.write_text("<svg")
    page = page_of(gn.report(run), outline)
    assert f"left out: {drawing} is damaged" in capsys.readouterr().err
    assert "is left out" not in page.text
    drawing.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page = page_of(gn.report(run), outline)
    assert "The figure “Wrongly classified images” is left out: " in page.text
    drawing.unlink()
    drawing.with_suffix(".png").unlink()
    page = page_of(gn.report(run), outline)
    assert "is left out: its files are missing." in page.text
    assert "Correctly classified images, layer by layer" in page.text


def test_a_report_that_cannot_be_made_leaves_the_old_one(run):
    before = digests(run.path)
    with pytest.raises(InputError):
        gn.report([run, run.path / "nothing"])
    assert digests(run.path) == before


def test_evaluations_of_other_images_have_a_section_of_their_own(run, outline):
    gn.evaluate(run, split="train")
    page = page_of(gn.report(run), outline)
    assert "The same network on other images" in [words for _, words in page.headings]
    assert "mnist-sample (train, 4,000 images, fp32)" in page.text


def test_other_explanations_and_the_layers_compared_are_folded(run, outline):
    asked = {"images": "correct:1", "layers": ("conv4",), "methods": ("gradcam",)}
    gn.analyse(run, "attribution", **asked)
    gn.analyse(run, "faithfulness", attribution=asked)
    page = page_of(gn.report(run), outline)
    assert "Also explained: Correctly classified images (4), Wrongly classified images (4): Grad-CAM, " in page.text
    assert "How faithful the maps are: Correctly classified images (1): Grad-CAM at conv4" in page.text
    assert "Pixels in random order have a deletion area of" in page.text


def test_the_report_says_which_layer_to_look_at(run, outline):
    asked = {"images": "correct:3", "layers": ("conv3", "conv4"), "methods": ("gradcam",)}
    measured = gn.analyse(run, "faithfulness", attribution=asked)
    ranking = gn.analyse(run, "ranking", attribution={**asked, "images": "first:5"}, steps=4)
    text = page_of(gn.report(run), outline).text
    assert " ".join(ranking.result.recommendation().split()) in " ".join(text.split())
    assert "The layers ranked: 5 images (first:5), Grad-CAM" in text
    assert "Layers ranked by how faithful their maps are: mean and 95% interval over 5 images" in text
    derived = ranking_of(measured.result, seed=0)
    assert derived.images == 3
    assert " ".join(derived.recommendation().split()) in " ".join(text.split())


def test_pictures_of_one_title_say_in_what_they_differ_and_own_photographs_follow(digits, tmp_path):
    images, labels = digits
    subject = gn.Subject(network(10), images, labels)
    Image.fromarray(images[0, 0].numpy()).save(tmp_path / "own.png")
    usual = {"layer": "4", "method": "pca"}
    asked = [usual, usual | {"precision": "bf16"}, usual | {"images": 20, "seed": 1}, usual | {"dims": 3}]
    embedded = [gn.analyse(subject, "embedding", **one) for one in asked]
    assert [heading_of(one, embedded).partition(" dimensions")[2] for one in embedded] == [
        ", at most 5,000 images, seed 0, fp32", ", at most 5,000 images, seed 0, bf16",
        ", at most 20 images, seed 1, fp32", "",
    ]  # fmt: skip
    blocks = list(embedding_blocks(subject, embedded, None, ()))
    titles = [one.title for one in blocks[0].blocks] + [one.summary for one in blocks[1:]]
    assert len(set(titles)) == len(titles)
    explained = [
        gn.analyse(subject, "attribution", images=chosen, layers=("conv",), methods=("gradcam",))
        for chosen in ("first:2", str(tmp_path / "own.png"))
    ]
    first, *others = layer_blocks(subject, explained, [], [])
    assert first.title == "First images"
    assert others[-1].summary == "Also explained: own.png (1): Grad-CAM at 0"


def test_the_sentence_above_a_picture_claims_what_was_measured(digits, outline):
    images, labels = digits
    subjects = [gn.Subject(network(10), images, given) for given in (labels, None)]
    leads = [_lead(gn.analyse(one, "embedding", layer="4", method="tsne").result) for one in subjects]
    assert leads[0].endswith("own class; the higher this number, the better this plot of 4 separates the classes.")
    assert "Neighbours here are neighbours in 4 with a trustworthiness of " in leads[1]


# ---- several ----


def test_several_runs_begin_with_their_comparison(run, outline, tmp_path):
    second = shutil.copytree(run.path, tmp_path / "second <one>")
    page = page_of(gn.report([run, second], out=tmp_path / "both.html"), outline)
    assert [words for level, words in page.headings if level < 3][:-1] == [
        "2 runs compared", "Comparison", "tiny", "second <one>",
    ]  # fmt: skip
    assert [words for level, words in page.headings if level == 3] == TITLES * 2
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(link["href"].startswith(("#", "https://")) for link in page.having("a"))


def test_a_network_without_a_run_is_compared_by_its_evaluation(reported, digits, outline, tmp_path):
    images, labels = digits
    own = gn.Subject(network(10), images, labels, name="my network")
    page = page_of(gn.report([reported, own], out=tmp_path / "both.html"), outline)
    accuracy = f"{100 * gn.evaluate(own).accuracy:.2f}%"
    *_, row = page.text.partition("The runs in this report")[2].partition("my network")
    assert accuracy in row[:200]


def test_nothing_to_report_is_an_input_error():
    with pytest.raises(InputError, match="no run was given, expected at least one run directory"):
        gn.report([])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp8"}, "no precision 'fp8'. Did you mean fp32"),
        ({"seed": "x"}, "seed is 'x', expected a whole number of at least 0"),
        ({"seed": -1}, "seed is -1, expected a whole number of at least 0"),
        ({"seed": 0.5}, "seed is 0.5, expected a whole number of at least 0"),
        ({"device": "x"}, "'x'"),
    ],
)
def test_wrong_options_are_refused_before_any_work(digits, tmp_path, options, words):
    subject = gn.Subject(network(), digits[0], out=tmp_path / "mine")
    with pytest.raises(InputError, match=words):
        gn.report(subject, **options)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("what", [None, 3, network()])
def test_what_is_no_subject_is_refused_by_its_type(what):
    with pytest.raises(InputError, match=f"got a {type(what).__name__}, expected a run, its path, or a subject"):
        gn.report(what)


# ---- networks with images ----


def test_a_network_with_images_and_nowhere_to_write(digits):
    with pytest.raises(InputError, match="Sequential has no folder to write to; give a file, as in out="):
        gn.report(gn.Subject(network(), digits[0]))


def test_a_network_with_a_folder_keeps_its_analyses_there(digits, tmp_path, outline):
    images, labels = digits
    subject = gn.Subject(network(10), images, labels, out=tmp_path / "mine")
    page = page_of(gn.report(subject), outline)
    assert (tmp_path / "mine" / "report.html").exists()
    assert {place.parent.name for place in subject.store.places()} == {"evaluation", "embedding", "features",
                                                                      "attribution", "examples"}  # fmt: skip
    assert "Sequential on 40 images" in page.text
    gathered = gather(subject, seed=0, precision="fp32", context=Context())
    assert metrics_of(gathered)["test_accuracy"] == gathered.evaluation.result.accuracy
    assert not any(isinstance(block, Missing) for part in run_report(gathered).sections for block in part.blocks)
    assert [words for level, words in page.headings if level == 2][:-1] == [*TITLES[:4], "The network", TITLES[5]]


def test_numbers_of_other_weights_and_images_are_left_out_and_said(digits, tmp_path, outline, capsys):
    images, labels = digits
    net = network(10)
    subject = gn.Subject(net, images, labels, out=tmp_path / "mine")
    Image.fromarray(images[0, 0].numpy()).save(tmp_path / "own.png")
    gn.evaluate(subject)
    explained = {"layers": ("conv",), "methods": ("gradcam",)}
    for chosen in ("first:1", str(tmp_path / "own.png")):
        gn.analyse(subject, "attribution", images=chosen, **explained)
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    gn.analyse(subject, "attribution", images=str(tmp_path / "own.png"), **explained)
    (tmp_path / "own.png").unlink()  # what was found of it is of this network all the same
    page = page_of(gn.report(subject), outline)
    outdated = ("evaluation/test", "attribution/first1-gradcam", "attribution/own.png-gradcam")
    assert (
        f"Left out, because they were made with images or weights that have changed since: {', '.join(outdated)}."
        in page.text
    )
    err = capsys.readouterr().err
    assert all(f"left out: {one} was made with images or weights" in err for one in outdated)
    accuracy = f"{100 * (labels == 0).float().mean():.2f}%"
    assert accuracy in page.text.partition("95% interval")[0]
    assert page.text.count("Also explained: own.png") == 1
    half = gn.Subject(net, images[:20], labels[:20], out=tmp_path / "mine")
    gathered = gather(half, seed=0, precision="fp32", context=Context())
    assert gathered.evaluation.result.images == 20


def test_without_labels_nothing_is_said_of_right_and_wrong(digits, tmp_path, outline):
    page = page_of(gn.report(gn.Subject(network(), digits[0]), out=tmp_path / "page.html"), outline)
    assert "The images have no labels, so right and wrong cannot be told apart." in page.text
    for words in ("accuracy", "own class", "Ringed", "Adjusted Rand"):
        assert words not in page.text.partition("How these numbers were made")[0].replace(
            "How to read these plots and numbers", ""
        )
    assert next(words for level, words in page.headings if level == 2) == "What it sees"


class Constant(nn.Module):
    """A network whose features are all the same."""

    def __init__(self):
        super().__init__()
        self.body = network()
        for parameter in self.body.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images):
        return self.body(images)


CASES = {
    "two images": (lambda: network(2), 2, ("cat", "dog"), True),
    "constant features": (Constant, 20, ("a", "b", "c"), True),
    HOSTILE[2]: (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 4)),
        20,
        ("Cavalier King Charles spaniel", *HOSTILE),
        False,
    ),
    "sixty classes": (lambda: network(60), 120, tuple(f"class number {k}" for k in range(60)), False),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_made_is_left_out_and_said_and_the_rest_is_written(name, many, tmp_path, outline, capsys):
    build, count, classes, lacks = CASES[name]
    subject = gn.Subject(build(), many[:count], torch.arange(count) % len(classes), classes, name=name)
    page = page_of(gn.report(subject, out=tmp_path / "page.html"), outline)
    titles = [words for level, words in page.headings if level == 2]
    assert titles[:-1] == [*TITLES[:4], "The network", TITLES[5]]
    assert ("left out: " in capsys.readouterr().err) == lacks
    assert ("Some plots of its features are missing: " in page.text) == lacks
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert {a.get("type") for a in page.having("script")} <= {None, "application/json"}
    assert all(one in page.text for one in (name, *classes))


class Copies(nn.Module):
    """A segmentation without a layer."""

    def forward(self, images):
        return torch.cat([images, 1 - images], 1)


def test_a_segmentation_without_convolutions_has_a_report(digits, tmp_path, outline):
    subject = gn.Subject(Copies(), digits[0][:4] / 255, (digits[0][:4, 0] > 127).long())
    page = page_of(gn.report(subject, out=tmp_path / "page.html"), outline)
    assert "Test mean IoU" in page.text
    assert [words for level, words in page.headings if level == 2][:2] == ["Results", "Layer by layer"]


@pytest.mark.parametrize("name", ["wanted", "network", "results"])
def test_a_part_that_its_task_cannot_make_is_said_and_the_rest_is_written(digits, monkeypatch, capsys, name):
    def cannot(_):
        raise InputError(f"no {name} here; change it.")

    subject = gn.Subject(network(10), digits[0][:3], digits[1][:3])
    views = dataclasses.replace(subject.task.views(), **{name: cannot})
    task = dataclasses.replace(subject.task)
    object.__setattr__(task, "views", lambda: views)
    subject.task = task
    report = run_report(gather(subject, seed=0, precision="fp32", context=Context()))
    blocks = [
        inner for section in report.sections for block in section.blocks for inner in getattr(block, "blocks", [block])
    ]
    assert any(f"no {name} here; change it." in block.what for block in blocks if isinstance(block, Missing))
    assert f"left out: no {name} here" in capsys.readouterr().err
    assert {"layers", "network", "methods"} <= {section.key for section in report.sections}
    assert report.headlines[0].name == "Test accuracy"


# ---- the other tasks ----


@pytest.mark.parametrize(("fixture", "words"), [("segmented", "Test mean IoU"), ("vae", "Test PSNR")])
def test_the_other_tasks_have_a_report_too(request, fixture, words, tmp_path, outline):
    folder = shutil.copytree(request.getfixturevalue(fixture).path, tmp_path / fixture)
    page = page_of(gn.report(folder), outline)
    assert words in page.text
    titles = [heading for level, heading in page.headings if level == 2]
    assert titles[0] == "Results"
    assert titles[-3:-1] == TITLES[-2:]
    assert len([a for _, a in page.elements if a.get("class") == "drawing"]) >= 5


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("leak", "summed", "method"),
    [
        (0, "The test images played no part in either.", "the test images play no part."),
        (
            1,
            "Of the 13 test images 1 is a copy of one of these, ",
            "1 of the test images is also among the training or held-out images",
        ),
        (
            8,
            "Of the 13 test images 8 are copies of these, ",
            "8 of the test images are also among the training or held-out images",
        ),
    ],
)
def test_copies_among_the_test_images_are_said_where_its_numbers_are(task, leak, summed, method):
    data = {"train": 20, "validation": 4, "test": 13, "leak": leak}
    run = SimpleNamespace(manifest={"data": data, "settings": {}}, settings={})
    subject = SimpleNamespace(run=run, task=TASKS[task], labelled=True, data_changed="")
    assert summed in " ".join(summary(subject, None))
    block = _methods(subject)
    assert method in " ".join(jinja2.Template(block.source).render(block.context).split())

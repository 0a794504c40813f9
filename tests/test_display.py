"""Every public result says in one line what it is, and shows itself in a notebook as plain, escaped HTML."""

import dataclasses
import html.parser
import inspect

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet import analysis, display, tasks
from glassnet.display import brief, drawable, table_html
from glassnet.stats import MeanCI, PairedDifference
from glassnet.tables import make_table
from tiny_nets import TinyNet
from tiny_runs import copied

EVIL = "<script>alert(1)</script>\n\x1b[2Jcat"
LABELS = np.arange(24) % 3


class Page(html.parser.HTMLParser):
    """Which tags there are, and whether each is closed in its order."""

    VOID = ("img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory):
    """One of each public result, by its class's name; the names in it are as bad as they can be."""
    finished = copied(finished, tmp_path_factory.mktemp("runs"))
    torch.manual_seed(0)
    net, images = TinyNet(), torch.rand(24, 3, 12, 12)
    features = {"fc1": np.random.default_rng(0).normal(size=(24, 6)) + 3 * LABELS[:, None], EVIL: np.eye(24)}
    explanation = gn.explain(net, images[:2], layers="conv")
    subject = gn.Subject(net, images, labels=LABELS, classes=[EVIL, "dog", "owl"], name=EVIL)
    embedding = gn.embed(features["fc1"], method="pca")
    scores = gn.layer_scores(features, LABELS, neighbours=3)
    faithfulness = gn.faithfulness(net, images[:2], explanation, steps=3)
    kinds = {
        "embedding": {"layer": "fc1", "method": "pca"},
        "features": {"layer": "fc1"},
        "attribution": {"images": "mixed:2"},
        "examples": {"rows": (0, 1)},
        "layers": {"layers": ("fc1", "fc2")},
        "faithfulness": {"images": "mixed:2", "methods": ("gradcam",), "layers": "conv2"},
    }
    analyses = [gn.analyse(subject, kind, **options) for kind, options in kinds.items()]
    found = [
        *(explanation, embedding, faithfulness, scores, scores[0], scores[0].probe, subject, finished),
        *(scores[0].separability, scores[0].spread, gn.cka(features), next(iter(faithfulness.curves.values()))),
        gn.cluster(embedding.points, k=3, labels=LABELS),
        gn.quality(features["fc1"], embedding.points),
        gn.sanity_check(net, images[:2], methods=["gradcam"], layers="conv2"),
        *(gn.layer_table(net, (1, 3, 12, 12)), gn.layer_table(net, (1, 3, 12, 12))[0]),
        gn.EpochRecord(1, {"train_loss": 1.0}, net, None),
        gn.TrainingInfo(finished.path, finished.settings, EVIL, (EVIL,), "", ({"epoch": 1},), finished.dataset().test),
        (ranking := gn.rank_layers(net, images[:4], layers="conv", steps=3)),
        gn.ablate(net, images, LABELS, "conv2"),
        *((found := gn.channels(net, images, LABELS, classes=[EVIL, "dog", "owl"])), found["conv2"]),
        gn.concepts(net, images, "relu:1", 2, points=4),
        gn.receptive_field(net, "conv2", 12),
        gn.visualize(net, "conv2", real=images, steps=2),
        ranking.best,
        *(finished.dataset(), finished.dataset().test, subject.evaluate(), finished.evaluate()),
        *(MeanCI(np.array([0.5, 1]), 0.75, 0.5, 1.0, 2), PairedDifference(0.1, None, None, 0.5, 0.5, 2)),
        *(explanation.show(), *analyses, *(one.result for one in analyses)),
        *(part for one in analyses for part in getattr(one.result, "groups", getattr(one.result, "rows", ()))),
    ]
    return {type(one).__name__: one for one in found if not isinstance(one, int)}


def test_every_result_has_a_repr_of_one_line(results):
    lines = {name: repr(result) for name, result in results.items()}
    assert {name for name, text in lines.items() if len(text.splitlines()) != 1} == set()
    assert {name: text for name, text in lines.items() if not text.startswith(name)} == {}
    assert {name: text for name, text in lines.items() if len(text) > 2 * display.LONGEST_LINE} == {}
    assert {name: text for name, text in lines.items() if "\x1b" in text or " at 0x" in text} == {}


def test_every_result_shows_itself_in_a_notebook_without_scripts(results):
    known = {"div", "p", "code", "table", "caption", "thead", "tbody", "tr", "th", "td", "img", "br", "pre"}
    pages = {name: Page(result._repr_html_()) for name, result in results.items()}
    assert {name for name, page in pages.items() if not page.tags or set(page.tags) - known} == set()
    for name, page in pages.items():
        for key, value in page.attributes:
            assert key in ("style", "alt") or value.startswith("data:image/png;base64,"), (name, key)
    assert {name for name, page in pages.items() if "img" in page.tags} >= {"Explanation", "Embedding", "Drawing"}


def test_every_public_class_is_tried(results):
    no_results = {"GlassnetError", "InputError", "WorkError", "TrainSettings", "Callback", "Transforms"}
    public = {name for name in gn.__all__ if inspect.isclass(getattr(gn, name))} - no_results
    of_tasks = {task.result.__name__ for task in tasks.TASKS.values()}
    assert public <= set(results) | {"Tuning"}
    assert all(issubclass(task.result, display.Shown) for task in tasks.TASKS.values()), of_tasks
    assert {kind.name for kind in analysis.KINDS.values()} >= {"evaluation", "embedding", "features"}


def test_a_mapping_a_sequence_and_an_array_are_named_briefly():
    assert brief({"a": 1, "b": 2}) == "{a, b}"
    assert brief(dict.fromkeys("abcdef", 0)) == "{a, b, c, d and 2 more}"
    assert brief({("gradcam", "conv1"): 0}) == "{gradcam at conv1}"
    assert brief((1, 2.5, "x", None, True, 7)) == "(1, 2.5, x, None and 2 more)"
    assert brief(np.zeros((2, 3), np.float32)) == brief(torch.zeros(2, 3)) == "float32 (2, 3)"
    assert brief(np.float64(1 / 3)) == "0.3333"
    assert brief("a\nb" + "c" * 99) == "a b" + "c" * 56 + "…"
    assert brief(len) == "len"


def test_a_long_line_is_cut_and_a_long_table_says_what_is_left():
    @dataclasses.dataclass(frozen=True, repr=False)
    class Long(display.Shown):
        words: tuple[str, ...]
        more: str

    assert repr(Long(("w" * 59,) * 9, "x" * 59)).endswith("…)")
    assert len(repr(Long(("w" * 59,) * 9, "x" * 59))) == display.LONGEST_LINE - 0
    table = make_table("Caption", ("a", "b"), [("x", i) for i in range(70)], total=("sum", 2415), note="A note.")
    written = table_html(table)
    assert written.count("<tr>") == 62  # a heading, 60 rows, a total
    assert "and 10 rows more" in written
    assert "A note." in written
    assert '<td style="text-align:right">59</td>' in written
    assert '<td style="text-align:left">x</td>' in written


def test_images_that_can_be_drawn_stay_and_others_are_stretched_to_their_range(capsys):
    unit, levels = torch.rand(2, 3, 2, 2), np.zeros((2, 1, 2, 2), np.uint8)
    assert np.array_equal(drawable(unit), unit.numpy())
    assert drawable(levels) is levels
    normalised = np.array([-2.0, 0.0, 1.0, 2.0]).reshape(2, 1, 1, 2)
    assert drawable(normalised).ravel().tolist() == [0, 0.5, 0.75, 1]
    assert "stretched to its own range" in capsys.readouterr().err
    several = np.stack([np.zeros((1, 2, 2)), np.ones((1, 2, 2))], axis=1)
    assert drawable(several).tolist() == [[[[0.5, 0.5], [0.5, 0.5]]]]
    assert "images with 2 channels are drawn as the mean" in capsys.readouterr().err
    assert drawable(unit.bfloat16()).dtype == np.float32

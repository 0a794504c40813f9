"""Any analysis: found if it is there, computed and kept if not, and never at the cost of another."""

import copy as copying
import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet.analysis import KINDS, analyse, build_request, stored
from glassnet.analysis import base as base_module
from glassnet.analysis.attribution import AttributionRequest
from glassnet.analysis.evaluation import listed_images
from glassnet.errors import InputError
from glassnet.run.codec import encode
from glassnet.subject import Subject, as_subject
from tiny_nets import CLASSES, TinyNet, coloured, make_subject

QUICK = {
    "evaluation": {},
    "features": {"layer": "fc1"},
    "embedding": {"layer": "fc1", "method": "pca"},
    "layers": {},
    "alignment": {},
    "attribution": {"images": "correct:4", "layers": "conv2"},
    "faithfulness": {"attribution": {"images": "correct:4", "layers": ("conv2",)}},
    "ranking": {"attribution": {"images": "correct:4"}, "steps": 4},
    "channels": {"layers": "conv2", "sheet": 2},
    "examples": {"rows": (0, 3)},
    "predictions": {"images": "first:3"},
}
"""Settings of each kind that are quick to compute."""


def assert_equal_results(one, other):
    """Compare two results by what is written of them."""
    (document, arrays), (same, others) = encode(one), encode(other)
    assert document == same
    assert arrays.keys() == others.keys()
    for key, array in arrays.items():
        assert array.dtype == others[key].dtype
        assert np.array_equal(array, others[key], equal_nan=array.dtype.kind == "f")


def test_each_kind_is_tried_here():
    assert QUICK.keys() == KINDS.keys()


@pytest.fixture(scope="module")
def subject_kept(tmp_path_factory):
    """A subject whose folder holds an analysis of each kind, to be read only, and they by kind."""
    subject = make_subject(tmp_path_factory.mktemp("kept"))
    return subject, {kind: analyse(subject, kind, **QUICK[kind]) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_asked_again_it_is_found_and_equal_and_nothing_is_computed(subject_kept, kind):
    subject, firsts = subject_kept
    model, first = subject.model(), firsts[kind]
    passes = model.passes
    assert passes > 0
    again = analyse(as_subject(subject), kind, **QUICK[kind])
    assert model.passes == passes
    assert again.entry.path == first.entry.path
    assert again.request == first.request
    assert type(again.result) is type(first.result)
    assert_equal_results(again.result, first.result)
    assert again.figures == first.figures
    assert again.to_json() == first.to_json()
    json.dumps(again.to_json(), allow_nan=False)
    assert "\n" not in repr(again.result)
    assert len(repr(again.result)) < 200


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_store_it_is_computed_and_returned_with_its_figures(subject_kept, make, kind):
    kept = subject_kept[1][kind]
    bare = analyse(make(), kind, **QUICK[kind])
    assert (bare.entry, bare.name) == (None, kind)
    assert bare.figures == kept.figures
    if kind != "faithfulness":  # which names the attribution it is of
        assert_equal_results(bare.result, kept.result)


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_holds_all_that_made_it_in_order(subject_kept, kind):
    subject, firsts = subject_kept
    entry = firsts[kind].entry
    document = json.loads((entry.path / "analysis.json").read_text())
    about = {"evaluation": ["images"], "embedding": ["used"]}.get(kind, [])
    assert list(document) == [
        "entry_version", "kind", "subject", "settings", "made_of", *about, "versions", "code", "made", "seconds",
        "result", "figures",
    ]  # fmt: skip
    assert document["subject"] == {"name": "tiny", "task": "classification", "data": None}
    fields = [one for one in dataclasses.fields(KINDS[kind].request) if not one.metadata.get("later")]
    assert document["settings"].keys() == {one.name for one in fields}
    assert document["made_of"] == subject.made_of("test")
    assert document["versions"].keys() >= {"glassnet", "python", "torch", "numpy"}
    for words in entry.figures:
        assert words.title
        assert words.alt
        assert entry.figure_file(words.name, "png").stat().st_size > 1000
        assert "<svg" in entry.figure_file(words.name, "svg").read_text()


def test_other_settings_images_weights_and_classes_make_other_entries(make, tmp_path):
    subject = make(tmp_path)
    names = [analyse(subject, "features", layer="fc1").name]
    names.append(analyse(subject, "features", layer="fc2").name)
    names.append(analyse(subject, "features", layer="fc1", images=10).name)
    names.append(analyse(make(tmp_path, n=21), "features", layer="fc1").name)
    with torch.no_grad():
        subject.model().fc1.bias += 1
    names.append(analyse(subject, "features", layer="fc1").name)
    assert names == ["features/fc1", "features/fc2", "features/fc1-10", "features/fc1-2", "features/fc1-3"]
    assert sorted(one.name for one in stored(subject)) == sorted(names)
    assert len(stored(subject, "evaluation")) == 0
    assert stored(make()) == []


def test_a_chosen_name_is_checked_before_any_work(subject, capsys):
    first = analyse(subject, "features", layer="fc1", name="mine")
    assert first.name == "features/mine"
    passes = subject.model().passes
    for name, message in (("mine", "choose another --name, or remove"), ("a/b", "cannot name an analysis")):
        with pytest.raises(InputError, match=message):
            analyse(subject, "features", layer="fc2", name=name)
    assert subject.model().passes == passes
    assert analyse(subject, "features", layer="fc1", name="other").name == "features/mine"
    command = f"`glassnet analyses {subject.store.folder} --rename features/mine other`"
    assert f"features/mine already has these settings; to rename it: {command}." in capsys.readouterr().err


def test_what_another_version_made_is_said(subject, monkeypatch, capsys):
    analyse(subject, "features", layer="fc1")
    analyse(subject, "features", layer="fc1")
    assert "another version" not in capsys.readouterr().err
    monkeypatch.setattr(base_module, "code_digest", lambda *_packages: "other")
    again = analyse(subject, "features", layer="fc1")
    assert "features/fc1 was made by another version of glassnet; remove it with" in capsys.readouterr().err
    assert again.name == "features/fc1"


@pytest.mark.parametrize("kind", ["evaluation", "embedding"])
def test_where_nothing_can_be_written_it_is_computed_and_that_is_said_once(subject, monkeypatch, capsys, kind, context):
    kept = analyse(subject, "features", layer="fc2")
    before = sorted(subject.path.rglob("*"))
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    bare = analyse(subject, kind, context=context, **QUICK[kind])
    passes = subject.model().passes
    again = analyse(subject, kind, context=context, **QUICK[kind])
    assert bare.entry is again.entry is None
    assert bare.plots
    assert subject.model().passes == passes  # what is shared remembers it
    assert capsys.readouterr().err.count("is read-only, so the analyses are not saved") == 1
    assert sorted(subject.path.rglob("*")) == before
    assert analyse(subject, "features", layer="fc2").entry.path == kept.entry.path  # what is there is read


def test_a_figure_that_fails_leaves_no_entry(subject):
    def fail(*_):
        raise RuntimeError("the figure failed")

    kind = dataclasses.replace(KINDS["features"], plots=fail)
    with pytest.raises(RuntimeError, match="the figure failed"):
        base_module.get(kind, subject, KINDS["features"].request("fc1"))
    assert list((subject.path / "analyses" / "features").iterdir()) == []


def test_a_damaged_entry_is_named(subject):
    entry = analyse(subject, "features", layer="fc1").entry
    (entry.path / "arrays.npz").unlink()
    with pytest.raises(InputError, match=r"fc1/analysis\.json is damaged \(array features is missing"):
        analyse(subject, "features", layer="fc1")
    (entry.path / "arrays.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"fc1/arrays\.npz is damaged .* --remove features/fc1` and make it again"):
        stored(subject)


def test_what_is_remembered_of_one_subject_is_never_given_for_another(make, context):
    """An object that is gone may leave its identity to the next."""
    rows = [analyse(make(n=n), "features", layer="fc1", context=context).result.features for n in range(5, 12)]
    assert [len(one) for one in rows] == list(range(5, 12))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("embeding", {}, r"no kind of analysis 'embeding'\. Did you mean embedding"),
        ("embedding", {}, r"embedding needs layer; give it, as in layer='fc1'"),
        ("embedding", {"layer": "fc1", "perplexities": 3}, r"no setting 'perplexities' of embedding\. Did you mean"),
        ("embedding", {"layer": "fc1", "split": "val"}, "the setting split is 'val', expected one of train, test"),
        ("embedding", {"layer": "fc1", "images": "many"}, "the setting images is 'many', expected a whole number"),
        ("embedding", {"layer": 3}, "the setting layer is 3, expected a name"),
        ("features", {"layer": "fc1", "images": 0}, "0 images are asked for, expected at least 1"),
        ("layers", {"images": -1}, "-1 images are asked for, expected at least 1"),
        ("evaluation", {"precision": "fp8"}, "the setting precision is 'fp8', expected one of fp32, bf16"),
        ("attribution", {"mask": "circle"}, "the setting mask is 'circle', expected one of auto, stroke, none"),
        (
            "attribution",
            {"layers": ("conv1", 3)},
            "the setting layers is .*, expected a list whose values are each a name",
        ),
        ("faithfulness", {"attribution": {"mask": 1}}, "the setting mask is 1, expected one of auto"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_any_work(subject, kind, settings, message):
    passes = subject.model().passes
    with pytest.raises(InputError, match=message):
        analyse(subject, kind, **settings)
    assert subject.model().passes == passes


def test_settings_may_be_given_as_one_has_them():
    one = build_request("embedding", {"layer": "fc1", "perplexity": 5, "images": np.int64(20)})
    assert encode(one)[0]["perplexity"] == [5.0]
    assert json.dumps(encode(one)[0]["perplexity"]) == "[5.0]"  # 5 and 5.0 are one setting
    assert build_request("embedding", {"layer": "fc1", "perplexity": [5.0], "images": 20}) == one
    maps = AttributionRequest(images="0,1", layers=("conv2",))
    faithfulness = build_request("faithfulness", {"attribution": maps})
    assert build_request("faithfulness", {"attribution": {"images": "0,1", "layers": ["conv2"]}}) == faithfulness


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rows": (99,)}, "rows names 99, expected indices of the"),
        ({"rows": (-1,)}, "rows names -1, expected indices of the"),
        ({"rows": ()}, "rows is empty, expected indices of the"),
        ({"rows": (0, 1), "targets": (0,)}, "there are 1 targets for 2 rows; give one for each"),
    ],
)
def test_examples_that_are_not_there_are_refused(subject_kept, settings, words):
    with pytest.raises(InputError, match=words):
        analyse(subject_kept[0], "examples", **settings)


# Settings as a notebook gives them.


def test_layers_may_be_modules_and_are_kept_as_names(subject):
    network = subject.model()
    explained = subject.explain(images="first:2", layers=[network.conv2, "conv1"])
    assert explained.request.layers == ("conv1", "conv2")
    assert explained.entry.settings["layers"] == ["conv1", "conv2"]
    assert subject.features(network.fc1).request.layer == "fc1"
    assert analyse(subject, "embedding", layer=network.fc1, method="pca").request.layer == "fc1"
    measured = analyse(subject, "faithfulness", attribution={"images": "first:2", "layers": [network.conv2]})
    assert measured.request.attribution.layers == ("conv2",)


def test_a_module_of_a_copy_is_known_by_its_weights_or_refused(subject):
    other = copying.deepcopy(subject.model())
    assert subject.explain(images="first:2", layers=other.conv2).request.layers == ("conv2",)
    other.conv2.weight.data += 1
    with pytest.raises(InputError, match=r"layers holds a Conv2d that is not in this TinyNet; pass a module of this"):
        subject.explain(layers=[other.conv2])
    with pytest.raises(InputError, match=r"layers holds a ReLU that is not in this TinyNet"):
        subject.explain(layers=[other.relu])


@pytest.mark.parametrize("images", [[0, 1], (0, 1), np.array([0, 1]), torch.tensor([0, 1]), ["0", "1"], "0,1"])
def test_images_are_indices_in_any_form(images):
    assert build_request("attribution", {"images": images}).images == "0,1"


def test_faithfulness_takes_the_settings_of_its_attribution():
    asked = AttributionRequest("first:2", ("conv2",), ("gradcam",))
    by_words = {"images": "first:2", "layers": "conv2", "methods": "gradcam"}
    for settings in ({"attribution": asked}, {"attribution": by_words}, by_words):
        request = build_request("faithfulness", {**settings, "seed": 3})
        assert (request.attribution, request.seed) == (asked, 3)
    with pytest.raises(InputError, match="the setting attribution"):
        build_request("faithfulness", {"attribution": 5})
    with pytest.raises(InputError, match="no setting 'imagess' of attribution"):
        build_request("faithfulness", {"attribution": {"imagess": 5}})


def test_a_subjects_run_is_loaded_once_and_digested_anew_only_where_it_was_written_to(copy):
    subject = Subject.of_run(str(copy.path))
    model, digest = subject.model(), subject.weights_digest
    assert subject.model(torch.device("cpu")) is model
    assert digest == Subject.of_run(copy).weights_digest
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert subject.weights_digest != digest


def test_a_run_is_asked_as_a_subject_is(copy):
    assert copy.evaluate().images == len(copy.dataset().test)
    layer = copy.model().conv1
    assert copy.explain(images=[0, 1], layers=layer).request.layers == ("conv1",)
    assert copy.features(layer, images=8).result.features.shape[0] == 8
    assert copy.embed(layer, images=8, method="pca").result.points.shape == (8, 2)


def test_layers_and_methods_in_another_order_are_the_same_analysis(subject):
    asked = {"images": "first:2", "methods": ("gradcam", "saliency")}
    first = analyse(subject, "attribution", layers=("conv1", "conv2"), **asked)
    again = {"layers": ("conv2", "conv1", "conv2"), "methods": ("saliency", "gradcam", "saliency")}
    assert analyse(subject, "attribution", **asked | again).entry.path == first.entry.path
    assert first.entry.name == "first2-conv1+conv2-gradcam+saliency"
    one, other = ({"layer": "fc1", "perplexity": given} for given in ((2, 3), (3, 2)))
    assert resolved("embedding", subject, one) == resolved("embedding", subject, other)
    one, other = ({"layers": given} for given in (("linear", "conv"), ("conv", "linear")))
    assert resolved("layers", subject, one) == resolved("layers", subject, other) == build_request("layers", {})
    assert resolved("layers", subject, {"layers": ("none", "conv1")}).layers == ("none", "conv1")


def resolved(kind, subject, settings):
    return KINDS[kind].resolve(subject, build_request(kind, settings))


def test_an_analysis_is_one_line_and_in_a_notebook_its_first_figure_too(subject):
    for one in (subject, make_subject()):
        explained = one.explain(images="first:2", layers="conv2", methods="gradcam")
        line = f"Analysis({explained.name}: Attribution(2 images, gradcam at conv2))"
        assert repr(explained) == line
        assert explained._repr_html_().startswith(f'<div>{line}<br><img alt="" src="data:image/png;base64,iVBOR')
    assert "<img" not in one.features("fc1")._repr_html_()
    assert repr(gn.explain(one.model(), one.part("test").images[:2], layers="conv2", methods="gradcam")) == (
        "Explanation(2 images, gradcam at conv2)"
    )


# What an entry says of what it was made of.


def test_an_entry_names_its_images_and_what_open_settings_came_to(tmp_path, monkeypatch):
    images, labels = coloured(12)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "photos" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "photos" / CLASSES[label] / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    subject = Subject(TinyNet(), "photos", size=12, out=tmp_path / "kept")
    measured = analyse(subject, "evaluation").entry.document["images"]
    assert (measured["count"], measured["numbers"], measured["folder"]) == (12, "0-11", str(tmp_path / "photos"))
    assert measured["files"][:2] == ["cat/0.png", "cat/3.png"]
    explained = subject.explain(images="photos/cat/0.png", layers="conv2")
    assert explained.entry.document["images"] == {"path": str(tmp_path / "photos" / "cat" / "0.png")}
    assert subject.embed("fc1").entry.document["used"] == {"images": 12, "clusters": 3, "perplexity": 11 / 3}
    assert subject.embed("fc1").entry.settings["perplexity"] is None


def test_numbers_are_listed_in_ranges(subject):
    part = subject.part("test").subset(torch.tensor([0, 1, 2, 7, 5, 6]))
    assert listed_images(subject, part) == {"count": 6, "numbers": "0-2,7,5-6"}

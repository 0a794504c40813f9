"""Explanations and embeddings as pictures: in a notebook, in a window, in a file."""

import copy
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

import glassnet as gn
from glassnet import drawings
from glassnet.errors import InputError
from glassnet.models.pretrained import name_classes
from tiny_nets import TinyNet

IMAGES = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def explanation():
    return gn.explain(TinyNet(), IMAGES, layers="conv")


@pytest.fixture(scope="module")
def embedding():
    return gn.embed(np.random.default_rng(0).normal(size=(30, 5)), method="pca")


@pytest.fixture(autouse=True)
def _no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


def ipython(shell):
    """IPython as far as glassnet and matplotlib ask it."""
    return types.SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0))


def texts(drawing):
    return [one.get_text() for axes in drawing.figure.axes for one in axes.texts] + [
        one.get_text() for one in drawing.figure.texts
    ]


def test_without_a_display_it_is_said_how_a_picture_is_saved(explanation, capsys):
    drawing = explanation.show()
    assert "there is no display; save the picture with .save('picture.png')" in capsys.readouterr().err
    assert "in 3 images" in repr(drawing)


def test_a_notebook_gets_the_picture_and_no_advice(explanation, capsys, monkeypatch):
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython(shell))
    drawing = explanation.show()
    assert drawing._repr_png_().startswith(b"\x89PNG")
    assert drawing._repr_html_().startswith('<img alt="where conv1, conv2 looks in 3 images')
    assert "display" not in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "IPython", ipython(None))
    assert not drawings.in_notebook()


def test_a_display_gets_a_window(embedding, capsys, monkeypatch):
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(Image.Image, "show", lambda self, title=None: shown.append((self.size, title)))
    embedding.show()
    assert len(shown) == 1
    assert shown[0][1] == "PCA of 5 features, 30 points"
    assert not capsys.readouterr().err


def test_captions_name_image_class_and_score(explanation):
    drawn = " ".join(texts(explanation.show(names=["a.jpg", "b.jpg", "c.jpg"], classes=["cat", "dog", "owl"], most=2)))
    assert "a.jpg" in drawn
    assert "c.jpg" not in drawn
    target, score = explanation.targets[0], explanation.scores[0]
    assert f"{('cat', 'dog', 'owl')[target]}, score {score:.3g}" in drawn
    assert "image 0" in " ".join(texts(explanation.show()))


def test_methods_and_layers_are_chosen(explanation):
    drawing = explanation.show(methods="gradcam", layers=["conv2"])
    assert "Guided" not in " ".join(texts(drawing))
    assert "conv1" not in " ".join(texts(drawing))
    with pytest.raises(InputError, match="no layer 'conv9' in this explanation"):
        explanation.show(layers="conv9")
    with pytest.raises(InputError, match="no method 'cam' in this explanation"):
        explanation.show(methods=("cam",))


def test_methods_of_the_input_alone_are_drawn():
    explained = gn.explain(TinyNet(), IMAGES, methods="saliency")
    assert "Saliency" in " ".join(texts(explained.show()))
    explained.overlay()


def test_one_of_several_classes_is_drawn():
    explained = gn.explain(TinyNet(), IMAGES, target=[[2, 0]], layers="conv2", methods="gradcam")
    assert f"class 0, score {explained.scores[1, 1]:.3g}" in " ".join(texts(explained.show(nth=1)))
    first, second = (explained.overlay(nth=nth) for nth in (0, 1))
    assert np.array_equal(second, gn.overlay(IMAGES[0], explained.maps["gradcam", "conv2"][0, 1]))
    assert first.shape == (12, 12, 3)
    with pytest.raises(InputError, match="nth is 2, expected 0 to 1"):
        explained.show(nth=2)


def test_an_overlay_is_that_of_the_image_and_its_map(explanation):
    wanted = gn.overlay(IMAGES[1], explanation["gradcam", "conv1"][1])
    assert np.array_equal(explanation.overlay("gradcam", "conv1", 1), wanted)
    assert np.array_equal(
        explanation.overlay(), gn.overlay(IMAGES[0], explanation["gradcam", "conv2"][0])
    )  # the last layer
    assert explanation.overlay(size_pixels=24).shape == (24, 24, 3)
    with pytest.raises(InputError, match="image is 3, expected 0 to 2"):
        explanation.overlay(image=3)
    with pytest.raises(InputError, match="no method 'cam'"):
        explanation.overlay("cam")


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_pictures_are_saved_by_their_ending(explanation, tmp_path, ending, start):
    path = tmp_path / "new" / f"maps.{ending}"
    path.parent.mkdir()
    assert explanation.save(path) == path
    assert path.read_bytes().startswith(start)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_numbers_are_saved_whole(explanation, tmp_path):
    explanation.save(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as saved:
        assert np.array_equal(saved["gradcam/conv1"], explanation["gradcam", "conv1"])
        assert np.array_equal(saved["raw/gradcam/conv2"], explanation.raw["gradcam", "conv2"])
        assert np.array_equal(saved["targets"], explanation.targets)
        assert np.array_equal(saved["scores"], explanation.scores)


def test_other_endings_are_refused(explanation, embedding, tmp_path):
    for one in (explanation, embedding.show()):
        with pytest.raises(InputError, match=r"maps\.gif, expected one that ends in \.png, \.svg or \.pdf"):
            one.save(tmp_path / "maps.gif")
    assert not list(tmp_path.iterdir())


def test_an_explanation_refers_to_its_images_and_a_copy_does_not(explanation):
    assert explanation.images is IMAGES
    copied = pickle.loads(pickle.dumps(explanation))
    for one in (copied, copy.copy(explanation)):
        with pytest.raises(InputError, match=r"does not hold its images .*; pass images="):
            one.show()
        assert "<table>" in one._repr_html_()
        assert one.show(IMAGES)
        assert one.overlay(images=IMAGES).shape == (12, 12, 3)
    with pytest.raises(InputError, match="got 2 images for an explanation of 3"):
        explanation.show(IMAGES[:2])


def test_an_embedding_is_coloured_by_class(embedding):
    drawn = " ".join(texts(embedding.show(np.arange(30) % 2, classes=["cat", "dog"], title="Pets")))
    assert "Pets" in drawn
    assert "cat" in drawn
    assert "30 points" in " ".join(axes.get_title(loc="left") for axes in embedding.show().figure.axes)


def test_what_is_no_picture_of_points_is_refused(embedding):
    with pytest.raises(
        InputError, match=r"labels have shape \(3,\) and type int64, expected whole numbers of shape \(30,\)"
    ):
        gn.draw_embedding(embedding, [0, 1, 2])
    with pytest.raises(InputError, match="points have 1 dimensions, expected 2 or 3"):
        gn.draw_embedding(gn.embed(np.random.default_rng(0).normal(size=(30, 5)), method="pca", dims=1))


def test_layers_may_be_given_as_modules(explanation):
    net = TinyNet()
    by_module = gn.explain(net, IMAGES, layers=[net.conv2], methods="gradcam")
    assert by_module.layers == ("conv2",)
    assert np.array_equal(by_module["gradcam", "conv2"], explanation["gradcam", "conv2"])
    feats = gn.extract_features(net, IMAGES, layers=[net.fc1])
    assert np.array_equal(feats["fc1"], gn.extract_features(net, IMAGES, layers="fc1")["fc1"])
    subject = gn.Subject(net, IMAGES)
    assert subject.explain(layers=net.conv2, methods=("gradcam",), images="0,1").result.layers == ("conv2",)
    assert len(subject.features(net.fc1).result.features) == 3


def test_captions_have_the_names_that_the_model_says(explanation):
    model = TinyNet()
    name_classes(model, ("cat", "dog", "owl"))
    named = gn.explain(model, IMAGES, layers="conv2", methods="gradcam")
    assert named.classes == ("cat", "dog", "owl")
    names = [named.classes[target] for target in named.targets]
    drawn = texts(named.show())
    assert all(any(name in text for text in drawn) for name in names)
    assert any(f"class {explanation.targets[0]}" in text for text in texts(explanation.show()))
    assert gn.explain(model, IMAGES, layers="conv2", methods="gradcam", output=lambda y: y[:, :2]).classes is None


def test_names_are_left_to_a_model_that_has_something_else_under_that_name():
    model = TinyNet()
    model.class_names = ["its own"]
    name_classes(model, ("cat", "dog", "owl"))
    assert model.class_names == ["its own"]


def test_points_carry_the_images_names_while_there_are_few(embedding):
    names = [f"photo{number}" for number in range(30)]
    drawn = texts(embedding.show(np.arange(30) % 2, classes=["cat", "dog"], names=names))
    assert [name for name in names if name in drawn] == names
    assert "photo0" not in texts(embedding.show())


def test_names_of_too_many_points_are_left_out_and_this_is_said(capsys):
    many = gn.embed(np.random.default_rng(0).normal(size=(31, 5)), method="pca")
    assert "photo0" not in texts(many.show(names=[f"photo{number}" for number in range(31)]))
    assert (
        "the points carry no names, because 31 are too many to read: at most 30 are named." in capsys.readouterr().err
    )


def test_names_that_do_not_fit_the_points_are_refused(embedding):
    with pytest.raises(InputError, match="got 2 names, expected 30, one for each point"):
        embedding.show(names=["a.jpg", "b.jpg"])

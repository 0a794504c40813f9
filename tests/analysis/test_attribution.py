"""Which images are explained, that their maps are those of `explain`, and that every selection stays."""

import numpy as np
import pytest
from PIL import Image
from torch import nn

from glassnet.analysis import analyse, stored
from glassnet.analysis.attribution import facts_table
from glassnet.attribution import explain
from glassnet.errors import InputError
from glassnet.models.inference import predict
from tiny_nets import CLASSES, ClassMeans, TinyNet, coloured


class Smooth(nn.Module):
    """One convolution, and no ReLU."""

    def __init__(self):
        super().__init__()
        self.conv1, self.act, self.fc1 = nn.Conv2d(3, 4, 3), nn.GELU(), nn.Linear(4, 3)

    def forward(self, images):
        return self.fc1(self.act(self.conv1(images)).mean(dim=(2, 3)))


class Linear(nn.Module):
    """No convolution at all."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(360, 3)

    def forward(self, images):
        return self.fc1(images.flatten(1))


def test_maps_are_those_of_explain(subject):
    (group,) = analyse(subject, "attribution", images="2,0,7").result.groups
    images = subject.part("test").images[[2, 0, 7]]
    expected = explain(TinyNet(), images, layers="conv", methods=("gradcam", "guided_gradcam"))
    assert group.maps.keys() == expected.maps.keys()
    for key, maps in expected.maps.items():
        assert np.allclose(group.maps[key], maps, atol=1e-6)
    assert np.array_equal(group.images, coloured(24)[0][[2, 0, 7]])
    assert group.names == ("test image 2", "test image 0", "test image 7")
    assert group.numbers == (2, 0, 7)
    assert [facts["label"] for facts in group.facts] == ["owl", "cat", "dog"]


def test_a_rule_takes_the_first_that_are_right_and_wrong(subject):
    right = predict(TinyNet(), subject.part("test").images).argmax(dim=1).numpy() == np.arange(24) % 3
    result = analyse(subject, "attribution", images="mixed:6", layers="conv2").result
    correct, wrong = result.groups
    assert list(correct.numbers) == np.flatnonzero(right)[:3].tolist()
    assert list(wrong.numbers) == np.flatnonzero(~right)[:3].tolist()
    assert all(facts["correct"] for facts in correct.facts)
    assert not any(facts["correct"] for facts in wrong.facts)
    header, rows = facts_table(subject, result)
    assert header == ("images", "image", "label", "predicted", "correct", "target", "p(target)")
    assert len(rows) == 6
    assert rows[0][1] == f"test image {correct.numbers[0]}"


def test_every_selection_method_and_target_stays_beside_the_others(subject, context):
    measured = analyse(subject, "faithfulness", attribution={"images": "correct:4", "layers": ("conv2",)})
    asked = (
        {"images": "mixed:8", "layers": "conv2"},
        {"images": "mixed:8", "layers": "conv2", "methods": "saliency"},
        {"images": "mixed:8", "layers": "conv2", "target": "owl"},
        {"images": "first:3", "layers": "conv2", "mask": "stroke"},
    )
    names = [analyse(subject, "attribution", context=context, **one).entry.name for one in asked]
    assert names == ["mixed8-conv2", "mixed8-conv2-saliency", "mixed8-conv2-owl", "first3-conv2-mask-stroke"]
    assert {one.entry.name for one in stored(subject, "attribution")} == {"correct4-conv2", *names}
    (kept,) = stored(subject, "faithfulness")
    assert kept.entry.path == measured.entry.path
    assert kept.result.of == "attribution/correct4-conv2"


def test_files_keep_their_names(subject, tmp_path):
    for place, name in enumerate(("red one.png", "b.png")):
        Image.fromarray(coloured(3, height=12, width=12)[0][place].transpose(1, 2, 0)).save(tmp_path / name)
    analysis = analyse(subject, "attribution", images=str(tmp_path / "red one.png"), layers="conv2")
    (group,) = analysis.result.groups
    assert group.names == ("red one.png",)
    assert group.facts[0]["label"] is None
    assert analysis.entry.name == "red-one.png-conv2"
    both = analyse(subject, "attribution", images=str(tmp_path), layers="conv2").result.groups[0]
    assert both.names == ("b.png", "red one.png")
    assert len(stored(subject, "attribution")) == 2
    Image.new("RGB", (12, 12)).save(tmp_path / "red one.png")  # another picture of that name
    again = analyse(subject, "attribution", images=str(tmp_path / "red one.png"), layers="conv2")
    assert again.entry.name == "red-one.png-conv2-2"


def test_images_without_labels_are_explained(make):
    result = analyse(make(labelled=False), "attribution", layers="conv2").result
    (group,) = result.groups
    assert group.name == "first"
    assert len(group.names) == 8
    assert {facts["label"] for facts in group.facts} == {None}
    assert {facts["correct"] for facts in group.facts} == {None}
    with pytest.raises(InputError, match=r"--images is 'correct:3', but the images of tiny have no labels; use first"):
        analyse(make(labelled=False), "attribution", images="correct:3")
    with pytest.raises(InputError, match="--target is label, but these images have no labels"):
        analyse(make(labelled=False), "attribution", target="label")


def test_a_network_without_a_relu_has_what_needs_none(make, capsys):
    result = analyse(make(model=Smooth()), "attribution", images="first:2").result
    assert result.methods == ("gradcam",)
    assert result.layers == ("conv1",)
    assert "left out Guided Grad-CAM" in capsys.readouterr().err


def test_a_network_without_a_convolution_is_explained_at_the_input(make):
    result = analyse(make(model=Linear()), "attribution", images="first:2", methods="saliency").result
    assert list(result.groups[0].maps) == [("saliency", "input")]
    with pytest.raises(InputError, match=r"no layer 'conv' in Linear\. Its layers are fc1"):
        analyse(make(model=Linear()), "attribution", images="first:2")


def test_a_rule_that_fits_no_image_is_said(make, capsys):
    subject = make(model=ClassMeans())
    (group,) = analyse(subject, "attribution", images="mixed:4").result.groups
    assert group.name == "correct"
    assert "Wrongly classified images: no such images" in capsys.readouterr().err
    with pytest.raises(InputError, match="there is nothing to explain: no image is wrong; choose other images"):
        analyse(subject, "attribution", images="wrong:4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"images": "best:3"},
            r"expected indices such as 3,14,15, a rule such as first:8, correct:8, wrong:8, mixed:8, or",
        ),
        ({"images": "correct:0"}, "expected indices such as"),
        ({"images": "3,24"}, "--images contains index 24, expected 0 to 23"),
        (
            {"images": "nowhere.png"},
            "--images is nowhere.png, which does not exist; expected an image file or a folder",
        ),
        ({"methods": "gradcamm"}, r"no method 'gradcamm'\. Did you mean gradcam"),
        ({"target": "cow"}, r"no target 'cow' in tiny\..* The targets are: predicted, label, cat, dog, owl"),
        ({"layers": "fc1"}, "layer 'fc1' gives shape .* choose a convolution"),
        ({"split": "train"}, "has only the images it was given, and no training part"),
    ],
)
def test_what_does_not_fit_is_refused(make, settings, message):
    with pytest.raises(InputError, match=message):
        analyse(make(), "attribution", **{"images": "first:2", **settings})


@pytest.mark.parametrize("target", ["predicted", "label", "owl", "2"])
def test_the_target_is_the_class_asked_for(make, target):
    (group,) = analyse(make(), "attribution", images="0,1", layers="conv2", target=target).result.groups
    expected = {"label": [0, 1], "owl": [2, 2], "2": [2, 2]}.get(target)
    if expected is None:
        expected = predict(TinyNet(), make().part("test").images[:2]).argmax(dim=1).tolist()
    assert group.targets.tolist() == expected
    assert [facts["target"] for facts in group.facts] == [CLASSES[i] for i in expected]

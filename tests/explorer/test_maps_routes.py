"""Maps, channels, neighbours and label errors as a page asks for them: the arrays that the library gives."""

import json

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.analysis import Context, analyse
from glassnet.explorer.explaining import kept_maps, maps_request
from glassnet.models.features import extract_features
from glassnet.subject import Subject
from tiny_nets import TinyNet, coloured, make_subject

METHODS = ("gradcam", "guided_gradcam")


@pytest.fixture(scope="module")
def run(page):
    return gn.Run.open(page.subjects.all[page.first].path)


@pytest.fixture(scope="module")
def test(run):
    return run.dataset().test


def same_maps(arrays, explanation, layers=("conv1", "conv2", "conv3", "conv4")):
    for method in METHODS:
        for layer in layers:
            assert np.array_equal(arrays[f"{method}|{layer}"], explanation[method, layer][0])


def test_the_maps_of_an_image_are_those_of_explain_and_of_the_command(page, run, test):
    arrays, meta = page.arrays("maps/7")
    same_maps(arrays, gn.explain(run.model(), test.images[7:8]))
    with torch.no_grad():
        chances = run.model()(test.images[7:8].float() / 255).softmax(1)[0].numpy()
    assert arrays["probabilities"] == pytest.approx(chances, abs=1e-6)
    assert meta["predicted"] == meta["target_class"] == chances.argmax()
    assert meta["target"] == f"the score of {run.classes[chances.argmax()]}"
    assert (meta["layers"], meta["methods"]) == (["conv1", "conv2", "conv3", "conv4"], list(METHODS))
    kept = analyse(run, "attribution", images=7, figures=False)
    assert kept.name == meta["entry"]
    assert kept.entry.browsed
    assert np.array_equal(kept.result.groups[0].maps["gradcam", "conv4"][0], arrays["gradcam|conv4"])


def test_what_is_on_disk_is_not_computed_again(page, run, monkeypatch):
    analyse(run, "attribution", images=3, target="5", figures=False)
    monkeypatch.setattr("glassnet.analysis.attribution.explain", None)
    arrays, meta = page.arrays("maps/3?target=5&layers=conv1,conv2,conv3,conv4&methods=guided_gradcam,gradcam")
    assert meta["entry"] == "attribution/3-5"
    assert meta["target_class"] == 5
    assert arrays["gradcam|conv4"].shape == (28, 28)


def test_one_image_is_computed_alone(page, run, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "glassnet.analysis.attribution.explain",
        lambda model, images, **options: seen.append(len(images)) or gn.explain(model, images, **options),
    )
    page.arrays("maps/11?layers=conv4&methods=gradcam")
    assert seen == [1]


def body(pixels, mask=None):
    return pixels.tobytes() + (b"" if mask is None else mask.tobytes())


def test_where_nothing_was_edited_it_is_the_original_exactly(page):
    original, _ = page.arrays("maps/4")
    pixels, mask = np.full((1, 28, 28), 77, np.uint8), np.zeros((28, 28), np.uint8)
    arrays, meta = page.arrays("maps?number=4", method="POST", content=body(pixels, mask))
    assert arrays.keys() == original.keys()
    for name in ("gradcam|conv1", "guided_gradcam|conv4", "probabilities"):
        assert np.array_equal(arrays[name], original[name])
    assert (meta["number"], meta["entry"]) == (4, "")


def test_edited_pixels_are_explained_and_not_kept(page, run, test):
    before = len(list(run.path.glob("analyses/attribution/*")))
    pixels, mask = np.zeros((1, 28, 28), np.uint8), np.zeros((28, 28), np.uint8)
    mask[:14] = 1
    image = test.images[4:5].clone()
    image[..., :14, :] = 0
    arrays, _ = page.arrays("maps?number=4", method="POST", content=body(pixels, mask))
    same_maps(arrays, gn.explain(run.model(), image))
    own, meta = page.arrays("maps", method="POST", content=body(image.numpy()[0]))
    same_maps(own, gn.explain(run.model(), image))
    assert meta["number"] is None
    assert len(list(run.path.glob("analyses/attribution/*"))) == before


def test_channels_are_what_the_layer_gives(page, run, test):
    model, outputs = run.model(), []
    with model.get_submodule("conv3").register_forward_hook(lambda m, i, o: outputs.append(o)), torch.no_grad():
        model(test.images[2:3].float() / 255)
    given = outputs[0][0]
    for arrays, meta in (
        page.arrays("channels/2?layer=conv3"),
        page.arrays("channels?layer=conv3", method="POST", content=body(test.images[2].numpy())),
    ):
        assert arrays["maps"] == pytest.approx(given.numpy(), abs=1e-6)
        assert meta["channels"] == 8
        assert meta["order"] == given.mean((1, 2)).argsort(descending=True).tolist()


def test_neighbours_are_the_nearest_by_all_distances(page, run, test):
    arrays, meta = page.arrays("neighbours/6?layer=fc1&count=5&images=200")
    drawn = analyse(run, "features", layer="fc1", images=200, figures=False).result
    row = extract_features(run.model(), test.images[6:7], "fc1")["fc1"][0]
    everyone = {
        int(n): float(np.sqrt(((f.astype(float) - row) ** 2).sum()))
        for n, f in zip(drawn.numbers, drawn.features, strict=True)
        if n != 6
    }
    nearest = sorted(everyone, key=everyone.get)[:5]
    assert arrays["numbers"].tolist() == nearest
    assert arrays["distances"] == pytest.approx([everyone[n] for n in nearest], rel=1e-6)
    assert meta["same_label"] == sum(int(test.targets[n] == test.targets[6]) for n in nearest)
    assert meta["among"] == len(everyone)
    own, meta = page.arrays(
        "neighbours?layer=fc1&count=5&images=1000", method="POST", content=body(test.images[6].numpy())
    )
    assert (own["numbers"][0], own["distances"][0], meta["same_label"]) == (6, pytest.approx(0, abs=1e-4), None)


def test_label_errors_are_listed_with_what_speaks_for_them(page, run, test):
    found = page.json("label-errors?layer=fc1")
    assert found["layer"] == "fc1"
    assert found["neighbours"] == 10
    assert "Northcutt" in found["method"]
    for one in found["errors"]:
        assert one["label"] == int(test.targets[one["number"]]) != one["suggested"]
        assert one["score"] == pytest.approx(one["agreement"] * one["confidence"])
    scores = [one["score"] for one in found["errors"]]
    assert scores == sorted(scores, reverse=True)
    assert page.json("label-errors?layer=fc1") == found


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("maps/99999", 404, "there is no test image 99999"),
        ("maps/-1", 400, "number cannot be used"),
        ("maps/1?layers=conv9", 400, "no layer 'conv9'"),
        ("maps/1?layers=fc1&methods=gradcam", 400, "fc1"),
        ("maps/1?methods=gradcamm", 400, "no method 'gradcamm'. Did you mean gradcam"),
        ("maps/1?methods=,", 400, "methods is empty"),
        ("maps/1?target=eleven", 400, "no target 'eleven'"),
        ("maps/1?part=validation", 400, "part cannot be used"),
        ("maps/1?target=" + "9" * 400, 400, "target cannot be used"),
        ("channels/1?layer=fc1", 400, "fc1"),
        ("channels/1?layer=nothing", 400, "no layer 'nothing'"),
        ("neighbours/1?count=0", 400, "count cannot be used"),
        ("neighbours/1?layer=conv99", 400, "no layer 'conv99'"),
        ("label-errors?layer=conv99", 400, "no layer 'conv99'"),
        ("segmentation/1", 404, "learned classification"),
        ("reconstruction/1", 404, "learned classification"),
        ("latents", 404, "learned classification"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(page, path, status, sentence):
    answer = page.ask(path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert sentence in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert page.ask("/session").status_code == 200


@pytest.mark.parametrize(
    ("path", "content", "status", "sentence"),
    [
        ("maps", b"", 400, "got 0 bytes, expected 784: pixels of 1×28×28"),
        ("maps", b"x" * 785, 400, "got 785 bytes"),
        ("maps?number=3", b"x" * 784, 400, "expected 1568: pixels and a mask of 1×28×28"),
        ("maps?number=77777", b"x" * 1568, 404, "there is no test image 77777"),
        ("channels?layer=conv1", b"x" * 3, 400, "got 3 bytes"),
        ("neighbours", b"x" * 3, 400, "got 3 bytes"),
        ("read", b"\0" * 20_000_001, 413, "the upload is larger than 20 MB"),
        ("read", b"no image", 415, "the file is damaged or not an image"),
        ("decode", b"\0" * 12, 404, "learned classification"),
    ],
)
def test_bodies_that_mean_nothing_are_refused_in_a_sentence(page, path, content, status, sentence):
    answer = page.ask(path, method="POST", content=content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_a_file_is_read_and_kept_nowhere(page, run, test, tmp_path, monkeypatch):
    import io

    from PIL import Image

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(run.path.rglob("*"))
    written = io.BytesIO()
    Image.fromarray(test.images[5, 0].numpy()).resize((56, 56), Image.Resampling.NEAREST).save(written, "PNG")
    arrays, meta = page.arrays("read?name=%3Cscript%3E.png", method="POST", content=written.getvalue())
    assert arrays["pixels"].shape == (1, 28, 28)
    assert np.abs(arrays["pixels"].astype(int) - test.images[5].numpy()).mean() < 12
    assert meta == {"name": "<script>.png", "width": 56, "height": 56, "note": "scaled and cropped to 28×28 pixels"}
    assert sorted(run.path.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


class Broken(TinyNet):
    """Raises on bright images, and gives NaN for dark ones."""

    def forward(self, images):
        if images.mean() > 0.5:
            raise RuntimeError("no such light")
        return super().forward(images) * (torch.nan if images.mean() < 0.1 else 1)


def test_a_model_that_fails_is_said_at_that_image_and_the_server_lives(pages):
    images, labels = coloured(12)
    images[4], images[5] = 255, 0
    shown = pages(Subject(Broken(), images, labels, classes=("cat", "dog", "owl"), name="broken"))
    for path, sentence in (
        ("maps/4?layers=conv2", "test image 4: Broken fails on images of shape (1, 3, 12, 10): no such light"),
        ("maps/5?layers=conv2", "test image 5: the model gives a NaN or infinite score"),
        ("channels/4?layer=conv2", "test image 4: Broken fails on images"),
    ):
        answer = shown.ask(path)
        assert answer.status_code == 500
        assert sentence in answer.json()["error"]
    dark = np.zeros((3, 12, 10), np.uint8)
    answer = shown.ask("maps?layers=conv2", method="POST", content=dark.tobytes())
    assert (answer.status_code, "this image: the model gives a NaN" in answer.json()["error"]) == (500, True)
    arrays, meta = shown.arrays("maps/2?layers=conv2")
    assert np.array_equal(
        arrays["gradcam|conv2"], gn.explain(Broken().eval(), images[2:3], layers="conv2")["gradcam", "conv2"][0]
    )
    assert meta["entry"] == ""


def test_images_of_floats_keep_what_was_not_edited(pages):
    images, labels = coloured(12)
    normal = (torch.from_numpy(images).float() / 255 - 0.4) / 0.2
    shown = pages(Subject(TinyNet().eval(), normal, labels, classes=("cat", "dog", "owl"), name="floats"))
    original, _ = shown.arrays("maps/3?layers=conv2")
    nothing = np.zeros((3, 12, 10), np.uint8).tobytes() + np.zeros((12, 10), np.uint8).tobytes()
    arrays, _ = shown.arrays("maps?number=3&layers=conv2", method="POST", content=nothing)
    assert np.array_equal(arrays["gradcam|conv2"], original["gradcam|conv2"])
    pixels, _ = shown.arrays("pixels/3")
    arrays, _ = shown.arrays("maps?layers=conv2", method="POST", content=pixels["pixels"].tobytes())
    assert arrays["gradcam|conv2"] == pytest.approx(original["gradcam|conv2"], rel=0.05, abs=1e-3)


def test_maps_that_are_kept_nowhere_are_not_remembered_either():
    context = Context(torch.device("cpu"))
    subject = make_subject(n=3)
    request = maps_request(subject, layers=["conv2"], methods=["gradcam"], target="predicted", part="test")
    assert kept_maps(subject, request, 1, context).entry == ""
    assert context.memory == {}


def test_features_of_a_network_without_a_folder_are_computed_once(pages):
    shown = pages(subject := make_subject(n=24))
    first, _ = shown.arrays("neighbours/0?layer=fc1&count=3")
    passes = subject.model().passes
    shown.arrays("neighbours/1?layer=fc1&count=3")
    assert subject.model().passes <= passes + 5  # of one image, not of 24
    with torch.no_grad():
        subject.model().fc1.weight.mul_(2)
    again, _ = shown.arrays("neighbours/0?layer=fc1&count=3")
    assert not np.allclose(again["distances"], first["distances"])


def test_without_guided_relus_the_other_maps_are_there_and_it_is_said(pages):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()
    images, labels = coloured(6)
    shown = pages(Subject(net, images, labels, classes=("cat", "dog", "owl"), name="smooth"))
    arrays, meta = shown.arrays("maps/0")
    assert "gradcam|0" in arrays
    assert meta["methods"] == ["gradcam"]
    assert "does not apply" in meta["notes"]["guided_gradcam|"]
    assert json.dumps(meta)
    answer = shown.ask("maps/0?methods=guided_gradcam")
    assert answer.status_code == 400

import hashlib
import importlib.resources
import io

import pytest
import torch
from safetensors.torch import save_file

from glassnet import experiment, models
from glassnet.download import RemoteFile
from glassnet.errors import InputError, WorkError
from glassnet.models import MODELS, pretrained
from glassnet.models.vgg import VGG
from glassnet.settings import TrainSettings
from mirror import Mirror


class Tiny(VGG):
    """A VGG of five convolutions."""

    blocks = ((2,), (2,), (3,), (3,), (4,))
    batch_norm = False
    pretrained = RemoteFile("tiny.pth", 0, "")


def create(*, channels=3, classes=6, size=32, **options):
    return Tiny(in_channels=channels, num_classes=classes, image_size=size, hidden=5, **options)


@pytest.fixture(scope="module")
def state():
    """Weights as they are published: without a normalisation."""
    torch.manual_seed(0)
    return {key: value for key, value in create().state_dict().items() if not key.startswith("normalize.")}


@pytest.fixture
def content(state, monkeypatch, tmp_path):
    """The published file's bytes, which the network is made to expect; an empty folder for downloads."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    monkeypatch.setattr(Tiny, "pretrained", RemoteFile("tiny.pth", len(content), hashlib.sha256(content).hexdigest()))
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path))
    return content


@pytest.fixture
def server(content, monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Mirror(content)
    monkeypatch.setattr(pretrained, "MIRRORS", (server.url,))
    yield server
    server.close()


def assert_loaded(model, state):
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items() if key in state)
    assert model.normalize.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert model.normalize.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])
    assert model.normalize.fixed


def test_the_published_file_is_downloaded_once(server, state, tmp_path):
    assert_loaded(create(weights="imagenet"), state)
    assert_loaded(create(weights="imagenet"), state)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["tiny.pth"]
    assert server.ranges == [None]


def test_another_file_is_refused(server, tmp_path):
    server.content = bytes(len(server.content))
    with pytest.raises(WorkError, match=r"could not download tiny\.pth: .* sent another file \(.*expected "):
        create(weights="imagenet")
    assert list((tmp_path / "weights").iterdir()) == []


def test_a_cut_download_goes_on(server, state, tmp_path):
    server.cuts = [1000]
    assert_loaded(create(weights="imagenet"), state)
    assert server.ranges == [None, "bytes=1000-"]
    (tmp_path / "weights" / "tiny.pth").unlink()
    server.cuts = [1000, 0, 0, 0]
    with pytest.raises(WorkError, match="cut the connection after 1,000 of "):
        create(weights="imagenet")
    assert_loaded(create(weights="imagenet"), state)


def test_offline_it_says_so(content, tmp_path):
    with pytest.raises(InputError) as caught:
        create(weights="imagenet")
    assert str(caught.value) == (
        f"Tiny with its ImageNet weights is not complete in {tmp_path / 'weights'} and GLASSNET_OFFLINE forbids "
        "downloads: put tiny.pth there, or unset GLASSNET_OFFLINE."
    )


def test_offline_with_the_file_in_place(content, state, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.pth").write_bytes(content)
    assert_loaded(create(weights="imagenet"), state)
    (tmp_path / "weights" / "tiny.pth").write_bytes(content[:-1])
    with pytest.raises(
        InputError, match=r"tiny\.pth has SHA-256 [0-9a-f]{64}, expected the published file's .* delete"
    ):
        create(weights="imagenet")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_ones_own(state, suffix, tmp_path):
    path = tmp_path / f"own{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert_loaded(create(weights=str(path)), state)


def test_other_classes_begin_anew_in_the_last_layer(state, tmp_path, capsys):
    path = tmp_path / "own.pth"
    torch.save(state, path)
    model = create(classes=9, weights=str(path))
    assert torch.equal(model.classifier[3].weight, state["classifier.3.weight"])
    assert model.classifier[6].weight.shape == (9, 5)
    assert capsys.readouterr().err == (
        f"Tiny starts with random weights in classifier.6, where {path} has other shapes.\n"
    )


def test_another_size_begins_anew_in_the_whole_classifier(state, tmp_path, capsys):
    path = tmp_path / "own.pth"
    torch.save(state, path)
    model = create(size=64, weights=str(path))
    assert torch.equal(model.features[0].weight, state["features.0.weight"])
    assert not torch.equal(model.classifier[3].weight, state["classifier.3.weight"])
    stderr = capsys.readouterr().err
    assert stderr.startswith("Tiny starts with random weights in classifier.0, classifier.3, classifier.6,")


def test_grayscale_is_repeated_to_colour(state, tmp_path):
    path = tmp_path / "own.pth"
    torch.save(state, path)
    gray, colour = create(channels=1, weights=str(path)).eval(), create(weights=str(path)).eval()
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(gray(images), colour(images.repeat(1, 3, 1, 1)))
    with pytest.raises(InputError, match=r"got images of shape \(2, 3, 32, 32\), expected \(batch, 1, height, width\)"):
        gray(images.repeat(1, 3, 1, 1))


def test_a_normalization_of_its_own_is_taken(state, tmp_path):
    path = tmp_path / "own.safetensors"
    mean, std = torch.full((3, 1, 1), 0.25), torch.full((3, 1, 1), 0.5)
    save_file(state | {"normalize.mean": mean, "normalize.std": std}, path)
    assert torch.equal(create(weights=str(path)).normalize.mean, mean)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("features.0.bias"), r"does not fit Tiny: it lacks features\.0\.bias; give weights of"),
        (lambda state: state.update({"fc.weight": torch.ones(1)}), r"it has fc\.weight, which the model lacks"),
        (
            lambda state: state.update({"features.0.bias": torch.ones(3)}),
            r"its features\.0\.bias has shape \(3,\), expected \(2,\)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(state, change, message, tmp_path):
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "own.pth")
    with pytest.raises(InputError, match=message):
        create(weights=str(tmp_path / "own.pth"))


def test_files_without_weights_are_refused(state, tmp_path):
    with pytest.raises(
        InputError, match=r"the weights .*no\.pth are missing; expected imagenet, or the path of a \.pth"
    ):
        create(weights=str(tmp_path / "no.pth"))
    (tmp_path / "cut.pth").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"cut\.pth holds no readable weights"):
        create(weights=str(tmp_path / "cut.pth"))
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"cut\.safetensors holds no readable weights"):
        create(weights=str(tmp_path / "cut.safetensors"))
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match=r"list\.pth holds a list, expected a dictionary of tensors by parameter name"):
        create(weights=str(tmp_path / "list.pth"))
    torch.save(create(), tmp_path / "model.pth")  # a pickled module may run any code, so it is not read
    with pytest.raises(InputError, match=r"model\.pth holds no readable weights"):
        create(weights=str(tmp_path / "model.pth"))


def test_a_run_keeps_the_normalization_and_needs_the_file_no_more(state, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    path = tmp_path / "own.pth"
    torch.save(state, path)
    settings = TrainSettings(model="tiny", model_options=("hidden=5", f"weights={path}"), image_size=32)
    parts = experiment.build(experiment.resolve(settings))
    assert parts.model.normalize.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    path.unlink()
    with torch.device("meta"):
        again = models.build_model(parts.description)
    again.load_state_dict(parts.model.state_dict(), assign=True)
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(again.eval()(images), parts.model.eval()(images))


def test_imagenets_classes_have_a_thousand_names_of_their_own():
    names = pretrained.imagenet_classes()
    assert len(names) == 1000
    assert len({name.casefold() for name in names}) == 1000
    known = {0: "tench", 281: "tabby", 285: "Egyptian cat", 872: "tripod", 967: "espresso", 999: "toilet tissue"}
    assert {place: names[place] for place in known} == known
    lines = (importlib.resources.files("glassnet.models") / "imagenet_classes.tsv").read_text().splitlines()
    synsets = [line.partition("\t")[0] for line in lines if line.startswith("n")]
    assert synsets == sorted(synsets)  # the order of the challenge
    assert len(set(synsets)) == 1000


def test_only_imagenets_weights_at_a_thousand_classes_name_the_outputs(state, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    with torch.device("meta"):
        named, other = create(classes=1000, weights="imagenet"), create(classes=6, weights="imagenet")
    assert named.class_names == pretrained.imagenet_classes()
    assert other.class_names is None
    assert create(classes=1000).class_names is None
    assert create(weights=str(tmp_path / "w.pth")).class_names is None

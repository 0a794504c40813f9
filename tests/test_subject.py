"""What is looked at: arrays, folders and runs, and what cannot be looked at in a sentence each."""

import copy as copying

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from glassnet.analysis import evaluate
from glassnet.data.dataset import Split
from glassnet.data.fingerprint import images_digest
from glassnet.data.given import matched_folders
from glassnet.errors import InputError
from glassnet.experiment import Run
from glassnet.subject import Subject, as_subject
from tiny_nets import CLASSES, ClassMeans, TinyNet, coloured


@pytest.fixture
def images():
    return coloured(9)[0]


def write_images(folder, n=2, *, size=(10, 12), seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = np.random.default_rng(seed + i).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


# Arrays.


def test_arrays_labels_and_classes_make_a_subject(images):
    subject = Subject(TinyNet(), images, labels=[0, 1, 2] * 3, classes=CLASSES, name="mine")
    assert repr(subject) == "Subject(mine: classification, 3 classes)"
    assert (subject.classes, subject.labelled, subject.store, subject.run) == (CLASSES, True, None, None)
    assert (subject.model_name, subject.data, subject.seed, subject.settings) == ("TinyNet", None, 0, None)
    assert subject.image_shape == (3, 12, 10)  # neither a square
    part = subject.part("test")
    assert (len(part), part.files, part.targets.tolist()) == (9, None, [0, 1, 2] * 3)


def test_what_is_not_said_is_taken_from_the_model(images):
    subject = Subject(TinyNet(classes=5), images)
    assert (subject.name, subject.classes, subject.labelled) == ("TinyNet", ("0", "1", "2", "3", "4"), False)
    assert Subject(ClassMeans(), images, labels=[0] * 9).classes == ("0", "1", "2")  # not as many as labels


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, list, tuple, torch.tensor])
def test_labels_of_any_whole_type(images, kind):
    values = [0, 1, 2] * 3
    labels = kind(values) if kind in (list, tuple, torch.tensor) else np.array(values, dtype=kind)
    assert Subject(TinyNet(), images, labels=labels).part("test").targets.tolist() == values


def test_labels_of_pixels_are_a_segmentation(images):
    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(x)

    masks = np.random.default_rng(0).integers(0, 3, (9, 12, 10))
    masks[0, 0] = 255
    subject = Subject(Pixels(), images, labels=masks)
    assert subject.task.name == "segmentation"
    assert subject.part("test").targets.dtype == torch.uint8
    with pytest.raises(InputError, match="masks are 12 by 9 pixels, and images 12 by 10"):
        Subject(Pixels(), images, labels=masks[:, :, :9])
    masks[0, 1] = 256  # which a uint8 would make 0
    with pytest.raises(InputError, match="labels run from 0 to 256, expected 0 to 2"):
        Subject(Pixels(), images, labels=masks)
    with pytest.raises(
        InputError, match=r"gives a tensor of shape \(1, 3\) for an image, but segmentation needs a score"
    ):
        Subject(TinyNet(), images, labels=masks)


def test_images_of_an_array_are_not_copied_and_never_written_to(images):
    images.flags.writeable = False
    subject = Subject(ClassMeans(), images, labels=[0, 1, 2] * 3)
    assert np.shares_memory(subject.part("test").images.numpy(), images)
    evaluate(subject)
    tensor = torch.rand(4, 3, 8, 8)
    assert Subject(TinyNet(), tensor).part("test").images.data_ptr() == tensor.data_ptr()


def test_arrays_that_torch_cannot_share_are_copied(images):
    for array in (images[:, :, ::-1], images[::-1], images.transpose(0, 1, 3, 2), images.astype(">f4") / 255):
        read = Subject(TinyNet(), array).part("test").images.numpy()
        assert np.array_equal(read, array)


def test_a_map_of_a_file_is_a_subject_too(images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert np.array_equal(Subject(TinyNet(), mapped).part("test").images.numpy(), images)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": [0, 1]}, r"labels have shape \(2,\) for 9 images, expected \(9,\), one class per image"),
        ({"labels": np.zeros((8, 3), int)}, r"labels have shape \(8, 3\) for 9 images"),
        ({"labels": np.zeros((9, 2), int)}, r"targets have 2 columns|labels have 2 dimensions"),
        ({"labels": np.full((9, 3), 2)}, r"targets hold 2, expected 1|labels have 2 dimensions"),
        ({"labels": np.zeros((9, 3, 2, 1), int)}, r"labels have shape \(9, 3, 2, 1\) for 9 images"),
        ({"labels": 1}, r"labels have shape \(\) for 9 images"),
        ({"labels": [0, 1, 3] * 3}, r"labels run from 0 to 3, expected 0 to 2"),
        ({"labels": [-1, 1, 2] * 3}, r"labels run from -1 to 2, expected 0 to 2"),
        ({"labels": [0.0, 1.0, 0.7] * 3}, r"labels are float64, expected whole numbers, each the index of a class"),
        ({"labels": ["cat", "dog", "owl"] * 3}, r"labels are <U3, expected whole numbers"),
        ({"labels": [True, False, True] * 3}, r"labels are bool, expected whole numbers"),
        ({"classes": ("cat", "dog")}, r"has 3 classes, but there are 2 class names \(cat, dog\)"),
        ({"classes": ("cat", "dog", "owl", "ant")}, r"has 3 classes, but there are 4 class names"),
        ({"classes": ("cat", "cat", "owl")}, r"two classes have the same name in cat, cat, owl"),
        ({"task": "detection"}, r"no task 'detection'\. .*The tasks are: classification, segmentation, "),
        ({"task": "segmentation", "labels": [0] * 9}, r"labels have 1 dimensions, but segmentation needs other labels"),
        ({"task": "segmentation"}, r"gives a tensor of shape \(1, 3\) .* but segmentation needs"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(images, given, message):
    with pytest.raises(InputError, match=message) as caught:
        Subject(TinyNet(), images, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"images has shape \(3, 8, 8\), expected \(n, channel, height, width\)"),
        (np.zeros((0, 3, 8, 8), np.uint8), "so it is empty; pass at least one image"),
        (np.zeros((2, 3, 8, 8), np.int64), "images has dtype int64, expected uint8"),
        ([[1]], "images is a list, expected a tensor or NumPy array"),
        (np.zeros((2, 1, 8, 8), np.uint8), r"TinyNet takes images of 3 channels"),
        (np.zeros((2, 3, 2, 2), np.uint8), r"TinyNet fails on images of shape \(1, 3, 2, 2\)"),
    ],
)
def test_what_is_no_image_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Subject(TinyNet(), wrong)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named_and_refused(value):
    images = np.random.default_rng(0).random((300, 3, 6, 6)).astype(np.float32)
    images[271, 1, 2, 3] = value
    with pytest.raises(InputError, match=r"image 271 has NaN or infinite pixels; leave it out"):
        Subject(TinyNet(), images)


def test_what_is_no_network_is_refused(images, tmp_path):
    with pytest.raises(InputError, match=r"model is a str, expected a torch\.nn\.Module; open a run with Run\.open"):
        Subject("runs/demo", images)
    with pytest.raises(InputError, match=r"got a TinyNet, expected a run, its path, or a subject; a network needs im"):
        as_subject(TinyNet())

    class Two(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(InputError, match="the model gives a tuple for an image, but classification needs a score"):
        Subject(Two(), images)


def test_there_is_no_part_but_the_test(images):
    subject = Subject(TinyNet(), images)
    with pytest.raises(InputError, match="has only the images it was given, and no training part; leave --split out"):
        subject.part("train")
    with pytest.raises(InputError, match=r"no part 'val' of TinyNet\. The parts are: train, test"):
        subject.part("val")
    with pytest.raises(InputError, match="is not a run and has no data set"):
        _ = subject.dataset


# Folders.


def test_class_folders_are_labels(tmp_path):
    for place, name in enumerate(CLASSES):
        write_images(tmp_path / name, 2, seed=10 * place)
    write_images(tmp_path / "dog" / "deeper", 1)
    subject = Subject(TinyNet(), tmp_path, size=9)
    assert (subject.classes, subject.labelled, subject.data) == (CLASSES, True, str(tmp_path))
    part = subject.part("test")
    assert part.files == ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/deeper/0.png", "owl/0.png",
                          "owl/1.png")  # fmt: skip
    assert part.targets.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert part.images.shape == (7, 3, 9, 9)
    assert Subject(TinyNet(channels=1), tmp_path, size=9, channels=1).image_shape == (1, 9, 9)


def test_class_folders_are_matched_to_names_that_are_given(tmp_path):
    """The model's order of classes is not that of the alphabet; some of its classes have no folder."""
    write_images(tmp_path / "cat", 2)
    write_images(tmp_path / "dog", 1)
    subject = Subject(TinyNet(), tmp_path, classes=("owl", "dog", "cat"), size=9)
    assert subject.part("test").targets.tolist() == [2, 2, 1]
    with pytest.raises(InputError, match=r"the folder cat is none of the 3 classes \(owl, dog, bat\); rename"):
        Subject(TinyNet(), tmp_path, classes=("owl", "dog", "bat"), size=9)


def test_a_class_folder_may_be_empty_but_not_missing(tmp_path):
    write_images(tmp_path / "cat", 1)
    write_images(tmp_path / "owl", 1)
    with pytest.raises(InputError, match=r"has 3 classes, but there are 2 class names \(cat, owl\)"):
        Subject(TinyNet(), tmp_path, size=9)
    (tmp_path / "dog").mkdir()
    assert Subject(TinyNet(), tmp_path, size=9).part("test").targets.tolist() == [0, 2]


def test_a_flat_folder_has_no_labels(tmp_path):
    write_images(tmp_path, 3)
    subject = Subject(TinyNet(), tmp_path, size=9)
    assert (subject.labelled, subject.part("test").files) == (False, ("0.png", "1.png", "2.png"))
    with pytest.raises(InputError, match="has images without labels, so nothing can be measured; give labels"):
        evaluate(subject)
    labelled = Subject(TinyNet(), tmp_path, labels=[0, 1, 2], size=9)
    assert labelled.part("test").targets.tolist() == [0, 1, 2]
    write_images(tmp_path / "cat", 1)  # beside images, a folder is no class
    assert not Subject(TinyNet(), tmp_path, size=9).labelled


def test_one_file_is_one_image(tmp_path):
    write_images(tmp_path, 2)
    subject = Subject(TinyNet(), str(tmp_path / "1.png"), size=9)
    assert (subject.part("test").files, len(subject.part("test"))) == (("1.png",), 1)


def test_hidden_files_are_left_out_and_others_are_counted(tmp_path, capsys):
    write_images(tmp_path / "cat", 1)
    write_images(tmp_path / "dog", 1)
    write_images(tmp_path / ".cache", 1)
    (tmp_path / "dog" / "._0.png").write_bytes(b"a Mac's")
    (tmp_path / "dog" / "a.heic").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    subject = Subject(TinyNet(classes=2), tmp_path, size=9)
    assert subject.part("test").files == ("cat/0.png", "dog/0.png")
    assert f"2 files in {tmp_path} not read: 1 .heic, 1 .txt" in capsys.readouterr().err


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere does not exist; expected an image file or a folder of images"):
        Subject(TinyNet(), tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no image files; expected some that end in \.bmp, "):
        Subject(TinyNet(), tmp_path)
    (tmp_path / "a.png").write_bytes(b"nonsense")
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match=r"a\.png cannot be read as an image"):
            Subject(TinyNet(), path)


def test_what_cannot_be_read_may_be_left_out(tmp_path, capsys):
    write_images(tmp_path, 2)
    (tmp_path / "1.png").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"1\.png cannot be read as an image.*, or leave it out with --skip-damaged"):
        Subject(TinyNet(), tmp_path, size=9)
    assert Subject(TinyNet(), tmp_path, size=9, skip_damaged=True).part("test").files == ("0.png",)
    assert f"1 image cannot be read and is left out: {tmp_path}/1.png" in capsys.readouterr().err
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match=r"no image of .* can be read, expected one at least"):
        Subject(TinyNet(), tmp_path, size=9, skip_damaged=True)


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"channels": 4}, {"size": 0}])
def test_image_files_have_one_channel_or_three(tmp_path, wrong):
    write_images(tmp_path, 1)
    with pytest.raises(InputError, match="expected 3 channels for colour or 1 for grey, and at least 1 pixel"):
        Subject(TinyNet(), tmp_path, **wrong)


def test_own_images_that_are_explained_are_read_as_those_of_a_subject(images, tmp_path, capsys):
    write_images(tmp_path / "deeper", 2)
    (tmp_path / "a.heic").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"nonsense")
    subject = Subject(TinyNet(), images, skip_damaged=True)
    (group,) = subject.explain(images=tmp_path, layers="conv2").result.groups
    assert group.names == ("deeper/0.png", "deeper/1.png")
    told = capsys.readouterr().err
    assert "1 file in" in told
    assert "not read: 1 .heic" in told
    assert "1 image cannot be read and is left out" in told
    with pytest.raises(InputError, match=r"b\.png cannot be read"):
        Subject(TinyNet(), images).explain(images=tmp_path)


# Runs.


def test_a_run_is_a_subject(finished):
    subject = Subject.of_run(finished)
    assert (subject.name, subject.classes, subject.path) == (finished.name, finished.classes, finished.path)
    assert (subject.model_name, subject.data, subject.image_shape) == ("convnet", "mnist-sample", (1, 28, 28))
    assert len(subject.part("train")) > len(subject.part("test")) == 1000
    assert not subject.model().training
    assert subject.settings == finished.settings


def test_a_run_its_path_and_a_subject_are_the_same_thing(finished):
    subject = Subject.of_run(finished)
    assert as_subject(subject) is subject
    for what in (finished, finished.path, str(finished.path)):
        assert as_subject(what).weights_digest == subject.weights_digest
    assert isinstance(as_subject(finished).run, Run)
    with pytest.raises(InputError, match="no run at"):
        as_subject("nowhere")


def test_analyses_are_kept_in_a_folder_not_in_a_file(images, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"out is .*file, which is a file; expected a folder"):
        Subject(TinyNet(), images, out=tmp_path / "file")
    with pytest.raises(InputError, match=r"out is .*file/deeper, which cannot be written"):
        Subject(TinyNet(), images, out=tmp_path / "file" / "deeper")


def test_a_network_that_gives_a_dictionary_is_refused_with_how_to_wrap_it(images):
    class Scores(nn.Module):
        def forward(self, x):
            return {"out": x, "aux": x}

    for task in ("segmentation", "reconstruction"):
        with pytest.raises(InputError, match=r"gives a dict of out, aux \(wrap it .*, as in model\(images\)\['out'\]"):
            Subject(Scores(), images, task=task)


# Digests.


def test_the_digest_of_a_model_changes_with_a_weight_and_with_its_structure(images):
    model = TinyNet()
    subject = Subject(model, images)
    before = subject.weights_digest
    assert before == subject.weights_digest == Subject(copying.deepcopy(model), images).weights_digest
    with torch.no_grad():
        model.bn.running_mean[0] += 1e-6
    moved = subject.weights_digest  # the subject is as old as before; the model has been trained on
    assert moved != before
    model.drop = nn.Dropout(0.1)
    assert subject.weights_digest != moved
    assert Subject(model.double(), images).weights_digest != moved


def test_the_digest_of_images_changes_with_a_pixel_a_label_a_name_and_the_order(images):
    labels = torch.arange(9) % 3

    def digest(pixels=images, targets=labels, files=None):
        return images_digest(Split(torch.from_numpy(pixels), targets, files=files))

    before = digest()
    assert digest(images.copy()) == before
    other = images.copy()
    other[8, 2, 11, 9] ^= 1
    names = [f"{i}.png" for i in range(9)]
    different = [
        digest(other),
        digest(targets=labels.flip(0)),
        digest(images[::-1].copy()),
        digest(files=names),
        digest(files=names[::-1]),
        digest(images.astype(np.float32)),
        digest(images.reshape(9, 3, 10, 12)),
    ]
    assert len({before, *different}) == len(different) + 1


def test_the_digest_of_a_part_that_is_mapped_is_that_of_its_own_rows(images):
    pixels, targets, rows = torch.from_numpy(images), torch.arange(9) % 3, torch.tensor([7, 2, 3])
    mapped, taken = Split(pixels, targets, rows), Split(pixels[rows], targets[rows])
    assert images_digest(mapped) == images_digest(taken)


def test_an_analysis_is_made_of_model_images_and_classes(images):
    model, labels = TinyNet(), [0, 1, 2] * 3
    subject = Subject(model, images, labels=labels, classes=CLASSES)
    before = subject.made_of("test")
    assert before.keys() == {"model", "images", "classes"}
    assert Subject(model, images, labels=labels, classes=CLASSES, name="other").made_of("test") == before
    renamed = Subject(model, images, labels=labels, classes=("a", "b", "c")).made_of("test")
    assert {key for key in before if renamed[key] != before[key]} == {"classes"}
    none = Subject(model, images, classes=CLASSES).made_of("test")
    first = Subject(model, images, labels=[0] * 9, classes=CLASSES).made_of("test")
    assert none["images"] == first["images"]
    assert none != first  # images without labels are not images of class 0
    assert subject.made_of("test", split=subject.part("test").subset(torch.arange(3)))["images"] != before["images"]


# No trace.


@pytest.mark.parametrize("change", [lambda model: model.train(), lambda model: model.double(), lambda model: model])
def test_a_model_is_left_as_it_was_found(images, change):
    model = change(TinyNet().eval())
    model.bn.train()  # a part of it in another mode than the rest
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, types = [one.training for one in model.modules()], {one.dtype for one in model.parameters()}
    subject = Subject(model, images, labels=[0, 1, 2] * 3)
    evaluate(subject)
    assert [one.training for one in model.modules()] == modes
    assert {one.dtype for one in model.parameters()} == types
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert all(one.grad is None and one.requires_grad for one in model.parameters())
    assert not any(one._forward_hooks for one in model.modules())
    assert subject.model() is model


# A network that gives images back.


def autoencoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.Sigmoid())


def test_a_network_that_gives_images_alone_is_measured_explained_and_reported(images, tmp_path):
    network = autoencoder()
    subject = Subject(network, images, task="reconstruction", out=tmp_path, name="mine")
    result = subject.evaluate()
    clean = torch.from_numpy(images).float() / 255
    errors = (network(clean) - clean).square().mean(dim=(1, 2, 3)).detach()
    assert result.images == 9
    assert np.allclose(result.values["mse"], errors, rtol=1e-5)
    assert (result.likelihood, result.kl, result.negative_elbo, result.latent) == (None, None, None, None)
    explained = subject.explain(images="first:2").result
    assert [fact["score"] for fact in explained.groups[0].facts] == pytest.approx(errors[:2].tolist(), rel=1e-4)
    assert "It reconstructs 9 images with a PSNR of" in subject.report().read_text()
    with pytest.raises(InputError, match=r"--target is 'latent:0', expected error: mine returns images only"):
        subject.explain(target="latent:0")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            TinyNet(),
            r"gives a tensor of shape \(1, 3\) for an image of shape \(1, 3, 12, 10\), but reconstruction",
        ),
        (nn.Conv2d(3, 3, 3), r"gives a tensor of shape \(1, 3, 10, 8\) for an image of shape \(1, 3, 12, 10\)"),
        (nn.LSTM(10, 10), r"LSTM fails on images|gives a tuple for an image"),
    ],
)
def test_a_reconstruction_of_another_shape_is_refused(images, model, message):
    with pytest.raises(InputError, match=message):
        Subject(model, images, task="reconstruction")


class Named(nn.Sequential):
    """A network that says what its outputs mean."""

    class_names = ("cat", "dog", "owl")

    def __init__(self, outputs=3):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, outputs))


def write_folders(path, *names):
    for name in names:
        (path / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path / name / "1.png")
    return path


def test_a_network_that_names_its_outputs_names_the_classes(tmp_path):
    images = torch.zeros(2, 3, 8, 8)
    assert Subject(Named(), images).classes == ("cat", "dog", "owl")
    assert Subject(Named(), images, classes=["a", "b", "c"]).classes == ("a", "b", "c")
    assert Subject(Named(4), images).classes == ("0", "1", "2", "3")  # its last layer was replaced


def test_folders_are_labels_where_the_network_knows_them(tmp_path, capsys):
    known = Subject(Named(), write_folders(tmp_path / "known", "owl", "cat"), size=8)
    assert known.part("test").targets.tolist() == [0, 2]
    assert known.labelled
    other = Subject(Named(), write_folders(tmp_path / "other", "owl", "zebra"), size=8)
    assert not other.labelled
    assert other.classes == ("cat", "dog", "owl")
    assert "zebra is not a class of the model, so the folders are not used as labels" in capsys.readouterr().err


def test_folders_of_which_one_is_known_at_another_place_are_not_taken_in_order(tmp_path, capsys):
    subject = Subject(Named(), write_folders(tmp_path / "mixed", "dog", "fox", "owl"), size=8)
    assert not subject.labelled
    assert subject.classes == ("cat", "dog", "owl")
    assert "fox is not a class of the model, so the folders are not used as labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "label"), [("cardigan", 1), ("Cardigan", 1), ("welsh-corgi", 0), ("Suit", 3), ("suit", 2)]
)
def test_a_whole_name_counts_before_one_of_several(folder, label):
    classes = ("Cardigan, Welsh corgi", "cardigan", "suit", "Suit")
    _, labels = matched_folders((folder,), (folder,), classes, path="photos")
    assert labels.tolist() == [label]


def test_a_folder_that_may_be_either_class_is_refused():
    classes = ("maillot, swimsuit", "maillot, tank suit")
    with pytest.raises(InputError, match="the folder Maillot in photos could be any of the classes 0, maillot, swims"):
        matched_folders(("Maillot",), ("Maillot",), classes, path="photos")

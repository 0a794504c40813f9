import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

import glassnet as gn
from glassnet.data import copies, load_dataset
from glassnet.data.copies import NEAR, counted, digests, exact_copies, held_out_copies, near_copies, thumbnails
from glassnet.data.dataset import Dataset, Split
from glassnet.data.pictures import read_pictures
from glassnet.data.split import training_parts


@pytest.fixture
def leaky(tmp_path, save_picture):
    """Eight of thirteen test images are copies of training images, one of them under another class."""
    for part, count in (("train", 12), ("test", 5)):
        for i in range(count):
            save_picture(tmp_path / "photos" / part / "cat" / f"{part}{i}.png")
            save_picture(tmp_path / "photos" / part / "dog" / f"{part}{i}.png")
    root = tmp_path / "photos"
    (root / "test" / "cat" / "test4.png").unlink()
    (root / "test" / "dog" / "test4.png").unlink()
    for i in range(4):
        shutil.copy(root / "train" / "dog" / f"train{i}.png", root / "test" / "dog" / f"test{i}.png")
    for i in range(3):
        shutil.copy(root / "train" / "cat" / f"train{i}.png", root / "test" / "cat" / f"copy{i}.png")
    for i in range(2):
        save_picture(root / "test" / "dog" / f"new{i}.png")
    (root / "test" / "cat" / "test3.png").unlink()
    save_picture(root / "test" / "cat" / "new.png")
    shutil.copy(root / "train" / "dog" / "train9.png", root / "test" / "cat" / "a dog.png")
    (root / "test" / "dog" / "new1.png").unlink()
    return root


def test_copies_are_counted_and_said(leaky, capsys):
    dataset = load_dataset(f"folder:{leaky}", image_size=16)
    assert (len(dataset.test), dataset.leak) == (13, 8)
    copied = {dataset.test.files[i] for i in exact_copies(dataset).nonzero().flatten().tolist()}
    of_dogs, of_cats = ({f"test/{name}{i}.png" for i in range(n)} for name, n in (("dog/test", 4), ("cat/copy", 3)))
    assert copied == of_dogs | of_cats | {"test/cat/a dog.png"}
    warning = "8 test images are copies of training images, pixel by pixel, so figures on this split are too good"
    assert dataset.note.endswith(f"; {warning}")
    assert f"warning: {warning}." in capsys.readouterr().err


def test_a_run_knows_its_leak(leaky, tmp_path, capsys, short_reports):
    for image in [*(leaky / "train").rglob("*.png")]:  # so that a validation image has its copy to learn from
        shutil.copy(image, image.with_name(f"again-{image.name}"))
    gn.train(
        gn.TrainSettings(
            data=f"folder:{leaky}", model="convnet", model_options=("filters=2,2,2,2", "hidden=4"), epochs=1,
            image_size=16, validation=0.25, out=tmp_path / "run", device="cpu", augment=False,
        )
    )  # fmt: skip
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["data"]["leak"] == 8
    assert "8 test images are copies" in manifest["data"]["note"]
    run = gn.Run.open(tmp_path / "run")
    training, validation = training_parts(run.dataset(), 0.25, seed=0)
    copies = manifest["data"]["validation_leak"]
    assert copies == held_out_copies(training, validation)
    assert 0 < copies <= len(validation)
    written = capsys.readouterr().err
    assert written.count("warning: 8 test images are copies") == 2  # of the training, and of the run that is opened
    assert written.count(f"warning: {copies} validation images are copies of training images") == 2
    assert f"{copies} of them are copies of training images" in run.report(out=tmp_path / "page.html").read_text()


def test_one_copy_and_none(tiny_folder, tmp_path, capsys):
    dataset = load_dataset(tiny_folder[0])
    assert dataset.leak == 0
    assert "copies" not in dataset.note + capsys.readouterr().err
    trained = dataset.train.files[0]
    shutil.copy(tmp_path / "photos" / trained, tmp_path / "photos" / dataset.test.files[0])
    assert load_dataset(tiny_folder[0]).leak == 1
    assert "warning: 1 test image is a copy of training images" in capsys.readouterr().err


def test_digests_of_a_mapped_part_are_of_its_own_rows():
    images = torch.randint(0, 256, (9, 3, 4, 4), dtype=torch.uint8)
    images[7] = images[2]
    masks = torch.zeros(9, 4, 4, dtype=torch.uint8)
    parts = [Split(images, masks, torch.tensor(rows)) for rows in ([0, 2, 4], [1, 7, 8])]
    dataset = Dataset("x", "segmentation", ("a", "b"), *parts, "none", "")
    assert exact_copies(dataset).tolist() == [False, True, False]
    assert len(set(digests(dataset.train))) == 3


def test_copies_of_images_to_validate_on_count_too():
    train, validation, test = (
        Split(torch.full((2, 1, 4, 4), 10 * level, dtype=torch.uint8), torch.tensor([0, 1])) for level in (1, 2, 2)
    )
    dataset = Dataset("x", "classification", ("a", "b"), train, test, "none", "note", validation=validation)
    again = counted(dataset)
    assert (again.leak, counted(again)) == (2, again)
    assert again.note.startswith("note; 2 test images are copies of training or validation images, pixel by pixel")


def scene(seed, side=96):
    """Draw a smooth picture, as photographs are."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda image, path: image.save(path.with_suffix(".jpg"), quality=40),
        lambda image, path: image.resize((48, 48)).save(path),
        lambda image, path: ImageEnhance.Brightness(image).enhance(0.7).save(path),
        lambda image, path: ImageEnhance.Contrast(image).enhance(0.6).save(path),
        lambda image, path: image.convert("L").save(path),
        lambda image, path: image.crop((1, 1, 95, 95)).save(path),
    ],
    ids=["jpeg", "smaller", "darker", "contrast", "grey", "cropped"],
)
def test_a_near_copy_is_recognised_among_others(tmp_path, change, mirrored):
    for i in range(12):
        scene(i).save(tmp_path / f"train{i:02}.png")
    (tmp_path / "test").mkdir()
    image = ImageOps.mirror(scene(5)) if mirrored else scene(5)
    change(image, tmp_path / "test" / "near.png")
    scene(50).save(tmp_path / "test" / "other.png")

    def small(folder):
        return thumbnails(read_pictures(sorted(p for p in folder.iterdir() if p.is_file()), size=32, description=""))

    (found,) = near_copies(small(tmp_path / "test"), small(tmp_path))
    assert (found.image, found.other) == (0, 5)
    assert found.correlation >= 0.99
    assert found.mirrored == mirrored


def test_flat_images_are_like_no_other():
    flat = torch.full((3, 1, 32, 32), 200, dtype=torch.uint8)
    assert near_copies(thumbnails(flat), thumbnails(flat)) == near_copies(thumbnails(flat)) == []


def slowly(images, others):
    """The same by the definition: the correlation of each two, one of them as it is or turned."""
    found = []
    for i, one in enumerate(images):
        rows = [(float(one @ other.view(16, 16).flip(1).flatten()), j, True) for j, other in enumerate(others[i])]
        rows += [(float(one @ other), j, False) for j, other in enumerate(others[i])]
        score, j, mirrored = max(rows, default=(0, 0, False))
        if score >= NEAR:
            found.append((i, j, pytest.approx(score, abs=1e-5), mirrored))
    return found


@pytest.mark.parametrize("chunks", [(512, 8192), (5, 7)])
def test_near_copies_are_those_of_the_definition_in_chunks_of_any_size(chunks, monkeypatch):
    for name, size in zip(("CHUNK_IMAGES", "CHUNK_OTHERS"), chunks, strict=True):
        monkeypatch.setattr(copies, name, size)
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 24, 24), dtype=torch.uint8, generator=random)
    images[7], images[20] = images[3], images[19].flip(2)
    images[29] = images[11].flip(2) // 2
    small = thumbnails(images)
    expected = slowly(small, [small[:i] for i in range(30)])
    assert [(i, j, m) for i, j, _, m in expected] == [(7, 3, False), (20, 19, True), (29, 11, True)]
    assert [dataclasses.astuple(one) for one in near_copies(small)] == expected
    expected = slowly(small[:12], [small[12:]] * 12)
    assert [dataclasses.astuple(one) for one in near_copies(small[:12], small[12:])] == expected

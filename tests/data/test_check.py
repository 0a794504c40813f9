"""`glassnet data check`: one folder with everything that it knows of, and what stands against a training."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from glassnet.cli import run
from glassnet.data.check import check
from glassnet.errors import InputError


def scene(seed, side=96):
    """Draw a smooth picture, as photographs are."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    """Three classes of six images, two of them of nearly one name."""
    for start, name in ((0, "cat"), (100, "dog"), (200, "Dog ")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(6):
            scene(start + i).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def parted(tmp_path):
    """Two classes in train, val and test."""
    for start, part in ((0, "train"), (10, "val"), (20, "test")):
        for more, name in ((0, "cat"), (100, "dog")):
            (tmp_path / "parted" / part / name).mkdir(parents=True)
            for i in range(3):
                scene(start + more + i).save(tmp_path / "parted" / part / name / f"{part}{i}.png")
    return tmp_path / "parted"


def found(data, root=None):
    """Its findings: the kind, and the names with what they are like; those that refuse a training are in capitals."""
    return {
        one.kind.upper() if one.refused else one.kind: [(i.name, i.other) if i.other else i.name for i in one.items]
        for one in check(data, root).findings
    }


def test_a_sound_folder_has_no_finding(photos):
    shutil.rmtree(photos / "Dog ")
    checked = check(f"folder:{photos}")
    assert checked.findings == ()
    assert (checked.parts, checked.classes) == ({"training": 10, "test": 2}, {"cat": 6, "dog": 6})


def test_notes_of_files_and_names(photos):
    cat = photos / "cat"
    scene(8).save(cat / "a jpeg.png", "JPEG")
    scene(9).save(cat / "without a suffix", "PNG")
    scene(10).resize((300, 40)).save(cat / "long.png")
    scene(11, 8).save(cat / "tiny.png")
    Image.new("RGB", (64, 64), "white").save(cat / "white.png")
    scene(50).save(cat / "moving.gif", save_all=True, append_images=[scene(51)])
    scene(60).save(photos / "beside.png")
    (cat / "notes.txt").write_text("x")
    (photos / ".hidden").write_text("x")
    assert found(f"folder:{photos}") == {
        "stray": ["beside.png"],
        "unread": ["cat/notes.txt", "cat/without a suffix"],
        "hidden": [".hidden"],
        "tiny": ["cat/tiny.png"],
        "long": ["cat/long.png"],
        "format": ["cat/a jpeg.png"],
        "pictures": ["cat/moving.gif"],
        "names": [("dog", "Dog ")],
        "flat": ["cat/white.png"],
    }
    about = {i.name: i.about for one in check(f"folder:{photos}").findings for i in one.items}
    assert about["cat/without a suffix"] == "a PNG image; rename it"
    assert about["cat/tiny.png"] == "8×8"
    assert about["cat/moving.gif"] == "2 pictures"


def test_copies_and_near_copies_between_parts_and_in_them(parted):
    shutil.copy(parted / "train/cat/train0.png", parted / "test/dog/copy.png")
    shutil.copy(parted / "train/cat/train1.png", parted / "val/cat/copy.png")
    shutil.copy(parted / "val/cat/val0.png", parted / "test/cat/copy.png")
    shutil.copy(parted / "test/dog/test1.png", parted / "test/dog/again.png")
    scene(102).save(parted / "test/dog/near.jpg", quality=50)
    scene(2).resize((50, 50)).save(parted / "train/cat/near.png")
    checked = check(f"folder:{parted}")
    assert not any(one.refused for one in checked.findings)
    by_chance = "thumbnails correlate by 0.99 or more; for simple drawings this may be coincidence"
    assert {one.text: [(item.name, item.other) for item in one.items] for one in checked.findings} == {
        "1 validation image with exactly the pixels of training images: figures on them are too good":
            [("val/cat/copy.png", "train/cat/train1.png")],
        "1 test image with exactly the pixels of training images: figures on them are too good":
            [("test/dog/copy.png", "train/cat/train0.png")],
        "1 test image with exactly the pixels of validation images: figures on them are too good":
            [("test/cat/copy.png", "val/cat/val0.png")],
        "1 test image with exactly the pixels of others": [("test/dog/test1.png", "test/dog/again.png")],
        "1 image whose copy has other classes": [("test/dog/copy.png", "train/cat/train0.png")],
        f"1 training image nearly like others: {by_chance}": [("train/cat/train2.png", "train/cat/near.png")],
        f"1 test image nearly like training images: {by_chance}": [("test/dog/near.jpg", "train/dog/train2.png")],
    }  # fmt: skip
    assert checked.parts == {"training": 7, "validation": 7, "test": 10}


def test_what_a_training_would_refuse(photos):
    (photos / "empty").mkdir()
    (photos / "lone").mkdir()
    scene(300).save(photos / "lone" / "0.png")
    (photos / "cat" / "0.png").write_bytes(b"no image")
    os.mkfifo(photos / "cat" / "pipe.png")
    assert found(f"folder:{photos}") == {
        "EMPTY": ["empty"],
        "SINGLE": ["lone"],
        "UNREADABLE": ["cat/0.png", "cat/pipe.png"],
        "names": [("dog", "Dog ")],
    }
    checked = check(f"folder:{photos}")
    assert checked.parts == {"all": 18}
    assert checked.classes == {"Dog ": 6, "cat": 5, "dog": 6, "empty": 0, "lone": 1}


def test_a_class_with_one_image_in_a_part_is_no_problem_and_one_without_is(parted):
    for i in (1, 2):
        (parted / "train/cat" / f"train{i}.png").unlink()
    assert found(f"folder:{parted}") == {"single": ["train/cat"]}
    (parted / "train/cat/train0.png").unlink()
    assert found(f"folder:{parted}") == {"EMPTY": ["train/cat"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "test").rename(root / "training"), "which both stand for the train part"),
        (lambda root: (root / "test/dog").rename(root / "test/cow"), "not in its train folder: cow"),
        (lambda root: shutil.rmtree(root / "train"), "but no train beside it"),
        (lambda root: [shutil.rmtree(root / part / "dog") for part in ("train", "val", "test")], "has only one class"),
    ],
)
def test_a_layout_that_is_refused_is_said_and_the_images_are_looked_at(parted, change, message):
    change(parted)
    checked = check(f"folder:{parted}")
    (refused,) = (one for one in checked.findings if one.refused)
    assert refused.kind == "layout"
    assert message in refused.text
    assert sum(checked.parts.values()) == len(list(parted.rglob("*.png")))


def test_images_without_classes_and_with_a_table(tmp_path):
    for i in range(8):
        scene(i).save(tmp_path / f"{i}.png")
    assert found(f"folder:{tmp_path}") == {"classes": []}
    rows = ["file,labels", *(f"{i}.png,{'cat;dog' if i % 2 else 'cat'}" for i in range(8))]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    checked = check(f"folder:{tmp_path}")
    assert (checked.findings, checked.classes) == ((), {"cat": 8, "dog": 4})
    (tmp_path / "labels.csv").write_text("\n".join(rows[:-1]))
    (finding,) = check(f"folder:{tmp_path}").findings
    assert finding.refused
    assert "has no row for 7.png" in finding.text


def test_masks(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for i in range(8):
        scene(i).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(np.eye(96, dtype=np.uint8) * (1 + (i == 0))).save(tmp_path / "masks" / f"{i}.png")
    checked = check(f"masks:{tmp_path}")
    assert checked.findings == ()
    assert checked.classes == {"class 0": 8, "class 1": 7, "class 2": 1}
    Image.new("L", (40, 40)).save(tmp_path / "masks" / "1.png")
    (tmp_path / "classes.txt").write_text("ground\nline\n")
    by_kind = {one.kind: one for one in check(f"masks:{tmp_path}").findings}
    assert set(by_kind) == {"unreadable", "masks"}
    assert "is a mask of 40x40 pixels for an image of 96x96" in by_kind["unreadable"].items[0].about
    assert "0.png holds the class 2, but classes.txt" in by_kind["masks"].text
    (tmp_path / "masks" / "2.png").unlink()
    checked = check(f"masks:{tmp_path}")
    assert [one.kind for one in checked.findings] == ["layout"]
    assert checked.parts == {"all": 8}


def test_a_published_set_and_what_is_not_there(tiny_mnist, tmp_path):
    checked = check(*tiny_mnist)
    assert checked.parts == {"training": 30, "test": 10}
    assert checked.classes == {str(digit): 4 for digit in range(10)}
    for name, message in (("minst", "no data set 'minst'"), (f"folder:{tmp_path / 'none'}", "does not exist")):
        with pytest.raises(InputError, match=message):
            check(name, tmp_path)


def test_the_command_tells_all_in_80_columns_and_its_exit_code(photos, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for i in range(12):
        shutil.copy(photos / "cat" / "0.png", photos / "cat" / f"copy{i}.png")
    assert run(["data", "check", f"folder:{photos}"]) == 0
    text = capsys.readouterr().out
    more = r"note: \d+ training images with exactly the pixels of others\n(  cat/.*\n){5}  … and \d+ more \(--json"
    assert re.search(more, text)
    assert max(len(line) for line in text.splitlines() if str(photos) not in line) <= 80
    assert " ".join(text.split()).endswith("24 training and 6 test images, 3 classes; no problem, 3 notes.")
    (photos / "cat" / "1.png").write_bytes(b"")
    assert run(["data", "check", f"folder:{photos}", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["refused"] is True
    assert document["findings"][0] == {
        "kind": "unreadable",
        "text": "1 image that cannot be read; replace or delete, or train with --skip-damaged",
        "items": [{"name": "cat/1.png", "other": "", "about": "it is damaged, or in an unknown format"}],
        "refused": True,
    }
    assert run(["data", "check", f"folder:{photos}"]) == 2
    assert "1 problem for which a training would refuse it, 3 notes." in " ".join(capsys.readouterr().out.split())
    assert run(["data", "check"]) == 2
    assert "glassnet: check needs a data set, as in `glassnet data check folder:photos`." in capsys.readouterr().err


def test_a_folder_of_which_nothing_can_be_held_out_is_refused_as_a_training_does(photos):
    for name in ("cat", "dog", "Dog "):
        for i in range(2, 6):
            (photos / name / f"{i}.png").unlink()
    shutil.rmtree(photos / "Dog ")
    (finding,) = (one for one in check(f"folder:{photos}").findings if one.refused)
    assert (finding.kind, finding.items) == ("hold-out", ())
    assert "each of the 2 images has its own class" in finding.text or "leaves an empty part" in finding.text


def test_a_part_to_validate_on_needs_no_hold_out(parted):
    for file in parted.glob("train/*/train[12].png"):
        file.unlink()
    assert "HOLD-OUT" not in found(f"folder:{parted}")
    shutil.rmtree(parted / "val")
    assert "HOLD-OUT" in found(f"folder:{parted}")


def test_images_of_12_bits_in_16_are_dim_and_not_of_one_colour(photos):
    shutil.rmtree(photos / "Dog ")
    values = np.random.default_rng(0).integers(0, 1024, (96, 96)).astype(np.uint16)
    Image.fromarray(values).save(photos / "cat" / "0.png")
    Image.fromarray(np.full((96, 96), 1000, np.uint16)).save(photos / "cat" / "1.png")
    assert {key: of for key, of in found(f"folder:{photos}").items() if key in ("dim", "flat")} == {
        "dim": ["cat/0.png"],
        "flat": ["cat/1.png"],
    }

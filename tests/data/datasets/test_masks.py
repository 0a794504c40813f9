import os
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from glassnet.data import load_dataset
from glassnet.data.datasets.masks import class_names
from glassnet.errors import InputError


def save(folder, name, *, image=(6, 4), mask=(6, 4), value=1):
    for kind, size in (("images", image), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        if size is None:
            continue
        if kind == "images":
            pixels = np.random.default_rng(zlib.crc32(name.encode())).integers(
                0, 255, (size[1], size[0], 3), dtype=np.uint8
            )
            Image.fromarray(pixels).save(folder / kind / f"{name}.png")
        else:
            values = np.zeros((size[1], size[0]), np.uint8)
            values[0], values[1] = value, 255
            Image.fromarray(values).save(folder / kind / f"{name}.png")


@pytest.fixture
def scans(tmp_path):
    for number in range(5):
        save(tmp_path / "scans", f"s{number}")
    return tmp_path / "scans"


def test_a_folder_is_split_and_read(scans):
    dataset = load_dataset(f"masks:{scans}", image_size=8)
    assert (len(dataset.train), len(dataset.test)) == (4, 1)
    assert dataset.classes == ("class 0", "class 1")
    assert set(dataset.train.targets.unique().tolist()) == {0, 1, 255}
    expected = Image.open(scans / "masks" / "s0.png").resize((8, 8), Image.Resampling.NEAREST)
    assert torch.equal(dataset.train.targets[0], torch.from_numpy(np.array(expected)))


def test_train_and_test_folders_and_names_of_classes(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / part, "x")
    (tmp_path / "classes.txt").write_text("ground\n cell\n\n \n")
    dataset = load_dataset("masks", root=tmp_path, image_size=8)
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (1, 1, ("ground", "cell"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: save(f, "alone", mask=None), "the image alone in .* has no partner in masks/"),
        (lambda f: save(f, "alone", image=None), "the mask alone in .* has no partner in images/"),
        (lambda f: save(f, "odd", mask=(5, 4)), "is a mask of 5x4 pixels for an image of 6x4; make them equal"),
        (lambda f: (f / "classes.txt").write_text("one\n"), "names 1 classes, expected two or more; write one"),
        (lambda f: (f / "classes.txt").write_text("\n"), "names 0 classes, expected two or more"),
        (
            lambda f: (f / "classes.txt").write_text("a\n \nb\n"),
            r"^line 2 of .*classes\.txt is empty, expected the name of class 1; write it there, or remove the line\.$",
        ),
        (lambda f: (f / "classes.txt").write_text("\na\nb\n"), r"^line 1 of .*txt is empty, expected the name"),
        (
            lambda f: (f / "classes.txt").write_text("a\nb\na\n"),
            r"classes\.txt names two classes 'a', expected a name of its own for each; rename one\.$",
        ),
        (
            lambda f: (f / "classes.txt").write_text("Häuser\nWald\n", encoding="latin-1"),
            r"classes\.txt cannot be read \('utf-8' codec can't decode byte 0xe4 .*\); save it as text in UTF-8\.$",
        ),
        (
            lambda f: [(f / "classes.txt").write_text("a\nb\n"), save(f, "s", value=2)],
            r"the mask .*s\.png holds the class 2, but classes",
        ),
        (lambda f: (f / "images" / "s1.png").write_bytes(b"x"), r"s1\.png cannot be read as an image"),
        (lambda f: Image.new("RGB", (6, 4)).save(f / "masks" / "s1.png"), r"s1\.png is a RGB image, expected palette"),
        (
            lambda f: _again_as(f, "images", "s1", ".bmp"),
            r"both s1\.bmp and s1\.png, expected",
        ),
        (
            lambda f: _again_as(f, "masks", "s1", ".jpg", move=True),
            r"the mask .*s1\.jpg is a JPEG, which blurs classes",
        ),
    ],
)
def test_what_does_not_fit_is_named(scans, change, message):
    change(scans)
    with pytest.raises(InputError, match=message):
        load_dataset(f"masks:{scans}", image_size=8)


def _again_as(folder, kind, name, suffix, *, move=False):
    path = folder / kind / f"{name}.png"
    Image.open(path).save(path.with_suffix(suffix))
    if move:
        path.unlink()


@pytest.mark.parametrize("names", [None, "ground\nobject\n"])
def test_masks_that_mark_the_object_by_255_hold_one_class_alone(tmp_path, names):
    for number in range(3):
        save(tmp_path / "grey", f"s{number}", value=255)
    if names:
        (tmp_path / "grey" / "classes.txt").write_text(names)
    with pytest.raises(
        InputError, match=r"hold only 0 and 255, where 255 stands for void, expected two classes or mor"
    ):
        load_dataset(f"masks:{tmp_path / 'grey'}", image_size=8)


def test_numbers_that_leave_classes_out_need_names(tmp_path):
    folder = tmp_path / "grey"
    for number in range(5):
        save(folder, f"s{number}", value=3)
    with pytest.raises(
        InputError, match=r"hold 0, 3, 255 and no 1, expected the classes 0, 1, 2 and so on; number them so"
    ):
        load_dataset(f"masks:{folder}", image_size=8)
    (folder / "classes.txt").write_text("ground\na\nb\nc\n")
    assert load_dataset(f"masks:{folder}", image_size=8).classes == ("ground", "a", "b", "c")


def test_a_picture_that_lies_on_its_side_is_turned_as_its_mask_stands(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / "turned", name, image=(4, 6), mask=(4, 6))
    path = tmp_path / "turned" / "images" / "a.png"
    upright = Image.open(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown after a quarter turn clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    dataset = load_dataset(f"masks:{tmp_path / 'turned'}", image_size=8)
    found = torch.cat([dataset.train.images, dataset.test.images])
    expected = np.asarray(upright.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert any(np.array_equal(image, expected) for image in found)


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(InputError, match="none does not exist; expected a folder with images/ and masks/"):
        load_dataset(f"masks:{tmp_path / 'none'}")
    with pytest.raises(InputError, match="images does not exist; expected images/ and masks/"):
        load_dataset(f"masks:{tmp_path}")
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="images holds no images; expected images/ and masks/"):
        load_dataset(f"masks:{tmp_path}")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; expected a folder with images/ and masks/"):
        load_dataset(f"masks:{tmp_path / 'file'}")
    with pytest.raises(InputError, match="'masks' has no path: give masks:PATH, where PATH has images/ and masks/"):
        load_dataset("masks")


def test_rows_keep_the_names_of_their_files(scans):
    dataset = load_dataset(f"masks:{scans}", image_size=8)
    assert sorted(dataset.train.files + dataset.test.files) == [f"images/s{number}.png" for number in range(5)]
    for split in (dataset.train, dataset.test):
        for image, file in zip(split.images, split.files, strict=True):
            with Image.open(scans / file) as opened:
                expected = np.asarray(opened.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
            assert np.array_equal(image, expected)


def test_damaged_images_and_masks_are_named_together_or_left_out(scans, capsys):
    whole = load_dataset(f"masks:{scans}", image_size=8)
    (scans / "images" / "s1.png").write_bytes(b"x")
    (scans / "masks" / "s2.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"2 images cannot be read: .*images.s1\.png .*masks.s2\.png .*--skip-damaged"):
        load_dataset(f"masks:{scans}", image_size=8)
    (scans / "images" / "notes.txt").write_text("")
    rest = load_dataset(f"masks:{scans}", image_size=8, skip_damaged=True)
    said = capsys.readouterr().err
    assert "2 images cannot be read and are left out" in said
    assert "1 .txt" in said
    for before, after in ((whole.train, rest.train), (whole.test, rest.test)):
        places = [row for row, file in enumerate(before.files) if file not in ("images/s1.png", "images/s2.png")]
        assert after.files == tuple(before.files[row] for row in places)
        assert torch.equal(after.images, before.images[places])
        assert torch.equal(after.targets, before.targets[places])


def test_a_part_of_which_nothing_can_be_read_is_said(scans):
    (file,) = load_dataset(f"masks:{scans}", image_size=8).test.files
    (scans / file).write_bytes(b"x")
    with pytest.raises(InputError, match=r"no test image in .* can be read, expected one at least"):
        load_dataset(f"masks:{scans}", image_size=8, skip_damaged=True)


def lines(folder, *, value, area=1, count=5, side=400):
    """Images with masks in which a class is a line of one pixel, which no small mask has."""
    for number in range(count):
        save(folder, f"s{number}", image=(side, side), mask=(side, side))
        values = np.zeros((side, side), np.uint8)
        values[:, : side // 2] = area
        values[number * 7 + 3, :] = value
        Image.fromarray(values).save(folder / "masks" / f"s{number}.png")


def test_masks_of_which_one_class_is_left_at_the_size_are_refused(tmp_path):
    lines(tmp_path / "thin", value=1, area=0)
    with pytest.raises(InputError, match=r"of which one is left at 8 px, expected two or more; raise --image-size"):
        load_dataset(f"masks:{tmp_path / 'thin'}", image_size=8)
    assert len(load_dataset(f"masks:{tmp_path / 'thin'}", image_size=64).classes) == 2


def test_a_class_of_thin_lines_is_neither_lost_nor_absent(tmp_path, capsys):
    lines(tmp_path / "last", value=2)
    dataset = load_dataset(f"masks:{tmp_path / 'last'}", image_size=8)
    assert dataset.classes == ("class 0", "class 1", "class 2")
    assert int(dataset.train.targets.max()) == 1
    said = capsys.readouterr().err
    assert f"warning: no pixel of class 2 in {tmp_path / 'last'} is left at 8 px, so it is not learned; raise" in said
    lines(tmp_path / "between", value=1, area=2)
    assert load_dataset(f"masks:{tmp_path / 'between'}", image_size=8).classes == ("class 0", "class 1", "class 2")


def test_a_thin_value_beyond_the_named_classes_is_refused_with_its_file(tmp_path):
    lines(tmp_path / "scans", value=1)
    values = np.asarray(Image.open(tmp_path / "scans" / "masks" / "s3.png")).copy()
    values[1, 1] = 7
    Image.fromarray(values).save(tmp_path / "scans" / "masks" / "s3.png")
    (tmp_path / "scans" / "classes.txt").write_text("ground\ncell\n")
    with pytest.raises(
        InputError, match=r"the mask .*s3\.png holds the class 7, but classes\.txt in .* names 2, 0 to 1"
    ):
        load_dataset(f"masks:{tmp_path / 'scans'}", image_size=8)


@pytest.mark.parametrize(
    "names", [("Training", "Testing", "valid"), ("train", "val", None), ("seg_train", "seg_test", "VAL")]
)
def test_parts_by_the_names_that_people_give_them(tmp_path, names):
    for number, name in enumerate(filter(None, names)):
        for i in range(number + 1):
            save(tmp_path / name, f"{name}{i}")
    dataset = load_dataset(f"masks:{tmp_path}", image_size=8)
    assert (len(dataset.train), len(dataset.test)) == (1, 2)
    assert (len(dataset.validation) if dataset.validation else 0) == (3 if names[2] else 0)


def test_parts_beside_images_and_a_part_alone_are_asked_about(scans):
    save(scans / "train", "x")
    with pytest.raises(InputError, match=r"has images/ beside train, named as parts of a data set; move"):
        load_dataset(f"masks:{scans}", image_size=8)
    save(scans / "alone" / "train", "x")
    with pytest.raises(InputError, match=r"has train but no test, val or validation beside it: add one"):
        load_dataset(f"masks:{scans / 'alone'}", image_size=8)


def test_links_to_masks_are_read_and_pipes_are_not_waited_for(scans, tmp_path):
    (scans / "masks").rename(tmp_path / "elsewhere")
    (scans / "masks").symlink_to(tmp_path / "elsewhere")
    assert len(load_dataset(f"masks:{scans}", image_size=8).train) == 4
    (tmp_path / "elsewhere" / "s1.png").unlink()
    os.mkfifo(tmp_path / "elsewhere" / "s1.png")
    with pytest.raises(InputError, match=r"s1\.png cannot be read as an image \(it is not a regular file but a pipe"):
        load_dataset(f"masks:{scans}", image_size=8)
    os.mkfifo(scans / "classes.txt")
    with pytest.raises(InputError, match=r"classes\.txt cannot be read, it is not a regular file but a pipe"):
        load_dataset(f"masks:{scans}", image_size=8)


def test_images_of_16_bits_are_scaled_and_transparent_ones_lie_on_white(scans):
    size = (4, 6)
    Image.fromarray(np.full(size, 257 * 90, np.uint16)).save(scans / "images" / "s0.png")
    Image.fromarray(np.zeros((*size, 4), np.uint8)).save(scans / "images" / "s1.png")
    dataset = load_dataset(f"masks:{scans}", image_size=8)
    values = {
        file: set(image.unique().tolist())
        for part in (dataset.train, dataset.test)
        for file, image in zip(part.files, part.images, strict=True)
    }
    assert (values["images/s0.png"], values["images/s1.png"]) == ({90}, {255})


def test_folders_inside_pair_by_their_paths(scans):
    for number in (0, 1):
        save(scans / "inner", f"s{number}", value=2)
        for kind in ("images", "masks"):
            (scans / kind / "ward" / "a").mkdir(parents=True, exist_ok=True)
            (scans / "inner" / kind / f"s{number}.png").rename(scans / kind / "ward" / "a" / f"s{number}.png")
    for kind in ("images", "masks"):
        (scans / "inner" / kind).rmdir()
    (scans / "inner").rmdir()
    dataset = load_dataset(f"masks:{scans}", image_size=8)
    files = [*dataset.train.files, *dataset.test.files]
    assert sorted(files) == [f"images/s{i}.png" for i in range(5)] + [f"images/ward/a/s{i}.png" for i in (0, 1)]
    part = dataset.train if "images/ward/a/s0.png" in dataset.train.files else dataset.test
    assert 2 in part.targets[list(part.files).index("images/ward/a/s0.png")]
    (scans / "masks" / "ward" / "a" / "s0.png").unlink()
    with pytest.raises(InputError, match=r"the image ward/a/s0 in .* has no partner in masks/"):
        load_dataset(f"masks:{scans}", image_size=8)


def test_names_of_classes_may_begin_with_a_byte_order_mark(scans):
    (scans / "classes.txt").write_text("ground\ncell\n", encoding="utf-8-sig")
    assert class_names(scans) == ("ground", "cell")

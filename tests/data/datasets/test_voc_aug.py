import hashlib
import io
import os
import re
import shutil
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_voc as tiny
from glassnet import cli
from glassnet.data import load_dataset
from glassnet.data.datasets import voc, voc_aug
from glassnet.download import RemoteFile
from glassnet.errors import InputError, WorkError
from mirror import Mirror

SIZE = 8


@pytest.fixture
def root(tmp_path):
    return tiny.lay_out(tmp_path)


def masks(dataset, part):
    """The mask of each image by the image's number among all."""
    split = getattr(dataset, part)
    numbers = [tiny.NAMES.index(PurePosixPath(file).stem) for file in split.files]
    return dict(zip(numbers, split.targets, strict=True))


def image_of(split, name):
    return split.images[[PurePosixPath(file).stem for file in split.files].index(name)]


def test_a_part_holds_its_own_images_and_names_their_files(root):
    dataset = load_dataset("voc-aug", root=root, image_size=SIZE)
    assert len(dataset.test.images) == len(dataset.test.targets) == len(dataset.test) == 2
    for split in (dataset.train, dataset.test):
        for row, file in enumerate(split.files):
            with Image.open(root / file) as opened:
                pixels = opened.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            assert torch.equal(split.images[row], torch.from_numpy(np.array(pixels)).permute(2, 0, 1)), file


def test_trainaug_tests_on_vocs_validation_images_alone(root):
    dataset = load_dataset("voc-aug", root=root, image_size=SIZE)
    numbers = {name: row for row, name in enumerate(tiny.NAMES)}
    assert masks(dataset, "test").keys() == {numbers[name] for name in tiny.VOC_VAL}
    assert masks(dataset, "train").keys() == set(numbers.values()) - {numbers[name] for name in tiny.VOC_VAL}
    assert "none of which is in the training set" in dataset.note
    assert "a subset: 11 of 12,031 images" in dataset.note


def test_union_is_the_reports_split_and_says_how_many_images_leak(root, capsys):
    dataset = load_dataset("voc-aug-union", root=root, image_size=SIZE)
    both = masks(dataset, "train").keys() & masks(dataset, "test").keys()
    assert sorted(tiny.NAMES[row] for row in both) == ["a3", "b2"]
    assert dataset.leak == 2
    assert "2 images are in both the training and the test part" in dataset.note
    assert "warning: 2 images are in both the training and the test part" in capsys.readouterr().err


def test_union_clean_has_the_same_test_images_and_trains_on_none_of_them(root):
    leaky, clean = (load_dataset(f"voc-aug-union{end}", root=root, image_size=SIZE) for end in ("", "-clean"))
    assert masks(clean, "test").keys() == masks(leaky, "test").keys()
    assert masks(clean, "train").keys() == masks(leaky, "train").keys() - masks(leaky, "test").keys()
    assert clean.leak == 0
    assert "the 2019 report's test images, none of which is in the training set" in clean.note


def test_vocs_own_mask_wins_and_both_formats_are_read(root):
    dataset = load_dataset("voc-aug", root=root, image_size=SIZE)
    found = masks(dataset, "train") | masks(dataset, "test")
    for row, name in enumerate(tiny.NAMES):
        original = tiny.mask(name, voc=name in (*tiny.VOC_TRAIN, *tiny.VOC_VAL))
        expected = Image.fromarray(original).resize((SIZE, SIZE), Image.Resampling.NEAREST)
        assert torch.equal(found[row], torch.from_numpy(np.array(expected))), name


def test_images_are_squeezed_with_antialias(root):
    split = load_dataset("voc-aug", root=root, image_size=SIZE).train
    image, _ = split.take(torch.tensor([0]))
    decoded = torch.from_numpy(np.array(Image.open(root / "voc2012" / tiny.VOC / "JPEGImages" / "a1.jpg")))
    expected = torch.nn.functional.interpolate(
        decoded.permute(2, 0, 1)[None], (SIZE, SIZE), mode="bilinear", antialias=True
    )
    assert (image.int() - expected.int()).abs().max() <= 1


def test_a_large_image_is_decoded_at_a_fraction_and_looks_the_same(tmp_path):
    down, across = np.mgrid[:240, :400]
    pixels = np.stack([across * 255 // 399, down * 255 // 239, (down + across) * 255 // 638], axis=-1).astype(np.uint8)
    mask = np.zeros((240, 400), np.uint8)
    root = tiny.lay_out(tmp_path, c1_jpg=tiny.jpeg(pixels), c1_mat=tiny.mat(mask))
    found = image_of(load_dataset("voc-aug", root=root, image_size=SIZE).train, "c1")
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(whole, (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    assert (found.int() - expected.int()).abs().max() <= 4


def test_a_grey_photograph_has_three_equal_channels(tmp_path):
    root = tiny.lay_out(tmp_path, c1_jpg=tiny.jpeg(tiny.picture("c1")[..., 0]))
    image = image_of(load_dataset("voc-aug", root=root, image_size=SIZE).train, "c1")
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])
    assert image.float().std() > 10


def test_the_raw_mask_keeps_every_value(root):
    png = voc.read_mask(root / "voc2012" / tiny.VOC / "SegmentationClass" / "a2.png")
    np.testing.assert_array_equal(png, tiny.mask("a2", voc=True))
    mat = voc.read_mask(root / "sbd" / tiny.SBD / "cls" / "c1.mat")
    np.testing.assert_array_equal(mat, tiny.mask("c1", voc=False))


def _rgb_png():
    buffer = io.BytesIO()
    Image.new("RGB", (tiny.WIDTH, tiny.HEIGHT)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"a2_png": tiny.palette_png(np.full((12, 20), 21, np.uint8))},
            r"a2\.png holds the class 21, expected",
        ),
        ({"c1_mat": tiny.mat(np.full((12, 20), 21, np.uint8))}, r"c1\.mat holds the class 21, expected 0 to 20"),
        ({"c1_mat": tiny.mat(np.zeros((5, 20), np.uint8))}, r"c1\.mat is a mask of 20x5 pixels for an image of 20x12"),
        ({"a2_png": tiny.palette_png(np.zeros((12, 7), np.uint8))}, r"a2\.png is a mask of 7x12 pixels for an image"),
        ({"c1_mat": tiny.mat(np.full((12, 20), -1, np.int16))}, r"c1\.mat holds the class -1, expected 0 to 20"),
        ({"c1_mat": tiny.mat(np.full((12, 20), 300, np.int16))}, r"c1\.mat holds the class 300, expected 0 to 20"),
        ({"b2_png": None}, r"b2\.png is missing, which the lists name"),  # and SBD's coarser b2.mat is not taken for it
        ({"a2_png": _rgb_png()}, r"a2\.png is a RGB image, expected palette indices or grey levels"),
        ({"c2_mat": None}, r"c2\.mat is missing, which the lists name"),
        ({"c2_mat": b"MATLAB rubbish"}, r"c2\.mat cannot be read as a mask"),
        ({"a2_png": b"\x89PNG rubbish"}, r"a2\.png cannot be read as a mask"),
        ({"c2_jpg": b"\xff\xd8 rubbish"}, r"c2\.jpg cannot be read as an image \(it is damaged\)"),
        ({"c2_jpg": tiny.jpeg(tiny.picture("c2"))[:200]}, r"c2\.jpg cannot be read as an image"),
        ({"val_txt": b""}, r"val\.txt is empty, expected a name of an image a line"),
    ],
)
def test_what_is_damaged_is_named(tmp_path, changed, message):
    remedy = rf"; delete {tmp_path}/(voc2012/{tiny.VOC}|sbd/{tiny.SBD}) and run"
    with pytest.raises(InputError, match=f"{message}.*{remedy}"):
        load_dataset("voc-aug", root=tiny.lay_out(tmp_path, **changed), image_size=SIZE)


@pytest.mark.parametrize("file", ["c2.jpg", "a2.png", "c1.mat"])
def test_a_pipe_is_not_waited_for(tmp_path, file):
    root = tiny.lay_out(tmp_path)
    folders = {
        "jpg": f"sbd/{tiny.SBD}/img",
        "png": f"voc2012/{tiny.VOC}/SegmentationClass",
        "mat": f"sbd/{tiny.SBD}/cls",
    }
    path = root / folders[file[-3:]] / file
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=rf"{file} cannot be read as an? (image|mask) \(it is not a regular file"):
        load_dataset("voc-aug", root=root, image_size=SIZE)


@pytest.fixture
def servers(monkeypatch):
    """Both archives on a server of this machine, which the reader is made to expect."""
    packed = {key: tiny.pack(content) for key, content in tiny.files().items()}
    mirrors = {key: Mirror(content) for key, content in packed.items()}
    remote = {
        key: RemoteFile(f"{key}.tgz", len(content), hashlib.sha256(content).hexdigest())
        for key, content in packed.items()
    }
    monkeypatch.setattr(voc_aug, "ARCHIVES", remote)
    monkeypatch.setattr(voc_aug, "MIRRORS", {key: (mirror.url,) for key, mirror in mirrors.items()})
    monkeypatch.setenv("GLASSNET_OFFLINE", "0")
    yield mirrors
    for mirror in mirrors.values():
        mirror.close()


def test_both_archives_are_fetched_unpacked_and_removed(servers, tmp_path):
    dataset = load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    assert (len(dataset.train), len(dataset.test)) == (9, 2)
    assert voc_aug.find(tmp_path) == tmp_path / "voc2012"
    assert {path.name for path in (tmp_path / "sbd").iterdir()} == {"benchmark_RELEASE"}
    assert {path.name for path in (tmp_path / "voc2012").iterdir()} == {"VOCdevkit"}


def test_a_cut_download_leaves_a_part_that_is_gone_on_with(servers, tmp_path):
    servers["sbd"].cuts = [100] * 4
    with pytest.raises(WorkError, match=r"could not download sbd\.tgz: .* cut the connection"):
        load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    assert [path.name for path in (tmp_path / "sbd").iterdir()] == ["sbd.tgz.part"]
    assert len(load_dataset("voc-aug", root=tmp_path, image_size=SIZE).train) == 9


def test_an_archive_that_leads_outside_or_is_another_is_refused(servers, tmp_path, monkeypatch):
    escaping = tiny.pack(tiny.files()["sbd"], extra=[("../escaped.txt", b"x")])
    (tmp_path / "sbd").mkdir()
    (tmp_path / "sbd" / "sbd.tgz").write_bytes(escaping)
    with pytest.raises(InputError, match=r"sbd\.tgz has SHA-256 .*, expected the official file's"):
        load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    file = RemoteFile("sbd.tgz", len(escaping), hashlib.sha256(escaping).hexdigest())
    monkeypatch.setitem(voc_aug.ARCHIVES, "sbd", file)
    with pytest.raises(InputError, match=r"sbd\.tgz is not safe to unpack"):
        load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    assert not (tmp_path / "escaped.txt").exists()
    assert [path.name for path in (tmp_path / "sbd").iterdir()] == ["sbd.tgz"]


def test_a_cut_archive_is_refused_and_leaves_nothing(servers, tmp_path, monkeypatch):
    cut = tiny.pack(tiny.files()["sbd"])[:-500]
    (tmp_path / "sbd").mkdir()
    (tmp_path / "sbd" / "sbd.tgz").write_bytes(cut)
    monkeypatch.setitem(voc_aug.ARCHIVES, "sbd", RemoteFile("sbd.tgz", len(cut), hashlib.sha256(cut).hexdigest()))
    with pytest.raises(InputError, match=r"sbd\.tgz is damaged .*Delete it and run `glassnet data fetch voc-aug`"):
        load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    assert [path.name for path in (tmp_path / "sbd").iterdir()] == ["sbd.tgz"]


def test_offline_says_what_to_put_where(tmp_path):
    with pytest.raises(InputError, match=r"voc-aug is not complete in .*voc2012 and GLASSNET_OFFLINE forbids"):
        load_dataset("voc-aug", root=tmp_path)


def train(capsys, root, out):
    """Ask for a training on the command line; return its exit code and what it said beside its progress."""
    words = ["train", "--data", "voc-aug", "--model", "unet_small", "--image-size", "16", "--data-root", root]
    code = cli.run([str(word) for word in (*words, "--out", out)])
    said = capsys.readouterr()
    assert not said.out
    assert not out.exists()
    return code, [line for line in said.err.splitlines() if not line.startswith(("Resizing 11 ", "Downloading "))]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"a2_png": tiny.palette_png(np.full((12, 20), 21, np.uint8))}, "a2.png holds the class 21, expected 0 to 20"),
        ({"c1_mat": tiny.mat(np.full((12, 20), 21, np.uint8))}, "c1.mat holds the class 21, expected 0 to 20"),
        ({"b2_png": None}, "b2.png is missing, which the lists name; delete {root}/voc2012/{voc} and run"),
        ({"c2_jpg": b"\xff\xd8 rubbish"}, "c2.jpg cannot be read as an image (it is damaged); delete {root}/sbd/{sbd}"),
        ({"a2_png": tiny.palette_png(np.zeros((12, 7), np.uint8))}, "a2.png is a mask of 7x12 pixels for an image of"),
    ],
)
def test_what_is_damaged_is_one_line_on_the_command_line(tmp_path, capsys, changed, message):
    root = tiny.lay_out(tmp_path / "data", **changed)
    code, (line,) = train(capsys, root, tmp_path / "run")
    assert code == 2
    assert line.startswith("glassnet: ")
    assert message.format(root=root, voc=tiny.VOC, sbd=tiny.SBD) in line


@pytest.mark.parametrize(
    ("name", "content", "folder"),
    [
        ("c2.mat", b"rubbish", f"sbd/{tiny.SBD}"),
        ("b1.jpg", None, f"voc2012/{tiny.VOC}"),  # which SBD's archive never had
    ],
)
def test_what_the_message_advises_mends_what_is_damaged(servers, tmp_path, name, content, folder):
    """Fetching alone does nothing where the unpacked folder is, and the archive is gone."""
    voc_aug.fetch(tmp_path)
    (path,) = (tmp_path / folder).rglob(name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_dataset("voc-aug", root=tmp_path, image_size=SIZE)
    advised = re.search(r"; delete (\S+) and run `glassnet data fetch voc-aug`\.$", str(refused.value))[1]
    assert advised == str(tmp_path / folder)
    shutil.rmtree(advised)
    voc_aug.fetch(tmp_path)
    assert len(load_dataset("voc-aug", root=tmp_path, image_size=SIZE).train) == 9


def test_an_archive_that_leads_outside_is_one_line_and_leaves_nothing(servers, tmp_path, capsys, monkeypatch):
    root, escaping = tmp_path / "data", tiny.pack(tiny.files()["sbd"], extra=[("../escaped.txt", b"x")])
    servers["sbd"].content = escaping
    file = RemoteFile("sbd.tgz", len(escaping), hashlib.sha256(escaping).hexdigest())
    monkeypatch.setitem(voc_aug.ARCHIVES, "sbd", file)
    code, (line,) = train(capsys, root, tmp_path / "run")
    assert code == 2
    assert "sbd.tgz is not safe to unpack" in line
    assert "Delete it and run `glassnet data fetch voc-aug`." in line
    assert [path.name for path in (root / "sbd").iterdir()] == ["sbd.tgz"]
    assert not [path for path in tmp_path.rglob("*") if path.name == "escaped.txt"]


def test_a_cut_download_is_one_line_and_a_failure_of_the_work(servers, tmp_path, capsys):
    """Not of the input: the same command may succeed the next time, and goes on from the part."""
    root = tmp_path / "data"
    servers["sbd"].cuts = [100] * 4
    code, (line,) = train(capsys, root, tmp_path / "run")
    assert code == 1
    assert line.startswith("glassnet: could not download sbd.tgz: ")
    assert "cut the connection after" in line
    assert [path.name for path in (root / "sbd").iterdir()] == ["sbd.tgz.part"]

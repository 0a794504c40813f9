"""`gn.read_images`: pixel values by hand for every kind of file that a photograph may be."""

import struct
import zlib

import numpy as np
import pytest
import torch
from jaxtyping import config
from PIL import Image

import glassnet as gn
from glassnet.errors import InputError

TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.T,
    6: lambda p: np.rot90(p, k=-1),
    7: lambda p: np.rot90(p.T, k=2),
    8: lambda p: np.rot90(p, k=1),
}
"""How the stored pixels are turned to be upright, by EXIF orientation."""


def save(path, array, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array), mode).save(path, **options)
    return path


def corners(scale=1):
    """Four grey levels, two rows by two."""
    levels = np.array([[10, 60], [120, 250]], dtype=np.uint8)
    return np.kron(levels, np.ones((scale, scale), dtype=np.uint8))


def coloured(*pixels):
    """One row of pixels of some bands."""
    return np.array([pixels], dtype=np.uint8)


def read(path, size=None, **options):
    pixels, names = gn.read_images(path, size, **options)
    assert isinstance(pixels, torch.Tensor)
    assert pixels.dtype == torch.uint8
    assert len(names) == len(pixels)
    return pixels.numpy()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 2])
def test_every_exif_orientation_is_turned_upright(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "a.png", corners(), exif=exif)
    (image,) = read(path, size)
    assert image.tolist() == [TURNS[orientation](corners()).tolist()] * 3


def test_an_oblong_image_is_turned_before_its_size_counts(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = save(tmp_path / "a.png", np.array([[10, 60, 120]], dtype=np.uint8), exif=exif)
    assert read(path)[0, 0].tolist() == [[10], [60], [120]]


def test_cmyk_becomes_rgb(tmp_path):
    ink = coloured((255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255), (0, 0, 0, 0))  # cyan, magenta, black, paper
    path = save(tmp_path / "print.tif", ink, "CMYK")
    assert read(path)[0].transpose(1, 2, 0)[0].tolist() == [[0, 255, 255], [255, 0, 255], [0, 0, 0], [255, 255, 255]]


def test_cmyk_jpegs_are_not_inverted(tmp_path):
    path = save(tmp_path / "print.jpg", np.tile(coloured((255, 0, 0, 0)), (16, 16, 1)), "CMYK", quality=95)
    assert np.abs(read(path, 8)[0].mean(axis=(1, 2)) - [0, 255, 255]).max() < 6


def test_what_is_transparent_lies_over_white(tmp_path):
    pixels = coloured((200, 100, 0, 255), (200, 100, 0, 0), (200, 100, 0, 51))
    expected = [[200, 100, 0], [255, 255, 255], [244, 224, 204]]  # the last: 255 + (c - 255) / 5
    assert read(save(tmp_path / "a.png", pixels))[0].transpose(1, 2, 0)[0].tolist() == expected
    grey = coloured((200, 255), (200, 0))
    assert read(save(tmp_path / "b.png", grey, "LA"))[0, :, 0].tolist() == [[200, 255]] * 3


def test_a_palette_gives_its_colours_and_its_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0].transpose(1, 2, 0)[0].tolist() == [[10, 20, 30], [200, 100, 0]]
    image.save(tmp_path / "b.png", transparency=bytes([0, 255]))
    assert read(tmp_path / "b.png")[0].transpose(1, 2, 0)[0].tolist() == [[255, 255, 255], [200, 100, 0]]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_divided_by_257(tmp_path, ending):
    deep = np.array([[0, 257, 257 * 120, 65535]], dtype=np.uint16)
    assert read(save(tmp_path / f"a.{ending}", deep))[0, :, 0].tolist() == [[0, 1, 120, 255]] * 3


def test_grey_is_repeated_and_colour_can_be_read_as_grey(tmp_path):
    assert read(save(tmp_path / "a.png", corners()), 2).tolist() == [[corners().tolist()] * 3]
    red = save(tmp_path / "b.png", coloured((255, 0, 0)))
    assert read(red, channels=1).tolist() == [[[[76]]]]  # 0.299 of 255
    assert read([tmp_path / "a.png"], channels=1).shape == (1, 1, 2, 2)


def wide(tmp_path):
    """Three squares of 8 pixels side by side: 40, 120, 240."""
    return save(tmp_path / "wide.png", np.repeat([[40, 120, 240]], 8, axis=0).repeat(8, axis=1).astype(np.uint8))


def test_cropping_keeps_the_centre(tmp_path):
    assert (read(wide(tmp_path), 8) == 120).all()


def test_padding_keeps_the_whole_between_grey_bars(tmp_path):
    image = read(wide(tmp_path), 24, fit="pad")[0, 0]
    assert (image[:8] == 128).all()
    assert (image[16:] == 128).all()
    assert image[8:16, [0, 12, 23]].tolist() == [[40, 120, 240]] * 8


def test_stretching_keeps_the_whole_out_of_shape(tmp_path):
    image = read(wide(tmp_path), 24, fit="stretch")[0, 0]
    assert image[:, [0, 12, 23]].tolist() == [[40, 120, 240]] * 24


def test_a_folder_gives_names_within_it_and_leaves_out_what_is_no_image(tmp_path, capsys):
    for name in ("b/2.png", "a/1.png", "a/.hidden.png"):
        save(tmp_path / name, corners())
    (tmp_path / "notes.txt").write_text("x")
    pixels, names = gn.read_images(tmp_path)
    assert pixels.shape == (2, 3, 224, 224)
    assert names == ("a/1.png", "b/2.png")
    assert "1 file in" in capsys.readouterr().err


def test_files_are_read_in_the_order_given(tmp_path):
    dark, light, other = (
        save(tmp_path / name, np.full((1, 1), level, np.uint8))
        for name, level in (("a.png", 0), ("b/a.png", 9), ("c.png", 5))
    )
    pixels, names = gn.read_images((str(one) for one in (other, dark)), size=1)
    assert pixels[:, 0, 0, 0].tolist() == [5, 0]
    assert names == ("c.png", "a.png")
    assert gn.read_images([light, dark], size=1)[1] == (light.as_posix(), dark.as_posix())
    assert gn.read_images(light, size=1)[1] == ("a.png",)


def test_own_sizes_must_be_equal(tmp_path):
    small, large = (
        save(tmp_path / name, np.zeros(shape, np.uint8)) for name, shape in (("a.png", (2, 3)), ("b.png", (4, 5)))
    )
    assert read([small, small]).shape == (2, 3, 2, 3)
    with pytest.raises(InputError, match=r"b\.png has 5 by 4 pixels and \S*a\.png 3 by 2, expected .* give a size"):
        gn.read_images([small, large], size=None)


@pytest.mark.parametrize("size", [None, 8])
def test_a_damaged_file_is_named_or_left_out(tmp_path, capsys, size):
    good, bad = save(tmp_path / "good.png", corners()), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:40])
    with pytest.raises(InputError, match=r"^\S*bad\.png cannot be read as an image \(.*\); replace it or delete it\.$"):
        gn.read_images(tmp_path, size=size)
    pixels, names = gn.read_images(tmp_path, size=size, skip_damaged=True)
    assert names == ("good.png",)
    assert len(pixels) == 1
    assert "1 image cannot be read and is left out" in capsys.readouterr().err
    with pytest.raises(InputError, match="none of the 1 image files can be read"):
        gn.read_images(bad, size=size, skip_damaged=True)


@pytest.fixture
def unchecked():
    """The library as users run it, without the tests' type checks."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_what_gives_no_batch_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    good = save(tmp_path / "a.png", corners())
    for images, options, message in (
        (tmp_path / "empty", {}, "holds no image files; expected some that end in"),
        (tmp_path / "nothing", {}, "does not exist; expected an image file or a folder"),
        ([], {}, "got no path, expected the path of a folder"),
        ([np.zeros(3)], {}, "got a value of type ndarray, expected the path"),
        (None, {}, "got a value of type NoneType, expected the path"),
        (good, {"size": 0}, "size is 0, expected a number of pixels of 1 or more, or None"),
        (good, {"size": 2.5}, "size is 2.5, expected"),
        (good, {"fit": "squash"}, "no fit 'squash'"),
        (good, {"channels": 4}, "channels is 4, expected 3 for colour or 1 for grey"),
    ):
        with pytest.raises(InputError, match=message):
            gn.read_images(images, **options)


@pytest.mark.parametrize(
    ("pixels", "how", "reason"),
    [
        (np.full((8, 8), -5, np.int8), {"photometric": "minisblack"}, "numbers of 8 bits with a sign"),
        (np.full((8, 8), 9, np.uint16), {"photometric": "miniswhite"}, "its 16 bits count from white to black"),
        (
            np.ones((3, 8, 8), np.uint16),
            {"photometric": "rgb", "planarconfig": "separate"},
            "one plane for each channel",
        ),
    ],
)
def test_a_tiff_that_would_be_read_as_something_else_is_refused(tmp_path, pixels, how, reason):
    pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", pixels, **how)
    for size in (8, None):
        with pytest.raises(InputError, match=reason):
            gn.read_images(tmp_path / "a.tif", size=size)


def test_sixteen_bits_a_channel_in_colour_are_right(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    pytest.importorskip("tifffile").imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    written = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    for name in ("a.tif", "a.png"):
        read = gn.read_images(tmp_path / name, size=None)[0][0].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(read - pixels // 257).max() <= 1  # Pillow takes the upper byte

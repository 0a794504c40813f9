import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from glassnet.data import decoding, room
from glassnet.data.pictures import read_pictures, read_undamaged_pictures
from glassnet.errors import InputError


def read(*paths, size=8):
    return read_pictures(list(paths), size=size, description="Reading").numpy()


def save(path, array, **options):
    Image.fromarray(np.asarray(array)).save(path, **options)
    return path


def quadrants(channels=3):
    """16 by 16 pixels: one quarter each of 10, 60, 120 and 250."""
    levels = np.kron(np.array([[10, 60], [120, 250]], dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    return levels if channels == 1 else np.stack([levels] * 3, axis=-1)


def test_the_pixels_of_a_square(tmp_path):
    images = read(save(tmp_path / "a.png", quadrants()), size=16)
    assert images.shape == (1, 3, 16, 16)
    assert np.array_equal(images[0], quadrants().transpose(2, 0, 1))


def test_the_centre_is_kept(tmp_path):
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 200  # the middle third
    assert read(save(tmp_path / "wide.png", wide))[0].min() == 200
    assert read(save(tmp_path / "tall.png", wide.T))[0].min() == 200


def test_shrinking_averages(tmp_path):
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (64, 32))
    image = read(save(tmp_path / "stripes.png", stripes))[0, 0]
    assert np.abs(image[:, 1:-1].astype(int) - 100).max() <= 3  # without antialias it would be 0 or 200


def test_gray_only_if_all_are(tmp_path):
    gray = save(tmp_path / "gray.png", quadrants(1))
    bits = tmp_path / "bits.png"
    Image.fromarray(quadrants(1)).convert("1").save(bits)
    assert read(gray, bits).shape == (2, 1, 8, 8)
    mixed = read(gray, save(tmp_path / "colour.png", quadrants()))
    assert mixed.shape == (2, 3, 8, 8)
    assert np.array_equal(mixed[0], mixed[1])


def test_sixteen_bits_keep_their_range(tmp_path):
    deep = save(tmp_path / "deep.png", quadrants(1).astype(np.uint16) * 257)
    assert read(deep, size=16).tolist() == [[quadrants(1).tolist()]]


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees clockwise
    turned = save(tmp_path / "turned.png", quadrants(), exif=exif)
    assert np.array_equal(read(turned, size=16)[0, 0], np.rot90(quadrants(1), k=-1))


def test_transparency_is_white(tmp_path):
    pixels = np.dstack([quadrants(), np.zeros((16, 16), dtype=np.uint8)])
    assert read(save(tmp_path / "clear.png", pixels)).min() == 255
    palette = Image.fromarray(quadrants(1)).convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes([0]) * 256)
    assert read(tmp_path / "palette.png").min() == 255


def test_a_large_jpeg_is_as_pillow_shows_it(tmp_path):
    smooth = np.add.outer(np.linspace(0, 120, 640), np.linspace(0, 120, 640)).astype(np.uint8)
    photo = save(tmp_path / "photo.jpg", np.stack([smooth] * 3, axis=-1), quality=95)
    whole = np.asarray(Image.open(photo).resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(read(photo, size=32)[0].astype(int) - whole).max() <= 4


def test_many_files_keep_their_order(tmp_path):
    paths = [save(tmp_path / f"{i}.png", np.full((9, 9), i, dtype=np.uint8)) for i in range(100)]
    assert read(*paths)[:, 0, 0, 0].tolist() == list(range(100))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    good = save(tmp_path / f"good.{suffix}", quadrants())
    bad = tmp_path / f"bad.{suffix}"
    bad.write_bytes(good.read_bytes()[:-30] if suffix == "png" else good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(
        InputError, match=rf"bad\.{suffix} cannot be read as an image \(.*\); replace it or delete it\."
    ):
        read(good, bad, good)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(
        InputError, match=r"text\.jpg cannot be read as an image \(it is damaged, or in an unknown format\)"
    ):
        read(tmp_path / "text.jpg")


def test_floating_point_pixels_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"float\.tif cannot be read .*floating-point.*8 or 16 bits"):
        read(save(tmp_path / "float.tif", np.ones((9, 9), dtype=np.float32)))


def test_every_damaged_file_is_named_once(tmp_path):
    good = save(tmp_path / "good.png", quadrants())
    bad = [tmp_path / f"bad{i}.png" for i in range(3)]
    for path in bad:
        path.write_text("x")
    with pytest.raises(
        InputError, match=r"^3 images cannot be read: .*bad0.*bad1.*bad2.*; replace them or delete them\.$"
    ):
        read(good, *bad)


def test_what_is_left_out_does_not_decide_whether_all_are_grey(tmp_path):
    grey, bad = save(tmp_path / "grey.png", quadrants(1)), tmp_path / "bad.png"
    bad.write_text("x")
    images, rows = read_undamaged_pictures([bad, grey, bad, grey], size=8, description="", skip_damaged=True)
    assert images.shape == (2, 1, 8, 8)
    assert rows == [1, 3]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0, 1], [3, 4]], np.int32),
        ([[-40_000, -20_000], [20_000, 40_000]], np.int32),
        ([[0, 1 << 28], [3 << 28, 1 << 30]], np.int32),
        ([[0, 1 << 30], [3 << 30, 1 << 32]], np.uint32),
        ([[1000, 2000], [4000, 5000]], np.uint32),
        ([[-300, -200], [0, 100]], np.int16),
    ],
)
def test_whole_numbers_of_32_bits_are_scaled_by_their_own_range(tmp_path, capsys, values, kind):
    array = np.minimum(np.array(values, np.int64), np.iinfo(kind).max).astype(kind)
    wide = save(tmp_path / "wide.tif", array)
    if kind is np.uint32:  # which Pillow reads, but writes as numbers with a sign: tag 339 of type 3, once
        signed, unsigned = (struct.pack("<HHII", 339, 3, 1, sign) for sign in (2, 1))
        assert signed in wide.read_bytes()
        wide.write_bytes(wide.read_bytes().replace(signed, unsigned))
    assert np.abs(read(wide, size=2)[0, 0].astype(int) - [[0, 64], [191, 255]]).max() <= 1
    assert (
        f"{wide} has whole numbers of 32 bits or with a sign; each is scaled from its lowest" in capsys.readouterr().err
    )
    read(wide, wide)
    assert "2 images have whole numbers of 32 bits" in capsys.readouterr().err


def test_whole_numbers_of_32_bits_that_are_all_alike_are_black(tmp_path):
    assert read(save(tmp_path / "flat.tif", np.full((4, 4), 70_000, np.int32))).max() == 0


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    ("bits", "colour", "row", "clear", "seen"),
    [
        (16, 0, struct.pack(">2H", 1000, 257 * 90), struct.pack(">H", 1000), 90),
        (16, 2, struct.pack(">6H", 1000, 2000, 3000, *[257 * 90] * 3), struct.pack(">3H", 1000, 2000, 3000), 90),
        (8, 0, bytes([7, 90]), struct.pack(">H", 7), 90),
        (8, 2, bytes([7, 8, 9, 90, 90, 90]), struct.pack(">3H", 7, 8, 9), 90),
        (4, 0, bytes([0x1A]), struct.pack(">H", 1), 170),
        (2, 0, bytes([0x60]), struct.pack(">H", 1), 170),
        (1, 0, bytes([0x40]), struct.pack(">H", 1), 0),
    ],
)
def test_the_transparent_level_of_a_png_hides_what_is_below_it(tmp_path, bits, colour, row, clear, seen):
    if bits == 1:
        row = bytes([0x80])  # the first of the two is the clear one
    header = struct.pack(">IIBBBBB", 2, 2, bits, colour, 0, 0, 0)
    content = zlib.compress((b"\0" + row) * 2)
    path = tmp_path / "clear.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", clear)
        + chunk(b"IDAT", content)
        + chunk(b"IEND", b"")
    )
    pixels = read(path, size=2)[0]
    assert pixels[:, :, 0].min() == 255
    assert set(pixels[:, :, 1].ravel().tolist()) == {seen}


@pytest.mark.parametrize(("budget", "most"), [(1, 1), (2 * 300 * 300 * 12, 2)])
def test_large_images_wait_for_each_other(tmp_path, monkeypatch, budget, most):
    paths = [save(tmp_path / f"{i}.png", np.full((300, 300), i, np.uint8)) for i in range(8)]
    monkeypatch.setattr(room, "DECODED_BYTES", budget)
    monkeypatch.setattr("glassnet.data.pictures._THREADS", 8)
    at_once, counted, lock = [0], [], threading.Lock()
    convert = decoding.to_eight_bits

    def watched(image, mode):
        with lock:
            at_once[0] += 1
            counted.append(at_once[0])
        try:
            threading.Event().wait(0.01)
            return convert(image, mode)
        finally:
            with lock:
                at_once[0] -= 1

    monkeypatch.setattr(decoding, "to_eight_bits", watched)
    assert read(*paths)[:, 0, 0, 0].tolist() == list(range(8))
    assert max(counted) == most


def test_a_huge_image_is_reduced_before_it_is_turned(tmp_path, monkeypatch):
    levels = np.kron(quadrants(1), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    path = save(tmp_path / "turned.png", np.stack([levels] * 3, axis=-1), exif=exif)
    whole = read(path, size=16)
    monkeypatch.setattr(decoding, "HUGE_PIXELS", 1000)
    turned, transpose = [], decoding.ImageOps.exif_transpose
    monkeypatch.setattr(
        decoding.ImageOps, "exif_transpose", lambda image, **how: turned.append(image.size) or transpose(image, **how)
    )
    assert np.abs(read(path, size=16).astype(int) - whole).max() <= 60  # at the borders between the quarters
    assert np.abs(read(path, size=16)[0, 0, 2:6, 2:6].astype(int) - 120).max() == 0
    assert turned[0] == (32, 32)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "clear"])
@pytest.mark.parametrize("strip", [1, 700, 1 << 22])
def test_a_huge_image_is_averaged_strip_by_strip_as_it_is_whole(tmp_path, monkeypatch, mode, strip):
    levels = (np.add.outer(np.arange(100), np.arange(70)) * 3).astype(np.uint8)
    if mode in ("I;16", "I"):
        image = Image.fromarray(levels.astype(np.uint16) * 200 if mode == "I;16" else levels.astype(np.int32) * 70_000)
    else:
        alpha = Image.fromarray(levels[::-1])
        image = Image.merge("RGBA", [*[Image.fromarray(np.roll(levels, i, 1)) for i in range(3)], alpha])
        image = image if mode == "RGBA" else image.convert("P" if mode == "clear" else mode)
    how = {"transparency": 5} if mode == "clear" else {}
    path = tmp_path / ("huge.tif" if mode in ("CMYK", "I") else "huge.png")
    image.save(path, **how)
    whole = decoding.decode(path, "RGB", 7).reduce(5)
    monkeypatch.setattr(decoding, "HUGE_PIXELS", 1000)
    monkeypatch.setattr(decoding, "STRIP_PIXELS", strip)
    reduced = decoding.decode(path, "RGB", 7)
    assert reduced.size == (14, 20)
    assert np.array_equal(np.asarray(reduced), np.asarray(whole))


PEAK = """
import re, sys
from pathlib import Path
from glassnet.data.pictures import read_pictures

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

small, big = Path(sys.argv[1]), Path(sys.argv[2])
read_pictures([small] * 4, size=32, description="small")
idle = peak()
images = read_pictures([big] * 4, size=32, description="big")
assert images.unique().tolist() == [9, 99, 200]
print(peak() - idle)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's peak of memory")
def test_images_of_177_megapixels_each_take_less_than_a_gigabyte(tmp_path):
    for name, side in (("small", 64), ("big", 13_300)):
        Image.new("RGB", (side, side), (9, 99, 200)).save(tmp_path / f"{name}.png", compress_level=1)
    words = [sys.executable, "-c", PEAK, str(tmp_path / "small.png"), str(tmp_path / "big.png")]
    source = str(Path(gn.__file__).parents[1])
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout.splitlines()[-1]) < 1024  # MB above the idle process


@pytest.mark.parametrize(("highest", "told"), [(4095, True), (40_000, False), (0, False)])
def test_images_of_16_bits_that_use_little_of_their_range_are_said_once(tmp_path, capsys, highest, told):
    values = np.linspace(0, highest, 256).reshape(16, 16).astype(np.uint16)
    paths = [save(tmp_path / f"{i}.png", values) for i in range(40)]
    read_pictures(paths, size=16, description="")
    err = capsys.readouterr().err
    assert (
        err.count("use 6% of the range, 0 to 65,535, so they look nearly black; multiply the values in the files by 16")
        == told
    )
    assert ("warning" in err) is told

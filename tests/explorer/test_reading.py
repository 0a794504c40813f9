"""What a page uploads: read as own photographs are, or refused in a sentence, and never written."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from glassnet.explorer.reading import read_upload
from glassnet.explorer.shown import Refusal


def encoded(pixels, kind="PNG", **options):
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind, **options)
    return written.getvalue()


def bomb(width, height):
    """A PNG whose header claims a size that its pixels, of which there are none, do not have."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


PHOTO = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_read_as_own_photographs_are(tmp_path, kind, channels):
    content = encoded(PHOTO, kind)
    pixels, size = read_upload(content, (channels, 16, 16), "photo")
    file = tmp_path / f"photo.{kind.lower()}"
    file.write_bytes(content)
    expected = gn.read_images(file, size=16, channels=channels)[0]
    assert size == (51, 37)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(expected)[0])


def test_the_image_of_a_network_need_not_be_square():
    assert read_upload(encoded(PHOTO), (3, 12, 20))[0].shape == (3, 12, 20)


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (bomb(25_000, 20_000), 413, "my photo has more than 50 megapixels; use a smaller one."),
        (bomb(10_000, 9_500), 413, "my photo has more than 50 megapixels"),
        (bomb(8_000, 7_000), 413, "my photo has more than 50 megapixels"),
        (b"\0" * 20_000_001, 413, "my photo is larger than 20 MB; use a smaller one."),
        (b"", 415, "my photo is damaged or not an image, expected a PNG, JPEG, WebP, BMP, TIFF or GIF file."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "my photo is damaged or not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "my photo is damaged or not an image"),
        (encoded(PHOTO)[:200], 415, r"my photo (is damaged or not an image|cannot be read as an image \()"),
        (bomb(5, 5), 415, r"my photo cannot be read as an image \("),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(content, status, sentence):
    with pytest.raises(Refusal, match=sentence) as refused:
        read_upload(content, (3, 8, 8), "my photo")
    assert refused.value.status == status
    assert "\n" not in str(refused.value)


def test_a_name_with_control_characters_is_written_as_text():
    with pytest.raises(Refusal) as refused:
        read_upload(b"no", (3, 8, 8), "a\nb\x1b[31m" + "x" * 300)
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_network_of_seven_channels_takes_no_files():
    with pytest.raises(gn.InputError, match="images with 7 channels"):
        read_upload(encoded(PHOTO), (7, 8, 8))

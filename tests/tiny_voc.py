"""Hand-made VOC and SBD archives: eleven images whose masks are known, two of them in lists of both parts."""

import io
import tarfile

import numpy as np
from PIL import Image
from scipy.io import savemat

VOC_TRAIN, VOC_VAL = ("a1", "a2", "a3"), ("b1", "b2")
SBD_TRAIN, SBD_VAL = ("a1", "c1", "c2", "c3", "c4", "b2"), ("d1", "d2", "a3")
"""So many that a tenth of the images to train on, leak or not, is one image at least: a training holds it out."""
NAMES = sorted({*VOC_TRAIN, *VOC_VAL, *SBD_TRAIN, *SBD_VAL})
WIDTH, HEIGHT = 20, 12
VOC, SBD = "VOCdevkit/VOC2012", "benchmark_RELEASE/dataset"


def picture(name):
    random = np.random.default_rng(NAMES.index(name))
    return random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def mask(name, *, voc):
    """Class 1 + the image's number on the left half; VOC's own masks have a void column between."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[:, : WIDTH // 2] = 1 + NAMES.index(name)
    if voc:
        found[:, WIDTH // 2] = 255
    return found


def jpeg(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def palette_png(values):
    buffer = io.BytesIO()
    image = Image.frombytes("P", values.shape[::-1], values.tobytes())
    image.putpalette([(7 * level) % 256 for level in range(768)])
    image.save(buffer, "PNG")
    return buffer.getvalue()


def mat(values):
    buffer = io.BytesIO()
    inner = np.zeros((1, 1), dtype=[("Segmentation", "O"), ("CategoriesPresent", "O")])
    inner[0, 0]["Segmentation"], inner[0, 0]["CategoriesPresent"] = values, np.unique(values)
    savemat(buffer, {"GTcls": inner}, do_compression=True)
    return buffer.getvalue()


def files():
    """Content by path of both archives, as the official ones are laid out."""
    voc = {f"{VOC}/JPEGImages/{name}.jpg": jpeg(picture(name)) for name in (*VOC_TRAIN, *VOC_VAL)}
    voc |= {f"{VOC}/SegmentationClass/{name}.png": palette_png(mask(name, voc=True)) for name in (*VOC_TRAIN, *VOC_VAL)}
    for part, names in (("train", VOC_TRAIN), ("val", VOC_VAL)):
        voc[f"{VOC}/ImageSets/Segmentation/{part}.txt"] = "\n".join(names).encode() + b"\n"
    sbd = {f"{SBD}/img/{name}.jpg": jpeg(picture(name)) for name in (*SBD_TRAIN, *SBD_VAL)}
    sbd |= {f"{SBD}/cls/{name}.mat": mat(mask(name, voc=False)) for name in (*SBD_TRAIN, *SBD_VAL)}
    for part, names in (("train", SBD_TRAIN), ("val", SBD_VAL)):
        sbd[f"{SBD}/{part}.txt"] = "\n".join(names).encode() + b"\n"
    return {"voc2012": voc, "sbd": sbd}


def lay_out(root, **changed):
    """Write the unpacked archives below `root`; `changed` replaces or, by None, leaves out files by name."""
    for key, content in files().items():
        for path, data in content.items():
            given = changed.get(path.rpartition("/")[2].replace(".", "_"), data)
            if given is not None:
                (root / key / path).parent.mkdir(parents=True, exist_ok=True)
                (root / key / path).write_bytes(given)
    return root


def pack(content, *, extra=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in [*content.items(), *extra]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()

"""Cut PASCAL VOC's photographs into squares, in colour and in grey, to train denoisers on.

    python benchmarks/photograph_crops.py --data-root DIR --out crops           # crops/colour and crops/grey
    glassnet train --data folder:crops/grey --model unet_denoiser --noise gaussian:0.02-0.5 --no-augment --batch-size 16

The squares are cut at the photographs' own resolution, where noise and detail have the size that they have in a whole
photograph. Each photograph gives as many squares as asked for, at places drawn with the seed; each 20th
photograph is a test image. The photographs of `benchmarks/reconstruction.py --photographs` are not among them.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS = Path("voc2012/VOCdevkit/VOC2012/JPEGImages")
TEST_EVERY = 20
"""Each 20th photograph is a test image."""


def main() -> None:
    """Write the squares, and print how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="the folder that holds voc2012")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--size", type=int, default=64, help="side of a square, in pixels")
    parser.add_argument("--each", type=int, default=6, help="squares of each photograph")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = sorted((arguments.data_root / PHOTOGRAPHS).glob("*.jpg"))
    if not files:
        parser.error(f"{arguments.data_root / PHOTOGRAPHS} holds no photographs; run `glassnet data fetch voc-aug`")
    if arguments.out.exists():
        parser.error(f"{arguments.out} already exists; give another --out")
    written = [
        _cut(file, arguments, "test" if number % TEST_EVERY == 0 else "train") for number, file in enumerate(files)
    ]
    print(f"{sum(written):,} squares of {arguments.size} px from {len(files):,} photographs in {arguments.out}")


def _cut(file: Path, arguments: argparse.Namespace, part: str) -> int:
    """Write the squares of one photograph, and return their number: 0 where it is smaller than a square."""
    generator = np.random.default_rng((arguments.seed, *file.stem.encode()))
    with Image.open(file) as opened:
        photograph = opened.convert("RGB")
    rooms = (photograph.width - arguments.size, photograph.height - arguments.size)
    if min(rooms) < 0:
        return 0
    for number in range(arguments.each):
        left, top = (int(generator.integers(room + 1)) for room in rooms)
        square = photograph.crop((left, top, left + arguments.size, top + arguments.size))
        for kind, image in (("colour", square), ("grey", square.convert("L"))):
            folder = arguments.out / kind / part / "photograph"
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{file.stem}-{number}.png", compress_level=1)
    return arguments.each


if __name__ == "__main__":
    main()

import pytest

from glassnet.report.reconstruction import reconstructed
from glassnet.report.segmentation import segmented

SCORES = {"mean_iou": 0.25, "mean_iou_interval": [0.2, 0.3], "pixel_accuracy": 0.8}
SEGMENTED = SCORES | {"background": {"mean_iou": 0.035, "pixel_accuracy": 0.7}}


@pytest.mark.parametrize(
    ("collect", "measured", "headings", "cells"),
    [
        (
            segmented, SEGMENTED,
            ("Mean IoU", "95% interval", "All background", "Pixel accuracy", "All background"),
            ("25.00%", "20.00 to 30.00%", "3.50%", "80.00%", "70.00%"),
        ),
        (segmented, {}, ("Mean IoU", "95% interval", "All background", "Pixel accuracy", "All background"), ("–",) * 5),
        (reconstructed, {"psnr": 21.5, "ssim": 0.91234}, ("PSNR (dB)", "SSIM"), ("21.50", "0.9123")),
    ],
)  # fmt: skip
def test_what_each_task_shows_of_other_images(run, collect, measured, headings, cells):
    assert collect(run)["others"] is None
    run.save_json("evaluation/train.json", {"data": "voc-aug", "split": "train", "images": 3357, **measured})
    found = collect(run)["others"]
    assert found.columns == ("Data", "Part", "Images", *headings)
    assert found.rows == (("voc-aug", "train", "3,357", *cells),)

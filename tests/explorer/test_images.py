import io

import numpy as np
import pytest
from PIL import Image

import glassnet as gn
from glassnet.analysis import analyse


@pytest.fixture(scope="module")
def held_out(page):
    return gn.Run.open(page.subjects.get(page.first).path).dataset().test


def test_session_lists_the_run(page):
    (one,) = page.json("/session")["subjects"]
    assert one["kind"] == "run"
    assert one["task"] == "classification"
    assert "embedding" in one["views"]
    assert "compare" not in one["views"]


def test_info_names_classes_layers_and_methods(page):
    info = page.json(f"/subjects/{page.first}")
    assert info["classes"] == [str(digit) for digit in range(10)]
    assert info["label_of"] == "image"
    assert {one["name"] for one in info["methods"]} >= {"gradcam", "saliency"}
    assert info["default_layer"] in {one["name"] for one in info["layers"]}
    assert info["measures"][0][0] == "Test accuracy"


def test_pixels_and_picture_are_the_images_own(page, held_out):
    arrays, _ = page.arrays("pixels/5")
    assert np.array_equal(arrays["pixels"], held_out.images[5].numpy())
    drawn = Image.open(io.BytesIO(page.ask("picture/5").content))
    assert np.array_equal(np.asarray(drawn), held_out.images[5, 0].numpy())


def test_atlas_has_each_image_at_its_place(page, held_out):
    atlas = page.json("atlas")
    assert atlas["images"] == len(held_out)
    answer = page.ask("atlas/0")
    drawn = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert max(drawn.shape) <= 4096
    row, column = divmod(7, atlas["columns"])
    tile = atlas["tile"]
    there = drawn[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
    assert np.array_equal(there, held_out.images[7, 0].numpy())
    again = page.ask("atlas/0", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_labels_and_names(page, held_out):
    arrays, _ = page.arrays("labels")
    assert np.array_equal(arrays["label"], held_out.targets.numpy())
    assert page.json("names") == {"numbers": [], "names": []}


def test_columns_are_those_of_the_evaluation(page):
    arrays, meta = page.arrays("columns")
    result = analyse(page.subjects.get(page.first).path, "evaluation", figures=False).result
    assert np.array_equal(arrays["predicted"], result.predicted)
    assert meta["wrong"] == len(result.wrong)
    assert arrays["loss"].mean() == pytest.approx(result.loss, rel=1e-4)
    assert np.isnan(arrays["quality"]).all()


def test_image_says_what_the_model_says(page):
    arrays, meta = page.arrays("image/5")
    columns, _ = page.arrays("columns")
    assert arrays["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert meta["predicted"] == columns["predicted"][5]
    assert meta["confidence"] == pytest.approx(float(columns["confidence"][5]), abs=1e-5)
    assert meta["correct"] == bool(columns["predicted"][5] == columns["label"][5])


def test_what_is_not_there_is_said(page):
    answer = page.ask("picture/99999")
    assert answer.status_code == 404
    assert "there is no test image 99999" in answer.json()["error"]
    assert page.ask("atlas/77").status_code == 404
    assert page.ask("picture/x").status_code == 400
    assert page.ask("/subjects/nobody").status_code == 404
    assert page.ask("picture/5?part=other").json()["error"].startswith("part cannot be used")

"""A segmentation and a VAE as a page looks at them."""

import numpy as np
import pytest
import torch

import glassnet as gn
from glassnet.images import VOID
from glassnet.models.inference import predict
from glassnet.tasks.segmentation.explain import region_at


@pytest.fixture(scope="module")
def scenes(pages, segmented, tmp_path_factory):
    import shutil

    shutil.copytree(segmented.path, copied := tmp_path_factory.mktemp("runs") / "scenes")
    return pages(copied)


@pytest.fixture(scope="module")
def codes(pages, vae, tmp_path_factory):
    import shutil

    shutil.copytree(vae.path, copied := tmp_path_factory.mktemp("runs") / "codes")
    return pages(copied)


def test_a_segmentation_with_its_truth(scenes, segmented):
    test = segmented.dataset().test
    arrays, meta = scenes.arrays("segmentation/2")
    assert np.array_equal(arrays["truth"], test.targets[2].numpy())
    predicted = predict(segmented.model(), test.images[2:3]).argmax(1)[0].numpy()
    assert np.array_equal(arrays["predicted"], predicted)
    assert arrays["confidence"].shape == (32, 32)
    assert meta["ignored"] == (arrays["truth"] == VOID).sum()
    assert meta["mean_iou"] == pytest.approx(np.mean(meta["iou"]))


def test_a_clicked_region_is_explained(scenes, segmented):
    test = segmented.dataset().test
    arrays, _ = scenes.arrays("segmentation/1")
    row, column = 16, 16
    region = region_at(arrays["predicted"], row, column)
    label = int(arrays["predicted"][row, column])
    maps, meta = scenes.arrays(f"maps/1?target=region:{row},{column}&layers=conv7&methods=gradcam")
    assert np.array_equal(maps["region"], region)
    assert np.array_equal(maps["predicted"], arrays["predicted"])
    assert maps["probabilities"].shape == (0,)
    assert (meta["target_class"], meta["target"]) == (label, f"the region of {segmented.classes[label]}")
    expected = gn.explain(
        segmented.model(),
        test.images[1:2],
        target=lambda output: (output[:, label] * torch.from_numpy(region)).sum((1, 2)),
        layers="conv7",
        methods="gradcam",
    )
    assert np.array_equal(maps["gradcam|conv7"], expected["gradcam", "conv7"][0])
    whole, meta = scenes.arrays(f"maps/1?target={segmented.classes[label]}&layers=conv7&methods=gradcam")
    assert np.array_equal(whole["region"], arrays["predicted"] == label)
    assert scenes.ask("maps/1?target=region:99,0&layers=conv7").status_code == 400


def test_an_edited_scene_has_another_segmentation(scenes, segmented):
    pixels, mask = np.zeros((3, 32, 32), np.uint8), np.ones((32, 32), np.uint8)
    arrays, _ = scenes.arrays(
        "maps?number=1&layers=conv7&methods=gradcam", method="POST", content=pixels.tobytes() + mask.tobytes()
    )
    black = torch.zeros((1, 3, 32, 32), dtype=torch.uint8)
    assert np.array_equal(arrays["predicted"], predict(segmented.model(), black).argmax(1)[0].numpy())


def test_a_reconstruction_with_any_noise(codes, vae):
    arrays, meta = codes.arrays("reconstruction/3")
    assert meta["noise"] == "gaussian:0.3"
    assert {"none", "gaussian:0.3"} <= set(meta["strengths"])
    assert arrays["code"].shape == (meta["code"],) == (3,)
    assert meta["psnr"] == pytest.approx(
        -10 * np.log10(np.mean((arrays["output"] - arrays["original"]) ** 2)), rel=1e-4
    )
    clean, meta = codes.arrays("reconstruction/3?noise=none")
    assert np.array_equal(clean["noisy"], arrays["original"])
    assert meta["noisy_psnr"] is None
    answer = codes.ask("reconstruction/3?noise=rain:0.3")
    assert (answer.status_code, "no noise model 'rain'" in answer.json()["error"]) == (400, True)


def test_codes_decode_to_images(codes):
    made = [codes.arrays(f"reconstruction/{number}?noise=none")[0] for number in (0, 1)]
    both = np.stack([one["code"] for one in made]).astype("<f4")
    arrays, _ = codes.arrays("decode", method="POST", content=both.tobytes())
    assert arrays["images"] == pytest.approx(np.stack([one["output"] for one in made]), abs=1e-5)
    between = (both[0] + both[1]) / 2
    assert codes.arrays("decode", method="POST", content=between.tobytes())[0]["images"].shape == (1, 1, 12, 12)
    found, meta = codes.arrays("latents")
    assert sorted(found["dims"].tolist()) == [0, 1, 2]
    assert (np.diff(found["kl"]) <= 0).all()
    assert meta["dimensions"] == 3
    for content, sentence in (
        (b"", "got 0 bytes"),
        (b"\0" * 10, "expected codes of 3 float32 numbers each"),
        (np.zeros((65, 3), "<f4").tobytes(), "expected 1 to 64"),
        (np.full((1, 3), np.inf, "<f4").tobytes(), "a NaN or infinite number"),
    ):
        answer = codes.ask("decode", method="POST", content=content)
        assert (answer.status_code, sentence in answer.json()["error"]) == (400, True)


def test_a_reconstruction_is_explained_with_the_noise_of_its_number(codes, vae):
    arrays, meta = codes.arrays("maps/3?layers=encoder.conv1&methods=gradcam")
    assert meta["target"] == "the error of the reconstruction"
    nothing = np.zeros((1, 12, 12), np.uint8).tobytes() + np.zeros((12, 12), np.uint8).tobytes()
    again, _ = codes.arrays("maps?number=3&layers=encoder.conv1&methods=gradcam", method="POST", content=nothing)
    assert np.array_equal(arrays["gradcam|encoder.conv1"], again["gradcam|encoder.conv1"])
    assert codes.arrays("channels/3?layer=encoder.conv1")[0]["maps"].shape == (4, 6, 6)


def test_a_scene_has_neighbours_and_no_label_of_its_own(scenes):
    arrays, meta = scenes.arrays("neighbours/1?layer=conv7&count=2")
    assert 1 not in arrays["numbers"]
    assert (len(arrays["numbers"]), meta["among"], meta["same_label"]) == (2, 3, None)
    answer = scenes.ask("label-errors?layer=conv7")
    assert (answer.status_code, "expected a classifier" in answer.json()["error"]) == (400, True)

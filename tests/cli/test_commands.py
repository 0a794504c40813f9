import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, adjusted_rand_score, confusion_matrix, log_loss

import glassnet as gn
from glassnet.cli import run


def call(capsys, *words):
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def answer(capsys, *words):
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_eval_measures_what_scikit_learn_measures(capsys, copy):
    document = answer(capsys, "eval", copy.path)
    kept = copy.load_arrays("evaluation/test.npz")
    predicted = kept["probabilities"].argmax(axis=1)
    assert document["accuracy"] == pytest.approx(accuracy_score(kept["targets"], predicted))
    assert document["accuracy"] == pytest.approx(copy.metrics["test_accuracy"])
    exact = kept["probabilities"].astype(float)
    exact /= exact.sum(axis=1, keepdims=True)  # float32 rounds the sum
    assert document["loss"] == pytest.approx(log_loss(kept["targets"], exact), rel=1e-4)
    assert document["confusion"] == confusion_matrix(kept["targets"], predicted).tolist()
    low, high = document["accuracy_interval"]
    assert low < document["accuracy"] < high
    assert [row["images"] for row in document["per_class"]] == [100] * 10
    assert {k: v for k, v in document.items() if k != "run"} == copy.load_json("evaluation/test.json")
    for name in ("confusion-matrix", "worst-mistakes"):
        assert all((copy.path / "figures" / f"{name}.{suffix}").exists() for suffix in ("png", "svg", "json"))


def test_eval_on_the_training_part_and_on_a_set_that_does_not_fit(capsys, copy, tmp_path):
    assert answer(capsys, "eval", copy.path, "--split", "train")["images"] == 4000
    assert copy.has("figures/confusion-matrix-train.png")
    assert not copy.has("evaluation/test.json")
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (30, 30), (number * 50, 0, 0)).save(tmp_path / "photos" / name / f"{number}.png")
    code, _, err = call(capsys, "eval", copy.path, "--data", f"folder:{tmp_path / 'photos'}")
    assert code == 2
    assert "has 3 channels and the classes cat, dog; expected 1 and 0, 1, 2" in err


def test_eval_on_another_folder_stays_inside_the_run(capsys, copy, tmp_path):
    digits = copy.dataset().test
    folder = tmp_path / "sub" / ".." / "digits"
    for part in ("train", "test"):
        for index in range(1000):
            if (digits.targets[:index] == digits.targets[index]).sum() < 2:
                target = folder / part / str(int(digits.targets[index]))
                target.mkdir(parents=True, exist_ok=True)
                Image.fromarray(digits.images[index, 0].numpy()).save(target / f"{index}.png")
    (tmp_path / "sub").mkdir(exist_ok=True)
    outside = {path for path in tmp_path.rglob("*") if copy.path not in path.parents}
    assert answer(capsys, "eval", copy.path, "--data", f"folder:{folder}")["images"] == 20
    assert {path for path in tmp_path.rglob("*") if copy.path not in path.parents} == outside
    (stem,) = copy.stems("evaluation")
    assert stem.endswith("-test")
    assert "/" not in stem


def test_a_run_on_a_small_folder_works_from_anywhere(capsys, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for level, name in ((40, "dark"), (200, "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(25):
            pixels = random.integers(level, level + 50, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    words = ["--model-options", "filters=4,4,4,4", "hidden=2", "--image-size", "16", "--epochs", "2", "--out", "run"]
    assert call(capsys, "train", "--data", "folder:photos", *words)[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, err = call(capsys, "report", tmp_path / "run")  # ten test images, two units in fc1
    assert code == 0, err
    names = [picture["name"] for picture in gn.Run.open(tmp_path / "run").load_json("embeddings/fc1.json")["pictures"]]
    assert names == ["pca2", "tsne2"]
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert call(capsys, "eval", tmp_path / "run")[0] == 2
    assert call(capsys, "eval", tmp_path / "run", "--data-root", tmp_path / "moved")[0] == 0


def test_features_are_embedded_and_measured(capsys, copy):
    document = answer(capsys, "features", copy.path, "--layers", "fc1", "conv4", "--images", "300")
    assert [layer["layer"] for layer in document["layers"]] == ["conv4", "fc1"]
    test, kept = copy.dataset().test, copy.load_arrays("features/fc1.npz")
    assert kept["features"].shape == (300, 16)
    assert np.bincount(kept["targets"]).tolist() == [30] * 10
    expected = gn.extract_features(copy.model(), test.images[torch.from_numpy(kept["indices"])], ["fc1"])["fc1"]
    np.testing.assert_array_equal(kept["features"], expected)
    for picture in document["layers"][1]["pictures"]:
        points = copy.load_arrays(f"embeddings/fc1-{picture['name']}.npz")
        assert points["points"].shape == (300, picture["dims"])
        assert picture["ari"] == pytest.approx(adjusted_rand_score(kept["targets"], points["assignment"]))
        assert copy.has(f"figures/{picture['figure']}.svg")
        assert 0 < picture["trustworthiness"] <= 1
    pca2, pca3, tsne = document["layers"][1]["pictures"]
    assert 0 < pca2["explained_variance"] < pca3["explained_variance"] < 1
    assert tsne["explained_variance"] is None
    assert tsne["knn_accuracy"] > pca2["knn_accuracy"]


def test_explain_keeps_maps_numbers_and_figures(capsys, copy):
    document = answer(capsys, "explain", copy.path, "--images", "3,1,2", "--target", "7")
    (selected,) = document["explained"]
    assert selected["layers"] == ["conv1", "conv2", "conv3", "conv4"]
    assert [about["index"] for about in selected["images"]] == [3, 1, 2]
    assert {about["target"] for about in selected["images"]} == {"7"}
    kept = copy.load_arrays("attributions/selected.npz")
    images = copy.dataset().test.images[[3, 1, 2]]
    expected = gn.explain(copy.model(), images, target=7)
    np.testing.assert_allclose(kept["gradcam/conv4"], expected["gradcam", "conv4"], rtol=1e-5, atol=1e-7)
    assert kept["guided_gradcam/conv1"].shape == (3, 1, 28, 28)
    probabilities = copy.model()(images / 255).softmax(1)[:, 7]
    assert [a["probability"] for a in selected["images"]] == pytest.approx(probabilities.tolist(), rel=1e-4)


def test_explain_takes_the_first_right_and_the_first_wrong_images(capsys, copy):
    document = answer(
        capsys, "explain", copy.path, "--images", "mixed:4", "--methods", "gradcam", "--layers", "last-conv"
    )
    right, wrong = document["explained"]
    assert (right["name"], wrong["name"]) == ("correct", "wrong")
    test = copy.dataset().test
    hit = copy.model()(test.images / 255).argmax(1) == test.targets
    assert [a["index"] for a in right["images"]] == hit.nonzero().flatten()[:2].tolist()
    assert [a["index"] for a in wrong["images"]] == (~hit).nonzero().flatten()[:2].tolist()
    assert [a["correct"] for a in right["images"] + wrong["images"]] == [True, True, False, False]
    assert right["layers"] == ["conv4"]


def test_explain_reads_a_users_own_images(capsys, copy, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(2):
        pixels = copy.dataset().test.images[index, 0].numpy()
        Image.fromarray(pixels).convert("RGB").save(folder / f"{index}.png")
    document = answer(capsys, "explain", copy.path, "--images", folder)
    assert [about["label"] for about in document["explained"][0]["images"]] == [None, None]
    same = answer(capsys, "explain", copy.path, "--images", "0,1")["explained"][0]["images"]
    assert [a["predicted"] for a in document["explained"][0]["images"]] == [a["predicted"] for a in same]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "RUN", "--images", "some"], "--images is 'some', expected indices as in 3,14,15"),
        (["explain", "RUN", "--images", ""], "--images is '', expected"),
        (["explain", "RUN", "--images", "²"], "--images is '²', expected"),
        (["explain", "RUN", "--target", "²"], "no target '²' in"),
        (["explain", "RUN", "--images", "wrong:0"], "--images is 'wrong:0', expected"),
        (["explain", "RUN", "--images", "5000"], "--images names index 5000, expected 0 to 999"),
        (["explain", "RUN", "--images", "EMPTY"], "holds no image files; expected some that end in"),
        (["explain", "RUN", "--images", "BROKEN"], "broken.png"),
        (["explain", "RUN", "--layers", "conv9"], "no layer 'conv9' in"),
        (["explain", "RUN", "--methods", "gradcma"], "no method 'gradcma'. Did you mean gradcam"),
        (["explain", "RUN", "--target", "eleven"], "no target 'eleven' in"),
        (
            ["explain", "RUN", "--images", "FILE", "--target", "label"],
            "--target is label, but these images have no labels",
        ),
        (["features", "RUN", "--layers", "fc9"], "no layer 'fc9' in"),
        (["features", "RUN", "--images", "20", "--perplexity", "30"], "perplexity"),
        (["features", "RUN", "--clusters", "1"], "expected"),
    ],
)
def test_wrong_input_makes_one_sentence_and_writes_nothing(capsys, copy, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    Image.new("L", (28, 28)).save(tmp_path / "black.png")
    named = {
        "RUN": copy.path,
        "EMPTY": tmp_path / "empty",
        "BROKEN": tmp_path / "broken.png",
        "FILE": tmp_path / "black.png",
    }
    before = sorted(copy.path.rglob("*"))
    code, out, err = call(capsys, *(named.get(word, word) for word in words))
    assert code == 2
    assert not out
    assert message in err
    assert err.strip().splitlines()[-1].startswith("glassnet: ")
    assert sorted(copy.path.rglob("*")) == before


def test_report_does_what_is_missing_and_keeps_what_is_whole(capsys, copy, tmp_path):
    answer(capsys, "explain", copy.path, "--images", "correct:1", "--methods", "gradcam")
    answer(capsys, "features", copy.path, "--layers", "conv1", "--images", "200")
    page = tmp_path / "elsewhere" / "page.html"
    assert answer(capsys, "report", copy.path, "--out", page)["report"] == str(page)
    html = page.read_text()
    for heading in ("Learning curves", "Test results", "The network", "Features", "Attributions"):
        assert heading in html
    assert not copy.has("report.html")
    assert copy.load_json("attributions/correct.json")["methods"] == ["gradcam", "guided_gradcam"]
    assert copy.stems("attributions") == ["correct", "wrong"]
    assert copy.stems("embeddings") == ["conv1", "fc1"]
    stamps = {
        path: path.stat().st_mtime_ns for name in ("embeddings", "attributions") for path in copy.file(name).iterdir()
    }
    assert call(capsys, "report", copy.path)[0] == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert (copy.path / "report.html").read_text() == html
    code, _, err = call(capsys, "report", copy.path, "--out", tmp_path)
    assert code == 2
    assert "expected a file, as in" in err


@pytest.mark.slow
def test_demo_ends_with_a_report(capsys, tmp_path):
    document = answer(capsys, "demo", "--epochs", "1", "--out", tmp_path / "demo")
    assert document["report"] == str(tmp_path / "demo" / "report.html")
    assert gn.Run.open(tmp_path / "demo").metrics == document["metrics"]
    code, _, err = call(capsys, "demo", "--epochs", "1", "--out", tmp_path / "demo")
    assert code == 2
    assert "is not empty; give another --out" in err


def test_a_demo_that_cannot_start_leaves_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = call(capsys, "demo", "--device", "cuda")
    assert code == 2
    assert "torch sees no GPU here" in err
    assert list(tmp_path.iterdir()) == []

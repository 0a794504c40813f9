import json
import shutil

import numpy as np
import pytest

import glassnet as gn
from glassnet.analysis import analyse, build_request
from glassnet.explorer.embedding import Wanted, fit, listed, on_disk
from glassnet.run.codec import encode
from glassnet.run.store import Store
from tiny_runs import copied

PCA = "layer=fc1&method=pca&dims=2&images=60"


def test_the_page_asks_for_what_the_commands_make():
    wanted = Wanted("fc1", "tsne", 3, 100, "train", 2, 12)
    assert encode(build_request("embedding", wanted.settings()))[0] == wanted.settings()


def test_embedding_is_the_analysis_and_kept_without_figures(page):
    arrays, meta = page.arrays(f"embedding?{PCA}")
    subject = page.subjects.get(page.first).subject
    entry = Store(subject.path).entry(meta["entry"])
    assert entry.browsed
    assert np.array_equal(arrays["points"], entry.arrays["points"])
    assert np.array_equal(arrays["numbers"], entry.arrays["numbers"])
    labels = subject.part("test").targets.numpy()
    assert np.array_equal(arrays["label"], labels[arrays["numbers"]])
    keys = {one["key"]: one for one in meta["measures"]}
    assert keys["knn_accuracy"]["chance"] == "10%"
    assert len(meta["explained"]) == 2
    assert [one["layer"] for one in page.json("embeddings")["embeddings"]] == ["fc1"]


def test_before_torch_the_same_comes_from_disk(page, pages, monkeypatch):
    expected, meta = page.arrays(f"embedding?{PCA}")
    columns, _ = page.arrays("columns")
    other = pages(page.subjects.get(page.first).path)
    monkeypatch.setattr("glassnet.explorer.shown.OpenSubject.part", None)  # whoever loads the data now fails
    arrays, read = other.arrays(f"embedding?{PCA}")
    assert np.array_equal(arrays["points"], expected["points"])
    assert read == meta
    labels, _ = other.arrays("labels")
    assert np.array_equal(labels["label"], columns["label"])
    again, _ = other.arrays("columns")
    assert all(np.array_equal(again[name], columns[name], equal_nan=True) for name in columns)
    assert other.json("atlas")["images"] == len(labels["label"])


def test_aligned_points_keep_their_shape(page):
    plain, _ = page.arrays("embedding?layer=conv2&method=pca&images=60")
    onto, _ = page.arrays(f"embedding?{PCA}")
    moved, meta = page.arrays("embedding?layer=conv2&method=pca&images=60&align=fc1")
    assert meta["aligned"] == "fc1"
    apart = [np.linalg.norm(points[:, None] - points[None], axis=2) for points in (plain["points"], moved["points"])]
    scale = apart[1].sum() / apart[0].sum()
    assert np.allclose(apart[1], scale * apart[0], rtol=1e-3, atol=1e-3)
    assert ((moved["points"] - onto["points"]) ** 2).sum() < ((plain["points"] - onto["points"]) ** 2).sum()


def test_procrustes_undoes_a_turn_a_reflection_a_scale_and_a_shift():
    points = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    turned = 3 * points @ np.array([[0.0, 1.0], [1.0, 0.0]]) + np.array([5.0, -2.0])
    assert np.allclose(fit(turned, points).move(turned), points, atol=1e-5)


def test_activation_is_the_mean_of_the_channel(page):
    arrays, _ = page.arrays("activation?layer=conv2&channel=3&images=60")
    opened = page.subjects.get(page.first)
    images = opened.subject.part("test").images[arrays["numbers"].tolist()]
    features = gn.extract_features(opened.model(), images, ["conv2"])["conv2"]
    assert np.allclose(arrays["values"], features[:, 3], atol=1e-5)
    refused = page.ask("activation?layer=conv2&channel=9999&images=60")
    assert refused.status_code == 400
    assert "has no channel 9999" in refused.json()["error"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_an_image_of_the_picture_is_placed_near_its_own_point(page, method):
    query = f"layer=fc1&method={method}&images=60"
    arrays, _ = page.arrays(f"embedding?{query}")
    number = int(arrays["numbers"][7])
    pixels, _ = page.arrays(f"pixels/{number}")
    placed, meta = page.arrays(f"place?{query}", method="POST", content=pixels["pixels"].tobytes())
    assert meta["neighbours"][0] == number
    spread = arrays["points"].std()
    assert np.linalg.norm(placed["point"] - arrays["points"][7]) < (1e-3 if method == "pca" else 1.0) * spread
    aligned, _ = page.arrays(f"place?{query}&align=fc2", method="POST", content=pixels["pixels"].tobytes())
    turned, _ = page.arrays(f"embedding?{query}&align=fc2")
    near = np.linalg.norm(turned["points"] - aligned["point"], axis=1)
    assert near.argmin() in {int(np.flatnonzero(arrays["numbers"] == one)[0]) for one in meta["neighbours"]}


def test_pixels_of_another_size_are_refused(page):
    refused = page.ask("place?layer=fc1&method=pca&images=60", method="POST", content=b"1234")
    assert refused.status_code == 400
    assert "got 4 bytes, expected 784" in refused.json()["error"]


def test_scores_and_network(page, monkeypatch):
    monkeypatch.setattr("glassnet.analysis.layers.MOST_IMAGES", 300)  # that the probes are fitted to
    scores = page.json("scores?images=100")
    names = [one["layer"] for one in scores["layers"]]
    assert names[:2] == ["conv1", "conv2"]
    probe = scores["layers"][-1]["measures"][0]
    assert probe["key"] == "probe_accuracy"
    assert "to" in probe["interval"]
    network = page.json("network")
    assert {one["name"] for one in network["layers"]} >= set(names)
    assert {one["name"]: one["receptive_field"] for one in network["layers"]}["conv2"] == 5
    assert network["parameters"] == sum(one["parameters"] for one in network["layers"])


def test_unknown_layers_are_refused(page):
    refused = page.ask("embedding?layer=nothing&method=pca&images=60")
    assert refused.status_code == 400
    assert "nothing" in refused.json()["error"]


def test_training_is_read_finished_and_while_it_goes_on(page, pages, tmp_path):
    run = page.subjects.get(page.first).path
    training = page.json("training")
    assert training["state"] == "finished"
    assert len(training["curves"][0]["values"]) == len(training["epochs"])
    assert any(name == "learning_rate" for name, _ in training["settings"])
    shutil.copytree(run, going := tmp_path / "going")
    (going / "run.json").unlink()
    lines = (going / "metrics.jsonl").read_text().splitlines(keepends=True)
    (going / "metrics.jsonl").write_text(lines[0])
    other = pages(going)
    assert other.json("/session")["subjects"][0]["views"] == ["training"]
    assert other.json("training")["state"] == "stopped"
    row = {**json.loads(lines[0]), "epoch": 2}
    with (going / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    assert other.json("training")["epochs"] == [1, 2]
    assert other.ask("columns").status_code == 400
    shutil.copy(run / "run.json", going / "run.json")
    assert other.json("/session")["subjects"][0]["kind"] == "run"


def test_compare_and_cka(page, pages, weaker, monkeypatch):
    run = page.subjects.get(page.first).path
    both = pages(run, weaker)
    first, second = both.subjects.all
    assert "compare" in both.json(f"/subjects/{first}")["views"]
    answer = both.json(f"/compare?first={first}&second={second}")
    results = [analyse(path, "evaluation", figures=False).result for path in (run, weaker)]
    agree = results[0].predicted == results[1].predicted
    assert answer["agree"] == int(agree.sum())
    assert len(answer["disagreements"]) == int((~agree).sum())
    right = [result.predicted == result.targets for result in results]
    assert answer["counts"][1] == int((right[0] & ~right[1]).sum())
    assert sum(answer["counts"]) == answer["images"]
    alike = both.json(f"/cka?first={first}&second={second}&images=50")
    assert alike["values"][0][0] == pytest.approx(1, abs=1e-4)
    (kept,) = Store(run).entries("alignment")
    assert kept.browsed
    again = pages(run, weaker)
    monkeypatch.setattr("glassnet.analysis.alignment.extract_features", None)
    assert again.json(f"/cka?first={first}&second={second}&images=50") == alike
    assert both.ask(f"/compare?first={first}&second=nobody").status_code == 404


def test_only_pictures_that_a_page_can_ask_for_are_listed(page):
    run = page.subjects.get(page.first).path
    for more in ({"clustering": "agglomerative"}, {"dims": 3}):
        analyse(run, "embedding", layer="fc2", method="pca", images=60, figures=False, **more)
    rows = page.json("embeddings")["embeddings"]
    assert sum((one["layer"], one["dims"]) == ("fc2", 3) for one in rows) == 1
    assert not any("agglomerative" in one["entry"] for one in rows)


def test_a_subject_of_a_run_is_that_run(page, pages):
    run = page.subjects.get(page.first).path
    other = pages(gn.Subject.of_run(run))
    assert other.json("/session")["subjects"][0]["kind"] == "run"
    assert other.json("training")["state"] == "finished"
    assert other.ask("pixels/1").content == page.ask("pixels/1").content


def test_what_is_on_disk_must_be_of_this_model_and_these_images(page, pages):
    expected, _ = page.arrays(f"embedding?{PCA}")
    opened = pages(page.subjects.get(page.first).path).subjects.get(page.first)
    wanted = Wanted("fc1", "pca", 2, 60)
    opened.warm()
    assert np.array_equal(on_disk(opened, wanted).points, expected["points"])
    opened.made_of["test"] = {**opened.made_of["test"], "images": "others"}
    assert on_disk(opened, wanted) is None
    assert listed(opened, "test").embeddings == []


def test_labels_come_from_an_embedding_of_all_images_before_the_data_are_read(finished, tmp_path, pages):
    run = copied(finished, tmp_path)
    train = run.dataset().train
    analyse(run, "embedding", layer="fc2", method="pca", images=len(train), split="train", figures=False)
    shown = pages(run.path)
    arrays, _ = shown.arrays("labels?part=train")
    assert not shown.subjects.get(shown.first).is_loaded
    assert np.array_equal(arrays["numbers"], train.numbers)
    assert np.array_equal(arrays["label"], train.targets)

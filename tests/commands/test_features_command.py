"""`glassnet features`: its options, what it keeps, and what it refuses."""

import importlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

import glassnet as gn
from glassnet.cli import run as command_line
from glassnet.data.sampling import balanced_draw
from glassnet.embedding.cka import cka
from glassnet.experiment import build_model
from glassnet.report import write_report

command = importlib.import_module("glassnet.commands.features")
comparison = importlib.import_module("glassnet.commands.layer_comparison")


def call(capsys, *words):
    code = command_line([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def answer(capsys, *words):
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def rewrite(folder, part, **values):
    manifest = json.loads((folder / "run.json").read_text())
    manifest[part].update(values)
    (folder / "run.json").write_text(json.dumps(manifest))


@pytest.fixture
def other(copy, tmp_path):
    """A second run on the same data, of other weights."""
    shutil.copytree(copy.path, tmp_path / "other")
    run = gn.Run.open(tmp_path / "other")
    weights = {name: torch.flip(value, (0,)).contiguous() for name, value in run.weights().items()}
    save_file(weights, tmp_path / "other" / "model.safetensors")
    return run


@pytest.fixture
def unsaved(monkeypatch):
    """Draw the figures, but write none: that takes longest."""
    monkeypatch.setattr(gn.Run, "save_figure", lambda *_, **__: None)


@pytest.mark.usefixtures("unsaved")
def test_each_method_in_each_dimension(capsys, copy):
    words = ["--images", 60, "--methods", "tsne", "pca", "--dims", 3, 2, "--clusters", 4]
    document = answer(capsys, "features", copy.path, *words)
    (layer,) = document["layers"]
    assert [picture["name"] for picture in layer["pictures"]] == ["tsne3", "tsne2", "pca3", "pca2"]
    for picture in layer["pictures"]:
        assert (picture["clusters"], picture["sample"], picture["cluster_sample"]) == (4, 60, 60)
        assert picture["clustering"] == "kmeans"
        assert -1 <= picture["distance_correlation"] <= 1
        assert copy.load_arrays(f"embeddings/fc1-{picture['name']}.npz")["points"].shape == (60, picture["dims"])
    assert (layer["images"], layer["split"]) == (60, "test")
    assert "comparison" not in document


def test_the_scree_plot_has_all_shares(capsys, copy):
    document = answer(
        capsys, "features", copy.path, "--images", 60, "--methods", "pca", "--dims", 2, "--layers", "linear"
    )
    for layer in document["layers"]:
        shares = layer["scree"]["explained_variance"]
        assert len(shares) == layer["features"]
        assert sum(shares) == pytest.approx(1)
        assert sum(shares[:2]) == pytest.approx(layer["pictures"][0]["explained_variance"])
        assert copy.has(f"figures/{layer['scree']['figure']}.svg")


@pytest.mark.usefixtures("unsaved")
@pytest.mark.parametrize("clustering", ["agglomerative", "hdbscan"])
def test_other_clusterings(capsys, copy, clustering):
    words = ["--images", 200, "--methods", "pca", "--dims", 2, "--clustering", clustering]
    (picture,) = answer(capsys, "features", copy.path, *words)["layers"][0]["pictures"]
    assignment = copy.load_arrays("embeddings/fc1-pca2.npz")["assignment"]
    assert picture["clustering"] == clustering
    assert picture["clusters"] == assignment.max() + 1
    if clustering == "hdbscan":
        assert picture["noise_share"] == pytest.approx((assignment < 0).mean())
    else:
        assert picture["noise_share"] is None
        assert picture["clusters"] == 10


@pytest.mark.usefixtures("unsaved")
def test_engine_and_several_perplexities(capsys, copy):
    words = ["--images", 60, "--methods", "tsne", "--engine", "opentsne", "--perplexity", 5, 15]
    (layer,) = answer(capsys, "features", copy.path, *words)["layers"]
    assert "scree" not in layer
    (picture,) = layer["pictures"]
    assert picture["settings"]["engine"] == "opentsne"
    assert picture["settings"]["perplexity"] == [5.0, 15.0]


@pytest.mark.usefixtures("unsaved")
def test_training_images_too(capsys, copy):
    words = ["--images", 40, "--split", "train", "--methods", "pca", "--dims", 2]
    code, out, _ = call(capsys, "features", copy.path, *words)
    assert code == 0
    assert "40 train images, measured on 40" in out
    kept = copy.load_arrays("features/fc1.npz")
    train = copy.dataset().train
    expected = gn.extract_features(copy.model(), train.images[torch.from_numpy(kept["indices"])], ["fc1"])["fc1"]
    np.testing.assert_array_equal(kept["features"], expected)
    assert copy.load_json("embeddings/fc1.json")["split"] == "train"


@pytest.mark.usefixtures("unsaved")
def test_features_of_many_images_stream_to_a_file(capsys, copy, monkeypatch):
    monkeypatch.setattr(command, "STREAMED_FROM_IMAGES", 50)
    document = answer(capsys, "features", copy.path, "--images", 100, "--methods", "pca", "--dims", 2)
    kept = copy.load_arrays("features/fc1.npz")
    assert sorted(kept) == ["indices", "targets"]
    images = copy.dataset().test.images[torch.from_numpy(kept["indices"])]
    expected = gn.extract_features(copy.model(), images, ["fc1"])["fc1"]
    np.testing.assert_array_equal(np.load(copy.file("features/fc1.npy"), mmap_mode="r"), expected)
    points = copy.load_arrays("embeddings/fc1-pca2.npz")["points"]
    np.testing.assert_array_equal(points, gn.embed(expected, method="pca", dims=2).points)
    assert document["layers"][0]["images"] == 100
    assert not [path for path in copy.path.iterdir() if path.name.startswith(".")]
    answer(capsys, "features", copy.path, "--images", 40, "--methods", "pca", "--dims", 2)
    assert not copy.has("features/fc1.npy")
    assert copy.load_arrays("features/fc1.npz")["features"].shape == (40, 16)


@pytest.fixture
def few(monkeypatch):
    """Compare layers on 500 training images."""
    monkeypatch.setattr(comparison, "MOST_IMAGES", 500)


@pytest.mark.usefixtures("few")
def test_layers_compared(capsys, copy):
    words = ["--images", 300, "--methods", "pca", "--dims", 2, "--compare", "conv4", "linear"]
    document = answer(capsys, "features", copy.path, *words)
    scores = document["comparison"]
    assert (scores["train_images"], scores["test_images"]) == (500, 300)
    assert [row["layer"] for row in scores["layers"]] == ["conv4", "fc1", "fc2"]
    data, last = copy.dataset(), scores["layers"][-1]
    drawn = balanced_draw(data.train.targets, 500, seed=0)
    chosen = torch.from_numpy(copy.load_arrays("features/fc1.npz")["indices"])
    train, test = (
        gn.extract_features(copy.model(), images, ["fc2"])["fc2"]
        for images in (data.train.images[drawn], data.test.images[chosen])
    )
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    oracle = LogisticRegression(C=1 / (last["regularisation"] * 500), max_iter=2000, tol=1e-8)
    oracle.fit((train - mean) / deviation, data.train.targets[drawn].numpy())
    right = oracle.score((test - mean) / deviation, data.test.targets[chosen].numpy())
    assert last["probe_accuracy"] == pytest.approx(right, abs=0.005)
    assert last["probe_interval"][0] < last["probe_accuracy"] < last["probe_interval"][1]
    assert last["knn_interval"][0] < last["knn_accuracy"] < last["knn_interval"][1]
    assert copy.load_json("embeddings/comparison/layers.json") == scores
    (aligned,) = document["alignments"]
    assert (aligned["images"], aligned["against"]) == (300, None)
    expected = cka({"fc2": test, "fc1": copy.load_arrays("features/fc1.npz")["features"]}, debiased=True)
    assert aligned["matrix"][1][2] == pytest.approx(expected.matrix[0, 1], rel=1e-4)
    for figure in ("layer-comparison", "cka"):
        assert copy.has(f"figures/{figure}.svg")
        assert "300" in copy.load_json(f"figures/{figure}.json")["caption"]


@pytest.mark.usefixtures("few")
def test_two_runs_compared(capsys, copy, other):
    words = ["--images", 200, "--methods", "pca", "--dims", 2, "--compare", "fc1", "--against", other.path]
    within, between = answer(capsys, "features", copy.path, *words)["alignments"]
    assert (within["against"], between["against"]) == (None, "other")
    chosen = torch.from_numpy(copy.load_arrays("features/fc1.npz")["indices"])
    images = copy.dataset().test.images[chosen]
    pair = [gn.extract_features(run.model(), images, ["fc1"]) for run in (copy, other)]
    assert between["matrix"][0][0] == pytest.approx(cka(*pair, debiased=True).matrix[0, 0], rel=1e-4)
    assert between["matrix"][0][0] < 1
    assert copy.load_json("embeddings/comparison/cka-other.json") == between
    page = write_report(copy).read_text()
    for said in ("The layers compared", "Which layers are alike", "Variance of <code>fc1</code>", "Effective rank"):
        assert said in page
    assert "fitted to 500 training images and scored on 200 test images" in page
    assert "on 200 test images." in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "fc9"], "no layer 'fc9' in"),
        (["--dims", "4"], "--dims is 4, expected 2 or 3"),
        (["--methods", "lda"], "lda"),
        (["--engine", "sklearn"], "sklearn"),
        (["--perplexity", "0.5"], "--perplexity is 0.5, expected a finite number of at least 1"),
        (["--perplexity", "nan"], "--perplexity is nan"),
        (["--images", "20", "--perplexity", "30"], "--perplexity is 30, expected at most 6.33333 for 20 images"),
        (["--images", "20", "--perplexity", "5", "30"], "--perplexity is 30, expected at most 6.33333 for 20 images"),
        (["--clusters", "1"], "--clusters is 1, expected 2 to 1000, the number of images"),
        (["--images", "20", "--clusters", "21"], "--clusters is 21, expected 2 to 20, the number of images"),
        (["--clustering", "hdbscan", "--clusters", "3"], "--clusters is 3, but hdbscan finds their number itself"),
        (["--images", "20", "--compare", "fc9"], "no layer 'fc9' in"),
        (["--images", "20", "--against", "NOWHERE"], "no run at"),
        (["--images", "20", "--against", "RUN"], "the run itself; give another run"),
        (
            ["--images", "20", "--against", "FOREIGN"],
            "is a run on mnist at 28 pixels, expected one on mnist-sample",
        ),
        (["--images", "20", "--compare", "fc2", "--against", "SHALLOW"], "shallow: no layer 'fc2' in"),
        (["--methods", "umap"], "needs umap-learn; install it with `pip install 'glassnet[umap]'`"),
    ],
)
def test_wrong_input_makes_one_sentence_and_writes_nothing(capsys, copy, tmp_path, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "umap", None)
    places = {"RUN": copy.path, "NOWHERE": tmp_path / "nowhere", "FOREIGN": tmp_path / "foreign"}
    places["SHALLOW"] = tmp_path / "shallow"
    if "FOREIGN" in words:
        rewrite(shutil.copytree(copy.path, places["FOREIGN"]), "settings", data="mnist")
    if "SHALLOW" in words:
        folder = shutil.copytree(copy.path, places["SHALLOW"])
        rewrite(folder, "model", name="allconv", options={"filters": [4] * 7})
        save_file(build_model(gn.Run.open(folder).manifest["model"]).state_dict(), folder / "model.safetensors")
    before = sorted(copy.path.rglob("*"))
    code, out, err = call(capsys, "features", copy.path, *(places.get(word, word) for word in words))
    assert code == 2
    assert not out
    assert message in err
    assert err.strip().splitlines()[-1].startswith("glassnet: ")
    assert sorted(copy.path.rglob("*")) == before

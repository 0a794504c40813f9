"""`glassnet features`: its options, what it keeps, and what it refuses."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score

import glassnet as gn
from command_line import answer, call, refused
from glassnet.analysis import analyse, features, layers
from glassnet.data.split import balanced_draw
from glassnet.embedding.layers import cka
from glassnet.models import build_model
from glassnet.run.store import Store
from tiny_runs import replace_weights

PCA = ["--methods", "pca", "--dims", 2]


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
    replace_weights(tmp_path / "other", weights)
    return gn.Run.open(tmp_path / "other")


@pytest.fixture
def few(monkeypatch):
    """Compare layers on 500 training images."""
    monkeypatch.setattr(layers, "MOST_IMAGES", 500)


def arrays(run, name):
    return Store(run.path).entry(name).arrays


def test_features_are_embedded_measured_and_drawn(capsys, copy):
    pictures = answer(capsys, "features", copy.path, "--layers", "fc1", "conv4", "--images", "300")["pictures"]
    made = [(one["layer"], one["settings"]["method"], one["settings"]["dims"]) for one in pictures]
    assert made == [(layer, *how) for layer in ("conv4", "fc1") for how in (("pca", 2), ("pca", 3), ("tsne", 2))]
    test, kept = copy.dataset().test, arrays(copy, "features/fc1-300")
    assert kept["features"].shape == (300, 16)
    assert np.bincount(kept["labels"]).tolist() == [30] * 10
    np.testing.assert_array_equal(test.targets[torch.from_numpy(kept["numbers"])], kept["labels"])
    expected = gn.extract_features(copy.model(), test.images[torch.from_numpy(kept["numbers"])], ["fc1"])["fc1"]
    np.testing.assert_array_equal(kept["features"], expected)
    for picture in pictures[3:]:
        entry = Store(copy.path).entry(picture["analysis"])
        assert entry.arrays["points"].shape == (300, picture["settings"]["dims"])
        measures = picture["measures"]
        assert measures["ari"] == pytest.approx(adjusted_rand_score(kept["labels"], entry.arrays["assignment"]))
        assert [one.name for one in entry.figures][:1] == ["points"]
        assert all(entry.figure_file(one.name, "svg").exists() for one in entry.figures)
        assert 0 < measures["trustworthiness"] <= 1
    pca2, pca3, tsne = (one["measures"] for one in pictures[3:])
    assert 0 < pca2["explained_variance"] < pca3["explained_variance"] < 1
    assert tsne["explained_variance"] is None
    assert tsne["knn_accuracy"] > pca2["knn_accuracy"]


@pytest.mark.usefixtures("blank_figures")
def test_each_method_in_each_dimension(capsys, copy):
    words = ["--images", 60, "--methods", "tsne", "pca", "--dims", 3, 2, "--clusters", 4]
    document = answer(capsys, "features", copy.path, *words)
    made = [(one["settings"]["method"], one["settings"]["dims"]) for one in document["pictures"]]
    assert made == [("tsne", 3), ("tsne", 2), ("pca", 3), ("pca", 2)]
    for picture in document["pictures"]:
        assert (picture["clusters"], picture["sample"], picture["fitted"]) == (4, 60, 60)
        assert picture["clustering"] == "kmeans"
        assert -1 <= picture["measures"]["distance_correlation"] <= 1
        points = arrays(copy, picture["analysis"])["points"]
        assert points.shape == (60, picture["settings"]["dims"])
        assert (picture["settings"]["images"], picture["settings"]["split"]) == (60, "test")
    assert "comparison" not in document


@pytest.mark.usefixtures("blank_figures")
def test_a_second_method_stands_next_to_the_first(capsys, copy):
    words = ["features", copy.path, "--images", 60, "--dims", 2]
    first = answer(capsys, *words, "--methods", "pca")["pictures"]
    both = answer(capsys, *words, "--methods", "pca", "tsne")["pictures"]
    assert both[0] == first[0]
    listed = [one["name"] for one in answer(capsys, "analyses", copy.path)["analyses"]]
    assert sorted(listed) == ["embedding/pca2-fc1-60", "embedding/tsne2-fc1-60", "features/fc1-60"]
    code, out, _ = call(capsys, *words, "--methods", "pca", "tsne")
    assert code == 0
    assert "60 test images, measured on 60" in out
    assert f"embedding/tsne2-fc1-60: {copy.path}/analyses/embedding/tsne2-fc1-60" in out


def test_the_scree_plot_has_all_shares(capsys, copy):
    for picture in answer(capsys, "features", copy.path, "--images", 60, *PCA, "--layers", "linear")["pictures"]:
        entry = Store(copy.path).entry(picture["analysis"])
        shares = entry.arrays["components"]
        assert len(shares) == picture["features"]
        assert sum(shares) == pytest.approx(1)
        assert sum(shares[:2]) == pytest.approx(picture["measures"]["explained_variance"])
        assert entry.figure_file("scree", "svg").exists()


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("clustering", ["agglomerative", "hdbscan"])
def test_other_clusterings(capsys, copy, clustering):
    words = ["--images", 200, *PCA, "--clustering", clustering]
    (picture,) = answer(capsys, "features", copy.path, *words)["pictures"]
    assignment = arrays(copy, picture["analysis"])["assignment"]
    assert picture["clustering"] == clustering
    assert picture["clusters"] == assignment.max() + 1
    if clustering == "hdbscan":
        assert picture["noise_share"] == pytest.approx((assignment < 0).mean())
    else:
        assert picture["noise_share"] is None
        assert picture["clusters"] == 10


@pytest.mark.usefixtures("blank_figures")
def test_engine_and_several_perplexities(capsys, copy):
    words = [
        "--images",
        60,
        "--methods",
        "tsne",
        "--tsne-engine",
        "opentsne",
        "--perplexity",
        5,
        15,
        "--name",
        "scales",
    ]
    (picture,) = answer(capsys, "features", copy.path, *words)["pictures"]
    assert picture["components"] is None
    assert picture["analysis"] == "embedding/scales"
    assert picture["settings"]["engine"] == "opentsne"
    assert picture["settings"]["perplexity"] == [5.0, 15.0]


@pytest.mark.usefixtures("blank_figures")
def test_landmarks_are_embedded_and_what_placing_costs_is_said(capsys, copy):
    words = ["features", copy.path, "--images", 300, "--methods", "tsne", "pca", "--dims", 2, "--landmarks", 200]
    code, out, _ = call(capsys, *words)
    assert code == 0
    cost = gn.Run.open(copy.path).embed("fc1", method="tsne", images=300, landmarks=200).result.landmark_accuracy
    assert f"t-SNE of fc1, 2 dimensions: {cost.words}" in out
    pictures = answer(capsys, *words)["pictures"]
    assert [one["settings"]["landmarks"] for one in pictures] == [200, None]
    assert pictures[0]["landmark_accuracy"]["placed"] == cost.placed


def test_training_images_too(capsys, copy):
    code, out, _ = call(capsys, "features", copy.path, "--images", 40, "--split", "train", *PCA)
    assert code == 0
    assert "40 train images, measured on 40" in out
    kept = arrays(copy, "features/fc1-train-40")
    train = copy.dataset().train
    expected = gn.extract_features(copy.model(), train.images[torch.from_numpy(kept["numbers"])], ["fc1"])["fc1"]
    np.testing.assert_array_equal(kept["features"], expected)
    assert Store(copy.path).entry("embedding/pca2-fc1-train-40").settings["split"] == "train"


@pytest.mark.usefixtures("blank_figures")
def test_features_of_many_images_stream_to_a_file(capsys, copy, monkeypatch):
    monkeypatch.setattr(features, "STREAMED_FROM_IMAGES", 50)
    (picture,) = answer(capsys, "features", copy.path, "--images", 100, *PCA)["pictures"]
    entry = Store(copy.path).entry("features/fc1-100")
    with np.load(entry.path / "arrays.npz") as file:
        assert sorted(file.files) == ["labels", "numbers"]
    (streamed,) = entry.path.glob("*.npy")
    images = copy.dataset().test.images[torch.from_numpy(entry.arrays["numbers"])]
    expected = gn.extract_features(copy.model(), images, ["fc1"])["fc1"]
    np.testing.assert_array_equal(np.load(streamed, mmap_mode="r"), expected)
    points = arrays(copy, picture["analysis"])["points"]
    np.testing.assert_array_equal(points, gn.embed(expected, method="pca", dims=2).points)
    assert len(points) == 100
    assert not [path for path in copy.path.iterdir() if path.name.startswith(".")]
    answer(capsys, "features", copy.path, "--images", 40, *PCA)
    assert not list((copy.path / "analyses" / "features" / "fc1-40").glob("*.npy"))
    assert arrays(copy, "features/fc1-40")["features"].shape == (40, 16)


@pytest.mark.usefixtures("few")
def test_layers_compared(capsys, copy):
    words = ["--images", 300, *PCA, "--compare", "conv4", "linear"]
    document = answer(capsys, "features", copy.path, *words)
    scores = document["comparison"]
    assert (scores["fitted"], scores["scored"], scores["part"]) == (500, 300, "training images")
    assert [row["layer"] for row in scores["rows"]] == ["conv4", "fc1", "fc2"]
    data, last = copy.dataset(), scores["rows"][-1]
    drawn = balanced_draw(data.train.targets, 500, seed=0)
    chosen = torch.from_numpy(arrays(copy, "features/fc1-300")["numbers"])
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
    entry = Store(copy.path).entry(scores["analysis"])
    assert entry.result["rows"] == scores["rows"]
    (aligned,) = scores["alignments"]
    assert (aligned["images"], aligned["against"]) == (300, "")
    matrix = entry.arrays[aligned["matrix"]["array"]]
    expected = cka({"fc2": test, "fc1": arrays(copy, "features/fc1-300")["features"]}, debiased=True)
    assert matrix[1][2] == pytest.approx(expected.matrix[0, 1], rel=1e-4)
    assert [one.name for one in entry.figures] == ["layers", "cka"]
    for figure in entry.figures:
        assert entry.figure_file(figure.name, "svg").exists()
        assert "300" in figure.caption
    code, out, _ = call(capsys, "features", copy.path, *words)
    assert code == 0
    assert "probe and kNN: fitted to 500 training images, scored on 300" in out
    assert f"{100 * last['probe_accuracy']:.2f}% (" in out


@pytest.mark.usefixtures("few")
def test_two_runs_compared(capsys, copy, other, short_reports):
    words = ["--images", 200, *PCA, "--compare", "fc1", "--against", other.path]
    comparison = answer(capsys, "features", copy.path, *words)["comparison"]
    within, between = comparison["alignments"]
    assert (within["against"], between["against"]) == ("", "other")
    chosen = torch.from_numpy(arrays(copy, "features/fc1-200")["numbers"])
    images = copy.dataset().test.images[chosen]
    pair = [gn.extract_features(run.model(), images, ["fc1"]) for run in (copy, other)]
    matrix = analyse(copy, "layers", layers="fc1", against=str(other.path), images=200).result.alignments[1].matrix
    assert matrix[0][0] == pytest.approx(cka(*pair, debiased=True).matrix[0, 0], rel=1e-4)
    assert matrix[0][0] < 1
    page = gn.report(copy).read_text()
    for heading in ("compared", "CKA between the layers of run and other", "Variance of fc1"):
        assert heading in page
    assert "fitted to 500 training images and scored on 200" in page
    assert "on 200 images" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layers", "fc9"], "no layer 'fc9' in"),
        (["--dims", "4"], "--dims is 4, expected 2 or 3"),
        (["--methods", "lda"], "lda"),
        (["--tsne-engine", "sklearn"], "sklearn"),
        (["--perplexity", "0.5"], "--perplexity is 0.5, expected a finite number of at least 1"),
        (["--perplexity", "nan"], "--perplexity is nan"),
        (["--images", "20", "--perplexity", "30"], "--perplexity is 30, expected at most 6.33333 for 20 images"),
        (["--images", "20", "--perplexity", "5", "30"], "--perplexity is 30, expected at most 6.33333 for 20 images"),
        (["--images", "20", "--landmarks", "20"], "--landmarks is 20, expected 5 to 19 for 20 images; leave it out"),
        (["--landmarks", "0"], "--landmarks is 0, expected a number above 0"),
        (["--methods", "pacmap"], "needs pacmap; install it with `pip install 'glassnet[pacmap]'`"),
        (["--clusters", "1"], "--clusters is 1, expected 2 to 1000, the number of images"),
        (["--images", "20", "--clusters", "21"], "--clusters is 21, expected 2 to 20, the number of images"),
        (["--clustering", "hdbscan", "--clusters", "3"], "--clusters is 3, but hdbscan finds their number itself"),
        (["--images", "20", "--compare", "fc9"], "no layer 'fc9' in"),
        (["--images", "20", "--against", "NOWHERE"], "no run at"),
        (["--images", "20", "--against", "RUN"], "this run itself; give another run"),
        (["--images", "20", "--against", "FOREIGN"], "is a run on mnist at 28 pixels, but this run is on mnist-sample"),
        (["--images", "20", "--compare", "fc2", "--against", "SHALLOW"], "shallow: no layer 'fc2' in"),
        (["--methods", "umap"], "needs umap-learn; install it with `pip install 'glassnet[umap]'`"),
        (["--name", "two"], "--name is two, but the settings ask for 3 analyses"),
        (["--images", "20", *map(str, PCA), "--name", "a/b"], "'a/b' cannot name an analysis"),
    ],
)
def test_wrong_input_makes_one_sentence_and_writes_nothing(capsys, copy, tmp_path, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setitem(sys.modules, "pacmap", None)
    places = {"RUN": copy.path, "NOWHERE": tmp_path / "nowhere", "FOREIGN": tmp_path / "foreign"}
    places["SHALLOW"] = tmp_path / "shallow"
    if "FOREIGN" in words:
        rewrite(shutil.copytree(copy.path, places["FOREIGN"]), "settings", data="mnist")
    if "SHALLOW" in words:
        folder = shutil.copytree(copy.path, places["SHALLOW"])
        rewrite(folder, "model", name="allconv", options={"filters": [4] * 7})
        replace_weights(folder, build_model(gn.Run.open(folder).manifest["model"]).state_dict())
    before = sorted(copy.path.rglob("*"))
    assert message in refused(capsys, "features", copy.path, *(places.get(word, word) for word in words))
    assert sorted(copy.path.rglob("*")) == before


@pytest.mark.usefixtures("blank_figures")
def test_a_layer_too_narrow_for_a_picture_is_left_out_and_said(capsys, copy, monkeypatch):
    monkeypatch.setattr("glassnet.cli.embedding.width_of", lambda *_: 2)
    code, out, err = call(capsys, "features", copy.path, "--images", 60, "--methods", "pca")
    assert code == 0
    assert "fc1 has 2 features, too few for 3 dimensions; left out." in err
    assert "PCA 2-D" in out
    assert "PCA 3-D" not in out

import json

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import glassnet as gn
from glassnet.cli.training import reproduce
from glassnet.errors import InputError
from glassnet.reproduction import features as part
from glassnet.reproduction.features.embeddings import component_count, near_own_class
from glassnet.settings.train import ReproduceSettings


@pytest.fixture(scope="module")
def done(network, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduced") / "features"
    return reproduce(ReproduceSettings(part="features", run=network.path, out=out)), out


def test_every_picture_has_its_numbers_and_its_figure(done, network):
    answer, out = done
    told = json.loads((out / "features.json").read_text())
    assert list(told["pictures"]) == ["features", "pca2", "pca3", "tsne", "tsne-pca"]
    for name, numbers in told["pictures"].items():
        kept = np.load(out / "stages" / f"{name}.npz")
        targets = np.load(out / "stages" / "extraction.npz")["targets"]
        assert numbers["ari"] == pytest.approx(adjusted_rand_score(targets, kept["assignment"]))
        assert numbers["accuracy"] == pytest.approx(kept["matched"].mean())
        assert 0 < numbers["trustworthiness"] <= 1
        assert {"nmi", "silhouette", "knn_accuracy"} < numbers.keys()
    assert told["pictures"]["tsne-pca"]["components"] == 4
    assert 0.5 < told["pictures"]["tsne-pca"]["components_variance"] < 1
    for figure in ("figure-12", "figure-13", "figure-14"):
        assert all((out / "figures" / f"{figure}.{suffix}").exists() for suffix in ("png", "svg"))
    assert answer.data["images"] == len(network.dataset().test.targets)
    assert json.dumps(dict(answer.data))


def test_every_claim_has_a_verdict_and_the_texts_agree(done):
    answer, out = done
    claims = {verdict["claim"]: verdict["supported"] for verdict in answer.data["verdicts"]}
    assert {"Three components separate the classes where two do not", "t-SNE separates the classes better than PCA"} < (
        claims.keys()
    )
    assert set(claims.values()) <= {"supported", "refuted", "undecided"}
    text, page = (out / "features.txt").read_text(), (out / "features.md").read_text()
    for words in ("PCA, three components", "m = 4 principal components", "before any batch-norm or ReLU"):
        assert words in text
        assert words in page
    assert "](figures/figure-14.png)" in page


def test_what_is_finished_is_not_done_again(done, network, monkeypatch):
    answer, out = done
    monkeypatch.setattr(part, "make", None)
    monkeypatch.setattr(part, "extract_features", None)
    again = reproduce(ReproduceSettings(part="features", run=network.path, out=out))
    assert again.data == answer.data


def test_without_a_run_the_network_is_trained_once(pictures, tmp_path):
    settings = ReproduceSettings(part="features", data=pictures, epochs=1, seed=4, precision="fp32")
    options = ("filters=2,2,2,2", "hidden=4")
    first = part.train_own_network(settings, tmp_path, model_options=options)
    assert (first.settings.seed, first.settings.epochs, first.settings.model) == (4, 1, "convnet")
    written = (first.path / "run.json").stat().st_mtime_ns
    assert part.train_own_network(settings, tmp_path, model_options=options).path == first.path
    assert (first.path / "run.json").stat().st_mtime_ns == written


def test_the_vote_of_the_nearest_equals_a_plain_one_and_quality():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    points = (random.normal(size=(60, 2)) + labels[:, None]).astype(np.float32)
    found = near_own_class(points, labels, neighbours=5)
    for i in range(60):
        others = sorted((j for j in range(60) if j != i), key=lambda j: ((points[i] - points[j]) ** 2).sum())
        votes = np.bincount(labels[others[:5]], minlength=3)
        assert found[i] == (votes.argmax() == labels[i])
    assert found.mean() == pytest.approx(gn.quality(points, points, labels=labels, neighbours=5).knn_accuracy)


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        (
            ("fc1",),
            "a run of convnet, which has no layer fc1; expected a run of the report's network, trained by",
        ),
        (("bn5", "relu5", "fc2"), "a run of convnet, gives class scores, not features; expected a run of"),
    ],
)
def test_a_run_without_the_layer_is_refused(network, tmp_path, dropped, message):
    manifest = json.loads((network.path / "run.json").read_text())
    manifest["model"]["layers"] = [row for row in manifest["model"]["layers"] if row["name"] not in dropped]
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "model.safetensors").write_bytes((network.path / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=message):
        part.features(ReproduceSettings(part="features", run=tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_components_for_few_and_many_features():
    assert [component_count(d, n) for d, n in ((128, 1000), (128, 20), (16, 1000), (1, 9))] == [50, 20, 8, 1]

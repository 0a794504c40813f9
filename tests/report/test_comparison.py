import pytest

from glassnet.errors import InputError
from glassnet.report.comparison import comparison
from glassnet.report.features import features

SCORES = {
    "train_images": 5000,
    "test_images": 1000,
    "figure": "learning-curves",
    "layers": [
        {
            "layer": "conv1",
            "features": 32,
            "probe_accuracy": 0.9,
            "probe_interval": [0.88, 0.92],
            "knn_accuracy": 0.8,
            "nearest_mean_accuracy": 0.7,
            "scatter_ratio": None,
            "effective_rank": 3.14,
        },
        {"layer": "fc1", "features": 128, "probe_accuracy": 0.99, "effective_rank": 40},
    ],
}
WITHIN = {
    "figure": "gone",
    "run": "demo",
    "against": None,
    "images": 1000,
    "first": ["conv1", "conv2", "fc1"],
    "second": ["conv1", "conv2", "fc1"],
    "matrix": [[1, 0.5, 0.2], [0.5, 1, 0.75], [0.2, 0.75, 1]],
}
BETWEEN = {**WITHIN, "figure": "confusion-matrix", "against": "other"}


@pytest.fixture
def compared(run):
    for name, document in (("layers", SCORES), ("cka", WITHIN), ("cka-other", BETWEEN)):
        run.save_json(f"embeddings/comparison/{name}.json", document)
    return run


def test_no_comparison_is_none(run):
    assert comparison(run) is None
    assert features(run)["comparison"] is None


def test_the_layers_stand_beside_each_other_with_their_sample_sizes(compared):
    found = comparison(compared)
    assert found.sentence == (
        "The probe and the neighbours are fitted to 5,000 training images and scored on 1,000 test images."
    )
    assert found.table.columns[:4] == ("Layer", "Features", "Linear probe", "95% interval")
    first, second = found.table.rows
    assert first == ("<code>conv1</code>", "32", "90.00%", "88.00 to 92.00%", "80.00%", "70.00%", "–", "3.1")
    assert second[1:5] == ("128", "<strong>99.00%</strong>", "–", "–")
    assert found.picture.name == "learning-curves"


def test_the_most_alike_layers_are_named(compared):
    within, between = comparison(compared).alignments
    assert within.sentence == "Most alike are conv2 and fc1, with 0.750 on 1,000 test images."
    assert (within.picture, within.missing) == (None, "gone")
    assert between.sentence == "Most alike are conv1 of demo and conv1 of other, with 1.000 on 1,000 test images."
    assert between.picture.name == "confusion-matrix"


def test_alignment_alone_and_gaps_are_shown(run):
    run.save_json("embeddings/comparison/cka.json", {"matrix": [["x"], None], "first": ["a", "b"], "second": ["a"]})
    found = comparison(run)
    assert found.table is None
    assert [(aligned.sentence, aligned.missing) for aligned in found.alignments] == [("", "of the alignment")]
    run.save_json("embeddings/comparison/layers.json", {"layers": [{}]})
    assert comparison(run).table.rows == (("<code></code>", *["–"] * 7),)
    assert comparison(run).missing == "of the comparison"


def test_a_comparison_without_pictures_makes_the_section(compared):
    (compared.path / "embeddings" / "fc1.json").unlink()
    content = features(compared)
    assert content["summary"] is None
    assert content["comparison"].table is not None


def test_a_damaged_file_is_an_error(run):
    run.save_json("embeddings/comparison/cka.json", [])
    with pytest.raises(InputError, match=r"cka.json is damaged \(it holds no JSON object\)"):
        comparison(run)

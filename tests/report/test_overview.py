import dataclasses

import pytest

from glassnet.report.overview import comparison, overview


def without(run, key):
    return dataclasses.replace(run, manifest={**run.manifest, key: {}})


def test_the_headlines_are_the_manifests_numbers(run):
    shown = {line.name: (line.value, line.note) for line in overview(run).headlines}
    assert shown["Test accuracy"] == ("98.60%", "95% interval 97.66 to 99.17%")
    assert shown["Test loss"][0] == "0.0533"
    assert shown["Parameters"][0] == "467,818"
    assert shown["Training time"] == ("71 s", "on cpu in fp32")


def test_the_summary_says_the_numbers_in_words(run):
    assert overview(run).summary == (
        "The network convnet learned from 3,600 images of mnist-sample in 12 passes; 400 further images, held out of "
        "the training, chose the weights after pass 11.",
        "Of 1,000 test images that it never saw, it labels 986 correctly and 14 wrongly: an accuracy of 98.60%.",
        "A test of this size leaves room for chance: the 95% interval runs from 97.66 to 99.17%.",
        "Its most frequent confusion is to take 6 for 1 (3 times).",
        "Its stated confidence is off by 0.61 percentage points on average (calibration error).",
    )


def test_without_an_evaluation_the_training_s_own_test_speaks(run):
    (run.path / "evaluation" / "test.json").unlink()
    assert overview(run).summary[1:] == ("It labels 98.60% of the test images correctly.",)


@pytest.mark.parametrize("key", ["metrics", "model", "data", "settings"])
def test_what_is_missing_is_a_dash(run, key):
    shown = overview(without(run, key))
    assert {line.value for line in shown.headlines} & {"–"} or shown.data == "–" or "– passes" in shown.summary[0]


def test_runs_are_compared_row_by_row(run):
    (first,) = comparison([run]).rows
    (run.path / "evaluation" / "test.json").unlink()
    (second,) = comparison([without(run, "metrics")]).rows
    assert first[:6] == ("demo", "convnet", "mnist-sample", "467,818", "12", "0")
    assert first[6:] == ("98.60%", "97.66 to 99.17%", "0.0533", "71 s")
    assert second[6:9] == ("–", "–", "–")


@pytest.mark.parametrize(
    ("confusion", "sentence"),
    [
        ([[5, 3, 0], [1, 5, 0], [0, 0, 5]], "Its most frequent confusion is to take a for b (3 times)."),
        ([[5, 0, 0], [2, 5, 0], [0, 2, 5]], "Among its most frequent confusions is to take b for a (twice)."),
        ([[5, 0, 0], [0, 5, 0], [0, 1, 5]], "Its most frequent confusion is to take c for b (once)."),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 5]], None),
    ],
)
def test_confusions_are_said_with_their_number(run, confusion, sentence):
    run.save_json("evaluation/test.json", {"confusion": confusion, "per_class": [{"class": name} for name in "abc"]})
    assert overview(run).summary[1:] == ((sentence,) if sentence else ())


def test_head_comparison_and_text_take_the_test_from_the_evaluation(run):
    """A training's own test, in bf16 say, differs from it in the last digits."""
    told = run.load_json("evaluation/test.json")
    run.save_json("evaluation/test.json", told | {"accuracy": 0.985, "accuracy_interval": [0.97, 0.99], "loss": 0.0544})
    shown = overview(run)
    assert [line.value for line in shown.headlines[:2]] == ["98.50%", "0.0544"]
    assert shown.headlines[0].note == "95% interval 97.00 to 99.00%"
    assert "an accuracy of 98.50%" in shown.summary[1]
    assert comparison([run]).rows[0][6:9] == ("98.50%", "97.00 to 99.00%", "0.0544")

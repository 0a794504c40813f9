"""What a network that names several labels an image missed and invented, counted by hand."""

import pytest

from tiny_nets import two_labels


@pytest.fixture(scope="module")
def shown(pages):
    return pages(two_labels())


def test_each_label_is_counted(shown):
    found = shown.json("judged-labels")
    assert (found["images"], found["wrong"]) == (5, 4)
    a, b = found["labels"]
    assert (a["images"], a["missed"], a["invented"]) == (3, 2, 1)
    assert (b["images"], b["missed"], b["invented"]) == (2, 1, 1)
    assert (a["precision"], a["recall"]) == (0.5, pytest.approx(1 / 3))
    # Ranked by probability: a is true of the 1st, 3rd and 5th of five images.
    assert a["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_wrong_answers_of_a_label_are_listed_the_most_confident_first(shown):
    arrays, _ = shown.arrays("wrong-labels?label=0")
    assert arrays["numbers"].tolist() == [1, 2, 4]
    assert arrays["missed"].tolist() == [1, 0, 1]
    assert arrays["label"].tolist() == [0, 0, 0]
    assert arrays["probability"] == pytest.approx([0.1, 0.8, 0.45])


def test_of_all_labels_each_image_has_its_surest_mistake(shown):
    arrays, _ = shown.arrays("wrong-labels")
    assert arrays["numbers"].tolist() == [1, 2, 3, 4]
    assert arrays["label"].tolist() == [0, 0, 1, 0]
    assert arrays["missed"].tolist() == [1, 0, 1, 1]


def test_the_view_is_there_and_other_labels_are_refused(shown, page):
    assert "mistakes" in shown.json(f"/subjects/{shown.first}")["views"]
    assert shown.ask("wrong-labels?label=2").status_code == 404
    answer = page.ask("judged-labels")
    assert answer.status_code == 404
    assert "has no images with several labels" in answer.json()["error"]

import numpy as np

from glassnet.blocks import ConfusionMatrix
from glassnet.reports.confusion import confusion_view

COUNTS = np.array([[8, 2, 0], [0, 10, 0], [1, 4, 5]])


def view(counts=COUNTS, examples=None, classes=("a", "b", "c")):
    return confusion_view(ConfusionMatrix("Matrix", classes, counts, examples or {}))


def test_errors_are_named_by_their_number():
    pairs = [(true, predicted, cell.words, share) for true, predicted, cell, share in view().pairs]
    assert pairs == [
        ("c", "b", "c taken for b", "4 of 10 (40.0%)"),
        ("a", "b", "a taken for b", "2 of 10 (20.0%)"),
        ("c", "a", "c taken for a", "1 of 10 (10.0%)"),
    ]


def test_errors_are_coloured_by_the_root_of_their_share_and_the_rest_is_quiet():
    cells = [[(cell.kind, cell.strength) for cell in row[1]] for row in view().matrix.rows]
    assert cells[0] == [("right", 0), ("wrong", 71), ("none", 0)]  # sqrt(0.2 / 0.4)
    assert cells[2] == [("wrong", 50), ("wrong", 100), ("right", 0)]


def test_rows_end_with_recall_and_a_class_without_images_has_none():
    rows = view(np.array([[3, 1], [0, 0]]), classes=("a", "b")).matrix.rows
    assert [row[3] for row in rows] == ["75.0%", "–"]


def test_cells_lead_to_their_examples():
    cell = view(examples={(2, 1): [7, 9]}).matrix.rows[2][1][1]
    assert cell.examples == (7, 9)


def test_of_many_classes_the_most_confused_are_shown_and_rows_stay_whole():
    counts = np.eye(60, dtype=int) * 10
    counts[40, 3], counts[5, 59], counts[7, 8] = 9, 8, 1
    result = view(counts, classes=tuple(map(str, range(60))))
    assert result.matrix.classes == ("3", "5", "7", "8", "40", "59")
    assert result.matrix.others
    assert len(result.whole.classes) == 60
    assert not result.whole.others
    only = view(np.eye(60, dtype=int), classes=tuple(map(str, range(60))))
    assert only.matrix.classes == tuple(map(str, range(10)))
    assert only.pairs == ()


def test_images_taken_for_classes_that_are_not_shown_are_counted():
    counts = np.zeros((60, 60), dtype=int)
    for place in range(60):
        counts[place, (place + 1) % 60] = 60 - place
    counts[0, 59] = 1
    row = view(counts, classes=tuple(map(str, range(60)))).matrix.rows[0]
    assert (row[0], row[2]) == ("0", "1")


def test_of_very_many_classes_the_whole_is_left_out():
    assert view(np.eye(200, dtype=int), classes=tuple(map(str, range(200)))).whole is None

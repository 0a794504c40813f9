"""Likely label errors: by hand, against loops from the definition, and planted among digits."""

import numpy as np
import pytest

from glassnet.analysis.label_errors import confident_classes, doubted_labels, neighbour_shares
from glassnet.errors import InputError


def test_confident_classes_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.3, 0.7], [0.75, 0.25]])
    labels = np.array([0, 0, 1, 1, 1])
    # Thresholds: class 0 (0.9 + 0.5) / 2 = 0.7, class 1 (0.8 + 0.7 + 0.25) / 3 = 0.58
    assert confident_classes(probabilities, labels).tolist() == [0, -1, 1, 1, 0]


def slow(probabilities, labels, features, k):
    """As the docstring defines it, in loops."""
    n, classes = probabilities.shape
    threshold = {}
    for j in range(classes):
        own = [probabilities[i, j] for i in range(n) if labels[i] == j]
        if own:
            threshold[j] = sum(own) / len(own)
    doubted = []
    for i in range(n):
        above = {j: probabilities[i, j] for j in threshold if probabilities[i, j] >= threshold[j]}
        others = sorted((float(((features[i] - features[o]) ** 2).sum()), o) for o in range(n) if o != i)[:k]
        said = [labels[o] for _, o in others]
        if above:
            j = max(above, key=above.get)
            if j != labels[i] and said.count(j) > said.count(labels[i]):
                doubted.append((above[j] * said.count(j) / k, i, j))
    return sorted(doubted, key=lambda one: (-one[0], one[1]))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_definition_says_in_loops(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 120)
    features = random.normal(size=(120, 5)) + np.eye(5)[labels]
    probabilities = random.dirichlet(np.ones(4), 120) * 0.5 + 0.5 * np.eye(4)[labels]
    labels[::9] = (labels[::9] + 1) % 4
    found = doubted_labels(probabilities, labels, features, neighbours=7)
    expected = slow(probabilities, labels, features, 7)
    assert found.rows.tolist() == [i for _, i, _ in expected]
    assert found.suggested.tolist() == [j for _, _, j in expected]
    assert found.scores == pytest.approx([score for score, _, _ in expected])


def test_planted_errors_among_digits_come_first(copy):
    """Sixty of 900 labels are changed; most are named, and what is named first is nearly all planted."""
    test = copy.dataset().test
    rows = np.arange(900)
    features = copy.features("fc1", images=len(test)).result
    probabilities = copy.evaluate().probabilities[rows]
    labels, random = test.targets.numpy()[rows].copy(), np.random.default_rng(0)
    planted = random.choice(900, 60, replace=False)
    labels[planted] = (labels[planted] + random.integers(1, 10, 60)) % 10
    found = doubted_labels(probabilities, labels, features.features[rows])
    first = found.rows[:40]
    assert np.isin(first, planted).mean() >= 0.9
    assert np.isin(planted, found.rows).mean() >= 0.7
    right = np.isin(found.rows, planted)
    true = test.targets.numpy()[rows]
    assert (found.suggested[right] == true[found.rows[right]]).mean() >= 0.9
    assert (np.diff(found.scores) <= 0).all()


def test_a_class_that_no_image_has_is_never_suggested_and_few_images_have_fewer_neighbours():
    probabilities = np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7], [0.2, 0.1, 0.7]])
    found = doubted_labels(probabilities, np.array([0, 0, 1]), np.zeros((3, 2)))
    assert 2 not in found.suggested
    assert found.neighbours == 2
    with pytest.raises(InputError, match="2 rows of probabilities, 3 labels and 3 rows of features"):
        doubted_labels(probabilities[:2], np.array([0, 0, 1]), np.zeros((3, 2)))


def test_shares_leave_the_image_itself_out():
    shares = neighbour_shares(np.array([[0.0], [1.0], [10.0]]), np.array([0, 1, 1]), 2, 1)
    assert shares.tolist() == [[0, 1], [1, 0], [0, 1]]

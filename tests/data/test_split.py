import hashlib
from collections import Counter

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from glassnet.data.dataset import Dataset, Split
from glassnet.data.split import hash_order, hold_out, stratified_split, training_parts
from glassnet.errors import InputError


def test_order_by_hand():
    digests = {key: hashlib.sha256(f"7:{key}".encode()).hexdigest() for key in ("a", "b", "c")}
    keys = ["a", "b", "c"]
    assert [keys[i] for i in hash_order(keys, seed=7)] == sorted(keys, key=digests.get)


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=5), share=st.floats(0.05, 0.95), seed=st.integers(0, 9))
def test_every_class_keeps_its_share(counts, share, seed):
    labels = [c for c, n in enumerate(counts) for _ in range(n)]
    train, test = stratified_split([str(i) for i in range(len(labels))], labels, test_share=share, seed=seed)
    assert sorted(train + test) == list(range(len(labels)))
    tested = Counter(labels[i] for i in test)
    for c, n in enumerate(counts):
        assert 1 <= tested[c] < n
        assert abs(tested[c] - share * n) <= 1


def test_an_added_image_leaves_the_others():
    keys = [f"{i}.png" for i in range(100)]
    before = {keys[i] for i in stratified_split(keys, ["c"] * 100, test_share=0.2, seed=0)[1]}
    keys.insert(0, "new.png")
    after = {keys[i] for i in stratified_split(keys, ["c"] * 101, test_share=0.2, seed=0)[1]}
    assert len(before - after) <= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_another_split(seed):
    keys = [str(i) for i in range(100)]
    parts = [stratified_split(keys, ["c"] * 100, test_share=0.2, seed=s)[1] for s in (0, seed)]
    assert set(parts[0]) != set(parts[1])


def classes_of(*counts):
    targets = torch.tensor([c for c, n in enumerate(counts) for _ in range(n)])
    return Split(torch.zeros(len(targets), 1, 1, 1, dtype=torch.uint8), targets)


def test_a_tenth_of_sixty_small_classes_is_a_tenth():
    training, validation = hold_out(classes_of(*[4] * 60), 0.1, seed=0)
    assert (len(training), len(validation)) == (216, 24)
    assert validation.targets.bincount().max() == 1
    assert training.targets.unique().tolist() == list(range(60))
    assert not torch.equal(hold_out(classes_of(*[4] * 60), 0.1, seed=1)[1].targets, validation.targets)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=40), share=st.floats(0.02, 0.9), seed=st.integers(0, 3))
@example(counts=[1, 1, 1, 13], share=0.75, seed=0)
def test_a_held_out_share_is_that_of_the_whole_and_of_each_class(counts, share, seed):
    largest = sum(min(n - 1, int(share * n) + 1) for n in counts)  # no class gives more than its share, rounded up
    wanted = min(round(share * sum(counts)), largest)
    if not wanted or round(share * sum(counts)) == sum(counts):
        return
    training, validation = hold_out(classes_of(*counts), share, seed=seed)
    assert abs(len(validation) - wanted) <= max(1, wanted / 10)
    for c, n in enumerate(counts):
        held = int((validation.targets == c).sum())
        assert held + int((training.targets == c).sum()) == n
        assert held < n
        assert held <= share * n + 1


def test_large_classes_are_held_out_each_by_itself_as_ever():
    _, validation = hold_out(classes_of(104, 206), 0.1, seed=0)
    assert validation.targets.bincount().tolist() == [10, 21]


def test_one_image_a_class_leaves_nothing_to_hold_out():
    with pytest.raises(InputError, match=r"each of the 3 images has its own class .* none is left to choose the epoch"):
        hold_out(classes_of(1, 1, 1), 0.5, seed=0)
    with pytest.raises(InputError, match=r"a validation share of 0\.1 of 4 images leaves an empty part"):
        hold_out(classes_of(2, 2), 0.1, seed=0)


def test_a_data_set_with_a_validation_part_of_its_own_holds_nothing_out():
    parts = [classes_of(5, 5), classes_of(1, 1), classes_of(2, 1)]
    dataset = Dataset("x", "classification", ("a", "b"), *parts[:2], "none", "", validation=parts[2])
    training, validation = training_parts(dataset, 0.5, seed=0)
    assert training is parts[0]
    assert validation is parts[2]

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassnet.data.split import hash_order, stratified_split


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

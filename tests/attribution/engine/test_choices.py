"""Callables that choose among the classes by themselves, told from those that always read the same."""

import pytest
import torch

from glassnet.attribution.engine.choices import choice_of
from glassnet.attribution.engine.outputs import OutputReader

Y = torch.tensor([[2.0, -1, 0.5], [0, 3, -2]])


@pytest.mark.parametrize(
    ("scorer", "anew", "classes"),
    [
        (lambda o: o.max(1).values, True, [0, 1]),
        (lambda o: o.softmax(1).log().gather(1, o.argmax(1)[:, None])[:, 0], False, None),  # of all entries a function
        (lambda o: 2 * o.amax(1), True, None),
        (lambda o: o.min(1).values, True, None),
        (lambda o: o.sort(1).values[:, -1] - o.sort(1).values[:, -2], True, None),
        (lambda o: o[:, 1], False, None),
        (lambda o: o[:, 1].relu(), False, None),
        (lambda o: o.logsumexp(1), False, None),
        (lambda o: (500 * o).softmax(1)[:, 2], False, None),
        (lambda o: o.mul_(2)[:, 1], False, None),
        (lambda o: o.float()[:, 1].detach(), False, None),
        (lambda o: o["logits"][:, 1], False, None),
    ],
)
def test_what_a_callable_reads(scorer, anew, classes):
    before = Y.clone()
    choice = choice_of(scorer, Y, OutputReader(), 2)
    assert (choice.anew, None if choice.classes is None else choice.classes.tolist()) == (anew, classes)
    assert torch.equal(Y, before)


def test_a_class_is_held_only_where_the_reader_finds_the_same_scores():
    def highest(output):
        return output["b"].max(1).values

    one = choice_of(highest, {"b": Y}, OutputReader(), 2)
    assert one.classes.tolist() == [0, 1]
    several = choice_of(highest, {"a": Y, "b": Y + 1}, OutputReader(), 2)
    assert several.anew
    assert several.classes is None
    other = choice_of(highest, {"logits": Y, "b": Y + 1}, OutputReader(), 2)
    assert other.anew
    assert other.classes is None


def test_maps_and_single_outputs_are_left_alone():
    for output in (torch.rand(2, 3, 4, 4), torch.rand(2, 1), torch.rand(2)):
        assert not choice_of(lambda o: o.flatten(1).amax(1) if o.ndim > 1 else o, output, OutputReader(), 2).anew

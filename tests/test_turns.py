"""Threads that work on one model take turns; what they share is put back by the last."""

import copy
import gc
import io
import pickle
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.attribution.faithfulness import faithfulness, sanity_check
from glassnet.errors import WorkError
from glassnet.models.features import extract_features
from glassnet.models.inference import outputs, predict
from glassnet.models.undisturbed import undisturbed
from glassnet.turns import evaluating, exclusive, random_state_kept
from traces import traces

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def normalised():
    """A network of batch norm and dropout in training mode: two calls at once would spoil each other's results."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(6, 4, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )


class Wrapped(nn.Module):
    """Another module around the same network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


def explained(model):
    explanation = gn.explain(model, IMAGES, target=1, methods=("gradcam", "guided_backpropagation"), layers="conv")
    return np.concatenate([value.ravel() for value in explanation.maps.values()])


def features(model):
    return np.concatenate([rows.ravel() for rows in extract_features(model, IMAGES, "conv", batch_size=4).values()])


def hidden(model):
    explanation = gn.explain(model, IMAGES, target=0, methods="saliency")
    measured = faithfulness(model, IMAGES, explanation, steps=4)
    return np.array([one.mean for numbers in measured.numbers.values() for one in numbers.values()])


def randomised(model):
    return sanity_check(model, IMAGES[:2], methods="gradcam", target=1).rank_correlation["gradcam"]


CALLS = {
    "explain": explained,
    "extract_features": features,
    "layer_table": lambda model: np.array([row.macs for row in gn.layer_table(model, (1, 3, 8, 8))]),
    "receptive_field": lambda model: gn.receptive_field(model, "last-conv", 8).bounds,
    "predict": lambda model: predict(model, IMAGES, batch_size=2).numpy(),
    "outputs": lambda model: torch.cat(list(outputs(model, IMAGES.split(2)))).numpy(),
    "faithfulness": hidden,
    "sanity_check": randomised,
}


@pytest.mark.parametrize("wrapped", [False, True])
def test_eight_threads_on_one_model_in_training_mode(wrapped):
    model = normalised()
    both = [model, Wrapped(model)] if wrapped else [model]
    # Of each by itself: the images of a few may lie in memory in another order, with other last digits.
    expected = {(name, id(one)): call(one) for name, call in CALLS.items() for one in both}
    for name in CALLS:
        for one in both[1:]:
            np.testing.assert_allclose(expected[name, id(one)], expected[name, id(model)], rtol=1e-3, atol=1e-5)
    before = traces(model)
    with ThreadPoolExecutor(8) as pool:
        keys = [([*CALLS][i // len(both) % len(CALLS)], both[i % len(both)]) for i in range(80)]
        jobs = [((name, id(one)), pool.submit(CALLS[name], one)) for name, one in keys]
        right = sum(np.array_equal(job.result(timeout=120), expected[key], equal_nan=True) for key, job in jobs)
    assert right == 80
    assert traces(model) == before
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_torn_random_state_is_put_together_by_the_last():
    device, state = torch.device("cpu"), torch.get_rng_state()
    first, second = random_state_kept(device), random_state_kept(device)
    first.__enter__()
    torch.rand(3)
    second.__enter__()
    first.__exit__(None, None, None)
    torch.rand(3)
    second.__exit__(None, None, None)
    assert torch.equal(torch.get_rng_state(), state)


def in_a_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def others_wait(model, other):
    """Tell whether another thread has to wait for `other` while this one holds `model`."""
    entered = threading.Event()

    def enter():
        with exclusive(other):
            entered.set()

    with exclusive(model):
        thread = in_a_thread(enter)
        waits = not entered.wait(0.05)
    thread.join(5)
    assert entered.is_set()
    return waits


def test_models_exclude_each_other_where_they_share_a_module_or_a_weight():
    model = normalised()
    tied = nn.Linear(4, 3)
    tied.weight = model[8].weight
    assert [others_wait(model, other) for other in (model, Wrapped(model), model[0], tied)] == [True] * 4
    assert [others_wait(model, other) for other in (normalised(), copy.deepcopy(model))] == [False] * 2


def test_a_call_inside_a_call_goes_through():
    model = normalised()
    with undisturbed(model), evaluating(model), exclusive(model[0]):
        assert predict(Wrapped(model), IMAGES).shape == (6, 3)


def test_two_calls_that_wait_for_each_other_are_refused_instead_of_hanging():
    one, other, both_hold = normalised(), normalised(), threading.Barrier(2)
    ends = []

    def take(first, second):
        try:
            with exclusive(first):
                both_hold.wait(5)
                with exclusive(second):
                    ends.append("through")
        except WorkError as error:
            ends.append(str(error))

    threads = [in_a_thread(lambda: take(one, other)), in_a_thread(lambda: take(other, one))]
    for thread in threads:
        thread.join(5)
    assert sorted(ends)[0] == "through"
    assert "two threads each use a model that the other one needs" in sorted(ends)[1]


def test_an_abandoned_generator_holds_nobody_up():
    model = normalised()
    waiting = outputs(model, IMAGES.split(2))
    next(waiting)
    assert model.training
    done = []
    in_a_thread(lambda: done.append(predict(model, IMAGES))).join(5)
    assert len(done) == 1
    assert len(list(waiting)) == 2


def test_nothing_hangs_on_a_model_that_was_called():
    model = normalised()
    CALLS["explain"](model), CALLS["predict"](model)
    with exclusive(model):
        torch.testing.assert_close(pickle.loads(pickle.dumps(model)).state_dict(), copy.deepcopy(model).state_dict())
        torch.save(model, io.BytesIO())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_many_threads_on_many_models_finish():
    models = [normalised() for _ in range(4)]
    pairs = [nn.ModuleList([models[i], models[(i + 1) % 4]]) for i in range(4)]
    counts = [0] * 4

    def work(number):
        for _ in range(20):
            with exclusive(pairs[number]):
                counts[number] += 1
                time.sleep(0)

    threads = [in_a_thread(lambda n=n: work(n)) for n in range(4)]
    for thread in threads:
        thread.join(20)
    assert counts == [20] * 4

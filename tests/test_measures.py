"""Every measure has one name and one way to be written, and every one that a result holds is known."""

import dataclasses
import math

import pytest

from glassnet.analysis.embedding import QUALITY_MEASURES
from glassnet.analysis.layers import LayerRow
from glassnet.formats import DASH
from glassnet.measures import MEASURES, interval, show, with_interval
from glassnet.tasks import TASKS


@pytest.mark.parametrize("key", MEASURES)
def test_each_measure_says_what_it_is(key):
    measure = MEASURES[key]
    assert measure.better in ("higher", "lower", "neither")
    assert measure.title
    assert measure.heading == (measure.short or measure.title)
    assert len(measure.heading) <= len("Reconstruction term") or not measure.short
    assert not measure.meaning or measure.meaning.endswith(".")
    for value in (None, math.nan, math.inf, "x"):
        assert measure.show(value) == DASH
    for value in (0, 0.5, 1):
        assert measure.show(value) not in ("", DASH)


def test_titles_are_not_shared():
    titles = [measure.title for measure in MEASURES.values()]
    assert len(set(titles)) == len(titles)


def test_values_are_written_with_their_units():
    assert show("accuracy", 0.984) == "98.40%"
    assert show("loss", 0.05) == "0.0500"
    assert show("psnr", 24.123) == "24.12 dB"
    with pytest.raises(KeyError):
        show("nonsense", 1)


def test_an_interval_names_its_unit_once_and_is_a_dash_where_there_is_none():
    assert interval("accuracy", (0.9812, 0.9874)) == "98.12 to 98.74%"
    assert interval("psnr", [24.1, 24.3]) == "24.10 to 24.30 dB"
    assert interval("loss", (0.1, 0.2)) == "0.1000 to 0.2000"
    for bounds in (None, (), (0.1,), (0.1, None), (0.1, math.nan), (0.1, 0.2, 0.3), 0.1):
        assert interval("accuracy", bounds) == DASH
    assert with_interval("accuracy", 0.984, (0.9812, 0.9874)) == "98.40% (98.12 to 98.74%)"
    assert with_interval("accuracy", 1.0, None) == "100.00%"
    assert with_interval("accuracy", None, None) == DASH


def test_what_analyses_measure_is_known():
    assert MEASURES.keys() >= set(QUALITY_MEASURES)
    scored = {"probe_accuracy", "knn_accuracy", "scatter_ratio", "nearest_mean_accuracy", "effective_rank"}
    assert MEASURES.keys() >= scored
    assert {field.name for field in dataclasses.fields(LayerRow)} >= scored


@pytest.mark.parametrize("task", TASKS)
def test_what_a_task_saves_of_a_test_is_known(task):
    saved = {name.removesuffix("_interval") for name in TASKS[task].saved_metrics}
    unnamed = {name for name in saved if name not in MEASURES}
    assert "loss" in saved
    assert unnamed <= {"background", "loss_error", "variational", "likelihood", "noise", "values_per_image", "latent",
                       "warnings", "likelihood_deviation", "images", "baselines"}  # fmt: skip

"""A classifier at a glance: its test accuracy, what it confuses, how far its confidence can be trusted."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.glance import Glance, Headline
from glassnet.report.results import confusions


def _headlines(metrics: dict[str, Any]) -> tuple[Headline, ...]:
    bounds = numbers.interval(metrics.get("test_accuracy_interval"))
    return (
        Headline("Test accuracy", numbers.percent(metrics.get("test_accuracy")), f"95% interval {bounds}"),
        Headline("Test loss", numbers.decimal(metrics.get("test_loss"), 4), "mean cross-entropy, nats"),
    )


def _kept(metrics: dict[str, Any]) -> str:
    return "validation accuracy " + numbers.percent(metrics.get("validation_accuracy"))


def _glanced(metrics: dict[str, Any]) -> list[str]:
    if not numbers.is_number(metrics.get("test_accuracy")):
        return []
    return [f"It labels {numbers.percent(metrics['test_accuracy'])} of the test images correctly."]


def _judged(test: dict[str, Any]) -> list[str]:
    images, accuracy = test.get("images"), test.get("accuracy")
    sentences = []
    if numbers.is_number(images) and numbers.is_number(accuracy):
        right = round(images * accuracy)
        sentences.append(
            f"Of {numbers.count(images)} test images that it never saw, it labels {numbers.count(right)} correctly and "
            f"{numbers.count(images - right)} wrongly: an accuracy of {numbers.percent(accuracy)}."
        )
    bounds = numbers.interval(test.get("accuracy_interval"))
    if bounds != numbers.DASH:
        sentences.append(f"A test of this size leaves room for chance: the 95% interval runs from {bounds}.")
    sentences += _confused(test)
    error = test.get("calibration_error")
    if numbers.is_number(error):
        points = numbers.decimal(100 * error, 2)
        sentences.append(f"Its stated confidence is off by {points} percentage points on average (calibration error).")
    return sentences


def _confused(test: dict[str, Any]) -> list[str]:
    """Say which confusion is the most frequent, and whether others are as frequent."""
    found = confusions(test)
    if not found:
        return []
    true, predicted, times, _ = found[0]
    alone = len(found) == 1 or found[1][2] < times
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    which = "Its most frequent confusion" if alone else "Among its most frequent confusions"
    return [f"{which} is to take {true} for {predicted} ({often})."]


GLANCE = Glance(
    headlines=_headlines,
    kept=_kept,
    columns=(
        ("Test accuracy", "test_accuracy", numbers.percent),
        ("95% interval", "test_accuracy_interval", numbers.interval),
        ("Test loss", "test_loss", lambda value: numbers.decimal(value, 4)),
    ),
    judged=_judged,
    glanced=_glanced,
)

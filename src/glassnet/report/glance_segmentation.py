"""A segmentation at a glance: its overlap beside that of calling everything background."""

from typing import Any

from glassnet.report import numbers
from glassnet.report.glance import Glance, Headline
from glassnet.report.records import part


def _headlines(metrics: dict[str, Any]) -> tuple[Headline, ...]:
    empty = part(metrics, "test_background")
    return (
        Headline(
            "Test mean IoU",
            numbers.percent(metrics.get("test_mean_iou")),
            f"95% interval {numbers.interval(metrics.get('test_mean_iou_interval'))}; all background "
            f"{numbers.percent(empty.get('mean_iou'))}",
        ),
        Headline(
            "Test pixel accuracy",
            numbers.percent(metrics.get("test_pixel_accuracy")),
            f"all background {numbers.percent(empty.get('pixel_accuracy'))}",
        ),
    )


def _of(background: Any, key: str) -> Any:
    return background.get(key) if isinstance(background, dict) else None


def _kept(metrics: dict[str, Any]) -> str:
    told = "validation mean IoU " + numbers.percent(metrics.get("validation_mean_iou"))
    alone = metrics.get("validation_background_mean_iou")
    return f"{told}; all background {numbers.percent(alone)}" if numbers.is_number(alone) else told


def _judged(test: dict[str, Any]) -> list[str]:
    empty = part(test, "background")
    right, alone = numbers.percent(test.get("pixel_accuracy")), numbers.percent(empty.get("pixel_accuracy"))
    overlap, without = numbers.percent(test.get("mean_iou")), numbers.percent(empty.get("mean_iou"))
    found = [
        f"On {numbers.count(test.get('images'))} test images it names {right} of the pixels rightly; calling every "
        f"pixel background is right for {alone} of them, so that the overlap (mean IoU) tells more: {overlap}, against "
        f"{without} for background alone."
    ]
    bounds = numbers.interval(test.get("mean_iou_interval"))
    if bounds != numbers.DASH:
        found.append(f"A test of this size leaves room for chance: the 95% interval of the overlap runs from {bounds}.")
    return found


def _glanced(metrics: dict[str, Any]) -> list[str]:
    if not numbers.is_number(metrics.get("test_mean_iou")):
        return []
    return [f"Its mean IoU on the test images is {numbers.percent(metrics['test_mean_iou'])}."]


GLANCE = Glance(
    headlines=_headlines,
    kept=_kept,
    columns=(
        ("Test mean IoU", "test_mean_iou", numbers.percent),
        ("95% interval of it", "test_mean_iou_interval", numbers.interval),
        ("Mean IoU of all background", "test_background", lambda value: numbers.percent(_of(value, "mean_iou"))),
        ("Test pixel accuracy", "test_pixel_accuracy", numbers.percent),
        ("Accuracy of all background", "test_background", lambda value: numbers.percent(_of(value, "pixel_accuracy"))),
        ("Test loss", "test_loss", lambda value: numbers.decimal(value, 4)),
    ),
    judged=_judged,
    glanced=_glanced,
)

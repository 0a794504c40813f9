"""Trainings in TensorBoard, Weights & Biases or MLflow: curves, confusion matrix and maps at each epoch.

Each library is imported when its logger is made, and by nothing else. A Lightning callback is in `loggers.lightning`.
"""

from collections.abc import Callable, Sequence

from glassnet.errors import unknown_name
from glassnet.loggers.logger import Logger
from glassnet.loggers.services import MLflow, TensorBoard, WeightsAndBiases

__all__ = ["LOGGERS", "Logger", "MLflow", "TensorBoard", "WeightsAndBiases", "make_loggers"]

LOGGERS: dict[str, Callable[[], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def make_loggers(names: Sequence[str]) -> list[Logger]:
    """Create loggers by name, each with its default settings.

    Raises:
        InputError: There is no such logger, or its library is not installed.
    """
    for name in names:
        if name not in LOGGERS:
            raise unknown_name("logger", name, LOGGERS, noun="loggers")
    return [LOGGERS[name]() for name in names]

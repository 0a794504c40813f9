import jaxtyping
import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits that ship with scikit-learn, as float32 rows in 0 to 1, and their classes."""
    features, labels = load_digits(return_X_y=True)
    return (features / 16).astype(np.float32), labels.astype(np.int64)


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three far-apart groups of 40 points in 12 columns, and their groups."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    centres = 20 * np.eye(3, 12)
    return (centres[labels] + rng.normal(size=(120, 12))).astype(np.float32), labels


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users run it: nothing but glassnet itself looks at types and shapes."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

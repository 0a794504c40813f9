import numpy as np
import pytest
from PIL import Image

import glassnet as gn


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A folder of 40 pictures of 8 by 8 pixels, dark ones and bright ones: a training on it takes a moment."""
    root, random = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 180)):
        (root / name).mkdir()
        for number in range(20):
            pixels = np.clip(random.normal(level, 60, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return f"folder:{root}"


@pytest.fixture(scope="session")
def base(shapes):
    """Settings of trainings of an epoch of four steps."""
    options = ("filters=2,2,2,2", "hidden=4")
    return gn.TrainSettings(
        data=shapes, model_options=options, epochs=1, batch_size=8, validation=0.25, precision="fp32"
    )

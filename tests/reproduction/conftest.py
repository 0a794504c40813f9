import numpy as np
import pytest
from PIL import Image

import glassnet as gn


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 200 pictures of 12 by 12 pixels in four classes, which a training learns in a moment."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, level in (("black", 30), ("dark", 90), ("grey", 150), ("bright", 220)):
        (root / name).mkdir()
        for number in range(50):
            pixels = np.clip(random.normal(level, 30, (12, 12)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return f"folder:{root}"


@pytest.fixture(scope="session")
def network(pictures, tmp_path_factory):
    """A run of the report's network, made small."""
    out = tmp_path_factory.mktemp("runs") / "own"
    options = ("filters=4,4,8,8", "hidden=8")
    return gn.train(gn.TrainSettings(data=pictures, model_options=options, epochs=3, precision="fp32", out=out))

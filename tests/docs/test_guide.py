"""The guide, followed from top to bottom on small data: its Python gives the shapes that its comments promise."""

import re
from pathlib import Path

import pytest
from follow import follow

PAGE = Path(__file__).parents[2] / "docs" / "guide.md"


@pytest.mark.timeout(300)
def test_the_guide_is_followed_and_its_python_gives_what_it_says(desk, capsys):
    names = follow(PAGE)
    count = len(names["test"])
    assert re.search(rf"^Classification\({count} images, accuracy ", capsys.readouterr().out, re.MULTILINE)
    assert names["feats"]["fc1"].shape == (count, 128)
    assert names["emb"].points.shape == (count, 2)
    assert len(names["clu"].assignment) == count
    assert names["exp"]["gradcam", "conv4"].shape == (8, 28, 28)
    assert names["exp"].raw["gradcam", "conv4"].shape == (8, 14, 14)
    deletion = names["faith"].numbers["gradcam", "conv4"]["deletion"]
    assert deletion.low <= deletion.mean <= deletion.high
    assert names["rank"].recommendation()
    assert names["check"].passes("gradcam") is not None
    assert Path("runs/mnist-sample-convnet-seed0/report.html").exists()
    assert list(Path("runs/mine").rglob("analysis.json"))

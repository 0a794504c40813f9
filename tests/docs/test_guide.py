"""The guide's Python, run from top to bottom: it gives the shapes and the numbers that its comments promise."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "guide.md"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_python_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    names = {"__name__": "__main__"}
    exec(compile(code, "docs/guide.md", "exec"), names)
    assert re.match(r"Classification\(1,000 images, accuracy 0\.9[89]\d*, loss 0\.0[2-7]", capsys.readouterr().out)
    assert names["feats"]["fc1"].shape == (1000, 128)
    assert names["emb"].points.shape == (1000, 2)
    assert names["clu"].accuracy > 0.9
    assert names["exp"]["gradcam", "conv4"].shape == (8, 28, 28)
    assert names["exp"].raw["gradcam", "conv4"].shape == (8, 14, 14)
    deletion = names["faith"].numbers["gradcam", "conv4"]["deletion"]
    assert deletion.low <= deletion.mean <= deletion.high
    assert names["rank"].recommendation()
    assert names["check"].passes("gradcam") is not None
    assert Path("runs/mnist-sample-convnet-seed0/report.html").exists()
    assert list(Path("runs/mine").rglob("analysis.json"))

"""benchmarks/gpu.py in small on the CPU: its parts run, are kept, and are not done twice; what fails is told."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from tiny_runs import save_scans

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODULES = ("gpu", "gpu_parts", "attribution_run", "tsne_scale", "tsne_run", "results_file")
QUICK = ["--device", "cpu", "--quick"]


@pytest.fixture(scope="module")
def gpu():
    """Import it as a script would, and leave no module of so common a name behind."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import gpu

        yield gpu
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.mark.slow
def test_the_parts_run_in_small_and_are_not_done_twice(gpu, tmp_path, capsys, monkeypatch):
    small = dataclasses.replace(gpu.Sizes.quick(), segmented_data=f"masks:{save_scans(tmp_path / 'scans')}")
    monkeypatch.setattr(gpu.Sizes, "quick", lambda: small)  # whose 20 scenes need not be made first
    parts = ["determinism", "agreement", "gradcam", "segmentation", "tsne"]
    out = tmp_path / "gpu.json"
    assert gpu.main([*QUICK, "--only", *parts, "--out", str(out)]) == 0, capsys.readouterr().out
    results = json.loads(out.read_text())
    assert list(results["parts"]) == parts
    for name, found in results["parts"].items():
        assert found["holds"], name
        expected = {None} if name == "segmentation" else {True}  # one step an epoch teaches nothing
        assert set(found["holds"].values()) == expected, name
    assert results["parts"]["agreement"]["features"] == 0  # the CPU with itself
    assert results["parts"]["segmentation"]["fcn8_small"]["images_per_second"] > 0
    capsys.readouterr()
    monkeypatch.setattr(gpu, "PARTS", dict.fromkeys(gpu.PARTS))  # none can be measured again
    assert gpu.main([*QUICK, "--only", *parts, "--out", str(out)]) == 0
    assert "| gradcam | maps repeat, bit for bit | yes |" in capsys.readouterr().out
    assert json.loads(out.read_text()) == results


def test_what_fails_is_kept_told_and_tried_again(gpu, tmp_path, capsys, monkeypatch):
    out, words = tmp_path / "gpu.json", [*QUICK, "--only", "digits", "seeds"]

    def broken(*_):
        raise ValueError("no such kernel")

    monkeypatch.setitem(gpu.PARTS, "digits", gpu.Part(broken, 1))
    monkeypatch.setitem(gpu.PARTS, "seeds", gpu.Part(lambda *_: {"holds": {"it is so": False}}, 1))
    assert gpu.main([*words, "--out", str(out)]) == 1
    told = capsys.readouterr().out
    assert "| digits | ValueError: no such kernel | NO |" in told
    assert "| seeds | it is so | NO |" in told
    monkeypatch.setitem(gpu.PARTS, "digits", gpu.Part(lambda *_: {"left_out": "no data", "rate": 3.0}, 1))
    monkeypatch.setitem(gpu.PARTS, "seeds", gpu.Part(broken, 1))
    assert gpu.main([*words, "--out", str(out)]) == 1  # seeds is held, and still does not hold
    assert "| digits | no data | – |" in capsys.readouterr().out
    assert json.loads(out.read_text())["parts"]["digits"]["rate"] == 3.0


def test_no_part_is_begun_that_would_not_end_in_time(gpu, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(gpu.PARTS, "digits", gpu.Part(lambda *_: {"holds": {}}, 50))
    monkeypatch.setitem(gpu.PARTS, "seeds", gpu.Part(lambda *_: {"holds": {}}, 70))
    words = ["--device", "cpu", "--minutes", "1", "--only", "seeds", "digits", "--out", str(tmp_path / "gpu.json")]
    assert gpu.main(words) == 0
    told = capsys.readouterr().out
    assert "seeds: left for another call (60 s left, it takes about 70)" in told
    assert "| seeds | not measured | – |" in told
    assert list(json.loads((tmp_path / "gpu.json").read_text())["parts"]) == ["digits"]


def test_results_of_other_sizes_or_machines_are_not_mixed(gpu, tmp_path, monkeypatch):
    out = tmp_path / "gpu.json"
    monkeypatch.setitem(gpu.PARTS, "digits", gpu.Part(lambda *_: {"holds": {}}, 1))
    assert gpu.main([*QUICK, "--only", "digits", "--out", str(out)]) == 0
    with pytest.raises(SystemExit, match="was measured with another quick"):
        gpu.main(["--device", "cpu", "--only", "digits", "--out", str(out)])


def test_deviation_is_a_share_of_the_largest_value(gpu):
    from gpu_parts import _deviation, _equal

    one, other = {"a": torch.tensor([1.0, 4.5]).numpy()}, {"a": torch.tensor([1.0, 5.0]).numpy()}
    assert _deviation(one, other) == pytest.approx(0.1)
    assert not _equal(one, other)
    assert _equal(one, one)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_without_a_gpu_it_says_so(gpu, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu.main([])
    assert "torch sees no GPU here; --device cpu --quick tries the script" in capsys.readouterr().err

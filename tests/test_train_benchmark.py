"""benchmarks/train.py: its fair peer trains as it says it does, and its table divides by the right rates."""

import argparse
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from glassnet import devices, experiment
from glassnet.data import Split
from glassnet.settings import TrainSettings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peers():
    return script("train_run")


@pytest.mark.parametrize("native", [True, False])
def test_the_fair_peer_trains_in_bf16_where_glassnet_does_channels_last_by_a_fused_optimizer(
    peers, native, monkeypatch
):
    monkeypatch.setattr(devices, "_multiplies_bf16", lambda _device: native)
    seen, optimizers = [], []
    made = peers.torch.optim.AdamW
    monkeypatch.setattr(peers.torch.optim, "AdamW", lambda *a, **k: optimizers.append(made(*a, **k)) or optimizers[-1])
    settings = experiment.resolve(TrainSettings(data="mnist-sample", model_options=("filters=4,4,4,4", "hidden=8")))
    parts = experiment.build(settings)
    split = Split(parts.dataset.train.images[:80], parts.dataset.train.targets[:80])
    parts.model.conv2.register_forward_hook(lambda _m, i, o: seen.append((o.dtype, i[0].shape[0], o)))
    before = parts.model.conv1.weight.detach().clone()
    asked = argparse.Namespace(contender="fair", device="cpu", batch_size=32, epochs=2)
    seconds = peers.fair(parts.model, split, settings, asked)
    assert len(seconds) == 2
    assert [count for _, count, _ in seen] == [32] * 4  # two full batches of 80 images, twice
    assert {dtype for dtype, _, _ in seen} == {torch.bfloat16 if native else torch.float32}
    assert all(output.is_contiguous(memory_format=torch.channels_last) for *_, output in seen)
    assert parts.model.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert [one.defaults["fused"] for one in optimizers] == [True]
    assert not torch.equal(parts.model.conv1.weight, before)


def test_the_table_divides_our_rate_by_each_peer_s(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    summary = script("train_summary")

    def row(contender, seconds, precision):
        rate = summary.rate_of({"epoch_seconds": [9.0, *seconds], "images": 1200})
        return {
            "contender": contender, "filters": "4", "images_per_second": rate, "batch_size": 64, "peak_bytes": 2**21,
            "precision": precision,
        }  # fmt: skip

    results = {
        "machine": {"cpu": "a processor", "cores": 2},
        "asked": "",
        "matmul": {"flops_per_second": {"fp32": 1e9}},
        "to_target": [],
        "trainings": [row("fair", [3.0], "fp32"), row("glassnet", [1.0, 2.0, 3.0], "bf16")],
    }
    summary.print_summary(results, "4", "8")
    lines = capsys.readouterr().out.splitlines()
    assert "| fair | fp32 | 64, – | 400 (400 - 400, 1 runs) | 1.50 | 2 MiB |" in lines
    assert "| glassnet | bf16 | 64, – | 600 (600 - 600, 1 runs) |  | 2 MiB |" in lines


def test_every_peer_is_one_that_can_be_run(peers, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    try:
        whole = script("train")
        assert set(whole.PEERS) == set(peers.CONTENDERS)
        assert set(whole.IN_MEMORY) < set(whole.PEERS)
    finally:
        for name in ("results_file", "train_summary"):
            sys.modules.pop(name, None)

"""What only a machine with a GPU can show; skipped elsewhere."""

import numpy as np
import pytest
import torch

import glassnet as gn

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")]


def test_the_main_job_runs_on_a_gpu_and_agrees_with_the_cpu(tmp_path):
    run = gn.train(gn.TrainSettings(epochs=3, device="cuda", out=tmp_path / "run"))
    assert (run.manifest["device"], run.manifest["precision"]) == ("cuda", "bf16")
    images = run.dataset().test.images[:64]
    on_gpu, on_cpu = (gn.explain(run.model(device), images, target=3) for device in ("cuda", "cpu"))
    for key, values in on_cpu.maps.items():
        np.testing.assert_allclose(on_gpu[key], values, rtol=1e-2, atol=1e-2 * np.abs(values).max())
    features = [gn.extract_features(run.model(device), images, ["fc1"])["fc1"] for device in ("cuda", "cpu")]
    np.testing.assert_allclose(*features, rtol=1e-2, atol=1e-2 * np.abs(features[1]).max())

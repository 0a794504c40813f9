import subprocess
import sys

import pytest
import torch

from glassnet import devices
from glassnet.errors import InputError

CPU = torch.device("cpu")


def test_auto_takes_the_gpu_only_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.choose_device("auto") == CPU
    with pytest.raises(InputError, match="--device is cuda, but torch sees no GPU here"):
        devices.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.choose_device("auto").type == "cuda"
    assert devices.choose_device("cpu") == CPU
    with pytest.raises(InputError, match="the device is 'gpu'"):
        devices.choose_device("gpu")


@pytest.mark.parametrize(
    ("flags", "expected"), [({}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16")]
)
def test_bf16_only_where_the_processor_multiplies_it(monkeypatch, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    assert devices.choose_precision("auto", CPU) == expected
    assert devices.choose_precision("bf16", CPU) == "bf16"
    assert devices.choose_precision("fp32", CPU) == "fp32"
    with pytest.raises(InputError, match="the precision is 'half'"):
        devices.choose_precision("half", CPU)


def test_autocast_multiplies_in_the_precision_asked_for():
    a = torch.rand(4, 4)
    with devices.autocast(CPU, "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with devices.autocast(CPU, "fp32"):
        assert (a @ a).dtype == torch.float32


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc only")
def test_freed_memory_is_kept():
    code = """
import resource, sys
if sys.argv[1] == "keep":
    from glassnet.devices import keep_freed_memory
    keep_freed_memory()
for _ in range(50):
    bytearray(40_000_000)[::4096]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
    faults = [
        int(subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True).stdout)
        for word in ("keep", "return")
    ]
    assert faults[0] * 5 < faults[1]

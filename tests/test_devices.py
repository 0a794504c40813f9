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


def switches():
    return torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32


def test_fp32_on_a_gpu_is_no_tf32_and_repeats_and_all_is_put_back():
    """Torch's default is TF32 in convolutions: 10 bits of mantissa under the name of fp32."""
    before = switches()
    assert before == (False, True)
    with devices.autocast(torch.device("cuda"), "fp32"):
        with devices.autocast(torch.device("cuda"), "fp32"):
            assert switches() == (True, False)
        assert switches() == (True, False)
    assert switches() == before
    with devices.autocast(CPU, "fp32"):
        assert switches() == before
    with pytest.raises(ZeroDivisionError), devices.autocast(torch.device("cuda"), "fp32"):
        raise ZeroDivisionError
    assert switches() == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9 has the older name alone")
def test_a_user_who_takes_torch_s_newer_name_of_the_switch_gets_it_back():
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    try:
        conv.fp32_precision = "none"
        with devices.autocast(torch.device("cuda"), "fp32"):
            assert conv.fp32_precision == "ieee"
        assert conv.fp32_precision == "none"
    finally:
        conv.fp32_precision = before


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

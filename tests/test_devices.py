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

"""What all references have in common, and functions in files."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from glassnet.errors import InputError
from glassnet.models.references import FORMS, SCHEMES, Wanted, is_reference, load_reference, resolved, short_name
from glassnet.models.references.base import digest_of
from tiny_references import NET, write_exported


@pytest.fixture
def net(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "net.py"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("net.py:make", "net:make"), ("a/b/net.py:make", "net:make"), ("hf:google/vit-base", "vit-base"),
        ("hf:./folder/", "folder"), ("timm:resnet18", "resnet18"), ("a/net.pt2", "net"),
        ("convnet", None), ("runs/demo", None), ("net.py", None), ("net.py:", None), ("net.py:a b", None),
        ("hf:", None), ("net.pt", None), ("hub:x", None),
    ],
)  # fmt: skip
def test_references_are_told_from_other_words_and_have_short_names(text, name):
    assert is_reference(text) == (name is not None)
    if name is not None:
        assert short_name(text) == name


def test_every_scheme_says_how_it_is_written():
    assert FORMS.keys() == SCHEMES.keys()
    with pytest.raises(InputError, match=r"'convnet' is not a network; expected net.py:make, a function .*; timm:NAME"):
        load_reference("convnet")


def test_nothing_of_the_hubs_is_imported_unless_asked_for():
    code = "import sys, glassnet.models; print(sorted({'transformers', 'datasets', 'timm'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_function_is_given_the_sizes_that_it_takes(net, capsys):
    loaded = load_reference("net.py:make", Wanted(num_classes=5, in_channels=1, image_size=9))
    assert loaded.module(torch.zeros(1, 1, 9, 9)).shape == (1, 5)
    assert not loaded.module.training
    assert (loaded.image_size, loaded.in_channels, loaded.weights) == (16, 3, None)
    assert loaded.record == {"text": f"{net}:make", "source": digest_of([net]), "weights": None}
    assert load_reference("net.py:two", Wanted(num_classes=5)).module(torch.zeros(1, 3, 9, 9)).shape == (1, 2)
    assert capsys.readouterr().err.count(f"running {net}") == 1  # once for both
    with pytest.raises(InputError, match=r"net.py:sized needs num_classes; give --num-classes\."):
        load_reference("net.py:sized")


def test_a_file_runs_again_when_it_has_changed(net):
    before = load_reference("net.py:two")
    net.write_text(
        NET.replace("nn.Conv2d(in_channels, 4", "nn.Conv2d(in_channels, 4, bias=False, kernel_size=3) if 1 else (4")
    )
    after = load_reference("net.py:two")
    assert after.source != before.source
    assert after.module[0].bias is None


def test_each_folder_has_the_files_that_it_imports_and_they_are_in_the_digest(tmp_path):
    code = "from torch import nn\n\ndef make():\n    from parts.width import W\n    return nn.Conv2d(3, W, 3)\n"
    for name, width in (("a", 4), ("b", 6)):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "net.py").write_text(code)
        (tmp_path / name / "parts" / "__init__.py").write_text("from . import width\n")
        (tmp_path / name / "parts" / "width.py").write_text(f"W = {width}\n")
    one, other, again = (load_reference(f"{tmp_path}/{name}/net.py:make") for name in "aba")
    assert [loaded.module.out_channels for loaded in (one, other, again)] == [4, 6, 4]
    assert one.source == again.source != other.source
    (tmp_path / "a" / "parts" / "width.py").write_text("W = 5\n")
    changed = load_reference(f"{tmp_path}/a/net.py:make")
    assert changed.module.out_channels == 5
    assert changed.source != one.source
    (tmp_path / "a" / "parts" / "width.py").write_text("W = 1 / 0\n")
    with pytest.raises(
        InputError, match=r"net.py:make failed in line 1 of width.py with ZeroDivisionError: division by"
    ):
        load_reference(f"{tmp_path}/a/net.py:make")


def test_a_file_may_define_dataclasses_and_may_not_end_the_process(net):
    net.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n\n@dataclass\n"
        "class Width:\n    channels: int = 4\n\ndef make():\n    return nn.Conv2d(3, Width().channels, 3)\n\n"
        "def ends():\n    raise SystemExit(0)\n\ndef forgets():\n    make()\n"
    )
    assert load_reference("net.py:make").module.out_channels == 4
    with pytest.raises(InputError, match=r"net.py:ends failed in line 13 with SystemExit: 0; correct the file"):
        load_reference("net.py:ends")
    with pytest.raises(InputError, match=r"net.py:forgets returns None, expected a torch.nn.Module; make it return"):
        load_reference("net.py:forgets")


def test_a_network_that_is_ready_is_copied_and_the_generator_is_left_alone(net):
    state = torch.get_rng_state()
    one, other = load_reference("net.py:ready", seed=0).module, load_reference("net.py:ready", seed=0).module
    assert one[0].weight is not other[0].weight
    assert torch.equal(one[0].weight, other[0].weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_paths_in_references_become_whole(net):
    assert resolved("net.py:make") == f"{net}:make"
    assert resolved("sub/../net.pt2") == str(net.parent / "net.pt2")
    assert resolved("hf:google/vit") == "hf:google/vit"
    (net.parent / "vit").mkdir()
    assert resolved("hf:vit") == f"hf:{net.parent / 'vit'}"


# Weights


@pytest.mark.parametrize(
    "around", [None, "state_dict", "model", "model_state_dict", "module.", "model.", "module._orig_mod."]
)
def test_weights_are_taken_from_files_as_trainings_write_them(net, around, capsys):
    torch.manual_seed(1)
    state = {key: torch.rand_like(value) for key, value in load_reference("net.py:make").module.state_dict().items()}
    before = around if around and around.endswith(".") else ""
    written = {before + key: value for key, value in state.items()}
    torch.save(written if before or around is None else {"epoch": 3, around: state}, "w.pt")
    loaded = load_reference("net.py:make", Wanted(weights=Path("w.pt")))
    assert all(torch.equal(value, state[key]) for key, value in loaded.module.state_dict().items())
    assert loaded.weights == digest_of([Path("w.pt")])
    assert (f"every key in w.pt begins with '{before}'; this prefix is removed." in capsys.readouterr().err) == bool(
        before
    )


def test_weights_that_are_no_finite_numbers_are_refused(net):
    state = load_reference("net.py:make").module.state_dict()
    state["4.bias"] = torch.tensor([1.0, float("nan")])
    torch.save(state, "w.pt")
    with pytest.raises(InputError, match=r"w.pt holds NaN or infinite numbers in 4.bias; give weights from before"):
        load_reference("net.py:make", Wanted(weights=Path("w.pt")))


def test_weights_that_do_not_fit_are_named_and_change_nothing(net):
    state = load_reference("net.py:make").module.state_dict()
    save_file({"0.weight": state["0.weight"], "4.bias": torch.zeros(3), "head": torch.zeros(1)}, "w.safetensors")
    sentence = (
        r"w.safetensors does not fit net:make: it lacks 0.bias, 4.weight; it has unknown keys: head; it has "
        r"other shapes: 4.bias \(shape \(3,\), expected \(2,\)\); give weights of the same network\.$"
    )
    with pytest.raises(InputError, match=sentence):
        load_reference("net.py:make", Wanted(weights=Path("w.safetensors")))
    with pytest.raises(InputError, match=r"none.pt does not exist; expected a .safetensors, .pt or .pth"):
        load_reference("net.py:make", Wanted(weights=Path("none.pt")))


def test_a_pickle_that_would_run_code_is_refused(net):
    torch.save(nn.Linear(2, 2), "w.pt")
    with pytest.raises(InputError, match="holds more than tensors, or objects that would run code"):
        load_reference("net.py:make", Wanted(weights=Path("w.pt")))


def test_weights_go_into_an_exported_program(net):
    model = write_exported(net.parent / "net.pt2")
    state = {key: value + 1 if value.is_floating_point() else value for key, value in model.state_dict().items()}
    save_file(state, "w.safetensors")
    loaded = load_reference("net.pt2", Wanted(weights=Path("w.safetensors")))
    model.load_state_dict(state)
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(loaded.module(images), model(images))

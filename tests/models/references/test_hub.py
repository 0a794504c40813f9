"""transformers' networks from folders, and timm's by a stand-in, as timm imports torchvision, which is not here."""

import builtins
import json
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from glassnet.errors import InputError
from glassnet.models.references import Wanted, image_size_of, load_reference
from tiny_references import LABELS, write_hub_folder

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)


@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_a_folder_gives_logits_of_plain_images(tmp_path, kind):
    model = write_hub_folder(tmp_path / kind, kind)
    side = 16 if kind == "vit" else 32
    images = torch.rand(2, 3, side, side)
    loaded = load_reference(f"hf:{tmp_path / kind}")
    torch.testing.assert_close(loaded.module(images), model(pixel_values=(images - MEAN) / STD).logits)
    assert (loaded.image_size, loaded.in_channels, loaded.classes) == (side, 3, tuple(LABELS.values()))
    assert loaded.module.class_names == tuple(LABELS.values())
    assert (loaded.name, loaded.text) == (kind, f"hf:{tmp_path / kind}")
    assert loaded.module.normalize.fixed
    assert image_size_of(loaded.text) == side


def test_it_prints_nothing_of_its_own(tmp_path, capfd):
    write_hub_folder(tmp_path / "vit", "vit")
    capfd.readouterr()
    load_reference(f"hf:{tmp_path / 'vit'}", Wanted(num_classes=3))
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "starts with random weights in classifier.bias, classifier.weight." in err


def test_other_classes_get_another_head_and_the_rest_stays(tmp_path):
    model = write_hub_folder(tmp_path / "vit", "vit")
    loaded = load_reference(f"hf:{tmp_path / 'vit'}", Wanted(num_classes=3))
    assert loaded.module(IMAGES).shape == (2, 3)
    assert loaded.classes is None
    ours = loaded.module.network.state_dict()
    same = [key for key, value in model.state_dict().items() if ours[key].equal(value)]
    assert len(same) == len(ours) - 2
    assert load_reference(f"hf:{tmp_path / 'vit'}", Wanted(num_classes=3, pretrained=False)).weights is None


def test_digests_are_of_configuration_and_weights(tmp_path):
    write_hub_folder(tmp_path / "a", "vit")
    write_hub_folder(tmp_path / "b", "vit", image_mean=[0.1, 0.1, 0.1])
    one, other = (load_reference(f"hf:{tmp_path / name}") for name in "ab")
    assert one.weights == other.weights
    assert one.source != other.source


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({}, [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]),
        ({"do_normalize": False}, [0.0] * 3, [1.0] * 3),
        ({"image_mean": 0.5, "image_std": 0.5}, [0.5] * 3, [0.5] * 3),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, [0.5] * 3, [0.5] * 3),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [255.0] * 3}, [0.5] * 3, [1.0] * 3),
    ],
)
def test_whatever_range_a_processor_brings_images_to_they_are_given_from_0_to_1(tmp_path, processor, mean, std):
    write_hub_folder(tmp_path / "vit", "vit", **processor)
    normalize = load_reference(f"hf:{tmp_path / 'vit'}").module.normalize
    torch.testing.assert_close(normalize.mean.flatten(), torch.tensor(mean))
    torch.testing.assert_close(normalize.std.flatten(), torch.tensor(std))


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        ({"size": {"shortest_edge": 48}}, 48),
        ({"size": {"shortest_edge": 48}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}}, 32),
        ({"size": 24}, 24),
        ({"size": None}, 16),
    ],
)
def test_images_are_read_in_the_size_that_the_processor_ends_with(tmp_path, processor, size):
    write_hub_folder(tmp_path / "vit", "vit", **processor)
    assert image_size_of(f"hf:{tmp_path / 'vit'}") == size


def test_placeholders_for_names_are_no_names_and_a_missing_processor_is_said(tmp_path, capsys):
    write_hub_folder(tmp_path / "vit", "vit", labels={0: "LABEL_0", 1: "LABEL_1"})
    (tmp_path / "vit" / "preprocessor_config.json").unlink()
    loaded = load_reference(f"hf:{tmp_path / 'vit'}")
    assert (loaded.classes, loaded.image_size) == (None, 16)
    assert "has no preprocessor_config.json, so it gets images from 0 to 1" in capsys.readouterr().err


def test_what_cannot_be_loaded_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    with pytest.raises(InputError, match=r"none does not exist; expected a folder written by save_pretrained"):
        load_reference(f"hf:{tmp_path / 'none'}")
    with pytest.raises(
        InputError, match=r"hf:no/such cannot be loaded \(GLASSNET_OFFLINE forbids downloads\): .*; exp"
    ):
        load_reference("hf:no/such")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty cannot be loaded.*; expected the name of an image classifier on"):
        load_reference(f"hf:{tmp_path / 'empty'}")
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"empty cannot be loaded.*; expected the name of an image classifier on"):
        load_reference(f"hf:{tmp_path / 'empty'}")
    write_hub_folder(tmp_path / "vit", "vit", size={"height": 16, "width": 32})
    with pytest.raises(InputError, match=r"takes images of 16 by 32 pixels, expected a network for square images"):
        load_reference(f"hf:{tmp_path / 'vit'}")


@pytest.mark.parametrize(
    ("text", "line"),
    [("hf:x", r"pip install 'glassnet\[hub\]'`"), ("timm:x", "which imports torchvision .*timm torchvision`")],
)
def test_a_missing_library_is_named_with_its_pip_line(monkeypatch, text, line):
    real = builtins.__import__

    def missing(name, *arguments):
        if name.partition(".")[0] in ("transformers", "timm"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=line):
        load_reference(text)


@pytest.fixture
def timm(monkeypatch):
    """A stand-in with the two functions that are called, as they are documented."""
    made = []

    def create_model(name, *, pretrained=False, num_classes=5, in_chans=3):
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        made.append(pretrained)
        return nn.Sequential(
            nn.Conv2d(in_chans, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
        )

    module, data = ModuleType("timm"), ModuleType("timm.data")
    module.create_model, module.data, module.made = create_model, data, made
    data.resolve_model_data_config = lambda _model: {
        "input_size": (3, 16, 16), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3),
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return module


def test_timm_gives_the_network_its_size_and_normalisation(timm, monkeypatch):
    monkeypatch.delenv("GLASSNET_OFFLINE", raising=False)
    loaded = load_reference("timm:small", Wanted(num_classes=7))
    assert timm.made == [True]
    assert (loaded.image_size, loaded.in_channels, loaded.name) == (16, 3, "small")
    torch.testing.assert_close(loaded.module(IMAGES), loaded.module.network((IMAGES - MEAN) / STD))
    assert loaded.module(IMAGES).shape == (2, 7)
    assert loaded.weights is not None
    again = load_reference("timm:small", Wanted(num_classes=7, pretrained=False))
    assert (again.source, again.weights) == (loaded.source, None)
    assert timm.made == [True, False]


def test_timm_refuses_names_and_downloads(timm, monkeypatch):
    monkeypatch.setenv("GLASSNET_OFFLINE", "1")
    with pytest.raises(InputError, match=r"timm:small needs its published weights, but GLASSNET_OFFLINE forbids"):
        load_reference("timm:small")
    monkeypatch.delenv("GLASSNET_OFFLINE")
    with pytest.raises(InputError, match=r"timm:big cannot be loaded: Unknown model \(big\); `timm.list_models"):
        load_reference("timm:big")


def test_names_that_two_classes_have_get_their_numbers(tmp_path):
    write_hub_folder(tmp_path / "vit", "vit")
    config = tmp_path / "vit" / "config.json"
    about = json.loads(config.read_text())
    config.write_text(json.dumps(about | {"id2label": {"0": "crane", "1": "crane"}, "label2id": {"crane": 1}}))
    assert load_reference(f"hf:{tmp_path / 'vit'}").classes == ("crane (0)", "crane (1)")


@pytest.mark.parametrize("kind", ["EfficientNet", "MobileViT", "ViT", "ConvNext", "BeitFast", "Levit"])
@pytest.mark.parametrize("says_all", [True, False])
def test_pixels_reach_the_network_as_the_processor_brings_them(tmp_path, kind, says_all):
    """EfficientNet's divides by the deviation twice; MobileViT's turns RGB around and does not use its mean."""
    transformers = pytest.importorskip("transformers")
    write_hub_folder(tmp_path / "net", "vit")
    processor = getattr(transformers, f"{kind.removesuffix('Fast')}ImageProcessorPil")()
    written = json.loads(processor.to_json_string()) if says_all else {}
    written |= {"image_processor_type": f"{kind.removesuffix('Fast')}ImageProcessor{'Fast' * kind.endswith('Fast')}"}
    (tmp_path / "net" / "preprocessor_config.json").write_text(json.dumps(written))
    image = torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = processor(image.numpy(), do_resize=False, do_center_crop=False, return_tensors="pt")["pixel_values"]
    module = load_reference(f"hf:{tmp_path / 'net'}").module
    got = []
    module.network.register_forward_pre_hook(lambda _, args: got.append(args[0]))
    module(image.permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(got[0], wanted, rtol=1e-5, atol=1e-5)


def test_what_was_saved_in_half_precision_is_calculated_in_single(tmp_path):
    model = write_hub_folder(tmp_path / "vit", "vit")
    model.half().save_pretrained(tmp_path / "vit")
    loaded = load_reference(f"hf:{tmp_path / 'vit'}").module
    torch.testing.assert_close(loaded(IMAGES), model.float()(pixel_values=(IMAGES - MEAN) / STD).logits)

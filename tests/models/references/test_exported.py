"""Exported programs: the same numbers, with layers, for batches of any size."""

import pytest
import torch
from torch import nn

import glassnet as gn
from glassnet.errors import InputError
from glassnet.models.references import Wanted, load_reference
from tiny_references import Small, write_exported

IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", [{}, {"batch": 4}, {"dynamic": True}])
def test_a_program_has_its_layers_again_and_gives_the_same(tmp_path, form):
    model = write_exported(tmp_path / "net.pt2", **form)
    loaded = load_reference(str(tmp_path / "net.pt2"))
    assert (loaded.image_size, loaded.in_channels, loaded.classes, loaded.name) == (16, 3, None, "net")
    torch.testing.assert_close(loaded.module(IMAGES), model(IMAGES))
    strided = IMAGES.to(memory_format=torch.channels_last)
    torch.testing.assert_close(loaded.module(strided), model(IMAGES))
    layers = {name: type(module) for name, module in loaded.module.named_modules() if name}
    assert layers["conv1"] is layers["conv2"] is nn.Conv2d
    assert (layers["norm"], layers["relu"], layers["fc"]) == (nn.BatchNorm2d, nn.ReLU, nn.Linear)
    assert list(layers.values()).count(nn.ReLU) == 2
    assert loaded.module.state_dict().keys() == model.state_dict().keys()


def test_a_programs_features_maps_and_table_are_those_of_the_network(tmp_path):
    model = write_exported(tmp_path / "net.pt2")
    program = load_reference(str(tmp_path / "net.pt2")).module
    ours, theirs = (gn.extract_features(one, IMAGES, layers=["conv1", "fc"]) for one in (program, model))
    for layer in ("conv1", "fc"):
        torch.testing.assert_close(torch.tensor(ours[layer]), torch.tensor(theirs[layer]))
    maps = [gn.explain(one, IMAGES, target=0, layers="conv", methods=("gradcam",)) for one in (program, model)]
    for layer in ("conv1", "conv2"):
        torch.testing.assert_close(torch.tensor(maps[0]["gradcam", layer]), torch.tensor(maps[1]["gradcam", layer]))
    macs = [sum(row.macs for row in gn.layer_table(one, (1, 3, 16, 16))) for one in (program, model)]
    assert macs[0] == macs[1]


class Tokens(nn.Module):
    """A layer norm, and a weight that is no layer's own."""

    def __init__(self):
        super().__init__()
        self.norm, self.scale = nn.LayerNorm(16, bias=False), nn.Parameter(torch.rand(16))
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, images):
        tokens = self.norm(images.flatten(1, 2)) * self.scale
        return self.attend(tokens, tokens, tokens)[0].mean(dim=1)


def test_what_is_no_layer_of_torchs_stays_as_it_is(tmp_path):
    torch.manual_seed(0)
    model = Tokens().eval()
    torch.export.save(torch.export.export(model, (IMAGES[:1],)), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"was exported for batches of 1, .* for any batch"):  # images times heads
        load_reference(str(tmp_path / "net.pt2"))
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (IMAGES[:2],), dynamic_shapes=shapes), tmp_path / "net.pt2")
    program = load_reference(str(tmp_path / "net.pt2")).module
    torch.testing.assert_close(program(IMAGES), model(IMAGES))
    assert isinstance(program.norm, nn.LayerNorm)


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 2)

    def forward(self, images):
        return self.fc(images.mean(dim=(1, 2))) + self.fc.weight.new_zeros(images.shape[0], 2)


def test_what_cannot_be_used_is_one_sentence(tmp_path):
    path = tmp_path / "net.pt2"
    with pytest.raises(InputError, match=r"net.pt2 does not exist; expected a program written by torch.export.save"):
        load_reference(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"net.pt2 is not a program that this version of torch can read \(.*\); write"):
        load_reference(str(path))
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),)), path)
    with pytest.raises(InputError, match=r"net.pt2 takes \(1, 3\), expected one batch \(n, channels, height, width\)"):
        load_reference(str(path))
    torch.export.save(torch.export.export(nn.Conv2d(3, 2, 3), (torch.zeros(1, 3, 8, 9),)), path)
    with pytest.raises(InputError, match=r"net.pt2 takes images of 8 by 9 pixels, expected a program for square"):
        load_reference(str(path))
    write_exported(path)
    with pytest.raises(InputError, match=r"--image-size is 8, but .*net.pt2 was exported for 16; leave it out"):
        load_reference(str(path), Wanted(image_size=8))
    torch.export.save(torch.export.export(Fixed(), (torch.zeros(2, 3, 16, 16),)), path)
    with pytest.raises(InputError, match=r"was exported for batches of 2, .* for any batch size: torch"):
        load_reference(str(path))


class Dictionary(Small):
    def forward(self, images):
        return {"logits": super().forward(images)}


def test_what_a_program_gives_is_named_before_its_batch(tmp_path, capfd):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Dictionary().eval(), (torch.rand(2, 3, 16, 16),)), path)
    with pytest.raises(InputError, match=r"net.pt2 gives a dict for 2 images, expected one tensor with a row per"):
        load_reference(str(path))
    torch.export.save(torch.export.export(Small().train(), (torch.rand(2, 3, 16, 16),)), path)
    with pytest.raises(InputError, match=r"exported for batches of 2, .* depends on the batch; export it in eval"):
        load_reference(str(path))
    model = Small().double().eval()
    torch.export.save(torch.export.export(model, (torch.rand(2, 3, 16, 16).double(),)), path)
    images = torch.rand(5, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(load_reference(str(path)).module(images), model(images))
    path.write_bytes(b"nothing")
    capfd.readouterr()
    with pytest.raises(InputError, match="is not a program that this version of torch can read"):
        load_reference(str(path))
    assert capfd.readouterr().err == ""  # torch prints a traceback

"""Networks by reference, each of some thousand random weights: a function in a file, two hub folders, a program."""

import json

import torch
from torch import nn

NET = """
import torch
from torch import nn


def make(num_classes=2, in_channels=3, image_size=16):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    )


def sized(num_classes):
    return make(num_classes)


def two():
    return make()


ready = make()
"""
LABELS = {0: "dog", 1: "tabby cat, Cat"}
PROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "do_normalize": True, "do_rescale": True}


class Small(nn.Module):
    """Convolutions, a norm, ReLUs of both kinds, and a view, which an export with a fixed batch writes in numbers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding="valid", bias=False)
        self.fc = nn.Linear(6 * 7 * 7, 2)

    def forward(self, images):
        maps = self.relu(self.norm(self.conv1(images)))
        maps = torch.relu(self.conv2(maps))
        return self.fc(maps.view(maps.shape[0], -1))


def write_exported(path, *, batch=1, dynamic=False):
    """Export a `Small` in evaluation mode, and return it."""
    torch.manual_seed(0)
    model = Small().eval()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(model, (torch.rand(2 if dynamic else batch, 3, 16, 16),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return model


def write_hub_folder(path, kind, *, labels=LABELS, **processor):
    """Save a tiny transformers network as save_pretrained does, with a preprocessor_config.json, and return it."""
    import transformers

    torch.manual_seed(0)
    names = {"id2label": labels, "label2id": {name: number for number, name in labels.items()}}
    if kind == "vit":
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.ViTConfig(image_size=16, patch_size=4, **size, **names)
        model = transformers.ViTForImageClassification(config)
    else:
        config = transformers.ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], image_size=32, **names)
        model = transformers.ConvNextForImageClassification(config)
    model.save_pretrained(path)
    side = config.image_size
    written = PROCESSOR | {"size": {"height": side, "width": side}} | processor
    (path / "preprocessor_config.json").write_text(json.dumps(written))
    return model.eval()

"""Networks nobody here wrote: what glassnet says of each, against plain PyTorch. `make zoo` runs all."""

import pytest
import torch

import glassnet as gn
from glassnet.errors import InputError
from zoo.architectures import ARCHITECTURES, SAMPLE, missing
from zoo.comparison import compare, failures

# Other libraries' code of other days: what it warns of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


def failing_checks(name):
    architecture = ARCHITECTURES[name]
    if missing(architecture):
        pytest.skip(f"{missing(architecture)} is not installed: pip install 'glassnet[zoo]'")
    return failures(compare(architecture))


@pytest.mark.parametrize("name", SAMPLE)
def test_a_dozen_networks_are_seen_as_plain_pytorch_sees_them(name):
    assert failing_checks(name) == {}


@pytest.mark.zoo
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in SAMPLE])
def test_every_network_is_seen_as_plain_pytorch_sees_it(name):
    assert failing_checks(name) == {}


def test_a_model_of_images_and_texts_is_called_as_forward_says():
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    texts, pictures = {**small, "vocab_size": 50}, {**small, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=texts, vision_config=pictures))
    with pytest.raises(InputError, match=r"CLIPModel cannot take an input .* call it through forward=lambda"):
        gn.layer_table(model, (1, 3, 32, 32))
    words = torch.ones(1, 4, dtype=torch.long)
    rows = gn.layer_table(
        model, (1, 3, 32, 32), forward=lambda model, images: model(pixel_values=images, input_ids=words)
    )
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters())
    patches = next(row for row in rows if row.name.endswith("patch_embedding"))
    assert (patches.input, patches.macs) == ((3, 32, 32), 16 * 16 * 3 * 8 * 8)

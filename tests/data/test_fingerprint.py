import pytest
import torch

from glassnet.data.dataset import Dataset, Split
from glassnet.data.fingerprint import check_fits
from glassnet.errors import InputError


@pytest.mark.parametrize(("classes", "told"), [(("cafe\u0301", "tea"), True), (("cafe", "tea"), False)])
def test_names_that_differ_only_in_how_accents_are_written_are_told_apart_in_words(classes, told):
    split = Split(torch.zeros((2, 1, 4, 4), dtype=torch.uint8), torch.tensor([0, 1]))
    dataset = Dataset(
        name="drinks",
        task="classification",
        classes=("caf\u00e9", "tea"),
        train=split,
        test=split,
        augmentation="photos",
        note="",
    )
    with pytest.raises(InputError) as error:
        check_fits(dataset, data="drinks", of="run", channels=1, image_size=4, classes=classes)
    assert ("differ only in how Unicode writes their accents" in str(error.value)) is told

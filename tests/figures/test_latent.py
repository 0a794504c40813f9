import numpy as np
import pytest

from figures.conftest import BOUND, CODED
from glassnet import figures
from glassnet.errors import InputError

IMAGES = np.random.default_rng(0).random((3, 1, 8, 8))


def test_rows_say_what_they_are(texts):
    drawn = figures.image_rows(
        {"noisy": IMAGES, "original": IMAGES}, captions={"noisy": ["1 dB", "2 dB", "3 dB"]}, title="T", columns="abc"
    )
    assert texts(drawn) == ["T", "a", "b", "c", "noisy", "1 dB", "2 dB", "3 dB", "original"]
    assert len(drawn.axes[0].images) == 6
    np.testing.assert_allclose(drawn.axes[0].images[1].get_array()[..., 0], IMAGES[1, 0])


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ({"a": IMAGES, "b": IMAGES[:2]}, {}, r"rows of 2, 3 images, expected the same number"),
        ({"a": IMAGES[:0]}, {}, r"rows of 0 images"),
        ({"a": IMAGES}, {"captions": {"a": ["x"]}}, r"got 1 captions for row 'a', expected 3"),
        ({"a": IMAGES}, {"captions": {"b": ["x"] * 3}}, r"3 captions for row 'b', expected 3 for an existing row"),
        ({"a": IMAGES}, {"columns": ["x"]}, r"got 1 column headings, expected 3"),
    ],
)
def test_rows_that_do_not_fit(rows, more, message):
    with pytest.raises(InputError, match=message):
        figures.image_rows(rows, title="T", **more)


def test_bars_are_the_kl_in_order(texts):
    drawn = figures.latent_kl(np.array([0.5, 4.0, 0.001]), np.array([True, True, False]))
    assert [bar.get_height() for bar in drawn.axes[0].patches] == [4.0, 0.5, 0.001]
    assert "Latent dimensions: 4.5 nats, 2 active" in texts(drawn)
    many = figures.latent_kl(np.linspace(1, 0, 100), np.ones(100, dtype=bool))
    assert len(many.axes[0].patches) == 64
    assert any("the 64 largest of 100 shown" in text for text in texts(many))
    with pytest.raises(InputError, match=r"kl has shape \(2,\) and active has shape \(3,\)"):
        figures.latent_kl(np.ones(2), np.ones(3, dtype=bool))


def test_an_autoencoder_without_a_kl_has_two_panels():
    assert len(figures.reconstruction_curves(BOUND, best_epoch=2).axes) == 3
    plain = [{key: value for key, value in row.items() if key != "train_kl"} for row in BOUND]
    assert len(figures.reconstruction_curves(plain, best_epoch=2).axes) == 2
    with pytest.raises(InputError, match="the history lacks validation_psnr"):
        figures.reconstruction_curves([{**BOUND[0], "validation_psnr": None}], best_epoch=1)


def test_the_diagram_has_mean_and_deviation_where_the_code_is_drawn(texts):
    drawn = texts(figures.autoencoder_diagram(CODED, "D"))
    assert {"image", "conv1", "mean", "deviation", "code z", "fc3", "deconv1"} <= set(drawn)
    assert any("z = mean +" in text for text in drawn)
    point = [row for row in CODED if row["name"] != "log_variance"]
    assert "deviation" not in texts(figures.autoencoder_diagram(point, "D"))
    with pytest.raises(InputError, match="no layers mean and decoder"):
        figures.autoencoder_diagram(CODED[:1], "D")

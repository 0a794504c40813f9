"""The palette against published models of colour blindness and of contrast, written out here again."""

import io
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from glassnet.errors import InputError
from glassnet.figures import style
from glassnet.figures.classes import ERRORS, RIGHT
from glassnet.figures.overlay import heat_overlay
from glassnet.figures.segmentation import BACKGROUND, INVENTED, MISSED, MISTAKEN, OBJECT, UNJUDGED
from glassnet.figures.style import (
    ACCENT,
    GRID,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    SURFACE,
    class_colour,
    class_marker,
    in_house_style,
    new_canvas,
    require_finite,
    require_shape,
    shorten,
)  # fmt: skip

DARK_PAGE, DARK_INK = "#14171d", "#e8eaf0"
# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(values):
    """Ottosson 2020, https://bottosson.github.io/posts/oklab/"""
    cones = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ])  # fmt: skip
    opponents = np.array([
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ])  # fmt: skip
    return opponents @ np.cbrt(cones @ np.clip(values, 0, 1))


def contrast(first, second):
    """WCAG 2.1's contrast ratio."""
    high, low = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def over(colour, page):
    *rgb, alpha = colour
    return tuple(alpha * np.array(rgb) + (1 - alpha) * np.array(to_rgb(page)))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_no_two_colours_look_alike(kind):
    seen = [oklab(np.array(BLINDNESS[kind]) @ linear(colour)) for colour in PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.095


@pytest.mark.parametrize("kind", BLINDNESS)
def test_no_two_kinds_of_mistake_look_alike(kind):
    colours = (BACKGROUND, OBJECT, UNJUDGED, MISSED, INVENTED, MISTAKEN)
    seen = [oklab(np.array(BLINDNESS[kind]) @ linear(colour)) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.12


def test_equal_steps_of_a_map_look_about_equal_over_black_and_are_seen_over_every_grey():
    ramp = np.linspace(0.1, 1, 10)[None]
    for grey in (0.0, 0.25, 0.5, 0.75, 1.0):
        drawn = heat_overlay(np.full((1, 1, 10), grey), ramp, size_pixels=10)[0] / 255
        seen = np.array([oklab(linear(tuple(colour))) for colour in drawn])
        steps = np.linalg.norm(np.diff(seen, axis=0), axis=1)
        assert steps.min() > 0.009
        if grey == 0:
            assert steps.max() < 1.2 * steps.min()


def test_colours_stand_out_from_both_pages():
    for colour in (*PALETTE, ACCENT):
        assert contrast(colour, SURFACE) > 2
        assert contrast(colour, DARK_PAGE) > 2.5
    assert contrast(INK, SURFACE) > 7
    assert contrast(MUTED, SURFACE) > 4.5


def test_numbers_can_be_read_in_every_cell_of_the_confusion_matrix_in_both_themes():
    for cell in (*ERRORS(np.linspace(0, 1, 20)), RIGHT):
        assert contrast(INK, over(cell, SURFACE)) > 4.4
        assert contrast(DARK_INK, over(cell, DARK_PAGE)) > 4.5


def test_theme_colours_are_the_reports_strings_and_nobody_elses():
    theme = {"#1b1f27", "#6a7180", "#dfe2e8", "#ffffff"}
    assert {INK, MUTED, GRID, SURFACE} == theme
    assert not theme & set(PALETTE)


def test_hundred_classes_are_told_apart_by_colour_and_marker():
    assert len({(class_colour(i), class_marker(i)) for i in range(100)}) == 100
    assert [class_marker(i) for i in range(10)] == list(MARKERS)
    assert len(set(MARKERS)) == len(set(PALETTE)) == 10


def test_house_style_holds_inside_only():
    @in_house_style
    def inside(value, *, other):
        return mpl.rcParams["svg.fonttype"], value, other

    with mpl.rc_context({"svg.fonttype": "path"}):
        assert inside(1, other=2) == ("none", 1, 2)
        assert mpl.rcParams["svg.fonttype"] == "path"


def test_long_names_are_cut_and_underscores_kept():
    assert shorten("aeroplane", 9) == "aeroplane"
    assert shorten("aeroplanes", 9) == "aeroplan…"
    assert shorten("_hidden", 9) == " _hidden"


def test_what_is_not_finite_or_of_another_shape_is_refused():
    with pytest.raises(InputError, match="points: 2 of 4 values are NaN or infinite, expected finite numbers"):
        require_finite("points", np.array([1, np.nan, np.inf, 2]))
    assert require_finite("points", [1, 2]).tolist() == [1, 2]
    require_shape("points", np.zeros((3, 2)), (None, 2), "(n, 2)")
    for wrong in ((None, 3), (None,), (2, 2)):
        with pytest.raises(InputError, match=r"points have shape \(3, 2\), expected so; pass one entry per image"):
            require_shape("points", np.zeros((3, 2)), wrong, "so")


def saved(name):
    """A figure with two names in it, saved: the families of each."""
    figure, axes = new_canvas(2, 1)
    texts = [axes.text(0.1, at, text) for at, text in ((0.2, "Größe Ωж 1"), (0.6, f"a {name}"))]
    for _ in range(2):
        figure.savefig(io.BytesIO())
    return [text.get_fontfamily() for text in texts]


def test_a_name_that_the_house_font_cannot_write_gets_one_that_can():
    plain, other = saved("\u2312")  # a sign that two fonts have that come with matplotlib, and the house font has not
    assert plain == ["sans-serif"]
    assert len(other) == 2
    assert style._characters(style.findfont(other[1]), frozenset("\u2312")) == frozenset("\u2312")


def test_a_font_that_was_installed_later_is_taken_too(monkeypatch):
    mono = style.findfont("DejaVu Sans Mono")
    listed = [entry for entry in style.fontManager.ttflist if entry.name == "DejaVu Sans"]
    monkeypatch.setattr(style.fontManager, "ttflist", listed)
    monkeypatch.setattr(style, "findSystemFonts", lambda: ["/nowhere.ttf", __file__, mono])
    style.fonts_with.cache_clear()
    assert style.fonts_with(frozenset("\u2313")) == ("DejaVu Sans Mono",)


def test_characters_that_no_font_has_are_said_once_and_drawn_as_boxes(monkeypatch, capsys):
    for name in ("_listed_fonts", "_new_fonts"):
        monkeypatch.setattr(style, name, lambda: iter(()))
    monkeypatch.setattr(style, "_said", set())
    style.fonts_with.cache_clear()
    assert saved("\u732b") == saved("\u9ce5") == [["sans-serif"]] * 2
    style.fonts_with.cache_clear()
    said = capsys.readouterr().err
    assert said.startswith(
        "no installed font has \u732b, so figures show boxes in such names; install a font that has them"
    )
    assert said.count("\n") == 1

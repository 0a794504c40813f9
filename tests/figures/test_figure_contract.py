import io
import itertools
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.text import Text
from PIL import Image

from glassnet import figures
from glassnet.errors import InputError
from glassnet.figures.style import INK, MUTED

SVG = "{http://www.w3.org/2000/svg}"


def test_every_public_figure_is_tried(monkeypatch, drawings):
    tried = set()

    def recorded(name, draw):
        def call(*args, **kwargs):
            tried.add(name)
            return draw(*args, **kwargs)

        return call

    for name in figures.__all__:
        monkeypatch.setattr(figures, name, recorded(name, getattr(figures, name)))
    for draw in drawings:
        draw()
    assert tried == set(figures.__all__)


def test_same_bytes_twice_whatever_the_users_settings(drawing, svg):
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": None, "font.size": 31, "axes.facecolor": "red"}):
        assert svg(drawing.draw()) == drawing.svg


def test_texts_are_texts_in_theme_colours(drawing):
    root = ET.fromstring(drawing.svg)
    styles = [element.get("style") for element in root.iter(f"{SVG}text")]
    assert styles
    assert {re.search(r"fill: (#\w+)", style)[1] for style in styles} <= {INK, MUTED}
    # Black or nothing said would stay dark on a dark page.
    drawn = [element.get("style", "") for tag in ("path", "use") for element in root.iter(SVG + tag)]
    assert not [style for style in drawn if "#000000" in style]


def test_background_is_transparent(drawing):
    root = ET.fromstring(drawing.svg)
    patch = next(element for element in root.iter(f"{SVG}g") if element.get("id") == "patch_1")
    assert "fill: none" in patch[0].get("style")


def require_within(figure):
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def test_title_is_bold_and_nothing_runs_over_the_edge(drawing):
    figure = drawing.draw()
    figure.draw_without_rendering()  # lays it out; the canvas of no backend would not
    title = drawing.name.split()[0]
    assert any(t.get_text().startswith(title) and t.get_fontweight() == "bold" for t in figure.findobj(Text))
    require_within(figure)


def test_long_names_and_many_classes_neither_run_over_the_edge_nor_into_each_other(crowded):
    figure = crowded.draw()
    figure.draw_without_rendering()
    require_within(figure)
    written = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    # Names on the points give way to each other by themselves, and those on a mask stand inside it.
    boxes = [text.get_window_extent() for text in written if text.get_fontsize() > 6 and not text.get_bbox_patch()]
    assert len(boxes) > 5
    overlaps = [
        (first, second)
        for first, second in itertools.combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]
    assert not overlaps


def test_pyplot_knows_of_nothing(drawing):
    drawing.draw()
    assert not Gcf.figs


def test_settings_are_restored_after_an_error():
    with mpl.rc_context({"font.size": 31}):
        with pytest.raises(InputError, match="history is empty"):
            figures.learning_curves([])
        assert mpl.rcParams["font.size"] == 31


def test_figure_is_saved_in_the_house_style_by_whoever_saves_it():
    figure = figures.scree(np.array([0.5, 0.2]))
    file = io.BytesIO()
    with mpl.rc_context({"savefig.facecolor": "black", "savefig.dpi": 20, "text.color": "red"}):
        figure.savefig(file, dpi=100)
        assert mpl.rcParams["savefig.facecolor"] == "black"
    pixels = np.asarray(Image.open(file).convert("RGB"))
    assert pixels.shape == (370, 640, 3)
    assert (pixels[0, 0] == 255).all()

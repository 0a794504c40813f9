import matplotlib as mpl

from glassnet.figures.style import HouseFigure, new_figure
from glassnet.run.figure_files import write_figure


def test_both_files_have_the_layout_of_the_first_and_the_svg_is_drawn_once(tmp_path, monkeypatch):
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    axes.set_ylabel("a label\nof several\nlines")
    before, places, draw = axes.get_position().bounds, [], HouseFigure.draw

    def watched(*given):
        draw(*given)
        places.append(axes.get_position().bounds)

    monkeypatch.setattr(HouseFigure, "draw", watched)
    with mpl.rc_context({"figure.autolayout": True}):  # the user's own setting changes nothing
        write_figure(figure, tmp_path / "a.png", tmp_path / "a.svg")
    assert places == [places[0]] * 3  # the PNG to lay it out and to draw it, the SVG
    assert places[0] != before
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_text().endswith("</svg>\n")

import re

import pytest

from glassnet.errors import InputError
from glassnet.figures.style import GRID, INK, MUTED, SURFACE
from glassnet.report import inline as module
from glassnet.report.inline import Picture, find_picture, inline

SVG = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36"
 xmlns="http://www.w3.org/2000/svg" version="1.1" onload="alert(1)">
 <metadata>who</metadata><defs><style type="text/css">*{color: red}</style></defs>
 <script>alert(2)</script>
 <path id="m" d="M 0 0" style="stroke: INK; fill: #123456"/>
 <g clip-path="url(#clip)" fill="MUTED" onclick="alert(3)"><use xlink:href="#m" style="fill: url('#hatch')"/></g>
 <image xlink:href="https://example.org/x.png"/><image xlink:href="data:image/png;base64,AAAA"/>
 <a xlink:href="javascript:alert(4)"><text style="fill: SURFACE; stroke: GRID">3 &lt; 4</text></a>
 <clipPath id="clip"/>
</svg>"""


def drawing(text: str = SVG) -> Picture:
    for word, colour in (("INK", INK), ("MUTED", MUTED.upper()), ("SURFACE", SURFACE), ("GRID", GRID)):
        text = text.replace(word, colour)
    return Picture("curves", "Curves", 'Loss "falls" & <b>rises</b>', "", "svg", text.encode())


def test_colours_become_the_variables_of_the_page():
    page = inline(drawing(), "f1-")
    assert 'style="stroke: var(--ink); fill: #123456"' in page
    assert 'fill="var(--muted)"' in page
    assert 'style="fill: var(--surface); stroke: var(--grid)"' in page


def test_ids_and_what_points_to_them_get_the_prefix():
    page = inline(drawing(), "f1-")
    assert re.findall(r'\bid="([^"]+)"', page) == ["f1-m", "f1-clip"]
    assert 'clip-path="url(#f1-clip)"' in page
    assert 'href="#f1-m"' in page
    assert "url(#f1-hatch)" in page


def test_nothing_in_a_drawing_runs_or_loads():
    page = inline(drawing(), "f1-")
    for word in ("script", "alert", "onload", "onclick", "example.org", "<style", "metadata", "DOCTYPE", "<?xml"):
        assert word not in page
    assert 'href="data:image/png;base64,AAAA"' in page
    assert "3 &lt; 4" in page


def test_a_drawing_says_what_it_shows_and_how_wide_it_is():
    page = inline(drawing(), "f1-")
    assert page.startswith("<svg ")
    assert 'role="img"' in page
    assert 'aria-label="Loss &quot;falls&quot; &amp; &lt;b&gt;rises&lt;/b&gt;"' in page
    assert "--width:96px" in page  # 72 points are an inch, which is 96 pixels
    assert 'viewBox="0 0 72 36"' in page
    assert not re.search(r"<svg[^>]* (width|height)=", page)


def test_a_drawing_without_view_box_gets_one_from_its_size():
    assert 'viewBox="0 0 96 48"' in inline(drawing(SVG.replace('viewBox="0 0 72 36"', "")), "")


def test_a_large_drawing_is_shown_as_its_image(run, monkeypatch):
    monkeypatch.setattr(module, "SVG_LIMIT_BYTES", 100)
    picture = find_picture(run, "learning-curves")
    assert picture.kind == "png"
    page = inline(picture, "f1-")
    assert page.startswith("<img ")
    assert 'alt="Loss falls, accuracy rises."' in page
    assert 'width="720"' in page  # 7.5 inches at 150 dpi are 1125 pixels, at 96 they are 720
    assert 'src="data:image/png;base64,iVBOR' in page


def test_a_figure_that_was_not_drawn_is_none(run):
    assert find_picture(run, "nothing") is None


def test_a_figure_without_words_has_its_name(run):
    (run.path / "figures" / "learning-curves.json").unlink()
    picture = find_picture(run, "learning-curves")
    assert (picture.title, picture.alt, picture.caption) == ("learning-curves", "learning-curves", "")


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("svg", b"<svg", r"figures/curves\.svg is damaged"),
        ("svg", b"<p/>", r"figures/curves\.svg is no SVG drawing; draw it again"),
        ("png", b"\x89PNG", r"figures/curves\.png is damaged \(it is no PNG image\); draw it again"),
        ("png", b"GIF89a" + bytes(30), r"figures/curves\.png is damaged"),
    ],
)
def test_a_damaged_drawing_says_which(kind, content, message):
    with pytest.raises(InputError, match=message):
        inline(Picture("curves", "", "", "", kind, content), "")

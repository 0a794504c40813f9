import re

import pytest

from glassnet.errors import InputError
from glassnet.figures.style import GRID, INK, MUTED, SURFACE
from glassnet.reports.svg import safe_svg

SVG = """<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36"
 xmlns="http://www.w3.org/2000/svg" version="1.1" onload="alert(1)">
 <metadata>who</metadata><defs><style type="text/css">*{color: red}</style></defs>
 <script>alert(2)</script>
 <path id="m" d="M 0 0" style="stroke: INK; fill: #123456"/>
 <g clip-path="url(#clip)" fill="MUTED" onclick="alert(3)"><use xlink:href="#m" style="fill: url('#hatch')"/></g>
 <image xlink:href="https://example.org/x.png"/><image xlink:href="data:image/png;base64,
AAAA"/>
 <a xlink:href="javascript:alert(4)"><text style="fill: SURFACE; stroke: GRID; font-size: 10px">3 &lt; 4</text></a>
 <clipPath id="clip"/>
</svg>"""
HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 xmlns:h="http://www.w3.org/1999/xhtml" viewBox="0 0 9 9" style="position:fixed;inset:0;z-index:99" class="skip">
 <meta http-equiv="refresh" content="0;url=https://example.org/"/>
 <h:meta http-equiv="refresh" content="0;url=https://example.org/"/><h:img src="x" onerror="alert(1)"/>
 <STYLE>body{display:none}</STYLE><Style>@import "https://example.org/a.css";</Style>
 <foreignObject><h:iframe src="https://example.org/"/></foreignObject>
 <a HREF="https://example.org/"><text>kept</text></a>
 <a xlink:href="javascript:alert(1)"><text>words</text></a>
 <use href="https://example.org/b.svg#x"/><use xlink:href="data:image/svg+xml;base64,AAAA"/>
 <image href=" java&#10;script:alert(1)"/><image href="data:image/png;base64,AA&quot;onload=alert(1)"/>
 <rect fill="url(https://example.org/c)" style="fill: url(//example.org/d); stroke: url(#ok); position:fixed; top:0"/>
 <rect style="background: url(https://example.org/e); fi\\6cl: red; fill: expression(alert(1))" onfocus="alert(1)"/>
 <set attributeName="href" to="javascript:alert(1)"/><animate attributeName="x"/>
 <script href="https://example.org/f.js"/>
</svg>"""


def drawing(text: str = SVG):
    for word, colour in (("INK", INK), ("MUTED", MUTED.upper()), ("SURFACE", SURFACE), ("GRID", GRID)):
        text = text.replace(word, colour)
    return safe_svg(text.encode(), name="curves", alt='Loss "falls" & <b>rises</b>', prefix="f1-")


def test_colours_become_the_variables_of_the_page():
    page = drawing().markup
    assert 'style="stroke: var(--ink); fill: #123456"' in page
    assert 'fill="var(--muted)"' in page
    assert 'style="fill: var(--surface); stroke: var(--grid); font-size: 10px"' in page


def test_ids_and_what_points_to_them_get_the_prefix():
    page = drawing().markup
    assert re.findall(r'\bid="([^"]+)"', page) == ["f1-m", "f1-clip"]
    assert 'clip-path="url(#f1-clip)"' in page
    assert 'href="#f1-m"' in page
    assert "url(#f1-hatch)" in page


def test_nothing_in_a_drawing_runs_or_loads():
    page = drawing().markup
    for word in ("script", "alert", "onload", "onclick", "example.org", "<style", "metadata", "DOCTYPE", "<?xml"):
        assert word not in page
    assert 'href="data:image/png;base64,AAAA"' in page
    assert "3 &lt; 4" in page


def test_a_hostile_drawing_keeps_nothing_but_its_words_and_shapes(outline):
    page = drawing(HOSTILE).markup
    for word in ("meta", "style>", "example", "alert", "script", "iframe", "foreign", "fixed", "z-index", "import",
                 "background", "expression", "\\", "svg+xml", "onerror", "onload", "onfocus",
                 "animate", "<set"):  # fmt: skip
        assert word not in page.lower(), word
    elements = outline(page).elements
    assert {tag for tag, _ in elements} == {"svg", "g", "text", "use", "image", "rect"}
    allowed = {"viewbox", "class", "role", "aria-label", "style", "xmlns"}
    assert {name for _, attributes in elements for name in attributes} <= allowed
    assert dict(elements)["svg"]["class"] == "drawing"
    assert [a["style"] for tag, a in elements if tag == "rect"] == ["stroke: url(#f1-ok)", ""]
    assert "kept" in page
    assert "words" in page


def test_a_drawing_says_what_it_shows_and_how_wide_it_is():
    result = drawing()
    assert result.markup.startswith("<svg ")
    assert 'role="img"' in result.markup
    assert 'aria-label="Loss &quot;falls&quot; &amp; &lt;b&gt;rises&lt;/b&gt;"' in result.markup
    assert (result.width, round(result.least, 1)) == (96, 79.2)  # text of 10 of 72 units has 11 pixels at 79.2
    assert "--width:96px;--least:79px" in result.markup
    assert 'viewBox="0 0 72 36"' in result.markup
    assert not re.search(r"<svg[^>]* (width|height)=", result.markup)


def test_a_drawing_with_smaller_text_is_enlarged():
    result = drawing(SVG.replace("10px", "6px"))
    assert (result.width, result.least) == (132, 132)


def test_a_drawing_without_view_box_gets_one_from_its_size():
    assert 'viewBox="0 0 96 48"' in drawing(SVG.replace('viewBox="0 0 72 36"', "")).markup


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<svg", r"curves\.svg is damaged"),
        (b"<p/>", r"curves\.svg is no SVG drawing; draw it again"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', r"curves\.svg declares entities, expected a plain drawing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<g>" * 5000 + b"</g>" * 5000 + b"</svg>", "nested too deeply"),
    ],
)
def test_a_damaged_drawing_says_which(content, message):
    with pytest.raises(InputError, match=message):
        safe_svg(content, name="curves", alt="", prefix="")

"""A report of a run whose figures an attacker drew: it opens, loads nothing, runs nothing, and comes at once."""

import contextlib
import html.parser
import io
import re
import resource
import time

import pytest
from PIL import Image

from command_line import call
from glassnet.errors import InputError
from glassnet.reports.svg import safe_svg

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:h="http://www.w3.org/1999/xhtml" viewBox="0 0 9 9" width="9" height="9">'  # noqa: E501
BODIES = {
    "refresh": '<meta http-equiv="refresh" content="0;url=//evil.example/"/><h:meta http-equiv="REFRESH" content="0"/>',
    "style": "<STYLE>body{display:none}</STYLE><style>@import '//evil.example/a.css';</style><h:style>*{}</h:style>",
    "link": '<a HREF="//evil.example/"><text>w</text></a><a xlink:href="javascript:evil()"><text>w</text></a>',
    "foreign": '<foreignObject><h:iframe src="//evil.example/"/><h:form action="//evil.example/"/></foreignObject>',
    "overlay": '<g style="position:fixed;inset:0;z-index:9"><rect style="Position : fixed" width="9" height="9"/></g>',
    "use": '<use href="//evil.example/a.svg#x"/><use xlink:href="data:image/svg+xml;base64,PHN2Zy8+"/>',
    "data": '<image href="data:image/svg+xml;base64,PHN2Zy8+"/><image href="data:text/html,evil"/>',
    "paint": '<rect fill="url(//evil/x)" style="fill:url(\'//evil.example/y\');background:url(//evil)"/>',
    "events": '<rect onload="evil()" ONCLICK="evil()" onfocus="evil()" tabindex="0"/><script>evil()</script>',
    "animate": '<set attributeName="href" to="javascript:evil()"/><animate attributeName="x" onbegin="evil()"/>',
    "space": '<image href=" java&#10;script:evil()"/><image href="&#1;x"/>',
    "numbers": '<text style="font-size:0.0.1px;font: 1..2px x" font-size="..px" width="0..pt">w</text>',
    "ids": '<rect id="x&quot;onload=evil()"/><use href="#x&quot; onload=&quot;evil()"/>',
    "comment": "<!-- --><!-- <script>evil()</script> --><?xml-stylesheet href='//evil.example/a.css'?><text>a</text>",
    "cdata": "<text><![CDATA[</text></svg><script>evil()</script>]]></text>",
    "class": '<g class="skip" id="contents" hidden="" slot="x" is="y"><text>w</text></g>',
}  # fmt: skip
HOSTILE = {name: f"{HEAD}{body}</svg>" for name, body in BODIES.items()} | {
    "laughs": '<!DOCTYPE svg [<!ENTITY a0 "evil">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + f"]>{HEAD}<text>&a11;</text></svg>",
    "laughs in UTF-16": ('<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE svg [<!ENTITY a0 "evil">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + f"]>{HEAD}<text>&a11;</text></svg>").encode("utf-16"),
    "quadratic": f'<!DOCTYPE svg [<!ENTITY a "{"evil" * 20_000}">]>{HEAD}<text>{"&a;" * 20_000}</text></svg>',
    "external": f'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>{HEAD}<text>&a;</text></svg>',
    "parameter": f'<!DOCTYPE svg [<!ENTITY % a SYSTEM "http://evil.example/a.dtd"> %a;]>{HEAD}</svg>',
    "external DTD": f'<!DOCTYPE svg SYSTEM "http://evil.example/a.dtd">{HEAD}<text>w</text></svg>',
    "picture": "PNG",
    "cut": HEAD,
    "deep": HEAD + "<g>" * 60_000 + "</g>" * 60_000 + "</svg>",
    "wide": HEAD + "<g/>" * 100_000 + "</svg>",
    "odd box": HEAD.replace("0 0 9 9", "a b c d").replace('width="9"', 'width="1.2.3pt"') + "</svg>",
    "huge": f'{HEAD.replace("0 0 9 9", "0 0 1e308 1e308")}<text font-size="0.0.1px">w</text></svg>',
    "other": "<html xmlns='http://www.w3.org/1999/xhtml'><script>evil()</script></html>",
    "empty": "",
}  # fmt: skip


def content(name):
    if name == "picture":
        file = io.BytesIO()
        Image.new("RGB", (9, 9)).save(file, "PNG")
        return file.getvalue()
    drawn = HOSTILE[name]
    return drawn if isinstance(drawn, bytes) else drawn.encode()


class Page(html.parser.HTMLParser):
    """Elements with their attributes, as a browser takes them."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def require_harmless(markup, scripts=0, links=()):
    elements = Page(markup).elements
    counted = [tag for tag, _ in elements]
    assert counted.count("script") == scripts
    for tag in ("iframe", "form", "foreignobject", "set", "animate", "object", "embed", "link", "base"):
        assert tag not in counted
    for tag, attributes in elements:
        for key, value in attributes.items():
            value = (value or "").lower()
            assert not key.startswith("on"), (tag, key)
            assert key != "http-equiv" or value == "content-security-policy"
            assert key == "id" or not re.search(r"evil|javascript|position:|svg\+xml|text/html", value), (
                tag,
                key,
                value,
            )
            if key.endswith(("href", "src")):
                assert re.match(r"#|data:image/(png|jpeg);base64,", value) or value in links, (
                    tag,
                    key,
                    value[:80],
                )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_drawing_is_made_harmless_or_refused_at_once(name):
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(InputError):
        markup = safe_svg(content(name), name="x", alt="", prefix="p-").markup
        assert "evil()" not in markup or name in ("cdata", "ids")  # where it is text
        assert "root:" not in markup
        require_harmless(markup)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_a_report_of_hostile_figures_loads_and_runs_nothing(reported_copy, capsys):
    copy = reported_copy
    drawings = sorted(copy.path.glob("analyses/*/*/*.svg"))
    assert len(drawings) > 3
    clean = Page((copy.path / "report.html").read_text()).elements
    scripts = len([tag for tag, _ in clean if tag == "script"])
    links = {attributes["href"].lower() for tag, attributes in clean if tag == "a" and "href" in attributes}
    names = list(HOSTILE)
    for begin in range(0, len(names), len(drawings)):
        for number, file in enumerate(drawings):
            file.write_bytes(content(names[(begin + number) % len(names)]))
        start = time.monotonic()
        code, _, err = call(capsys, "report", copy.path)
        assert code == 0, err
        assert time.monotonic() - start < 60
        page = (copy.path / "report.html").read_text()
        require_harmless(page, scripts, links)
        assert "evil.example" not in page
        assert "root:x:" not in page

import itertools
import re
import runpy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from glassnet.blocks import (
    Answer,
    Answers,
    ConfusionMatrix,
    Fold,
    Gallery,
    Headline,
    Map,
    Missing,
    Page,
    Picture,
    Prose,
    Section,
    Template,
    Terms,
)
from glassnet.errors import InputError
from glassnet.reports import page as page_module
from glassnet.reports.page import render
from glassnet.tables import make_table

PAGES = runpy.run_path(str(Path(__file__).with_name("synthetic_page.py")))["PAGES"]
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7 * 7 }} & "'


@pytest.fixture(scope="module")
def pages():
    return {name: render(build()) for name, build in PAGES.items()}


@pytest.fixture(scope="module")
def demo():
    return PAGES["demo"]().runs[0]


def test_templates_are_compiled_once_for_all_pages(pages, demo, monkeypatch):
    def compiled(*_):
        raise AssertionError("it is compiled again")

    monkeypatch.setattr(page_module.Environment, "compile", compiled)
    assert "Some words." in with_blocks(demo, Prose(("Some words.",)))


def with_blocks(run, *blocks):
    return render(Page((replace(run, sections=(Section("part", "Part", blocks),)),)))


@pytest.mark.parametrize("name", PAGES)
def test_headings_step_down_and_ids_are_unique_and_links_lead_somewhere(pages, outline, name):
    page = outline(pages[name])
    levels = [level for level, _ in page.headings[:-1]]  # the last is the closed panel's
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    links = [a["href"][1:] for tag, a in page.elements if tag in ("a", "use") and a.get("href", "").startswith("#")]
    links += [key for _, a in page.elements for key in a.get("data-show", "").split()]
    links += re.findall(r"url\(#([^)]+)\)", pages[name])
    assert set(links) <= ids.keys()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_outside_itself(pages, outline, name):
    page = outline(pages[name])
    for tag in ("link", "iframe", "object", "base", "form"):
        assert not page.having(tag)
    assert not any(a.startswith("on") for _, attributes in page.elements for a in attributes)
    sources = [a.get("src") or a.get("href") for tag, a in page.elements if tag in ("img", "image", "script")]
    assert all(source is None or source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"url\((?!#)|@import", pages[name])
    policy = next(a["content"] for a in page.having("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert len(pages[name]) < 3_000_000


@pytest.mark.parametrize("name", PAGES)
def test_pictures_say_what_they_show_and_tables_what_they_hold(pages, outline, name):
    page = outline(pages[name])
    assert all(a.get("alt") for a in page.having("img"))
    assert all(a.get("aria-label") for a in page.having("svg"))
    assert len(page.having("table")) == len(page.having("caption"))
    assert all(a.get("scope") in ("row", "col") for a in page.having("th"))


def test_sections_stand_in_order_with_their_contents(pages, outline, demo):
    titles = [section.title for section in demo.sections]
    page = outline(pages["demo"])
    assert [words for level, words in page.headings if level == 2][:-1] == titles
    assert [a["href"] for a in page.having("a")][1:9] == ["#summary", *(f"#{s.key}" for s in demo.sections)]
    assert [words for level, words in outline(pages["several"]).headings if level == 2][:3] == [
        "Comparison", "first", "second <b>",
    ]  # fmt: skip


def test_results_come_first_and_settings_are_folded(pages):
    page = pages["demo"]
    places = [page.index(words) for words in ("95% interval", 'id="confusion"', 'id="mistakes"', 'id="settings"')]
    assert places == sorted(places)
    assert '<details class="part">\n<summary><h2 id="settings">' in page


def test_every_example_stands_once_with_all_its_maps(pages, outline, demo):
    page = outline(pages["demo"])
    addresses = [a["id"] for _, a in page.elements if a.get("id", "").startswith("image-")]
    assert sorted(addresses) == sorted(f"image-{example.id}" for example in demo.examples)
    assert all(f"conv1 of test image {example.id}" in pages["demo"] for example in demo.examples)


def test_an_example_shown_twice_has_one_address(demo, outline):
    page = outline(with_blocks(demo, Gallery("One", (9,)), Gallery("Two", (9,))))
    cards = [a for _, a in page.elements if a.get("data-image") == "image-9"]
    assert [a.get("id") for a in cards] == ["image-9", None]


def test_an_example_that_is_not_there_is_an_error(demo):
    with pytest.raises(ValueError, match="example 7777 is not among the run's"):
        with_blocks(demo, Gallery("One", (7777,)))


def test_embeddings_of_the_same_images_share_them(pages):
    assert pages["demo"].count('id="points-0"') == 1
    assert pages["demo"].count('data-points="points-0"') == 2


def test_words_that_look_like_code_are_harmless(demo, outline):
    hostile = replace(demo.examples[0], name=HOSTILE, heading=HOSTILE, facts=((HOSTILE, HOSTILE),),
                      maps=(Map(HOSTILE, demo.examples[0].thumbnail, HOSTILE),))  # fmt: skip
    cloud = demo.sections[2].blocks[0]
    names = replace(cloud.points, names=(HOSTILE,) * len(cloud.points.names), classes=(HOSTILE,) * 10, examples=None)
    run = replace(demo, name=HOSTILE, model=HOSTILE, headlines=(Headline(HOSTILE, HOSTILE, HOSTILE),),
                  summary=(HOSTILE,), examples=(hostile,))  # fmt: skip
    confusion = demo.sections[0].blocks[0]
    blocks = (
        Prose((HOSTILE,)), Terms(((HOSTILE, HOSTILE),)), Missing(HOSTILE, HOSTILE),
        make_table(HOSTILE, (HOSTILE,), [(HOSTILE,)]),
        Gallery(HOSTILE, (hostile.id,), HOSTILE, HOSTILE), Fold(HOSTILE, ()),
        replace(cloud, title=HOSTILE, points=names),
        ConfusionMatrix(HOSTILE, (HOSTILE,) * 10, confusion.counts, {(4, 3): [hostile.id]}),
        Picture(HOSTILE, HOSTILE, demo.sections[4].blocks[1].drawing, HOSTILE, HOSTILE),
        Answers(HOSTILE, (Answer(HOSTILE, hostile.thumbnail, ((HOSTILE, 0.5),), hostile.maps, hostile.maps),), HOSTILE),
        Template("{{ words }}", {"words": HOSTILE}),
    )  # fmt: skip
    page = outline(with_blocks(run, *blocks))
    assert [a.get("type") for a in page.having("script")] == [None, "application/json", "application/json"]
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "49" not in page.text.split("{{ 7 * 7 }}")[1][:20]
    assert HOSTILE in page.text


def test_a_task_adds_its_own_markup_with_blocks_inside(pages):
    assert "<p>&lt;i&gt; <p><b>inner</b></p>" in pages["demo"].replace("\n", "")


def test_a_damaged_png_says_which(demo):
    with pytest.raises(InputError, match=r"curves\.png is damaged \(it is no PNG image\); draw it again"):
        with_blocks(demo, Picture("Curves", "Curves.", b"GIF89a", kind="png", name="curves"))


def test_a_png_has_its_size_on_the_page(demo):
    page = with_blocks(demo, Picture("Image", "An image.", demo.examples[0].thumbnail, kind="png", dpi=192))
    assert 'width="12" height="12" alt="An image."' in page


def test_no_run_is_an_input_error():
    with pytest.raises(InputError, match="no run was given, expected at least one run directory"):
        render(Page(()))


def test_the_same_page_is_written_the_same(pages):
    assert render(PAGES["two"]()) == pages["two"]

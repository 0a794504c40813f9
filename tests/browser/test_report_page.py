"""What only a browser can tell of a report: that it opens, asks for nothing, fits, and can be read in every theme."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

TITLES = [
    "Settings and versions", "Learning curves", "Test results", "The network", "Features", "Attributions",
    "How these numbers were made",
]  # fmt: skip

CONTRASTS = Path(__file__).with_name("contrasts.js").read_text(encoding="utf-8")


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def brightness(colour: str) -> float:
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_it_opens_without_a_complaint_and_asks_for_nothing(look, report):
    page = look()
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert page.requests[0] == report.as_uri()
    assert all(url.startswith("data:image/png;base64,") for url in page.requests[1:])


def test_every_section_has_its_heading_in_order(look):
    page = look()
    assert page.locator("h1").count() == 1
    assert page.locator("h2").all_inner_texts() == TITLES
    assert all(heading.is_visible() for heading in page.locator("h2").all())


def test_the_contents_lead_to_the_sections(look):
    page = look()
    for link in page.locator("nav a").all():
        link.click()
        place = page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top")
        bottom = page.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 1")
        assert 0 <= place < 100 or bottom


@pytest.mark.parametrize("width", [360, 1280])
def test_every_picture_has_a_size_and_a_text_alternative(look, width):
    page = look(width=width)
    pictures = page.locator("figure .drawing").evaluate_all(
        """(all) => all.map((e) => {
          const {width, height} = e.getBoundingClientRect();
          const parts = e.tagName === "IMG" ? [e.naturalWidth] : [...e.querySelectorAll("*")].length;
          const words = e.getAttribute("aria-label") || e.alt || "";
          return [width, height, words, e.getAttribute("role") || e.tagName, parts];
        })"""
    )
    assert len(pictures) >= 9
    for wide, high, words, role, parts in pictures:
        assert wide > 200
        assert high > 50
        assert len(words) > 10
        assert role in ("img", "IMG")
        assert parts


def test_no_id_stands_twice(look):
    ids = look().evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids)) > 20


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(look, width):
    page = look(width=width)
    page.evaluate("document.querySelectorAll('details').forEach((e) => (e.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wide = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, .skip, svg")
          && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


def test_what_scrolls_can_be_reached_with_the_keyboard(look):
    boxes = (
        look(width=360)
        .locator(".scroll")
        .evaluate_all("(all) => all.map((e) => [e.scrollWidth > e.clientWidth, e.tabIndex === 0])")
    )
    assert any(scrolls for scrolls, _ in boxes)
    assert all(scrolls == reached for scrolls, reached in boxes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(look, scheme):
    contrasts = look(scheme=scheme).evaluate(CONTRASTS)
    assert len(contrasts) > 200
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


def test_the_page_follows_the_system_and_the_figures_follow_the_page(look):
    light, dark = look(scheme="light"), look(scheme="dark")
    assert brightness(background(light)) > 240
    assert brightness(background(dark)) < 40
    ink = """() => [...document.querySelectorAll("svg text")].filter((e) => e.getAttribute("style")?.includes("--ink"))
      .map((e) => getComputedStyle(e).fill)"""
    assert {brightness(colour) < 60 for colour in light.evaluate(ink)} == {True}
    assert {brightness(colour) > 200 for colour in dark.evaluate(ink)} == {True}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_changes_the_theme_and_a_reload_keeps_it(look, scheme):
    page = look(scheme=scheme)
    before = background(page)
    button = page.get_by_role("button", name="theme")
    assert button.inner_text() == ("Dark theme" if scheme == "light" else "Light theme")
    button.click()
    after = background(page)
    assert (brightness(before) > brightness(after)) == (scheme == "light")
    assert button.inner_text() == ("Light theme" if scheme == "light" else "Dark theme")
    page.reload()
    assert background(page) == after
    button.click()
    assert background(page) == before
    assert page.complaints == []


def test_paper_is_light_and_shows_everything(look):
    page = look(scheme="dark")
    page.get_by_role("button", name="theme").click()
    page.get_by_role("button", name="theme").click()
    page.emulate_media(media="print", color_scheme="dark")
    assert brightness(background(page)) > 240
    assert not page.get_by_role("button", name="theme").is_visible()
    page.set_viewport_size({"width": 665, "height": 900})  # A4 without its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 665
    split = page.locator("figure").evaluate_all("(all) => all.map((e) => getComputedStyle(e).breakInside)")
    assert set(split) == {"avoid"}
    assert page.evaluate(CONTRASTS)
    assert [entry for entry in page.evaluate(CONTRASTS) if entry[0] < 4.5] == []
    assert page.pdf(prefer_css_page_size=True, print_background=True).startswith(b"%PDF")


def test_the_keyboard_first_meets_the_link_that_skips_the_contents(look):
    page = look()
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "Skip to the content"
    assert link.bounding_box()["x"] >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_without_scripts_everything_is_there_but_the_button(look):
    page = look(java_script=False, scheme="dark")
    assert page.locator("h2").all_inner_texts() == TITLES
    assert not page.locator("#theme").is_visible()
    assert all(summary.is_visible() for summary in page.locator("summary").all())


def test_the_report_of_a_real_run_lacks_nothing(look, tmp_path):
    import glassnet as gn
    from glassnet.cli import run

    settings = gn.TrainSettings(model_options=("filters=4,4,8,8", "hidden=16"), epochs=2, out=tmp_path / "run")
    gn.train(settings)
    assert run(["report", str(tmp_path / "run")]) == 0
    page = look(path=tmp_path / "run" / "report.html")
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert page.locator("h2").all_inner_texts() == TITLES
    # curves, confusion, mistakes, network, scree, three embeddings, right and wrong images
    assert page.locator("figure .drawing").count() == 10
    assert page.locator(".missing").count() == 0
    shown = page.locator("main").inner_text()
    for part in ("95% interval", "Adjusted Rand", "trustworthiness", "Guided Grad-CAM", "conv4"):
        assert part.lower() in shown.lower()

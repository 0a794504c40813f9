"""The report of a real, small run in a browser: two questions answered at once, and all that moves."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TITLES = [
    "Which classes are confused", "Where it looks", "What it distinguishes", "Layer by layer",
    "Learning curves and the network", "How these numbers were made", "Settings and versions",
]  # fmt: skip


@pytest.mark.parametrize("width", [390, 1280])
def test_which_digits_are_confused_and_where_it_looks_stands_on_the_first_screens(look, report, width):
    page = look(width=width)
    assert page.locator("h2:visible").all_inner_texts() == TITLES
    screens = 1800 if width > 1000 else 3 * 900  # a phone shows less at once
    assert page.locator("table.confusion").first.bounding_box()["y"] < 900
    maps = page.locator("section[aria-labelledby=mistakes] .cards").first.locator(".card > .maps img")
    boxes = [image.bounding_box() for image in maps.all()[:2]]
    assert all(box["y"] + box["height"] < screens and box["width"] >= 160 for box in boxes)
    assert report.stat().st_size < 3_000_000
    assert page.locator(".absent").count() == 0
    if width > 1000:
        assert page.evaluate("document.documentElement.scrollHeight") < 6_700
    else:
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.complaints == []


def test_a_point_shows_its_image_and_cells_and_mistakes_open_their_maps(look):
    page = look()
    plot = page.locator(".scatter svg").first
    plot.focus()
    page.keyboard.press("n")
    assert "test image" in page.locator("#tip").inner_text()
    cell = page.locator(".confusion td a").first
    cell.click()
    panel = page.locator("#panel")
    assert panel.get_by_role("heading").first.inner_text() == cell.get_attribute("data-title")
    assert panel.locator(".card").first.locator("img").count() == 2
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    card = page.locator("section[aria-labelledby=mistakes] .card").first
    card.locator("img").last.click()
    assert panel.is_visible()
    assert "Grad-CAM at conv4" in panel.inner_text()
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert page.complaints == []


def test_three_dimensions_turn_and_the_contents_follow(look):
    page = look()
    plot = page.locator(".scatter svg").nth(1)
    drawn = lambda: plot.locator(".dots path").evaluate_all("(all) => all.map((e) => e.getAttribute('d')).join('')")  # noqa: E731
    before = drawn()
    plot.focus()
    page.keyboard.press("ArrowLeft")
    page.evaluate("new Promise(requestAnimationFrame)")
    assert drawn() != before
    page.locator("#layers").evaluate("(e) => e.scrollIntoView({block: 'start'})")
    expect(page.locator("nav a[href='#layers']")).to_have_attribute("aria-current", "true")


def test_every_figure_saves(look, tmp_path):
    page = look()
    buttons = page.locator("figure > figcaption button:visible")
    assert buttons.count() >= 7
    for button in buttons.all():
        with page.expect_download() as download:
            button.click()
        assert download.value.suggested_filename.endswith((".svg", ".png"))
        assert download.value.path().stat().st_size > 1000
    assert page.complaints == []


def test_it_is_read_without_scripts_dark_and_on_paper(look):
    still = look(java_script=False, scheme="dark")
    assert still.locator("h2:visible").all_inner_texts() == TITLES
    still.locator(".confusion td a").first.click()
    address = still.url.partition("#")[2]
    assert still.locator(f"#{address} img").first.is_visible()
    page = look(scheme="dark")
    channels = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")")
    assert max(map(float, channels.split(","))) < 40
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 665, "height": 900})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 665
    assert page.locator("dl.methods").is_visible()

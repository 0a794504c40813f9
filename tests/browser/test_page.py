"""What only a browser can tell of a page of blocks: that it moves, saves, fits, and can be read in every theme."""

import runpy
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from playwright.sync_api import expect

from glassnet.reports.page import render

pytestmark = pytest.mark.browser

PAGES = runpy.run_path(str(Path(__file__).parents[1] / "reports" / "synthetic_page.py"))["PAGES"]
CONTRASTS = Path(__file__).with_name("contrasts.js").read_text(encoding="utf-8")
CELL = '.confusion a[data-title="4 taken for 3"]'


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The synthetic pages, each written when it is first asked for."""
    folder = tmp_path_factory.mktemp("pages")

    def written(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(render(PAGES[name]()), encoding="utf-8")
        return path

    return written


@pytest.fixture
def opened(look, files):
    """Open a synthetic page."""
    return lambda name="demo", **more: look(path=files(name), **more)


def dot(page, plot, index: int) -> tuple[float, float]:
    """Give where a point's dot stands in the window."""
    plot.scroll_into_view_if_needed()
    numbers = plot.locator(".dots path").first.get_attribute("d").split("M")[1 + index].removesuffix("h0").split()
    box = plot.bounding_box()
    return box["x"] + float(numbers[0]) / 600 * box["width"], box["y"] + float(numbers[1]) / 520 * box["height"]


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_without_a_complaint_and_asks_for_nothing(opened, files, name):
    page = opened(name)
    for cell in page.locator("[data-show]").all()[:3]:
        cell.click()
        page.keyboard.press("Escape")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert page.requests[0] == files(name).as_uri()
    assert all(url.startswith("data:image/png;base64,") for url in page.requests[1:])


def test_the_first_two_screens_say_which_classes_are_confused_and_where_it_looks(opened):
    page = opened()
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height < 6_700
    assert page.locator(".pairs").bounding_box()["y"] < 900
    maps = page.locator("#mistakes ~ figure .card > .maps img").evaluate_all(
        "(all) => all.slice(0, 6).map((e) => [e.getBoundingClientRect().bottom, e.getBoundingClientRect().width])"
    )
    assert len(maps) == 6
    assert all(bottom < 1800 and width >= 160 for bottom, width in maps)


# ---- the panel ----


@pytest.mark.parametrize("width", [390, 1280])
def test_a_cell_opens_its_images_with_their_maps_and_esc_closes(opened, width):
    page = opened(width=width)
    page.locator(CELL).click()
    panel = page.locator("#panel")
    assert panel.get_by_role("heading").first.inner_text() == "4 taken for 3"
    assert panel.locator(".card").count() == len(page.locator(CELL).get_attribute("data-show").split())
    words = panel.locator(".card").first.locator(".image span").all_inner_texts()
    assert words[0].startswith("test image ")
    assert [text.split(",")[0] for text in words[1:]] == ["conv4", "conv3", "conv2", "conv1"]
    assert all(image.bounding_box()["width"] >= 160 for image in panel.locator("img").all()[:5])
    assert page.evaluate("document.activeElement.closest('#panel') !== null")
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert page.evaluate("document.activeElement.dataset.title") == "4 taken for 3"


def test_the_panel_keeps_the_focus_and_closes_by_its_button_and_beside_it(opened):
    page = opened()
    page.locator(CELL).focus()
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#panel')")
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#panel").is_visible()
    page.locator(CELL).click()
    page.mouse.click(5, 5)
    assert not page.locator("#panel").is_visible()


def test_a_mistake_opens_with_all_its_maps_by_mouse_and_keyboard(opened):
    page = opened()
    card = page.locator(".card").first
    card.locator("img").first.click()
    assert page.locator("#panel .image").count() == 5
    assert page.locator("#panel-title").inner_text() == card.locator(".heading").inner_text()
    page.keyboard.press("Escape")
    card.locator(".open").focus()
    page.keyboard.press("Enter")
    assert page.locator("#panel .image").count() == 5


def test_the_cells_of_several_runs_open_their_own_images(opened):
    page = opened("several")
    for run in ("run1", "run2"):
        link = page.locator(f"section[aria-labelledby={run}-confusion] [data-show]").first
        address = link.get_attribute("data-show").split()[0]
        assert address.startswith(f"{run}-image-")
        link.click()
        assert page.locator("#panel .card").first.get_attribute("data-image") == address
        page.keyboard.press("Escape")


# ---- embeddings ----


def test_a_point_shows_its_image_and_a_click_opens_it(opened):
    page = opened()
    plot = page.locator(".scatter svg").first
    tip = page.locator("#tip")
    page.mouse.move(*dot(page, plot, 3))
    assert tip.is_visible()
    assert "test image" in tip.inner_text()
    painted = tip.locator("canvas").evaluate(
        "(e) => new Set(e.getContext('2d').getImageData(0, 0, e.width, e.height).data).size"
    )
    assert painted > 5
    page.mouse.click(*dot(page, plot, 3))
    assert page.locator("#panel").is_visible()
    assert not tip.is_visible()
    page.keyboard.press("Escape")
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    assert page.complaints == []


def test_a_point_that_was_mistaken_says_for_what(opened):
    page = opened()
    plot = page.locator(".scatter svg").first
    plot.focus()
    texts = set()
    for _ in range(40):
        page.keyboard.press("n")
        texts.add(page.locator("#tip").inner_text())
    assert len(texts) == 40
    assert any("taken for" in text for text in texts)
    assert not all("taken for" in text for text in texts)


def test_arrow_keys_walk_from_point_to_point_and_enter_opens(opened):
    page = opened()
    page.locator(".scatter svg").first.focus()
    places = []
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        pointer = page.locator(".scatter .pointer").first
        places.append((float(pointer.get_attribute("cx")), float(pointer.get_attribute("cy"))))
    assert places[1][0] > places[0][0]
    assert places[2][1] < places[1][1]
    page.keyboard.press("Enter")
    assert page.locator("#panel .card").count() == 1


def test_a_finger_first_sees_the_tip_and_then_opens(browser, files):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(files("demo").as_uri())
    place = dot(page, page.locator(".scatter svg").first, 5)
    page.touchscreen.tap(*place)
    assert page.locator("#tip").is_visible()
    assert not page.locator("#panel").is_visible()
    box = page.locator("#tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.touchscreen.tap(*place)
    assert page.locator("#panel").is_visible()
    context.close()


def test_three_dimensions_turn_by_mouse_and_keyboard(opened):
    page = opened()
    plot = page.locator(".scatter svg").nth(1)
    plot.scroll_into_view_if_needed()
    drawn = lambda: plot.locator(".dots path").evaluate_all("(all) => all.map((e) => e.getAttribute('d')).join('')")  # noqa: E731
    views = [drawn()]
    box = plot.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 10, steps=4)
    page.mouse.up()
    page.evaluate("new Promise(requestAnimationFrame)")
    views.append(drawn())
    assert not page.locator("#panel").is_visible()
    plot.focus()
    page.keyboard.press("ArrowLeft")
    page.evaluate("new Promise(requestAnimationFrame)")
    views.append(drawn())
    assert len(set(views)) == 3
    assert {text.count("M") for text in views} == {600}


def test_the_script_draws_three_dimensions_as_the_still_page_does(opened):
    still, moving = opened(java_script=False), opened()
    plot = moving.locator(".scatter svg").nth(1)
    plot.focus()
    for key in ("ArrowLeft", "ArrowRight"):
        moving.keyboard.press(key)
        moving.evaluate("new Promise(requestAnimationFrame)")
    places = (
        "(svg) => [...svg.querySelectorAll('.dots path')].flatMap((e) => e.getAttribute('d').match(/[\\d.]+ [\\d.]+/g)"
    )
    places += ".map((pair) => pair.split(' ').map(Number)))"
    first = still.content().split('<g class="dots"')[2].split("</g>")[0]
    numbers = [
        tuple(map(float, part.split("h0")[0].split()))
        for part in first.split('d="')[1:]
        for part in part.split("M")[1:]
    ]
    drawn = plot.evaluate(places)
    assert len(drawn) == len(numbers) == 600
    assert all(abs(a - c) <= 1 and abs(b - d) <= 1 for (a, b), (c, d) in zip(numbers, drawn, strict=True))


def test_the_legend_brings_a_class_forward_and_colours_by_cluster(opened):
    page = opened()
    figure = page.locator(".scatter").first
    faint = lambda: figure.locator(".dots path").evaluate_all(  # noqa: E731
        "(all) => all.filter((e) => Number(getComputedStyle(e).strokeOpacity) < 0.2).length"
    )
    figure.get_by_role("button", name="3", exact=True).click()
    assert faint() == 9
    figure.get_by_role("button", name="3", exact=True).click()
    assert faint() == 0
    figure.get_by_label("cluster", exact=True).check()
    assert figure.locator(".legend button").all_inner_texts() == [f"cluster {k}" for k in range(1, 6)]
    assert figure.locator(".dots path").count() == 5


# ---- saving ----


def test_every_figure_can_be_saved(opened, tmp_path):
    page = opened(scheme="dark")
    buttons = page.locator("figure > figcaption button")
    assert buttons.count() == page.locator("figure").count() >= 7
    for number, button in enumerate(buttons.all()):
        with page.expect_download() as download:
            button.click()
        name = download.value.suggested_filename
        download.value.save_as(tmp_path / f"{number}-{name}")
        content = (tmp_path / f"{number}-{name}").read_bytes()
        if name.endswith(".svg"):
            root = ET.fromstring(content)
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert float(root.get("width")) > 200
            assert b"var(" not in content
        else:
            assert content.startswith(b"\x89PNG")
            assert int.from_bytes(content[16:20], "big") > 300
    assert page.complaints == []


def test_the_panel_saves_its_images(opened, tmp_path):
    page = opened()
    page.locator(CELL).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG", exact=True).last.click()
    assert download.value.suggested_filename == "4-taken-for-3.png"


# ---- the page ----


@pytest.mark.parametrize("width", [390, 1280])
def test_the_contents_show_where_one_is(opened, width):
    page = opened(width=width)
    current = page.locator("nav a[aria-current]")
    expect(current).to_have_text(["At a glance"])
    page.locator("#embedding").evaluate("(e) => e.scrollIntoView({block: 'start'})")
    expect(page.locator("nav a[href='#embedding']")).to_have_attribute("aria-current", "true")
    assert current.count() == 1
    box = current.bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= width
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("nav a[href='#settings']")).to_have_attribute("aria-current", "true")


def test_a_link_opens_what_is_folded(opened):
    page = opened()
    assert not page.get_by_text("Selvaraju").is_visible()
    page.locator("nav a", has_text="How these numbers").click()
    page.get_by_text("Selvaraju").wait_for(state="visible")


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_on_a_phone_and_what_is_cut_says_so(opened, name):
    page = opened(name, width=390)
    page.evaluate("document.querySelectorAll('details').forEach((e) => (e.open = true))")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wide = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, .skip, svg, nav, #tip")
          && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    boxes = page.locator(".scroll").evaluate_all(
        """(all) => all.map((e) => [e.scrollWidth - e.clientWidth > 1, e.classList.contains("more-right"),
          e.nextElementSibling.checkVisibility(), e.tabIndex === 0])"""
    )
    assert all(len(set(box)) == 1 for box in boxes)
    assert name == "methods" or any(cut for cut, *_ in boxes)
    widths = page.evaluate(
        """() => [...document.querySelectorAll("td:not(.number)")]
          .filter((e) => e.checkVisibility() && e.textContent.length > 36).map((e) => e.clientWidth)"""
    )
    assert min(widths, default=200) > 150  # pixels: a table scrolls before a sentence becomes a column of words


@pytest.mark.parametrize("name", ["demo", "sixty"])
def test_no_text_of_a_figure_is_small_on_a_phone(opened, name):
    sizes = opened(name, width=390).evaluate(
        """() => [...document.querySelectorAll("figure text, figure td, figure th, figure span, figure p, figcaption")]
          .filter((e) => e.checkVisibility() && e.textContent.trim()).map((e) => {
            const svg = e.closest("svg"), size = parseFloat(getComputedStyle(e).fontSize);
            return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
          })"""
    )
    assert len(sizes) > 100
    assert min(sizes) >= 10.99


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(opened, scheme):
    page = opened(scheme=scheme)
    page.locator(CELL).click()
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 250
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


def test_paper_is_light_and_fits_and_shows_what_is_folded(opened):
    page = opened(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 680, "height": 900})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.get_by_text("Selvaraju").is_visible()
    assert not page.get_by_role("button", name="Save PNG of Worst mistakes").is_visible()
    assert page.locator(".card .heading").first.is_visible()
    assert page.locator(".legend li").first.is_visible()
    assert page.pdf(prefer_css_page_size=True, print_background=True).startswith(b"%PDF")


def test_without_scripts_everything_can_be_read(opened):
    page = opened(java_script=False)
    assert page.locator(".scatter svg .dots path").count() > 20
    assert page.locator(".confusion td.wrong").count() >= 10
    assert not page.locator("#theme, #panel, #tip, .hint").locator("visible=true").count()
    page.locator(CELL).click()
    address = page.locator(CELL).get_attribute("data-show").split()[0]
    assert page.url.endswith(f"#{address}")
    assert page.locator(f"#{address} img").first.is_visible()
    page.locator("summary", has_text="other maps").first.click()
    assert page.locator(".card").first.locator("img").nth(4).is_visible()

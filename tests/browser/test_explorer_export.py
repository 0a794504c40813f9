"""An exported page in a browser: it shows, offers what is in it, and says what needs the model."""

import functools
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from glassnet.explorer.export import export
from glassnet.explorer.export_plan import requests_of
from glassnet.explorer.subjects import Subjects

pytestmark = pytest.mark.browser

IMAGES, LAYERS = (3, 14), ["conv4", "fc1"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given):
        pass


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The address of an export of two images and two layers, without the t-SNE and probes that take long."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(finished.path, folder / "digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassnet.explorer.export_plan.PICTURES", (("pca", 2),))
        patch.setattr(
            "glassnet.explorer.export.requests_of",
            lambda *given: (one for one in requests_of(*given) if not one.path.endswith("/scores")),
        )
        with ThreadPoolExecutor(1) as own_loop:  # Playwright's loop runs in this thread
            asked = {"images": ",".join(map(str, IMAGES)), "layers": LAYERS}
            own_loop.submit(export, Subjects([folder / "digits"]), folder / "page", **asked).result()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder / "page"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser, exported):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.see = lambda view: page.goto(f"{exported}#/digits/{view}")
    yield page
    context.close()
    assert page.complaints == []
    assert all(url.startswith(exported) and "/api/" not in url for url in page.asked)


def test_the_slider_offers_the_exported_layers_only(page):
    page.see("embedding?method=pca")
    page.wait_for_selector('[data-testid=points][data-state="ready"][data-count="1000"][data-layer="fc1"]')
    slider = page.locator(".layer input[type=range]")
    assert slider.get_attribute("max") == str(len(LAYERS) - 1)
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_selector('[data-testid=points][data-state="ready"][data-layer="conv4"]')
    assert page.get_by_role("button", name="Previous layer").is_disabled()
    assert page.get_by_label("t-SNE").is_disabled()
    assert page.get_by_label("3-D").is_disabled()


def test_an_exported_image_has_its_maps(page):
    page.see(f"image?image={IMAGES[0]}")
    page.wait_for_selector(".strip canvas")
    assert page.locator(".strip").count() == 2
    page.get_by_text(re.compile("^The model says")).first.wait_for()
    assert page.get_by_text("An image of your own").count() == 0
    page.get_by_text("Neighbours", exact=True).click()
    page.get_by_text("Click one to open it").wait_for()
    assert page.locator("[aria-label=Explanations] .controls option").all_inner_texts() == LAYERS


def test_maps_are_offered_at_the_exported_layers_and_some_of_them_can_be_chosen(page):
    page.see(f"image?image={IMAGES[0]}")
    page.wait_for_selector(".strip canvas")
    assert page.locator(".strip").first.locator("canvas").count() == 4
    page.get_by_text("Methods: 2 of 2").wait_for()
    page.get_by_text("Layers: 4 of 4").click()
    page.get_by_role("group", name="Layers").get_by_label("conv1").uncheck()
    page.get_by_text("Layers: 3 of 4").wait_for()
    assert page.locator(".strip").first.locator("canvas").count() == 3
    assert page.get_by_text("is not part of this export").count() == 0


def test_an_exported_layer_has_its_channels(page):
    page.see("channels")
    page.wait_for_selector("[data-testid=channels][data-layer=conv4] [data-channel]")
    assert page.locator("label:has(> span:text-is('Layer')) option").all_inner_texts() == ["conv4 (8 channels)"]
    page.locator("[data-testid=channels] [data-channel]").first.click()
    page.wait_for_selector("[data-testid=channel] [data-number]")
    assert page.get_by_role("button", name="Make synthetic images").count() == 0


def test_what_needs_the_model_is_said(page):
    """An image that is not among those exported, in the image view and beside its point."""
    sentence = "is not part of this export: it needs the model. Run glassnet explore on the run itself."
    for view in ("image", "embedding"):
        page.see(f"{view}?image=7&method=pca")
        missing = page.get_by_text(f"This map {sentence}")
        missing.first.wait_for()
        assert missing.count() == 1
        assert page.locator(".target canvas").count() == 0
    page.see("network")
    page.get_by_role("button", name="Measure what each layer knows").click()
    missing = page.get_by_text(sentence)
    missing.wait_for()
    assert missing.count() == 1


def test_mistakes_open_their_images(page):
    page.see("mistakes")
    cell = page.locator("[data-pair] >> visible=true").first
    images = int(cell.inner_text())
    cell.click()
    page.wait_for_selector("[data-testid=gallery] button")
    assert page.get_attribute("[data-testid=gallery]", "aria-label").endswith(f": {images}")

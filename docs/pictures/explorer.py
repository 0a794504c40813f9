"""The pictures of the explorer in README.md and docs/explorer.md: a point, why one class and not another, a cover.

    python docs/pictures/explorer.py runs/demo

It starts `glassnet explore RUN`, opens Chromium as a reader would open a browser, chooses the mistake that the model is
surest of (or --image), and writes explorer-point.png, explorer-why.png and explorer-cover.png beside itself. RUN is a
classifier, as `glassnet demo` trains it. Needs Playwright (`pip install playwright`) and Chromium.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
WEBGL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
WIDTH, LARGEST_BYTES = 1280, 300_000


@contextmanager
def served(run: str) -> Iterator[str]:
    """Serve a run as a user does; gives the address."""
    command = (sys.executable, "-m", "glassnet", "explore", run, "--no-browser")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if found := re.search(r"http://\S+", line):
                    yield found[0]
                    return
            raise SystemExit(f"the explorer did not start: {printed}")
        finally:
            process.terminate()


def surest_mistake(page: Page) -> int:
    """Choose the first of the most confident mistakes."""
    page.click("[data-testid=view-mistakes]")
    page.get_by_text("Most confident mistakes", exact=True).click()
    return int(page.locator("[data-testid=gallery] button").first.get_attribute("data-number") or 0)


def quiet(page: Page) -> None:
    """Wait until nothing is computed, and take the pointer away."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.wait_for_selector("[data-testid=view] progress", state="detached")
    page.wait_for_timeout(1500)


def point(page: Page, base: str, image: int) -> None:
    """A point, its image and its maps."""
    page.goto(f"{base}/embedding?image={image}")
    page.wait_for_selector('[data-testid=points][data-state="ready"]')
    page.wait_for_selector('[data-testid=focused][data-ready="true"] .strip canvas')


def why(page: Page, base: str, image: int) -> None:
    """What speaks for the prediction, beside what speaks for the true class."""
    page.goto(f"{base}/image?image={image}")
    page.get_by_role("button", name=re.compile("true class")).first.click()
    page.wait_for_selector(".targets .target:nth-child(2) .strip canvas")


def cover(page: Page, base: str, image: int) -> None:
    """The hottest place covered, and ten random ones."""
    page.goto(f"{base}/edit?image={image}")
    page.click("[data-testid=cover-hottest]")
    page.get_by_text(re.compile("The probability of .* before, .* after")).first.wait_for()
    page.click("[data-testid=cover-many]")
    page.locator("[aria-label='What was tried'] tbody tr").nth(10).wait_for()


def main() -> None:
    """Make the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--image", type=int, help="number of a test image; the surest mistake if not given")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    with served(options.run) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=list(WEBGL))
        page = browser.new_page(viewport={"width": WIDTH, "height": 880}, color_scheme="light")
        page.set_default_timeout(120_000)
        page.goto(url)
        page.wait_for_selector('[data-testid=points][data-state="ready"]')
        base = page.evaluate("location.href.split('/').slice(0, -1).join('/')")
        image = surest_mistake(page) if options.image is None else options.image
        for picture, height in ((point, 880), (why, 880), (cover, 980)):
            page.set_viewport_size({"width": WIDTH, "height": height})
            picture(page, base, image)
            quiet(page)
            file = HERE / f"explorer-{picture.__name__}.png"
            page.screenshot(path=file)
            size = file.stat().st_size
            print(f"{file.name}: image {image}, {size / 1000:.0f} kB")
            if size >= LARGEST_BYTES:
                raise SystemExit(
                    f"{file} has {size:,} bytes, expected fewer than {LARGEST_BYTES:,}: make the page smaller"
                )
        browser.close()


if __name__ == "__main__":
    main()

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import glassnet as gn
from glassnet.reports import report as write_report

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium; without one a person's run skips, and the project's own check fails."""
    program = shutil.which("chromium")
    if program is None:
        message = "no chromium on the path; install it with `apt-get install chromium`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The report to look at: that of a small run on real digits, or the one that GLASSNET_TEST_REPORT names."""
    if given := os.environ.get("GLASSNET_TEST_REPORT"):
        return Path(given).resolve()
    out = tmp_path_factory.mktemp("runs") / "demo"
    run = gn.train(gn.TrainSettings(data="mnist-sample", epochs=1, model_options=("filters=8,8,8,8",), out=out))
    return write_report(run)


@pytest.fixture
def look(browser, report):
    """Open the report in a window of its own; everything that goes wrong is collected in `page.complaints`."""
    contexts = []

    def opened(*, width: int = 1280, scheme: str = "light", java_script: bool = True, path: Path = report):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=java_script
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url[:100]}"))
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()

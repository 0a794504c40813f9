import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

import glassnet as gn
from glassnet.explorer.serving import Server
from glassnet.explorer.subjects import Subjects
from glassnet.reports import report as write_report
from tiny_nets import two_labels
from tiny_runs import weakened

QUIET = (
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium; without one a person's run skips, and the project's own check fails."""
    program = shutil.which("chromium")
    if program is None:
        message = "no chromium on the path; install it with `apt-get install chromium`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*QUIET, *SOFTWARE_WEBGL])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def report(made_once) -> Path:
    """The report to look at: that of a small run on real digits, or the one that GLASSNET_TEST_REPORT names."""
    if given := os.environ.get("GLASSNET_TEST_REPORT"):
        return Path(given).resolve()
    options = ("filters=8,8,8,8",)
    return (
        made_once(
            "demo",
            lambda path: write_report(
                gn.train(gn.TrainSettings(data="mnist-sample", epochs=1, model_options=options, out=path))
            ),
        )
        / "report.html"
    )


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


@pytest.fixture(scope="session")
def explored(finished, segmented, vae, tmp_path_factory):
    """A server that shows two classifiers, a segmentation, a VAE and two labels; its runs may be written to."""
    folder = tmp_path_factory.mktemp("explored")
    for run, name in ((finished, "digits"), (segmented, "scans"), (vae, "bars")):
        shutil.copytree(run.path, folder / name)
    weakened(folder / "digits", folder / "weaker")
    subjects = Subjects([*(folder / name for name in ("digits", "weaker", "scans", "bars")), two_labels()])
    server = Server(subjects, host="127.0.0.1", port=0)
    server.folder = folder
    server.start()
    yield server
    server.close()
    subjects.close()


@pytest.fixture
def visit(browser, explored):
    """Open a view of the explorer in a window of its own; what goes wrong is collected in `page.complaints`."""
    contexts = []

    def opened(view: str):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.complaints, page.hosts = [], set()
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.hosts.add(urlsplit(request.url).netloc))
        page.goto(explored.url)
        page.goto(f"{explored.url.partition('?')[0]}#/{view}")
        return page

    yield opened
    for context in contexts:
        context.close()

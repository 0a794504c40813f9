"""The explorer in a notebook's cell: a page of localhost at another port shows it in a frame, as Jupyter does."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from glassnet.explorer.explore import Explorer
from glassnet.explorer.serving import NOTEBOOK_FRAMES, Server
from glassnet.explorer.subjects import Subjects
from tiny_nets import two_labels

pytestmark = pytest.mark.browser


@pytest.fixture(params=[NOTEBOOK_FRAMES, "'self'"], ids=["of a notebook", "of the command"])
def shown(request):
    server = Server(Subjects([two_labels()]), host="127.0.0.1", port=0, frames=request.param)
    server.start()
    yield Explorer(server), request.param == NOTEBOOK_FRAMES
    server.close()


@pytest.fixture
def notebook(shown):
    """A server of a page that holds what a cell shows."""
    cell = shown[0]._repr_html_()

    class Cell(BaseHTTPRequestHandler):
        def do_GET(self):  # as http.server calls it
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>cell</title>{cell}".encode())

        def log_message(self, *given):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cell)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_cell_shows_the_page(browser, shown, notebook, host):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://{host}:{notebook}/")
    frame = page.frame_locator("iframe")
    if shown[1]:
        frame.get_by_role("heading", name="Embedding").wait_for(timeout=60_000)
        assert page.frames[1].url.startswith(f"http://{host}:{shown[0]._server.guard.port}/#/pairs/embedding")
    else:  # what no notebook has opened may stand in no foreign frame
        page.wait_for_timeout(1500)
        assert frame.get_by_role("heading", name="Embedding").count() == 0
    assert page.get_by_role("link", name="Open it in a tab").get_attribute("href") == shown[0].url
    context.close()

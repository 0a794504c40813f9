"""A web server that has some published files, and cuts its answers where it is told to."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def published(files, *, cuts=()):
    """Serve files by name; yield the address that names are appended to, and the list of what was asked for.

    Args:
        files: Content by name.
        cuts: Bytes after which each of the first answers breaks off.
    """
    asked, left = [], list(cuts)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name, begin = self.path.lstrip("/"), self.headers["Range"]
            asked.append((name, begin))
            if name not in files:
                self.send_error(404)
                return
            start = int(begin.removeprefix("bytes=").removesuffix("-")) if begin else 0
            body = files[name][start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body[: left.pop(0)] if left else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

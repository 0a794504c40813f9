"""A web server of this machine's own, for the tests of downloads."""

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """A web server that misbehaves as told; `ranges` logs the Range header of every request."""

    def __init__(self, content):
        self.content, self.status, self.delay_seconds = content, 200, 0.0
        self.knows_ranges, self.tells_length, self.never_ends = True, True, False
        self.cuts = []  # bytes after which each of the next answers breaks off
        self.silent, self.drip_seconds = 0, 0.0  # how many requests get no answer; the time between two bytes
        self.ranges = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/"

    def answer(self, request):
        asked = request.headers["Range"]
        self.ranges.append(asked)
        time.sleep(self.delay_seconds)
        if self.silent:
            self.silent -= 1
            request.connection.close()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.knows_ranges else 0
        body = self.content[start:]
        request.send_response(206 if start else self.status)
        request.send_header("Content-Encoding", "gzip")  # as some servers say of every .gz file
        if self.tells_length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        with suppress(ConnectionError):  # the client may have enough
            for i in range(len(body) if self.drip_seconds else 0):
                request.wfile.write(body[i : i + 1])
                time.sleep(self.drip_seconds)
            request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
            while self.never_ends:
                request.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

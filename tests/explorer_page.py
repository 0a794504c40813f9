"""Pages of small runs, asked as a browser asks: with the cookie, under the address served."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import numpy as np
from starlette.testclient import TestClient

from glassnet.explorer.app import create_app
from glassnet.explorer.security import Guard
from glassnet.explorer.subjects import Subjects

PORT = 8123


class Page:
    """A client with the token, that repeats a request until there is an answer."""

    def __init__(self, *given, **options):
        self.subjects = Subjects(given, **options)
        self.guard = Guard(PORT, app=create_app(self.subjects, warm=False))
        self.client = TestClient(self.guard, base_url=f"http://127.0.0.1:{PORT}")
        token = parse_qs(urlsplit(self.guard.url).query)["token"][0]
        self.client.headers["authorization"] = f"token {token}"
        self.first = next(iter(self.subjects.all))

    def ask(self, path, method="GET", seconds=60, **options):
        """Ask below the first subject, or below /api for a path that starts with a slash."""
        path = f"/api{path}" if path.startswith("/") else f"/api/subjects/{self.first}/{path}"
        path += ("&" if "?" in path else "?") + "wait=2"
        until = time.monotonic() + seconds
        while True:
            answer = self.client.request(method, path, **options)
            if answer.status_code != 202 or time.monotonic() > until:
                return answer

    def json(self, path, **options):
        answer = self.ask(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def arrays(self, path, **options):
        """Return the arrays by name, and the meta."""
        answer = self.ask(path, **options)
        assert answer.status_code == 200, answer.text
        return arrays_of(answer), json.loads(answer.headers.get("x-meta", "null"))


def arrays_of(answer):
    """Read the arrays of a binary answer, as the contract lays them out."""
    body, start, arrays = answer.content, 0, {}
    for one in json.loads(answer.headers["x-arrays"]):
        kind = np.dtype({"float32": "<f4", "int32": "<i4", "uint8": "u1"}[one["dtype"]])
        size = int(np.prod(one["shape"])) * kind.itemsize
        arrays[one["name"]] = np.frombuffer(body[start : start + size], kind).reshape(one["shape"])
        start += size
    assert start == len(body)
    return arrays

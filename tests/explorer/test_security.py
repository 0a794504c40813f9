"""What must not get through: other hosts and origins, no token, other methods, other paths, too much."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from starlette.responses import Response
from starlette.testclient import TestClient

import glassnet as gn
from explorer_page import PORT
from glassnet.explorer.security import Guard


@pytest.fixture
def stranger(page):
    """A client without the token."""
    return TestClient(page.guard, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


def test_without_the_token_there_is_nothing(page, stranger):
    for path in ("/api/session", f"/api/subjects/{page.first}/pixels/1", "/assets/x.js", "/api/openapi.json"):
        answer = stranger.get(path)
        assert answer.status_code == 403
        assert "needs its token" in answer.json()["error"]
    assert stranger.get("/").headers["content-type"].startswith("text/html")
    assert stranger.get("/?token=wrong").status_code == 403
    assert stranger.get("/api/session", headers={"authorization": "token wrong"}).status_code == 403
    assert stranger.get("/api/session", headers={"cookie": f"glassnet-{PORT}=wrong"}).status_code == 403


def test_the_address_with_the_token_sets_the_cookie_and_leads_on(page, stranger):
    answer = stranger.get(page.guard.url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"glassnet-{PORT}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/api/session").status_code == 200


def test_a_link_of_another_site_leads_on_by_a_page_of_this_one(page, stranger):
    """Chromium sends no strict cookie after a redirect that began at another site."""
    answer = stranger.get(page.guard.url, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/"' in answer.text
    assert answer.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Path=/")
    assert page.guard.token not in answer.text
    assert stranger.get("/?token=wrong", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_frame_of_another_site_is_not_led_on(page, stranger):
    """No strict cookie is sent there, so the next page would be a refusal; it would also undo a second address."""
    asked = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}
    answer = stranger.get(page.guard.url, headers=asked)
    assert answer.status_code == 200
    assert "refresh" not in answer.text
    assert '<a href="" target="_blank">Open it in a tab</a>' in answer.text
    assert "set-cookie" not in answer.headers
    assert stranger.get("/?token=wrong", headers=asked).status_code == 403
    of_the_same_site = stranger.get(page.guard.url, headers=asked | {"sec-fetch-site": "same-site"})
    assert "set-cookie" in of_the_same_site.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.evil:{PORT}", ""])
def test_another_host_is_refused(page, host):
    answer = page.client.get("/api/session", headers={"host": host})
    assert answer.status_code == 403
    assert "is not served here" in answer.json()["error"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1"])
def test_another_origin_is_refused(page, origin):
    answer = page.client.get("/api/session", headers={"origin": origin})
    assert answer.status_code == 403
    assert "may not ask this server" in answer.json()["error"]
    assert "access-control-allow-origin" not in answer.headers


def test_own_origin_and_local_names_are_served(page):
    for name in ("localhost", "127.0.0.1", "[::1]"):
        headers = {"host": f"{name}:{PORT}", "origin": f"http://{name}:{PORT}"}
        assert page.client.get("/api/session", headers=headers).status_code == 200


def test_every_answer_has_the_policy(page, stranger):
    answers = [page.ask("pixels/1"), page.ask("pixels/999999"), stranger.get("/"), page.client.get("/nothing")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(page, method):
    answer = page.client.request(method, "/api/session")
    assert answer.status_code == 405
    assert "error" in answer.json()


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fapp.py",
        "/%2e%2e/app.py",
        "/assets//etc/passwd",
        "/api/subjects/..%2f..%2fetc/labels",
        "/api/subjects/%00/labels",
        "/api/subjects/{}/picture/..%2f..%2f1",
        "/api/subjects/{}/labels?part=../../etc",
        "/api/subjects/{}/embedding?layer=../../../etc/passwd&method=pca&images=60&wait=5",
    ],
)
def test_no_path_leads_out(page, path):
    until = time.monotonic() + 120
    while (answer := page.client.get(path.format(page.first))).status_code == 202 and time.monotonic() < until:
        pass
    assert answer.status_code in (400, 404)
    assert "root:" not in answer.text
    assert "FastAPI" not in answer.text


def test_what_is_too_large_is_refused(page):
    path = f"/api/subjects/{page.first}/read"
    answer = page.client.post(path, content=b"x", headers={"content-length": str(10**9)})
    assert answer.status_code == 413
    pieces = (b"x" * 1_000_000 for _ in range(25))  # without a length that could be looked at first
    answer = page.client.post(path, content=pieces)
    assert answer.status_code == 413
    assert "larger than 20,000,000 bytes" in answer.json()["error"]
    for path in (
        "place?layer=fc1&method=pca&images=60",
        "maps",
        "channels",
        "neighbours",
    ):  # pixels have the image's size
        answer = page.client.post(f"/api/subjects/{page.first}/{path}", content=b"x" * 70_000)
        assert answer.status_code == 413
        assert "larger than 65,536 bytes" in answer.json()["error"]


def test_large_uploads_are_read_one_after_the_other(page, monkeypatch):
    reading, most = [], []

    def read(_opened, _body, _name):
        reading.append(1)
        most.append(len(reading))
        time.sleep(0.02)
        reading.pop()
        return Response(b"")

    monkeypatch.setattr("glassnet.explorer.routes.masks_and_codes._read", read)
    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(lambda _: page.client.post(f"/api/subjects/{page.first}/read", content=b"x"), range(8))
        )
    assert [one.status_code for one in answers] == [200] * 8
    assert max(most) == 1


def test_names_with_scripts_and_umlauts_are_data(pages, tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
    name = "<script>alert(1)<script> ü"
    other = pages(gn.Subject(net, images, classes=[name, "\u202eb"], name=name))
    assert other.first.isascii()
    assert "<" not in other.first
    info = other.ask(f"/subjects/{other.first}")
    assert info.headers["content-type"] == "application/json"
    assert info.json()["classes"] == [name, "\\u202eb"]
    _, meta = other.arrays("image/2")
    assert meta["name"] == "test image 2"
    assert json.loads(other.ask("columns").headers["x-meta"])["wrong"] is None
    assert other.json("/session")["subjects"][0]["name"] == name


def test_openapi_describes_all_answers(page):
    schema = page.client.get("/api/openapi.json").json()
    assert {"Session", "ColumnsMeta", "EmbeddingMeta", "MapsMeta", "ArrayMeta", "Problem"} <= set(
        schema["components"]["schemas"]
    )
    assert "/api/subjects/{subject}/embedding" in schema["paths"]


def test_a_page_that_was_not_built_says_so(page):
    answer = page.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_where_all_addresses_are_served_numbers_are_but_no_other_names(page):
    guard = Guard(PORT, "0.0.0.0", page.guard.app, page.guard.token)
    client = TestClient(guard, base_url=f"http://127.0.0.1:{PORT}", headers={"authorization": f"token {guard.token}"})
    status = {
        host: client.get("/api/session", headers={"host": host, "origin": f"http://{host}"}).status_code
        for host in (
            f"192.168.1.5:{PORT}",
            f"[fe80::1]:{PORT}",
            f"evil.example:{PORT}",
            "192.168.1.5:80",
            f"1.2.3:{PORT}",
        )
    }
    assert list(status.values()) == [200, 200, 403, 403, 403]
    assert guard.url.startswith(f"http://127.0.0.1:{PORT}/?token=")

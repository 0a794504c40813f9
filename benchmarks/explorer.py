"""How fast the explorer is: start to picture, hover, maps of a click, an edit, memory, a million points.

    python benchmarks/explorer.py RUN                   all parts; RUN is a trained `convnet` with an embedding on disk
    python benchmarks/explorer.py RUN --part start hover
    python benchmarks/explorer.py RUN --train           the training images' embedding, as of `features --split train`

The parts `start` and `million` open Debian's chromium with software WebGL2 and need Playwright. `million` gives the
page a million random points in place of the server's answers, since no data set here has so many images. VGG16 has
random weights: its speed does not depend on them. Maps are Grad-CAM and Guided Grad-CAM at all convolutions, of
another image at each click. The part `whole` shows all images of the run's data set, training and test: `gn.explore` of
a subject whose embedding an earlier call left on the disk, timed from that call.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import requests
from results_file import measure

CHROMIUM = "/usr/bin/chromium"
WEBGL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
READY = '[data-testid=points][data-state="ready"]'
MAPS = "layers=conv&methods=gradcam,guided_gradcam&target=predicted"
VGG16 = """
import torch, glassnet as gn
net = gn.create_model("vgg16", in_channels=1, num_classes=10, image_size=32).eval()
images = torch.randint(0, 256, (500, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
gn.explore(net, images, browser=False)
"""
WHOLE = """
import sys, time, torch, glassnet as gn
run = gn.Run.open(sys.argv[1])
parts = [run.dataset().train, run.dataset().test]
images, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "targets"))
subject = gn.Subject(run.model(), images, labels=labels, classes=run.classes, out=sys.argv[2])
subject.embed("fc1", method="tsne", images=len(images))
print("called", time.time(), flush=True)
gn.explore(subject, browser=False)
"""


class Served:
    """An explorer in a process of its own."""

    def __init__(self, *command: str) -> None:
        self.called = time.time()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if line.startswith("called"):
                self.called = float(line.split()[1])
            if found := re.search(r"http://\S+", line):
                self.url = found[0]
                break
        else:
            raise SystemExit("the explorer did not start")
        self.base = self.url.partition("?")[0]
        self.session = requests.Session()
        self.session.headers["authorization"] = f"token {parse_qs(urlsplit(self.url).query)['token'][0]}"
        self.subject = self.session.get(f"{self.base}api/session").json()["subjects"][0]["id"]

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, path: str, body: bytes | None = None) -> requests.Response:
        """Repeat a request until there is an answer."""
        url = f"{self.base}api/subjects/{self.subject}/{path}{'&' if '?' in path else '?'}wait=5"
        while (answer := self.session.request("GET" if body is None else "POST", url, data=body)).status_code == 202:
            pass
        answer.raise_for_status()
        return answer

    def seconds(self, paths: list[str], body: bytes | None = None) -> list[float]:
        """Time one request after another."""
        times = []
        for path in paths:
            start = time.perf_counter()
            self.ask(path, body)
            times.append(time.perf_counter() - start)
        return times

    def resident_bytes(self) -> int:
        """Read how much memory the server holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 95th percentile, least and most, in milliseconds."""
    values = 1000 * np.array(seconds)
    named = {"median": np.median(values), "p95": np.quantile(values, 0.95), "least": values.min(), "most": values.max()}
    return {"n": len(values)} | {f"{name}_ms": round(float(one), 1) for name, one in named.items()}


def explore(run: str) -> Served:
    """Serve a run as a user does."""
    return Served(sys.executable, "-m", "glassnet", "explore", run, "--no-browser")


def numbers_of(served: Served, part: str, count: int) -> list[int]:
    """Draw numbers of images."""
    known = served.ask(f"labels?part={part}")
    numbers = np.frombuffer(known.content[: len(known.content) // 2], "<i4")
    return np.random.default_rng(0).choice(numbers, min(count, len(numbers)), replace=False).tolist()


def start(options: argparse.Namespace) -> dict:
    """From the command to the drawn points, the browser being open."""
    return opened(options, lambda: explore(options.run), options.part_name)


def whole(options: argparse.Namespace) -> dict:
    """The same from `gn.explore` of all images of the data set."""
    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-c", WHOLE, options.run, folder)
        with Served(*command) as served:  # the embedding, and what the model says of all images
            served.ask("columns?part=test")
        return opened(options, lambda: Served(*command), "test")


def opened(options: argparse.Namespace, serve: Callable[[], Served], part: str) -> dict:
    """Serve and open the page, several times."""
    from playwright.sync_api import sync_playwright

    seconds, to_address = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(WEBGL))
        for _ in range(options.repeats):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            with serve() as served:
                to_address.append(time.time() - served.called)
                page.goto(f"{served.url}#/{served.subject}/embedding?method=tsne&part={part}")
                points = page.wait_for_selector(READY, timeout=120_000)
                seconds.append(time.time() - served.called)
                count = int(points.get_attribute("data-count"))
            page.context.close()
        browser.close()
    return {"points": count, "to_address": spread(to_address), "to_picture": spread(seconds)}


def hover(options: argparse.Namespace) -> dict:
    """The server's answer to a hover: an image's picture."""
    with explore(options.run) as served:
        numbers = numbers_of(served, options.part_name, 1000)
        served.seconds([f"picture/{numbers[0]}?part={options.part_name}"])
        return spread(served.seconds([f"picture/{one}?part={options.part_name}" for one in numbers]))


def click(options: argparse.Namespace) -> dict:
    """Maps of all convolutions of an image that was not asked for before: `convnet`, then VGG16 at 32 pixels."""
    times = {}
    vgg16 = (sys.executable, "-c", VGG16)
    run = (sys.executable, "-m", "glassnet", "explore", options.run, "--no-browser")
    for name, command in (("convnet", run), ("vgg16", vgg16)):
        with Served(*command) as served:
            first, *numbers = numbers_of(served, "test", options.clicks + 1)
            served.ask(f"maps/{first}?part=test&{MAPS}")
            times[name] = spread(served.seconds([f"maps/{one}?part=test&{MAPS}" for one in numbers]))
    return times


def brush(options: argparse.Namespace) -> dict:
    """An edited image's prediction and maps."""
    with explore(options.run) as served:
        number = numbers_of(served, "test", 1)[0]
        pixels = np.frombuffer(served.ask(f"pixels/{number}?part=test").content, np.uint8).copy()
        random = np.random.default_rng(0)
        times = []
        for _ in range(options.clicks + 1):
            mask = (random.random(len(pixels)) < 0.1).astype(np.uint8)
            pixels[mask == 1] = 0
            body = pixels.tobytes() + mask.tobytes()
            times += served.seconds([f"maps?part=test&number={number}&{MAPS}"], body)
        return spread(times[1:])


def memory(options: argparse.Namespace) -> dict:
    """Resident memory after a hundred clicks, and after a thousand more."""
    with explore(options.run) as served:
        numbers = numbers_of(served, "test", 1100)
        paths = [f"maps/{one}?part=test&{MAPS}" for one in numbers]
        held = []
        for start_, end in ((0, 100), (100, 600), (600, 1100)):
            served.seconds(paths[start_:end])
            held.append(round(served.resident_bytes() / 2**20, 1))
    return {"resident_mib_after": dict(zip(("100", "600", "1100"), held, strict=True))}


MOVING = """([x, y]) => new Promise(resolve => {
    const times = [], begun = performance.now(), canvas = document.querySelector('[data-testid=points]');
    const frame = now => {
        times.push(now);
        if (now - begun < 3000) requestAnimationFrame(frame); else resolve(times);
    };
    const move = k => {
        const where = {bubbles: true, pointerId: 1, buttons: 1, clientX: x + 4 * (k % 50), clientY: y};
        canvas.dispatchEvent(new PointerEvent('pointermove', where));
        if (performance.now() - begun < 3000) setTimeout(() => move(k + 1), 8);
    };
    requestAnimationFrame(frame);
    move(0);
})"""
"""Drags the picture for three seconds and gives the times of the frames, in milliseconds."""


def million(options: argparse.Namespace) -> dict:
    """A million random points: until they are drawn, frames while they move, a lasso in their middle."""
    from playwright.sync_api import sync_playwright

    count = options.points
    with explore(options.run) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(WEBGL))
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(180_000)
        fake(page, served, count)
        started = time.perf_counter()
        page.goto(f"{served.url}#/{served.subject}/embedding?method=pca&layer=fc1")
        page.wait_for_selector(f'{READY}[data-count="{count}"]')
        loaded = time.perf_counter() - started
        box = page.locator("[data-testid=points]").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        frames = page.evaluate(MOVING, [x, y])
        page.mouse.up()
        lasso, selected = surround(page, x, y)
        browser.close()
    moving = spread((np.diff(frames) / 1000).tolist())
    times = {"load_seconds": round(loaded, 2), "frame_while_moving": moving, "lasso_seconds": round(lasso, 2)}
    return {"points": count, **times, "selected": selected}


def fake(page, served: Served, count: int) -> None:
    """Answer in place of the server what has a row an image."""
    random = np.random.default_rng(0)
    numbers, label = np.arange(count, dtype="<i4"), random.integers(0, 10, count, dtype="<i4")
    points = (random.normal(size=(count, 2)) + 4 * random.normal(size=(10, 2))[label]).astype("<f4")
    ones = np.ones(count, "<f4")
    known = {"numbers": numbers, "label": label}
    predicted = {**known, "predicted": label, "confidence": ones, "loss": 0 * ones, "quality": ones}
    meta = json.loads(served.ask("embedding?layer=fc1&method=pca&dims=2&part=test").headers["X-Meta"])
    columns = json.loads(served.ask("columns?part=test").headers["X-Meta"])

    def answer(route, arrays, about):
        described = [
            {"name": name, "dtype": {"i": "int32", "f": "float32"}[one.dtype.kind], "shape": list(one.shape)}
            for name, one in arrays.items()
        ]
        headers = {"X-Arrays": json.dumps(described), "X-Meta": json.dumps(about)}
        route.fulfill(body=b"".join(one.tobytes() for one in arrays.values()), headers=headers)

    drawn = {"points": points, "numbers": numbers, "cluster": label}
    page.route("**/embedding?**", lambda route: answer(route, drawn, meta | {"images": count, "of": count}))
    page.route("**/labels?**", lambda route: answer(route, known, None))
    page.route("**/columns?**", lambda route: answer(route, predicted, columns | {"images": count, "wrong": 0}))


def surround(page, x: float, y: float) -> tuple[float, int]:
    """Draw a lasso around the middle; return the seconds until the selection is there, and how many it holds."""
    page.get_by_text("lasso", exact=True).click()
    page.mouse.move(x - 200, y - 200)
    page.mouse.down()
    for across, down in ((200, -200), (200, 200), (-200, 200), (-200, -200)):
        page.mouse.move(x + across, y + down, steps=3)
    begun = time.perf_counter()
    page.mouse.up()
    selected = page.wait_for_selector("[data-testid=selected]").get_attribute("data-count")
    return time.perf_counter() - begun, int(selected)


PARTS = {
    "start": start,
    "whole": whole,
    "hover": hover,
    "click": click,
    "brush": brush,
    "memory": memory,
    "million": million,
}


def main() -> None:
    """Run the parts and write what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--train", dest="part_name", action="store_const", const="train", default="test")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clicks", type=int, default=50)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/explorer.json"))
    measure(PARTS, parser.parse_args())


if __name__ == "__main__":
    main()

"""The server itself: many clients at once, runs that vanish or change, models that fail, and how it starts and ends."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import torch

import glassnet as gn
from command_line import refused
from explorer_page import arrays_of
from glassnet.analysis import analyse
from glassnet.console import step
from glassnet.explorer.asked import LARGE_BODIES
from glassnet.explorer.explore import Explorer, explore
from glassnet.explorer.jobs import FORGOTTEN_SECONDS, Work
from glassnet.explorer.schemas import Names
from glassnet.explorer.serving import Server
from glassnet.explorer.subjects import Subjects
from tiny_runs import copied, replace_weights


class Odd(torch.nn.Module):
    """Gives NaN for images that begin with 1, and fails for those that begin with 2."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 3)

    def forward(self, images):
        first = (images[:, 0, 0, 0] * 255).round()
        if (first == 2).any():
            raise ValueError("no twos")
        scores = self.linear(images.flatten(1))
        return torch.where((first == 1)[:, None], torch.nan, scores)


@pytest.fixture(scope="module")
def odd(pages):
    torch.manual_seed(0)
    images = np.zeros((4, 1, 8, 8), np.uint8)
    images[:, 0, 0, 0] = [0, 1, 2, 3]
    return pages(gn.Subject(Odd(), images, labels=[0, 1, 2, 0]))


def test_a_model_that_fails_or_gives_nan_is_told_for_that_image(odd):
    answer = odd.ask("image/1")
    assert answer.status_code == 500
    assert "the model gives NaN for test image 1" in answer.json()["error"]
    answer = odd.ask("image/2")
    assert answer.status_code == 400
    assert "no twos" in answer.json()["error"]
    assert odd.ask("image/0").status_code == 200
    assert odd.ask("columns").status_code == 400
    assert odd.json("training")["state"] == "none"


def test_a_network_that_is_trained_on_is_asked_anew(pages):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    shown = pages(gn.Subject(net, np.full((4, 1, 8, 8), 99, np.uint8)))
    before, _ = shown.arrays("image/0")
    with torch.no_grad():
        net[1].bias.add_(torch.tensor([5.0, 0.0, 0.0]))
    after, _ = shown.arrays("image/0")
    assert after["probabilities"][0] > before["probabilities"][0]


def test_an_own_image_is_placed_by_the_weights_as_they_are(pages):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8)).astype(np.uint8)
    shown = pages(gn.Subject(net, images))

    def nearest(number):
        asked = "place?layer=1&method=pca&images=30"
        return shown.arrays(asked, method="POST", content=images[number].tobytes())[1]["neighbours"][0]

    assert [nearest(number) for number in range(3)] == [0, 1, 2]
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(8, 64))
        net[1].bias.add_(50)
    assert [nearest(number) for number in range(3)] == [0, 1, 2]
    before, old = shown.subjects.get(shown.first).version(), net[1]  # alive: another would get its address
    net[1] = torch.nn.Linear(64, 8)  # written to as often as the one before
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(8, 64))
        net[1].bias.add_(1)
    assert shown.subjects.get(shown.first).version() != before
    del old


def test_a_run_that_is_removed_damaged_or_trained_again_is_told(finished, pages, tmp_path):
    shutil.copytree(finished.path, run := tmp_path / "digits")
    shown = pages(run)
    assert shown.ask("pixels/1").status_code == 200
    shutil.move(run, tmp_path / "away")
    for path in ("pixels/1", "columns", "training"):
        answer = shown.ask(path)
        assert answer.status_code == 410
        assert "was removed while it was shown" in answer.json()["error"]
    assert shown.json("/session")["subjects"][0]["problem"]
    shutil.move(tmp_path / "away", run)
    assert shown.json("/session")["subjects"][0]["problem"] == ""
    assert shown.ask("pixels/1").status_code == 200
    weights = gn.Run.open(run).weights()
    replace_weights(run, {name: 0 * one if name.startswith("fc2") else one for name, one in weights.items()})
    answer = shown.ask("image/1")
    assert answer.status_code == 410
    assert "has changed since it was opened" in answer.json()["error"]
    assert shown.json("/session")["subjects"][0]["problem"] == ""
    arrays, _ = shown.arrays("image/1")
    assert np.allclose(arrays["probabilities"], 0.1)
    (run / "model.safetensors").write_bytes(b"damaged")
    assert shown.ask("image/1").status_code == 410
    assert "damaged" in shown.json("/session")["subjects"][0]["problem"]


def test_a_page_that_is_opened_anew_shows_a_run_that_was_trained_again(finished, pages, tmp_path):
    """Its first requests are sent at once, so that none of them can wait for the list of what is shown."""
    run = copied(finished, tmp_path)
    shown = pages(run.path)
    assert shown.ask("image/1").status_code == 200
    weights = run.weights()
    replace_weights(run.path, {name: 0 * one if name.startswith("fc2") else one for name, one in weights.items()})
    assert shown.ask("labels").status_code == 410
    assert shown.client.get("/").status_code == 200
    assert shown.ask("labels").status_code == 200


def test_a_page_cancels_what_no_other_page_waits_for(pages):
    shown = pages(gn.Subject(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)), np.zeros((4, 1, 2, 2))))
    queue, ends = shown.subjects.get(shown.first).queue, threading.Event()

    def run():
        while not ends.wait(0.01):
            step()
        return Names(numbers=[], names=[])

    job = queue.ask(Work(("long",), "long", run), "one")
    queue.ask(Work(("long",), "long", run), "other")
    for page, cancelled in (("one", False), ("other", True)):
        assert shown.client.delete(f"/api/jobs/{job.id}", headers={"X-Page": page}).status_code == 204
        assert job.cancelled == cancelled
    ends.set()


@pytest.mark.parametrize("labels", [None, [0, 1, 2] * 2])
def test_a_network_that_ends_in_a_softmax_has_one_answer_everywhere(pages, labels):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 3, 3, bias=False)
    net = torch.nn.Sequential(conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Softmax(1)).eval()
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)
    with torch.no_grad():
        conv.weight.mul_(20)
        expected = net(torch.from_numpy(images).float() / 255).numpy()
    shown = pages(gn.Subject(net, images, labels))
    columns, _ = shown.arrays("columns")
    assert columns["confidence"] == pytest.approx(expected.max(1), abs=1e-5)
    assert columns["predicted"].tolist() == expected.argmax(1).tolist()
    for path in ("image/0", "maps/0?methods=gradcam"):
        assert shown.arrays(path)[0]["probabilities"] == pytest.approx(expected[0], abs=1e-5)


def test_images_for_which_a_model_gives_nan_have_no_prediction(pages):
    images = np.zeros((3, 1, 8, 8), np.uint8)
    images[:, 0, 0, 0] = [0, 1, 3]
    columns, _ = pages(gn.Subject(Odd(), images)).arrays("columns")
    assert columns["predicted"][1] == -1
    assert (columns["predicted"][[0, 2]] >= 0).all()
    assert np.isnan(columns["confidence"]).tolist() == [False, True, False]


def test_what_was_begun_before_a_run_was_trained_again_is_not_of_it(finished, pages, tmp_path):
    shutil.copytree(finished.path, run := tmp_path / "digits")
    before = analyse(run, "evaluation", figures=False).result
    weights = gn.Run.open(run).weights()
    replace_weights(run, {name: -one if name.startswith("fc2") else one for name, one in weights.items()})
    for file in run.glob("analyses/evaluation/*/analysis.json"):
        os.utime(file)  # written only now
    columns, _ = pages(run).arrays("columns")
    assert (columns["predicted"] != before.predicted).mean() > 0.5


@pytest.fixture(scope="module")
def server(finished, tmp_path_factory):
    """A server in a thread, and how to ask it."""
    shutil.copytree(finished.path, run := tmp_path_factory.mktemp("runs") / "served")
    made = Server(Subjects([run]), host="127.0.0.1", port=0)
    made.start()
    yield made
    made.close()


def _ask(server, path, timeout=60):
    base = server.url.partition("?")[0]
    return requests.get(f"{base}api{path}", headers={"authorization": f"token {server.guard.token}"}, timeout=timeout)


def test_fifty_clients_get_right_answers(server, finished):
    images = finished.dataset().test.images.numpy()

    def one(number):
        pixels = arrays_of(_ask(server, f"/subjects/served/pixels/{number}"))["pixels"]
        columns = _ask(server, "/subjects/served/columns?wait=1").status_code
        return np.array_equal(pixels, images[number]), columns

    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(one, range(50)))
    assert all(right for right, _ in answers)
    assert {status for _, status in answers} <= {200, 202}


def test_of_many_large_files_few_are_in_memory_at_once(server, monkeypatch):
    received, most = [], []

    async def body_of(_request):
        received.append(1)
        most.append(len(received))
        await asyncio.sleep(0.02)
        received.pop()
        return b"no image"

    monkeypatch.setattr("glassnet.explorer.routes.masks_and_codes.body_of", body_of)
    url = f"{server.url.partition('?')[0]}api/subjects/served/read"
    headers = {"authorization": f"token {server.guard.token}"}
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: requests.post(url, b"x", headers=headers, timeout=60), range(16)))
    assert {one.status_code for one in answers} == {415}
    assert max(most) <= LARGE_BODIES


def test_hover_is_answered_while_work_goes_on(server):
    begun = threading.Thread(target=_ask, args=(server, "/subjects/served/embedding?layer=fc1&images=200&wait=5"))
    begun.start()
    times = []
    for number in range(40):
        start = time.perf_counter()
        assert _ask(server, f"/subjects/served/picture/{number}").status_code == 200
        times.append(time.perf_counter() - start)
    begun.join()
    assert np.median(times) < 1  # measured on a quiet machine elsewhere; here that nobody waits for the work


def test_work_whose_client_has_gone_is_not_done(finished):
    """As while a brush moves: each stroke asks anew, and gives up the one before."""
    subjects = Subjects([finished.path])
    one, queue = Server(subjects, host="127.0.0.1", port=0), subjects.get("tiny").queue
    begun, go_on = threading.Event(), threading.Event()
    one.start()
    long = queue.ask(Work((0, "long"), "long", lambda: (begun.set(), go_on.wait(20)) and Names(numbers=[], names=[])))
    assert begun.wait(20)
    for number in range(3):
        with pytest.raises(requests.Timeout):
            _ask(one, f"/subjects/tiny/image/{number}?wait=5", timeout=0.3)
    until = time.monotonic() + FORGOTTEN_SECONDS - 1
    while any(job.is_wanted for job in list(queue._waiting)) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(queue._waiting) == 3
    assert not any(job.is_wanted for job in queue._waiting)
    go_on.set()
    assert _ask(one, "/subjects/tiny/image/3?wait=5", timeout=60).status_code == 200
    assert long.is_over
    with queue._changed:  # or it may not be kept yet
        assert sum(key[1] == "image" for key in queue._results) == 1
    one.close()


def test_it_ends_without_a_traceback_while_a_request_waits(finished, tmp_path, monkeypatch, capfd):
    subjects, waiting, go_on = Subjects([copied(finished, tmp_path).path]), threading.Event(), threading.Event()
    monkeypatch.setattr(subjects, "refresh", lambda: (waiting.set(), go_on.wait(20)))
    ending = Server(subjects, host="127.0.0.1", port=0)
    ending.start()
    threading.Thread(target=_given_up, args=(ending,), daemon=True).start()
    assert waiting.wait(20)
    threading.Timer(1.5, go_on.set).start()
    ending.close()
    assert "Traceback" not in capfd.readouterr().err


def _given_up(server):
    with contextlib.suppress(requests.RequestException):
        _ask(server, "/session")


def test_a_port_that_is_taken_is_refused(server):
    with pytest.raises(gn.InputError, match=r"cannot listen at 127\.0\.0\.1, port"):
        Server(server.guard.app.state.subjects, host="127.0.0.1", port=server.guard.port)


def test_a_notebook_gets_a_frame_and_goes_on(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("glassnet.explorer.explore.in_notebook", lambda: True)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    shown = explore(net, torch.zeros(4, 1, 8, 8, dtype=torch.uint8), classes=["a", "b", "c"])
    assert isinstance(shown, Explorer)
    frame = shown._repr_html_()
    assert f":{shown._server.guard.port}/?token=" in frame
    assert "src=" not in frame.split("<script>")[0], "an address besides the script's could win over it"
    answer = requests.get(shown.url, timeout=30)
    assert "http://localhost:*" in answer.headers["content-security-policy"]
    shown.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(shown.url, timeout=5)
    copied(finished, tmp_path).explore().close()


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(gn.InputError, match="a network needs images"):
        explore(torch.nn.Linear(1, 1))
    with pytest.raises(gn.InputError, match="no run at"):
        explore("nowhere")


def test_the_command_refuses_what_is_no_run(tmp_path, capsys):
    assert "no run or model 'nowhere'" in refused(capsys, "explore", "nowhere")
    assert "has no run.json" in refused(capsys, "explore", str(tmp_path))
    assert "--port is 70000" in refused(capsys, "explore", str(tmp_path), "--port", "70000")


def test_without_the_extra_the_pip_line_is_printed(finished, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "pip install 'glassnet[explore]'" in refused(capsys, "explore", str(finished.path))


def test_the_command_serves_before_torch_and_ends_by_ctrl_c(finished, tmp_path):
    command = [sys.executable, "-m", "glassnet", "explore", str(copied(finished, tmp_path).path), "--no-browser"]
    served = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    url = served.stderr.readline().split()[-1]
    asked = requests.Session()
    assert asked.get(url, timeout=30).status_code == 200
    assert asked.get(url.partition("?")[0] + "api/session", timeout=30).json()["subjects"][0]["kind"] == "run"
    served.send_signal(signal.SIGINT)
    rest = served.communicate(timeout=30)[1]
    assert served.returncode == 0
    assert rest.splitlines()[-1] == "The explorer is closed."
    assert "Traceback" not in rest


def test_nothing_that_is_served_first_loads_torch():
    code = (
        "import sys; import glassnet.explorer.app, glassnet.explorer.serving, glassnet.cli.explore;"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_job_that_is_over_can_be_cancelled(pages, finished):
    """The page cannot know that it ended just now: that is no error."""
    page = pages(finished.path)
    assert page.client.delete("/api/jobs/none").status_code == 204


@pytest.mark.parametrize("labelled", [False, True])
def test_labels_of_a_network_that_ends_in_a_sigmoid_have_one_answer_everywhere(pages, labelled):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 3, 3, bias=False)
    net = torch.nn.Sequential(conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Sigmoid()).eval()
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)
    with torch.no_grad():
        conv.weight.mul_(20)
        expected = net(torch.from_numpy(images).float() / 255).numpy()
    targets = np.random.default_rng(1).integers(0, 2, (6, 3)) if labelled else None
    shown = pages(gn.Subject(net, images, targets, task="multilabel"))
    columns, _ = shown.arrays("columns")
    assert columns["confidence"] == pytest.approx(expected.max(1), abs=1e-5)
    assert columns["predicted"].tolist() == np.where(expected.max(1) >= 0.5, expected.argmax(1), -1).tolist()
    for path in ("image/0", "maps/0?methods=gradcam"):
        assert shown.arrays(path)[0]["probabilities"] == pytest.approx(expected[0], abs=1e-5)


def test_a_segmentation_that_ends_in_a_softmax_shows_its_own_confidence(pages):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        conv.weight.mul_(20)
    net = torch.nn.Sequential(conv, torch.nn.Softmax(dim=1)).eval()
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8)).astype(np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(images[:1]).float() / 255)[0].max(dim=0).values.numpy()
    arrays, _ = pages(gn.Subject(net, images, np.zeros((4, 8, 8), np.uint8))).arrays("segmentation/0")
    assert arrays["confidence"] == pytest.approx(expected, abs=1e-5)

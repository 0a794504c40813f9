"""Commands in processes that are forked from one that has loaded everything: they begin at once and can be killed."""

import contextlib
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = ("--model-options", "filters=4,4,8,8", "hidden=16", "--epochs", "3", "--precision", "fp32")
DATA = "TORTURE_DATA"
"""Environment variable that names another data set than mnist-sample: the test's is small, and its trainings short."""
TRACEBACK = 70
"""Exit code of a process that an error nobody foresaw has ended."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; minus the signal that killed it.
        text: What it wrote.
        seconds: How long it ran.
        megabytes: The most memory that it had beyond what it began with.
    """

    code: int
    text: str
    seconds: float
    megabytes: float

    @property
    def fault(self) -> str:
        """What is wrong with it, where it ended neither well nor with one sentence; else nothing."""
        if self.code in (0, 1, 2) and "Traceback" not in self.text:
            last = self.text.rstrip().splitlines()[-1:]
            return "" if self.code == 0 or (last and last[0].startswith("glassnet: ")) else f"no sentence: {last}"
        return f"code {self.code}: {' '.join(self.text.split())[-300:]}"


class Process:
    """A function in a forked process."""

    def __init__(self, work: Callable[[], int | None]) -> None:
        """Start it."""
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.start = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.number = os.fork()
        if not self.number:
            self._run(work)

    def _run(self, work: Callable[[], int | None]) -> None:
        code = TRACEBACK
        os.fsync = lambda _: None  # a process that is killed loses nothing of what it wrote; a disk would be waited for
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job would ignore
            os.dup2(self.output.fileno(), 1)
            os.dup2(self.output.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            code = work() or 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return os.waitid(os.P_PID, self.number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self) -> None:
        """Kill it and what it started, as `kill -9` does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.number, signal.SIGKILL)

    def wait(self, limit_seconds: float = 120) -> Ended:
        """Wait until it ends, and kill it after the limit."""
        while self.is_running() and time.monotonic() - self.start < limit_seconds:
            time.sleep(0.005)
        if self.is_running():
            self.kill()
        _, status, usage = os.wait4(self.number, 0)
        with self.output:
            self.output.seek(0)
            text = self.output.read().decode(errors="replace")
        grown = (usage.ru_maxrss - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
        return Ended(os.waitstatus_to_exitcode(status), text, time.monotonic() - self.start, grown)


def start(*words: Any) -> Process:
    """Start a glassnet command."""
    from glassnet.cli import run

    return Process(lambda: run([str(word) for word in words]))


def command(*words: Any) -> Ended:
    """Run a glassnet command."""
    return start(*words).wait()


def must(*words: Any) -> Ended:
    """Run a glassnet command that must end well."""
    ended = command(*words)
    if ended.code:
        raise RuntimeError(f"{' '.join(map(str, words))} failed before any torture: {ended.text[-2000:]}")
    return ended


def load_everything() -> None:
    """Load what commands load, so that they begin at once; no thread may be started here, or forks would hang."""
    import matplotlib

    matplotlib.use("agg")
    import accelerate  # noqa: F401
    import matplotlib.backends.backend_svg
    import sklearn.cluster  # noqa: F401
    import torch._dynamo  # as the first step of an optimizer does
    import torch.distributed.tensor  # noqa: F401

    import glassnet.reports
    import glassnet.reproduction
    import glassnet.tasks.classification.views
    import glassnet.training
    import glassnet.tuning  # noqa: F401


def weights_digest(run: Path) -> str:
    """Return a digest of a run's tensors by name."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(run / "model.safetensors", framework="numpy") as file:
        for name in sorted(file.keys()):
            digest.update(name.encode() + file.get_tensor(name).tobytes())
    return digest.hexdigest()


def names_in(folder: Path) -> set[str]:
    """Return the names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}

"""Words of a command line to a settings dataclass, with errors in one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import tyro

from glassnet import settings
from glassnet.cli.help import OWN, docstring, lay_out, summary
from glassnet.console import say
from glassnet.errors import InputError, unknown_name

SHELLS = ("bash", "zsh", "fish")


def parse(name: str, command: Callable[[Any], Any], arguments: Sequence[str]) -> tuple[Any, bool]:
    """Parse the words after a command's name into its settings, and whether --json was given.

    `--help` prints the command's help and leaves the process with code 0; `--help-all` also describes rare options.

    Raises:
        InputError: A word is unknown, missing or of the wrong type, or the settings refuse their values.
    """
    rare = () if "--help-all" in arguments else getattr(settings_of(command), "RARE", ())
    arguments = ["--help" if word == "--help-all" else word for word in _renamed(arguments)]
    kind = settings_of(command)
    call = _extended(kind)
    said, failed = io.StringIO(), io.StringIO()
    try:
        with _unwrapped(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(failed):
            parsed = tyro.cli(
                call,
                prog=f"glassnet {name}",
                description=docstring(kind),
                args=list(arguments),
                **_start(call, arguments),
            )
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raw = said.getvalue()
            own = _of_tasks() if OWN in raw else {}
            print(lay_out(name, docstring(kind), raw, getattr(kind, "GROUPS", {}), own, rare), end="")
            raise
        raise InputError(_sentence(failed.getvalue() + said.getvalue(), name)) from None
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(kind)}
    return kind(**values), parsed.json


def settings_of(command: Callable[[Any], Any]) -> Any:
    """Return the dataclass of a command's settings, which its annotation names."""
    return getattr(settings, command.__annotations__["settings"].removeprefix("s."))


def _of_tasks() -> dict[str, str]:
    """Say what each task brings for a setting that is not given, and name the tasks."""
    from glassnet.tasks import TASKS  # loads torch

    values = {name: dataclasses.asdict(task.defaults) | dataclasses.asdict(task.recipe) for name, task in TASKS.items()}
    settings_names = next(iter(values.values()))
    return {key: _by_task({name: one[key] for name, one in values.items()}) for key in settings_names} | {
        "task": f"{{{','.join(TASKS)}}}"
    }


def _by_task(values: Mapping[str, Any]) -> str:
    """Write a value for each task, as in "16 for segmentation, 128 for classification and reconstruction"."""
    tasks: dict[Any, list[str]] = {}
    for name, value in values.items():
        tasks.setdefault(value, []).append(name)
    if len(tasks) == 1:
        return str(next(iter(tasks)))
    return ", ".join(f"{value} for {' and '.join(names)}" for value, names in tasks.items())


def completion(shell: str, commands: Mapping[str, Callable[[Any], Any]]) -> str:
    """Return the script that completes the command line in a shell.

    Raises:
        InputError: The shell is none of those.
    """
    if shell not in SHELLS:
        raise unknown_name("completion for the shell", shell, SHELLS, noun="shells")
    script = io.StringIO()
    kinds = {name: _extended(settings_of(command)) for name, command in commands.items()}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(script):
        tyro.extras.subcommand_cli_from_dict(kinds, prog="glassnet", args=["--tyro-print-completion", shell])
    return script.getvalue() + (_FILES_IN_BASH if shell == "bash" else "")


# tyro completes no path of a positional argument: where it knows nothing, bash completes files as usual.
_FILES_IN_BASH = """
_glassnet_or_files() {
  _tyro_glassnet "$@"
  [[ -n "${COMPREPLY[*]}" ]] || COMPREPLY=()
}
complete -o default -F _glassnet_or_files glassnet
"""


def _renamed(arguments: Sequence[str]) -> list[str]:
    """Give options under an old name that of today, and say so."""
    words = []
    for word in arguments:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if option.startswith("--") and name in settings.OLD_NAMES:
            today = f"--{settings.OLD_NAMES[name].replace('_', '-')}"
            say(f"glassnet: {option} is now called {today}; the old name will be removed in the next version.")
            option = today
        words.append(option + equals + value)
    return words


def _extended(kind: Any) -> Any:
    """Add what belongs to the command line alone: --json, and --preset where the settings have presets."""
    said_once = tyro.conf.arg(help="Print one JSON document on standard output.")
    as_json = Annotated[bool, tyro.conf.FlagCreatePairsOff, said_once]
    extra: list[Any] = [("json", as_json, dataclasses.field(default=False, kw_only=True))]
    if hasattr(kind, "PRESETS"):
        names: Any = Literal[tuple(kind.PRESETS)]
        choice = Annotated[names, tyro.conf.arg(help=summary(kind.preset))]
        extra.append(("preset", choice, dataclasses.field(default="default", kw_only=True)))
    return dataclasses.make_dataclass(kind.__name__, extra, bases=(kind,), frozen=True)


def _start(call: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the values that --preset starts from, into which tyro puts those that are given."""
    presets = getattr(call, "PRESETS", {})
    words = dict(pairwise(arguments)) | dict(w.split("=", 1) for w in arguments if "=" in w)
    name = words.get("--preset")
    return {"default": call(preset=name, **presets[name])} if name in presets else {}


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Have tyro write without line breaks, so that no word is torn."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "2000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS", None)
        if before is not None:
            os.environ["COLUMNS"] = before


# What tyro says of a number that may be left out, before it tells what each of its two types made of the word.
_OPTIONAL = re.compile(r"no type matching \{None\}\|(INT|FLOAT) could be instantiated from \[(.*?)\]\..*", re.DOTALL)
_KINDS = {"INT": "a whole number", "FLOAT": "a number"}


def _sentence(box: str, name: str) -> str:
    """Take the message out of tyro's frame: its first part after the title, and what it takes the word for."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    parts = [" ".join(re.sub(r"[╭╮╰╯│├┤]", " ", part).split()) for part in re.split(r"[-─]{8,}", plain)]
    message = next((part for part in parts[1:] if part), parts[0])
    message = re.sub(r"^Error parsing (settings|\w+Settings): ", "", message).rstrip(".")
    message = re.sub(_OPTIONAL, lambda match: f"got {match[2]}, expected {_KINDS[match[1]]}", message)
    message = re.sub(r"one of \(('[^)]*)\)", lambda match: f"one of {_choices(match[1])}", message)
    message = re.sub(r"--[\w-]+/(--[\w-]+)", r"\1", message)  # an option with a short form: --lr/--learning-rate
    near = [m.group(0) for part in parts if part.startswith("Perhaps") for m in re.finditer(r"--[\w-]+", part)]
    hint = f" Did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    return f"{message[:1].lower()}{message[1:]}.{hint} `glassnet {name} --help` lists the options."


def _choices(listed: str) -> str:
    """Write choices without None, which stands for leaving the option out, and in an order, which tyro's have not."""
    return ", ".join(sorted(set(re.findall(r"'([^']*)'", listed)) - {"None"}))

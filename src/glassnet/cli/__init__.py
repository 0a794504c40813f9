"""The command line: a thin face over the library; `glassnet --help` loads neither torch nor the settings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glassnet.console import count_processes, is_main_process, printable, say
from glassnet.errors import GlassnetError, InputError, is_too_large, unknown_name

if TYPE_CHECKING:
    from glassnet import settings as s


@dataclass(frozen=True)
class Answer:
    """What a command says on standard output.

    Attributes:
        text: What a person reads.
        data: The same as JSON values, printed by --json.
        exit_code: 2 where the answer is that something given cannot be used.
    """

    text: str
    data: Mapping[str, Any]
    exit_code: int = 0


def demo(settings: s.DemoSettings) -> Answer:
    """Try everything without a download: train on real digits, explain digits and photographs, write two reports."""
    from glassnet.cli.demo import demo

    return demo(settings)


def train(settings: s.TrainSettings) -> Answer:
    """Train a model on a data set and write a run directory."""
    from glassnet.cli.training import train

    return train(settings)


def tune(settings: s.TuneSettings) -> Answer:
    """Train every combination of some settings with several seeds, and test which differences are real."""
    from glassnet.cli.training import tune

    return tune(settings)


def evaluate(settings: s.EvalSettings) -> Answer:
    """Measure how good a model is, with 95% intervals, tables and figures."""
    from glassnet.cli.analysis import evaluate

    return evaluate(settings)


def features(settings: s.FeaturesSettings) -> Answer:
    """Plot what layers have learned as points (PCA, t-SNE, UMAP, PaCMAP), cluster them, and measure each plot."""
    from glassnet.cli.embedding import features

    return features(settings)


def explain(settings: s.ExplainSettings) -> Answer:
    """Show where each layer looks, with Grad-CAM and Guided Grad-CAM at every convolution."""
    from glassnet.cli.analysis import explain

    return explain(settings)


def channels(settings: s.ChannelsSettings) -> Answer:
    """Show what each channel of each layer has learned, and what the network loses without it."""
    from glassnet.cli.channels import channels

    return channels(settings)


def report(settings: s.ReportSettings) -> Answer:
    """Write one self-contained HTML report on runs or networks."""
    from glassnet.cli.analysis import report

    return report(settings)


def explore(settings: s.ExploreSettings) -> Answer:
    """Explore runs or a network in your browser: points, images, maps and layers, all linked."""
    from glassnet.cli.explore import explore

    return explore(settings)


def analyses(settings: s.AnalysesSettings) -> Answer:
    """List the analyses of a run; remove or rename one."""
    from glassnet.cli.analysis import analyses

    return analyses(settings)


def reproduce(settings: s.ReproduceSettings) -> Answer:
    """Reproduce the 2019 report: tables and figures, its numbers beside ours, a verdict on each claim."""
    from glassnet.cli.training import reproduce

    return reproduce(settings)


def data(settings: s.DataSettings) -> Answer:
    """List, fetch, verify or check data sets."""
    from glassnet.cli.catalogue import data

    return data(settings)


def models(settings: s.ModelsSettings) -> Answer:
    """List the models, or print a model's layer table."""
    from glassnet.cli.catalogue import models

    return models(settings)


COMMANDS: dict[str, Callable[[Any], Answer]] = {
    "demo": demo,
    "train": train,
    "tune": tune,
    "eval": evaluate,
    "features": features,
    "explain": explain,
    "channels": channels,
    "report": report,
    "explore": explore,
    "analyses": analyses,
    "reproduce": reproduce,
    "data": data,
    "models": models,
}

_OVERVIEW = """usage: glassnet COMMAND [OPTIONS]

Train a vision network, then see through it.

{commands}

{notes}
"""
_NOTES = (
    "`glassnet COMMAND --help` or `glassnet help COMMAND` lists a command's options; `-V` prints the version. With "
    "`--json`, standard output is one JSON document. Progress always goes to standard error. Exit codes: 0 for "
    "success, 2 for wrong input, 1 if the work itself failed. `glassnet --print-completion bash` (or zsh, or fish) "
    "prints a completion script for your shell."
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit code: 0, 2 for a usage or input error, 1 for a failure in the work, 130 if interrupted.
    """
    if len(arguments) > 1 and arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        from glassnet import __version__

        print(f"glassnet {__version__}")
        return 0
    try:
        if arguments[0].partition("=")[0] == "--print-completion":
            return _print_completion(arguments)
        return _run(arguments[0], arguments[1:])
    except BrokenPipeError:  # the reader has seen enough, as in `glassnet models | head -1`
        _close_output()
        return 0
    except GlassnetError as error:
        say(f"glassnet: {error}")
        return error.exit_code
    except (OSError, MemoryError, RuntimeError) as error:  # a full disk, a folder without rights, too little memory
        if is_too_large(error):
            say("glassnet: the work failed: not enough memory; use a smaller network, image size or batch.")
        elif isinstance(error, OSError):
            say(f"glassnet: the work failed: {str(error) or type(error).__name__}.")
        else:
            raise
        return 1
    except KeyboardInterrupt:
        say("glassnet: interrupted.")
        return 130
    finally:
        _leave_the_other_processes()


def _overview() -> str:
    import shutil
    import textwrap

    from glassnet.cli.help import summary

    width = shutil.get_terminal_size((80, 24)).columns
    about = {name: summary(function) for name, function in COMMANDS.items()}
    lines = [textwrap.fill(f"  {name:<10}{text}", width, subsequent_indent=" " * 12) for name, text in about.items()]
    return _OVERVIEW.format(commands="\n".join(lines), notes=textwrap.fill(_NOTES, width))


def _print_completion(arguments: Sequence[str]) -> int:
    from glassnet.cli.parse import completion

    shell = " ".join([*arguments[0].split("=")[1:], *arguments[1:]])
    print(completion(shell, COMMANDS), end="")
    return 0


def _close_output() -> None:
    """Let Python's last flush on leaving write to nowhere, where it would complain about the broken pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_the_other_processes() -> None:
    """End what joins the processes of a torchrun: one that leaves with its threads running is aborted now and then."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _run(name: str, arguments: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS, noun="commands")
    if count_processes() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch prints a stack for every second of waiting
    if count_processes() > 1 and name != "train":
        raise InputError(
            f"`glassnet {name}` runs in a single process, but torchrun started {os.environ['WORLD_SIZE']}; use "
            "torchrun for train only."
        )
    import warnings

    from glassnet.cli.parse import parse
    from glassnet.devices import keep_freed_memory

    warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit")  # large images are read all the same

    settings, as_json = parse(name, COMMANDS[name], arguments)
    keep_freed_memory()
    answer = COMMANDS[name](settings)
    if is_main_process():
        print(_json(answer.data) if as_json else printable(answer.text), flush=True)
    return answer.exit_code


def _json(value: Any) -> str:
    """Write JSON, with characters that the output does not have, or that a terminal obeys, as in \\u009b."""
    import json

    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        plain = printable(text) == text and text.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        plain = False
    return text if plain else json.dumps(value, indent=1, allow_nan=False).replace("\x7f", "\\u007f")


__all__ = ["COMMANDS", "Answer", "run"]

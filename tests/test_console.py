import io
import sys

import pytest

from glassnet import console
from glassnet.errors import InputError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_where_there_is_no_terminal(capsys):
    with console.progress("reading", 3) as advance:
        advance(note="a")
    with console.progress("silent", 3, announce=False) as advance:
        advance()
    said = capsys.readouterr()
    assert said.err == "reading\n"
    assert not said.out


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with console.progress("fetching", 2048, unit="bytes") as advance:
        advance(1024, note="half")
    assert "fetching" in sys.stderr.getvalue()


def test_only_the_first_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    console.say("hello")
    with console.progress("reading", 1) as advance:
        advance()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("size", [None, "", "1", "abc", "0", "-1"])
def test_a_rank_that_is_left_in_the_environment_silences_nothing(capsys, monkeypatch, size):
    monkeypatch.setenv("RANK", "1")
    if size is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", size)
    console.say("hello")
    assert capsys.readouterr().err == "hello\n"


@pytest.mark.parametrize("size", ["abc", "0", "-1", "1.5", "²", "9" * 5000])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(InputError, match=r"WORLD_SIZE is '.*', expected a number of processes, as torchrun sets it"):
        console.count_processes()


def test_a_line_is_said_once(capsys):
    for _ in range(2):
        console.say_once("the same for all that read it")
    assert capsys.readouterr().err.count("the same for all") == 1


def test_a_block_may_say_each_line_once(capsys):
    with console.no_repeats():
        console.say("a")
        with console.no_repeats():
            console.say("a")
            console.say("b")
        console.say("b")
    console.say("a")
    assert capsys.readouterr().err == "a\nb\na\n"

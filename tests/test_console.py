import io
import sys

from glassnet import console


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
    monkeypatch.setenv("RANK", "1")
    console.say("hello")
    with console.progress("reading", 1) as advance:
        advance()
    assert capsys.readouterr().err == ""

"""The command line as a test calls it: words in; exit code, standard output and standard error out."""

import json

from glassnet.cli import run


def call(capsys, *words):
    """Run one command line; numbers and paths are written as a shell would."""
    capsys.readouterr()
    code = run([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def answer(capsys, *words):
    """Return the one JSON document of a command that succeeds."""
    code, out, err = call(capsys, *words, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(capsys, *words):
    """Return the one sentence of a command that refuses its input: exit code 2, nothing on standard output."""
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, ""), err
    sentences = [line for line in err.splitlines() if line.startswith("glassnet: ")]
    assert sentences == err.splitlines()[-1:]
    assert "Traceback" not in err
    return sentences[0]

"""Bytes and JSON values changed at random, in ways that broken disks, cut downloads and attackers change them."""

import json
import random
from typing import Any

EXTREMES = (b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00", b"\xff" * 8)
ODD = (
    None, True, -1, 0, 1, 2**31, 2**63, 1e308, -0.5, "", "x", "../../etc/passwd", "\x1b[2J", "é" * 300, [], {}, [[]],
    {"": ""}, ["a"] * 50, [None], {"name": 3}, "0" * 5000, "conv99", "tanh", "NaN",
)  # fmt: skip
LITERALS = (
    "NaN",
    "-Infinity",
    "1e999",
    "9" * 5000,
    '"\\ud800"',
    "[" * 5000,
    "{" * 3,
    "null",
    "[" * 990 + "]" * 990,
    "",
)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Change a file somewhere: a bit, some bytes, a part cut out, doubled or put in, its end cut off."""
    changed = bytearray(content)
    way = draw.randrange(8)
    at = draw.randrange(max(1, len(changed)))
    length = draw.choice((1, 4, 16, 64, 1024))
    if way == 0:
        changed[at] ^= 1 << draw.randrange(8)
    elif way == 1:
        for _ in range(draw.randrange(1, 20)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    elif way == 2:
        del changed[at:]
    elif way == 3:
        del changed[at : at + length]
    elif way == 4:
        changed[at:at] = draw.randbytes(length)
    elif way == 5:
        changed[at:at] = changed[at : at + length]
    elif way == 6:
        value = draw.choice(EXTREMES)
        changed[at : at + len(value)] = value
    else:  # headers are short, and hit seldom otherwise
        changed[draw.randrange(min(128, len(changed)))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    return bytes(changed)


def mutate_json(content: bytes, draw: random.Random) -> bytes:
    """Change one value of a JSON document: half of the time bytes, else a value or what stands for one."""
    if draw.random() < 0.3:
        return mutate(content, draw)
    document = json.loads(content)
    holder, key = _place(document, draw)
    if draw.random() < 0.2:
        holder[key] = "\0mark"
        return json.dumps(document).replace('"\\u0000mark"', draw.choice(LITERALS)).encode()
    if draw.random() < 0.2:
        del holder[key]
    else:
        holder[key] = draw.choice(ODD)
    return json.dumps(document).encode()


def mutate_json_lines(content: bytes, draw: random.Random) -> bytes:
    """Change one line of JSON lines, or the order or number of the lines."""
    lines = content.splitlines()
    way = draw.randrange(6)
    at = draw.randrange(len(lines))
    if way == 0:
        return mutate(content, draw)
    if way == 1:
        draw.shuffle(lines)
    elif way == 2:
        lines.insert(at, lines[draw.randrange(len(lines))])
    else:
        lines[at] = mutate_json(lines[at], draw)
    return b"\n".join(lines) + b"\n"


def _place(document: Any, draw: random.Random) -> tuple[Any, Any]:
    """Choose a value at random, and return what holds it and its key."""
    places: list[tuple[Any, Any]] = []

    def walk(holder: Any) -> None:
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in list(items):
            places.append((holder, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(document)
    return draw.choice(places)

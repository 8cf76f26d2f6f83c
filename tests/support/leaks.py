"""What no log, no output and no metric may hold, and the search for it, which runs beside every test of every run.

Looked through are what a test's own process wrote to standard output and standard error, what the processes it started
wrote to their logs, and every answer of `/metrics`. Looked for are things by their shape (an address, a signed token, a
number as it is dialled), the cast's names, and whatever a test of this process wrote into the tables of customers and
of the journal. A test that is marked
``speaks_of_people`` does so on purpose.
"""

import re
from collections.abc import Iterable
from typing import Any

import flask
from sqlalchemy import Engine, event

SHAPES = {
    "an address": re.compile(r"[\w.+-]@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}"),
    "a token": re.compile(r"(?<![\w-])[\w-]{22}(?:\.\d{9,11})?\.[\w-]{43}(?![\w-])"),
    "a number": re.compile(r"\+49\d{8,}"),
}
CAST = ("Sabine Krüger", "Umwälzpumpen", "Zacharias Xylophon", "Emre Aydın", "Erika Beispiel", "Greta Gern")
TABLES = ("INSERT INTO customer ", "INSERT INTO entry ")
SHORTEST = 8
"""Shorter words stand in logs by chance."""

typed: set[str] = set()
"""What the present test wrote of people and of what they said."""
overheard: list[str] = []
"""What `/metrics` answered to the present test."""


def leaks(text: str, more: Iterable[str] = ()) -> list[str]:
    """What was found in a text, each with the line it stands in."""
    found = []
    for name, shape in SHAPES.items():
        found += [f"{name}: {_line(text, match.start())}" for match in shape.finditer(text)]
    for word in (*CAST, *more):
        if word in text:
            found.append(f"{word!r}: {_line(text, text.index(word))}")
    return found


def listen() -> None:
    """Note what goes into the tables of people, and what `/metrics` says, for the rest of this process."""
    event.listen(Engine, "before_cursor_execute", _note)
    flask.request_finished.connect(_overhear)


def forget() -> None:
    """A new test begins."""
    typed.clear()
    overheard.clear()


def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
    if statement.startswith(TABLES):
        rows = parameters if isinstance(parameters, list) else [parameters]
        values = (value for row in rows for value in (row.values() if isinstance(row, dict) else row))
        typed.update(value for value in values if _is_telling(value))


def _is_telling(value: object) -> bool:
    """Whether a value is somebody's name or words, and no word of a vocabulary, moment or JSON of ours."""
    words = isinstance(value, str) and len(value) >= SHORTEST and " " in value.strip()
    return words and not str(value).startswith("{") and not re.match(r"\d{4}-\d\d-\d\d ", str(value))


def _overhear(_sender: object, response: flask.Response, **_: object) -> None:
    if flask.request.path == "/metrics":
        overheard.append(response.get_data(as_text=True))


def _line(text: str, at: int) -> str:
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    return text[start : end if end >= 0 else None][:200]

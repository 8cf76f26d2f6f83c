"""Logs: one line per event, and no line holds what a fault says."""

import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog

from portal import logs


class Written:
    """What was written to standard error, line by line."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def lines(self) -> list[str]:
        return self._capture.readouterr().err.splitlines()


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """Standard error, with the process's own log handlers put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Written(capsys)
    root.handlers, root.level = handlers, level


def fail(secret: str) -> None:
    raise ValueError(secret)


def fail_because(secret: str) -> None:
    try:
        fail(secret)
    except ValueError as cause:
        raise RuntimeError(secret) from cause


def test_json_is_one_object_per_line(written: Written) -> None:
    logs.set_up("json")

    structlog.get_logger("worker.loop").warning("leases ran out", letters=3)
    logging.getLogger("somebody.else").error("two\nlines: %s", "yes")

    first, second = (json.loads(line) for line in written.lines())
    assert (first["event"], first["letters"], first["level"], first["logger"]) == (
        "leases ran out",
        3,
        "warning",
        "worker.loop",
    )
    assert (second["event"], second["level"]) == ("two\nlines: yes", "error")


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_line_says_when_in_utc(written: Written, form: str) -> None:
    logs.set_up(form)

    structlog.get_logger("x").info("hello")

    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", written.lines()[0])


def test_text_is_readable_and_has_no_colours(written: Written) -> None:
    logs.set_up("text")

    structlog.get_logger("x").info("letter sent", letter=7)

    (line,) = written.lines()
    assert "letter sent" in line and "letter=7" in line and "\x1b" not in line


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("failing", "name"), [(fail, "ValueError"), (fail_because, "RuntimeError")])
@pytest.mark.parametrize("logger", [structlog.get_logger("ours"), logging.getLogger("theirs")], ids=["ours", "theirs"])
def test_a_fault_is_named_with_its_place_and_without_what_it_says(
    written: Written, form: str, failing: Callable[[str], None], name: str, logger: logging.Logger
) -> None:
    logs.set_up(form)

    try:
        failing("kunde@firma.example")
    except Exception:
        logger.exception("step failed")

    (line,) = written.lines()
    assert "step failed" in line and name in line and "test_logs.py:" in line
    assert "kunde" not in line


def test_setting_up_twice_writes_each_line_once(written: Written) -> None:
    logs.set_up("text")
    logs.set_up("text")

    structlog.get_logger("x").info("hello")

    assert len(written.lines()) == 1


@pytest.mark.parametrize("name", ["mail.log", "alembic.runtime.migration", "asyncio"])
def test_libraries_that_talk_are_kept_quiet(written: Written, name: str) -> None:
    logs.set_up("text")

    logging.getLogger(name).info("MAIL FROM:<kunde@firma.example>")

    assert written.lines() == []

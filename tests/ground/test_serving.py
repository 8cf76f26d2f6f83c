"""The web server's own messages: what went wrong and where, and nothing of what a visitor sent or a row holds."""

import logging
import sys

import pytest

from portal.serving import _without_what_was_said


def record(message: str, *arguments: object, fault: BaseException | None = None) -> logging.LogRecord:
    """A line of gunicorn's log, written where ``fault`` was caught."""
    try:
        if fault is not None:
            raise fault
    except BaseException:
        return logging.LogRecord("gunicorn.error", logging.ERROR, "x", 1, message, arguments, sys.exc_info())
    return logging.LogRecord("gunicorn.error", logging.ERROR, "x", 1, message, arguments, None)


def written(line: logging.LogRecord) -> str:
    """The line as it would be written."""
    assert _without_what_was_said(line)
    return logging.Formatter().format(line)


@pytest.mark.parametrize("message", ["Exception in worker process", "Error handling request %s", "Worker says 100%%"])
def test_a_traceback_is_its_kind_and_its_place(message: str) -> None:
    arguments = ("/s/geheim",) if "%s" in message else ()

    line = written(record(message, *arguments, fault=ValueError("Frau Kunde <frau@kunde.example>")))

    assert "\n" not in line and "kunde" not in line.casefold() and "geheim" not in line
    assert "(ValueError at test_serving.py:" in line


def test_a_text_that_was_formatted_before_is_left_out_too() -> None:
    line = record("Exception in worker process", fault=ValueError("Frau Kunde"))
    line.exc_text = line.stack_info = "ValueError: Frau Kunde"

    assert "Kunde" not in written(line)


def test_a_request_line_is_left_out() -> None:
    assert written(record("Invalid request from ip=%s: %s", "192.0.2.1", "GET /s/geheim")) == (
        "A request was refused or failed."
    )


def test_any_other_message_is_left_as_it_is() -> None:
    assert written(record("Worker (pid:%s) was sent %s!", 7, "SIGKILL")) == "Worker (pid:7) was sent SIGKILL!"

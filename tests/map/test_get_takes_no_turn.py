"""Reading waits for no writer: no page and no probe takes SQLite's write lock, each answers beside an open one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event, text

from portal import db
from tests.map.conftest import House
from tests.map.test_get_changes_nothing import Visitor, anybody, colleague, read, reading_rules

pytestmark = pytest.mark.usefixtures("tuesday")

IN_TIME = 3.0
"""Seconds; a probe that took the lock would wait for five."""


@contextmanager
def open_writer(app: Flask) -> Iterator[None]:
    """Somebody else's writing transaction, in a thread of its own, open until the end of the block."""
    begun, enough = threading.Event(), threading.Event()

    def write() -> None:
        with app.app_context(), db.writing() as session:
            session.execute(text("UPDATE counter SET n = n"))
            begun.set()
            enough.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        enough.set()
        writer.join()


@pytest.mark.parametrize("path", ["/readyz", "/readyz?worker=1", "/metrics", "/healthz"])
def test_a_probe_answers_at_once_beside_an_open_writer(house: House, path: str) -> None:
    client = house.visitor()
    with open_writer(house.app):
        began = time.monotonic()
        answer = client.get(path)
        took = time.monotonic() - began

    assert answer.status_code in (200, 503) and b'"database":false' not in answer.data
    assert took < IN_TIME


@pytest.mark.parametrize("visitor", [anybody, colleague])
def test_no_address_of_the_map_takes_the_write_lock_to_be_read(house: House, visitor: Visitor) -> None:
    client, begun = visitor(house), list[str]()
    with house.app.app_context():
        engine = db.db.engine

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if "IMMEDIATE" in statement:
            begun.append(path)

    event.listen(engine, "before_cursor_execute", note)
    try:
        for rule in reading_rules(house.app):
            for path in house.addresses(rule):
                read(client, path)
    finally:
        event.remove(engine, "before_cursor_execute", note)

    assert begun == []

"""The calendar feed: what it holds and what not, when its bytes change, and who may fetch it."""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from portal import db
from portal.app import create_app
from portal.appointments.models import Appointment
from portal.cases import agreeing, feeding, finding, on_hold
from portal.cases.contacts import Contact
from portal.links import Purpose
from portal.people.models import Login, Person
from tests.conftest import NOW
from tests.pages.test_staff_cases import NUMBER, make_case

MIRIAM = "Miriam Albrecht"
AT = NOW.replace(hour=13, minute=0) + timedelta(days=1)
"""Wednesday, 14:00 in Germany."""


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[None]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def reference(app: Flask, company: dict[str, int]) -> str:
    """A case of Miriam Albrecht with a call agreed for Wednesday, 14:00."""
    reference = make_case(app)
    agree(app, reference, AT)
    return reference


@pytest.fixture
def feed(app: Flask, reference: str) -> str:
    """The address of Miriam Albrecht's feed, below the site."""
    return new_address(app, MIRIAM)


def agree(app: Flask, reference: str, starts_at: datetime) -> None:
    """A colleague agrees on a call."""
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None and case.owner_id is not None
        agreeing.book(session, case, starts_at=starts_at, by_id=case.owner_id, now=NOW)


def new_address(app: Flask, name: str) -> str:
    """Give somebody a new feed address; its path."""
    with app.app_context(), db.writing() as session:
        person_id = session.scalars(select(Person.id).where(Person.name == name)).one()
        assert feeding.renew(session, person_id, seen=feeding.mark(feeding.address_of(session, person_id)))
    with app.app_context(), db.reading() as session:
        address = feeding.address_of(session, person_id)
        assert address is not None
        return address.removeprefix("http://localhost")


def unfolded(body: str) -> str:
    """The lines of a calendar file, whole."""
    return body.replace("\r\n ", "").replace("\r\n", "\n")


def test_the_feed_says_what_when_and_where_the_case_stands(client: FlaskClient, feed: str, reference: str) -> None:
    answer = client.get(feed)
    lines = unfolded(answer.text).split("\n")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert f"SUMMARY:Anruf: {reference}\\, Sabine Krüger" in lines
    assert f"URL:http://localhost/staff/cases/{reference}" in lines
    assert {"DTSTART:20261125T130000Z", "DTEND:20261125T132000Z"} <= set(lines)
    assert f"SOURCE;VALUE=URI:http://localhost{feed}" in lines
    assert not [line for line in lines if line.startswith("METHOD")]


def test_the_feed_holds_no_number_and_no_word_of_the_request(client: FlaskClient, feed: str) -> None:
    said = unfolded(client.get(feed).text)

    assert "BEGIN:VEVENT" in said
    assert [word for word in (NUMBER, "99998", "+49", "s.krueger", "Pumpen", "tel:") if word in said] == []


def test_the_same_state_is_the_same_bytes_in_every_process_and_at_every_time(
    client: FlaskClient, feed: str, environment: dict[str, str]
) -> None:
    other = create_app(environment)
    first = client.get(feed).data
    with time_machine.travel(NOW + timedelta(hours=7), tick=False):
        bodies = {client.get(feed).data, other.test_client().get(feed).data}
    with other.app_context():
        db.db.engine.dispose()

    assert bodies == {first}


def test_the_tag_is_the_hash_of_the_bytes_and_spares_a_second_fetch(client: FlaskClient, feed: str) -> None:
    answer = client.get(feed)
    tag = answer.headers["ETag"]
    again = client.get(feed, headers={"If-None-Match": tag})
    older = client.get(feed, headers={"If-None-Match": '"another"'})
    head = client.head(feed)

    assert tag == f'"{hashlib.sha256(answer.data).hexdigest()}"'
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert older.status_code == 200 and older.data == answer.data
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", tag)
    for one in (answer, again, head):
        assert one.headers["Cache-Control"] == "private, no-cache"
        assert "Last-Modified" not in one.headers and "Set-Cookie" not in one.headers
        assert one.headers["Referrer-Policy"] == "no-referrer"


def test_a_move_keeps_its_entry_and_shows_the_new_time_only(
    app: Flask, client: FlaskClient, feed: str, reference: str
) -> None:
    before = client.get(feed)
    change(app, reference, "move")
    after = client.get(feed, headers={"If-None-Match": before.headers["ETag"]})

    assert after.status_code == 200
    assert re.findall("UID:(.+)", before.text) == re.findall("UID:(.+)", after.text)
    assert "DTSTART:20261126T130000Z" in after.text and "20261125T130000Z" not in after.text
    assert "SEQUENCE:1" in after.text


def test_what_was_called_off_is_left_out_and_what_is_on_hold_says_so(
    app: Flask, client: FlaskClient, feed: str, reference: str
) -> None:
    change(app, reference, "wish")
    held = unfolded(client.get(feed).text)
    change(app, reference, "cancel")

    assert f"SUMMARY:Angehalten: Anruf: {reference}\\, Sabine Krüger" in held
    assert "VEVENT" not in client.get(feed).text


def test_the_feed_is_of_one_person_and_of_a_window(app: Flask, client: FlaskClient, feed: str) -> None:
    others = new_address(app, "Jonas Weidner")
    with time_machine.travel(NOW + timedelta(days=14), tick=False):
        lately = client.get(feed).text
    with time_machine.travel(NOW + timedelta(days=16), tick=False):
        over = client.get(feed).text

    assert "VEVENT" not in client.get(others).text
    assert "VEVENT" in lately and "VEVENT" not in over


def test_it_speaks_the_language_of_its_reader(app: Flask, client: FlaskClient, feed: str, reference: str) -> None:
    with app.app_context(), db.writing() as session:
        session.execute(update(Person).where(Person.name == MIRIAM).values(language="en"))

    assert f"SUMMARY:Call: {reference}\\, Sabine Krüger" in unfolded(client.get(feed).text)


def test_a_new_address_revokes_the_old_one(app: Flask, client: FlaskClient, feed: str) -> None:
    fresh = new_address(app, MIRIAM)
    gone = client.get(feed)

    assert fresh != feed and client.get(fresh).status_code == 200
    assert gone.status_code == 410
    assert "VEVENT" not in gone.text and "Sabine" not in gone.text and MIRIAM not in gone.text
    assert "ETag" not in gone.headers and gone.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("how", ["inactive", "left"])
def test_who_may_not_sign_in_any_more_has_no_feed(app: Flask, client: FlaskClient, feed: str, how: str) -> None:
    with app.app_context(), db.writing() as session:
        person_id = session.scalars(select(Person.id).where(Person.name == MIRIAM)).one()
        if how == "inactive":
            session.execute(update(Login).where(Login.person_id == person_id).values(active=False))
        else:
            session.execute(update(Person).where(Person.id == person_id).values(left_on=NOW.date()))

    assert client.get(feed).status_code == 410


SECRET = "8Jm3xWq0ZbT5vYh2LrKc1A"
"""Like one of ours, and none."""


@pytest.mark.parametrize(
    "token",
    ["x", "..", "%00", "ü", "a" * 3000, SECRET, f"{SECRET}.{SECRET}"],
    ids=["a letter", "a path", "a NUL", "an umlaut", "a long one", "a secret", "a secret with a signature"],
)
def test_a_guess_is_not_found(client: FlaskClient, feed: str, token: str) -> None:
    answer = client.get(f"/calendar/{token}.ics")

    assert answer.status_code == 404
    assert MIRIAM not in answer.text


def test_a_token_of_another_purpose_opens_no_feed(app: Flask, client: FlaskClient, feed: str) -> None:
    links = app.extensions["portal.links"]
    nonce = links.read(Purpose.FEED, feed.removeprefix("/calendar/").removesuffix(".ics"))

    answers = {client.get(f"/calendar/{links.sign(one, nonce)}.ics").status_code for one in set(Purpose)}
    without = client.get(feed.removesuffix(".ics"))

    assert answers == {200, 404}
    assert without.status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_it_can_only_be_read(client: FlaskClient, feed: str, method: str) -> None:
    assert client.open(feed, method=method).status_code == 405


def change(app: Flask, reference: str, what: str) -> None:
    """A colleague moves the call to Thursday, freezes it, or calls it off."""
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None and case.owner_id is not None
        version = session.scalars(select(Appointment.version).where(Appointment.case_id == case.id)).one()
        if what == "move":
            thursday = AT + timedelta(days=1)
            agreeing.move(session, case, starts_at=thursday, by_id=case.owner_id, version=version, now=NOW)
        elif what == "wish":
            by_id, said = case.owner_id, "Lieber später."
            on_hold.wish(session, case, by_id=by_id, contact=Contact.CALL_IN, text=said, version=version, now=NOW)
        else:
            agreeing.cancel(session, case, by_id=case.owner_id, version=version, now=NOW)

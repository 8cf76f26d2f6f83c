"""What a visitor reads when limits hold: a polite no with everything kept, and never a mail that was not sent."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal import db
from portal.cases.models import Case, CaseState, Doubt
from portal.config import Rate
from portal.limits import Counter
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, form_with_action, text, values

TYPED = {
    "topic": "angebot",
    "name": "Sabine Krüger",
    "email": "sabine@kunde.example",
    "message": "Wir brauchen ein Angebot für 40 Pumpen.",
}


@pytest.fixture(autouse=True)
def tuesday() -> Iterator[Any]:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def visitor(app: Flask, client: FlaskClient, company: dict[str, int]) -> FlaskClient:
    """A browser on a site that takes two an hour from a network and writes one letter an hour to a mailbox."""
    settings = app.extensions["portal.settings"]
    limits = {"form_limit": (Rate(2, 3600),), "mail_cap": (Rate(1, 3600),)}
    app.extensions["portal.settings"] = replace(settings, **limits)
    return client


def send(client: FlaskClient, headers: dict[str, str] | None = None, **changes: str) -> TestResponse:
    page = client.get("/contact?lang=de")
    data = dict(values(form_with_action(page.text, "/contact?lang=de"))) | TYPED | changes
    return client.post("/contact?lang=de", data=data, headers=headers)


def cases(app: Flask) -> list[Case]:
    with app.app_context(), db.reading() as session:
        return list(session.scalars(select(Case).order_by(Case.id)))


def test_above_the_networks_limit_the_answer_is_polite_and_all_is_kept(app: Flask, visitor: FlaskClient) -> None:
    for _ in range(2):
        assert send(visitor).status_code == 303

    answer = send(visitor, email="anders@kunde.example")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(48 * 60))
    page = text(answer.text)
    assert "Senden können Sie ab Dienstag, 24. November, 10 Uhr" in page
    assert "Petra Lindner, 089 99998-100" in page
    kept = values(form_with_action(answer.text, "/contact?lang=de"))
    assert {name: kept[name] for name in TYPED} == TYPED | {"email": "anders@kunde.example"}
    assert len(cases(app)) == 2


def test_the_form_that_came_back_can_be_sent_in_the_next_hour(app: Flask, visitor: FlaskClient, tuesday: Any) -> None:
    for _ in range(2):
        send(visitor)
    kept = values(form_with_action(send(visitor).text, "/contact?lang=de"))

    tuesday.shift(48 * 60)

    assert visitor.post("/contact?lang=de", data=kept).status_code == 303
    assert len(cases(app)) == 3


def test_what_was_taken_is_answered_again_however_full_it_is(app: Flask, visitor: FlaskClient) -> None:
    page = visitor.get("/contact?lang=de")
    data = dict(values(form_with_action(page.text, "/contact?lang=de"))) | TYPED
    first = visitor.post("/contact?lang=de", data=data)
    send(visitor)

    assert visitor.post("/contact?lang=de", data=data).location == first.location
    assert len(cases(app)) == 2


def test_an_address_that_nobody_vouches_for_changes_no_network(app: Flask, visitor: FlaskClient) -> None:
    answers = [send(visitor, headers={"X-Forwarded-For": f"203.0.{number}.9"}) for number in range(4)]

    assert [answer.status_code for answer in answers] == [303, 303, 429, 429]


def test_looking_at_the_form_counts_nothing(app: Flask, visitor: FlaskClient) -> None:
    for _ in range(5):
        visitor.get("/contact")
    send(visitor, message="")  # refused for want of a message

    with app.app_context(), db.reading() as session:
        assert session.scalars(select(Counter)).all() == []


def test_no_page_says_that_a_held_letter_was_sent_and_staff_let_it_go(app: Flask, visitor: FlaskClient) -> None:
    send(visitor)
    address = send(visitor, email="s.a.b.i.n.e+2@kunde.example").location
    thanks = text(visitor.get(address).text)
    assert "Bevor eine E-Mail an " in thanks
    assert "Spam" not in thanks and "Das Datum oben gilt." in thanks

    reference = cases(app)[1].reference
    desk = Desk.of(app, "Miriam Albrecht")
    assert "Zurückgehaltene Nachrichten (1)" in text(desk.get("/staff/").text)
    page = desk.get(f"/staff/cases/{reference}")
    assert "An dieses Postfach gingen schon so viele Nachrichten" in text(page.text)
    assert f"/staff/doubtful/{reference}/discard" in actions(page.text)

    answer = desk.submit(f"/staff/cases/{reference}/held/release")
    assert (answer.status_code, answer.location) == (303, f"/staff/cases/{reference}?done=letter_released")
    assert "Die Nachricht ist unterwegs" in text(desk.follow().text)
    assert "Bevor eine E-Mail" not in text(visitor.get(address).text)


def test_dropped_by_staff_twice_the_second_is_told(app: Flask, visitor: FlaskClient) -> None:
    send(visitor)
    send(visitor)
    reference = cases(app)[1].reference
    desk = Desk.of(app, "Miriam Albrecht")
    page = desk.get(f"/staff/cases/{reference}").text

    drop = f"/staff/cases/{reference}/held/drop"
    token = values(form_with_action(page, drop))
    assert desk.client.post(drop, data=token).status_code == 303
    answer = desk.client.post(drop, data=token)
    assert answer.status_code == 409 and "wird nicht mehr zurückgehalten" in text(answer.text)


def test_a_message_of_links_waits_and_the_page_names_the_date(app: Flask, visitor: FlaskClient) -> None:
    answer = send(visitor, message="https://a.example https://b.example https://c.example")

    (entry,) = cases(app)
    assert (entry.state, entry.doubt) == (CaseState.RECEIVED, Doubt.LINKS)
    assert "Petra Lindner sieht es sich bis" in text(visitor.get(answer.location).text)
    page = text(Desk.of(app, "Miriam Albrecht").get("/staff/").text)
    assert "Der Text besteht vor allem aus Links." in page

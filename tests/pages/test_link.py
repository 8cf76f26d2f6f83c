"""Asking for the link again, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal import db
from portal.cases import opening
from portal.cases.drafting import Wish
from portal.cases.models import LinkWish, Topic
from portal.links import new_secret
from tests.pages.staff_desk import document, errors, text

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""


@pytest.fixture(autouse=True)
def tuesday() -> Iterator[Any]:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def known(app: Flask, company: dict[str, int]) -> str:
    """The address of somebody with a case."""
    with app.test_request_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id)).first()
        assert topic_id is not None
        wish = Wish(topic_id, "Sabine Krüger", "sabine@kunde.example", "Hallo", "de")
        opening.accept(session, wish, key=new_secret(), body_hash="x", doubt=None, now=NOW)
    return "sabine@kunde.example"


def wishes(app: Flask) -> list[str]:
    with app.app_context(), db.reading() as session:
        return list(session.scalars(select(LinkWish.email_key)))


def test_the_page_has_one_field_and_names_the_front_desk(client: FlaskClient, company: dict[str, int]) -> None:
    page = client.get("/link?lang=en").text

    assert [field.get("name") for field in document(page).iter("input")] == ["email"]
    assert "Petra Lindner" in text(page)


def test_the_answer_is_the_same_for_a_known_and_an_unknown_address(client: FlaskClient, known: str) -> None:
    answers = [client.post("/link?lang=en", data={"email": one}) for one in (known, "niemand@kunde.example")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data


def test_the_answer_says_until_when_and_who_helps(client: FlaskClient, known: str) -> None:
    words = text(client.post("/link?lang=en", data={"email": known}).text)

    assert "the link arrives within a few minutes, by 9:27 am today at the latest" in words
    assert "Petra Lindner helps: 089 99998-100" in words
    assert known not in words


def test_shortly_before_midnight_no_time_of_today_is_promised(
    client: FlaskClient, company: dict[str, int], tuesday: Any
) -> None:
    tuesday.move_to(datetime(2026, 11, 24, 22, 55, tzinfo=UTC))

    words = text(client.post("/link?lang=en", data={"email": "a@kunde.example"}).text)

    assert "the link arrives within a few minutes." in words


def test_a_wish_is_noted_for_the_worker(app: Flask, client: FlaskClient, known: str) -> None:
    client.post("/link", data={"email": f" {known.upper()} "})

    assert wishes(app) == [known]


def test_above_the_cap_the_answer_stays_the_same(app: Flask, client: FlaskClient, known: str) -> None:
    answers = [client.post("/link?lang=en", data={"email": known}) for _ in range(5)]

    assert len({answer.data for answer in answers}) == 1
    assert len(wishes(app)) == 3


@pytest.mark.parametrize("email", ["", "kaputt", "a@b.example\r\nBcc: c@d.example", "\x00"])
def test_what_is_no_address_is_refused_with_a_sentence(
    app: Flask, client: FlaskClient, company: dict[str, int], email: str
) -> None:
    answer = client.post("/link?lang=en", data={"email": email})

    assert answer.status_code == 422
    assert len(errors(answer.text)) == 1
    assert wishes(app) == []


def test_the_page_is_german_first(client: FlaskClient, company: dict[str, int]) -> None:
    assert "Status-Link noch einmal schicken lassen" in text(client.get("/link").text)

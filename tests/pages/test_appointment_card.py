"""The agreed time on the customer's page: what stands at the top, what the card offers, and when it offers nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from portal import clock, db
from portal.appointments import service as appointments
from portal.cases import agreeing, contacts, drafting, finding, keeping, on_hold, opening, promising
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.links import new_secret
from portal.promises.models import Medium, PromiseKind
from tests.pages.staff_desk import document, text
from tests.support.cast import NUMBER, NUMBER_SHOWN, berlin, topic

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
THREE = berlin("2026-11-25 15:00")
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def tuesday() -> Iterator[Any]:
    """Every test begins on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@dataclass
class Page:
    """A customer's page."""

    app: Flask
    client: FlaskClient
    token: str
    answer: str
    case_id: int
    owner_id: int

    @property
    def html(self) -> str:
        reply = self.client.get(f"/s/{self.token}", headers={"Accept-Language": "de"})
        assert reply.status_code == 200
        return reply.text

    @property
    def words(self) -> str:
        return text(self.html)

    @property
    def heading(self) -> str:
        found = document(self.html).find(".//h1")
        assert found is not None
        return str(found.text)

    @property
    def links(self) -> dict[str, str]:
        """The card's links by their words."""
        found = ((link.get("href") or "", link.text or "") for link in document(self.html).iter("a"))
        return {words.strip(): way for way, words in found if "/appointment" in way}

    @property
    def thanks(self) -> str:
        return text(self.client.get(f"/thanks/{self.answer}").text)

    def do(self, rule: Callable[..., Any], **values: Any) -> None:
        with self.app.test_request_context(), db.writing() as session:
            rule(session, session.get_one(Case, self.case_id), now=clock.utc_now(), **values)

    def change(self, **values: Any) -> None:
        """Let the booked appointment be otherwise."""
        with self.app.app_context(), db.writing() as session:
            booked = appointments.booked_of(session, self.case_id)
            assert booked is not None
            for name, value in values.items():
                setattr(booked, name, value)


@pytest.fixture
def page(app: Flask, client: FlaskClient, company: dict[str, int]) -> Page:
    """A case whose customer has chosen a call on Wednesday at 3 pm."""
    found = asked(app, client, "rueckruf")
    found.do(agreeing.book, starts_at=THREE, by_id=None)
    return found


def asked(app: Flask, client: FlaskClient, slug: str) -> Page:
    with app.test_request_context(), db.writing() as session:
        wish = drafting.Wish(
            topic(session, slug).id,
            "Sabine Krüger",
            "s@kunde.example",
            "Bitte rufen Sie an.",
            "de",
            NUMBER,
            NUMBER_SHOWN,
        )
        submission = opening.accept(session, wish, key=new_secret(), body_hash="x", doubt=None, now=NOW)
        case = session.get_one(Case, submission.case_id)
        assert case.owner_id is not None
        return Page(app, client, finding.status_token(case), submission.answer, case.id, case.owner_id)


def test_it_stands_at_the_top_with_its_word(page: Page) -> None:
    assert page.heading == "Miriam Albrecht ruft Sie am Mittwoch, 25. November, 15 Uhr, an"
    assert "Termin vereinbart" in page.words


def test_the_card_says_when_how_long_who_calls_on_which_number_and_until_when_it_can_be_changed(page: Page) -> None:
    words = page.words

    assert "Mittwoch, 25. November, 15 Uhr (MEZ)" in words
    assert "Miriam Albrecht ruft Sie unter der Nummer an, die auf 42 endet; geplant sind 20 Minuten." in words
    assert "Bis Mittwoch, 25. November, 13 Uhr können Sie den Termin hier verschieben oder absagen." in words
    assert page.links == {
        "Verschieben": f"/s/{page.token}/appointment",
        "Absagen": f"/s/{page.token}/appointment/cancel",
        "Kalenderdatei": f"/s/{page.token}/appointment.ics",
    }


def test_no_page_holds_the_number(page: Page) -> None:
    digits = NUMBER_SHOWN.replace(" ", "")

    assert digits[1:] not in page.html.replace(" ", "") and digits[1:] not in page.thanks.replace(" ", "")


@pytest.mark.parametrize(
    ("changes", "links", "sentence"),
    [
        ({"customer_moves": 3}, {"Absagen", "Kalenderdatei"}, "Für eine andere Zeit rufen Sie bitte an"),
        ({}, {"Kalenderdatei"}, "So kurz vorher lässt sich der Termin hier nicht mehr ändern."),
    ],
    ids=["moved three times", "an hour before"],
)
def test_what_cannot_be_done_here_is_done_by_phone(
    page: Page, tuesday: Any, changes: dict[str, Any], links: set[str], sentence: str
) -> None:
    page.change(**changes)
    if not changes:
        tuesday.move_to(THREE - 60 * MINUTE)

    assert set(page.links) == links
    assert sentence in page.words and "089 99998-214" in page.words


@pytest.mark.parametrize(
    ("minutes", "started", "heading", "sentence"),
    [
        (0, False, "Miriam Albrecht ruft Sie jetzt an", "Kommt etwas dazwischen? Miriam Albrecht: 089 99998-214"),
        (
            15,
            False,
            "Wir sind spät dran.",
            "Wir haben Sie zum vereinbarten Termin am Mittwoch, 25. November, 15 Uhr, noch nicht angerufen.",
        ),
        (
            25,
            True,
            "Der Termin mit Miriam Albrecht war am Mittwoch, 25. November, 15 Uhr",
            "Bis 15:50 Uhr steht hier, wie es weitergeht.",
        ),
    ],
)
def test_once_its_time_has_come_the_page_says_the_truth(
    page: Page, tuesday: Any, minutes: int, started: bool, heading: str, sentence: str
) -> None:
    if started:
        page.change(started_at=THREE, started_by_id=page.owner_id)
    tuesday.move_to(THREE + minutes * MINUTE)

    assert page.heading == heading
    assert sentence in page.words
    assert page.links == {}


def test_while_we_are_late_nothing_says_that_we_call(page: Page, tuesday: Any) -> None:
    tuesday.move_to(THREE + 15 * MINUTE)

    assert "ruft Sie" not in page.words


def test_a_call_that_we_missed_is_said_until_somebody_has_been_in_touch(page: Page, tuesday: Any) -> None:
    tuesday.move_to(THREE + 60 * MINUTE)
    nothing: dict[str, Any] = {"text": "", "keeps": (), "step": None, "visible": True}
    page.do(keeping.say_outcome, by_id=page.owner_id, outcome=keeping.AppointmentOutcome.MISSED, version=1, **nothing)
    missed = page.words
    tuesday.move_to(THREE + 90 * MINUTE)
    page.do(contacts.log_contact, by_id=page.owner_id, contact=Contact.CALL_REACHED, at=clock.utc_now(), **nothing)

    apology = "Unser Anruf am Mittwoch, 25. November, 15 Uhr, fand nicht statt. Wir bitten um Entschuldigung."
    assert apology in missed
    assert "Lieber einen festen Termin?" not in missed
    assert apology not in page.words


def test_a_talk_before_we_noticed_the_miss_and_noted_after_it_ends_the_apology(page: Page, tuesday: Any) -> None:
    nothing: dict[str, Any] = {"text": "", "keeps": (), "step": None, "visible": True}
    tuesday.move_to(THREE + 60 * MINUTE)
    page.do(keeping.say_outcome, by_id=page.owner_id, outcome=keeping.AppointmentOutcome.MISSED, version=1, **nothing)
    talked = THREE + 20 * MINUTE
    tuesday.move_to(THREE + 90 * MINUTE)
    page.do(contacts.log_contact, by_id=page.owner_id, contact=Contact.CALL_REACHED, at=talked, **nothing)

    assert "fand nicht statt" not in page.words


def test_what_is_promised_beside_it_follows(page: Page) -> None:
    promised = promising.NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-30 12:00"))
    page.do(promising.promise_date, by_id=page.owner_id, step=promised)

    assert "Außerdem zugesagt Miriam Albrecht schickt Ihnen bis Montag, 30. November, 12 Uhr das Ergebnis" in page.words


def test_on_hold_nobody_calls_and_another_time_can_be_chosen(page: Page) -> None:
    page.do(on_hold.wish, by_id=page.owner_id, contact=Contact.CALL_IN, text="Lieber Freitag.", version=1)

    assert page.heading.startswith("Miriam Albrecht meldet sich")
    assert (
        "Der Termin am Mittwoch, 25. November, 15 Uhr, ist angehalten: Zu dieser Zeit ruft Sie niemand an."
        in page.words
    )
    assert set(page.links) == {"Zeit wählen", "Absagen"}


@pytest.mark.parametrize(("slug", "offered"), [("rueckruf", True), ("lieferung", False)])
def test_where_times_are_offered_a_quiet_link_leads_to_them(
    app: Flask, client: FlaskClient, company: dict[str, int], slug: str, offered: bool
) -> None:
    page = asked(app, client, slug)

    assert ("Zeit wählen" in page.links) is offered
    assert ("Lieber einen festen Termin?" in page.words) is offered


def test_the_thank_you_page_says_what_is_agreed(page: Page) -> None:
    assert "Miriam Albrecht ruft Sie am Mittwoch, 25. November, 15 Uhr, an." in page.thanks
    assert "Dort können Sie den Termin verschieben oder absagen" in page.thanks


def test_the_thank_you_page_names_nobody_whom_the_address_would_reveal(page: Page) -> None:
    page.do(lambda _, case, now: setattr(case, "routed_by", "account"))

    assert "Ein Anruf ist vereinbart: Mittwoch, 25. November, 15 Uhr (MEZ)." in page.thanks
    assert "Miriam Albrecht" not in page.thanks


def test_an_english_customer_reads_it_in_english(app: Flask, client: FlaskClient, page: Page) -> None:
    page.do(lambda _, case, now: setattr(case, "language", "en"))

    assert page.heading == "Miriam Albrecht will call you at 3 pm on Wednesday 25 November"
    assert "Miriam Albrecht calls you on the number that ends in 42; we have planned 20 minutes." in page.words


def test_an_hour_in_the_history_is_never_torn_apart(page: Page) -> None:
    assert "15\u00a0Uhr" in page.html[page.html.index("journal") :]
    assert "15 Uhr" not in page.html[page.html.index("journal") :]

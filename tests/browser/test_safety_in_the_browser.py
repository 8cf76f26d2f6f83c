"""Opening a link changes nothing, whoever opens it and how often; and what was sent once is never taken twice.

Mail programs, virus scanners and previews open every link of a letter, some of them in a real browser.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect
from sqlalchemy.orm import Session

from portal import clock
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import (
    addressing,
    agreeing,
    answering,
    closing,
    contacts,
    erasure_wishes,
    keeping,
    linking,
    offering,
    on_hold,
    promising,
    replacing,
    scheduling,
)
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.models import Case, Doubt, Outcome
from portal.cases.offering import Finder
from portal.cases.promising import NewPromise
from portal.mail.letters import LetterKind
from portal.promises.models import Medium, PromiseKind
from tests.browser.conftest import ItIs, tuesday
from tests.browser.visitors import OpenColleague, OpenVisitor, Visitor, fill_in, send, sign_in
from tests.mail.sample_values import OF_THE_LADDER
from tests.support.dump import changes
from tests.support.site import Site, case_of

NAMED = r"/s/[^/]+|(?<=/erase/).+|[^/]+-[^/]+$(?<!not-me)"
"""What is different in each link: a token, a key, a reference."""
OF_OTHER_TESTS = {LetterKind.STAFF_UNDELIVERABLE} | OF_THE_LADDER
"""No letters of a journey that goes well; they link to the same pages as the others."""
WISHED = {"contact": Contact.CALL_IN, "text": "Lieber später."}
NUMBER: dict[str, Any] = {"phone_e164": "+491713920042", "phone_shown": "0171 3920042"}


class Journeys:
    """What customers and colleagues do, step by step, each step's letters delivered."""

    def __init__(self, site: Site, it_is: ItIs) -> None:
        self._site, self._it_is = site, it_is

    def step(self, customer: str, act: Any, **values: Any) -> None:
        """One step of a customer's case."""
        with self._site.writing() as session:
            act(session, case_of(session, customer), now=clock.utc_now(), **values)
        self._site.wait_until_quiet()

    def agreed(self) -> Iterator[str]:
        """Agreed times, with all that can become of them; yields the references."""
        self._it_is(tuesday())
        yield self._site.open_case("Alma Agreed", topic="rueckruf", **NUMBER).reference
        self.step("Alma Agreed", book)
        self.step("Alma Agreed", move, by_id=None)
        self.step("Alma Agreed", by_owner(versioned(on_hold.wish)), **WISHED)
        self.step("Alma Agreed", by_owner(move))
        self.step("Alma Agreed", by_owner(give))
        self.step("Alma Agreed", by_owner(versioned(agreeing.cancel)))
        yield self._site.open_case("Lars Late", topic="rueckruf", **NUMBER).reference
        self.step("Lars Late", book)
        starts_at = self._booked("Lars Late").starts_at
        for minutes in (-20, 16, 90):  # reminded; late; missed
            self._it_is(starts_at + timedelta(minutes=minutes))
        self.step("Lars Late", book)
        self._it_is(self._booked("Lars Late").starts_at)
        self.step("Lars Late", by_owner(say_what_was_said))

    def other(self) -> Iterator[str]:
        """A whole journey without an agreed time, and its two side turns; yields the references."""
        yield self._site.open_case("Linus Link", email="linus@link.example").reference
        self.step("Linus Link", answering.customer_message, text="Eine Frage noch.")
        self.step("Linus Link", by_owner(call))
        self.step("Linus Link", by_owner(ask))
        self.step("Linus Link", by_owner(promise))
        self.step("Linus Link", by_owner(answering.reply), text="Drei.", keeps=(), step=None)
        self.step("Linus Link", wish)
        self.step("Linus Link", closing.close, by_id=None, outcome=Outcome.DONE, text="")
        self.step("Linus Link", closing.reopen, by_id=None, text="Doch nicht.")
        self.step("Linus Link", erasure_wishes.ask)
        yield self._site.open_case("Nina Nein").reference
        self._site.wait_until_quiet()
        self.step("Nina Nein", addressing.not_me)
        yield self._site.open_case("Zora Zweifel", doubt=Doubt.HONEYPOT).reference
        self._site.wait_until_quiet()

    def _booked(self, customer: str) -> Appointment:
        with self._site.reading() as session:
            return booked_of(session, case_of(session, customer))


def by_owner(act: Any) -> Any:
    """The act, done by whoever is responsible."""
    return lambda session, case, now, **values: act(session, case, by_id=case.owner_id, now=now, **values)


def versioned(act: Any) -> Any:
    """The act, done from a fresh page."""
    return lambda session, case, **values: act(session, case, version=booked_of(session, case).version, **values)


def booked_of(session: Session, case: Case) -> Appointment:
    """The agreed time."""
    found = appointments.booked_of(session, case.id)
    assert found is not None
    return found


def promise(session: Session, case: Case, **values: Any) -> None:
    due_at = proposed(session, case)
    promising.promise_date(session, case, step=NewPromise(PromiseKind.RESULT, Medium.MAIL, due_at), **values)


def ask(session: Session, case: Case, **values: Any) -> None:
    answering.ask(session, case, text="Wie viele?", keeps=(), follow_up_at=proposed(session, case), **values)


def call(session: Session, case: Case, now: Any, **values: Any) -> None:
    missed = {"contact": Contact.CALL_NOT_REACHED, "text": "", "at": now, "keeps": (), "step": None}
    contacts.log_contact(session, case, visible=False, now=now, **missed, **values)


def wish(session: Session, _case: Case, **values: Any) -> None:
    linking.wish_link(session, "linus@link.example", **values)


def book(session: Session, case: Case, now: Any) -> None:
    agreeing.book(session, case, starts_at=free(session, case, now)[0], by_id=None, now=now)


def move(session: Session, case: Case, now: Any, **values: Any) -> None:
    booked = booked_of(session, case)
    other = next(time for time in free(session, case, now) if time > booked.starts_at)
    agreeing.move(session, case, starts_at=other, version=booked.version, now=now, **values)


def give(session: Session, case: Case, now: Any, **values: Any) -> None:
    booked, directory = booked_of(session, case), directories.load(session, now=now)
    others = set(replacing.free_then(session, directory, case, booked, now=now)) - {booked.person_id}
    replacing.give(session, case, person_id=min(others), version=booked.version, now=now, **values)


def say_what_was_said(session: Session, case: Case, now: Any, **values: Any) -> None:
    said: dict[str, Any] = {
        "outcome": keeping.AppointmentOutcome.INTERIM,
        "text": "Es dauert noch.",
        "visible": True,
        "recap": True,
    }
    version = booked_of(session, case).version
    keeping.say_outcome(session, case, version=version, keeps=(), step=None, now=now, **said, **values)


def free(session: Session, case: Case, now: Any) -> list[Any]:
    """The first free times."""
    directory = directories.load(session, now=now)
    return [one.starts_at for one in Finder(session, directory, offering.of_case(directory, case), now=now).first(5)]


def proposed(session: Session, case: Case) -> Any:
    """The date that the staff's forms propose."""
    now = clock.utc_now()
    return scheduling.proposed_due(directories.load(session, now=now), case, now=now)


@pytest.mark.nightly_on("postgresql")
def test_opening_every_link_of_every_letter_changes_nothing(moving_site: Site, browser: Browser, it_is: ItIs) -> None:
    site, journeys = moving_site, Journeys(moving_site, it_is)
    references = [*journeys.agreed(), *journeys.other()]
    letters = [letter for reference in references for letter in site.mailbox.letters(reference)]
    assert {letter.kind for letter in letters} - OF_OTHER_TESTS == set(LetterKind) - OF_OTHER_TESTS
    links = sorted({link for letter in letters for link in letter.links if link.startswith(site.address)})
    pages = {re.sub(NAMED, "", link.removeprefix(site.address)) for link in links}
    assert pages == {"", "/not-me", "/erase/", "/appointment", "/staff/cases/", "/staff/doubtful/"}
    customer, staff = Visitor(browser, site), Visitor(browser, site, staff=True)
    sign_in(staff, "Petra Lindner")
    site.work()
    before = site.dump()

    cookies = {cookie["name"]: cookie["value"] for cookie in staff.context.cookies()}
    codes = {
        requests.request(method, link, cookies=jar, timeout=10).status_code
        for link in links
        for jar in ({}, cookies if "/staff/" in link else None)
        for method in ("GET", "HEAD") * 3
        if jar is not None
    }
    for link in links:
        (staff if "/staff/" in link else customer).page.goto(link)
    customer.page.wait_for_load_state("networkidle")

    assert codes == {200}
    assert changes(before, site.dump()) == []
    for one in (customer, staff):
        one.leave()
        assert one.complaints == []


@pytest.mark.nightly_on("postgresql")
def test_a_tab_that_is_closed_too_early_makes_one_case(site: Site, visitor: OpenVisitor) -> None:
    customer, before = visitor(), site.cases()
    customer.go("/contact")
    fill_in(customer.page, name="Ella Eile", email="ella@eile.example")
    customer.page.evaluate("document.querySelector('main form button.button[type=submit]').click()")
    customer.page.close()

    customer.page = customer.context.new_page()
    customer.go("/contact")
    site.wait_until_quiet()

    assert site.cases() <= before + 1


def test_back_and_send_again_makes_one_case(site: Site, visitor: OpenVisitor) -> None:
    customer, before = visitor(), site.cases()
    customer.go("/contact")
    fill_in(customer.page, name="Zita Zurück", email="zita@zurueck.example")
    send(customer.page)
    customer.page.wait_for_url("**/thanks/*")
    first = customer.page.url

    customer.page.go_back()
    expect(customer.page.locator("#name")).to_have_value("Zita Zurück")
    send(customer.page)
    customer.page.wait_for_url("**/thanks/*")

    assert customer.page.url == first
    assert site.cases() == before + 1


def test_a_form_that_came_back_with_errors_and_is_sent_again_makes_one_case(site: Site, visitor: OpenVisitor) -> None:
    customer, before = visitor(), site.cases()
    customer.go("/contact")
    fill_in(customer.page, name="Rita Retour", email="rita@")
    send(customer.page)
    customer.page.fill("#email", "rita@retour.example")
    send(customer.page)
    customer.page.wait_for_url("**/thanks/*")

    customer.page.reload()
    customer.page.reload()

    assert site.cases() == before + 1


def test_a_message_and_an_answer_sent_twice_are_taken_once(
    site: Site, visitor: OpenVisitor, colleague: OpenColleague
) -> None:
    known, customer, staff = site.open_case("Dora Doppel"), visitor(), colleague("Petra Lindner")
    site.wait_until_quiet()
    customer.go(known.status)
    customer.page.fill("#message", "Nur einmal, bitte.")
    customer.page.dblclick("main form button.button[type=submit]")
    expect(customer.page.get_by_role("status")).to_have_text("Danke, Ihre Nachricht ist angekommen.")
    staff.go(f"/staff/cases/{known.reference}")
    staff.page.click("#note > summary")
    staff.page.fill("#note-text", "Auch nur einmal.")
    staff.page.dblclick("#note button[type=submit]")
    expect(staff.page.get_by_role("status")).to_have_text("Die Notiz steht im Journal.")

    staff.page.reload()
    journal = staff.page.locator(".journal")

    expect(journal.get_by_text("Nur einmal, bitte.")).to_have_count(1)
    expect(journal.get_by_text("Auch nur einmal.")).to_have_count(1)
    site.wait_until_quiet()
    assert len(site.mailbox.letters(known.reference, "message_received")) == 1

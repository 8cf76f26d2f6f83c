"""Every page a visitor can come to, with the status code it answers, for the tests that look at all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import clock
from portal.appointments.models import Appointment
from portal.cases import agreeing, answering, closing, erasure_wishes, offering, on_hold, scheduling
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.models import Case, Doubt, Outcome, Topic
from portal.cases.offering import Finder
from portal.mail.letters import LetterKind
from portal.mail.models import HoldReason, Letter, LetterState
from portal.people.models import Person
from portal.promises.models import Promise, ServiceLevel, Waiting
from tests.browser.visitors import Visitor, send
from tests.support.site import Site, case_of

LEAD = "Sandra Neumann"
"""May see the figures."""


@dataclass(frozen=True)
class Stage:
    """What was arranged on the site for these pages."""

    site: Site
    named: str
    doubtful: str
    expired: str
    erasing: str
    """Where Greta Gern confirms that her details are deleted."""
    caller: str
    """Who may call Emre Aydın."""
    held: date
    """The day of the call that Hugo Halt wishes to have at another time."""


Go = Callable[[Visitor, Stage], int]


def at(path: str) -> Go:
    """Opens an address."""
    return lambda visitor, stage: visitor.go(path)


def status(customer: str, page: str = "") -> Go:
    """Opens a customer's status page, or a page below it."""
    return lambda visitor, stage: visitor.go(stage.site.status_page(customer) + page)


def case(customer: str) -> Go:
    """Opens the staff's page of a customer's case."""
    return lambda visitor, stage: visitor.go(stage.site.staff_page(customer))


def entry(customer: str) -> Go:
    """Opens the staff's page of a doubtful entry."""
    return lambda visitor, stage: visitor.go(stage.site.staff_page(customer).replace("/cases/", "/doubtful/"))


def after(go: Go, act: Callable[[Page], Any]) -> Go:
    """Opens a page and does something there that leads to another."""

    def both(visitor: Visitor, stage: Stage) -> int:
        go(visitor, stage)
        with visitor.page.expect_navigation() as arrived:
            act(visitor.page)
        return arrived.value.status if arrived.value is not None else 0

    return both


def ask_for_link(page: Page) -> None:
    page.fill("#email", "niemand@nirgends.example")
    send(page)


def send_empty_reply(page: Page) -> None:
    page.click("#reply > summary")
    page.click("#reply button[type=submit]")


def choices(customer: str) -> Go:
    """Opens the page of choices of a customer's case."""
    return lambda visitor, stage: visitor.go(f"{stage.site.staff_page(customer)}/choices")


def plan_something(page: Page) -> None:
    page.fill("#plan-text", "Das Werk bestätigt die Lieferzeit erst morgen.")
    page.click("#plan form:last-of-type button")


def plan_nothing(page: Page) -> None:
    page.fill("#plan-day", "")
    page.fill("#plan-hour", "")
    page.fill("#plan-text", "")
    page.click("#plan form:last-of-type button")


def choose_the_first(page: Page) -> None:
    page.locator("[name=slot]").first.check()
    send(page)


def mistype(page: Page) -> None:
    page.fill("#phone", "12")
    send(page)


def correct_with_nothing(page: Page) -> None:
    page.click("details summary")
    page.fill("#email", "")
    page.click("details button")


def refuse_sign_in(page: Page) -> None:
    page.fill("#email", "niemand@beispielwerke.example")
    page.fill("#password", "das ist es nicht")
    send(page)


def move_to_no_time(page: Page) -> None:
    page.click("#move > summary")
    page.check("[name=move-slot][value=own]")
    page.click("#move button[type=submit]")


CUSTOMER_PAGES: dict[str, tuple[Go, int]] = {
    "form": (at("/contact"), 200),
    "form with errors": (after(at("/contact"), send), 422),
    "thank-you, named": (lambda visitor, stage: visitor.go(stage.named), 200),
    "thank-you, doubtful": (lambda visitor, stage: visitor.go(stage.doubtful), 200),
    "thank-you, address missing": (
        after(lambda visitor, stage: visitor.go(stage.named), correct_with_nothing),
        422,
    ),
    "thank-you, gone": (at("/thanks/0123456789abcdefghijkl"), 404),
    "status, in progress": (status("Sabine Krüger"), 200),
    "status, late": (status("Lothar Spät"), 200),
    "status, delayed": (status("Farid Rahimi"), 200),
    "status, delayed twice": (status("Henning Vogt"), 200),
    "status, waiting": (status("Anna-Lena Großmann-Oberhuber"), 200),
    "status, closing announced": (status("Nora Offen"), 200),
    "status, moved": (status("Claudia Reiter"), 200),
    "status, two promises": (status("Birgit Sommer"), 200),
    "status, deputy": (status("Ulrich Baumgartner"), 200),
    "status, reopened": (status("Olga Petersen"), 200),
    "status, closed by us": (status("Nadine Scholz"), 200),
    "status, closed by the customer": (status("Peter Lang"), 200),
    "status, closed for good": (status("Gerd Ostermann"), 200),
    "status, not me": (status("Kim Schulte"), 200),
    "status, empty message": (after(status("Sabine Krüger"), send), 422),
    "choose a time": (status("Sabine Krüger", "/appointment"), 200),
    "choose a time, none chosen": (after(status("Sabine Krüger", "/appointment"), send), 422),
    "check a time": (after(status("Sabine Krüger", "/appointment"), choose_the_first), 200),
    "check a time, wrong number": (
        after(after(status("Sabine Krüger", "/appointment"), choose_the_first), mistype),
        422,
    ),
    "status, agreed": (status("Vera Abrede"), 200),
    "status, on hold": (status("Hugo Halt"), 200),
    "move the appointment": (status("Vera Abrede", "/appointment"), 200),
    "move the appointment, check": (after(status("Vera Abrede", "/appointment"), choose_the_first), 200),
    "cancel the appointment": (status("Vera Abrede", "/appointment/cancel"), 200),
    "close": (status("Sabine Krüger", "/close"), 200),
    "replace the link": (status("Sabine Krüger", "/replace-link"), 200),
    "not me": (status("Sabine Krüger", "/not-me"), 200),
    "status, deletion asked for": (status("Greta Gern"), 200),
    "status, deletion confirmed": (status("Bodo Bald"), 200),
    "delete the details": (status("Sabine Krüger", "/erase"), 200),
    "confirm the deletion": (lambda visitor, stage: visitor.go(stage.erasing), 200),
    "deletion not to be confirmed": (status("Claudia Reiter", "/erase/not-a-proof"), 410),
    "link": (at("/link"), 200),
    "link without address": (after(at("/link"), send), 422),
    "link sent": (after(at("/link"), ask_for_link), 200),
    "unknown link": (at("/s/unknown"), 404),
    "expired link": (lambda visitor, stage: visitor.go(stage.expired), 410),
    "no such page": (at("/nothing-here"), 404),
    "no such method": (at("/s/unknown/message"), 405),
    "mailbox": (at("/mailbox/"), 200),
    "letter in the mailbox": (lambda visitor, stage: visitor.go(f"/mailbox/{stage.site.mailbox.newest()}"), 200),
}
GUEST_PAGES: dict[str, tuple[Go, int]] = {
    "sign-in": (at("/staff/login"), 200),
    "sign-in refused": (after(at("/staff/login"), refuse_sign_in), 422),
}
STAFF_PAGES: dict[str, tuple[Go, int]] = {
    "worklist, mine": (at("/staff/"), 200),
    "worklist, team": (at("/staff/?scope=team"), 200),
    "worklist, all": (at("/staff/?scope=all"), 200),
    "discarded": (at("/staff/doubtful"), 200),
    "doubtful entry": (entry("Max Muster"), 200),
    "entry, not me": (entry("Kim Schulte"), 200),
    "entry, discarded": (entry("Best Offers"), 200),
    "case, open": (case("Sabine Krüger"), 200),
    "case, late": (case("Lothar Spät"), 200),
    "case, delayed twice": (case("Henning Vogt"), 200),
    "case, waiting": (case("Anna-Lena Großmann-Oberhuber"), 200),
    "case, closing announced": (case("Nora Offen"), 200),
    "case, deputy": (case("Ulrich Baumgartner"), 200),
    "case, closed": (case("Nadine Scholz"), 200),
    "case, reply with errors": (after(case("Sabine Krüger"), send_empty_reply), 422),
    "case, just done": (at("/staff/?done=discarded"), 200),
    "call": (after(case("Emre Aydın"), lambda page: page.click("aside form button")), 200),
    "choices": (choices("Sabine Krüger"), 200),
    "choices, late": (choices("Henning Vogt"), 200),
    "choices, waiting": (choices("Anna-Lena Großmann-Oberhuber"), 200),
    "choices, closed": (choices("Nadine Scholz"), 200),
    "choices, with errors": (after(choices("Sabine Krüger"), plan_nothing), 422),
    "choices, planned": (after(choices("Claudia Reiter"), plan_something), 200),
    "case, planned": (case("Claudia Reiter"), 200),
    "case, letter held": (case("Hanna Halt"), 200),
    "case, agreed": (case("Vera Abrede"), 200),
    "case, agreed, time with errors": (after(case("Vera Abrede"), move_to_no_time), 422),
    "case, on hold": (case("Hugo Halt"), 200),
    "calls": (at("/staff/calls?scope=all"), 200),
    "calls, one on hold": (lambda visitor, stage: visitor.go(f"/staff/calls?scope=all&day={stage.held}"), 200),
    "no such case": (at("/staff/cases/AAA-AAA"), 404),
    "figures, for leads only": (at("/staff/figures"), 403),
}
LEAD_PAGES: dict[str, tuple[Go, int]] = {
    "figures": (at("/staff/figures?team=all"), 200),
    "figures, of four weeks": (at("/staff/figures?team=all&weeks=4"), 200),
    "figures, nothing to count": (at("/staff/figures?team=3&topic=1"), 200),
}


PAGES = [
    pytest.param(who, go, code, id=name)
    for who, pages in (
        ("customer", CUSTOMER_PAGES),
        ("guest", GUEST_PAGES),
        ("colleague", STAFF_PAGES),
        ("lead", LEAD_PAGES),
    )
    for name, (go, code) in pages.items()
]
"""Who reads the page, the way to it, its status code."""


def arrange(site: Site) -> Stage:
    """Arrange what the demo company lacks: fresh thank-you pages, an expired link, a letter that did not arrive."""
    closed = clock.utc_now() - timedelta(days=100)
    old = site.open_case("Alma Alt", ago=timedelta(days=101))
    with site.writing() as session:
        _without_end(session)
    site.open_case("Lothar Spät", topic="ohne-ende", ago=timedelta(days=9))
    with site.writing() as session:  # nothing that is true could be written to him any more
        late = Letter.case_id == case_of(session, "Lothar Spät").id
        session.execute(update(Letter).where(late).values(state=LetterState.SENT, ended_at=clock.utc_now()))
    with site.writing() as session:
        over = case_of(session, "Alma Alt")
        closing.close(session, over, by_id=over.owner_id, outcome=Outcome.DONE, text="Erledigt.", now=closed)
        failed = select(Letter.id).where(Letter.case_id == case_of(session, "Claudia Reiter").id)
        session.execute(
            update(Letter)
            .where(Letter.id.in_(failed), Letter.kind == LetterKind.PROMISE_GIVEN)
            .values(state=LetterState.FAILED, last_error="550 5.1.1")
        )
        promise = case_of(session, "Emre Aydın").promise
        assert promise is not None
        caller = session.get_one(Person, promise.person_id).name
    site.open_case("Nora Offen")
    with site.writing() as session:
        _announce_closing(session, case_of(session, "Nora Offen"), now=clock.utc_now())
    doubtful = site.open_case("Dora Doubt", doubt=Doubt.TOO_FAST)
    erasing = _erasures_wished(site)
    site.open_case("Vera Abrede", phone_e164="+491713920077", phone_shown="0171 3920077")
    with site.writing() as session:
        _agree_on_a_time(session, case_of(session, "Vera Abrede"), now=clock.utc_now())
    site.open_case("Hugo Halt", phone_e164="+491713920078", phone_shown="0171 3920078")
    with site.writing() as session:
        held = case_of(session, "Hugo Halt")
        booked = _agree_on_a_time(session, held, now=clock.utc_now())
        on_hold.wish(
            session,
            held,
            by_id=booked.person_id,
            contact=Contact.CALL_IN,
            text="Lieber später.",
            version=booked.version,
            now=clock.utc_now(),
        )
        day = date.fromisoformat(booked.local_start[:10])
    site.open_case("Hanna Halt")
    site.wait_until_quiet()  # no worker holds the letter any more
    with site.writing() as session:
        _hold_letters(session, case_of(session, "Hanna Halt"))
    return Stage(site, site.open_case("Nele Neu").thanks, doubtful.thanks, old.status, erasing, caller, day)


def _erasures_wished(site: Site) -> str:
    """One customer asked for deletion and one confirmed it; the page on which the first confirms it."""
    for name in ("Greta Gern", "Bodo Bald"):
        site.open_case(name)
    with site.writing() as session:
        asked, confirmed = case_of(session, "Greta Gern"), case_of(session, "Bodo Bald")
        for wished in (asked, confirmed):
            erasure_wishes.ask(session, wished, now=clock.utc_now())
        erasure_wishes.confirm(session, confirmed, erasure_wishes.proof(confirmed), now=clock.utc_now())
        proof = erasure_wishes.proof(asked)
    return f"{site.status_page('Greta Gern')}/erase/{proof}"


def _hold_letters(session: Session, case: Case) -> None:
    """As if the customer's mailbox had got too many letters today."""
    held = {"state": LetterState.HELD, "hold_reason": HoldReason.MAILBOX_CAP, "ended_at": None}
    session.execute(
        update(Letter).where(Letter.case_id == case.id, Letter.kind == LetterKind.CONFIRMATION).values(held)
    )


def _announce_closing(session: Session, asked: Case, *, now: datetime) -> None:
    directory = directories.load(session, now=now)
    answering.ask(
        session,
        asked,
        by_id=directory.acting_person(asked, now).person_id,
        text="Welche Palette meinen Sie?",
        keeps={asked.promise_id or 0},
        follow_up_at=scheduling.next_update(directory, asked, now=now).due_at,
        now=now,
    )
    session.flush()
    waits = Promise.case_id == asked.id, Promise.waiting.is_not(None)
    session.execute(update(Promise).where(*waits).values(waiting=Waiting.CLOSING))


def _agree_on_a_time(session: Session, case: Case, *, now: datetime) -> Appointment:
    """The last of the next free times: it can still be changed, whenever this runs."""
    directory = directories.load(session, now=now)
    finder = Finder(session, directory, offering.of_case(directory, case), now=now)
    return agreeing.book(session, case, starts_at=finder.first()[-1].starts_at, by_id=None, now=now)


def _without_end(session: Session) -> None:
    """A topic for which no new date can be found, so that the worker leaves a promise of it late."""
    level = ServiceLevel(name="Ohne Ende", answer_min=60, update_min=10_000_000, remind_min=30, notice_min=15)
    session.add(level)
    session.flush()
    model = session.scalars(select(Topic).where(Topic.slug == "angebot")).one()
    session.add(
        Topic(
            slug="ohne-ende",
            team_id=model.team_id,
            level_id=level.id,
            name_de="Ohne Ende",
            name_en="Without end",
            medium=model.medium,
            active=False,
        )
    )

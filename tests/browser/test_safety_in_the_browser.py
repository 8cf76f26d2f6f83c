"""Opening a link changes nothing, whoever opens it and how often; and what was sent once is never taken twice.

Mail programs, virus scanners and previews open every link of a letter, some of them in a real browser.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import expect
from sqlalchemy.orm import Session

from portal import clock
from portal.cases import answering, closing, erasure_wishes, linking, scheduling
from portal.cases import directory as directories
from portal.cases.answering import Contact, Step
from portal.cases.models import Case, Doubt, Outcome
from portal.mail.letters import LetterKind
from portal.promises.models import Medium, PromiseKind
from tests.browser.visitors import OpenColleague, OpenVisitor, fill_in, send
from tests.mail.sample_values import OF_APPOINTMENTS, OF_THE_LADDER
from tests.support.dump import changes
from tests.support.site import Site, case_of

NAMED = r"/s/[^/]+|(?<=/erase/).+|[^/]+-[^/]+$(?<!not-me)"
"""What is different in each link: a token, a key, a reference."""
OF_OTHER_TESTS = {LetterKind.STAFF_UNDELIVERABLE} | OF_THE_LADDER | OF_APPOINTMENTS
"""No letters of a journey that goes well; they link to the same pages as the others."""


def journey(site: Site) -> Iterator[str]:
    """A whole journey and its two side turns, step by step, each step's letters delivered; yields the references."""

    def step(customer: str, act: Any, **values: Any) -> None:
        with site.writing() as session:
            act(session, case_of(session, customer), now=clock.utc_now(), **values)
        site.wait_until_quiet()

    def by_owner(act: Any, **values: Any) -> Any:
        return lambda session, case, now: act(session, case, by_id=case.owner_id, now=now, **values)

    def promise(session: Session, case: Case, **values: Any) -> None:
        due_at = proposed(session, case)
        answering.promise_date(session, case, step=Step(PromiseKind.RESULT, Medium.MAIL, due_at), **values)

    def ask(session: Session, case: Case, **values: Any) -> None:
        answering.ask(session, case, text="Wie viele?", keeps=(), follow_up_at=proposed(session, case), **values)

    def call(session: Session, case: Case, now: Any, **values: Any) -> None:
        missed = {"contact": Contact.CALL_NOT_REACHED, "text": "", "at": now, "keeps": (), "step": None}
        answering.log_contact(session, case, visible=False, now=now, **missed, **values)

    def wish(session: Session, case: Case, **values: Any) -> None:
        linking.wish_link(session, "linus@link.example", **values)

    yield site.open_case("Linus Link", email="linus@link.example").reference
    step("Linus Link", answering.customer_message, text="Eine Frage noch.")
    step("Linus Link", by_owner(call))
    step("Linus Link", by_owner(ask))
    step("Linus Link", by_owner(promise))
    step("Linus Link", by_owner(answering.reply, text="Drei.", keeps=(), step=None))
    step("Linus Link", wish)
    step("Linus Link", closing.close, by_id=None, outcome=Outcome.DONE, text="")
    step("Linus Link", closing.reopen, by_id=None, text="Doch nicht.")
    step("Linus Link", erasure_wishes.ask)
    yield site.open_case("Nina Nein").reference
    site.wait_until_quiet()
    step("Nina Nein", closing.not_me)
    yield site.open_case("Zora Zweifel", doubt=Doubt.HONEYPOT).reference
    site.wait_until_quiet()


def proposed(session: Session, case: Case) -> Any:
    """The date that the staff's forms propose."""
    now = clock.utc_now()
    return scheduling.proposed_due(directories.load(session, now=now), case, now=now)


@pytest.mark.nightly_on("postgresql")
def test_opening_every_link_of_every_letter_changes_nothing(
    site: Site, visitor: OpenVisitor, colleague: OpenColleague
) -> None:
    letters = [letter for reference in list(journey(site)) for letter in site.mailbox.letters(reference)]
    assert {letter.kind for letter in letters} == set(LetterKind) - OF_OTHER_TESTS
    links = sorted({link for letter in letters for link in letter.links if link.startswith(site.address)})
    pages = {re.sub(NAMED, "", link.removeprefix(site.address)) for link in links}
    assert pages == {"", "/not-me", "/erase/", "/staff/cases/", "/staff/doubtful/"}
    customer, staff = visitor(), colleague("Petra Lindner")
    site.wait_until_quiet()
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


@pytest.mark.nightly_on("postgresql")
def test_a_tab_that_is_closed_too_early_makes_one_case(site: Site, visitor: OpenVisitor) -> None:
    customer, before = visitor(), site.cases()
    customer.go("/contact")
    fill_in(customer.page, name="Ella Eile", email="ella@eile.example")
    customer.page.evaluate("document.querySelector('main form button[type=submit]').click()")
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
    customer.page.dblclick("main form button[type=submit]")
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

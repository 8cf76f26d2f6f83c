"""The worklist, the doubtful entries, and the rule that no page but one shows a customer's number."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from portal import db, demo, heartbeat
from portal.cases import addressing, erasing, finding, opening
from portal.cases.drafting import Wish
from portal.cases.models import Case, CaseState, Doubt, Topic
from portal.customers.models import Customer
from portal.journal.models import Entry
from portal.links import new_secret
from portal.mail.models import Letter, LetterState, MailChannel
from portal.people.models import Person
from portal.promises.models import Promise
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, document, text

WEEK = {
    "Anton Überfällig": timedelta(hours=-1),
    "Berta Heute": timedelta(hours=3),
    "Cäsar Morgen": timedelta(days=1, hours=2),
    "Dora Woche": timedelta(days=3),
    "Emil Später": timedelta(days=9),
}
"""Customers and when, seen from a Tuesday, their step is due."""


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[None]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk(app: Flask, company: dict[str, int]) -> Desk:
    """Miriam Albrecht's browser, signed in, on no page yet; a worker is alive."""
    with app.app_context(), db.writing() as session:
        heartbeat.beat(session, "worker-1", now=NOW)
    return Desk.of(app, "Miriam Albrecht")


def make_case(
    app: Flask, name: str = "Sabine Krüger", *, doubt: Doubt | None = None, owner: str = "Miriam Albrecht"
) -> str:
    """A form somebody filled in just now; the reference."""
    with app.app_context(), db.writing() as session:
        wish = Wish(
            topic_id=session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one(),
            name=name,
            email="jemand@example.com",
            message="Bitte ein Angebot über 40 Pumpen.",
            language="de",
            phone_e164="+498999998547",
            phone_shown="089 99998-547",
        )
        submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=doubt, now=NOW)
        case = session.get_one(Case, submission.case_id)
        if doubt is None:
            case.owner_id = session.scalars(select(Person.id).where(Person.name == owner)).one()
            session.execute(update(Promise).where(Promise.case_id == case.id).values(person_id=case.owner_id))
        return case.reference


def make_week(app: Flask) -> None:
    """One case for each group."""
    for name, ahead in WEEK.items():
        reference = make_case(app, name)
        with app.app_context(), db.writing() as session:
            due = {"given_at": NOW - timedelta(days=2), "notice_at": NOW + ahead - timedelta(hours=1)}
            mine = select(Case.id).where(Case.reference == reference).scalar_subquery()
            session.execute(update(Promise).where(Promise.case_id == mine).values(due_at=NOW + ahead, **due))


def state_of(app: Flask, reference: str) -> CaseState:
    """The case's state in the database."""
    with app.app_context(), db.reading() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        return case.state


def headings(html: str) -> list[str]:
    """The second-level headings of a page."""
    return [" ".join("".join(part.itertext()).split()) for part in document(html).iter("h2")]


def test_steps_are_grouped_by_when_they_are_due_with_their_number(app: Flask, desk: Desk) -> None:
    make_week(app)

    page = desk.get("/staff/").text

    assert headings(page) == ["Überfällig (1)", "Heute (1)", "Morgen (1)", "Diese Woche (1)", "Später (1)"]
    names = [link.text for link in document(page).iter("a") if (link.get("href") or "").startswith("/staff/cases/")]
    assert names == list(WEEK)


def test_a_row_says_when_who_what_and_by_whom(app: Flask, desk: Desk) -> None:
    reference = make_case(app)

    page = text(desk.get("/staff/").text)

    assert f"Mi., 25. November, 16:30 Uhr Sabine Krüger Angebot anfragen, {reference}" in page
    assert "Antwort per E-Mail Miriam Albrecht" in page


@pytest.mark.parametrize(
    ("scope", "seen"),
    [("", {"Meiner"}), ("?scope=team", {"Meiner", "Kollegen"}), ("?scope=all", {"Meiner", "Kollegen", "Fremder"})],
)
def test_the_scope_lives_in_the_address(app: Flask, desk: Desk, scope: str, seen: set[str]) -> None:
    make_case(app, "Meiner")
    make_case(app, "Kollegen", owner="Jonas Weidner")
    make_case(app, "Fremder", owner="Thomas Brandt")

    page = text(desk.get(f"/staff/{scope}").text)

    assert {name for name in ("Meiner", "Kollegen", "Fremder") if name in page} == seen


def test_an_unknown_scope_is_mine(desk: Desk) -> None:
    page = document(desk.get("/staff/?scope=secret").text)

    chosen = [link.text for link in page.iter("a") if link.get("aria-current") == "true"]
    assert chosen == ["Meine"]


def test_an_empty_list_says_where_to_go_on(desk: Desk) -> None:
    page = desk.get("/staff/")

    assert "Hier wartet nichts." in text(page.text)
    assert 'href="/staff/?scope=all"' in page.text


def test_a_living_worker_needs_no_banner(desk: Desk) -> None:
    assert "Zurzeit wird keine E-Mail verschickt." not in desk.get("/staff/").text


def test_a_silent_worker_is_announced_with_the_time_it_was_last_heard(desk: Desk) -> None:
    with time_machine.travel(NOW + timedelta(seconds=61), tick=False):
        page = text(desk.get("/staff/").text)

    assert "Zurzeit wird keine E-Mail verschickt." in page
    assert "schweigt seit Dienstag, 24. November, 9:12 Uhr" in page


def test_a_paused_mail_channel_is_announced_with_its_reason(app: Flask, desk: Desk) -> None:
    with app.app_context(), db.writing() as session:
        session.add(MailChannel(name="smtp", paused_until=NOW + timedelta(minutes=18), reason="535 wrong password"))

    page = text(desk.get("/staff/").text)

    assert "Der Mailversand pausiert bis Dienstag, 24. November, 9:30 Uhr." in page
    assert "535 wrong password" in page


def test_a_letter_that_did_not_arrive_stands_above_the_list_and_at_its_row(app: Flask, desk: Desk) -> None:
    reference = make_case(app)
    with app.app_context(), db.writing() as session:
        failed = {"state": LetterState.FAILED, "ended_at": NOW, "last_error": "550 no such user"}
        session.execute(update(Letter).where(Letter.kind == "confirmation").values(**failed))

    page = desk.get("/staff/").text

    assert "Nachrichten, die nicht ankamen (1)" in headings(page)
    assert f"Di., 24. November, 9:12 Uhr Sabine Krüger {reference} Eingangsbestätigung" in text(page)
    assert "Nachricht kam nicht an" in text(page)
    assert "550 no such user" in text(desk.get(f"/staff/cases/{reference}").text)


def test_a_letter_that_waits_too_long_asks_for_a_call(app: Flask, desk: Desk) -> None:
    reference = make_case(app)

    assert "Nachrichten, die noch warten: bitte anrufen (1)" not in headings(desk.get("/staff/").text)
    with time_machine.travel(NOW + timedelta(minutes=16), tick=False):
        page = desk.get("/staff/").text

    assert headings(page)[0] == "Nachrichten, die noch warten: bitte anrufen (1)"
    assert f"wartet seit Di., 24. November, 9:12 Uhr Sabine Krüger {reference} Miriam Albrecht" in text(page)


def test_a_doubtful_entry_waits_on_top_until_its_date(app: Flask, desk: Desk) -> None:
    reference = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST)

    page = desk.get("/staff/").text

    assert headings(page)[0] == "Zweifelhafte Eingänge (1)"
    assert "prüfen bis Mi., 25. November" in text(page)
    assert f'href="/staff/doubtful/{reference}"' in page


def test_a_doubtful_entry_past_its_date_is_marked(app: Flask, desk: Desk) -> None:
    make_case(app, "Max Muster", doubt=Doubt.HONEYPOT)

    with time_machine.travel(NOW + timedelta(hours=7), tick=False):
        before = text(desk.get("/staff/").text)
    with time_machine.travel(NOW + timedelta(days=2), tick=False):
        after = text(Desk.of(app, "Miriam Albrecht").get("/staff/").text)

    assert "überfällig seit" not in before
    assert "überfällig seit Mi., 25. November" in after


def test_an_entry_shows_what_came_in_and_why_it_is_in_doubt(app: Flask, desk: Desk) -> None:
    reference = make_case(app, "Max Muster", doubt=Doubt.HONEYPOT)

    page = desk.get(f"/staff/doubtful/{reference}").text

    assert "Bitte ein Angebot über 40 Pumpen." in text(page)
    assert "Ein Feld, das Menschen nicht sehen, war ausgefüllt." in text(page)
    assert actions(page) == {
        "/staff/logout",
        f"/staff/doubtful/{reference}/release",
        f"/staff/doubtful/{reference}/discard",
    }


def test_a_released_entry_is_a_case(app: Flask, desk: Desk) -> None:
    reference = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST)
    desk.get(f"/staff/doubtful/{reference}")

    answer = desk.submit(f"/staff/doubtful/{reference}/release")

    assert (answer.status_code, answer.location) == (303, f"/staff/cases/{reference}?done=released")
    assert "Der Eingang ist jetzt ein Vorgang" in text(desk.follow().text)
    assert state_of(app, reference) == CaseState.OPEN


def test_a_discarded_entry_can_be_found_and_released_again(app: Flask, desk: Desk) -> None:
    reference = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST)
    desk.get(f"/staff/doubtful/{reference}")

    answer = desk.submit(f"/staff/doubtful/{reference}/discard")

    assert answer.location == "/staff/?done=discarded"
    assert state_of(app, reference) == CaseState.SPAM
    assert "Max Muster" in text(desk.get("/staff/doubtful").text)
    desk.get(f"/staff/doubtful/{reference}")
    assert desk.submit(f"/staff/doubtful/{reference}/release").status_code == 303
    assert state_of(app, reference) == CaseState.OPEN
    assert "Es ist nichts verworfen." in text(desk.get("/staff/doubtful").text)


def test_a_report_that_was_not_me_can_be_undone(app: Flask, desk: Desk) -> None:
    reference = make_case(app)
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        addressing.not_me(session, case, now=NOW)
    page = desk.get(f"/staff/doubtful/{reference}")
    assert "„Das war ich nicht.“" in text(page.text)
    assert "Rückgängig: Es war doch Sabine Krüger" in text(page.text)

    desk.submit(f"/staff/doubtful/{reference}/release")

    assert state_of(app, reference) == CaseState.OPEN


def test_an_entry_that_a_colleague_released_is_not_discarded(app: Flask, desk: Desk) -> None:
    reference = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST)
    page = desk.get(f"/staff/doubtful/{reference}")
    desk.submit(f"/staff/doubtful/{reference}/release")
    desk.page = page

    answer = desk.submit(f"/staff/doubtful/{reference}/discard")

    assert answer.status_code in (302, 409)
    assert state_of(app, reference) == CaseState.OPEN


def test_case_and_entry_lead_to_each_other(app: Flask, desk: Desk) -> None:
    doubtful, genuine = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST), make_case(app)

    assert desk.get(f"/staff/cases/{doubtful}").location == f"/staff/doubtful/{doubtful}"
    assert desk.get(f"/staff/doubtful/{genuine}").location == f"/staff/cases/{genuine}"
    assert desk.get("/staff/doubtful/ZZZ-ZZZ").status_code == 404


def test_an_erased_case_shows_nothing_but_that(app: Flask, desk: Desk) -> None:
    reference = make_case(app)
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        addressing.not_me(session, case, now=NOW)
        erasing.erase(session, case, now=NOW)

    page = desk.get(f"/staff/cases/{reference}")

    assert page.status_code == 200
    assert "Krüger" not in page.text and "Pumpen" not in page.text
    assert actions(page.text) == {"/staff/logout"}


def test_no_page_but_the_answer_to_a_started_call_shows_a_number(app: Flask, password_hash: str) -> None:
    with app.app_context(), db.writing() as session:
        demo.load(session, password_hash=password_hash, now=NOW)
        references = set(session.scalars(select(Case.reference)))
        numbers = {
            spelling
            for customer in session.scalars(select(Customer).where(Customer.phone_e164.is_not(None)))
            for spelling in (customer.phone_shown or "", (customer.phone_e164 or "").removeprefix("+49"))
        }
    desk = Desk.of(app, "Martina Ebert")
    paths = ["/staff/?scope=all", "/staff/?scope=team", "/staff/", "/staff/doubtful"]
    paths += [f"/staff/{kind}/{reference}" for reference in references for kind in ("cases", "doubtful")]

    pages = [desk.get(path) for path in paths]

    assert len(numbers) >= 6
    assert {page.status_code for page in pages} <= {200, 302}
    assert [number for page in pages for number in numbers if number in page.text] == []


def test_reading_every_page_writes_nothing(app: Flask, desk: Desk) -> None:
    doubtful, genuine = make_case(app, "Max Muster", doubt=Doubt.TOO_FAST), make_case(app)

    def rows() -> list[int]:
        with app.app_context(), db.reading() as session:
            return [session.scalar(select(func.count()).select_from(table)) or 0 for table in (Entry, Letter, Promise)]

    before = rows()
    for path in ("/staff/", "/staff/doubtful", f"/staff/cases/{genuine}", f"/staff/doubtful/{doubtful}"):
        assert desk.get(path).status_code == 200
        assert desk.client.head(path).status_code == 200

    assert rows() == before

"""Opening: what the form says becomes a case with owner, promise, journal and letters, at once or not at all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db, tables
from portal.cases import addressing, doubtful, drafting, finding, opening, submissions
from portal.cases.errors import KeyReused, NothingToPromise, NotOpen
from portal.cases.models import Case, CaseState, Doubt, RoutedBy, Submission
from portal.customers.models import Account
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, LetterState
from portal.people.models import Closure, ClosureKind, Hours, Team
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    NUMBER,
    TUESDAY,
    away,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    link_in,
    open_case,
    open_promises,
    read,
    refused,
    send_form,
    step,
    wish,
)

DOUBTS = [Doubt.HONEYPOT, Doubt.TOO_FAST, Doubt.NO_PROOF]


def test_an_accepted_form_becomes_an_open_case_with_an_owner(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)

    assert (case.state, case.owner_id) == (CaseState.OPEN, people["Miriam Albrecht"])
    assert (case.received_at, case.opened_at, case.check_by_at) == (TUESDAY, TUESDAY, None)


def test_an_open_case_has_one_promise_of_its_owner_as_its_next_step(session: Session) -> None:
    case = open_case(session)

    (promise,) = open_promises(session, case)
    assert (case.promise_id, promise.person_id) == (promise.id, case.owner_id)
    assert (promise.kind, promise.medium, promise.state) == (PromiseKind.REPLY, Medium.MAIL, PromiseState.OPEN)


def test_the_journal_begins_with_what_the_customer_wrote_and_who_looks_after_it(session: Session) -> None:
    case = open_case(session, message="Vierzig Pumpen, bitte.")

    received, opened = entries(session, case)
    assert (received.kind, received.actor, received.channel) == (Kind.RECEIVED, Actor.CUSTOMER, Channel.FORM)
    assert (received.direction, received.text) == (Direction.IN, "Vierzig Pumpen, bitte.")
    assert (opened.kind, opened.person_id) == (Kind.OPENED, case.owner_id)


def test_the_customer_and_the_acting_person_get_a_letter_each(session: Session) -> None:
    case = open_case(session)

    to_customer, to_staff = letters(session, case)
    assert (to_customer.kind, to_customer.to_address) == (LetterKind.CONFIRMATION, "s.krueger@haustechnik.example")
    assert (to_staff.kind, to_staff.to_address) == (LetterKind.STAFF_NEW_CASE, "m.albrecht@beispielwerke.example")
    assert to_customer.state == to_staff.state == LetterState.QUEUED


def test_the_confirmation_names_the_person_the_direct_line_the_date_and_the_link(session: Session) -> None:
    case = open_case(session)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    mail = read(letter)
    assert "Miriam Albrecht – Beispielwerke" in mail.sender
    assert mail.reply_to == "m.albrecht@beispielwerke.example"
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr." in mail.text
    assert "Durchwahl: 089 99998-214" in mail.text
    found = finding.by_token(session, link_in(letter), now=TUESDAY)
    assert found is not None
    assert found.case is case


def test_an_english_customer_is_written_to_in_english_and_the_colleague_in_german(session: Session) -> None:
    case = open_case(session, language="en")

    to_customer, to_staff = letters(session, case)
    assert "Miriam Albrecht will reply by 4:30 pm on Wednesday 25 November (German time)." in read(to_customer).text
    assert "Das ist zugesagt:" in read(to_staff).text


def test_no_letter_repeats_what_the_customer_wrote(session: Session) -> None:
    case = open_case(session, message="Kanarienvogel im Heizkeller")

    assert "Kanarienvogel" not in " ".join(read(letter).everything for letter in letters(session, case))


def test_whatever_statement_fails_nothing_of_the_form_stays(core: Flask, people: dict[str, int]) -> None:
    before = rows_of_every_table()
    with breaking_at(10_000) as unbroken, pytest.raises(RuntimeError), db.writing() as session:
        send_form(session)
        session.flush()
        raise RuntimeError
    writes = len(unbroken)

    for number in range(1, writes + 1):
        with breaking_at(number), pytest.raises(RuntimeError), db.writing() as session:
            send_form(session)

    assert writes >= 8  # customer, case, two entries, promise, submission, the case again, two letters
    assert rows_of_every_table() == before


def test_a_form_that_is_sent_again_after_a_failure_is_accepted(core: Flask, people: dict[str, int]) -> None:
    with breaking_at(4), pytest.raises(RuntimeError), db.writing() as session:
        send_form(session, key="one")

    with db.writing() as session:
        send_form(session, key="one")

    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Case)) == 1


@pytest.mark.parametrize(
    ("slug", "at", "due"),
    [
        ("rueckruf", "2026-11-24 09:12", "2026-11-24 13:30"),  # 240 business minutes, up to the full half hour
        ("lieferung", "2026-11-24 09:12", "2026-11-25 08:30"),  # 480 of them: twelve are left for the next morning
        ("angebot", "2026-11-24 09:12", "2026-11-25 16:30"),
        ("angebot", "2026-11-27 14:00", "2026-12-01 14:00"),  # Friday ends at 15 o'clock, then the weekend
        ("rueckruf", "2026-11-24 20:00", "2026-11-25 12:00"),  # in the evening it counts from the next morning
        ("rueckruf", "2026-11-28 11:00", "2026-11-30 12:00"),
        ("rechnung", "2026-11-17 09:12", "2026-11-19 16:30"),  # Saxony keeps the Day of Repentance,
        ("angebot", "2026-11-17 09:12", "2026-11-18 16:30"),  # Bavaria does not
        ("lieferung", "2026-10-23 14:00", "2026-10-26 15:00"),  # over the end of summer time
    ],
)
def test_the_first_answer_is_due_by_the_teams_business_time(session: Session, slug: str, at: str, due: str) -> None:
    case = open_case(session, slug, at=berlin(at))

    (promise,) = open_promises(session, case)
    assert (promise.due_at, promise.first_due_at) == (berlin(due), berlin(due))
    assert promise.given_at < promise.notice_at < promise.due_at


def test_days_on_which_the_firm_is_closed_do_not_count(session: Session) -> None:
    session.add(Closure(first_on=date(2026, 12, 24), last_on=date(2026, 12, 31), kind=ClosureKind.CLOSED))

    case = open_case(session, "lieferung", at=berlin("2026-12-23 16:00"))

    assert open_promises(session, case)[0].due_at == berlin("2027-01-04 15:00")


def test_a_topic_answered_by_phone_promises_a_call(session: Session) -> None:
    case = open_case(session, "rueckruf")

    (promise,) = open_promises(session, case)
    assert (promise.kind, promise.medium) == (PromiseKind.CALL, Medium.CALL)
    assert "ruft Sie bis Dienstag, 24. November, 13:30 Uhr an" in read(letters(session, case)[0]).text


def test_without_a_number_a_call_cannot_be_promised_and_a_reply_is(session: Session) -> None:
    case = open_case(session, "rueckruf", phone_e164=None, phone_shown=None)

    (promise,) = open_promises(session, case)
    assert (promise.kind, promise.medium) == (PromiseKind.REPLY, Medium.MAIL)


def without_hours(session: Session, team: str) -> None:
    """Take a team's hours away."""
    team_id = session.scalars(select(Team.id).where(Team.name == team)).one()
    session.execute(delete(Hours).where(Hours.team_id == team_id))
    step(session)


@pytest.mark.parametrize("doubt", [None, *DOUBTS])
def test_where_no_date_can_be_computed_a_case_is_refused_and_an_entry_looked_at_a_day_later(
    session: Session, doubt: Doubt | None
) -> None:
    without_hours(session, "Vertrieb Süd")

    assert "angebot" not in [offer.topic.slug for offer in drafting.promised(session, language="de", now=TUESDAY)]
    if doubt is None:
        with refused(session, NothingToPromise):
            send_form(session)
    else:
        assert open_case(session, doubt=doubt).check_by_at == TUESDAY + timedelta(days=1)


def test_an_owner_whose_team_has_no_hours_still_keeps_the_date_of_the_form(
    session: Session, people: dict[str, int]
) -> None:
    session.scalars(select(Account).where(Account.number == "K-10042")).one().manager_id = people["Lena Hofmann"]
    without_hours(session, "Kundendienst")

    case = open_case(session, customer_number="K-10042")

    assert case.owner_id == people["Lena Hofmann"]
    assert open_promises(session, case)[0].due_at == berlin("2026-11-25 16:30")


def test_a_draft_that_an_absence_overtakes_is_drafted_again(core: Flask, people: dict[str, int]) -> None:
    with db.reading() as session:
        drafted = drafting.draft(session, wish(session), doubt=None, now=TUESDAY)
    with db.writing() as session:
        away(session, people["Miriam Albrecht"], since=TUESDAY)
    with db.writing() as session:
        kept = opening.keep(session, drafted, key="one", body_hash="")

    jonas = people["Jonas Weidner"]
    assert drafted.case.owner_id == people["Miriam Albrecht"]
    with db.reading() as session:
        case = session.get_one(Case, kept.case_id)
        (promise,) = open_promises(session, case)
        to_customer, to_staff = letters(session, case)
        opened = entries(session, case, Kind.OPENED)[0]
        assert (case.owner_id, case.promise_id) == (jonas, promise.id)
        assert promise.person_id == opened.person_id == to_customer.person_id == to_staff.person_id == jonas
        assert to_customer.promise_id == to_staff.promise_id == promise.id
        assert "Jonas Weidner antwortet bis Mittwoch, 25. November, 16:30 Uhr." in read(to_customer).text
        assert "Miriam" not in read(to_customer).everything


def test_a_draft_of_a_known_customer_that_an_absence_overtakes_is_signed_by_the_deputy(
    core: Flask, people: dict[str, int]
) -> None:
    with db.reading() as session:
        drafted = drafting.draft(session, wish(session, customer_number="K-10042"), doubt=None, now=TUESDAY)
    with db.writing() as session:
        away(session, people["Jonas Weidner"], since=TUESDAY)
    with db.writing() as session:
        kept = opening.keep(session, drafted, key="one", body_hash="")

    with db.reading() as session:
        case = session.get_one(Case, kept.case_id)
        (promise,) = open_promises(session, case)
        (to_customer,) = letters(session, case, LetterKind.CONFIRMATION)
        assert case.owner_id == promise.person_id == people["Jonas Weidner"]
        assert to_customer.person_id == people["Miriam Albrecht"]
        assert "in Vertretung für Jonas Weidner" in read(to_customer).text


def test_a_draft_that_nothing_overtook_is_written_as_it_stands(core: Flask, people: dict[str, int]) -> None:
    with db.reading() as session:
        drafted = drafting.draft(session, wish(session), doubt=None, now=TUESDAY)
    with db.writing() as session:
        kept = opening.keep(session, drafted, key="one", body_hash="")

    with db.reading() as session:
        written = {letter.message for letter in letters(session, session.get_one(Case, kept.case_id))}
    assert written == {letter.message for letter in drafted.letters}


def test_the_same_key_and_body_give_the_same_submission_and_no_second_letter(session: Session) -> None:
    first = send_form(session, key="one", body="same")
    step(session)

    again = send_form(session, key="one", body="same", at=TUESDAY + timedelta(seconds=2))

    assert (again.case_id, again.answer) == (first.case_id, first.answer)
    case = session.get_one(Case, first.case_id)
    assert kinds_of(letters(session, case)) == [LetterKind.CONFIRMATION, LetterKind.STAFF_NEW_CASE]
    assert session.scalar(select(func.count()).select_from(Case)) == 1


def test_the_same_key_with_another_body_is_refused(session: Session) -> None:
    send_form(session, key="one", body="first")
    step(session)

    with refused(session, KeyReused):
        send_form(session, key="one", body="second")

    assert session.scalar(select(func.count()).select_from(Case)) == 1


def test_two_keys_with_the_same_body_are_two_cases(session: Session) -> None:
    first = send_form(session, key="one", body="same")
    second = send_form(session, key="two", body="same")

    assert first.case_id != second.case_id
    assert first.answer != second.answer


def test_two_presses_at_the_same_moment_make_one_case(core: Flask, people: dict[str, int]) -> None:
    together, answers = threading.Barrier(2), list[str]()

    def press() -> None:
        with core.app_context():
            together.wait()
            answers.append(once_more(accept_in_own_transaction))

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 2
    assert len(set(answers)) == 1
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Case)) == 1


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_doubtful_entry_has_no_owner_no_promise_and_no_letter_to_the_customer(session: Session, doubt: Doubt) -> None:
    entry = open_case(session, doubt=doubt)

    assert (entry.state, entry.doubt, entry.owner_id) == (CaseState.RECEIVED, doubt, None)
    assert open_promises(session, entry) == []
    assert letters(session, entry, audience=Audience.CUSTOMER) == []


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_doubtful_entry_is_told_to_the_front_desk_with_its_check_by_date(session: Session, doubt: Doubt) -> None:
    entry = open_case(session, doubt=doubt)

    assert entry.check_by_at == berlin("2026-11-25 08:30")
    (letter,) = letters(session, entry)
    assert (letter.kind, letter.to_address) == (LetterKind.STAFF_DOUBTFUL, "p.lindner@beispielwerke.example")
    assert "Mittwoch, 25. November, 8:30 Uhr" in read(letter).subject
    assert f"/staff/doubtful/{entry.reference}" in read(letter).text


def test_a_released_entry_becomes_a_case_with_a_promise_from_that_moment(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    released_at = berlin("2026-11-24 15:00")

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=released_at)
    step(session)

    assert (entry.state, entry.doubt, entry.check_by_at) == (CaseState.OPEN, None, None)
    assert (entry.owner_id, entry.opened_at) == (people["Miriam Albrecht"], released_at)
    assert open_promises(session, entry)[0].due_at == berlin("2026-11-26 13:00")


def test_the_letters_of_a_released_entry_take_no_key_of_another_case(session: Session, people: dict[str, int]) -> None:
    entries_in_doubt = [
        open_case(session, email=f"doubt{number}@neu.example", doubt=Doubt.TOO_FAST) for number in range(2)
    ]
    for number in range(3):
        open_case(session, email=f"{number}@neu.example")

    for entry in entries_in_doubt:  # their promises get numbers that are those of the cases above
        doubtful.release(session, entry, by_id=people["Petra Lindner"], now=TUESDAY)
        step(session)

        assert len(letters(session, entry, LetterKind.STAFF_NEW_CASE)) == 1


def test_the_confirmation_of_a_released_entry_says_when_the_form_came_in(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=berlin("2026-11-24 15:00"))

    (letter,) = letters(session, entry, LetterKind.CONFIRMATION)
    assert "Dienstag, 24. November, 9:12 Uhr, bei uns eingegangen" in read(letter).text


def test_the_journal_knows_who_released_an_entry_and_the_customer_does_not(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=TUESDAY)

    (released,) = entries(session, entry, Kind.RELEASED)
    assert (released.person_id, released.visible) == (people["Petra Lindner"], False)


def test_a_discarded_entry_is_spam_without_a_date_to_check_and_is_erased_after_a_month(
    session: Session, people: dict[str, int]
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)

    doubtful.discard(session, entry, by_id=people["Petra Lindner"], now=TUESDAY)
    step(session)

    assert (entry.state, entry.check_by_at) == (CaseState.SPAM, None)
    assert entry.erase_on == date(2026, 12, 24)
    assert finding.by_token(session, finding.status_token(entry), now=TUESDAY) is None


def test_a_discarded_entry_can_be_released(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)
    doubtful.discard(session, entry, by_id=people["Petra Lindner"], now=TUESDAY)
    step(session)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=TUESDAY + timedelta(hours=1))
    step(session)

    assert (entry.state, entry.erase_on) == (CaseState.OPEN, None)
    assert kinds_of(letters(session, entry, audience=Audience.CUSTOMER)) == [LetterKind.CONFIRMATION]


@pytest.mark.parametrize("act", [doubtful.release, doubtful.discard])
def test_the_letter_that_asks_to_look_is_overtaken_once_somebody_has(
    session: Session, people: dict[str, int], act: Any
) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)

    act(session, entry, by_id=people["Petra Lindner"], now=TUESDAY)

    assert letters(session, entry, LetterKind.STAFF_DOUBTFUL) == []


def test_only_what_waits_can_be_released_or_discarded(session: Session, people: dict[str, int]) -> None:
    case, by_id = open_case(session), people["Petra Lindner"]

    with refused(session, NotOpen):
        doubtful.release(session, case, by_id=by_id, now=TUESDAY)
    with refused(session, NotOpen):
        doubtful.discard(session, case, by_id=by_id, now=TUESDAY)

    assert len(open_promises(session, case)) == 1


def test_two_cases_never_share_a_reference(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "new_reference", lambda: "K7P-3M9")
    open_case(session)

    with refused(session, IntegrityError):
        send_form(session)


@pytest.mark.parametrize("typed", ["K7P-3M9", "k7p-3m9", " K7P-3M9 "])
def test_a_case_is_found_by_its_reference_however_it_was_typed(
    session: Session, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(drafting, "new_reference", lambda: "K7P-3M9")
    case = open_case(session)

    assert finding.by_reference(session, typed) is case


def test_the_thank_you_page_may_name_a_person_found_by_the_topic_alone(session: Session) -> None:
    case = open_case(session)

    assert case.routed_by == RoutedBy.TOPIC


def test_every_form_has_a_customer_row_of_its_own(session: Session) -> None:
    first, second = open_case(session), open_case(session, phone_e164=None, phone_shown=None)

    assert first.customer_id != second.customer_id
    assert first.customer.phone_e164 == NUMBER


def test_an_entry_whose_mailbox_denied_it_is_told_again_when_it_is_released(
    session: Session, people: dict[str, int]
) -> None:
    case = open_case(session)
    deliver(session)
    addressing.not_me(session, case, now=TUESDAY)
    step(session)

    doubtful.release(session, case, by_id=people["Petra Lindner"], now=TUESDAY + timedelta(hours=1))

    assert kinds_of(letters(session, case, audience=Audience.CUSTOMER)) == [
        LetterKind.CONFIRMATION,
        LetterKind.REOPENED,
    ]


def test_what_breaks_is_really_broken(core: Flask, people: dict[str, int]) -> None:
    with breaking_at(3) as writes, pytest.raises(RuntimeError, match="INSERT"), db.writing() as session:
        send_form(session)

    assert len(writes) == 3


def test_equal_bodies_have_equal_hashes_and_others_have_not() -> None:
    assert submissions.body_hash(["a", None]) == submissions.body_hash(["a", None])
    assert (
        len({submissions.body_hash(parts) for parts in (["ab", "c"], ["a", "bc"], ["a", "b", "c"], ["abc", None])}) == 4
    )


def test_the_submission_leads_to_the_case(session: Session) -> None:
    case = open_case(session)

    assert session.scalars(select(Submission.case_id)).one() == case.id


def test_a_wish_holds_what_was_typed(session: Session) -> None:
    typed = wish(session, company="Krüger Haustechnik", postcode="83022")
    case = session.get_one(Case, send_form(session, company=typed.company, postcode=typed.postcode).case_id)

    assert (case.customer.company, case.customer.postcode) == ("Krüger Haustechnik", "83022")
    assert case.customer.email_key == "skrueger@haustechnik.example"


def test_the_instants_of_a_case_come_back_in_utc(session: Session) -> None:
    case = open_case(session)
    step(session)

    assert isinstance(case.received_at, datetime)
    assert case.received_at.utcoffset() == timedelta(0)


def accept_in_own_transaction() -> str:
    with db.writing() as session:
        return send_form(session, key="one", body="same").answer


def once_more(press: Any) -> str:
    """What the page does with a press that lost the race for its key: the second look finds the first press."""
    try:
        return str(press())
    except IntegrityError:
        return str(press())


def rows_of_every_table() -> dict[str, int]:
    with db.reading() as session:
        return {
            name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
        }


@contextmanager
def breaking_at(number: int) -> Iterator[list[str]]:
    """Let the statement of that number fail, counting those that write."""
    writes = list[str]()

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        writes.extend([statement] if statement.startswith(("INSERT", "UPDATE")) else [])
        if len(writes) >= number:
            raise RuntimeError(statement)

    event.listen(db.db.engine, "before_cursor_execute", count)
    try:
        yield writes
    finally:
        event.remove(db.db.engine, "before_cursor_execute", count)

"""The worklist: what waits for whom, the most urgent first."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import (
    addressing,
    agreeing,
    answering,
    closing,
    doubtful,
    on_hold,
    promising,
    renewing,
    settling,
    worklist,
    writing,
)
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.models import Case, CaseState, Doubt, Outcome
from portal.cases.promising import NewPromise
from portal.cases.worklist import APPOINTMENT, Row, Scope, Unsent
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState, MailChannel
from portal.promises import service as promises
from portal.promises.models import Medium, PromiseKind
from tests.support.cast import TUESDAY, away, berlin, deliver, letters, open_case, step

TEN = berlin("2026-11-24 10:00")
THREE = berlin("2026-11-25 15:00")


def test_the_most_urgent_case_comes_first(session: Session, people: dict[str, int]) -> None:
    slow = open_case(session)
    quick = open_case(session, "rueckruf")
    middle = open_case(session, at=TUESDAY - timedelta(hours=1))

    rows = listed(session, people["Miriam Albrecht"], Scope.ALL)

    assert [row.reference for row in rows] == [quick.reference, middle.reference, slow.reference]


def test_a_case_is_listed_by_its_earliest_step(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    earlier = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-11-24 15:00"))
    promising.promise_date(session, case, by_id=case.owner_id, step=earlier, now=TEN)
    step(session)

    (row,) = listed(session, people["Miriam Albrecht"], Scope.MINE)

    assert (row.kind, row.medium, row.due_at) == (PromiseKind.CALL, Medium.CALL, earlier.due_at)
    assert row.sentence == "Miriam Albrecht ruft Sie bis Dienstag, 24. November, 15 Uhr an"


def test_ones_own_list_holds_ones_own_cases(session: Session, people: dict[str, int]) -> None:
    own = open_case(session, email="1@neu.example")
    other = open_case(session, email="2@neu.example")

    assert references(session, people["Miriam Albrecht"], Scope.MINE) == [own.reference]
    assert references(session, people["Jonas Weidner"], Scope.MINE) == [other.reference]


def test_the_deputys_list_holds_the_cases_of_whoever_is_away(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY)
    step(session)

    (row,) = listed(session, people["Jonas Weidner"], Scope.MINE)

    assert (row.reference, row.in_deputy) == (case.reference, True)
    assert (row.acting_name, row.owner_name) == ("Jonas Weidner", "Miriam Albrecht")


def test_an_absent_owner_still_sees_the_case(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY)
    step(session)

    assert references(session, people["Miriam Albrecht"], Scope.MINE) == [case.reference]


def test_the_teams_list_holds_the_cases_of_every_member(session: Session, people: dict[str, int]) -> None:
    sales = [open_case(session, email=f"{number}@neu.example").reference for number in range(3)]
    service = open_case(session, "technik", email="9@neu.example").reference

    assert sorted(references(session, people["Jonas Weidner"], Scope.TEAM)) == sorted(sales)
    assert references(session, people["Lena Hofmann"], Scope.TEAM) == [service]


def test_a_case_that_another_team_acts_for_is_on_both_lists(session: Session, people: dict[str, int]) -> None:
    case = open_case(session, "technik")
    for name in ("Thomas Brandt", "Deniz Yılmaz", "Lena Hofmann"):
        away(session, people[name], since=TUESDAY)
    step(session)

    assert references(session, people["Lena Hofmann"], Scope.TEAM) == [case.reference]
    assert references(session, people["Miriam Albrecht"], Scope.TEAM) == [case.reference]
    assert references(session, people["Petra Lindner"], Scope.TEAM) == []


def test_everybodys_list_holds_all(session: Session, people: dict[str, int]) -> None:
    open_case(session, email="1@neu.example")
    open_case(session, "technik", email="2@neu.example")

    assert len(references(session, people["Petra Lindner"], Scope.ALL)) == 2


def test_only_open_cases_are_listed(session: Session, people: dict[str, int]) -> None:
    case = open_case(session, email="1@neu.example")
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    step(session)
    open_case(session, email="2@neu.example", doubt=Doubt.TOO_FAST)

    assert listed(session, people["Miriam Albrecht"], Scope.ALL) == []


@pytest.mark.parametrize(("at", "late"), [("2026-11-25 16:29", False), ("2026-11-25 16:30", True)])
def test_a_step_whose_date_has_passed_is_late(session: Session, people: dict[str, int], at: str, late: bool) -> None:
    open_case(session)

    rows = worklist.worklist(
        session, person_id=people["Miriam Albrecht"], scope=Scope.MINE, language="de", now=berlin(at)
    )

    assert rows[0].late is late


def test_a_case_that_waits_for_its_customer_says_so(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    assert case.promise_id is not None
    answering.ask(
        session,
        case,
        by_id=case.owner_id,
        text="Welche Baujahre?",
        keeps={case.promise_id},
        follow_up_at=berlin("2026-11-30 12:00"),
        now=TEN,
    )
    step(session)

    assert listed(session, people["Miriam Albrecht"], Scope.MINE)[0].waits_for_customer is True


def test_a_row_names_customer_and_topic_in_the_readers_language(session: Session, people: dict[str, int]) -> None:
    open_case(session)

    (row,) = worklist.worklist(session, person_id=people["Miriam Albrecht"], scope=Scope.MINE, language="en", now=TEN)

    assert (row.customer_name, row.topic) == ("Sabine Krüger", "Ask for an offer")
    assert row.due == "4:30 pm on Wednesday 25 November"


# --- agreed times ----------------------------------------------------------------------------------------------------


def test_an_agreed_time_is_listed_among_the_promises_by_its_start(session: Session, people: dict[str, int]) -> None:
    later = open_case(session, email="1@neu.example")
    agreed = agree(session, THREE)
    sooner = open_case(session, "rueckruf", email="3@neu.example")

    rows = listed(session, people["Miriam Albrecht"], Scope.ALL)

    assert [row.reference for row in rows] == [sooner.reference, agreed.reference, later.reference]
    assert (rows[1].kind, rows[1].medium, rows[1].due_at) == (APPOINTMENT, Medium.CALL, THREE)
    assert rows[1].sentence == f"{rows[1].acting_name} ruft Sie am Mittwoch, 25. November, 15 Uhr, an"
    assert (rows[1].on_hold, rows[1].outcome_missing, rows[1].waits_for_customer) == (False, False, False)


def test_a_promise_that_comes_before_the_agreed_time_is_the_cases_row(session: Session, people: dict[str, int]) -> None:
    case = agree(session, THREE)
    promise_call(session, case, berlin("2026-11-25 12:00"))

    (row,) = listed(session, people["Miriam Albrecht"], Scope.ALL)

    assert (row.kind, row.due_at) == (PromiseKind.FOLLOW_UP, berlin("2026-11-25 12:00"))


def test_the_name_is_that_of_whoever_will_be_there_then(session: Session, people: dict[str, int]) -> None:
    case = agree(session, THREE)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-25 12:00"), until=berlin("2026-11-26 00:00"))
    step(session)

    (row,) = listed(session, people["Jonas Weidner"], Scope.MINE)

    assert (row.reference, row.acting_name, row.owner_name) == (case.reference, "Jonas Weidner", "Miriam Albrecht")
    assert row.in_deputy is True


@pytest.mark.parametrize(
    ("begun", "minutes", "late", "missing"),
    [
        (False, 4, False, False),
        (False, 5, True, False),
        (False, 20, True, True),
        (True, 19, False, False),
        (True, 20, True, True),
    ],
)
def test_a_call_that_nobody_begins_is_late_after_five_minutes_and_one_that_was_held_once_it_is_over(
    session: Session, people: dict[str, int], begun: bool, minutes: int, late: bool, missing: bool
) -> None:
    case = agree(session, THREE)
    if begun:
        appointments.start(booked_in(session, case), by_id=people["Miriam Albrecht"], now=THREE)
        step(session)

    (row,) = listed(session, people["Miriam Albrecht"], Scope.ALL, at=THREE + timedelta(minutes=minutes))

    assert (row.late, row.outcome_missing) == (late, missing)
    assert (row.overdue_at <= THREE + timedelta(minutes=minutes)) is late


def test_what_is_on_hold_says_so_whatever_comes_next(session: Session, people: dict[str, int]) -> None:
    case = agree(session, THREE)
    assert case.owner_id is not None
    version = booked_in(session, case).version
    on_hold.wish(session, case, by_id=case.owner_id, contact=Contact.CALL_IN, text="", version=version, now=TEN)
    step(session)

    (before,) = listed(session, people["Miriam Albrecht"], Scope.ALL)
    (then,) = listed(session, people["Miriam Albrecht"], Scope.ALL, at=THREE + timedelta(hours=1))

    assert (before.kind, before.on_hold, before.outcome_missing) == (PromiseKind.FOLLOW_UP, True, False)
    assert then.outcome_missing is False


def test_the_outcome_stays_missing_once_a_promise_has_taken_its_place(session: Session, people: dict[str, int]) -> None:
    case = agree(session, THREE)
    promise_call(session, case, berlin("2026-11-27 12:00"))
    booked_in(session, case).asked_at = THREE + timedelta(minutes=50)
    settling.settle(session, case, now=THREE + timedelta(minutes=50))
    step(session)

    (row,) = listed(session, people["Miriam Albrecht"], Scope.ALL, at=THREE + timedelta(hours=1))

    assert (row.kind, row.late, row.outcome_missing) == (PromiseKind.FOLLOW_UP, False, True)


def test_a_waiting_letter_about_an_agreed_time_is_a_call_for_its_person(
    session: Session, people: dict[str, int]
) -> None:
    case = agree(session, THREE)
    case.owner_id = people["Dr. Katharina Voss"]
    step(session)

    (row,) = worklist.unsent(session, now=TUESDAY + timedelta(minutes=16))

    assert row.acting_name == "Miriam Albrecht"


def agree(session: Session, starts_at: datetime) -> Case:
    """A case whose customer has chosen this time for a call."""
    case = open_case(session, "rueckruf", email="2@neu.example")
    agreeing.book(session, case, starts_at=starts_at, by_id=None, now=TUESDAY)
    step(session)
    return case


def booked_in(session: Session, case: Case) -> Appointment:
    booked = appointments.booked_of(session, case.id)
    assert booked is not None
    return booked


def promise_call(session: Session, case: Case, due_at: datetime) -> None:
    """Somebody says when they are in touch again."""
    assert case.owner_id is not None
    given = NewPromise(PromiseKind.FOLLOW_UP, Medium.CALL, due_at)
    promising.promise_date(session, case, by_id=case.owner_id, step=given, now=TEN)
    step(session)


# --- entries in doubt ------------------------------------------------------------------------------------------------


def test_entries_in_doubt_are_listed_by_the_date_to_check_them(session: Session) -> None:
    later = open_case(session, doubt=Doubt.TOO_FAST)
    sooner = open_case(session, at=TUESDAY - timedelta(hours=1), doubt=Doubt.HONEYPOT)
    open_case(session)

    rows = worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=TEN)

    assert [row.reference for row in rows] == [sooner.reference, later.reference]
    assert (rows[1].doubt, rows[1].check_by) == (Doubt.TOO_FAST, "Mittwoch, 25. November, 8:30 Uhr")


def test_an_entry_nobody_looked_at_in_time_is_late(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    assert entry.check_by_at is not None

    (before,) = worklist.doubtful(
        session, states=[CaseState.RECEIVED], language="de", now=entry.check_by_at - timedelta(seconds=1)
    )
    (then,) = worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=entry.check_by_at)

    assert (before.late, then.late) == (False, True)


def test_what_was_discarded_is_listed_apart(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    doubtful.discard(session, entry, by_id=people["Petra Lindner"], now=TEN)
    step(session)

    assert worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=TEN) == []
    (row,) = worklist.doubtful(session, states=[CaseState.SPAM], language="de", now=TEN)
    assert (row.reference, row.check_by, row.late) == (entry.reference, None, False)


def test_a_denied_case_is_among_the_entries_in_doubt(session: Session) -> None:
    case = open_case(session)
    addressing.not_me(session, case, now=TEN)
    step(session)

    (row,) = worklist.doubtful(session, states=[CaseState.RECEIVED], language="de", now=TEN)

    assert (row.reference, row.doubt) == (case.reference, Doubt.NOT_ME)


# --- letters that did not arrive -------------------------------------------------------------------------------------


def test_a_case_with_a_letter_that_did_not_arrive_is_marked(session: Session, people: dict[str, int]) -> None:
    failed = open_case(session, email="1@neu.example")
    open_case(session, email="2@neu.example")
    fail(session, failed, LetterKind.CONFIRMATION)

    rows = listed(session, people["Miriam Albrecht"], Scope.ALL)

    assert {row.reference: row.letter_failed for row in rows}[failed.reference] is True
    assert [row.letter_failed for row in rows].count(True) == 1


def test_letters_that_did_not_arrive_are_listed_with_their_case(session: Session) -> None:
    case = open_case(session)
    fail(session, case, LetterKind.CONFIRMATION)

    (row,) = worklist.undelivered(session)

    assert (row.reference, row.customer_name) == (case.reference, case.customer.name)
    assert (row.kind, row.ended_at) == (LetterKind.CONFIRMATION, TEN)


def test_a_letter_to_staff_about_an_entry_in_doubt_is_listed_too(session: Session) -> None:
    """Nobody else would say that the front desk was never told."""
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    fail(session, entry, LetterKind.STAFF_DOUBTFUL)

    (row,) = worklist.undelivered(session)

    assert row.reference == entry.reference


@pytest.mark.parametrize(("minutes", "listed"), [(15, False), (16, True)])
def test_a_letter_that_has_not_left_after_a_quarter_of_an_hour_is_somebodys_call(
    session: Session, people: dict[str, int], minutes: int, listed: bool
) -> None:
    case = open_case(session)
    away(session, people["Miriam Albrecht"], since=TUESDAY)
    step(session)

    rows = worklist.unsent(session, now=TUESDAY + timedelta(minutes=minutes))

    expected = [Unsent(case.reference, "Sabine Krüger", "Jonas Weidner", TUESDAY)]
    assert rows == (expected if listed else [])


def test_a_retry_or_writing_it_anew_makes_no_letter_younger(session: Session) -> None:
    case = open_case(session)
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    claimed = outbox.claim(session, now=TUESDAY, lease=timedelta(minutes=5))
    assert claimed is not None
    step(session)
    later, first_id = TUESDAY + timedelta(minutes=20), letter.message_id
    outbox.retry(session, claimed, "450", now=later, base=1000)
    outbox.outdate(session, true_after=later, now=later)
    session.execute(update(Letter).values(due_at=later))
    step(session)
    renewing.renew(session, letter.id, now=later)
    step(session)
    assert letters(session, case, LetterKind.CONFIRMATION)[0].message_id != first_id

    (row,) = worklist.unsent(session, now=later)

    assert row.since == TUESDAY


def test_a_case_with_several_waiting_letters_is_one_call(session: Session) -> None:
    case = open_case(session)
    answering.customer_message(session, case, "Noch etwas.", now=TEN)
    step(session)

    assert len(worklist.unsent(session, now=TEN + timedelta(hours=1))) == 1


def test_a_letter_that_waits_for_its_hours_is_nobodys_call_until_they_have_begun(session: Session) -> None:
    case = quiet(session)
    night = berlin("2026-11-24 22:00")
    promise = promises.open_of(session, case.id)[0]
    directory = directories.load(session, now=night)
    writing.to_customer(
        session, directory, case, LetterKind.PROMISE_GIVEN, key="promise_given:1", step=promise, now=night,
        unasked=True, says={"what": "", "moved": False, "before": None, "reason": None},
    )  # fmt: skip
    step(session)

    assert worklist.unsent(session, now=berlin("2026-11-25 07:15")) == []
    (row,) = worklist.unsent(session, now=berlin("2026-11-25 07:16"))
    assert row.since == berlin("2026-11-25 07:00")


@pytest.mark.parametrize("paused", [False, True])
def test_the_last_letter_of_a_closed_case_is_a_call_only_while_no_mail_leaves(session: Session, paused: bool) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TUESDAY)
    session.add(MailChannel(name="smtp", faults=1, paused_until=TEN + timedelta(seconds=1 if paused else 0)))
    step(session)

    assert [row.reference for row in worklist.unsent(session, now=TEN)] == ([case.reference] if paused else [])


def test_letters_that_left_and_those_to_staff_are_nobodys_call(session: Session) -> None:
    case = quiet(session)
    session.execute(update(Letter).where(Letter.audience == Audience.STAFF).values(state="queued", ended_at=None))
    step(session)

    assert letters(session, case, states=(LetterState.QUEUED,))
    assert worklist.unsent(session, now=TEN) == []


def quiet(session: Session) -> Case:
    """A case whose first letters have been delivered."""
    case = open_case(session)
    deliver(session)
    return session.get_one(Case, case.id)


def test_letters_of_a_closed_case_are_no_longer_listed(session: Session) -> None:
    case = open_case(session)
    fail(session, case, LetterKind.CONFIRMATION)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="", now=TEN)
    step(session)

    assert worklist.undelivered(session) == []


def test_letters_that_arrived_are_not_listed(session: Session) -> None:
    open_case(session)
    deliver(session)

    assert worklist.undelivered(session) == []


def listed(session: Session, person_id: int, scope: Scope, *, at: datetime = TEN) -> list[Row]:
    return worklist.worklist(session, person_id=person_id, scope=scope, language="de", now=at)


def references(session: Session, person_id: int, scope: Scope) -> list[str]:
    return [row.reference for row in listed(session, person_id, scope)]


def fail(session: Session, case: Case, kind: LetterKind) -> None:
    """A letter of the case will not arrive."""
    (letter,) = letters(session, case, kind)
    letter.state, letter.ended_at = LetterState.FAILED, TEN
    step(session)

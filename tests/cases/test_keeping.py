"""Keeping an agreed time: whatever is said to have become of it leaves a step, and the customer knows that one."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, answering, closing, keeping, passing, promising, steps
from portal.cases.errors import (
    AuthorAbsent,
    HasCome,
    NoAppointment,
    NoNextStep,
    OnHold,
    Refused,
    StaleAppointment,
    StillStands,
    WrongMedium,
)
from portal.cases.keeping import AppointmentOutcome
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, LetterState
from portal.promises.models import Medium, Promise, PromiseKind
from tests.support.agreed import (
    DUE,
    ENDED,
    FRIDAY_TEN,
    THURSDAY_TEN,
    agreed_case,
    begin,
    booked,
    call_case,
    done,
    hold_on,
)
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    entries,
    letters,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RESULT = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-01 15:00"), "Angebot")


def say(
    session: Session, case: Case, outcome: AppointmentOutcome, *, at: datetime = ENDED, **changes: Any
) -> Appointment:
    appointment = booked(session, case)
    given = {
        "by_id": appointment.person_id,
        "text": "Besprochen.",
        "keeps": (),
        "step": None,
        "visible": True,
        "version": appointment.version,
        **changes,
    }
    keeping.say_outcome(session, case, outcome=outcome, now=at, **given)
    step(session)
    return appointment


def test_a_talk_with_an_answer_leaves_what_is_promised_next(session: Session) -> None:
    case = call_case(session)
    begin(session, case)

    appointment = say(session, case, AppointmentOutcome.ANSWERED, step=RESULT)

    assert appointment.state == AppointmentState.HELD
    assert case.promise_id == promise_of(session, case, PromiseKind.RESULT).id
    (call,), (held,) = entries(session, case, Kind.CALL), entries(session, case, Kind.APPOINTMENT_HELD)
    assert (call.text, call.visible, call.facts["contact"]) == ("Besprochen.", True, "call_reached")
    assert not held.visible  # the customer reads of one talk once
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == case.promise_id


def test_a_talk_that_only_colleagues_read_of_is_still_seen_to_have_been(session: Session) -> None:
    case = call_case(session)

    say(session, case, AppointmentOutcome.ANSWERED, step=RESULT, visible=False)

    (call,), (held,) = entries(session, case, Kind.CALL), entries(session, case, Kind.APPOINTMENT_HELD)
    assert (call.visible, held.visible, held.text) == (False, True, "")


def test_an_answer_that_leaves_nothing_needs_a_step_or_the_closing(session: Session) -> None:
    case = call_case(session)

    with refused(session, NoNextStep):
        say(session, case, AppointmentOutcome.ANSWERED)

    appointment = booked(session, case)
    by_id = appointment.person_id
    keeping.say_outcome(
        session,
        case,
        by_id=by_id,
        outcome=AppointmentOutcome.ANSWERED,
        text="Alles geklärt.",
        keeps=(),
        step=None,
        visible=True,
        version=appointment.version,
        now=ENDED,
        closes=True,
    )
    closing.close(session, case, by_id=by_id, outcome=Outcome.DONE, text="", now=ENDED)
    step(session)
    assert (case.state, appointment.state) == (CaseState.CLOSED, AppointmentState.HELD)
    assert entries(session, case, Kind.APPOINTMENT_CANCELLED) == []


def test_an_interim_status_leaves_an_answer_by_itself(session: Session) -> None:
    case = call_case(session)

    say(session, case, AppointmentOutcome.INTERIM)

    reply = promise_of(session, case, PromiseKind.REPLY)
    assert case.promise_id == reply.id
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.promise_id == reply.id
    assert entries(session, case, Kind.APPOINTMENT_HELD)[0].facts["interim"]


def test_where_something_else_is_promised_a_talk_leaves_that(session: Session) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)
    reply.due_at, reply.notice_at = berlin("2026-12-01 15:00"), berlin("2026-12-01 14:00")
    step(session)

    say(session, case, AppointmentOutcome.ANSWERED)

    assert case.promise_id == reply.id and [one.id for one in open_promises(session, case)] == [reply.id]
    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []  # they have been told of it


def test_a_talk_keeps_what_the_person_says_it_kept(session: Session) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)

    with refused(session, NoNextStep):
        say(session, case, AppointmentOutcome.ANSWERED, keeps=[reply.id])
    say(session, case, AppointmentOutcome.ANSWERED, keeps=[reply.id], step=RESULT)

    (call,) = entries(session, case, Kind.CALL)
    assert reply.kept_by_entry_id == call.id


@pytest.mark.parametrize("outcome", [AppointmentOutcome.NOT_REACHED, AppointmentOutcome.MISSED])
def test_what_reached_nobody_keeps_nothing(session: Session, outcome: AppointmentOutcome) -> None:
    case = agreed_case(session)
    reply = promise_of(session, case, PromiseKind.REPLY)

    with refused(session, WrongMedium):
        say(session, case, outcome, keeps=[reply.id])


def test_neither_an_early_attempt_nor_a_beginning_taken_back_keeps_anything(session: Session) -> None:
    case, early = agreed_case(session), THURSDAY_TEN - 10 * MINUTE
    reply = promise_of(session, case, PromiseKind.REPLY)
    begin(session, case, at=early)

    for outcome in (AppointmentOutcome.NOT_REACHED, AppointmentOutcome.NOT_BEGUN):
        with refused(session, WrongMedium):
            say(session, case, outcome, keeps=[reply.id], at=early)


def test_a_talk_ends_the_waiting_for_the_customer(session: Session) -> None:
    case = call_case(session)
    at = berlin("2026-12-01 10:00")
    answering.ask(session, case, by_id=case.owner_id or 0, text="?", keeps=(), follow_up_at=at, now=TUESDAY + HOUR)
    step(session)

    say(session, case, AppointmentOutcome.INTERIM)

    assert [(one.kind, one.waiting) for one in open_promises(session, case)] == [(PromiseKind.REPLY, None)]


def test_not_reached_promises_the_call_anew_and_tells_with_line_and_times(session: Session) -> None:
    case = call_case(session)
    begin(session, case)

    appointment = say(session, case, AppointmentOutcome.NOT_REACHED, at=THURSDAY_TEN + MINUTE)

    assert appointment.state == AppointmentState.NOT_REACHED
    assert case.promise_id == promise_of(session, case, PromiseKind.CALL).id
    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    text = read(letter).text
    assert letter.promise_id == case.promise_id
    assert "Freitag, 27. November, 8 Uhr" in text and "Miriam Albrecht" in text


def test_the_second_attempt_of_a_day_is_told_too(session: Session) -> None:
    case = call_case(session)
    say(session, case, AppointmentOutcome.NOT_REACHED, at=THURSDAY_TEN - 5 * MINUTE)
    deliver(session)

    say(session, case, AppointmentOutcome.NOT_REACHED, at=THURSDAY_TEN + MINUTE)

    assert len(letters(session, case, LetterKind.CALL_ATTEMPTED)) == 2


def test_a_promised_call_that_comes_sooner_stands_and_a_later_one_is_brought_forward(session: Session) -> None:
    case = call_case(session)
    given = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-12-18 15:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=given, now=THURSDAY_TEN - HOUR)
    step(session)
    late = promise_of(session, case, PromiseKind.CALL)

    say(session, case, AppointmentOutcome.NOT_REACHED)

    call = promise_of(session, case, PromiseKind.CALL)
    assert (call.replaces_id, call.due_at < late.due_at) == (late.id, True)
    assert case.notices == 0


def test_missed_by_us_is_an_apology_and_a_new_call(session: Session) -> None:
    case = call_case(session)

    appointment = say(session, case, AppointmentOutcome.MISSED, text="Leitung tot", visible=False)

    assert appointment.state == AppointmentState.MISSED
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_MISSED)
    call = promise_of(session, case, PromiseKind.CALL)
    assert letter.promise_id == case.promise_id == call.id
    assert call.due_at == ENDED + 2 * HOUR
    (missed,), (note,) = entries(session, case, Kind.APPOINTMENT_MISSED), entries(session, case, Kind.NOTE)
    assert (missed.visible, missed.text, note.visible, note.text) == (True, "", False, "Leitung tot")


def test_an_early_call_that_reaches_nobody_leaves_the_time_and_is_told(session: Session) -> None:
    """It is to be begun once more: who was there early is late all the same if they do not come back."""
    case, early = call_case(session), THURSDAY_TEN - 10 * MINUTE
    begin(session, case, at=early)

    appointment = say(session, case, AppointmentOutcome.NOT_REACHED, at=early)

    assert (appointment.state, appointment.version) == (AppointmentState.BOOKED, 1)
    assert case.appointment_id == appointment.id and open_promises(session, case) == []
    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    assert letter.appointment_id == appointment.id and "26. November, 10 Uhr" in read(letter).text
    done(session, case, passing.alarm, at=THURSDAY_TEN + 5 * MINUTE)
    assert appointment.alarmed_at is not None


@pytest.mark.parametrize(
    ("medium", "outcome"),
    [
        (Medium.CALL, AppointmentOutcome.MISSED),
        (Medium.VISIT, AppointmentOutcome.MISSED),
        (Medium.VISIT, AppointmentOutcome.NOT_REACHED),
    ],
)
@pytest.mark.parametrize("started", [False, True])
def test_before_its_time_nothing_is_missed_and_nobody_is_to_be_met(
    session: Session, medium: Medium, outcome: AppointmentOutcome, started: bool
) -> None:
    case, early = call_case(session, medium=medium), THURSDAY_TEN - 20 * MINUTE
    if started:
        begin(session, case, at=early)
    before = len(letters(session, case))

    with refused(session, StillStands):
        say(session, case, outcome, at=early)

    assert booked(session, case).state == AppointmentState.BOOKED
    assert len(letters(session, case)) == before


@pytest.mark.parametrize("medium", [Medium.CALL, Medium.VISIT])
def test_what_was_begun_by_mistake_is_late_again_and_only_colleagues_read_of_it(
    session: Session, medium: Medium
) -> None:
    case = call_case(session, medium=medium)
    begin(session, case, at=THURSDAY_TEN - 10 * MINUTE)
    to_customer = len(letters(session, case, audience=Audience.CUSTOMER))

    appointment = say(session, case, AppointmentOutcome.NOT_BEGUN, at=THURSDAY_TEN - 9 * MINUTE, text="Verwählt.")

    assert (appointment.started_at, appointment.started_by_id) == (None, None)
    assert (appointment.state, case.appointment_id) == (AppointmentState.BOOKED, appointment.id)
    _, entry = entries(session, case, Kind.APPOINTMENT_STARTED)
    assert (entry.visible, entry.text, entry.facts["taken_back"]) == (False, "Verwählt.", "yes")
    assert len(letters(session, case, audience=Audience.CUSTOMER)) == to_customer
    done(session, case, passing.alarm, at=THURSDAY_TEN + 5 * MINUTE)
    done(session, case, passing.tell_late, at=THURSDAY_TEN + 15 * MINUTE)
    assert appointment.alarmed_at is not None
    assert len(letters(session, case, LetterKind.APPOINTMENT_LATE)) == 1


def test_what_was_taken_back_can_be_begun_again(session: Session) -> None:
    case = call_case(session)
    begin(session, case)
    say(session, case, AppointmentOutcome.NOT_BEGUN, at=THURSDAY_TEN + MINUTE)

    begin(session, case, at=THURSDAY_TEN + 2 * MINUTE)

    assert booked(session, case).started_at == THURSDAY_TEN + 2 * MINUTE


@pytest.mark.parametrize(
    ("started", "at", "refusal"),
    [
        (True, ENDED, HasCome),
        (False, THURSDAY_TEN + MINUTE, StillStands),
        (False, THURSDAY_TEN - MINUTE, StillStands),
    ],
)
def test_only_what_is_begun_and_not_over_is_taken_back(
    session: Session, started: bool, at: datetime, refusal: type[Refused]
) -> None:
    case = call_case(session)
    if started:
        begin(session, case)

    with refused(session, refusal):
        say(session, case, AppointmentOutcome.NOT_BEGUN, at=at)


def test_an_early_talk_ends_it(session: Session) -> None:
    case, early = call_case(session), THURSDAY_TEN - 10 * MINUTE
    begin(session, case, at=early)

    assert say(session, case, AppointmentOutcome.ANSWERED, at=early, step=RESULT).state == AppointmentState.HELD


def test_what_bridged_the_missing_outcome_is_over_with_it(session: Session) -> None:
    case = call_case(session)
    begin(session, case)
    done(session, case, passing.outcome_due, at=DUE)
    bridge = promise_of(session, case, PromiseKind.FOLLOW_UP)

    say(session, case, AppointmentOutcome.ANSWERED, at=DUE + MINUTE, step=RESULT)

    assert [one.kind for one in open_promises(session, case)] == [PromiseKind.RESULT]
    session.refresh(bridge)
    assert bridge.ended_at == DUE + MINUTE


def test_a_visit_is_logged_as_one(session: Session) -> None:
    case = call_case(session, medium=Medium.VISIT)

    say(session, case, AppointmentOutcome.ANSWERED, step=RESULT)

    assert entries(session, case, Kind.CALL) == []
    assert len(entries(session, case, Kind.VISIT)) == 1


def test_a_visit_that_met_nobody_is_no_contact_and_is_told_as_one(session: Session) -> None:
    case = call_case(session, medium=Medium.VISIT)

    say(session, case, AppointmentOutcome.NOT_REACHED)

    assert entries(session, case, Kind.VISIT, Kind.CALL) == []
    (met,) = entries(session, case, Kind.APPOINTMENT_NOT_REACHED)
    assert (met.visible, met.text) == (True, "Besprochen.")
    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    assert letter.promise_id == case.promise_id
    text = read(letter).text
    assert "Donnerstag, 26. November, 10 Uhr (MEZ), bei Ihnen" in " ".join(text.split())
    assert "angerufen" not in text and "Bitte entschuldigen" not in text
    assert "Freitag, 27. November, 8 Uhr" in text and "ist direkt für Sie da: 089" in " ".join(text.split())


@pytest.mark.parametrize(
    ("medium", "begun", "sorry"),
    [
        (Medium.CALL, True, "dass wir später angerufen haben"),
        (Medium.CALL, False, "dass wir später angerufen haben"),
        (Medium.VISIT, True, "dass wir später kamen"),
        (Medium.VISIT, False, None),
    ],
)
def test_who_was_told_that_we_are_late_reads_an_apology_for_it(
    session: Session, medium: Medium, begun: bool, sorry: str | None
) -> None:
    """Not of a visit that nobody began by the button: then nobody knows that it was late."""
    case = call_case(session, medium=medium)
    done(session, case, passing.tell_late, at=THURSDAY_TEN + 15 * MINUTE)
    if begun:
        begin(session, case, at=THURSDAY_TEN + 17 * MINUTE)

    say(session, case, AppointmentOutcome.NOT_REACHED, at=THURSDAY_TEN + 18 * MINUTE)

    (letter,) = letters(session, case, LetterKind.CALL_ATTEMPTED)
    text = " ".join(read(letter).text.split())
    assert ("Bitte entschuldigen" in text) == (sorry is not None)
    assert sorry is None or sorry in text


def test_a_recap_goes_out_in_the_words_of_who_spoke(session: Session) -> None:
    case = call_case(session)

    say(
        session,
        case,
        AppointmentOutcome.ANSWERED,
        step=RESULT,
        text="40 Pumpen, Lieferung im Januar.",
        visible=False,
        recap=True,
    )

    (letter,) = letters(session, case, LetterKind.RECAP)
    mail = read(letter)
    assert "40 Pumpen, Lieferung im Januar." in mail.text and mail.sender.startswith("Miriam Albrecht")
    assert b"Auto-Submitted" not in letter.message
    assert letter.promise_id == case.promise_id
    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []  # it says what comes next
    assert entries(session, case, Kind.CALL)[0].visible


def test_a_recap_comes_from_nobody_who_is_away(session: Session, people: dict[str, int]) -> None:
    case = call_case(session)
    away(session, people["Jonas Weidner"], since=TUESDAY)
    step(session)

    with refused(session, AuthorAbsent):
        say(session, case, AppointmentOutcome.ANSWERED, step=RESULT, recap=True, by_id=people["Jonas Weidner"])


def test_nothing_is_recapped_of_a_call_that_reached_nobody(session: Session) -> None:
    case = call_case(session)

    say(session, case, AppointmentOutcome.NOT_REACHED, recap=True)

    assert letters(session, case, LetterKind.RECAP) == []


def test_whom_no_letter_reaches_is_not_written_to_about_a_talk(session: Session) -> None:
    case = call_case(session)
    for letter in letters(session, case, audience=Audience.CUSTOMER):
        letter.state = LetterState.FAILED
    step(session)

    say(session, case, AppointmentOutcome.INTERIM)

    assert letters(session, case, LetterKind.PROMISE_GIVEN) == []
    assert case.promise_id is not None


def test_an_outcome_is_said_once(session: Session) -> None:
    case = call_case(session)
    by_id = booked(session, case).person_id
    say(session, case, AppointmentOutcome.INTERIM)

    with refused(session, NoAppointment):
        keeping.say_outcome(
            session,
            case,
            by_id=by_id,
            outcome=AppointmentOutcome.INTERIM,
            text="",
            keeps=(),
            step=None,
            visible=True,
            version=1,
            now=ENDED,
        )


def test_of_a_time_that_has_moved_or_is_on_hold_no_outcome_is_said(session: Session) -> None:
    case = call_case(session)
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=TUESDAY + HOUR)
    step(session)

    with refused(session, StaleAppointment):
        say(session, case, AppointmentOutcome.ANSWERED, version=1)
    hold_on(session, case, at=TUESDAY + 2 * HOUR)
    with refused(session, OnHold):
        say(session, case, AppointmentOutcome.ANSWERED, step=RESULT)


@pytest.mark.parametrize(
    ("outcome", "at"),
    [
        *((one, THURSDAY_TEN - MINUTE) for one in AppointmentOutcome if one != AppointmentOutcome.MISSED),
        *((one, ENDED) for one in AppointmentOutcome if one != AppointmentOutcome.NOT_BEGUN),
        *((one, DUE + HOUR) for one in AppointmentOutcome if one != AppointmentOutcome.NOT_BEGUN),
    ],
)
def test_every_outcome_leaves_a_step_that_lies_ahead_and_was_told(
    session: Session, outcome: AppointmentOutcome, at: datetime
) -> None:
    case = call_case(session)
    if at > DUE:
        begin(session, case)
        done(session, case, passing.outcome_due, at=DUE)
    elif at < THURSDAY_TEN:
        begin(session, case, at=at)

    say(session, case, outcome, at=at, step=RESULT if outcome == AppointmentOutcome.ANSWERED else None)

    ahead = steps.ahead(session, case.id, now=at)
    assert ahead is not None
    if isinstance(ahead, Promise):
        assert outbox.is_told(session, ahead.id)
    else:
        assert outbox.is_told(session, appointment_id=ahead.id)

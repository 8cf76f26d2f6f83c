"""On hold: the customer wishes another time, or we cannot keep the agreed one; nobody calls until a time stands."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.appointments.models import AppointmentState
from portal.cases import agreeing, on_hold, promising, renewing, replacing, settling
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.errors import HasCome, NoAppointment, StaleAppointment
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState
from portal.promises.models import Medium, PromiseKind
from tests.support.agreed import FRIDAY_TEN, THURSDAY_ELEVEN, THURSDAY_TEN, agreed_case, booked, call_case
from tests.support.cast import (
    NUMBER_SHOWN,
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

HOUR = timedelta(hours=1)
NOW = TUESDAY + HOUR


def wish(session: Session, case: Case, *, at: datetime = NOW, version: int | None = None) -> None:
    appointment = booked(session, case)
    on_hold.wish(
        session,
        case,
        by_id=appointment.person_id,
        contact=Contact.MAIL_IN,
        text="Bitte lieber am Freitag.",
        version=appointment.version if version is None else version,
        now=at,
    )
    step(session)


def test_a_wish_puts_it_on_hold_and_the_customer_waits_for_us_to_be_in_touch(session: Session) -> None:
    case = agreed_case(session)

    wish(session, case)

    appointment, follow_up = booked(session, case), promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert (appointment.change_wished_at, appointment.version, appointment.sequence) == (NOW, 2, 0)
    assert case.appointment_id is None and follow_up.due_at > NOW
    assert len(entries(session, case, Kind.APPOINTMENT_FROZEN)) == 1
    assert [entry.text for entry in entries(session, case, Kind.MAIL)] == ["Bitte lieber am Freitag."]
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_FROZEN)
    assert "26. November, 10 Uhr" in read(letter).text and NUMBER_SHOWN not in read(letter).everything


def test_the_letter_names_the_date_by_which_the_new_time_is_agreed_on(session: Session) -> None:
    """An answer is promised before it; that is not what this letter speaks of."""
    case = agreed_case(session)

    wish(session, case)

    reply, follow_up = (promise_of(session, case, kind) for kind in (PromiseKind.REPLY, PromiseKind.FOLLOW_UP))
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_FROZEN)
    assert reply.due_at < follow_up.due_at and letter.promise_id == follow_up.id
    assert "Miriam Albrecht meldet sich bis Donnerstag, 26. November, 8:30 Uhr wieder bei Ihnen" in read(letter).text
    assert "antwortet bis" not in read(letter).everything and "8:30 Uhr" in read(letter).subject


def test_a_letter_that_waits_is_written_anew_while_the_hold_stands_and_dropped_once_it_does_not(
    session: Session, people: dict[str, int]
) -> None:
    """In the evening; a colleague gives the date anew before the letter may leave: nothing else tells of the hold."""
    case, evening = agreed_case(session), berlin("2026-11-24 21:00")
    deliver(session)
    directory, agreed = directories.load(session, now=evening), booked(session, case)
    on_hold.put(session, directory, case, agreed, by_id=None, ours=True, now=evening)
    step(session)
    (waiting,) = letters(session, case, LetterKind.APPOINTMENT_FROZEN)

    follow_up = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-11-25 16:00"))
    promising.promise_date(session, case, by_id=people["Miriam Albrecht"], step=follow_up, now=evening + HOUR)
    step(session)
    renewing.renew(session, waiting.id, now=evening + HOUR)
    step(session)
    session.refresh(waiting)
    assert waiting.state == LetterState.QUEUED and "bis Mittwoch, 25. November, 16 Uhr" in read(waiting).text

    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=2, by_id=None, now=evening + HOUR)
    step(session)
    renewing.renew(session, waiting.id, now=evening + HOUR)
    step(session)
    session.refresh(waiting)
    assert waiting.state == LetterState.WITHDRAWN


def test_in_the_moment_in_which_the_date_has_passed_the_letter_names_none(session: Session) -> None:
    """The notice that is due says the new date."""
    case, due = call_case(session), berlin("2026-11-24 15:00")
    given = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, due)
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=given, now=NOW)
    step(session)

    wish(session, case, at=due)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_FROZEN)
    assert letter.promise_id is None and "Zusage" not in read(letter).text
    assert read(letter).subject.startswith("Ihr Terminwunsch ist da (")


def test_said_again_while_it_is_on_hold_the_words_are_kept_and_nothing_else_changes(session: Session) -> None:
    case = agreed_case(session)
    wish(session, case)
    steps, told = [one.id for one in open_promises(session, case)], len(letters(session, case))

    wish(session, case, version=1)

    assert booked(session, case).version == 2
    assert [entry.text for entry in entries(session, case, Kind.MAIL)] == ["Bitte lieber am Freitag."] * 2
    assert [one.id for one in open_promises(session, case)] == steps
    assert len(letters(session, case)) == told


def test_what_states_the_time_and_has_not_left_never_does(session: Session) -> None:
    case = agreed_case(session)
    agreeing.move(session, case, starts_at=THURSDAY_ELEVEN, version=1, by_id=None, now=NOW)
    step(session)

    wish(session, case)

    (moved,) = letters(session, case, LetterKind.APPOINTMENT_MOVED, states=tuple(LetterState))
    assert moved.state == LetterState.WITHDRAWN


def test_whose_time_has_come_or_whose_page_is_old_cannot_be_put_on_hold(session: Session) -> None:
    case = agreed_case(session)

    with refused(session, HasCome):
        wish(session, case, at=THURSDAY_TEN)
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    with refused(session, StaleAppointment):
        wish(session, case, version=1)


def test_a_date_that_a_colleague_gave_is_as_good(session: Session) -> None:
    case = agreed_case(session)
    given = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-11-25 15:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=given, now=NOW)
    step(session)
    stands = promise_of(session, case, PromiseKind.FOLLOW_UP).id

    wish(session, case)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).id == stands


def test_the_customer_takes_the_time_up_again_or_chooses_another_and_no_move_is_counted(session: Session) -> None:
    case = agreed_case(session)
    wish(session, case)
    agreeing.move(session, case, starts_at=THURSDAY_TEN, version=2, by_id=None, now=NOW)
    step(session)
    assert booked(session, case).change_wished_at is None

    wish(session, case)
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=4, by_id=None, now=NOW)
    step(session)

    assert (booked(session, case).starts_at, booked(session, case).customer_moves) == (FRIDAY_TEN, 0)
    assert PromiseKind.FOLLOW_UP not in {one.kind for one in open_promises(session, case)}


# --- its end ---------------------------------------------------------------------------------------------------------


def test_at_its_start_it_is_called_off_and_the_date_stands(session: Session) -> None:
    case = agreed_case(session)
    wish(session, case)
    deliver(session)
    appointment, steps = booked(session, case), [one.id for one in open_promises(session, case)]
    on_hold.end(session, case, now=THURSDAY_TEN - timedelta(seconds=1))
    assert appointment.state == AppointmentState.BOOKED

    on_hold.end(session, case, now=THURSDAY_TEN)
    step(session)

    assert (appointment.state, appointment.sequence) == (AppointmentState.CANCELLED, 1)
    assert [one.id for one in open_promises(session, case)] == steps
    assert len(entries(session, case, Kind.APPOINTMENT_CANCELLED)) == 1
    with pytest.raises(NoAppointment):
        wish_for_the_second_time(session, case)


def test_who_wished_another_time_reads_that_none_stands_yet_and_no_apology(session: Session) -> None:
    case = agreed_case(session)
    wish(session, case)

    on_hold.end(session, case, now=THURSDAY_TEN)
    step(session)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    (entry,) = entries(session, case, Kind.APPOINTMENT_CANCELLED)
    assert "hatten Sie eine andere Zeit gewünscht. Noch steht keine neue fest" in read(letter).text
    assert "entschuldigen" not in read(letter).text and "abgesagt" not in read(letter).everything
    assert entry.facts["lapsed"] == "wished"


def test_where_we_could_not_keep_the_time_we_apologise_again(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    held_by_us(session, case, people)
    letter = letters(session, case, LetterKind.APPOINTMENT_FROZEN)[0]
    follow_up = promise_of(session, case, PromiseKind.FOLLOW_UP)
    assert follow_up.due_at == berlin("2026-11-24 12:30") and letter.promise_id == follow_up.id

    on_hold.end(session, case, now=THURSDAY_TEN)
    step(session)

    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    assert "können wir nicht halten, und noch steht keine neue Zeit fest. Bitte entschuldigen" in read(letter).text
    assert [one.facts["lapsed"] for one in entries(session, case, Kind.APPOINTMENT_CANCELLED)] == ["ours"]


def held_by_us(session: Session, case: Case, people: dict[str, int]) -> None:
    """Whoever keeps it will be away for half of it, and nobody else can take it over."""
    since = THURSDAY_TEN + timedelta(minutes=20)
    away(session, people["Miriam Albrecht"], since=since, until=berlin("2026-12-05 00:00"))
    step(session)
    replacing.replace(session, case, now=NOW)
    step(session)


def wish_for_the_second_time(session: Session, case: Case) -> None:
    on_hold.wish(session, case, by_id=case.owner_id or 0, contact=Contact.CALL_IN, text="", version=3, now=THURSDAY_TEN)


def test_where_a_time_stands_again_nothing_is_called_off(session: Session) -> None:
    case = agreed_case(session)

    on_hold.end(session, case, now=THURSDAY_TEN)

    assert booked(session, case).starts_at == THURSDAY_TEN


def test_the_case_is_held_while_it_ends(session: Session) -> None:
    """A step that does nothing changes no version: the page that is open stays true."""
    case = agreed_case(session)
    version = case.version

    on_hold.end(session, case, now=THURSDAY_TEN)
    settling.hold(session, case, version=version)

    assert case.version == version

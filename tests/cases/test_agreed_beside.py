"""Agreed times beside what else happens to a case: links, addresses, erasure, "that was not me", other promises."""

from datetime import datetime, timedelta
from email import message_from_bytes, policy

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment, AppointmentState
from portal.cases import (
    addressing,
    agreeing,
    answering,
    calling,
    closing,
    erasure_wishes,
    keeping,
    linking,
    on_hold,
    promising,
    renewing,
    staff_view,
    writing,
)
from portal.cases.contacts import Contact
from portal.cases.errors import NotYet, NumberMissing, WasMoved
from portal.cases.models import Case
from portal.cases.models import Outcome as CaseOutcome
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Medium, PromiseKind
from tests.support import agreement
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked, offer_calls
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    entries,
    letters,
    open_case,
    promise_of,
    read,
    refused,
    send_form,
    step,
)

NOW = TUESDAY + timedelta(minutes=5)


def method_of(letter: Letter) -> str | None:
    """The method of a letter's calendar part."""
    parts = message_from_bytes(letter.message, policy=policy.SMTP).walk()
    found = [one.get_param("method") for one in parts if one.get_content_type() == "text/calendar"]
    return str(found[0]) if found else None


def renew_all(session: Session) -> None:
    """Whatever is no longer true as it waits is written anew."""
    for _ in range(20):
        outdated = outbox.outdated(session, now=NOW)
        if outdated is None:
            return
        renewing.renew(session, outdated, now=NOW)
        step(session)
    pytest.fail("it takes the same letter again and again")


def wish_another_time(session: Session, case: Case, people: dict[str, int]) -> None:
    on_hold.wish(
        session,
        case,
        by_id=people["Miriam Albrecht"],
        contact=Contact.CALL_IN,
        text="Lieber später.",
        version=booked(session, case).version,
        now=NOW,
    )
    step(session)


def test_at_an_old_time_nobody_gets_the_number_however_fresh_the_page(session: Session, people: dict[str, int]) -> None:
    """A reply is promised for before the new time, so the case has a step by which one might call."""
    case = agreed_case(session, starts_at=berlin("2026-11-25 14:00"))
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    step(session)
    by_id, version = people["Miriam Albrecht"], case.version

    for minutes in (-30, 0, 29):
        at = berlin("2026-11-25 14:00") + timedelta(minutes=minutes)
        with refused(session, WasMoved):
            calling.start_call(session, case, by_id=by_id, version=version, now=at)

    calling.start_call(session, case, by_id=by_id, version=version, now=berlin("2026-11-25 11:00"))


@pytest.mark.parametrize("how", ["called off", "a hold that lapsed", "another booked instead"])
def test_at_a_time_that_was_called_off_nobody_gets_the_number(
    session: Session, people: dict[str, int], how: str
) -> None:
    """A reply or a follow-up lies ahead, so the case has a step by which one might call at any other hour."""
    case = agreed_case(session)
    if how == "a hold that lapsed":
        wish_another_time(session, case, people)
        on_hold.end(session, case, now=THURSDAY_TEN)
    else:
        agreeing.cancel(session, case, version=1, by_id=None, now=NOW)
    step(session)
    if how == "another booked instead":
        agreeing.book(session, case, starts_at=FRIDAY_TEN, by_id=None, now=NOW)
        step(session)
    keeper, version = people["Miriam Albrecht"], case.version

    for minutes in (0, 29):
        at = THURSDAY_TEN + timedelta(minutes=minutes)
        with refused(session, WasMoved):
            calling.start_call(session, case, by_id=keeper, version=version, now=at)
        assert staff_view.case_file(session, case, language="de", now=at).may_call == frozenset()


def test_an_address_can_be_corrected_after_a_time_was_chosen_with_the_form(session: Session) -> None:
    offer_calls(session)
    submission = send_form(session, slot=THURSDAY_TEN)
    step(session)

    addressing.correct_address(session, submission, "richtig@kunde.example", now=NOW)
    step(session)

    case = session.get_one(Case, submission.case_id)
    (letter,) = [one for one in letters(session, case, LetterKind.CONFIRMATION) if one.state == LetterState.QUEUED]
    assert letter.to_address == "richtig@kunde.example" and method_of(letter) == "REQUEST"


@pytest.mark.parametrize("how", ["moved", "on hold"])
def test_a_replaced_link_loses_no_letter_about_the_time(session: Session, people: dict[str, int], how: str) -> None:
    case = agreed_case(session)
    if how == "moved":
        agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    else:
        wish_another_time(session, case, people)
    step(session)

    linking.replace_link(session, case, now=NOW)
    step(session)
    renew_all(session)

    kind = LetterKind.APPOINTMENT_MOVED if how == "moved" else LetterKind.APPOINTMENT_FROZEN
    (letter,) = [one for one in letters(session, case, kind) if one.state == LetterState.QUEUED]
    assert writing.status_url(case) in read(letter).text
    assert method_of(letter) == ("REQUEST" if how == "moved" else None)


def test_on_hold_we_are_in_touch_soon_whatever_was_promised_for_later(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    far = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-12-15 10:00"))
    promising.promise_date(session, case, by_id=people["Miriam Albrecht"], step=far, now=NOW)
    step(session)

    wish_another_time(session, case, people)

    assert promise_of(session, case, PromiseKind.FOLLOW_UP).due_at < THURSDAY_TEN


def test_what_nobody_settled_is_called_off_at_its_time_and_leaves_the_calendar(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session)
    wish_another_time(session, case, people)
    deliver(session)

    on_hold.end(session, case, now=THURSDAY_TEN)
    step(session)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    (letter,) = letters(session, case, LetterKind.APPOINTMENT_CANCELLED)
    assert method_of(letter) == "CANCEL"


def test_who_did_not_write_to_us_is_not_called_and_whoever_was_to_call_hears_of_it(session: Session) -> None:
    case = agreed_case(session)

    addressing.not_me(session, case, now=NOW)
    step(session)

    assert session.scalars(select(Appointment.state)).one() == AppointmentState.CANCELLED
    assert len(entries(session, case, Kind.APPOINTMENT_CANCELLED)) == 1
    waiting = letters(session, case, LetterKind.STAFF_APPOINTMENT, states=(LetterState.QUEUED,))
    assert [letter.to_address for letter in waiting] == ["m.albrecht@beispielwerke.example"]


def test_whoever_wants_to_be_forgotten_has_no_entry_left_in_their_calendar(session: Session) -> None:
    case = agreed_case(session)
    erasure_wishes.ask(session, case, now=NOW)
    step(session)

    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=NOW)
    step(session)

    *_, letter = letters(session, case, LetterKind.ERASURE)
    assert method_of(letter) == "CANCEL"


def test_nobody_agrees_to_call_a_number_that_nobody_knows(session: Session, people: dict[str, int]) -> None:
    offer_calls(session)
    case = open_case(session, phone_e164=None, phone_shown=None)

    with refused(session, NumberMissing):
        agreeing.book(session, case, starts_at=THURSDAY_TEN, by_id=people["Miriam Albrecht"], now=NOW)


def test_nobody_has_held_what_is_days_away(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)

    with refused(session, NotYet):
        keeping.say_outcome(
            session,
            case,
            by_id=people["Miriam Albrecht"],
            outcome=keeping.AppointmentOutcome.ANSWERED,
            text="Besprochen.",
            keeps=[],
            step=None,
            visible=True,
            version=1,
            now=NOW,
        )


# --- below a person's own words --------------------------------------------------------------------------------------


OWN_WORDS = "Bitte halten Sie die Seriennummer bereit."
OLD_TIME, NEW_TIME = "26. November, 10 Uhr", "27. November, 10 Uhr"


def written_to(session: Session, people: dict[str, int], *, at: datetime = NOW, by: str = "Miriam Albrecht") -> Case:
    """A case whose next step is the agreed call, and a colleague's letter in it that has not left."""
    case = agreed_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)
    answering.reply(
        session, case, by_id=people[by], text=OWN_WORDS, keeps=[promise.id], step=None, now=at, version=case.version
    )
    step(session)
    return case


def only_reply(session: Session, case: Case) -> Letter:
    (letter,) = letters(session, case, LetterKind.REPLY)
    return letter


def test_below_a_persons_own_words_stands_the_agreed_time_of_when_they_leave(
    session: Session, people: dict[str, int]
) -> None:
    case = written_to(session, people)
    assert OLD_TIME in read(only_reply(session, case)).text

    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    step(session)
    renew_all(session)

    said = read(only_reply(session, case)).text
    assert OWN_WORDS in said and NEW_TIME in said and OLD_TIME not in said
    assert outbox.outdated(session, now=NOW) is None
    assert agreement.disagreements(session, case, now=NOW) == []


def test_however_often_it_moves_the_words_leave_once_with_the_last_time(
    session: Session, people: dict[str, int]
) -> None:
    case = written_to(session, people)
    for version, starts_at in enumerate((FRIDAY_TEN, THURSDAY_TEN, FRIDAY_TEN), start=1):
        agreeing.move(session, case, starts_at=starts_at, version=version, by_id=None, now=NOW)
        step(session)
        renew_all(session)

    said = read(only_reply(session, case)).text
    assert said.count(OWN_WORDS) == 1 and NEW_TIME in said and OLD_TIME not in said


def test_a_letter_on_its_way_when_the_time_moves_is_stopped_before_its_words_leave(
    session: Session, people: dict[str, int]
) -> None:
    case = written_to(session, people)
    claimed = outbox.claim(session, now=NOW, lease=timedelta(minutes=1))
    assert claimed is not None and claimed.id == only_reply(session, case).id

    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    step(session)

    assert not outbox.may_send(session, claimed, now=NOW)
    outbox.drop(session, claimed, now=NOW)
    step(session)
    renew_all(session)
    assert NEW_TIME in read(only_reply(session, case)).text


@pytest.mark.parametrize("how", ["called off", "on hold"])
def test_below_them_stands_what_took_the_place_of_the_call(session: Session, people: dict[str, int], how: str) -> None:
    case = written_to(session, people)
    if how == "on hold":
        wish_another_time(session, case, people)
    else:
        agreeing.cancel(session, case, version=1, by_id=None, now=NOW)
        step(session)
    renew_all(session)

    letter = only_reply(session, case)
    said = read(letter).text
    assert OWN_WORDS in said and OLD_TIME not in said and "meldet sich" in said
    assert (letter.promise_id, letter.appointment_id) == (case.promise_id, None)
    assert outbox.outdated(session, now=NOW) is None


def test_of_a_closed_case_the_words_leave_without_a_step(session: Session, people: dict[str, int]) -> None:
    case = written_to(session, people)

    closing.close(session, case, by_id=None, text="", outcome=CaseOutcome.DONE, now=NOW)
    step(session)
    renew_all(session)

    letter = only_reply(session, case)
    said = read(letter).text
    assert letter.state == LetterState.QUEUED
    assert OWN_WORDS in said and OLD_TIME not in said and "So geht es weiter" not in said


def test_who_wrote_it_signs_it_and_is_not_asked_whether_they_are_there(
    session: Session, people: dict[str, int]
) -> None:
    case = written_to(session, people)
    away(session, people["Miriam Albrecht"], since=NOW, until=FRIDAY_TEN - timedelta(hours=4))
    step(session)

    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=1, by_id=None, now=NOW)
    step(session)
    renew_all(session)

    letter = only_reply(session, case)
    assert (letter.person_id, letter.state) == (people["Miriam Albrecht"], LetterState.QUEUED)
    said = read(letter)
    assert OWN_WORDS in said.text and NEW_TIME in said.text and "Miriam Albrecht" in said.sender


def test_words_that_waited_past_the_agreed_time_do_not_name_it(session: Session, people: dict[str, int]) -> None:
    case = written_to(session, people)

    assert only_reply(session, case).valid_until == THURSDAY_TEN
    assert outbox.claim(session, now=THURSDAY_TEN, lease=timedelta(minutes=1)) is None
    assert outbox.outdated(session, now=THURSDAY_TEN) == only_reply(session, case).id

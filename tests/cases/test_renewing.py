"""Letters that waited past the day they were written on: written anew by whoever acts now, or dropped."""

import threading
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from portal import db
from portal.cases import (
    absences,
    answering,
    closing,
    delaying,
    drafting,
    erasing,
    opening,
    promising,
    reminding,
    renewing,
    settling,
    status_link,
    waiting,
    writing,
)
from portal.cases import directory as directories
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.promising import NewPromise
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    letters,
    link_in,
    open_case,
    open_promises,
    promise_of,
    read,
    send_form,
    statements,
    step,
    wish,
)

MIRIAM, JONAS, BRANDT = "Miriam Albrecht", "Jonas Weidner", "Thomas Brandt"
EVENING = berlin("2026-11-24 17:00")
"""The end of the team's day: the mail has not left since the morning."""
WEDNESDAY = berlin("2026-11-25 08:00")


# --- what a letter keeps ---------------------------------------------------------------------------------------------


def test_an_automatic_letter_knows_until_when_it_is_true_and_what_it_says(session: Session) -> None:
    (letter,) = letters(session, open_case(session), LetterKind.CONFIRMATION)

    assert (letter.due_at, letter.valid_until) == (TUESDAY, EVENING)
    assert letter.says is not None
    assert set(letter.says) == {"received", "files"}


def test_what_a_person_wrote_stays_as_it_is(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    answering.reply(session, case, by_id=people[MIRIAM], text="Ja.", keeps=(), step=None, now=TUESDAY)

    (kept,) = letters(session, case, LetterKind.REPLY)

    assert (kept.valid_until, kept.says) == (None, None)


def test_a_colleagues_letter_goes_to_whoever_is_there_when_it_leaves(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    away(session, people[MIRIAM], since=berlin("2026-11-25 00:00"), deputy_id=people["Jonas Weidner"])

    renew_all(session, at=WEDNESDAY, also_to_staff=True)

    (letter,) = letters(session, case, LetterKind.STAFF_NEW_CASE)
    assert (letter.to_address, letter.state) == ("j.weidner@beispielwerke.example", LetterState.QUEUED)
    assert letter.valid_until is not None and letter.valid_until > WEDNESDAY


def test_a_reminder_that_waited_is_dropped_and_reminded_of_anew(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    reminded = berlin("2026-11-25 12:30")
    reminding.remind(session, case, now=reminded)
    step(session)
    absences.enter(
        session,
        person_id=people[MIRIAM],
        starts_at=reminded,
        ends_at=None,
        deputy_id=people["Jonas Weidner"],
        by_id=people["Dr. Katharina Voss"],
        now=reminded,
    )
    step(session)

    renew_all(session, at=reminded, also_to_staff=True)
    reminding.remind(session, case, now=reminded)
    step(session)

    found = letters(session, case, LetterKind.STAFF_REMINDER)
    assert [letter.to_address for letter in found] == ["j.weidner@beispielwerke.example"]


def test_a_colleagues_letter_about_a_promise_that_has_ended_is_dropped(
    session: Session, people: dict[str, int]
) -> None:
    case = open_case(session)
    (letter,) = letters(session, case, LetterKind.STAFF_NEW_CASE)
    assert case.promise is not None
    case.promise.state, case.promise.ended_at = PromiseState.KEPT, TUESDAY
    closing.close(session, case, by_id=people[MIRIAM], outcome=Outcome.DONE, text="Ja.", now=TUESDAY)
    step(session)

    renew_all(session, at=WEDNESDAY, also_to_staff=True)

    assert letter.state == LetterState.WITHDRAWN


def test_a_letter_of_ours_that_nobody_asked_for_waits_for_the_morning(session: Session) -> None:
    case = quiet(session)
    night, old = berlin("2026-11-24 21:00"), berlin("2026-11-26 10:00")

    tell(session, case, at=night, unasked=True, old_due_at=old)

    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert (letter.due_at, letter.valid_until) == (berlin("2026-11-25 07:00"), berlin("2026-11-25 17:00"))
    assert outbox.claim(session, now=night, lease=timedelta(minutes=5)) is None


def test_what_is_kept_of_a_letter_tells_its_values_from_when_it_may_leave(session: Session) -> None:
    case = quiet(session)
    old = berlin("2026-11-26 10:00")
    values = {"what": "", "moved": False, "before": None, "reason": None}

    tell(session, case, at=TUESDAY, unasked=True, old_due_at=old)

    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert writing.asked_by_nobody(letter.says) == (True, old)
    assert writing.values_of(letter.says) == values
    assert writing.asked_by_nobody(values) == writing.asked_by_nobody(None) == (False, None)


def test_it_leaves_at_night_where_the_old_date_would_pass_before_the_morning(session: Session) -> None:
    case = quiet(session)
    night = berlin("2026-11-24 21:00")

    tell(session, case, at=night, unasked=True, old_due_at=berlin("2026-11-25 06:00"))

    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert letter.due_at == night


def test_what_the_customer_waits_for_leaves_at_night(session: Session) -> None:
    case = quiet(session)
    night = berlin("2026-11-24 21:00")

    answering.customer_message(session, case, "Noch eine Frage.", now=night)

    (letter,) = letters(session, case, LetterKind.MESSAGE_RECEIVED)
    assert (letter.due_at, letter.valid_until) == (night, berlin("2026-11-25 17:00"))


# --- written anew ----------------------------------------------------------------------------------------------------


def test_a_letter_of_yesterday_is_signed_by_whoever_acts_today(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    (old,) = letters(session, case, LetterKind.CONFIRMATION)
    assert read(old).sender.startswith(MIRIAM)
    kept, first_id, link = (old.id, old.key, old.promise_id, old.says), old.message_id, link_in(old)
    away(session, people[MIRIAM], since=berlin("2026-11-25 00:00"), deputy_id=people[JONAS])
    step(session)

    assert renew_all(session, at=WEDNESDAY) == 1

    (new,) = letters(session, case, LetterKind.CONFIRMATION)
    assert (new.id, new.key, new.promise_id, new.says) == kept
    assert new.message_id != first_id
    assert new.person_id == people[JONAS]
    assert (new.due_at, new.valid_until) == (WEDNESDAY, berlin("2026-11-25 17:00"))
    mail = read(new)
    assert mail.sender.startswith(JONAS)
    assert "in Vertretung für Miriam Albrecht" in mail.text
    assert "Jonas Weidner antwortet bis Mittwoch, 25. November, 16:30 Uhr." in mail.text
    assert link_in(new) == link


def test_a_letter_written_anew_keeps_its_turn(session: Session, people: dict[str, int]) -> None:
    """What a colleague wrote after it does not leave before it."""
    case = open_case(session)
    answering.reply(session, case, by_id=people[MIRIAM], text="Ja.", keeps=(), step=None, now=TUESDAY)
    step(session)

    renew_all(session, at=WEDNESDAY)

    assert send_all(session, at=WEDNESDAY) == [LetterKind.CONFIRMATION, LetterKind.REPLY]


def test_while_it_is_true_nothing_is_written_anew(session: Session) -> None:
    open_case(session)

    assert renew_all(session, at=EVENING - timedelta(seconds=1)) == 0
    assert renew_all(session, at=EVENING) == 1
    assert renew_all(session, at=EVENING) == 0


def test_whoever_was_written_anew_has_waited_as_long_and_has_as_many_attempts_left(session: Session) -> None:
    case = open_case(session)
    (old,) = letters(session, case, LetterKind.CONFIRMATION)
    old.tries, old.give_up_at, old.last_error = 4, berlin("2026-11-26 09:20"), "450"
    step(session)

    renew_all(session, at=EVENING)

    (new,) = letters(session, case, LetterKind.CONFIRMATION)
    assert (new.queued_at, new.tries, new.give_up_at, new.last_error) == (TUESDAY, 4, berlin("2026-11-26 09:20"), "450")


def test_an_answer_names_the_step_that_is_ahead_now(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    sooner = NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-11-25 11:00"))
    promising.promise_date(session, case, by_id=people[MIRIAM], step=sooner, now=TUESDAY)
    step(session)

    renew_all(session, at=WEDNESDAY)

    (confirmation,) = letters(session, case, LetterKind.CONFIRMATION)
    assert "Miriam Albrecht ruft Sie bis Mittwoch, 25. November, 11 Uhr an" in read(confirmation).text
    assert confirmation.promise_id == promise_of(session, case, PromiseKind.CALL).id


def test_an_answer_waits_for_the_step_that_the_worker_is_about_to_move(session: Session) -> None:
    case = open_case(session)
    late = berlin("2026-11-25 17:30")

    assert renew_all(session, at=late) == 1
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert (letter.state, letter.due_at) == (LetterState.QUEUED, late + timedelta(minutes=1))

    step(session)
    delaying.give_notice(session, case, now=late)
    assert renew_all(session, at=late + timedelta(minutes=1)) == 1
    confirmation, notice = letters(session, case, audience=Audience.CUSTOMER)
    assert (confirmation.kind, notice.kind) == (LetterKind.CONFIRMATION, LetterKind.DELAY_NOTICE)
    assert notice.promise_id == confirmation.promise_id == case.promise_id


@pytest.mark.parametrize("at", ["2026-11-25 08:00", "2026-11-26 08:00"])
def test_a_date_is_told_anew_while_it_is_ahead_and_dropped_afterwards(
    session: Session, people: dict[str, int], at: str
) -> None:
    case = quiet(session)
    chosen = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-25 12:00"))
    promising.promise_date(session, case, by_id=people[MIRIAM], step=chosen, now=TUESDAY)
    step(session)

    assert renew_all(session, at=berlin(at)) == 1

    found = letters(session, case, LetterKind.PROMISE_GIVEN)
    assert len(found) == (1 if at.startswith("2026-11-25") else 0)


def test_a_promise_that_ended_is_told_no_more(session: Session) -> None:
    """Whoever moved it withdrew the letter; one that slipped through is dropped here."""
    case = quiet(session)
    tell(session, case, at=TUESDAY)
    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)
    over = ended(session, case)
    back_in_the_queue = {"promise_id": over, "state": LetterState.QUEUED, "ended_at": None}
    session.execute(update(Letter).where(Letter.id == letter.id).values(back_in_the_queue))
    step(session)

    renew_all(session, at=EVENING)

    assert session.get_one(Letter, letter.id).state == LetterState.WITHDRAWN
    assert [row.key for row in letters(session, case, LetterKind.PROMISE_GIVEN)] != [letter.key]


def test_a_notice_is_written_anew_with_the_names_of_now(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    noticed = notice(session, case)
    (old,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert "Miriam Albrecht antwortet bis" in read(old).text
    away(session, people[MIRIAM], since=berlin("2026-11-26 00:00"), deputy_id=people[JONAS])
    step(session)

    renew_all(session, at=berlin("2026-11-26 07:00"))

    (new,) = letters(session, case, LetterKind.DELAY_NOTICE)
    text = read(new).text
    assert text.count("Jonas Weidner antwortet bis") == 1
    assert "Miriam Albrecht antwortet" not in text
    assert (new.promise_id, new.key) == (noticed, old.key)
    assert new.says is not None
    assert new.says["late"] is True  # the old date passed on Wednesday while no letter left


def test_a_notice_leaves_the_next_morning_when_its_evening_is_over(session: Session) -> None:
    case = quiet(session)
    notice(session, case)
    (old,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert old.valid_until == berlin("2026-11-25 17:00")

    renew_all(session, at=berlin("2026-11-25 17:00"))
    renew_all(session, at=berlin("2026-11-25 19:00"))

    (new,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert (new.due_at, new.valid_until) == (berlin("2026-11-26 07:00"), berlin("2026-11-26 17:00"))


def test_where_one_of_several_dates_is_left_its_own_reason_is_told(session: Session) -> None:
    case = quiet(session)
    (before,) = open_promises(session, case)
    notice(session, case)
    (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert letter.says is not None
    (move,) = letter.says["moves"]
    kept = {**move, "promise_id": before.id, "reason": "Das Lager zählt."}
    letter.says = {**letter.says, "reason": None, "moves": [{**move, "reason": "Die Lieferung fehlt."}, kept]}
    step(session)

    renew_all(session, at=berlin("2026-11-26 07:00"))

    text = read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text
    assert "Der Grund: Die Lieferung fehlt." in text
    assert "Das Lager zählt." not in text


def test_a_second_notice_names_whoever_is_there_for_the_lead_now(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    case.notices = 1
    step(session)
    notice(session, case)
    (old,) = letters(session, case, LetterKind.DELAY_NOTICE)
    lead = directory_of(session).team_of(case).lead_id
    assert lead is not None
    name = next(name for name, number in people.items() if number == lead)
    assert name in read(old).text
    away(session, lead, since=berlin("2026-11-26 00:00"))
    step(session)

    renew_all(session, at=berlin("2026-11-26 07:00"))

    (new,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert name not in read(new).everything


def test_whoever_stood_in_for_the_lead_makes_room_for_the_lead(session: Session, people: dict[str, int]) -> None:
    """The letter keeps who was meant, not who was there when it was written anew."""
    case = quiet(session)
    case.notices = 1
    lead = directory_of(session).team_of(case).lead_id
    assert lead is not None
    name = next(name for name, number in people.items() if number == lead)
    step(session)
    notice(session, case)
    morning, noon = berlin("2026-11-26 07:00"), berlin("2026-11-26 12:00")
    away(session, lead, since=berlin("2026-11-26 00:00"), until=noon)
    step(session)
    named = []

    for at in (morning, noon):
        outbox.outdate(session, true_after=at, now=at)
        assert renew_all(session, at=at) == 1
        (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)
        named.append(name in read(letter).text)

    assert named == [False, True]


def test_a_notice_names_the_date_the_customer_knows_and_not_that_of_a_notice_that_never_left(session: Session) -> None:
    case = quiet(session)
    notice(session, case)
    second = open_promises(session, case)[0].notice_at
    notice(session, case)
    step(session)

    assert renew_all(session, at=second + timedelta(days=3)) == 2

    (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)
    text = read(letter).text
    assert "nsere Zusage bis Mittwoch, 25. November, 16:30 Uhr haben wir nicht gehalten" in text
    assert "27. November" not in text
    assert "zum zweiten Mal" not in text
    assert "Dr. Katharina Voss" in text, "the lead is there all the same"


def test_a_notice_written_while_an_earlier_one_waits_names_the_date_the_customer_knows(session: Session) -> None:
    """The mail works again on that very day: the second notice leaves as it was written."""
    case = quiet(session)
    notice(session, case)
    notice(session, case)

    text = read(letters(session, case, LetterKind.DELAY_NOTICE)[1]).text

    assert "nsere Zusage bis Mittwoch, 25. November, 16:30 Uhr haben wir nicht gehalten" in text


def test_a_person_who_moves_a_date_names_the_one_the_customer_knows(session: Session) -> None:
    case = quiet(session)
    notice(session, case)
    later = NewPromise(PromiseKind.REPLY, Medium.MAIL, berlin("2026-11-30 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=later, now=berlin("2026-11-26 09:00"))

    (letter,) = letters(session, case, LetterKind.PROMISE_GIVEN)

    assert "Bisher zugesagt war: Mittwoch, 25. November, 16:30 Uhr." in read(letter).text


@pytest.mark.parametrize("seen", ["left", "on the page", "by voice"])
def test_a_date_the_customer_knows_is_named_however_they_know_it(session: Session, seen: str) -> None:
    case = quiet(session)
    notice(session, case)
    (promise,) = open_promises(session, case)
    if seen == "left":
        deliver(session, at=promise.given_at)
    elif seen == "on the page":
        answering.customer_message(session, case, "Gut.", now=promise.given_at + timedelta(minutes=1))
    else:
        session.execute(delete(Letter).where(Letter.promise_id == promise.id))
    step(session)
    notice(session, case)

    (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)[-1:]
    renew_all(session, at=berlin("2026-12-01 07:00"))

    text = read(letter).text
    assert "Freitag, 27. November" in text
    assert ("zum zweiten Mal" in text) == (seen == "left")


def test_whoever_heard_of_no_notice_is_not_told_of_one_more_by_the_lead(session: Session) -> None:
    case = quiet(session)
    for _ in range(4):
        notice(session, case)
    (lead,) = open_promises(session, case)

    renew_all(session, at=lead.given_at + timedelta(hours=20))

    (letter,) = letters(session, case, LetterKind.LEAD_TAKES_OVER)
    text = read(letter).text
    assert "nsere Zusage bis Mittwoch, 25. November, 16:30 Uhr haben wir nicht gehalten" in text
    assert "bisher war Miriam Albrecht für Sie da" in text


def test_a_notice_that_left_is_counted_in_the_ones_after_it(session: Session) -> None:
    case = quiet(session)
    notice(session, case)
    deliver(session, at=berlin("2026-11-25 15:31"))
    case = session.get_one(Case, case.id)
    notice(session, case)
    notice(session, case)

    renew_all(session, at=open_promises(session, case)[0].given_at + timedelta(hours=20))

    (letter,) = letters(session, case, LetterKind.LEAD_TAKES_OVER)
    assert "auch die Zusage bis Freitag, 27. November, 14:30 Uhr haben wir nicht gehalten" in read(letter).text


def test_whoever_falls_ill_is_no_more_named_as_having_been_there(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    for _ in range(2):
        at = open_promises(session, case)[0].notice_at
        notice(session, case)
        deliver(session, at=at)
        case = session.get_one(Case, case.id)
    notice(session, case)
    (letter,) = letters(session, case, LetterKind.LEAD_TAKES_OVER)
    assert "bisher war Miriam Albrecht für Sie da" in read(letter).text
    at = letter.queued_at

    enter(session, people[MIRIAM], people[JONAS], starts_at=at, now=at)
    assert renew_all(session, at=at) == 1

    text = read(letters(session, case, LetterKind.LEAD_TAKES_OVER)[0]).text
    assert "bisher war Jonas Weidner für Sie da" in text
    assert MIRIAM not in text


def test_a_closing_is_told_anew(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=people[MIRIAM], outcome=Outcome.DONE, text="Geliefert.", now=TUESDAY)
    away(session, people[MIRIAM], since=berlin("2026-11-25 00:00"), deputy_id=people[JONAS])
    step(session)

    renew_all(session, at=WEDNESDAY)

    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert read(letter).sender.startswith(JONAS)
    assert "Geliefert." in read(letter).text
    assert "Bis Dienstag, 8. Dezember, können Sie den Vorgang wieder öffnen." in read(letter).text
    assert "Der Link gilt bis Montag, 22. Februar 2027." in read(letter).text


def test_a_closing_from_before_an_update_says_until_when_the_link_works(
    session: Session, people: dict[str, int]
) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=people[MIRIAM], outcome=Outcome.DONE, text="Geliefert.", now=TUESDAY)
    step(session)
    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert letter.says is not None
    until = letter.says["link_until"]
    letter.says = {name: value for name, value in letter.says.items() if name != "link_until"}
    step(session)

    assert renew_all(session, at=WEDNESDAY) == 1

    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert letter.valid_until is not None and letter.valid_until > WEDNESDAY
    assert until in read(letter).text


def test_a_closing_of_yesterday_wakes_nobody_at_night(session: Session) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TUESDAY)
    step(session)

    renew_all(session, at=berlin("2026-11-25 02:00"))

    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert letter.due_at == berlin("2026-11-25 07:00")


def test_what_happened_yesterday_is_told_as_of_yesterday(session: Session, people: dict[str, int]) -> None:
    """The mail does not leave for a night: each letter still says when things happened."""
    written, withdrawn, unanswered, again = [quiet(session) for _ in range(4)]
    answering.customer_message(session, written, "Noch eine Frage.", now=TUESDAY)
    closing.close(session, withdrawn, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TUESDAY)
    closing.close_unanswered(session, unanswered, now=TUESDAY)
    closing.close(session, again, by_id=people[MIRIAM], outcome=Outcome.DONE, text="", now=TUESDAY)
    closing.reopen(session, again, by_id=None, text="", now=TUESDAY)
    step(session)

    renew_all(session, at=WEDNESDAY)

    said = {
        written.id: (LetterKind.MESSAGE_RECEIVED, "ist am Dienstag, 24. November, 9:12 Uhr, bei uns eingegangen"),
        withdrawn.id: (LetterKind.CLOSED, "Sie haben Ihr Anliegen am Dienstag, 24. November, abgeschlossen."),
        unanswered.id: (LetterKind.CLOSED, "ist Ihr Anliegen seit Dienstag, 24. November, abgeschlossen"),
        again.id: (LetterKind.REOPENED, "Sie haben Ihr Anliegen am Dienstag, 24. November, wieder geöffnet."),
    }
    for case_id, (kind, words) in said.items():
        (letter,) = letters(session, session.get_one(Case, case_id), kind)
        assert letter.queued_at == TUESDAY
        assert letter.valid_until is not None
        assert letter.valid_until > WEDNESDAY, "it was written anew"
        assert words in read(letter).text


def test_the_link_of_a_closed_case_is_sent_anew_without_a_step(session: Session) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TUESDAY)
    status_link.send_link(session, directory_of(session), case, key="link:1", replaced=False, now=TUESDAY)
    step(session)

    renew_all(session, at=WEDNESDAY)
    assert send_all(session, at=WEDNESDAY) == [LetterKind.CLOSED]  # each in its turn
    renew_all(session, at=WEDNESDAY)

    (letter,) = letters(session, case, LetterKind.LINK)
    assert letter.due_at == WEDNESDAY
    assert link_in(letter)


def test_what_waits_for_the_customer_is_asked_anew(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    answering.ask(
        session, case, by_id=people[MIRIAM], text="Welches Baujahr?", keeps=[promise.id for promise in
        open_promises(session, case)], follow_up_at=berlin("2026-11-26 12:00"), now=TUESDAY,
    )  # fmt: skip
    deliver(session)
    case = session.get_one(Case, case.id)
    (promise,) = open_promises(session, case)
    waiting.go_on(session, case, now=promise.notice_at)
    (old,) = letters(session, case, LetterKind.WAITING_REMINDER)
    first_id = old.message_id
    step(session)
    assert old.valid_until is not None

    renew_all(session, at=old.valid_until + timedelta(hours=14))

    (new,) = letters(session, case, LetterKind.WAITING_REMINDER)
    assert new.message_id != first_id
    assert "Welches Baujahr?" in read(new).text


def test_of_an_erased_case_nothing_is_written(session: Session) -> None:
    case = quiet(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TUESDAY)
    (letter,) = letters(session, case, LetterKind.CLOSED)
    erasing.erase(session, case, now=TUESDAY)
    assert session.get_one(Case, case.id).state == CaseState.ERASED
    session.execute(
        update(Letter)
        .where(Letter.id == letter.id)
        .values(state=LetterState.QUEUED, ended_at=None, withdraw_wished_at=None)
    )
    step(session)

    assert renew_all(session, at=WEDNESDAY) == 1
    assert letters(session, case, LetterKind.CLOSED) == []


def test_an_erased_case_keeps_no_words_of_its_letters(session: Session) -> None:
    case = open_case(session)
    closing.close(session, case, by_id=None, outcome=Outcome.WITHDRAWN, text="", now=TUESDAY)
    erasing.erase(session, case, now=TUESDAY)
    step(session)

    assert list(session.scalars(select(Letter.says).where(Letter.case_id == case.id, Letter.says.is_not(None)))) == []


def test_a_letter_that_cannot_be_written_keeps_no_other_waiting(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, other = open_case(session), open_case(session)
    write = writing.write_customer

    def fail_for_one(directory: object, case: Case, *rest: object, **more: object) -> writing.Written | None:
        if case.id == broken.id:
            raise RuntimeError
        return write(directory, case, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "write_customer", fail_for_one)

    assert renew_all(session, at=WEDNESDAY) == 2

    (kept,) = letters(session, broken, LetterKind.CONFIRMATION)
    message_id = kept.message_id
    assert (kept.state, kept.due_at) == (LetterState.QUEUED, WEDNESDAY + timedelta(hours=1))
    assert letters(session, other, LetterKind.CONFIRMATION)[0].due_at == WEDNESDAY
    monkeypatch.undo()
    assert renew_all(session, at=WEDNESDAY + timedelta(hours=1)) == 1
    assert letters(session, broken, LetterKind.CONFIRMATION)[0].message_id != message_id


# --- absences --------------------------------------------------------------------------------------------------------


def test_whoever_falls_ill_signs_nothing_that_still_waits(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    ill = TUESDAY + timedelta(minutes=20)

    enter(session, people[MIRIAM], people[JONAS], starts_at=ill, now=ill)

    assert renew_all(session, at=ill) == 1
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert read(letter).sender.startswith(JONAS)
    assert MIRIAM not in read(letter).sender


def test_a_letter_that_is_being_sent_when_somebody_falls_ill_does_not_leave_with_their_name(
    session: Session, people: dict[str, int]
) -> None:
    open_case(session)
    claimed = outbox.claim(session, now=TUESDAY, lease=timedelta(minutes=5))
    assert claimed is not None

    enter(session, people[MIRIAM], people[JONAS], starts_at=TUESDAY, now=TUESDAY)

    assert outbox.may_send(session, claimed, now=TUESDAY) is False


def test_an_absence_from_the_afternoon_on_ends_what_is_true_then(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    noon = berlin("2026-11-24 13:00")

    enter(session, people[MIRIAM], people[JONAS], starts_at=noon, now=TUESDAY)
    renew_all(session, at=TUESDAY)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert read(letter).sender.startswith(MIRIAM)
    assert letter.valid_until == noon


@pytest.mark.parametrize(
    ("starts_at", "ends_at"),
    [
        ("2026-11-25 00:00", None),  # the letter leaves today or is written anew anyway
        ("2026-11-20 00:00", "2026-11-24 09:00"),  # over
    ],
)
def test_letters_an_absence_does_not_touch_stay(
    session: Session, people: dict[str, int], starts_at: str, ends_at: str | None
) -> None:
    open_case(session)

    enter(
        session, people[MIRIAM], None, starts_at=berlin(starts_at), ends_at=berlin(ends_at) if ends_at else None,
        now=TUESDAY,
    )  # fmt: skip

    assert renew_all(session, at=TUESDAY) == 0


def test_a_letter_that_does_not_name_whoever_is_away_says_the_same_again(
    session: Session, people: dict[str, int]
) -> None:
    case = open_case(session)
    before = read(letters(session, case, LetterKind.CONFIRMATION)[0])

    enter(session, people[BRANDT], None, starts_at=TUESDAY, now=TUESDAY)

    assert renew_all(session, at=TUESDAY) == 1
    assert read(letters(session, case, LetterKind.CONFIRMATION)[0]) == before


@pytest.mark.parametrize("who", [MIRIAM, JONAS])
def test_a_letter_in_the_making_when_somebody_falls_ill_does_not_leave_with_their_name(
    core: Flask, session: Session, people: dict[str, int], who: str
) -> None:
    """Whoever writes it has read who is there: the absence waits for the letter, and then finds it."""
    case = quiet(session)
    if who == JONAS:
        away(session, people[MIRIAM], since=TUESDAY, deputy_id=people[JONAS])
        step(session)

    answering.customer_message(session, case, "Noch eine Frage.", now=TUESDAY)
    session.flush()
    ill = in_a_thread(core, who, people)
    ill.join(timeout=0.5)
    assert ill.is_alive(), "it waits for the letter"
    step(session)
    ill.join()

    (letter,) = letters(session, case, LetterKind.MESSAGE_RECEIVED)
    assert read(letter).sender.startswith(who)
    assert letter.valid_until == TUESDAY


@pytest.mark.parametrize("who", [MIRIAM, JONAS])
def test_the_first_letters_of_a_case_that_comes_in_when_somebody_falls_ill_do_not_leave_with_their_name(
    core: Flask, session: Session, people: dict[str, int], who: str
) -> None:
    """Nobody else can see the new case yet: the absence waits for it all the same."""
    if who == JONAS:
        away(session, people[MIRIAM], since=TUESDAY, deputy_id=people[JONAS])
    quiet(session)  # so that this customer has somebody to go to
    submission = send_form(session)
    session.flush()

    ill = in_a_thread(core, who, people)
    ill.join(timeout=0.5)
    assert ill.is_alive(), "it waits for the letters"
    step(session)
    ill.join()

    case = session.get_one(Case, submission.case_id)
    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert read(letter).sender.startswith(who)
    assert letter.valid_until == TUESDAY
    assert renew_all(session, at=TUESDAY) == 1
    assert not read(letters(session, case, LetterKind.CONFIRMATION)[0]).sender.startswith(who)


def test_a_case_that_comes_in_while_an_absence_is_entered_waits_for_it(
    core: Flask, session: Session, people: dict[str, int]
) -> None:
    """It was drafted before anybody was away."""
    with db.reading() as reading:
        drafted = drafting.draft(reading, wish(session), doubt=None, now=TUESDAY)
    session.commit()
    absences.enter(
        session, person_id=people[MIRIAM], starts_at=TUESDAY, ends_at=None, deputy_id=None, by_id=people[MIRIAM],
        now=TUESDAY,
    )  # fmt: skip

    def keep() -> None:
        with core.app_context(), db.writing() as other:
            opening.keep(other, drafted, key="a form", body_hash="")

    coming = threading.Thread(target=keep)
    coming.start()
    coming.join(timeout=0.5)
    assert coming.is_alive(), "it waits for the absence"
    step(session)
    coming.join()

    (letter,) = session.scalars(select(Letter).where(Letter.kind == LetterKind.CONFIRMATION))
    assert not read(letter).sender.startswith(MIRIAM)


def test_an_absence_holds_no_case(session: Session, people: dict[str, int]) -> None:
    open_case(session)

    with statements() as seen:
        enter(session, people[MIRIAM], people[JONAS], starts_at=TUESDAY, now=TUESDAY)

    assert not [statement for statement in seen if "FOR UPDATE" in statement]


def test_what_is_written_by_hand_stays_whoever_is_away(session: Session, people: dict[str, int]) -> None:
    case = quiet(session)
    answering.reply(session, case, by_id=people[MIRIAM], text="Ja.", keeps=(), step=None, now=TUESDAY)

    enter(session, people[MIRIAM], people[JONAS], starts_at=TUESDAY, now=TUESDAY)

    assert letters(session, case, LetterKind.REPLY)[0].valid_until is None
    assert renew_all(session, at=TUESDAY) == 0


def in_a_thread(core: Flask, who: str, people: dict[str, int]) -> threading.Thread:
    """Somebody falls ill now, entered by another process."""

    def fall_ill() -> None:
        with core.app_context(), db.writing() as other:
            absences.enter(
                other, person_id=people[who], starts_at=TUESDAY, ends_at=None, deputy_id=people[BRANDT],
                by_id=people[who], now=TUESDAY,
            )  # fmt: skip

    ill = threading.Thread(target=fall_ill)
    ill.start()
    return ill


def enter(
    session: Session,
    person_id: int,
    deputy_id: int | None,
    *,
    starts_at: datetime,
    now: datetime,
    ends_at: datetime | None = None,
) -> None:
    absences.enter(
        session,
        person_id=person_id,
        starts_at=starts_at,
        ends_at=ends_at,
        deputy_id=deputy_id,
        by_id=person_id,
        now=now,
    )
    step(session)


def renew_all(session: Session, *, at: datetime, also_to_staff: bool = False) -> int:
    """The worker's step until it finds nothing; how many letters it took. The colleagues' have arrived unless asked."""
    taken = 0
    if not also_to_staff:
        to_staff = update(Letter).where(Letter.audience == Audience.STAFF, Letter.state == LetterState.QUEUED)
        session.execute(to_staff.values(state=LetterState.SENT, ended_at=at))
    while (letter_id := outbox.outdated(session, now=at)) is not None:
        settling.hold_case_of(session, letter_id)
        renewing.renew(session, letter_id, now=at)
        step(session)
        taken += 1
        assert taken < 20, "it takes the same letter again and again"
    return taken


def send_all(session: Session, *, at: datetime) -> list[str]:
    """The relay takes every letter that may leave now; the kinds of those to customers, in order."""
    left = []
    while (claimed := outbox.claim(session, now=at, lease=timedelta(minutes=5))) is not None:
        left.append(session.get_one(Letter, claimed.id))
        outbox.mark_sent(session, claimed, now=at)
        step(session)
    return [letter.kind for letter in left if letter.audience == Audience.CUSTOMER]


def quiet(session: Session) -> Case:
    """A case whose first letters have been delivered."""
    case = open_case(session)
    deliver(session)
    return session.get_one(Case, case.id)


def notice(session: Session, case: Case) -> int:
    """The first promise moves on Wednesday at its time; returns its successor."""
    (promise,) = open_promises(session, case)
    delaying.give_notice(session, case, now=promise.notice_at)
    step(session)
    (moved,) = open_promises(session, case)
    return moved.id


def tell(
    session: Session, case: Case, *, at: datetime, unasked: bool = False, old_due_at: datetime | None = None
) -> None:
    """A letter that tells the case's open promise."""
    writing.to_customer(
        session,
        directory_of(session),
        case,
        LetterKind.PROMISE_GIVEN,
        key="promise_given:1",
        step=open_promises(session, case)[0],
        now=at,
        unasked=unasked,
        old_due_at=old_due_at,
        says={"what": "", "moved": False, "before": None, "reason": None},
    )


def ended(session: Session, case: Case) -> int:
    """A promise of the case that is no longer open."""
    (promise,) = open_promises(session, case)
    friday = NewPromise(promise.kind, promise.medium, berlin("2026-11-27 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=friday, now=TUESDAY + timedelta(minutes=2))
    return promise.id


def directory_of(session: Session) -> directories.Directory:
    return directories.load(session, now=TUESDAY)

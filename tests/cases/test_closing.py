"""Closing and reopening; and that whatever is done in whatever order leaves nobody in the dark."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import (
    addressing,
    answering,
    closing,
    contacts,
    directory,
    doubtful,
    finding,
    linking,
    promising,
    reaching,
    timeline,
    undelivered,
)
from portal.cases.errors import NotOpen, NotReopenable, Refused
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.promising import NewPromise
from portal.cases.settling import end_steps
from portal.journal.models import Actor, Channel, Kind
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from portal.promises import business_time
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState
from tests.support.cast import (
    NUMBER,
    TUESDAY,
    all_promises,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    link_in,
    open_case,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)
from tests.support.deeds import TEN, close, closed_case, delivered_case, give_result

LAST_SECOND = berlin("2026-12-08 23:59:59")
"""A case closed on Tuesday, 24 November can be reopened until Tuesday, 8 December."""


# --- closing ---------------------------------------------------------------------------------------------------------


def test_closing_names_outcome_words_and_both_dates(session: Session) -> None:
    case = delivered_case(session)

    close(session, case, text="Das Angebot liegt bei.")
    step(session)

    assert (case.state, case.closed_at, case.outcome) == (CaseState.CLOSED, TEN, Outcome.DONE)
    assert (case.outcome_text, case.promise_id) == ("Das Angebot liegt bei.", None)
    assert case.reopen_until == LAST_SECOND


@pytest.mark.parametrize(("slug", "erase_on"), [("lieferung", date(2027, 5, 26)), ("angebot", date(2032, 11, 24))])
def test_the_topic_says_how_long_a_closed_case_is_kept(session: Session, slug: str, erase_on: date) -> None:
    case = delivered_case(session, slug)

    close(session, case)

    assert case.erase_on == erase_on


def test_a_written_promise_is_kept_by_the_closing_letter_when_it_is_done(session: Session) -> None:
    case = delivered_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)

    close(session, case)

    (closed,) = entries(session, case, Kind.CLOSED)
    assert (promise.state, promise.kept_by_entry_id) == (PromiseState.KEPT, closed.id)


def test_a_promised_call_is_not_kept_by_a_letter(session: Session) -> None:
    case = delivered_case(session, "rueckruf")
    promise = promise_of(session, case, PromiseKind.CALL)

    close(session, case)

    assert promise.state == PromiseState.WITHDRAWN


def test_who_closes_it_is_whoever_does_and_not_guessed_from_the_outcome(session: Session) -> None:
    owners, customers, nobodys = (open_case(session, email=f"{number}@haustechnik.example") for number in range(3))

    closing.close(session, owners, by_id=owners.owner_id, outcome=Outcome.NO_ANSWER, text="", now=TEN)
    closing.close(session, customers, by_id=None, outcome=Outcome.NO_ANSWER, text="", now=TEN)
    closing.close_unanswered(session, nobodys, now=TEN)
    step(session)

    closed = [entries(session, case, Kind.CLOSED)[0] for case in (owners, customers, nobodys)]
    assert [entry.actor for entry in closed] == [Actor.PERSON, Actor.CUSTOMER, Actor.SYSTEM]
    assert [entry.channel for entry in closed] == [Channel.MAIL, Channel.PAGE, Channel.MAIL]


@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.WITHDRAWN, Outcome.NOT_POSSIBLE])
def test_another_outcome_keeps_no_promise(session: Session, outcome: Outcome) -> None:
    case = delivered_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)

    close(session, case, outcome=outcome)

    assert (promise.state, promise.ended_at) == (PromiseState.WITHDRAWN, TEN)


def test_the_customer_closing_keeps_no_promise_of_ours(session: Session) -> None:
    case = delivered_case(session)
    promise = promise_of(session, case, PromiseKind.REPLY)

    close(session, case, by_customer=True)

    assert promise.state == PromiseState.WITHDRAWN
    (closed,) = entries(session, case, Kind.CLOSED)
    assert (closed.actor, closed.person_id) == (Actor.CUSTOMER, None)


def test_no_promise_outlives_the_closing(session: Session) -> None:
    case = delivered_case(session)
    give_result(session, case)

    close(session, case)

    assert open_promises(session, case) == []


def test_the_closing_letter_names_person_outcome_and_both_dates(session: Session) -> None:
    case = delivered_case(session, "lieferung")

    close(session, case, text="Die Palette ist da.")

    mail = read(letters(session, case, LetterKind.CLOSED)[0])
    assert "Ergebnis: Erledigt Die Palette ist da." in mail.text
    assert "Bis Dienstag, 8. Dezember, können Sie den Vorgang wieder öffnen." in mail.text
    assert "Der Link gilt bis Montag, 22. Februar 2027." in mail.text
    assert "am Mittwoch, 26. Mai 2027." in mail.text
    assert "Sandra Neumann – Beispielwerke" in mail.sender


def test_the_closing_letter_to_a_customer_who_closed_does_not_repeat_their_words(session: Session) -> None:
    case = delivered_case(session)

    close(session, case, by_customer=True, text="Kanarienvogel im Heizkeller", outcome=Outcome.WITHDRAWN)

    mail = read(letters(session, case, LetterKind.CLOSED)[0])
    assert "Sie haben Ihr Anliegen am Dienstag, 24. November" in mail.text
    assert "Kanarienvogel" not in mail.everything


def test_closing_takes_back_every_unsent_automatic_letter(session: Session) -> None:
    case = open_case(session)

    close(session, case)
    step(session)

    assert kinds_of(letters(session, case)) == [LetterKind.CLOSED]


def test_closing_leaves_an_unsent_answer_in_its_place(session: Session) -> None:
    case = delivered_case(session)
    answering.reply(session, case, by_id=case.owner_id, text="Ja.", keeps=(), step=None, now=TEN)

    close(session, case)
    step(session)

    assert kinds_of(letters(session, case, states=(LetterState.QUEUED,))) == [LetterKind.REPLY, LetterKind.CLOSED]


def test_a_closed_case_cannot_be_closed_again(session: Session) -> None:
    case = closed_case(session)

    with refused(session, NotOpen):
        close(session, case, by_customer=True)

    assert len(entries(session, case, Kind.CLOSED)) == 1


# --- reopening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [TEN, berlin("2026-12-08 12:00"), LAST_SECOND])
def test_the_customer_may_reopen_until_the_last_second_of_the_day_named(session: Session, at: datetime) -> None:
    case = closed_case(session)

    closing.reopen(session, case, by_id=None, text="Es fehlt noch etwas.", now=at)
    step(session)

    assert case.state == CaseState.OPEN
    assert (case.closed_at, case.outcome, case.outcome_text) == (None, None, "")
    assert (case.reopen_until, case.erase_on) == (None, None)


def test_after_the_day_named_the_customer_cannot_reopen(session: Session) -> None:
    case = closed_case(session)

    with refused(session, NotReopenable):
        closing.reopen(session, case, by_id=None, text="", now=LAST_SECOND + timedelta(seconds=1))

    assert case.state == CaseState.CLOSED


def test_the_day_named_ends_at_midnight_of_the_place_though_the_clock_changed(session: Session) -> None:
    case = open_case(session, at=berlin("2026-10-20 10:00"))

    close(session, case, at=berlin("2026-10-20 11:00"))

    assert case.reopen_until == datetime(2026, 11, 3, 22, 59, 59, tzinfo=UTC)


def test_staff_may_reopen_after_the_day_named(session: Session) -> None:
    case = closed_case(session)

    closing.reopen(session, case, by_id=case.owner_id, text="", now=berlin("2027-01-12 10:00"))
    step(session)

    assert case.state == CaseState.OPEN


def test_a_reopened_case_has_a_new_promise_and_a_new_count_of_notices(session: Session) -> None:
    case = delivered_case(session)
    case.notices = 2
    close(session, case)
    step(session)

    closing.reopen(session, case, by_id=None, text="", now=berlin("2026-12-01 10:00"))
    step(session)

    (promise,) = open_promises(session, case)
    assert (promise.kind, promise.due_at, promise.replaces_id) == (PromiseKind.REPLY, berlin("2026-12-02 17:00"), None)
    assert (case.notices, case.promise_id) == (0, promise.id)


def test_a_reopened_case_keeps_its_owner(session: Session) -> None:
    case = closed_case(session)
    owner_id = case.owner_id

    closing.reopen(session, case, by_id=None, text="", now=TEN)

    assert case.owner_id == owner_id


def test_reopening_is_told_to_the_customer_and_to_the_person(session: Session) -> None:
    case = closed_case(session)
    deliver(session)

    closing.reopen(session, case, by_id=None, text="Kanarienvogel", now=TEN)

    told = letters(session, case, states=(LetterState.QUEUED,))
    assert kinds_of(told) == [LetterKind.REOPENED, LetterKind.STAFF_REOPENED]
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 17 Uhr." in read(told[0]).text
    assert "Kanarienvogel" not in read(told[0]).everything + read(told[1]).everything


def test_reopening_takes_back_an_unsent_closing_letter(session: Session) -> None:
    case = closed_case(session)

    closing.reopen(session, case, by_id=None, text="", now=TEN)
    step(session)

    assert LetterKind.CLOSED not in kinds_of(letters(session, case))


@pytest.mark.parametrize("by_customer", [True, False])
def test_an_open_case_cannot_be_reopened(session: Session, by_customer: bool) -> None:
    case = delivered_case(session)

    with refused(session, NotOpen):
        closing.reopen(session, case, by_id={True: None, False: case.owner_id}[by_customer], text="", now=TEN)

    assert len(all_promises(session, case)) == 1


def test_a_case_can_be_closed_and_reopened_again_and_again(session: Session) -> None:
    case = delivered_case(session)

    for _ in range(3):
        close(session, case)
        closing.reopen(session, case, by_id=None, text="", now=TEN)
        step(session)

    assert len(entries(session, case, Kind.REOPENED)) == 3
    assert len(open_promises(session, case)) == 1


def test_a_message_reopens_a_closed_case_until_the_day_named(session: Session) -> None:
    case = closed_case(session)

    answered = answering.customer_message(session, case, "Das passt noch nicht.", now=LAST_SECOND)
    step(session)

    assert (answered is case, case.state) == (True, CaseState.OPEN)
    (reopened,) = entries(session, case, Kind.REOPENED)
    assert reopened.text == "Das passt noch nicht."


def test_a_later_message_opens_a_new_case_that_continues_the_old_one(session: Session) -> None:
    case = closed_case(session)
    later = LAST_SECOND + timedelta(seconds=1)

    new = answering.customer_message(session, case, "Noch einmal ich.", now=later)
    step(session)

    assert (case.state, new.state, new.continues_id) == (CaseState.CLOSED, CaseState.OPEN, case.id)
    assert entries(session, new, Kind.RECEIVED)[0].text == "Noch einmal ich."
    assert entries(session, case, Kind.CONTINUED)[0].facts == {"reference": new.reference}


def test_the_new_case_is_confirmed_with_its_own_link_by_the_same_person(session: Session) -> None:
    case = closed_case(session)

    new = answering.customer_message(session, case, "Noch einmal ich.", now=LAST_SECOND + timedelta(days=1))
    step(session)

    (letter,) = letters(session, new, LetterKind.CONFIRMATION)
    found = finding.by_token(session, link_in(letter), now=LAST_SECOND + timedelta(days=1))
    assert found is not None
    assert (found.case is new, new.owner_id) == (True, case.owner_id)


def test_the_new_case_knows_the_customer_in_a_row_of_its_own(session: Session) -> None:
    case = closed_case(session)

    new = answering.customer_message(session, case, "Noch einmal ich.", now=LAST_SECOND + timedelta(days=1))
    step(session)

    assert new.customer_id != case.customer_id
    assert (new.customer.name, new.customer.email, new.customer.phone_e164) == (
        "Sabine Krüger",
        "s.krueger@haustechnik.example",
        NUMBER,
    )


# --- law 1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_in_whatever_order_no_customer_is_left_in_the_dark(session: Session, seed: int) -> None:
    """The steps of the flow in a random order at random times; each that is not refused is committed."""
    chance = Random(seed)
    case, at = open_case(session, phone_e164=NUMBER, phone_shown=NUMBER), TUESDAY

    for _ in range(40):
        at += timedelta(minutes=chance.choice((0, 1, 20, 240, 1500)))
        with suppress(Refused), session.begin_nested():
            chance.choice(STEPS)(session, case, at, chance)
        step(session)
        assert in_the_dark(session, case, at) == []
        assert false_letters(session, case, at) == []
        assert letters_into_the_past(session, case) == []
        assert timeline.status_of(session, case, now=at).person.line_shown is not None


def test_a_customer_in_the_dark_would_be_noticed(session: Session) -> None:
    case = open_case(session)
    end_steps(session, case, now=TEN)
    found = in_the_dark(session, case, TEN)
    session.rollback()

    assert found == ["an open case without a step"]


def test_a_step_nobody_was_told_of_would_be_noticed(session: Session) -> None:
    case = open_case(session)
    give_result(session, case)
    outbox.withdraw(session, case.id, now=TEN)
    promise_of(session, case, PromiseKind.REPLY).kind = PromiseKind.FOLLOW_UP

    assert in_the_dark(session, case, TEN) == ["untold"]


def test_a_letter_that_is_no_longer_true_would_be_noticed(session: Session) -> None:
    case = open_case(session)
    end_steps(session, case, now=TEN)
    found = kinds_of(false_letters(session, case, TEN))
    session.rollback()

    assert found == [LetterKind.CONFIRMATION, LetterKind.STAFF_NEW_CASE]


# --- helpers ---------------------------------------------------------------------------------------------------------


def some_date(session: Session, case: Case, at: datetime, chance: Random) -> NewPromise:
    """A date that has room, of any kind and by any medium."""
    found = directory.load(session, now=at)
    calendar = found.calendar(found.team_of(case))
    due_at = business_time.round_up(calendar, business_time.add(calendar, at, chance.choice((60, 300, 900))))
    return NewPromise(chance.choice(list(PromiseKind)), chance.choice(list(Medium)), due_at)


def some_promises(session: Session, case: Case, chance: Random) -> set[int]:
    """Any of the open promises."""
    return {promise.id for promise in open_promises(session, case) if chance.random() < 0.5}


def a_date_or_none(session: Session, case: Case, at: datetime, chance: Random) -> NewPromise | None:
    return chance.choice([None, some_date(session, case, at, chance)])


def reply_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    keeps, given = some_promises(session, case, chance), a_date_or_none(session, case, at, chance)
    answering.reply(session, case, by_id=case.owner_id, text="Ja.", keeps=keeps, step=given, now=at)


def ask_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    keeps, due_at = some_promises(session, case, chance), some_date(session, case, at, chance).due_at
    answering.ask(session, case, by_id=case.owner_id, text="Wann?", keeps=keeps, follow_up_at=due_at, now=at)


def log_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id,
        contact=chance.choice(list(contacts.Contact)),
        text="",
        at=at,
        keeps=some_promises(session, case, chance),
        step=a_date_or_none(session, case, at, chance),
        visible=True,
        now=at,
    )


def promise_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    given = some_date(session, case, at, chance)
    promising.promise_date(session, case, by_id=case.owner_id, step=given, now=at)


def write_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    answering.customer_message(session, case, "Hallo?", now=at)


def close_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    by_id, outcome = chance.choice([None, case.owner_id]), chance.choice(list(Outcome))
    closing.close(session, case, by_id=by_id, outcome=outcome, text="", now=at)


def reopen_somehow(session: Session, case: Case, at: datetime, chance: Random) -> None:
    closing.reopen(session, case, by_id=chance.choice([None, case.owner_id]), text="", now=at)


def deny(session: Session, case: Case, at: datetime, chance: Random) -> None:
    addressing.not_me(session, case, now=at)


def release(session: Session, case: Case, at: datetime, chance: Random) -> None:
    doubtful.release(session, case, by_id=case.owner_id, now=at)


def replace_link(session: Session, case: Case, at: datetime, chance: Random) -> None:
    linking.replace_link(session, case, now=at)


def deliver_all(session: Session, case: Case, at: datetime, chance: Random) -> None:
    for letter in letters(session, case, states=(LetterState.QUEUED,)):
        letter.state, letter.ended_at = LetterState.SENT, at


def lose_one(session: Session, case: Case, at: datetime, chance: Random) -> None:
    for letter in letters(session, case, states=(LetterState.QUEUED,), audience=Audience.CUSTOMER)[:1]:
        letter.state, letter.ended_at = LetterState.FAILED, at
        session.flush()
        undelivered.letter_died(session, letter.id, now=at)


STEPS = [
    *(reply_somehow, ask_somehow, log_somehow, log_somehow, promise_somehow, promise_somehow, write_somehow),
    *(close_somehow, reopen_somehow, reopen_somehow, deny, release, release, replace_link, deliver_all, lose_one),
]


def in_the_dark(session: Session, case: Case, at: datetime) -> list[str]:
    """What is wrong with the steps of a case: the next one is the earliest, and what lies ahead was told.

    A promise may lapse until the ladder is built; the page says so.
    """
    steps = open_promises(session, case)
    ahead = promises.ahead(steps, now=at)
    wrong = {
        "an open case without a step": case.state == CaseState.OPEN and not steps,
        "a step of a case that is not open": case.state != CaseState.OPEN and bool(steps),
        "not the earliest": bool(steps) and case.promise_id != steps[0].id,
        "untold": ahead is not None and not is_told(session, ahead) and not out_of_reach(session, case),
        "two of a kind": len({promise.kind for promise in steps}) != len(steps),
    }
    return [name for name, is_so in wrong.items() if is_so]


def out_of_reach(session: Session, case: Case) -> bool:
    """No letter reaches the customer: what was said on the phone and what the page says stand for it."""
    return reaching.out_of_reach_since(session, case) is not None


def is_told(session: Session, promise: Promise) -> bool:
    """Stated by a letter to the customer, or left by one that died: then the page and a phone task stand for it."""
    by_page = promise.given_by_id is None and promise.kind in (PromiseKind.CALL, PromiseKind.REPLY)
    return outbox.is_told(session, promise.id) or by_page


def false_letters(session: Session, case: Case, at: datetime) -> list[Letter]:
    """Automatic letters that still wait to go out as they are and state a promise that has ended."""
    queued = letters(session, case, states=(LetterState.QUEUED,))
    waiting = [letter for letter in queued if letter.valid_until is None or letter.valid_until > at]
    ended = {promise.id for promise in all_promises(session, case) if promise.state != PromiseState.OPEN}
    return [letter for letter in waiting if letter.automatic and letter.promise_id in ended]


def letters_into_the_past(session: Session, case: Case) -> list[str]:
    """Kinds of letters to the customer that, when they were written, named a date that had passed.

    But for the link, which can be asked for while nothing lies ahead.
    """
    stating = select(Letter.kind).join(Promise, Promise.id == Letter.promise_id).where(Letter.case_id == case.id)
    passed = stating.where(Letter.queued_at >= Promise.due_at, Letter.audience == Audience.CUSTOMER)
    return list(session.scalars(passed.where(Letter.kind != LetterKind.LINK)))

"""The outbox: each letter goes out once and in order, whoever of several workers dies, hangs or comes too late."""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import db
from portal.cases import promising
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.models import Audience, Letter, LetterState, MailChannel
from portal.mail.outbox import Claimed
from portal.promises.models import Medium, Promise, PromiseKind
from tests.support import cast
from tests.support.cast import TUESDAY, deliver, open_case, refused, step

# The stage these tests play on: the same as that of the cases.
applications, core, database_url = cast.applications, cast.core, cast.database_url
furnished_postgresql, furnished_sqlite = cast.furnished_postgresql, cast.furnished_sqlite
people, session = cast.people, cast.session

NOW = TUESDAY
LEASE = timedelta(seconds=270)
BASE = 10.0
ENDED = [LetterState.SENT, LetterState.FAILED, LetterState.WITHDRAWN]


# --- claiming --------------------------------------------------------------------------------------------------------


def test_the_letter_that_has_been_due_longest_is_claimed_first(session: Session) -> None:
    later = letter(session, due=NOW - timedelta(minutes=1))
    sooner = letter(session, due=NOW - timedelta(minutes=2))

    assert [claim(session).id, claim(session).id] == [sooner.id, later.id]


def test_of_two_due_at_the_same_moment_the_older_is_claimed_first(session: Session) -> None:
    older, younger = letter(session), letter(session)

    assert [claim(session).id, claim(session).id] == [older.id, younger.id]


def test_a_letter_that_is_not_yet_due_is_not_claimed(session: Session) -> None:
    waiting = letter(session, due=NOW + timedelta(seconds=1))

    assert outbox.claim(session, now=NOW, lease=LEASE) is None
    assert claim(session, at=NOW + timedelta(seconds=1)).id == waiting.id


def test_a_claimed_letter_is_the_workers_for_the_time_of_the_lease(session: Session) -> None:
    row = letter(session, to="sabine@example.com", message=b"Guten Tag")

    claimed = claim(session)

    fresh(session, row)
    assert (row.state, row.lease_token, row.lease_until) == (LetterState.SENDING, claimed.token, NOW + LEASE)
    assert (claimed.to_address, bytes(claimed.message)) == ("sabine@example.com", b"Guten Tag")


def test_a_claimed_letter_is_not_claimed_again(session: Session) -> None:
    letter(session)
    claim(session)

    assert outbox.claim(session, now=NOW + timedelta(days=1), lease=LEASE) is None


@pytest.mark.parametrize("state", [*ENDED, LetterState.HELD])
def test_only_what_is_queued_is_claimed(session: Session, state: LetterState) -> None:
    letter(session, state=state)

    assert outbox.claim(session, now=NOW, lease=LEASE) is None


def test_a_letter_never_overtakes_an_older_one_of_its_case_and_recipient(session: Session) -> None:
    case = quiet_case(session)
    older = letter(session, case=case, due=NOW + timedelta(minutes=15))
    younger = letter(session, case=case, due=NOW - timedelta(hours=1))

    assert outbox.claim(session, now=NOW, lease=LEASE) is None
    assert claim(session, at=NOW + timedelta(minutes=15)).id == older.id
    assert outbox.claim(session, now=NOW + timedelta(minutes=15), lease=LEASE) is None
    assert fresh(session, younger).state == LetterState.QUEUED


def test_a_letter_that_waits_for_its_hours_holds_up_no_answer(session: Session) -> None:
    case = quiet_case(session)
    for_tomorrow = letter(session, case=case, due=NOW + timedelta(hours=10))
    answer = letter(session, case=case)

    assert claim(session).id == answer.id
    assert fresh(session, for_tomorrow).state == LetterState.QUEUED


def test_a_letter_that_is_no_longer_true_is_not_claimed_and_holds_up_the_next_one(session: Session) -> None:
    case = quiet_case(session)
    letter(session, case=case, valid_until=NOW)
    letter(session, case=case)
    other = letter(session, valid_until=NOW + timedelta(seconds=1))

    assert claim(session).id == other.id
    assert outbox.claim(session, now=NOW, lease=LEASE) is None


@pytest.mark.parametrize("state", [*ENDED, LetterState.HELD])
def test_an_older_letter_that_is_over_or_held_is_in_nobodys_way(session: Session, state: LetterState) -> None:
    case = quiet_case(session)
    letter(session, case=case, state=state)
    younger = letter(session, case=case)

    assert claim(session).id == younger.id


def test_another_recipient_of_the_same_case_does_not_wait(session: Session) -> None:
    case = quiet_case(session)
    letter(session, case=case, to="customer@example.com", due=NOW + timedelta(hours=1))
    to_staff = letter(session, case=case, to="m.albrecht@beispielwerke.example")

    assert claim(session).id == to_staff.id


def test_the_same_recipient_in_another_case_does_not_wait(session: Session) -> None:
    one, two = quiet_case(session), quiet_case(session)
    letter(session, case=one, due=NOW + timedelta(hours=1))
    other = letter(session, case=two)

    assert claim(session).id == other.id


def test_a_letter_about_no_case_waits_for_none(session: Session) -> None:
    letter(session, due=NOW + timedelta(hours=1))
    other = letter(session)

    assert claim(session).id == other.id


def test_four_workers_share_the_letters_and_take_none_twice(core: Flask, session: Session) -> None:
    expected = [letter(session).id for _ in range(24)]
    step(session)
    taken: list[int] = []

    at_once([lambda: taken.extend(claim_all(core))] * 4)

    assert sorted(taken) == expected


def test_four_workers_keep_the_order_of_a_case(core: Flask, session: Session) -> None:
    case = quiet_case(session)
    expected = [letter(session, case=case).id for _ in range(8)]
    step(session)
    sent: list[int] = []

    at_once([lambda: send_until(core, sent, len(expected))] * 4)

    assert sent == expected


# --- the fencing token -----------------------------------------------------------------------------------------------


def test_what_was_sent_is_sent(session: Session) -> None:
    row = letter(session, last_error="450")
    claimed = claim(session)

    assert outbox.mark_sent(session, claimed, now=NOW) is True

    fresh(session, row)
    assert (row.state, row.ended_at, row.lease_token, row.lease_until) == (LetterState.SENT, NOW, None, None)
    assert row.last_error is None


@pytest.mark.parametrize("ending", ["sent", "failed", "withdrawn", "withdrawn while it is sent", "untrue"])
def test_a_letter_that_has_ended_keeps_no_words_to_write_it_from(session: Session, ending: str) -> None:
    case = quiet_case(session)
    row = letter(session, case=case, says={"question": "Welches Baujahr?"}, valid_until=NOW + timedelta(hours=1))
    if ending == "withdrawn":
        outbox.withdraw(session, case.id, now=NOW)
    elif ending == "untrue":
        outbox.drop_untrue(row, now=NOW)
    else:
        claimed = claim(session)
        if ending == "sent":
            outbox.mark_sent(session, claimed, now=NOW)
        elif ending == "failed":
            outbox.fail(session, claimed, "550", now=NOW)
        else:
            outbox.withdraw(session, case.id, now=NOW)
            assert fresh(session, row).says is not None  # it has not ended yet
            outbox.drop(session, claimed, now=NOW)
    session.flush()

    assert fresh(session, row).state in ENDED
    assert session.scalar(select(Letter.id).where(Letter.id == row.id, Letter.says.is_(None))) == row.id


def test_what_was_refused_has_failed_with_its_reason(session: Session) -> None:
    row = letter(session)
    claimed = claim(session)

    assert outbox.fail(session, claimed, "5" * 400, now=NOW) == LetterState.FAILED

    session.flush()
    fresh(session, row)
    assert (row.state, row.ended_at, row.last_error) == (LetterState.FAILED, NOW, "5" * 300)


def test_what_was_taken_back_before_its_data_began_is_withdrawn(session: Session) -> None:
    row, claimed = withdrawn_while_sending(session)

    assert outbox.drop(session, claimed, now=NOW) is True

    session.flush()
    assert (fresh(session, row).state, row.ended_at) == (LetterState.WITHDRAWN, NOW)


def test_what_was_no_longer_true_when_its_data_would_have_begun_waits_to_be_written_anew(session: Session) -> None:
    row = letter(session, valid_until=NOW + timedelta(seconds=1), tries=3)
    claimed = claim(session)
    later = NOW + timedelta(seconds=1)
    assert outbox.may_send(session, claimed, now=later) is False

    assert outbox.drop(session, claimed, now=later) is True

    session.flush()
    fresh(session, row)
    assert (row.state, row.ended_at, row.lease_token, row.tries) == (LetterState.QUEUED, None, None, 3)
    assert outbox.claim(session, now=later, lease=LEASE) is None
    assert outbox.outdated(session, now=later) == row.id


# --- no longer true --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_until": None},
        {"valid_until": NOW + timedelta(seconds=1)},
        {"valid_until": NOW, "due": NOW + timedelta(seconds=1)},
        *[{"valid_until": NOW, "state": state} for state in (*ENDED, LetterState.HELD)],
    ],
)
def test_what_is_true_not_due_or_over_is_not_written_anew(session: Session, changes: dict[str, Any]) -> None:
    letter(session, **changes)

    assert outbox.outdated(session, now=NOW) is None


def test_letters_are_written_anew_in_their_order(session: Session) -> None:
    """The second is not before the first has left: it would be the older row of the two."""
    case = quiet_case(session)
    first = letter(session, case=case, valid_until=NOW, due=NOW)
    letter(session, case=case, valid_until=NOW - timedelta(hours=1), due=NOW - timedelta(hours=1))

    assert outbox.outdated(session, now=NOW) == first.id


def test_only_what_waits_and_is_true_for_longer_is_outdated(session: Session) -> None:
    soon, later = NOW + timedelta(minutes=30), NOW + timedelta(hours=1)
    rows = {
        "queued": letter(session, valid_until=later),
        "sent": letter(session, valid_until=later, state=LetterState.SENT),
        "by hand": letter(session),
        "over before": letter(session, valid_until=soon),
        "to staff": letter(session, valid_until=later, audience=Audience.STAFF),
    }
    letter(session, valid_until=NOW + timedelta(hours=1), due=NOW - timedelta(hours=1))
    claimed = claim(session)

    outbox.outdate(session, true_after=soon, now=NOW)

    assert [name for name, row in rows.items() if fresh(session, row).valid_until == NOW] == ["queued", "to staff"]
    assert outbox.may_send(session, claimed, now=NOW) is False


def sending(session: Session, claimed: Claimed) -> object:
    return outbox.mark_sent(session, claimed, now=NOW)


def failing(session: Session, claimed: Claimed) -> object:
    return outbox.fail(session, claimed, "550", now=NOW)


def dropping(session: Session, claimed: Claimed) -> object:
    return outbox.drop(session, claimed, now=NOW)


def retrying(session: Session, claimed: Claimed) -> object:
    return outbox.retry(session, claimed, "450", now=NOW, base=BASE)


def pausing(session: Session, claimed: Claimed) -> object:
    return outbox.pause_channel(session, claimed, "535", now=NOW, base=BASE)


@pytest.mark.parametrize("act", [sending, failing, dropping, retrying, pausing])
def test_a_worker_that_lost_its_lease_changes_nothing(session: Session, act: Any) -> None:
    row = letter(session)
    hung = claim(session)
    outbox.return_expired(session, now=NOW + LEASE, base=0)
    claim(session, at=NOW + LEASE + timedelta(minutes=1))
    before = values(session, row)

    act(session, hung)

    assert values(session, row) == before


@pytest.mark.parametrize("act", [sending, failing, dropping, retrying])
def test_a_worker_is_told_that_it_lost_its_lease(session: Session, act: Any) -> None:
    letter(session)
    hung = claim(session)
    outbox.return_expired(session, now=NOW + LEASE, base=0)

    assert not act(session, hung)


def test_a_letter_is_ended_once(session: Session) -> None:
    row = letter(session)
    claimed = claim(session)
    outbox.mark_sent(session, claimed, now=NOW)

    assert outbox.fail(session, claimed, "550", now=NOW) is None
    assert fresh(session, row).state == LetterState.SENT


# --- the lease -------------------------------------------------------------------------------------------------------


def test_a_letter_comes_back_when_its_lease_is_over(session: Session) -> None:
    row = letter(session)
    claim(session)

    assert outbox.return_expired(session, now=NOW + LEASE - timedelta(seconds=1), base=BASE) == 0
    assert outbox.return_expired(session, now=NOW + LEASE, base=BASE) == 1

    fresh(session, row)
    assert (row.state, row.lease_token, row.lease_until, row.tries) == (LetterState.QUEUED, None, None, 1)
    assert NOW + LEASE <= row.due_at <= NOW + LEASE + timedelta(seconds=BASE)


def test_a_lease_that_is_over_is_noticed_by_a_look(session: Session) -> None:
    letter(session)
    claim(session)

    assert outbox.has_expired(session.connection(), now=NOW + LEASE - timedelta(seconds=1)) is False
    assert outbox.has_expired(session.connection(), now=NOW + LEASE) is True


def test_a_letter_keeps_its_words_and_its_message_id_on_every_try(session: Session) -> None:
    row = letter(session)
    message_id, message = row.message_id, row.message

    for number in range(3):
        outbox.retry(session, claim(session, at=NOW + timedelta(hours=number)), "450", now=NOW, base=0)

    fresh(session, row)
    assert (row.message_id, bytes(row.message), row.tries) == (message_id, bytes(message), 3)


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"valid_until": NOW + timedelta(seconds=1)}, True),
        ({"valid_until": NOW}, False),
        ({"withdraw_wished_at": NOW}, False),
        ({"lease_token": "somebody else's"}, False),
    ],
)
def test_right_before_its_data_a_letter_must_be_ours_wanted_and_valid(
    session: Session, changes: dict[str, Any], may: bool
) -> None:
    row = letter(session)
    claimed = claim(session)
    fresh(session, row)
    for name, value in changes.items():
        setattr(row, name, value)
    session.flush()

    assert outbox.may_send(session, claimed, now=NOW) is may


# --- withdrawing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [LetterState.QUEUED, LetterState.HELD])
def test_what_waits_is_withdrawn_at_once(session: Session, state: LetterState) -> None:
    case = quiet_case(session)
    row = letter(session, case=case, state=state)

    outbox.withdraw(session, case.id, now=NOW)

    fresh(session, row)
    assert (row.state, row.ended_at, row.hold_reason) == (LetterState.WITHDRAWN, NOW, None)


def test_what_is_being_sent_gets_the_wish(session: Session) -> None:
    case = quiet_case(session)
    row = letter(session, case=case)
    claimed = claim(session)

    outbox.withdraw(session, case.id, now=NOW)

    fresh(session, row)
    assert (row.state, row.withdraw_wished_at, row.ended_at) == (LetterState.SENDING, NOW, None)
    assert row.lease_token == claimed.token


@pytest.mark.parametrize("state", ENDED)
def test_what_is_over_stays_as_it_is(session: Session, state: LetterState) -> None:
    case = quiet_case(session)
    row = letter(session, case=case, state=state)
    before = values(session, row)

    outbox.withdraw(session, case.id, now=NOW)

    assert values(session, row) == before


def test_after_its_250_a_letter_counts_as_sent_whatever_was_wished(session: Session) -> None:
    row, claimed = withdrawn_while_sending(session)

    outbox.mark_sent(session, claimed, now=NOW)

    assert fresh(session, row).state == LetterState.SENT


@pytest.mark.parametrize("act", [retrying, pausing, dropping])
def test_a_letter_that_comes_back_with_the_wish_ends_as_withdrawn(session: Session, act: Any) -> None:
    row, claimed = withdrawn_while_sending(session)

    act(session, claimed)
    session.flush()

    fresh(session, row)
    assert (row.state, row.ended_at, row.lease_token) == (LetterState.WITHDRAWN, NOW, None)


def test_a_letter_whose_worker_died_with_the_wish_ends_as_withdrawn(session: Session) -> None:
    row, _ = withdrawn_while_sending(session)

    outbox.return_expired(session, now=NOW + LEASE, base=BASE)
    session.flush()

    assert fresh(session, row).state == LetterState.WITHDRAWN


@pytest.mark.parametrize("give_up_at", [None, NOW], ids=["refused", "given up"])
def test_a_letter_nobody_wants_any_more_does_not_die_but_is_withdrawn(
    session: Session, give_up_at: datetime | None
) -> None:
    """Dead it would leave a call for words that are no longer true."""
    row, claimed = withdrawn_while_sending(session)
    row.give_up_at = give_up_at
    step(session)

    act = failing if give_up_at is None else retrying
    assert act(session, claimed) == LetterState.WITHDRAWN

    session.flush()
    assert fresh(session, row).state == LetterState.WITHDRAWN


def test_only_the_letters_meant_are_withdrawn(session: Session) -> None:
    other, case = quiet_case(session), quiet_case(session)
    promise_id = session.scalars(select(Promise.id).where(Promise.case_id == case.id)).one()
    rows = {
        "meant": letter(session, case=case, promise_id=promise_id),
        "by hand": letter(session, case=case, promise_id=promise_id, automatic=False),
        "another promise": letter(session, case=case),
        "to staff": letter(session, case=case, promise_id=promise_id, audience=Audience.STAFF),
        "another case": letter(session, case=other),
    }

    outbox.withdraw(session, case.id, audience=Audience.CUSTOMER, automatic=True, promise_id=promise_id, now=NOW)

    states = {name: fresh(session, row).state for name, row in rows.items()}
    assert [name for name, state in states.items() if state == LetterState.WITHDRAWN] == ["meant"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"state": LetterState.SENT}, True),
        ({"state": LetterState.FAILED}, True),  # tried in vain: somebody phones
        ({"state": LetterState.WITHDRAWN}, False),
        ({"state": LetterState.SENDING, "withdraw_wished_at": NOW}, False),
        ({"state": LetterState.SENT, "withdraw_wished_at": NOW}, True),
        ({"audience": Audience.STAFF}, False),
    ],
)
def test_a_promise_is_told_by_a_letter_to_the_customer_that_was_not_taken_back(
    session: Session, changes: dict[str, Any], told: bool
) -> None:
    case = quiet_case(session)
    step_given = NewPromise(PromiseKind.RESULT, Medium.MAIL, cast.berlin("2026-11-27 12:00"))
    promising.promise_date(session, case, by_id=case.owner_id, step=step_given, now=NOW)
    outbox.withdraw(session, case.id, now=NOW)
    promise_id = cast.promise_of(session, case, PromiseKind.RESULT).id

    letter(session, case=case, promise_id=promise_id, **changes)

    assert outbox.is_told(session, promise_id) is told


def test_a_withdrawn_letter_lets_the_next_one_pass(session: Session) -> None:
    case = quiet_case(session)
    letter(session, case=case, due=NOW + timedelta(hours=1))
    outbox.withdraw(session, case.id, now=NOW)
    truth = letter(session, case=case)

    assert claim(session).id == truth.id


# --- trying again ----------------------------------------------------------------------------------------------------


def test_pauses_are_drawn_between_nothing_and_twice_as_long_each_time(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = letter(session)
    drawn = draws_of(monkeypatch)

    for number in range(9):
        outbox.retry(session, claim(session, at=NOW + timedelta(hours=number)), "450", now=NOW, base=BASE)

    assert drawn == [(0, pause) for pause in (20, 40, 80, 160, 320, 640, 900, 900, 900)]
    assert fresh(session, row).due_at == NOW + timedelta(seconds=900)


def test_a_letter_that_waits_for_its_next_try_says_what_was_wrong(session: Session) -> None:
    row = letter(session)

    assert outbox.retry(session, claim(session), "450 greylisted", now=NOW, base=BASE) == LetterState.QUEUED

    fresh(session, row)
    assert (row.state, row.tries, row.last_error) == (LetterState.QUEUED, 1, "450 greylisted")


def test_however_often_it_was_tried_the_pause_has_an_upper_end(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter(session, tries=100_000)
    drawn = draws_of(monkeypatch)

    outbox.retry(session, claim(session), "450", now=NOW, base=BASE)

    assert drawn == [(0, outbox.RETRY_CAP)]


def test_a_letter_is_tried_for_forty_eight_hours_from_its_first_fault(session: Session) -> None:
    row = letter(session, queued_at=NOW - timedelta(days=30), due=NOW - timedelta(days=30))
    first = NOW + timedelta(days=1)
    end = first + timedelta(hours=48)

    assert outbox.retry(session, claim(session, at=first), "450", now=first, base=0) == LetterState.QUEUED
    last_chance = end - timedelta(seconds=1)
    assert outbox.retry(session, claim(session, at=last_chance), "450", now=last_chance, base=0) == LetterState.QUEUED
    assert outbox.retry(session, claim(session, at=end), "450", now=end, base=0) == LetterState.FAILED

    session.flush()
    assert fresh(session, row).give_up_at == end


def test_a_letter_that_is_given_up_has_failed_with_its_last_reason(session: Session) -> None:
    row = letter(session, give_up_at=NOW, tries=1)

    assert retrying(session, claim(session)) == LetterState.FAILED

    session.flush()
    fresh(session, row)
    assert (row.state, row.ended_at, row.last_error, row.lease_token) == (LetterState.FAILED, NOW, "450", None)


# --- the channel -----------------------------------------------------------------------------------------------------


def test_a_fault_of_the_channel_leaves_the_tries_of_the_letter_alone(session: Session) -> None:
    row = letter(session)

    pausing(session, claim(session))
    session.flush()

    fresh(session, row)
    assert (row.state, row.tries, row.give_up_at, row.due_at) == (
        LetterState.QUEUED,
        0,
        NOW + outbox.GIVE_UP_AFTER,
        NOW,
    )


def test_a_letter_that_the_channel_keeps_back_for_forty_eight_hours_is_given_up(session: Session) -> None:
    row = letter(session)
    end = NOW + timedelta(hours=48)
    pausing(session, claim(session))
    last_chance = end - timedelta(seconds=1)

    state = outbox.pause_channel(session, claim(session, at=last_chance), "535", now=last_chance, base=0)
    assert state == LetterState.QUEUED
    assert outbox.pause_channel(session, claim(session, at=end), "535", now=end, base=0) == LetterState.FAILED

    session.flush()
    fresh(session, row)
    assert (row.state, row.ended_at, row.last_error, row.tries) == (LetterState.FAILED, end, "535", 0)


def test_a_letter_kept_back_by_the_channel_that_nobody_wants_any_more_is_withdrawn(session: Session) -> None:
    row, claimed = withdrawn_while_sending(session)
    row.give_up_at = NOW
    step(session)

    assert pausing(session, claimed) == LetterState.WITHDRAWN


def test_what_the_channel_kept_back_has_forty_eight_hours_of_its_own(session: Session) -> None:
    row = letter(session)
    pausing(session, claim(session))
    later = NOW + timedelta(hours=60)

    assert outbox.retry(session, claim(session, at=later), "451", now=later, base=0) == LetterState.QUEUED

    session.flush()
    assert fresh(session, row).give_up_at == later + timedelta(hours=48)


def test_while_the_channel_is_paused_nobody_claims(session: Session) -> None:
    row = letter(session)
    letter(session)
    pausing(session, claim(session))
    session.flush()

    assert outbox.claim(session, now=NOW + timedelta(seconds=BASE - 1), lease=LEASE) is None
    assert claim(session, at=NOW + timedelta(seconds=BASE)).id == row.id


def test_the_pause_doubles_with_every_fault_up_to_five_minutes(session: Session) -> None:
    letter(session)
    pauses = []

    for number in range(7):
        at = NOW + timedelta(hours=number)
        outbox.pause_channel(session, claim(session, at=at), "535", now=at, base=BASE)
        session.flush()
        paused = outbox.channel(session)
        assert paused is not None
        assert paused.paused_until is not None
        pauses.append((paused.paused_until - at).total_seconds())

    assert pauses == [10, 20, 40, 80, 160, 300, 300]


def test_a_fault_that_two_workers_meet_is_one_pause(session: Session) -> None:
    letter(session)
    letter(session)
    first, second = claim(session), claim(session)
    pausing(session, first)
    session.flush()

    pausing(session, second)
    session.flush()

    paused = outbox.channel(session)
    assert paused is not None
    assert (paused.faults, paused.paused_until) == (1, NOW + timedelta(seconds=BASE))


def test_with_a_short_base_a_pause_stays_short(session: Session) -> None:
    letter(session)
    at = NOW

    for _ in range(12):
        outbox.pause_channel(session, claim(session, at=at), "refused", now=at, base=0.1)
        session.flush()
        paused = outbox.channel(session)
        assert paused is not None and paused.paused_until is not None
        pause, at = paused.paused_until - at, paused.paused_until

    assert pause == timedelta(seconds=3.2)


def test_the_channel_says_what_is_wrong_with_it(session: Session) -> None:
    letter(session)

    outbox.pause_channel(session, claim(session), "535 " * 100, now=NOW, base=BASE)
    session.flush()

    paused = outbox.channel(session)
    assert paused is not None
    assert paused.reason == ("535 " * 100)[:300]


def test_a_letter_that_went_out_ends_the_fault(session: Session) -> None:
    letter(session)
    pausing(session, claim(session))
    session.flush()

    outbox.channel_works(session)
    step(session)

    working = outbox.channel(session)
    assert working is not None
    assert (working.faults, working.paused_until, working.reason) == (0, None, None)
    assert claim(session).token != ""


def test_a_channel_that_never_had_a_fault_has_no_row(session: Session) -> None:
    assert outbox.channel(session) is None


def test_two_workers_that_meet_the_first_fault_at_the_same_moment_both_give_their_letter_back(
    core: Flask, session: Session
) -> None:
    letter(session)
    letter(session)
    claimed = [claim(session), claim(session)]
    faults: list[Exception] = []

    at_once([lambda one=one: pause(core, one, faults) for one in claimed])

    assert faults == []
    assert session.scalars(select(Letter.state)).all() == [LetterState.QUEUED, LetterState.QUEUED]
    assert session.scalars(select(MailChannel.faults)).one() == 1


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [state for state in LetterState if state != LetterState.WITHDRAWN])
def test_a_letter_is_written_once_whatever_became_of_it(session: Session, state: LetterState) -> None:
    letter(session, key="confirmation:1", state=state)

    with refused(session, IntegrityError):
        letter(session, key="confirmation:1")


def test_a_withdrawn_letter_may_be_written_again(session: Session) -> None:
    letter(session, key="confirmation:1", state=LetterState.WITHDRAWN)
    letter(session, key="confirmation:1", state=LetterState.WITHDRAWN)

    assert letter(session, key="confirmation:1").state == LetterState.QUEUED


def test_a_queued_letter_is_due_at_once_and_wakes_the_worker(session: Session) -> None:
    row = session.get_one(Letter, letter(session).id)

    assert (row.state, row.due_at, row.tries) == (LetterState.QUEUED, NOW, 0)
    assert session.info["wake_worker"] is True


# --- helpers ---------------------------------------------------------------------------------------------------------


def letter(
    session: Session,
    *,
    case: Case | None = None,
    to: str = "sabine@example.com",
    due: datetime = NOW,
    state: LetterState = LetterState.QUEUED,
    **changes: Any,
) -> Letter:
    """A letter in the outbox, in the state given."""
    queued = {
        "key": new_secret(),
        "kind": "confirmation",
        "audience": Audience.CUSTOMER,
        "case_id": None if case is None else case.id,
        "to_address": to,
        "person_id": session.scalars(select(cast.Person.id).order_by(cast.Person.id)).first(),
        "message": b"Subject: x\r\n\r\nGuten Tag\r\n",
        "message_id": f"<{new_secret()}@beispielwerke.example>",
        "automatic": True,
        "promise_id": None,
    }
    later = {name: changes.pop(name) for name in set(changes) - set(queued)}
    outbox.queue(session, now=NOW, **(queued | changes))
    row = session.scalars(select(Letter).order_by(Letter.id.desc()).limit(1)).one()
    row.due_at, row.state = due, state
    row.ended_at = NOW if state in ENDED else None
    row.hold_reason = "cap" if state == LetterState.HELD else None
    row.lease_token = "token" if state == LetterState.SENDING else None
    for name, value in later.items():
        setattr(row, name, value)
    session.flush()
    return row


def quiet_case(session: Session) -> Case:
    """A case whose first letters have been delivered."""
    case = open_case(session)
    deliver(session)
    return case


def claim(session: Session, *, at: datetime = NOW) -> Claimed:
    """The next letter, claimed in a transaction of its own as a worker does."""
    step(session)
    claimed = outbox.claim(session, now=at, lease=LEASE)
    assert claimed is not None
    step(session)
    return claimed


def withdrawn_while_sending(session: Session) -> tuple[Letter, Claimed]:
    """A letter whose worker has not heard of the wish to withdraw it."""
    case = quiet_case(session)
    row = letter(session, case=case)
    claimed = claim(session)
    outbox.withdraw(session, case.id, now=NOW)
    step(session)
    return row, claimed


def fresh(session: Session, row: Letter) -> Letter:
    """The row as the database has it."""
    session.flush()
    session.refresh(row)
    return row


def values(session: Session, row: Letter) -> dict[str, Any]:
    fresh(session, row)
    return {column.name: getattr(row, column.name) for column in Letter.__table__.columns}


def draws_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Every pause is as long as it may be; the bounds between which each was drawn."""
    drawn: list[tuple[float, float]] = []

    def longest(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    monkeypatch.setattr(outbox, "uniform", longest)
    return drawn


def at_once(acts: Iterable[Any]) -> None:
    """Run each in a thread of its own, all from the same moment on."""
    listed = list(acts)
    together = threading.Barrier(len(listed))

    def run(act: Any) -> None:
        together.wait()
        act()

    threads = [threading.Thread(target=run, args=(act,)) for act in listed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def claim_all(core: Flask) -> list[int]:
    """What one worker gets if it claims until nothing is left."""
    taken: list[int] = []
    with core.app_context():
        while (claimed := claim_in_own_transaction()) is not None:
            taken.append(claimed.id)
    return taken


def send_until(core: Flask, sent: list[int], count: int) -> None:
    """Claim and send until that many were sent by all together."""
    with core.app_context():
        while len(sent) < count:
            send_one(sent)


def send_one(sent: list[int]) -> None:
    claimed = claim_in_own_transaction()
    if claimed is not None:
        sent.append(claimed.id)
        with db.writing() as session:
            assert outbox.mark_sent(session, claimed, now=NOW)


def claim_in_own_transaction() -> Claimed | None:
    with db.writing() as session:
        return outbox.claim(session, now=NOW, lease=LEASE)


def pause(core: Flask, claimed: Claimed, faults: list[Exception]) -> None:
    with core.app_context():
        try:
            with db.writing() as session:
                outbox.pause_channel(session, claimed, "535", now=NOW, base=BASE)
        except Exception as fault:
            faults.append(fault)

"""Limits of the public form: networks, the site, mailboxes; and the letters that are held for staff."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import db, limits
from portal.cases import (
    addressing,
    answering,
    closing,
    delaying,
    doubtful,
    drafting,
    holding,
    linking,
    opening,
    renewing,
)
from portal.cases.errors import NotHeld, NotOpen, SiteFull, TooMany
from portal.cases.models import Case, CaseState, Doubt, Submission
from portal.config import Rate
from portal.journal.models import Kind
from portal.languages import Voice
from portal.limits import Counter
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, HoldReason, Letter, LetterState
from tests.support import cast
from tests.support.cast import TUESDAY, deliver, entries, letters, open_case, open_promises, read, refused, step, wish
from tests.support.spellings import VICTIM, spellings

OFFICE = "203.0.113.0/24"
VOICE = Voice("de", "DE", "Europe/Berlin")
HELD = (LetterState.HELD,)


@pytest.fixture(autouse=True)
def limited(core: Flask) -> Iterator[None]:
    """Five an hour of a network, eight a day of the site, three and ten letters to a mailbox."""
    settings = core.extensions["portal.settings"]
    core.extensions["portal.settings"] = replace(
        settings,
        form_limit=(Rate(5, 3600), Rate(7, 86400)),
        site_limit=(Rate(8, 86400),),
        mail_cap=(Rate(3, 3600), Rate(10, 86400)),
    )
    yield
    core.extensions["portal.settings"] = settings


def send(
    session: Session, *, network: str = OFFICE, at: datetime = TUESDAY, key: str | None = None, **changes: str
) -> Case:
    """The public form, sent from a network."""
    asked = wish(session, **{"email": f"{new_secret()}@kunde.example", **changes})
    sent = {"key": key or new_secret(), "body_hash": ""}
    submission = opening.accept(session, asked, **sent, doubt=None, now=at, network=network)
    step(session)
    return session.get_one(Case, submission.case_id)


def held_case(session: Session) -> Case:
    """The fourth case of the hour for one mailbox."""
    for number in range(3):
        send(session, email=VICTIM, network=f"10.0.{number}.0/24")
    deliver(session)
    return send(session, email=VICTIM, network="10.0.9.0/24")


def renewed(session: Session, *, now: datetime) -> None:
    """The worker writes anew what is no longer true."""
    while (letter_id := outbox.outdated(session, now=now)) is not None:
        renewing.renew(session, letter_id, now=now)
        session.flush()


# --- networks --------------------------------------------------------------------------------------------------------


def test_a_network_is_refused_above_its_limit_with_the_seconds_until_the_next_hour(session: Session) -> None:
    taken = [send(session) for _ in range(5)]

    assert {case.state for case in taken} == {CaseState.OPEN}
    with pytest.raises(TooMany) as refusal, session.begin_nested():
        send(session)
    assert refusal.value.seconds == 48 * 60  # it is 9:12


def test_another_network_is_not_concerned(session: Session) -> None:
    for _ in range(5):
        send(session)

    assert send(session, network="198.51.100.0/24").state == CaseState.OPEN


def test_what_was_refused_uses_up_nothing_of_the_day(session: Session) -> None:
    for _ in range(5):
        send(session)
    for _ in range(9):
        with refused(session, TooMany):
            send(session)

    later = TUESDAY + timedelta(hours=1)
    assert [send(session, at=later).state for _ in range(2)] == [CaseState.OPEN] * 2
    with pytest.raises(TooMany) as refusal, session.begin_nested():
        send(session, at=later)
    assert refusal.value.seconds == 14 * 3600 + 48 * 60  # at 10:12 until 1:00 in Germany: midnight UTC


def test_the_second_press_of_the_last_that_was_taken_gets_its_answer(session: Session) -> None:
    for _ in range(4):
        send(session)
    last = send(session, key="the-key-of-the-last-one")

    again = opening.keep(
        session,
        drafting.draft(session, wish(session), doubt=None, now=TUESDAY),
        key="the-key-of-the-last-one",
        body_hash="",
        network=OFFICE,
    )

    assert again.case_id == last.id


def test_what_fails_is_not_counted(session: Session) -> None:
    with pytest.raises(ZeroDivisionError), session.begin_nested():
        send_and_fail(session)

    assert len([send(session) for _ in range(5)]) == 5


def send_and_fail(session: Session) -> None:
    drafted = drafting.draft(session, wish(session), doubt=None, now=TUESDAY)
    opening.keep(session, drafted, key=new_secret(), body_hash="", network=OFFICE)
    raise ZeroDivisionError


def test_many_at_the_same_moment_are_taken_exactly_as_many_as_may_be(core: Flask, people: dict[str, int]) -> None:
    def one(_: int) -> bool:
        with core.app_context():
            with db.reading() as session:
                asked = wish(session, email=f"{new_secret()}@kunde.example")
                drafted = drafting.draft(session, asked, doubt=None, now=TUESDAY)
            try:
                with db.writing() as session:
                    opening.keep(session, drafted, key=new_secret(), body_hash="", network=OFFICE)
            except TooMany:
                return False
            return True

    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(one, range(20)))

    assert taken.count(True) == 5
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Case)) == 5
        assert session.scalar(select(func.count()).where(Letter.kind == LetterKind.CONFIRMATION)) == 5


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2ff::1", "2001:db8:1:200::/56"),
        ("2001:db8:1:2aa:ffff::1", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("", "unknown"),
        (None, "unknown"),
        ("evil, 203.0.113.9", "unknown"),
    ],
)
def test_an_address_belongs_to_a_network(address: str | None, network: str) -> None:
    assert limits.network_of(address) == network


# --- the site --------------------------------------------------------------------------------------------------------


def test_above_the_sites_limit_entries_are_kept_in_doubt_and_nobody_outside_is_written_to(session: Session) -> None:
    cases = [send(session, network=f"10.0.{number}.0/24") for number in range(16)]

    assert [case.state for case in cases] == [CaseState.OPEN] * 8 + [CaseState.RECEIVED] * 8
    assert {case.doubt for case in cases[8:]} == {Doubt.LIMITS}
    assert all(not letters(session, case, audience=Audience.CUSTOMER) for case in cases[8:])
    assert read(letters(session, cases[8], LetterKind.STAFF_DOUBTFUL)[0]).text.count("mehr Nachrichten") == 1
    with refused(session, SiteFull):  # and not: from your network
        send(session, network="10.0.99.0/24")


def test_the_first_look_writes_nothing_and_says_the_same(session: Session) -> None:
    for _ in range(5):
        send(session)
    before = session.scalars(select(Counter.n).order_by(Counter.name)).all()

    with pytest.raises(TooMany):
        opening.limiting.refuse_if_full(session, OFFICE, now=TUESDAY)
    opening.limiting.refuse_if_full(session, "198.51.100.0/24", now=TUESDAY)

    assert session.scalars(select(Counter.n).order_by(Counter.name)).all() == before


# --- mailboxes -------------------------------------------------------------------------------------------------------


def test_fifty_spellings_of_one_victim_get_three_letters_and_fifty_cases(session: Session, core: Flask) -> None:
    core.extensions["portal.settings"] = replace(core.extensions["portal.settings"], site_limit=(Rate(99, 86400),))
    for number, spelling in enumerate(spellings(50)):
        send(session, email=spelling, network=f"10.0.{number}.0/24")

    to_customers = select(Letter.state, func.count()).where(Letter.audience == Audience.CUSTOMER).group_by(Letter.state)
    assert dict(session.execute(to_customers).all()) == {LetterState.QUEUED: 3, LetterState.HELD: 47}
    assert session.scalar(select(func.count()).where(Case.state == CaseState.OPEN)) == 50


def test_a_case_whose_letter_is_held_is_like_any_other_and_staff_are_told(session: Session) -> None:
    case = held_case(session)

    (letter,) = letters(session, case, states=HELD)
    assert (letter.kind, letter.hold_reason) == (LetterKind.CONFIRMATION, HoldReason.MAILBOX_CAP)
    assert case.state == CaseState.OPEN and len(open_promises(session, case)) == 1
    assert letters(session, case, LetterKind.STAFF_NEW_CASE)
    (row,) = holding.held(session, voice=VOICE, now=TUESDAY)
    assert (row.reference, row.kind, row.late) == (case.reference, LetterKind.CONFIRMATION, False)
    assert row.decide_by_at > TUESDAY
    assert holding.held(session, voice=VOICE, now=row.decide_by_at)[0].late


def test_an_hour_later_the_mailbox_may_be_written_to_again(session: Session) -> None:
    held_case(session)

    case = send(session, email=VICTIM, at=TUESDAY + timedelta(hours=1))

    assert letters(session, case, LetterKind.CONFIRMATION)


def test_a_corrected_address_counts_for_the_new_mailbox(session: Session) -> None:
    held_case(session)
    case = send(session, network="10.1.0.0/24")
    submission = session.scalars(select(Submission).where(Submission.case_id == case.id)).one()

    addressing.correct_address(session, submission, spellings(9)[-1], now=TUESDAY)
    step(session)

    assert letters(session, case, LetterKind.CONFIRMATION) == []
    assert len(letters(session, case, LetterKind.CONFIRMATION, states=HELD)) == 1


def test_the_link_counts_for_the_mailbox_and_is_dropped_above_its_cap(session: Session) -> None:
    case = send(session, email=VICTIM)
    for hour in (0, 0, 0):
        linking.wish_link(session, VICTIM, network="10.9.9.0/24", now=TUESDAY + timedelta(hours=hour))
        assert linking.answer_wish(session, now=TUESDAY)
        step(session)

    assert len(letters(session, case, LetterKind.LINK)) == 2  # with the confirmation three
    assert letters(session, case, states=HELD) == []


def test_a_network_asks_for_links_as_often_as_it_may_send(session: Session) -> None:
    for number in range(9):
        linking.wish_link(session, f"m{number}@kunde.example", network=OFFICE, now=TUESDAY)

    assert sum(linking.answer_wish(session, now=TUESDAY) for _ in range(9)) == 5


def test_letters_nobody_asked_for_are_held_too_and_what_a_colleague_writes_goes_out(session: Session) -> None:
    case = held_case(session)
    promise = open_promises(session, case)[0]
    delaying.give_notice(session, case, now=promise.notice_at)
    step(session)
    assert [letter.hold_reason for letter in letters(session, case, LetterKind.DELAY_NOTICE, states=HELD)] == [
        HoldReason.CASE_HELD
    ]

    assert case.owner_id is not None
    answering.reply(session, case, by_id=case.owner_id, text="Gern.", keeps=set(), step=None, now=promise.notice_at)
    step(session)

    (reply,) = letters(session, case, LetterKind.REPLY)
    claimed = [outbox.claim(session, now=promise.notice_at, lease=timedelta(minutes=5)) for _ in range(9)]
    assert reply.id in [one.id for one in claimed if one is not None]


def test_released_it_is_written_with_the_truth_of_then(session: Session, people: dict[str, int]) -> None:
    case = held_case(session)
    moved = TUESDAY + timedelta(days=1)
    delaying.give_notice(session, case, now=open_promises(session, case)[0].notice_at)
    step(session)

    holding.release(session, case, by_id=people["Miriam Albrecht"], now=moved)
    step(session)
    renewed(session, now=moved)
    step(session)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    due = VOICE.moment(open_promises(session, case)[0].due_at, now=moved)
    assert due in read(letter).text and (letter.state, letter.hold_reason) == (LetterState.QUEUED, None)
    assert f"/s/{cast.link_in(letter)}/not-me" in read(letter).text
    assert len(entries(session, case, Kind.LETTER_RELEASED)) == 1
    assert holding.held(session, voice=VOICE, now=moved) == []
    with refused(session, NotHeld):
        holding.release(session, case, by_id=people["Miriam Albrecht"], now=moved)


def test_released_after_the_link_was_replaced_it_holds_the_new_link_alone(
    session: Session, people: dict[str, int]
) -> None:
    case = held_case(session)
    (letter,) = letters(session, case, states=HELD)
    old = cast.link_in(letter)
    linking.replace_link(session, case, now=TUESDAY)
    step(session)

    holding.release(session, case, by_id=people["Miriam Albrecht"], now=TUESDAY)
    step(session)
    renewed(session, now=TUESDAY)
    step(session)

    (letter,) = letters(session, case, LetterKind.CONFIRMATION)
    assert old not in read(letter).everything


def test_dropped_it_is_not_sent_and_the_promise_stands(session: Session, people: dict[str, int]) -> None:
    case = held_case(session)

    holding.drop(session, case, by_id=people["Miriam Albrecht"], now=TUESDAY)
    step(session)

    assert letters(session, case, LetterKind.CONFIRMATION, states=tuple(LetterState))[0].state == LetterState.WITHDRAWN
    assert case.state == CaseState.OPEN and open_promises(session, case)
    assert len(entries(session, case, Kind.LETTER_DROPPED)) == 1


def test_a_case_nobody_outside_knows_of_can_be_discarded_and_released(session: Session, people: dict[str, int]) -> None:
    case, by_id = held_case(session), people["Miriam Albrecht"]

    doubtful.discard(session, case, by_id=by_id, now=TUESDAY)
    step(session)
    assert (case.state, letters(session, case, states=HELD)) == (CaseState.SPAM, [])

    doubtful.release(session, case, by_id=by_id, now=TUESDAY)
    step(session)
    assert case.state == CaseState.OPEN
    assert len(letters(session, case, LetterKind.CONFIRMATION)) == 1


def test_a_case_whose_customer_has_a_letter_is_not_discarded(session: Session, people: dict[str, int]) -> None:
    case = send(session)

    with refused(session, NotOpen):
        doubtful.discard(session, case, by_id=people["Miriam Albrecht"], now=TUESDAY)


def test_closing_takes_a_held_letter_back(session: Session) -> None:
    case = held_case(session)
    closing.close(session, case, by_id=case.owner_id, outcome=closing.Outcome.DONE, text="Erledigt.", now=TUESDAY)
    step(session)

    assert letters(session, case, LetterKind.CONFIRMATION, states=HELD) == []


def test_staff_and_demo_are_not_counted(session: Session) -> None:
    for _ in range(9):
        open_case(session)

    assert session.scalar(select(func.count()).select_from(Counter)) == 0
    assert session.scalar(select(func.count()).where(Letter.state == LetterState.HELD)) == 0


# --- the same text ---------------------------------------------------------------------------------------------------


def test_the_same_text_from_many_networks_is_kept_in_doubt(session: Session, core: Flask) -> None:
    core.extensions["portal.settings"] = replace(core.extensions["portal.settings"], site_limit=(Rate(99, 86400),))
    text = "Wir machen Ihre Firma bekannt, schreiben Sie uns noch heute!"

    cases = [send(session, network=f"10.0.{number}.0/24", message=f"{text} {number}") for number in range(12)]
    again = send(session, network="10.0.0.0/24", message=text)

    assert [case.doubt for case in cases] == [None] * 10 + [Doubt.REPEATED] * 2
    assert again.doubt == Doubt.REPEATED


def test_the_same_text_from_one_network_is_the_networks_limit_to_see_to(session: Session) -> None:
    text = "Wir machen Ihre Firma bekannt, schreiben Sie uns noch heute!"

    assert {send(session, message=text).doubt for _ in range(5)} == {None}

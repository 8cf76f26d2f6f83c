"""Asking for the link again: the page notes the wish whatever the mailbox, the worker answers it."""

import threading
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal import db
from portal.cases import absences, addressing, closing, finding, linking, status_link, timeline
from portal.cases.directory import Directory
from portal.cases.models import Case, Doubt, LinkWish, Outcome
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.limits import Counter
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.promises.business_time import NoBusinessTime
from tests.support.cast import TUESDAY, berlin, deliver, entries, letters, link_in, open_case, read, refused, step

TEN = berlin("2026-11-24 10:00")
MAILBOX = "s.krueger@haustechnik.example"


def test_a_wish_brings_the_current_link_to_the_stored_address(session: Session) -> None:
    case = delivered_case(session)
    token = finding.status_token(case)

    ask_and_answer(session, MAILBOX)

    (letter,) = letters(session, case, LetterKind.LINK)
    assert (letter.to_address, link_in(letter)) == (MAILBOX, token)
    assert finding.by_token(session, token, now=TEN) is not None


@pytest.mark.parametrize("typed", ["S.KRUEGER@haustechnik.example", "skrueger+x@Haustechnik.example"])
def test_the_letter_goes_to_the_address_we_know_however_it_was_typed(session: Session, typed: str) -> None:
    case = delivered_case(session)

    ask_and_answer(session, typed)

    assert letters(session, case, LetterKind.LINK)[0].to_address == MAILBOX


def test_the_letter_says_what_the_customer_can_wait_for(session: Session) -> None:
    case = delivered_case(session)

    ask_and_answer(session, MAILBOX)

    mail = read(letters(session, case, LetterKind.LINK)[0])
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr." in mail.text
    assert "Sie haben nichts angefordert? Dann ist nichts zu tun" in mail.text


def test_an_unknown_mailbox_gets_nothing(session: Session) -> None:
    delivered_case(session)
    before = count(session, Letter)

    ask_and_answer(session, "somebody@else.example")

    assert count(session, Letter) == before


def test_the_page_does_the_same_for_a_known_and_an_unknown_mailbox(session: Session) -> None:
    delivered_case(session)

    linking.wish_link(session, MAILBOX, now=TEN)
    linking.wish_link(session, "somebody@else.example", now=TEN)
    session.flush()

    assert session.scalars(select(LinkWish.email_key).order_by(LinkWish.id)).all() == [
        "skrueger@haustechnik.example",
        "somebody@else.example",
    ]


def test_an_answered_wish_is_forgotten(session: Session) -> None:
    delivered_case(session)

    ask_and_answer(session, MAILBOX)

    assert count(session, LinkWish) == 0
    assert linking.answer_wish(session, now=TEN) is False


def test_the_oldest_wish_is_answered_first(session: Session) -> None:
    delivered_case(session)
    linking.wish_link(session, MAILBOX, now=TEN)
    linking.wish_link(session, "somebody@else.example", now=TEN)
    session.flush()

    assert linking.answer_wish(session, now=TEN) is True

    assert session.scalars(select(LinkWish.email_key)).all() == ["somebody@else.example"]


def test_the_link_can_be_asked_for_again(session: Session) -> None:
    """On SQLite the row of an answered wish is deleted and its number given out again."""
    case = delivered_case(session)

    for hours in range(3):
        ask_and_answer(session, MAILBOX, at=TEN + timedelta(hours=hours))
        step(session)

    assert len(letters(session, case, LetterKind.LINK)) == 3


def test_two_wishes_at_the_same_moment_are_both_answered(session: Session) -> None:
    case = delivered_case(session)
    for _ in range(2):
        ask_and_answer(session, MAILBOX)
        step(session)

    assert len(letters(session, case, LetterKind.LINK)) == 2


def test_above_the_cap_of_a_mailbox_a_wish_is_dropped(session: Session) -> None:
    delivered_case(session)

    for _ in range(5):
        linking.wish_link(session, MAILBOX, now=TEN)
    session.flush()

    assert count(session, LinkWish) == 3


def test_every_spelling_of_a_mailbox_counts_for_the_same_cap(session: Session) -> None:
    for spelling in ("s.krueger@haustechnik.example", "skrueger@haustechnik.example", "SKRUEGER+a@haustechnik.example"):
        linking.wish_link(session, spelling, now=TEN)
        linking.wish_link(session, spelling, now=TEN)
    session.flush()

    assert count(session, LinkWish) == 3


def test_the_cap_of_one_mailbox_is_not_that_of_another(session: Session) -> None:
    for _ in range(4):
        linking.wish_link(session, MAILBOX, now=TEN)
    linking.wish_link(session, "somebody@else.example", now=TEN)
    session.flush()

    assert count(session, LinkWish) == 4


def test_an_hour_later_the_mailbox_may_ask_again(session: Session) -> None:
    for _ in range(4):
        linking.wish_link(session, MAILBOX, now=TEN)
    linking.wish_link(session, MAILBOX, now=TEN + timedelta(hours=1))
    session.flush()

    assert count(session, LinkWish) == 4


def test_the_counters_name_nobody(session: Session) -> None:
    linking.wish_link(session, MAILBOX, now=TEN)
    session.flush()

    names = " ".join(session.scalars(select(Counter.name)))
    assert names != ""
    assert "krueger" not in names


def test_the_three_newest_cases_get_their_links(session: Session) -> None:
    cases = [delivered_case(session) for _ in range(4)]

    ask_and_answer(session, MAILBOX)

    assert [len(letters(session, case, LetterKind.LINK)) for case in cases] == [0, 1, 1, 1]


def test_an_open_case_comes_before_newer_closed_ones(session: Session) -> None:
    still_open, *closed = [delivered_case(session)] + [closed_case(session) for _ in range(4)]

    ask_and_answer(session, MAILBOX)

    sent = [len(letters(session, case, LetterKind.LINK)) for case in (still_open, *closed)]
    assert sent == [1, 0, 0, 1, 1]


def test_a_link_that_is_sent_again_stands_in_the_journal_and_in_the_customers_history(session: Session) -> None:
    case = delivered_case(session)

    ask_and_answer(session, MAILBOX)

    (entry,) = entries(session, case, Kind.LINK_SENT)
    assert (entry.channel, entry.direction, entry.actor) == (Channel.MAIL, Direction.OUT, Actor.SYSTEM)
    newest = timeline.status_of(session, case, now=TEN).entries[0]
    assert (newest.kind, newest.when, newest.visible) == (Kind.LINK_SENT, "Dienstag, 24. November, 10 Uhr", True)


def test_a_wish_that_finds_no_case_leaves_no_entry(session: Session) -> None:
    case = delivered_case(session)

    ask_and_answer(session, "somebody@else.example")

    assert entries(session, case, Kind.LINK_SENT) == []


def test_a_wish_that_is_answered_while_an_absence_is_entered_waits_for_it(
    core: Flask, session: Session, people: dict[str, int]
) -> None:
    case = delivered_case(session)
    linking.wish_link(session, MAILBOX, now=TEN)
    step(session)
    miriam = people["Miriam Albrecht"]
    absences.enter(session, person_id=miriam, starts_at=TEN, ends_at=None, deputy_id=None, by_id=miriam, now=TEN)

    def answer() -> None:
        with core.app_context(), db.writing() as other:
            linking.answer_wish(other, now=TEN)

    answering = threading.Thread(target=answer)
    answering.start()
    answering.join(timeout=0.5)
    assert answering.is_alive(), "it waits for the absence"
    step(session)
    answering.join()

    (letter,) = letters(session, case, LetterKind.LINK)
    assert not read(letter).sender.startswith("Miriam Albrecht")


def test_a_case_that_cannot_be_written_about_keeps_no_other_from_its_link(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = delivered_case(session), delivered_case(session)
    break_letters_of(broken, monkeypatch)

    ask_and_answer(session, MAILBOX)

    assert [len(letters(session, case, LetterKind.LINK)) for case in (broken, whole)] == [0, 1]
    assert entries(session, broken, Kind.LINK_SENT) == []
    assert "link not sent" in caplog.text
    assert f"'case': {broken.id}" in caplog.text
    assert MAILBOX not in caplog.text


def test_a_wish_that_fails_is_dropped_and_the_next_one_answered(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = delivered_case(session), open_case(session, email="somebody@else.example")
    break_letters_of(broken, monkeypatch)
    linking.wish_link(session, MAILBOX, now=TEN)
    linking.wish_link(session, "somebody@else.example", now=TEN)
    step(session)

    while linking.answer_wish(session, now=TEN):
        step(session)

    assert count(session, LinkWish) == 0
    assert len(letters(session, whole, LetterKind.LINK)) == 1


def test_a_wish_whose_mailbox_cannot_be_looked_up_is_dropped_too(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delivered_case(session)
    monkeypatch.setattr(linking, "_cases_of", Mock(side_effect=KeyError(MAILBOX)))

    ask_and_answer(session, MAILBOX)

    assert count(session, LinkWish) == 0
    assert "link wish not answered" in caplog.text
    assert MAILBOX not in caplog.text


def test_a_busy_database_is_no_fault_of_the_wish(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    delivered_case(session)
    monkeypatch.setattr(status_link, "send_link", Mock(side_effect=OperationalError("", None, Exception())))

    with refused(session, OperationalError):
        ask_and_answer(session, MAILBOX)


def test_no_link_follows_what_somebody_else_does_at_the_same_moment(core: Flask, session: Session) -> None:
    """The wish waits for whoever has the case in hand, and then looks at what became of it."""
    case = delivered_case(session)
    linking.wish_link(session, MAILBOX, now=TEN)
    step(session)

    def answer() -> None:
        with core.app_context(), db.writing() as other:
            linking.answer_wish(other, now=TEN)

    addressing.not_me(session, case, now=TEN)
    session.flush()
    worker = threading.Thread(target=answer)
    worker.start()
    worker.join(timeout=0.5)
    step(session)
    worker.join()

    assert letters(session, case, LetterKind.LINK) == []
    assert count(session, LinkWish) == 0


def test_a_closed_case_gets_its_link_with_the_date_until_which_it_can_be_reopened(session: Session) -> None:
    case = closed_case(session)

    ask_and_answer(session, MAILBOX, at=berlin("2026-12-01 10:00"))

    assert "Bis Dienstag, 8. Dezember, können Sie ihn" in read(letters(session, case, LetterKind.LINK)[0]).text


def test_after_that_date_the_letter_says_that_a_message_begins_a_new_case(session: Session) -> None:
    case = closed_case(session)

    ask_and_answer(session, MAILBOX, at=berlin("2027-01-12 10:00"))

    assert "beginnt damit ein neuer Vorgang" in read(letters(session, case, LetterKind.LINK)[0]).text


def test_a_case_closed_more_than_ninety_days_ago_gets_nothing(session: Session) -> None:
    case = closed_case(session)

    ask_and_answer(session, MAILBOX, at=berlin("2027-02-23 10:00"))

    assert letters(session, case, LetterKind.LINK) == []


@pytest.mark.parametrize("at", ["2027-02-22 09:00", "2027-02-22 23:00"])
def test_as_long_as_the_link_works_it_can_be_asked_for(session: Session, at: str) -> None:
    case = closed_case(session)
    found = finding.by_token(session, finding.status_token(case), now=berlin(at))

    ask_and_answer(session, MAILBOX, at=berlin(at))

    assert found is not None
    assert (found.expired, len(letters(session, case, LetterKind.LINK))) == (False, 1)


def test_an_entry_in_doubt_gets_nothing(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.HONEYPOT)

    ask_and_answer(session, MAILBOX)

    assert letters(session, entry, LetterKind.LINK) == []


def test_a_mailbox_that_denied_the_case_gets_nothing(session: Session) -> None:
    case = delivered_case(session)
    addressing.not_me(session, case, now=TUESDAY)
    step(session)

    ask_and_answer(session, MAILBOX)

    assert letters(session, case, LetterKind.LINK) == []


def delivered_case(session: Session) -> Case:
    case = open_case(session)
    deliver(session)
    return case


def closed_case(session: Session) -> Case:
    """A case closed on Tuesday, 24 November."""
    case = delivered_case(session)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    step(session)
    return case


def ask_and_answer(session: Session, mailbox: str, *, at: datetime = TEN) -> None:
    """Somebody asks, and the worker answers."""
    linking.wish_link(session, mailbox, now=at)
    session.flush()
    assert linking.answer_wish(session, now=at)
    session.flush()


def break_letters_of(broken: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the link of this case cannot be sent."""
    broken_id, send = broken.id, status_link.send_link

    def send_or_break(session: Session, directory: Directory, case: Case, **how: Any) -> None:
        send(session, directory, case, **how)
        if case.id == broken_id:
            raise NoBusinessTime(MAILBOX)

    monkeypatch.setattr(status_link, "send_link", send_or_break)


def count(session: Session, model: type[LinkWish] | type[Letter]) -> int:
    return session.scalars(select(func.count()).select_from(model)).one()

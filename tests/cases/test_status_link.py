"""The status link: how long it works, and how the customer has it replaced."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import answering, finding, linking
from portal.cases.errors import NotOpen
from portal.cases.models import Doubt
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, LetterState
from tests.support.cast import berlin, deliver, kinds_of, letters, link_in, open_case, read, refused, step
from tests.support.deeds import TEN, close, closed_case, delivered_case, give_result


def test_the_link_of_an_open_case_never_expires(session: Session) -> None:
    case = delivered_case(session)

    found = finding.by_token(session, finding.status_token(case), now=TEN + timedelta(days=400))

    assert found is not None
    assert found.expired is False


def test_the_link_works_for_ninety_days_after_closing(session: Session) -> None:
    case = closed_case(session)
    token = finding.status_token(case)

    last_day = finding.by_token(session, token, now=berlin("2027-02-22 23:59"))
    day_after = finding.by_token(session, token, now=berlin("2027-02-23 00:01"))

    assert last_day is not None
    assert day_after is not None
    assert (last_day.expired, day_after.expired) == (False, True)


@pytest.mark.parametrize("token", ["", "x", "nonsense.nonsense", "a.b.c"])
def test_a_bad_link_finds_nothing(session: Session, token: str) -> None:
    delivered_case(session)

    assert finding.by_token(session, token, now=TEN) is None


def test_replacing_the_link_kills_the_old_one_and_mails_the_new(session: Session) -> None:
    case = delivered_case(session)
    old = finding.status_token(case)

    linking.replace_link(session, case, now=TEN)
    step(session)

    (letter,) = letters(session, case, LetterKind.LINK)
    found = finding.by_token(session, link_in(letter), now=TEN)
    assert finding.by_token(session, old, now=TEN) is None
    assert found is not None
    assert found.case is case
    assert "frühere Links gelten nicht mehr" in read(letter).text


def test_no_unsent_letter_leaves_with_the_old_link(session: Session) -> None:
    case = open_case(session)

    linking.replace_link(session, case, now=TEN)
    step(session)

    confirmation, link = letters(session, case, audience=Audience.CUSTOMER)
    assert (confirmation.kind, confirmation.valid_until) == (LetterKind.CONFIRMATION, TEN)  # written anew with the new
    assert link.kind == LetterKind.LINK
    assert "antwortet bis Mittwoch, 25. November, 16:30 Uhr" in read(link).text


def test_what_a_letter_with_the_old_link_was_to_say_is_written_once_more(session: Session) -> None:
    case = delivered_case(session)
    give_result(session, case)

    linking.replace_link(session, case, now=TEN)
    step(session)

    link, promise = letters(session, case, audience=Audience.CUSTOMER, states=(LetterState.QUEUED,))
    assert (link.kind, promise.kind) == (LetterKind.LINK, LetterKind.PROMISE_GIVEN)
    assert "bis Freitag, 27. November, 12 Uhr" in read(promise).text
    assert link_in(link) == link_in(promise) == finding.status_token(case)


def test_what_was_said_before_is_not_written_again_with_the_new_link(session: Session) -> None:
    case = delivered_case(session)
    give_result(session, case)
    deliver(session)

    linking.replace_link(session, case, now=TEN)

    assert kinds_of(letters(session, case, states=(LetterState.QUEUED,))) == [LetterKind.LINK]


def test_the_letter_with_the_link_names_the_first_date_that_has_not_passed(session: Session) -> None:
    case = delivered_case(session)
    give_result(session, case)
    deliver(session)

    linking.replace_link(session, case, now=berlin("2026-11-26 10:00"))

    assert "bis Freitag, 27. November, 12 Uhr" in read(letters(session, case, LetterKind.LINK)[0]).text


def test_the_new_link_of_a_closed_case_says_until_when_it_can_be_reopened(session: Session) -> None:
    case = closed_case(session)
    deliver(session)

    linking.replace_link(session, case, now=TEN)

    assert "Bis Dienstag, 8. Dezember, können Sie ihn" in read(letters(session, case, LetterKind.LINK)[0]).text


@pytest.mark.parametrize("by_customer", [True, False], ids=["by the customer", "by us"])
def test_a_closing_that_no_letter_has_told_yet_is_written_again_with_the_new_link(
    session: Session, by_customer: bool
) -> None:
    case = delivered_case(session)
    close(session, case, text="Das Angebot liegt bei.", by_customer=by_customer)
    step(session)
    (before,) = letters(session, case, LetterKind.CLOSED)
    told = read(before).text.replace(link_in(before), "")

    for _ in range(2):
        linking.replace_link(session, case, now=TEN)
        step(session)

    (letter,) = letters(session, case, LetterKind.CLOSED)
    assert link_in(letter) == finding.status_token(case)
    assert read(letter).text.replace(link_in(letter), "") == told


def test_a_closing_letter_that_is_being_sent_is_written_again_with_the_new_link(session: Session) -> None:
    case = closed_case(session)
    (sending,) = letters(session, case, LetterKind.CLOSED)
    sending.state, sending.lease_token = LetterState.SENDING, "token"
    step(session)

    linking.replace_link(session, case, now=TEN)

    assert len(letters(session, case, LetterKind.CLOSED)) == 2


def test_a_closing_that_was_told_is_not_written_again(session: Session) -> None:
    case = closed_case(session)
    deliver(session)

    linking.replace_link(session, case, now=TEN)

    assert kinds_of(letters(session, case, states=(LetterState.QUEUED,))) == [LetterKind.LINK]


def test_an_answer_that_waits_goes_out_although_the_link_is_replaced(session: Session) -> None:
    case = delivered_case(session)
    answering.reply(session, case, by_id=case.owner_id, text="Ja.", keeps=(), step=None, now=TEN)

    linking.replace_link(session, case, now=TEN)
    step(session)

    waiting = letters(session, case, audience=Audience.CUSTOMER, states=(LetterState.QUEUED,))
    assert kinds_of(waiting) == [LetterKind.REPLY, LetterKind.LINK]


def test_the_link_can_be_replaced_more_than_once(session: Session) -> None:
    case = delivered_case(session)

    tokens = [finding.status_token(case)]
    for _ in range(2):
        linking.replace_link(session, case, now=TEN)
        step(session)
        tokens.append(finding.status_token(case))

    found = [finding.by_token(session, token, now=TEN) is not None for token in tokens]
    assert found == [False, False, True]


def test_an_entry_that_is_no_case_has_no_link_to_replace(session: Session) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)

    with refused(session, NotOpen):
        linking.replace_link(session, entry, now=TEN)

    assert letters(session, entry, LetterKind.LINK) == []

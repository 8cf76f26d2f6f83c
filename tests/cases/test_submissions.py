"""Submissions: what was accepted once is never accepted twice."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.cases import submissions
from portal.cases.errors import KeyReused
from portal.cases.models import Submission
from tests.support.cast import TUESDAY, refused, send_form, step

DAY = timedelta(days=1)


def test_a_kept_key_is_found_with_the_same_body(session: Session) -> None:
    kept = keep(session, "one")

    found = submissions.find(session, "one", "body")

    assert found is not None and found.answer == kept.answer


def test_an_unknown_key_is_not_found(session: Session) -> None:
    keep(session, "one")

    assert submissions.find(session, "two", "body") is None


def test_a_key_with_another_body_is_refused(session: Session) -> None:
    keep(session, "one")

    with refused(session, KeyReused):
        submissions.find(session, "one", "another body")


def test_a_key_cannot_be_kept_twice(session: Session) -> None:
    keep(session, "one")

    with refused(session, IntegrityError):
        keep(session, "one")


def test_the_same_key_may_come_again_once_it_is_forgotten(session: Session) -> None:
    keep(session, "one")
    submissions.forget(session, now=TUESDAY + 3 * DAY)
    step(session)

    assert submissions.find(session, "one", "another body") is None


@pytest.mark.parametrize(("age", "remembered"), [(2 * DAY, True), (2 * DAY + timedelta(seconds=1), False)])
def test_a_key_is_remembered_for_two_days(session: Session, age: timedelta, remembered: bool) -> None:
    keep(session, "one")

    submissions.forget(session, now=TUESDAY + age)
    step(session)

    assert (session.get(Submission, "one") is not None) is remembered


@pytest.mark.parametrize(("age", "there"), [(DAY - timedelta(seconds=1), True), (DAY, False)])
def test_the_thank_you_page_lives_for_a_day(session: Session, age: timedelta, there: bool) -> None:
    submission = send_form(session)

    assert (submissions.by_answer(session, submission.answer, now=TUESDAY + age) is not None) is there


def test_only_the_contact_form_has_a_thank_you_page(session: Session) -> None:
    other = keep(session, "one", purpose="message")

    assert submissions.by_answer(session, other.answer, now=TUESDAY) is None


def test_an_answer_nobody_got_leads_nowhere(session: Session) -> None:
    send_form(session)

    assert submissions.by_answer(session, "made-up", now=TUESDAY) is None


def test_the_address_of_the_thank_you_page_is_not_the_key(session: Session) -> None:
    submission = send_form(session, key="one")

    assert submission.answer != "one"
    assert len(submission.answer) >= 22


def keep(session: Session, key: str, *, purpose: str = "contact") -> Submission:
    kept = submissions.keep(session, key=key, purpose=purpose, body_hash="body", case_id=None, now=TUESDAY)
    session.flush()
    return kept

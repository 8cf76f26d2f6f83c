"""A confirmation that may have come, was written anew and then taken back: the oracle knows it by its case.

The relay has it under its first Message-ID and never said so; its date is given up before the next try, so it is
written anew under another one; the customer, who has the link, closes the case, and what waits is withdrawn.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.cases import closing, delaying, renewing
from portal.cases.models import Case, Outcome
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise
from tests.faults.oracles import mailing
from tests.faults.oracles.mailing import Taken
from tests.support import cast
from tests.support.cast import TUESDAY, step

applications, core, database_url, people = cast.applications, cast.core, cast.database_url, cast.people
furnished_postgresql, furnished_sqlite, session = cast.furnished_postgresql, cast.furnished_sqlite, cast.session


@pytest.fixture
def case(session: Session) -> Case:
    """The case, closed; its confirmation was withdrawn under another Message-ID than it began with."""
    case = cast.open_case(session)
    first = confirmation(session).message_id
    promise = session.scalars(select(Promise)).one()
    promise.notice_at = TUESDAY + timedelta(seconds=1)
    claimed = outbox.claim(session, now=TUESDAY, lease=timedelta(seconds=4))
    step(session)
    assert claimed is not None
    delaying.give_notice(session, case, now=TUESDAY + timedelta(seconds=2))
    step(session)
    outbox.retry(session, claimed, "it may have taken the letter", now=TUESDAY + timedelta(seconds=3), base=0.1)
    step(session)
    renewing.renew(session, claimed.id, now=TUESDAY + timedelta(seconds=4))
    step(session)
    assert confirmation(session).message_id != first
    now = TUESDAY + timedelta(seconds=5)
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", version=None, now=now)
    step(session)
    assert confirmation(session).state == LetterState.WITHDRAWN
    return case


def confirmation(session: Session) -> Letter:
    """The one there is."""
    return session.scalars(select(Letter).where(Letter.kind == LetterKind.CONFIRMATION)).one()


def under_its_first_id(case: Case) -> Taken:
    """The line of the relay's log."""
    email = case.customer.email or ""
    return Taken(1.0, "<first@house>", email, LetterKind.CONFIRMATION, case.reference, "hang_after_dot", True, "/s/…")


def test_it_came_and_is_a_letter_of_ours(session: Session, case: Case) -> None:
    wrong, figures = mailing.letters_came(session, [], mailing.sent_ids(session), [under_its_first_id(case)])

    assert (wrong, figures) == ([], {"taken_and_written_anew": 1})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"stored": False}, "the confirmation is withdrawn and did not come (O3)", id="never stored"),
        pytest.param({"case": "ZZZ-ZZZ"}, "a letter confirmation that no row knows (O4)", id="of a case that is none"),
        pytest.param({"recipient": "eve@example.org"}, "a letter confirmation to somebody else (O4)", id="astray"),
    ],
)
def test_what_is_really_wrong_is_still_found(
    session: Session, case: Case, changed: dict[str, object], says: str
) -> None:
    line = replace(under_its_first_id(case), **changed)  # type: ignore[arg-type]  # a field each

    wrong, _ = mailing.letters_came(session, [], mailing.sent_ids(session), [line])

    assert any(says in fault for fault in wrong)

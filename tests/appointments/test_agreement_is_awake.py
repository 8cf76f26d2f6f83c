"""The helper that holds all places together is awake: an old time in one of them, and it names that place alone.

Each place is asked through the program's own reader, so what is planted is a reader that still gives the old answer, or
a letter that still waits.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.appointments.models import Appointment
from portal.cases import agreeing, call_list, feeding, on_hold, staff_view, timeline, worklist
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from tests.support import agreement
from tests.support.agreed import FRIDAY_TEN, THURSDAY_TEN, agreed_case, booked
from tests.support.cast import TUESDAY, deliver, step

NOW = TUESDAY + timedelta(minutes=5)
TIMES = ("starts_at", "ends_at", "busy_from", "busy_until", "outcome_due_at")
Plant = Callable[[Session, Case, pytest.MonkeyPatch], None]


def moved(session: Session) -> Case:
    """A call that was agreed for Thursday and moved to Friday; the letters about Thursday have left."""
    case = agreed_case(session)
    agreeing.move(session, case, starts_at=FRIDAY_TEN, version=booked(session, case).version, by_id=None, now=NOW)
    step(session)
    return case


def named(session: Session, case: Case, now: datetime = NOW) -> set[str]:
    """The places that the helper names."""
    return {said.partition(":")[0] for said in agreement.disagreements(session, case, now=now)}


def frozen_answer(session: Session, module: Any, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that lives a day earlier: the row is put back while it reads."""
    real = getattr(module, reader)

    def of_before(*arguments: Any, **named_arguments: Any) -> Any:
        with session.begin_nested() as before:
            for row in session.scalars(select(Appointment)):
                for time in TIMES:
                    setattr(row, time, getattr(row, time) - timedelta(days=1))
            session.flush()
            answer = real(*arguments, **named_arguments)
            before.rollback()
        return answer

    monkeypatch.setattr(module, reader, of_before)


def page_of_before(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_answer(session, timeline, "status_of", monkeypatch)


def case_page_of_before(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_answer(session, staff_view, "case_file", monkeypatch)


def worklist_of_before(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    real = worklist.worklist

    def of_before(*arguments: Any, **named_arguments: Any) -> Any:
        rows = real(*arguments, **named_arguments)
        return [replace(row, kind=worklist.APPOINTMENT, due_at=THURSDAY_TEN) for row in rows]

    monkeypatch.setattr(worklist, "worklist", of_before)


def worklist_with_both(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    real = worklist.worklist
    monkeypatch.setattr(worklist, "worklist", lambda *given, **named: [*real(*given, **named)] * 2)


def call_list_of_before(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_answer(session, call_list, "call_list", monkeypatch)


def call_list_with_both(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new line is there, and the old day keeps its own as if nothing had happened."""
    real = call_list.call_list

    def with_both(session: Session, *, day: Any, **given: Any) -> Any:
        if day == FRIDAY_TEN.date():
            return real(session, day=day, **given)
        friday = real(session, day=FRIDAY_TEN.date(), **given)
        return replace(friday, lines=tuple(replace(line, starts_at=THURSDAY_TEN) for line in friday.lines))

    monkeypatch.setattr(call_list, "call_list", with_both)


def feed_of_before(session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_answer(session, feeding, "feed", monkeypatch)


def feed_of_nobody(_session: Session, _case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    real = feeding.feed
    long_ago = timedelta(days=365)
    monkeypatch.setattr(feeding, "feed", lambda session, person_id, now: real(session, person_id, now=now - long_ago))


def feed_of_somebody_else(session: Session, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    real, keeper_id = feeding.feed, booked(session, case).person_id
    monkeypatch.setattr(feeding, "feed", lambda session, _person_id, now: real(session, keeper_id, now=now))


def letter_that_waits(session: Session, case: Case, _monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that agreed on Thursday had not left yet, and nobody took it back."""
    letter = letter_of(session, case, LetterKind.APPOINTMENT_CONFIRMED)
    letter.state, letter.ended_at = LetterState.QUEUED, None


def colleagues_letter_that_waits(session: Session, case: Case, _monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper's one about Thursday had not left yet, and nobody took it back."""
    to_keeper = select(Letter).where(Letter.case_id == case.id, Letter.kind == LetterKind.STAFF_APPOINTMENT)
    letter = session.scalars(to_keeper.order_by(Letter.id)).first()
    assert letter is not None and letter.appointment_version == 1
    letter.state, letter.ended_at = LetterState.QUEUED, None


def own_words_that_wait(session: Session, case: Case, _monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague wrote by hand while Thursday was agreed, and nobody noticed that it has moved."""
    letter = letter_of(session, case, LetterKind.APPOINTMENT_CONFIRMED)
    letter.kind, letter.automatic, letter.state, letter.ended_at = LetterKind.REPLY, False, LetterState.QUEUED, None


def letter_without_its_file(session: Session, case: Case, _monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves the entry in the customer's calendar never left."""
    lose(session, case, LetterKind.APPOINTMENT_MOVED)


def letter_with_the_old_sequence(session: Session, case: Case, _monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar program takes no file that is not newer than what it has."""
    letter = letter_of(session, case, LetterKind.APPOINTMENT_MOVED)
    message = message_from_bytes(letter.message, policy=policy.SMTP)
    for part in message.walk():
        if part.get_content_type() == "text/calendar":
            file = bytes(part.get_payload(decode=True))
            assert file.count(b"SEQUENCE:1\r\n") == 1
            part.set_payload(base64.encodebytes(file.replace(b"SEQUENCE:1\r\n", b"SEQUENCE:0\r\n")).decode())
    letter.message = message.as_bytes()


def lose(session: Session, case: Case, kind: LetterKind) -> None:
    letter = letter_of(session, case, kind)
    letter.state, letter.ended_at = LetterState.WITHDRAWN, NOW


def letter_of(session: Session, case: Case, kind: LetterKind) -> Letter:
    return session.scalars(select(Letter).where(Letter.case_id == case.id, Letter.kind == kind)).one()


PLANTED: dict[Plant, set[str]] = {
    page_of_before: {"page"},
    case_page_of_before: {"case_page"},
    worklist_of_before: {"to_do_list"},
    worklist_with_both: {"to_do_list"},
    call_list_of_before: {"call_lists"},
    call_list_with_both: {"call_lists"},
    feed_of_before: {"feeds"},
    feed_of_nobody: {"feeds"},
    feed_of_somebody_else: {"feeds"},
    letter_that_waits: {"waiting_letters"},
    colleagues_letter_that_waits: {"waiting_letters"},
    own_words_that_wait: {"waiting_letters"},
    letter_without_its_file: {"customers_calendar"},
    letter_with_the_old_sequence: {"customers_calendar"},
}


@pytest.mark.nightly_on("postgresql")
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_an_old_time_in_one_place_is_seen_there(
    session: Session, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = moved(session)
    assert named(session, case) == set()

    plant(session, case, monkeypatch)

    assert named(session, case) == PLANTED[plant]


def test_every_place_was_tried() -> None:
    assert set.union(*PLANTED.values()) == {view.__name__ for view in agreement.VIEWS}


def test_a_call_that_was_called_off_is_nowhere(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    case = moved(session)
    deliver(session, at=NOW)
    agreeing.cancel(session, case, version=booked(session, case).version, by_id=None, now=NOW)
    step(session)
    assert named(session, case) == set()

    lose(session, case, LetterKind.APPOINTMENT_CANCELLED)

    assert named(session, case) == {"customers_calendar"}


def test_a_call_on_hold_still_stands_in_each_place(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    case = moved(session)
    deliver(session, at=NOW)
    row = booked(session, case)
    on_hold.wish(session, case, by_id=row.person_id, contact=Contact.CALL_IN, text="", version=row.version, now=NOW)
    step(session)
    assert named(session, case) == set()

    frozen_answer(session, timeline, "status_of", monkeypatch)

    assert named(session, case) == {"page"}

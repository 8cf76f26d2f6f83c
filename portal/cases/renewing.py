"""Renewing: a letter that waited past the day it was written on is written anew, or dropped (section 5, rule 6).

It says the same, but who signs it, who will do what, and the next step are those of now. What is no longer true is
dropped: the step that changed it has written the truth, or will. What a person wrote by hand is never dropped, and they
sign it: only what we say below their words is that of now.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import directory as directories
from portal.cases import erasure_wishes, on_hold, reaching, signing, status_link, writing
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState, Step
from portal.cases.sparing import spared
from portal.cases.writing import Written
from portal.mail import outbox
from portal.mail.letters import (
    NAMES_WHAT_IS_AHEAD,
    NOTICES,
    RESTATED,
    TELLS_A_COLLEAGUE,
    TELLS_AN_APPOINTMENT,
    LetterKind,
)
from portal.mail.models import Letter
from portal.promises.models import Promise, PromiseState

AFTER_A_FAULT = timedelta(hours=1)
"""How long a letter waits that a fault of ours keeps from being written."""
UNTIL_A_STEP = timedelta(minutes=1)
"""How long one waits whose case has no step ahead: the worker is about to move the one that passed."""


def renew(session: Session, letter_id: int, *, now: datetime) -> None:
    """Write a letter anew that is no longer true, in its place, or drop it. The caller holds its case.

    Does nothing where another worker was faster. One that cannot be written now is put off and keeps no other waiting.
    """
    letter = outbox.take_outdated(session, letter_id, now=now)
    if letter is None:
        return
    if not spared(session, lambda: _renew(session, letter, now=now), failed="letter not renewed", letter=letter_id):
        outbox.postpone(letter, now + AFTER_A_FAULT)


def _renew(session: Session, letter: Letter, *, now: datetime) -> None:
    if letter.case_id is None:
        outbox.drop_untrue(letter, now=now)
        return
    case, kind = session.get_one(Case, letter.case_id), LetterKind(letter.kind)
    if kind.is_for_staff:
        _renew_for_staff(session, case, letter, kind, now=now)
        return
    step = _step(session, letter, kind, now=now)
    if _names_what_is_ahead(letter) and case.state == CaseState.OPEN and step is None:
        # While an agreed time is under way this takes longer than a moment, and is to hold up no later letter.
        takes_long = stepping.ahead(session, case.id, now=now) is not None
        outbox.postpone(letter, now + UNTIL_A_STEP + (outbox.SOON if takes_long else timedelta()))
        return
    directory = directories.load(session, now=now)
    is_true = _is_true(session, directory, case, letter, kind, step, now=now)
    written = _write(session, directory, case, letter, step, now=now) if is_true else None
    if written is None:
        outbox.drop_untrue(letter, now=now)
    else:
        writing.replace_in_place(letter, written, promise_id=writing.promise_id_of(step))


def _renew_for_staff(session: Session, case: Case, letter: Letter, kind: LetterKind, *, now: datetime) -> None:
    """For whoever is there for its reader now; of a step that is over nobody needs to hear any more."""
    promise = None if letter.promise_id is None else session.get_one(Promise, letter.promise_id)
    if case.state == CaseState.ERASED or (promise is not None and promise.state != PromiseState.OPEN):
        outbox.drop_untrue(letter, now=now)
        return
    appointment = _appointment(session, letter)
    step: Step | None = promise or appointment
    if appointment is not None and not _is_as_told(letter, appointment, now=now):
        if kind not in TELLS_A_COLLEAGUE or case.state != CaseState.OPEN:
            outbox.drop_untrue(letter, now=now)
            return
        step = stepping.to_name(session, case.id, now=now)
        if step is None:
            outbox.postpone(letter, now + UNTIL_A_STEP)
            return
    if kind == LetterKind.STAFF_REMINDER and promise is not None:
        outbox.drop_untrue(letter, now=now)
        promise.reminded_at, promise.remind_at = None, now  # how much time is left is another question by now
        return
    directory = directories.load(session, now=now)
    reader_id = directory.acting(letter.person_id, now, topic_id=case.topic_id).person_id
    says = writing.values_of(letter.says)
    written = writing.write_staff(directory, case, kind, step=step, says=says, reader_id=reader_id, now=now)
    writing.replace_in_place(letter, written, promise_id=writing.promise_id_of(step))


def _names_what_is_ahead(letter: Letter) -> bool:
    """Whether it names the next step, whichever that is."""
    return letter.kind in NAMES_WHAT_IS_AHEAD or not letter.automatic


def _appointment(session: Session, letter: Letter) -> Appointment | None:
    return None if letter.appointment_id is None else session.get_one(Appointment, letter.appointment_id)


def _told_of(session: Session, letter: Letter) -> Appointment | None:
    """The appointment that is on hold, or that this letter takes out of the customer's calendar; its own alone."""
    told = _appointment(session, letter) if letter.kind != LetterKind.CONFIRMATION else None
    is_told = letter.kind == LetterKind.APPOINTMENT_FROZEN
    return told if told is not None and (is_told or told.state == AppointmentState.CANCELLED) else None


def _is_as_told(letter: Letter, appointment: Appointment, *, now: datetime) -> bool:
    """Whether the appointment a letter names is still to come, as the letter says it."""
    return letter.appointment_version == appointment.version and appointments.is_to_come(appointment, now=now)


def _step(session: Session, letter: Letter, kind: LetterKind, *, now: datetime) -> Step | None:
    """The step the letter names now; None where it names none, or where what it says of its own has passed."""
    if letter.case_id is None or (letter.promise_id is None and letter.appointment_id is None):
        return None
    if kind == LetterKind.APPOINTMENT_FROZEN:
        return on_hold.step_to_agree(session, letter.case_id, now=now)
    if kind in TELLS_AN_APPOINTMENT:
        told = _appointment(session, letter)
        return told if told is not None and _is_as_told(letter, told, now=now) else None
    first = stepping.to_name(session, letter.case_id, now=now)
    also = (LetterKind.LINK, LetterKind.ERASURE, LetterKind.APPOINTMENT_CANCELLED)
    if _names_what_is_ahead(letter) or kind in also:
        return first
    says = letter.says or {}
    if "moves" in says:  # the next step of the case may be one that was not moved
        return first if any(_still_ahead(session, move, now=now) for move in says["moves"]) else None
    if letter.promise_id is None:
        told = _appointment(session, letter)
        return told if told is not None and _is_as_told(letter, told, now=now) else None
    own = session.get(Promise, letter.promise_id)
    return own if own is not None and stepping.is_ahead(own, now=now) else None


def _is_true(
    session: Session,
    directory: Directory,
    case: Case,
    letter: Letter,
    kind: LetterKind,
    step: Step | None,
    *,
    now: datetime,
) -> bool:
    if kind == LetterKind.ERASURE:
        return erasure_wishes.is_true(case, letter.says or {}, now=now)
    if kind == LetterKind.CLOSED:
        return case.state == CaseState.CLOSED
    if kind == LetterKind.LINK:
        has_a_link = case.state in (CaseState.OPEN, CaseState.CLOSED)
        return has_a_link and status_link.link_works(case, directory.voice_of(case), now=now)
    if kind == LetterKind.APPOINTMENT_FROZEN:
        told = _appointment(session, letter)
        return case.state == CaseState.OPEN and told is not None and appointments.is_on_hold(told)
    if not letter.automatic:
        return True
    return case.state == CaseState.OPEN and step is not None


def _write(
    session: Session, directory: Directory, case: Case, letter: Letter, step: Step | None, *, now: datetime
) -> Written | None:
    kind, says = LetterKind(letter.kind), writing.values_of(letter.says)
    unasked, old_due_at = writing.asked_by_nobody(letter.says)
    if kind in NOTICES:
        says, old_due_at = _noticed_as_of_now(session, directory, case, letter, says, now=now)
    elif kind == LetterKind.CLOSED:
        says |= status_link.link_day(directory, case, now=now)  # one from before it was said lacks it
    elif kind == LetterKind.LINK:
        says = status_link.link_says(directory, case, replaced=says["replaced"], now=now)
    if not letter.automatic:
        return writing.write_customer(
            directory, case, kind, step=step, now=now, says=says, by_id=letter.person_id, anew=True
        )
    return writing.write_customer(
        directory,
        case,
        kind,
        step=step,
        now=now,
        unasked=unasked or kind == LetterKind.CLOSED,  # nothing follows from it that could not wait for the morning
        old_due_at=old_due_at,
        says=says,
        appointment=_told_of(session, letter) if kind in RESTATED else _appointment(session, letter),
    )


def _noticed_as_of_now(
    session: Session, directory: Directory, case: Case, letter: Letter, says: dict[str, Any], *, now: datetime
) -> tuple[dict[str, Any], datetime]:
    """A notice's own values with the people of now, and the date it says we do not keep.

    That is the one the customer knows: notices before it may never have left.
    """
    voice = directory.voice_of(case)
    ahead = [move for move in says["moves"] if _still_ahead(session, move, now=now)]
    known = [reaching.given_up(session, _moved(session, move)) for move in ahead]
    says["moves"] = [
        {
            **move,
            "before": voice.moment(before.due_at, now=now),
            "sentence": writing.sentence(directory, case, _moved(session, move), voice, now=now),
        }
        for move, before in zip(ahead, known, strict=True)
    ]
    if len(ahead) == 1:  # of several, each has its own
        says["reason"] = ahead[0].get("reason")
    if says.get("lead_id"):
        says["lead"] = signing.card(directory, case, says["lead_id"], now=now)
    told = reaching.notices_told(session, case.id, at=letter.queued_at)
    if says.get("number"):
        says["number"] = told + 1
    if "before_name" in says:
        says["again"] = told > 0
        if known[0].id != _moved(session, ahead[0]).replaces_id or "before_id" not in says:
            says["before_id"] = known[0].person_id
        says["before_name"] = signing.card(directory, case, says["before_id"], now=now)["name"]
    return {**says, "late": known[0].due_at <= now}, known[0].due_at


def _still_ahead(session: Session, move: Mapping[str, Any], *, now: datetime) -> bool:
    return stepping.is_ahead(_moved(session, move), now=now)


def _moved(session: Session, move: Mapping[str, Any]) -> Promise:
    return session.get_one(Promise, move["promise_id"])

"""Answering: what customers write, and what staff answer and ask while a case is open.

Every step ends with settle(): whoever ends a step leaves another (law 1).
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from portal.cases import closing, opening, promising, scheduling, writing
from portal.cases import directory as directories
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.errors import NoNextStep, NotOpen
from portal.cases.models import Case, CaseState, Step
from portal.cases.promising import NewPromise
from portal.cases.settling import hold, hold_open, settle
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.mail.letters import LetterKind
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind, Waiting
from portal.promises.service_level import Schedule


def customer_message(session: Session, case: Case, text: str, *, attached: Sequence[File] = (), now: datetime) -> Case:
    """The customer writes, and may send files along: confirmed at once, with a date for our reply.

    On a closed case it reopens it until the date named, and opens a new, linked case afterwards. Returns the case that
    holds the message. Raises NotOpen for an entry that is not a case, NoLongerHeld.
    """
    hold(session, case)
    if case.state == CaseState.CLOSED:
        return _message_after_closing(session, case, text, attached=attached, now=now)
    if case.state != CaseState.OPEN:
        raise NotOpen
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.MESSAGE,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        text=text,
        facts=files.facts_of(attached),
        now=now,
    )
    files.attach(session, entry_id, attached, now=now)
    await_reply(session, directory, case, entry_id, attached=files.names_in_letter(attached), now=now)
    return case


def reply(
    session: Session,
    case: Case,
    *,
    by_id: int,
    text: str,
    keeps: Collection[int],
    step: NewPromise | None,
    now: datetime,
    version: int | None = None,
    attached: Sequence[File] = (),
) -> None:
    """Answer by mail. ``keeps`` are the promises the person says this answer keeps.

    The letter names the files ``attached``; they lie on the status page.

    Raises NotOpen, StaleCase, WrongMedium, NoNextStep, NoRoom, DateOutOfReach.
    """
    _write(session, case, Kind.REPLY, LetterKind.REPLY, by_id, text, keeps, step, version, attached, now)


def ask(
    session: Session,
    case: Case,
    *,
    by_id: int,
    text: str,
    keeps: Collection[int],
    follow_up_at: datetime,
    now: datetime,
    version: int | None = None,
    attached: Sequence[File] = (),
) -> None:
    """Ask the customer something; ``follow_up_at`` is when we get in touch again if nothing comes.

    From then on ``waiting`` goes on by itself. Raises as reply does.
    """
    step = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, follow_up_at, waiting=Waiting.ASKED)
    _write(session, case, Kind.QUESTION, LetterKind.QUESTION, by_id, text, keeps, step, version, attached, now)


def await_reply(
    session: Session,
    directory: Directory,
    case: Case,
    entry_id: int,
    *,
    now: datetime,
    came_at: datetime | None = None,
    kept_open: bool = False,
    attached: Sequence[str] = (),
) -> None:
    """Something came in that awaits an answer: promise a reply within the service level, confirm it, tell the person.

    A reply already promised for later is brought forward; the date after which *we* would have asked again falls away.
    ``came_at`` is when it came, where that was not now. ``kept_open``: nothing was written, the customer only wants the
    case to stay open. ``attached``: names of files.
    """
    promising.end_waiting(session, directory, case, now=now)
    schedule = scheduling.answer_to_message(directory, case, now=now)
    reply = promises.of_kind(promises.open_of(session, case.id), PromiseKind.REPLY)
    if reply is None:
        promise_reply(session, directory, case, schedule, now=now)
    elif reply.due_at > schedule.due_at or reply.due_at <= now:
        promising.bring_forward(session, directory, case, reply, schedule, now=now)
    settle(session, case, now=now)
    writing.to_customer(
        session,
        directory,
        case,
        LetterKind.MESSAGE_RECEIVED,
        key=f"message_received:{entry_id}",
        step=step_ahead(session, case, now=now),
        now=now,
        says={
            "received": directory.voice_of(case).moment(came_at or now, now=now),
            "kept_open": kept_open,
            "files": list(attached),
        },
    )
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_MESSAGE,
        key=f"staff_message:{entry_id}",
        step=step_ahead(session, case, now=now),
        now=now,
        says={"kept_open": kept_open, "files": list(attached)},
    )


def promise_reply(session: Session, directory: Directory, case: Case, schedule: Schedule, *, now: datetime) -> Promise:
    """Promise a reply by mail; none may be open."""
    step = NewPromise(PromiseKind.REPLY, Medium.MAIL, schedule.due_at)
    return promising.give(session, directory, case, step, schedule, now=now)


def step_ahead(session: Session, case: Case, *, now: datetime) -> Step:
    """The earliest open step that lies ahead: no letter may name one that has passed (law 1, law 6).

    Raises NoNextStep when there is none: whoever writes then says what comes next.
    """
    ahead = stepping.to_name(session, case.id, now=now)
    if ahead is None:
        raise NoNextStep
    return ahead


def _message_after_closing(session: Session, case: Case, text: str, *, attached: Sequence[File], now: datetime) -> Case:
    assert case.reopen_until is not None
    if now <= case.reopen_until:
        closing.reopen(session, case, by_id=None, text=text, attached=attached, now=now)
        return case
    return opening.continue_case(session, case, text, attached=attached, now=now)


def _write(
    session: Session,
    case: Case,
    kind: Kind,
    letter: LetterKind,
    by_id: int,
    text: str,
    keeps: Collection[int],
    step: NewPromise | None,
    version: int | None,
    attached: Sequence[File],
    now: datetime,
) -> None:
    hold_open(session, case, version=version)
    directory = directories.load(session, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.MAIL,
        direction=Direction.OUT,
        actor=Actor.PERSON,
        person_id=by_id,
        text=text,
        facts=files.facts_of(attached),
        now=now,
    )
    files.attach(session, entry_id, attached, now=now)
    promising.keep(session, case, entry_id, keeps, {Medium.MAIL}, False, by_id=by_id, now=now)
    promise = None if step is None else promising.take_on(session, directory, case, step, by_id=by_id, now=now)
    settle(session, case, now=now)
    writing.to_customer(
        session,
        directory,
        case,
        letter,
        key=f"{letter}:{entry_id}",
        step=promise or step_ahead(session, case, now=now),
        by_id=by_id,
        now=now,
        says={"text": text, "files": files.names_in_letter(attached)},
    )

"""When a letter dies, or has nowhere to go: the case shows it, and somebody phones the customer."""

from datetime import datetime

from sqlalchemy.orm import Session

from portal.cases import closing, promising, scheduling, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import hold, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.languages import Voice
from portal.mail import outbox
from portal.mail.letters import NOTICES, LetterKind
from portal.mail.models import Audience, Letter
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind


def letter_died(session: Session, letter_id: int, *, now: datetime) -> None:
    """A letter to a customer will not arrive: note it, leave a dated call (a reply where there is no number), and
    reopen the case if the letter was what closed it. A case that the customer closed stays closed: they know, and
    wait for nothing. A staff letter that dies changes no case."""
    letter = session.get_one(Letter, letter_id)
    if letter.audience != Audience.CUSTOMER or letter.case_id is None:
        return
    case = session.get_one(Case, letter.case_id)
    hold(session, case)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.LETTER_FAILED,
        channel=Channel.MAIL,
        direction=Direction.OUT,
        actor=Actor.SYSTEM,
        visible=False,
        now=now,
        facts={"letter": letter.kind},
    )
    told_of_closing = letter.kind in (LetterKind.CLOSED, LetterKind.REPLY) and _closed_by_us(session, case)
    if case.state != CaseState.OPEN and not told_of_closing:
        return
    directory = directories.load(session, now=now)
    task = _leave_a_call(session, directory, case, soon=True, now=now)
    if told_of_closing:
        # What waits behind the dead letter, such as the one that says it is closed, is no longer true.
        outbox.withdraw(session, case.id, automatic=True, now=now)
        closing.reopen_row(session, directory, case, promise=task, now=now)
    settle(session, case, now=now)
    why = _why(letter, _staff_voice(directory, case, task, now=now), now=now)
    key = f"staff_undeliverable:{letter.id}"
    _tell_staff(session, directory, case, letter.kind, task, key=key, why=why, never_sent=False, now=now)


def leave_to_a_person(session: Session, directory: Directory, case: Case, kind: LetterKind, *, now: datetime) -> None:
    """There is no address for a letter of this kind: a dated call (a letter by post where there is no number either).

    The caller holds the case and has ended what would have written it. Raises NothingToPromise.
    """
    task = _leave_a_call(session, directory, case, soon=kind in NOTICES, now=now)
    settle(session, case, now=now)
    voice = _staff_voice(directory, case, task, now=now)
    why = voice.say("There is no e-mail address for this request.")
    key = f"staff_undeliverable:{kind}:{task.id}:{case.version}"  # the same call may stand in for several letters
    _tell_staff(session, directory, case, kind, task, key=key, why=why, never_sent=True, now=now)


def _closed_by_us(session: Session, case: Case) -> bool:
    if case.state != CaseState.CLOSED or case.erasure_confirmed_at is not None:
        return False
    entry = closing.closing_entry(session, case)
    return entry is None or entry.actor != Actor.CUSTOMER


def _leave_a_call(session: Session, directory: Directory, case: Case, *, soon: bool, now: datetime) -> Promise:
    """The open promise of that kind if there is one ahead, else a new one within the time between updates.

    ``soon``: the customer does not know what the letter said, so one that lies further away is brought forward.
    """
    by_call = case.customer.phone_e164 is not None
    kind = PromiseKind.CALL if by_call else PromiseKind.REPLY
    open_one = promises.of_kind(promises.open_of(session, case.id), kind)
    medium = Medium.CALL if by_call else Medium.MAIL if case.customer.email else Medium.LETTER
    if open_one is not None and open_one.due_at > now and not soon:
        return open_one
    schedule = scheduling.next_update(directory, case, now=now)
    if open_one is not None and now < open_one.due_at <= schedule.due_at:
        return open_one
    if open_one is not None:
        outbox.take_back(session, case.id, open_one.id, now=now)
        moved = promises.move(session, open_one, schedule, medium=medium, now=now)
        before = {"before": open_one.due_at.isoformat()}
        _note_task(session, directory, case, Kind.PROMISE_MOVED, moved, before, now=now)
        return moved
    assert case.owner_id is not None
    promise = promises.give(
        session,
        promises.new(
            case_id=case.id,
            person_id=case.owner_id,
            kind=kind,
            medium=medium,
            schedule=schedule,
            now=now,
        ),
    )
    _note_task(session, directory, case, Kind.PROMISE_GIVEN, promise, {}, now=now)
    return promise


def _note_task(
    session: Session,
    directory: Directory,
    case: Case,
    kind: Kind,
    promise: Promise,
    more: dict[str, str],
    *,
    now: datetime,
) -> None:
    journal.record(
        session,
        case_id=case.id,
        kind=kind,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        now=now,
        facts={**promising.promise_facts(directory, promise), **more},
    )


def _tell_staff(
    session: Session,
    directory: Directory,
    case: Case,
    letter: str,
    task: Promise,
    *,
    key: str,
    why: str,
    never_sent: bool,
    now: datetime,
) -> None:
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_UNDELIVERABLE,
        key=key,
        step=task,
        reader_id=_acting(directory, case, task, now=now),
        now=now,
        says={
            "letter": letter,
            "why": why,
            "never_sent": never_sent,
            "has_number": case.customer.phone_e164 is not None,
        },
    )


def _acting(directory: Directory, case: Case, task: Promise, *, now: datetime) -> int:
    return directory.acting(task.person_id, now, topic_id=case.topic_id).person_id


def _staff_voice(directory: Directory, case: Case, task: Promise, *, now: datetime) -> Voice:
    return writing.staff_voice(directory, case, _acting(directory, case, task, now=now))


def _why(letter: Letter, voice: Voice, *, now: datetime) -> str:
    if letter.give_up_at is not None and now >= letter.give_up_at:  # it is set by the first fault already
        return voice.say("The mail could not be delivered for 48 hours.")
    return voice.say("The receiving side refuses the address or the mail for good.")

"""Delaying: a promise that is not kept in time moves before its date, and the customer hears of it (law 1).

The ladder (DESIGN.md section 4): the acting person is reminded; then a notice moves the date, the second in a row names
the lead, from the third on the promise is the lead's, then the lead's deputy's, then the last instance's. It never ends
in silence: each notice leaves a promise with a notice of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import promising, reaching, scheduling, signing, undelivered, writing
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState
from portal.cases.settling import first_look, hold, settle
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.languages import Voice
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import business_time
from portal.promises import service as promises
from portal.promises.models import Promise

NAMES_THE_LEAD = 2
LEAD_TAKES_OVER = 3
"""Which notice in a row does it."""


@dataclass(frozen=True)
class Move:
    """A promise that is moved by a notice, its successor, and the one before it whose date the customer knows."""

    old: Promise
    new: Promise
    known: Promise


@dataclass(frozen=True)
class Notice:
    """What customer and colleagues are told at once."""

    moves: Sequence[Move]
    """The earliest date first."""
    number: int
    """Which in a row it is; 0 where a new calendar alone moves the dates."""
    lead_id: int | None
    """Who is there too from now on."""
    before_id: int
    """Who acted until now."""


def give_notice(session: Session, case: Case, *, now: datetime) -> None:
    """Move every promise of this case whose notice is due, with one letter that lists them all.

    A notice that is due takes along what else would need one today; a date that a person planned moves as planned, at
    its own time and with their words, and counts as no notice. Does nothing where nothing is due any more: the promise
    may have been kept a moment ago. Raises NothingToPromise.
    """
    hold(session, case)
    if case.state != CaseState.OPEN:
        return
    directory = directories.load(session, now=now)
    steps = first_look(session, case)
    ours = [promise for promise in steps if promise.waiting is None]
    due = [promise for promise in ours if promise.notice_at <= now]
    if not due:
        return
    if _all_as_planned(directory, case, due, now=now):
        due = _with_what_else_is_planned(directory, case, ours, due, now=now)
    else:
        due = _with_the_rest_of_today(directory, case, ours, due, now=now)
    if due:
        _move(session, directory, case, steps, sorted(due, key=lambda promise: promise.due_at), now=now)


def _all_as_planned(directory: Directory, case: Case, due: Sequence[Promise], *, now: datetime) -> bool:
    """Whether all that is due moves to dates that people planned and that can still be promised."""
    return all(scheduling.as_planned(directory, case, promise, now=now) is not None for promise in due)


def _with_what_else_is_planned(
    directory: Directory, case: Case, ours: Sequence[Promise], due: Sequence[Promise], *, now: datetime
) -> list[Promise]:
    """What a letter with planned dates moves: all that people planned and would tell the customer today."""
    tomorrow = scheduling.end_of_day(directory, case, now=now)
    today = [one for one in ours if one not in due and one.moves_by_hand and one.notice_at < tomorrow]
    return [*due, *(one for one in today if scheduling.as_planned(directory, case, one, now=now) is not None)]


def _with_the_rest_of_today(
    directory: Directory, case: Case, ours: Sequence[Promise], due: Sequence[Promise], *, now: datetime
) -> list[Promise]:
    """What one notice moves: all whose notice falls on this day. Where the day has had its notice, what can wait waits.

    Only a date that would pass before tomorrow's letters is worth a second notice on one day.
    """
    quiet = scheduling.quiet_until(directory, case, now=now)
    if quiet is None:
        tomorrow = scheduling.end_of_day(directory, case, now=now)
        return [one for one in ours if one in due or one.notice_at < tomorrow]
    next_letters = business_time.next_open(directory.sending(directory.team_of(case)), quiet)
    urgent = []
    for promise in due:
        if not promise.moves_by_hand and promise.given_at < next_letters < promise.due_at:
            promise.notice_at = next_letters
        else:
            urgent.append(promise)
    return urgent


def _move(
    session: Session,
    directory: Directory,
    case: Case,
    steps: Sequence[Promise],
    due: Sequence[Promise],
    *,
    now: datetime,
) -> None:
    """Move those of the open ``steps`` that are due, the earliest first, and tell everybody concerned."""
    # A date that a new calendar moves is nobody's delay, but its letter is the one of this day.
    delayed = any(promise.moves_to is None for promise in due)
    number = case.notices + 1 if delayed else 0
    if delayed:
        case.notices = number
    if not _all_as_planned(directory, case, due, now=now):
        case.noticed_at = now
    person_id = follows_up(directory, case, number, now=now) if number >= LEAD_TAKES_OVER else None
    before_id = directory.acting_person(case, now).person_id
    moves = [_moved(session, directory, case, promise, person_id=person_id, now=now) for promise in due]
    lead_id = follows_up(directory, case, number, now=now) if number == NAMES_THE_LEAD else None
    if number >= NAMES_THE_LEAD:
        case.lead_since = case.lead_since or now
    if delayed:
        _note_notice(session, case, number, lead_id=lead_id, person_id=person_id, now=now)
    settle(session, case, now=now, steps=[*steps, *(move.new for move in moves)])
    notice = Notice(moves, number, lead_id, before_id)
    if case.customer.email:
        _tell_customer(session, directory, case, notice, now=now)
    else:
        undelivered.leave_to_a_person(session, directory, case, _letter(notice), now=now)
    if delayed:
        _tell_staff(session, directory, case, notice, now=now)


def follows_up(directory: Directory, case: Case, number: int, *, now: datetime) -> int:
    """Who comes in with this notice in a row: the lead, then the lead's deputy, then the last instance.

    For an owner who is the lead it starts with the deputy. Whoever is away is passed over while there is somebody
    higher up; past the last instance it stays there.
    """
    lead_id = directory.team_of(case).lead_id
    deputy_id = None if lead_id is None else directory.people[lead_id].deputy_id
    chain = [
        person_id
        for person_id in dict.fromkeys((lead_id, deputy_id, directory.company.last_instance_id))
        if person_id is not None and person_id != case.owner_id and _answers(directory, person_id)
    ]
    if not chain:
        assert case.owner_id is not None
        return case.owner_id
    ahead = chain[min(max(number - LEAD_TAKES_OVER, 0), len(chain) - 1) :]
    return next((person_id for person_id in ahead if directory.is_present(person_id, now)), ahead[-1])


def _answers(directory: Directory, person_id: int) -> bool:
    person = directory.people[person_id]
    return person.answers and person.line_e164 is not None


def _moved(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    *,
    person_id: int | None,
    now: datetime,
) -> Move:
    moved = promises.move(
        session,
        promise,
        scheduling.successor(directory, case, promise, now=now),
        person_id=person_id,
        given_by_id=promise.planned_by_id if promise.moves_to is not None else None,
        reason=promise.reason,
        now=now,
    )
    outbox.take_back(session, case.id, promise.id, now=now)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.PROMISE_MOVED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM if promise.planned_by_id is None else Actor.PERSON,
        person_id=promise.planned_by_id,
        now=now,
        facts={**promising.promise_facts(directory, moved), "before": promise.due_at.isoformat()},
    )
    return Move(promise, moved, reaching.given_up(session, moved))


def _note_notice(
    session: Session, case: Case, number: int, *, lead_id: int | None, person_id: int | None, now: datetime
) -> None:
    """What a notice changes besides the dates: how many there were, and who is there from now on."""
    record = partial(journal.record, session, case_id=case.id, channel=Channel.SYSTEM, actor=Actor.SYSTEM, now=now)
    record(kind=Kind.NOTICE, direction=Direction.OUT, visible=False, facts={"number": number})
    if lead_id is not None:
        record(kind=Kind.LEAD_JOINED, person_id=lead_id)
    if person_id is not None and (case.promise is None or case.promise.person_id != person_id):
        record(kind=Kind.TAKEN_OVER, person_id=person_id)


def _letter(notice: Notice) -> LetterKind:
    return LetterKind.DELAY_NOTICE if notice.number < LEAD_TAKES_OVER else LetterKind.LEAD_TAKES_OVER


def _tell_customer(session: Session, directory: Directory, case: Case, notice: Notice, *, now: datetime) -> None:
    voice, first, number = directory.voice_of(case), notice.moves[0], notice.number
    says: dict[str, Any] = {
        "late": first.known.due_at <= now,
        "moves": [_in_words(directory, case, move, voice, now=now) for move in notice.moves],
        "reason": first.old.reason if len(notice.moves) == 1 else None,  # of several, each has its own
    }
    told = reaching.notices_told(session, case.id, at=now) if number > 1 else 0
    if number < LEAD_TAKES_OVER:
        says |= {
            "number": min(number, told + 1),  # as the customer counts
            "lead_id": notice.lead_id,  # for whoever writes the letter anew, as is a promise's number
            "lead": None if notice.lead_id is None else signing.card(directory, case, notice.lead_id, now=now),
        }
    else:
        known_id = notice.before_id if first.known is first.old else first.known.person_id
        says |= {
            "again": told > 0,
            "before_id": known_id,  # for whoever writes it anew, too
            "before_name": signing.card(directory, case, known_id, now=now)["name"],
        }
    writing.to_customer(
        session,
        directory,
        case,
        _letter(notice),
        key=f"delay:{first.old.id}",
        step=stepping.to_name(session, case.id, now=now),  # one that is not moved may come first
        now=now,
        unasked=True,
        old_due_at=first.known.due_at,
        says=says,
    )


def _tell_staff(session: Session, directory: Directory, case: Case, notice: Notice, *, now: datetime) -> None:
    """Whoever had it hears of the new date, and whoever comes in, why.

    Where no letter could go to the customer, the call that stands in for it has its own letter to whoever makes it.
    """
    first, voice = notice.moves[0], writing.staff_voice(directory, case, notice.before_id)
    customer_reads = bool(case.customer.email)
    if customer_reads:
        writing.to_staff(
            session,
            directory,
            case,
            LetterKind.STAFF_DELAYED,
            key=f"staff_delayed:{first.old.id}",
            step=first.new,
            reader_id=notice.before_id,
            now=now,
            says={"before": voice.moment(first.old.due_at, now=now), "number": notice.number},
        )
    if notice.number < NAMES_THE_LEAD:
        return
    comes_in = directory.acting(notice.lead_id or first.new.person_id, now, topic_id=case.topic_id).person_id
    if comes_in == notice.before_id:
        return
    assert case.owner_id is not None
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_ESCALATION,
        key=f"staff_escalation:{first.old.id}",
        step=first.new,
        reader_id=comes_in,
        now=now,
        says={
            "number": notice.number,
            "owner": directory.people[case.owner_id if notice.lead_id else notice.before_id].name,
            "takes_over": notice.lead_id is None,
            "customer_reads": customer_reads,
        },
    )


def _in_words(directory: Directory, case: Case, move: Move, voice: Voice, *, now: datetime) -> dict[str, Any]:
    return {
        "promise_id": move.new.id,  # for whoever writes the letter anew: the name in the sentence may be another
        "before": voice.moment(move.known.due_at, now=now),
        "sentence": writing.sentence(directory, case, move.new, voice, now=now),
        "what": move.new.what,
        "reason": move.old.reason,
    }

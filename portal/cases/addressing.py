"""Addressing: a mistyped address is corrected, and whoever reads a mailbox without having written can say so."""

from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import inviting, opening, promising, routing, scheduling, writing
from portal.cases.directory import Directory
from portal.cases.errors import AlreadyCorrected, NotOpen
from portal.cases.models import Case, CaseState, Doubt, RoutedBy, Submission
from portal.cases.routing import Routed
from portal.cases.settling import booked_of, end_steps, hold, settle
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.promises import service as promises

NOT_ME_DAYS = 7
"""How long staff can undo a "that was not me" before the data is erased."""
CORRECTION_TIME = timedelta(minutes=15)


def correct_address(session: Session, submission: Submission, email: str, *, now: datetime) -> None:
    """Replace a mistyped address: a new link, the queued letters withdrawn, the confirmation to the new mailbox.

    Whoever was named because the mailbox knows them is named for the corrected mailbox instead. Once, within 15 minutes
    of the form, and before anybody acted on the case. Raises AlreadyCorrected.
    """
    case = session.get_one(Case, submission.case_id)
    hold(session, case)
    if now > submission.at + CORRECTION_TIME or case.state not in (CaseState.OPEN, CaseState.RECEIVED):
        raise AlreadyCorrected
    if case.doubt == Doubt.NOT_ME or _somebody_acted(session, case):
        raise AlreadyCorrected
    directory = directories.load(session, now=now)
    routed = _routed_again(session, directory, case, mailbox_key(email), now=now)
    case.customer.email, case.customer.email_key = email, mailbox_key(email)
    case.link_nonce = new_secret()
    outbox.withdraw(session, case.id, audience=Audience.CUSTOMER, now=now)
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.ADDRESS_CORRECTED,
        channel=Channel.FORM,
        actor=Actor.CUSTOMER,
        now=now,
    )
    moved = routed is not None and routed.owner_id != case.owner_id
    if routed is not None:
        case.owner_id, case.routed_by = routed.owner_id, routed.by
    if moved:
        _name_the_owner(session, directory, case, now=now)
    settle(session, case, now=now)
    if case.step is not None:
        key = f"confirmation:{case.id}:corrected"
        opening.confirm(session, directory, case, case.step, key=key, now=now, by_stranger=True)
    if moved:
        key = f"staff_new_case:{case.id}:corrected"
        writing.to_staff(session, directory, case, LetterKind.STAFF_NEW_CASE, key=key, step=case.step, now=now)


def not_me(session: Session, case: Case, *, now: datetime) -> None:
    """Whoever reads the mailbox did not write to us: letters stop, staff look, and on a date everything is erased.

    The case becomes an entry in doubt again; release() undoes it. Raises NotOpen when there is nothing to stop.
    """
    hold(session, case)
    if case.state not in (CaseState.OPEN, CaseState.CLOSED):
        raise NotOpen
    directory = directories.load(session, now=now)
    team, voice = directory.team_of(case), directory.voice_of(case)
    called_off = end_steps(session, case, now=now)
    case.state, case.doubt = CaseState.RECEIVED, Doubt.NOT_ME
    case.check_by_at = scheduling.check_by(directory, team, now=now)
    case.erase_on = voice.local(now).date() + timedelta(days=NOT_ME_DAYS)
    case.closed_at, case.outcome, case.outcome_text, case.reopen_until = None, None, "", None
    case.erasure_asked_at, case.erasure_confirmed_at = None, None
    case.lead_since = None  # from now on it says that the date of an entry in doubt passed unread
    settle(session, case, now=now)
    outbox.withdraw(session, case.id, now=now)
    if called_off is not None:
        inviting.note_and_tell_keeper(session, directory, case, called_off, by_id=None, now=now)
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.NOT_ME,
        channel=Channel.PAGE,
        direction=Direction.IN,
        actor=Actor.CUSTOMER,
        now=now,
    )
    reader_id = directory.acting_person(case, now).person_id
    staff_voice = writing.staff_voice(directory, case, reader_id)
    writing.to_staff(
        session,
        directory,
        case,
        LetterKind.STAFF_NOT_ME,
        key=f"staff_not_me:{entry_id}",
        reader_id=reader_id,
        now=now,
        says={
            "erase_on": staff_voice.day(case.erase_on, now=now),
            "check_by": staff_voice.moment(case.check_by_at, now=now),
        },
    )


def _routed_again(
    session: Session, directory: Directory, case: Case, email_key: str, *, now: datetime
) -> Routed | None:
    """Who owns an open case of this mailbox instead; None where the owner stays.

    Asked before the case has the mailbox, or it would find itself there. An account's number names its manager whatever
    the mailbox; and whom the topic named stays, although somebody else may have fewer cases by now.
    """
    old = case.customer
    if case.state != CaseState.OPEN or case.routed_by == RoutedBy.ACCOUNT or email_key == old.email_key:
        return None
    if booked_of(session, case) is not None:  # whoever keeps the agreed time stays
        return None
    corrected = Customer(email_key=email_key, number_typed=old.number_typed, postcode=old.postcode)
    routed = routing.route(session, directory, directory.topics[case.topic_id], corrected, now=now)
    return None if routed.by == case.routed_by == RoutedBy.TOPIC else routed


def _name_the_owner(session: Session, directory: Directory, case: Case, *, now: datetime) -> None:
    """Give everything that named the former owner of a fresh case to the new one; the dates stay."""
    assert case.owner_id is not None
    outbox.withdraw(session, case.id, audience=Audience.STAFF, now=now)
    for promise in promises.open_of(session, case.id):
        promise.person_id = case.owner_id
    first = promises.open_of(session, case.id)[0]
    journal.record(
        session,
        case_id=case.id,
        kind=Kind.OPENED,
        channel=Channel.SYSTEM,
        actor=Actor.SYSTEM,
        person_id=case.owner_id,
        now=now,
        facts=promising.promise_facts(directory, first),
        corrects_id=_opening_entry_id(session, case),
    )


def _opening_entry_id(session: Session, case: Case) -> int | None:
    opened = select(Entry.id).where(Entry.case_id == case.id, Entry.kind == Kind.OPENED)
    return session.scalars(opened.order_by(Entry.id.desc()).limit(1)).first()


def _somebody_acted(session: Session, case: Case) -> bool:
    """Whether anything happened since the form, other than what the system wrote itself."""
    return (
        session.scalars(
            select(Entry.id)
            .where(Entry.case_id == case.id, Entry.actor != Actor.SYSTEM, Entry.kind != Kind.RECEIVED)
            # A time chosen with the form is noted at its instant; later ones are acts of their own.
            .where(or_(Entry.kind != Kind.APPOINTMENT_BOOKED, Entry.at > case.received_at))
            .limit(1)
        ).first()
        is not None
    )

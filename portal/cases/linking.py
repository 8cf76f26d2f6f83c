"""Links given anew: whoever lost the link asks for it again, whoever no longer trusts it has it replaced.

Of the first the page notes the wish, and the worker answers it. The page does the same work for a known and an unknown
mailbox, so neither its words nor its time tell them apart.
"""

from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config, limits
from portal.appointments import service as appointments
from portal.cases import absences, closing, limiting, status_link, writing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.errors import NotOpen
from portal.cases.models import Case, CaseState, LinkWish
from portal.cases.settling import booked_of, hold
from portal.cases.sparing import spared
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.db import wake_worker
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind
from portal.links import new_secret
from portal.mail import outbox
from portal.mail.letters import LetterKind
from portal.promises import service as promises

CASES_PER_WISH = 3
"""So many cases of a mailbox get their links; who has more is helped by phone."""
_WITH_A_LINK = (CaseState.OPEN, CaseState.CLOSED)


def wish_link(session: Session, email: str, *, now: datetime, network: str | None = None) -> None:
    """Note that somebody asks for the link of a mailbox; above the mailbox's cap, or the cap of the network that they
    ask from, it is dropped."""
    settings = config.current()
    key, secret = mailbox_key(email), settings.counter_key
    if network is not None:
        by_network = limits.name_for("link_network", network, key=secret)
        if limits.take(session, by_network, settings.form_limit, now=now) is not None:
            return
    if limits.take(session, limits.name_for("link", key, key=secret), settings.mail_cap, now=now) is not None:
        return
    session.add(LinkWish(email_key=key, at=now))
    wake_worker(session)


def answer_wish(session: Session, *, now: datetime) -> bool:
    """Answer the oldest wish; False if there is none. A mailbox without a case gets nothing.

    The wish is gone afterwards whatever happened: one that cannot be answered is logged and keeps no other waiting.
    """
    wish = session.scalars(
        select(LinkWish).order_by(LinkWish.id).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if wish is None:
        return False
    wish_id, email_key = wish.id, wish.email_key
    spared(session, lambda: _answer(session, email_key, now=now), failed="link wish not answered", link_wish=wish_id)
    session.delete(wish)
    return True


def replace_link(session: Session, case: Case, *, now: datetime) -> None:
    """Kill every link given out so far and mail a new one to the stored address. Raises NotOpen.

    Unsent automatic letters hold the old link and are taken back or written anew; a promise or a closing that only
    they told is written once more, and a deletion is to be asked for anew. What a person wrote, a reply or a question,
    is never taken back: the old link in it opens nothing any more, the letter with the new one is on its way too.
    """
    hold(session, case)
    if case.state not in _WITH_A_LINK:
        raise NotOpen
    directory = directories.load(session, now=now)
    case.link_nonce, case.erasure_asked_at = new_secret(), None  # the letter that asks to confirm holds the old one
    outbox.change_link(session, case.id, now=now)
    entry_id = journal.record(
        session, case_id=case.id, kind=Kind.LINK_REPLACED, channel=Channel.PAGE, actor=Actor.CUSTOMER, now=now
    )
    status_link.send_link(session, directory, case, key=f"link_replaced:{entry_id}", replaced=True, now=now)
    for promise in promises.open_of(session, case.id):
        if promise.due_at > now and not outbox.is_told(session, promise.id):
            key = f"promise_given:{promise.id}:link_replaced:{entry_id}"
            writing.tell_promise(session, directory, case, promise, key=key, now=now)
    booked = booked_of(session, case) if case.state == CaseState.OPEN else None
    is_to_come = booked is not None and appointments.is_to_come(booked, now=now)
    if booked is not None and is_to_come and not outbox.is_told(session, appointment_id=booked.id):
        key = f"appointment_confirmed:{booked.id}:{booked.version}:link_replaced:{entry_id}"
        says, kind = {"by_customer": False, "stays": False}, LetterKind.APPOINTMENT_CONFIRMED
        writing.to_customer(session, directory, case, kind, key=key, step=booked, says=says, now=now)
    closing.tell_untold(session, directory, case, cause=f"link_replaced:{entry_id}", now=now)


def _answer(session: Session, email_key: str, *, now: datetime) -> None:
    absences.none_meanwhile(session)
    directory = directories.load(session, now=now)
    # Whoever holds several cases takes them in this order, and all before the mailbox is counted, so that no two wait
    # for each other.
    cases = sorted(_cases_of(session, directory, email_key, now), key=lambda case: case.id)
    for case in cases:
        hold(session, case)
    for case in cases:
        spared(
            session, partial(_send, session, directory, case, email_key, now=now), failed="link not sent", case=case.id
        )


def _send(session: Session, directory: Directory, case: Case, email_key: str, *, now: datetime) -> None:
    """Send the link of one case, unless somebody closed that way while we came to it, or the mailbox had enough."""
    session.refresh(case.customer)
    if case.customer.email_key != email_key or not _has_a_link(directory, case, now):
        return
    if limiting.count_letter(session, email_key, now=now) is not None:
        return
    entry_id = journal.record(
        session,
        case_id=case.id,
        kind=Kind.LINK_SENT,
        channel=Channel.MAIL,
        direction=Direction.OUT,
        actor=Actor.SYSTEM,
        now=now,
    )
    status_link.send_link(session, directory, case, key=f"link:{entry_id}", replaced=False, now=now)


def _cases_of(session: Session, directory: Directory, email_key: str, now: datetime) -> list[Case]:
    """The cases of a mailbox whose link works: open ones first, then the newest."""
    found = session.scalars(
        select(Case)
        .join(Customer, Customer.id == Case.customer_id)
        .where(Customer.email_key == email_key, Case.state.in_(_WITH_A_LINK))
        .order_by(Case.state != CaseState.OPEN, Case.id.desc())
    )
    return list(islice((case for case in found if _has_a_link(directory, case, now)), CASES_PER_WISH))


def _has_a_link(directory: Directory, case: Case, now: datetime) -> bool:
    return case.state in _WITH_A_LINK and status_link.link_works(case, directory.voice_of(case), now=now)

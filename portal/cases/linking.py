"""Asking for the link again: the page notes the wish, the worker answers it.

The page does the same work for a known and an unknown mailbox, so neither its words nor its time tell them apart.
"""

from datetime import datetime
from functools import partial
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import absences, closing, limiting
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState, LinkWish
from portal.cases.settling import hold
from portal.cases.sparing import spared
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.db import wake_worker
from portal.journal import service as journal
from portal.journal.models import Actor, Channel, Direction, Kind

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
    closing.send_link(session, directory, case, key=f"link:{entry_id}", replaced=False, now=now)


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
    return case.state in _WITH_A_LINK and closing.link_works(case, directory.voice_of(case), now=now)

"""Asking for the link again: the page notes the wish, the worker answers it.

The page does the same work for a known and an unknown mailbox, so neither its words nor its time tell them apart.
"""

from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import closing
from portal.cases import directory as directories
from portal.cases.models import Case, CaseState, LinkWish
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.db import wake_worker

CASES_PER_WISH = 3
"""The newest cases of a mailbox get their links; who has more is helped by phone."""


def wish_link(session: Session, email: str, *, now: datetime) -> None:
    """Note that somebody asks for the link of a mailbox; above the mailbox's cap the wish is dropped."""
    settings = config.current()
    key = mailbox_key(email)
    name = limits.name_for("link", key, key=settings.secret_keys[0])
    if limits.count_exceeds(session, name, settings.mail_cap, now=now):
        return
    session.add(LinkWish(email_key=key, at=now))
    wake_worker(session)


def answer_wish(session: Session, *, now: datetime) -> bool:
    """Answer the oldest wish; False if there is none. A mailbox without a case gets nothing."""
    wish = session.scalars(
        select(LinkWish).order_by(LinkWish.id).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if wish is None:
        return False
    directory = directories.load(session, now=now)
    for case in _cases_of(session, wish.email_key, now):
        closing.send_link(session, directory, case, key=f"link:{wish.id}:{case.id}", replaced=False, now=now)
    session.delete(wish)
    return True


def _cases_of(session: Session, email_key: str, now: datetime) -> list[Case]:
    reachable = or_(Case.closed_at.is_(None), Case.closed_at > now - timedelta(days=closing.LINK_DAYS))
    return list(
        session.scalars(
            select(Case)
            .join(Customer, Customer.id == Case.customer_id)
            .where(
                Customer.email_key == email_key,
                Case.state.in_((CaseState.OPEN, CaseState.CLOSED)),
                reachable,
            )
            .order_by(Case.id.desc())
            .limit(CASES_PER_WISH)
        )
    )

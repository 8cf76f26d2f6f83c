"""Asking for the link again: the page notes the wish, the worker answers it.

The page does the same work for a known and an unknown mailbox, so neither its words nor its time tell them apart.
"""

from datetime import datetime
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import closing
from portal.cases import directory as directories
from portal.cases.directory import Directory
from portal.cases.models import Case, CaseState, LinkWish
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.db import wake_worker
from portal.links import new_secret

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
    for case in _cases_of(session, directory, wish.email_key, now):
        # Not the id of the wish: SQLite gives the id of a deleted row out again.
        key = f"link:{case.id}:{new_secret()}"
        closing.send_link(session, directory, case, key=key, replaced=False, now=now)
    session.delete(wish)
    return True


def _cases_of(session: Session, directory: Directory, email_key: str, now: datetime) -> list[Case]:
    """The newest cases of a mailbox whose link works."""
    found = session.scalars(
        select(Case)
        .join(Customer, Customer.id == Case.customer_id)
        .where(Customer.email_key == email_key, Case.state.in_((CaseState.OPEN, CaseState.CLOSED)))
        .order_by(Case.id.desc())
    )
    working = (case for case in found if closing.link_works(case, directory.voice_of(case), now=now))
    return list(islice(working, CASES_PER_WISH))

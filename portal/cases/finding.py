"""Finding a case: by its status link, by its reference."""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Session, joinedload

from portal import config
from portal.cases import directory as directories
from portal.cases.models import Case, CaseState
from portal.cases.status_link import link_works
from portal.links import InvalidLink, Purpose

REFERENCE = re.compile(r"[0-9A-Z]{3}-[0-9A-Z]{3}")
_BY_NONCE = select(Case).options(joinedload(Case.customer)).where(Case.link_nonce == bindparam("nonce", type_=String))


@dataclass(frozen=True)
class Found:
    """The case behind a genuine link. An expired link opens nothing, but may name the person."""

    case: Case
    expired: bool


def by_token(session: Session, token: str, *, now: datetime) -> Found | None:
    """The case of a status link; None alike for a bad, an unknown, a revoked link and an erased case."""
    try:
        nonce = config.links().read(Purpose.STATUS, token)
    except InvalidLink:
        return None
    case = session.scalars(_BY_NONCE, {"nonce": nonce}).one_or_none()
    if case is None or case.state in (CaseState.ERASED, CaseState.SPAM):
        return None
    voice = directories.load(session, now=now).voice_of(case)
    return Found(case, expired=not link_works(case, voice, now=now))


def by_reference(session: Session, reference: str) -> Case | None:
    """The case of a reference, in capitals or not; None for what cannot be one."""
    wanted = reference.strip().upper()
    if not REFERENCE.fullmatch(wanted):
        return None
    return session.scalars(select(Case).where(Case.reference == wanted)).one_or_none()


def status_token(case: Case) -> str:
    """The secret part of the case's status link."""
    return config.links().sign(Purpose.STATUS, case.link_nonce)

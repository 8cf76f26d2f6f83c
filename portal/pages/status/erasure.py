"""Deletion, as the customer asks for it, confirms it by a letter's link and takes it back."""

from datetime import datetime

from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from portal import clock, db
from portal.cases import erasure_wishes, finding
from portal.cases.errors import NotConfirmable
from portal.cases.models import Case
from portal.pages.status.frame import bp, do, page


@bp.get("/erase")
def ask_erasure(token: str) -> ResponseReturnValue:
    """Says what deletion means, and what stays until when."""
    return page(token, "status/erase.html")


@bp.post("/erase")
def send_erasure_link(token: str) -> ResponseReturnValue:
    """A letter to the stored address asks to confirm it."""

    def ask(session: Session, case: Case, now: datetime) -> str:
        erasure_wishes.ask(session, case, now=now)
        return "erasure-asked"

    return do(token, ask, "erasure-asked", template="status/erase.html")


@bp.get("/erase/<proof>")
def show_erasure(token: str, proof: str) -> ResponseReturnValue:
    """The letter links here; only the button does something."""
    with db.reading() as session:
        found = finding.by_token(session, token, now=clock.utc_now())
        proves = found is not None and erasure_wishes.proves(found.case, proof, now=clock.utc_now())
    if not proves:
        return page(token, "status/erase.html", sentences=[NotConfirmable.sentence], code=410)
    return page(token, "status/confirm_erasure.html", proof=proof)


@bp.post("/erase/<proof>")
def confirm_erasure(token: str, proof: str) -> ResponseReturnValue:
    """Whoever reads the mailbox has confirmed it."""

    def confirm(session: Session, case: Case, now: datetime) -> str:
        erasure_wishes.confirm(session, case, proof, now=now)
        return "erasure-confirmed"

    return do(token, confirm, "erasure-confirmed", proof, template="status/erase.html")


@bp.post("/keep-details")
def keep_details(token: str) -> ResponseReturnValue:
    """The customer takes the deletion back."""

    def keep(session: Session, case: Case, now: datetime) -> str:
        erasure_wishes.take_back(session, case, now=now)
        return "details-kept"

    return do(token, keep, "details-kept")

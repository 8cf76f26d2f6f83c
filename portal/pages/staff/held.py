"""Held letters: one button lets those of a case go, another drops them."""

from collections.abc import Callable

from flask import redirect, url_for
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock
from portal.cases import finding, holding
from portal.cases.errors import Refused
from portal.pages.once import accepted_once
from portal.pages.staff.case_page import case_page
from portal.pages.staff.frame import bp
from portal.pages.staff.login import note_use


@bp.post("/cases/<reference>/held/release")
def release_letters(reference: str) -> Response:
    """They go out, with the truth of now."""
    return _decide(reference, holding.release, "letter_released")


@bp.post("/cases/<reference>/held/drop")
def drop_letters(reference: str) -> Response:
    """They are not sent."""
    return _decide(reference, holding.drop, "letter_dropped")


def _decide(reference: str, step: Callable[..., None], done: str) -> Response:
    now = clock.utc_now()

    def once(session: Session) -> None:
        by_id = note_use(session, now=now).id
        case = finding.by_reference(session, reference)
        if case is None:
            raise NotFound
        step(session, case, by_id=by_id, now=now)

    try:
        accepted_once(once)
    except Refused as refusal:
        return case_page(reference, status=409, refusal=refusal)
    return redirect(url_for("staff.case", reference=reference, done=done), 303)

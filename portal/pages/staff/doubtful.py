"""Entries that are no case (yet): what came in, why it is in doubt, and the two ways on."""

from collections.abc import Callable

from flask import redirect, url_for
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock, db
from portal.cases import doubtful, finding
from portal.cases import worklist as cases
from portal.cases.errors import Refused
from portal.cases.models import Case, CaseState
from portal.cases.staff_view import case_file
from portal.pages.once import accepted_once
from portal.pages.staff.frame import bp, page
from portal.pages.staff.login import current_person, note_use


@bp.get("/doubtful")
def discarded() -> Response:
    """Everything discarded that is not erased yet."""
    now = clock.utc_now()
    with db.transaction() as session:
        rows = cases.doubtful(session, states=[CaseState.SPAM], language=current_person().language, now=now)
        return page(session, "staff/discarded.html", now=now, rows=rows)


@bp.get("/doubtful/<reference>")
def entry(reference: str) -> Response:
    """What came in and why it is in doubt."""
    return _entry(reference)


@bp.post("/doubtful/<reference>/release")
def release(reference: str) -> Response:
    """It is genuine: it becomes a case, with an owner, a date and a confirmation."""
    return _decide(reference, doubtful.release, url_for("staff.case", reference=reference, done="released"))


@bp.post("/doubtful/<reference>/discard")
def discard(reference: str) -> Response:
    """It is not genuine: it is erased on a date."""
    return _decide(reference, doubtful.discard, url_for("staff.worklist", done="discarded"))


def _decide(reference: str, step: Callable[..., None], way_on: str) -> Response:
    now = clock.utc_now()

    def once(session: Session) -> None:
        by_id = note_use(session, now=now).id
        step(session, _found(session, reference), by_id=by_id, now=now)

    try:
        accepted_once(once)
    except Refused as refusal:
        return _entry(reference, status=409, refusal=refusal)
    return redirect(way_on, 303)


def _entry(reference: str, *, status: int = 200, refusal: Refused | None = None) -> Response:
    now = clock.utc_now()
    with db.reading() as session:
        case = _found(session, reference)
        if case.state not in (CaseState.RECEIVED, CaseState.SPAM):
            return redirect(url_for("staff.case", reference=case.reference))
        file = case_file(session, case, language=current_person().language, now=now)
        return page(session, "staff/entry.html", status, now=now, voice=file.voice, file=file, refusal=refusal)


def _found(session: Session, reference: str) -> Case:
    case = finding.by_reference(session, reference)
    if case is None:
        raise NotFound
    return case

"""What staff see: the worklist and the case page. Nothing here changes anything."""

from datetime import datetime

from flask import request
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock, db
from portal.cases import finding, holding, reconciling
from portal.cases import worklist as cases
from portal.cases.models import CaseState
from portal.cases.reconciling import Disorder
from portal.cases.worklist import Scope
from portal.pages import uploads
from portal.pages.staff.case_page import case_page
from portal.pages.staff.frame import bp, own_voice, page
from portal.pages.staff.login import current_person
from portal.pages.staff.worklist import grouped
from portal.people.models import Role

TOLD_OF_DISORDERS = {Role.LEAD, Role.ADMIN}


@bp.get("/")
def worklist() -> Response:
    """All open cases by next step; above them what waits for anybody."""
    now, person, voice = clock.utc_now(), current_person(), own_voice()
    wanted = request.args.get("scope", Scope.MINE)
    scope = Scope(wanted) if wanted in list(Scope) else Scope.MINE
    with db.transaction() as session:
        rows = cases.worklist(session, person_id=person.id, scope=scope, language=person.language, now=now)
        mended, shifted = _disorders(session, now) if person.role in TOLD_OF_DISORDERS else (0, [])
        waiting = cases.doubtful(session, states=[CaseState.RECEIVED], language=person.language, now=now)
        return page(
            session,
            "staff/worklist.html",
            now=now,
            scope=scope,
            groups=grouped(rows, now=now, tz=voice.tz),
            doubtful=waiting,
            unsent=cases.unsent(session, now=now),
            held=holding.held(session, voice=voice, now=now),
            disorders=mended,
            shifted=shifted,
            undelivered=cases.undelivered(session),
        )


@bp.get("/cases/<reference>")
def case(reference: str) -> Response:
    """One case: what was promised, who asked, what happened, and the forms to go on."""
    return case_page(reference)


@bp.get("/cases/<reference>/files/<file_id>")
def file(reference: str, file_id: str) -> Response:
    """A file of this case, as a download."""
    with db.reading() as session:
        found = finding.by_reference(session, reference)
        if found is None:
            raise NotFound
        return uploads.download(session, found.id, file_id, visible_only=False)


def _disorders(session: Session, now: datetime) -> tuple[int, list[str]]:
    """How much was mended by the program, and the cases whose agreed time only people can put right."""
    found = reconciling.counted(session, now=now)
    shifted = reconciling.shifted(session, now=now) if found.pop(Disorder.HOUR) else []
    return sum(found.values()), shifted

"""The page of choices, to which the reminder leads: call, or say in time that it takes longer, or answer (DESIGN.md 4).

A promise that is over in the meantime gives way to the case's next step: the page always says the present truth.
"""

from collections.abc import Mapping
from datetime import datetime

from flask import redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import finding, planning, scheduling
from portal.cases.errors import NothingToPromise, Refused
from portal.cases.models import Case, CaseState
from portal.cases.staff_view import CaseFile, StepView
from portal.links import new_secret
from portal.pages.contact import typed
from portal.pages.staff import wall_clock
from portal.pages.staff.actions import Work, do
from portal.pages.staff.case_page import left, opened, unsent
from portal.pages.staff.forms import CaseForm, ForgetPlanForm, PlanForm
from portal.pages.staff.frame import bp, page


@bp.get("/cases/<reference>/choices")
def choices(reference: str) -> Response:
    """What can be done now about a promise that falls due."""
    return choices_page(reference)


@bp.post("/cases/<reference>/plan")
def plan(reference: str) -> Response:
    """Plan a new date, a reason, or both."""
    form = PlanForm(request.form, prefix="plan")

    def step(work: Work) -> None:
        planning.plan_move(
            work.session,
            work.case,
            promise_id=form.promise_id,
            by_id=work.by_id,
            to=form.to(work.tz),
            reason=form.text.data or "",
            version=form.seen_version,
            now=work.now,
        )

    return do(reference, "plan", form, step, shown=choices_page, back="staff.choices", promise=form.promise_id)


@bp.post("/cases/<reference>/forget-plan")
def forget_plan(reference: str) -> Response:
    """Take back what was planned."""
    form = ForgetPlanForm(request.form, prefix="forget")

    def step(work: Work) -> None:
        planning.forget_plan(
            work.session, work.case, promise_id=form.promise_id, version=form.seen_version, now=work.now
        )

    return do(reference, "forget_plan", form, step, shown=choices_page, back="staff.choices", promise=form.promise_id)


def choices_page(
    reference: str,
    posted: Mapping[str, CaseForm] | None = None,
    *,
    status: int = 200,
    refusal: Refused | None = None,
) -> Response:
    """The choices for one promise of a case. Raises NotFound."""
    now, posted = clock.utc_now(), posted or {}
    with db.reading() as session:
        case = finding.by_reference(session, reference)
        if case is None:
            raise NotFound
        if case.state in (CaseState.RECEIVED, CaseState.SPAM):
            return redirect(url_for("staff.entry", reference=case.reference))
        file = opened(session, case, now)
        step = _wanted(file, posted)
        forms = {} if step is None or step.waits else _forms(session, file, step, posted, now)
        return page(
            session,
            "staff/choices.html",
            status,
            now=now,
            voice=file.voice,
            file=file,
            step=step,
            left=None if step is None else left(session, file, step.promise.due_at, now),
            forms=forms,
            posted=bool(posted),
            unsent=unsent(forms, posted),
            call_key=new_secret(),
            refusal=refusal,
        )


def _wanted(file: CaseFile, posted: Mapping[str, CaseForm]) -> StepView | None:
    """The promise that was asked for, or the next step where that is over; None where nothing is promised."""
    asked = next((form["promise"].data for form in posted.values()), request.args.get("promise"))
    wanted = typed.number(asked)
    return next((step for step in file.steps if step.promise.id == wanted), next(iter(file.steps), None))


def _forms(
    session: Session, file: CaseFile, step: StepView, posted: Mapping[str, CaseForm], now: datetime
) -> dict[str, CaseForm]:
    """The form that came back as it is, or with what is planned, or with our proposal."""
    forms = {
        "plan": posted.get("plan") or PlanForm(prefix="plan", **_proposal(session, file, step, now)),
        "forget_plan": posted.get("forget_plan") or ForgetPlanForm(prefix="forget"),
    }
    for form in forms.values():
        form.version.data, form["promise"].data = str(file.case.version), str(step.promise.id)
    return forms


def _proposal(session: Session, file: CaseFile, step: StepView, now: datetime) -> dict[str, object]:
    """What is planned stands in the form as it is; else the date that the system would choose."""
    to = step.moves_to_at if step.is_planned else _next_date(session, file.case, step.promise.due_at, now)
    day, hour = (None, None) if to is None else wall_clock.local(to, file.voice.tz)
    return {"day": day, "hour": hour, "text": step.reason}


def _next_date(session: Session, case: Case, due_at: datetime, now: datetime) -> datetime | None:
    try:
        return scheduling.next_update(directories.load(session, now=now), case, now=now, counted_from=due_at).due_at
    except NothingToPromise:
        return None

"""The case page, as it is asked for and as it comes back when a form was wrong or a step refused.

It is always drawn from the present state, in a reading transaction of its own; a form that came back lies open on it,
with everything typed.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from flask import redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock, db
from portal.cases import directory as directories
from portal.cases import finding
from portal.cases.calling import StartedCall
from portal.cases.errors import (
    DateOutOfReach,
    HasCome,
    NoAppointment,
    NoNextStep,
    NoRoom,
    NotAllowed,
    NothingPlanned,
    NoticedToday,
    NotLater,
    NotOffered,
    NotOpen,
    NotYet,
    NumberMissing,
    OnHold,
    Refused,
    SlotTaken,
    StaleAppointment,
    StaleCase,
    StillStands,
    WasMoved,
    WrongMedium,
)
from portal.cases.models import Case, CaseState
from portal.cases.staff_view import CaseFile, case_file
from portal.links import new_secret
from portal.pages.contact import typed
from portal.pages.staff import wall_clock
from portal.pages.staff.agreed import agreed_forms
from portal.pages.staff.fields import WrongTime, options
from portal.pages.staff.forms import (
    CaseForm,
    CloseForm,
    ContactForm,
    KeepingForm,
    MailForm,
    NoteForm,
    PromiseForm,
    QuestionForm,
    ReopenForm,
    ReplyForm,
    SteppingForm,
)
from portal.pages.staff.frame import own_voice, page
from portal.pages.staff.login import current_person
from portal.promises import wording
from portal.promises.models import Medium

OPEN_FORMS: Mapping[str, type[CaseForm]] = {
    "reply": ReplyForm,
    "ask": QuestionForm,
    "promise": PromiseForm,
    "mail": MailForm,
    "contact": ContactForm,
    "note": NoteForm,
    "close": CloseForm,
}
CLOSED_FORMS: Mapping[str, type[CaseForm]] = {"reopen": ReopenForm, "note": NoteForm}
BY_MAIL = ("reply", "ask")
"""Forms whose contact is a mail: it keeps nothing that was promised by another medium."""
STATUS = {
    StaleCase: 409,
    StaleAppointment: 409,
    NoAppointment: 409,
    SlotTaken: 409,
    HasCome: 409,
    NotYet: 409,
    OnHold: 409,
    WasMoved: 409,
    NotOpen: 409,
    NotAllowed: 403,
}
FIELD = {
    NoNextStep: "then",
    NoRoom: "hour",
    NoticedToday: "day",
    DateOutOfReach: "day",
    NotLater: "day",
    NotOffered: "slot",
    SlotTaken: "slot",
    StillStands: "outcome",
    NothingPlanned: "text",
    WrongMedium: "keeps",
    NumberMissing: "medium",
}
"""Where the sentence of a refusal belongs, if the form has that field."""


class Shown(Protocol):
    """A page about one case, as asked for or with a form that came back."""

    def __call__(
        self,
        reference: str,
        posted: Mapping[str, CaseForm] | None = None,
        *,
        status: int = 200,
        refusal: Refused | None = None,
    ) -> Response:
        """The page at this moment."""


def case_page(
    reference: str,
    posted: Mapping[str, CaseForm] | None = None,
    *,
    status: int = 200,
    refusal: Refused | None = None,
) -> Response:
    """The page of one case. An entry that is no case (yet) has a page of its own. Raises NotFound."""
    now = clock.utc_now()
    with db.reading() as session:
        case = finding.by_reference(session, reference)
        if case is None:
            raise NotFound
        if case.state in (CaseState.RECEIVED, CaseState.SPAM):
            return redirect(url_for("staff.entry", reference=case.reference))
        file = opened(session, case, now)
        forms = _forms(session, file, posted or {}, now)
        return page(
            session,
            "staff/case.html",
            status,
            now=now,
            voice=file.voice,
            file=file,
            forms=forms,
            posted=next(iter(posted or {}), None),
            unsent=unsent(forms, posted or {}),
            left=left(session, file, file.next_at, now) if file.next_at is not None else None,
            call_key=new_secret(),
            refusal=refusal,
        )


def refused(
    reference: str, refusal: Refused, posted: Mapping[str, CaseForm] | None = None, *, shown: Shown = case_page
) -> Response:
    """The page (that of the case) with the sentence of a refused step, at its field where it has one."""
    status = STATUS.get(type(refusal), 422)
    field = refusal.field if isinstance(refusal, WrongTime) else FIELD.get(type(refusal))
    for form in (posted or {}).values():
        if field is not None and field in form:
            form.complain(field, own_voice().say(refusal.sentence))
            return shown(reference, posted, status=status)
    return shown(reference, posted, status=status, refusal=refusal)


def call_page(reference: str, number: StartedCall) -> Response:
    """The one page that shows a number, with what may have become of the call right beside it."""
    now = clock.utc_now()
    with db.reading() as session:
        case = finding.by_reference(session, reference)
        if case is None:
            raise NotFound
        file = opened(session, case, now)
        forms = _forms(session, file, {}, now)
        form = forms.get("outcome") or forms["contact"]
        if isinstance(form, ContactForm):
            form.ask_about_call()
        return page(session, "staff/call.html", now=now, voice=file.voice, file=file, form=form, number=number)


def opened(session: Session, case: Case, now: datetime) -> CaseFile:
    """The case in the words of whoever is signed in."""
    before = request.args.get("before", "")
    return case_file(
        session,
        case,
        language=current_person().language,
        before=typed.number(before),
        now=now,
    )


def _forms(session: Session, file: CaseFile, posted: Mapping[str, CaseForm], now: datetime) -> dict[str, CaseForm]:
    """The forms this case offers: those that came back as they are, the others with our proposals."""
    kinds = {CaseState.OPEN: OPEN_FORMS, CaseState.CLOSED: CLOSED_FORMS}.get(file.case.state, {})
    day, hour = wall_clock.local(file.proposed_due, file.voice.tz)
    late = file.is_late
    proposal = {"day": day, "hour": hour, "then": "new" if late else "keep"}
    forms = {name: posted.get(name) or kind(prefix=name, **proposal) for name, kind in kinds.items()}
    for name, form in forms.items():
        form.version.data = str(file.case.version)
        if isinstance(form, SteppingForm):
            form.stand_by(file.next_sentence)
        if isinstance(form, KeepingForm):
            kept_by = [promise for promise in file.promises if name not in BY_MAIL or promise.medium == Medium.MAIL]
            form.keeps.choices = options({promise.id: promise.sentence for promise in kept_by})
    return forms | agreed_forms(session, file, posted, now=now)


def unsent(forms: Mapping[str, CaseForm], posted: Mapping[str, CaseForm]) -> str:
    """Words typed into a form that the case no longer offers."""
    return "\n".join(form["text"].data or "" for name, form in posted.items() if name not in forms and "text" in form)


def left(session: Session, file: CaseFile, due_at: datetime, now: datetime) -> str:
    """How much working time is left until then."""
    directory = directories.load(session, now=now)
    calendar = directory.calendar(directory.team_of(file.case))
    return wording.time_left(calendar, due_at, file.voice, now=now)

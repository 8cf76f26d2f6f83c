"""The forms about an agreed time: which of them a case offers now, and what each proposes."""

from collections.abc import Mapping
from datetime import datetime

from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from portal.cases import proposing
from portal.cases.appointment_view import AppointmentView
from portal.cases.models import CaseState
from portal.cases.staff_view import CaseFile
from portal.pages.staff import wall_clock
from portal.pages.staff.fields import options
from portal.pages.staff.forms import (
    AppointmentForm,
    BookForm,
    CancelForm,
    CaseForm,
    GiveForm,
    MoveForm,
    OutcomeForm,
    TimeForm,
    WishForm,
)

KINDS: Mapping[str, type[CaseForm]] = {
    "book": BookForm,
    "outcome": OutcomeForm,
    "move": MoveForm,
    "give": GiveForm,
    "wish": WishForm,
    "cancel": CancelForm,
}


def offered(appointment: AppointmentView | None) -> list[str]:
    """What can be done with it now, in the order of the page."""
    if appointment is None:
        return ["book"]
    if appointment.on_hold:
        return [] if appointment.begun else ["move", "cancel"]
    to_say = ["outcome"] if appointment.begun or appointment.started else []
    if appointment.begun:  # while nobody calls, somebody else may
        return to_say if appointment.started or appointment.over else [*to_say, "give"]
    return to_say if appointment.started else ["move", "wish", "give", "cancel"]


def agreed_forms(
    session: Session, file: CaseFile, posted: Mapping[str, CaseForm], *, now: datetime
) -> dict[str, CaseForm]:
    """The forms of this case: those that came back as they are, the others with our proposals."""
    if file.case.state != CaseState.OPEN:
        return {}
    day, hour = wall_clock.local(file.proposed_due, file.voice.tz)
    forms: dict[str, CaseForm] = {}
    for name in offered(file.appointment):
        kind = KINDS[name]
        proposal = {"day": day, "hour": hour} if kind is OutcomeForm else {}
        forms[name] = posted.get(name) or kind(prefix=name, **proposal)
    for form in forms.values():
        form.version.data = str(file.case.version)
        if isinstance(form, AppointmentForm) and file.appointment is not None:
            form.appointment.data = str(file.appointment.version)
        if isinstance(form, TimeForm):
            _propose(session, file, form, now=now)
        if isinstance(form, GiveForm):
            _people(session, file, form, now=now)
        if isinstance(form, OutcomeForm) and file.appointment is not None:
            form.ask_about(file.appointment)
            form.stand_by(file.promises[0].sentence if file.promises else "")
            form.keeps.choices = options({promise.id: promise.sentence for promise in file.promises})
    return forms


def _propose(session: Session, file: CaseFile, form: TimeForm, *, now: datetime) -> None:
    """The first free times; where a form came back, those nearest to the time it names."""
    wanted = form.wanted(file.voice.tz)
    times = proposing.times(session, file.case, file.voice, now=now, wanted=wanted)
    form.propose({time.starts_at.isoformat(): time.label for time in times})


def _people(session: Session, file: CaseFile, form: GiveForm, *, now: datetime) -> None:
    labels: dict[str, object] = {
        str(one.id): one.name if one.free else _("%(name)s (not free then)", name=one.name)
        for one in proposing.colleagues(session, file.case, now=now)
    }
    form.person.choices = options(labels)

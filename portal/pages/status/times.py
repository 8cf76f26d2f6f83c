"""Times: the customer chooses one, looks at it once more and agrees; moves it; calls it off; takes it along as a file.

Choose and check are addresses to read, so Back works and nothing has happened; only the button of the second page does
something. Until then what was agreed stays firm. A number typed before a time was lost goes along by POST: no address
and no log holds it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session
from werkzeug import Response
from wtforms import Form

from portal import clock, db
from portal.appointments import ics
from portal.appointments import service as appointments
from portal.cases import agreed_time, choosing, finding
from portal.cases import directory as directories
from portal.cases.choosing import Number
from portal.cases.errors import NotOffered, NumberMissing, Refused, SlotTaken, StaleAppointment, TooMany
from portal.cases.models import Case
from portal.cases.times_view import Chooser
from portal.languages import marked
from portal.pages.contact import typed
from portal.pages.contact.forms import first_values
from portal.pages.status.forms import CancelForm, ChooseForm, NumberForm, ReachableForm, WishForm
from portal.pages.status.frame import bp, do, lost, page

NOTHING_CHOSEN = marked("Choose a time.")
NO_TIME = marked("This is no time that can be chosen. Please take one of those shown.")


class WrongNumber(Refused):
    """What was typed is no number that we would call."""

    sentence = marked("Enter a phone number with its area code, for example 089 99998-214.")


@dataclass(frozen=True)
class Where:
    """Which days the page of times shows; kept on the way through its forms."""

    first: date | None = None
    only: date | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Where":
        """As an address or a form says it; what is no day says nothing."""
        return cls(typed.day(given.get("from")), typed.day(given.get("day")))

    @property
    def said(self) -> dict[str, Any]:
        """The same for an address or a form."""
        days = {"from": self.first, "day": self.only}
        return {name: day.isoformat() for name, day in days.items() if day is not None}


@bp.get("/appointment")
def times(token: str) -> ResponseReturnValue:
    """Choose a time; with a time in the address, look at it once more before it counts."""
    where, slot = Where.of(request.args), request.args.get("slot")
    if slot is None:
        return _nothing_chosen(token, where) if "check" in request.args else _times(token, where)
    starts_at = typed.instant(slot)
    return _times(token, where, [NO_TIME], code=422) if starts_at is None else _check(token, where, starts_at)


@bp.post("/appointment")
def agree(token: str) -> ResponseReturnValue:
    """The one button that counts: book, move, or stay."""
    posted = first_values(request.form)
    where, form = Where.of(posted), NumberForm(posted)
    starts_at, version = typed.instant(posted.get("slot")), typed.number(posted.get("version"))
    if "show" in posted:
        return _times(token, Where.of(request.args), number=form)
    if "check" in posted and not posted.get("slot"):
        return _nothing_chosen(token, where, number=form)
    if "check" in posted and starts_at is not None:
        return _check(token, where, starts_at, form=form)
    if starts_at is None:
        return _times(token, where, [NO_TIME], number=form, code=422)
    if not form.validate():
        return _check(token, where, starts_at, form=form, code=422)
    phone = form.phone.data or ""

    def take(session: Session, case: Case, now: datetime) -> str:
        number = _number(phone, directories.load(session, now=now).country) if phone else None
        return choosing.choose(session, case, starts_at=starts_at, version=version, number=number, now=now)

    told = starts_at.isoformat(), str(version), phone
    return do(token, take, "appointment", *told, refused_by=partial(_refused, token, where, starts_at, form))


@bp.post("/appointment/wish")
def wish(token: str) -> ResponseReturnValue:
    """No time fits: the customer writes when it would suit them, and on which number."""
    posted = first_values(request.form)
    where, form = Where.of(posted), WishForm(posted)
    if not form.validate():
        return _times(token, where, wish=form, code=422)
    text, phone = form.message.data or "", form.phone.data or ""

    def write(session: Session, case: Case, now: datetime) -> str:
        number = _number(phone, directories.load(session, now=now).country) if phone else None
        kept_in = choosing.wish(session, case, text, number=number, now=now)
        return "message" if kept_in is case else "continued"

    def refused(why: Refused) -> Response:
        if isinstance(why, WrongNumber):
            form.phone.errors = [*form.phone.errors, lazy_gettext(why.sentence)]
            return _times(token, where, wish=form, code=422)
        return _told(why, _times(token, where, [why.sentence], wish=form, code=_code(why)))

    return do(token, write, "message", text, phone, refused_by=refused)


@bp.get("/appointment/cancel")
def confirm_cancel(token: str) -> ResponseReturnValue:
    """Asks once, and says what the customer then waits for."""
    return _cancel(token, CancelForm())


@bp.post("/appointment/cancel")
def cancel(token: str) -> ResponseReturnValue:
    """The customer calls the appointment off."""
    posted = first_values(request.form)
    form, version = CancelForm(posted), typed.number(posted.get("version"))
    if not form.validate():
        return _cancel(token, form, code=422)
    reason = form.reason.data or ""

    def call_off(session: Session, case: Case, now: datetime) -> str:
        if version is None:
            raise StaleAppointment
        choosing.call_off(session, case, version=version, reason=reason, now=now)
        return "appointment-cancelled"

    def refused(why: Refused) -> Response:
        return _told(why, _cancel(token, form, [why.sentence], code=_code(why)))

    return do(token, call_off, "appointment-cancelled", str(version), reason, refused_by=refused)


@bp.post("/reachable")
def reachable(token: str) -> ResponseReturnValue:
    """When the customer can be reached: such times come first from then on."""
    where, parts = Where.of(request.form), ReachableForm(request.form).said()

    def say(session: Session, case: Case, now: datetime) -> str:
        choosing.say_reachable(session, case, parts, now=now)
        return "reachable"

    def refused(why: Refused) -> Response:
        return _told(why, _times(token, where, [why.sentence], said=ReachableForm(request.form), code=_code(why)))

    def back(word: str) -> str:
        return url_for("status.times", _anchor="main", **{"token": token, "done": word, **where.said})

    return do(token, say, "reachable", *parts, refused_by=refused, onto=back)


@bp.get("/appointment.ics")
def calendar_file(token: str) -> ResponseReturnValue:
    """The agreed time for the customer's own calendar, as it stands now."""
    now = clock.utc_now()
    with db.reading() as session:
        found = finding.by_token(session, token, now=now)
        if found is None or found.expired:
            return lost(session, found, now=now)
        case = found.case
        booked = appointments.booked_of(session, case.id)
        if booked is None or not appointments.is_to_come(booked, now=now):
            return redirect(url_for("status.show", token=token))
        directory = directories.load(session, now=now)
        event = agreed_time.event(directory, case, booked, directory.voice_of(case))
        answer, name = Response(ics.single(event), mimetype="text/calendar"), case.reference.lower()
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.ics"'
    return answer


def _times(
    token: str,
    where: Where,
    sentences: Collection[str] = (),
    *,
    why: Refused | None = None,
    said: ReachableForm | None = None,
    form: ChooseForm | None = None,
    wish: WishForm | None = None,
    number: NumberForm | None = None,
    code: int = 200,
) -> Response:
    """The page of times; where one did not hold, those nearest to it first. ``number`` was typed on the way here."""
    near = why.starts_at if isinstance(why, NotOffered) else None

    def show(session: Session, case: Case, now: datetime) -> Mapping[str, Any] | None:
        chooser = Chooser(session, case, now=now)
        if not chooser.is_possible:
            return None
        choice = chooser.choice(first=where.first, only=where.only, near=near)
        shown = {
            "choice": choice,
            "where": where,
            "wish": wish or WishForm(),
            "phone": number.phone.data if number else "",
            "reachable": said or ReachableForm(data={"parts": [part.value for part in choice.reachable]}),
        }
        return {**shown, "sentences": [chooser.taken(why.starts_at)]} if isinstance(why, SlotTaken) else shown

    return page(token, "status/times.html", form=form or ChooseForm(), sentences=sentences, code=code, show=show)


def _nothing_chosen(token: str, where: Where, *, number: NumberForm | None = None) -> Response:
    form = ChooseForm()
    form.slot.errors = [lazy_gettext(NOTHING_CHOSEN)]
    return _times(token, where, form=form, number=number, code=422)


def _check(
    token: str,
    where: Where,
    starts_at: datetime,
    sentences: Collection[str] = (),
    *,
    form: NumberForm | None = None,
    code: int = 200,
) -> Response:
    """One time once more, or the page of times where it does not hold."""

    def show(session: Session, case: Case, now: datetime) -> Mapping[str, Any] | None:
        chooser = Chooser(session, case, now=now)
        return {"checked": chooser.check(starts_at), "where": where} if chooser.is_possible else None

    shown = form or NumberForm()
    try:
        return page(token, "status/check_time.html", form=shown, sentences=sentences, code=code, show=show)
    except Refused as refused:
        return _not_this_one(token, where, refused, shown)


def _refused(token: str, where: Where, starts_at: datetime, form: NumberForm, why: Refused) -> Response:
    """What can be mended on the second page is said there, with everything chosen kept; all else on the first."""
    if isinstance(why, WrongNumber | NumberMissing):
        form.phone.errors = [*form.phone.errors, lazy_gettext(why.sentence)]
        return _check(token, where, starts_at, form=form, code=422)
    if isinstance(why, TooMany):
        return _told(why, _check(token, where, starts_at, [why.sentence], form=form, code=429))
    return _not_this_one(token, where, why, form)


def _not_this_one(token: str, where: Where, why: Refused, number: NumberForm) -> Response:
    return _times(token, where, [why.sentence], why=why, number=number, code=_code(why))


def _cancel(token: str, form: Form, sentences: Collection[str] = (), *, code: int = 200) -> Response:
    """The page that asks whether to call it off, for an appointment whose hour has not come."""

    def show(session: Session, case: Case, now: datetime) -> Mapping[str, Any] | None:
        chooser = Chooser(session, case, now=now)
        return {"after": chooser.after_cancelling()} if chooser.is_booked else None

    return page(token, "status/cancel.html", form=form, sentences=sentences, code=code, show=show)


def _number(text: str, country: str) -> Number:
    e164 = typed.phone(text, country)
    if e164 is None:
        raise WrongNumber
    return Number(e164, text)


def _code(why: Refused) -> int:
    return 429 if isinstance(why, TooMany) else 409


def _told(why: Refused, answer: Response) -> Response:
    """The answer, with the time after which there is room again, where that was the reason."""
    if isinstance(why, TooMany):
        answer.headers["Retry-After"] = str(why.seconds)
    return answer

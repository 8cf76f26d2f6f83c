"""The call list, and the private address of one's calendar feed. No page of it holds a number (law 3)."""

from datetime import date, datetime, timedelta

from flask import redirect, request, url_for
from werkzeug import Response

from portal import clock, db
from portal.cases import feeding
from portal.cases.call_list import call_list
from portal.cases.worklist import Scope
from portal.links import new_secret
from portal.pages.once import accepted_once
from portal.pages.staff.frame import bp, own_voice, page
from portal.pages.staff.login import current_person, note_use

FAR = timedelta(days=400)
"""A day further away than this is no day anybody looks for; today is shown instead."""


@bp.get("/calls")
def calls() -> Response:
    """Who is called or visited today, by time."""
    now, person = clock.utc_now(), current_person()
    wanted = request.args.get("scope", Scope.MINE)
    scope = Scope(wanted) if wanted in list(Scope) else Scope.MINE
    with db.reading() as session:
        shown = call_list(
            session, person_id=person.id, scope=scope, language=person.language, now=now, day=_day(now=now)
        )
        return page(
            session,
            "staff/calls.html",
            now=now,
            scope=scope,
            list=shown,
            days=_around(shown.day, now=now),
            feed=(address := feeding.address_of(session, person.id)),
            seen=feeding.mark(address),
            key=new_secret,
        )


@bp.post("/calls/address")
def feed_address() -> Response:
    """A private address for the calendar; asked for anew, the old one opens nothing any more."""
    now, seen = clock.utc_now(), request.form.get("seen", "")
    accepted_once(lambda session: feeding.renew(session, note_use(session, now=now).id, seen=seen))
    return redirect(url_for("staff.calls", done="feed", _anchor="feed"), 303)


def _day(*, now: datetime) -> date | None:
    try:
        wanted = date.fromisoformat(request.args.get("day", ""))
    except ValueError:
        return None
    return wanted if abs(wanted - now.date()) <= FAR else None


def _around(day: date, *, now: datetime) -> dict[str, date | None]:
    """The days before and after, and today where that is another one."""
    today = own_voice().local(now).date()
    one = timedelta(days=1)
    return {"before": day - one, "today": None if day == today else today, "after": day + one}

"""The frame of the staff pages: the blueprint, the guard before it, and what every page is given."""

from datetime import datetime
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import Unauthorized

from portal import db, heartbeat
from portal.languages import Voice
from portal.mail.models import MailChannel
from portal.pages import speaking
from portal.pages.staff import login, words

bp = Blueprint("staff", __name__, url_prefix="/staff")


@bp.before_request
def guard() -> Response | None:
    """Only for who is signed in; from here on the page speaks the person's language."""
    if not login.is_signed_in():
        return ask_to_sign_in(None)
    speaking.speak(login.current_person().language)
    return None


@bp.errorhandler(Unauthorized)
def ask_to_sign_in(_: Unauthorized | None) -> Response:
    """To the login page and back; words that were being sent are handed back first, to be kept."""
    reference = (request.view_args or {}).get("reference")
    here = request.full_path.rstrip("?") if request.method == "GET" else url_for("staff.worklist")
    if request.method != "GET" and reference is not None:
        here = url_for("staff.case", reference=reference)
    unsent = next((value for name, value in request.form.items() if name.endswith("text") and value.strip()), None)
    if unsent is None:
        return login.to_login(here)
    speaking.speak("de")
    with db.reading() as session:
        company = speaking.company(session)
    return make_response(
        render_template(
            "staff/signed_out.html", company=company, unsent=unsent, way_back=login.to_login(here).location
        ),
        401,
    )


def own_voice() -> Voice:
    """How the signed-in person is spoken to: own language, clock of the own team."""
    person = login.current_person()
    return Voice(person.language, person.country, person.tz)


def page(
    session: Session,
    template: str,
    status: int = 200,
    *,
    now: datetime,
    voice: Voice | None = None,
    **values: Any,
) -> Response:
    """A staff page with what each of them shows: who is signed in, and whether letters leave at all."""
    return make_response(
        render_template(
            template,
            person=login.current_person(),
            company=speaking.company(session),
            voice=voice or own_voice(),
            now=now,
            worker_dead=heartbeat.is_dead(session, now=now),
            last_beat=heartbeat.last_beat(session),
            paused=session.scalars(select(MailChannel).where(MailChannel.paused_until > now).limit(1)).first(),
            words=words,
            done=words.DONE.get(request.args.get("done", "")),
            **values,
        ),
        status,
    )

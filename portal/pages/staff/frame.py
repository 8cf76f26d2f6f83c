"""The frame of the staff pages: the blueprint, the guard before it, and what every page is given."""

from datetime import datetime
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import Unauthorized

from portal import clock, db, heartbeat
from portal.languages import Voice
from portal.mail.models import MailChannel
from portal.pages import errors, speaking
from portal.pages.staff import login, words

bp = Blueprint("staff", __name__, url_prefix="/staff")


@bp.before_request
def guard() -> ResponseReturnValue | None:
    """Only for who is signed in; from here on the page speaks the person's language."""
    if not login.is_signed_in():
        return ask_to_sign_in(None)
    speaking.speak(login.current_person().language)
    return None


@bp.errorhandler(Unauthorized)
def ask_to_sign_in(_: Unauthorized | None) -> ResponseReturnValue:
    """To the login page and back; words that were being sent are handed back first, to be kept."""
    unsent = _unsent()
    return login.to_login(_way_back()) if unsent is None else _hand_back(unsent, 401)


@bp.errorhandler(CSRFError)
def refuse_foreign_form(error: CSRFError) -> ResponseReturnValue:
    """A form without its token: somebody else's, or ours after the cookie was lost; then its words are handed back."""
    unsent = _unsent()
    return errors.refused(error) if unsent is None else _hand_back(unsent, 400)


def _unsent() -> str | None:
    return next((value for name, value in request.form.items() if name.endswith("text") and value.strip()), None)


def _way_back() -> str:
    """The page to go on with after signing in: for a POST, that of its case."""
    reference = (request.view_args or {}).get("reference")
    if request.method in ("GET", "HEAD"):
        return request.full_path.rstrip("?")
    return url_for("staff.worklist") if reference is None else url_for("staff.case", reference=reference)


def _hand_back(unsent: str, status: int) -> Response:
    speaking.speak("de")
    with db.reading() as session:
        company = speaking.company(session, now=clock.utc_now())
    way_back = login.to_login(_way_back()).location
    return make_response(
        render_template("staff/signed_out.html", company=company, unsent=unsent, way_back=way_back), status
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
            company=speaking.company(session, now=now),
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

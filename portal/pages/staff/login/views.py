"""Signing in and out."""

import structlog
from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask import session as cookie
from flask_login import login_user, logout_user
from werkzeug import Response

from portal import clock, config, db, limits
from portal.languages import best_language
from portal.pages import speaking
from portal.pages.staff.login import current_person, is_signed_in, passwords, safe_next, sign_ins
from portal.pages.staff.login.forms import LoginForm

bp = Blueprint("login", __name__, url_prefix="/staff")
log = structlog.get_logger()

BUSY_SECONDS = 3
"""After which a sign-in is worth another try when too many came at once."""


@bp.before_request
def speak() -> None:
    """German, unless English was chosen on the login page."""
    speaking.speak(best_language(request.args.get("lang")))


@bp.get("/login")
def page() -> Response:
    """The login form; who is signed in already goes on."""
    if is_signed_in():
        return redirect(safe_next(request.args.get("next")), 302)
    return _page(LoginForm())


@bp.post("/login")
def sign_in() -> Response:
    """Check address and password and begin a sign-in; every refusal reads the same."""
    form = LoginForm(request.form)
    if not form.validate():
        return _page(form, 422)
    email, password, now = form.email.data or "", form.password.data or "", clock.utc_now()
    network = limits.network_of(request.remote_addr)
    with db.writing() as session:  # Counted before the hashing, so that a flood of attempts costs little.
        key = config.current().counter_key
        throttled = sign_ins.too_many_attempts(session, email, network, key=key, now=now)
        known = sign_ins.known_login(session, email, now=now)
    if throttled:
        log.warning("sign_in_throttled")
        return _page(form, 429, refused=True, wait=sign_ins.seconds_until_next_attempt(now))
    try:
        fits = passwords.check_password(known.password if known else None, password)
    except passwords.Busy:
        log.warning("sign_in_busy")
        return _page(form, 503, busy=True, wait=BUSY_SECONDS)
    if not fits or known is None:
        log.warning("sign_in_refused", person_id=known.person_id if known else None)
        return _page(form, 422, refused=True)
    return _signed_in(known, password)


@bp.post("/logout")
def sign_out() -> Response:
    """End the sign-in: from now on a copy of its cookie is worth nothing either."""
    if is_signed_in():
        person = current_person()
        with db.transaction() as session:
            sign_ins.end(session, person.secret, now=clock.utc_now())
        log.info("signed_out", person_id=person.id)
    logout_user()
    cookie.clear()
    return redirect(url_for("login.page", done="signed-out"), 303)


def _signed_in(known: sign_ins.Known, password: str) -> Response:
    """Begin a sign-in in a fresh session, so that nothing known before it is worth anything afterwards."""
    new_hash = passwords.hash_password(password) if passwords.is_outdated(known.password) else None
    former, now = current_person() if is_signed_in() else None, clock.utc_now()
    with db.transaction() as session:
        if former is not None:
            sign_ins.end(session, former.secret, now=now)
        secret = sign_ins.begin(session, known.person_id, now=now, new_hash=new_hash)
        session.flush()
        person = sign_ins.find(session, secret, now=now)
    cookie.clear()
    if person is None:  # Switched off in this very moment.
        return _page(LoginForm(), 422, refused=True)
    login_user(person)
    log.info("signed_in", person_id=known.person_id)
    return redirect(safe_next(request.args.get("next")), 303)


def _page(
    form: LoginForm, status: int = 200, *, refused: bool = False, busy: bool = False, wait: int | None = None
) -> Response:
    with db.reading() as session:
        html = render_template(
            "staff/login.html",
            form=form,
            company=speaking.company(session, now=clock.utc_now()),
            refused=refused,
            busy=busy,
            signed_out=request.args.get("done") == "signed-out",
            next=request.args.get("next"),
        )
    response = make_response(html, status)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response

"""Who is signed in. The only place that knows the login library (Flask-Login).

The session cookie carries the random secret of one sign-in; its row in the database says whether it is alive. The row
is looked up in a short reading transaction of its own, before the view opens its writing one: a session that reads
first and writes later fails on SQLite beside another writer.
"""

import re
from datetime import datetime
from urllib.parse import urlencode

from flask import Flask, redirect, url_for
from flask_login import LoginManager, current_user
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import Unauthorized

from portal import clock, db
from portal.pages.staff.login import sign_ins
from portal.pages.staff.login.sign_ins import SignedIn

__all__ = ["SignedIn", "current_person", "init_app", "is_signed_in", "note_use", "safe_next", "to_login"]

manager = LoginManager()
manager.session_protection = None  # Binding a sign-in to an address would sign out whoever changes networks.

NEXT = re.compile(r"/staff(/[\w-]+)*/?(\?[\w=&-]*)?", re.ASCII)


def init_app(app: Flask) -> None:
    """Make sign-ins known to the application.

    Not LoginManager.init_app: its hooks look into the session on every page, and customers' pages have none.
    """
    app.login_manager = manager  # type: ignore[attr-defined]  # the attribute Flask-Login looks for


@manager.user_loader  # type: ignore[untyped-decorator]  # Flask-Login has no types
def _load(secret: str) -> SignedIn | None:
    with db.reading() as session:
        return sign_ins.find(session, secret, now=clock.utc_now())


def is_signed_in() -> bool:
    """Whether this request comes from a living sign-in."""
    return bool(current_user.is_authenticated)


def current_person() -> SignedIn:
    """Who is signed in. Raises Unauthorized where nobody is; views behind the guard need not expect that."""
    if not is_signed_in():
        raise Unauthorized
    person: SignedIn = current_user._get_current_object()
    return person


def note_use(session: Session, *, now: datetime) -> SignedIn:
    """Who is signed in, at the start of a POST's writing transaction; the sign-in lives on from here.

    Raises Unauthorized when it ended after the guard had looked.
    """
    person = current_person()
    if not sign_ins.touch(session, person.secret, now=now):
        raise Unauthorized
    return person


def to_login(here: str) -> Response:
    """The way to the login page and, after signing in, to the page ``here``."""
    return redirect(f"{url_for('login.page')}?{urlencode({'next': here})}")


def safe_next(wanted: str | None) -> str:
    """The page to go to after signing in: a plain path below /staff, else the worklist."""
    return wanted if wanted and NEXT.fullmatch(wanted) else url_for("staff.worklist")

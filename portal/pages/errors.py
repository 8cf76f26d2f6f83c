"""Error pages: a clear sentence, what to do, whom to call. Never a traceback, never a word about the inside.

A page that says that the database is out of reach must not ask the database: its number comes from the settings.
"""

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError, TimeoutError
from werkzeug.exceptions import HTTPException

from portal import clock, config, db
from portal.cases.errors import NotSetUp
from portal.pages import speaking
from portal.pages.contact import typed

SECONDS_UNTIL_AGAIN = "30"
OUT_OF_REACH = (OperationalError, InterfaceError, InternalError, TimeoutError)
"""Down, locked, full, or cut off: what a moment or a person mends, and no fault of the page. PostgreSQL calls a
transaction that was ended for its idleness and a server that only reads internal errors."""
WITHOUT_DATABASE = (500, 503)
KEPT_HEADERS = ("Allow", "Retry-After")
NOT_TYPED: tuple[str, ...] = ("csrf_token", "key", "version", "website", "altcha", "password", "held", "remove")
NOT_TYPED += ("topic", "outcome", "contact", "keeps", "then", "promise", "visible")  # chosen, and no words to read
TRY_AGAIN = _("Please go back and try once more, or call us.")

SENTENCES: Mapping[int, tuple[object, object]] = {
    400: (_("This could not be read"), TRY_AGAIN),
    403: (_("This page is not for you"), _("If you need it, ask the person who invited you.")),
    404: (
        _("There is no page at this address"),
        _("Perhaps the address was cut off. Copy it in full from our e-mail, or write to us."),
    ),
    405: (
        _("This address cannot be opened like this"),
        _("It belongs to a button on one of our pages. Please go back and press it there."),
    ),
    409: (
        _("Something has changed in the meantime"),
        _("Please go back, reload the page and try once more."),
    ),
    410: (_("This page is no longer here"), _("Its time is over. Write to us, or call us.")),
    413: (
        _("That was too much at once"),
        _(
            "Nothing of it has been kept. Please go back and send less at once: a shorter text, and where files may "
            "come along at most five, with 10 MB each and 25 MB together. Or call us."
        ),
    ),
    415: (_("This could not be read"), TRY_AGAIN),
    423: (
        _("This file is still being checked"),
        _("A virus scanner looks at it before anybody opens it. Please try again in a few minutes, or call us."),
    ),
    429: (
        _("That was too often in a short time"),
        _("Please wait a quarter of an hour and try again. It is quicker by phone."),
    ),
    500: (
        _("Something went wrong on our side"),
        _("The fault has been noted. Please send it once more, or call us. Nothing is taken twice."),
    ),
    503: (
        _("We cannot take this right now"),
        _("Please go back and send it again in half a minute, or call us. Nothing is taken twice."),
    ),
}
"""Heading and advice by status code; other codes below 500 read like 400, the rest like 500."""


def init_app(app: Flask) -> None:
    """Answer every error with a page of ours."""
    app.register_error_handler(HTTPException, refused)
    for fault in OUT_OF_REACH:
        app.register_error_handler(fault, out_of_reach)
    app.register_error_handler(NotSetUp, not_set_up)
    app.register_error_handler(Exception, broken)


def refused(error: HTTPException) -> ResponseReturnValue:
    """Whatever Flask or a view refused."""
    code = error.code or 500
    if error.response is not None or code < 400:
        return error
    response = _page(code)
    for name, value in error.get_headers():
        if name in KEPT_HEADERS:
            response.headers[name] = value
    return response


def out_of_reach(error: SQLAlchemyError) -> ResponseReturnValue:
    """The database does not answer, is full, or had no turn for us in time. What was typed is shown to be copied."""
    current_app.logger.error("the database is out of reach: %s", type(getattr(error, "orig", error)).__name__)
    return _page(503)


def not_set_up(_error: NotSetUp) -> ResponseReturnValue:
    """Migrated, and nobody entered yet: whoever runs the program reads it in the log and from `durchwahl check`."""
    current_app.logger.error("there is no company yet: run `durchwahl person add`")
    return _page(503)


def broken(error: Exception) -> ResponseReturnValue:
    """A fault of ours: noted with its traceback, shown without."""
    current_app.logger.error("a page broke", exc_info=error)
    return _page(500)


def _page(code: int) -> Response:
    answer = make_response(*_content(code))
    if code == 503:
        answer.headers["Retry-After"] = SECONDS_UNTIL_AGAIN
    return answer


def _content(code: int) -> tuple[str, int, dict[str, str]]:
    heading, advice = SENTENCES.get(code) or SENTENCES[400 if code < 500 else 500]
    house = {} if code in WITHOUT_DATABASE else _house()
    contact = None if house else config.current().fallback_contact
    if request.accept_mimetypes and not request.accept_mimetypes.accept_html:
        return f"{heading}. {advice}\n", code, {"Content-Type": "text/plain; charset=utf-8"}
    page = render_template(
        "errors/page.html",
        heading=heading,
        advice=advice,
        contact=contact,
        typed=_typed() if code in WITHOUT_DATABASE else "",
        back=code in (404, 410, 413),
        **house,
    )
    return page, code, {}


def _house() -> dict[str, Any]:
    """The company and its front desk; nothing where the database cannot say."""
    try:
        with db.reading() as session:
            return speaking.house(session, now=clock.utc_now())
    except (SQLAlchemyError, NotSetUp):
        return {}


def _typed() -> str:
    """What a refused POST held, so that nobody has to type it again."""
    return typed.readable(request.form, NOT_TYPED) if request.method == "POST" else ""

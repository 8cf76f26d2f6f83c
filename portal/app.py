"""The web: the core, and the pages on top of it."""

from collections.abc import Mapping
from datetime import timedelta

from flask import Flask, request
from flask_babel import Babel
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import LengthRequired
from werkzeug.middleware.proxy_fix import ProxyFix

from portal import config
from portal.core import create_core
from portal.languages import CATALOGUES
from portal.pages import calendar, errors, headers, operation, speaking, uploads
from portal.pages.contact import views as contact
from portal.pages.link import views as link
from portal.pages.mailbox import views as mailbox
from portal.pages.staff import frame as staff
from portal.pages.staff import login
from portal.pages.staff.login import views as login_views
from portal.pages.status import frame as status

FORM_BYTES = 64 * 1024
"""Largest body of a form."""
FORM_PARTS = 40
SIGN_IN_LIFE = timedelta(hours=12)


def create_app(environment: Mapping[str, str] | None = None) -> Flask:
    """The whole application. Raises SettingsError when a setting is missing or wrong."""
    app = create_core(environment)
    settings = app.extensions["portal.settings"]
    _configure(app, settings)
    headers.init_app(app)
    app.before_request(_refuse_bodies_of_unknown_length)
    uploads.init_app(app)
    Babel(app, locale_selector=speaking.language)
    speaking.init_app(app)
    csrf = CSRFProtect(app)
    login.init_app(app)
    errors.init_app(app)
    for customers in (contact.bp, status.bp, link.bp, calendar.bp, operation.bp):
        # No cookie and no session on customers' pages: the form carries a signed token, the status page's address is
        # itself the secret.
        csrf.exempt(customers)
        app.register_blueprint(customers)
    app.register_blueprint(login_views.bp)
    app.register_blueprint(staff.bp)
    if settings.mailbox_dir is not None:
        app.register_blueprint(mailbox.bp)
    return app


def _refuse_bodies_of_unknown_length() -> None:
    """Not read at all: Werkzeug would cut a long one off at the limit and hand on what it has as if it were whole."""
    if "Transfer-Encoding" in request.headers and request.method not in ("GET", "HEAD", "OPTIONS"):
        raise LengthRequired


def _configure(app: Flask, settings: config.Settings) -> None:
    secure = settings.base_url.startswith("https://")
    app.config.update(
        MAX_CONTENT_LENGTH=FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        MAX_FORM_PARTS=FORM_PARTS,
        SESSION_COOKIE_NAME="__Host-durchwahl" if secure else "durchwahl",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=SIGN_IN_LIFE,
        # Flask-WTF knows nothing of SECRET_KEY_FALLBACKS: an open form must survive a change of keys.
        WTF_CSRF_SECRET_KEY=list(settings.secret_keys),
        WTF_CSRF_TIME_LIMIT=None,
        BABEL_DEFAULT_LOCALE="de",
        BABEL_TRANSLATION_DIRECTORIES=str(CATALOGUES),
    )
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)  # type: ignore[method-assign]  # Flask's documented way

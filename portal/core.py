"""The core: settings, database, mail, languages; no pages. The worker starts here, the web adds pages on top."""

import os
from collections.abc import Mapping

from flask import Flask

from portal import config, db, logs
from portal.config import Settings, SettingsError
from portal.links import Links
from portal.mail.message import UnsafeHeader, ascii_address
from portal.mail.transport import Post


def create_core(environment: Mapping[str, str] | None = None) -> Flask:
    """An application with everything but pages.

    Raises SettingsError when a setting is missing or wrong. ``environment`` replaces the process's own.
    """
    settings = config.read(os.environ if environment is None else environment)
    _must_be_sendable(settings)
    app = Flask("portal")
    app.extensions["portal.settings"] = settings
    app.extensions["portal.links"] = Links(settings.secret_keys)
    app.config.update(
        SECRET_KEY=settings.secret_keys[-1],
        SECRET_KEY_FALLBACKS=list(reversed(settings.secret_keys[:-1])),
        MAIL_SERVER=settings.mail_server,
        MAIL_PORT=settings.mail_port,
        MAIL_USE_TLS=settings.mail_use_tls,
        MAIL_USE_SSL=settings.mail_use_ssl,
        MAIL_USERNAME=settings.mail_username,
        MAIL_PASSWORD=settings.mail_password,
        MAIL_DEFAULT_SENDER=settings.mail_default_sender,
        MAIL_DEADLINE=settings.mail_deadline,
        MAIL_CA_FILE=settings.mail_ca_file,
        MAIL_SUPPRESS_SEND=False,
        MAILBOX_DIR=str(settings.mailbox_dir) if settings.mailbox_dir else None,
    )
    logs.set_up(settings.log_format)
    db.init_app(app, settings.database_url)
    app.extensions["portal.post"] = Post(app)
    return app


def _must_be_sendable(settings: Settings) -> None:
    """Refuse a sender that no letter can carry; asked here because the settings know nothing of mail."""
    try:
        ascii_address(settings.mail_default_sender)
    except UnsafeHeader:
        raise SettingsError(
            "PORTAL_MAIL_DEFAULT_SENDER must be an e-mail address without umlauts and signs before the @."
        ) from None

"""Settings: read from the environment once, checked at the start, never changed afterwards.

Every wrong value is one sentence that names its variable (SettingsError); nothing else in the program reads
the environment.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from portal.links import Links

PREFIX = "PORTAL_"
SECRET_KEY_LENGTH = 32
WELL_KNOWN_KEYS = {"changeme", "change-me", "secret", "dev", "development", "default", "password", "test"}

T = TypeVar("T")


class SettingsError(Exception):
    """A setting is missing or wrong; the text is one sentence for whoever runs the program."""


@dataclass(frozen=True)
class Rate:
    """At most ``limit`` events in a window of ``seconds``."""

    limit: int
    seconds: int


@dataclass(frozen=True)
class Settings:
    """All settings of one process; the fields are the variables of INTERFACE.md without their prefix."""

    database_url: str
    secret_keys: tuple[str, ...]
    base_url: str
    mail_server: str
    mail_port: int
    mail_use_tls: bool
    mail_use_ssl: bool
    mail_username: str | None
    mail_password: str | None
    mail_ca_file: str | None
    mail_default_sender: str
    mail_retry_base: float
    mail_deadline: float
    mail_lease: float
    mail_cap: tuple[Rate, ...]
    form_min_seconds: float
    timezone: str
    log_format: str
    trusted_proxies: int
    fallback_contact: str | None
    mailbox_dir: Path | None


class _Environment:
    """Reads one variable at a time; a ``_FILE`` twin wins nothing over the plain one but may replace it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str | None:
        variable = PREFIX + name
        path = self._values.get(variable + "_FILE")
        if self._values.get(variable):
            return self._values[variable].strip()
        if not path:
            return default
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"{variable}_FILE: the file cannot be read ({type(error).__name__}).") from error

    def parsed(self, name: str, default: str, parse: Callable[[str], T], expected: str) -> T:
        value = self.text(name, default) or default
        try:
            return parse(value)
        except (ValueError, KeyError, OSError) as error:
            raise SettingsError(f"{PREFIX}{name} must be {expected}.") from error


def _boolean(value: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        number = float(value)
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not least <= number <= most:
            raise ValueError(value)
        return number

    return parse


def _rates(value: str) -> tuple[Rate, ...]:
    seconds = {"minute": 60, "hour": 3600, "day": 86400}
    rates = []
    for part in value.split(";"):
        match = re.fullmatch(r"\s*(\d+) per (minute|hour|day)\s*", part)
        if match is None:
            raise ValueError(value)
        rates.append(Rate(int(match[1]), seconds[match[2]]))
    return tuple(rates)


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(value)
    return value.rstrip("/")


def _database_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError(value)
    try:
        make_url(value)
    except ArgumentError as error:
        raise ValueError(value) from error
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+", value):
        raise ValueError(value)
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(value)
        return value

    return parse


def _secret_keys(environment: _Environment) -> tuple[str, ...]:
    """Keys oldest to newest, as itsdangerous wants them. Raises SettingsError for a missing or weak key."""
    key = environment.text("SECRET_KEY")
    if not key:
        raise SettingsError("PORTAL_SECRET_KEY is missing: set it to at least 32 random characters.")
    if len(key) < SECRET_KEY_LENGTH or key.lower() in WELL_KNOWN_KEYS or len(set(key)) < 8:
        raise SettingsError("PORTAL_SECRET_KEY is too short or too simple: set at least 32 random characters.")
    fallbacks = [old.strip() for old in (environment.text("SECRET_KEY_FALLBACKS") or "").split(",")]
    return (*reversed([old for old in fallbacks if old]), key)


def read(values: Mapping[str, str]) -> Settings:
    """All settings from environment-like ``values``.

    Raises SettingsError with one sentence that names the first wrong variable.
    """
    env = _Environment(values)
    deadline = env.parsed("MAIL_DEADLINE", "240", _number(0.1, 3600), "a number of seconds from 0.1 to 3600")
    lease = env.parsed("MAIL_LEASE", str(deadline + 30), _number(0.1, 7200), "a number of seconds from 0.1 to 7200")
    if lease <= deadline:
        raise SettingsError("PORTAL_MAIL_LEASE must be longer than PORTAL_MAIL_DEADLINE.")
    use_tls = env.parsed("MAIL_USE_TLS", "false", _boolean, "true or false")
    use_ssl = env.parsed("MAIL_USE_SSL", "false", _boolean, "true or false")
    if use_tls and use_ssl:
        raise SettingsError("PORTAL_MAIL_USE_TLS and PORTAL_MAIL_USE_SSL exclude each other: set one of them.")
    mailbox = env.text("MAILBOX_DIR")
    return Settings(
        database_url=env.parsed(
            "DATABASE_URL",
            "sqlite:///var/durchwahl.sqlite3",
            _database_url,
            "an address such as sqlite:///var/durchwahl.sqlite3 or postgresql+psycopg://user@host/name",
        ),
        secret_keys=_secret_keys(env),
        base_url=env.parsed(
            "BASE_URL", "http://127.0.0.1:8000", _base_url, "an address such as https://service.example.de"
        ),
        mail_server=env.text("MAIL_SERVER", "127.0.0.1") or "127.0.0.1",
        mail_port=env.parsed("MAIL_PORT", "25", _whole(1, 65535), "a port from 1 to 65535"),
        mail_use_tls=use_tls,
        mail_use_ssl=use_ssl,
        mail_username=env.text("MAIL_USERNAME"),
        mail_password=env.text("MAIL_PASSWORD"),
        mail_ca_file=env.text("MAIL_CA_FILE"),
        mail_default_sender=env.parsed(
            "MAIL_DEFAULT_SENDER", "service@localhost.example", _address, "one e-mail address"
        ),
        mail_retry_base=env.parsed(
            "MAIL_RETRY_BASE", "10", _number(0.01, 3600), "a number of seconds from 0.01 to 3600"
        ),
        mail_deadline=deadline,
        mail_lease=lease,
        mail_cap=env.parsed("MAIL_CAP", "3 per hour;10 per day", _rates, "rates such as “3 per hour;10 per day”"),
        form_min_seconds=env.parsed("FORM_MIN_SECONDS", "3", _number(0, 600), "a number of seconds from 0 to 600"),
        timezone=env.parsed(
            "TIMEZONE", "Europe/Berlin", lambda name: ZoneInfo(name).key, "a time zone such as Europe/Berlin"
        ),
        log_format=env.parsed("LOG_FORMAT", "text", _one_of("text", "json"), "text or json"),
        trusted_proxies=env.parsed("TRUSTED_PROXIES", "0", _whole(0, 5), "a whole number from 0 to 5"),
        fallback_contact=env.text("FALLBACK_CONTACT"),
        mailbox_dir=Path(mailbox) if mailbox else None,
    )


def current() -> Settings:
    """The settings of the running application."""
    settings: Settings = current_app.extensions["portal.settings"]
    return settings


def links() -> Links:
    """The signer of the running application."""
    signer: Links = current_app.extensions["portal.links"]
    return signer

"""Settings: read from the environment once, checked at the start, never changed afterwards.

Every wrong value is one sentence that names its variable (SettingsError); nothing else in the program reads
the environment.
"""

import ipaddress
import re
import ssl
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
LEAST_CHARACTERS = 8
"""How many different characters a key has at least; of 32 random hexadecimal digits practically every one has more."""
LEAST_REST = 16
"""Characters a key still has without the words everybody knows; 16 hexadecimal ones are 64 bits nobody guesses."""
WELL_KNOWN_WORDS = re.compile(
    r"change|replace|secret|geheim|schl(?:ue|ü)ssel|passwor[dt]|default|develop(?:ment|er)?|production|example|beispiel"
    r"|please|bitte|durchwahl|portal|flask|insert|enter|your|test|this|here|dev|key|me|a|in|to|[-_.\s]"
)

_HOST = r"[\w-]+(?:\.[\w-]+)*"
_BASE_URL = re.compile(rf"https?://(?:{_HOST}|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:/[\w.~!$&()*+,;=:@%/-]*)?")

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
    form_limit: tuple[Rate, ...]
    site_limit: tuple[Rate, ...]
    upload_limit: tuple[Rate, ...]
    """In bytes."""
    clamd: str | None
    """Where the virus scanner listens: host:port, or the path of its socket; None where there is none."""
    slot_notice: float
    """Hours from now before which no appointment begins."""
    slot_horizon: int
    """Days ahead that appointments can be chosen."""
    slot_change: float
    """Hours before its start until which a customer moves or cancels an appointment."""
    slot_moves: int
    """How often a customer moves one."""
    form_min_seconds: float
    proof_of_work: bool
    """Whether the contact form asks the browser for one."""
    timezone: str
    log_format: str
    trusted_proxies: int
    fallback_contact: str | None
    mailbox_dir: Path | None

    @property
    def counter_key(self) -> str:
        """The key that counters are named with: the oldest, so that a new one does not let everybody begin anew."""
        return self.secret_keys[0]


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
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return words[value.lower()]


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


def _volumes(value: str) -> tuple[Rate, ...]:
    """Rates of bytes: “100 MB per hour”."""
    rates = [part.strip().partition(" MB ") for part in value.split(";")]
    return _rates(";".join(f"{int(number) * 1024 * 1024} {rest}" for number, _, rest in rates))


def _scanner(value: str) -> str:
    """A socket's full path, or a host with a port."""
    if value.startswith("/"):
        return value
    host, _, port = value.rpartition(":")
    _whole(1, 65535)(port)
    _host(host.removeprefix("[").removesuffix("]"))
    return value


def _base_url(value: str) -> str:
    # The pattern first: urlsplit drops line breaks, and lets through quotes, spaces and who signs in before an @.
    if not _BASE_URL.fullmatch(value):
        raise ValueError(value)
    if urlsplit(value).port == 0:  # one above 65535 is a ValueError by itself
        raise ValueError(value)
    return value.rstrip("/")


def _database_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError(value)
    try:
        url = make_url(value)
    except ArgumentError as error:
        raise ValueError(value) from error
    if url.get_backend_name() == "sqlite" and "?" in value:
        # What stands there the driver would take, or warn of, each in its own way; what SQLite needs is set in db.py.
        raise SettingsError("PORTAL_DATABASE_URL must name a SQLite file without anything after a question mark.")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(rf"{_HOST}\.?", value) or len(value) > 253:
        ipaddress.ip_address(value)  # a ValueError for whatever is neither a name nor an address
    return value


def _certificates(value: str) -> str:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)  # OSError, for what is no certificate too
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
    """Keys oldest to newest, as itsdangerous wants them. Raises SettingsError for a missing or weak key.

    An old key is as good for forging a link as the new one, so the same holds for each.
    """
    key = environment.text("SECRET_KEY")
    if not key:
        raise SettingsError("PORTAL_SECRET_KEY is missing: set it to at least 32 random characters.")
    if _is_weak(key):
        raise SettingsError("PORTAL_SECRET_KEY is too short or too simple: set at least 32 random characters.")
    listed = [old.strip() for old in (environment.text("SECRET_KEY_FALLBACKS") or "").split(",")]
    fallbacks = [old for old in listed if old]
    if any(_is_weak(old) for old in fallbacks):
        raise SettingsError(
            "PORTAL_SECRET_KEY_FALLBACKS holds a key that is too short or too simple: "
            "whoever guesses it can forge links, so leave it out."
        )
    return (*reversed(fallbacks), key)


def _is_weak(key: str) -> bool:
    """Whether a key can be guessed: too short, of few characters, one piece over and over, or known words."""
    repeats = any(key[length:] == key[:-length] for length in range(1, len(key) // 2 + 1))
    rest = WELL_KNOWN_WORDS.sub("", key.casefold())
    return len(key) < SECRET_KEY_LENGTH or len(set(key)) < LEAST_CHARACTERS or repeats or len(rest) < LEAST_REST


def _mail_login(environment: _Environment) -> tuple[str | None, str | None]:
    """User name and password at the relay: both or none of them."""
    username, password = environment.text("MAIL_USERNAME"), environment.text("MAIL_PASSWORD")
    if bool(username) != bool(password):
        missing, given = ("PASSWORD", "USERNAME") if username else ("USERNAME", "PASSWORD")
        raise SettingsError(f"PORTAL_MAIL_{missing} is missing: PORTAL_MAIL_{given} is of no use without it.")
    return username, password


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
    username, password = _mail_login(env)
    ca_file = env.text("MAIL_CA_FILE")
    mailbox, clamd = env.text("MAILBOX_DIR"), env.text("CLAMD")
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
        mail_server=env.parsed("MAIL_SERVER", "127.0.0.1", _host, "the name or address of a host"),
        mail_port=env.parsed("MAIL_PORT", "25", _whole(1, 65535), "a port from 1 to 65535"),
        mail_use_tls=use_tls,
        mail_use_ssl=use_ssl,
        mail_username=username,
        mail_password=password,
        mail_ca_file=env.parsed("MAIL_CA_FILE", ca_file, _certificates, "a file of certificates (PEM)")
        if ca_file
        else None,
        mail_default_sender=env.parsed(
            "MAIL_DEFAULT_SENDER", "service@localhost.example", _address, "one e-mail address"
        ),
        mail_retry_base=env.parsed(
            "MAIL_RETRY_BASE", "10", _number(0.01, 3600), "a number of seconds from 0.01 to 3600"
        ),
        mail_deadline=deadline,
        mail_lease=lease,
        mail_cap=env.parsed("MAIL_CAP", "3 per hour;10 per day", _rates, "rates such as “3 per hour;10 per day”"),
        form_limit=env.parsed(
            "FORM_LIMIT", "20 per hour;240 per day", _rates, "rates such as “20 per hour;240 per day”"
        ),
        site_limit=env.parsed("SITE_LIMIT", "5000 per day", _rates, "rates such as “5000 per day”"),
        upload_limit=env.parsed("UPLOAD_LIMIT", "100 MB per hour", _volumes, "volumes such as “100 MB per hour”"),
        clamd=env.parsed("CLAMD", clamd, _scanner, "host:port or the full path of a socket") if clamd else None,
        slot_notice=env.parsed("SLOT_NOTICE", "4", _number(0, 720), "a number of hours from 0 to 720"),
        slot_horizon=env.parsed("SLOT_HORIZON", "60", _whole(1, 365), "a whole number of days from 1 to 365"),
        slot_change=env.parsed("SLOT_CHANGE", "2", _number(0, 720), "a number of hours from 0 to 720"),
        slot_moves=env.parsed("SLOT_MOVES", "3", _whole(0, 100), "a whole number from 0 to 100"),
        form_min_seconds=env.parsed("FORM_MIN_SECONDS", "3", _number(0, 600), "a number of seconds from 0 to 600"),
        proof_of_work=env.parsed("PROOF_OF_WORK", "false", _boolean, "true or false"),
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

"""What people type, made uniform before anything else looks at it: pure rules.

The same text typed on two machines is the same text here (composed characters, one kind of line break), and nothing
invisible gets through: a control character forges headers, a direction mark turns a name around.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

KEY = re.compile(r"[\w-]{16,64}", re.ASCII)
DAY = re.compile(r"20\d\d-\d\d-\d\d", re.ASCII)
INSTANT = re.compile(rf"{DAY.pattern}T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""A start in ISO 8601 with its offset, of this century: what lies further away no calendar can count with."""
LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
DIRECTION_MARKS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
ADDRESS_IN_NAME = re.compile(r"://|www\.|@|(?<!\d)\d+(?:\.\d+){3}", re.IGNORECASE)
HOST_IN_NAME = re.compile(r"(?<![\w-])([\w-]+(?:\.[\w-]+)+)\.?([/:]?)")
"""Words joined by dots; the look-behind keeps the search linear, whatever was typed."""
TOP_LEVEL = re.compile(r"[^\W\d_]{2,}|xn--[\w-]+", re.IGNORECASE)
TITLES = frozenset(
    {
        "co",
        "dipl",
        "dr",
        "e",
        "fa",
        "fr",
        "h",
        "habil",
        "hr",
        "inf",
        "ing",
        "inh",
        "jur",
        "kfm",
        "kg",
        "mag",
        "math",
        "med",
        "mult",
        "nat",
        "oec",
        "phil",
        "phys",
        "pol",
        "prof",
        "rer",
        "st",
        "str",
        "theol",
        "u",
        "z",
    }
)
"""Short forms that people write before or after a name, often without the space."""
PARTICLES = frozenset({"da", "de", "del", "den", "di", "du", "la", "le", "van", "von", "zu"})
NO_SURNAMES = frozenset(
    {"app", "biz", "click", "com", "dev", "info", "link", "net", "online", "org", "page", "shop", "site", "top", "xyz"}
)
LOCAL_PART = 64
ADDRESS = 254
COSTLY = (phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST)


def text(value: str) -> str:
    """Several lines: composed (NFC), line breaks as ``\\n``, nothing invisible, no space around it."""
    value = LINE_BREAKS.sub("\n", unicodedata.normalize("NFC", value))
    return CONTROLS.sub("", DIRECTION_MARKS.sub("", value)).strip()


def line(value: str) -> str:
    """One line: composed, each run of spaces as one. Line breaks stay: ``has_controls`` finds and refuses them."""
    value = DIRECTION_MARKS.sub("", unicodedata.normalize("NFC", value)).strip()
    return re.sub(r"[ \t\u00a0]+", " ", value)


def has_controls(value: str) -> bool:
    """Whether a line holds what no keyboard puts into one: line breaks, NUL and their kin."""
    return bool(CONTROLS.search(value) or "\n" in LINE_BREAKS.sub("\n", value))


def has_address(value: str) -> bool:
    """Whether a name holds a web or mail address: our letters greet with it and must not carry other people's links.

    Looked at as a mail program or a browser would: compatibility forms and ideographic full stops count as dots.
    """
    value = unicodedata.normalize("NFKC", value).replace("\u3002", ".")
    value = "".join(character for character in value if unicodedata.category(character) != "Cf")
    return bool(ADDRESS_IN_NAME.search(value)) or any(_is_host(*found) for found in HOST_IN_NAME.findall(value))


def _is_host(words: str, ending: str) -> bool:
    """Whether words joined by dots are a host, and not "Prof.Dr.Meier", "J.R.R.Tolkien" or "Dipl.-Ing."."""
    *before, last = [word.rpartition("-")[2] if "xn--" not in word else word for word in words.split(".")]
    if not TOP_LEVEL.fullmatch(last):
        return False
    if ending or any(len(word) > 1 and word.lower() not in TITLES for word in before):
        return True
    is_surname = len(last) > 2 and last[0].isupper() and last.lower() not in NO_SURNAMES
    after_title = len(before[-1]) > 1 and (last in PARTICLES or last.lower() in TITLES)
    return not (is_surname or after_title)


def email(value: str) -> str | None:
    """The address in the form it is sent to (ASCII), or None if no letter could reach it.

    No look-up: a slow name server must not decide whether a form is taken. Narrower than the standard: no quoted or
    non-ASCII local part, none over 64 characters (RFC 5321 4.5.3.1), no leading hyphen (an option to a mail program).
    """
    try:
        address = validate_email(value, check_deliverability=False, allow_smtputf8=False).ascii_email
    except EmailNotValidError:
        return None
    if not address or address.startswith("-") or len(address) > ADDRESS:
        return None
    return address if len(address.rpartition("@")[0]) <= LOCAL_PART else None


def phone(value: str, country: str) -> str | None:
    """The number in E.164 form as dialled from ``country`` (ISO 3166), or None if it is none we would call.

    Numbers that cost the caller extra are refused: a form must not make our people dial them.
    """
    try:
        number = phonenumbers.parse(value, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number) or phonenumbers.number_type(number) in COSTLY:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def readable(values: Mapping[str, str], hidden: tuple[str, ...]) -> str:
    """Everything typed into a form as one text to copy, without the fields named in ``hidden``, prefixed or not."""
    return "\n".join(value for name, value in values.items() if value and name.rpartition("-")[2] not in hidden)


def number(value: Any) -> int | None:
    """A row's number or version from a form or an address; None for anything a database would not take."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def instant(value: Any) -> datetime | None:
    """A start in ISO 8601 with offset, in UTC; None for anything else, and for one that names no instant."""
    text = str(value or "")
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if INSTANT.fullmatch(text) else None
    except ValueError:
        return None


def day(value: Any) -> date | None:
    """A day such as "2026-12-03"; None for anything else."""
    text = str(value or "")
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


def key(value: Any) -> str | None:
    """A form's key against double clicks; None for what no page of ours gave out."""
    text = str(value or "")
    return text if KEY.fullmatch(text) else None

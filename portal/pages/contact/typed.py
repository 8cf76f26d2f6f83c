"""What people type, made uniform before anything else looks at it: pure rules.

The same text typed on two machines is the same text here (composed characters, one kind of line break), and nothing
invisible gets through: a control character forges headers, a direction mark turns a name around.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

KEY = re.compile(r"[\w-]{16,64}", re.ASCII)
LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
DIRECTION_MARKS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
ADDRESS_IN_NAME = re.compile(
    r"://|www\.|@|[a-z0-9-]{3,}\.(?:com|net|org|info|biz|ru|cn|top|xyz|shop|site|online|link|click|io|co|me|eu|de|at|ch)\b",
    re.IGNORECASE,
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
    """Whether a name holds a web or mail address: our letters greet with it and must not carry other people's links."""
    return bool(ADDRESS_IN_NAME.search(value))


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
    """Everything typed into a form as one text to copy, without the fields named in ``hidden``."""
    return "\n".join(value for name, value in values.items() if value and name not in hidden)


def number(value: Any) -> int | None:
    """A row's number or version from a form or an address; None for anything a database would not take."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def key(value: Any) -> str | None:
    """A form's key against double clicks; None for what no page of ours gave out."""
    text = str(value or "")
    return text if KEY.fullmatch(text) else None

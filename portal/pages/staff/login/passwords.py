"""Passwords: the rules for a new one, hashing, checking.

argon2id with argon2-cffi's parameters (RFC 9106's second recommendation: 64 MiB, three passes), which is far above
the least that OWASP asks for. Hashing takes long and much memory, so at most two run at a time in a process, and never
inside a transaction. Characters are kept as typed, spaces and all, in Unicode's composed form (NFC): the same password
typed on another keyboard stays the same.
"""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

LEAST = 12
MOST = 1000
"""Characters. The upper end only bounds the work; nothing is cut off."""

_HASHER = PasswordHasher()
_AT_A_TIME = threading.BoundedSemaphore(2)
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$S30HL0rglkMAX9G8POrOKQ$T1FGssgcSqJE3q9vkgSujWwidLNJeoOm0vZ8XA245Aw"
"""Stands in where there is no login, so that an unknown address takes as long as a known one."""


class Busy(Exception):
    """As many passwords as may be checked at a time are being checked."""


def refusal(password: str, email: str) -> str | None:
    """What speaks against a new password, as an English sentence; None when nothing does."""
    password = unicodedata.normalize("NFC", password)
    if not LEAST <= len(password) <= MOST:
        return f"A password has {LEAST} to {MOST} characters."
    if password.casefold() == unicodedata.normalize("NFC", email).casefold():
        return "The password must not be the e-mail address."
    return None


def hash_password(password: str) -> str:
    """The hash to store, with its parameters and salt in it. Takes about a tenth of a second."""
    with _AT_A_TIME:
        return _HASHER.hash(unicodedata.normalize("NFC", password))


def check_password(stored: str | None, password: str) -> bool:
    """Whether the password fits the stored hash; without one, False after the same time.

    Raises Busy instead of waiting: a flood of sign-ins would hold every thread, and customers' pages with them.
    """
    if not _AT_A_TIME.acquire(blocking=False):
        raise Busy
    try:
        fits = _HASHER.verify(stored or _NOBODYS, unicodedata.normalize("NFC", password))
    except VerificationError:
        return False
    finally:
        _AT_A_TIME.release()
    return fits and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)

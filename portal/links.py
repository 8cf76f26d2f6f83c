"""Signed texts: the secret part of every address that stands for a right.

One salt per purpose, so that a token of one kind is worthless as another. Keys are listed oldest to newest:
the newest signs, all verify, and a key that leaves the list kills its links.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode


class Purpose(StrEnum):
    """What a signed text is good for; the value is the salt."""

    STATUS = "status-link.v1"
    CONTACT_FORM = "contact-form.v1"
    ERASURE = "erasure.v1"
    CHALLENGE = "proof-of-work-challenge.v1"
    SOLUTION = "proof-of-work-solution.v1"
    FEED = "calendar-feed.v1"


class InvalidLink(Exception):
    """The text was not signed by us for this purpose, or it is cut off or altered."""


class Links:
    """Signs and reads texts with the given keys (oldest first)."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)

    def sign(self, purpose: Purpose, text: str) -> str:
        """The text with its signature, safe in a path."""
        return self._signer(purpose).sign(text).decode("ascii")

    def read(self, purpose: Purpose, token: str) -> str:
        """The text of a signed token.

        Raises InvalidLink for anything that is not, character for character, a token of ours: base64 leaves
        spare bits in the last character of a signature, and a token has only one spelling here.
        """
        try:
            text = self._signer(purpose).unsign(token)
            signature = token.rpartition(".")[2].encode("ascii")
            if base64_encode(base64_decode(signature)) != signature:
                raise InvalidLink
            return text.decode("ascii")
        except (BadData, UnicodeError) as error:
            raise InvalidLink from error

    def sign_with_time(self, purpose: Purpose, text: str, *, now: datetime) -> str:
        """The text with the instant ``now`` and a signature over both."""
        return self.sign(purpose, f"{text}.{int(now.timestamp())}")

    def read_with_time(self, purpose: Purpose, token: str) -> tuple[str, datetime]:
        """Text and instant of a token made by sign_with_time. Raises InvalidLink as read does."""
        text, _, seconds = self.read(purpose, token).rpartition(".")
        if not seconds.isdigit():
            raise InvalidLink
        return text, datetime.fromtimestamp(int(seconds), UTC)

    def keys(self, purpose: Purpose) -> list[bytes]:
        """A key of this purpose for each of ours, in their order, where a library signs in a way of its own."""
        signer = self._signer(purpose)
        return [signer.derive_key(key) for key in signer.secret_keys]

    def _signer(self, purpose: Purpose) -> Signer:
        return Signer(self._keys, salt=purpose.value, digest_method=hashlib.sha256, key_derivation="hmac")


def new_secret() -> str:
    """128 random bits as 22 characters that are safe in an address."""
    return secrets.token_urlsafe(16)

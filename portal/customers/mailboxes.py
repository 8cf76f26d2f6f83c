"""Which addresses reach the same mailbox."""

import unicodedata
from contextlib import suppress

import idna

SAME_PROVIDER = {"googlemail.com": "gmail.com"}
"""Domains whose mailboxes are those of another one."""


def mailbox_key(email: str) -> str:
    """One spelling for all spellings of a mailbox: case, dots, plus-tags, and internationalised domains.

    The strictest folding holds for every provider, although most tell ``a.b`` from ``ab``: whoever bombs a mailbox
    chooses the spelling, and we do not know whose servers ignore dots. So two mailboxes may share a key, which costs a
    letter less. Meant for counting and for finding, never for writing to: letters go to the address as it was typed.
    """
    local, _, domain = unicodedata.normalize("NFKC", email).strip().lower().rpartition("@")
    local = local.strip().strip('"').partition("+")[0].replace(".", "")
    return f"{local}@{_domain_key(domain.strip())}"


def _domain_key(domain: str) -> str:
    domain = domain.replace("\u3002", ".").rstrip(".")  # the full stop that East Asian keyboards write; the root's dot
    with suppress(idna.IDNAError):  # an odd domain stays as typed; it still equals itself
        domain = idna.encode(domain, uts46=True).decode("ascii")
    return SAME_PROVIDER.get(domain, domain)

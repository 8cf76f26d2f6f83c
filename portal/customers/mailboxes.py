"""Which addresses reach the same mailbox."""

from contextlib import suppress

import idna


def mailbox_key(email: str) -> str:
    """One spelling for all spellings of a mailbox: case, dots, plus-tags and internationalised domains.

    Meant for counting and for finding, never for writing to: two mailboxes may share a key, which costs a letter less.
    """
    local, _, domain = email.strip().lower().rpartition("@")
    with suppress(idna.IDNAError):  # an odd domain stays as typed; it still equals itself
        domain = idna.encode(domain, uts46=True).decode("ascii")
    return f"{local.partition('+')[0].replace('.', '')}@{domain}"

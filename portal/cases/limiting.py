"""How much the public form takes, and from whom: networks, the site, and the mailboxes it writes to; and how often a
customer changes times through a link.

The lines, all counted in the transaction that stores the entry (so they are exact over all processes, and what is
rolled back was never counted), in whole hours and days of UTC:

- a network (IPv4 /24, IPv6 /56) above PORTAL_FORM_LIMIT: refused with 429 and Retry-After. Of 500 POSTs exactly as many
  are taken as the limit says, and those are cases with letters like any other. What was refused counts for nothing.
- the site above PORTAL_SITE_LIMIT: many networks write at once, and honest people are among them. Their entries are
  kept in doubt (``Doubt.LIMITS``), without a letter to anybody outside; above that number once more: 429.
- the same text from more than MANY_NETWORKS networks within a day: kept in doubt (``Doubt.REPEATED``).
- a mailbox above PORTAL_MAIL_CAP letters: the case is stored and shown like any other, only its letter is held.
- a status link through which times were changed more often than anybody's plans do: refused with 429 and Retry-After.
  Only the link is counted, never the network: whoever calls off an appointment is not to wait for a neighbour.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from portal import config, limits
from portal.cases import doubting
from portal.cases.errors import ChangedTooOften, SiteFull, TooMany
from portal.cases.models import Case, Doubt
from portal.config import Rate
from portal.customers.mailboxes import mailbox_key
from portal.mail.models import HoldReason

MANY_NETWORKS = 10
"""One office, or one robot behind one address, is the network's limit to see to; this is for robots everywhere."""
_ONCE_A_DAY, _SO_MANY_A_DAY = (Rate(1, 86400),), (Rate(MANY_NETWORKS, 86400),)


def refuse_if_full(session: Session, network: str, *, now: datetime) -> None:
    """A first look that writes nothing, so that a flood waits for no turn to write. Raises TooMany."""
    settings = config.current()
    _refuse(limits.until_room(session, _name("network", network), settings.form_limit, now=now))
    _refuse(limits.until_room(session, _name("site", "in doubt"), settings.site_limit, now=now), SiteFull)


def count_entry(session: Session, network: str, text: str, *, now: datetime) -> Doubt | None:
    """Count one entry of the form: None where it is within the limits, or why it is to be doubted. Raises TooMany."""
    settings = config.current()
    _refuse(limits.take(session, _name("network", network), settings.form_limit, now=now))
    if limits.take(session, _name("site", "taken"), settings.site_limit, now=now) is not None:
        _refuse(limits.take(session, _name("site", "in doubt"), settings.site_limit, now=now), SiteFull)
        return Doubt.LIMITS
    return Doubt.REPEATED if _is_repeated(session, network, text, now=now) else None


def count_letter(session: Session, email: str, *, now: datetime) -> HoldReason | None:
    """Count one letter that a stranger causes to a mailbox: None if it may leave, or why it is to be held.

    A stranger is whoever fills in the form, corrects the address, or asks for the link. Letters that colleagues send,
    or that answer somebody who holds the status link, are not counted: that mailbox is known to be theirs.
    """
    over = limits.take(session, _name("mail", mailbox_key(email)), config.current().mail_cap, now=now)
    return None if over is None else HoldReason.MAILBOX_CAP


def count_change_of_times(session: Session, case: Case, *, now: datetime) -> None:
    """Count one change of the times of a case, made through its link; last in its step, so that only what is changed
    counts. Raises ChangedTooOften."""
    an_hour = max(10, 2 * (config.current().slot_moves + 2))
    rates = Rate(an_hour, 3600), Rate(3 * an_hour, 86400)
    _refuse(limits.take(session, _name("times", case.link_nonce), rates, now=now), ChangedTooOften)


def _is_repeated(session: Session, network: str, text: str, *, now: datetime) -> bool:
    same = doubting.sameness(text)
    if same is None:
        return False
    name = _name("text", same)
    if limits.take(session, _name("text_network", f"{network}\0{same}"), _ONCE_A_DAY, now=now) is None:
        return limits.take(session, name, _SO_MANY_A_DAY, now=now) is not None
    return limits.until_room(session, name, _SO_MANY_A_DAY, now=now) is not None


def _refuse(seconds: int | None, full: type[TooMany] = TooMany) -> None:
    if seconds is not None:
        raise full(seconds)


def _name(kind: str, subject: str) -> str:
    return limits.name_for(kind, subject, key=config.current().counter_key)

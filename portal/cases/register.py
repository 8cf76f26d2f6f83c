"""The register of personal data: each column that can hold some, what for, and what erasure does with it.

``erasing`` blanks and deletes what stands here, so the register is no description that could fall behind. A test
compares it with the schema: a new column with words in it is entered here or under ``WITHOUT_PERSONAL_DATA``.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What erasing a case does with a column."""

    BLANKED = "blanked"
    """Emptied; the row stays and keeps its kind, its state and its times."""
    DELETED = "deleted"
    """Its row goes."""
    STAYS = "stays"
    """Not of a customer: of colleagues, or of a firm that is no person."""


@dataclass(frozen=True)
class Personal:
    """A column with personal data."""

    what_for: str
    fate: Fate = Fate.BLANKED
    on_duty: bool = False
    """Whether it belongs to a business letter: where the topic is commercial correspondence it stays until its
    retention has passed, although the customer asked for deletion."""


PERSONAL = {
    "customer.name": Personal("to address the customer", on_duty=True),
    "customer.email": Personal("to write to the customer", on_duty=True),
    "customer.email_key": Personal("to know a mailbox again and to cap letters to it"),
    "customer.phone_e164": Personal("to call the customer"),
    "customer.phone_shown": Personal("to show the number as it was typed"),
    "customer.company": Personal("to know for whom the customer writes", on_duty=True),
    "customer.number_typed": Personal("to find the company's account manager", on_duty=True),
    "customer.postcode": Personal("to find the team of the region"),
    "case.outcome_text": Personal("how it ended, in a colleague's words", on_duty=True),
    "case.reachable": Personal("at which parts of the day the customer can be reached", Fate.BLANKED),
    "entry.text": Personal("what was said and written", on_duty=True),
    "entry.facts": Personal("dates and kinds around it", on_duty=True),
    "promise.what": Personal("what is to come"),
    "promise.reason": Personal("why it comes later"),
    "letter.to_address": Personal("where the letter goes", on_duty=True),
    "letter.message": Personal("the letter, ready to send", on_duty=True),
    "letter.says": Personal("to write the letter anew if it waits too long"),
    "letter.last_error": Personal("what the relay said of it; may quote the address"),
    "submission.body_hash": Personal("to know a form that comes twice", Fate.DELETED),
    "attachment.name": Personal("a file's name, as its sender gave it", Fate.DELETED),
    "attachment.type": Personal("what kind of file it is", Fate.DELETED),
    "attachment.sha256": Personal("to know the file again", Fate.DELETED),
    "attachment_data.data": Personal("what the file holds", Fate.DELETED),
    "link_wish.email_key": Personal("to send the link to this mailbox, once", Fate.DELETED),
    "counter.name": Personal("to count letters and forms of a mailbox; a keyed hash", Fate.DELETED),
    "account.name": Personal("a firm that is known; may be a sole trader's name", Fate.STAYS),
    "person.name": Personal("a colleague, by name on every letter", Fate.STAYS),
    "person.role": Personal("what the colleague does", Fate.STAYS),
    "person.line_e164": Personal("the direct line", Fate.STAYS),
    "person.line_shown": Personal("the direct line as people write it", Fate.STAYS),
    "person.email": Personal("a colleague's address, and the name of the login", Fate.STAYS),
    "person.place": Personal("whose public holidays count", Fate.STAYS),
    "person.language": Personal("in which language a colleague reads", Fate.STAYS),
    "login.password": Personal("a colleague's password, as an argon2 hash", Fate.STAYS),
    "sign_in.id_hash": Personal("a colleague's device that is signed in", Fate.STAYS),
}
"""By table and column."""

WITHOUT_PERSONAL_DATA = frozenset(
    {
        "account.number",
        "appointment.local_start",  # a time, which erasure keeps
        "appointment.tz",
        "appointment.uid",  # random
        "attachment.form_key",  # random
        "attachment.id",  # random
        "attachment_data.attachment_id",  # random
        "case.booking_state",
        "case.language",
        "case.link_nonce",  # random; opens nothing once the case is erased
        "case.reference",  # the tombstone's name
        "case.step_state",
        "channel.name",
        "channel.reason",  # a fault of the relay's, never of one recipient
        "closure.place",
        "company.accent",
        "company.imprint_url",
        "company.legal_block",
        "company.name",
        "company.privacy_url",
        "directory_revision.revision",
        "letter.hold_reason",
        "letter.key",  # kind and numbers of rows
        "letter.kind",
        "letter.lease_token",
        "letter.message_id",  # random
        "person.feed_nonce",  # random
        "replanning.mark",
        "route.postcode_from",
        "route.postcode_to",
        "service_level.name",
        "submission.answer",  # random
        "submission.key",  # random
        "submission.purpose",
        "team.name",
        "team.place",
        "team.tz",
        "topic.hint_de",
        "topic.hint_en",
        "topic.name_de",
        "topic.name_en",
        "topic.slug",
        "worker.id",  # machine and process
    }
)
"""The other columns that hold words, numbers of things, or bytes."""


def blanked(table: str, *, kept_on_duty: bool = False) -> frozenset[str]:
    """The columns of a table that erasure empties; without those that a duty keeps, if it is kept."""
    return frozenset(
        name.partition(".")[2]
        for name, column in PERSONAL.items()
        if name.startswith(f"{table}.") and column.fate is Fate.BLANKED and not (kept_on_duty and column.on_duty)
    )

"""The contact form: its fields, and the sentences that say what to do where something is missing.

What needs no database is checked here, before the writing transaction opens. The topic and the phone number depend on
rows; ``chosen``, ``number`` and ``wish`` take what was read of them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import lazy_gettext as _
from werkzeug.datastructures import MultiDict
from wtforms import Form, HiddenField, RadioField, StringField, TextAreaField
from wtforms.validators import DataRequired, StopValidation

from portal.cases import offering
from portal.cases.drafting import Wish
from portal.cases.models import Doubt, Topic, TopicMedium
from portal.journal.files import File
from portal.links import InvalidLink, Links, Purpose, new_secret
from portal.pages import uploads
from portal.pages.contact import typed
from portal.promises.models import Medium

NAME, COMPANY, CUSTOMER_NUMBER, POSTCODE, PHONE, MESSAGE = 60, 120, 40, 12, 40, 5000
TOKEN_LIFE = timedelta(hours=24)
CLOCK_SLACK = timedelta(minutes=2)

Check = Callable[[Form, Any], None]


def at_most(length: int) -> Check:
    """A limit that says how much too long the text is."""

    def check(_form: Form, field: Any) -> None:
        if len(field.data or "") > length:
            raise StopValidation(
                _(
                    "%(field)s: please shorten this to %(most)d characters; it has %(length)d.",
                    field=field.label.text,
                    most=length,
                    length=len(field.data),
                )
            )

    return check


def one_line(_form: Form, field: Any) -> None:
    """Refuses line breaks and control characters: no keyboard puts them into a line, they forge headers."""
    if typed.has_controls(field.data or ""):
        raise StopValidation(
            _("%(field)s: there are characters that cannot be read. Please type it in again.", field=field.label.text)
        )


def no_address(_form: Form, field: Any) -> None:
    """Refuses web and mail addresses in a name."""
    if typed.has_address(field.data or ""):
        raise StopValidation(
            _("Enter your name without a web or e-mail address, and with a space after each full stop.")
        )


def deliverable(_form: Form, field: Any) -> None:
    """Refuses what no letter could reach; keeps the address in the form it is sent to."""
    address = typed.email(field.data)
    if address is None:
        raise StopValidation(_("Enter an e-mail address, for example name@company.com."))
    field.data = address


def _line(label: Any, length: int, *checks: Any) -> StringField:
    return StringField(label, [*checks, at_most(length)], filters=[lambda value: typed.line(value or "")])


def message_field() -> TextAreaField:
    """A text to us: here and on the status page."""
    return TextAreaField(
        _("Your message"),
        [DataRequired(_("Write your message.")), at_most(MESSAGE)],
        filters=[lambda value: typed.text(value or "")],
    )


def email_field() -> StringField:
    """One address that letters can reach: here, where it is corrected, and where a link is asked for."""
    return StringField(
        _("E-mail address"),
        [DataRequired(_("Enter your e-mail address.")), one_line, deliverable],
        filters=[lambda value: typed.line(value or "")],
    )


def readable_time(_form: Form, field: Any) -> None:
    """Refuses what is no start in ISO 8601 with an offset; nothing at all is no time wished."""
    if field.data and typed.instant(field.data) is None:
        raise StopValidation(_("This time cannot be read. Please choose one of those shown."))


class EmailForm(Form):
    """One address."""

    email = email_field()


class ContactForm(Form):
    """What somebody types to reach us; the fields of INTERFACE.md."""

    csrf_token = HiddenField()
    topic = RadioField(_("What is it about?"), [DataRequired(_("Choose what it is about."))], validate_choice=False)
    slot = RadioField(_("Time"), [readable_time], filters=[lambda value: (value or "").strip()], validate_choice=False)
    message = message_field()
    attachments = uploads.files_field()
    name = _line(_("Name"), NAME, DataRequired(_("Enter your name.")), one_line, no_address)
    email = email_field()
    phone = _line(_("Phone number"), PHONE, one_line)
    company = _line(_("Company"), COMPANY, one_line)
    customer_number = _line(_("Customer number"), CUSTOMER_NUMBER, one_line)
    postcode = _line(_("Postcode"), POSTCODE, one_line)

    def refuse(self, field: str, sentence: Any) -> None:
        """Add an error found outside the form, for example in the database."""
        self[field].errors = [*self[field].errors, sentence]

    def body(self) -> list[str]:
        """All that was typed, in a fixed order: equal forms have equal bodies."""
        return [str(field.data or "") for field in self if field.name != "csrf_token"]

    def chosen(self, topics: Collection[Topic]) -> Topic | None:
        """The chosen topic, or None with an error when there is none by that name."""
        for topic in topics:
            if topic.active and topic.slug == self.topic.data:
                return topic
        self.refuse("topic", _("Choose what it is about."))
        return None

    @property
    def starts_at(self) -> datetime | None:
        """The time that was chosen; None for none, and for what is no time."""
        return typed.instant(self.slot.data)

    def refuse_time(self, sentence: Any) -> None:
        """Say why the chosen time cannot be had, and choose none."""
        self.refuse("slot", sentence)
        self.slot.data = ""

    def choosable(self, topic: Topic) -> None:
        """An error where a time was chosen and the topic offers none."""
        if self.slot.data and not self.slot.errors and not offering.offers(topic):
            self.refuse_time(
                _(
                    "No time can be chosen for this request, so none is chosen now. "
                    "Please send the form once more, or choose something else."
                )
            )

    def number(self, topic: Topic, country: str) -> str | None:
        """The phone number in E.164 form, or None; with an error when it is wrong or missing for a call."""
        if not self.phone.data:
            is_booked = self.starts_at is not None and topic.slot_medium == Medium.CALL
            if is_booked or topic.medium == TopicMedium.CALL:
                self.refuse("phone", _("Enter the phone number on which we should call you."))
            return None
        number = typed.phone(self.phone.data, country)
        if number is None:
            self.refuse("phone", _("Enter a phone number with its area code, for example 089 99998-214."))
        return number

    def wish(self, topic: Topic, number: str | None, language: str, files: Sequence[File] = ()) -> Wish:
        """What the domain needs of it. Only after every check."""
        return Wish(
            topic_id=topic.id,
            name=self.name.data,
            email=self.email.data,
            message=self.message.data,
            language=language,
            phone_e164=number,
            phone_shown=self.phone.data or None,
            company=self.company.data or None,
            customer_number=self.customer_number.data or None,
            postcode=self.postcode.data or None,
            files=tuple(files),
            slot=self.starts_at,
        )


@dataclass(frozen=True)
class Ticket:
    """The form's signed hidden field: proves that we showed it, when, and names the attempt (idempotency key)."""

    key: str
    shown_at: datetime

    def sign(self, links: Links) -> str:
        """The text for the hidden field."""
        return links.sign_with_time(Purpose.CONTACT_FORM, self.key, now=self.shown_at)

    def again(self) -> "Ticket":
        """A new key for the same form: shown when the old one was, so that a quick second press is not a robot's."""
        return Ticket(new_secret(), self.shown_at)


def new_ticket(now: datetime) -> Ticket:
    """The ticket of a form shown now."""
    return Ticket(new_secret(), now)


def read_ticket(links: Links, token: str, *, now: datetime) -> Ticket | None:
    """The ticket behind a posted token; None when it is missing, not ours, or older than a day."""
    try:
        key, shown_at = links.read_with_time(Purpose.CONTACT_FORM, token)
    except InvalidLink:
        return None
    return Ticket(key, shown_at) if now - TOKEN_LIFE < shown_at < now + CLOCK_SLACK else None


def doubt_of(ticket: Ticket, trap: str, *, least: float, now: datetime) -> Doubt | None:
    """Why a person should look at it first: the trap was filled, or less than ``least`` seconds passed."""
    if trap.strip():
        return Doubt.HONEYPOT
    return Doubt.TOO_FAST if (now - ticket.shown_at).total_seconds() < least else None


def first_values(posted: MultiDict[str, str]) -> MultiDict[str, str]:
    """Of a field posted twice only the first counts, whoever reads it."""
    return MultiDict(posted.to_dict(flat=True))

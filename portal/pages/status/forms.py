"""What the customer types on the status page."""

from flask_babel import lazy_gettext as _
from wtforms import Form, RadioField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from portal.cases.models import Outcome
from portal.cases.offering import Part
from portal.pages import uploads
from portal.pages.contact import typed
from portal.pages.contact.forms import MESSAGE, PHONE, at_most, message_field, one_line

REASON = 500


class MessageForm(Form):
    """A message to the person."""

    message = message_field()
    attachments = uploads.files_field()


class ReopenForm(Form):
    """What is still open, if the customer wants to say it."""

    message = TextAreaField(
        _("What is still open?"), [at_most(MESSAGE)], filters=[lambda value: typed.text(value or "")]
    )
    attachments = uploads.files_field()


class CloseForm(Form):
    """How it ended, as the customer sees it."""

    outcome = RadioField(
        _("How did it end?"),
        choices=[
            SelectChoice(Outcome.DONE.value, _("My request is settled")),
            SelectChoice(Outcome.WITHDRAWN.value, _("I no longer need an answer")),
        ],
        default=Outcome.DONE.value,
        validate_choice=False,
    )

    def chosen(self) -> Outcome:
        """The outcome; what is none of the two is taken as settled, which is what the button says."""
        return Outcome.WITHDRAWN if self.outcome.data == Outcome.WITHDRAWN else Outcome.DONE


class ChooseForm(Form):
    """One of the times shown; the page lays them out by day."""

    slot = RadioField(_("Free times"), choices=[], validate_choice=False)


def phone_field() -> StringField:
    """The number to call under; the same that is known already needs none."""
    return StringField(
        _("On which number should we call you?"),
        [one_line, at_most(PHONE)],
        filters=[lambda value: typed.line(value or "")],
    )


class NumberForm(Form):
    """The number to call under, where the customer is called."""

    phone = phone_field()


class WishForm(Form):
    """What to write where no time fits; it goes to the person like any other message."""

    message = TextAreaField(
        _("When would it suit you?"),
        [DataRequired(_("Write to us when it would suit you.")), at_most(MESSAGE)],
        filters=[lambda value: typed.text(value or "")],
    )
    phone = phone_field()


class CancelForm(Form):
    """Why an appointment is called off, if the customer wants to say it."""

    reason = TextAreaField(
        _("Would you like to tell us why?"), [at_most(REASON)], filters=[lambda value: typed.text(value or "")]
    )


class ReachableForm(Form):
    """The parts of the day at which the customer can be reached; words that are none of them say nothing."""

    parts = SelectMultipleField(
        _("When can we reach you?"),
        choices=[
            SelectChoice(Part.MORNING.value, _("in the morning, until 12 noon")),
            SelectChoice(Part.MIDDAY.value, _("around noon, from 12 noon to 2 pm")),
            SelectChoice(Part.AFTERNOON.value, _("in the afternoon, from 2 pm")),
        ],
        validate_choice=False,
    )

    def said(self) -> list[Part]:
        """The parts ticked, in the order of the day."""
        return [part for part in Part if part.value in (self.parts.data or ())]

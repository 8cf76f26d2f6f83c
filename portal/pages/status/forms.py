"""What the customer types on the status page."""

from flask_babel import lazy_gettext as _
from wtforms import Form, RadioField, TextAreaField
from wtforms.fields.choices import SelectChoice

from portal.cases.models import Outcome
from portal.pages import uploads
from portal.pages.contact import typed
from portal.pages.contact.forms import MESSAGE, at_most, message_field


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

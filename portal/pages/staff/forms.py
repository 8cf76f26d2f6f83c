"""The forms of the case page. They check what needs no database; the domain refuses the rest, with a sentence."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _
from wtforms import BooleanField, Form, HiddenField, RadioField, SelectMultipleField
from wtforms.validators import InputRequired, Optional

from portal.cases.answering import Contact, Step
from portal.languages import marked
from portal.links import new_secret
from portal.pages import uploads
from portal.pages.contact import typed
from portal.pages.staff import wall_clock, words
from portal.pages.staff.fields import (
    NO_DAY,
    NO_HOUR,
    Asked,
    InTheFuture,
    WrongTime,
    day_field,
    hour_field,
    instant,
    needed_text,
    options,
    promise_field,
    promised_pair,
    reason_field,
    text_field,
    what_field,
)

CALLS = (Contact.CALL_REACHED, Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX)
"""What can have become of a call we made."""
NEEDS_NO_WORDS = frozenset({Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX})


class BeforeTheCase(WrongTime):
    """There was nothing yet that a contact could have been about."""

    sentence = marked("This day lies before the request came in. Choose that day or a later one.")


class CaseForm(Form):
    """What every form of the case page carries: a key against double clicks and the version it was made for."""

    key = HiddenField(default=new_secret)
    version = HiddenField()

    def typed_values(self) -> list[str]:
        """Everything typed, for telling whether the same key came with the same body."""
        fields = (field for field in self if field.short_name not in ("key", "version"))
        return [f"{field.short_name}={field.data!r}" for field in fields]

    def complain(self, field: str, sentence: Any) -> None:
        """Add an error to a field, from a rule that the field alone cannot check."""
        self[field].errors = [*self[field].errors, sentence]

    @property
    def seen_version(self) -> int:
        """The version of the case that the page showed; one that no case has when the form does not say."""
        return typed.number(self.version.data) or 0


class PromiseForm(CaseForm):
    """Promise a date with its medium."""

    promise = promise_field()
    day = day_field(_("Day"), InputRequired(NO_DAY))
    hour = hour_field(_("Time"), InputRequired(NO_HOUR))
    what = what_field()

    def step(self, tz: str) -> Step:
        """The step this form promises. Raises SkippedHour, RepeatedHour."""
        return promised_step(self, tz)


class KeepingForm(CaseForm):
    """A contact may have kept open promises; only the person's word says so (law 6)."""

    keeps = SelectMultipleField(_("Did this keep a promise?"), [Asked()], coerce=int, validate_choice=False, choices=[])

    def kept(self) -> frozenset[int]:
        """The promises that the person says were kept."""
        return frozenset(self.keeps.data or ())


class SteppingForm(KeepingForm):
    """A contact after which a next step must remain: the open promise, or a new one."""

    then = RadioField(
        _("How does it go on?"),
        [InputRequired(_("Choose how it goes on."))],
        choices=options({"keep": _("The promise stands"), "new": _("New promise")}),
        default="keep",
    )
    promise = promise_field()
    day = day_field(_("Day"), Optional())
    hour = hour_field(_("Time"), Optional())
    what = what_field()

    def stand_by(self, sentence: str) -> None:
        """Say which promise stands if no new one is given."""
        stands = _("It stays at this: %(sentence)s.", sentence=sentence)
        self.then.choices = options({"keep": stands, "new": _("New promise")})

    def validate(self, extra_validators: Mapping[str, Any] | None = None) -> bool:
        """Also: a new promise needs its day and its time; without one nobody looks at them."""
        super().validate(extra_validators)
        fields = {"day": NO_DAY, "hour": NO_HOUR}
        if self.then.data != "new":
            for name in (*fields, "promise", "what"):
                self[name].errors = []
            return not self.errors
        for name, sentence in fields.items():
            if self[name].data is None and not self[name].errors:
                self.complain(name, sentence)
        return not self.errors

    def step(self, tz: str) -> Step | None:
        """The new step, or None when the open promise stands. Raises SkippedHour, RepeatedHour."""
        return promised_step(self, tz) if self.then.data == "new" else None


class ReplyForm(SteppingForm):
    """Answer by mail."""

    text = needed_text(_("Your answer"), _("Write what the customer shall read."))
    attachments = uploads.files_field()


class QuestionForm(KeepingForm):
    """Ask the customer, and say when we get in touch again if no answer comes."""

    text = needed_text(_("Your question"), _("Write what you need from the customer."))
    attachments = uploads.files_field()
    day = day_field(_("Day"), InputRequired(NO_DAY))
    hour = hour_field(_("Time"), InputRequired(NO_HOUR))

    def follow_up_at(self, tz: str) -> datetime:
        """When we get in touch again. Raises SkippedHour, RepeatedHour."""
        return instant(self.day.data, self.hour.data, tz)


class ContactForm(SteppingForm):
    """Log a contact that was made outside of these pages."""

    contact = RadioField(
        _("What happened?"), [InputRequired(_("Choose what happened."))], choices=options(words.CONTACTS)
    )
    text = text_field(_("What was said?"), Asked())
    visible = BooleanField(_("Show this text on the status page"))
    at_day = day_field(_("Day it happened"), Optional())
    at_hour = hour_field(_("Time it happened"), Optional())

    def ask_about_call(self) -> None:
        """Offer only what can have become of a call that was just started."""
        self.contact.label.text = _("What became of it?")
        self.contact.choices = options({contact: words.CONTACTS[contact] for contact in CALLS})
        self.promise.data = "call-call"

    def validate(self, extra_validators: Mapping[str, Any] | None = None) -> bool:
        """Also: most contacts need words, and a day needs its time."""
        super().validate(extra_validators)
        if not self.text.data and self.contact.data and self.contact.data not in NEEDS_NO_WORDS:
            self.complain("text", _("Write down what was said."))
        wrong = self.at_day.errors or self.at_hour.errors
        if not wrong and (self.at_day.data is None) != (self.at_hour.data is None):
            missing = "at_hour" if self.at_hour.data is None else "at_day"
            self.complain(missing, _("Enter both the day and the time, or neither."))
        return not self.errors

    def at(self, tz: str, *, since: datetime, now: datetime) -> datetime:
        """When it happened; now, unless said otherwise. No day before the case came in, at ``since``.

        Raises BeforeTheCase, SkippedHour, RepeatedHour, InTheFuture.
        """
        if self.at_day.data is None:
            return now
        if self.at_day.data < wall_clock.local(since, tz)[0]:
            raise BeforeTheCase("at_day")
        at = instant(self.at_day.data, self.at_hour.data, tz, field="at_hour")
        if at > now:
            raise InTheFuture("at_hour")
        return at


class MailForm(CaseForm):
    """An e-mail came in: nothing but its text is asked."""

    text = needed_text(_("What does the e-mail say?"), _("Paste what the e-mail says."))
    visible = BooleanField(_("Show this text on the status page"), default=True)


class PlanForm(CaseForm):
    """A promise moves: a new date, a reason the customer reads, or both; the domain refuses neither."""

    promise = HiddenField()
    day = day_field(_("Day"), Optional())
    hour = hour_field(_("Time"), Optional())
    text = reason_field()

    def validate(self, extra_validators: Mapping[str, Any] | None = None) -> bool:
        """Also: a day needs its time, and a time its day."""
        super().validate(extra_validators)
        wrong = self.day.errors or self.hour.errors
        if not wrong and (self.day.data is None) != (self.hour.data is None):
            self.complain(
                "hour" if self.hour.data is None else "day", _("Enter both the day and the time, or neither.")
            )
        return not self.errors

    def to(self, tz: str) -> datetime | None:
        """The new date, or None where the system's notice sets it. Raises SkippedHour, RepeatedHour."""
        return None if self.day.data is None else instant(self.day.data, self.hour.data, tz)

    @property
    def promise_id(self) -> int:
        """The promise that moves; one that no case has when the form does not say."""
        return typed.number(self.promise.data) or 0


class ForgetPlanForm(CaseForm):
    """What was planned is taken back."""

    promise = HiddenField()

    @property
    def promise_id(self) -> int:
        """The promise that stays; one that no case has when the form does not say."""
        return typed.number(self.promise.data) or 0


class NoteForm(CaseForm):
    """A note for colleagues only."""

    text = needed_text(_("Your note"), _("Write the note."))


class CloseForm(CaseForm):
    """Close the case and say how it ended."""

    outcome = RadioField(
        _("How did it end?"), [InputRequired(_("Choose how it ended."))], choices=options(words.OUTCOMES)
    )
    text = needed_text(
        _("The sentence about it (in the letter and on the status page)"), _("Say in a sentence how it ended.")
    )


class ReopenForm(CaseForm):
    """Open a closed case again."""

    text = text_field(_("Why it goes on (on the status page)"), Optional())


def promised_step(form: PromiseForm | SteppingForm, tz: str) -> Step:
    """What a form with a promise, a day and an hour promises. Raises SkippedHour, RepeatedHour."""
    kind, medium = promised_pair(form.promise.data)
    return Step(kind, medium, instant(form.day.data, form.hour.data, tz), form.what.data or "")

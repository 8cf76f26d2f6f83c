"""The forms of the case page. They check what needs no database; the domain refuses the rest, with a sentence."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask_babel import lazy_gettext as _
from wtforms import BooleanField, Form, HiddenField, RadioField, SelectField, SelectMultipleField
from wtforms.validators import InputRequired, Optional

from portal.cases.appointment_view import AppointmentView
from portal.cases.contacts import Contact
from portal.cases.errors import NotOffered
from portal.cases.keeping import HELD, AppointmentOutcome, sayable
from portal.cases.promising import NewPromise
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
from portal.promises.models import Medium

CALLS = (Contact.CALL_REACHED, Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX)
"""What can have become of a call we made."""
YEARS = range(2000, 2200)
"""In which a time can lie that anybody means."""
WISHES = (Contact.CALL_IN, Contact.LETTER_IN, Contact.MAIL_IN)
"""How a wish for another time reaches us outside of the page."""
NEEDS_NO_WORDS = frozenset({Contact.CALL_NOT_REACHED, Contact.CALL_MAILBOX})

OWN = "own"
"""In place of a proposed time: the one that is typed."""


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

    def step(self, tz: str) -> NewPromise:
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

    def step(self, tz: str) -> NewPromise | None:
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


class AppointmentForm(CaseForm):
    """What changes an appointment: besides, it carries the appointment's version that the page showed."""

    appointment = HiddenField()

    @property
    def seen_appointment(self) -> int:
        """That version; one that no appointment has when the form does not say."""
        return typed.number(self.appointment.data) or 0

    def typed_values(self) -> list[str]:
        """As of every form; the version was not typed."""
        return [value for value in super().typed_values() if not value.startswith("appointment=")]


class TimeForm(CaseForm):
    """A time: one of those proposed, or another one."""

    slot = RadioField(_("When?"), [InputRequired(_("Choose a time."))], validate_choice=False, choices=[])
    day = day_field(_("Day"), Optional())
    hour = hour_field(_("Time"), Optional())

    def propose(self, times: Mapping[str, str]) -> None:
        """Offer these times, by their instants, and to type another one. Which it is, a colleague chooses."""
        self.slot.choices = options({**times, OWN: _("Another time")})
        if self.slot.data is not None and self.slot.data not in times:
            self.slot.data = OWN

    def validate(self, extra_validators: Mapping[str, Any] | None = None) -> bool:
        """Also: another time needs its day and its hour; nobody looks at them otherwise."""
        super().validate(extra_validators)
        if self.slot.data != OWN:
            self.day.errors = self.hour.errors = []
            if self.slot.data is not None and self._proposed() is None and not self.slot.errors:
                self.complain("slot", _("Choose a time."))
            return not self.errors
        for name, sentence in {"day": NO_DAY, "hour": NO_HOUR}.items():
            if self[name].data is None and not self[name].errors:
                self.complain(name, sentence)
        return not self.errors

    def starts_at(self, tz: str) -> datetime:
        """The time that was chosen. Raises SkippedHour, RepeatedHour, NotOffered where no calendar is ours."""
        proposed = self._proposed()
        at = instant(self.day.data, self.hour.data, tz) if proposed is None else proposed
        if at.year not in YEARS:
            raise NotOffered(at)
        return at

    def wanted(self, tz: str) -> datetime | None:
        """The same of a form that came back; None where it names no time."""
        if self.slot.data == OWN and (self.day.data is None or self.hour.data is None):
            return None
        try:
            return None if self.slot.data is None else self.starts_at(tz)
        except (WrongTime, NotOffered, AttributeError, TypeError):
            return None

    def _proposed(self) -> datetime | None:
        try:
            at = datetime.fromisoformat(self.slot.data or "")
            return None if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


class BookForm(TimeForm):
    """Agree on a time."""

    medium = RadioField(
        _("What is it?"),
        [InputRequired(_("Choose what it is."))],
        choices=options(words.MEDIA),
        default="call",
        invalid_choice_message=_("Choose what it is."),
    )


class MoveForm(TimeForm, AppointmentForm):
    """To another time."""

    text = reason_field()


class GiveForm(AppointmentForm):
    """To somebody else."""

    person = SelectField(_("To whom?"), [Asked()], choices=[], validate_choice=False)

    @property
    def person_id(self) -> int:
        """Who gets it; nobody where the form does not say."""
        return typed.number(self.person.data or "") or 0


class CancelForm(AppointmentForm):
    """Call it off."""

    text = reason_field()


class WishForm(AppointmentForm):
    """The customer wishes another time."""

    contact = RadioField(
        _("How did it come?"),
        [InputRequired(_("Choose how it came."))],
        choices=options({contact: words.CONTACTS[contact] for contact in WISHES}),
        default=WISHES[0],
        invalid_choice_message=_("Choose how it came."),
    )
    text = text_field(_("What was said?"), Optional())


class OutcomeForm(SteppingForm, AppointmentForm):
    """What became of an agreed time, and what comes next."""

    outcome = RadioField(
        _("What became of it?"),
        [InputRequired(_("Choose what became of it."))],
        choices=options(words.AGREED_OUTCOMES),
        invalid_choice_message=_("Choose what became of it."),
    )
    then = RadioField(
        _("How does it go on?"),
        [InputRequired(_("Choose how it goes on."))],
        choices=["keep", "new", "close"],
        default="keep",
    )
    text = text_field(_("What was said?"), Asked())
    visible = BooleanField(_("Show this text on the status page"))
    recap = BooleanField(_("Send the customer a summary: this text as a letter"))

    def ask_about(self, agreed: AppointmentView) -> None:
        """Offer what can have become of it by now."""
        visits = agreed.medium == Medium.VISIT
        known = words.AGREED_OUTCOMES | ({AppointmentOutcome.NOT_BEGUN: words.NO_VISIT_YET} if visits else {})
        by_now = sayable(agreed.medium, begun=agreed.begun, started=agreed.started, over=agreed.over)
        self.outcome.choices = options({one: label for one, label in known.items() if one in by_now})

    def stand_by(self, sentence: str) -> None:
        """Say what stands or comes by itself if no promise is given; and that it may be the end."""
        stands = _("It stays at this: %(sentence)s.", sentence=sentence)
        by_itself = _("By itself: a new call if it did not take place, an answer after an interim report")
        self.then.choices = options(
            {
                "keep": stands if sentence else by_itself,
                "new": _("New promise"),
                "close": _("This settles it: close the request with this text"),
            }
        )

    def validate(self, extra_validators: Mapping[str, Any] | None = None) -> bool:
        """Also: a talk needs its words, only one with an answer closes, and nothing replaces a time that stands."""
        super().validate(extra_validators)
        talked = self.outcome.data in HELD
        if not self.text.data and (talked or self.recap.data):
            self.complain("text", _("Write down what was said."))
        if self.recap.data and not talked:
            self.complain("recap", _("A summary is of a talk that took place."))
        if self.then.data == "close" and self.outcome.data != AppointmentOutcome.ANSWERED:
            self.complain("then", _("Only a talk with an answer closes the request."))
        if self.then.data == "new" and self.outcome.data == AppointmentOutcome.NOT_BEGUN:
            self.complain("then", _("The appointment stands: promise nothing else in its place."))
        return not self.errors


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


def promised_step(form: PromiseForm | SteppingForm, tz: str) -> NewPromise:
    """What a form with a promise, a day and an hour promises. Raises SkippedHour, RepeatedHour."""
    kind, medium = promised_pair(form.promise.data)
    return NewPromise(kind, medium, instant(form.day.data, form.hour.data, tz), form.what.data or "")

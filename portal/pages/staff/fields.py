"""The fields that the staff's forms are made of, and what a typed day and hour mean."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _
from wtforms import DateField, Field, Form, SelectChoice, SelectField, StringField, TextAreaField, TimeField
from wtforms.validators import DataRequired, Length, Optional

from portal.cases.errors import Refused
from portal.languages import marked
from portal.pages.contact import typed
from portal.pages.contact.forms import one_line
from portal.pages.staff import wall_clock, words
from portal.promises.models import Medium, PromiseKind

MOST_TEXT = 10_000
MOST_WHAT = 200
MOST_REASON = 200
NO_DAY = _("Enter a day such as 26.11.2026.")
NO_HOUR = _("Enter a time such as 14:30.")
NO_PROMISE = _("Choose what you promise.")


class WrongTime(Refused):
    """A day and an hour that name no single instant, or a wrong one; ``field`` says where they were typed."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field


class SkippedHour(WrongTime):
    """The clock jumps over this time."""

    sentence = marked("The clock change leaves this time out on that day. Choose another one.")


class RepeatedHour(WrongTime):
    """The clock shows this time twice."""

    sentence = marked("The clock change repeats this time on that day. Choose one an hour earlier or later.")


class InTheFuture(WrongTime):
    """A contact cannot have happened later than now."""

    sentence = marked("A contact that was made cannot lie in the future.")


class NotFreeThen(WrongTime):
    """Whoever shall keep an agreed time is not there, or has another one."""

    sentence = marked("This colleague is not free at that time. Choose somebody else, or another time.")


class Asked:
    """Marks a field whose label shall not say "(optional)"; whether an answer is needed, the form decides."""

    field_flags: ClassVar[dict[str, bool]] = {"required": True}

    def __call__(self, form: Form, field: Field) -> None:
        """Refuses nothing."""


def day_field(label: Any, *validators: Any) -> DateField:
    """A day, from the browser's own field or typed as people do."""
    return DateField(label, validators, format=["%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y"], invalid_value_message=NO_DAY)


def hour_field(label: Any, *validators: Any) -> TimeField:
    """An hour and its minutes, on the team's clock."""
    return TimeField(label, validators, format=["%H:%M", "%H.%M", "%H"], invalid_value_message=NO_HOUR)


def text_field(label: Any, *validators: Any) -> TextAreaField:
    """Several lines of words."""
    length = Length(max=MOST_TEXT, message=_("The text is too long: at most 10,000 characters."))
    return TextAreaField(label, [*validators, length], filters=[_text])


def needed_text(label: Any, missing: Any) -> TextAreaField:
    """Several lines of words that must be there; ``missing`` says so."""
    return text_field(label, DataRequired(missing))


def promise_field() -> SelectField:
    """What is promised, and by which medium, as one choice."""
    return SelectField(
        _("What do you promise?"), [Asked()], choices=options(words.PROMISES), invalid_choice_message=NO_PROMISE
    )


def what_field() -> StringField:
    """What the customer will get, in a few words."""
    length = Length(max=MOST_WHAT, message=_("At most 200 characters."))
    return StringField(_("What will the customer get?"), [Optional(), length], filters=[_text])


def reason_field() -> StringField:
    """Why a date moves, in one line that the customer reads."""
    length = Length(max=MOST_REASON, message=_("At most 200 characters."))
    return StringField(_("Reason"), [Optional(), one_line, length], filters=[lambda value: typed.line(value or "")])


def options(choices: Mapping[Any, Any]) -> list[SelectChoice]:
    """The choices of a field, from values and their words."""
    return [SelectChoice(value, label) for value, label in choices.items()]


def promised_pair(value: str) -> tuple[PromiseKind, Medium]:
    """Kind and medium of a choice in words.PROMISES."""
    kind, medium = value.split("-")
    return PromiseKind(kind), Medium(medium)


def instant(day: date, hour: time, tz: str, *, field: str = "hour") -> datetime:
    """The instant meant by a day and an hour on the team's clock. Raises SkippedHour, RepeatedHour."""
    try:
        return wall_clock.instant(day, hour, tz)
    except wall_clock.NoSuchTime as error:
        raise SkippedHour(field) from error
    except wall_clock.TwiceThatTime as error:
        raise RepeatedHour(field) from error


def _text(value: str | None) -> str:
    return typed.text(value or "")

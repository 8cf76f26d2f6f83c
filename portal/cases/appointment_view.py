"""An agreed time as pages show it: ready for templates, in the reader's words, with every truth it may have.

To come, on hold, under way, late, over: the sentence says which. It never holds the customer's number.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.appointments import changing
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreed_time
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.languages import Voice
from portal.promises.models import Medium


@dataclass(frozen=True)
class AppointmentView:
    """A booked appointment."""

    version: int
    medium: Medium
    starts_at: datetime
    when: str
    """With the zone: "Mittwoch, 2. Dezember, 15 Uhr (MEZ)"."""
    minutes: int
    name: str
    """Who will be there."""
    line: str | None
    line_e164: str | None
    ends_with: str | None
    """The last two digits of the number that is called."""
    sentence: str
    """Without the full stop."""
    on_hold: bool
    begun: bool
    """Whether its time has come."""
    started: bool
    """Whether somebody has begun it."""
    over: bool
    late: bool
    """Whether nobody has begun it in time, for this reader."""
    goes_on: str
    """Until when the page says how it goes on."""
    change_until: str | None
    """Until when the customer changes it here; None where that is over."""
    may_move: bool
    may_cancel: bool

    @property
    def to_come(self) -> bool:
        """Whether it is agreed and its time has not come."""
        return not self.begun and not self.on_hold


def view(
    directory: Directory,
    case: Case,
    appointment: Appointment,
    voice: Voice,
    *,
    late_after: timedelta = appointments.TELL_AFTER,
    now: datetime,
) -> AppointmentView:
    """The appointment at ``now``, in the reader's words; colleagues hear sooner than customers that it is late."""
    late = appointments.is_late(appointment, late_after, now=now)
    person, number = agreed_time.keeper(directory, case, appointment), case.customer.phone_e164
    until, may_cancel = changing.is_open_until(appointment), changing.may_cancel(appointment, now=now)
    return AppointmentView(
        version=appointment.version,
        medium=appointment.medium,
        starts_at=appointment.starts_at,
        when=voice.agreed(appointment.starts_at, now=now),
        minutes=round((appointment.ends_at - appointment.starts_at).total_seconds() / 60),
        name=person.name,
        line=person.line_shown,
        line_e164=person.line_e164,
        ends_with=None if number is None else number[-2:],
        sentence=_sentence(directory, case, appointment, person.name, voice, late=late, now=now),
        on_hold=appointments.is_on_hold(appointment),
        begun=now >= appointment.starts_at,
        started=appointment.started_at is not None,
        over=is_over(appointment, now=now),
        late=late,
        goes_on=voice.time(appointment.outcome_due_at),
        change_until=voice.moment(until, now=now) if may_cancel else None,
        may_move=changing.may_move(appointment, now=now),
        may_cancel=may_cancel,
    )


def is_over(appointment: Appointment, *, now: datetime) -> bool:
    """Whether its end has come."""
    return now >= appointment.ends_at


def _sentence(
    directory: Directory, case: Case, appointment: Appointment, name: str, voice: Voice, *, late: bool, now: datetime
) -> str:
    moment, visits = voice.moment(appointment.starts_at, now=now), appointment.medium == Medium.VISIT
    if appointments.is_on_hold(appointment):
        if visits:
            return voice.say("The appointment at %(moment)s is on hold: nobody comes at that time", moment=moment)
        return voice.say("The appointment at %(moment)s is on hold: nobody calls you at that time", moment=moment)
    if late:
        if visits:
            return voice.say("We have no sign yet that the visit agreed for %(moment)s has begun", moment=moment)
        return voice.say("We have not called you as agreed for %(moment)s", moment=moment)
    if is_over(appointment, now=now):
        return voice.say("The appointment with %(name)s was at %(moment)s", name=name, moment=moment)
    if now < appointment.starts_at:
        return agreed_time.sentence(directory, case, appointment, voice, now=now)
    if visits:
        return voice.say("%(name)s is visiting you now", name=name)
    return voice.say("%(name)s is calling you now", name=name)

"""What a colleague does about an agreed time: begins it, says what became of it, moves it, gives it away, notes a wish.

As with all deeds: in the domain's own steps, with what this colleague saw. Somebody with an old list sends its version.
"""

from datetime import datetime, timedelta

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, calling, keeping, offering, on_hold, replacing
from portal.cases.contacts import Contact
from portal.cases.keeping import HELD, AppointmentOutcome
from portal.cases.models import CaseState
from portal.cases.offering import Finder, Offered
from portal.cases.promising import NewPromise
from portal.cases.settling import booked_of
from portal.promises.models import Medium, PromiseKind
from portal.simulation.deeds import NOTHING, Deeds, Done

BEFORE = timedelta(minutes=2)
"""Nobody tries to change a time that is about to come."""


class Meetings(Deeds):
    """One colleague at one case with an agreed time, inside one writing transaction."""

    def start(self, version: int, at: datetime) -> Done:
        """Ask for the number, or set out, as a list says that may be older than the present."""
        self.trying, self.slot = "start", at
        calling.start_call(self._session, self._case, by_id=self._by, version=version, now=self._now)
        return Done("start", slot=at)

    def outcome(self) -> Done:
        """Say what became of it, if nobody has said so by now."""
        booked = self._booked()
        if booked is None or appointments.is_on_hold(booked) or self._now < booked.starts_at:
            return NOTHING
        self.trying = "outcome"
        draw = self._random.random()
        if booked.started_at is None:
            became = AppointmentOutcome.MISSED
        elif draw < 0.62:
            became = AppointmentOutcome.ANSWERED
        else:
            became = AppointmentOutcome.INTERIM if draw < 0.82 else AppointmentOutcome.NOT_REACHED
        spoke = became in HELD
        answered = became == AppointmentOutcome.ANSWERED
        keeps = self._kept_by(booked.medium) if answered else frozenset()
        keeping.say_outcome(
            self._session, self._case, by_id=self._by, outcome=became, text="Wir haben über die Anfrage gesprochen.",
            keeps=keeps, step=self._after(became), visible=True, version=booked.version, now=self._now,
            recap=spoke and self._random.random() < 0.4,
        )  # fmt: skip
        return Done("outcome", reached=spoke, keeps=bool(keeps), why=became.value)

    def wish(self, contact: Contact) -> Done:
        """The customer wishes another time."""
        booked = self._booked()
        if booked is None:
            return NOTHING
        self.trying = "freeze"
        on_hold.wish(self._session, self._case, by_id=self._by, contact=contact, text="Die Zeit passt nicht mehr.",
                     version=booked.version, now=self._now)  # fmt: skip
        return Done("freeze")

    def give(self, to: int) -> Done:
        """Let a colleague keep it."""
        booked = self._to_come()
        if booked is None or appointments.is_on_hold(booked):
            return NOTHING
        self.trying = "give"
        replacing.give(self._session, self._case, person_id=to, version=booked.version, by_id=self._by, now=self._now)
        return Done("give")

    def move(self) -> Done:
        """Agree with the customer on another time."""
        booked = self._to_come()
        found = None if booked is None else self._free(booked)
        if booked is None or found is None:
            return NOTHING
        self.trying = "move"
        agreeing.move(self._session, self._case, starts_at=found.starts_at, version=booked.version, by_id=self._by,
                      now=self._now, reason="So haben wir es am Telefon vereinbart.")  # fmt: skip
        return Done("move")

    def cancel(self) -> Done:
        """Call it off."""
        booked = self._to_come()
        if booked is None:
            return NOTHING
        self.trying = "cancel"
        agreeing.cancel(self._session, self._case, version=booked.version, by_id=self._by, now=self._now,
                        reason="Das hat sich geklärt.")  # fmt: skip
        return Done("cancel")

    def book(self) -> Done:
        """Agree on a time with a customer who has none."""
        topic = self._directory.topics[self._case.topic_id]
        if self._case.state != CaseState.OPEN or self._booked() is not None or not offering.offers(topic):
            return NOTHING
        if topic.slot_medium == Medium.CALL and self._case.customer.phone_e164 is None:
            return NOTHING
        found = self._free(None)
        if found is None:
            return NOTHING
        self.trying = "book"
        agreeing.book(self._session, self._case, starts_at=found.starts_at, by_id=self._by, now=self._now)
        return Done("book")

    def answer(self, promise_id: int) -> Done:
        """As any colleague, who first looks for a new time where one is wished, or now and then agrees on one."""
        case = self._case
        if case.state != CaseState.OPEN or case.promise_id != promise_id:
            return NOTHING
        booked = self._booked()
        done = NOTHING
        if booked is not None and booked.change_wished_at is not None and self._random.random() < 0.7:
            done = self.move() if self._random.random() < 0.8 else self.cancel()
        elif booked is None and self._random.random() < 0.06:
            done = self.book()
        return super().answer(promise_id) if done is NOTHING else done

    def _booked(self) -> Appointment | None:
        return booked_of(self._session, self._case) if self._case.state == CaseState.OPEN else None

    def _to_come(self) -> Appointment | None:
        booked = self._booked()
        return None if booked is None or booked.starts_at <= self._now + BEFORE else booked

    def _free(self, moving: Appointment | None) -> Offered | None:
        """One of the first free times, but not the one that is agreed."""
        asked = offering.of_case(self._directory, self._case, moving=moving)
        finder = Finder(self._session, self._directory, asked, now=self._now, by_colleague=True)
        at = None if moving is None else moving.starts_at
        found = [one for one in finder.first(6) if one.starts_at not in (at, self._now)]
        return self._random.choice(found) if found else None

    def _after(self, became: AppointmentOutcome) -> NewPromise:
        """What the customer waits for then."""
        if became in HELD:
            kind = PromiseKind.FOLLOW_UP if became == AppointmentOutcome.ANSWERED else PromiseKind.RESULT
            return self._step(kind, 960)
        phone = self._case.customer.phone_e164 is not None
        return self._step(PromiseKind.CALL, 480, Medium.CALL) if phone else self._step(PromiseKind.FOLLOW_UP, 480)

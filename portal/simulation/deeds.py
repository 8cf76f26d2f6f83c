"""What a colleague does about one case, in the domain's own steps: answer, ask, call, promise, plan, close, note."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from random import Random

from sqlalchemy.orm import Session

from portal.cases import answering, calling, closing, contacts, planning, promising
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.promising import NewPromise
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.models import Medium, Promise, PromiseKind
from portal.simulation.company import Habit


@dataclass(frozen=True)
class Done:
    """One act of a colleague, as the plan notes it."""

    act: str
    ok: bool = True
    why: str | None = None
    reached: bool = False
    keeps: bool = False
    then_close: bool = False
    allowed: bool = True
    """For a call: whether the person was one whom the page or a letter named for it."""
    slot: datetime | None = None
    """For the start of an appointment: its time, as the list said that this colleague looked at."""


NOTHING = Done("nothing")


class Deeds:
    """One colleague at one case, inside one writing transaction."""

    def __init__(
        self, session: Session, case: Case, person_id: int, habit: Habit, random: Random, now: datetime
    ) -> None:
        self._session, self._case, self._by, self._habit, self._random, self._now = (
            session, case, person_id, habit, random, now,
        )  # fmt: skip
        self._directory = directories.load(session, now=now)
        self.trying = "note"
        """What is being tried; where it is refused the plan says so."""
        self.slot: datetime | None = None
        """The time it is about, where it is the start of an appointment."""
        self.before: list[Done] = []
        """What was done in the same transaction before the last act."""

    def answer(self, promise_id: int) -> Done:
        """Do something about the next step, if it still is this one."""
        case = self._case
        if case.state != CaseState.OPEN or case.promise_id != promise_id or case.promise is None:
            return NOTHING
        if case.promise.medium == Medium.CALL and case.customer.phone_e164 is not None:
            return self._call(case.version)
        if case.promise.kind == PromiseKind.FOLLOW_UP:
            return self._follow_up()
        return self._reply()

    def plan(self) -> Done:
        """Say before the date that it will not be kept, with a new one and the reason."""
        case = self._case
        if case.state != CaseState.OPEN or case.promise is None or case.promise.waiting is not None:
            return NOTHING
        self.trying = "plan"
        team = self._directory.team_of(case)
        later = self._random.choice((60, 480, 480))
        to = business_time.add(self._directory.calendar(team), case.promise.due_at, later)
        planning.plan_move(self._session, case, promise_id=case.promise.id, by_id=self._by,
                           to=business_time.round_up(self._directory.calendar(team), to),
                           reason="Wir warten noch auf eine Angabe des Herstellers.", now=self._now)  # fmt: skip
        return Done("plan")

    def dial(self, version: int) -> Done:
        """Ring up from an old list: the case is as it was when that list was made, or so this colleague thinks."""
        return self._call(version) if self._case.promise is not None else NOTHING

    def close(self) -> Done:
        """Close it, if nothing has come in between."""
        case = self._case
        if case.state != CaseState.OPEN or case.promise is None or case.promise.kind != PromiseKind.FOLLOW_UP:
            return NOTHING
        return self._close(Outcome.DONE, "Erledigt, wie besprochen.")

    def _reply(self) -> Done:
        draw = self._random.random()
        if draw < 0.14:
            return self._ask()
        if draw < 0.18 and self._habit is not Habit.PROMPT:
            return self._promise(PromiseKind.RESULT, self._random.choice((480, 960)))
        self.trying = "reply"
        keeps = self._kept_by(Medium.MAIL)
        if draw < 0.28:
            step = self._step(PromiseKind.RESULT, 240 if self._habit is Habit.PROMISES_TOO_MUCH else 960)
        else:
            step = self._step(PromiseKind.FOLLOW_UP, self._random.choice((960, 1440)))
        answering.reply(self._session, self._case, by_id=self._by, text="Hier ist die Antwort auf Ihre Frage.",
                        keeps=keeps, step=step, now=self._now)  # fmt: skip
        return Done("reply", keeps=bool(keeps), then_close=step.kind == PromiseKind.FOLLOW_UP and draw < 0.8)

    def _ask(self) -> Done:
        self.trying = "ask"
        keeps = self._kept_by(Medium.MAIL)
        answering.ask(self._session, self._case, by_id=self._by, text="Welche Auftragsnummer meinen Sie?", keeps=keeps,
                      follow_up_at=self._date(self._random.choice((960, 1440))), now=self._now)  # fmt: skip
        return Done("ask", keeps=bool(keeps))

    def _follow_up(self) -> Done:
        """The day on which we wanted to get in touch again: closed by most, answered once more by the others."""
        if self._random.random() < 0.8:
            return self._close(Outcome.DONE, "Damit ist Ihr Anliegen erledigt.")
        self.trying = "reply"
        keeps = self._kept_by(Medium.MAIL)
        step = self._step(PromiseKind.RESULT, 960)
        answering.reply(self._session, self._case, by_id=self._by, text="Ein kurzer Zwischenstand.", keeps=keeps,
                        step=step, now=self._now)  # fmt: skip
        return Done("reply", keeps=bool(keeps))

    def _promise(self, kind: PromiseKind, minutes: int) -> Done:
        self.trying = "promise"
        promising.promise_date(self._session, self._case, by_id=self._by, step=self._step(kind, minutes), now=self._now)
        return Done("promise")

    def _call(self, version: int) -> Done:
        """Ask for the number, dial, and write down what came of it; some never do that."""
        self.trying = "call"
        case = self._case
        allowed = self._named()
        calling.start_call(self._session, case, by_id=self._by, version=version, now=self._now)
        draw = self._random.random()
        if self._habit is Habit.NEVER_LOGS_CALLS and draw < 0.4:
            return Done("call", why="never written down", allowed=allowed)
        reached = draw < 0.78
        keeps = self._kept_by(Medium.CALL) if reached else frozenset()
        step = self._step(PromiseKind.FOLLOW_UP, 960) if reached else self._step(PromiseKind.CALL, 480, Medium.CALL)
        contacts.log_contact(
            self._session, case, by_id=self._by, contact=Contact.CALL_REACHED if reached else Contact.CALL_NOT_REACHED,
            text="", at=self._now, keeps=keeps, step=step, visible=True, now=self._now,
        )  # fmt: skip
        return Done("call", reached=reached, keeps=bool(keeps), then_close=reached and draw < 0.6, allowed=allowed)

    def _close(self, outcome: Outcome, text: str) -> Done:
        self.trying = "close"
        keeps = bool(self._kept_by(Medium.MAIL))
        closing.close(self._session, self._case, by_id=self._by, outcome=outcome, text=text, now=self._now)
        return Done("close", keeps=keeps)

    def _named(self) -> bool:
        """Whether the page names this colleague now, or whom they stand in for, or a letter named them as the lead."""
        case = self._case
        assert case.promise is not None
        lead_id = self._directory.team_of(case).lead_id if case.lead_since is not None else None
        return self._by in (self._directory.acting_person(case, self._now).person_id, case.promise.person_id, lead_id)

    def _open(self) -> list[Promise]:
        return promises.open_of(self._session, self._case.id)

    def _kept_by(self, medium: Medium) -> Collection[int]:
        """The promises that this medium makes good; a talk makes good a reply too."""
        talked = medium == Medium.CALL
        return frozenset(
            one.id for one in self._open() if one.medium == medium or (talked and one.kind == PromiseKind.REPLY)
        )

    def _step(self, kind: PromiseKind, minutes: int, medium: Medium = Medium.MAIL) -> NewPromise:
        return NewPromise(kind, medium, self._date(minutes))

    def _date(self, minutes: int) -> datetime:
        """A date so many business minutes ahead that leaves room for a notice."""
        team = self._directory.team_of(self._case)
        level = self._directory.levels[self._directory.topics[self._case.topic_id].level_id].level
        return service_level.due_after(
            minutes, self._directory.calendar(team), self._directory.sending(team), level=level, given_at=self._now
        ).due_at

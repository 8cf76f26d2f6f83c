"""Workers of the driven life: the real steps with the real relay, and what can befall them between two statements.

Two workers take turns. A killed one leaves everything as it stands, as SIGKILL would: its transaction is rolled back
by the database, its connection to the relay breaks, the letter it held stays leased; a new one starts in its place.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from portal import db
from portal.logs import place_of
from portal.mail.transport import Relay
from portal.simulation import scratch
from worker.__main__ import steps_of
from worker.delivery import Delivery
from worker.loop import Step

MOST_AT_ONE_INSTANT = 50_000
"""Turns after which a worker that finds more and more to do at one instant is taken for broken."""
MOST_STATEMENTS = 40
"""A kill meets one of so many statements that follow it."""


class Killed(BaseException):
    """SIGKILL, as far as one process can have it: nothing may catch it and go on."""


class Blow(StrEnum):
    """Where a worker is struck."""

    STATEMENT = "statement"
    BEFORE_DATA = "before_data"
    AFTER_DATA = "after_data"
    RESTART = "restart"


@dataclass
class Armed:
    """The blow that comes next, and after how many chances."""

    blow: Blow | None = None
    left: int = 0

    def strikes(self, *blows: Blow) -> bool:
        """Whether it comes now; then it is spent."""
        if self.blow not in blows:
            return False
        self.left -= 1
        if self.left > 0:
            return False
        self.blow = None
        return True


class StruckRelay(Relay):
    """The real relay's way, on which a worker can die right before or right after the letter."""

    armed: Armed

    def send(self, *, message: bytes, sender: str, recipient: str, before_data: Callable[[], bool]) -> bool:
        """As the real one; raises Killed where it is armed."""

        def asked() -> bool:
            if self.armed.strikes(Blow.BEFORE_DATA):
                raise Killed
            return before_data()

        sent = super().send(message=message, sender=sender, recipient=recipient, before_data=asked)
        if self.armed.strikes(Blow.AFTER_DATA):
            raise Killed
        return sent


class Workers:
    """Two sets of steps, of which one has its turn."""

    def __init__(self, app: Flask, stored: Callable[[], int], number: int = 2) -> None:
        self._app, self._stored = app, stored
        self._armed = Armed()
        self._working = self._hurt = False
        self.faults: list[str] = []
        """What went wrong in a step although nothing had been done to it: the place, never the text."""
        self.killed = 0
        self.ambiguous = 0
        """Letters stored in the very step in which a worker died: nobody could note that."""
        self._teams = [self._start() for _ in range(number)]
        self._turn = 0
        event.listen(db.db.engine, "before_cursor_execute", self._statement)

    def close(self) -> None:
        """Let all of them go."""
        event.remove(db.db.engine, "before_cursor_execute", self._statement)
        for deliver, _ in self._teams:
            deliver.close()

    def arm(self, blow: Blow, chances: int) -> None:
        """The next worker that comes to the place meets the blow there."""
        self._armed.blow, self._armed.left = blow, chances

    def restart(self) -> None:
        """The machine comes back: everybody is new."""
        for deliver, _ in self._teams:
            deliver.close()
        self._teams = [self._start() for _ in self._teams]

    def work(self, *, letters_only: bool = False) -> bool:
        """One worker does all that is due now; False if something kept it from the end.

        ``letters_only`` spares the other steps their look where nothing can have become due for them.
        """
        self._turn = (self._turn + 1) % len(self._teams)
        for _ in range(MOST_AT_ONE_INSTANT):
            did, whole = self._round(letters_only)
            if not whole:
                return False
            if not did:
                return True
        self.faults.append(f"no rest after {MOST_AT_ONE_INSTANT} rounds")
        return False

    def _start(self) -> tuple[Delivery, dict[str, Step]]:
        relay = StruckRelay(self._app.extensions["portal.post"])
        relay.armed = self._armed
        deliver = Delivery(relay)
        return deliver, steps_of(deliver)

    def _round(self, letters_only: bool) -> tuple[bool, bool]:
        """One turn for each step; whether another may have become due by it, and whether all came to their end.

        Delivering comes last, and makes nothing due but letters: it needs no further round.
        """
        did, self._hurt, stored = False, False, self._stored()
        steps = self._teams[self._turn][1]
        self._working = True
        try:
            for name in ["deliver"] if letters_only else sorted(steps, key=lambda name: name == "deliver"):
                while self._one(name, steps[name]):
                    did, stored = did or name != "deliver", self._stored()
        except Killed:
            self._die(stored)
        finally:
            self._working = False
        return did, not self._hurt

    def _one(self, name: str, step: Step) -> bool:
        """One item; a step with a fault is left, as the real loop leaves it, and the others go on."""
        restarting = self._armed.blow is Blow.RESTART
        try:
            return bool(step())
        except Exception as fault:
            self._hurt = True
            ours = not (restarting and self._armed.blow is None and isinstance(fault, SQLAlchemyError))
            if ours:
                found = place_of(fault)
                self.faults.append(f"{name}: {found['fault']} at {found.get('at', '?')}")
            return False

    def _die(self, stored: int) -> None:
        self.killed += 1
        self._hurt = True
        if self._stored() > stored:
            self.ambiguous += 1
        with suppress(Exception):
            self._teams[self._turn][0].close()
        self._teams[self._turn] = self._start()

    def _statement(self, *_: object) -> None:
        """Before each statement of a step: the place where it can be struck."""
        if not self._working:
            return
        if self._armed.strikes(Blow.STATEMENT):
            raise Killed
        if self._armed.strikes(Blow.RESTART):
            _restart(db.db.engine)


def _restart(engine: Engine) -> None:
    """The database goes away under the worker and is back at once. Raises OperationalError on SQLite."""
    self_inflicted = sqlite3.OperationalError("the database was restarted")
    if engine.dialect.name == "sqlite":
        raise OperationalError("restart", None, self_inflicted)
    scratch.cut_connections(engine)

"""The house of the fault plan: two web processes, two workers and the relay, all real; and the blows."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from portal import db, demo, schema
from portal.core import create_core
from portal.mail.models import WorkerBeat
from portal.pages.staff.login import passwords
from tests.faults import before
from tests.faults.ground import Ground
from tests.faults.plan import Blow, Plan, Strike
from tests.support.processes import ROOT, START_TIME, Running, Web, Worker, wait_until
from tests.support.smtp_sink import CERTIFICATE

INSIDE = Path(__file__).parents[1] / "killing" / "inside"
SECRET_KEY = "a-key-for-the-fault-plan-0123456789-abc"
BEGINS = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
"""What time it is when the house is entered: a Tuesday, 10:00 in Germany. At other hours no notice would leave."""
DEADLINE, LEASE, RETRY_BASE = 1.2, 4.0, 0.1
"""Everything that lasts minutes in earnest lasts seconds here."""
STARTED_WITHIN = 15.0
"""Seconds that a worker is given to begin before it is struck all the same; a database that is away delays it."""


class House:
    """The processes.

    ``windows`` are the times in which the database was not to be had, ``struck`` how many blows fell. ``ended`` is how
    many workers ended by themselves: none may. ``given_up`` is when the notice of each case from before is due, as
    ``time.time()`` has it.
    """

    def __init__(self, ground: Ground, folder: Path, plan: Plan, *, bug: str = "") -> None:
        self._ground, self._folder, self._plan = ground, folder, plan
        self._running = ExitStack()
        self._beside: list[threading.Thread] = []
        self._stopped: set[int] = set()
        self._lock = threading.Lock()
        self._ahead = self._unset = 0
        self.given_up: dict[str, float] = {}
        self.ended = 0
        self.windows: list[tuple[float, float]] = []
        self.struck: dict[Blow, int] = dict.fromkeys(Blow, 0)
        self.relay_log = folder / "relay.jsonl"
        self.logs = folder / "logs"
        certificate = folder / "relay.pem"
        certificate.write_text(CERTIFICATE, encoding="ascii")
        self.environment = {
            "PORTAL_DATABASE_URL": ground.url,
            "PORTAL_SECRET_KEY": SECRET_KEY,
            "PORTAL_BASE_URL": "http://localhost",
            "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
            "PORTAL_MAIL_USE_TLS": "true",
            "PORTAL_MAIL_CA_FILE": str(certificate),
            "PORTAL_MAIL_RETRY_BASE": str(RETRY_BASE),
            "PORTAL_MAIL_DEADLINE": str(DEADLINE),
            "PORTAL_MAIL_LEASE": str(LEASE),
            "PORTAL_MAIL_CAP": "100000 per hour",
            "PORTAL_FORM_LIMIT": "100000 per hour",
            "PORTAL_SITE_LIMIT": "100000 per hour",
            "PORTAL_UPLOAD_LIMIT": "1000000 MB per hour",
            "PORTAL_FORM_MIN_SECONDS": "0",
            "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
            "PYTHONPATH": os.pathsep.join((str(INSIDE), str(ROOT))),
            "DURCHWAHL_FAULTS": str(folder),
            "DURCHWAHL_BUG": bug,
        }

    def __enter__(self) -> Self:
        self.logs.mkdir()
        with self._running:
            self.relay = self._relay(0)
            self.environment["PORTAL_MAIL_PORT"] = str(self._relay_port)
            self.core = create_core(self.environment)
            with self.core.app_context():
                schema.migrate(db.db.engine)
                with db.writing() as session:
                    demo.company(session, password_hash=passwords.hash_password("durchwahl in not"))
            self.set_clock(BEGINS)
            self._unset = self._ahead
            with self.core.app_context(), db.writing() as session:
                due = before.open_cases(session, self._plan.profile, now=self.now())
            self.given_up = {case: at.timestamp() - self._ahead for case, at in due.items()}
            self.web = Web(self.environment, self.logs / "web.log", workers=2)
            self._running.callback(self.web.stop)
            self.workers = [self._worker(), self._worker()]
            wait_until(self._all_work, START_TIME, "not both workers give a sign of life")
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait_for_blows()
        self.ended += sum(worker.has_ended() for worker in self.workers)
        for process in (self.web, *self.workers, self.relay):
            process.send(signal.SIGTERM)
        self._running.close()
        for process in (*self.workers, self.relay):
            process.stop()
        with self.core.app_context():
            db.db.engine.dispose()

    # --- blows ---

    def strike(self, strike: Strike) -> None:
        """Deal one blow; what lasts goes on beside the next ones."""
        self.struck[strike.blow] += 1
        if strike.blow is Blow.KILL_WEB:
            self._kill_web(strike.which)
        elif strike.blow is Blow.KILL_WORKER:
            self._kill_worker(strike.which % len(self.workers))
        elif strike.blow is Blow.STOP_WORKER:
            self._beside_us(lambda: self._hold(strike.which % len(self.workers), LEASE * 1.5))
        elif strike.blow is Blow.OUTAGE:
            self._beside_us(lambda: self._without_relay(strike.seconds))
        else:
            # One after the other: a database that is away cannot be filled up.
            self._without_database(strike)

    def wait_for_blows(self) -> None:
        """Until all that lasts is over."""
        for thread in self._beside:
            thread.join()

    def now(self) -> datetime:
        """What time it is in the house."""
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def latest(self) -> datetime:
        """What time it would be, had its clock not been set back: until then something may wait that is due."""
        return datetime.now(UTC) + timedelta(seconds=self._unset)

    def set_clock(self, to: datetime) -> None:
        """Set the clock of the whole machine, as far as our processes can tell."""
        self._ahead = round((to - datetime.now(UTC)).total_seconds())
        draft = self._folder / "clock.draft"
        draft.write_text(str(self._ahead), encoding="ascii")
        draft.rename(self._folder / "clock")

    def processes(self) -> dict[str, int]:
        """The process ids of all that serves or works."""
        web = {f"web {number}": pid for number, pid in enumerate(self._children_of_web(), 1)}
        return web | {f"worker {number}": worker.pid for number, worker in enumerate(self.workers, 1)}

    def hold_all_workers(self) -> Callable[[], None]:
        """Hold both workers; the answer lets them go on."""
        for worker in self.workers:
            worker.send(signal.SIGSTOP)
        return lambda: [worker.send(signal.SIGCONT) for worker in self.workers] and None

    def said(self) -> str:
        """All logs of our processes, in no order."""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(self.logs.glob("*.log")))

    def _kill_web(self, which: int) -> None:
        children = self._children_of_web()
        if children:
            with suppress(ProcessLookupError):
                os.kill(children[which % len(children)], signal.SIGKILL)

    def _children_of_web(self) -> list[int]:
        path = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="ascii").split()]

    def _kill_worker(self, which: int) -> None:
        self._wait_for_work(which)
        with self._lock:
            which = self._not_held(which)
            self.ended += self.workers[which].has_ended()
            self.workers[which].send(signal.SIGKILL)
            self.workers[which].wait_for_end()
            self.workers[which] = self._worker()

    def _hold(self, which: int, seconds: float) -> None:
        self._wait_for_work(which)
        with self._lock:
            if self._stopped:
                return
            self._stopped.add(which)
            held = self.workers[which]
            held.send(signal.SIGSTOP)
        time.sleep(seconds)
        with self._lock:
            held.send(signal.SIGCONT)
            self._stopped.discard(which)

    def _not_held(self, which: int) -> int:
        """This worker, or the other one where it is held: it is to come back."""
        return 1 - which if which in self._stopped else which

    def _wait_for_work(self, which: int) -> None:
        """Until the worker to strike has begun to work: to kill one that is only starting tells nothing."""
        end = time.monotonic() + STARTED_WITHIN
        while not self._works(self.workers[self._not_held(which)]) and time.monotonic() < end:
            time.sleep(0.1)

    def _works(self, worker: Worker) -> bool:
        with suppress(SQLAlchemyError), self.core.app_context(), db.reading() as session:
            return any(beat.endswith(f":{worker.pid}") for beat in session.scalars(select(WorkerBeat.id)))
        return False

    def _all_work(self) -> bool:
        return all(self._works(worker) for worker in self.workers)

    def _without_relay(self, seconds: float) -> None:
        with self._lock:
            self.relay.stop()
        time.sleep(seconds)
        with self._lock:
            self.relay = self._relay(self._relay_port)

    def _without_database(self, strike: Strike) -> None:
        begun = time.monotonic()
        try:
            (self._ground.full if strike.blow is Blow.FULL else self._ground.away)(strike.seconds)
        finally:
            self.windows.append((begun, time.monotonic()))

    def _beside_us(self, blow: Callable[[], None]) -> None:
        thread = threading.Thread(target=blow)
        thread.start()
        self._beside.append(thread)

    def _worker(self) -> Worker:
        worker = Worker(self.environment, self.logs / f"worker-{time.monotonic_ns()}.log")
        self._running.callback(worker.stop)
        return worker

    def _relay(self, port: int) -> Running:
        told = self._folder / f"relay-{time.monotonic_ns()}.txt"
        options = {"--port": port, "--log": self.relay_log, "--seed": self._plan.seed}
        options["--share"] = self._plan.profile.fault_share
        words = [str(word) for option in options.items() for word in option]
        relay = Running(["tests.faults.sink", *words], _nothing(), told)
        self._running.callback(relay.stop)
        wait_until(lambda: "\n" in relay.said(), START_TIME, "the relay does not say its port")
        self._relay_port: int = int(relay.said().split(":")[1].strip(" }\n"))
        return relay


def _nothing() -> Mapping[str, str]:
    return {}

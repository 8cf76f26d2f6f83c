"""The house of the fault plan: two web processes, two workers and the relay, all real; and the blows."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import func, select

from portal import db, demo, schema
from portal.core import create_core
from portal.mail.models import WorkerBeat
from portal.pages.staff.login import passwords
from tests.faults.ground import Ground
from tests.faults.plan import Blow, Plan, Strike
from tests.support.processes import ROOT, Running, Web, Worker, wait_until
from tests.support.smtp_sink import CERTIFICATE

INSIDE = Path(__file__).parents[1] / "killing" / "inside"
SECRET_KEY = "a-key-for-the-fault-plan-0123456789-abc"
DEADLINE, LEASE, RETRY_BASE = 1.2, 4.0, 0.1
"""Everything that lasts minutes in earnest lasts seconds here."""


class House:
    """The processes; ``windows`` are the times in which the database was not to be had, ``blows`` how many struck."""

    def __init__(self, ground: Ground, folder: Path, plan: Plan, *, bug: str = "") -> None:
        self._ground, self._folder, self._plan = ground, folder, plan
        self._running = ExitStack()
        self._beside: list[threading.Thread] = []
        self._stopped: set[int] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)
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
            self.web = Web(self.environment, self.logs / "web.log", workers=2)
            self._running.callback(self.web.stop)
            self.workers = [self._worker(), self._worker()]
            wait_until(self._all_work, 60, "not both workers give a sign of life")
            self._supervisor.start()
            self._running = self._running.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait_for_blows()
        self._over.set()
        self._supervisor.join()
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

    def set_clock(self, seconds: int) -> None:
        """Set the clock of the whole machine, as far as our processes can tell."""
        draft = self._folder / "clock.draft"
        draft.write_text(str(seconds), encoding="ascii")
        draft.rename(self._folder / "clock")

    def hold_all_workers(self) -> Callable[[], None]:
        """Hold both workers; the answer lets them go on."""
        for worker in self.workers:
            worker.send(signal.SIGSTOP)
        return lambda: [worker.send(signal.SIGCONT) for worker in self.workers] and None

    def said(self) -> str:
        """All logs of our processes, in no order."""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(self.logs.glob("*.log")))

    def _kill_web(self, which: int) -> None:
        children = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()
        if children:
            with suppress(ProcessLookupError):
                os.kill(int(children[which % len(children)]), signal.SIGKILL)

    def _kill_worker(self, which: int) -> None:
        with self._lock:
            if which in self._stopped:  # the other one then: a held worker is to come back
                which = 1 - which
            self.workers[which].send(signal.SIGKILL)
            self.workers[which].wait_for_end()
            self.workers[which] = self._worker()

    def _hold(self, which: int, seconds: float) -> None:
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

    def _supervise(self) -> None:
        """Start a worker again that ended by itself: one that begins while the database is away says so and ends."""
        while not self._over.wait(0.3):
            with self._lock:
                for which, worker in enumerate(self.workers):
                    if worker.has_ended():
                        self.workers[which] = self._worker()

    def _all_work(self) -> bool:
        with self.core.app_context(), db.reading() as session:
            return session.scalar(select(func.count()).select_from(WorkerBeat)) == len(self.workers)

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
        wait_until(lambda: "\n" in relay.said(), 30, "the relay does not say its port")
        self._relay_port: int = int(relay.said().split(":")[1].strip(" }\n"))
        return relay


def _nothing() -> Mapping[str, str]:
    return {}

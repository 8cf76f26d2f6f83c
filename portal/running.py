"""`durchwahl run`: everything in one terminal, for a first look and for development."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from portal import clock, db, demo, schema
from portal.core import create_core
from portal.pages.mailbox import receiver
from portal.pages.staff.login import passwords

WORDS = ("Anruf", "Brief", "Datum", "Draht", "Flur", "Garten", "Hafen", "Kanne", "Lampe", "Marke", "Nadel", "Ofen")
STOP_TIME = 25.0


def run(*, host: str, port: int, folder: Path) -> int:
    """Start everything, print the addresses, stop everything on Ctrl-C. Returns the exit code."""
    if not _is_free(host, port):
        click.echo(
            f"durchwahl: port {port} is in use; choose another with --port (make run PORT={port + 1}).", err=True
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    mailbox = folder / "mailbox"
    local_mail = receiver.start(mailbox)
    try:
        environment = _environment(host, port, folder, mailbox, local_mail.port)
        password = _prepare(environment, folder)
        with _processes(environment, host, port) as processes:
            if not _answers(f"http://{host}:{port}/healthz", processes):
                return 1
            _greet(f"http://{host}:{port}", password)
            return _wait(processes)
    finally:
        local_mail.stop()


def new_password() -> str:
    """A password that can be read out: three words and a number."""
    return "-".join([*(secrets.choice(WORDS) for _ in range(3)), str(secrets.randbelow(9000) + 1000)])


def login_lines(password: str) -> list[str]:
    """Who can sign in to the demo, and with what."""
    people = [f"  {email:<36} {name}" for name, email in demo.logins()]
    return ["Staff logins (all with the password below):", *people, f"  Password: {password}"]


def _environment(host: str, port: int, folder: Path, mailbox: Path, mail_port: int) -> dict[str, str]:
    """The environment of web and worker: what is set stays, what is missing is filled in for one machine."""
    ours = {
        "PORTAL_DATABASE_URL": f"sqlite:///{(folder / 'durchwahl.sqlite3').resolve()}",
        "PORTAL_SECRET_KEY": _kept(folder / "secret_key", lambda: secrets.token_urlsafe(48)),
        "PORTAL_BASE_URL": f"http://{host}:{port}",
        "PORTAL_MAIL_DEFAULT_SENDER": "service@beispielwerke.example",
        "PORTAL_FALLBACK_CONTACT": "Petra Lindner, 089 99998-100",
    }
    # Who signs in at a relay, and whom to trust there, is of no use to the local mailbox.
    elsewhere = ("PORTAL_MAIL_USERNAME", "PORTAL_MAIL_PASSWORD", "PORTAL_MAIL_CA_FILE")
    given = {name: value for name, value in os.environ.items() if value and not name.startswith(elsewhere)}
    always = {
        "PORTAL_MAIL_SERVER": "127.0.0.1",
        "PORTAL_MAIL_PORT": str(mail_port),
        "PORTAL_MAIL_USE_TLS": "false",
        "PORTAL_MAIL_USE_SSL": "false",
        "PORTAL_MAILBOX_DIR": str(mailbox.resolve()),
    }
    return {**ours, **given, **always}


def _prepare(environment: dict[str, str], folder: Path) -> str:
    """Migrate, and load the demo if there is no person yet; the demo's password."""
    password = _kept(folder / "demo_password", new_password)
    app = create_core(environment)
    with app.app_context():
        schema.migrate(db.db.engine)
        password_hash = passwords.hash_password(password)  # slow, so before the transaction
        with contextlib.suppress(demo.NotEmpty), db.writing() as session:
            demo.load(session, password_hash=password_hash, now=clock.utc_now())
        db.db.engine.dispose()
    return password


def _kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in a file that only its owner reads; made on the first start."""
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(make())
    return path.read_text(encoding="utf-8").strip()


@contextlib.contextmanager
def _processes(environment: dict[str, str], host: str, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Web and worker, each in a process of its own; both are stopped by their own process ids."""
    command = [sys.executable, "-m", "portal"]
    serve = [*command, "serve", "--host", host, "--port", str(port)]
    web = subprocess.Popen(serve, env=environment)  # noqa: S603  # our own commands, no shell
    worker = subprocess.Popen([*command, "worker"], env=environment)  # noqa: S603  # as above
    processes = [web, worker]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_TIME
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def _is_free(host: str, port: int) -> bool:
    """Whether the web server can have the port; otherwise somebody else's would answer in its place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _answers(address: str, processes: list[subprocess.Popen[bytes]]) -> bool:
    """Wait until the web server answers; False when a process ended instead."""
    for _ in range(300):
        if any(process.poll() is not None for process in processes):
            click.echo("durchwahl: the web server or the worker ended at once; the reason stands above.", err=True)
            return False
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):  # noqa: S310  # nosec B310  # http
            return True
        time.sleep(0.1)
    click.echo("durchwahl: the web server does not answer.", err=True)
    return False


def _greet(address: str, password: str) -> None:
    lines = [
        "",
        f"Contact form   {address}/contact",
        f"Staff          {address}/staff/",
        f"Local mailbox  {address}/mailbox/",
        "",
        *login_lines(password),
        "",
        "Ctrl-C stops all of it.",
    ]
    click.echo("\n".join(lines))


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Until Ctrl-C or SIGTERM (0), or until one of the processes ends by itself (1)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.3)
    except KeyboardInterrupt:
        click.echo("\nStopping …")
        return 0
    click.echo("durchwahl: the web server or the worker ended; stopping the rest.", err=True)
    return 1

"""The program as real processes: web, worker and mail sink, started by a test and stopped by their own process ids."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.leaks import leaks

ROOT = Path(__file__).parent.parent.parent
START_TIME = 90.0
"""Seconds a process may take to be there; a busy machine needs more than the second it takes alone."""
STOP_TIME = 25.0
PROGRAM = ("portal",)
"""What a process of the program is started with."""
PROGRAMS = ("portal", "tests.support.moved_clock")
"""The modules whose processes are the program."""


class Running:
    """One process we started; ``said()`` is what it has written so far."""

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DURCHWAHL_"))}
        self._log, self._module = log, list(module)
        with log.open("ab") as lines:
            self._child = subprocess.Popen(
                [sys.executable, "-m", *module],
                env={**ours, **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=lines,
            )
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def said(self) -> str:
        """Everything written to standard output and standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._child.poll() is not None

    def wait_for_end(self, seconds: float = STOP_TIME) -> int:
        """Its exit code, negative for a signal. Raises TimeoutExpired when it does not end."""
        return self._child.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        return _state(self.pid) == "T"

    def stop(self) -> int:
        """End it: SIGTERM first, SIGKILL for one that does not listen. Returns the exit code.

        Raises AssertionError where its log holds what belongs to people.
        """
        code = self._end()
        if self._module[0] in PROGRAMS and self._module[1:2] != ["run"]:  # `run` prints the logins
            assert leaks(self.said()) == []
        return code

    def _end(self) -> int:
        if not self.has_ended():
            self._child.send_signal(signal.SIGCONT)
            self._child.terminate()
        try:
            return self._child.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()


class Web(Running):
    """`durchwahl serve` at ``address``."""

    def __init__(self, environment: Mapping[str, str], log: Path, *, workers: int = 1) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        super().__init__(["portal", "serve", "--port", str(self.port), "--workers", str(workers)], environment, log)
        try:
            wait_until(self._answers, START_TIME, "the web server does not answer")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """End it as any; its metrics are looked through too, if it still gives some."""
        metrics = ""
        if not self.has_ended() and not self.is_stopped():
            with suppress(OSError, HTTPException), self._open("/metrics") as answer:
                metrics = answer.read().decode()
        code = super().stop()
        assert leaks(metrics) == []
        return code

    def _answers(self) -> bool:
        if self.has_ended():
            raise AssertionError(f"the web server ended at once: {self.said()}")
        with suppress(OSError), self._open("/healthz"):
            return True
        return False

    def _open(self, path: str) -> HTTPResponse:
        answer = urllib.request.urlopen(f"{self.address}{path}", timeout=2)
        assert isinstance(answer, HTTPResponse)
        return answer


class Worker(Running):
    """`durchwahl worker`."""

    def __init__(self, environment: Mapping[str, str], log: Path, *, program: Sequence[str] = PROGRAM) -> None:
        super().__init__([*program, "worker"], environment, log)


class Sink(Running):
    """The mail sink in a process of its own, at ``port``; what it stored outlives it in ``store``."""

    def __init__(self, folder: Path, *, mode: str = "ok", port: int = 0, delay_ms: float = 0) -> None:
        self.store = folder / "sink.jsonl"
        log = folder / f"sink-{time.monotonic_ns()}.log"
        options = ["--port", str(port), "--mode", mode, "--delay-ms", str(delay_ms), "--store", str(self.store)]
        super().__init__(["tests.support.smtp_sink", *options], {}, log)
        try:
            wait_until(lambda: "\n" in self.said(), START_TIME, "the sink does not say its port")
        except BaseException:
            self.stop()
            raise
        self.port: int = json.loads(self.said().splitlines()[0])["port"]

    def stored(self) -> list[str]:
        """The Message-IDs of the letters it took, in the order in which it took them."""
        lines = self.store.read_text(encoding="utf-8").splitlines() if self.store.exists() else []
        kept = [json.loads(line) for line in lines]
        return [line["message_id"] for line in kept if line["stored"]]

    def received(self) -> int:
        """How many letters it took; cheaper than ``stored`` while thousands come in."""
        return self.store.read_bytes().count(b'"stored": true') if self.store.exists() else 0

    def counts(self) -> Counter[str]:
        """How often it took each Message-ID."""
        return Counter(self.stored())


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Look every few milliseconds. Raises TimeoutError with the words ``otherwise``."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.01)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _state(pid: int) -> str:
    """The letter the kernel keeps for what a process is doing; the name before it may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2][0]

"""``make audit`` is quiet where nobody knows a hole in what is installed, and fails over one planted in its source."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOLE = {"id": "OSV-2026-1", "summary": "planted", "affected": [{"package": {"name": "flask", "ecosystem": "PyPI"}}]}


class Source(ThreadingHTTPServer):
    """A source of known holes that answers as OSV does; ``asked`` are the names it was asked about."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.holes: dict[str, dict[str, Any]] = {}
        self.asked: set[str] = set()


class _Answers(BaseHTTPRequestHandler):
    server: Source

    def do_POST(self) -> None:
        """The holes of one package, or nothing."""
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.server.asked.add(name)
        hole = self.server.holes.get(name)
        body = json.dumps({"vulns": [hole]} if hole else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def source() -> Iterator[Source]:
    with Source() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(source: Source, cache: Path) -> subprocess.CompletedProcess[str]:
    make = shutil.which("make")
    assert make
    options = f"-s osv --osv-url http://127.0.0.1:{source.server_address[1]} --cache-dir {cache}"
    # -o: what is installed stays as it is.
    command = [make, "-o", ".venv/tested", "audit", f"AUDIT={options}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_audit_asks_about_all_that_is_installed(source: Source, tmp_path: Path) -> None:
    told = audit(source, tmp_path)

    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert told.returncode == 0, told.stderr
    assert {"flask", "sqlalchemy", "gunicorn"} <= source.asked
    assert len(source.asked) >= locked.count("==") - 5  # some are for other systems only


def test_an_audit_fails_over_a_planted_hole(source: Source, tmp_path: Path) -> None:
    source.holes["flask"] = HOLE

    told = audit(source, tmp_path)

    assert told.returncode != 0
    assert "OSV-2026-1" in told.stdout

"""The search for leaks that runs beside every test finds what is planted."""

import subprocess
import sys
from pathlib import Path

import pytest

from portal.links import Links, Purpose, new_secret
from tests.conftest import NOW, SECRET_KEY
from tests.support.leaks import leaks
from tests.support.processes import ROOT, Running

LINKS = Links([SECRET_KEY])
PLANTED = {
    "an address": "letter to zacharias@kunde.example refused",
    "a status token": f"GET /s/{LINKS.sign(Purpose.STATUS, new_secret())} 200",
    "a form's ticket": f"ticket={LINKS.sign_with_time(Purpose.CONTACT_FORM, new_secret(), now=NOW)}",
    "a number": "calling +491713920042 now",
    "a name of the cast": "Sabine Krüger wrote",
}
HARMLESS = (
    "2026-11-24T08:12:00.000000Z [info     ] letter sent  case=12 letter=34 reason=550",
    "worker 7f3a host-1:4711 at portal/db.py:312, 3.11.7, sqlite 3.45.1, key=8f14e45fceea167a5a36dedad4bea254",
)
PLANTING = """
import sys
import pytest
from sqlalchemy import create_engine, text


def test_writes_and_tells():
    with create_engine("sqlite://").begin() as connection:
        connection.execute(text("CREATE TABLE customer (name TEXT)"))
        connection.execute(text("INSERT INTO customer (name) VALUES (:name)"), {"name": "Quirin Quittenbrand"})
    print("stored", "Quirin " + "Quittenbrand", file=sys.stderr)


def test_tells_an_address():
    print("to", "quirin@" + "kunde.example")


@pytest.mark.speaks_of_people
def test_tells_on_purpose():
    print("to", "quirin@" + "kunde.example")


def test_tells_nothing():
    print("case=12")
"""


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(text: str) -> None:
    assert len(leaks(f"before\n{text}\nafter")) == 1


@pytest.mark.parametrize("text", HARMLESS)
def test_what_logs_are_made_of_is_no_leak(text: str) -> None:
    assert leaks(text) == []


def test_a_test_that_says_it_aloud_fails(tmp_path: Path) -> None:
    """In a run of its own, with the project's own conftest."""
    (tmp_path / "test_planted.py").write_text(PLANTING)
    options = ["-p", "tests.conftest", "-q", "--rootdir", str(tmp_path), "-c", "/dev/null", "--basetemp"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "run"), str(tmp_path / "test_planted.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)

    assert "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "Said aloud by this test" in done.stdout


def test_a_process_that_logs_it_is_found_when_it_is_stopped(tmp_path: Path) -> None:
    talking = Running(["portal", "no-such@command.example"], {}, tmp_path / "talking.log")
    talking.wait_for_end()

    with pytest.raises(AssertionError):
        talking.stop()

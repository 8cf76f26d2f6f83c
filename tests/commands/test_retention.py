"""`durchwahl retention`: what will be erased on which date, without names; and erasing it."""

import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import clock, commands, db
from portal.cases import closing, drafting, erasing, opening
from portal.cases.models import Case, CaseState, Outcome, Topic
from portal.commands import main
from portal.core import create_core
from portal.links import new_secret
from tests.support.dump import dump

NAME, EMAIL = "Zacharias Xylophon", "xylophon@kunde.example"


@pytest.fixture(autouse=True)
def own_settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command reads its settings as a process of its own would; its log handlers are put back."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made: list[Flask] = []
    monkeypatch.setattr(commands, "create_core", lambda: made.append(create_core()) or made[-1])
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    for core in made:
        with core.app_context():
            db.db.engine.dispose()


def retention(*options: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["retention", *options])


def closed_case(app: Flask, erase_in: int) -> str:
    """A closed case to be erased in so many days; its reference."""
    now = clock.utc_now()
    with app.app_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
        wish = drafting.Wish(topic_id, NAME, EMAIL, "Wo bleibt die Lieferung?", "de")
        submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
        case = session.get_one(Case, submission.case_id)
        closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=now)
        case.erase_on = today() + timedelta(days=erase_in)
        return case.reference


def today() -> date:
    """The day in Germany."""
    return clock.utc_now().astimezone(ZoneInfo("Europe/Berlin")).date()


def state_of(app: Flask, reference: str) -> CaseState:
    """Where the case stands."""
    with app.app_context(), db.reading() as session:
        return session.scalars(select(Case.state).where(Case.reference == reference)).one()


def test_a_dry_run_says_what_goes_on_which_date_and_names_nobody(app: Flask, company: dict[str, int]) -> None:
    later, due, next_year = (closed_case(app, erase_in=days) for days in (20, -1, 300))
    with app.app_context():
        before = dump(db.db.engine)

    ended = retention("--dry-run")

    *lines, last = ended.output.splitlines()
    assert (ended.exit_code, last.partition(" until")[0]) == (0, "2 cases")
    assert [line.split() for line in lines] == [
        [str(today() - timedelta(days=1)), due, "closed", "lieferung"],
        [str(today() + timedelta(days=20)), later, "closed", "lieferung"],
    ]
    assert NAME not in ended.output and EMAIL not in ended.output and next_year not in ended.output
    with app.app_context():
        assert dump(db.db.engine) == before


def test_a_dry_run_looks_as_far_as_it_is_told(app: Flask, company: dict[str, int]) -> None:
    reference = closed_case(app, erase_in=300)

    assert reference in retention("--dry-run", "--days", "301").output


def test_without_a_dry_run_what_is_due_is_erased(app: Flask, company: dict[str, int]) -> None:
    due, later = closed_case(app, erase_in=0), closed_case(app, erase_in=1)

    ended = retention()

    assert (ended.exit_code, ended.output) == (0, "1 cases erased.\n")
    assert (state_of(app, due), state_of(app, later)) == (CaseState.ERASED, CaseState.CLOSED)


def test_a_case_that_cannot_be_erased_is_said_and_keeps_no_other_waiting(
    app: Flask, company: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, due = closed_case(app, erase_in=-1), closed_case(app, erase_in=0)
    carry_out = erasing.carry_out

    def breaks(session: Session, case: Case, *, now: datetime) -> None:
        assert case.reference != broken
        carry_out(session, case, now=now)

    monkeypatch.setattr(erasing, "carry_out", breaks)
    ended = retention()

    assert (ended.exit_code, ended.stdout) == (1, "1 cases erased.\n")
    assert "durchwahl: 1 cases could not be erased: the log names each with its fault.\n" in ended.stderr
    assert (state_of(app, broken), state_of(app, due)) == (CaseState.CLOSED, CaseState.ERASED)


def test_a_number_of_days_that_is_none_is_one_sentence() -> None:
    ended = retention("--dry-run", "--days", "soon")

    assert ended.exit_code == 2 and "Traceback" not in ended.output

"""A driven company life: repeatable, whole, and on a database of its own."""

import gzip
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from portal.commands import main
from portal.simulation import scratch, showing
from portal.simulation.figures import ZERO
from portal.simulation.life import Outcome, Wanted
from portal.simulation.sink import Arrived
from portal.simulation.story import Story, number_of
from tests.simulation.conftest import SHORT, TRACED, ShortRun, live

pytestmark = [pytest.mark.xdist_group("simulation"), pytest.mark.timeout(400)]

PROMISED = {
    "cases", "letters", "promises_kept", "promises_moved", "promises_lapsed_in_silence", "minutes_in_the_dark",
    "calls_at_an_old_time", "letters_naming_an_absent_person", "letters_lost", "letters_doubled",
    "letters_outside_sending_hours", "notices_per_case_p95",
}  # fmt: skip
"""The names of INTERFACE.md."""
OF_THE_MACHINE = {"run_seconds", "peak_memory_mb"}


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """The command sets up the program's log; other tests want theirs back."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers = before
    root.setLevel(level)


def test_every_figure_that_should_be_zero_is_zero(short_run: ShortRun) -> None:
    outcome = short_run.outcome

    assert {name: outcome.figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0), outcome.noted
    assert outcome.figures["cases"] == SHORT["cases"]
    assert outcome.figures["notices_per_case_p95"] <= 2


def test_faults_happened(short_run: ShortRun) -> None:
    outcome = short_run.outcome

    assert outcome.figures["workers_killed"] > 0


def test_the_same_seed_gives_the_same_figures_whoever_looks_on(short_run: ShortRun) -> None:
    again = live(Wanted(**SHORT))

    assert _lived(again) == _lived(short_run.outcome)


@pytest.mark.nightly
def test_another_seed_gives_another_life(short_run: ShortRun) -> None:
    other = live(Wanted(days=1, seed=2, cases=12, faults=False))

    assert _lived(other) != _lived(short_run.outcome)
    assert other.figures["workers_killed"] == 0


def test_the_evidence_is_three_files_of_json_lines(short_run: ShortRun) -> None:
    outcome, folder = short_run.outcome, short_run.folder
    plan, letters, pages = (_lines(folder, name) for name in ("plan", "letters", "pages"))

    assert plan[0]["kind"] == "company" and plan[-1]["kind"] == "end"
    assert [act["at"] for act in plan[1:]] == sorted(act["at"] for act in plan[1:])
    assert {act["case"] for act in plan if act["kind"] == "form"} == set(range(1, 61))
    assert {"staff", "absence", "worker_killed", "end"} <= {act["kind"] for act in plan}
    assert len(letters) - len([act for act in plan if act["kind"] == "ambiguous"]) <= outcome.figures["letters"]
    assert {page["status"] for page in pages} == {200}
    assert {page["case"] for page in pages if page["final"]} == set(range(1, 61))


def test_json_is_one_object_with_the_names_that_others_rely_on() -> None:
    result = CliRunner().invoke(main, ["simulate", "--days", "1", "--cases", "6", "--no-faults", "--json"])

    figures = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert set(figures) >= PROMISED | OF_THE_MACHINE
    assert result.stderr == ""


def test_the_table_says_what_should_be_zero_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {**dict.fromkeys(ZERO, 0), "letters_lost": 1, "notices_per_case_p95": 3}
    outcome = Outcome(figures, {"letters_lost": ["case 7"]})
    monkeypatch.setattr(showing, "simulate", lambda *_, **__: outcome)

    result = CliRunner().invoke(main, ["simulate"])

    lines = result.stdout.split("\n")
    assert result.exit_code == 1
    assert next(line for line in lines if line.startswith("minutes in the dark ")).endswith("target 0")
    assert next(line for line in lines if line.startswith("letters lost ")).endswith("target 0, missed")
    assert next(line for line in lines if line.startswith("notices per case p95 ")).endswith("missed")
    assert "case 7" in result.stderr


def test_nothing_missed_is_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "simulate", lambda *_, **__: Outcome(dict.fromkeys(ZERO, 0), {}))

    assert CliRunner().invoke(main, ["simulate"]).exit_code == 0


def test_the_story_of_a_case(short_run: ShortRun) -> None:
    told = short_run.story.text()

    assert f"kunde{TRACED}@" in told
    assert "letter confirmation" in told and "it says: " in told and "page 200: " in told


def test_the_story_goes_on_with_the_case_that_goes_on_with_it() -> None:
    """The letter that confirms it may be there before the page that names it."""
    story, at = Story(7), datetime(2026, 11, 24, 9, tzinfo=UTC)
    raw = b"Subject: Hallo\r\nFrom: Miriam Albrecht <portal@firma.example>\r\n\r\n"
    form = {"kind": "form", "case": 7, "reference": "ABC-234", "topic": "angebot", "email": "Kunde7@x.example"}
    story.act({**form, "at": at, "status": 303})
    for kind, reference, to in [
        ("confirmation", "ABC-234", "kunde7@x.example"),
        ("introduction", "DEF-567", "kunde7@x.example"),  # goes on with it
        ("closed", "GHK-892", "kunde7@x.example"),  # another case of this mailbox
        ("link", "ABC-234", "other@x.example"),
        ("reply", "MNP-345", "other@x.example"),
    ]:
        story.letter(Arrived(at, to, raw, reference, kind, f"<{kind}@x>"))
    story.page(at, 7, 200, "<h1>Ihr Anliegen</h1><p>DEF-567</p>")

    told = story.text()

    assert [
        kind for kind in ("confirmation", "introduction", "closed", "link", "reply") if f"letter {kind}" in told
    ] == [
        "confirmation",
        "introduction",
        "link",
    ]


def test_a_case_is_found_by_its_reference_in_earlier_evidence(short_run: ShortRun) -> None:
    reference = next(act["reference"] for act in _lines(short_run.folder, "plan") if act.get("case") == 7)

    assert number_of(reference, Wanted(out=short_run.folder)) == 7
    assert number_of("12", Wanted()) == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--days", "0"], "--days"),
        (["--days", "many"], "--days"),
        (["--people", "2"], "--people"),
        (["--cases", "0"], "--cases"),
        (["--seed", "-1"], "--seed"),
        (["--nonsense"], "--nonsense"),
        (["--trace", "K7P-3M9"], "drawn anew"),
        (["--trace", "²"], "drawn anew"),
        (["--trace", "0"], "cases 1 to"),
        (["--cases", "3", "--trace", "4"], "1 to 3"),
        (["--trace", "9" * 9], "cases 1 to"),
        (["--trace", "9" * 5000], "drawn anew"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_code_2(options: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["simulate", *options])

    assert result.exit_code == 2
    assert said in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://nobody@127.0.0.1:1/nothing", "mysql://root@127.0.0.1/x", "postgresql+psycopg://[/x"]
)
def test_a_database_that_cannot_be_had_is_one_sentence(url: str) -> None:
    result = CliRunner().invoke(main, ["simulate", "--days", "1"], env={"PORTAL_DATABASE_URL": url})

    assert result.exit_code == 2
    assert result.stderr.startswith("durchwahl: PORTAL_DATABASE_URL") and result.stderr.count("\n") == 1


def test_the_named_sqlite_file_is_never_touched(tmp_path: Path) -> None:
    named = tmp_path / "real.sqlite3"

    with scratch.database({"PORTAL_DATABASE_URL": f"sqlite:///{named}"}) as url:
        assert str(tmp_path) not in url

    assert list(tmp_path.iterdir()) == []


def test_the_named_postgresql_database_stays_untouched_and_nothing_is_left_behind(postgresql: str) -> None:
    named = postgresql % "postgres"

    result = CliRunner().invoke(
        main, ["simulate", "--days", "1", "--cases", "25", "--json"], env={"PORTAL_DATABASE_URL": named}
    )

    figures = json.loads(result.stdout)
    assert {name: figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0), result.output
    assert figures["workers_killed"] > 0
    engine = create_engine(named)
    with engine.connect() as connection:
        tables = connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        databases = set(connection.scalars(text("SELECT datname FROM pg_database")))
    engine.dispose()
    assert tables == 0
    assert not [name for name in databases if name.startswith("durchwahl_simulation")]


def test_the_peak_of_memory_is_not_that_of_whoever_started_the_run() -> None:
    held = bytearray(500_000_000)
    asks = "from portal.simulation import life; print(life._peak_memory_mb())"

    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)

    assert 10 < int(told.stdout) < len(held) / 1024**2


def _lived(outcome: Outcome) -> dict[str, float]:
    return {name: value for name, value in outcome.figures.items() if name not in OF_THE_MACHINE}


def _lines(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]

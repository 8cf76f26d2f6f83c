"""The command line: what goes wrong is one sentence on standard error and exit code 2, and never a traceback."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from portal import db, demo, running, schema
from portal.commands import main
from portal.pages.staff.login import passwords
from tests.conftest import PASSWORD, SECRET_KEY

PERSON = {
    "name": "Sabine Kern",
    "email": "s.kern@beispielwerke.example",
    "line": "089 99998-377",
    "role": "Vertrieb",
    "team": "Vertrieb Süd",
    "place": "DE-BY",
}
PARTICULARS = {
    "company": "Beispielwerke GmbH",
    "legal": "Amtsgericht München, HRB 000000",
    "imprint-url": "https://www.beispielwerke.example/impressum",
    "privacy-url": "https://www.beispielwerke.example/datenschutz",
}
COMMANDS = {
    "migrate": ["migrate"],
    "demo": ["demo", "--password", PASSWORD],
    "serve": ["serve", "--port", "1"],
    "worker": ["worker"],
    "worker --once": ["worker", "--once"],
    "person add": ["person", "add", *(f"--{option}={value}" for option, value in PERSON.items())],
}
IMPATIENT = {name: command for name, command in COMMANDS.items() if name != "worker"}
"""Commands that wait for no database; what the worker does is in tests/faults/test_late_database.py."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def durchwahl(*arguments: str, **environment: str) -> Ended:
    """Run `durchwahl` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "portal", *arguments],
        env={"PATH": os.environ["PATH"], "DURCHWAHL_PASSWORD": PASSWORD, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """For commands called in this process: its settings and log handlers are put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    yield
    root.handlers, root.level = handlers, level


def called(*arguments: str, **environment: str) -> Ended:
    """Call the command in this process: quicker, for what ends early or works on a SQLite file."""
    result = CliRunner().invoke(main, list(arguments), env={"DURCHWAHL_PASSWORD": PASSWORD, **environment})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Ended(result.exit_code, result.stdout, result.stderr)


def is_one_sentence(ended: Ended) -> bool:
    """Whether it ended with one line on standard error, a sentence with the program's name before it."""
    (line,) = ended.err.splitlines()
    return ended.code == 2 and ended.out == "" and line.startswith("durchwahl: ") and line.endswith(".")


class TestAnOptionThatIsWrong:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["migrate", "--frobnicate"], "No such option '--frobnicate'"),
            (["frobnicate"], "No such command 'frobnicate'"),
            (["serve", "--port", "70000"], "70000 is not in the range"),
            (["serve", "--port", "http"], "'http' is not a valid integer"),
            (["serve", "--workers", "0"], "0 is not in the range"),
            (["worker", "twice"], "Got unexpected extra argument"),
            (["person", "add", "--name", "Sabine Kern"], "Missing option '--email'"),
            ([*COMMANDS["person add"], "--login", "king"], "'king' is not one of"),
        ],
    )
    def test_is_said_on_standard_error_with_code_2(self, here: None, arguments: list[str], says: str) -> None:
        ended = called(*arguments)

        assert (ended.code, ended.out) == (2, "")
        assert says in ended.err

    def test_is_no_traceback_in_a_process_of_its_own(self) -> None:
        ended = durchwahl("migrate", "--frobnicate")

        assert ended.code == 2
        assert "No such option" in ended.err and "Traceback" not in ended.err


class TestASettingThatIsWrong:
    @pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
    def test_is_one_sentence_that_names_it(self, here: None, command: list[str]) -> None:
        ended = called(*command, PORTAL_SECRET_KEY=SECRET_KEY, PORTAL_TIMEZONE="Europe/Entenhausen")

        assert is_one_sentence(ended)
        assert "PORTAL_TIMEZONE must be a time zone" in ended.err

    @pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
    def test_a_missing_secret_key_stops_every_command(self, here: None, command: list[str]) -> None:
        ended = called(*command)

        assert is_one_sentence(ended)
        assert "PORTAL_SECRET_KEY is missing" in ended.err

    def test_stops_run_too_and_leaves_nothing_running(self, tmp_path: Path) -> None:
        ended = durchwahl(
            "run", "--port", str(_free_port()), "--folder", str(tmp_path / "var"), PORTAL_TIMEZONE="Europe/Entenhausen"
        )

        assert is_one_sentence(ended)
        assert "PORTAL_TIMEZONE" in ended.err


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_serve_says_when_its_port_is_taken(migrated: dict[str, str]) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = durchwahl("serve", "--port", str(other.getsockname()[1]), **migrated)

    assert is_one_sentence(ended)
    assert "is in use" in ended.err


def test_serve_says_when_its_host_is_not_of_this_machine(migrated: dict[str, str]) -> None:
    ended = durchwahl("serve", "--host", "192.0.2.1", "--port", str(_free_port()), **migrated)

    assert is_one_sentence(ended)
    assert "192.0.2.1 cannot be had" in ended.err


@pytest.mark.parametrize("arguments", [["demo"], ["run"]])
def test_a_password_is_hashed_while_others_may_write(
    here: None, migrated: dict[str, str], tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes a tenth of a second, and on SQLite one transaction writes at a time."""
    monkeypatch.setattr(db, "LOCK_WAIT", 0.1)
    hashed = []

    def hash_password(password: str) -> str:
        with db.writing() as session:
            session.execute(text("UPDATE counter SET n = n"))
        hashed.append(password)
        return "$argon2id$"

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    if arguments == ["run"]:
        running._prepare({**migrated}, tmp_path)
    else:
        assert called(*arguments, **migrated).code == 0

    assert len(hashed) == 1


def test_run_says_when_its_port_is_taken(here: None, tmp_path: Path) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = called("run", "--port", str(other.getsockname()[1]), "--folder", str(tmp_path / "var"))

    assert is_one_sentence(ended)
    assert "is in use" in ended.err and not (tmp_path / "var").exists()


class TestADatabaseOutOfReach:
    @pytest.fixture(params=["a folder", "below a file", "a server that is away", "a refused port"])
    def nowhere(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        """An address where no database answers."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        return {
            "a folder": f"sqlite:///{tmp_path}/folder",
            "below a file": f"sqlite:///{tmp_path}/file/durchwahl.sqlite3",
            "a server that is away": "postgresql+psycopg://nobody@/nothing?host=/nowhere",
            "a refused port": f"postgresql+psycopg://nobody:geheim@127.0.0.1:{_free_port()}/nothing",
        }[request.param]

    @pytest.mark.parametrize("command", IMPATIENT.values(), ids=IMPATIENT)
    def test_is_one_sentence(self, here: None, nowhere: str, command: list[str]) -> None:
        ended = called(*command, PORTAL_SECRET_KEY=SECRET_KEY, PORTAL_DATABASE_URL=nowhere)

        assert is_one_sentence(ended)
        assert "PORTAL_DATABASE_URL" in ended.err and "geheim" not in ended.err

    @pytest.mark.parametrize("nowhere", ["a refused port"], indirect=True)
    def test_is_no_traceback_in_a_process_of_its_own(self, nowhere: str) -> None:
        ended = durchwahl("worker", "--once", PORTAL_SECRET_KEY=SECRET_KEY, PORTAL_DATABASE_URL=nowhere)

        assert is_one_sentence(ended)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a database without a table."""
    return {"PORTAL_SECRET_KEY": SECRET_KEY, "PORTAL_DATABASE_URL": _empty_database(request, tmp_path)}


def _empty_database(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder}/durchwahl.sqlite3"
    server, name = request.getfixturevalue("postgresql"), f"t{os.urandom(6).hex()}"
    engine = create_engine(server % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return str(server % name)


NEEDS_THE_SCHEMA = {name: command for name, command in COMMANDS.items() if name not in ("migrate", "worker")}


@pytest.mark.parametrize("command", NEEDS_THE_SCHEMA.values(), ids=NEEDS_THE_SCHEMA)
def test_without_the_schema_a_command_says_what_to_do(here: None, tmp_path: Path, command: list[str]) -> None:
    ended = called(*command, PORTAL_SECRET_KEY=SECRET_KEY, PORTAL_DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3")

    assert is_one_sentence(ended)
    assert "durchwahl migrate" in ended.err


def test_migrate_brings_an_empty_database_to_the_newest_schema_and_says_so(empty: dict[str, str]) -> None:
    first = durchwahl("migrate", **empty)

    assert (first.code, first.out, first.err) == (0, f"The database is at revision {schema.newest()}.\n", "")


@dataclass(frozen=True)
class Demo:
    """A database into which the demo was loaded by the command."""

    environment: dict[str, str]
    loading: Ended


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, loaded into a migrated database."""
    environment = {
        "PORTAL_SECRET_KEY": SECRET_KEY,
        "PORTAL_DATABASE_URL": _empty_database(request, tmp_path_factory.mktemp("demo")),
        "PORTAL_MAIL_PORT": str(_free_port()),
    }
    engine = create_engine(environment["PORTAL_DATABASE_URL"])
    schema.migrate(engine)
    engine.dispose()
    return Demo(environment, durchwahl("demo", "--password", PASSWORD, **environment))


@pytest.mark.xdist_group("demo")
class TestTheDemo:
    """One demo company for all of these; none of them adds anything to it but one person."""

    def test_names_everybody_who_can_sign_in_and_the_password(self, loaded: Demo) -> None:
        assert (loaded.loading.code, loaded.loading.err) == (0, "")
        assert all(email in loaded.loading.out for _, email in demo.logins())
        assert loaded.loading.out.rstrip().endswith(f"Password: {PASSWORD}")

    def test_is_not_loaded_twice(self, loaded: Demo) -> None:
        again = durchwahl("demo", "--password", PASSWORD, **loaded.environment)

        assert is_one_sentence(again)
        assert "already has people" in again.err

    def test_is_worked_once_with_one_json_line(self, loaded: Demo) -> None:
        ended = durchwahl("worker", "--once", **loaded.environment)

        (line,) = ended.out.splitlines()
        counts = json.loads(line)
        assert ended.code == 0
        assert counts.keys() >= {"deliver", "return_expired", "answer_link_wish", "erase_due"}
        assert all(isinstance(count, int) for count in counts.values())

    def test_takes_one_person_more_and_no_second_of_the_same_address(self, loaded: Demo) -> None:
        first = durchwahl(*COMMANDS["person add"], **loaded.environment)
        again = durchwahl(*COMMANDS["person add"], "--email", PERSON["email"].upper(), **loaded.environment)

        assert (first.code, first.out, first.err) == (0, "Sabine Kern can sign in at /staff/login.\n", "")
        assert is_one_sentence(again)
        assert "already entered" in again.err


def test_a_demo_password_is_made_up_when_none_is_given(here: None, migrated: dict[str, str]) -> None:
    ended = called("demo", **migrated)

    assert ended.code == 0
    assert len(ended.out.rstrip().rpartition("Password: ")[2]) >= 12


@pytest.fixture
def migrated(tmp_path: Path, migrated_sqlite: Path) -> dict[str, str]:
    """The environment of a migrated, empty SQLite file."""
    (tmp_path / "durchwahl.sqlite3").write_bytes(migrated_sqlite.read_bytes())
    return {"PORTAL_SECRET_KEY": SECRET_KEY, "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/durchwahl.sqlite3"}


class TestTheFirstPerson:
    FIRST = (*COMMANDS["person add"], *(f"--{option}={value}" for option, value in PARTICULARS.items()))

    def test_brings_the_company_along_and_can_sign_in(self, here: None, migrated: dict[str, str]) -> None:
        ended = called(*self.FIRST, "--login", "admin", **migrated)

        engine = create_engine(migrated["PORTAL_DATABASE_URL"])
        with engine.connect() as connection:
            company = connection.execute(text("SELECT name, legal_block, front_desk_id FROM company")).one()
            login = connection.execute(text("SELECT person_id, role, substr(password, 1, 9) FROM login")).one()
        engine.dispose()
        assert (ended.code, ended.err) == (0, "")
        assert tuple(company) == ("Beispielwerke GmbH", "Amtsgericht München, HRB 000000", 1)
        assert tuple(login) == (1, "admin", "$argon2id")

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            (["--legal", ""], "The first person also needs --company, --legal"),
            (["--email", "sabine"], "not an e-mail address"),
            (["--line", "12"], "not a phone number"),
            (["--line", "nebenan"], "not a phone number"),
            (["--line", "+49 89 99998 2140000000"], "not a phone number"),
            (["--place", "DE-XX"], "place is not known"),
            (["--name", "Sabine\nKern"], "name must be one line"),
            (["--name", "Sabine\x1b[31m Kern"], "name must be one line"),
            (["--name", "Sabine\u2028Kern"], "name must be one line"),
            (["--name", " "], "name is missing"),
            (["--name", "K" * 81], "name has at most 80 characters"),
            (["--role", "Vertrieb\r\nBcc: eve@example.org"], "role must be one line"),
            (["--role", "V" * 81], "role has at most 80 characters"),
            (["--team", "T" * 81], "team's name has at most 80 characters"),
            (["--team", "Vertrieb\tSüd"], "team's name must be one line"),
            (["--line", "089 99998-377" + " " * 30], "direct line has at most 40 characters"),
            (["--company", "B" * 121], "company's name has at most 120 characters"),
            (["--legal", "Amtsgericht\x07 München"], "particulars hold control characters"),
            (["--email", "jürgen@beispielwerke.example"], "umlauts or signs before the @"),
            (["--imprint-url", "javascript:alert(1)"], "legal notice must begin with https:// or http://"),
            (["--imprint-url", "/imprint"], "legal notice must begin with https:// or http://"),
            (["--privacy-url", "data:text/html,x"], "privacy notice must begin with https:// or http://"),
            (["--privacy-url", 'https://firma.de/"onclick'], "privacy notice must begin with https:// or http://"),
            (["--privacy-url", "https://firma.de/" + "x" * 300], "privacy notice has at most 300 characters"),
            (["--password", "kurz"], "12 to 1000 characters"),
            (["--password", PERSON["email"]], "must not be the e-mail address"),
        ],
    )
    def test_is_refused_in_one_sentence(
        self, here: None, migrated: dict[str, str], changed: list[str], says: str
    ) -> None:
        ended = called(*self.FIRST, *changed, **migrated)

        assert is_one_sentence(ended)
        assert says in ended.err

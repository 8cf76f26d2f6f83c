"""The `durchwahl` command line.

Wrong options, wrong settings and an unreachable database are one sentence on standard error and exit code 2.
"""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import click
from flask import Flask
from sqlalchemy.exc import DBAPIError

from portal import checking, clock, config, db, demo, patience, running, schema, serving
from portal.cases import erasing
from portal.config import SettingsError
from portal.core import create_core
from portal.pages.staff.login import passwords
from portal.people import entering
from portal.people.models import Role

P = ParamSpec("P")
T = TypeVar("T")


class Failed(click.ClickException):
    """One sentence for whoever runs the program."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        """Print the sentence on standard error."""
        click.echo(f"durchwahl: {self.format_message()}", err=True)


def in_sentences(command: Callable[P, T]) -> Callable[P, T]:
    """Turn wrong settings and an unreachable database into one sentence."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            raise Failed(str(error)) from None
        except DBAPIError as error:
            raise Failed(
                f"The database does not answer as expected ({type(error.orig).__name__}): "
                "check PORTAL_DATABASE_URL and run `durchwahl migrate`."
            ) from None

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Contact forms that answer with a named person, a direct line and a date."""


@main.command()
@in_sentences
def migrate() -> None:
    """Bring the database to the newest schema."""
    app = create_core()
    with app.app_context():
        schema.migrate(db.db.engine)
        click.echo(f"The database is at revision {schema.present(db.db.engine)}.")


@main.command(name="demo")
@click.option("--password", help="Everybody's password; made up and printed when it is not given.")
@in_sentences
def load_demo(password: str | None) -> None:
    """Load the demo company into an empty database."""
    app = create_core()
    password = password or running.new_password()
    refusal = passwords.refusal(password, "")
    if refusal is not None:
        raise Failed(refusal)
    with app.app_context():
        _must_be_migrated(app)
        password_hash = passwords.hash_password(password)  # slow, so before the transaction
        try:
            with db.writing() as session:
                demo.load(session, password_hash=password_hash, now=clock.utc_now())
        except demo.NotEmpty:
            raise Failed("The database already has people; the demo is loaded into an empty one only.") from None
    for line in running.login_lines(password):
        click.echo(line)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@in_sentences
def serve(host: str, port: int, workers: int) -> None:
    """Run the web server."""
    app = create_core()
    _must_be_migrated(app)
    try:
        serving.serve(host=host, port=port, workers=workers)
    except serving.NoPort as refused:
        raise Failed(str(refused)) from None


@main.command()
@click.option("--once", is_flag=True, help="Do everything that is due now, print one JSON line, and end.")
@in_sentences
def worker(once: bool) -> None:
    """Run the worker: letters and whatever is due. It waits for a database that is away."""
    from worker import __main__ as working  # the worker imports the core, and nothing imports the worker but this

    app = create_core()
    if once:
        _must_be_migrated(app)
        working.work_once(app)
        return
    with app.app_context():
        patience.until_it_answers(db.db.engine, lambda: _must_be_migrated(app))
    working.work(app)


@main.command()
@click.option("--dry-run", is_flag=True, help="Print what will be erased on which date, without names; change nothing.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(0, 4000), help="How far --dry-run looks.")
@in_sentences
def retention(dry_run: bool, days: int) -> None:
    """Erase what is due by its retention, as the worker does by itself every day."""
    from worker import cases  # as above

    app = create_core()
    _must_be_migrated(app)
    with app.app_context():
        if not dry_run:
            _say_erased(*cases.erase_all_due())
            return
        last_day = clock.utc_now().astimezone(ZoneInfo(config.current().timezone)).date() + timedelta(days=days)
        with db.reading() as session:
            due = erasing.due_until(session, last_day)
        for case in due:
            click.echo(f"{case.day}  {case.reference}  {case.state:<8}  {case.topic}")
        click.echo(f"{len(due)} cases until {last_day}.")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--folder", default="var", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@in_sentences
def run(host: str, port: int, folder: Path) -> None:
    """Migrate, load the demo on the first start, and run web, worker and a local mailbox in this terminal."""
    sys.exit(running.run(host=host, port=port, folder=folder))


@main.command()
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 120), help="Days of company life.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Odd: spring, even: autumn.")
@click.option("--cases", type=click.IntRange(1, 100_000), help="Forms sent in all; 5,000 in 60 days by default.")
@click.option("--people", default=20, show_default=True, type=click.IntRange(5, 200))
@click.option("--no-faults", is_flag=True, help="Nothing breaks: no outage, no killed worker, no refused mail.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the evidence files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all figures.")
@click.option("--trace", metavar="CASE", help="Print the whole story of one case: its number, or its reference.")
@in_sentences
def simulate(
    days: int,
    seed: int,
    cases: int | None,
    people: int,
    no_faults: bool,
    out: Path | None,
    as_json: bool,
    trace: str | None,
) -> None:
    """Prove it: weeks of a company's life with the real code and a driven clock, on a database of its own."""
    from portal.app import create_app  # the pages are handed in: the simulation knows none of them
    from portal.simulation import showing

    wanted = showing.Wanted(days=days, seed=seed, cases=cases, people=people, faults=not no_faults, out=out)
    try:
        sys.exit(showing.run(create_app, os.environ, wanted, as_json=as_json, trace=trace))
    except showing.Impossible as impossible:
        raise Failed(str(impossible)) from None


@main.command()
@in_sentences
def check() -> None:
    """Say what is wrong with the configuration, each with its fix."""
    found = checking.findings(os.environ)
    for finding in found:
        click.echo(f"{finding.wrong}\n  → {finding.fix}")
    if not found:
        click.echo("Nothing is wrong.")
    sys.exit(1 if found else 0)


@main.group()
def person() -> None:
    """People who answer customers, and their logins."""


@person.command(name="add")
@click.option("--name", required=True)
@click.option("--email", required=True)
@click.option("--line", required=True, help="Direct line as people write it, for example 089 99998-214.")
@click.option("--role", "title", required=True, help="What the person does, as customers read it.")
@click.option("--team", required=True, help="Name of the team; it is made if there is none of that name.")
@click.option("--place", required=True, help="Whose public holidays count, for example DE-BY, AT-9 or CH-ZH.")
@click.option("--login", type=click.Choice([role.value for role in Role]), default=Role.STAFF.value, show_default=True)
@click.option("--company", help="Name of the company; needed for the first person.")
@click.option("--legal", help="Company particulars that every business letter must carry; needed for the first person.")
@click.option("--imprint-url", help="Address of the legal notice; needed for the first person.")
@click.option("--privacy-url", help="Address of the privacy notice; needed for the first person.")
@click.password_option(envvar="DURCHWAHL_PASSWORD", help="Asked for when it is not given.")
@in_sentences
def add_person(
    name: str,
    email: str,
    line: str,
    title: str,
    team: str,
    place: str,
    login: str,
    company: str | None,
    legal: str | None,
    imprint_url: str | None,
    privacy_url: str | None,
    password: str,
) -> None:
    """Make a person with a login; the first one also makes the company."""
    app = create_core()
    refusal = passwords.refusal(password, email)
    if refusal is not None:
        raise Failed(refusal)
    newcomer = entering.Newcomer(name, email, line, title, team, place, Role(login), passwords.hash_password(password))
    particulars = None
    if company and legal and imprint_url and privacy_url:
        particulars = entering.Particulars(company, legal, imprint_url, privacy_url)
    with app.app_context():
        _must_be_migrated(app)
        try:
            with db.writing() as session:
                entering.add_person(session, newcomer, particulars, timezone=app.extensions["portal.settings"].timezone)
        except entering.Refused as refused:
            raise Failed(str(refused)) from None
    click.echo(f"{name} can sign in at /staff/login.")


def _say_erased(erased: int, failed: int) -> None:
    """Ends the program with 1 where something is left that should be gone."""
    click.echo(f"{erased} cases erased.")
    if failed:
        click.echo(f"durchwahl: {failed} cases could not be erased: the log names each with its fault.", err=True)
        sys.exit(1)


def _must_be_migrated(app: Flask) -> None:
    """Refuse to work on another schema than the program knows."""
    with app.app_context():
        present = schema.present(db.db.engine)
        if present != schema.newest():
            raise Failed("The database is not at the newest schema: run `durchwahl migrate`.")
        missing = schema.guards_missing(db.db.engine)
        if missing:
            raise Failed(f"The database lacks guards ({', '.join(sorted(missing))}): restore it or migrate again.")

"""A browser for every test: one Chromium for all of them, a running site on each database, and visitors to it.

A failed test leaves a picture of what each visitor saw in its temporary folder.
"""

import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import create_engine, text

from portal import clock
from tests.browser.visitors import OpenColleague, OpenVisitor, Visitor, signed_in
from tests.support.cast import berlin
from tests.support.moved_clock import MovedClock
from tests.support.site import Site

ON = {kind: pytest.param(kind, marks=pytest.mark.xdist_group(f"browser-{kind}")) for kind in ("sqlite", "postgresql")}
"""The two databases. The tests of one share a site, so one process runs them all."""
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without windows: a page costs it a third of the time."""
MORNING = berlin("2026-11-24 08:00")
"""When the clock begins that tests can move."""
Moving = tuple[Site, MovedClock]
ItIs = Callable[[datetime], None]
REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a group in one process.

    pytest-xdist 3.8 notes the group in ``_nodeid``, which pytest 9.2 no longer reads: without a word it would spread
    the group over all processes (pytest-xdist issue 1386).
    """
    for item in items:
        noted, read = getattr(item, "_nodeid", ""), getattr(item, "_id", None)
        if read is not None and "@" in noted:
            item._id = type(read).parse(noted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test went, for the picture."""
    report = yield
    item.stash.setdefault(REPORTS, {})[report.when] = report
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The Chromium of this test process."""
    found = next(path for path in map(shutil.which, CHROMIUMS) if path)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found)
        yield chromium
        chromium.close()


@contextmanager
def a_database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """The address of a migrated database of one site's own."""
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "durchwahl.sqlite3")
        yield f"sqlite:///{folder / 'durchwahl.sqlite3'}"
        return
    server, template = request.getfixturevalue("postgresql"), request.getfixturevalue("migrated_postgresql")
    name = f"site_{os.urandom(4).hex()}"
    _run(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server % name
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="package")
def site_on_sqlite(
    request: pytest.FixtureRequest, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running site on SQLite."""
    folder = tmp_path_factory.mktemp("site")
    with a_database(request, "sqlite", folder) as url, Site(folder, url, password_hash=password_hash) as site:
        yield site


@pytest.fixture(scope="package")
def site_on_postgresql(
    request: pytest.FixtureRequest, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running site on PostgreSQL."""
    folder = tmp_path_factory.mktemp("site")
    with a_database(request, "postgresql", folder) as url, Site(folder, url, password_hash=password_hash) as site:
        yield site


@pytest.fixture(params=ON.values())
def site(request: pytest.FixtureRequest) -> Site:
    """The running site; once for each database."""
    found: Site = request.getfixturevalue(f"site_on_{request.param}")
    return found


@pytest.fixture(scope="package")
def moving_on_sqlite(
    request: pytest.FixtureRequest, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moving]:
    """A running site on SQLite with a clock of its own."""
    with a_moving_site(request, "sqlite", password_hash, tmp_path_factory.mktemp("moving")) as moving:
        yield moving


@pytest.fixture(scope="package")
def moving_on_postgresql(
    request: pytest.FixtureRequest, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moving]:
    """A running site on PostgreSQL with a clock of its own."""
    with a_moving_site(request, "postgresql", password_hash, tmp_path_factory.mktemp("moving")) as moving:
        yield moving


@contextmanager
def a_moving_site(request: pytest.FixtureRequest, kind: str, password_hash: str, folder: Path) -> Iterator[Moving]:
    """A site whose customers may move a time until it begins, and the clock it lives by."""
    moved, settings = MovedClock(folder / "clock"), {"PORTAL_SLOT_CHANGE": "0"}
    moved.set(MORNING)
    with a_database(request, kind, folder) as url:
        site = Site(folder, url, password_hash=password_hash, program=moved.program, settings=settings)
        with clock.drive(moved.now):
            site.__enter__()
        try:
            yield site, moved
        finally:
            site.__exit__(None, None, None)


@pytest.fixture(params=ON.values())
def moving(request: pytest.FixtureRequest) -> Iterator[Moving]:
    """The running site with a clock; once for each database. The test lives by that clock."""
    found: Moving = request.getfixturevalue(f"moving_on_{request.param}")
    with clock.drive(found[1].now):
        yield found


@pytest.fixture
def moving_site(moving: Moving) -> Site:
    """The site alone."""
    return moving[0]


@pytest.fixture
def it_is(moving: Moving) -> ItIs:
    """Moves the clock ahead; all that is due by then is done."""
    site, moved = moving

    def move(instant: datetime) -> None:
        site.wait_until_quiet()
        assert instant >= moved.now()
        moved.set(instant)
        site.work()

    return move


def tuesday() -> datetime:
    """The next Tuesday, at half past eight in the morning: a day that has its week before it."""
    day = clock.utc_now().astimezone(ZoneInfo("Europe/Berlin")).replace(hour=8, minute=30, second=0, microsecond=0)
    return day + timedelta(days=(1 - day.weekday()) % 7 or 7)


@pytest.fixture
def visitor(browser: Browser, site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[OpenVisitor]:
    """Opens visitors; takes the options of a browser context. Fails the test for what their pages must not do."""
    visitors: list[Visitor] = []

    def open_one(**options: Any) -> Visitor:
        visitors.append(Visitor(browser, site, **options))
        return visitors[-1]

    yield open_one
    take_pictures_of_a_failure(request, visitors, tmp_path)
    for one in visitors:
        one.leave()
    complaints = [complaint for one in visitors for complaint in one.complaints]
    assert not complaints, "\n".join(complaints)


def take_pictures_of_a_failure(request: pytest.FixtureRequest, visitors: Iterable[Visitor], folder: Path) -> None:
    """A picture of what each visitor sees, if the test failed."""
    if any(report.failed for report in request.node.stash[REPORTS].values()):
        for number, one in enumerate(visitors):
            one.page.screenshot(path=folder / f"visitor-{number}.png", full_page=True)


@pytest.fixture
def colleague(visitor: OpenVisitor, site: Site) -> OpenColleague:
    """Opens a colleague, by name, who is already signed in (once per site: attempts are counted)."""

    def open_one(name: str, **options: Any) -> Visitor:
        return visitor(staff=True, storage_state=signed_in(visitor, site, name), **options)

    return open_one


def _run(server: str, statement: str) -> None:
    engine = create_engine(server % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()

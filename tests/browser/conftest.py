"""A browser for every test: one Chromium for all of them, a running site on each database, and visitors to it.

A failed test leaves a picture of what each visitor saw in its temporary folder.
"""

import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import create_engine, text

from tests.browser.visitors import OpenColleague, OpenVisitor, Visitor, signed_in
from tests.support.site import Site

ON = {kind: pytest.param(kind, marks=pytest.mark.xdist_group(f"browser-{kind}")) for kind in ("sqlite", "postgresql")}
"""The two databases. The tests of one share a site, so one process runs them all."""
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without windows: a page costs it a third of the time."""
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


@pytest.fixture(scope="package")
def site_on_sqlite(
    migrated_sqlite: Path, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running site on SQLite."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(migrated_sqlite, folder / "durchwahl.sqlite3")
    with Site(folder, f"sqlite:///{folder / 'durchwahl.sqlite3'}", password_hash=password_hash) as site:
        yield site


@pytest.fixture(scope="package")
def site_on_postgresql(
    postgresql: str, migrated_postgresql: str, password_hash: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running site on PostgreSQL."""
    name = f"site_{os.urandom(4).hex()}"
    _run(postgresql, f"CREATE DATABASE {name} TEMPLATE {migrated_postgresql}")
    with Site(tmp_path_factory.mktemp("site"), postgresql % name, password_hash=password_hash) as site:
        yield site
    _run(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=ON.values())
def site(request: pytest.FixtureRequest) -> Site:
    """The running site; once for each database."""
    found: Site = request.getfixturevalue(f"site_on_{request.param}")
    return found


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

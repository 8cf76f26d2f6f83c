"""Every page in both languages, in light and in dark: axe finds nothing, and the frame of the page is right.

axe runs under our own content policy, not around it. What a page hides until it is asked for is opened first.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import case as when
from sqlalchemy import select, update

from portal.cases.models import Case
from portal.people.models import Person
from tests.browser.conftest import ON, take_pictures_of_a_failure
from tests.browser.pages import LEAD, PAGES, Go, Stage, arrange
from tests.browser.visitors import OpenVisitor, Visitor, signed_in
from tests.support.site import Site

VENDORED = Path(__file__).parent / "vendor" / "axe-core"
AXE = (VENDORED / "axe.min.js").read_text(encoding="utf-8")
RUN = """async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
  return found.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)}`));
}"""
UNFOLD = """() => {
  document.querySelectorAll("details").forEach((part) => { part.removeAttribute("name"); part.open = true; });
  document.querySelectorAll("input[value=new]").forEach((choice) => choice.click());
}"""
LANGUAGES = {"de": "de-DE", "en": "en-GB"}
pytestmark = pytest.mark.parametrize("site", [ON["sqlite"]], indirect=True)


@pytest.fixture(scope="module")
def stage(site_on_sqlite: Site) -> Stage:
    """What these pages need."""
    return arrange(site_on_sqlite)


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest, stage: Stage) -> Iterator[str]:
    """Everybody speaks this language: the browser, the customers of all cases, the colleagues."""
    english = select(Case.id).where(Case.language == "en")
    with stage.site.writing() as session:
        before = list(session.scalars(english))
        session.execute(update(Case).values(language=request.param))
        session.execute(update(Person).values(language=request.param))
    yield request.param
    with stage.site.writing() as session:
        session.execute(update(Case).values(language=when((Case.id.in_(before), "en"), else_="de")))
        session.execute(update(Person).values(language="de"))


@pytest.fixture(scope="module")
def visitors(browser: Browser, stage: Stage, language: str) -> Iterator[dict[str, Visitor]]:
    """A customer, a colleague who is not signed in, one who is, and a lead; each goes through all of their pages."""
    opened: list[Visitor] = []

    def open_one(**options: Any) -> Visitor:
        opened.append(Visitor(browser, stage.site, locale=LANGUAGES[language], **options))
        return opened[-1]

    state = signed_in(open_one, stage.site, stage.caller)
    yield {
        "customer": open_one(),
        "guest": open_one(staff=True),
        "colleague": open_one(staff=True, storage_state=state),
        "lead": open_one(staff=True, storage_state=signed_in(open_one, stage.site, LEAD)),
    }
    for one in opened:
        one.leave()
    assert [complaint for one in opened for complaint in one.complaints] == []


@pytest.fixture(scope="module")
def titles(language: str) -> dict[str, str]:
    """The page that each title was seen on, in this language."""
    return {}


@pytest.fixture
def reader(visitors: dict[str, Visitor], who: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """The one of them who reads the page under test."""
    one = visitors[who]
    yield one
    take_pictures_of_a_failure(request, [one], tmp_path)
    one.complaints.clear()


@pytest.mark.nightly_on("en")
@pytest.mark.parametrize(("who", "go", "code"), PAGES)
def test_a_page_is_accessible_and_well_framed(
    site: Site, stage: Stage, reader: Visitor, language: str, titles: dict[str, str], go: Go, code: int
) -> None:
    answer = go(reader, stage)
    page = reader.page
    page.evaluate(UNFOLD)
    page.evaluate(AXE)
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found[scheme] = page.evaluate(RUN)

    assert answer == code
    assert found == {"light": [], "dark": []}
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == page_language(page, language)
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert page.title()
    assert titles.setdefault(page.title(), identity(page, code)) == identity(page, code)
    assert reader.complaints == []


def identity(page: Page, code: int) -> str:
    """What may share a title: the scopes of the worklist are one page, and so is the answer to every wrong address."""
    return urlsplit(page.url).path if code != 404 else page.locator("h1").inner_text()


def page_language(page: Page, language: str) -> str:
    """The language a page should be in: who is not signed in yet reads German until English is chosen there."""
    return "de" if "/staff/login" in page.url else language


def test_the_sign_in_page_can_be_read_in_english(site: Site, visitor: OpenVisitor) -> None:
    guest = visitor(staff=True)
    guest.go("/staff/login")
    guest.page.get_by_role("link", name="English").click()
    guest.page.evaluate(AXE)

    assert guest.page.locator("html").get_attribute("lang") == "en"
    assert guest.page.evaluate(RUN) == []


def test_axe_finds_the_faults_that_were_planted(site: Site, visitor: OpenVisitor) -> None:
    page = visitor().page
    small, grey = "width:14px;height:14px;padding:0;border:0;font-size:9px", "color:#999;background:#aaa"
    page.set_content(
        f"<html lang='de'><title>Fehler</title><main><h1>Fehler</h1>"
        f"<button style='{small};{grey}'>Ja</button><button style='{small};{grey}'>Nein</button></main></html>"
    )
    page.evaluate(AXE)

    rules = {finding.partition(":")[0] for finding in page.evaluate(RUN)}

    assert {"color-contrast", "target-size"} <= rules


def test_a_visitor_notes_what_no_page_may_do(site: Site, browser: Browser) -> None:
    customer = Visitor(browser, site)
    customer.go("/contact")

    customer.page.evaluate("fetch('https://elsewhere.example/').catch(() => document.cookie = 'known=yes')")
    customer.page.evaluate("setTimeout(() => { throw new Error('broken') })")
    customer.page.evaluate("fetch('/static/nothing-here.css')")
    customer.leave()

    noted = "\n".join(customer.complaints)
    planted = ["Content Security Policy", "broken", "404 for", "known"]
    assert [fault for fault in planted if fault not in noted] == []


def test_axe_is_the_file_its_readme_names(site: Site) -> None:
    named = re.search(r"`([0-9a-f]{64})`", (VENDORED / "README.md").read_text(encoding="utf-8"))
    assert named is not None
    assert hashlib.sha256((VENDORED / "axe.min.js").read_bytes()).hexdigest() == named[1]
    assert AXE.startswith("/*! axe v4.14.1\n")

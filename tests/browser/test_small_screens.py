"""Every page at a width of 320 pixels, with words that are longer than that.

320 by 256 pixels are also a window of 1280 by 1024 at 400 % (WCAG 1.4.10); the third look widens the spacing of the
text, as readers may (1.4.12).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from portal.cases import answering
from portal.cases.models import Topic
from portal.clock import utc_now
from portal.customers.models import Customer
from tests.browser.conftest import ON, take_pictures_of_a_failure
from tests.browser.pages import LEAD, PAGES, Go, Stage, arrange
from tests.browser.visitors import OpenVisitor, Visitor, fill_in, send, signed_in
from tests.support.site import Site, case_of

LONG = "Rechtsschutzversicherungsangelegenheitenverwaltung"
LONGER = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen"
ADDRESS = f"{'kundenbetreuung' * 4}@{'betriebsunterbrechungsversicherung'}.{'vermittlung'}.example"
WINDOWS = {"small": (320, 640), "400 %": (320, 256)}
SPACING = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important }"
    + "* { word-spacing: .16em !important } p { margin-bottom: 2em !important }");
  document.adoptedStyleSheets = [sheet];
}"""
UNFOLD = "document.querySelectorAll('details').forEach((part) => { part.removeAttribute('name'); part.open = true; })"
FAULTS = """() => {
  const faults = [], wide = document.documentElement.scrollWidth;
  if (wide > 320) faults.push(`the page is ${wide} pixels wide`);
  for (const part of document.querySelectorAll("main *, header *, footer *")) {
    const style = getComputedStyle(part), box = part.getBoundingClientRect();
    if (part.closest(".unseen, .trap, .skip, svg, iframe") || !box.width) continue;
    if (box.right > 321 || box.left < -1) faults.push("sticks out: " + part.outerHTML.slice(0, 120));
    const hides = style.overflowX !== "visible" || style.overflowY !== "visible";
    const isField = part.matches("input, textarea, select");
    if (hides && !isField && (part.scrollHeight > part.clientHeight + 1 || part.scrollWidth > part.clientWidth + 1))
      faults.push("cut off: " + part.outerHTML.slice(0, 120));
  }
  return faults;
}"""
pytestmark = pytest.mark.parametrize("site", [ON["postgresql"]], indirect=True)


@pytest.fixture(scope="module")
def stage(site_on_postgresql: Site) -> Iterator[Stage]:
    """All pages, full of long words."""
    site = site_on_postgresql
    stage = arrange(site)
    with site.writing() as session:
        answering.customer_message(session, case_of(session, "Sabine Krüger"), LONGER * 4, now=utc_now())
        topics = dict(session.execute(select(Topic.id, Topic.name_de)).all())
        customers = {one.id: (one.name, one.company, one.email) for one in session.scalars(select(Customer))}
        session.execute(update(Topic).values(name_de=LONGER))
        session.execute(update(Customer).values(name=Customer.name + " " + LONG, company=LONGER, email=ADDRESS))
    yield stage
    with site.writing() as session:
        for topic_id, name_de in topics.items():
            session.execute(update(Topic).where(Topic.id == topic_id).values(name_de=name_de))
        for customer_id, (name, company, email) in customers.items():
            kept = {"name": name, "company": company, "email": email}
            session.execute(update(Customer).where(Customer.id == customer_id).values(kept))


@pytest.fixture(scope="module")
def visitors(browser: Browser, stage: Stage) -> Iterator[dict[str, Visitor]]:
    """A customer, a colleague who is not signed in, one who is, and a lead."""
    opened: list[Visitor] = []

    def open_one(**options: Any) -> Visitor:
        opened.append(Visitor(browser, stage.site, **options))
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


@pytest.fixture
def reader(visitors: dict[str, Visitor], who: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """The one of them who reads the page under test."""
    yield visitors[who]
    take_pictures_of_a_failure(request, [visitors[who]], tmp_path)


@pytest.mark.parametrize(("who", "go", "code"), PAGES)
def test_a_page_fits_into_a_small_window(site: Site, stage: Stage, reader: Visitor, go: Go, code: int) -> None:
    assert go(reader, stage) == code
    reader.page.evaluate(UNFOLD)
    faults = {}
    for name, (width, height) in WINDOWS.items():
        reader.page.set_viewport_size({"width": width, "height": height})
        faults[name] = reader.page.evaluate(FAULTS)
    reader.page.evaluate(SPACING)
    faults["wide spacing"] = reader.page.evaluate(FAULTS)

    assert faults == {"small": [], "400 %": [], "wide spacing": []}


def test_the_form_can_be_sent_at_400_per_cent(site: Site, visitor: OpenVisitor) -> None:
    page = visitor(viewport={"width": 320, "height": 256}, device_scale_factor=4).page
    page.goto("/contact")
    fill_in(page, name=LONG, email="l.lang@lang.example", company=LONGER, message=LONGER * 3)

    send(page)

    page.wait_for_url("**/thanks/*")
    expect(page.locator("h1")).to_have_text("Ihr Anliegen ist bei uns eingegangen.")
    assert page.evaluate(FAULTS) == []


def test_a_page_that_is_too_wide_is_noticed(site: Site, visitor: OpenVisitor) -> None:
    page = visitor(viewport={"width": 320, "height": 640}).page
    wide = "<p style='width:500px'>Wort</p>"
    page.set_content(f"<main>{wide}<p style='overflow:hidden;width:40px'>{LONGER}</p></main>")

    faults = [fault.partition(":")[0] for fault in page.evaluate(FAULTS)]

    assert faults == ["the page is 508 pixels wide", "sticks out", "cut off"]

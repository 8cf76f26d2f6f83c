"""The contact form's proof of work in a browser: solved while people type, waited for, done without."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from portal import clock
from portal.cases.models import CaseState, Doubt
from portal.links import Links
from portal.pages.contact import proof
from portal.pages.contact.forms import read_ticket
from tests.browser.conftest import ON
from tests.browser.test_accessibility import AXE, RUN
from tests.browser.test_small_screens import FAULTS, SPACING
from tests.browser.visitors import OpenVisitor, fill_in, send
from tests.support.site import SECRET_KEY, Site, case_of

pytestmark = pytest.mark.parametrize("site", [ON["sqlite"]], indirect=True)
BUSY = 90_000
"""Milliseconds for a sum that takes two seconds on a machine with nothing else to do."""
WORDS = {
    "de-DE": ("Eine kurze Prüfung gegen automatische Nachrichten", "Geprüft"),
    "en-GB": ("A short check against automatic messages", "Checked"),
}


@pytest.fixture(scope="module")
def form(site_on_sqlite: Site) -> Iterator[str]:
    """The form of a web server on the same database that asks for the proof."""
    yield f"{site_on_sqlite.another_web(PORTAL_PROOF_OF_WORK='true')}/contact"


def state_of(page: Page) -> str:
    """What the widget says of itself."""
    return str(page.locator("altcha-widget .altcha").get_attribute("data-state"))


def make_easy(page: Page, monkeypatch: pytest.MonkeyPatch, tries: int = 1) -> None:
    """Put a challenge for the same form into the page that takes less work."""
    monkeypatch.setattr(proof, "TRIES", tries)
    links = Links([SECRET_KEY])
    ticket = read_ticket(links, page.input_value("[name=csrf_token]"), now=clock.utc_now())
    assert ticket is not None
    challenge = proof.challenge(ticket.key, links)
    page.evaluate("text => document.querySelector('altcha-widget').setAttribute('challenge', text)", challenge)


def entry(site: Site, customer: str) -> tuple[CaseState, Doubt | None]:
    with site.reading() as session:
        case = case_of(session, customer)
        return case.state, case.doubt


@pytest.mark.parametrize("locale", WORDS)
def test_it_is_solved_while_somebody_types_and_the_case_is_open_at_once(
    site: Site, visitor: OpenVisitor, form: str, locale: str
) -> None:
    customer, (label, checked) = visitor(locale=locale), WORDS[locale]
    page = customer.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    customer.go(form)
    tick = page.get_by_role("checkbox", name=label)
    expect(tick).not_to_be_checked()
    page.evaluate(AXE)
    before = page.evaluate(RUN)

    fill_in(page, name=f"Paula Probe {locale}", email=f"{locale}@probe.example")
    expect(page.get_by_role("checkbox", name=checked)).to_be_checked(timeout=BUSY)
    after = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        after[scheme] = page.evaluate(RUN)
    send(page)
    page.wait_for_url("**/thanks/*")

    assert before == [] and after == {"light": [], "dark": []}
    assert entry(site, f"Paula Probe {locale}") == (CaseState.OPEN, None)
    assert {"altcha.min.js", "altcha.css", "pbkdf2.js", "proof.js", "proof.css"} <= set(asked)


def test_who_is_quicker_than_the_sum_waits_for_it(
    site: Site, visitor: OpenVisitor, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, posts = visitor().page, list[str]()
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.goto(form)
    make_easy(page, monkeypatch, tries=200)

    page.evaluate("document.querySelector('[name=topic][value=angebot]').checked = true")
    for field, words in {
        "message": "Was kosten 40 Pumpen?",
        "name": "Quirin Quick",
        "email": "q@quick.example",
    }.items():
        page.evaluate("([field, words]) => { document.getElementById(field).value = words }", [field, words])
    assert state_of(page) == "unverified"
    page.dblclick("main form button.button[type=submit]")
    page.wait_for_url("**/thanks/*", timeout=BUSY)

    assert entry(site, "Quirin Quick") == (CaseState.OPEN, None)
    assert len(posts) == 1


def test_the_form_can_be_filled_in_and_sent_by_keyboard_alone(
    site: Site, visitor: OpenVisitor, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visitor().page
    page.goto(form)
    make_easy(page, monkeypatch)
    fill_in(page, name="Tina Taste", email="tina@taste.example")
    tick = page.get_by_role("checkbox", name="Geprüft")
    expect(tick).to_be_checked(timeout=BUSY)

    page.focus("[name=postcode]")
    stops = []
    for _ in range(3):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.type || document.activeElement.localName"))
        if stops[-1] == "checkbox":
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            page.keyboard.press("Space")  # taken back ...
            expect(page.get_by_role("checkbox", name="Eine kurze Prüfung")).not_to_be_checked()
            page.keyboard.press("Space")  # ... and asked for again
            expect(tick).to_be_checked(timeout=BUSY)
    assert (stops[:3], outline) == (["a", "checkbox", "submit"], "solid")
    page.focus("[name=postcode]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/thanks/*", timeout=BUSY)

    assert entry(site, "Tina Taste") == (CaseState.OPEN, None)


def test_without_javascript_a_sentence_says_that_somebody_looks_first(
    site: Site, visitor: OpenVisitor, form: str
) -> None:
    page = visitor(java_script_enabled=False).page
    page.goto(form)
    expect(page.locator("noscript p")).to_contain_text("Jemand von uns sieht es sich zuerst an")
    assert page.get_by_role("checkbox").count() == 0
    fill_in(page, name="Otto Ohne", email="otto@ohne.example")

    send(page)

    page.wait_for_url("**/thanks/*")
    assert entry(site, "Otto Ohne") == (CaseState.RECEIVED, Doubt.NO_PROOF)


@pytest.mark.parametrize(
    ("missing", "name"), [("altcha.min.js", "Nora Nie"), ("pbkdf2.js", "Nino Nie"), ("proof.js", "Nele Nie")]
)
def test_a_script_that_never_arrives_keeps_nobody_from_sending(
    site: Site, visitor: OpenVisitor, form: str, missing: str, name: str
) -> None:
    customer = visitor()
    page = customer.page
    customer.context.route(f"**/{missing}", lambda route: route.abort())
    page.goto(form)
    fill_in(page, name=name, email="jemand@nie.example")

    send(page)

    page.wait_for_url("**/thanks/*", timeout=BUSY)
    assert entry(site, name) == (CaseState.RECEIVED, Doubt.NO_PROOF)
    customer.complaints.clear()


def test_back_and_send_again_is_one_case(
    site: Site, visitor: OpenVisitor, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, before = visitor().page, site.cases()
    page.goto(form)
    make_easy(page, monkeypatch)
    fill_in(page, name="Zacharias Zurück", email="zacharias@zurueck.example")
    send(page)
    page.wait_for_url("**/thanks/*", timeout=BUSY)
    first = page.url

    page.go_back()
    expect(page.locator("#name")).to_have_value("Zacharias Zurück")
    send(page)
    page.wait_for_url("**/thanks/*", timeout=BUSY)

    assert (page.url, site.cases()) == (first, before + 1)


@pytest.mark.parametrize("state", ["unverified", "verifying", "verified", "error"])
def test_on_a_small_screen_nothing_sticks_out(site: Site, visitor: OpenVisitor, form: str, state: str) -> None:
    page = visitor(viewport={"width": 320, "height": 640}).page
    page.goto(form)
    expect(page.get_by_role("checkbox")).to_have_count(1)

    page.evaluate("state => document.querySelector('altcha-widget').setState(state, state === 'error' && 'x')", state)
    expect(page.locator(f"altcha-widget [data-state={state}]")).to_have_count(1)
    page.evaluate(AXE)

    assert page.evaluate(FAULTS) == []
    assert page.evaluate(RUN) == []
    page.evaluate(SPACING)
    assert page.evaluate(FAULTS) == []

"""Tab, Shift+Tab, Enter, Space and letters do everything; the focus is always seen and never lost."""

from datetime import date, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from portal import clock
from portal.cases import reminding
from tests.browser.conftest import ON
from tests.browser.visitors import OpenColleague, OpenVisitor
from tests.conftest import PASSWORD
from tests.support.site import Site, case_of

MOST_STOPS = 60
FAULT = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return "the focus is lost";
  const { outlineStyle, outlineWidth } = getComputedStyle(at.closest(".rows > li") ?? at);
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) return "the focus cannot be seen: " + at.outerHTML;
  const { top, bottom, left, right } = at.getBoundingClientRect();
  const isSeen = bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
  return isSeen ? null : "the focus is outside of the window: " + at.outerHTML;
}"""
"""What is wrong with the focus after a key. A row of the worklist carries the outline of the link that fills it."""
STOP = """() => {
  const at = document.activeElement;
  return at.closest("main") && (at.id || at.innerText.trim());
}"""
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Until the page is drawn: only then does an address that ends in "#main" take the focus, and do people press keys."""
pytestmark = pytest.mark.parametrize("site", [ON["postgresql"]], indirect=True)


class Hands:
    """Hands on a keyboard, without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go_to(self, goal: Locator, *, key: str = "Tab") -> None:
        """Press Tab until the goal has the focus, looking at the focus after each press."""
        self.page.wait_for_load_state()
        self.page.evaluate(SETTLED)
        for _ in range(MOST_STOPS):
            self.page.keyboard.press(key)
            assert self.page.evaluate(FAULT) is None
            if goal.evaluate("goal => goal === document.activeElement"):
                return
        raise AssertionError(f"{goal} cannot be reached with {key}")

    def press(self, goal: Locator, key: str = "Enter") -> None:
        """Go to a button or a link and press it."""
        self.go_to(goal)
        self.page.keyboard.press(key)

    def type(self, goal: Locator, words: str) -> None:
        """Go to a field and type."""
        self.go_to(goal)
        self.page.keyboard.type(words)

    def type_day(self, goal: Locator, day: date) -> None:
        """Go to a field for a day and type its parts in the order in which this browser shows them."""
        self.go_to(goal)
        for order in ("%d%m%Y", "%m%d%Y", "%Y%m%d"):
            self.page.keyboard.type(day.strftime(order))
            if goal.input_value() == day.isoformat():
                return
            for _ in range(2):
                self.page.keyboard.press("ArrowLeft")
        raise AssertionError(f"{day} cannot be typed")

    def stops(self) -> list[str]:
        """What Tab stops at in the main part of the page, in order: a field by its id, all else by its words."""
        found: list[str] = []
        self.page.wait_for_load_state()
        for _ in range(MOST_STOPS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("document.activeElement === document.body"):
                return found
            assert self.page.evaluate(FAULT) is None
            name = self.page.evaluate(STOP)
            if name and name not in found[-1:]:  # a field for a date has a stop for each of its parts
                found.append(name)
        raise AssertionError("Tab finds no end")


def test_the_first_stop_skips_to_the_content(site: Site, visitor: OpenVisitor) -> None:
    page = visitor().page
    page.goto("/contact")
    hands = Hands(page)

    hands.press(page.get_by_role("link", name="Zum Inhalt springen"))

    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[name=topic]").first).to_be_focused()


def test_a_customer_needs_no_mouse(site: Site, visitor: OpenVisitor) -> None:
    page = visitor().page
    page.goto("/contact")
    hands = Hands(page)
    button = page.get_by_role("button", name="Absenden")

    # Two errors, found and mended from the summary.
    hands.press(page.locator("[name=topic]").first, "Space")
    hands.type(page.locator("#message"), "Was kosten 40 Pumpen?")
    hands.press(button)
    expect(page.locator(".summary")).to_be_focused()
    hands.press(page.locator(".summary a").first)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("Tilda Taste")
    hands.type(page.locator("#email"), "tilda@")
    hands.press(button, "Space")
    expect(page.locator(".summary")).to_be_focused()
    hands.press(page.locator(".summary a"))
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type("taste.example")
    hands.go_to(page.locator("#name"), key="Shift+Tab")
    hands.press(button)
    page.wait_for_url("**/thanks/*")

    # The address is corrected on the thank-you page.
    hands.press(page.locator("details summary"), "Space")
    hands.type(page.locator("#email"), "tilda@tasten.example")
    hands.press(page.get_by_role("button", name="Adresse korrigieren"))
    expect(page.get_by_role("status")).to_be_focused()

    # On the status page: write, close, open again.
    page.goto(site.status_page("Tilda Taste"))
    hands.type(page.locator("#message"), "Es sind doch 50.")
    hands.press(page.get_by_role("button", name="Nachricht senden"))
    expect(page.get_by_role("status")).to_have_text("Danke, Ihre Nachricht ist angekommen.")
    expect(page.locator("main:focus, main [role=status]:focus")).to_have_count(1)
    hands.press(page.get_by_role("link", name="Mein Anliegen ist erledigt"))
    expect(page.locator("h1")).to_have_text("Vorgang abschließen?")
    hands.press(page.get_by_role("button", name="Vorgang abschließen"), "Space")
    expect(page.locator("h1")).to_have_text("Ihr Anliegen ist abgeschlossen")
    hands.type(page.locator("#message"), "Eines noch.")
    hands.press(page.get_by_role("button", name="Vorgang wieder öffnen"))
    expect(page.get_by_role("status")).to_have_text("Der Vorgang ist wieder offen.")


def test_a_colleague_needs_no_mouse(site: Site, visitor: OpenVisitor) -> None:
    known = site.open_case("Konrad Knopf", topic="technik")
    page = visitor(staff=True).page
    page.goto("/staff/?scope=all")
    hands = Hands(page)

    hands.type(page.locator("#email"), "t.brandt@beispielwerke.example")
    hands.type(page.locator("#password"), PASSWORD)
    hands.press(page.locator("main button"))
    expect(page.locator("h1")).to_have_text("Arbeitsliste")
    hands.press(page.get_by_role("link", name="Konrad Knopf"))
    expect(page.locator("h1")).to_have_text("Konrad Knopf")

    # Log a contact, promise a date, answer.
    hands.press(page.locator("#contact > summary"), "Space")
    hands.press(page.locator("[name=contact-contact]").first, "Space")
    hands.type(page.locator("#contact-text"), "Schickt das Typenschild.")
    hands.press(page.locator("#contact button[type=submit]"))
    expect(page.get_by_role("status")).to_be_focused()
    hands.press(page.locator("#promise > summary"))
    hands.type(page.locator("#promise-what"), "der Schaltplan")
    hands.press(page.locator("#promise button[type=submit]"))
    expect(page.get_by_role("status")).to_contain_text("Das Datum ist zugesagt")
    hands.press(page.locator("#reply > summary"))
    hands.press(page.locator("#reply button[type=submit]"))
    expect(page.locator("#reply .summary")).to_be_focused()
    hands.press(page.locator("#reply .summary a"))
    expect(page.locator("#reply-text")).to_be_focused()
    page.keyboard.type("Der Schaltplan liegt bei.")
    hands.press(page.locator("[name=reply-keeps]").first, "Space")
    hands.press(page.locator("#reply button[type=submit]"))
    expect(page.locator(".summary, .notice").first).to_be_focused()
    assert site.mailbox.wait_for(known.reference, "promise_given")


def test_who_is_reminded_needs_no_mouse(site: Site, visitor: OpenVisitor) -> None:
    known = site.open_case("Viktor Warten", topic="technik", phone_e164="+491713920042", phone_shown="0171 3920042")
    _let_the_reminder_fall_due(site, "Viktor Warten")
    reminder = site.mailbox.wait_for(known.reference, "staff_reminder")
    page = visitor(staff=True).page
    hands = Hands(page)

    # The reminder's link, and behind the login the choices: the call first, then the date, then the answer.
    page.goto(next(link for link in reminder.links if "/choices" in link))
    hands.type(page.locator("#email"), reminder.to)
    hands.type(page.locator("#password"), PASSWORD)
    hands.press(page.locator("main button"))
    expect(page.locator("h1")).to_have_text("Viktor Warten wartet")
    call, later = "Anrufen und Zwischenstand geben", "Viktor Warten Bescheid geben"
    stops = ["Zum Vorgang", call, "plan-day", "plan-hour", "plan-text", later, "Antwort schreiben"]
    assert hands.stops() == stops

    # Call, and give an interim status.
    page.reload()
    hands.press(page.get_by_role("button", name=call))
    expect(page.locator(".number a")).to_have_text("0171 3920042")
    hands.press(page.locator("[name=contact-contact]").first, "Space")
    hands.type(page.locator("#contact-text"), "Zwischenstand: Das Werk prüft noch.")
    hands.press(page.locator("main form button.button[type=submit]"))
    expect(page.get_by_role("status")).to_be_focused()

    # It takes longer: yesterday is no later date, a day without its time is none at all, the proposed day is one.
    hands.press(page.get_by_role("link", name="Es dauert länger"))
    proposed = date.fromisoformat(page.locator("#plan-day").input_value())
    hands.type_day(page.locator("#plan-day"), clock.utc_now().date() - timedelta(days=1))
    hands.type(page.locator("#plan-text"), "Das Werk meldet sich erst nach der Prüfung.")
    hands.press(page.get_by_role("button", name=later))
    expect(page.locator(".summary")).to_be_focused()
    hands.press(page.locator(".summary a"))
    hands.type_day(page.locator("#plan-day"), proposed)
    hands.go_to(page.locator("#plan-hour"))
    page.keyboard.press("Delete")
    hands.press(page.get_by_role("button", name=later))
    expect(page.locator(".summary")).to_be_focused()
    hands.press(page.locator(".summary a"))
    expect(page.locator("#plan-hour")).to_be_focused()
    page.keyboard.type("1430")
    hands.press(page.get_by_role("button", name=later), "Space")
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.locator("#plan")).to_contain_text("Das Werk meldet sich erst nach der Prüfung.")


def _let_the_reminder_fall_due(site: Site, customer: str) -> None:
    """Write it now: a real one would come when most of the time is over."""
    with site.writing() as session:
        case = case_of(session, customer)
        assert case.promise is not None
        case.promise.remind_at = clock.utc_now() - timedelta(seconds=1)
        session.flush()
        reminding.remind(session, case, now=clock.utc_now())


def test_letters_alone_do_nothing(site: Site, colleague: OpenColleague) -> None:
    page, before = colleague("Petra Lindner").page, site.dump()
    page.goto(site.staff_page("Sabine Krüger"))
    address = page.url

    for key in "acdehjknprsx?/":
        page.keyboard.press(key)

    assert page.url == address
    assert page.locator("details[open]").count() == 0
    assert site.dump() == before

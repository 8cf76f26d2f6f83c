"""A customer and an agreed time: booked, moved and called off on a telephone, by keys alone, and without JavaScript."""

import re

import pytest
from playwright.sync_api import Page, expect

from portal.appointments.models import Appointment, AppointmentState
from tests.browser.conftest import ON
from tests.browser.test_keyboard import Hands
from tests.browser.visitors import OpenVisitor, send
from tests.support.site import Site, case_of

PHONE = {"viewport": {"width": 320, "height": 640}}
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
pytestmark = pytest.mark.parametrize("site", [ON["postgresql"]], indirect=True)


def agreed(site: Site, customer: str) -> tuple[AppointmentState, str]:
    """How the customer's one appointment stands, and the wall clock it is agreed for."""
    with site.reading() as session:
        found = session.query(Appointment).filter_by(case_id=case_of(session, customer).id).one()
        return found.state, found.local_start


def chosen(page: Page) -> str:
    """The wall clock of the time that the check page shows."""
    return page.locator("form [name=slot]").get_attribute("value")[:16]  # type: ignore[index]


def test_a_time_is_booked_moved_and_called_off_by_keys_on_a_telephone(site: Site, visitor: OpenVisitor) -> None:
    site.open_case("Tina Termin", phone_e164="+491713920077", phone_shown="0171 3920077")
    page = visitor(**PHONE).page
    hands = Hands(page)
    done = page.get_by_role("status")

    # Nothing chosen is said, and the summary leads to the first time; the check page asks, its button books.
    page.goto(f"{site.status_page('Tina Termin')}/appointment")
    hands.press(page.get_by_role("button", name="Weiter zum Prüfen"))
    expect(page.locator(".summary")).to_be_focused()
    hands.press(page.locator(".summary a"))
    expect(page.locator("#slot-0")).to_be_focused()
    assert not page.evaluate(TOO_WIDE)
    page.keyboard.press("Space")
    hands.press(page.get_by_role("button", name="Weiter zum Prüfen"))
    expect(page.locator("h1")).to_have_text("Diesen Termin vereinbaren?")
    assert not page.evaluate(TOO_WIDE)
    first = chosen(page)
    hands.press(page.get_by_role("button", name="Termin vereinbaren"))
    expect(done).to_have_text("Ihr Termin ist vereinbart.")
    assert agreed(site, "Tina Termin") == (AppointmentState.BOOKED, first)

    # Another one: Back of the check page leads to the times again, and the old one stands until the button.
    page.goto(f"{site.status_page('Tina Termin')}/appointment")
    hands.press(page.get_by_role("link", name="Weitere Tage"))
    page.wait_for_url("**/appointment?from=*")
    hands.press(page.locator("#slot-0"), "Space")
    page.keyboard.press("ArrowDown")
    hands.press(page.get_by_role("button", name="Weiter zum Prüfen"))
    expect(page.locator("h1")).to_have_text("Termin auf diese Zeit verschieben?")
    hands.press(page.get_by_role("link", name="Zurück, andere Zeit wählen"))
    expect(page.locator("h1")).to_have_text("Termin verschieben")
    assert agreed(site, "Tina Termin") == (AppointmentState.BOOKED, first)
    hands.press(page.locator("#slot-0"), "Space")
    hands.press(page.get_by_role("button", name="Weiter zum Prüfen"))
    expect(page.locator("main dl")).to_contain_text("Bisher")
    second = chosen(page)
    hands.press(page.get_by_role("button", name="Termin verschieben"))
    expect(done).to_have_text("Ihr Termin ist verschoben.")
    assert agreed(site, "Tina Termin") == (AppointmentState.BOOKED, second)

    # And none at all.
    page.goto(f"{site.status_page('Tina Termin')}/appointment")
    hands.press(page.locator("main").get_by_role("link", name="Absagen"))
    expect(page.locator("h1")).to_have_text("Termin absagen?")
    hands.type(page.locator("#reason"), "Hat sich geklärt.")
    assert not page.evaluate(TOO_WIDE)
    hands.press(page.get_by_role("button", name="Termin absagen"))
    expect(done).to_have_text("Der Termin ist abgesagt.")
    assert agreed(site, "Tina Termin")[0] == AppointmentState.CANCELLED


def test_times_need_no_script(site: Site, visitor: OpenVisitor) -> None:
    known = site.open_case("Otto Ohne")
    customer = visitor(java_script_enabled=False, **PHONE)
    page = customer.page
    done = page.get_by_role("status")
    choose = f"{site.status_page('Otto Ohne')}/appointment"

    customer.go(choose)
    page.check("[name=parts][value=afternoon]")
    page.get_by_role("button", name="Merken").click()
    expect(done).to_have_text("Danke. Zeiten, die Ihnen passen, stehen jetzt vorn.")
    expect(page.locator(".fits").first).to_have_text("passt zu Ihrer Angabe")
    page.locator("[name=slot]").first.check()
    send(page)
    page.get_by_role("button", name="Termin vereinbaren").click()
    expect(page.locator(".summary a")).to_have_text(
        "Geben Sie die Telefonnummer ein, unter der wir Sie anrufen sollen."
    )
    page.fill("#phone", "0171 3920078")
    page.get_by_role("button", name="Termin vereinbaren").click()
    expect(done).to_have_text("Ihr Termin ist vereinbart.")
    assert site.mailbox.wait_for(known.reference, "appointment_confirmed")

    customer.go(choose)
    page.get_by_role("link", name=re.compile("Alle Zeiten an diesem Tag")).last.click()
    page.locator("[name=slot]").last.check()
    send(page)
    page.get_by_role("button", name="Termin verschieben").click()
    expect(done).to_have_text("Ihr Termin ist verschoben.")
    assert site.mailbox.wait_for(known.reference, "appointment_moved")

    customer.go(f"{choose}/cancel")
    page.get_by_role("button", name="Termin absagen").click()
    expect(done).to_have_text("Der Termin ist abgesagt.")
    assert site.mailbox.wait_for(known.reference, "appointment_cancelled")

"""A customer chooses the time of a call with the form: with JavaScript, and without it on a small screen."""

import re

import pytest
from playwright.sync_api import expect

from portal import clock
from portal.cases import drafting, opening
from portal.cases.errors import SlotTaken
from portal.links import new_secret
from portal.pages.contact import typed
from tests.browser.conftest import ON
from tests.browser.test_journey import MOMENT
from tests.browser.test_small_screens import FAULTS
from tests.browser.visitors import OpenVisitor, fill_in, send
from tests.support.cast import topic
from tests.support.site import Site

NUMBER = "0171 3920042"
pytestmark = pytest.mark.parametrize("site", [ON["postgresql"]], indirect=True)


def give_away(site: Site, slot: str) -> None:
    """Whoever could call at that time has somebody else to call."""
    with site.writing() as session:
        topic_id = topic(session, "angebot").id
        for number in range(9):
            name, email = f"Quirin {number}", f"quirin{number}@schneller.example"
            wish = drafting.Wish(topic_id, name, email, "Bitte", "de", "+491713920043", slot=typed.instant(slot))
            try:
                opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=clock.utc_now())
            except SlotTaken:
                return
    pytest.fail("the time was never taken")


def test_a_time_is_chosen_and_goes_with_the_topic(site: Site, visitor: OpenVisitor) -> None:
    customer = visitor()
    page = customer.page
    customer.go("/contact")
    expect(page.locator("fieldset.times:visible")).to_have_count(0)

    # The times of the chosen topic stand there, and no other; none is chosen for anybody.
    fill_in(page, name="Zita Zeitig", email="zita@zeitig.example", phone=NUMBER)
    call = page.locator("[data-times=angebot]")
    expect(page.locator("fieldset.times:visible")).to_have_count(1)
    expect(call).to_contain_text("Zeit für den Anruf (freiwillig)")
    expect(call.locator("input").first).to_be_checked()
    label = call.locator("label").nth(2).inner_text()
    assert re.fullmatch(MOMENT, label)
    call.locator("label").nth(2).click()
    expect(page.locator("#promise")).to_have_text(f"Anruf am {label}.")
    slot = call.locator("input").nth(2).get_attribute("value")

    # What another topic does not offer is chosen no longer.
    page.check("[name=topic][value=rechnung]")
    expect(page.locator("fieldset.times:visible")).to_have_count(0)
    expect(page.locator("[name=slot]:checked")).to_have_count(0)
    page.check("[name=topic][value=angebot]")
    expect(call.locator("input").first).to_be_checked()
    call.locator("label").nth(2).click()

    # Somebody is quicker: the form comes back with others and everything typed; one more press and it is agreed.
    give_away(site, slot or "")
    send(page)
    expect(page.locator(".summary a")).to_have_text(re.compile("inzwischen vergeben"))
    page.locator(".summary a").click()
    expect(page.locator("#slot-0")).to_be_focused()
    assert page.input_value("#name") == "Zita Zeitig"
    other = page.locator("[data-times=angebot] label").first.inner_text()
    assert other != label
    page.locator("[data-times=angebot] label").first.click()
    send(page)

    # The thank-you page and the letter say the same time, and the letter brings the file for the calendar.
    page.wait_for_url("**/thanks/*")
    expect(page.locator("main .promise")).to_have_text(re.compile(f" ruft Sie am {re.escape(other)}, an\\.$"))
    reference = page.locator("main strong.keep").inner_text()
    confirmation = site.mailbox.wait_for(reference, "confirmation")
    assert f"ruft Sie am {other}, an." in confirmation.text
    assert "text/calendar" in {part.get_content_type() for part in confirmation.message.walk()}


def test_without_javascript_on_a_small_screen(site: Site, visitor: OpenVisitor) -> None:
    customer = visitor(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = customer.page
    customer.go("/contact")
    expect(page.locator("fieldset.times:visible")).to_have_count(0)
    fill_in(page, topic="technik", name="Otto Ohne", email="otto@ohne.example")
    expect(page.locator("[data-times=technik]")).to_contain_text("Zeit für den Besuch (freiwillig)")

    fill_in(page, topic="rueckruf")
    expect(page.locator("fieldset.times:visible")).to_have_count(1)
    call = page.locator("[data-times=rueckruf]")
    expect(call.locator("fieldset")).to_have_count(3)
    call.get_by_role("button", name="Weitere Tage").click()
    expect(call.locator("fieldset")).to_have_count(6)
    expect(page.locator("#email")).to_have_value("otto@ohne.example")
    assert page.evaluate(FAULTS) == []
    label = call.locator("label").nth(3).inner_text()
    call.locator("label").nth(3).click()
    send(page)

    # A call needs a number: the form comes back with the time still chosen.
    expect(page.locator(".summary a")).to_have_text(
        "Geben Sie die Telefonnummer ein, unter der wir Sie anrufen sollen."
    )
    expect(page.get_by_label(label, exact=True).locator("visible=true")).to_be_checked()
    assert page.evaluate(FAULTS) == []
    page.fill("#phone", NUMBER)
    send(page)

    page.wait_for_url("**/thanks/*")
    expect(page.locator("main .promise")).to_have_text(re.compile(f" ruft Sie am {re.escape(label)}, an\\.$"))
    assert page.evaluate(FAULTS) == []

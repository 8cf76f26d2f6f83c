"""Without JavaScript everything works: switched off, and on in a browser that never gets our script."""

import re

import pytest
from playwright.sync_api import expect

from portal.people.models import Person
from tests.browser.conftest import ON
from tests.browser.visitors import OpenVisitor, Visitor, complete, fill_in, send, sign_in, work_on
from tests.support.site import Site, case_of

pytestmark = pytest.mark.parametrize("site", [ON["postgresql"]], indirect=True)


def switched_off(visitor: OpenVisitor, *, staff: bool = False) -> Visitor:
    """A browser that runs no script."""
    return visitor(staff=staff, java_script_enabled=False)


def never_arriving(visitor: OpenVisitor, *, staff: bool = False) -> Visitor:
    """A browser whose requests for scripts fail."""
    one = visitor(staff=staff)
    one.context.route("**/*.js", lambda route: route.abort())
    return one


WAYS = pytest.mark.parametrize("without_script", [switched_off, never_arriving])


@WAYS
def test_a_customer_needs_no_script(site: Site, visitor: OpenVisitor, without_script: OpenVisitor) -> None:
    customer = without_script(visitor)
    page = customer.page

    # The form: the promise stands with each topic; errors come back with everything typed.
    customer.go("/contact")
    expect(page.locator(".note").first).to_contain_text("Antwort bis")
    fill_in(page, name="Ohne Skript", email="ohne@")
    send(page)
    expect(page.locator(".summary a")).to_have_text("Geben Sie eine E-Mail-Adresse ein, zum Beispiel name@firma.de.")
    assert page.input_value("#name") == "Ohne Skript"
    page.fill("#email", "ohne@skript.exmaple.example")
    send(page)
    page.wait_for_url("**/thanks/*")

    # The address, corrected; the link from the letter.
    page.click("details summary")
    page.fill("#email", "ohne@skript.example")
    page.click("details button")
    expect(page.get_by_role("status")).to_contain_text("geht die Bestätigung dorthin")
    reference = page.locator("main strong.keep").inner_text()
    customer.go(site.mailbox.wait_for(reference, "confirmation", count=2).status_link)

    # Write, close, open again, replace the link, have it sent again.
    page.fill("#message", "Noch etwas.")
    send(page)
    expect(page.get_by_role("status")).to_have_text("Danke, Ihre Nachricht ist angekommen.")
    page.get_by_role("link", name="Mein Anliegen ist erledigt").click()
    page.check("[name=outcome][value=withdrawn]")
    send(page)
    expect(page.locator("h1")).to_have_text("Ihr Anliegen ist abgeschlossen")
    page.fill("#message", "Doch nicht.")
    send(page)
    expect(page.get_by_role("status")).to_have_text("Der Vorgang ist wieder offen.")
    page.get_by_role("link", name="Link ersetzen").click()
    send(page)
    expect(page.get_by_role("status")).to_contain_text("Der alte Link gilt nicht mehr")
    page.fill("#email", "ohne@skript.example")
    send(page)
    expect(page.locator("h1")).to_have_text("Danke. Bitte sehen Sie in Ihr Postfach.")

    # "Das war ich nicht".
    customer.go(f"{site.status_page('Ohne Skript')}/not-me")
    send(page)
    expect(page.locator("h1")).to_have_text("Sie haben gemeldet: „Das war ich nicht“")


@WAYS
def test_a_colleague_needs_no_script(site: Site, visitor: OpenVisitor, without_script: OpenVisitor) -> None:
    site.open_case("Stille Post", topic="reklamation", phone_e164="+491713920042", phone_shown="0171 3920042")
    with site.reading() as session:
        case = case_of(session, "Stille Post")
        assert case.promise is not None
        name = session.get_one(Person, case.promise.person_id).name
    staff = without_script(visitor, staff=True)
    page = staff.page
    done = page.get_by_role("status")

    sign_in(staff, name)
    page.get_by_role("link", name="Stille Post").click()
    work_on(page, "ask", text="Wie viele Stück sind es?")
    expect(done).to_have_text("Ihre Frage ist unterwegs.")
    work_on(page, "mail", text="Es sind drei Stück.")
    expect(done).to_have_text("Der Kontakt steht im Journal.")
    work_on(page, "note", text="Fotos liegen vor.")
    expect(done).to_have_text("Die Notiz steht im Journal.")
    page.click("#promise > summary")
    page.select_option("#promise-promise", "result-mail")
    page.click("#promise button[type=submit]")
    expect(done).to_contain_text("Das Datum ist zugesagt")
    page.get_by_role("button", name="Anruf starten").click()
    expect(page.locator("main .number")).to_have_text("0171 3920042")
    complete(page, "contact", contact="call_not_reached", text="")
    expect(done).to_have_text("Der Kontakt steht im Journal.")
    work_on(page, "reply", text="Ersatz ist bestellt.", keeps=True, promise="follow_up-call")
    expect(done).to_have_text("Ihre Antwort ist unterwegs.")
    work_on(page, "close", text="Ersatz ist da.", outcome="done")
    expect(done).to_contain_text("Der Vorgang ist abgeschlossen")
    work_on(page, "reopen", text="Ein Stück fehlt noch.")
    expect(done).to_contain_text("Der Vorgang ist wieder offen")
    page.get_by_role("button", name="Abmelden").click()
    expect(page.get_by_role("status")).to_have_text(re.compile("Sie sind abgemeldet"))

"""One case from the form to its close, in a browser, and the turns it can take on the way."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from portal import clock
from tests.browser.visitors import OpenColleague, OpenVisitor, complete, fill_in, send, sign_in, work_on
from tests.support.site import Letter, Site

DAY = (
    r"(Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag), \d{1,2}\. "
    r"(Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)( \d{4})?"
)
MOMENT = rf"{DAY}, \d{{1,2}}(:\d\d)? Uhr"
ENGLISH_DAY = r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day \d{1,2} [A-Z][a-z]+( \d{4})?"
NUMBER = "0171 3920042"
"""The customer's, from the block kept free for the media."""
AT_ONCE = timedelta(seconds=2)
ATTEMPTS = 3
"""The best of them counts: whatever else the machine is busy with is no property of the program."""


def test_a_case_goes_from_the_form_to_its_close(site: Site, visitor: OpenVisitor) -> None:
    customer, email = visitor(), "rosa.lenz@lenz-bau.example"

    # The form says what the topic gets before anything is sent.
    customer.go("/contact")
    fill_in(customer.page, name="Rosa Lenz", email=email, phone=NUMBER)
    expect(customer.page.locator("#promise")).to_have_text(re.compile(rf"^Antwort bis {MOMENT}\.$"))
    send(customer.page)

    # The thank-you page names person, direct line, date and reference; the letter with the link follows.
    customer.page.wait_for_url("**/thanks/*")
    promised = customer.page.locator("main .promise").inner_text().removesuffix(".")
    assert re.search(rf" antwortet bis {MOMENT}$", promised)
    name = promised.partition(" antwortet bis ")[0]
    line = site.lines[name]
    assert line is not None
    assert line in customer.words()
    reference = customer.page.locator("main strong.keep").inner_text()
    assert re.fullmatch(r"[2-9A-Z]{3}-[2-9A-Z]{3}", reference)
    confirmation = site.mailbox.wait_for(reference, "confirmation")
    assert confirmation.to == email
    assert promised in confirmation.text

    # Its link opens the status page.
    assert customer.go(confirmation.status_link) == 200
    expect(customer.page.locator("h1")).to_have_text(promised)
    assert line in customer.words()

    # Staff find the case on the worklist, without the number, answer and say what comes next.
    staff = visitor(staff=True)
    sign_in(staff, name)
    expect(staff.page.locator("h1")).to_have_text("Arbeitsliste")
    staff.page.get_by_role("link", name="Rosa Lenz").click()
    expect(staff.page.locator("h1")).to_have_text("Rosa Lenz")
    assert NUMBER not in staff.page.content()
    work_on(staff.page, "reply", text="Das Angebot liegt bei.", keeps=True, promise="call-call")
    expect(staff.page.get_by_role("status")).to_have_text("Ihre Antwort ist unterwegs.")
    assert "Das Angebot liegt bei." in site.mailbox.wait_for(reference, "reply").text

    # The customer's page shows the answer; the customer writes back.
    customer.page.reload()
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"^{name} ruft Sie bis {MOMENT} an$"))
    expect(customer.page.locator("#history")).to_contain_text("Das Angebot liegt bei.")
    customer.page.fill("#message", "Gilt der Preis auch für 30 Stück?")
    send(customer.page)
    expect(customer.page.get_by_role("status")).to_have_text("Danke, Ihre Nachricht ist angekommen.")
    expect(customer.page.locator("#history")).to_contain_text("Gilt der Preis auch für 30 Stück?")
    site.mailbox.wait_for(reference, "message_received")

    # Only starting the call shows the number; the call is logged and a date promised.
    staff.go(f"/staff/cases/{reference}")
    assert NUMBER not in staff.page.content()
    staff.page.get_by_role("button", name="Anruf starten").click()
    expect(staff.page.locator("a[href='tel:+491713920042']")).to_have_text(NUMBER)
    complete(
        staff.page,
        "contact",
        contact="call_reached",
        text="Preis für 30 Stück genannt.",
        keeps=True,
        promise="result-mail",
    )
    expect(staff.page.get_by_role("status")).to_have_text("Der Kontakt steht im Journal.")
    assert NUMBER not in staff.page.content()
    site.mailbox.wait_for(reference, "promise_given")
    customer.go(confirmation.status_link)
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"^{name} schickt Ihnen bis {MOMENT} das Ergebnis$"))

    # The customer closes, and opens it again.
    customer.page.get_by_role("link", name="Mein Anliegen ist erledigt").click()
    expect(customer.page.locator("h1")).to_have_text("Vorgang abschließen?")
    send(customer.page)
    expect(customer.page.locator("h1")).to_have_text("Ihr Anliegen ist abgeschlossen")
    site.mailbox.wait_for(reference, "closed")
    customer.page.fill("#message", "Eine Frage ist doch noch offen.")
    send(customer.page)
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"^{name} antwortet bis {MOMENT}$"))
    site.mailbox.wait_for(reference, "reopened")

    # Staff close with the outcome.
    staff.go(f"/staff/cases/{reference}")
    work_on(staff.page, "close", outcome="done", text="Angebot und Preis liegen vor.")
    expect(staff.page.get_by_role("status")).to_contain_text("Der Vorgang ist abgeschlossen")
    site.mailbox.wait_for(reference, "closed", count=2)
    customer.page.reload()
    expect(customer.page.locator("h1")).to_have_text("Ihr Anliegen ist abgeschlossen")
    assert "Angebot und Preis liegen vor." in customer.words()

    letters = [letter for letter in site.mailbox.letters(reference) if letter.to == email]
    kinds = ["confirmation", "reply", "message_received", "promise_given", "closed", "reopened", "closed"]
    assert [letter.kind for letter in letters] == kinds
    assert [fault for letter in letters for fault in faults(letter, name, line, confirmation.status_link)] == []


def faults(letter: Letter, name: str, line: str, link: str) -> list[str]:
    """What a letter to a customer lacks in its text or its HTML."""
    html = " ".join(re.sub(r"<[^>]+>", " ", letter.html.replace("&nbsp;", " ")).split())
    return [
        f"{letter.kind}: no {wanted!r} in the {part}"
        for part, words in (("text", letter.text), ("HTML", html))
        for wanted in (re.escape(name), re.escape(line), DAY)
        if not re.search(wanted, words)
    ] + ([] if letter.text.count(link) and letter.html.count(link) else [f"{letter.kind}: not the status link"])


def test_the_confirmation_is_in_the_mailbox_within_two_seconds_of_the_click(site: Site, visitor: OpenVisitor) -> None:
    customer, took = visitor(), []
    for attempt in range(ATTEMPTS):
        customer.go("/contact")
        fill_in(customer.page, name="Egon Eilig", email=f"egon{attempt}@eilig.example")
        clicked = clock.utc_now()
        send(customer.page)
        reference = customer.page.locator("main strong.keep").inner_text()
        took.append(site.mailbox.wait_for(reference, "confirmation").at - clicked)

    assert min(took) < AT_ONCE


@pytest.mark.nightly_on("sqlite")
def test_an_address_can_be_corrected_on_the_thank_you_page(site: Site, visitor: OpenVisitor) -> None:
    customer = visitor()
    customer.go("/contact")
    fill_in(customer.page, name="Ilse Adam", email="ilse@adam.exmaple.example")
    send(customer.page)
    reference = customer.page.locator("main strong.keep").inner_text()
    mistaken = site.mailbox.wait_for(reference, "confirmation")

    customer.page.click("details summary")
    customer.page.fill("#email", "ilse@adam.example")
    customer.page.get_by_role("button", name="Adresse korrigieren").click()

    expect(customer.page.get_by_role("status")).to_contain_text("geht die Bestätigung dorthin")
    assert customer.page.locator("details").count() == 0
    right = site.mailbox.wait_for(reference, "confirmation", count=2)
    assert right.to == "ilse@adam.example"
    assert customer.go(right.status_link) == 200
    assert customer.go(mistaken.status_link) == 404


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_double_click_on_send_makes_one_case(site: Site, visitor: OpenVisitor, scripts: bool) -> None:
    customer, before = visitor(java_script_enabled=scripts), site.cases()
    customer.go("/contact")
    fill_in(customer.page, name="Zeno Doppelt", email="zeno@doppelt.example")

    customer.page.dblclick("main form button.button[type=submit]")

    customer.page.wait_for_url("**/thanks/*")
    site.wait_until_quiet()
    assert site.cases() == before + 1


@pytest.mark.nightly_on("sqlite")
def test_that_was_not_me_stops_the_letters_until_staff_undo_it(
    site: Site, visitor: OpenVisitor, colleague: OpenColleague
) -> None:
    known = site.open_case("Falk Fremd")
    confirmation = site.mailbox.wait_for(known.reference, "confirmation")
    owner = visitor()
    owner.go(next(link for link in confirmation.links if link.endswith("/not-me")))
    expect(owner.page.locator("h1")).to_have_text("Sie haben uns nicht geschrieben?")

    send(owner.page)

    expect(owner.page.locator("h1")).to_have_text("Sie haben gemeldet: „Das war ich nicht“")
    assert re.search(rf"Am {DAY} löschen wir die Angaben", owner.words())
    site.wait_until_quiet()
    to_customer = [letter for letter in site.mailbox.letters(known.reference) if letter.to == confirmation.to]
    assert [letter.kind for letter in to_customer] == ["confirmation"]

    staff = colleague("Petra Lindner")
    staff.go("/staff/")
    staff.page.get_by_role("link", name="Falk Fremd").click()
    staff.page.get_by_role("button", name="Rückgängig: Es war doch Falk Fremd").click()

    expect(staff.page.get_by_role("status")).to_contain_text("Der Eingang ist jetzt ein Vorgang")
    assert site.mailbox.wait_for(known.reference, "reopened").to == confirmation.to
    owner.go(known.status)
    expect(owner.page.locator("h1")).to_have_text(re.compile(rf"antwortet bis {MOMENT}$"))


@pytest.mark.nightly_on("sqlite")
def test_the_link_comes_again_on_request_and_the_page_never_says_whether_the_address_is_known(
    site: Site, visitor: OpenVisitor
) -> None:
    known, customer = site.open_case("Vera Vergess", email="vera@vergess.example"), visitor()
    site.mailbox.wait_for(known.reference, "confirmation")
    answers = []
    for address in ("vera@vergess.example", "niemand@nirgends.example"):
        customer.go("/link")
        customer.page.fill("#email", address)
        send(customer.page)
        answers.append(re.sub(r"\d{1,2}(:\d\d)? Uhr", "… Uhr", customer.words()))

    assert "Danke. Bitte sehen Sie in Ihr Postfach." in answers[0]
    assert answers[0] == answers[1]
    letter = site.mailbox.wait_for(known.reference, "link")
    assert letter.to == "vera@vergess.example"
    assert customer.go(letter.status_link) == 200


@pytest.mark.nightly_on("sqlite")
def test_replacing_the_link_kills_the_old_one(site: Site, visitor: OpenVisitor) -> None:
    known, customer = site.open_case("Lore Leck"), visitor()
    site.mailbox.wait_for(known.reference, "confirmation")
    customer.go(known.status)
    customer.page.get_by_role("link", name="Link ersetzen").click()
    expect(customer.page.locator("h1")).to_have_text("Link ersetzen?")

    send(customer.page)

    expect(customer.page.get_by_role("status")).to_contain_text("Der alte Link gilt nicht mehr")
    letter = site.mailbox.wait_for(known.reference, "link")
    assert customer.go(known.status) == 404
    expect(customer.page.locator("h1")).to_have_text("Dieser Link führt zu keinem Vorgang")
    assert customer.go(letter.status_link) == 200


@pytest.mark.nightly_on("sqlite")
def test_a_doubtful_entry_waits_until_staff_release_it(
    site: Site, visitor: OpenVisitor, colleague: OpenColleague
) -> None:
    strict = site.another_web(PORTAL_FORM_MIN_SECONDS="600")
    customer = visitor()
    customer.go(f"{strict}/contact")
    fill_in(customer.page, name="Hanna Hurtig", email="hanna@hurtig.example")

    send(customer.page)

    customer.page.wait_for_url("**/thanks/*")
    assert re.search(rf"Petra Lindner sieht es sich bis {MOMENT} an", customer.words())
    assert str(site.lines["Petra Lindner"]) in customer.words()
    reference = customer.page.locator("main strong.keep").inner_text()
    site.mailbox.wait_for(reference, "staff_doubtful")
    assert site.mailbox.letters(reference, "confirmation") == []

    staff = colleague("Petra Lindner")
    staff.go("/staff/")
    staff.page.get_by_role("link", name="Hanna Hurtig").click()
    assert "Das Formular war schneller ausgefüllt, als Menschen tippen." in staff.words()
    staff.page.get_by_role("button", name="Als Vorgang freigeben").click()

    expect(staff.page.get_by_role("status")).to_contain_text("Der Eingang ist jetzt ein Vorgang")
    confirmation = site.mailbox.wait_for(reference, "confirmation")
    assert confirmation.to == "hanna@hurtig.example"
    customer.go(confirmation.status_link)
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"antwortet bis {MOMENT}$"))


@pytest.mark.nightly_on("sqlite")
def test_a_customer_who_reads_english_is_spoken_to_in_english(
    site: Site, visitor: OpenVisitor, colleague: OpenColleague
) -> None:
    customer = visitor(locale="en-GB")
    customer.go("/contact")
    expect(customer.page.locator("html")).to_have_attribute("lang", "en")
    fill_in(customer.page, topic="technik", name="Joan Field", email="joan@field.example", message="Which spare part?")
    expect(customer.page.locator("#promise")).to_have_text(re.compile(rf"^Reply by .+ on {ENGLISH_DAY}\.$"))
    send(customer.page)
    promised = customer.page.locator("main .promise").inner_text()
    assert re.search(rf" will reply by .+ on {ENGLISH_DAY}\.$", promised)
    name = promised.partition(" will reply by ")[0]
    reference = customer.page.locator("main strong.keep").inner_text()
    confirmation = site.mailbox.wait_for(reference, "confirmation")
    assert confirmation.message["Content-Language"] == "en"
    assert str(site.lines[name]) in confirmation.text

    staff = colleague(name)
    staff.go(f"/staff/cases/{reference}")
    work_on(staff.page, "ask", text="Which serial number does the pump have?", keeps=True)
    site.mailbox.wait_for(reference, "question")
    customer.go(confirmation.status_link)
    expect(customer.page.locator("main .tag")).to_have_text("Waiting for you")
    expect(customer.page.locator("#write")).to_contain_text("Which serial number does the pump have?")
    customer.page.fill("#message", "It is 4711.")
    customer.page.get_by_role("button", name="Send the answer").click()

    expect(customer.page.get_by_role("status")).to_have_text("Thank you, your message has arrived.")
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"^{name} will reply by "))
    assert "will reply by" in site.mailbox.wait_for(reference, "message_received").text


@pytest.mark.nightly_on("sqlite")
def test_a_form_that_comes_back_keeps_what_was_typed_and_begins_at_its_summary(
    site: Site, visitor: OpenVisitor
) -> None:
    customer, before = visitor(), site.cases()
    customer.go("/contact")
    fill_in(
        customer.page, topic="rueckruf", name="Nora Nummer", email="nora@", message="Zwei\nZeilen", postcode="80331"
    )

    send(customer.page)

    expect(customer.page.locator(".summary")).to_be_focused()
    assert customer.page.title().startswith("Fehler: ")
    links = customer.page.locator(".summary a")
    assert links.all_inner_texts() == [
        "Geben Sie eine E-Mail-Adresse ein, zum Beispiel name@firma.de.",
        "Geben Sie die Telefonnummer ein, unter der wir Sie anrufen sollen.",
    ]
    typed = {"message": "Zwei\nZeilen", "name": "Nora Nummer", "email": "nora@", "postcode": "80331"}
    assert {field: customer.page.input_value(f"#{field}") for field in typed} == typed
    expect(customer.page.locator("[name=topic][value=rueckruf]")).to_be_checked()
    links.first.click()
    expect(customer.page.locator("#email")).to_be_focused()
    assert site.cases() == before

    customer.page.fill("#email", "nora@nummer.example")
    customer.page.fill("#phone", NUMBER)
    send(customer.page)
    customer.page.wait_for_url("**/thanks/*")
    assert site.cases() == before + 1


@pytest.mark.nightly_on("sqlite")
def test_a_deputy_acts_for_an_absent_owner(site: Site, visitor: OpenVisitor, colleague: OpenColleague) -> None:
    customer, staff = visitor(), colleague("Deniz Yılmaz")
    customer.go(site.status_page("Ulrich Baumgartner"))
    assert "in Vertretung für Lena Hofmann" in customer.words()

    staff.go("/staff/")
    row = staff.page.locator("li").filter(has_text="Ulrich Baumgartner")
    expect(row).to_contain_text("Deniz Yılmaz für Lena Hofmann")
    row.get_by_role("link").click()
    staff.page.get_by_role("button", name="Anruf starten").click()
    expect(staff.page.locator("main .number")).to_have_text("089 99998-562")
    complete(staff.page, "contact", contact="call_mailbox", text="")
    expect(staff.page.get_by_role("status")).to_have_text("Der Kontakt steht im Journal.")
    work_on(staff.page, "reply", text="Die Armaturen werden ausgetauscht.", keeps=True, promise="result-mail")

    reference = staff.page.url.rpartition("/")[2].partition("?")[0]
    letter = site.mailbox.wait_for(reference, "reply")
    assert "in Vertretung für Lena Hofmann" in letter.text
    assert "Deniz Yılmaz" in str(letter.message["From"])
    customer.page.reload()
    expect(customer.page.locator("h1")).to_have_text(re.compile(rf"^Deniz Yılmaz schickt Ihnen bis {MOMENT}"))

"""The founding story: a call was moved, the move was confirmed, and the firm still phoned at the old time.

Here it is played in two browsers, with a clock for all processes that the test moves. Once the new time stands the old
one exists nowhere, and whoever presses the button of a page that was open before gets no number.
"""

import re
from datetime import datetime, timedelta

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from portal import clock
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import calling
from portal.cases import directory as directories
from portal.people.models import Person
from tests.appointments import mailbox_simulator
from tests.browser.conftest import ItIs, tuesday
from tests.browser.test_journey import MOMENT
from tests.browser.visitors import OpenVisitor, Visitor, complete, fill_in, send, sign_in
from tests.support import agreement
from tests.support.site import Letter as Arrived
from tests.support.site import Site, case_of

NUMBER, DIALLED = "0171 3920042", "491713920042"
OTHER = "Petra Lindner"
"""Answers the phone at the front desk, and is named nowhere."""
SHORTLY = timedelta(minutes=20)
"""Before its time an agreed call can be started: pages have the button."""
FORGE = """
() => {
  const field = document.querySelector("[name$=-version]"), form = document.createElement("form")
  const values = {
    csrf_token: document.querySelector("[name=csrf_token]").value,
    "call-version": field.value,
    "call-key": Array.from({length: 22}, () => "abcdefgh"[Math.floor(Math.random() * 8)]).join(""),
  }
  form.method = "post"
  form.action = location.pathname + "/call"
  for (const [name, value] of Object.entries(values)) {
    const input = document.createElement("input")
    Object.assign(input, {type: "hidden", name, value})
    form.append(input)
  }
  document.body.append(form)
  form.submit()
}
"""
"""What the button of a case page sends, from a page that has none."""


@pytest.fixture
def site(moving_site: Site) -> Site:
    """The site with a clock, in the place of the one that all others share."""
    return moving_site


def at_desk(visitor: OpenVisitor, name: str) -> Visitor:
    """A colleague who has just signed in: a day later one has to anew."""
    one = visitor(staff=True)
    sign_in(one, name)
    return one


def agreed(site: Site, customer: str) -> Appointment:
    """The row."""
    with site.reading() as session:
        booked = appointments.booked_of(session, case_of(session, customer).id)
        assert booked is not None
        return booked


def disagreements(site: Site, customer: str) -> list[str]:
    """What some place says otherwise than the row."""
    with site.writing() as session, session.begin_nested() as looked:
        found = agreement.disagreements(session, case_of(session, customer), now=clock.utc_now())
        looked.rollback()  # it makes calendar addresses
    return found


def may_call(site: Site, customer: str) -> set[str]:
    """Who gets the number now."""
    with site.reading() as session:
        case, now = case_of(session, customer), clock.utc_now()
        people = calling.may_call(
            directories.load(session, now=now), case, appointments.booked_of(session, case.id), now=now
        )
        return {session.get_one(Person, one).name for one in people}


def has_number(page: Page) -> bool:
    """Whether the number stands anywhere in what the browser got."""
    return NUMBER in page.content() or DIALLED in page.content()


def start(page: Page) -> int:
    """Press the button; the status code of the answer."""
    with page.expect_navigation() as arrived:
        page.get_by_role("button", name="Anruf starten").click()
    assert arrived.value is not None
    return arrived.value.status


def forge(colleague: Visitor, reference: str) -> int:
    """Ask for the number from a fresh case page that offers no button for it; the status code of the answer."""
    page = colleague.page
    colleague.go(f"/staff/cases/{reference}")
    expect(page.get_by_role("button", name="Anruf starten")).to_have_count(0)
    assert not has_number(page)
    with page.expect_navigation() as arrived:
        page.evaluate(FORGE)
    assert not has_number(page)
    assert arrived.value is not None
    return arrived.value.status


def line_of(page: Page, reference: str) -> Locator:
    """The line of a case on a call list."""
    return page.locator("ol.calls > li").filter(has_text=reference)


def in_feed(feed: bytes, booked: Appointment) -> list[tuple[str, str]]:
    """When the feed has an appointment, and as what change of it."""
    events = mailbox_simulator.read(feed).components
    mine = [one for one in events if one.values("UID") == [booked.uid]]
    return [(one.one("DTSTART").value, one.one("SEQUENCE").value) for one in mine]


def in_letter(letter: Arrived) -> tuple[str, str, str]:
    """The same of the calendar file in a letter, with what it asks for."""
    parts = [part for part in letter.message.walk() if part.get_content_type() == "text/calendar"]
    read = mailbox_simulator.read(bytes(parts[0].get_payload(decode=True)))
    (event,) = [one for one in read.components if one.name == "VEVENT"]
    return read.one("METHOD").value, event.one("DTSTART").value, event.one("SEQUENCE").value


def stamp(instant: datetime) -> str:
    """An instant as calendar files write it."""
    return f"{instant:%Y%m%dT%H%M%SZ}"


def test_a_moved_call_is_made_at_the_new_time_and_at_no_other(site: Site, visitor: OpenVisitor, it_is: ItIs) -> None:
    it_is(tuesday())
    customer, who = visitor(), "Paula Prospekt"
    page = customer.page

    # A prospect asks to be called and chooses when.
    customer.go("/contact")
    fill_in(page, topic="rueckruf", name=who, email="paula@prospekt.example", phone=NUMBER)
    page.locator("[data-times=rueckruf] label").filter(has_text=re.compile(f"^{MOMENT}$")).first.click()
    send(page)
    page.wait_for_url("**/thanks/*")
    promised = page.locator("main .promise").inner_text()
    told = re.fullmatch(rf"(.+) ruft Sie am (?P<moment>{MOMENT}), an\.", promised)
    assert told is not None, promised
    name, reference = told[1], page.locator("main strong.keep").inner_text()

    # The confirmation names the account manager, the line, the time, and brings it for the calendar.
    first, line = agreed(site, who), site.lines[name]
    confirmation = site.mailbox.wait_for(reference, "confirmation")
    assert line is not None
    assert f"{name} ruft Sie am {told['moment']}, an." in confirmation.text
    assert line in confirmation.text
    assert in_letter(confirmation) == ("REQUEST", stamp(first.starts_at), "0")
    assert disagreements(site, who) == []

    # The colleague has it in a calendar, on paper, and open in two windows, with the button.
    it_is(first.starts_at - SHORTLY)
    assert site.mailbox.letters(reference, "appointment_reminder")
    clerk, other = at_desk(visitor, name), at_desk(visitor, OTHER)
    clerk.go("/staff/calls")
    clerk.page.get_by_role("button", name="Kalenderadresse").click()
    address = clerk.page.locator("#feed-address").input_value()
    fetched = requests.get(address, timeout=10)
    assert in_feed(fetched.content, first) == [(stamp(first.starts_at), "0")]
    calls, case = clerk.page, clerk.context.new_page()
    calls.goto("/staff/calls")
    calls.emulate_media(media="print")
    printed = calls.locator("main").inner_text()
    calls.emulate_media(media="screen")
    assert who in printed and NUMBER not in printed
    case.goto(f"/staff/cases/{reference}")
    assert not has_number(calls) and not has_number(case)
    assert forge(other, reference) == 403

    # The prospect moves it, a quarter of an hour before it begins: choose, check, done.
    it_is(first.starts_at - timedelta(minutes=15))
    customer.go(confirmation.status_link)
    page.get_by_role("link", name="Verschieben").click()
    page.locator("[name=slot]").last.check()
    send(page)
    expect(page.locator("h1")).to_have_text("Termin auf diese Zeit verschieben?")
    assert agreed(site, who).starts_at == first.starts_at
    page.get_by_role("button", name="Termin verschieben").click()
    expect(page.get_by_role("status")).to_have_text("Ihr Termin ist verschoben.")

    # From now on the old time exists nowhere.
    second = agreed(site, who)
    assert (second.id, second.starts_at > first.starts_at) == (first.id, True)
    assert disagreements(site, who) == []
    moved = site.mailbox.wait_for(reference, "appointment_moved")
    assert in_letter(moved) == ("REQUEST", stamp(second.starts_at), "1")
    again = requests.get(address, headers={"If-None-Match": fetched.headers["ETag"]}, timeout=10)
    assert (again.status_code, in_feed(again.content, first)) == (200, [(stamp(second.starts_at), "1")])
    fresh = clerk.context.new_page()
    fresh.goto("/staff/calls")
    grey = line_of(fresh, reference).filter(has_text="verschoben auf")
    expect(grey).to_have_count(1)
    expect(grey.locator("button, form")).to_have_count(0)
    assert not has_number(fresh)

    # At the old time: the windows that were open before, the address behind the button, a colleague; nobody alarmed.
    it_is(first.starts_at)
    assert (start(calls), has_number(calls)) == (409, False)
    assert (start(case), has_number(case)) == (409, False)
    assert forge(clerk, reference) == 409
    assert forge(other, reference) == 409
    assert may_call(site, who) == set()
    it_is(first.starts_at + timedelta(hours=1))
    late = {letter.kind for letter in site.mailbox.letters(reference)} & {"appointment_late", "appointment_missed"}
    assert late == set()
    assert disagreements(site, who) == []

    # At the new time: the named colleague, and nobody else.
    it_is(second.starts_at)
    clerk, other = at_desk(visitor, name), at_desk(visitor, OTHER)
    assert may_call(site, who) == {name}
    assert forge(other, reference) == 403
    clerk.go("/staff/calls")
    assert not has_number(clerk.page)
    assert start(clerk.page) == 200
    expect(clerk.page.locator("main .number")).to_have_text(NUMBER)
    complete(
        clerk.page,
        "outcome",
        outcome="interim",
        text="Die Pumpen sind vorrätig; der Preis fehlt noch.",
        promise="result-mail",
    )
    expect(clerk.page.get_by_role("status")).to_contain_text("Wie der Termin ausging")
    assert not has_number(clerk.page)
    assert disagreements(site, who) == []
    customer.go(confirmation.status_link)
    expect(page.locator("h1")).to_have_text(re.compile(rf"^{name} schickt Ihnen bis {MOMENT} das Ergebnis$"))
    expect(page.locator("#history")).to_contain_text(f"{name} hat Ihnen gesagt, wie es steht")
    promised = page.locator("h1").inner_text()

    # No answer in sight: the colleague is reminded, and the customer hears of it before the date.
    remind_at, notice_at, due_at = ladder(site, who)
    it_is(remind_at)
    assert site.mailbox.wait_for(reference, "staff_reminder").to.startswith(name[0].lower())
    it_is(notice_at)
    assert site.mailbox.wait_for(reference, "delay_notice").to == "paula@prospekt.example"
    assert clock.utc_now() < due_at
    page.reload()
    expect(page.locator("h1")).not_to_have_text(promised)
    assert disagreements(site, who) == []


def ladder(site: Site, customer: str) -> tuple[datetime, datetime, datetime]:
    """When the promise is reminded of, when the customer hears that it moves, and its date."""
    with site.reading() as session:
        promise = case_of(session, customer).promise
        assert promise is not None and promise.remind_at is not None
        return promise.remind_at, promise.notice_at, promise.due_at


@pytest.mark.nightly_on("sqlite")
def test_a_wish_that_comes_by_phone_stops_everybody(site: Site, visitor: OpenVisitor, it_is: ItIs) -> None:
    it_is(tuesday())
    customer, who = visitor(), "Theo Telefon"
    page = customer.page
    known = site.open_case(who, topic="rueckruf", phone_e164=f"+{DIALLED}", phone_shown=NUMBER)
    reference = known.reference
    customer.go(f"{known.status}/appointment")
    page.locator("[name=slot]").first.check()
    send(page)
    page.get_by_role("button", name="Termin vereinbaren").click()
    expect(page.get_by_role("status")).to_have_text("Ihr Termin ist vereinbart.")
    first = agreed(site, who)
    with site.reading() as session:
        name = session.get_one(Person, first.person_id).name

    # Shortly before its time the colleague has the list open, with the button. The customer phones the front desk.
    it_is(first.starts_at - SHORTLY)
    assert may_call(site, who) == {name}
    clerk, desk = at_desk(visitor, name), at_desk(visitor, OTHER)
    clerk.go("/staff/calls")
    expect(clerk.page.get_by_role("button", name="Anruf starten")).to_have_count(1)
    assert desk.go(f"/staff/cases/{reference}") == 200
    desk.page.click("#wish > summary")
    desk.page.check("[name=wish-contact][value=call_in]")
    desk.page.fill("#wish-text", "Sitzt noch im Zug.")
    desk.page.click("#wish button[type=submit]")
    expect(desk.page.get_by_role("status")).to_contain_text("Zur alten Zeit findet nichts statt")

    # Nobody can dial, on the list of before or a fresh one, now or when the time comes.
    assert disagreements(site, who) == []
    assert may_call(site, who) == set()
    assert (start(clerk.page), has_number(clerk.page)) == (409, False)
    assert forge(clerk, reference) == 409
    assert forge(desk, reference) == 409
    clerk.go("/staff/calls")
    expect(line_of(clerk.page, reference)).to_have_class("stage-on_hold")
    expect(line_of(clerk.page, reference).locator("button")).to_have_count(0)

    # The customer reads it in a letter, and chooses another time.
    frozen = site.mailbox.wait_for(reference, "appointment_frozen")
    customer.go(frozen.status_link)
    expect(page.locator("h1")).to_have_text(re.compile(f"^{name} meldet sich bis {MOMENT} wieder bei Ihnen$"))
    expect(page.locator(".appointment")).to_contain_text("Zu dieser Zeit ruft Sie niemand an")
    page.get_by_role("link", name="Zeit wählen").click()
    expect(page.locator("h1")).to_have_text("Neue Zeit wählen")
    page.locator("[name=slot]").last.check()
    send(page)
    page.get_by_role("button", name="Termin verschieben").click()
    expect(page.get_by_role("status")).to_have_text("Ihr Termin ist verschoben.")
    second = agreed(site, who)
    assert second.starts_at > first.starts_at
    assert in_letter(site.mailbox.wait_for(reference, "appointment_moved"))[:2] == ("REQUEST", stamp(second.starts_at))
    assert disagreements(site, who) == []

    # At the old time nobody calls; at the new one the colleague does.
    it_is(first.starts_at)
    assert forge(clerk, reference) == 409
    assert disagreements(site, who) == []
    it_is(second.starts_at)
    assert may_call(site, who) == {name}
    clerk = at_desk(visitor, name)
    clerk.go("/staff/calls")
    assert start(clerk.page) == 200
    expect(clerk.page.locator("main .number")).to_have_text(NUMBER)

"""Choosing, moving and calling off a time behind the status link, on both databases: what these pages decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import time_machine
import vobject
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal import db
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, closing, finding, on_hold, opening
from portal.cases.contacts import Contact
from portal.cases.drafting import Wish
from portal.cases.models import Case, Outcome, Topic
from portal.customers.models import Customer
from portal.journal.models import Entry, Kind
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.people.models import Absence
from portal.promises.models import Medium
from tests.pages import staff_desk
from tests.pages.staff_desk import actions, document, errors, form_with_action, values
from tests.support.dump import dump

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""
WEDNESDAY_NINE = "2026-11-25T09:00+01:00"
WEDNESDAY_TWO = "2026-11-25T14:00+01:00"
THURSDAY_TEN = "2026-11-26T10:00+01:00"
NUMBER, NUMBER_SHOWN = "+4989999989", "089 99 99 89"
OTHER_NUMBER, OTHER_NUMBER_SHOWN = "+498999998214", "089 99998-214"


@pytest.fixture(autouse=True)
def tuesday() -> Iterator[Any]:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@dataclass
class Page:
    """A customer's page in a browser without JavaScript."""

    app: Flask
    client: FlaskClient
    token: str
    case_id: int
    miriam: int
    jonas: int
    voss: int

    @property
    def address(self) -> str:
        return f"/s/{self.token}"

    def get(self, more: str = "/appointment", **query: str) -> TestResponse:
        return self.client.get(f"{self.address}{more}", query_string=query)

    def words(self, more: str = "/appointment", **query: str) -> str:
        return staff_desk.text(self.get(more, **query).text)

    def check(self, slot: str) -> dict[str, str]:
        """What the page that asks once more would send for a time."""
        page = self.get(slot=slot)
        assert page.status_code == 200, errors(page.text)
        return dict(values(form_with_action(page.text, f"{self.address}/appointment")))

    def send(self, data: dict[str, str], more: str = "/appointment") -> TestResponse:
        return self.client.post(f"{self.address}{more}", data=data)

    def take(self, slot: str, **changes: str) -> TestResponse:
        """Choose, check, and press the button."""
        return self.send(self.check(slot) | changes)

    def cancel(self, **changes: str) -> TestResponse:
        page = self.get("/appointment/cancel")
        data = dict(values(form_with_action(page.text, f"{self.address}/appointment/cancel")))
        return self.send(data | changes, "/appointment/cancel")

    def reachable(self, *parts: str, **changes: str) -> TestResponse:
        data = dict(values(form_with_action(self.get().text, f"{self.address}/reachable"))) | changes
        data.pop("parts", None)
        return self.client.post(f"{self.address}/reachable", data={**data, "parts": list(parts)})

    def do(self, rule: Callable[..., Any], *args: Any, now: datetime = NOW, **values: Any) -> None:
        """Let the domain do something."""
        with self.app.test_request_context(), db.writing() as session:
            rule(session, session.get_one(Case, self.case_id), *args, now=now, **values)

    def book(self, slot: str, *, case_id: int | None = None) -> None:
        with self.app.test_request_context(), db.writing() as session:
            case = session.get_one(Case, case_id or self.case_id)
            agreeing.book(session, case, starts_at=at(slot), by_id=None, now=NOW)

    def freeze(self) -> None:
        contact, version = Contact.CALL_IN, self.booked().version
        self.do(on_hold.wish, by_id=self.miriam, contact=contact, text="Lieber später.", version=version)

    def case(self) -> Case:
        with self.app.app_context(), db.reading() as session:
            return session.get_one(Case, self.case_id)

    def customer(self) -> Customer:
        with self.app.app_context(), db.reading() as session:
            return session.get_one(Case, self.case_id).customer

    def appointments(self) -> list[Appointment]:
        with self.app.app_context(), db.reading() as session:
            return list(session.scalars(select(Appointment).where(Appointment.case_id == self.case_id)))

    def booked(self) -> Appointment:
        return next(one for one in self.appointments() if one.state == AppointmentState.BOOKED)

    def kinds(self) -> list[Kind]:
        return [entry.kind for entry in self.entries()]

    def entries(self) -> list[Entry]:
        with self.app.app_context(), db.reading() as session:
            return list(session.scalars(select(Entry).where(Entry.case_id == self.case_id).order_by(Entry.id)))

    def letters(self, kind: LetterKind) -> int:
        with self.app.app_context(), db.reading() as session:
            return len(session.scalars(select(Letter).where(Letter.case_id == self.case_id, Letter.kind == kind)).all())

    def dump(self) -> str:
        with self.app.app_context():
            return dump(db.db.engine)

    def away(self, person_id: int, start: str, end: str, deputy_id: int | None = None) -> None:
        """Somebody is absent."""
        with self.app.app_context(), db.writing() as session:
            span = {"starts_at": at(start), "ends_at": at(end)}
            session.add(Absence(person_id=person_id, deputy_id=deputy_id, entered_by_id=self.miriam, **span))

    def other_case(self) -> int:
        """The case of another customer with the same person."""
        return open_case(self.app, "de")[1]


def at(slot: str) -> datetime:
    return datetime.fromisoformat(slot).astimezone(UTC)


def open_case(app: Flask, language: str, number: str | None = NUMBER) -> tuple[str, int]:
    """A fresh case for an offer with Miriam Albrecht: its link's secret, and its id."""
    with app.test_request_context(), db.writing() as session:
        topic = session.scalars(select(Topic).where(Topic.slug == "angebot")).one()
        shown = NUMBER_SHOWN if number else None
        wish = Wish(topic.id, "Sabine Krüger", "sabine@kunde.example", "Ein Angebot.", language, number, shown)
        submission = opening.accept(session, wish, key=new_secret(), body_hash="x", doubt=None, now=NOW)
        case = session.get_one(Case, submission.case_id)
        return finding.status_token(case), case.id


def offer(app: Flask, medium: Medium | None = Medium.CALL) -> None:
    """Calls of half an hour on the half hour, with nothing kept free around them."""
    with app.app_context(), db.writing() as session:
        topic = session.scalars(select(Topic).where(Topic.slug == "angebot")).one()
        topic.slot_medium, topic.slot_minutes, topic.slot_grid, topic.slot_before, topic.slot_after = (
            medium,
            30,
            30,
            0,
            0,
        )


@pytest.fixture
def page(app: Flask, client: FlaskClient, company: dict[str, int]) -> Page:
    """A case in German whose topic offers calls."""
    offer(app)
    token, case_id = open_case(app, "de")
    names = ("Miriam Albrecht", "Jonas Weidner", "Dr. Katharina Voss")
    return Page(app, client, token, case_id, *(company[name] for name in names))


@pytest.fixture
def english(page: Page) -> Page:
    """The same in English."""
    token, case_id = open_case(page.app, "en")
    return Page(page.app, page.client, token, case_id, page.miriam, page.jonas, page.voss)


def fieldsets(html: str) -> dict[str, list[str]]:
    """The labels of the radios of each group, by its legend."""
    groups: dict[str, list[str]] = {}
    for group in document(html).iter("fieldset"):
        labels = [words(label) for label in group.iter("label")]
        if any(field.get("type") == "radio" for field in group.iter("input")):
            groups[words(next(group.iter("legend")))] = labels
    return groups


def words(part: Element) -> str:
    return " ".join("".join(part.itertext()).split())


def slots(html: str) -> list[str]:
    return [field.get("value", "") for field in document(html).iter("input") if field.get("name") == "slot"]


def link(html: str, label: str) -> str | None:
    """Where the first link leads whose words begin so."""
    return next((a.get("href") for a in document(html).iter("a") if words(a).startswith(label)), None)


def heading(html: str) -> str:
    return words(next(document(html).iter("h1")))


# Choosing


def test_the_first_free_day_comes_first_and_each_time_reads_in_full(page: Page) -> None:
    groups = fieldsets(page.get().text)

    assert list(groups) == ["Dienstag, 24. November", "Mittwoch, 25. November"]
    assert groups["Dienstag, 24. November"][0] == "Dienstag, 24. November, 13:30 Uhr"  # four hours' notice
    assert [len(labels) for labels in groups.values()] == [6, 6]


def test_the_same_in_english(english: Page) -> None:
    html = english.get().text

    assert fieldsets(html)["Tuesday 24 November"][0] == "1:30 pm on Tuesday 24 November"
    assert "All times on this page are German time." in staff_desk.text(html)


def test_the_page_says_who_calls_whom_how_long_and_until_when_it_can_be_changed(page: Page) -> None:
    said = page.words()

    assert "Miriam Albrecht" in said
    assert "unter der Nummer an, die auf 89 endet" in said
    assert "30 Minuten" in said
    assert "Bis 2 Stunden vor Beginn können Sie den Termin hier verschieben oder absagen." in said
    assert "Sie können ihn bis zu 3-mal verschieben." in said
    assert "deutsche Zeit" in said
    assert NUMBER not in said
    assert NUMBER_SHOWN not in said


def test_a_visit_says_who_comes_and_asks_for_no_number(page: Page) -> None:
    offer(page.app, Medium.VISIT)

    assert "besucht Sie" in page.words()
    assert "phone" not in page.check(WEDNESDAY_NINE)


def test_more_days_and_all_times_of_a_day_are_a_link_away(page: Page) -> None:
    first = page.get().text

    later = page.client.get(link(first, "Weitere Tage") or "").text
    whole = page.client.get(link(first, "Alle Zeiten an diesem Tag") or "").text

    assert next(iter(fieldsets(later))) == "Donnerstag, 26. November"
    assert list(fieldsets(whole)) == ["Dienstag, 24. November"]
    assert slots(whole) == [
        f"2026-11-24T{hour}+01:00" for hour in ("13:30", "14:00", "14:30", "15:00", "15:30", "16:00", "16:30")
    ]
    assert link(whole, "Zurück zu allen Tagen") is not None


@pytest.mark.parametrize(
    "query",
    [
        {"from": "9999-12-31"},
        {"from": "0001-01-01"},
        {"from": "gestern"},
        {"from": "2026-02-30"},
        {"from": "2026-12-03" * 400},
        {"from": "2020-01-01"},
        {"day": "9999-12-31"},
        {"day": "0001-01-01"},
        {"day": "2099-12-31"},
        {"day": "2026-11-29"},
        {"day": "\x00"},
        {"day": "２０２６-12-03"},
        {"from": "x", "day": "y"},
    ],
)
def test_a_day_that_nobody_offered_shows_days_that_have_times(page: Page, query: dict[str, str]) -> None:
    answer = page.get(**query)

    assert answer.status_code == 200
    assert slots(answer.text)


def test_where_nothing_is_free_the_message_is_left(page: Page) -> None:
    for person_id in (page.miriam, page.jonas, page.voss):
        page.away(person_id, "2026-11-24T00:00+01:00", "2027-06-01T00:00+01:00")

    answer = page.get()

    assert answer.status_code == 200
    assert slots(answer.text) == []
    assert "In den Tagen, die sich hier ansehen lassen, ist keine Zeit frei." in staff_desk.text(answer.text)
    assert f"{page.address}/appointment/wish" in actions(answer.text)


def test_a_day_on_which_somebody_else_is_there_names_them_with_each_time(page: Page) -> None:
    page.away(page.miriam, "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00", page.jonas)

    html = page.get().text
    groups = fieldsets(html)

    assert "Wir rufen Sie unter der Nummer an, die auf 89 endet" in staff_desk.text(html)
    assert all(label.endswith(", mit Miriam Albrecht") for label in groups["Dienstag, 24. November"])
    assert all(label.endswith(", mit Jonas Weidner") for label in groups["Mittwoch, 25. November"])
    assert page.take(WEDNESDAY_NINE).status_code == 303
    assert page.booked().person_id == page.jonas


def test_an_agreed_time_of_somebody_else_leaves_no_name_to_the_times_in_general(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.away(page.miriam, "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00", page.jonas)
    said = page.words(**{"from": "2026-11-26"})

    assert "Bisher vereinbart: Jonas Weidner ruft Sie am Mittwoch, 25. November, 9 Uhr, an." in said
    assert "Wir rufen Sie unter der Nummer an" in said
    assert "Donnerstag, 26. November, 8 Uhr, mit Miriam Albrecht" in said


def test_while_it_is_on_hold_nobody_is_named_who_would_not_call(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.freeze()
    page.away(page.miriam, "2026-11-24T00:00+01:00", "2026-12-24T00:00+01:00", page.jonas)
    said = page.words()

    assert "Miriam Albrecht ruft Sie" not in said
    assert "Jonas Weidner ruft Sie unter der Nummer an" in said


def test_where_no_time_fits_a_message_goes_to_the_person(page: Page) -> None:
    html = page.get().text

    data = dict(values(form_with_action(html, f"{page.address}/appointment/wish"))) | {"message": "Nur abends."}
    first, second = page.send(data, "/appointment/wish"), page.send(data, "/appointment/wish")

    assert "089 99998-214" in staff_desk.text(html)
    assert first.status_code == second.status_code == 303
    assert first.location == second.location == f"{page.address}?done=message#main"
    assert [entry.text for entry in page.entries() if entry.kind == Kind.MESSAGE] == ["Nur abends."]
    assert page.customer().phone_e164 == NUMBER


def test_where_no_time_fits_the_number_to_call_is_taken_too_and_stands_in_no_entry(page: Page) -> None:
    token, case_id = open_case(page.app, "de", None)
    mute = Page(page.app, page.client, token, case_id, page.miriam, page.jonas, page.voss)
    form = form_with_action(mute.get().text, f"{mute.address}/appointment/wish")

    answer = mute.send({**values(form), "message": "Nur abends.", "phone": OTHER_NUMBER_SHOWN}, "/appointment/wish")

    assert answer.status_code == 303
    assert (mute.customer().phone_e164, mute.customer().phone_shown) == (OTHER_NUMBER, OTHER_NUMBER_SHOWN)
    assert [entry.text for entry in mute.entries()[-2:] if entry.kind == Kind.PHONE_GIVEN] == [""]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"message": " ", "phone": "089 99998-214"}, "Schreiben Sie uns, wann es Ihnen passt."),
        ({"message": "Nur abends.", "phone": "12"}, "Geben Sie eine Telefonnummer mit Vorwahl ein"),
    ],
)
def test_a_wish_that_lacks_something_stays_on_the_page_with_what_was_typed(
    page: Page, typed: dict[str, str], sentence: str
) -> None:
    before = page.dump()
    form = form_with_action(page.get(**{"from": "2026-12-03"}).text, f"{page.address}/appointment/wish")

    answer = page.send({**values(form), **typed}, "/appointment/wish")

    again = values(form_with_action(answer.text, f"{page.address}/appointment/wish"))
    assert answer.status_code == 422
    assert heading(answer.text) == "Zeit wählen"
    assert [one.startswith(sentence) for one in errors(answer.text)] == [True]
    assert (again["message"], again["phone"], again["from"]) == (typed["message"].strip(), typed["phone"], "2026-12-03")
    assert page.dump() == before


def test_a_visit_asks_for_no_number_where_no_time_fits(page: Page) -> None:
    offer(page.app, Medium.VISIT)

    assert "phone" not in values(form_with_action(page.get().text, f"{page.address}/appointment/wish"))


def test_to_go_on_without_a_choice_is_said(page: Page) -> None:
    answer = page.get(check="1")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Wählen Sie eine Zeit."]


def test_a_topic_without_times_and_a_closed_case_lead_to_the_status_page(page: Page) -> None:
    offer(page.app, None)
    nothing_offered = page.get()
    offer(page.app)
    page.do(closing.close, by_id=page.miriam, outcome=Outcome.DONE, text="Erledigt.")

    assert nothing_offered.location == page.address
    for more in ("/appointment", "/appointment/cancel", "/appointment.ics"):
        assert page.get(more).location == page.address


@pytest.mark.parametrize("more", ["/appointment", "/appointment/cancel", "/appointment.ics"])
def test_an_unknown_link_is_unknown_here_too(page: Page, more: str) -> None:
    assert page.client.get(f"/s/nobody{more}").status_code == 404


@pytest.mark.parametrize("more", ["/appointment", "/appointment/cancel", "/reachable"])
def test_an_unknown_link_changes_nothing(page: Page, more: str) -> None:
    before = page.dump()

    answer = page.client.post(f"/s/nobody{more}", data={"slot": WEDNESDAY_NINE, "key": new_secret(), "version": "1"})

    assert answer.status_code == 404
    assert page.dump() == before


# Booking


def test_choose_check_done(page: Page) -> None:
    before = page.dump()
    check = page.get(slot=WEDNESDAY_NINE)

    assert heading(check.text) == "Diesen Termin vereinbaren?"
    assert "Mittwoch, 25. November, 9 Uhr (MEZ)" in staff_desk.text(check.text)
    assert page.dump() == before

    answer = page.take(WEDNESDAY_NINE)

    assert answer.status_code == 303
    assert answer.location == f"{page.address}?done=appointment-booked#main"
    assert "Ihr Termin ist vereinbart." in staff_desk.text(page.client.get(answer.location).text)
    assert page.booked().starts_at == at(WEDNESDAY_NINE)
    assert page.case().appointment_id == page.booked().id


def test_a_double_click_books_once_and_gets_the_same_answer(page: Page) -> None:
    data = page.check(WEDNESDAY_NINE)

    first, second = page.send(data), page.send(data)

    assert first.status_code == second.status_code == 303
    assert first.location == second.location
    assert len(page.appointments()) == 1
    assert page.letters(LetterKind.APPOINTMENT_CONFIRMED) == 1


def test_a_time_taken_in_between_comes_back_with_alternatives_first(page: Page) -> None:
    data = page.check(WEDNESDAY_NINE)
    page.book(WEDNESDAY_NINE, case_id=page.other_case())
    before = page.dump()

    answer = page.send(data)

    assert answer.status_code == 409
    assert errors(answer.text) == [
        "Mittwoch, 25. November, 9 Uhr ist inzwischen vergeben. Bitte wählen Sie eine andere Zeit."
    ]
    groups = fieldsets(answer.text)
    assert next(iter(groups)) == "Die nächstgelegenen freien Zeiten"
    assert slots(answer.text)[:3] == ["2026-11-25T08:00+01:00", "2026-11-25T08:30+01:00", "2026-11-25T09:30+01:00"]
    assert len(slots(answer.text)) == len(set(slots(answer.text))) == 12
    assert page.dump() == before


def test_a_number_typed_before_a_time_was_lost_is_there_on_the_next_page(page: Page) -> None:
    data = page.check(WEDNESDAY_NINE) | {"phone": OTHER_NUMBER_SHOWN}
    page.book(WEDNESDAY_NINE, case_id=page.other_case())

    taken = page.send(data)
    along = dict(values(form_with_action(taken.text, f"{page.address}/appointment#main")))
    later = page.client.post(f"{page.address}/appointment?from=2026-12-03", data=along)
    choose = dict(values(form_with_action(later.text, f"{page.address}/appointment")))
    nothing = page.send(choose)
    check = page.send(choose | {"slot": "2026-12-03T10:00+01:00"})
    done = page.send(dict(values(form_with_action(check.text, f"{page.address}/appointment"))))

    assert [answer.status_code for answer in (taken, later, nothing, check, done)] == [409, 200, 422, 200, 303]
    assert next(iter(fieldsets(later.text))) == "Donnerstag, 3. Dezember"
    assert errors(nothing.text) == ["Wählen Sie eine Zeit."]
    assert heading(check.text) == "Diesen Termin vereinbaren?"
    assert "99998" not in "".join(
        a.get("href", "") for a in document(taken.text).iter("a") if "tel:" not in a.get("href", "")
    )
    assert page.customer().phone_shown == OTHER_NUMBER_SHOWN


def test_without_a_number_typed_nothing_is_taken_along(page: Page) -> None:
    page.book(WEDNESDAY_NINE, case_id=page.other_case())
    html = page.get(slot=WEDNESDAY_NINE).text

    assert f"{page.address}/appointment#main" not in actions(html)
    assert link(html, "Weitere Tage") is not None


def test_what_changed_meanwhile_asks_nobody_to_check_their_details(page: Page) -> None:
    data = page.check(WEDNESDAY_NINE)
    mistyped = page.send(data | {"phone": "12"})
    page.book(WEDNESDAY_NINE, case_id=page.other_case())
    taken = page.send(data)

    assert "Bitte prüfen Sie Ihre Angaben" in staff_desk.text(mistyped.text)
    assert "Bitte prüfen Sie Ihre Angaben" not in staff_desk.text(taken.text)


def test_a_taken_time_is_said_before_the_button_too(page: Page) -> None:
    page.book(WEDNESDAY_NINE, case_id=page.other_case())

    answer = page.get(slot=WEDNESDAY_NINE)

    assert answer.status_code == 409
    assert errors(answer.text)[0].startswith("Mittwoch, 25. November, 9 Uhr ist inzwischen vergeben")


def test_the_days_shown_are_kept_when_a_time_is_taken(page: Page) -> None:
    check = page.get(slot="2026-12-03T10:00+01:00", **{"from": "2026-12-03"})
    data = dict(values(form_with_action(check.text, f"{page.address}/appointment")))
    page.book("2026-12-03T10:00+01:00", case_id=page.other_case())

    answer = page.send(data)

    assert list(fieldsets(answer.text))[1] == "Donnerstag, 3. Dezember"


@pytest.mark.parametrize(
    "slot",
    [
        "2026-11-25T09:10+01:00",
        "2026-11-29T10:00+01:00",
        "2027-03-01T10:00+01:00",
        "2026-11-23T10:00+01:00",
        "2099-11-25T09:00+01:00",
        "2000-01-01T00:00Z",
    ],
)
def test_a_time_that_is_not_offered_is_refused(page: Page, slot: str) -> None:
    data = page.check(WEDNESDAY_NINE) | {"slot": slot}
    before = page.dump()

    for answer in (page.get(slot=slot), page.send(data)):
        assert answer.status_code == 409
        assert errors(answer.text) == ["Diese Zeit lässt sich nicht wählen. Bitte nehmen Sie eine der gezeigten."]
    assert page.dump() == before


@pytest.mark.parametrize(
    "slot",
    [
        *("", "x", "2026-11-25", "2026-11-25T09:00", "2026-W48-3T09:00Z", "9999-12-31T23:59-14:00", "\x00", "1e309"),
        *("0001-01-01T00:00+14:00", "2026-11-25T09:00+99:00", "2026-11-25T25:00+01:00", "２０26-11-25T09:00Z"),
        *("2026-11-25T09:00+01:00" * 400, "<script>alert(1)</script>"),
    ],
)
def test_what_is_no_time_is_refused_with_a_sentence(page: Page, slot: str) -> None:
    data = page.check(WEDNESDAY_NINE) | {"slot": slot}
    before = page.dump()

    for answer in (page.get(slot=slot), page.send(data)):
        assert answer.status_code == 422
        assert errors(answer.text) == [
            "Das ist keine Zeit, die sich wählen lässt. Bitte nehmen Sie eine der gezeigten."
        ]
        assert "<script>alert" not in answer.text
    assert page.dump() == before


def test_a_form_without_anything_is_refused(page: Page) -> None:
    before = page.dump()

    assert page.send({}).status_code == 422
    assert page.send({}, "/appointment/cancel").status_code == 409
    assert page.dump() == before


# The number


def test_a_call_needs_a_number(page: Page) -> None:
    token, case_id = open_case(page.app, "de", None)
    mute = Page(page.app, page.client, token, case_id, page.miriam, page.jonas, page.voss)

    missing = mute.take(WEDNESDAY_NINE)
    wrong = mute.take(WEDNESDAY_NINE, phone="12")
    given = mute.take(WEDNESDAY_NINE, phone=OTHER_NUMBER_SHOWN)

    assert missing.status_code == wrong.status_code == 422
    assert errors(missing.text) == ["Geben Sie die Telefonnummer ein, unter der wir Sie anrufen sollen."]
    assert errors(wrong.text)[0].startswith("Geben Sie eine Telefonnummer mit Vorwahl ein")
    assert dict(values(form_with_action(wrong.text, f"{mute.address}/appointment")))["phone"] == "12"
    assert dict(values(form_with_action(wrong.text, f"{mute.address}/appointment")))["slot"] == WEDNESDAY_NINE
    assert given.status_code == 303
    assert (mute.customer().phone_e164, mute.customer().phone_shown) == (OTHER_NUMBER, OTHER_NUMBER_SHOWN)


def test_another_number_is_noted_without_the_number(page: Page) -> None:
    page.take(WEDNESDAY_NINE, phone=OTHER_NUMBER_SHOWN)

    entry = next(entry for entry in page.entries() if entry.kind == Kind.PHONE_GIVEN)
    assert page.customer().phone_e164 == OTHER_NUMBER
    assert entry.facts == {}
    assert entry.text == ""
    assert "14" in page.words()


def test_another_number_for_the_time_that_stays_is_said(page: Page) -> None:
    page.book(WEDNESDAY_NINE)

    answer = page.take(WEDNESDAY_NINE, phone=OTHER_NUMBER_SHOWN)

    said = staff_desk.text(page.client.get(answer.location).text)
    assert "Der Termin bleibt, wie er ist. Wir rufen Sie unter der Nummer an, die auf 14 endet." in said


@pytest.mark.parametrize("phone", ["\x00", "+49 900 1 234567", "x" * 41, "089 1\r\nBcc: x@y.example"])
def test_a_number_that_we_would_not_call_changes_nothing(page: Page, phone: str) -> None:
    data = page.check(WEDNESDAY_NINE) | {"phone": phone}
    before = page.dump()

    answer = page.send(data)

    assert answer.status_code == 422
    assert page.dump() == before


# Moving


def test_a_move_shows_before_and_after_and_the_old_time_stays_until_the_button(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    choose, check = page.words(), page.words(slot=THURSDAY_TEN)

    assert WEDNESDAY_NINE not in slots(page.get(day="2026-11-25").text)
    assert "Das gilt, bis Sie eine andere Zeit bestätigt haben." in choose
    assert "Bisher Mittwoch, 25. November, 9 Uhr (MEZ) Neu Donnerstag, 26. November, 10 Uhr (MEZ)" in check
    assert "Verschieben können Sie ihn hier dann noch 2-mal." in check
    assert page.booked().starts_at == at(WEDNESDAY_NINE)

    answer = page.take(THURSDAY_TEN)

    assert answer.location == f"{page.address}?done=appointment-moved#main"
    assert [(one.starts_at, one.customer_moves) for one in page.appointments()] == [(at(THURSDAY_TEN), 1)]


def test_the_old_time_can_be_chosen_again(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.take(THURSDAY_TEN)

    assert WEDNESDAY_NINE in slots(page.get(day="2026-11-25").text)
    assert page.take(WEDNESDAY_NINE).location == f"{page.address}?done=appointment-moved#main"


def test_to_choose_the_time_that_stands_changes_nothing(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    version, kinds = page.booked().version, page.kinds()

    answer = page.take(WEDNESDAY_NINE)

    assert answer.location == f"{page.address}?done=appointment-stays#main"
    assert (page.booked().version, page.kinds()) == (version, kinds)


def test_a_stale_form_is_told_what_stands_now(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    stale = page.check(THURSDAY_TEN)
    page.take(WEDNESDAY_TWO)
    before = page.dump()

    answer = page.send(stale)

    assert answer.status_code == 409
    assert errors(answer.text) == ["Der Termin hat sich inzwischen geändert. Diese Seite zeigt, was jetzt gilt."]
    assert "Mittwoch, 25. November, 14 Uhr" in staff_desk.text(answer.text)
    assert page.dump() == before


def test_a_form_for_the_first_time_is_stale_once_one_stands(page: Page) -> None:
    stale = page.check(THURSDAY_TEN)
    page.book(WEDNESDAY_NINE)

    assert page.send(stale).status_code == 409
    assert len(page.appointments()) == 1


def test_a_form_that_moves_what_was_called_off_says_so(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    stale = page.check(THURSDAY_TEN)
    page.cancel()

    answer = page.send(stale)

    assert answer.status_code == 409
    assert errors(answer.text) == ["Es gibt keinen Termin mehr, der sich ändern ließe."]


def test_a_form_sent_after_closing_leads_to_the_status_page_with_a_sentence(page: Page) -> None:
    data = page.check(THURSDAY_TEN)
    page.do(closing.close, by_id=page.miriam, outcome=Outcome.DONE, text="Erledigt.")

    answer = page.send(data)

    assert answer.status_code == 409
    assert heading(answer.text) == "Ihr Anliegen ist abgeschlossen"


@pytest.mark.parametrize("version", ["", "0", "-1", "x", "99999999999999999999", "1e3"])
def test_a_version_nobody_was_shown_moves_nothing(page: Page, version: str) -> None:
    page.book(WEDNESDAY_NINE)
    data = page.check(THURSDAY_TEN) | {"version": version}

    assert page.send(data).status_code == 409
    assert page.booked().starts_at == at(WEDNESDAY_NINE)


def test_too_close_to_it_the_phone_is_left(page: Page, tuesday: Any) -> None:
    page.book(WEDNESDAY_NINE)
    data = page.check(THURSDAY_TEN)
    tuesday.move_to(at(WEDNESDAY_NINE) - timedelta(hours=2))

    answer, choose, cancel = page.send(data), page.get(), page.get("/appointment/cancel")

    sentence = "So kurz vor dem Termin lässt er sich hier nicht mehr ändern. Bitte rufen Sie uns an."
    assert answer.status_code == 409
    assert errors(answer.text) == [sentence]
    assert choose.status_code == cancel.status_code == 200
    assert sentence in staff_desk.text(choose.text)
    assert slots(choose.text) == []
    assert f"{page.address}/appointment/cancel" not in actions(cancel.text)
    assert "089 99998-214" in staff_desk.text(cancel.text)
    for html in (answer.text, choose.text, cancel.text, page.send({"version": "1"}, "/appointment/cancel").text):
        assert staff_desk.text(html).count(sentence) == 1
        assert "Miriam Albrecht ist für Sie da: 089 99998-214" in staff_desk.text(html)
        assert "Bitte rufen Sie an:" not in staff_desk.text(html)


def test_after_three_moves_the_phone_is_left_but_cancelling_goes_on(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    for slot in (THURSDAY_TEN, WEDNESDAY_TWO, WEDNESDAY_NINE):
        assert page.take(slot).status_code == 303

    answer = page.get(slot=THURSDAY_TEN)

    assert answer.status_code == 409
    assert errors(answer.text) == ["Öfter lässt sich der Termin hier nicht verschieben. Bitte rufen Sie uns an."]
    assert page.cancel().status_code == 303


def test_once_it_has_begun_there_is_nothing_to_choose(page: Page, tuesday: Any) -> None:
    page.book(WEDNESDAY_NINE)
    tuesday.move_to(at(WEDNESDAY_NINE))

    for more in ("/appointment", "/appointment/cancel", "/appointment.ics"):
        assert page.get(more).location == page.address


# On hold


def test_a_time_on_hold_can_be_kept_after_all(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.freeze()
    html = page.get().text

    keep = page.client.get(link(html, "Doch bei Mittwoch, 25. November, 9 Uhr bleiben") or "").text
    answer = page.send(dict(values(form_with_action(keep, f"{page.address}/appointment"))))

    assert heading(keep) == "Bei diesem Termin bleiben?"
    assert answer.location == f"{page.address}?done=appointment-stays#main"
    assert page.booked().change_wished_at is None
    assert page.kinds()[-1] == Kind.APPOINTMENT_STAYS


def test_a_time_on_hold_can_be_replaced_and_that_is_no_move_of_the_customers(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.freeze()

    assert "Verschieben können Sie ihn hier dann noch 3-mal." in page.words(slot=THURSDAY_TEN)
    assert page.take(THURSDAY_TEN).location == f"{page.address}?done=appointment-moved#main"
    assert page.booked().customer_moves == 0


def test_a_time_on_hold_that_nobody_can_keep_is_not_offered(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    page.freeze()
    page.away(page.miriam, "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00", page.jonas)
    page.away(page.jonas, "2026-11-25T00:00+01:00", "2026-11-26T00:00+01:00", None)

    found = link(page.get().text, "Doch bei Mittwoch, 25. November, 9 Uhr bleiben")

    assert found is None


# Calling off


def test_cancelling_asks_once_and_says_what_comes_then(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    html = page.get("/appointment/cancel").text

    assert heading(html) == "Termin absagen?"
    assert "Wie es dann weitergeht: Miriam Albrecht" in staff_desk.text(html)
    assert link(html, "Zurück, Termin behalten") == page.address
    assert link(html, "Neue Zeit wählen") == f"{page.address}/appointment"
    assert link(html, "Vorgang abschließen") == f"{page.address}/close"

    said = staff_desk.text(html).partition("Wie es dann weitergeht: ")[2].partition(". ")[0]
    answer = page.cancel(reason="Hat sich verschoben.")

    assert answer.location == f"{page.address}?done=appointment-cancelled#main"
    assert [one.state for one in page.appointments()] == [AppointmentState.CANCELLED]
    entry = next(entry for entry in page.entries() if entry.kind == Kind.APPOINTMENT_CANCELLED)
    assert entry.text == "Hat sich verschoben."
    assert said.partition(". ")[0] in page.words("")


def test_a_reason_has_its_room(page: Page) -> None:
    page.book(WEDNESDAY_NINE)

    long = page.cancel(reason="x" * 501)

    assert long.status_code == 422
    assert dict(values(form_with_action(long.text, f"{page.address}/appointment/cancel")))["reason"] == "x" * 501
    assert page.cancel(reason="x" * 500).status_code == 303


def test_a_double_click_calls_off_once(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    data = dict(values(form_with_action(page.get("/appointment/cancel").text, f"{page.address}/appointment/cancel")))

    first, second = page.send(data, "/appointment/cancel"), page.send(data, "/appointment/cancel")

    assert (first.status_code, first.location) == (second.status_code, second.location)
    assert first.status_code == 303
    assert page.kinds().count(Kind.APPOINTMENT_CANCELLED) == 1


def test_a_stale_cancel_shows_what_stands_now(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    stale = dict(values(form_with_action(page.get("/appointment/cancel").text, f"{page.address}/appointment/cancel")))
    page.take(THURSDAY_TEN)

    answer = page.send(stale | {"reason": "Passt nicht."}, "/appointment/cancel")

    assert answer.status_code == 409
    assert "Donnerstag, 26. November, 10 Uhr" in staff_desk.text(answer.text)
    assert dict(values(form_with_action(answer.text, f"{page.address}/appointment/cancel")))["reason"] == "Passt nicht."
    assert page.booked().starts_at == at(THURSDAY_TEN)


# When they can be reached


def test_what_suits_comes_first_and_is_marked(page: Page) -> None:
    answer = page.reachable("afternoon", "midday", **{"from": "2026-11-25"})
    html = page.client.get(answer.location).text

    assert answer.location == f"{page.address}/appointment?done=reachable&from=2026-11-25#main"
    assert "Danke. Zeiten, die Ihnen passen, stehen jetzt vorn." in staff_desk.text(html)
    assert page.case().reachable == "midday,afternoon"
    assert page.entries()[-1].facts == {"parts": "midday,afternoon"}
    assert all(at(slot).hour >= 11 for slot in slots(html)[:6])  # in UTC
    assert staff_desk.text(html).count("passt zu Ihrer Angabe") == 12
    ticked = [field.get("value") for field in document(html).iter("input") if field.get("checked") is not None]
    assert ticked == ["midday", "afternoon"]


def test_where_few_times_suit_others_follow_them(page: Page) -> None:
    page.reachable("midday")

    groups = fieldsets(page.get(**{"from": "2026-11-25"}).text)

    hours = [label.partition("November, ")[2] for label in groups["Mittwoch, 25. November"]]
    assert hours[:4] == ["12 Uhr", "12:30 Uhr", "13 Uhr", "13:30 Uhr"]
    assert hours[4:] == ["8 Uhr", "16:30 Uhr"]


def test_to_say_the_same_again_changes_nothing(page: Page) -> None:
    page.reachable("morning")
    kinds = page.kinds()

    answer = page.reachable("morning", "nonsense", "\x00")

    assert answer.status_code == 303
    assert page.kinds() == kinds
    assert page.case().reachable == "morning"


def test_it_can_be_taken_back(page: Page) -> None:
    page.reachable("morning")
    page.reachable()

    assert page.case().reachable == ""


# The calendar file


def test_the_calendar_file_is_one_appointment_without_a_method_or_a_number(page: Page) -> None:
    page.book(WEDNESDAY_NINE)

    answer = page.get("/appointment.ics")

    calendar = vobject.readOne(answer.text)
    assert answer.mimetype == "text/calendar"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{page.case().reference.lower()}.ics"'
    assert calendar.vevent.dtstart.value == at(WEDNESDAY_NINE)
    assert calendar.vevent.uid.value == page.booked().uid
    assert "METHOD" not in answer.text
    assert "ATTENDEE" not in answer.text
    assert NUMBER not in answer.text
    assert page.token not in answer.text
    assert page.get("/appointment.ics").data == answer.data


def test_there_is_no_file_of_a_time_that_does_not_stand(page: Page) -> None:
    none = page.get("/appointment.ics")
    page.book(WEDNESDAY_NINE)
    page.freeze()

    assert none.location == page.get("/appointment.ics").location == page.address


# How often


def test_more_changes_than_anybody_needs_are_refused_with_everything_kept(page: Page, tuesday: Any) -> None:
    for _ in range(5):
        assert page.take(WEDNESDAY_NINE).status_code == 303
        assert page.cancel().status_code == 303
    before = page.dump()

    refused = page.take(WEDNESDAY_NINE, phone=OTHER_NUMBER_SHOWN)

    sent = dict(values(form_with_action(refused.text, f"{page.address}/appointment")))
    sentence = "Der Termin wurde hier in kurzer Zeit viele Male geändert."
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert errors(refused.text)[0].startswith(sentence)
    assert (sent["slot"], sent["phone"]) == (WEDNESDAY_NINE, OTHER_NUMBER_SHOWN)
    assert page.reachable("morning").status_code == 429
    assert page.dump() == before
    tuesday.shift(timedelta(hours=1))
    assert page.take(WEDNESDAY_NINE).status_code == 303


def test_a_cancel_that_comes_too_often_says_so_on_its_own_page(page: Page) -> None:
    for _ in range(5):
        page.reachable("morning")
        page.reachable()
    page.book(WEDNESDAY_NINE)

    answer = page.cancel(reason="Krank.")

    assert answer.status_code == 429
    assert "Retry-After" in answer.headers
    assert heading(answer.text) == "Termin absagen?"
    assert dict(values(form_with_action(answer.text, f"{page.address}/appointment/cancel")))["reason"] == "Krank."
    assert page.booked().starts_at == at(WEDNESDAY_NINE)


def test_what_changes_nothing_or_is_refused_counts_for_nothing(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    for _ in range(12):
        assert page.take(WEDNESDAY_NINE).status_code == 303
        assert page.send(page.check(THURSDAY_TEN) | {"version": "9"}).status_code == 409

    assert page.take(THURSDAY_TEN).status_code == 303


def test_another_customer_of_the_same_network_is_not_counted(page: Page, english: Page) -> None:
    for _ in range(5):
        page.reachable("morning")
        page.reachable()

    assert english.take(WEDNESDAY_NINE).status_code == 303


# Reading


def test_reading_any_of_it_changes_nothing(page: Page) -> None:
    page.book(WEDNESDAY_NINE)
    before = page.dump()

    for more in ("/appointment", f"/appointment?slot={THURSDAY_TEN}", "/appointment/cancel", "/appointment.ics"):
        for method in ("GET", "HEAD"):
            assert page.client.open(f"{page.address}{more}", method=method).status_code < 500
    assert page.dump() == before


def test_the_pages_speak_the_cases_language(english: Page) -> None:
    choose, check = english.get().text, english.get(slot=WEDNESDAY_NINE).text
    english.take(WEDNESDAY_NINE)
    cancel = english.get("/appointment/cancel").text

    assert heading(choose) == "Choose a time"
    assert heading(check) == "Book this appointment?"
    assert heading(cancel) == "Cancel the appointment?"
    assert all('<html lang="en">' in html for html in (choose, check, cancel))

"""A time chosen with the form: what is shown, what is refused, and what the thank-you page says of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select
from werkzeug.test import TestResponse

from portal import db
from portal.appointments.models import Appointment
from portal.cases import drafting, opening
from portal.cases.errors import SlotTaken
from portal.cases.models import Case, CaseState, Topic
from portal.customers.models import Account, Customer
from portal.journal.models import Entry, Kind
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.pages.contact import views
from portal.people.models import Hours, Person
from portal.promises.models import Promise
from tests.pages.staff_desk import document, errors, form_with_action, text, values
from tests.support.cast import berlin, read, statements

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""
THURSDAY_TEN = berlin("2026-11-26 10:00")
TEN = "2026-11-26T10:00+01:00"
NUMBER = "0171 3920042"
TYPED = {
    "topic": "angebot",
    "name": "Sabine Krüger",
    "email": "sabine@kunde.example",
    "message": "Wir brauchen ein Angebot.",
    "phone": NUMBER,
}

Send = Callable[..., TestResponse]


@pytest.fixture(autouse=True)
def tuesday() -> Any:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def send(client: FlaskClient, company: dict[str, int]) -> Send:
    """Open the form in German and send it with a time on Thursday at ten, with some fields changed."""

    def send_form(token: str | None = None, **changes: Any) -> TestResponse:
        data = {**values(form_of(client.get("/contact?lang=de").text)), **TYPED, "slot": TEN, **changes}
        if token is not None:
            data["csrf_token"] = token
        return client.post("/contact?lang=de", data=data)

    return send_form


def form_of(html: str) -> Element:
    return form_with_action(html, "/contact?lang=de")


def token_of(client: FlaskClient) -> str:
    return values(form_of(client.get("/contact?lang=de").text))["csrf_token"]


def groups(html: str) -> dict[str, Element]:
    """What each topic offers, by topic."""
    return {found: part for part in document(html).iter("fieldset") if (found := part.get("data-times")) is not None}


def labels(group: Element) -> list[str]:
    return [" ".join("".join(label.itertext()).split()) for label in group.iter("label")]


def slots(group: Element) -> list[str]:
    return [radio.get("value", "") for radio in group.iter("input")]


def days(group: Element) -> list[str]:
    """The headings of its days."""
    return [
        "".join(legend.itertext())
        for day in group.iter("fieldset")
        if day is not group
        for legend in day.iter("legend")
    ]


def chosen(html: str) -> list[str]:
    """The checked times of the whole form."""
    radios = [one for one in form_of(html).iter("input") if one.get("name") == "slot"]
    return [one.get("value", "") for one in radios if one.get("checked") is not None]


def agreed(app: Flask) -> list[datetime]:
    with app.app_context(), db.reading() as session:
        return list(session.scalars(select(Appointment.starts_at).order_by(Appointment.id)))


def cases(app: Flask) -> int:
    with app.app_context(), db.reading() as session:
        return session.scalar(select(func.count()).select_from(Case)) or 0


def everybody_gives_it_away(app: Flask, at: datetime = THURSDAY_TEN) -> int:
    """Whoever could call at that time has somebody else to call; how many they are."""
    with app.app_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
        for number in range(9):
            email = f"e{number}@andere.example"
            wish = drafting.Wish(topic_id, "Erwin", email, "Bitte", "de", "+491713920043", slot=at)
            try:
                opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=NOW)
            except SlotTaken:
                return number
    raise AssertionError("the time was never taken")


# The page


def test_each_topic_that_offers_times_shows_its_first_ones_in_full(
    client: FlaskClient, company: dict[str, int]
) -> None:
    offered = groups(client.get("/contact?lang=de").text)

    assert set(offered) == {"angebot", "rueckruf", "technik"}
    none, *first = labels(offered["angebot"])
    assert none == "Keine feste Zeit: Antwort bis Mittwoch, 25. November, 16:30 Uhr"
    assert len(first) == 6
    assert all(re.fullmatch(r"[A-Z][a-z]+, \d{1,2}\. (November|Dezember), \d{1,2}(:\d\d)? Uhr", one) for one in first)
    assert labels(offered["rueckruf"])[0].startswith("Keine feste Zeit: Anruf bis ")


def test_what_a_radio_sends_is_the_start_with_its_offset_in_order(client: FlaskClient, company: dict[str, int]) -> None:
    none, *starts = slots(groups(client.get("/contact?lang=de").text)["angebot"])

    assert none == ""
    assert all(re.fullmatch(r"2026-1[12]-\d\dT\d\d:\d\d\+01:00", one) for one in starts)
    assert starts == sorted(starts)


def test_a_call_says_on_which_number_and_a_visit_does_not(client: FlaskClient, company: dict[str, int]) -> None:
    offered = groups(client.get("/contact?lang=de").text)

    call, visit = ("".join(offered[slug].itertext()) for slug in ("angebot", "technik"))
    assert "Zeit für den Anruf" in call
    assert "unter der Nummer an, die Sie weiter unten angeben" in call
    assert "Zeit für den Besuch" in visit
    assert "Nummer" not in visit
    assert "Bitte schreiben Sie Straße und Ort des Besuchs in Ihre Nachricht." in visit
    assert "Straße" not in call


def test_times_stand_under_their_day_the_first_free_one_first(client: FlaskClient, company: dict[str, int]) -> None:
    group = groups(client.get("/contact?lang=de").text)["angebot"]

    assert days(group) == ["Dienstag, 24. November", "Mittwoch, 25. November", "Donnerstag, 26. November"]
    for day in (part for part in group.iter("fieldset") if part is not group):
        title = "".join(next(day.iter("legend")).itertext())
        assert [label.startswith(f"{title}, ") for label in labels(day)] == [True, True]


def test_further_days_come_with_everything_typed_and_nothing_is_sent(app: Flask, send: Send) -> None:
    answer = send(more="12", email="", company="Krüger GmbH", attachments=(BytesIO(b"%PDF-1.4 eins"), "plan.pdf"))

    group, kept = groups(answer.text)["angebot"], values(form_of(answer.text))
    assert (answer.status_code, errors(answer.text), cases(app)) == (200, [], 0)
    assert len(days(group)) == 6
    assert (kept["message"], kept["company"], kept["slot"]) == (TYPED["message"], "Krüger GmbH", TEN)
    assert "plan.pdf" in answer.text
    assert len(days(groups(send(kept["csrf_token"], shown="12", email="").text)["angebot"])) == 6


@pytest.mark.parametrize("more", ["", "0", "-1", "x", "99999", "30"])
def test_whatever_is_asked_for_there_is_a_most(send: Send, more: str) -> None:
    answer = send(more=more)

    assert answer.status_code == 200
    assert 6 <= len(slots(groups(answer.text)["angebot"])) - 1 <= 31


def test_at_most_the_status_page_is_left(send: Send) -> None:
    group = groups(send(more="30").text)["angebot"]

    assert "Weitere Zeiten finden Sie nach dem Absenden auf Ihrer Statusseite." in "".join(group.itertext())
    assert list(group.iter("button")) == []


def test_the_first_button_sends_so_that_enter_does(client: FlaskClient, company: dict[str, int]) -> None:
    first = next(form_of(client.get("/contact?lang=de").text).iter("button"))

    assert first.get("name") is None


def test_whoever_alone_can_call_is_named(app: Flask, client: FlaskClient, company: dict[str, int]) -> None:
    several = "".join(groups(client.get("/contact?lang=de").text)["angebot"].itertext())
    with app.app_context(), db.writing() as session:
        alone = session.get_one(Person, company["Miriam Albrecht"])
        others = session.scalars(select(Person).where(Person.team_id == alone.team_id, Person.id != alone.id))
        for other in others:
            other.answers = False
    named = "".join(groups(client.get("/contact?lang=de").text)["angebot"].itertext())

    assert "Wir rufen Sie unter der Nummer an, die Sie weiter unten angeben." in several
    assert "Miriam Albrecht ruft Sie unter der Nummer an, die Sie weiter unten angeben." in named


def test_no_time_is_chosen_for_anybody(client: FlaskClient, company: dict[str, int]) -> None:
    assert chosen(client.get("/contact?lang=de").text) == []


def test_a_topic_without_hours_or_times_shows_none_and_the_page_comes(
    app: Flask, client: FlaskClient, company: dict[str, int]
) -> None:
    with app.app_context(), db.writing() as session:
        session.execute(delete(Hours).where(Hours.person_id.is_not(None)))

    page = client.get("/contact?lang=de")

    assert page.status_code == 200
    assert groups(page.text) == {}


@pytest.mark.parametrize("on", [datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2029, 12, 28, 8, tzinfo=UTC)])
def test_the_page_comes_where_the_holiday_table_ends_within_the_horizon(
    client: FlaskClient, company: dict[str, int], tuesday: Any, on: datetime
) -> None:
    tuesday.move_to(on)

    assert client.get("/contact?lang=de").status_code == 200


def test_topics_in_a_list_show_all_times_under_their_names(
    app: Flask, client: FlaskClient, company: dict[str, int]
) -> None:
    with app.app_context(), db.writing() as session:
        model = session.scalars(select(Topic)).first()
        assert model is not None
        row = {"team_id": model.team_id, "level_id": model.level_id, "medium": model.medium}
        session.add(Topic(slug="sonstiges", name_de="Sonstiges", name_en="Else", position=99, **row))

    offered = groups(client.get("/contact?lang=de").text)

    assert [one.get("data-choice") for one in offered.values()] == [None] * 3
    legend = offered["angebot"].find("legend")
    assert legend is not None
    assert "".join(legend.itertext()).startswith("Angebot anfragen: Zeit für den Anruf")


def test_the_page_asks_the_database_little(app: Flask, client: FlaskClient, company: dict[str, int]) -> None:
    """One look at each calendar, and who is least busy, for each topic that offers times."""
    client.get("/contact")
    with app.app_context(), statements() as seen:
        client.get("/contact")

    assert len([one for one in seen if one.lstrip().upper().startswith("SELECT")]) <= 14


# Sending


def test_a_chosen_time_is_agreed(app: Flask, send: Send) -> None:
    assert send().status_code == 303
    assert agreed(app) == [THURSDAY_TEN]


@pytest.mark.parametrize("same", ["2026-11-26T09:00:00Z", "2026-11-26T10:00:00+01:00", "2026-11-26T14:30+05:30"])
def test_the_same_instant_however_it_is_written_is_the_same_time(app: Flask, send: Send, same: str) -> None:
    assert send(slot=same).status_code == 303
    assert agreed(app) == [THURSDAY_TEN]


def test_without_a_time_there_is_a_promise_as_before(app: Flask, send: Send) -> None:
    assert send(slot="").status_code == 303
    assert agreed(app) == []


@pytest.mark.parametrize("phone", ["", " "])
def test_a_call_at_a_time_needs_a_number(app: Flask, send: Send, phone: str) -> None:
    answer = send(phone=phone)

    assert answer.status_code == 422
    assert errors(answer.text) == ["Geben Sie die Telefonnummer ein, unter der wir Sie anrufen sollen."]
    assert (chosen(answer.text), cases(app)) == ([TEN], 0)


def test_a_visit_needs_no_number(app: Flask, client: FlaskClient, send: Send) -> None:
    _, first, *_ = slots(groups(client.get("/contact?lang=de").text)["technik"])

    assert send(topic="technik", phone="", slot=first).status_code == 303
    assert len(agreed(app)) == 1


@pytest.mark.parametrize(
    "slot",
    [
        "morgen um zehn",
        "2026-11-26T10:00",
        "2026-11-26 10:00+01:00",
        "0001-01-01T00:00+00:00",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-12:00",
        "2026-13-45T10:00+01:00",
        "2026-11-26T10:00+99:99",
        "٢٠٢٦-١١-٢٦T١٠:٠٠+٠١:٠٠",
        "2026-11-26T10:00+01:00\x00",
        "2026-W48-4T10:00+01:00",
        "9" * 5000,
        "<script>alert(1)</script>",
    ],
)
def test_what_is_no_time_is_refused_at_the_field_and_nothing_typed_is_lost(app: Flask, send: Send, slot: str) -> None:
    answer = send(slot=slot, company="Krüger GmbH")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Diese Zeit lässt sich nicht lesen. Bitte wählen Sie eine der angezeigten."]
    kept = values(form_of(answer.text))
    assert {name: kept[name] for name in TYPED} == TYPED
    assert (kept["company"], kept["slot"], cases(app)) == ("Krüger GmbH", "", 0)


def test_an_error_with_the_time_leads_to_the_times_of_the_chosen_topic(send: Send) -> None:
    tree = document(send(slot="x").text)

    summary = next(part for part in tree.iter("div") if part.get("class") == "summary")
    assert [link.get("href") for link in summary.iter("a")] == ["#slot-0"]
    (target,) = [part for part in tree.iter() if part.get("id") == "slot-0"]
    (wrong,) = [part for part in tree.iter("fieldset") if "wrong" in part.get("class", "")]
    assert wrong.get("data-times") == "angebot"
    assert target in list(wrong.iter("input"))


def test_a_time_for_a_topic_that_offers_none_is_told_and_let_go(app: Flask, send: Send) -> None:
    answer = send(topic="rechnung")

    assert answer.status_code == 422
    (sentence,) = errors(answer.text)
    assert sentence.startswith("Für dieses Anliegen lässt sich hier keine Zeit wählen")
    assert (chosen(answer.text), cases(app)) == ([], 0)
    assert len([part for part in document(answer.text).iter() if part.get("id") == "slot-0"]) == 1


def test_a_time_of_another_topic_that_this_one_has_too_is_agreed(app: Flask, send: Send) -> None:
    assert send(topic="rueckruf").status_code == 303
    assert agreed(app) == [THURSDAY_TEN]


@pytest.mark.parametrize(
    "slot",
    ["2026-11-28T10:00+01:00", "2026-11-24T10:00+01:00", "2026-11-26T10:07+01:00", "2027-11-26T10:00+01:00"],
)
def test_a_time_that_is_not_offered_comes_back_with_others(app: Flask, send: Send, slot: str) -> None:
    answer = send(slot=slot)

    assert answer.status_code == 422
    assert len(errors(answer.text)) == 1
    assert (chosen(answer.text), cases(app)) == ([""], 0)
    assert len(slots(groups(answer.text)["angebot"])) >= 4


def test_a_taken_time_comes_back_with_the_three_nearest_at_the_top(app: Flask, send: Send) -> None:
    everybody_gives_it_away(app)

    answer = send(attachments=(BytesIO(b"%PDF-1.4 eins"), "plan.pdf"), company="Krüger GmbH")

    assert answer.status_code == 409
    assert errors(answer.text) == ["Diese Zeit ist inzwischen vergeben. Dies sind die nächstgelegenen freien."]
    group = groups(answer.text)["angebot"]
    *near, none = slots(group)
    assert (len(near), none, TEN in near) == (3, "", False)
    gaps = [abs(datetime.fromisoformat(one) - THURSDAY_TEN) for one in near]
    assert max(gaps) <= timedelta(hours=1, minutes=30)
    assert next(radio.get("id") for radio in group.iter("input")) == "slot-0"
    assert "Albrecht" not in "".join(group.itertext())
    kept = values(form_of(answer.text))
    assert {name: kept[name] for name in TYPED} == TYPED
    assert "plan.pdf" in answer.text


def test_one_of_the_alternatives_can_be_sent_at_once_with_the_file(app: Flask, client: FlaskClient, send: Send) -> None:
    everybody_gives_it_away(app)
    back = send(attachments=(BytesIO(b"%PDF-1.4 eins"), "plan.pdf"))
    near = slots(groups(back.text)["angebot"])[0]

    answer = client.post("/contact?lang=de", data={**values(form_of(back.text)), "slot": near})

    assert answer.status_code == 303
    assert agreed(app)[-1] == datetime.fromisoformat(near)
    with app.app_context(), db.reading() as session:
        received = select(Entry.facts).where(Entry.kind == Kind.RECEIVED).order_by(Entry.id.desc())
        assert "files" in (session.scalars(received).first() or {})


def test_where_nothing_near_is_free_the_sentence_offers_none(app: Flask, send: Send) -> None:
    with app.app_context(), db.writing() as session:
        session.execute(delete(Hours).where(Hours.person_id.is_not(None)))

    answer = send()

    assert answer.status_code == 422
    assert errors(answer.text) == ["Diese Zeit lässt sich nicht wählen. Bitte wählen Sie eine andere oder keine."]


def test_a_time_taken_between_reading_and_writing_comes_back_too(
    app: Flask, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = views.accepted_once

    def somebody_is_quicker(*given: Any, **named: Any) -> Any:
        everybody_gives_it_away(app)
        return write(*given, **named)

    monkeypatch.setattr(views, "accepted_once", somebody_is_quicker)
    answer = send()

    assert answer.status_code == 409
    assert len(slots(groups(answer.text)["angebot"])) == 4
    with app.app_context(), db.reading() as session:
        assert session.scalars(select(Customer.name).distinct()).all() == ["Erwin"]


def test_forty_forms_for_one_time_make_as_many_calls_as_there_are_people(app: Flask, send: Send) -> None:
    """A known customer's manager is one person: one of the forms has the time, all others come back with three more."""
    with app.app_context(), db.reading() as session:
        number = session.scalars(select(Account.number)).first()

    answers = [send(customer_number=number, email=f"k{each}@konto.example") for each in range(40)]

    assert [answer.status_code for answer in answers] == [303] + [409] * 39
    assert agreed(app) == [THURSDAY_TEN]
    assert cases(app) == 1
    assert all(len(slots(groups(answer.text)["angebot"])) == 4 for answer in answers[1:])


def test_a_second_press_leads_to_the_same_page(app: Flask, client: FlaskClient, send: Send) -> None:
    with app.app_context(), db.reading() as session:
        number = session.scalars(select(Account.number)).first()
    token = token_of(client)

    first, second = (send(token, customer_number=number) for _ in range(2))

    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location == second.location
    assert agreed(app) == [THURSDAY_TEN]


def test_another_time_in_a_form_that_was_sent_is_another_body(app: Flask, client: FlaskClient, send: Send) -> None:
    token = token_of(client)
    send(token)

    answer = send(token, slot="2026-11-26T11:00+01:00")

    assert answer.status_code == 422
    assert errors(answer.text) == [
        "Sie haben dieses Formular schon abgeschickt. Ist es ein neues Anliegen, senden Sie es bitte noch einmal ab."
    ]
    assert agreed(app) == [THURSDAY_TEN]


def test_a_form_with_another_fault_keeps_the_time(send: Send) -> None:
    answer = send(email="kaputt", slot="2026-12-01T14:30+01:00")

    assert answer.status_code == 422
    assert chosen(answer.text) == ["2026-12-01T14:30+01:00"]
    assert "Dienstag, 1. Dezember, 14:30 Uhr" in labels(groups(answer.text)["angebot"])


def test_an_entry_in_doubt_keeps_the_time_as_a_wish(app: Flask, client: FlaskClient, send: Send) -> None:
    answer = send(website="http://x.example")

    assert answer.status_code == 303
    assert agreed(app) == []
    with app.app_context(), db.reading() as session:
        assert session.scalars(select(Case.state)).one() == CaseState.RECEIVED
        assert session.scalars(select(Entry.facts)).one() == {"slot": THURSDAY_TEN.isoformat()}
    page = text(client.get(answer.location or "").text)
    assert "Ihre gewünschte Zeit: Donnerstag, 26. November, 10 Uhr. Vereinbart ist sie, sobald die E-Mail" in page


# Afterwards


def test_the_thank_you_page_names_who_calls_and_when(client: FlaskClient, send: Send) -> None:
    page = text(client.get(send().location or "").text)

    assert re.search(r"(Miriam Albrecht|Jonas Weidner) ruft Sie am Donnerstag, 26\. November, 10 Uhr, an\.", page)


def test_where_routing_used_an_account_it_names_the_time_and_nobody(
    app: Flask, client: FlaskClient, send: Send
) -> None:
    with app.app_context(), db.reading() as session:
        number, manager_id = session.execute(select(Account.number, Account.manager_id)).first() or (None, None)
        manager = session.get_one(Person, manager_id).name

    page = text(client.get(send(customer_number=number).location or "").text)

    assert "Ein Anruf ist vereinbart: Donnerstag, 26. November, 10 Uhr (MEZ)." in page
    assert manager not in page


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("de", "ruft Sie am Donnerstag, 26. November, 10 Uhr, an."),
        ("en", "will call you at 10 am on Thursday 26 November"),
    ],
)
def test_the_confirmation_says_the_same_and_brings_the_calendar_file(
    app: Flask, client: FlaskClient, company: dict[str, int], language: str, sentence: str
) -> None:
    address = f"/contact?lang={language}"
    data = {**values(form_with_action(client.get(address).text, address)), **TYPED, "slot": TEN}

    assert client.post(address, data=data).status_code == 303

    with app.app_context(), db.reading() as session:
        letter = session.scalars(select(Letter).where(Letter.kind == LetterKind.CONFIRMATION)).one()
        mail = read(letter)
        assert sentence in mail.text
        assert sentence in mail.everything
        assert b"text/calendar" in letter.message
        assert session.scalar(select(func.count()).select_from(Promise)) == 0

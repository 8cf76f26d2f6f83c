"""The contact form and the thank-you page, on both databases: what the views decide."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import Babel
from sqlalchemy import delete, select, update
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from portal import db
from portal.cases import closing, contacts, undelivered, unread
from portal.cases.models import Case, CaseState, Doubt, Outcome, Topic, TopicMedium
from portal.customers.models import Customer
from portal.links import Links, Purpose
from portal.mail.models import Letter, LetterState
from portal.pages.contact import brand, typed
from portal.pages.contact.forms import ContactForm
from portal.people.models import Company, Hours
from tests.conftest import SECRET_KEY
from tests.pages.staff_desk import actions, document, errors, form_with_action, text, values

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""
TYPED = {
    "topic": "angebot",
    "name": "Sabine Krüger",
    "email": "sabine@kunde.example",
    "message": "Wir brauchen ein Angebot.\nDanke!",
}

Send = Callable[..., TestResponse]


@pytest.fixture(autouse=True)
def tuesday() -> Any:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def send(client: FlaskClient, company: dict[str, int]) -> Send:
    """Open the form in English and send it, with some fields changed; None leaves a field out."""

    def send_form(token: str | None = None, **changes: str | None) -> TestResponse:
        page = client.get("/contact?lang=en")
        data = dict(values(form_with_action(page.text, "/contact?lang=en"))) | TYPED
        if token is not None:
            data["csrf_token"] = token
        data |= {name: value or "" for name, value in changes.items()}
        sent = {name: value for name, value in data.items() if changes.get(name, "") is not None}
        return client.post("/contact?lang=en", data=sent)

    return send_form


def cases(app: Flask) -> list[Case]:
    with app.app_context(), db.reading() as session:
        return list(session.scalars(select(Case).order_by(Case.id)))


def customer(app: Flask) -> Customer:
    with app.app_context(), db.reading() as session:
        return session.scalars(select(Customer)).one()


def token_of(html: str) -> str:
    return dict(values(form_with_action(html, "/contact?lang=en")))["csrf_token"]


def shown(html: str) -> dict[str, str]:
    """What stands in the form's fields."""
    return dict(values(form_with_action(html, "/contact?lang=en")))


# The form


def test_the_root_leads_to_the_form(client: FlaskClient) -> None:
    answer = client.get("/")

    assert (answer.status_code, answer.location) == (302, "/contact")


def test_the_form_says_for_each_topic_what_it_gets_and_by_when(client: FlaskClient, company: dict[str, int]) -> None:
    page = text(client.get("/contact?lang=en").text)

    assert "Ask for an offer Prices, quantities, delivery times Reply by 4:30 pm on Wednesday 25 November" in page
    assert "Call by" in page


def test_the_form_is_german_first(client: FlaskClient, company: dict[str, int]) -> None:
    page = client.get("/contact")

    assert 'lang="de"' in page.text
    assert "Antwort bis Mittwoch, 25. November, 16:30 Uhr" in text(page.text)


@pytest.mark.parametrize(
    ("address", "wanted", "language"),
    [
        ("/contact", "en-GB,en;q=0.8", "en"),
        ("/contact?lang=de", "en", "de"),
        ("/contact?lang=en", "de", "en"),
        ("/contact?lang=xx", "fr", "de"),
    ],
)
def test_the_address_overrides_the_browsers_language(
    client: FlaskClient, company: dict[str, int], address: str, wanted: str, language: str
) -> None:
    page = client.get(address, headers={"Accept-Language": wanted})

    assert document(page.text).get("lang") == language


def test_the_form_names_the_front_desk_with_its_line(client: FlaskClient, company: dict[str, int]) -> None:
    page = client.get("/contact?lang=en").text

    assert "Petra Lindner" in text(page)
    assert 'href="tel:+498999998100"' in page


def test_more_than_six_topics_become_a_list(app: Flask, client: FlaskClient, company: dict[str, int]) -> None:
    with app.app_context(), db.writing() as session:
        model = session.scalars(select(Topic)).first()
        assert model is not None
        row = {"team_id": model.team_id, "level_id": model.level_id, "medium": TopicMedium.REPLY}
        session.add(Topic(slug="sonstiges", name_de="Sonstiges", name_en="Something else", position=99, **row))

    page = client.get("/contact?lang=en").text

    assert '<select class="long" id="topic-0" name="topic"' in page
    assert not re.search('<input [^>]*name="topic"', page)


def test_customers_pages_set_no_cookie(client: FlaskClient, send: Send) -> None:
    answers = [client.get("/contact"), answer := send(), client.get(answer.location or ""), client.get("/brand.css")]

    assert [one for one in answers if "Set-Cookie" in one.headers] == []


# Sending


def test_a_good_form_leads_to_the_thank_you_page_and_is_one_case(app: Flask, send: Send) -> None:
    answer = send()

    assert answer.status_code == 303
    assert re.fullmatch(r"/thanks/[\w-]{22}", answer.location or "")
    assert [case.state for case in cases(app)] == [CaseState.OPEN]


def test_what_was_typed_is_kept_in_one_form(app: Flask, send: Send) -> None:
    send(
        name="  Sabine   Kru\u0308ger ", message="eins\r\nzwei\u202e\x00", company=" Krüger & Söhne ", postcode="80331"
    )

    kept = customer(app)
    assert (kept.name, kept.company, kept.postcode) == ("Sabine Krüger", "Krüger & Söhne", "80331")


def test_a_number_is_kept_as_typed_and_as_dialled(app: Flask, send: Send) -> None:
    send(topic="rueckruf", phone="089 / 99998-950")

    kept = customer(app)
    assert (kept.phone_shown, kept.phone_e164) == ("089 / 99998-950", "+498999998950")


def test_the_case_speaks_the_language_of_the_form(app: Flask, send: Send) -> None:
    send()

    assert cases(app)[0].language == "en"


def test_a_wrong_form_stores_nothing(app: Flask, send: Send) -> None:
    answer = send(email="sabine")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Enter an e-mail address, for example name@company.com."]
    assert cases(app) == []


def test_a_file_field_with_words_in_it_is_refused_with_a_sentence(send: Send) -> None:
    answer = send(attachments="x")

    assert answer.status_code == 422
    assert errors(answer.text) == ["No file came along. Please choose it once more."]


@pytest.mark.parametrize("name", ["slot", "attachments"])
def test_an_empty_field_that_need_not_be_filled_harms_nothing(send: Send, name: str) -> None:
    assert send(**{name: ""}).status_code == 303


@pytest.mark.parametrize("slug", ["", "nichts"])
def test_a_topic_that_does_not_exist_is_refused(send: Send, slug: str) -> None:
    assert errors(send(topic=slug).text) == ["Choose what it is about."]


def test_all_errors_are_told_at_once_each_linked_to_its_field(send: Send) -> None:
    answer = send(topic="rueckruf", name="", email="x", message="")

    summary = next(part for part in document(answer.text).iter("div") if part.get("class") == "summary")
    assert [link.get("href") for link in summary.iter("a")] == ["#message", "#name", "#email", "#phone"]


def test_a_form_that_came_back_keeps_everything_typed(send: Send) -> None:
    answer = send(topic="technik", email="kaputt", phone="089 99998-950", company="Krüger <b>", postcode="80331")

    kept = shown(answer.text)
    assert {name: kept[name] for name in ("topic", "name", "email", "phone", "company", "postcode")} == {
        "topic": "technik",
        "name": "Sabine Krüger",
        "email": "kaputt",
        "phone": "089 99998-950",
        "company": "Krüger <b>",
        "postcode": "80331",
    }
    assert kept["message"].splitlines() == TYPED["message"].splitlines()


def test_a_page_with_errors_says_so_in_its_title(client: FlaskClient, send: Send) -> None:
    assert "<title>Error: Write to us" in send(name="").text
    assert "<title>Fehler: " in client.post("/contact?lang=de").text


def test_hostile_text_comes_back_as_text(send: Send) -> None:
    answer = send(name='<script>alert(1)</script>"{{7*7}}%(x)s', email="x")

    assert "<script>alert" not in answer.text
    assert shown(answer.text)["name"] == '<script>alert(1)</script>"{{7*7}}%(x)s'


def test_of_a_field_posted_twice_the_first_counts(app: Flask, client: FlaskClient, company: dict[str, int]) -> None:
    token = token_of(client.get("/contact?lang=en").text)

    client.post("/contact?lang=en", data={**TYPED, "csrf_token": token, "name": ["Sabine Krüger", "Jemand anders"]})

    assert customer(app).name == "Sabine Krüger"


# The token


def test_the_same_form_twice_is_one_case(app: Flask, client: FlaskClient, send: Send) -> None:
    token = token_of(client.get("/contact?lang=en").text)

    first, second = send(token), send(token)

    assert first.location == second.location
    assert len(cases(app)) == 1


def test_two_forms_are_two_cases(app: Flask, send: Send) -> None:
    first, second = send(), send()

    assert first.location != second.location
    assert len(cases(app)) == 2


def test_a_used_form_with_another_text_is_refused_and_can_be_sent_again(
    app: Flask, client: FlaskClient, send: Send
) -> None:
    token = token_of(client.get("/contact?lang=en").text)
    send(token)

    again = send(token, message="Noch etwas anderes")

    assert again.status_code == 422
    assert errors(again.text) == [
        "You have already sent this form. If this is a new request, please send it once more."
    ]
    assert shown(again.text)["message"] == "Noch etwas anderes"
    assert client.post("/contact?lang=en", data=shown(again.text)).status_code == 303
    assert [case.doubt for case in cases(app)] == [None, None]


@pytest.mark.parametrize("token", ["", "kaputt", "\x00", "ü"])
def test_a_form_that_is_not_ours_is_refused_with_a_fresh_token(
    app: Flask, client: FlaskClient, send: Send, token: str
) -> None:
    answer = send(token)

    assert answer.status_code == 422
    assert errors(answer.text) == [
        "This form was open for more than a day or did not come from our page. Please send it once more."
    ]
    assert cases(app) == []
    assert client.post("/contact?lang=en", data=shown(answer.text)).status_code == 303


def test_a_form_older_than_a_day_is_refused(app: Flask, client: FlaskClient, send: Send, tuesday: Any) -> None:
    token = token_of(client.get("/contact?lang=en").text)
    tuesday.shift(timedelta(hours=24))

    assert send(token).status_code == 422


def test_a_token_of_another_purpose_is_none(send: Send) -> None:
    token = Links([SECRET_KEY]).sign_with_time(Purpose.STATUS, "abc", now=NOW)

    assert send(token).status_code == 422


def test_a_form_shown_in_the_future_is_none(send: Send) -> None:
    token = Links([SECRET_KEY]).sign_with_time(Purpose.CONTACT_FORM, "abc", now=NOW + timedelta(hours=1))

    assert send(token).status_code == 422


# Doubt


def test_a_filled_trap_makes_a_doubtful_entry(app: Flask, send: Send) -> None:
    answer = send(website="https://x.example")

    assert answer.status_code == 303
    assert [(case.state, case.doubt) for case in cases(app)] == [(CaseState.RECEIVED, Doubt.HONEYPOT)]


class TestWithThreeSeconds:
    """With the least time that people need."""

    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "PORTAL_FORM_MIN_SECONDS": "3"}

    def test_a_form_filled_too_fast_makes_a_doubtful_entry(self, app: Flask, send: Send) -> None:
        send()

        assert [case.doubt for case in cases(app)] == [Doubt.TOO_FAST]

    def test_three_seconds_are_enough(self, app: Flask, client: FlaskClient, send: Send, tuesday: Any) -> None:
        token = token_of(client.get("/contact?lang=en").text)
        tuesday.shift(timedelta(seconds=3))

        send(token)

        assert [case.doubt for case in cases(app)] == [None]

    def test_correcting_an_error_does_not_start_the_time_anew(
        self, app: Flask, client: FlaskClient, send: Send, tuesday: Any
    ) -> None:
        token = token_of(client.get("/contact?lang=en").text)
        tuesday.shift(timedelta(seconds=5))
        back = send(token, name="")

        client.post("/contact?lang=en", data={**shown(back.text), "name": "Sabine Krüger"})

        assert [case.doubt for case in cases(app)] == [None]


# The thank-you page


def test_the_thank_you_page_names_person_line_date_and_reference(app: Flask, client: FlaskClient, send: Send) -> None:
    page = client.get(send().location or "").text

    assert text(page).startswith(
        "Your request has reached us. Miriam Albrecht will reply by 4:30 pm on Wednesday 25 November."
    )
    assert cases(app)[0].reference in text(page)
    assert 'href="tel:+498999998214"' in page


def test_the_thank_you_page_holds_no_status_link(client: FlaskClient, send: Send) -> None:
    assert "/s/" not in client.get(send().location or "").text


def test_it_speaks_the_language_of_the_form(client: FlaskClient, send: Send) -> None:
    page = client.get(send().location or "", headers={"Accept-Language": "de"})

    assert document(page.text).get("lang") == "en"


def test_a_customer_we_know_is_shown_the_front_desk_and_the_date(client: FlaskClient, send: Send) -> None:
    send()

    page = text(client.get(send().location or "").text)

    assert "Reply by 4:30 pm on Wednesday 25 November." in page
    assert "Petra Lindner" in page
    assert "Miriam Albrecht" not in page


def test_a_doubtful_entry_is_shown_the_front_desk_and_the_check_by_date(client: FlaskClient, send: Send) -> None:
    page = text(client.get(send(website="x").location or "").text)

    assert "Petra Lindner looks at it by 8:30 am on Wednesday 25 November." in page


def test_a_check_by_date_that_has_passed_is_told_with_the_front_desks_line(
    client: FlaskClient, send: Send, tuesday: Any
) -> None:
    answer = send(website="https://spam.example")
    tuesday.shift(timedelta(hours=23, minutes=30))

    page = text(client.get(answer.location or "").text)

    assert "We wanted to look at it by 8:30 am on" in page
    assert "We did not keep that date. Petra Lindner is there for you: 089 99998-100" in page
    assert "Petra Lindner looks at it" not in page


def test_once_the_lead_looks_at_an_entry_the_page_names_nobody_else_for_it(
    app: Flask, client: FlaskClient, send: Send
) -> None:
    answer = send(website="https://spam.example")
    with app.app_context(), db.writing() as session:
        [entry] = session.scalars(select(Case))
        assert entry.check_by_at is not None
        unread.escalate(session, entry, now=entry.check_by_at)

    page = text(client.get(answer.location or "").text)

    assert "Dr. Katharina Voss reads your request" in page
    assert "Petra Lindner reads" not in page


def test_a_date_that_has_passed_is_not_shown_as_if_it_held(client: FlaskClient, send: Send, tuesday: Any) -> None:
    where = send(topic="rueckruf", phone="089 99998-950").location or ""
    tuesday.shift(timedelta(hours=6))

    page = text(client.get(where).text)

    assert "We had promised it by 1:30 pm on Tuesday 24 November. We did not keep that date." in page
    assert "will call you by" not in page


def test_the_typed_address_is_shown_only_while_it_can_be_corrected(
    client: FlaskClient, send: Send, tuesday: Any
) -> None:
    where = send().location or ""
    before = text(client.get(where).text)
    tuesday.shift(timedelta(minutes=16))

    after = client.get(where).text

    assert "sabine@kunde.example" in before
    assert "sabine@kunde.example" not in after
    assert "sa…@kunde.example" in text(after)
    assert actions(after) == set()


@pytest.mark.parametrize("where", ["/thanks/abc", "/thanks/" + "x" * 22, "/thanks/%00", "/thanks/" + "ü" * 22])
def test_an_unknown_thank_you_page_explains_and_names_the_front_desk(
    client: FlaskClient, company: dict[str, int], where: str
) -> None:
    page = client.get(where, headers={"Accept-Language": "en"})

    assert page.status_code == 404
    assert "stays for one day" in text(page.text)
    assert "Petra Lindner" in text(page.text)


def test_the_thank_you_page_is_gone_after_a_day(client: FlaskClient, send: Send, tuesday: Any) -> None:
    where = send().location or ""
    tuesday.shift(timedelta(days=1, seconds=1))

    assert client.get(where).status_code == 404


def test_a_closed_case_says_that_it_is_closed(app: Flask, client: FlaskClient, send: Send) -> None:
    where = send().location or ""
    with app.test_request_context(), db.writing() as session:
        case = session.scalars(select(Case)).one()
        closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=NOW)

    page = text(client.get(where).text)

    assert "It is closed by now" in page
    assert "will reply by" not in page


# Correcting the address


def correct(client: FlaskClient, where: str, email: str) -> TestResponse:
    return client.post(f"{where}/address", data={"email": email})


def test_the_address_can_be_corrected_once(app: Flask, client: FlaskClient, send: Send) -> None:
    where = send().location or ""

    first = correct(client, where, "richtig@kunde.example")
    second = correct(client, where, "dritte@kunde.example")

    assert (first.status_code, first.location) == (303, f"{where}?done=address")
    assert (second.status_code, second.location) == (303, f"{where}?done=address")
    assert customer(app).email == "richtig@kunde.example"


def test_the_answer_is_the_same_whether_or_not_it_could_still_be_corrected(
    app: Flask, client: FlaskClient, send: Send, company: dict[str, int]
) -> None:
    where = send().location or ""
    corrected = correct(client, where, "richtig@kunde.example")
    page = text(client.get(corrected.location or "").text)
    other = send().location or ""
    with app.test_request_context(), db.writing() as session:
        case = session.scalars(select(Case).order_by(Case.id.desc())).first()
        assert case is not None
        contacts.note(session, case, by_id=company["Miriam Albrecht"], text="Rufe an", now=NOW)

    too_late = correct(client, other, "richtig@kunde.example")

    assert "If the address could still be corrected, the confirmation goes there." in page
    assert "If the address could still be corrected" in text(client.get(too_late.location or "").text)


def test_a_corrected_page_offers_no_second_correction(client: FlaskClient, send: Send) -> None:
    where = send().location or ""
    answer = correct(client, where, "richtig@kunde.example")

    assert actions(client.get(answer.location or "").text) == set()
    assert actions(client.get(where).text) == set()


@pytest.mark.parametrize(("minutes", "correctable"), [(1, True), (16, False)])
def test_a_confirmation_that_cannot_be_delivered_is_told(
    app: Flask, client: FlaskClient, send: Send, tuesday: Any, minutes: int, correctable: bool
) -> None:
    where = send().location or ""
    with app.app_context(), db.writing() as session:
        letter_id = session.scalars(select(Letter.id).where(Letter.kind == "confirmation")).one()
        session.execute(update(Letter).where(Letter.id == letter_id).values(state=LetterState.FAILED, ended_at=NOW))
        undelivered.letter_died(session, letter_id, now=NOW)
    tuesday.shift(timedelta(minutes=minutes))

    page = client.get(where)

    assert "We could not deliver the e-mail to sa" in text(page.text)
    assert "Miriam Albrecht is there for you: 089 99998-214 , today until 5 pm." in text(page.text)
    assert "You are getting an e-mail" not in text(page.text)
    assert ("Please correct the address below" in text(page.text)) is correctable
    assert (f"{where}/address" in actions(page.text)) is correctable


def test_a_corrected_address_is_told_of_the_new_confirmation(app: Flask, client: FlaskClient, send: Send) -> None:
    where = send().location or ""
    with app.app_context(), db.writing() as session:
        session.execute(
            update(Letter).where(Letter.kind == "confirmation").values(state=LetterState.FAILED, ended_at=NOW)
        )

    correct(client, where, "sabine@neu.example")

    page = text(client.get(where).text)
    assert "You are getting an e-mail at sa…@neu.example." in page
    assert "could not deliver" not in page


def test_a_wrong_address_is_refused_and_changes_nothing(app: Flask, client: FlaskClient, send: Send) -> None:
    where = send().location or ""

    answer = correct(client, where, "kaputt")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Enter an e-mail address, for example name@company.com."]
    assert customer(app).email == "sabine@kunde.example"


def test_correcting_sends_the_confirmation_to_the_new_mailbox_only(app: Flask, client: FlaskClient, send: Send) -> None:
    correct(client, send().location or "", "richtig@kunde.example")

    with app.app_context(), db.reading() as session:
        queued = session.scalars(
            select(Letter.to_address).where(Letter.state == LetterState.QUEUED, Letter.kind == "confirmation")
        ).all()
    assert queued == ["richtig@kunde.example"]


def test_correcting_an_unknown_page_leads_to_the_same_address(client: FlaskClient, company: dict[str, int]) -> None:
    answer = correct(client, "/thanks/" + "x" * 22, "richtig@kunde.example")

    assert (answer.status_code, answer.location) == (303, "/thanks/" + "x" * 22 + "?done=address")


# The company's colour


def test_the_colour_is_a_style_sheet_that_is_asked_for_once(client: FlaskClient, company: dict[str, int]) -> None:
    first = client.get("/brand.css")
    again = client.get("/brand.css", headers={"If-None-Match": first.headers["ETag"]})

    assert first.mimetype == "text/css"
    assert first.text.startswith(":root{--accent:#")
    assert again.status_code == 304


def test_a_new_colour_is_a_new_style_sheet(app: Flask, client: FlaskClient, company: dict[str, int]) -> None:
    before = client.get("/brand.css").headers["ETag"]
    with app.app_context(), db.writing() as session:
        session.get_one(Company, 1).accent = "#123456"

    assert client.get("/brand.css").headers["ETag"] != before


@pytest.mark.parametrize("accent", ["#ffcc00", "#ffffff", "#000000", "#1f5f5b", "#ff0000", "#7fcac3", "#777777"])
def test_whatever_the_colour_text_in_it_can_be_read(accent: str) -> None:
    light = brand.readable_on(brand.LIGHT_PAGE, accent, lightest=False)
    dark = brand.readable_on(brand.DARK_PAGE, accent, lightest=True)

    assert brand.contrast(light, brand.LIGHT_PAGE) >= 4.5
    assert brand.contrast(light, (255, 255, 255)) >= 4.5
    assert brand.contrast(dark, brand.DARK_PAGE) >= 4.5
    assert brand.contrast(dark, brand.NEAR_BLACK) >= 4.5


def test_a_readable_colour_stays_as_it_is() -> None:
    assert brand.style_sheet("#1F5F5B").startswith(":root{--accent:#1f5f5b;")


# Its fields, without a database


@pytest.fixture
def english() -> Iterator[None]:
    """Sentences in English, without a database."""
    small = Flask(__name__)
    Babel(small, default_locale="en")
    with small.test_request_context():
        yield


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("name", "   ", "Enter your name."),
        ("name", "x" * 61, "Name: please shorten this to 60 characters; it has 61."),
        (
            "name",
            "https://böse.example",
            "Enter your name without a web or e-mail address, and with a space after each full stop.",
        ),
        (
            "name",
            "Gewinn auf evil-shop.com",
            "Enter your name without a web or e-mail address, and with a space after each full stop.",
        ),
        ("email", "", "Enter your e-mail address."),
        ("email", "sabine", "Enter an e-mail address, for example name@company.com."),
        ("email", "a@x.example,b@y.example", "Enter an e-mail address, for example name@company.com."),
        ("email", '"a b"@x.example', "Enter an e-mail address, for example name@company.com."),
        ("email", "a@[127.0.0.1]", "Enter an e-mail address, for example name@company.com."),
        ("email", "a@localhost", "Enter an e-mail address, for example name@company.com."),
        ("email", "-a@x.example", "Enter an e-mail address, for example name@company.com."),
        ("email", "ü@x.example", "Enter an e-mail address, for example name@company.com."),
        ("email", "a" * 65 + "@x.example", "Enter an e-mail address, for example name@company.com."),
        ("message", " \n ", "Write your message."),
        ("message", "x" * 5001, "Your message: please shorten this to 5000 characters; it has 5001."),
        ("postcode", "1" * 13, "Postcode: please shorten this to 12 characters; it has 13."),
    ],
)
def test_a_wrong_field_says_what_to_do(name: str, value: str, sentence: str) -> None:
    form = ContactForm(MultiDict(TYPED | {name: value}))

    form.validate()

    assert {field: [str(error) for error in told] for field, told in form.errors.items()} == {name: [sentence]}


@pytest.mark.usefixtures("english")
def test_the_longest_allowed_form_is_taken() -> None:
    longest = {
        "topic": "angebot",
        "name": "x" * 60,
        "email": "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + ".example",
        "message": "ä" * 5000,
        "company": "x" * 120,
        "customer_number": "1" * 40,
        "postcode": "1" * 12,
    }

    assert ContactForm(MultiDict(longest)).validate()


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(
    ("medium", "phone", "sentence"),
    [
        (TopicMedium.CALL, "", "Enter the phone number on which we should call you."),
        (TopicMedium.CALL, "0123", "Enter a phone number with its area code, for example 089 99998-214."),
        (TopicMedium.REPLY, "0900 1234567", "Enter a phone number with its area code, for example 089 99998-214."),
    ],
)
def test_a_call_needs_a_number_that_can_be_called(medium: TopicMedium, phone: str, sentence: str) -> None:
    form = ContactForm(MultiDict(TYPED | {"phone": phone}))

    number = form.number(Topic(medium=medium), "DE")

    assert (number, [str(error) for error in form.phone.errors]) == (None, [sentence])


@pytest.mark.usefixtures("english")
def test_a_reply_needs_no_number() -> None:
    form = ContactForm(MultiDict(TYPED))

    assert form.number(Topic(medium=TopicMedium.REPLY), "DE") is None
    assert form.errors == {}


# What is typed


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("Kru\u0308ger", "Krüger"),
        ("a\x00b\u202ec\ufeff", "abc"),
        ("\tSpalte\tzwei\n\n", "Spalte\tzwei"),
        ("👩‍🔧 ok", "👩‍🔧 ok"),
    ],
)
def test_equal_texts_are_equal_once_typed(raw: str, kept: str) -> None:
    assert typed.text(raw) == kept
    assert typed.text(kept) == kept


@pytest.mark.parametrize(
    "name",
    [
        "Dipl.-Ing. Max Muster",
        "Dipl.-Ing.(FH) Max Muster",
        "Dipl.-Ing.Müller",
        "Dr. Ada Lovelace",
        "Dr.Ada Lovelace",
        "Dr.de Vries",
        "Dr.med. Huber",
        "Dr.rer.nat. Huber",
        "Firma A.B. Nord",
        "Huber GmbH&Co.KG",
        "J. R. R. Tolkien",
        "J.R.R. Tolkien",
        "J.R.R.Tolkien",
        "Müller-Lüdenscheidt",
        "O’Brien",
        "Prof.Dr.Meier",
        "Prof. Dr. Meier.",
        "St. Gallen",
        "St.Gallen AG",
        "Tafel Mitte e.V.",
        "Ümit Yılmaz",
    ],
)
def test_real_names_are_no_addresses(name: str) -> None:
    assert not typed.has_address(name)


@pytest.mark.parametrize(
    "name",
    [
        "bit.ly/3xyz",
        "Bit.Ly",
        "evil.app/login",
        "Ihr Paket: evil.app",
        "x.com",
        "X.Com",
        "t.me/gewinn",
        "J.Meier/gewinn",
        "WWW.gewinn",
        "www．gewinn．de",
        "evil。app",
        "evil．app",
        "evil｡app",
        "evil\u2024app",
        "evil.\u200bapp",
        "пример.рф",
        "münchen.jetzt",
        "a.xn--p1ai",
        "evil.app.",
        "(evil.app)",
        "evil-dr.app",
        "192.0.2.1/login",
        "max@kunde",
        "https://x",
    ],
)
def test_a_name_that_mail_programs_would_make_a_link_is_refused(name: str) -> None:
    assert typed.has_address(name)


def test_a_long_name_is_looked_at_in_no_time() -> None:
    started = time.perf_counter()

    for name in ("a" * 60_000, "a." * 30_000, "-" * 60_000, "1." * 30_000, "1" * 60_000):
        typed.has_address(name)

    assert time.perf_counter() - started < 1


@pytest.mark.usefixtures("english")
def test_a_name_has_sixty_characters_at_most() -> None:
    fits, too_long = (ContactForm(MultiDict(TYPED | {"name": "ä" * length})) for length in (60, 61))

    assert (fits.validate(), too_long.validate()) == (True, False)
    assert [str(error) for error in too_long.name.errors] == ["Name: please shorten this to 60 characters; it has 61."]


@pytest.mark.parametrize(
    ("number", "country", "dialled"),
    [
        ("089 99998-950", "DE", "+498999998950"),
        ("+49 (89) 99998 950", "AT", "+498999998950"),
        ("0664 1234567", "AT", "+436641234567"),
        ("044 668 18 00", "CH", "+41446681800"),
        ("110", "DE", None),
        ("0900 1234567", "DE", None),
        ("0180 5 123456", "DE", None),
        ("ruft mich an", "DE", None),
    ],
)
def test_a_number_is_dialled_from_the_companys_country(number: str, country: str, dialled: str | None) -> None:
    assert typed.phone(number, country) == dialled


def test_an_address_abroad_is_kept_in_the_form_it_is_sent_to() -> None:
    assert typed.email("post@münchen.example") == "post@xn--mnchen-3ya.example"


# Nobody's hours


def test_the_last_instance_without_hours_is_named_and_nothing_is_said_of_hours(
    app: Flask, client: FlaskClient, company: dict[str, int]
) -> None:
    """They act "present or not" when nobody else is there; the page must not fail for want of their hours."""
    with app.app_context(), db.writing() as session:
        session.execute(delete(Hours).where(Hours.person_id.is_not(None)))

    answer = client.get("/contact", headers={"Accept-Language": "de"})

    assert answer.status_code == 200
    assert "Erreichbar" not in answer.text

"""The status page, on both databases: what the views decide, not the domain's rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

import portal
from portal import db
from portal.cases import answering, closing, contacts, delaying, erasing, finding, linking, opening, promising, waiting
from portal.cases.drafting import Wish
from portal.cases.models import Case, CaseState, Outcome, Topic
from portal.cases.promising import NewPromise
from portal.journal.models import Entry, Kind
from portal.languages import Voice
from portal.links import Links, Purpose, new_secret
from portal.mail.models import Letter, LetterState
from portal.pages.contact.typed import number
from portal.people.models import Absence
from portal.promises import wording
from portal.promises.models import Medium, Promise, PromiseKind
from tests.conftest import SECRET_KEY
from tests.pages import staff_desk
from tests.pages.staff_desk import actions, document, errors, form_with_action, values
from tests.support.cast import read

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""
THURSDAY = datetime(2026, 11, 26, 13, 0, tzinfo=UTC)
STATIC = Path(portal.__file__).parent / "static"
CANARY = "Kanarienvogel: nur intern"


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

    @property
    def address(self) -> str:
        return f"/s/{self.token}"

    def get(self, more: str = "") -> TestResponse:
        return self.client.get(f"{self.address}{more}", headers={"Accept-Language": "de"})

    def words(self, more: str = "") -> str:
        return staff_desk.text(self.get(more).text)

    def press(self, action: str, page: str = "", **changes: str) -> TestResponse:
        """Send the form for this action from the page it stands on."""
        data = values(form_with_action(self.get(page).text, f"{self.address}{action}"))
        return self.client.post(f"{self.address}{action}", data={**data, **changes})

    def do(self, rule: Callable[..., Any], *args: Any, now: datetime = NOW, **values: Any) -> None:
        """Let the domain do something."""
        with self.app.test_request_context(), db.writing() as session:
            rule(session, session.get_one(Case, self.case_id), *args, now=now, **values)

    def case(self) -> Case:
        with self.app.app_context(), db.reading() as session:
            return session.get_one(Case, self.case_id)

    def kinds(self) -> list[Kind]:
        with self.app.app_context(), db.reading() as session:
            return list(session.scalars(select(Entry.kind).where(Entry.case_id == self.case_id).order_by(Entry.id)))

    def close(self, *, now: datetime = NOW, text: str = "Der Vertrag liegt Ihnen vor.") -> None:
        self.do(closing.close, by_id=self.miriam, outcome=Outcome.DONE, text=text, now=now)

    def ask(self, question: str) -> None:
        keeps = frozenset({self.case().promise_id or 0})
        self.do(answering.ask, by_id=self.miriam, text=question, keeps=keeps, follow_up_at=THURSDAY)

    def announce_closing(self, clock: Any) -> None:
        """The customer was asked and reminded; the relay took the letter that names the closing."""
        self.ask("How many pumps?")
        for _ in range(2):
            at = self.step().notice_at
            clock.move_to(at)
            self.do(waiting.go_on, now=at)
            with self.app.app_context(), db.writing() as session:
                session.execute(update(Letter).values(state=LetterState.SENT, ended_at=at))

    def step(self) -> Promise:
        """What the case waits for."""
        with self.app.app_context(), db.reading() as session:
            return session.get_one(Promise, self.case().promise_id)

    @property
    def closes_at(self) -> datetime:
        return self.step().due_at

    @property
    def closing_sentence(self) -> str:
        """The sentence of the announced closing."""
        voice, step = Voice("en", "DE", "Europe/Berlin"), self.step()
        due = voice.moment(step.due_at, now=step.given_at)
        return wording.sentence(step.kind, step.medium, "Miriam Albrecht", due, voice, closes=True)


@pytest.fixture
def page(app: Flask, client: FlaskClient, company: dict[str, int]) -> Page:
    """A fresh case in English with Miriam Albrecht: a reply is due on Wednesday at 4:30 pm."""
    with app.test_request_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
        wish = Wish(
            topic_id, "Sabine Krüger", "sabine@kunde.example", "Ein Angebot, bitte.", "en", "+4989999989", "0151 99"
        )
        submission = opening.accept(session, wish, key=new_secret(), body_hash="x", doubt=None, now=NOW)
        assert submission.case_id is not None
        case = session.get_one(Case, submission.case_id)
        return Page(app, client, finding.status_token(case), case.id, company["Miriam Albrecht"])


# What the page says


def test_the_promise_comes_first_and_is_the_heading(page: Page) -> None:
    heading = document(page.get().text).find(".//h1")

    assert heading is not None
    assert heading.text == "Miriam Albrecht will reply by 4:30 pm on Wednesday 25 November"


def test_promise_state_person_actions_history_stand_in_this_order(page: Page) -> None:
    words = page.words()

    places = [
        words.index(part)
        for part in ("will reply by", "In progress", "089 99998-214", "Write to Miriam Albrecht", "What has happened")
    ]
    assert places == sorted(places)


def test_the_page_is_in_the_language_of_the_case(page: Page) -> None:
    answer = page.get("?lang=de")

    assert document(answer.text).get("lang") == "en"


def test_a_date_that_has_passed_is_told_and_never_shown_as_if_it_held(page: Page, tuesday: Any) -> None:
    tuesday.shift(timedelta(days=2))

    words = page.words()

    assert "We are late. We had promised it by 4:30 pm on Wednesday 25 November. We did not keep that date" in words
    assert "Delayed" in words
    assert "will reply by" not in words


def test_a_moved_promise_shows_the_first_date(page: Page) -> None:
    step = NewPromise(PromiseKind.REPLY, Medium.MAIL, THURSDAY, "The offer with delivery time")
    page.do(promising.promise_date, by_id=page.miriam, step=step)

    words = page.words()

    assert "Miriam Albrecht will reply by 2 pm on Thursday 26 November" in words
    assert "The offer with delivery time" in words
    assert "First promised: 4:30 pm on Wednesday 25 November." in words


def test_further_promises_are_named_too(page: Page) -> None:
    step = NewPromise(PromiseKind.CALL, Medium.CALL, THURSDAY)
    page.do(promising.promise_date, by_id=page.miriam, step=step)

    assert "Also promised Miriam Albrecht will call you by 2 pm on Thursday 26 November." in page.words()


def test_who_is_waited_for_sees_what_is_missing_beside_the_form(page: Page) -> None:
    page.ask("Which model is it?")

    words = page.words()

    assert "Waiting for you" in words
    assert (
        "We need this from you We asked you something and wait for your answer: Which model is it? Your message"
        in words
    )
    assert "gets in touch with you again by 2 pm on Thursday 26 November" in words


def test_a_deputy_is_named_with_whom_they_stand_in_for(page: Page, company: dict[str, int]) -> None:
    away = Absence(
        person_id=page.miriam,
        starts_at=NOW - timedelta(hours=1),
        ends_at=NOW + timedelta(days=13),
        deputy_id=company["Jonas Weidner"],
        entered_by_id=page.miriam,
    )
    with page.app.app_context(), db.writing() as session:
        session.add(away)

    words = page.words()

    assert "Jonas Weidner will reply by" in words
    assert "standing in for Miriam Albrecht" in words
    assert "Miriam Albrecht is back from Monday 7 December." in words


def test_the_lead_has_a_card_from_the_second_notice_on(page: Page) -> None:
    notice = partial(page.do, delaying.give_notice)
    notice(now=datetime(2026, 11, 25, 14, 30, tzinfo=UTC))
    assert "Dr. Katharina Voss" not in page.words()

    notice(now=datetime(2026, 11, 27, 12, 30, tzinfo=UTC))

    first, second = document(page.get().text).findall(".//aside/section")
    assert "Miriam Albrecht" in "".join(first.itertext())
    assert "Also there for you" in "".join(second.itertext()) and "089 99998-200" in "".join(second.itertext())

    notice(now=datetime(2026, 12, 1, 12, 30, tzinfo=UTC))  # from then on the case is the lead's

    (only,) = document(page.get().text).findall(".//aside/section")
    assert "Dr. Katharina Voss" in "".join(only.itertext())


def test_a_closed_case_says_how_it_ended_and_until_when_it_can_be_reopened(page: Page) -> None:
    page.close()

    words = page.words()

    assert "Your request is closed" in words
    assert "Outcome: Done. Der Vertrag liegt Ihnen vor." in words
    assert "You can reopen the request until Tuesday 8 December." in words
    assert actions(page.get().text) == {f"{page.address}/reopen"}


def test_after_the_last_day_a_message_is_offered_instead_of_reopening(page: Page, tuesday: Any) -> None:
    page.close()
    tuesday.shift(timedelta(days=15))

    assert actions(page.get().text) == {f"{page.address}/message"}
    assert "Your message becomes a new request" in page.words()


def test_internal_notes_never_appear(page: Page) -> None:
    page.do(contacts.note, by_id=page.miriam, text=CANARY)

    pages = [page.get(more).text for more in ("", "/close", "/replace-link", "/not-me")]

    assert [one for one in pages if CANARY in one] == []


def test_the_customers_number_and_full_address_are_not_on_the_page(page: Page) -> None:
    html = page.get().text

    assert "0151 99" not in html
    assert "sabine@kunde.example" not in html
    assert "sa…@kunde.example" in html


def test_a_long_history_is_shown_in_pages_of_twenty(page: Page) -> None:
    for minute in range(20):
        page.do(answering.customer_message, f"Nachricht {minute}", now=NOW + timedelta(minutes=minute))

    first = document(page.get().text)
    older = next(link for link in first.iter("a") if link.text == "Earlier entries").get("href", "")
    second = document(page.client.get(older).text)

    shown = [
        "".join(entry.itertext())
        for tree in (first, second)
        for journal in tree.iter("ol")
        for entry in journal.iter("li")
    ]
    assert len([one for one in shown if "Nachricht" in one]) == 20
    assert "Request received" in shown[-1]


@pytest.mark.parametrize(
    ("typed", "row"),
    [("17", 17), ("0", 0), ("-1", None), ("abc", None), ("9" * 20, None), ("٣", None), ("", None), (None, None)],
)
def test_only_what_a_database_takes_is_a_rows_number(typed: str | None, row: int | None) -> None:
    assert number(typed) == row


def test_an_entry_of_nobodys_shows_the_page(page: Page) -> None:
    assert [page.get(f"?before={before}").status_code for before in ("0", "999999999", "x%00")] == [200, 200, 200]


def test_only_known_words_become_a_notice(page: Page) -> None:
    trees = [document(page.get(f"?done={word}").text) for word in ("nothing", "%3Cscript%3E", "")]

    assert [part for tree in trees for part in tree.iter("div") if part.get("role") == "status"] == []


def test_a_notice_says_what_was_done(page: Page) -> None:
    assert page.words("?done=message").startswith("Thank you, your message has arrived.")


# Waiting for the customer


def test_while_we_wait_the_page_says_so_and_repeats_the_question(page: Page) -> None:
    page.ask("How many pumps?")

    words = page.words()

    assert "Waiting for you" in words
    assert "We asked you something and wait for your answer: How many pumps?" in words
    assert f"{page.address}/keep-open" not in actions(page.get().text)


def test_an_announced_closing_is_the_heading_and_has_a_button_that_undoes_it(page: Page, tuesday: Any) -> None:
    page.announce_closing(tuesday)

    heading = document(page.get().text).find(".//h1")
    words = page.words()

    assert heading is not None
    assert heading.text == page.closing_sentence
    assert "Waiting for you" in words
    assert "How many pumps?" in words
    assert "Do you need more time? One click keeps the request open" in words
    assert f"{page.address}/keep-open" in actions(page.get().text)


def test_keeping_it_open_promises_a_reply(page: Page, tuesday: Any) -> None:
    page.announce_closing(tuesday)

    answer = page.press("/keep-open")

    assert (answer.status_code, answer.location) == (303, f"{page.address}?done=kept-open#main")
    words = page.words("?done=kept-open")
    assert words.startswith("Thank you, your request stays open. Request")
    assert "Miriam Albrecht will reply by" in words
    assert "You asked us to keep it open" in words
    assert "closes the request" not in words.partition("What has happened")[0]
    assert f"{page.address}/keep-open" not in actions(page.get().text)


def test_keeping_it_open_twice_is_once(page: Page, tuesday: Any) -> None:
    page.announce_closing(tuesday)
    data = values(form_with_action(page.get().text, f"{page.address}/keep-open"))

    answers = [page.client.post(f"{page.address}/keep-open", data=data) for _ in range(2)]

    assert {answer.location for answer in answers} == {f"{page.address}?done=kept-open#main"}
    assert page.kinds().count(Kind.KEPT_OPEN) == 1


def test_who_kept_it_open_can_still_send_the_message_typed_beside_the_button(page: Page, tuesday: Any) -> None:
    page.announce_closing(tuesday)
    shown = page.get().text
    typed, keeping = (values(form_with_action(shown, f"{page.address}/{to}")) for to in ("message", "keep-open"))
    page.client.post(f"{page.address}/keep-open", data=keeping)

    answer = page.client.post(f"{page.address}/message", data={**typed, "message": "Forty."})

    assert answer.status_code == 303
    assert Kind.MESSAGE in page.kinds()


def test_a_closing_that_came_first_is_undone_by_the_same_button(page: Page, tuesday: Any) -> None:
    page.announce_closing(tuesday)
    data = values(form_with_action(page.get().text, f"{page.address}/keep-open"))
    tuesday.move_to(page.closes_at)
    page.do(waiting.go_on, now=page.closes_at)
    assert page.case().state == CaseState.CLOSED

    answer = page.client.post(f"{page.address}/keep-open", data=data)

    assert answer.status_code == 303
    assert page.case().state == CaseState.OPEN


def test_what_the_customer_closed_is_not_kept_open(page: Page) -> None:
    page.press("/close", "/close")

    answer = page.client.post(f"{page.address}/keep-open", data={"key": "x" * 22})

    assert answer.status_code == 409
    assert page.case().state == CaseState.CLOSED


# Reading changes nothing


def test_reading_changes_nothing(page: Page) -> None:
    before = (page.case().version, page.kinds())

    for more in ("", "/close", "/replace-link", "/not-me", "?done=closed", "?before=1"):
        page.get(more)
        page.client.head(f"{page.address}{more}")

    assert (page.case().version, page.kinds()) == before


def test_each_change_has_a_button_and_no_link(page: Page) -> None:
    answers = [page.get(f"/{action}") for action in ("message", "reopen", "keep-open")]

    assert [answer.status_code for answer in answers] == [405, 405, 405]


# Writing


def test_a_message_is_kept_and_leads_back_to_the_page(page: Page) -> None:
    answer = page.press("/message", message="Geht es auch früher?")

    assert (answer.status_code, answer.location) == (303, f"{page.address}?done=message#main")
    assert Kind.MESSAGE in page.kinds()
    assert "You wrote to us" in page.words()
    assert "Geht es auch früher?" in page.words()


@pytest.mark.parametrize("message", [" \n\x00", "x" * 5001])
def test_a_wrong_message_is_refused_and_kept(page: Page, message: str) -> None:
    answer = page.press("/message", message=message)

    assert answer.status_code == 422
    assert "<title>Error: " in answer.text
    assert len(errors(answer.text)) == 1
    assert Kind.MESSAGE not in page.kinds()


def test_an_error_is_told_in_the_language_of_the_case(page: Page) -> None:
    answer = page.client.post(f"{page.address}/message", data={"message": ""}, headers={"Accept-Language": "de"})

    assert errors(answer.text) == ["Write your message."]


def test_a_message_pressed_twice_is_one_message(page: Page) -> None:
    data = values(form_with_action(page.get().text, f"{page.address}/message"))

    answers = [page.client.post(f"{page.address}/message", data={**data, "message": "Hallo"}) for _ in range(2)]

    assert [answer.location for answer in answers] == [f"{page.address}?done=message#main"] * 2
    assert page.kinds().count(Kind.MESSAGE) == 1


def test_a_used_key_with_another_text_is_refused_and_the_text_kept(page: Page) -> None:
    data = values(form_with_action(page.get().text, f"{page.address}/message"))
    page.client.post(f"{page.address}/message", data={**data, "message": "Hallo"})

    answer = page.client.post(f"{page.address}/message", data={**data, "message": "Noch etwas"})

    assert answer.status_code == 409
    again = values(form_with_action(answer.text, f"{page.address}/message"))
    assert again["message"] == "Noch etwas"
    assert again["key"] != data["key"]


def test_a_message_without_a_usable_key_is_taken(page: Page) -> None:
    keys = ["", "kurz", "\x00" * 22, "ü" * 22, "x" * 65]

    answers = [page.client.post(f"{page.address}/message", data={"message": "Hallo", "key": key}) for key in keys]

    assert {answer.status_code for answer in answers} == {303}
    assert page.kinds().count(Kind.MESSAGE) == len(keys)


def test_a_message_long_after_closing_becomes_a_new_case(page: Page, tuesday: Any) -> None:
    page.close()
    tuesday.shift(timedelta(days=15))

    answer = page.press("/message", message="Noch eine Frage")

    assert answer.location == f"{page.address}?done=continued#main"
    with page.app.app_context(), db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Case)) == 2


def test_a_continuation_and_what_it_continues_name_each_other(page: Page, tuesday: Any) -> None:
    page.close()
    tuesday.shift(timedelta(days=15))

    page.press("/message", message="Noch eine Frage")

    with page.app.test_request_context(), db.reading() as session:
        new = session.scalars(select(Case).where(Case.continues_id == page.case_id)).one()
        old, there = session.get_one(Case, page.case_id).reference, finding.status_token(new)
    desk = staff_desk.Desk.of(page.app, "Miriam Albrecht")
    links = [f'href="/staff/cases/{reference}"' for reference in (new.reference, old)]
    assert f"Continued in the new request {new.reference}" in page.words()
    assert f"This request continues {old}." in staff_desk.text(page.client.get(f"/s/{there}").text)
    assert links[0] in desk.get(f"/staff/cases/{old}").text
    assert links[1] in desk.get(f"/staff/cases/{new.reference}").text


def test_a_continuation_pressed_twice_says_the_same_twice(page: Page, tuesday: Any) -> None:
    page.close()
    tuesday.shift(timedelta(days=15))
    data = values(form_with_action(page.get().text, f"{page.address}/message"))

    answers = [page.client.post(f"{page.address}/message", data={**data, "message": "Hallo"}) for _ in range(2)]

    assert [answer.location for answer in answers] == [f"{page.address}?done=continued#main"] * 2


# Closing and reopening


def test_closing_asks_once_and_then_closes(page: Page) -> None:
    answer = page.press("/close", "/close", outcome="withdrawn")

    assert (answer.status_code, answer.location) == (303, f"{page.address}?done=closed#main")
    assert (page.case().state, page.case().outcome) == (CaseState.CLOSED, Outcome.WITHDRAWN)


@pytest.mark.parametrize("outcome", ["done", "no_answer", "kaputt"])
def test_what_is_no_outcome_of_the_customers_counts_as_settled(page: Page, outcome: str) -> None:
    page.press("/close", "/close", outcome=outcome)

    assert page.case().outcome == Outcome.DONE


def test_closing_a_case_that_changed_meanwhile_shows_it_and_asks_again(page: Page) -> None:
    data = values(form_with_action(page.get("/close").text, f"{page.address}/close"))
    page.do(promising.promise_date, by_id=page.miriam, step=NewPromise(PromiseKind.CALL, Medium.CALL, THURSDAY))

    answer = page.client.post(f"{page.address}/close", data=data)

    assert answer.status_code == 409
    assert errors(answer.text) == [
        "The case has changed in the meantime. Please look at the present state and try again."
    ]
    assert page.case().state == CaseState.OPEN
    fresh = values(form_with_action(answer.text, f"{page.address}/close"))
    assert page.client.post(f"{page.address}/close", data=fresh).status_code == 303


def test_closing_twice_is_one_closing(page: Page) -> None:
    data = values(form_with_action(page.get("/close").text, f"{page.address}/close"))

    answers = [page.client.post(f"{page.address}/close", data=data) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert page.kinds().count(Kind.CLOSED) == 1


def test_reopening_with_a_word_about_why(page: Page) -> None:
    page.close()

    answer = page.press("/reopen", message="Es fehlt noch eine Seite.")

    assert answer.location == f"{page.address}?done=reopened#main"
    assert page.case().state == CaseState.OPEN
    assert "Es fehlt noch eine Seite." in page.words()


def test_reopening_needs_no_word(page: Page) -> None:
    page.close()

    assert page.press("/reopen").status_code == 303


def test_reopening_too_late_is_refused_with_a_sentence(page: Page, tuesday: Any) -> None:
    page.close()
    data = values(form_with_action(page.get().text, f"{page.address}/reopen"))
    tuesday.shift(timedelta(days=15))

    answer = page.client.post(f"{page.address}/reopen", data={**data, "message": "Es fehlt etwas."})

    assert answer.status_code == 409
    assert errors(answer.text) == ["This case can no longer be reopened. Please write to us again."]
    assert "Es fehlt etwas." in answer.text


# The link


def test_replacing_the_link_kills_the_old_one_and_leads_to_a_page_without_it(page: Page) -> None:
    answer = page.press("/replace-link", "/replace-link")

    assert (answer.status_code, answer.location) == (303, "/link?done=link&lang=en")
    assert page.get().status_code == 404
    assert "The old link no longer works." in staff_desk.text(page.client.get(answer.location or "").text)


def test_replacing_twice_is_one_replacement(page: Page) -> None:
    data = values(form_with_action(page.get("/replace-link").text, f"{page.address}/replace-link"))

    answers = [page.client.post(f"{page.address}/replace-link", data=data) for _ in range(2)]

    assert [answer.location for answer in answers] == ["/link?done=link&lang=en"] * 2
    assert page.kinds().count(Kind.LINK_REPLACED) == 1


@pytest.mark.parametrize(("language", "sorry"), [("en", "We did not keep the date"), ("de", "nicht gehalten")])
def test_the_letter_with_the_new_link_names_no_date_that_has_passed(page: Page, language: str, sorry: str) -> None:
    with page.app.app_context(), db.writing() as session:
        session.get_one(Case, page.case_id).language = language

    page.do(linking.replace_link, now=NOW + timedelta(days=2))

    with page.app.app_context(), db.reading() as session:
        letter = read(session.scalars(select(Letter).where(Letter.kind == "link")).one())
    for body in (letter.text, letter.html):
        assert sorry in body
        assert "089 99998-214" in body.replace("\xa0", " ")
        assert "25 November" not in body and "25. November" not in body
        assert "closed." not in body and "abgeschlossen." not in body


def test_that_was_not_me_stops_the_letters_and_names_the_day_of_erasure(page: Page) -> None:
    answer = page.press("/not-me", "/not-me")

    assert answer.location == f"{page.address}?done=not-me#main"
    words = page.words()
    assert "We send no more e-mails about it. On Tuesday 1 December we erase the details." in words
    assert actions(page.get().text) == set()


def test_after_that_was_not_me_the_page_promises_nothing_that_does_not_hold(page: Page) -> None:
    page.press("/not-me", "/not-me")

    words, html = page.words(), page.get().text

    assert "Replace the link" not in words
    assert "sa…@kunde.example" not in words
    assert "The link works until" not in words
    assert f"{page.address}/not-me" not in html and f"{page.address}/replace-link" not in html


@pytest.mark.parametrize("more", ["/close", "/replace-link", "/not-me"])
def test_a_page_that_asks_for_what_is_no_longer_possible_leads_to_the_status(page: Page, more: str) -> None:
    page.press("/not-me", "/not-me")

    answer = page.get(more)

    assert (answer.status_code, answer.location) == (302, page.address)


def test_a_closed_case_is_not_asked_to_be_closed(page: Page) -> None:
    page.close()

    answer = page.get("/close")

    assert (answer.status_code, answer.location) == (302, page.address)


@pytest.mark.parametrize("act", ["close", "replace-link", "not-me"])
def test_what_is_no_longer_possible_is_refused_on_the_status_page(page: Page, act: str) -> None:
    data = values(form_with_action(page.get(f"/{act}").text, f"{page.address}/{act}"))
    page.press("/not-me", "/not-me")

    answer = page.client.post(f"{page.address}/{act}", data=data)

    assert answer.status_code == 409
    assert len(errors(answer.text)) == 1
    assert actions(answer.text) == set()


@pytest.mark.parametrize("act", ["replace-link", "not-me"])
def test_a_used_key_is_refused_with_its_sentence_on_the_page_that_asks(page: Page, act: str) -> None:
    data = values(form_with_action(page.get().text, f"{page.address}/message"))
    page.client.post(f"{page.address}/message", data={**data, "message": "Hallo"})

    answer = page.client.post(f"{page.address}/{act}", data={"key": data["key"]})

    assert answer.status_code == 409
    assert len(errors(answer.text)) == 1
    assert f"{page.address}/{act}" in actions(answer.text)


def test_after_that_was_not_me_a_message_is_refused_with_a_sentence(page: Page) -> None:
    data = values(form_with_action(page.get().text, f"{page.address}/message"))
    page.press("/not-me", "/not-me")

    answer = page.client.post(f"{page.address}/message", data={**data, "message": "Hallo"})

    assert answer.status_code == 409
    assert errors(answer.text) == ["This case is not open."]


# Links that lead nowhere


@pytest.mark.parametrize("more", ["", "/close", "/replace-link", "/not-me"])
def test_every_link_that_leads_nowhere_gets_the_same_page(page: Page, more: str) -> None:
    genuine = page.token
    other = Links([SECRET_KEY])
    page.press("/replace-link", "/replace-link")
    tokens = [
        "x",
        genuine,
        genuine[:-1],
        genuine + ".",
        genuine.upper(),
        genuine * 2,
        other.sign(Purpose.STATUS, "nobody"),
        other.sign(Purpose.CONTACT_FORM, page.case().link_nonce),
        "%00",
        "ü",
    ]

    answers = [page.client.get(f"/s/{token}{more}", headers={"Accept-Language": "en"}) for token in tokens]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.data for answer in answers}) == 1
    assert "This link does not lead to a request" in answers[0].text
    assert "Petra Lindner" in answers[0].text


def test_posting_to_a_link_that_leads_nowhere_gets_that_page_too(client: FlaskClient, company: dict[str, int]) -> None:
    english = {"Accept-Language": "en"}
    addresses = [f"/s/nobody/{action}" for action in ("message", "close", "reopen", "replace-link", "not-me")]

    answers = [client.post(address, data={"message": "Hallo"}, headers=english) for address in addresses]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.data for answer in answers} == {client.get("/s/nobody", headers=english).data}


def test_an_erased_case_is_like_one_that_never_was(page: Page) -> None:
    page.close()
    page.do(erasing.erase)

    answer = page.client.get(page.address, headers={"Accept-Language": "en"})

    assert answer.data == page.client.get("/s/nobody", headers={"Accept-Language": "en"}).data


@pytest.mark.parametrize("more", ["", "/close", "/not-me"])
def test_a_genuine_link_whose_time_is_over_says_so_and_names_the_person(page: Page, tuesday: Any, more: str) -> None:
    page.close()
    tuesday.shift(timedelta(days=91))

    answer = page.get(more)

    assert answer.status_code == 410
    words = staff_desk.text(answer.text)
    assert "This link has expired It worked until Monday 22 February." in words
    assert "Miriam Albrecht helps you: 089 99998-214" in words


def test_an_expired_link_changes_nothing(page: Page, tuesday: Any) -> None:
    page.close()
    tuesday.shift(timedelta(days=91))

    answer = page.client.post(f"{page.address}/message", data={"message": "Hallo"})

    assert answer.status_code == 410
    assert Kind.MESSAGE not in page.kinds()


# Around it


def test_the_page_is_small_and_loads_nothing_from_elsewhere(page: Page) -> None:
    html = page.get().text
    colour = page.client.get("/brand.css").data
    sizes = {name: (STATIC / name).stat().st_size for name in ("app.css", "enhance.js")}

    assert len(html.encode()) + len(colour) + sum(sizes.values()) <= 40_000
    assert sizes["enhance.js"] <= 2048
    tree = document(html)
    loaded = [part.get("src") for part in tree.iter("script")] + [part.get("href", "") for part in tree.iter("link")]
    assert [one for one in loaded if not (one or "").startswith(("/", "data:"))] == []


def test_the_answer_is_kept_from_caches_searches_and_referrers(page: Page) -> None:
    headers = page.get().headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in headers["X-Robots-Tag"]
    assert "Set-Cookie" not in headers


def test_every_kind_of_entry_has_a_sentence(page: Page) -> None:
    with page.app.test_request_context("/?lang=en"):
        sentence = page.app.jinja_env.get_template("_journal.html").module.sentence  # type: ignore[attr-defined]
        entry = {"actor": "system", "direction": "none", "person_name": "X", "facts": {}, "due": None}
        said = {kind: str(sentence({**entry, "kind": kind})).strip() for kind in Kind}

    assert [kind for kind, words in said.items() if not words] == []
    assert len(set(said.values())) == len(Kind)


# Errors


@pytest.mark.parametrize(
    ("method", "path", "code", "german", "english"),
    [
        ("GET", "/nichts", 404, "Unter dieser Adresse gibt es keine Seite", "There is no page at this address"),
        ("PUT", "/contact", 405, "So lässt sich diese Adresse nicht öffnen", "This address cannot be opened like this"),
    ],
)
def test_an_error_page_speaks_the_readers_language_and_names_the_front_desk(
    client: FlaskClient, company: dict[str, int], method: str, path: str, code: int, german: str, english: str
) -> None:
    de = client.open(path, method=method, headers={"Accept-Language": "de", "Accept": "text/html"})
    en = client.open(path, method=method, headers={"Accept-Language": "en", "Accept": "text/html"})

    assert (de.status_code, en.status_code) == (code, code)
    assert german in de.text
    assert english in en.text
    assert "Petra Lindner" in staff_desk.text(en.text)
    assert 'href="tel:+498999998100"' in en.text


def test_a_405_still_says_which_methods_are_allowed(client: FlaskClient, company: dict[str, int]) -> None:
    assert set(client.put("/contact").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_post_that_is_too_long_is_refused_with_a_sentence(client: FlaskClient, company: dict[str, int]) -> None:
    answer = client.post("/contact", data={"message": "x" * 70_000}, headers={"Accept-Language": "en"})

    assert answer.status_code == 413
    assert "That was too much at once" in answer.text


def test_who_reads_no_html_gets_plain_text(client: FlaskClient, company: dict[str, int]) -> None:
    answer = client.get("/nichts", headers={"Accept": "application/json", "Accept-Language": "en"})

    assert (answer.status_code, answer.mimetype) == (404, "text/plain")


@pytest.fixture
def broken(app: Flask, company: dict[str, int]) -> Flask:
    """The application with a database that has lost its tables."""
    with app.app_context(), db.writing() as session:
        dialect = session.get_bind().dialect.name
        session.execute(text('DROP TABLE "company"' + (" CASCADE" if dialect == "postgresql" else "")))
    return app


def test_a_fault_of_ours_is_a_sentence_without_a_traceback(broken: Flask) -> None:
    broken.testing = False
    answer = broken.test_client().get("/contact?lang=en")

    assert answer.status_code in (500, 503)
    assert "Petra Lindner, 089 99998-100" in answer.text
    assert "Traceback" not in answer.text
    assert "company" not in answer.text


def test_without_a_database_the_typed_text_is_there_to_copy(
    app: Flask, company: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app.testing = False
    client = app.test_client()
    token = values(form_with_action(client.get("/contact?lang=en").text, "/contact?lang=en"))["csrf_token"]
    monkeypatch.setitem(app.extensions, "portal.turn", Unreachable())

    typed = {"csrf_token": token, "topic": "angebot", "name": "Sabine", "email": "s@k.example", "message": "Mein Text"}
    answer = client.post("/contact?lang=en", data=typed)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "Petra Lindner, 089 99998-100" in answer.text
    copied = document(answer.text).find(".//textarea")
    assert copied is not None and copied.text is not None
    assert copied.text.strip().splitlines() == ["Sabine", "s@k.example", "Mein Text"]


class Unreachable:
    """A database whose turn to write never comes."""

    def __enter__(self) -> None:
        raise OperationalError("BEGIN", None, Exception("database is locked"))

    def __exit__(self, *_: object) -> None:
        """Never reached."""

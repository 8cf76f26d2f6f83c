"""The case page: what it shows, what each form does, and what it says when a step is refused."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal import db
from portal.cases import finding, opening
from portal.cases.contacts import Contact
from portal.cases.drafting import Wish
from portal.cases.models import Case, CaseState, Outcome, Topic
from portal.journal.models import Entry, Kind
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from portal.pages.staff import words
from portal.people.models import Person
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState, Waiting
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, document, errors, form_with_action, text, values

BEFORE = "An diesem Tag war das Anliegen noch nicht eingegangen. Wählen Sie den Tag des Eingangs oder einen späteren."
NUMBER = "089 99998-547"
FRIDAY = {"day": "2026-11-27", "hour": "11:00"}
"""A date with room: the third working day after NOW."""


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[None]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def reference(app: Flask, company: dict[str, int]) -> str:
    """An open case that waits for a reply by its owner, Miriam Albrecht."""
    return make_case(app)


@pytest.fixture
def desk(app: Flask, reference: str) -> Desk:
    """Miriam Albrecht's browser."""
    return Desk.of(app, "Miriam Albrecht")


def make_case(app: Flask, *, topic: str = "angebot", phone: str | None = NUMBER, language: str = "de") -> str:
    """A form somebody filled in just now; the reference."""
    with app.app_context(), db.writing() as session:
        wish = Wish(
            topic_id=session.scalars(select(Topic.id).where(Topic.slug == topic)).one(),
            name="Sabine Krüger",
            email="s.krueger@example.com",
            message="Bitte ein Angebot über 40 Pumpen.",
            language=language,
            phone_e164=None if phone is None else "+498999998547",
            phone_shown=phone,
        )
        submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=NOW)
        case = session.get_one(Case, submission.case_id)
        case.owner_id = session.scalars(select(Person.id).where(Person.name == "Miriam Albrecht")).one()
        session.execute(update(Promise).where(Promise.case_id == case.id).values(person_id=case.owner_id))
        return case.reference


def at(reference: str, step: str = "") -> str:
    """The address of the case page, or of one of its forms."""
    return f"/staff/cases/{reference}" + (f"/{step}" if step else "")


def stored(app: Flask, reference: str) -> Case:
    """The case as it stands in the database."""
    with app.app_context(), db.reading() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        return case


def journal(app: Flask, reference: str) -> list[Entry]:
    """The case's entries, newest first."""
    with app.app_context(), db.reading() as session:
        rows = select(Entry).join(Case).where(Case.reference == reference).order_by(Entry.id.desc())
        return list(session.scalars(rows))


def open_promises(app: Flask, reference: str) -> list[Promise]:
    """What the customer waits for, the next first."""
    with app.app_context(), db.reading() as session:
        rows = select(Promise).join(Case, Case.id == Promise.case_id).where(Case.reference == reference)
        return list(session.scalars(rows.where(Promise.state == PromiseState.OPEN).order_by(Promise.due_at)))


def letters(app: Flask, reference: str) -> list[str]:
    """The kinds of all letters that were not taken back, in order."""
    with app.app_context(), db.reading() as session:
        rows = select(Letter.kind).join(Case, Case.id == Letter.case_id).where(Case.reference == reference)
        return list(session.scalars(rows.where(Letter.state != "withdrawn").order_by(Letter.id)))


def first_promise(app: Flask, reference: str) -> int:
    """The id of the next step."""
    return open_promises(app, reference)[0].id


def test_the_page_says_what_is_promised_how_long_is_left_and_who_asked(desk: Desk, reference: str) -> None:
    page = text(desk.get(at(reference)).text)

    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr." in page
    assert "noch 16 Arbeitsstunden" in page
    assert "Sabine Krüger" in page and "s.krueger@example.com" in page
    assert "Bitte ein Angebot über 40 Pumpen." in page
    assert "Eingangsbestätigung wartet auf den Versand" in page


def test_an_unknown_reference_is_not_found(desk: Desk) -> None:
    assert desk.get(at("ZZZ-ZZZ")).status_code == 404


def test_a_reference_may_be_typed_in_small_letters(desk: Desk, reference: str) -> None:
    assert desk.get(at(reference.lower())).status_code == 200


def test_a_reply_that_keeps_the_promise_and_gives_a_new_one(app: Flask, desk: Desk, reference: str) -> None:
    kept = first_promise(app, reference)
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "reply"),
        reply__text="Das Angebot liegt bei.\r\nPreise gelten 30 Tage.",
        reply__keeps=kept,
        reply__then="new",
        reply__promise="follow_up-call",
        reply__day=FRIDAY["day"],
        reply__hour=FRIDAY["hour"],
        reply__what="Ihre Fragen zum Angebot",
    )

    assert (answer.status_code, answer.location) == (303, f"{at(reference)}?done=reply")
    assert "Ihre Antwort ist unterwegs." in desk.follow().text
    (promise,) = open_promises(app, reference)
    assert (promise.kind, promise.medium) == (PromiseKind.FOLLOW_UP, Medium.CALL)
    assert promise.due_at.isoformat() == "2026-11-27T10:00:00+00:00"
    assert promise.what == "Ihre Fragen zum Angebot"
    entries = {entry.kind: entry for entry in journal(app, reference)}
    assert entries[Kind.REPLY].text == "Das Angebot liegt bei.\nPreise gelten 30 Tage."
    assert Kind.PROMISE_KEPT in entries
    assert LetterKind.REPLY in letters(app, reference)


def test_a_reply_keeps_nothing_unless_the_person_says_so(app: Flask, desk: Desk, reference: str) -> None:
    before = first_promise(app, reference)
    desk.get(at(reference))

    answer = desk.submit(at(reference, "reply"), reply__text="Ein Zwischenstand.")

    assert answer.status_code == 303
    assert first_promise(app, reference) == before


def test_a_case_is_not_left_without_a_next_step_and_everything_typed_is_kept(
    app: Flask, desk: Desk, reference: str
) -> None:
    desk.get(at(reference))
    before = journal(app, reference)

    answer = desk.submit(
        at(reference, "reply"), reply__text="Alles beantwortet.", reply__keeps=first_promise(app, reference)
    )

    assert answer.status_code == 422
    assert len(errors(answer.text)) == 1 and 'href="#reply-then-0"' in answer.text
    form = values(form_with_action(answer.text, at(reference, "reply")))
    assert form["reply-text"] == "Alles beantwortet."
    assert form["reply-keeps"] == str(first_promise(app, reference))
    assert len(journal(app, reference)) == len(before)
    assert "<title>Fehler: " in answer.text


def test_an_empty_reply_opens_its_form_again_with_the_sentence_at_the_field(desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "reply"), reply__text="  \r\n ")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Schreiben Sie, was in der Antwort stehen soll."]
    opened = [part.get("id") for part in document(answer.text).iter("details") if part.get("open") is not None]
    assert opened == ["reply"]
    assert 'id="reply-text-error"' in answer.text and 'aria-invalid="true"' in answer.text


def test_a_question_leaves_the_date_on_which_we_ask_again(app: Flask, desk: Desk, reference: str) -> None:
    kept = first_promise(app, reference)
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "ask"),
        ask__text="Welche Leistung brauchen die Pumpen?",
        ask__keeps=kept,
        ask__day=FRIDAY["day"],
        ask__hour=FRIDAY["hour"],
    )

    assert answer.location == f"{at(reference)}?done=ask"
    (promise,) = open_promises(app, reference)
    assert promise.kind == PromiseKind.FOLLOW_UP
    assert LetterKind.QUESTION in letters(app, reference)


def test_while_we_wait_the_page_says_what_happens_by_itself(app: Flask, desk: Desk, reference: str) -> None:
    kept = first_promise(app, reference)
    desk.get(at(reference))
    desk.submit(
        at(reference, "ask"), ask__text="Welche?", ask__keeps=kept, ask__day=FRIDAY["day"], ask__hour=FRIDAY["hour"]
    )

    asked = text(desk.get(at(reference)).text)
    with app.app_context(), db.writing() as session:
        session.execute(update(Promise).where(Promise.waiting.is_not(None)).values(waiting=Waiting.CLOSING))
    announced = text(desk.get(at(reference)).text)

    assert "Wir warten auf eine Antwort. Bis zu diesem Datum wird die nächste Nachricht von selbst verschickt." in asked
    assert "schließt den Vorgang am Freitag, 27. November" in announced
    assert "Zu diesem Datum wird der Vorgang von selbst abgeschlossen" in announced


def test_a_promised_date_is_told_at_once(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "promise"),
        promise__promise="call-call",
        promise__day=FRIDAY["day"],
        promise__hour=FRIDAY["hour"],
    )

    assert answer.location == f"{at(reference)}?done=promise"
    assert {promise.kind for promise in open_promises(app, reference)} == {PromiseKind.REPLY, PromiseKind.CALL}
    assert LetterKind.PROMISE_GIVEN in letters(app, reference)


def test_the_proposed_date_is_one_that_can_be_promised(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    assert desk.submit(at(reference, "promise")).status_code == 303
    assert len(open_promises(app, reference)) == 1


@pytest.mark.parametrize(
    ("day", "hour", "field", "words_in_it"),
    [
        pytest.param("2026-11-24", "09:20", "promise-hour", "30", id="too near"),
        pytest.param("2026-11-29", "11:00", "promise-day", "Arbeitszeit", id="a Sunday"),
        pytest.param("2026-11-27", "22:00", "promise-day", "Arbeitszeit", id="at night"),
        pytest.param("2026-12-25", "11:00", "promise-day", "Arbeitszeit", id="Christmas"),
        pytest.param("2027-03-28", "02:30", "promise-hour", "Zeitumstellung", id="a time that does not exist"),
        pytest.param("2027-10-31", "02:30", "promise-hour", "Zeitumstellung", id="a time that comes twice"),
        pytest.param("2026-13-40", "11:00", "promise-day", "26.11.2026", id="no day at all"),
        pytest.param("2026-11-27", "halb drei", "promise-hour", "14:30", id="no time at all"),
        pytest.param("", "11:00", "promise-day", "26.11.2026", id="no day"),
    ],
)
def test_a_date_that_cannot_be_promised_is_refused_at_its_field(
    desk: Desk, reference: str, day: str, hour: str, field: str, words_in_it: str
) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "promise"), promise__day=day, promise__hour=hour)

    assert answer.status_code == 422
    (sentence,) = errors(answer.text)
    assert words_in_it in sentence
    assert f'href="#{field}"' in answer.text and f'id="{field}-error"' in answer.text
    form = values(form_with_action(answer.text, at(reference, "promise")))
    assert (form["promise-day"], form["promise-hour"]) == (day, hour)


@pytest.mark.parametrize(("day", "hour"), [("27.11.2026", "11.00"), ("27.11.26", "11")])
def test_dates_may_be_typed_as_people_do(app: Flask, desk: Desk, reference: str, day: str, hour: str) -> None:
    desk.get(at(reference))

    desk.submit(at(reference, "promise"), promise__promise="call-call", promise__day=day, promise__hour=hour)

    assert datetime.combine(date(2026, 11, 27), time(10), NOW.tzinfo) in {
        promise.due_at for promise in open_promises(app, reference)
    }


@pytest.mark.parametrize("contact", list(Contact))
def test_every_contact_can_be_logged(app: Flask, desk: Desk, reference: str, contact: Contact) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "contact"), contact__contact=contact, contact__text="Es ging um die Pumpen.")

    assert answer.location == f"{at(reference)}?done=contact"
    entry = next(entry for entry in journal(app, reference) if entry.facts.get("contact") == contact)
    assert (entry.text, entry.visible, entry.at) == ("Es ging um die Pumpen.", False, NOW)


def test_a_contact_is_internal_unless_ticked(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    desk.submit(
        at(reference, "contact"), contact__contact="visit", contact__text="Vor Ort gewesen.", contact__visible="y"
    )

    assert next(entry for entry in journal(app, reference) if entry.kind == Kind.VISIT).visible


def test_a_call_that_reached_the_customer_keeps_the_promise_of_an_answer(
    app: Flask, desk: Desk, reference: str
) -> None:
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "contact"),
        contact__contact="call_reached",
        contact__text="Alles am Telefon geklärt, das Angebot folgt.",
        contact__keeps=first_promise(app, reference),
        contact__then="new",
        contact__promise="result-mail",
        contact__day=FRIDAY["day"],
        contact__hour=FRIDAY["hour"],
    )

    assert answer.status_code == 303
    (promise,) = open_promises(app, reference)
    assert promise.kind == PromiseKind.RESULT


def test_a_call_that_reached_nobody_keeps_nothing(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "contact"), contact__contact="call_not_reached", contact__keeps=first_promise(app, reference)
    )

    assert answer.status_code == 422
    assert len(errors(answer.text)) == 1 and 'href="#contact-keeps-0"' in answer.text
    assert Kind.CALL not in {entry.kind for entry in journal(app, reference)}


@pytest.mark.parametrize("contact", ["call_not_reached", "call_mailbox"])
def test_a_call_that_reached_nobody_needs_no_words(desk: Desk, reference: str, contact: str) -> None:
    desk.get(at(reference))

    assert desk.submit(at(reference, "contact"), contact__contact=contact).status_code == 303


def test_other_contacts_need_words_and_a_kind(desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    without_kind = errors(desk.submit(at(reference, "contact")).text)
    without_words = errors(desk.submit(at(reference, "contact"), contact__contact="visit").text)

    assert without_kind == ["Wählen Sie, was geschehen ist."]
    assert without_words == ["Schreiben Sie auf, was besprochen wurde."]


def test_a_contact_may_be_logged_later_with_its_own_time(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    desk.submit(
        at(reference, "contact"),
        contact__contact="call_in",
        contact__text="Rief heute früh an.",
        contact__at_day="2026-11-24",
        contact__at_hour="08:30",
    )

    entry = next(entry for entry in journal(app, reference) if entry.kind == Kind.CALL)
    assert entry.at.isoformat() == "2026-11-24T07:30:00+00:00"
    assert entry.noted_at == NOW


@pytest.mark.parametrize(
    ("day", "hour", "sentence"),
    [
        ("2026-11-23", "17:30", BEFORE),
        ("1990-01-01", "10:00", BEFORE),
        ("0001-01-01", "00:00", BEFORE),
        ("9999-12-31", "23:59", "Ein Kontakt, der schon war, kann nicht in der Zukunft liegen."),
        ("2026-11-24", "09:13", "Ein Kontakt, der schon war, kann nicht in der Zukunft liegen."),
        ("2026-11-23", "", "Geben Sie Tag und Uhrzeit ein oder keines von beiden."),
        ("", "09:00", "Geben Sie Tag und Uhrzeit ein oder keines von beiden."),
    ],
)
def test_a_contact_lies_in_the_past_and_has_day_and_time(
    desk: Desk, reference: str, day: str, hour: str, sentence: str
) -> None:
    desk.get(at(reference))

    answer = desk.submit(
        at(reference, "contact"),
        contact__contact="call_in",
        contact__text="Anruf",
        contact__at_day=day,
        contact__at_hour=hour,
    )

    assert answer.status_code == 422
    assert errors(answer.text) == [sentence]


def test_a_mail_that_came_in_needs_nothing_but_its_text(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "mail"), mail__text="Wann kommt das Angebot?")

    assert answer.location == f"{at(reference)}?done=contact"
    entry = next(entry for entry in journal(app, reference) if entry.kind == Kind.MAIL)
    assert (entry.text, entry.visible) == ("Wann kommt das Angebot?", True)
    assert LetterKind.MESSAGE_RECEIVED in letters(app, reference)


def test_a_note_is_for_colleagues_only(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "note"), note__text="KANARIENVOGEL Rabatt bis 8 %")

    assert answer.location == f"{at(reference)}?done=note"
    entry = journal(app, reference)[0]
    assert (entry.kind, entry.visible) == (Kind.NOTE, False)
    assert "intern" in text(desk.follow().text)


def test_a_note_is_written_even_if_the_case_moved_on(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    with app.app_context(), db.writing() as session:
        session.execute(update(Case).values(version=Case.version + 1))

    assert desk.submit(at(reference, "note"), note__text="Bitte beachten.").status_code == 303


def test_closing_says_how_it_ended_and_offers_to_reopen(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "close"), close__outcome="done", close__text="Das Angebot haben Sie angenommen.")

    assert answer.location == f"{at(reference)}?done=close"
    case = stored(app, reference)
    assert (case.state, case.outcome, case.outcome_text) == (
        CaseState.CLOSED,
        Outcome.DONE,
        "Das Angebot haben Sie angenommen.",
    )
    page = desk.follow().text
    assert "Das Angebot haben Sie angenommen." in text(page)
    assert actions(page) == {"/staff/logout", at(reference, "reopen"), at(reference, "note")}


def test_closing_needs_an_outcome_and_a_sentence(desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "close"))

    assert answer.status_code == 422
    assert errors(answer.text) == [
        "Wählen Sie, wie es ausgegangen ist.",
        "Schreiben Sie in einem Satz, wie es ausgegangen ist.",
    ]


def test_reopening_gives_a_new_date(app: Flask, desk: Desk, reference: str) -> None:
    close(desk, reference)
    desk.follow()

    answer = desk.submit(at(reference, "reopen"), reopen__text="Eine Position fehlt noch.")

    assert answer.location == f"{at(reference)}?done=reopen"
    assert stored(app, reference).state == CaseState.OPEN
    assert len(open_promises(app, reference)) == 1


def close(desk: Desk, reference: str) -> None:
    """Close the case in this browser."""
    desk.get(at(reference))
    desk.submit(at(reference, "close"), close__outcome="done", close__text="Erledigt.")


def test_a_reply_to_a_case_closed_meanwhile_is_refused_and_handed_back(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    colleague = Desk.of(app, "Jonas Weidner")
    close(colleague, reference)

    answer = desk.submit(at(reference, "reply"), reply__text="Meine lange Antwort.")

    assert answer.status_code == 409
    kept = [field.text for field in document(answer.text).iter("textarea") if field.get("id") == "unsent"]
    assert [words_kept.strip() for words_kept in kept if words_kept] == ["Meine lange Antwort."]
    assert Kind.REPLY not in {entry.kind for entry in journal(app, reference)}


def test_a_stale_page_shows_the_present_state_and_keeps_the_text_for_a_second_try(
    app: Flask, desk: Desk, reference: str
) -> None:
    desk.get(at(reference))
    colleague = Desk.of(app, "Jonas Weidner")
    colleague.get(at(reference))
    colleague.submit(at(reference, "contact"), contact__contact="call_in", contact__text="Rief eben an: eilt!")

    answer = desk.submit(at(reference, "reply"), reply__text="Meine lange Antwort.")

    assert answer.status_code == 409
    assert "Rief eben an: eilt!" in text(answer.text)
    assert Kind.REPLY not in {entry.kind for entry in journal(app, reference)}
    assert desk.submit(at(reference, "reply")).status_code == 303
    assert next(entry for entry in journal(app, reference) if entry.kind == Kind.REPLY).text == "Meine lange Antwort."


def test_a_double_click_writes_once_and_gets_the_same_answer(app: Flask, desk: Desk, reference: str) -> None:
    page = desk.get(at(reference))
    first = desk.submit(at(reference, "reply"), reply__text="Nur einmal.")
    desk.page = page

    second = desk.submit(at(reference, "reply"), reply__text="Nur einmal.")

    assert (first.status_code, first.location) == (second.status_code, second.location)
    assert [entry.kind for entry in journal(app, reference)].count(Kind.REPLY) == 1
    assert letters(app, reference).count(LetterKind.REPLY) == 1


def test_the_same_form_with_another_text_is_asked_about(app: Flask, desk: Desk, reference: str) -> None:
    page = desk.get(at(reference))
    desk.submit(at(reference, "note"), note__text="Erste Fassung.")
    desk.page = page

    answer = desk.submit(at(reference, "note"), note__text="Zweite Fassung.")

    assert answer.status_code == 422
    assert desk.submit(at(reference, "note")).status_code == 303
    assert [entry.text for entry in journal(app, reference)[:2]] == ["Zweite Fassung.", "Erste Fassung."]


def test_a_form_without_a_key_is_accepted(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    assert desk.submit(at(reference, "note"), note__key=None, note__text="Ohne Schlüssel.").status_code == 303


def test_fields_that_no_form_has_change_nothing(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    desk.submit(
        at(reference, "note"), note__text="Notiz", role="admin", owner_id=1, state="closed", note__by_id=2, due_at="x"
    )

    case = stored(app, reference)
    assert (case.state, journal(app, reference)[0].person_id) == (CaseState.OPEN, case.owner_id)


def test_starting_a_call_shows_the_number_with_what_may_become_of_it(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))

    answer = desk.submit(at(reference, "call"))

    assert answer.status_code == 200
    assert NUMBER in text(answer.text) and 'href="tel:+498999998547"' in answer.text
    outcomes = {field.get("value") for field in form_with_action(answer.text, at(reference, "contact")).iter("input")}
    assert {"call_reached", "call_not_reached", "call_mailbox"} <= outcomes and "visit" not in outcomes
    assert journal(app, reference)[0].kind == Kind.CALL_STARTED
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_call_pressed_twice_is_one_attempt(app: Flask, desk: Desk, reference: str) -> None:
    page = desk.get(at(reference))
    data = values(form_with_action(page.text, at(reference, "call")))

    answers = [desk.client.post(at(reference, "call"), data=data) for _ in range(2)]

    assert [(answer.status_code, NUMBER in text(answer.text)) for answer in answers] == [(200, True)] * 2
    assert [entry.kind for entry in journal(app, reference)].count(Kind.CALL_STARTED) == 1


def test_a_key_pressed_by_another_who_may_call_is_refused(app: Flask, desk: Desk, reference: str) -> None:
    page = desk.get(at(reference))
    data = values(form_with_action(page.text, at(reference, "call")))
    desk.client.post(at(reference, "call"), data=data)

    colleague = Desk.of(app, "Thomas Brandt")
    answer = colleague.client.post(at(reference, "call"), data={**data, **token(colleague.get(at(reference)).text)})

    assert (answer.status_code, NUMBER in text(answer.text)) == (403, False)


def test_what_became_of_a_call_is_logged_from_its_own_page(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    desk.submit(at(reference, "call"))

    answer = desk.submit(at(reference, "contact"), contact__contact="call_not_reached")

    assert answer.location == f"{at(reference)}?done=contact"
    assert journal(app, reference)[0].facts == {"contact": "call_not_reached"}


def test_nobody_else_gets_the_number(app: Flask, desk: Desk, reference: str) -> None:
    colleague = Desk.of(app, "Thomas Brandt")
    page = colleague.get(at(reference))
    assert at(reference, "call") not in actions(page.text)
    assert "Den Anruf kann nur Miriam Albrecht starten." in text(page.text)

    colleague.page = page
    answer = colleague.client.post(
        at(reference, "call"), data={**token(page.text), "call-version": stored(app, reference).version}
    )

    assert answer.status_code == 403
    assert "99998-547" not in answer.text and "99998547" not in answer.text
    assert "Das ist nicht geschehen" in text(answer.text)
    assert Kind.CALL_STARTED not in {entry.kind for entry in journal(app, reference)}


def test_a_stale_page_starts_no_call(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    with app.app_context(), db.writing() as session:
        session.execute(update(Case).values(version=Case.version + 1))

    answer = desk.submit(at(reference, "call"))

    assert answer.status_code == 409
    assert "99998-547" not in answer.text
    assert desk.submit(at(reference, "call")).status_code == 200


def test_without_a_number_the_page_says_so(app: Flask, desk: Desk) -> None:
    reference = make_case(app, phone=None)
    page = desk.get(at(reference))
    assert at(reference, "call") not in actions(page.text)
    assert "Es ist keine Telefonnummer angegeben." in text(page.text)

    answer = desk.client.post(
        at(reference, "call"), data={**token(page.text), "call-version": stored(app, reference).version}
    )

    assert answer.status_code == 422
    assert "Telefonnummer" in text(answer.text)


def test_a_call_is_no_link(desk: Desk, reference: str) -> None:
    assert desk.get(at(reference, "call")).status_code == 405


def test_the_buttons_say_who_reads_it(desk: Desk, reference: str) -> None:
    page = desk.get(at(reference)).text

    def button(step: str) -> str:
        return "".join(next(form_with_action(page, at(reference, step)).iter("button")).itertext()).strip()

    assert button("reply") == button("ask") == button("promise") == "An Sabine Krüger senden"
    assert button("note") == "Intern notieren"
    assert button("contact") == button("mail") == "Ins Journal eintragen"
    assert button("close") == "Abschließen und Sabine Krüger benachrichtigen"


def token(html: str) -> dict[str, str]:
    """The CSRF field of a page."""
    return {"csrf_token": values(form_with_action(html, "/staff/logout"))["csrf_token"]}


def staff_posts(app: Flask) -> list[str]:
    """Every staff address that takes a POST, except the login itself."""
    return sorted(
        rule.rule.replace("<reference>", "{reference}")
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/staff/") and "POST" in (rule.methods or ()) and rule.endpoint != "login.sign_in"
    )


def test_every_post_needs_its_csrf_token(app: Flask, desk: Desk, reference: str) -> None:
    before = len(journal(app, reference))

    answers = {path: desk.client.post(path.format(reference=reference)).status_code for path in staff_posts(app)}

    assert len(answers) == 23
    assert set(answers.values()) == {400}
    assert len(journal(app, reference)) == before


def test_nobody_does_anything_without_signing_in(app: Flask, reference: str) -> None:
    stranger = Desk(app)
    fields = token_of_login(stranger)
    paths = [path for path in staff_posts(app) if not path.endswith("/logout")]

    answers = {
        path: stranger.client.post(path.format(reference=reference), data=fields).headers["Location"] for path in paths
    }

    assert all(where.startswith("/staff/login?next=%2Fstaff%2F") for where in answers.values())
    assert {entry.kind for entry in journal(app, reference)} == {Kind.RECEIVED, Kind.OPENED}


@pytest.mark.parametrize(
    "path", ["/staff/", "/staff/cases/{reference}", "/staff/doubtful", "/staff/doubtful/{reference}"]
)
def test_nobody_reads_anything_without_signing_in(app: Flask, reference: str, path: str) -> None:
    answer = app.test_client().get(path.format(reference=reference))

    assert answer.status_code == 302
    assert "Krüger" not in answer.text


def token_of_login(desk: Desk) -> dict[str, str]:
    """The CSRF field of the login page."""
    return {"csrf_token": values(form_with_action(desk.get("/staff/login").text, ""))["csrf_token"]}


def test_words_sent_after_the_sign_in_ended_are_handed_back(desk: Desk, reference: str, app: Flask) -> None:
    desk.get(at(reference))

    with time_machine.travel(NOW + timedelta(hours=9), tick=False):
        answer = desk.submit(at(reference, "reply"), reply__text="Eine Stunde daran <b>gefeilt</b>.")

    assert answer.status_code == 401
    kept = [field.text or "" for field in document(answer.text).iter("textarea")]
    assert [words_kept.strip() for words_kept in kept] == ["Eine Stunde daran <b>gefeilt</b>."]
    assert f"/staff/login?next=%2Fstaff%2Fcases%2F{reference}" in answer.text
    assert Kind.REPLY not in {entry.kind for entry in journal(app, reference)}


def test_words_sent_without_the_cookie_are_handed_back(desk: Desk, reference: str, app: Flask) -> None:
    desk.get(at(reference))
    desk.client.delete_cookie("durchwahl")

    answer = desk.submit(at(reference, "reply"), reply__text="Der Browser war zu.")

    assert answer.status_code == 400
    assert "Der Browser war zu." in text(answer.text)
    assert Kind.REPLY not in {entry.kind for entry in journal(app, reference)}


def test_the_page_speaks_the_colleagues_language_whatever_the_customers_is(app: Flask, desk: Desk) -> None:
    reference = make_case(app, language="en")

    page = text(desk.get(at(reference)).text)

    assert "Miriam Albrecht antwortet bis" in page and "Sprache Englisch" in page


def test_only_known_words_make_a_notice(desk: Desk, reference: str) -> None:
    assert "unterwegs" in text(desk.get(f"{at(reference)}?done=reply").text)
    assert "sonstwas" not in desk.get(f"{at(reference)}?done=sonstwas").text


def test_what_was_typed_is_shown_as_text_and_never_as_markup(app: Flask, desk: Desk, reference: str) -> None:
    hostile = "<script>alert(1)</script>{{7*7}}%(x)s\"'><img src=x onerror=alert(1)>"
    desk.get(at(reference))
    desk.submit(at(reference, "note"), note__text=hostile)

    page = desk.follow()

    assert hostile in text(page.text)
    scripts = [script.get("src") for script in document(page.text).iter("script")]
    assert scripts == ["/static/enhance.js"]
    assert list(document(page.text).iter("img")) == []


def test_every_kind_of_entry_has_a_sentence(app: Flask, desk: Desk, reference: str) -> None:
    with app.test_request_context():
        sentence: Any = app.jinja_env.get_template("staff/_journal.html").make_module({"words": words}).sentence  # type: ignore[attr-defined]
        entry = Entry(facts={}, direction="in", actor="customer")
        entry.person_name, entry.due = "Miriam Albrecht", "Donnerstag"  # type: ignore[attr-defined]
        said = {}
        for kind in Kind:
            entry.kind = kind
            said[kind] = str(sentence(entry, "Sabine Krüger")).strip()

    assert all(said.values())
    assert len(set(said.values())) == len(Kind)


def test_every_value_a_page_names_has_its_words() -> None:
    assert set(words.LETTERS) == set(LetterKind)
    assert set(words.CONTACTS) == set(Contact)
    assert set(words.OUTCOMES) == set(Outcome)


def test_the_page_has_one_heading_and_forms_with_distinct_ids(desk: Desk, reference: str) -> None:
    tree = document(desk.get(at(reference)).text)

    ids = [part.get("id") for part in tree.iter() if part.get("id")]
    assert len(list(tree.iter("h1"))) == 1
    assert len(ids) == len(set(ids))


def test_a_long_history_is_paged(app: Flask, desk: Desk, reference: str) -> None:
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        for number in range(55):
            session.add(
                Entry(
                    case_id=case.id,
                    at=NOW + timedelta(seconds=number),
                    noted_at=NOW,
                    kind=Kind.NOTE,
                    channel="system",
                    direction="none",
                    actor="person",
                    person_id=case.owner_id,
                    visible=False,
                    text=f"Notiz Nummer {number:02}",
                )
            )
    page = desk.get(at(reference)).text
    assert "Notiz Nummer 54" in page and "Notiz Nummer 04" not in page

    older = next(link.get("href") for link in document(page).iter("a") if "before=" in (link.get("href") or ""))
    assert older is not None

    assert "Notiz Nummer 04" in desk.get(older.partition("#")[0]).text

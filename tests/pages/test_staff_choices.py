"""The page of choices, where the reminder leads: call, say in time that it takes longer, or answer."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from portal import db
from portal.cases import closing, delaying, finding
from portal.cases.models import Case, Outcome
from portal.people.models import Person
from portal.promises.models import Promise
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, document, errors, form_with_action, text, values
from tests.pages.test_staff_cases import at, first_promise, journal, letters, make_case, open_promises, stored
from tests.support.cast import berlin

REASON = "Das Werk bestätigt die Lieferzeit erst am Freitag."
FRIDAY = {"plan__day": "2026-11-27", "plan__hour": "11:00"}
TOLD = berlin("2026-11-24 09:27")
"""A quarter of an hour after NOW."""
NOTICE = berlin("2026-11-25 15:30")


@pytest.fixture(autouse=True)
def clock_() -> Iterator[Any]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def reference(app: Flask, company: dict[str, int]) -> str:
    """An open case that waits for a reply by its owner, Miriam Albrecht."""
    return make_case(app)


@pytest.fixture
def desk(app: Flask, reference: str) -> Desk:
    """Miriam Albrecht's browser."""
    return Desk.of(app, "Miriam Albrecht")


def planned(app: Flask, reference: str) -> tuple[datetime | None, str | None, datetime]:
    """What is planned with the next step: the date, the reason, and when it goes out."""
    promise = open_promises(app, reference)[0]
    return promise.moves_to, promise.reason, promise.notice_at


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_it_says_who_waits_for_what_how_much_time_is_left_and_when_the_system_writes(
    desk: Desk, reference: str
) -> None:
    page = text(desk.get(at(reference, "choices")).text)

    assert "Sabine Krüger wartet" in page
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr." in page
    assert "noch 16 Arbeitsstunden" in page
    assert "schreibt das System am Mittwoch, 25. November, 15:30 Uhr an Sabine Krüger, dass es länger dauert" in page


def test_in_english_too(app: Flask, desk: Desk, reference: str) -> None:
    with app.app_context(), db.writing() as session:
        session.execute(update(Person).values(language="en"))

    page = text(desk.get(at(reference, "choices")).text)

    assert "the system tells Sabine Krüger at 3:30 pm on Wednesday 25 November that it takes longer" in page


def test_the_first_choice_is_to_call_then_a_new_date_then_the_answer(desk: Desk, reference: str) -> None:
    page = desk.get(at(reference, "choices")).text
    main = document(page).find(".//main")
    assert main is not None

    forms = [form.get("action") for form in main.iter("form")]
    assert [button.get("class") for button in main.iter("button")] == ["button", "button quiet"]
    assert forms == [at(reference, "call"), at(reference, "plan")]
    assert "Anrufen und Zwischenstand geben" in text(page)
    links = [link.get("href") for link in main.iter("a")]
    assert links[-1] == f"{at(reference)}?open=reply#reply"


def test_the_link_to_the_answer_opens_its_form(desk: Desk, reference: str) -> None:
    page = document(desk.get(f"{at(reference)}?open=reply").text)

    assert [part.get("id") for part in page.iter("details") if part.get("open") is not None] == ["reply"]
    assert "Fehler" not in "".join(page.find(".//title").itertext())


def test_the_call_leads_to_the_number_and_asks_what_became_of_it(desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "call"))

    assert answer.status_code == 200
    assert "089 99998-547" in text(answer.text) and at(reference, "contact") in actions(answer.text)


def test_nobody_but_who_may_call_is_offered_the_call(app: Flask, reference: str) -> None:
    page = Desk.of(app, "Martina Ebert").get(at(reference, "choices")).text

    assert at(reference, "call") not in actions(page)
    assert "Den Anruf kann nur Miriam Albrecht starten." in text(page)


def test_without_a_number_there_is_no_call(app: Flask, company: dict[str, int]) -> None:
    reference = make_case(app, phone=None)

    page = Desk.of(app, "Miriam Albrecht").get(at(reference, "choices")).text

    assert at(reference, "call") not in actions(page)


def test_the_date_that_the_system_would_choose_is_proposed(desk: Desk, reference: str) -> None:
    form = values(form_with_action(desk.get(at(reference, "choices")).text, at(reference, "plan")))

    assert (form["plan-day"], form["plan-hour"]) == ("2026-11-27", "14:30")


def test_the_proposal_is_accepted_as_it_stands(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))

    assert desk.submit(at(reference, "plan")).status_code == 303
    assert planned(app, reference) == (berlin("2026-11-27 14:30"), None, TOLD)


# --- planning --------------------------------------------------------------------------------------------------------


def test_a_planned_date_is_shown_with_when_it_goes_out_and_moves_nothing_yet(
    app: Flask, desk: Desk, reference: str
) -> None:
    promise_id = first_promise(app, reference)
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)

    assert answer.status_code == 303
    assert answer.location == f"{at(reference, 'choices')}?done=plan&promise={promise_id}"
    assert planned(app, reference) == (berlin("2026-11-27 11:00"), REASON, TOLD)
    assert first_promise(app, reference) == promise_id
    page = text(desk.follow().text)
    assert "Vorgemerkt: Freitag, 27. November, 11 Uhr." in page and f"Grund: {REASON}" in page
    assert "Verschickt wird das heute um 9:27 Uhr; bis dahin können Sie es ändern." in page
    assert "schreibt das System" not in page


def test_it_goes_out_with_the_persons_date_and_words(
    app: Flask, desk: Desk, reference: str, clock_: time_machine.Traveller
) -> None:
    desk.get(at(reference, "choices"))
    desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)
    clock_.move_to(TOLD)

    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        delaying.give_notice(session, case, now=TOLD)

    assert open_promises(app, reference)[0].due_at == berlin("2026-11-27 11:00")
    assert letters(app, reference)[-1] == "delay_notice"


def test_a_reason_alone_waits_for_the_notice(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))

    desk.submit(at(reference, "plan"), plan__text=REASON, plan__day="", plan__hour="")

    assert planned(app, reference) == (None, REASON, NOTICE)
    page = text(desk.follow().text)
    assert "Vorgemerkt: ein Grund; das Datum wählt das System." in page
    assert "Verschickt wird das am Mittwoch, 25. November, 15:30 Uhr;" in page


def test_what_is_planned_stands_in_the_form_and_can_be_changed(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))
    desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)
    form = values(form_with_action(desk.follow().text, at(reference, "plan")))
    assert (form["plan-day"], form["plan-hour"], form["plan-text"]) == ("2026-11-27", "11:00", REASON)

    desk.submit(at(reference, "plan"), plan__hour="12:00", plan__text="")

    assert planned(app, reference) == (berlin("2026-11-27 12:00"), None, TOLD)


def test_what_is_planned_can_be_taken_back(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))
    desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)
    desk.follow()

    answer = desk.submit(at(reference, "forget-plan"))

    assert answer.status_code == 303
    assert planned(app, reference) == (None, None, NOTICE)
    page = desk.follow().text
    assert "Die Vormerkung ist zurückgenommen." in text(page)
    assert at(reference, "forget-plan") not in actions(page)


def test_a_date_that_a_calendar_sets_is_shown_and_not_offered_to_be_taken_back(
    app: Flask, desk: Desk, reference: str
) -> None:
    to = berlin("2026-11-26 09:00")
    with app.app_context(), db.writing() as session:
        session.execute(update(Promise).values(moves_to=to, planned_at=NOW))

    page = desk.get(at(reference, "choices")).text

    assert "Vorgemerkt: Donnerstag, 26. November, 9 Uhr." in text(page)
    assert at(reference, "plan") in actions(page) and at(reference, "forget-plan") not in actions(page)


def test_the_case_page_shows_what_is_planned_and_leads_here(app: Flask, desk: Desk, reference: str) -> None:
    choices = f"{at(reference, 'choices')}?promise={first_promise(app, reference)}"
    assert choices in hrefs(desk.get(at(reference)).text)
    desk.get(choices)
    desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)

    page = desk.get(at(reference)).text

    assert "Vorgemerkt: Freitag, 27. November, 11 Uhr." in text(page) and REASON in text(page)
    assert choices in hrefs(page)


def test_a_double_click_plans_once(app: Flask, desk: Desk, reference: str) -> None:
    page = desk.get(at(reference, "choices")).text
    form = values(form_with_action(page, at(reference, "plan")))

    answers = [desk.client.post(at(reference, "plan"), data=form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert stored(app, reference).version == int(form["plan-version"]) + 1


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("plan-day", {"plan__day": "2026-11-25", "plan__hour": "16:30"}, "Das neue Datum liegt nicht nach dem"),
        ("plan-day", {"plan__day": "2026-11-28", "plan__hour": "11:00"}, "innerhalb der Arbeitszeit"),
        ("plan-hour", {"plan__day": "2026-11-27", "plan__hour": ""}, "Geben Sie Tag und Uhrzeit ein"),
        ("plan-day", {"plan__day": "", "plan__hour": "11:00"}, "Geben Sie Tag und Uhrzeit ein"),
        ("plan-day", {"plan__day": "morgen", "plan__hour": "11:00"}, "Geben Sie einen Tag ein"),
        ("plan-hour", {"plan__day": "2026-11-27", "plan__hour": "elf"}, "Geben Sie eine Uhrzeit ein"),
        ("plan-text", {"plan__day": "", "plan__hour": "", "plan__text": " "}, "ein neues Datum, einen Grund oder"),
        ("plan-text", {"plan__text": "x" * 201}, "Höchstens 200 Zeichen."),
        ("plan-text", {"plan__text": "eins\r\nBcc: zwei"}, "Zeichen, die"),
    ],
)
def test_a_refusal_stands_at_its_field_and_everything_typed_is_kept(
    app: Flask, desk: Desk, reference: str, field: str, typed: dict[str, str], sentence: str
) -> None:
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "plan"), **{"plan__text": REASON, **typed})

    assert answer.status_code == 422
    (said,) = errors(answer.text)
    assert sentence in said
    tree = document(answer.text)
    wrong = [part.get("id") for part in tree.iter() if part.get("aria-invalid") == "true"]
    assert wrong == [field] and f"#{field}" in hrefs(answer.text)
    assert "Fehler" in "".join(tree.find(".//title").itertext())
    kept = values(form_with_action(answer.text, at(reference, "plan")))
    for name, value in typed.items():
        if value.strip() and "\n" not in value:
            assert kept[name.replace("__", "-")] == value
    assert planned(app, reference) == (None, None, NOTICE)


def test_a_date_without_room_is_refused_at_its_hour(app: Flask, reference: str, clock_: time_machine.Traveller) -> None:
    clock_.move_to(berlin("2026-11-25 16:25"))
    desk = Desk.of(app, "Miriam Albrecht")
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "plan"), plan__day="2026-11-25", plan__hour="16:50")

    assert answer.status_code == 422 and "#plan-hour" in hrefs(answer.text)
    assert "schreibt das System in den nächsten Minuten" in text(answer.text)


def test_whoever_had_todays_notice_gets_no_other_date_of_today(app: Flask, desk: Desk, reference: str) -> None:
    with app.app_context(), db.writing() as session:
        soon = {"due_at": NOW + timedelta(hours=3), "first_due_at": NOW + timedelta(hours=3)}
        session.execute(update(Promise).values(notice_at=NOW + timedelta(hours=2), remind_at=None, **soon))
        session.execute(update(Case).values(noticed_at=NOW - timedelta(minutes=5), notices=1))
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "plan"), plan__day="2026-11-24", plan__hour="16:00")

    assert answer.status_code == 422 and "#plan-day" in hrefs(answer.text)


def test_a_case_that_changed_in_the_meantime_is_shown_as_it_is_and_the_words_are_kept(
    app: Flask, desk: Desk, reference: str
) -> None:
    page = desk.get(at(reference, "choices"))
    desk.get(at(reference, "choices"))
    desk.submit(at(reference, "plan"), plan__text="Zuerst.")
    desk.page = page

    answer = desk.submit(at(reference, "plan"), plan__text=REASON, **FRIDAY)

    assert answer.status_code == 409
    assert "Der Vorgang hat sich inzwischen geändert." in text(answer.text)
    kept = values(form_with_action(answer.text, at(reference, "plan")))
    assert (kept["plan-text"], kept["plan-hour"]) == (REASON, "11:00")
    assert desk.submit(at(reference, "plan")).status_code == 303
    assert planned(app, reference)[1] == REASON


def test_a_case_that_was_closed_in_the_meantime_hands_the_words_back(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference, "choices"))
    close(app, reference)

    answer = desk.submit(at(reference, "plan"), plan__text=REASON)

    assert answer.status_code == 409
    assert REASON in text(answer.text) and at(reference, "plan") not in actions(answer.text)


def test_a_promise_of_another_case_is_not_planned(app: Flask, desk: Desk, reference: str) -> None:
    other = make_case(app)
    desk.get(at(reference, "choices"))

    answer = desk.submit(at(reference, "plan"), plan__promise=first_promise(app, other), plan__text=REASON)

    assert answer.status_code == 409
    assert planned(app, other) == (None, None, NOTICE)


# --- which promise ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["", "?promise=", "?promise=999999", "?promise=eins", "?promise=-1"])
def test_a_promise_that_is_over_gives_way_to_the_next_step(desk: Desk, reference: str, asked: str) -> None:
    page = desk.get(at(reference, "choices") + asked)

    assert page.status_code == 200
    assert "Miriam Albrecht antwortet bis Mittwoch, 25. November, 16:30 Uhr." in text(page.text)


def test_the_promise_that_was_asked_for_is_shown(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    desk.submit(
        at(reference, "promise"), promise__promise="result-mail", promise__day="2026-11-27", promise__hour="11:00"
    )
    result = open_promises(app, reference)[1].id

    page = desk.get(f"{at(reference, 'choices')}?promise={result}").text

    assert "schickt Ihnen bis Freitag, 27. November, 11 Uhr das Ergebnis" in text(page)
    assert values(form_with_action(page, at(reference, "plan")))["plan-promise"] == str(result)


def test_where_all_we_wait_for_is_an_answer_nothing_is_planned(app: Flask, desk: Desk, reference: str) -> None:
    reply = first_promise(app, reference)
    desk.get(at(reference))
    desk.submit(
        at(reference, "ask"), ask__text="Welche Größe?", ask__keeps=reply, ask__day="2026-11-27", ask__hour="11:00"
    )

    page = desk.get(at(reference, "choices")).text

    assert "Wir warten nur auf eine Antwort von Sabine Krüger" in text(page)
    assert "Wir warten auf Sabine Krüger" in text(page) and "Sabine Krüger wartet" not in text(page)
    assert "Neues Datum mit Grund" not in text(page)
    assert at(reference, "plan") not in actions(page)


def test_a_closed_case_says_so_and_leads_to_its_page(app: Flask, desk: Desk, reference: str) -> None:
    close(app, reference)

    page = desk.get(at(reference, "choices"))

    assert page.status_code == 200
    assert "Dieser Vorgang ist abgeschlossen. Es ist nichts mehr zugesagt." in text(page.text)
    assert at(reference) in hrefs(page.text) and at(reference, "plan") not in actions(page.text)


def test_an_unknown_reference_is_not_found(desk: Desk) -> None:
    assert desk.get(at("ZZZ-ZZZ", "choices")).status_code == 404


def test_whoever_is_not_signed_in_signs_in_first_and_comes_back(app: Flask, reference: str) -> None:
    desk = Desk(app)

    answer = desk.get(f"{at(reference, 'choices')}?promise=1")

    assert answer.status_code == 302
    assert f"{reference}/choices" in answer.location.replace("%2F", "/")


def test_reading_changes_nothing(app: Flask, desk: Desk, reference: str) -> None:
    before = stored(app, reference).version, len(journal(app, reference))

    desk.get(at(reference, "choices"))

    assert (stored(app, reference).version, len(journal(app, reference))) == before


def hrefs(html: str) -> list[str]:
    """Where the links of a page lead."""
    return [link.get("href", "") for link in document(html).iter("a")]


def close(app: Flask, reference: str) -> None:
    """Miriam Albrecht closes the case."""
    with app.app_context(), db.writing() as session:
        case = finding.by_reference(session, reference)
        assert case is not None
        by_id = session.scalars(select(Person.id).where(Person.name == "Miriam Albrecht")).one()
        closing.close(session, case, by_id=by_id, outcome=Outcome.DONE, text="Erledigt.", now=NOW)

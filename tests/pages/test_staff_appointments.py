"""Appointments on the case page: what is offered when, what each form does, and what it says when a step is refused."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from portal import db
from portal.appointments.models import Appointment, AppointmentState
from portal.cases.models import Case, CaseState
from portal.journal.models import Kind
from portal.pages.staff import words
from portal.people.models import Person
from portal.promises.models import Medium
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, errors, form_with_action, text, values
from tests.pages.test_feed import AT, agree
from tests.pages.test_staff_cases import NUMBER, at, journal, letters, make_case, open_promises, stored

THURSDAY = AT + timedelta(days=1)
STEPS = ("move", "give", "cancel", "wish", "outcome")
BEGUN = AT + timedelta(minutes=2)


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[time_machine.Traveller]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def reference(app: Flask, company: dict[str, int]) -> str:
    """A case of Miriam Albrecht with a call agreed for Wednesday, 14:00."""
    reference = make_case(app)
    agree(app, reference, AT)
    return reference


@pytest.fixture
def unagreed(app: Flask, company: dict[str, int]) -> str:
    """A case of Miriam Albrecht without an appointment."""
    return make_case(app)


@pytest.fixture
def desk(app: Flask, company: dict[str, int]) -> Desk:
    """Miriam Albrecht's browser."""
    return Desk.of(app, "Miriam Albrecht")


def on(reference: str, step: str = "") -> str:
    """The address of a form about the appointment."""
    return at(reference, "appointment" + (f"/{step}" if step else ""))


def offered(html: str, reference: str) -> set[str]:
    """Which of those forms a page has."""
    return {path.rpartition("/")[2] for path in actions(html) if path.startswith(on(reference))}


def row(app: Flask, reference: str) -> Appointment:
    """The newest appointment of a case."""
    with app.app_context(), db.reading() as session:
        rows = select(Appointment).join(Case, Case.id == Appointment.case_id).where(Case.reference == reference)
        return session.scalars(rows.order_by(Appointment.id.desc()).limit(1)).one()


def slots(html: str, action: str) -> dict[str, str]:
    """The proposed times of a form: value and words."""
    form = form_with_action(html, action)
    labels = {label.get("for"): " ".join("".join(label.itertext()).split()) for label in form.iter("label")}
    radios = [
        field for field in form.iter("input") if field.get("type") == "radio" and "-slot" in field.get("name", "")
    ]
    return {radio.get("value", ""): labels[radio.get("id")] for radio in radios}


def said(desk: Desk) -> str:
    """What the page says after the step."""
    return text(desk.follow().text)


def test_what_is_offered_follows_where_it_stands(
    app: Flask, desk: Desk, reference: str, unagreed: str, tuesday_morning: time_machine.Traveller
) -> None:
    assert offered(desk.get(at(unagreed)).text, unagreed) == {"appointment"}
    assert offered(desk.get(at(reference)).text, reference) == {"move", "give", "cancel", "wish"}
    desk.submit(on(reference, "wish"))
    assert offered(desk.get(at(reference)).text, reference) == {"move", "cancel"}
    desk.submit(on(reference, "move"), move__slot=AT.isoformat())
    tuesday_morning.move_to(AT + timedelta(minutes=1), tick=False)
    assert offered(Desk.of(app, "Miriam Albrecht").get(at(reference)).text, reference) == {"outcome", "give"}


# Booking


def test_a_proposed_time_is_booked_as_it_stands(app: Flask, desk: Desk, unagreed: str) -> None:
    proposed = slots(desk.get(at(unagreed)).text, on(unagreed))
    desk.submit(on(unagreed), book__slot=next(iter(proposed)))

    booked = row(app, unagreed)
    assert booked.starts_at == datetime.fromisoformat(next(iter(proposed)))
    assert booked.medium == Medium.CALL and booked.state == AppointmentState.BOOKED
    assert "Der Termin ist vereinbart. Die Nachricht darüber ist unterwegs." in said(desk)
    assert "appointment_confirmed" in letters(app, unagreed)


def test_a_typed_time_is_the_teams_wall_clock(app: Flask, desk: Desk, unagreed: str) -> None:
    desk.get(at(unagreed))
    desk.submit(on(unagreed), book__slot="own", book__day="25.11.2026", book__hour="14", book__medium="visit")

    booked = row(app, unagreed)
    assert booked.starts_at == AT and booked.local_start == "2026-11-25T14:00"
    assert booked.medium == Medium.VISIT


def test_a_colleague_goes_below_the_customers_notice(app: Flask, desk: Desk, unagreed: str) -> None:
    desk.get(at(unagreed))
    answer = desk.submit(on(unagreed), book__slot="own", book__day="2026-11-24", book__hour="10:00")

    assert answer.status_code == 303
    assert row(app, unagreed).starts_at == NOW.replace(hour=9, minute=0)


@pytest.mark.parametrize(
    ("hour", "status"), [("14:00", 409), ("12:10", 422), ("03:00", 422)], ids=["taken", "no start", "no hours"]
)
def test_what_is_not_free_is_refused_with_the_nearest_times(
    app: Flask, desk: Desk, reference: str, unagreed: str, hour: str, status: int
) -> None:
    desk.get(at(unagreed))
    answer = desk.submit(on(unagreed), book__slot="own", book__day="2026-11-25", book__hour=hour)
    proposed = slots(answer.text, on(unagreed))

    assert answer.status_code == status
    assert errors(answer.text)
    assert [day for day in proposed.values() if "25. November" in day]
    assert AT.isoformat() not in proposed
    kept = values(form_with_action(answer.text, on(unagreed)))
    assert (kept["book-slot"], kept["book-day"], kept["book-hour"]) == ("own", "2026-11-25", hour)
    answer = desk.submit(on(unagreed), book__slot=next(iter(proposed)))
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"book__slot": None}, "Wählen Sie eine Zeit."),
        ({"book__slot": "later"}, "Wählen Sie eine Zeit."),
        ({"book__slot": "2026-11-25T14:00:00"}, "Wählen Sie eine Zeit."),
        (
            {"book__slot": "own", "book__day": "", "book__hour": "14:00"},
            "Geben Sie einen Tag ein, zum Beispiel 26.11.2026.",
        ),
        (
            {"book__slot": "own", "book__day": "31.11.2026", "book__hour": "x"},
            "Geben Sie einen Tag ein, zum Beispiel 26.11.2026.",
        ),
        ({"book__medium": "letter"}, "Wählen Sie, was es sein soll."),
        ({"book__medium": None}, "Wählen Sie, was es sein soll."),
    ],
)
def test_a_form_that_names_no_time_is_explained(
    app: Flask, desk: Desk, unagreed: str, typed: dict[str, str | None], sentence: str
) -> None:
    desk.get(at(unagreed))
    answer = desk.submit(on(unagreed), **typed)

    assert answer.status_code == 422
    assert any(sentence in error for error in errors(answer.text)) or sentence in text(answer.text)
    assert stored(app, unagreed).appointment_id is None


@pytest.mark.parametrize(
    "slot",
    ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00+23:59", "2026-11-25T14:00:00+99:00",
     "\x00", "own\x00", "２０２６-11-25T13:00:00Z", "2031-01-02T09:00:00Z", "1e9", "' OR 1=1"],
)  # fmt: skip
def test_a_hostile_time_is_refused(app: Flask, desk: Desk, reference: str, unagreed: str, slot: str) -> None:
    desk.get(at(unagreed))
    assert desk.submit(on(unagreed), book__slot=slot).status_code == 422
    desk.get(at(reference))
    assert desk.submit(on(reference, "move"), move__slot=slot, move__appointment="9" * 40).status_code in (409, 422)
    assert stored(app, unagreed).appointment_id is None and row(app, reference).version == 1


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2027-03-28"])
def test_a_day_out_of_reach_is_refused(desk: Desk, unagreed: str, day: str) -> None:
    desk.get(at(unagreed))

    assert desk.submit(on(unagreed), book__slot="own", book__day=day, book__hour="02:30").status_code == 422


def test_booking_from_an_older_page_is_refused_and_keeps_what_was_typed(app: Flask, desk: Desk, unagreed: str) -> None:
    page = desk.get(at(unagreed))
    Desk.of(app, "Jonas Weidner").get(at(unagreed))
    agree(app, unagreed, AT)
    desk.page = page
    answer = desk.submit(on(unagreed), book__slot=next(iter(slots(page.text, on(unagreed)))))

    assert answer.status_code == 409
    assert "Das Anliegen hat sich inzwischen geändert." in text(answer.text) or "inzwischen" in text(answer.text)
    assert "Mittwoch, 25. November, 14 Uhr" in text(answer.text)
    assert row(app, unagreed).starts_at == AT


# Moving


def test_a_move_changes_the_one_row_and_says_so(app: Flask, desk: Desk, reference: str) -> None:
    before = row(app, reference)
    desk.get(at(reference))
    desk.submit(
        on(reference, "move"), move__slot="own", move__day="26.11.2026", move__hour="14:00", move__text="Werksprüfung."
    )
    after = row(app, reference)

    assert (after.id, after.uid, after.starts_at, after.sequence) == (before.id, before.uid, THURSDAY, 1)
    assert "Der Termin ist verschoben." in said(desk)
    assert journal(app, reference)[0].kind == Kind.APPOINTMENT_MOVED
    assert journal(app, reference)[0].text == "Werksprüfung."


def test_who_chooses_no_time_moves_nothing(app: Flask, desk: Desk, reference: str, unagreed: str) -> None:
    """One careless click sends the form as it stands: no time is chosen in it."""
    for case, step in ((reference, "move"), (unagreed, "")):
        desk.get(at(case))
        answer = desk.submit(on(case, step))

        assert answer.status_code == 422 and any("Wählen Sie eine Zeit." in error for error in errors(answer.text))
    assert row(app, reference).version == 1 and stored(app, unagreed).appointment_id is None


def test_its_own_time_is_no_move(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    desk.submit(on(reference, "move"), move__slot="own", move__day="2026-11-25", move__hour="14:00")

    assert "Es hat sich nichts geändert" in said(desk)
    assert row(app, reference).version == 1


def test_the_own_time_is_not_proposed_unless_it_is_on_hold(app: Flask, desk: Desk, reference: str) -> None:
    assert AT.isoformat() not in slots(desk.get(at(reference)).text, on(reference, "move"))
    desk.submit(on(reference, "wish"), wish__text="Lieber nachmittags.")
    proposed = slots(desk.get(at(reference)).text, on(reference, "move"))
    assert next(iter(proposed)) == AT.isoformat()

    desk.submit(on(reference, "move"), move__slot=AT.isoformat())
    assert "Der Termin steht wieder, zu seiner Zeit." in said(desk)
    assert row(app, reference).change_wished_at is None


def test_missing_information_is_no_reason_to_move(desk: Desk, reference: str) -> None:
    form = form_with_action(desk.get(at(reference)).text, on(reference, "move"))

    assert "zur vereinbarten Zeit anrufen und sagen, wie es steht" in " ".join(form.itertext())


# Giving away


def test_a_colleague_who_is_free_comes_first_and_keeps_it_then(app: Flask, desk: Desk, reference: str) -> None:
    other = make_case(app)
    with app.app_context(), db.writing() as session:
        jonas = session.scalars(select(Case).where(Case.reference == other)).one()
        weidner = company_id(app, "Jonas Weidner")
        jonas.owner_id = weidner
    agree(app, other, AT)
    form = form_with_action(desk.get(at(reference)).text, on(reference, "give"))
    people = ["".join(option.itertext()) for option in form.iter("option")]

    assert "Miriam Albrecht" not in people and "Martina Ebert" in people
    assert people.index("Dr. Katharina Voss") < people.index("Jonas Weidner (dann nicht frei)")
    refused = desk.submit(on(reference, "give"), give__person=company_id(app, "Jonas Weidner"))
    assert refused.status_code == 422
    assert "Diese Person ist zu dieser Zeit nicht frei." in text(refused.text)
    desk.submit(on(reference, "give"), give__person=company_id(app, "Dr. Katharina Voss"))
    assert "Den Termin nimmt jetzt jemand anderes wahr." in said(desk)
    assert row(app, reference).person_id == company_id(app, "Dr. Katharina Voss")
    assert row(app, reference).starts_at == AT


@pytest.mark.parametrize("person", ["", "0", "-1", "9" * 30, "x", "\x00", "²"])
def test_nobody_can_be_made_up(app: Flask, desk: Desk, reference: str, person: str) -> None:
    desk.get(at(reference))

    assert desk.submit(on(reference, "give"), give__person=person).status_code == 422
    assert row(app, reference).version == 1


# Calling off, putting on hold


def test_called_off_leaves_a_date_and_a_reason(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    desk.submit(on(reference, "cancel"), cancel__text="Die Anlage wird vorher abgebaut.")
    page = said(desk)

    assert "Der Termin ist abgesagt." in page and "Die Anlage wird vorher abgebaut." in page
    assert row(app, reference).state == AppointmentState.CANCELLED
    assert open_promises(app, reference)


def test_a_wish_freezes_with_one_button_and_hides_the_number(
    app: Flask, desk: Desk, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk.get(at(reference))
    desk.submit(on(reference, "wish"), wish__contact="letter_in", wish__text="Bitte erst Freitag.")
    page = said(desk)

    assert "Der Termin ist angehalten: Zur alten Zeit findet nichts statt." in page and "Bitte erst Freitag." in page
    assert row(app, reference).change_wished_at is not None
    assert open_promises(app, reference)
    assert "appointment_frozen" in letters(app, reference)
    tuesday_morning.move_to(AT - timedelta(minutes=5), tick=False)
    page = Desk.of(app, "Miriam Albrecht").get(at(reference)).text
    assert at(reference, "call") not in actions(page)


def test_on_hold_the_card_says_what_is_true_and_names_nobody(app: Flask, desk: Desk, reference: str) -> None:
    desk.get(at(reference))
    desk.submit(on(reference, "wish"), wish__text="Bitte erst Freitag.")
    pages = [text(desk.get(path).text) for path in (at(reference), "/staff/calls?day=2026-11-25")]

    assert all("Eine andere Zeit wird vereinbart. Die Nummer sieht bis dahin niemand." in page for page in pages)
    assert not any("Minuten, mit" in page for page in pages)
    assert "Miriam Albrecht" not in pages[1].split("Im eigenen Kalender")[0]


def test_a_second_wish_from_an_older_page_is_kept_and_a_double_click_is_one(
    app: Flask, desk: Desk, reference: str
) -> None:
    page, jonas = desk.get(at(reference)), Desk.of(app, "Jonas Weidner")
    jonas.get(at(reference))
    jonas.submit(on(reference, "wish"), wish__text="Bitte erst Freitag.")
    for _ in range(2):
        desk.page = page
        desk.submit(on(reference, "wish"), wish__text="Oder Montag.")

    assert "Der Kontakt steht im Journal." in said(desk)
    assert [entry.text for entry in journal(app, reference)].count("Oder Montag.") == 1
    assert row(app, reference).version == 2 and letters(app, reference).count("appointment_frozen") == 1


def test_colleagues_see_it_late_from_five_minutes_on(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    for minutes, shown in ((4, False), (5, True)):
        tuesday_morning.move_to(AT + timedelta(minutes=minutes), tick=False)
        page = text(Desk.of(app, "Jonas Weidner").get(at(reference)).text)

        assert ("Niemand hat ihn begonnen." in page) == shown


# What became of it


def begun(app: Flask, reference: str, travel: time_machine.Traveller, *, then: datetime = BEGUN) -> Desk:
    """Miriam Albrecht has started the call, two minutes after its time unless ``then`` says when."""
    travel.move_to(then, tick=False)
    desk = Desk.of(app, "Miriam Albrecht")
    desk.get(at(reference))
    desk.submit(at(reference, "call"))
    return desk


def test_the_answer_of_the_call_holds_the_number_and_the_outcomes(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    assert desk.page is not None

    assert NUMBER in desk.page.text
    assert on(reference, "outcome") in actions(desk.page.text)
    assert "Hat stattgefunden, mit Zwischenstand" in text(desk.page.text)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("answered", "held"), ("interim", "held"), ("not_reached", "not_reached"), ("missed", "missed")],
)
def test_each_outcome_ends_it_and_leaves_a_step(
    app: Flask, reference: str, outcome: str, state: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    step = {"outcome__then": "new", "outcome__day": "2026-11-27", "outcome__hour": "11:00"}
    answer = desk.submit(
        on(reference, "outcome"), outcome__outcome=outcome, outcome__text="Wir sprachen über die Pumpen.", **step
    )

    assert answer.status_code == 303
    assert row(app, reference).state == state
    assert open_promises(app, reference)
    assert "Wie der Termin ausging, steht im Journal." in said(desk)


def test_a_talk_needs_its_words_and_everything_typed_stays(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    answer = desk.submit(on(reference, "outcome"), outcome__outcome="answered", outcome__text="", outcome__visible="y")
    kept = values(form_with_action(answer.text, on(reference, "outcome")))

    assert answer.status_code == 422
    assert "Schreiben Sie auf, was besprochen wurde." in " ".join(errors(answer.text))
    assert kept["outcome-outcome"] == "answered" and kept["outcome-visible"] == "y"
    assert row(app, reference).state == AppointmentState.BOOKED


def test_an_answer_without_a_next_step_says_where_one_is_missing(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    promised = [promise.id for promise in open_promises(app, reference)]
    desk = begun(app, reference, tuesday_morning)
    said = {"outcome__outcome": "answered", "outcome__text": "Geklärt.", "outcome__keeps": promised}
    answer = desk.submit(on(reference, "outcome"), **said, outcome__then="keep")

    assert answer.status_code == 422
    assert "Geklärt." in answer.text
    assert "Sagen Sie, was als Nächstes zugesagt ist" in " ".join(errors(answer.text))
    assert row(app, reference).state == AppointmentState.BOOKED


def test_a_settled_request_is_closed_in_the_same_dialog(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    desk.submit(on(reference, "outcome"), outcome__outcome="answered", outcome__text="Alles ist geklärt.",
                outcome__then="close")  # fmt: skip

    assert stored(app, reference).state == CaseState.CLOSED
    assert row(app, reference).state == AppointmentState.HELD
    assert "abgeschlossen" in said(desk)


@pytest.mark.parametrize(
    ("outcome", "then"), [("missed", "close"), ("interim", "close"), ("x", "keep"), (None, "keep")]
)
def test_only_an_answer_closes(
    app: Flask, reference: str, outcome: str | None, then: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    answer = desk.submit(
        on(reference, "outcome"), outcome__outcome=outcome, outcome__text="Weiter.", outcome__then=then
    )

    assert answer.status_code == 422
    assert row(app, reference).state == AppointmentState.BOOKED


def test_a_recap_goes_to_the_customer_in_these_words(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    step = {"outcome__then": "new", "outcome__day": "2026-11-27", "outcome__hour": "11:00"}
    desk.submit(
        on(reference, "outcome"), outcome__outcome="answered", outcome__text="Besprochen.", outcome__recap="y", **step
    )

    assert "Die Zusammenfassung ist unterwegs." in said(desk)
    assert "recap" in letters(app, reference)


def offered_outcomes(page: str) -> set[str]:
    return set(re.findall(r'name="outcome-outcome"[^>]*value="(\w+)"', page))


def test_before_its_time_a_begun_call_offers_no_miss_and_the_way_back(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning, then=AT - timedelta(minutes=9))
    assert desk.page is not None
    assert offered_outcomes(desk.page.text) == {"answered", "interim", "not_reached", "not_begun"}

    sent = letters(app, reference)
    answer = desk.submit(on(reference, "outcome"), outcome__outcome="not_begun", outcome__then="keep")

    assert answer.status_code == 303
    assert row(app, reference).started_at is None
    assert "Der Beginn ist zurückgenommen. Der Termin gilt weiter." in said(desk)
    assert "Beginn zurückgenommen von Miriam Albrecht" in text(desk.get(at(reference)).text)
    assert letters(app, reference) == sent


def test_once_it_is_over_nothing_is_taken_back(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    assert desk.page is not None
    assert offered_outcomes(desk.page.text) == {"answered", "interim", "not_reached", "missed", "not_begun"}

    tuesday_morning.move_to(AT + timedelta(hours=1), tick=False)

    assert "not_begun" not in offered_outcomes(Desk.of(app, "Miriam Albrecht").get(at(reference)).text)


def test_what_cannot_have_become_of_it_yet_is_refused_at_its_field(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning, then=AT - timedelta(minutes=9))
    answer = desk.submit(on(reference, "outcome"), outcome__outcome="missed", outcome__then="keep")

    assert answer.status_code == 422
    assert "Die vereinbarte Zeit ist noch nicht da: Der Termin gilt weiter." in " ".join(errors(answer.text))
    assert row(app, reference).state == AppointmentState.BOOKED


def test_where_the_time_stands_nothing_else_is_promised(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning)
    step = {"outcome__then": "new", "outcome__day": "2026-11-27", "outcome__hour": "11:00"}
    answer = desk.submit(on(reference, "outcome"), outcome__outcome="not_begun", **step)

    assert answer.status_code == 422
    assert row(app, reference).started_at is not None


# All of them


def filled(desk: Desk, step: str) -> dict[str, str]:
    """What is chosen and typed in each form so that it is accepted."""
    jonas = str(company_id(desk.app, "Jonas Weidner"))
    return {
        "move": {"move__slot": THURSDAY.isoformat()},
        "give": {"give__person": jonas},
        "cancel": {"cancel__text": "Nicht mehr nötig."},
        "wish": {"wish__text": "Lieber später."},
        "outcome": {"outcome__outcome": "not_reached", "outcome__text": "Mailbox."},
    }[step]


@pytest.mark.parametrize("step", STEPS)
def test_a_double_click_is_one_step_and_one_answer(
    app: Flask, reference: str, step: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning) if step == "outcome" else Desk.of(app, "Miriam Albrecht")
    page = desk.get(at(reference))
    first = desk.submit(on(reference, step), **filled(desk, step))
    after, lines = row(app, reference), len(journal(app, reference))
    desk.page = page
    again = desk.submit(on(reference, step), **filled(desk, step))

    assert (first.status_code, first.location) == (again.status_code, again.location) and first.status_code == 303
    assert row(app, reference).version == after.version and len(journal(app, reference)) == lines


@pytest.mark.parametrize("step", STEPS)
def test_an_older_page_is_refused_with_the_present_state(
    app: Flask, reference: str, step: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = begun(app, reference, tuesday_morning) if step == "outcome" else Desk.of(app, "Miriam Albrecht")
    desk.get(at(reference))
    stale = {f"{step}__appointment": "0", f"{step}__key": "another-key-of-a-form-x"}
    answer = desk.submit(on(reference, step), **{**filled(desk, step), **stale})

    assert answer.status_code == 409
    assert "Der Termin hat sich inzwischen geändert." in text(answer.text)
    assert "Mittwoch, 25. November, 14 Uhr" in text(answer.text)
    typed = [str(value) for name, value in filled(desk, step).items() if name.endswith("text")]
    assert [word for word in typed if word not in answer.text] == []
    assert row(app, reference).version == 1


@pytest.mark.parametrize("step", ["move", "cancel", "wish"])
def test_once_its_time_has_come_only_the_outcome_is_left(
    app: Flask, reference: str, step: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = Desk.of(app, "Miriam Albrecht")
    page = desk.get(at(reference))
    tuesday_morning.move_to(BEGUN, tick=False)
    later = Desk.of(app, "Miriam Albrecht")
    later.page = page
    data = values(form_with_action(page.text, on(reference, step)))
    for name, value in filled(desk, step).items():
        data[name.replace("__", "-")] = str(value)
    data["csrf_token"] = values(form_with_action(later.get(at(reference)).text, at(reference, "note")))["csrf_token"]
    answer = later.client.post(on(reference, step), data=data)

    assert answer.status_code == 409
    assert "Sagen Sie" in text(answer.text)
    assert row(app, reference).version == 1


@pytest.mark.parametrize("step", ["", *STEPS])
def test_a_closed_case_takes_none_of_them(app: Flask, desk: Desk, reference: str, step: str) -> None:
    desk.get(at(reference))
    desk.submit(at(reference, "close"), close__outcome="done", close__text="Erledigt.")
    page = desk.get(at(reference))
    data = values(form_with_action(page.text, at(reference, "note")))
    prefix = step or "book"
    fields = {
        "slot": THURSDAY.isoformat(),
        "medium": "call",
        "person": "1",
        "contact": "call_in",
        "text": "Worte.",
        "outcome": "missed",
        "then": "keep",
        "appointment": "1",
        "version": "1",
        "key": "a-key-of-a-form-222-x",
    }
    data.update({f"{prefix}-{name}": value for name, value in fields.items()})
    answer = desk.client.post(on(reference, step), data=data)

    assert answer.status_code == 409
    assert "Worte." in answer.text or step in ("", "give")


def test_without_an_address_the_page_says_to_tell_them(app: Flask, desk: Desk, reference: str) -> None:
    with app.app_context(), db.writing() as session:
        session.scalars(select(Case).where(Case.reference == reference)).one().customer.email = ""
    desk.get(at(reference))
    desk.submit(on(reference, "move"), move__slot=THURSDAY.isoformat())

    assert "Bitte sagen Sie es selbst." in said(desk)


def test_who_is_not_named_gets_no_number_and_no_button(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    tuesday_morning.move_to(BEGUN, tick=False)
    other = Desk.of(app, "Jonas Weidner")
    page = other.get(at(reference))
    data = {"csrf_token": values(form_with_action(page.text, at(reference, "note")))["csrf_token"],
            "call-key": "a-key-of-a-form-222-x", "call-version": str(stored(app, reference).version)}  # fmt: skip
    answer = other.client.post(at(reference, "call"), data=data)

    assert at(reference, "call") not in actions(page.text)
    assert answer.status_code == 403
    assert NUMBER not in answer.text


def test_no_page_holds_the_number_but_the_answer_of_the_call(
    app: Flask, reference: str, tuesday_morning: time_machine.Traveller
) -> None:
    desk = Desk.of(app, "Miriam Albrecht")
    seen = [desk.get(at(reference)).text]
    seen.append(desk.submit(on(reference, "move"), move__slot="x").text)
    seen.append(desk.submit(on(reference, "give"), give__person="x").text)
    desk = begun(app, reference, tuesday_morning)
    assert desk.page is not None and NUMBER in desk.page.text
    paths = (at(reference), "/staff/", "/staff/calls", "/staff/calls?scope=all", at(reference, "choices"))
    seen += [desk.get(path).text for path in paths]
    seen.append(desk.get(at(reference)).text)

    canaries = (NUMBER, "99998547", "99998-547", "tel:+498999998547")
    assert [word for page in seen for word in canaries if word in page] == []


@pytest.mark.parametrize("step", ["", *STEPS])
def test_a_case_that_does_not_exist_has_no_appointment(desk: Desk, reference: str, step: str) -> None:
    page = desk.get(at(reference))
    token = values(form_with_action(page.text, at(reference, "note")))["csrf_token"]
    fields = {"slot": AT.isoformat(), "medium": "call", "person": "1", "contact": "call_in", "outcome": "missed"}
    data = {f"{step or 'book'}-{name}": value for name, value in fields.items()}

    assert desk.client.post(on("AAA-AAA", step), data={**data, "csrf_token": token}).status_code == 404


def test_every_word_of_what_was_done_is_said() -> None:
    done = {"booked", "moved", "stays", "given", "cancelled", "frozen"}

    assert {f"{word}_untold" for word in done} | done | {"unchanged", "outcome", "recap", "attempt"} <= set(words.DONE)


def company_id(app: Flask, name: str) -> int:
    """Somebody's id."""
    with app.app_context(), db.reading() as session:
        return session.scalars(select(Person.id).where(Person.name == name)).one()

"""An agreed time as the page shows it: each truth it may have, from the booking to its end."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreeing, appointment_view
from portal.cases import directory as directories
from portal.cases.appointment_view import AppointmentView
from portal.cases.models import Case
from portal.promises.models import Medium
from tests.support.cast import TUESDAY, away, berlin, open_case, step, topic

THREE = berlin("2026-11-25 15:00")
AT_THREE = "Mittwoch, 25. November, 15 Uhr"
MINUTE = timedelta(minutes=1)


def agree(session: Session, *, at: Any = THREE, **changes: Any) -> tuple[Case, Appointment]:
    """A case with a call that its customer has chosen."""
    case = open_case(session, "rueckruf", **changes)
    booked = agreeing.book(session, case, starts_at=at, by_id=None, now=TUESDAY)
    step(session)
    return case, booked


def seen(session: Session, case: Case, booked: Appointment, now: Any) -> AppointmentView:
    directory = directories.load(session, now=now)
    return appointment_view.view(directory, case, booked, directory.voice_of(case), now=now)


def test_to_come_it_says_who_calls_when_and_on_which_number(session: Session) -> None:
    case, booked = agree(session)

    view = seen(session, case, booked, TUESDAY)

    assert view.sentence == f"Miriam Albrecht ruft Sie am {AT_THREE}, an"
    assert view.when == f"{AT_THREE} (MEZ)"
    assert (view.minutes, view.ends_with, view.medium) == (20, "42", Medium.CALL)
    assert (view.name, view.line, view.line_e164) == ("Miriam Albrecht", "089 99998-214", "+498999998214")
    assert (view.to_come, view.begun, view.late, view.over, view.on_hold, view.started) == (True, *[False] * 5)


def test_a_customer_without_a_number_reads_none(session: Session) -> None:
    case, booked = agree(session)
    case.customer.phone_e164 = None

    assert seen(session, case, booked, TUESDAY).ends_with is None


def test_it_names_whoever_will_be_there_then_and_not_who_is_there_now(session: Session, people: dict[str, int]) -> None:
    case, booked = agree(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-25 12:00"), until=berlin("2026-11-26 00:00"))
    step(session)

    view = seen(session, case, booked, TUESDAY)

    assert (view.name, view.line) == ("Jonas Weidner", "089 99998-231")
    assert view.sentence.startswith("Jonas Weidner ")


def test_an_english_customer_reads_english(session: Session) -> None:
    case, booked = agree(session, language="en")

    view = seen(session, case, booked, TUESDAY)

    assert view.sentence == "Miriam Albrecht will call you at 3 pm on Wednesday 25 November"
    assert view.when == "3 pm on Wednesday 25 November (CET)"


@pytest.mark.parametrize(
    ("minutes", "sentence", "late", "over"),
    [
        (-1, f"Miriam Albrecht ruft Sie am {AT_THREE}, an", False, False),
        (0, "Miriam Albrecht ruft Sie jetzt an", False, False),
        (14, "Miriam Albrecht ruft Sie jetzt an", False, False),
        (15, f"Wir haben Sie zum vereinbarten Termin am {AT_THREE}, noch nicht angerufen", True, False),
        (20, f"Wir haben Sie zum vereinbarten Termin am {AT_THREE}, noch nicht angerufen", True, True),
    ],
)
def test_once_its_time_has_come_the_truth_is_said(
    session: Session, minutes: int, sentence: str, late: bool, over: bool
) -> None:
    case, booked = agree(session)

    view = seen(session, case, booked, THREE + minutes * MINUTE)

    assert (view.sentence, view.late, view.over) == (sentence, late, over)
    assert view.begun is (minutes >= 0)


@pytest.mark.parametrize(
    ("minutes", "sentence"),
    [(17, "Miriam Albrecht ruft Sie jetzt an"), (20, f"Der Termin mit Miriam Albrecht war am {AT_THREE}")],
)
def test_one_that_somebody_began_is_never_late(
    session: Session, people: dict[str, int], minutes: int, sentence: str
) -> None:
    case, booked = agree(session)
    appointments.start(booked, by_id=people["Miriam Albrecht"], now=THREE)

    view = seen(session, case, booked, THREE + minutes * MINUTE)

    assert (view.sentence, view.late, view.started) == (sentence, False, True)
    assert view.goes_on == "15:50 Uhr"


def test_on_hold_nobody_calls_and_nothing_is_late(session: Session) -> None:
    case, booked = agree(session)
    appointments.hold(booked, now=TUESDAY)

    before, then = (seen(session, case, booked, at) for at in (TUESDAY, THREE + 16 * MINUTE))

    assert before.sentence == f"Der Termin am {AT_THREE}, ist angehalten: Zu dieser Zeit ruft Sie niemand an"
    assert (before.on_hold, before.to_come, then.late) == (True, False, False)


@pytest.mark.parametrize(
    ("at", "on_hold", "changes"),
    [
        ("2026-11-25 12:59:59", False, True),
        ("2026-11-25 13:00", False, False),
        ("2026-11-25 14:59", True, True),
        ("2026-11-25 15:00", True, False),
    ],
)
def test_it_is_changed_here_until_two_hours_before_and_on_hold_until_its_time(
    session: Session, at: str, on_hold: bool, changes: bool
) -> None:
    case, booked = agree(session)
    if on_hold:
        appointments.hold(booked, now=TUESDAY)

    view = seen(session, case, booked, berlin(at))

    assert (view.may_move, view.may_cancel, view.change_until is not None) == (changes,) * 3
    if changes and not on_hold:
        assert view.change_until == "Mittwoch, 25. November, 13 Uhr"


@pytest.mark.parametrize(("moves", "on_hold", "moved"), [(2, False, True), (3, False, False), (3, True, True)])
def test_moved_as_often_as_is_offered_it_can_still_be_called_off(
    session: Session, moves: int, on_hold: bool, moved: bool
) -> None:
    case, booked = agree(session)
    booked.customer_moves = moves
    if on_hold:
        appointments.hold(booked, now=TUESDAY)

    view = seen(session, case, booked, TUESDAY)

    assert (view.may_move, view.may_cancel) == (moved, True)


@pytest.mark.parametrize(
    ("minutes", "sentence"),
    [
        (-1, "Deniz Yılmaz besucht Sie am Donnerstag, 26. November, 14 Uhr"),
        (1, "Deniz Yılmaz ist jetzt bei Ihnen"),
        (15, "Wir haben noch keine Meldung, dass der Besuch am Donnerstag, 26. November, 14 Uhr, begonnen hat"),
    ],
)
def test_a_visit_has_its_own_words(session: Session, people: dict[str, int], minutes: int, sentence: str) -> None:
    case, at = open_case(session, "technik"), berlin("2026-11-26 14:00")
    case.owner_id = people["Deniz Yılmaz"]
    booked = agreeing.book(session, case, starts_at=at, by_id=None, now=TUESDAY)
    step(session)

    view = seen(session, case, booked, at + minutes * MINUTE)

    assert (view.sentence, view.minutes) == (sentence, topic(session, "technik").slot_minutes)


def test_it_holds_no_number_of_the_customers(session: Session) -> None:
    case, booked = agree(session)

    assert "392004" not in repr(seen(session, case, booked, TUESDAY))

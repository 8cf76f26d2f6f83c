"""The call list as a page: what it shows and offers, what it never shows, and the address of one's calendar."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.pages.staff_desk import Desk, actions, document, text
from tests.pages.test_feed import AT, agree, change
from tests.pages.test_staff_cases import NUMBER, make_case

LIST, ADDRESS = "/staff/calls", "/staff/calls/address"
WEDNESDAY = f"{LIST}?day=2026-11-25"


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[None]:
    """9:12 in Germany."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def reference(app: Flask, company: dict[str, int]) -> str:
    """A case of Miriam Albrecht with a call agreed for Wednesday, 14:00."""
    reference = make_case(app)
    agree(app, reference, AT)
    return reference


@pytest.fixture
def desk(app: Flask, reference: str) -> Desk:
    """Miriam Albrecht's browser."""
    return Desk.of(app, "Miriam Albrecht")


def address(desk: Desk) -> str:
    """The calendar address that the list shows now."""
    shown = [
        one.get("value", "") for one in document(desk.get(LIST).text).iter("input") if one.get("id") == "feed-address"
    ]
    return shown[0] if shown else ""


def test_the_list_says_when_who_about_what_and_how_old_it_is(desk: Desk, reference: str) -> None:
    page = text(desk.get(WEDNESDAY).text)

    assert "Mittwoch, 25. November" in page and "14 Uhr" in page and "Vereinbarter Anruf" in page
    assert "Sabine Krüger" in page and reference in page and "Angebot anfragen" in page
    assert "steht bevor" in page and "Miriam Albrecht" in page
    assert "Stand: Dienstag, 24. November, 9:12 Uhr" in page


def test_an_empty_day_says_so_and_names_what_comes_next(desk: Desk) -> None:
    page = text(desk.get(LIST).text)

    assert "Für diesen Tag ist nichts vereinbart." in page
    assert "Als Nächstes: Mittwoch, 25. November" in page and "Sabine Krüger" in page


def test_others_find_it_in_their_teams_list_and_not_in_their_own(app: Flask, reference: str) -> None:
    other, elsewhere = Desk.of(app, "Jonas Weidner"), Desk.of(app, "Thomas Brandt")

    assert reference not in other.get(WEDNESDAY).text
    assert reference in other.get(f"{WEDNESDAY}&scope=team").text
    assert reference not in elsewhere.get(f"{WEDNESDAY}&scope=team").text
    assert reference in elsewhere.get(f"{WEDNESDAY}&scope=all").text


def test_a_moved_call_leaves_a_grey_line_that_says_where_it_is(app: Flask, desk: Desk, reference: str) -> None:
    change(app, reference, "move")
    old, new = desk.get(WEDNESDAY).text, desk.get(f"{LIST}?day=2026-11-26").text

    assert "verschoben auf Donnerstag, 26. November, 14 Uhr" in text(old)
    assert "steht bevor" not in text(old) and actions(old) == {"/staff/logout", ADDRESS}
    assert "steht bevor" in text(new)


def test_a_cancelled_call_leaves_a_grey_line_until_midnight(app: Flask, desk: Desk, reference: str) -> None:
    change(app, reference, "cancel")
    assert "abgesagt" in text(desk.get(WEDNESDAY).text)

    with time_machine.travel(AT + timedelta(hours=20), tick=False):
        assert reference not in Desk.of(app, "Miriam Albrecht").get(WEDNESDAY).text


def test_who_keeps_it_starts_the_call_from_the_list_and_nobody_else(app: Flask, reference: str) -> None:
    start = f"/staff/cases/{reference}/call"
    with time_machine.travel(AT - timedelta(minutes=40), tick=False):
        assert start not in actions(Desk.of(app, "Miriam Albrecht").get(LIST).text)
    with time_machine.travel(AT - timedelta(minutes=5), tick=False):
        mine, others = Desk.of(app, "Miriam Albrecht"), Desk.of(app, "Jonas Weidner")
        assert start in actions(mine.get(LIST).text)
        assert start not in actions(others.get(f"{LIST}?scope=all").text)
        answer = mine.submit(start)
        begun = text(mine.get(LIST).text)

    assert answer.status_code == 200 and NUMBER in answer.text
    assert "begonnen" in begun


def test_a_call_on_hold_cannot_be_started(app: Flask, reference: str) -> None:
    change(app, reference, "wish")
    with time_machine.travel(AT - timedelta(minutes=5), tick=False):
        page = Desk.of(app, "Miriam Albrecht").get(LIST).text

    assert "angehalten" in text(page)
    assert f"/staff/cases/{reference}/call" not in actions(page)


def test_what_nobody_began_turns_late_and_stays_on_top_on_later_days(app: Flask, reference: str) -> None:
    stages = {0: "jetzt", 4: "jetzt", 6: "nicht begonnen"}
    for minutes, stage in stages.items():
        with time_machine.travel(AT + timedelta(minutes=minutes), tick=False):
            assert stage in text(Desk.of(app, "Miriam Albrecht").get(LIST).text)
    with time_machine.travel(AT + timedelta(days=1), tick=False):
        page = text(Desk.of(app, "Miriam Albrecht").get(LIST).text)

    assert "Von früheren Tagen, noch offen (1) Mittwoch, 25. November, 14 Uhr" in page


def test_promised_calls_stand_in_a_list_of_their_own(app: Flask, desk: Desk) -> None:
    asked = make_case(app, topic="rueckruf")
    page = desk.get(LIST).text

    assert "Zugesagte Anrufe ohne vereinbarte Uhrzeit" in text(page)
    assert asked in page


def test_no_list_holds_the_number(app: Flask, desk: Desk, reference: str) -> None:
    make_case(app, topic="rueckruf")
    pages = [
        desk.get(f"{LIST}?scope={scope}&day={day}").text
        for scope in ("mine", "team", "all")
        for day in ("", "2026-11-25")
    ]
    change(app, reference, "move")
    pages.append(desk.get(WEDNESDAY).text)

    assert [
        word for page in pages for word in (NUMBER, "99998547", "99998-547", "tel:", "s.krueger") if word in page
    ] == []


@pytest.mark.parametrize(
    "query",
    ["day=2026-13-40", "day=0001-01-01", "day=9999-12-31", "day=%00", "day=٣", "scope=%FF", "scope=ALL", "day="],
)
def test_a_day_that_is_none_is_today(desk: Desk, query: str) -> None:
    answer = desk.get(f"{LIST}?{query}")

    assert answer.status_code == 200
    assert "Heute, Dienstag, 24. November" in text(answer.text)


def test_a_calendar_address_is_made_renewed_and_the_old_one_is_dead(
    desk: Desk, client: FlaskClient, reference: str
) -> None:
    assert address(desk) == ""
    assert desk.submit(ADDRESS).status_code == 303
    first = address(desk)
    assert reference in client.get(first.removeprefix("http://localhost")).text
    desk.submit(ADDRESS)
    second = address(desk)

    assert re.fullmatch(r"http://localhost/calendar/[\w.-]+\.ics", second)
    assert client.get(first.removeprefix("http://localhost")).status_code == 410
    assert client.get(second.removeprefix("http://localhost")).status_code == 200


def test_pressed_twice_it_is_one_address(desk: Desk) -> None:
    page = desk.get(LIST)
    desk.submit(ADDRESS)
    first = address(desk)
    desk.page = page
    again = desk.submit(ADDRESS)

    assert again.status_code == 303
    assert address(desk) == first


def test_the_list_says_what_a_calendar_is_worth(desk: Desk) -> None:
    page = text(desk.get(LIST).text)

    assert "Google zeigt Änderungen erst nach bis zu 24 Stunden, Outlook nach mehreren Stunden." in page
    assert "Verbindlich ist nur diese Anrufliste." in page


def test_only_who_is_signed_in_sees_it_or_makes_an_address(client: FlaskClient, company: dict[str, int]) -> None:
    assert client.get(LIST).status_code == 302
    assert client.post(ADDRESS).status_code in (302, 400)

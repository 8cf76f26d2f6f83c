"""The pure rules behind the staff pages: groups of the worklist, the wall clock, passwords, where to go next."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pytest
from babel.messages.pofile import read_po

from portal.languages import CATALOGUES
from portal.pages.staff import wall_clock, worklist
from portal.pages.staff.login import NEXT, passwords
from portal.pages.staff.worklist import Due

THURSDAY = datetime(2026, 11, 26, 12, 5, tzinfo=UTC)
BERLIN = "Europe/Berlin"


@dataclass(frozen=True)
class Row:
    due_at: datetime

    @property
    def overdue_at(self) -> datetime:
        return self.due_at


@pytest.mark.parametrize(
    ("due_at", "group"),
    [
        pytest.param(datetime(2026, 11, 26, 12, 5, tzinfo=UTC), Due.OVERDUE, id="this very minute"),
        pytest.param(datetime(2026, 11, 26, 12, 6, tzinfo=UTC), Due.TODAY, id="in a minute"),
        pytest.param(datetime(2026, 11, 26, 22, 59, tzinfo=UTC), Due.TODAY, id="a minute before midnight in Berlin"),
        pytest.param(datetime(2026, 11, 26, 23, 0, tzinfo=UTC), Due.TOMORROW, id="midnight in Berlin"),
        pytest.param(datetime(2026, 11, 28, 9, 0, tzinfo=UTC), Due.THIS_WEEK, id="Saturday"),
        pytest.param(datetime(2026, 11, 29, 22, 59, tzinfo=UTC), Due.THIS_WEEK, id="the last minute of Sunday"),
        pytest.param(datetime(2026, 11, 29, 23, 0, tzinfo=UTC), Due.LATER, id="Monday"),
    ],
)
def test_a_step_belongs_to_the_day_on_the_readers_own_calendar(due_at: datetime, group: Due) -> None:
    assert worklist.due(due_at, now=THURSDAY, tz=BERLIN) == group


def test_on_a_sunday_monday_is_tomorrow_and_tuesday_is_later() -> None:
    sunday = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)

    assert worklist.due(datetime(2026, 11, 30, 9, 0, tzinfo=UTC), now=sunday, tz=BERLIN) == Due.TOMORROW
    assert worklist.due(datetime(2026, 12, 1, 9, 0, tzinfo=UTC), now=sunday, tz=BERLIN) == Due.LATER


@pytest.mark.parametrize(("minutes", "group"), [(1, Due.TODAY), (0, Due.OVERDUE)])
def test_what_has_begun_and_is_not_overdue_yet_is_todays(minutes: int, group: Due) -> None:
    begun, overdue_at = THURSDAY - timedelta(minutes=4), THURSDAY + timedelta(minutes=minutes)

    assert worklist.due(begun, now=THURSDAY, tz=BERLIN, overdue_at=overdue_at) == group


def test_groups_come_in_order_with_the_earliest_first_and_without_empty_ones() -> None:
    late, later, tomorrow = (
        Row(datetime(2026, 11, 25, 9, 0, tzinfo=UTC)),
        Row(datetime(2026, 12, 3, 9, 0, tzinfo=UTC)),
        Row(datetime(2026, 11, 27, 9, 0, tzinfo=UTC)),
    )
    latest = Row(datetime(2026, 12, 4, 9, 0, tzinfo=UTC))

    groups = worklist.grouped([latest, tomorrow, later, late], now=THURSDAY, tz=BERLIN)

    assert groups == [(Due.OVERDUE, [late]), (Due.TOMORROW, [tomorrow]), (Due.LATER, [later, latest])]


def test_a_wall_clock_time_is_one_instant() -> None:
    assert wall_clock.instant(date(2026, 11, 26), time(14, 0), BERLIN) == datetime(2026, 11, 26, 13, 0, tzinfo=UTC)


def test_a_time_that_the_spring_change_leaves_out_is_refused() -> None:
    with pytest.raises(wall_clock.NoSuchTime):
        wall_clock.instant(date(2027, 3, 28), time(2, 30), BERLIN)


@pytest.mark.parametrize(
    ("day", "tz", "year"), [(date(1, 1, 1), BERLIN, 1), (date(9999, 12, 31), "America/New_York", 9999)]
)
def test_a_time_at_the_end_of_the_calendar_is_no_change_of_the_clock(day: date, tz: str, year: int) -> None:
    assert wall_clock.instant(day, time(0) if year == 1 else time(23), tz).year == year


def test_a_time_that_the_autumn_change_repeats_is_refused() -> None:
    with pytest.raises(wall_clock.TwiceThatTime):
        wall_clock.instant(date(2026, 10, 25), time(2, 30), BERLIN)


@pytest.mark.parametrize("hour", [time(1, 59), time(3, 0)])
def test_the_times_around_a_change_are_single(hour: time) -> None:
    at = wall_clock.instant(date(2026, 10, 25), hour, BERLIN)

    assert wall_clock.local(at, BERLIN) == (date(2026, 10, 25), hour)


@pytest.mark.parametrize(
    ("password", "stands"),
    [
        pytest.param("elf Zeichen", False, id="eleven characters"),
        pytest.param("zwölf Zeiche", True, id="twelve characters"),
        pytest.param("  leer am Rand  ", True, id="spaces at the ends count"),
        pytest.param("ü" * 1000, True, id="a thousand"),
        pytest.param("ü" * 1001, False, id="a thousand and one"),
        pytest.param("Miriam@Example.com", False, id="the address in another case"),
    ],
)
def test_a_password_has_12_to_1000_characters_and_is_not_the_address(password: str, stands: bool) -> None:
    assert (passwords.refusal(password, "miriam@example.com") is None) == stands


def test_the_same_password_fits_in_either_unicode_form_and_to_its_last_character() -> None:
    stored = passwords.hash_password("Zugängig" + "x" * 80 + "a ")

    assert stored.startswith("$argon2id$")
    assert passwords.check_password(stored, "Zuga\u0308ngig" + "x" * 80 + "a ")
    assert not passwords.check_password(stored, "Zugängig" + "x" * 80 + "b ")
    assert not passwords.check_password(stored, "Zugängig" + "x" * 80 + "a")


def test_without_a_login_no_password_fits() -> None:
    assert not passwords.check_password(None, "whatever it may be")


def test_the_stand_in_hash_costs_what_a_real_one_costs() -> None:
    assert not passwords.is_outdated(passwords._NOBODYS)


def test_a_hash_with_weaker_parameters_is_outdated() -> None:
    weaker = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Rk8xNVdBM2Y3dDJxN1p2Zm1hRjR3UXg0RzFhTnZ0Yk0"

    assert passwords.is_outdated(weaker)


@pytest.mark.parametrize(
    "path",
    ["/staff/", "/staff", "/staff/cases/K7P-3M9", "/staff/?scope=team", "/staff/cases/K7P-3M9?done=reply"],
)
def test_after_signing_in_a_staff_page_may_be_next(path: str) -> None:
    assert NEXT.fullmatch(path)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example/staff/",
        "/\\evil.example",
        "/staff/..//evil.example",
        "/staff//evil.example",
        "/staff/%2e%2e/contact",
        "/contact",
        "/staffing",
        "/staff/\n",
        "javascript:alert(1)",
        "",
    ],
)
def test_after_signing_in_nothing_else_may_be_next(path: str) -> None:
    assert not NEXT.fullmatch(path)


def test_german_pages_speak_of_no_customer_as_of_a_man() -> None:
    with (CATALOGUES / "de" / "LC_MESSAGES" / "messages.po").open("rb") as catalogue:
        said = [str(message.string) for message in read_po(catalogue)]

    assert [
        sentence for sentence in said if re.search(r"\b(?:der|den|dem|vom|zum|beim) Kunden?\b", sentence, re.I)
    ] == []

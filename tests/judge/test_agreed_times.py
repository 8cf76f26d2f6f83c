"""What the judge makes of agreed times: a life in which all is well, and one for each thing that can go wrong."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.judge import handmade, judge, reading
from tests.judge.handmade import DUE, MIRIAM, TUESDAY, Life, at
from tests.judge.test_judge import TARGETS

PETRA = "Petra Lindner"
TEN, THREE = "Donnerstag, 26. November, 10 Uhr", "Donnerstag, 26. November, 15 Uhr"
BY_NOON = f"{MIRIAM} meldet sich bis Freitag, 27. November, 12 Uhr wieder bei Ihnen"
COUNTS = {"appointments", "appointments_moved", "appointments_frozen", "appointments_given", "appointments_missed"}

Change = Callable[[Life], None]


def agreed(time: str, name: str = MIRIAM) -> str:
    return f"{name} ruft Sie am {time}, an"


def booked(life: Life) -> None:
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", agreed(TEN), f"Termin vereinbart: {TEN}, mit {MIRIAM}")


def begins(life: Life, when: str, *, slot: str = "26 10:00", ok: bool = True) -> None:
    life.act(when, "staff", case=1, by=MIRIAM, act="start", ok=ok, why="", slot=handmade._iso(at(slot)))


def ends(life: Life, when: str, *, person: str = MIRIAM) -> None:
    life.act(when, "staff", case=1, by=person, act="outcome", reached=True, keeps=False, ok=True, why="answered")
    life.told(when, "recap", TUESDAY, f"{person} hat mit Ihnen telefoniert", f"Zugesagt: {DUE}", person=person)
    handmade.close(life, "30 10:00")


def held(life: Life) -> None:
    booked(life)
    begins(life, "26 10:02")
    ends(life, "26 10:20")


def moved(life: Life, *, told: str = "25 9:00") -> None:
    booked(life)
    line = f"Termin verschoben von {TEN} auf {THREE}"
    life.letter(told, "appointment_moved", f"Neu: {THREE} (MEZ), etwa 30 Minuten", written="25 9:00")
    life.says("25 9:00", agreed(THREE), line)


def moved_and_held(life: Life) -> None:
    moved(life)
    begins(life, "26 15:02", slot="26 15:00")
    ends(life, "26 15:20")


def remembered(life: Life) -> None:
    """Nobody begins in time, and the customer is told."""
    booked(life)
    life.letter("26 10:15", "appointment_late")
    begins(life, "26 10:40")
    ends(life, "26 10:50")


def frozen(life: Life, step: str = BY_NOON) -> None:
    booked(life)
    life.act("25 9:00", "staff", case=1, by=MIRIAM, act="freeze", ok=True, why="")
    life.told("25 9:00", "appointment_frozen", step, f"Termin angehalten: {TEN}", "Zugesagt")
    life.says("26 10:00", step, f"Termin abgesagt: {TEN}")
    ends(life, "26 16:00")


GOOD = {"held": held, "moved": moved_and_held, "told that we are late": remembered, "on hold": frozen}


@pytest.mark.parametrize("told", GOOD.values(), ids=GOOD)
def test_an_agreed_time_told_as_it_should_be(told: Change, tmp_path: Path) -> None:
    life = Life()
    told(life)

    figures = judge(life.folder(tmp_path))

    assert {name: value for name, value in figures.items() if name in TARGETS and value} == {}
    assert figures["appointments"] == 1


def silent(life: Life) -> None:
    booked(life)
    ends(life, "26 16:00")


def at_the_old_time(life: Life) -> None:
    moved(life)
    begins(life, "26 10:01")
    begins(life, "26 15:02", slot="26 15:00")
    ends(life, "26 15:20")


def moved_and_told_too_late(life: Life) -> None:
    moved(life, told="26 10:30")
    begins(life, "26 15:02", slot="26 15:00")
    ends(life, "26 15:20")


def reminded_of_the_old_time(life: Life) -> None:
    moved_and_held(life)
    life.letter("25 10:00", "appointment_reminder", f"{TEN} (MEZ), etwa 30 Minuten")


def reminded_at_night(life: Life) -> None:
    held(life)
    life.letter("26 5:00", "appointment_reminder", f"{TEN} (MEZ), etwa 30 Minuten")


def named_although_away(life: Life) -> None:
    span = {"from": handmade._iso(at("26 0:00")), "until": handmade._iso(at("27 0:00"))}
    life.act("24 18:00", "absence", person=MIRIAM, **span, entered=True)
    booked(life)
    life.letter("25 10:00", "appointment_reminder", agreed(TEN))
    begins(life, "26 10:02")
    ends(life, "26 10:20", person=PETRA)


def told_after_its_hour(life: Life) -> None:
    held(life)
    life.letter("26 10:05", "reply", agreed(TEN))


def on_hold_without_a_date(life: Life) -> None:
    frozen(life, "Wir melden uns")


FAULTS: dict[str, tuple[Change, dict[str, float]]] = {
    "nobody called, nobody said so": (
        silent,
        # Until five minutes after its outcome was due it is what the customer waits for.
        {"appointments_missed_in_silence": 1, "minutes_in_the_dark": 4 * 60 + 55},
    ),
    "a call at the old time": (at_the_old_time, {"calls_at_an_old_time": 1}),
    "a move told after the old time": (
        moved_and_told_too_late,
        {"appointments_changed_without_a_letter": 1, "minutes_in_the_dark": 25 * 60 + 15},
    ),
    "a reminder of the old time": (reminded_of_the_old_time, {"reminders_naming_an_old_time": 1}),
    "a reminder at 5 am": (reminded_at_night, {"letters_outside_sending_hours": 1}),
    "somebody is named who is known to be away then": (named_although_away, {"letters_naming_an_absent_person": 1}),
    "a time that has come is told as one to come": (told_after_its_hour, {"letters_untrue": 1}),
    "on hold, and no other date": (on_hold_without_a_date, {"minutes_in_the_dark": 31 * 60}),
}


@pytest.mark.parametrize(("told", "expected"), FAULTS.values(), ids=FAULTS)
def test_what_goes_wrong_is_counted(told: Change, expected: dict[str, float], tmp_path: Path) -> None:
    life = Life()
    told(life)

    figures = judge(life.folder(tmp_path))

    assert {name: value for name, value in figures.items() if name in TARGETS and value} == expected


def test_a_number_that_was_refused_is_no_call(tmp_path: Path) -> None:
    life = Life()
    moved_and_held(life)
    begins(life, "26 10:01", ok=False)

    assert judge(life.folder(tmp_path))["calls_at_an_old_time"] == 0


def test_a_letter_is_read_with_its_calendar_file() -> None:
    message = EmailMessage()
    message["From"], message["Date"] = (
        f"{MIRIAM} – Beispielwerke <post@werke.example>",
        "Tue, 24 Nov 2026 09:12:00 +0100",
    )
    message["Message-ID"], message["X-Portal-Letter"] = "<1@werke.example>", "appointment_moved"
    message.set_content("–")
    html = f"<p><strong>Neu: {THREE} (MEZ), etwa 30 Minuten</strong></p><p>{PETRA} ruft Sie an; im Display</p>"
    message.add_alternative(f"<html>{html}</html>", subtype="html")
    calendar = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nDTSTART:20261126T140000Z\r\nEND:VEVENT\r\n"
    message.add_attachment(calendar, maintype="text", subtype="calendar", filename="termin.ics")

    letter = reading.letter(message.as_bytes())

    assert letter.invites_to == datetime(2026, 11, 26, 14, tzinfo=UTC)
    assert letter.bold == () and THREE in letter.agreed[0]
    assert reading.keepers(letter.html, [MIRIAM, PETRA]) == {PETRA}


def test_what_happened_to_agreed_times_is_counted(tmp_path: Path) -> None:
    life = Life()
    moved_and_held(life)
    life.line("25 11:00", f"{PETRA} übernimmt den Termin; die Zeit bleibt: {THREE}")
    life.letter("25 11:00", "appointment_given", f"{THREE} (MEZ), etwa 30 Minuten")

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in COUNTS} == {
        "appointments": 1,
        "appointments_moved": 1,
        "appointments_frozen": 0,
        "appointments_given": 1,
        "appointments_missed": 0,
    }
    assert figures["appointments_changed_without_a_letter"] == 0

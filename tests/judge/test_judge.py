"""The judge itself: dates read as customers read them, and for each figure a life in which it is zero and one not."""

import ast
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.judge import handmade, judge
from tests.judge.dates import moments
from tests.judge.handmade import DUE, FRIDAY, MIRIAM, THURSDAY, TUESDAY, Life, at, good_life
from tests.judge.hours import Company

HERE = Path(__file__).parent
PROGRAM = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))
MAY_IMPORT = {
    "argparse",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "email",
    "functools",
}
MAY_IMPORT |= {"gzip", "holidays", "html", "json", "math", "pathlib", "re", "statistics", "typing", "zoneinfo"}
BERLIN = ZoneInfo("Europe/Berlin")
FIGURES = {
    "cases",
    "letters",
    "promises_kept",
    "promises_moved",
    "appointments",
    "appointments_moved",
    "appointments_frozen",
    "appointments_given",
    "appointments_missed",
    "promises_lapsed_in_silence",
    "promises_lapsed_while_off",
    "promises_lapsed_while_mail_down",
    "promises_lapsed_out_of_reach",
    "minutes_in_the_dark",
    "minutes_in_the_dark_while_off",
    "minutes_in_the_dark_while_mail_down",
    "minutes_in_the_dark_out_of_reach",
    "calls_at_an_old_time",
    "letters_naming_an_absent_person",
    "letters_to_an_absent_colleague",
    "letters_lost",
    "letters_doubled",
    "letters_ambiguous",
    "letters_outside_sending_hours",
    "notices",
    "notices_per_case_p95",
    "notices_twice_a_day",
    "ladders_without_a_lead",
    "letters_untrue",
    "appointments_missed_in_silence",
    "appointments_changed_without_a_letter",
    "reminders_naming_an_old_time",
    "acts_refused_by_a_fault",
    "median_first_answer_minutes",
}
TARGETS = {  # the figures whose target is zero
    "promises_lapsed_in_silence",
    "minutes_in_the_dark",
    "calls_at_an_old_time",
    "letters_naming_an_absent_person",
    "letters_to_an_absent_colleague",
    "letters_lost",
    "letters_doubled",
    "letters_outside_sending_hours",
    "notices_twice_a_day",
    "ladders_without_a_lead",
    "letters_untrue",
    "appointments_missed_in_silence",
    "appointments_changed_without_a_letter",
    "reminders_naming_an_old_time",
    "acts_refused_by_a_fault",
}


def imported(source: str) -> set[str]:
    """The libraries a source imports, wherever in it; of our own the full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return {name if name.startswith((".", "tests")) else name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", PROGRAM, ids=lambda path: path.name)
def test_the_judge_imports_nothing_of_ours(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    assert {name for name in imported(source) if not name.startswith("tests.judge")} <= MAY_IMPORT
    assert "__import__" not in source and "importlib" not in source and "sqlite" not in source


@pytest.mark.parametrize(
    "planted",
    ["import portal", "def f():\n    from portal.cases import models", "from worker import loop", "import os"],
)
def test_a_planted_import_is_seen(planted: str) -> None:
    assert not imported(planted) <= MAY_IMPORT


@pytest.mark.parametrize(
    ("sentence", "zone", "expected"),
    [
        ("antwortet bis Donnerstag, 26. November, 14 Uhr", "Europe/Berlin", "2026-11-26T13:00"),
        ("antwortet bis Donnerstag, 26. November, 14:30 Uhr.", "Europe/Berlin", "2026-11-26T13:30"),
        ("antwortet bis Montag, 30. November, 14.30 Uhr", "Europe/Zurich", "2026-11-30T13:30"),
        ("ruft Sie bis Montag, 4. Jänner 2027, 9 Uhr an", "Europe/Vienna", "2027-01-04T08:00"),
        ("ruft Sie bis Dienstag, 8. Juni 2027, 9 Uhr an", "Europe/Berlin", "2027-06-08T07:00"),
        ("schließt den Vorgang am Freitag, 11. Dezember, 12 Uhr, wenn", "Europe/Berlin", "2026-12-11T11:00"),
        ("will reply by 2 pm on Thursday 26 November.", "Europe/Berlin", "2026-11-26T13:00"),
        ("will reply by 2:30 pm on Thursday 26 November (German time).", "Europe/Berlin", "2026-11-26T13:30"),
        ("will reply by 12 noon on Thursday 26 November", "Europe/Berlin", "2026-11-26T11:00"),
        ("will reply by 12 pm on Thursday 26 November", "Europe/Berlin", "2026-11-26T11:00"),
        ("will reply by noon on Thursday 26 November", "Europe/Berlin", "2026-11-26T11:00"),
        ("will reply by 12:15 am on Monday 4 January 2027", "Europe/Berlin", "2027-01-03T23:15"),
    ],
)
def test_dates_are_read_as_a_customer_reads_them(sentence: str, zone: str, expected: str) -> None:
    said = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)

    assert moments(sentence, ZoneInfo(zone), said) == (datetime.fromisoformat(expected).replace(tzinfo=UTC),)


def test_a_day_without_an_hour_is_no_step() -> None:
    assert moments("Bis Montag, 14. Dezember, können Sie", BERLIN, datetime(2026, 11, 24, tzinfo=UTC)) == ()


def test_both_clock_changes() -> None:
    said = datetime(2026, 3, 27, 12, tzinfo=UTC)

    found = moments("Freitag, 27. März, 14 Uhr, Montag, 30. März, 14 Uhr, Montag, 26. Oktober, 14 Uhr", BERLIN, said)

    assert [moment.hour for moment in found] == [13, 12, 13]


def test_presence_is_judged_on_the_next_business_minute() -> None:
    company = Company.of(handmade.COMPANY)
    south, zurich = company.teams["Süd"], company.teams["Zürich"]
    epiphany = datetime(2027, 1, 6, 9, tzinfo=UTC)

    assert company.next_minute(south, at("28 12:00"), known=at("28 12:00")) == at("30 8:00")
    assert company.next_minute(south, epiphany, known=epiphany) == datetime(2027, 1, 7, 7, tzinfo=UTC)
    assert company.next_minute(zurich, epiphany, known=epiphany) == epiphany
    assert company.after(south, at("27 18:50"), 30, known=at("27 18:50")) == at("30 7:20")
    women_s_day = datetime(2027, 3, 8, 9, tzinfo=UTC)
    assert company.is_away("Gerda Ende", women_s_day, known=women_s_day)
    assert not company.is_away(MIRIAM, women_s_day, known=women_s_day)
    assert not company.is_away(MIRIAM, epiphany, known=epiphany)
    assert company.is_away("Niemand", at("24 9:00"), known=at("24 9:00"))


def test_a_life_told_as_it_should_be(tmp_path: Path) -> None:
    figures = judge(good_life().folder(tmp_path))

    assert set(figures) == FIGURES
    assert {name: value for name, value in figures.items() if value} == {
        "cases": 1,
        "letters": 3,
        "promises_kept": 1,
        "median_first_answer_minutes": 1548,
    }


def silence(life: Life) -> None:
    """The promised date passes and nobody says a word until the day after."""
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", THURSDAY)
    life.act("27 9:00", "staff", case=1, by=MIRIAM, act="reply", reached=False, keeps=True, ok=True, why="")
    life.told("27 9:00", "reply", TUESDAY, "Zusage eingehalten", f"Zugesagt: {DUE}")
    handmade.close(life, "30 10:00")


def swallowed(life: Life) -> None:
    """Two promises fall due on one day; the notice moves one of them, and the date of the other passes."""
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", THURSDAY)
    other = f"{MIRIAM} ruft Sie bis Donnerstag, 26. November, 15 Uhr an"
    life.letter("25 9:00", "promise_given", f"{other}.")
    life.says("25 9:00", f"{THURSDAY} | {other}", "Zugesagt: Donnerstag, 26. November, 15 Uhr")
    life.letter("26 10:00", "delay_notice", f"{TUESDAY}.")
    life.says("26 10:00", f"{other} | {TUESDAY}", f"Neues Datum: {DUE}")
    handmade.close(life, "30 10:00")


def moved_but_not_told(life: Life) -> None:
    """The page moves the date in time, and the letter that says so comes a day late."""
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", THURSDAY)
    life.says("26 13:00", TUESDAY, f"Neues Datum: {DUE}")
    life.letter("27 13:00", "delay_notice", f"{TUESDAY}.", written="26 13:00")
    handmade.close(life, "30 10:00")


def never_told(life: Life) -> None:
    """The confirmation comes an hour late; until then only the page says the date."""
    life.form("24 9:12")
    life.says("24 9:12", THURSDAY)
    life.letter("24 10:12", "confirmation", f"{THURSDAY}.", written="24 9:12")
    life.act("25 11:00", "staff", case=1, by=MIRIAM, act="close", reached=False, keeps=True, ok=True, why="")
    life.letter("25 11:00", "closed")
    life.says("25 11:00", "Ihr Vorgang ist abgeschlossen", f"Abgeschlossen von {MIRIAM}")


def call(life: Life, when: str, by: str, *, ok: bool = True) -> None:
    life.act(when, "staff", case=1, by=by, act="call", reached=True, keeps=False, ok=ok, why="")


def away(life: Life, *, known: str, until: str | None = None, entered: bool = True) -> None:
    """Miriam is away from Wednesday on."""
    until = until and handmade._iso(at(until))
    life.act(known, "absence", person=MIRIAM, **{"from": handmade._iso(at("25 0:00")), "until": until}, entered=entered)


def notice(
    life: Life, when: str, days: int, *, kind: str = "delay_notice", text: str = "", person: str = MIRIAM
) -> None:
    """A notice that moves the promise to noon of the day after so many days."""
    due = at(when).astimezone(BERLIN).date().toordinal() + days
    day = datetime.fromordinal(due)
    said = f"{day.day}. {'November' if day.month == 11 else 'Dezember'}, 12 Uhr"
    life.letter(when, kind, f"{person} antwortet bis Montag, {said}.", person=person, text=text)
    life.says(when, f"{person} antwortet bis Montag, {said}", f"Neues Datum: Montag, {said}")


def opened(life: Life, step: str = THURSDAY) -> None:
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", step)


def third_notice_without_lead(life: Life, *, kept_between: bool = False, kind: str = "delay_notice") -> None:
    opened(life)
    notice(life, "26 10:00", 1)
    notice(life, "27 10:00", 3)
    if kept_between:
        life.says("27 12:00", f"{MIRIAM} antwortet bis Montag, 30. November, 12 Uhr", "Zusage eingehalten")
    notice(life, "30 10:00", 1, kind=kind, person="Jonas Weber" if kind == "lead_takes_over" else MIRIAM)
    handmade.close(life, "31 10:00")


def night_notice(life: Life, when: str = "27 3:00") -> None:
    opened(life, FRIDAY)
    notice(life, when, 4, text="unsere Zusage bis Freitag, 27. November, 14 Uhr, können wir nicht halten.")
    handmade.close(life, "30 10:00")


def two_notices_a_day(life: Life) -> None:
    opened(life)
    notice(life, "26 10:00", 1)
    notice(life, "26 16:00", 4)
    handmade.close(life, "30 10:00")


def lost_reply(life: Life) -> None:
    opened(life, TUESDAY)
    life.act("25 11:00", "staff", case=1, by=MIRIAM, act="reply", reached=False, keeps=False, ok=True, why="")
    handmade.close(life, "30 10:00")


LATER = f"{MIRIAM} antwortet bis Montag, 7. Dezember, 12 Uhr"


def lost_message(life: Life, *, answered: str = "", number: int = 1) -> None:
    opened(life, TUESDAY)
    life.act("25 11:00", "customer", case=1, act="message", status=303)
    if answered:
        life.told("25 11:01", answered, LATER, "Zugesagt", number=number)
    handmade.close(life, "30 10:00")


def lost_confirmation(life: Life) -> None:
    life.form("24 9:12")
    life.says("24 9:12", TUESDAY)
    life.letter("26 9:12", "promise_given", f"{TUESDAY}.")
    handmade.close(life, "30 10:00")


def closed_too_early(life: Life) -> None:
    """A letter that promises something reaches the customer of a closed case."""
    life.__dict__.update(good_life().__dict__)
    life.letter("31 10:00", "promise_given", f"{MIRIAM} antwortet bis Freitag, 4. Dezember, 12 Uhr.")


def past_date(life: Life) -> None:
    life.__dict__.update(good_life().__dict__)
    life.letter("27 9:00", "promise_given", f"{THURSDAY}.", written="25 11:00")


def fails(life: Life, when: str) -> None:
    """The customer wants the case open again, and the server has a fault."""
    life.act(when, "customer", case=1, act="reopen", status=500)
    page = {"case": 1, "status": 500, "html": "", "final": False, "older": False}
    life.pages.append({"at": handmade._iso(at(when)), **page})


def closed_at_night(life: Life) -> None:
    """The case closes itself after an announced date, and the letter leaves at 3 am."""
    opened(life, TUESDAY)
    life.letter("28 3:00", "closed")
    life.says("28 3:00", "Ihr Vorgang ist abgeschlossen", "Abgeschlossen von Kundenservice")


def kept_back(life: Life, *, until: str) -> None:
    """SMTP is down until 10 pm, and the confirmation comes some time after it."""
    life.form("24 9:12")
    life.says("24 9:12", TUESDAY)
    off(life, "24 9:00", "24 22:00", kind="smtp_down")
    life.letter(until, "confirmation", f"{TUESDAY}.", written="24 9:12")
    handmade.close(life, "30 10:00")


def notice_kept_back(life: Life, *, until: str, up: str = "26 20:00") -> None:
    """SMTP is down over a notice that moves a date, and the notice comes some time after it."""
    opened(life)
    off(life, "26 12:00", up, kind="smtp_down")
    life.says("26 13:00", TUESDAY, f"Neues Datum: {DUE}")
    life.letter(until, "delay_notice", f"{TUESDAY}.", written="26 13:00")
    handmade.close(life, "30 10:00")


Change = Callable[[Life], None]


def unmoved(life: Life, kind: str) -> None:
    """A date passes, the page goes on saying it beside another step, and mail cannot leave."""
    both = f"{THURSDAY} | {TUESDAY}"
    life.form("24 9:12")
    life.letter("24 9:12", "confirmation", f"{THURSDAY}.")
    life.letter("24 9:12", "promise_given", f"{TUESDAY}.")
    life.says("24 9:12", both)
    if kind == "refuses":
        life.act("25 9:00", "refuses", email="c1@kunde.example")
    else:
        off(life, "26 12:00", "26 20:00", kind=kind)
    life.says("26 18:00", TUESDAY, "Zusage eingehalten")
    handmade.close(life, "30 10:00")


def promised_once_more(life: Life) -> None:
    """A second answer gives the date that a letter has told already; its own letter comes an hour late."""
    opened(life)
    life.told("25 9:00", "reply", TUESDAY, "Zusage eingehalten", f"Zugesagt: {DUE}")
    life.says("25 10:00", TUESDAY, "Zusage eingehalten", f"Zugesagt: {DUE}")
    life.letter("25 11:00", "reply", f"{TUESDAY}.", written="25 10:00")
    handmade.close(life, "30 10:00")


def asked_again(life: Life, *, at_last: str) -> None:
    """The letter that keeps the date on which we wanted to ask again comes late."""
    opened(life)
    life.says("26 13:00", TUESDAY, "Wir haben Sie noch einmal gefragt")
    life.letter(at_last, "waiting_reminder", f"{TUESDAY}.", written="26 13:00")
    handmade.close(life, "30 10:00")


def story(*changes: Change) -> Change:
    """One change after the other."""

    def told(life: Life) -> None:
        for change in changes:
            change(life)

    return told


def also(*changes: Change) -> Change:
    """The good life with something more."""
    return story(lambda life: life.__dict__.update(good_life().__dict__), *changes)


FAULTS: dict[str, tuple[Change, dict[str, float]]] = {
    "a promise lapses in silence": (silence, {"promises_lapsed_in_silence": 1, "minutes_in_the_dark": 19 * 60}),
    "a swallowed promise beside another one": (swallowed, {"promises_lapsed_in_silence": 1}),
    "a move is told after the date": (
        moved_but_not_told,
        # The new date is told by the page alone for a quarter of an hour, and by the letter a day later.
        {"promises_lapsed_in_silence": 1, "minutes_in_the_dark": 24 * 60 - 15},
    ),
    "a dark three quarters of an hour": (never_told, {"minutes_in_the_dark": 45}),
    "a call by somebody else": (also(lambda life: call(life, "26 9:00", "Reto Bär")), {"calls_at_an_old_time": 1}),
    "a call for a closed case": (also(lambda life: call(life, "31 9:00", MIRIAM)), {"calls_at_an_old_time": 1}),
    "a call by the lead before the lead is named": (
        also(lambda life: call(life, "26 9:00", "Jonas Weber")),
        {"calls_at_an_old_time": 1},
    ),
    "letters signed by somebody absent": (
        also(lambda life: away(life, known="24 18:00")),
        {"letters_naming_an_absent_person": 2},
    ),
    "a letter to a colleague who is absent": (
        also(
            lambda life: away(life, known="26 9:00"),
            lambda life: life.letter("26 9:05", "staff_reminder", to="p0@werke.example"),
        ),
        {"letters_to_an_absent_colleague": 1, "letters_naming_an_absent_person": 1},
    ),
    "a lost confirmation": (lost_confirmation, {"letters_lost": 1, "minutes_in_the_dark": 2 * 24 * 60 - 15}),
    "a lost confirmation, and nobody looks at the page": (
        story(
            lambda life: life.form("24 9:12"),
            lambda life: life.told("26 9:12", "promise_given", TUESDAY, f"Zugesagt: {DUE}"),
            lambda life: life.act("26 9:11", "staff", case=1, by=MIRIAM, act="promise", ok=True),
            lambda life: handmade.close(life, "30 10:00"),
        ),
        {"letters_lost": 1, "minutes_in_the_dark": 2 * 24 * 60 - 15},
    ),
    "a lost reply": (lost_reply, {"letters_lost": 1}),
    "a lost receipt of a message": (lost_message, {"letters_lost": 1}),
    "a letter three times": (
        also(lambda life: life.letter("26 9:00", "promise_given", f"{TUESDAY}.", copies=3)),
        {"letters_doubled": 2},
    ),
    "a delay notice at 3 am": (night_notice, {"letters_outside_sending_hours": 1}),
    "a delay notice on a Saturday": (
        story(
            lambda life: opened(life, TUESDAY),
            lambda life: notice(life, "28 10:00", 4),
            lambda life: handmade.close(life, "30 10:00"),
        ),
        {"letters_outside_sending_hours": 1},
    ),
    "a case that closes itself at 3 am": (closed_at_night, {"letters_outside_sending_hours": 1}),
    "two notices on one day": (two_notices_a_day, {"notices_twice_a_day": 1}),
    "a third notice without the lead": (third_notice_without_lead, {"ladders_without_a_lead": 1}),
    "a letter for a closed case": (closed_too_early, {"letters_untrue": 1}),
    "a confirmation that stays away an hour after SMTP is back": (
        lambda life: kept_back(life, until="24 23:00"),
        {"minutes_in_the_dark": 40},
    ),
    "a notice that stays away an hour after the sending hours began": (
        lambda life: notice_kept_back(life, until="27 8:00"),
        {"minutes_in_the_dark": 40},
    ),
    "a notice that stays away an hour after SMTP is back in the daytime": (
        lambda life: notice_kept_back(life, until="26 16:00", up="26 15:00"),
        {"minutes_in_the_dark": 40},
    ),
    "a date that passes when SMTP has been back for half an hour": (
        lambda life: notice_kept_back(life, until="26 14:30", up="26 13:30"),
        {"minutes_in_the_dark": 40, "promises_lapsed_in_silence": 1},
    ),
    "a date that passes while SMTP is down, and the page says nothing new": (
        story(
            lambda life: opened(life),
            lambda life: off(life, "26 12:00", "26 20:00", kind="smtp_down"),
            lambda life: life.told("26 18:00", "promise_given", TUESDAY, f"Zugesagt: {DUE}"),
            lambda life: handmade.close(life, "30 10:00"),
        ),
        {"minutes_in_the_dark": 4 * 60, "promises_lapsed_in_silence": 1},
    ),
    "a reminder that comes after the date it keeps": (
        lambda life: asked_again(life, at_last="26 14:15"),
        {"promises_lapsed_in_silence": 1, "minutes_in_the_dark": 60},
    ),
    "a date that did not move while SMTP was down": (
        lambda life: unmoved(life, "smtp_down"),
        {"promises_lapsed_in_silence": 1},
    ),
    "a date that did not move, of a mailbox that refuses": (
        lambda life: unmoved(life, "refuses"),
        {"promises_lapsed_in_silence": 1},
    ),
    "a letter with a date that has passed": (past_date, {"letters_untrue": 1}),
    "a reopening that fails, and the page after it": (
        also(lambda life: fails(life, "31 9:00")),
        {"acts_refused_by_a_fault": 2},
    ),
    "a form that fails": (
        also(lambda life: life.act("26 9:00", "form", case=2, topic="offer", email="", status=500, reference=None)),
        {"acts_refused_by_a_fault": 1},
    ),
}


@pytest.mark.parametrize(("life_of", "expected"), FAULTS.values(), ids=FAULTS)
def test_each_fault_moves_its_figure_and_no_other(life_of: Change, expected: dict[str, float], tmp_path: Path) -> None:
    life = Life()
    life_of(life)

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == expected


def off(life: Life, start: str, end: str, *, kind: str = "machine_off") -> None:
    life.act(start, kind)
    life.act(end, "machine_on" if kind == "machine_off" else "smtp_up")


BLAMELESS: dict[str, Change] = {
    "the deputy calls while the person is away": also(
        lambda life: away(life, known="25 12:00", until="27 17:00"), lambda life: call(life, "26 9:00", "Petra Lindner")
    ),
    "a call that the program refused": also(lambda life: call(life, "26 9:00", "Reto Bär", ok=False)),
    "a reopening that nobody could answer because the machine was off": also(
        lambda life: off(life, "31 8:00", "31 10:00"), lambda life: fails(life, "31 9:00")
    ),
    "a reopening that the program refused": also(
        lambda life: life.act("31 9:00", "customer", case=1, act="reopen", status=409)
    ),
    "an absence nobody entered": also(lambda life: away(life, known="24 18:00", entered=False)),
    "an absence that ended": also(
        lambda life: away(life, known="24 18:00"), lambda life: away(life, known="24 19:00", until="25 9:00")
    ),
    "a letter to a colleague who is there": also(
        lambda life: life.letter("26 9:05", "staff_reminder", to="p0@werke.example")
    ),
    "an ambiguous ending": also(
        lambda life: life.letter("26 9:00", "promise_given", f"{TUESDAY}.", copies=2),
        lambda life: life.act("26 9:00", "ambiguous", message_id="<3@werke.example>"),
    ),
    "a message answered by its receipt": lambda life: lost_message(life, answered="message_received"),
    "a message that opened a new case": lambda life: lost_message(life, answered="confirmation", number=101),
    "a message that opened a new case, and was answered before that could be confirmed": lambda life: lost_message(
        life, answered="reply", number=101
    ),
    "a date promised once more, and told again an hour later": promised_once_more,
    "the third notice by the lead": lambda life: third_notice_without_lead(life, kind="lead_takes_over"),
    "a kept promise between the notices": lambda life: third_notice_without_lead(life, kept_between=True),
    "a night notice because the date is earlier than the morning": story(
        lambda life: opened(life, f"{MIRIAM} antwortet bis Freitag, 27. November, 6 Uhr"),
        lambda life: notice(life, "27 3:00", 4),
        lambda life: handmade.close(life, "30 10:00"),
    ),
    "SMTP down over the confirmation": lambda life: kept_back(life, until="24 22:19"),
    "a reply that was put off until the case was closed": also(
        lambda life: life.letter("30 10:05", "reply", f"{LATER}.", written="30 9:58")
    ),
    "a receipt overtaken by the answer": lambda life: lost_message(life, answered="reply"),
    "a notice because the calendar changed": story(
        lambda life: opened(life),
        lambda life: notice(life, "25 10:00", 2),
        lambda life: notice(life, "26 10:00", 4, text="Ihr Anliegen hat ein neues Datum."),
        lambda life: notice(life, "27 10:00", 4),
        lambda life: handmade.close(life, "30 10:00"),
    ),
    "a date that a colleague planned on the day of a notice": story(
        lambda life: opened(life),
        lambda life: notice(life, "26 10:00", 1),
        lambda life: life.act("26 15:00", "staff", case=1, by=MIRIAM, act="plan", reached=False, keeps=False, ok=True),
        lambda life: notice(life, "26 15:15", 4, text="Ihr Anliegen hat ein neues Datum."),
        lambda life: handmade.close(life, "30 10:00"),
    ),
    "a date that did not move while the machine was off": lambda life: unmoved(life, "machine_off"),
    "a mailbox that refuses": story(
        lambda life: life.act("24 9:00", "refuses", email="c1@kunde.example"),
        lambda life: life.form("24 9:12"),
        lambda life: life.says("24 9:12", TUESDAY),
        lambda life: life.says("30 10:00", "Ihr Vorgang ist abgeschlossen", f"Abgeschlossen von {MIRIAM}"),
    ),
}


@pytest.mark.parametrize("life_of", BLAMELESS.values(), ids=BLAMELESS)
def test_what_is_no_fault_counts_as_none(life_of: Change, tmp_path: Path) -> None:
    life = Life()
    life_of(life)

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}


def test_what_happens_while_the_system_is_off_is_stated_apart(tmp_path: Path) -> None:
    life = Life()
    opened(life)
    off(life, "26 13:00", "26 18:00")
    life.told("26 18:05", "delay_notice", FRIDAY, "Neues Datum: Freitag, 27. November, 14 Uhr")
    handmade.close(life, "27 10:00")

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}
    assert figures["promises_lapsed_while_off"] == 1
    assert figures["minutes_in_the_dark_while_off"] == 4 * 60 + 5


def test_a_date_that_passed_while_no_mail_left_is_stated_apart(tmp_path: Path) -> None:
    life = Life()
    notice_kept_back(life, until="27 7:19")

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}
    assert figures["promises_lapsed_while_mail_down"] == 1
    # From the move on only the page says the new date, and for a quarter of an hour it may.
    assert figures["minutes_in_the_dark_while_mail_down"] == 18 * 60 + 19 - 15
    assert figures["promises_lapsed_while_off"] == figures["minutes_in_the_dark_while_off"] == 0
    assert figures["promises_moved"] == 1
    assert figures["notices"] == 1
    assert figures["notices_per_case_p95"] == 1


def test_a_date_that_a_letter_had_moved_in_time_did_not_lapse_when_it_moved_once_more(tmp_path: Path) -> None:
    life = Life()
    opened(life, THURSDAY)
    notice(life, "26 10:00", 1)
    off(life, "26 13:00", "26 16:00", kind="smtp_down")
    life.says("26 13:30", LATER, "Datum verschoben auf Montag, 7. Dezember, 12 Uhr")
    life.letter("26 16:05", "promise_given", f"{LATER}.", written="26 13:30")
    handmade.close(life, "30 10:00")

    figures = judge(life.folder(tmp_path))

    assert figures["promises_lapsed_while_mail_down"] == figures["promises_lapsed_in_silence"] == 0


def test_a_date_promised_before_says_nothing_of_one_that_lapses(tmp_path: Path) -> None:
    life = Life()
    opened(life, TUESDAY)
    life.says("25 10:00", f"{THURSDAY} | {TUESDAY}", "Zugesagt: Donnerstag, 26. November, 14 Uhr")
    life.letter("25 10:00", "promise_given", f"{THURSDAY}.")
    off(life, "26 13:00", "26 16:00", kind="smtp_down")
    life.says("26 13:30", f"{TUESDAY} | {LATER}", "Datum verschoben auf Montag, 7. Dezember, 12 Uhr")
    life.letter("26 16:05", "promise_given", f"{LATER}.", written="26 13:30")
    handmade.close(life, "30 10:00")

    figures = judge(life.folder(tmp_path))

    assert (figures["promises_lapsed_while_mail_down"], figures["promises_lapsed_in_silence"]) == (1, 0)


def test_a_mailbox_that_refuses_is_stated_apart(tmp_path: Path) -> None:
    life = Life()
    life.act("24 9:00", "refuses", email="c1@kunde.example")
    life.form("24 9:12")
    life.says("24 9:12", THURSDAY)
    life.says("26 13:00", TUESDAY, f"Neues Datum: {DUE}")
    life.says("30 10:00", "Ihr Vorgang ist abgeschlossen", f"Abgeschlossen von {MIRIAM}")

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}
    assert figures["minutes_in_the_dark_out_of_reach"] == 6 * 24 * 60 + 48 - 2 * 15
    assert figures["promises_lapsed_out_of_reach"] == 0  # no letter had ever told the old date
    assert figures["minutes_in_the_dark_while_off"] == figures["minutes_in_the_dark_while_mail_down"] == 0


def test_a_step_that_nobody_saw_has_its_quarter_of_an_hour_too(tmp_path: Path) -> None:
    life = Life()
    life.act("24 9:00", "refuses", email="c1@kunde.example")
    life.form("24 9:12")
    life.says("24 9:12", f"{THURSDAY} | {TUESDAY}")
    life.line("25 9:00", "Wir haben Sie noch einmal gefragt")
    life.says("25 9:30", TUESDAY, "Zusage eingehalten")
    handmade.close(life, "25 10:00")

    figures = judge(life.folder(tmp_path))

    assert figures["minutes_in_the_dark_out_of_reach"] == 24 * 60 + 48 - 2 * 15
    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}


def test_a_case_that_goes_on_begins_with_its_history_and_not_with_its_first_letter(tmp_path: Path) -> None:
    life = handmade.good_life()
    off(life, "31 9:00", "31 11:00", kind="smtp_down")
    life.act("31 9:00", "customer", case=1, act="message", status=303)
    life.says("31 9:00", f"{MIRIAM} antwortet bis Freitag, 4. Dezember, 9 Uhr", "Anliegen eingegangen", number=101)
    life.says("31 10:00", LATER, f"{MIRIAM} hat geantwortet", "Zusage eingehalten", number=101)
    life.letter("31 11:05", "reply", f"{LATER}.", number=101, written="31 10:00")

    figures = judge(life.folder(tmp_path))

    assert figures["minutes_in_the_dark_while_mail_down"] == 60 - 15 + 65 - 15
    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}


def test_a_step_that_passes_is_no_step_for_a_mailbox_that_refuses_either(tmp_path: Path) -> None:
    life = Life()
    life.act("24 9:00", "refuses", email="c1@kunde.example")
    life.form("24 9:12")
    life.says("24 9:12", THURSDAY)
    life.says("26 15:00", TUESDAY, f"Neues Datum: {DUE}")
    life.says("30 10:00", "Ihr Vorgang ist abgeschlossen", f"Abgeschlossen von {MIRIAM}")

    figures = judge(life.folder(tmp_path))

    assert figures["promises_lapsed_in_silence"] == 1
    assert figures["minutes_in_the_dark"] == 60


def test_a_change_nobody_looked_at_is_read_from_the_history(tmp_path: Path) -> None:
    life = Life()
    opened(life)
    life.letter("26 10:00", "promise_given", f"{TUESDAY}.")
    life.line("26 10:00", f"Neues Datum: {DUE}")
    life.line("28 9:00", "Sie haben uns geschrieben")
    life.said[1].append((at("28 9:00"), TUESDAY))
    handmade.close(life, "30 10:00")

    figures = judge(life.folder(tmp_path))

    assert {name: figures[name] for name in sorted(TARGETS) if figures[name]} == {}


def test_the_95th_percentile_is_the_nearest_rank(tmp_path: Path) -> None:
    life = Life()
    for number in range(1, 21):
        life.form("24 9:12", number)
        life.told("24 9:12", "confirmation", TUESDAY, number=number)
        for day in range(25, 25 + (3 if number > 18 else 0)):
            life.letter(f"{day} 9:00", "delay_notice", f"{TUESDAY}.", number=number)

    figures = judge(life.folder(tmp_path, end="30 12:00"))

    assert figures["notices"] == 6
    assert figures["notices_per_case_p95"] == 3


@pytest.mark.parametrize(
    ("act", "minutes"),
    [
        ({"act": "reply"}, 60),
        ({"act": "close"}, 60),
        ({"act": "call", "reached": True}, 60),
        ({"act": "call", "reached": False}, 120),
        ({"act": "note"}, 120),
        ({"act": "close", "ok": False}, 120),
    ],
    ids=str,
)
def test_the_first_answer_is_a_reply_a_talk_or_a_closing(
    act: dict[str, object], minutes: float, tmp_path: Path
) -> None:
    life = Life()
    opened(life)
    life.act("24 10:12", "staff", **{"case": 1, "by": MIRIAM, "reached": False, "ok": True, **act})
    life.act("24 11:12", "staff", case=1, by=MIRIAM, act="reply", reached=False, ok=True)

    assert judge(life.folder(tmp_path))["median_first_answer_minutes"] == minutes


def test_a_swiss_team_speaks_its_own_clock(tmp_path: Path) -> None:
    life = Life()
    life.form("24 9:12", topic="swiss", person="Reto Bär")
    life.told("24 9:12", "confirmation", "Reto Bär antwortet bis Montag, 30. November, 14.30 Uhr", person="Reto Bär")

    figures = judge(life.folder(tmp_path, end="30 15:30"))

    assert figures["promises_lapsed_in_silence"] == 1
    assert figures["minutes_in_the_dark"] == 60

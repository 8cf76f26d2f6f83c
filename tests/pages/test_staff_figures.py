"""The page for leads: who sees it, what it shows, and that chart, table and CSV say the same."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import time_machine
from flask import Flask
from sqlalchemy import insert, select, update
from werkzeug.test import TestResponse

from portal import clock, db
from portal.cases.figures import Figures
from portal.cases.models import Case, CaseState, Outcome, Topic
from portal.customers.models import Customer
from portal.journal.models import Actor, Channel, Direction, Entry, Kind
from portal.languages import Voice
from portal.pages.staff import charts
from portal.pages.staff.charts import Measured, Part
from portal.pages.staff.figure_tables import COLUMNS, comma_separated, shown
from portal.people.models import Person, Team
from portal.promises.models import Medium, Promise, PromiseKind, PromiseState
from tests.conftest import NOW
from tests.pages.staff_desk import Desk, document, text
from tests.support.cast import statements

LEAD, ADMIN, STAFF = "Dr. Katharina Voss", "Martina Ebert", "Miriam Albrecht"
ALL = "/staff/figures?team=all"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def tuesday_morning() -> Iterator[None]:
    """9:12 in Germany, in week 48."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def desk(app: Flask, company: dict[str, int]) -> Desk:
    """The browser of an administrator."""
    return Desk.of(app, ADMIN)


def add_cases(app: Flask, count: int, *, topic: str = "angebot", owner: str = STAFF, late: int = 0) -> None:
    """Cases of last Tuesday, each answered after an hour; the first ``late`` of them only after their date."""
    at = clock.utc_now() - timedelta(days=7)
    due, after_an_hour = at + timedelta(hours=4), at + timedelta(hours=1)
    with app.app_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == topic)).one()
        owner_id = session.scalars(select(Person.id).where(Person.name == owner)).one()
        first = 1 + len(session.scalars(select(Case.id)).all())
        ids = range(first, first + count)
        session.execute(insert(Customer), [{"id": one, "name": "Sabine Krüger"} for one in ids])
        cases = [_case(one, topic_id, owner_id) for one in ids]
        session.execute(insert(Case), cases)
        promise: dict[str, Any] = {
            "person_id": owner_id,
            "kind": PromiseKind.REPLY,
            "medium": Medium.MAIL,
            "state": PromiseState.KEPT,
            "given_at": at,
            "due_at": due,
            "first_due_at": due,
            "notice_at": due - timedelta(hours=1),
        }
        ends = [due + timedelta(hours=1) if number < late else after_an_hour for number in range(count)]
        session.execute(
            insert(Promise),
            [{**promise, "case_id": one, "ended_at": end} for one, end in zip(ids, ends, strict=True)],
        )
        session.execute(insert(Entry), [_reply(one, owner_id, after_an_hour) for one in ids])


def _case(number: int, topic_id: int, owner_id: int) -> dict[str, Any]:
    at = clock.utc_now() - timedelta(days=7)
    return {
        "id": number,
        "reference": f"N{number}",
        "link_nonce": f"nonce-{number}",
        "topic_id": topic_id,
        "customer_id": number,
        "owner_id": owner_id,
        "state": CaseState.CLOSED,
        "language": "de",
        "received_at": at,
        "opened_at": at,
        "closed_at": NOW,
        "outcome": Outcome.DONE,
        "reopen_until": NOW,
        "erase_on": NOW.date(),
    }


def _reply(case_id: int, person_id: int, at: Any) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "at": at,
        "noted_at": at,
        "kind": Kind.REPLY,
        "channel": Channel.MAIL,
        "direction": Direction.OUT,
        "actor": Actor.PERSON,
        "person_id": person_id,
        "visible": True,
    }


def table(page: TestResponse, caption: str) -> list[list[str]]:
    """The cells of the table with this caption, head first."""
    for found in document(page.text).iter("table"):
        named = found.find("caption")
        if named is not None and words(named) == caption:
            return [[_cell(cell) for cell in row if cell.tag in ("th", "td")] for row in found.iter("tr")]
    raise AssertionError(f"no table {caption!r}")


def _cell(cell: Element) -> str:
    shown_parts = [part for part in cell if part.get("class") != "head"]
    return words(shown_parts[-1] if shown_parts else cell)


def words(part: Element) -> str:
    return " ".join("".join(part.itertext()).split())


def spreadsheet(answer: TestResponse) -> list[dict[str, str]]:
    """The rows of the CSV by their headings."""
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig")), delimiter=";"))


# --- who sees it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/staff/figures", "/staff/figures.csv"])
def test_staff_are_told_whom_to_ask(app: Flask, company: dict[str, int], page: str) -> None:
    desk = Desk.of(app, STAFF)

    answer = desk.get(page)

    assert answer.status_code == 403
    assert "Die Kennzahlen sind für Teamleitungen" in text(answer.text)
    assert "n =" not in answer.text and "Kennzahlen</a>" not in answer.text


@pytest.mark.parametrize("page", ["/staff/figures", "/staff/figures.csv"])
def test_who_is_not_signed_in_signs_in_first(app: Flask, company: dict[str, int], page: str) -> None:
    answer = Desk(app).get(page)

    assert answer.status_code == 302
    assert answer.location is not None and answer.location.startswith("/staff/login?")


@pytest.mark.parametrize(("name", "linked"), [(LEAD, True), (ADMIN, True), (STAFF, False)])
def test_the_link_stands_where_it_leads_somewhere(app: Flask, company: dict[str, int], name: str, linked: bool) -> None:
    page = Desk.of(app, name).get("/staff/")

    assert ('href="/staff/figures">Kennzahlen</a>' in page.text) is linked


def test_a_lead_begins_with_the_own_team_and_may_look_at_all(app: Flask, company: dict[str, int]) -> None:
    add_cases(app, 5)
    add_cases(app, 6, topic="technik", owner="Deniz Yılmaz")
    desk = Desk.of(app, LEAD)

    own, everybody = desk.get("/staff/figures"), desk.get(ALL)

    assert "· Vertrieb Süd · Alle Anliegen" in text(own.text)
    assert "(n = 5)" in own.text and "(n = 6)" not in own.text
    assert "(n = 11)" in everybody.text
    assert [row[0] for row in table(everybody, "Wurden Zusagen eingehalten? Nach Team")[1:]] == [
        "Vertrieb Süd",
        "Kundendienst",
    ]


def test_another_lead_reads_the_own_team_first(app: Flask, company: dict[str, int]) -> None:
    add_cases(app, 5)
    add_cases(app, 6, topic="technik", owner="Deniz Yılmaz")

    page = Desk.of(app, "Sandra Neumann").get(ALL)

    assert [row[0] for row in table(page, "Wurden Zusagen eingehalten? Nach Team")[1:]] == [
        "Kundendienst",
        "Vertrieb Süd",
    ]
    first_choices = re.findall(r"<option [^>]*>([^<]+)</option>", page.text.partition('name="team"')[2])[:2]
    assert first_choices == ["Alle Teams", "Auftrag und Rechnung"]


def test_no_single_person_is_named(app: Flask, desk: Desk) -> None:
    add_cases(app, 5)

    page, saved = desk.get(ALL), desk.get("/staff/figures.csv")

    assert STAFF not in page.text and STAFF not in saved.text


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_a_week_shows_its_numbers(app: Flask, desk: Desk) -> None:
    add_cases(app, 8, late=2)

    page = desk.get(f"{ALL}&weeks=4")

    promises = table(page, "Wurden Zusagen eingehalten? Nach Woche")
    assert [row[0] for row in promises] == ["Woche", *(f"KW {n} ab {day}" for n, day in WEEKS)]
    assert promises[3][1:] == ["8", "6", "0", "2", "0", "0", "75 %", "75 %"]
    assert promises[4][1:] == ["0", "0", "0", "0", "0", "0", "–", "–"]
    assert table(page, "Wie schnell kam die erste Antwort? Nach Woche")[3][1:] == ["8", "0", "1,0"]
    assert table(page, "Wie oft haben wir eine Verzögerung gemeldet? Nach Woche")[3][1:] == ["8", "0", "0,00", "0"]


WEEKS = ((45, "2.11."), (46, "9.11."), (47, "16.11."), (48, "23.11."))


def test_the_chart_says_what_the_table_says(app: Flask, desk: Desk) -> None:
    add_cases(app, 8, late=2)

    page = desk.get(f"{ALL}&weeks=4")

    (drawn,) = [one for one in document(page.text).iter(f"{SVG}svg") if one.get("aria-labelledby") == PROMISES_BY_WEEK]
    labels = [words(one) for one in drawn.iter(f"{SVG}text")]
    titles = [words(one) for part in drawn.iter(f"{SVG}rect") for one in part.iter(f"{SVG}title")]
    widths = [float(part.get("width", "")) for part in drawn.iter(f"{SVG}rect")]
    assert labels == ["KW 45", "n = 0", "KW 46", "n = 0", "KW 47", "n = 8", "KW 48", "n = 0"]
    assert titles == ["Zum ersten Datum eingehalten: 6", "Verstrichen: 2"]
    assert widths[0] == 3 * widths[1]


PROMISES_BY_WEEK = "promises-week-chart-title"


def test_a_chart_is_a_named_picture(app: Flask, desk: Desk) -> None:
    add_cases(app, 5)

    tree = document(desk.get(ALL).text)

    drawn = [one for one in tree.iter(f"{SVG}svg") if one.get("role") == "img"]
    ids = {one.get("id"): words(one) for one in tree.iter() if one.get("id")}
    assert len(drawn) == 3  # one team and one topic make no chart of their own
    for one in drawn:
        assert ids[one.get("aria-labelledby", "")] and ids[one.get("aria-describedby", "")]
    every_id = [one.get("id") for one in tree.iter() if one.get("id")]
    assert len(every_id) == len(set(every_id))


def test_too_few_are_said_and_not_calculated(app: Flask, desk: Desk) -> None:
    add_cases(app, 4)

    page = desk.get(f"{ALL}&weeks=4")

    assert table(page, "Wurden Zusagen eingehalten? Nach Woche")[3][1:] == [
        *("4", "4", "0", "0", "0", "0"),
        *("zu wenige", "zu wenige"),
    ]
    assert "Median in Arbeitsstunden: zu wenige (n = 4)" in text(page.text)
    assert "zu wenige (n = 4)" in [words(one) for one in document(page.text).iter(f"{SVG}text")]
    assert "%" not in text(page.text)


def test_the_weeks_before_stand_beside_the_present_ones(app: Flask, desk: Desk) -> None:
    add_cases(app, 8, late=2)
    with time_machine.travel(NOW + timedelta(weeks=4), tick=False):
        add_cases(app, 5)

        page = Desk.of(app, ADMIN).get(f"{ALL}&weeks=4")

    said = text(page.text).replace(" ;", ";")
    assert "Zum ersten Datum eingehalten: 100 % (n = 5); in den 4 Wochen davor: 75 % (n = 8)" in said


def test_nothing_to_count_is_said_with_a_way_on(desk: Desk) -> None:
    page = desk.get(ALL)

    assert page.status_code == 200
    assert "Hier gibt es noch nichts zu zählen. Wählen Sie einen längeren Zeitraum" in text(page.text)
    assert not list(document(page.text).iter("table"))


def test_the_page_speaks_english_too(app: Flask, desk: Desk) -> None:
    add_cases(app, 8, late=2)
    with app.app_context(), db.writing() as session:
        session.execute(update(Person).where(Person.name == ADMIN).values(language="en"))

    page = desk.get(f"{ALL}&weeks=4")

    assert table(page, "Were promises kept? By week")[3][:2] == ["Wk 47 from 16 Nov", "8"]
    assert "Kept by the first date: 75% (n = 8)" in text(page.text)
    assert "Kennzahlen" not in page.text


def test_nothing_in_the_page_needs_a_style_or_a_script(app: Flask, desk: Desk) -> None:
    add_cases(app, 5)

    tree = document(desk.get(ALL).text)

    assert [one.tag for one in tree.iter() if one.get("style") or one.tag == "style"] == []
    assert [one.get("src") for one in tree.iter("script")] == ["/static/enhance.js"]


# --- the filter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weeks", [4, 13, 26])
def test_the_period_is_chosen(app: Flask, desk: Desk, weeks: int) -> None:
    add_cases(app, 5)

    page = desk.get(f"{ALL}&weeks={weeks}")

    assert len(table(page, "Wurden Zusagen eingehalten? Nach Woche")) == 1 + weeks
    assert f'<option value="{weeks}" selected>' in page.text


@pytest.mark.parametrize(
    "query", ["weeks=5&team=0&topic=0", "weeks=x&team=x&topic=x", "weeks=&team=&topic=", "team=%00"]
)
def test_a_choice_that_is_none_is_no_choice(app: Flask, desk: Desk, query: str) -> None:
    add_cases(app, 5)

    page = desk.get(f"/staff/figures?{query}")

    assert page.status_code == 200
    assert "Alle Teams · Alle Anliegen" in text(page.text)
    assert len(table(page, "Wurden Zusagen eingehalten? Nach Woche")) == 1 + 13


def test_a_topic_is_chosen_and_the_csv_follows(app: Flask, desk: Desk) -> None:
    add_cases(app, 5)
    add_cases(app, 6, topic="technik", owner="Deniz Yılmaz")
    with app.app_context(), db.reading() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "technik")).one()

    page = desk.get(f"{ALL}&topic={topic_id}")
    link = re.search(r'href="(/staff/figures\.csv[^"]*)"', page.text)
    assert link is not None
    saved = spreadsheet(desk.get(link[1].replace("&amp;", "&")))

    assert "(n = 6)" in page.text and "(n = 11)" not in page.text
    assert saved[0]["Zusagen (n)"] == "6"
    assert saved[0]["Anliegen"] == "Technischer Kundendienst"


# --- the CSV ---------------------------------------------------------------------------------------------------------


def test_the_csv_opens_in_a_german_spreadsheet(app: Flask, desk: Desk) -> None:
    add_cases(app, 8, late=1)

    answer = desk.get("/staff/figures.csv?team=all&weeks=4")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert answer.data.endswith(b"\r\n")
    rows = spreadsheet(answer)
    assert [row["Gliederung"] for row in rows] == [
        "Alle Wochen",
        "Die Wochen davor",
        *["Nach Woche"] * 4,
        "Nach Team",
        "Nach Anliegen",
    ]
    week = rows[4]
    assert (week["Von"], week["Bis"]) == ("2026-11-16", "2026-11-22")
    assert week["Anteil zum ersten Datum eingehalten (%)"] == "87,5"
    assert week["Median in Arbeitsstunden"] == "1,0"
    assert rows[3]["Median in Arbeitsstunden"] == ""


def test_the_csv_says_what_is_too_few(app: Flask, desk: Desk) -> None:
    add_cases(app, 4)

    total = spreadsheet(desk.get("/staff/figures.csv?team=all"))[0]

    assert (total["Zusagen (n)"], total["Anteil zum ersten Datum eingehalten (%)"]) == ("4", "zu wenige")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n=", " =", "|", "%"])
def test_no_cell_is_a_formula(start: str) -> None:
    (cell,) = next(csv.reader(io.StringIO(comma_separated([[f"{start}1+1"]]).decode("utf-8-sig")), delimiter=";"))

    assert cell == f"'{start}1+1"


def test_a_teams_name_is_no_formula(app: Flask, desk: Desk) -> None:
    add_cases(app, 5)
    with app.app_context(), db.writing() as session:
        session.execute(update(Team).where(Team.name == "Vertrieb Süd").values(name='=HYPERLINK("x";"y")'))

    rows = spreadsheet(desk.get("/staff/figures.csv"))

    assert {row["Team"] for row in rows} == {"Alle Teams", '\'=HYPERLINK("x";"y")'}


def test_words_and_numbers_are_left_alone() -> None:
    assert comma_separated([["Größe; Farbe", "1,5", ""]]) == '\ufeff"Größe; Farbe";1,5;\r\n'.encode()


# --- numbers and charts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voice", "expected"), [(Voice("de", "DE", "UTC"), "1.234"), (Voice("en", "DE", "UTC"), "1,234")]
)
def test_large_numbers_are_grouped(voice: Voice, expected: str) -> None:
    promises = {column.name: column for column in COLUMNS["promises"]}
    figures = Figures(moved=1234)

    assert shown(promises["moved"], figures, promises["count"], voice) == expected


@pytest.mark.parametrize("figure", COLUMNS)
def test_no_two_columns_of_a_figure_share_a_name(figure: str) -> None:
    names = [column.name for column in COLUMNS[figure]]

    assert len(set(names)) == len(names)
    assert names[0] == "count"


def test_bars_fill_the_room_and_keep_their_shares() -> None:
    rows = [
        Measured("a", "n = 4", [Part(3, "first", ""), Part(0, "later", ""), Part(1, "lapsed", "")]),
        Measured("b", "n = 2", [Part(2, "first", "")]),
        Measured("c", "n = 0", []),
    ]

    drawn = charts.beside(rows, value_width=38)

    assert [[(piece.x, piece.width, piece.look) for piece in bar.pieces] for bar in drawn.bars] == [
        [(50, 150, "first"), (200, 50, "lapsed")],
        [(50, 100, "first")],
        [],
    ]
    assert drawn.height == 60
    assert all(bar.bar_y + charts.THICK <= drawn.height for bar in drawn.bars)


def test_a_chart_of_nothing_has_no_bars() -> None:
    assert [bar.pieces for bar in charts.above([Measured("a", "n = 0", [Part(0, "first", "")])]).bars] == [()]


def test_a_long_label_leaves_room_for_what_is_measured() -> None:
    (bar,) = charts.above([Measured("D" * 80, "n = 1", [])]).bars

    assert len(bar.label) == charts.LONGEST and bar.label.endswith("…")


# --- speed -----------------------------------------------------------------------------------------------------------


def test_five_thousand_cases_need_no_more_queries_than_five(app: Flask, desk: Desk) -> None:
    counts = []
    for count in (5, 4995):
        add_cases(app, count)
        desk.get(ALL)
        with app.app_context(), statements() as seen:
            page = desk.get(f"{ALL}&weeks=26")
        counts.append(len(seen))

    assert "(n = 5.000)" in page.text
    assert counts[0] == counts[1] <= 10

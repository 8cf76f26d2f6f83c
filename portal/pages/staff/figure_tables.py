"""The figures as tables, as charts and as CSV: one list of columns, so that all three show the same numbers.

What makes no share, average or median reads "too few"; how many there were stands beside it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from babel.dates import format_date
from babel.numbers import format_decimal, format_percent

from portal.cases.directory import Directory
from portal.cases.figures import Fate, Figures, Report
from portal.languages import Voice, marked
from portal.pages.staff.charts import Chart, Measured, Part, above, beside

NOTHING = "–"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""With what a cell begins that a spreadsheet would calculate."""


class Unit(StrEnum):
    """What a number is."""

    COUNT = "count"
    SHARE = "share"
    HOURS = "hours"
    AVERAGE = "average"


DECIMALS = {Unit.COUNT: 0, Unit.HOURS: 1, Unit.AVERAGE: 2}


@dataclass(frozen=True)
class Column:
    """One number of a group: its heading alone, as in a CSV, and below the heading of its figure."""

    name: str
    """What the page calls it that shows it apart; no two of a figure have the same."""
    heading: str
    short: str
    unit: Unit
    value: Callable[[Figures], float | None]


FATES = {
    Fate.FIRST: marked("Kept by the first date"),
    Fate.LATER: marked("Kept by a later date"),
    Fate.LAPSED: marked("Lapsed"),
    Fate.RUNNING: marked("Moved, still open or no longer needed"),
}
"""The parts of a bar and their columns, in order."""


FATES_IN_SHORT = {
    Fate.FIRST: marked("by the first date"),
    Fate.LATER: marked("by a later date"),
    Fate.LAPSED: marked("lapsed"),
    Fate.RUNNING: marked("still open or dropped"),
}


def _of_fate(fate: Fate) -> Callable[[Figures], float]:
    return lambda figures: figures.fates[fate]


COLUMNS: dict[str, tuple[Column, ...]] = {
    "promises": (
        Column("count", marked("Promises (n)"), marked("Promises (n)"), Unit.COUNT, lambda one: one.promises),
        *(Column(fate, FATES[fate], FATES_IN_SHORT[fate], Unit.COUNT, _of_fate(fate)) for fate in FATES),
        Column("moved", marked("Moved in all"), marked("moved in all"), Unit.COUNT, lambda one: one.moved),
        Column(
            "kept_first",
            marked("Share kept by the first date"),
            marked("share by the first date"),
            Unit.SHARE,
            lambda one: one.kept_first,
        ),
        Column(
            "kept_last",
            marked("Share kept by the last date"),
            marked("share by the last date"),
            Unit.SHARE,
            lambda one: one.kept_last,
        ),
    ),
    "answers": (
        Column(
            "count",
            marked("Answered cases (n)"),
            marked("Answered cases (n)"),
            Unit.COUNT,
            lambda one: len(one.minutes),
        ),
        Column("unanswered", marked("Not answered"), marked("not answered"), Unit.COUNT, lambda one: one.unanswered),
        Column(
            "median", marked("Median in working hours"), marked("median in hours"), Unit.HOURS, lambda one: one.hours
        ),
    ),
    "notices": (
        Column("count", marked("Cases (n)"), marked("Cases (n)"), Unit.COUNT, lambda one: len(one.notices)),
        Column("notices", marked("Delay notices"), marked("notices"), Unit.COUNT, lambda one: sum(one.notices)),
        Column(
            "per_case",
            marked("Delay notices per case"),
            marked("per case"),
            Unit.AVERAGE,
            lambda one: one.notices_per_case,
        ),
        Column(
            "most",
            marked("Most in 95 of 100 cases"),
            marked("most, in 95 of 100"),
            Unit.COUNT,
            lambda one: one.most_notices,
        ),
    ),
}
"""The columns of each figure; the first says how many there were."""


@dataclass(frozen=True)
class Group:
    """A row of the tables: what it is called there and in a chart, and what was counted."""

    name: str
    short: str
    figures: Figures


@dataclass(frozen=True)
class Grouping:
    """The rows of one way to group: by week, by team, by topic."""

    key: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Block:
    """A chart and the table beside it."""

    key: str
    chart: Chart
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Name and cells."""


def groupings(report: Report, directory: Directory, voice: Voice, *, own_team_id: int) -> list[Grouping]:
    """By week in order; by team, the reader's own first; by topic as on the form. Left out: what has one group only."""
    weeks = [_week(monday, figures, voice) for monday, figures in report.weeks.items()]
    teams = sorted(report.teams, key=lambda one: (one != own_team_id, directory.teams[one].name))
    topics = [one for one in directory.topics if one in report.topics]
    found = [
        Grouping("week", tuple(weeks)),
        Grouping("team", tuple(_named(directory.teams[one].name, report.teams[one]) for one in teams)),
        Grouping(
            "topic", tuple(_named(directory.topics[one].name(voice.language), report.topics[one]) for one in topics)
        ),
    ]
    return [grouping for grouping in found if grouping.key == "week" or len(grouping.groups) > 1]


def block(figure: str, grouping: Grouping, voice: Voice) -> Block:
    """A figure's chart and table, grouped one way."""
    columns = COLUMNS[figure]
    measured = [_measured(figure, group, voice) for group in grouping.groups]
    if grouping.key == "week":
        chart = beside(measured, value_width=56 if figure == "promises" else 116)
    else:
        chart = above(measured)
    rows = tuple(
        (group.name, tuple(shown(column, group.figures, columns[0], voice) for column in columns))
        for group in grouping.groups
    )
    return Block(grouping.key, chart, rows)


def shown(column: Column, figures: Figures, how_many: Column, voice: Voice) -> str:
    """A number as people read it."""
    value = column.value(figures)
    if value is None:
        return voice.say("too few") if how_many.value(figures) else NOTHING
    if column.unit is Unit.SHARE:
        return str(format_percent(value, locale=voice.locale))
    return _number(value, voice, DECIMALS[column.unit])


def comma_separated(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as the spreadsheets of German desks open them: UTF-8 with its mark, semicolons; text never calculates."""
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def lines(report: Report, directory: Directory, voice: Voice, *, team: str, topic: str) -> list[list[str]]:
    """The CSV: a head, all weeks, as many weeks before, then each week, team and topic; ``team``, ``topic``: which."""
    columns = [(figure, column) for figure, members in COLUMNS.items() for column in members]
    head = [voice.say(word) for word in HEAD] + [_heading(column, voice) for _, column in columns]
    first, last = min(report.weeks), max(report.weeks) + timedelta(days=6)
    before = first - timedelta(weeks=len(report.weeks)), first - timedelta(days=1)

    def line(grouping: str, span: tuple[date, date], figures: Figures, of_team: str, of_topic: str) -> list[str]:
        cells = [_plain(column, figures, COLUMNS[figure][0], voice) for figure, column in columns]
        return [voice.say(grouping), *(day.isoformat() for day in span), of_team, of_topic, *cells]

    weeks = [
        line(BY["week"], (monday, monday + timedelta(days=6)), figures, team, topic)
        for monday, figures in report.weeks.items()
    ]
    teams = [
        line(BY["team"], (first, last), figures, directory.teams[one].name, topic)
        for one, figures in report.teams.items()
    ]
    topics = [
        line(BY["topic"], (first, last), figures, team, directory.topics[one].name(voice.language))
        for one, figures in report.topics.items()
    ]
    total = line(marked("All weeks"), (first, last), report.total, team, topic)
    return [head, total, line(marked("The weeks before"), before, report.before, team, topic), *weeks, *teams, *topics]


BY = {"week": marked("By week"), "team": marked("By team"), "topic": marked("By topic")}
HEAD = (marked("Grouping"), marked("From"), marked("Until"), marked("Team"), marked("Topic"))


def _week(monday: date, figures: Figures, voice: Voice) -> Group:
    short = voice.say("Wk %(number)s", number=monday.isocalendar().week)
    pattern = "d MMM" if voice.language == "en" else "d.M."
    begins = format_date(monday, pattern, voice.locale)
    return Group(voice.say("%(week)s from %(day)s", week=short, day=begins), short, figures)


def _named(name: str, figures: Figures) -> Group:
    return Group(name, name, figures)


def _measured(figure: str, group: Group, voice: Voice) -> Measured:
    figures, count = group.figures, COLUMNS[figure][0].value(group.figures)
    many = f"n = {_number(count or 0, voice)}"
    if figure == "promises":
        parts = [
            Part(figures.fates[fate], fate, f"{voice.say(heading)}: {figures.fates[fate]}")
            for fate, heading in FATES.items()
        ]
        return Measured(group.short, many, parts)
    value = figures.hours if figure == "answers" else figures.notices_per_case
    if value is None:
        words = f"{voice.say('too few')} ({many})" if count else many
        return Measured(group.short, words, ())
    number = _number(value, voice, DECIMALS[Unit.HOURS if figure == "answers" else Unit.AVERAGE])
    words = voice.say("%(hours)s h", hours=number) if figure == "answers" else number
    return Measured(group.short, f"{words} ({many})", (Part(value, figure, f"{group.short}: {words}"),))


def _heading(column: Column, voice: Voice) -> str:
    return f"{voice.say(column.heading)} (%)" if column.unit is Unit.SHARE else voice.say(column.heading)


def _plain(column: Column, figures: Figures, how_many: Column, voice: Voice) -> str:
    """A number as spreadsheets read it: a share in per cent; nothing where there was nothing to count."""
    value = column.value(figures)
    if value is None:
        return voice.say("too few") if how_many.value(figures) else ""
    if column.unit is Unit.COUNT:
        return str(value)
    return str(format_decimal(value * 100 if column.unit is Unit.SHARE else value, "0.0#", voice.locale))


def _number(value: float, voice: Voice, decimals: int = 0) -> str:
    return str(format_decimal(value, "#,##0." + "0" * decimals, voice.locale))


def _harmless(cell: str) -> str:
    """The cell, led by an apostrophe where a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.lstrip(" \u00a0").startswith(FORMULA) else cell

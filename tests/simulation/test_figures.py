"""The rules of the simulation's own figures, on records made by hand; those of the judge are in tests/judge."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from portal.simulation import figures
from portal.simulation.record import NEVER, CaseRecord, LetterRecord, PromiseRecord, Record, _tell
from portal.simulation.spans import Spans


def at(hour: float) -> datetime:
    """So many hours after the start."""
    return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=hour)


def promise(
    given: float, due: float, ended: float | None = None, *, told: float | None = None, state: str = "moved"
) -> PromiseRecord:
    """A promise, its times in hours; told at once unless said otherwise."""
    told_at = at(given if told is None else told)
    ended_at = NEVER if ended is None else at(ended)
    state = "open" if ended is None else state
    return PromiseRecord(1, at(given), at(due), ended_at, state, None, told_at=told_at, told_by="reply")


class Lived(Record):
    """One case that was open all the time, and what stood in the way of its letters."""

    def __init__(self, *promises: PromiseRecord, refuses: bool = False, off: bool = False, down: bool = False) -> None:
        case = CaseRecord(1, 1, "ABC-001", refuses, cast("Any", SimpleNamespace(id=1)), list(promises))
        case.open = [(at(0), at(100))]
        self.cases, self.ends_at, self._off, self._down = [case], at(100), off, down

    def asleep(self, case: CaseRecord) -> Spans:
        """Always or never."""
        return case.open if self._off else []

    def mail_down(self, case: CaseRecord, kind: str) -> Spans:
        """Always or never."""
        return case.open if self._down else []

    def may_send(self, case: CaseRecord, at: datetime) -> bool:
        """It is night."""
        return False

    def next_sending(self, case: CaseRecord, moment: datetime) -> datetime:
        """The next morning."""
        return at(24)

    def note(self, figure: str, case: CaseRecord, at: datetime) -> None:
        """Nobody asks."""


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "the mailbox refuses": ({"refuses": True}, "out_of_reach"),
    "no mail leaves": ({"down": True}, "while_mail_down"),
    "the machine is off": ({"off": True}, "while_off"),
    "nothing is wrong": ({}, "in_silence"),
}


@pytest.mark.parametrize(("fault", "how"), FAULTS.values(), ids=FAULTS)
def test_a_date_that_moved_in_time_is_excused_by_what_keeps_its_letter_back(fault: dict[str, Any], how: str) -> None:
    lived = Lived(promise(0, 10, 9), promise(9, 200, told=50), **fault)

    assert lapses(lived) == {10: how}


@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()], ids=FAULTS)
def test_a_date_that_did_not_move_is_excused_by_the_night_of_the_machine_alone(fault: dict[str, Any]) -> None:
    lived = Lived(promise(0, 10, 11), promise(0, 20, 20, state="kept"), **fault)

    assert lapses(lived) == {10: "while_off" if "off" in fault else "in_silence"}


@pytest.mark.parametrize(("by_letter", "told", "expected"), [
    (True, 11, {10: "in_silence"}),
    (True, 10, {}),
    (False, 11, {}),
], ids=["too late", "in time", "by a person"])  # fmt: skip
def test_what_a_letter_of_ours_alone_keeps_is_kept_when_that_letter_is_there(
    by_letter: bool, told: float, expected: dict[int, str]
) -> None:
    asked = promise(0, 10, 9, state="kept")
    asked.kept_by_letter = by_letter

    assert lapses(Lived(asked, promise(9, 200, told=told))) == expected


@pytest.mark.parametrize(
    ("ended", "state", "expected"),
    [
        (9.5, "kept", {}),
        (9.5, "withdrawn", {}),
        (10.5, "kept", {10: "while_mail_down"}),
        (9.5, "moved", {10: "while_mail_down"}),
    ],
)
def test_what_was_kept_by_its_first_date_did_not_lapse_although_the_date_had_moved(
    ended: float, state: str, expected: dict[int, str]
) -> None:
    first, moved, next_step = promise(0, 10, 9), promise(9, 20, ended, told=50, state=state), promise(9.5, 200, told=50)
    moved.id, moved.replaces_id = 2, first.id

    assert lapses(Lived(first, moved, next_step, down=True)) == expected


@pytest.mark.parametrize(("ended", "expected"), [(9.5, {}), (10.5, {10: "while_mail_down"})])
def test_whoever_wrote_to_us_by_then_waits_for_no_letter_of_ours(ended: float, expected: dict[int, str]) -> None:
    asked, again = promise(0, 10, 9, state="kept"), promise(9, 200, ended, told=50, state="withdrawn")
    asked.kept_by_letter, again.id = True, 2
    answer = promise(ended, 300, told=50)

    assert lapses(Lived(asked, again, answer, down=True)) == expected


def test_who_was_promised_a_date_once_more_has_it_in_writing_already() -> None:
    first, again, other = promise(0, 10, 2, told=90), promise(2, 10, 3, told=90), promise(3, 20, told=90)
    case = Lived(first, again, other).cases[0]
    for number, one in enumerate(case.promises):
        one.id = number

    _tell(case, SimpleNamespace(kind="reply", promise_id=first.id, queued_at=at(0)), at(1))

    assert [one.told_at for one in case.promises] == [at(1), at(1), at(90)]


def lapses(lived: Lived) -> dict[int, str]:
    """The figure under which each date counts, by its hour."""
    found: dict[int, str] = {}
    case = lived.cases[0]
    for one in case.promises:
        if figures._passed(lived, case, one):
            found[round((one.due_at - at(0)) / timedelta(hours=1))] = figures._excuse(lived, case, one)
    counted = {name: number for name, number in figures._lapses(lived).items() if number}
    assert counted == {f"promises_lapsed_{how}": 1 for how in found.values()}
    return found


@pytest.mark.parametrize(
    ("instead_of", "outside"),
    [((), True), ((30,), True), ((20,), False), ((30, 20), False), ((9,), True)],
    ids=["of no date", "a date after the morning", "a date of the night", "one of several", "a date that had passed"],
)
def test_a_notice_leaves_at_night_where_a_date_it_replaces_would_pass_before_the_morning(
    instead_of: tuple[float, ...], outside: bool
) -> None:
    lived = Lived()
    dates = frozenset(at(hour) for hour in instead_of)
    notice = LetterRecord(lived.cases[0], 1, "delay_notice", at(18), at(18), 1, at(40), dates, False, True, False)

    assert figures._outside(lived, notice) is outside


def test_a_letter_leaves_at_night_where_a_date_its_reader_was_told_would_pass_before_the_morning() -> None:
    told, untold = Lived(promise(0, 20, told=1)), Lived(promise(0, 20, told=19))

    for lived, outside in ((told, False), (untold, True)):
        announced = LetterRecord(
            lived.cases[0], 1, "closing_announced", at(18), at(18), 1, at(40), frozenset(), False, True, False
        )
        assert figures._outside(lived, announced) is outside

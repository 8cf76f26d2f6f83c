"""The simulation's own figures of agreed times, on records made by hand; the journal read as it tells of them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from portal.journal.models import Kind
from portal.simulation import figures
from portal.simulation.agreed import NEVER, Agreed, Change, _Told
from portal.simulation.choosing import hidden, of_topic, slots
from portal.simulation.record import CaseRecord, LetterRecord, Record
from portal.simulation.spans import Spans


def at(hour: float) -> datetime:
    """So many hours after the start."""
    return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=hour)


def agreed(start: float = 10, *, since: float = 1, until: float | None = None, begun: float | None = None) -> Agreed:
    """An agreed half hour; told at once."""
    return Agreed(
        1,
        at(start),
        at(start + 0.5),
        at(since),
        NEVER if until is None else at(until),
        keepers={1: "Miriam Albrecht"},
        started_at=NEVER if begun is None else at(begun),
        told_at=at(since),
        told_by="appointment_confirmed",
    )


class Lived(Record):
    """One case that was open all the time."""

    def __init__(self, *times: Agreed, changes: tuple[Change, ...] = (), refuses: bool = False) -> None:
        case = CaseRecord(1, 1, "ABC-001", refuses, cast("Any", SimpleNamespace(id=1)))
        case.open, case.agreed, case.changes = [(at(0), at(100))], list(times), list(changes)
        self.cases, self.ends_at, self.acts, self.by_number = [case], at(100), [], {1: case}

    def asleep(self, case: CaseRecord) -> Spans:
        """Never."""
        return []

    def mail_down(self, case: CaseRecord, kind: str) -> Spans:
        """Never."""
        return []

    def note(self, figure: str, case: CaseRecord, at: datetime) -> None:
        """Nobody asks."""

    def letter(self, kind: str, hour: float, *, written: float | None = None, names: Agreed | None = None) -> None:
        """A letter that arrived."""
        queued = at(hour if written is None else written)
        case = self.cases[0]
        letter = LetterRecord(case, 1, kind, at(hour), queued, 1, None, frozenset(), False, True, False, agreed=names)
        case.letters.append(letter)


def test_an_agreed_time_lights_until_a_moment_after_its_outcome_was_due() -> None:
    lived = Lived(agreed(10))
    lived.cases[0].open = [(at(1), at(12))]

    # From 11:05 on there is nothing ahead.
    assert figures._dark(lived)["minutes_in_the_dark"] == 55


def test_a_time_on_hold_lights_nothing() -> None:
    lived = Lived(agreed(10, until=4))
    lived.cases[0].open = [(at(1), at(12))]

    assert figures._dark(lived)["minutes_in_the_dark"] == 8 * 60


@pytest.mark.parametrize(
    ("one", "late_letter", "missed"),
    [
        (agreed(10, begun=10.05), None, 0),
        (agreed(10), 10.25, 0),
        (agreed(10), 10.5, 1),
        (agreed(10), None, 1),
        (agreed(10, begun=10.5), None, 1),
        (agreed(10, until=10.1), None, 0),
    ],
    ids=["begun", "told", "told too late", "silence", "begun too late", "called off"],
)
def test_who_is_not_called_is_told_in_time(one: Agreed, late_letter: float | None, missed: int) -> None:
    lived = Lived(one)
    if late_letter is not None:
        lived.letter("appointment_late", late_letter)

    assert figures._missed_in_silence(lived, lived.cases[0]) == missed


def test_a_mailbox_that_refuses_excuses_it() -> None:
    lived = Lived(agreed(10), changes=(Change(at(2), at(10)),), refuses=True)

    assert figures._missed_in_silence(lived, lived.cases[0]) == 0
    assert figures._changed_without_a_letter(lived, lived.cases[0]) == 0


@pytest.mark.parametrize(("arrives", "untold"), [(2, 0), (9.9, 0), (10.1, 1), (None, 1)])
def test_a_change_is_told_before_the_old_time(arrives: float | None, untold: int) -> None:
    lived = Lived(agreed(10, until=2), agreed(20, since=2), changes=(Change(at(2), at(10)),))
    lived.letter("appointment_confirmed", 1)  # of the time before
    if arrives is not None:
        lived.letter("appointment_moved", arrives, written=2)

    assert figures._changed_without_a_letter(lived, lived.cases[0]) == untold


@pytest.mark.parametrize(("hour", "until", "wrong"), [(9, None, False), (9, 8, True), (10, None, True)])
def test_a_reminder_names_a_time_that_stands(hour: float, until: float | None, wrong: bool) -> None:
    one = agreed(10, until=until)
    lived = Lived(one)
    lived.letter("appointment_reminder", hour, names=one)

    assert figures._reminds_wrongly(lived, lived.cases[0].letters[0]) is wrong


@pytest.mark.parametrize(
    ("slot", "hour", "ok", "wrong"),
    [(10, 9.9, True, 0), (10, 9.9, False, 0), (15, 9.9, True, 1), (10, 12, True, 1)],
    ids=["on time", "refused", "another time", "when it was moved"],
)
def test_a_number_given_out_for_a_time_that_does_not_stand_is_counted(
    slot: float, hour: float, ok: bool, wrong: int
) -> None:
    lived = Lived(agreed(10, until=11))
    act = {"at": at(hour), "kind": "staff", "act": "start", "ok": ok, "case": 1, "reference": "ABC-001"}
    lived.acts = [{**act, "slot": at(slot).isoformat()}]

    assert figures._calls(lived) == wrong


def test_the_journal_says_which_time_stood_when_and_with_whom() -> None:
    row: Any = SimpleNamespace(id=7, starts_at=at(20), ends_at=at(20.5), ended_at=at(21))

    def entry(kind: Kind, hour: float, start: float, name: str = "A", **more: str) -> Any:
        return SimpleNamespace(kind=kind, at=at(hour), facts={"starts_at": at(start).isoformat(), "name": name, **more})

    told = _Told([row], [
        entry(Kind.APPOINTMENT_BOOKED, 1, 10),
        entry(Kind.APPOINTMENT_MOVED, 2, 15, before=at(10).isoformat()),
        entry(Kind.APPOINTMENT_GIVEN, 3, 15, "B", before_name="A"),
        entry(Kind.APPOINTMENT_FROZEN, 4, 15),
        entry(Kind.APPOINTMENT_MOVED, 5, 20, before=at(15).isoformat()),
        entry(Kind.APPOINTMENT_STARTED, 20, 20),
    ])  # fmt: skip

    first, second, third = list(told)

    assert [(one.starts_at, one.since, one.until) for one in (first, second, third)] == [
        (at(10), at(1), at(2)),
        (at(15), at(2), at(4)),
        (at(20), at(5), at(21)),
    ]
    assert [first.keepers, second.keepers, third.keepers] == [{1: "A"}, {2: "A", 3: "B"}, {5: "A"}]
    assert third.started_at == at(20) and first.started_at == NEVER
    assert told.changes == [Change(at(2), at(10)), Change(at(3), at(15)), Change(at(5), at(15))]


def test_a_beginning_that_was_taken_back_is_none() -> None:
    row: Any = SimpleNamespace(id=7, starts_at=at(10), ends_at=at(10.5), ended_at=None)
    facts = {"starts_at": at(10).isoformat(), "name": "A"}
    told = _Told([row], [
        SimpleNamespace(kind=Kind.APPOINTMENT_BOOKED, at=at(1), facts=facts),
        SimpleNamespace(kind=Kind.APPOINTMENT_STARTED, at=at(9.9), facts=facts),
        SimpleNamespace(kind=Kind.APPOINTMENT_STARTED, at=at(9.95), facts={**facts, "taken_back": "yes"}),
    ])  # fmt: skip

    (one,) = list(told)

    assert one.started_at == NEVER


def test_times_are_read_from_a_page() -> None:
    ten, eleven = "2026-11-26T10:00+01:00", "2026-11-27T11:00+01:00"
    html = (
        '<input type="hidden" name="version" value="3">'
        '<fieldset class="times" data-times="rueckruf"><input name="slot" type="radio" value="">'
        f'<input id="a" name="slot" type="radio" value="{ten}"></fieldset>'
        f'<fieldset data-times="other"><input name="slot" type="radio" value="{eleven}"></fieldset>'
    )

    assert of_topic(html, "rueckruf") == [ten]
    assert slots(html) == [ten, eleven] and of_topic(html, "none") == []
    assert hidden(html) == {"version": "3"}

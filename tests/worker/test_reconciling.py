"""The reconciler: each disorder is planted where the schema refuses it too, and is mended once, counted and told."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, delete, event, insert, select, text, update

from portal import clock, config, db
from portal.app import create_app
from portal.appointments.models import Appointment, AppointmentState
from portal.cases import agreeing, offering, reconciling, settling
from portal.cases import directory as directories
from portal.cases.models import Case
from portal.cases.reconciling import Disorder
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState, MailChannel
from portal.promises.models import Promise, PromiseState
from tests.bench import watching
from tests.worker import rows
from tests.worker.test_promises import planned_for_any_values
from worker.jumps import Jumps
from worker.reconciling import Reconciling

Open = Callable[..., int]
DAY = timedelta(days=1)


def counted() -> dict[str, int]:
    """What was found within a day, by kind; kinds of which nothing was found are left out."""
    with db.reading() as session:
        found = reconciling.counted(session, now=clock.utc_now())
    return {disorder.value: count for disorder, count in found.items() if count}


def case_of(case_id: int) -> Case:
    with db.reading() as session:
        return session.get_one(Case, case_id)


@contextmanager
def without_constraints() -> Iterator[Any]:
    """A connection by which rows can be written that the schema refuses."""
    engine = create_engine(db.db.engine.url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            for pragma in ("foreign_keys=OFF", "ignore_check_constraints=ON"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
        else:
            connection.execute(text('ALTER TABLE "case" DROP CONSTRAINT IF EXISTS ck_case_open_has_a_step'))
            connection.execute(text("SET session_replication_role = replica"))
        yield connection
        connection.commit()
    engine.dispose()


# --- each disorder, planted ---


def step_is_not_open(case_id: int) -> None:
    with without_constraints() as connection:
        kept = update(Promise).where(Promise.case_id == case_id)
        connection.execute(kept.values(state=PromiseState.KEPT, ended_at=clock.utc_now()))


def step_is_none(case_id: int) -> None:
    step_is_not_open(case_id)
    with without_constraints() as connection:
        connection.execute(update(Case).where(Case.id == case_id).values(promise_id=None))


def step_is_not_the_earliest(case_id: int) -> None:
    step = rows.open_promises(case_id)[0]
    values = {column.key: getattr(step, column.key) for column in Promise.__table__.columns if column.key != "id"}
    sooner = (step.due_at - step.given_at) / 2
    values |= {"kind": "result", "due_at": step.due_at - sooner, "notice_at": step.given_at + sooner / 2}
    with db.writing() as session:
        db.insert_row(session, Promise, **values)


def step_has_passed(case_id: int) -> None:
    now = clock.utc_now()
    with db.writing() as session:
        session.execute(
            update(Promise)
            .where(Promise.case_id == case_id)
            .values(
                given_at=now - 3 * DAY,
                remind_at=None,
                notice_at=now - DAY,
                due_at=now - timedelta(hours=2),
                first_due_at=now - timedelta(hours=2),
            )
        )


def letters_are_missing(case_id: int) -> None:
    with db.writing() as session:
        session.execute(delete(Letter).where(Letter.case_id == case_id))


def letter_is_missing(case_id: int) -> None:
    with db.writing() as session:
        session.execute(delete(Letter).where(Letter.id == rows.to_customer(case_id).id))


PLANTED = {
    "a step that is not open": (step_is_not_open, [Disorder.STEP], {LetterKind.PROMISE_GIVEN}),
    "no step": (step_is_none, [Disorder.STEP], {LetterKind.PROMISE_GIVEN}),
    "a step that is not the earliest": (step_is_not_the_earliest, [Disorder.STEP], set()),
    "a step that has passed": (step_has_passed, [Disorder.PASSED], {LetterKind.DELAY_NOTICE}),
    "no letter at all": (letters_are_missing, [Disorder.LETTER], {LetterKind.CONFIRMATION, LetterKind.STAFF_NEW_CASE}),
    "no letter to the customer": (letter_is_missing, [Disorder.LETTER], {LetterKind.CONFIRMATION}),
}


@pytest.mark.parametrize(("plant", "found", "written"), PLANTED.values(), ids=PLANTED)
def test_a_disorder_is_mended_once_by_whoever_is_first_and_told(
    core: Flask,
    open_case: Open,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[int], None],
    found: list[Disorder],
    written: set[LetterKind],
) -> None:
    whole, case_id = open_case(), open_case()
    plant(case_id)
    before = {letter.id for letter in rows.letters(case_id)}

    done = [Reconciling()(), Reconciling()()]

    assert done == [len(found), 0]
    assert counted() == {disorder.value: 1 for disorder in found}
    case, steps = case_of(case_id), rows.open_promises(case_id)
    assert case.promise_id == steps[0].id and steps[0].due_at > clock.utc_now()
    assert {letter.kind for letter in rows.letters(case_id) if letter.id not in before} >= written
    assert case_of(whole).version == 1
    told = [record.getMessage() for record in caplog.records if "disorder mended" in record.getMessage()]
    assert len(told) == len(found) and f"'case': {case_id}" in told[0]
    assert not re.search("Krüger|haustechnik", caplog.text)


# --- agreed times ---


def agreed(case_id: int) -> Appointment:
    """The case's customer has chosen the last free time we offer, long after whatever is promised."""
    now = clock.utc_now()
    with db.writing() as session:
        case = session.get_one(Case, case_id)
        directory = directories.load(session, now=now)
        finder = offering.Finder(session, directory, offering.of_case(directory, case), now=now)
        case.customer.phone_e164, case.customer.phone_shown = "+491713920042", "0171 3920042"
        return agreeing.book(session, case, starts_at=finder.first()[-1].starts_at, by_id=None, now=now)


def of(case_id: int) -> tuple[int | None, int | None]:
    """What the case waits for: a promise or an agreed time."""
    case = case_of(case_id)
    return case.promise_id, case.appointment_id


def change(appointment: Appointment, **values: Any) -> None:
    with db.writing() as session:
        session.execute(update(Appointment).where(Appointment.id == appointment.id).values(values))


def test_a_case_that_waits_for_an_agreed_time_is_in_order(core: Flask, open_case: Open) -> None:
    case_id = open_case(topic="rueckruf", phone="+491713920042")
    booked = agreed(case_id)

    assert (Reconciling()(), of(case_id)) == (0, (None, booked.id))
    assert counted() == {}


def test_an_agreed_time_after_what_is_promised_is_in_order(core: Flask, open_case: Open) -> None:
    case_id = open_case()
    booked, now = agreed(case_id), clock.utc_now()
    promise = rows.open_promises(case_id)[0]
    later = {"starts_at": promise.due_at + DAY, "ends_at": promise.due_at + DAY + timedelta(minutes=20)}
    change(booked, **later, busy_from=now, busy_until=now + 40 * DAY, outcome_due_at=now + 50 * DAY)
    with db.writing() as session:
        settling.settle(session, session.get_one(Case, case_id), now=now)

    assert (Reconciling()(), of(case_id)) == (0, (promise.id, None))


def test_an_agreed_time_that_comes_first_and_is_not_pointed_at_is_the_step(core: Flask, open_case: Open) -> None:
    case_id = open_case()
    booked = agreed(case_id)
    promise = rows.open_promises(case_id)[0]
    after = booked.starts_at + DAY
    with db.writing() as session:
        later = {"due_at": after, "notice_at": after - timedelta(hours=1), "first_due_at": after}
        session.execute(update(Promise).where(Promise.id == promise.id).values(later))
        session.execute(update(Case).where(Case.id == case_id).values(promise_id=promise.id, appointment_id=None))

    assert [Reconciling()(), Reconciling()()] == [1, 0]
    assert (of(case_id), counted()) == ((None, booked.id), {"step": 1})


@pytest.mark.parametrize("what", ["change_wished_at", "asked_at"])
def test_what_no_longer_counts_is_no_step(core: Flask, open_case: Open, what: str) -> None:
    case_id = open_case(topic="rueckruf", phone="+491713920042")
    booked = agreed(case_id)
    change(booked, **{what: clock.utc_now()})

    assert [Reconciling()(), Reconciling()()] == [1, 0]
    promise = rows.open_promises(case_id)[0]
    assert (of(case_id), counted()) == ((promise.id, None), {"step": 1})
    assert promise.due_at > clock.utc_now()


def test_an_agreed_time_that_was_ended_is_no_step(core: Flask, open_case: Open) -> None:
    case_id = open_case(topic="rueckruf", phone="+491713920042")
    booked = agreed(case_id)
    with without_constraints() as connection:
        ended = update(Appointment).where(Appointment.id == booked.id)
        connection.execute(ended.values(state=AppointmentState.CANCELLED, ended_at=clock.utc_now()))

    assert [Reconciling()(), Reconciling()()] == [1, 0]
    assert of(case_id) == (rows.open_promises(case_id)[0].id, None)


@pytest.mark.parametrize(
    ("changes", "found"),
    [({}, True), ({"asked_at": 1}, False), ({"change_wished_at": 1}, False), ({"outcome_due_at": 1}, False)],
    ids=["nobody asked", "asked", "on hold", "due a moment ago"],
)
def test_an_outcome_that_nobody_asked_for_is_found(
    core: Flask, open_case: Open, changes: dict[str, Any], found: bool
) -> None:
    case_id, now = open_case(topic="rueckruf", phone="+491713920042"), clock.utc_now()
    booked = agreed(case_id)
    change(booked, **over(now) | dict.fromkeys(changes, now))

    with db.reading() as session:
        assert reconciling.unasked(session, now=now) == ([case_id] if found else [])


@pytest.mark.parametrize("started", [False, True])
def test_an_outcome_that_nobody_asked_for_is_asked_for_once(core: Flask, open_case: Open, started: bool) -> None:
    """A call that was never started was missed; of one that was, it is asked. Both leave a promise."""
    case_id, now = open_case(topic="rueckruf", phone="+491713920042"), clock.utc_now()
    booked = agreed(case_id)
    begun = {"started_at": now - 2 * DAY, "started_by_id": booked.person_id} if started else {}
    change(booked, **over(now), **begun)

    assert [Reconciling()(), Reconciling()()] == [1, 0]
    with db.reading() as session:
        then = session.get_one(Appointment, booked.id)
    assert then.asked_at is not None
    assert then.state == (AppointmentState.BOOKED if started else AppointmentState.MISSED)
    promise = rows.open_promises(case_id)[0]
    assert (of(case_id), counted()) == ((promise.id, None), {"outcome": 1})
    assert promise.due_at > now


def over(now: datetime) -> dict[str, datetime]:
    """The instants of an appointment that was over a day ago, and whose outcome was due a moment ago."""
    past = dict.fromkeys(("starts_at", "busy_from"), now - 2 * DAY)
    return {**past, **dict.fromkeys(("ends_at", "busy_until"), now - DAY), "outcome_due_at": now - timedelta(minutes=2)}


def test_an_agreed_time_whose_hour_has_shifted_is_counted_and_not_mended(core: Flask, open_case: Open) -> None:
    shifted, whole, past = (open_case(f"{n}@neu.example", topic="rueckruf", phone="+491713920042") for n in range(3))
    booked, _, gone = agreed(shifted), agreed(whole), agreed(past)
    change(booked, local_start="2026-03-29T02:30")
    change(
        gone, local_start="2026-03-29T02:30", busy_from=gone.busy_from - 90 * DAY, starts_at=gone.starts_at - 90 * DAY
    )

    done = [Reconciling()(), Reconciling()()]

    with db.reading() as session:
        assert reconciling.shifted(session, now=clock.utc_now()) == [case_of(shifted).reference]
    assert (done, counted()) == ([0, 0], {"hour": 1})
    assert case_of(shifted).appointment_id == booked.id


def test_nothing_is_found_where_nothing_is_wrong(core: Flask, open_case: Open) -> None:
    for topic in ("angebot", "angebot", "angebot"):
        open_case(topic=topic)

    assert Reconciling()() == 0
    assert counted() == {}


def test_a_lease_that_nobody_ended_is_ended(core: Flask, open_case: Open) -> None:
    letter = rows.to_customer(open_case())
    past = clock.utc_now() - timedelta(minutes=5)
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=past)

    assert [Reconciling()(), Reconciling()()] == [1, 0]
    assert rows.to_customer(letter.case_id or 0).state == LetterState.QUEUED
    assert counted() == {"lease": 1}


def test_a_lease_is_first_ended_by_the_step_whose_work_it_is(core: Flask, open_case: Open) -> None:
    letter = rows.to_customer(open_case())
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=clock.utc_now())

    assert Reconciling()() == 0


# --- the clock was ahead and has been set back ---


def test_what_was_meant_for_at_once_leaves_at_once_after_the_clock_was_set_back(core: Flask, open_case: Open) -> None:
    with clock.drive(lambda: datetime.now(UTC) + DAY):
        case_id = open_case()
    planned = datetime.now(UTC) + 3 * DAY
    rows.change(rows.to_colleague(case_id), due_at=planned)

    assert [Reconciling()(), Reconciling()()] == [2, 0]
    assert rows.to_customer(case_id).due_at <= clock.utc_now()
    assert rows.to_colleague(case_id).due_at == planned  # it waits for its hours, whatever the clock said


def test_what_was_tried_for_long_by_the_old_clock_is_tried_at_once(core: Flask, open_case: Open) -> None:
    """An hour of a faulty relay is no wait for the sending hours."""
    with clock.drive(lambda: datetime.now(UTC) + DAY):
        case_id, tried_at = open_case(), clock.utc_now() + timedelta(hours=1)
    rows.change(rows.to_customer(case_id), due_at=tried_at, give_up_at=tried_at + 2 * DAY)

    Reconciling()()

    letter = rows.to_customer(case_id)
    assert letter.due_at <= clock.utc_now()
    assert letter.valid_until is not None and letter.valid_until <= clock.utc_now()  # written anew, with its hours


def test_what_was_on_its_way_when_the_clock_was_set_is_found_soon(
    core: Flask, open_case: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed, real, behind = [0.0], time.monotonic, [timedelta(0)]
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    settings = replace(config.current(), mail_lease=4.0)
    monkeypatch.setattr(config, "current", lambda: settings)
    with clock.drive(lambda: datetime.now(UTC) + timedelta(seconds=passed[0]) - behind[0]):
        step, letter = Reconciling(Jumps()), rows.to_customer(open_case())
        step()
        behind[0] = DAY
        step()
        rows.change(letter, due_at=clock.utc_now() + DAY, queued_at=clock.utc_now() + DAY)
        passed[0] = 5.0

        assert step() == 1


def test_a_pause_of_the_channel_lasts_no_longer_than_one_does(core: Flask, open_case: Open) -> None:
    with db.writing() as session:
        session.add(MailChannel(name="smtp", faults=3, paused_until=clock.utc_now() + DAY, reason="away"))

    Reconciling()()

    channel = rows.channel()
    assert channel is not None and channel.paused_until is not None and channel.paused_until <= clock.utc_now()


def test_a_lease_from_before_is_ended_once_nobody_can_hold_it_any_more(
    core: Flask, open_case: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps, passed, real = Jumps(), [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    letter = rows.to_customer(open_case())
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=clock.utc_now() + DAY)

    with clock.drive(lambda: datetime.now(UTC) + timedelta(seconds=passed[0])):
        early = Reconciling(jumps)()
        passed[0] = 3600.0
        late = Reconciling(jumps)()
        lease_until = rows.to_customer(letter.case_id or 0).lease_until

        assert (early, late) == (0, 1)
        assert lease_until is not None and lease_until <= clock.utc_now()


def test_it_looks_once_a_minute_and_at_once_after_the_clock_was_set_back(core: Flask, open_case: Open) -> None:
    step, now = Reconciling(), datetime.now(UTC)
    looks: list[str] = []
    note = lambda *found: looks.append(found[2]) if "max(" in found[2] else None  # noqa: E731
    event.listen(db.db.engine, "before_cursor_execute", note)

    for seconds in (0, 1, 59, 60, 61, -7200):
        with clock.drive(lambda seconds=seconds: now + timedelta(seconds=seconds)):
            step()
    event.remove(db.db.engine, "before_cursor_execute", note)

    assert len(looks) == 3


# --- several at once, many cases, whoever looks at the figures ---


def test_several_workers_mend_it_once(core: Flask, open_case: Open) -> None:
    cases = [open_case() for _ in range(4)]
    for case_id in cases:
        letters_are_missing(case_id)
    together, done = threading.Barrier(3), list[int]()

    def work() -> None:
        with core.app_context():
            step = Reconciling()
            together.wait()
            done.append(step())

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sum(done) == len(cases)
    assert [len(rows.letters(case_id)) for case_id in cases] == [2] * len(cases)
    assert counted() == {"letter": len(cases)}


def test_a_case_that_cannot_be_mended_keeps_no_other_and_is_told(
    core: Flask, open_case: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = open_case(), open_case()
    step_has_passed(broken)
    letters_are_missing(other)
    monkeypatch.setattr(reconciling.delaying, "give_notice", lambda *_, **__: None)

    assert Reconciling()() == 1
    assert "disorder not mended" in caplog.text and f"'case': {broken}" in caplog.text


@pytest.fixture
def ten_thousand(core: Flask) -> Flask:
    """Ten thousand open cases with a letter each, and statistics of them."""
    watching.fill(10_000)
    with db.writing() as session:
        now, ids = clock.utc_now(), session.execute(select(Case.id, Case.owner_id)).all()
        sent = {"kind": "confirmation", "audience": "customer", "state": "sent", "automatic": True, "message": b""}
        session.execute(
            insert(Letter),
            [
                {
                    **sent,
                    "key": f"k{case_id}",
                    "message_id": f"<{case_id}@x>",
                    "case_id": case_id,
                    "to_address": "a@b.example",
                }
                | {"person_id": owner_id, "queued_at": now, "due_at": now, "ended_at": now, "tries": 0}
                for case_id, owner_id in ids
            ],
        )
        session.execute(text("ANALYZE"))
    return core


def test_a_look_reads_no_table_from_end_to_end(ten_thousand: Flask) -> None:
    sent: list[str] = []
    event.listen(db.db.engine, "before_cursor_execute", lambda *found: sent.append(found[2]))
    now = clock.utc_now()
    with db.reading() as session:
        found = reconciling.look(session, now=now, after_id=4000)
        reconciling.has_expired(session, now=now)
        reconciling.ahead(session, now=now, lease=timedelta(minutes=5))
        looks = [statement for statement in sent if statement.startswith("SELECT")]
        plans = [planned_for_any_values(session, statement) for statement in looks]

    assert found.after_id == 4000 + reconciling.SLICE
    assert len(plans) == 9
    for plan in plans:
        assert not re.search(r"SCAN (?!channel)|Seq Scan on (?!channel)", plan), plan


def test_the_figures_tell_how_much_was_mended(
    core: Flask, open_case: Open, environment: dict[str, str], company: dict[str, int]
) -> None:
    letters_are_missing(open_case())
    Reconciling()()

    app = create_app(environment)
    told = app.test_client().get("/metrics").text
    with app.app_context():
        db.db.engine.dispose()

    assert 'durchwahl_disorders{disorder="letter"} 1.0' in told
    assert 'durchwahl_disorders{disorder="step"} 0.0' in told


def test_looking_builds_no_statement(core: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute in every worker: building them took four times as long as asking."""
    monkeypatch.setattr(reconciling, "select", None)
    now = clock.utc_now()

    with db.reading() as session:
        found = reconciling.look(session, now=now, after_id=4000)
        waits = reconciling.has_expired(session, now=now), reconciling.ahead(session, now=now, lease=DAY)

    assert (found.case_ids, waits) == ((), (False, False))


def test_a_lease_is_left_alone_right_after_the_clock_was_set_back(
    core: Flask, open_case: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds it may still be sending: ended, the letter would leave twice."""
    jumps, passed, real = Jumps(), [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    letter = rows.to_customer(open_case())
    leased_until = clock.utc_now() + timedelta(minutes=4)
    rows.change(letter, state=LetterState.SENDING, lease_token="t", lease_until=leased_until)
    passed[0] = 3600.0  # this worker has run for long enough to know of every lease, were it not for the clock
    found = []
    with clock.drive(lambda: datetime.now(UTC) + timedelta(seconds=passed[0]) - DAY):
        for _ in range(2):
            Reconciling(jumps)()
            found.append(rows.to_customer(letter.case_id or 0).lease_until == leased_until)
            passed[0] += 3600.0

    assert found == [True, False]

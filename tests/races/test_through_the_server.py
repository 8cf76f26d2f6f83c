"""The same races through the web server as it is started in production: what each customer is answered.

The times are real ones of the days ahead, found as the page finds them.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from sqlalchemy import create_engine, select, text

from portal import db
from portal.appointments.models import IS_BOOKED, Appointment, AppointmentState
from portal.cases.models import Case
from portal.links import new_secret
from portal.mail.models import Letter, LetterState
from tests.races.racing import nothing_is_double, overlapping, without
from tests.races.server import Answer, Site, copy_of, new_ticket, through_processes, through_threads

pytestmark = pytest.mark.xdist_group("races")  # they share a server: one process starts it
ON = [
    pytest.param((kind, workers), id=f"{kind}-{workers}", marks=marks)
    for workers, marks in ((2, ()), (4, pytest.mark.nightly))
    for kind in ("sqlite", "postgresql")
]
CLIENTS = 40
PRESSES = 8


@pytest.fixture(scope="module", params=ON)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all tests of a database: each has cases and times of its own."""
    kind, workers = request.param
    folder = tmp_path_factory.mktemp("site")
    if kind == "sqlite":
        with through_processes(
            copy_of(request.getfixturevalue("migrated_sqlite"), folder), folder, workers=workers
        ) as one:
            yield one
        return
    server, template = (request.getfixturevalue(name) for name in ("postgresql", "migrated_postgresql"))
    name = f"races_{os.urandom(4).hex()}"
    _run(server % "postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
    with through_processes(server % name, folder, workers=workers) as one:
        yield one
    _run(server % "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def _run(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def appointments_of(case_ids: list[int]) -> dict[int, Appointment]:
    """The appointments of these cases, by case."""
    with db.reading() as session:
        found = session.scalars(select(Appointment).where(Appointment.case_id.in_(case_ids)))
        return {row.case_id: row for row in found}


def is_the_truth() -> None:
    """What is true of the whole database after a race."""
    with db.reading() as session:
        assert overlapping(session) == []
        nothing_is_double(session)


def told_of_others(answers: list[Answer], taken: list[datetime]) -> None:
    """Each of these pages names at least three times to choose instead, and none that is taken."""
    for answer in answers:
        assert answer.code == 409
        assert len(answer.offered) >= 3
        assert answer.offered.isdisjoint(taken)


Said = Callable[[str, object], None]


def one_of_all_books(site: Site, clients: int) -> list[Answer]:
    """All choose one of three times on their status pages; one of them can be kept."""
    case_ids, starts = site.cases(clients), site.free(3)

    answers = site.press(*(site.choose(one, starts[number % 3]) for number, one in enumerate(case_ids)))

    is_the_truth()
    assert Counter(answer.code for answer in answers) == {303: 1, 409: clients - 1}
    assert len(appointments_of(case_ids)) == 1
    told_of_others([answer for answer in answers if answer.code != 303], starts)
    return answers


def test_40_choose_one_time_on_their_pages(site: Site, record_property: Said) -> None:
    answers = one_of_all_books(site, CLIENTS)
    record_property("slowest", max(answer.seconds for answer in answers))


def test_40_choose_one_time_on_the_form(site: Site, record_property: Said) -> None:
    starts = site.free(3)

    answers = site.press(*(site.form(starts[number % 3], number) for number in range(CLIENTS)))

    is_the_truth()
    assert Counter(answer.code for answer in answers) == {303: 1, 409: CLIENTS - 1}
    told_of_others([answer for answer in answers if answer.code != 303], starts)
    with db.reading() as session:
        opened = session.scalars(select(Appointment).where(Appointment.starts_at.in_(starts), IS_BOOKED)).all()
        assert len(opened) == 1 and session.get_one(Case, opened[0].case_id).appointment_id == opened[0].id
    record_property("slowest", max(answer.seconds for answer in answers))


def test_20_move_into_one_time(site: Site, record_property: Said) -> None:
    starts = site.free(3)
    case_ids = site.cases(20)
    before = dict(zip(case_ids, site.agreed(case_ids), strict=True))

    answers = site.press(*(site.choose(one, starts[n % 3], version=1) for n, one in enumerate(case_ids)))

    is_the_truth()
    assert Counter(answer.code for answer in answers) == {303: 1, 409: 19}
    rows = appointments_of(case_ids)
    told_of_others([answer for answer in answers if answer.code != 303], starts)
    stayed = [one for one, answer in zip(case_ids, answers, strict=True) if answer.code == 409]
    assert len(rows) == 20
    assert {one: rows[one].starts_at for one in stayed} == {one: before[one] for one in stayed}
    record_property("slowest", max(answer.seconds for answer in answers))


def test_one_appointment_to_many_times_from_pages_of_the_same_version(site: Site) -> None:
    [case_id] = site.cases(1)
    site.agreed([case_id])
    free = site.free(6)

    answers = site.press(*(site.choose(case_id, at, version=1) for at in free))

    is_the_truth()
    assert Counter(answer.code for answer in answers) == {303: 1, 409: 5}
    won = [at for at, answer in zip(free, answers, strict=True) if answer.code == 303]
    row = appointments_of([case_id])[case_id]
    assert ([row.starts_at], row.version) == (won, 2)


# --- the same button, pressed again and again ------------------------------------------------------------------------


def is_done_once(answers: list[Answer], case_id: int, *, version: int) -> None:
    """All got the same answer, and one change was made."""
    assert {(answer.code, answer.location) for answer in answers} == {(303, answers[0].location)}
    assert appointments_of([case_id])[case_id].version == version
    is_the_truth()


def test_a_time_booked_by_many_presses(site: Site) -> None:
    [case_id] = site.cases(1)
    button = site.choose(case_id, site.free(1)[0], key=new_secret())

    is_done_once(site.press(*[button] * PRESSES), case_id, version=1)


def test_a_time_moved_by_many_presses(site: Site) -> None:
    [case_id] = site.cases(1)
    site.agreed([case_id])
    button = site.choose(case_id, site.free(1)[0], version=1, key=new_secret())

    is_done_once(site.press(*[button] * PRESSES), case_id, version=2)


def test_a_time_called_off_by_many_presses(site: Site) -> None:
    [case_id] = site.cases(1)
    site.agreed([case_id])
    button = site.call_off(case_id, version=1, key=new_secret())

    is_done_once(site.press(*[button] * PRESSES), case_id, version=2)
    assert appointments_of([case_id])[case_id].state == AppointmentState.CANCELLED


def test_a_form_with_a_time_sent_by_many_presses(site: Site) -> None:
    [starts_at] = site.free(1)
    button = site.form(starts_at, 1000, ticket=new_ticket())

    answers = site.press(*[button] * PRESSES)

    assert {(answer.code, answer.location) for answer in answers} == {(303, answers[0].location)}
    with db.reading() as session:
        [booked] = session.scalars(select(Appointment).where(Appointment.starts_at == starts_at, IS_BOOKED))
        letters = select(Letter.id).where(Letter.case_id == booked.case_id, Letter.state != LetterState.WITHDRAWN)
        assert len(session.scalars(letters).all()) == 2
    is_the_truth()


# --- with guards taken away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [(), ("guard", "check")], ids=["guarded", "not guarded"])
def test_through_threads_whose_guards_can_be_taken_away(database_url: str, missing: tuple[str, ...]) -> None:
    with through_threads(database_url) as one:
        if not missing:
            one_of_all_books(one, 12)
            return
        with without(*missing), pytest.raises(AssertionError, match=r"assert \[\(.*== \[\]"):
            one_of_all_books(one, 12)

"""What the program mended by itself: a line on the worklist of those who lead."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from portal import clock, db, heartbeat
from portal.cases import agreeing, offering
from portal.cases import directory as directories
from portal.cases.models import Case
from portal.limits import Counter
from portal.people.models import Login, Role
from tests.pages.staff_desk import Desk
from tests.support.cast import send_form

LINE = "Seit gestern vom Programm selbst behobene Unstimmigkeiten: 3."


def desk_after(app: Flask, role: Role, *, ago: timedelta) -> str:
    """The worklist of somebody with this role, so long after three disorders were mended."""
    now = clock.utc_now()
    with app.app_context(), db.writing() as session:
        heartbeat.beat(session, "worker-1", now=now)
        session.add(Counter(name="disorder:letter", window_at=now - ago, n=3))
        session.execute(update(Login).values(role=role))
    return Desk.of(app, "Miriam Albrecht").client.get("/staff/").text


@pytest.mark.parametrize(("role", "told"), [(Role.STAFF, False), (Role.LEAD, True), (Role.ADMIN, True)])
def test_who_leads_is_told_for_a_day(app: Flask, company: dict[str, int], role: Role, told: bool) -> None:
    assert (LINE in desk_after(app, role, ago=timedelta(hours=2))) == told


@pytest.mark.parametrize(("role", "told"), [(Role.STAFF, False), (Role.LEAD, True)])
def test_who_leads_is_told_of_an_agreed_time_whose_hour_has_shifted(
    app: Flask, company: dict[str, int], role: Role, told: bool
) -> None:
    """A zone's rules may change after a time was agreed: what we said is the wall clock."""
    now = clock.utc_now()
    with app.test_request_context(), db.writing() as session:
        heartbeat.beat(session, "worker-1", now=now)
        session.execute(update(Login).values(role=role))
        case = session.get_one(Case, send_form(session, "rueckruf", at=now).case_id)
        directory = directories.load(session, now=now)
        starts_at = offering.Finder(session, directory, offering.of_case(directory, case), now=now).first()[0].starts_at
        booked = agreeing.book(session, case, starts_at=starts_at, by_id=None, now=now)
        booked.local_start = "2026-11-26T11:00"
        reference = case.reference

    page = Desk.of(app, "Petra Lindner").client.get("/staff/?scope=mine").text

    assert ("nicht mehr auf der vereinbarten Uhrzeit" in page and reference in page) is told
    assert "vom Programm selbst behobene" not in page


def test_and_not_for_longer(app: Flask, company: dict[str, int]) -> None:
    assert LINE not in desk_after(app, Role.ADMIN, ago=timedelta(days=1, hours=1))

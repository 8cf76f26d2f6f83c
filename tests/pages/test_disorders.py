"""What the program mended by itself: a line on the worklist of those who lead."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from portal import clock, db, heartbeat
from portal.limits import Counter
from portal.people.models import Login, Role
from tests.pages.staff_desk import Desk

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


def test_and_not_for_longer(app: Flask, company: dict[str, int]) -> None:
    assert LINE not in desk_after(app, Role.ADMIN, ago=timedelta(days=1, hours=1))

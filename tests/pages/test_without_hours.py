"""A team without hours, or closed for good: every page still answers and names a person, and nothing is lost."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import flask
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select

from portal import db
from portal.cases import finding, opening
from portal.cases.drafting import Wish
from portal.cases.models import Case, LinkWish, Topic
from portal.links import new_secret
from portal.pages.contact import views as contact
from portal.people.models import Absence, Closure, ClosureKind, Company, Hours, Person
from tests.pages.staff_desk import Desk, document, errors, form_with_action, text, values

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
"""A Tuesday, 9:12 in Germany."""
FORM = "/contact?lang=en"
TYPED = {
    "topic": "angebot",
    "name": "Sabine Krüger",
    "email": "sabine@kunde.example",
    "message": "Wir brauchen ein Angebot.",
}
NO_DATE = "We cannot name a date for this subject right now. Please choose another one, or call us."


@pytest.fixture(autouse=True)
def tuesday() -> Iterator[Any]:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture
def case(app: Flask, company: dict[str, int]) -> Case:
    """A case in English with Miriam Albrecht."""
    with app.test_request_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
        wish = Wish(topic_id, "Sabine Krüger", "sabine@kunde.example", "Ein Angebot, bitte.", "en")
        submission = opening.accept(session, wish, key=new_secret(), body_hash="x", doubt=None, now=NOW)
        return session.get_one(Case, submission.case_id)


def without_business_time(app: Flask, whose: str, why: str = "no hours") -> None:
    """Take the business time of the team of the front desk or of Miriam Albrecht away."""
    with app.app_context(), db.writing() as session:
        desk_id = session.scalars(select(Company.front_desk_id)).one()
        someone = Person.id == desk_id if whose == "front desk" else Person.name == whose
        team_id = session.scalars(select(Person.team_id).where(someone)).one()
        if why == "no hours":
            session.execute(delete(Hours).where(Hours.team_id == team_id))
        else:
            days = {"first_on": date(2026, 11, 1), "last_on": date(2028, 1, 31)}
            session.add(Closure(**days, kind=ClosureKind.CLOSED, team_id=team_id))


def count(app: Flask, model: type[Case] | type[LinkWish]) -> int:
    with app.app_context(), db.reading() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


def status_page(app: Flask, case: Case) -> str:
    with app.app_context():
        return f"/s/{finding.status_token(case)}"


@pytest.mark.parametrize("why", ["no hours", "closed"])
@pytest.mark.parametrize("whose", ["front desk", "Miriam Albrecht"])
def test_every_page_answers_and_names_a_person(
    app: Flask, client: FlaskClient, case: Case, whose: str, why: str
) -> None:
    without_business_time(app, whose, why)

    answers = [client.get(page) for page in ("/contact", "/link", "/s/nonsense", status_page(app, case))]
    answers.append(client.post("/link", data={"email": "sabine@kunde.example"}))

    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 200]
    assert all("089 99998-" in text(answer.text) for answer in answers)
    assert count(app, LinkWish) == 1


def test_a_topic_without_a_date_is_refused_and_everything_typed_stays(
    app: Flask, client: FlaskClient, company: dict[str, int]
) -> None:
    opened = dict(values(form_with_action(client.get(FORM).text, FORM)))
    without_business_time(app, "Miriam Albrecht")

    answer = client.post(FORM, data=opened | TYPED)

    assert answer.status_code == 422
    assert [sentence for sentence in errors(answer.text) if NO_DATE in sentence]
    assert 'href="#topic-0"' in answer.text
    kept = values(form_with_action(answer.text, FORM))
    assert [kept[name] for name in ("name", "email", "message")] == [TYPED[n] for n in ("name", "email", "message")]
    assert count(app, Case) == 0
    assert client.post(FORM, data=dict(kept) | {"topic": "technik"}).status_code == 303


def test_a_topic_that_loses_its_date_while_it_is_taken_is_refused_too(
    app: Flask, client: FlaskClient, company: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, accept = dict(values(form_with_action(client.get(FORM).text, FORM))), contact.accepted_once

    def lose_and_accept(*steps: Any, **more: Any) -> Any:
        without_business_time(app, "Miriam Albrecht")
        return accept(*steps, **more)

    monkeypatch.setattr(contact, "accepted_once", lose_and_accept)
    answer = client.post(FORM, data=opened | TYPED)

    assert answer.status_code == 422
    assert [sentence for sentence in errors(answer.text) if NO_DATE in sentence]
    assert count(app, Case) == 0


def test_a_message_for_which_no_date_can_be_named_is_refused_and_kept(
    app: Flask, client: FlaskClient, case: Case
) -> None:
    without_business_time(app, "Miriam Albrecht")
    page = status_page(app, case)
    form = dict(values(form_with_action(client.get(page).text, f"{page}/message")))

    answer = client.post(f"{page}/message", data=form | {"message": "Noch eine Frage."})

    assert answer.status_code == 409
    assert "We cannot name a date for this right now" in text(answer.text)
    assert values(form_with_action(answer.text, f"{page}/message"))["message"] == "Noch eine Frage."


def test_somebody_entered_as_absent_is_told_so_and_keeps_what_was_typed(app: Flask, case: Case) -> None:
    desk = Desk.of(app, "Jonas Weidner")
    with app.app_context(), db.writing() as session:
        jonas = session.scalars(select(Person.id).where(Person.name == "Jonas Weidner")).one()
        session.add(Absence(person_id=jonas, starts_at=NOW, entered_by_id=jonas))
    page = f"/staff/cases/{case.reference}"
    desk.get(page)

    answer = desk.submit(f"{page}/reply", reply__text="Ein Zwischenstand.")

    assert "Nach Ihren Abwesenheiten und Arbeitstagen sind Sie heute nicht da." in text(answer.text)
    assert values(form_with_action(answer.text, f"{page}/reply"))["reply-text"] == "Ein Zwischenstand."


def test_the_page_that_answers_a_link_wish_keeps_no_writer_waiting(
    app: Flask, client: FlaskClient, company: dict[str, int]
) -> None:
    written: list[str] = []

    def write(_app: Flask, template: Any, **_: Any) -> None:
        with db.writing() as session:
            session.execute(select(Company.name))
        written.append(template.name)

    with flask.before_render_template.connected_to(write, app):
        answer = client.post("/link?lang=en", data={"email": "sabine@kunde.example"})

    assert (answer.status_code, written[0]) == (200, "link/sent.html")
    assert document(answer.text).find(".//h1") is not None

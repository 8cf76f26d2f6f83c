"""Export and deletion on the status page, as a browser sees them."""

import json
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from portal import clock, db
from portal.cases import drafting, finding, opening
from portal.cases.models import Case, CaseState, Topic
from portal.links import new_secret
from portal.mail.letters import LetterKind
from portal.mail.models import Letter
from tests.support.cast import read


@pytest.fixture
def path(app: Flask, company: dict[str, int]) -> str:
    """The status page of an open case."""
    with app.app_context(), db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
        wish = drafting.Wish(topic_id, "Sabine Krüger", "s.krueger@haustechnik.example", "Wo bleibt sie?", "de")
        submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=clock.utc_now())
        return f"/s/{finding.status_token(session.get_one(Case, submission.case_id))}"


def link_of_letter(app: Flask) -> str:
    """The path of the link in the newest letter about deletion."""
    with app.app_context(), db.reading() as session:
        letter = session.scalars(
            select(Letter).where(Letter.kind == LetterKind.ERASURE).order_by(Letter.id.desc()).limit(1)
        ).one()
        found = re.search(r"http://localhost(/s/\S+/erase/\S+)", read(letter).text)
        assert found is not None
        return found[1]


def state(app: Flask) -> CaseState:
    """Where the one case stands."""
    with app.app_context(), db.reading() as session:
        return session.scalars(select(Case.state)).one()


def test_the_page_leads_to_both(client: FlaskClient, path: str) -> None:
    page = client.get(path).text

    assert f'href="{path}/export"' in page and f'href="{path}/erase"' in page


def test_the_export_is_a_download(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{path}/export")

    assert answer.mimetype == "application/json"
    assert re.fullmatch(r'attachment; filename="[0-9a-z]{3}-[0-9a-z]{3}\.json"', answer.headers["Content-Disposition"])
    assert json.loads(answer.data)["customer"]["name"] == "Sabine Krüger"
    assert path not in answer.text
    assert client.get("/s/not-a-token/export").status_code == 404


def test_deletion_is_asked_for_confirmed_by_mail_and_taken_back(app: Flask, client: FlaskClient, path: str) -> None:
    assert "Ihr Vorgang ist damit abgeschlossen" in client.get(f"{path}/erase").text
    asked = client.post(f"{path}/erase", data={"key": new_secret()}, follow_redirects=True).text
    assert "In unserer E-Mail steht der Link" in asked and "s.…@haustechnik.example" in asked

    link = link_of_letter(app)
    page = client.get(link)
    assert page.status_code == 200 and "Wir löschen Ihre Angaben am" in page.text
    assert state(app) == CaseState.OPEN  # opening a link changes nothing

    data = {"key": new_secret()}
    done = client.post(link, data=data, follow_redirects=True).text
    assert state(app) == CaseState.CLOSED and "Löschung zurücknehmen" in done
    assert client.post(link, data=data).status_code == 303  # a double click
    assert client.get(link).status_code == 410

    kept = client.post(f"{path}/keep-details", data={"key": new_secret()}, follow_redirects=True).text
    assert "Die Löschung ist zurückgenommen." in kept and f'href="{path}/erase"' in kept


@pytest.mark.parametrize("proof", ["nonsense", "x" * 3000])
def test_a_wrong_link_asks_to_begin_again(app: Flask, client: FlaskClient, path: str, proof: str) -> None:
    seen, sent = client.get(f"{path}/erase/{proof}"), client.post(f"{path}/erase/{proof}", data={"key": new_secret()})

    assert (seen.status_code, sent.status_code, state(app)) == (410, 409, CaseState.OPEN)
    assert "Dieser Link gilt nicht mehr." in seen.text and "Dieser Link gilt nicht mehr." in sent.text

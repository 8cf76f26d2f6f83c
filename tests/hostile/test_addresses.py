"""NUL and other control characters in addresses and ids: one answer on both databases, with every change.

PostgreSQL refuses a NUL where SQLite compares it; whoever sends one must not see the difference.
"""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal import db
from portal.cases.finding import status_token
from portal.cases.models import Case
from tests.pages.staff_desk import Desk, errors, form_with_action, values
from tests.support.dump import changes, dump

FORM = "/contact?lang=en"
TYPED = {"topic": "angebot", "name": "Sabine Krüger", "email": "sabine@kunde.example", "message": "Ein Angebot, bitte."}
PIECES = ["%00", "a%00b", "x" * 21 + "%00", "%01%07%1B%1F%7F", "%C2%85", "a%0D%0Ab", "%E2%80%A8", "%E2%80%AE", "%FF"]
"""As parts of an address."""
ODD = ["\x00", "a\x00b", "x" * 21 + "\x00", "\x01\x07\x1b\x1f\x7f", "\x85", "a\r\nb", "\u2028"]
"""The same as they are typed; without what is no text."""


def sent(client: FlaskClient, **typed: str) -> TestResponse:
    """The form, filled in and sent."""
    form = form_with_action(client.get(FORM).text, FORM)
    return client.post(FORM, data=dict(values(form)) | TYPED | typed)


@pytest.fixture
def case(app: Flask, client: FlaskClient, company: dict[str, int]) -> tuple[str, str]:
    """The reference and the secret of a case that has just come in."""
    assert sent(client).status_code == 303
    with app.app_context(), db.reading() as session:
        newest = session.scalars(select(Case)).one()
        return newest.reference, status_token(newest)


def test_a_part_of_an_address_that_nobody_was_given_leads_nowhere(
    app: Flask, client: FlaskClient, case: tuple[str, str]
) -> None:
    (reference, token), desk = case, Desk(app)
    desk.sign_in()
    pages = [
        *((client, address) for address in (f"/s/{token}/files/%s", "/s/%s", "/s/%s/files/x", "/thanks/%s")),
        *((client, address) for address in (f"/s/{token}/erase/%s", "/s/%s/export")),
        *(
            (desk, address)
            for address in (f"/staff/cases/{reference}/files/%s", "/staff/cases/%s", "/staff/doubtful/%s")
        ),
    ]

    codes = {address % piece: who.get(address % piece).status_code for who, address in pages for piece in PIECES}

    assert {address: code for address, code in codes.items() if code not in (404, 410)} == {}


@pytest.mark.parametrize("odd", ODD)
def test_an_id_or_an_address_that_nobody_has_is_refused_with_a_sentence(
    app: Flask, client: FlaskClient, case: tuple[str, str], odd: str
) -> None:
    _, token = case
    message = f"/s/{token}/message"
    with app.app_context():
        before = dump(db.db.engine)
    refused = {
        "file held": client.post(message, data={"message": "Noch eine Frage.", "attachments-held": odd}),
        "file of a form": sent(client, **{"attachments-held": odd}),
        "file removed": client.post(message, data={"message": "", "attachments-remove": odd}),
        "form": sent(client, email=f"a{odd}@kunde.example"),
        "link": client.post("/link", data={"email": f"sabine@kunde.ex{odd}ample"}),
    }

    assert {what: answer.status_code for what, answer in refused.items()} == dict.fromkeys(refused, 422)
    assert [what for what in ("file of a form", "form", "link") if not errors(refused[what].text)] == []
    with app.app_context():
        assert changes(before, dump(db.db.engine)) == []

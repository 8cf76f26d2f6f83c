"""The secret part of an address: only what we signed for this purpose opens a page, and nothing else tells anything.

security.md section 7, items 12 to 14; ASVS 9.1.1, 9.2.1, 9.2.2.
"""

import random
import string
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from portal import clock, db
from portal.app import create_app
from portal.cases import erasing, finding, linking
from portal.cases.models import Case
from portal.journal.models import Entry
from portal.links import Links, Purpose, new_secret
from tests.conftest import NOW, SECRET_KEY
from tests.map.conftest import (
    CALL,
    CLOSED,
    CLOSED_BY_CUSTOMER,
    CLOSED_LONG_AGO,
    DISCARDED,
    FORMS,
    FRESH,
    KEY,
    OF_A_LINK,
    House,
    csrf_of,
    let_go,
)
from tests.support.dump import changes

MANY = 10_000
SHOWN = 150
"""How many of the many are asked for as pages; a page takes a hundred times as long as the look at a token."""
SAFE = string.ascii_letters + string.digits + "-_"
NEW_KEY = "another-key-for-tests-9876543210-zyxw"
PAGES = ("", "/close", "/replace-link", "/not-me", "/erase")

pytestmark = pytest.mark.usefixtures("tuesday")


def flipped(token: str, dice: random.Random) -> str:
    """The token with one character changed."""
    at = dice.randrange(len(token))
    other = dice.choice([one for one in SAFE + "." if one != token[at]])
    return token[:at] + other + token[at + 1 :]


def mutations(token: str, other: str) -> list[str]:
    """The ways in which a link is hurt on its way, or tried by somebody (item 12)."""
    text, _, signature = token.rpartition(".")
    return [
        *(token[:length] for length in range(1, len(token))),
        *(token[start:] for start in range(1, len(token))),
        token * 2,
        f"{token}.",
        f".{token}",
        f"{token}%00",
        f"%00{token}",
        f"{token}%20",
        f"{token}%0A",
        f"{token}=",
        f"{token}==",
        f"{token}%C3%BC",
        f"{token}%ED%A0%80",
        f"{token}%FF",
        token.upper(),
        token.lower(),
        token.swapcase(),
        token.replace(".", ":"),
        token.replace("-", "+").replace("_", "."),
        f"{text}.{other.rpartition('.')[2]}",
        f"{other.rpartition('.')[0]}.{signature}",
        f"{text}..{signature}",
        text,
        signature,
        f"{text}.",
        f".{signature}",
        ".",
        "..",
        "x" * 3000,
        "%00",
        "' OR 1=1 --",
        "%25s",
        "{{7*7}}",
        "null",
        "0",
        "-1",
    ]


def guesses(token: str, other: str) -> list[str]:
    """Ten thousand tokens that are none: mutated ones, and random ones of the same shape."""
    dice = random.Random(20261124)
    known = [one for one in mutations(token, other) if one != token]
    known += [flipped(token, dice) for _ in range(MANY // 2)]
    while len(known) < MANY:
        known.append("".join(dice.choices(SAFE, k=22)) + "." + "".join(dice.choices(SAFE, k=43)))
    return known


def without_dots(token: str) -> bool:
    """Whether a client sends it as it is: "." and ".." are folded away before they reach any server."""
    return token not in (".", "..")


def test_no_guess_opens_a_case(house: House) -> None:
    token, other = house.token(FRESH), house.token(CALL)

    with house.app.app_context(), db.reading() as session:
        assert finding.by_token(session, token, now=NOW) is not None
        opened = [one for one in guesses(token, other) if finding.by_token(session, one, now=NOW) is not None]

    assert opened == []


def test_every_guess_gets_the_same_page_byte_for_byte(house: House) -> None:
    token, other, visitor = house.token(FRESH), house.token(CALL), house.visitor()
    everything = guesses(token, other)
    asked = [one for one in mutations(token, other)[::2] if one != token] + random.Random(1).sample(everything, SHOWN)

    answers = {one: visitor.get(f"/s/{one}") for one in asked if without_dots(one)}

    assert {answer.status_code for answer in answers.values()} == {404}
    assert len({answer.data for answer in answers.values()}) == 1
    assert len({str(sorted(answer.headers)) for answer in answers.values()}) == 1


@pytest.mark.parametrize("page", PAGES[1:])
def test_every_page_below_a_link_answers_a_guess_alike(house: House, page: str) -> None:
    visitor, token = house.visitor(), house.token(FRESH)

    answers = [visitor.get(f"/s/{one}{page}") for one in (f"{token}x", "x", token.upper(), new_secret())]

    assert {(answer.status_code, answer.data) for answer in answers} == {(404, visitor.get("/s/x").data)}


# Purposes


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.STATUS])
def test_a_token_of_another_purpose_opens_no_case(house: House, purpose: Purpose) -> None:
    nonce, links = house.case(FRESH).link_nonce, Links([SECRET_KEY])

    codes = [
        house.visitor().get(f"/s/{token}").status_code
        for token in (links.sign(purpose, nonce), links.sign_with_time(purpose, nonce, now=NOW), nonce)
    ]

    assert codes == [404, 404, 404]


def test_a_status_link_is_no_ticket_for_the_contact_form(house: House) -> None:
    form = house.filled("contact.send", csrf=house.token(FRESH))
    before = house.dump()

    assert house.visitor().post(form.path, data=form.data).status_code == 422
    assert house.dump() == before


def test_a_status_link_is_no_thank_you_page_and_the_other_way_round(house: House) -> None:
    visitor = house.visitor()

    assert visitor.get(f"/thanks/{house.token(FRESH)}").status_code == 404
    assert visitor.get(f"/thanks/{house.case(FRESH).link_nonce}").status_code == 404
    assert visitor.get(f"/s/{house.answer(FRESH)}").status_code == 404
    assert visitor.get(f"/s/{house.case(FRESH).reference}").status_code == 404


def test_a_link_opens_no_staff_page_and_a_sign_in_no_case(house: House) -> None:
    visitor, colleague = house.visitor(), house.colleague()

    assert visitor.get(f"/staff/cases/{house.case(FRESH).reference}?token={house.token(FRESH)}").status_code == 302
    assert colleague.get(f"/s/{house.case(FRESH).reference}").status_code == 404


# One case only


def test_a_link_shows_nothing_of_another_case_whatever_numbers_are_asked_for(house: House) -> None:
    visitor = house.visitor()
    foreign = house.customer(CALL).name
    with house.app.app_context(), db.reading() as session:
        texts = session.scalars(select(Entry.text).where(Entry.case_id == house.case(CALL).id, Entry.text != "")).all()
        numbers = session.scalars(select(Entry.id)).all()

    pages = [visitor.get(f"/s/{house.token(FRESH)}?before={number}") for number in (*numbers, 10**9, "-1", "x", 10**30)]

    assert {page.status_code for page in pages} == {200}
    assert texts and not [page for page in pages if foreign in page.text or any(text in page.text for text in texts)]


def test_a_colleagues_page_of_one_case_shows_nothing_of_another(house: House) -> None:
    colleague, case = house.colleague(), house.case(FRESH)
    with house.app.app_context(), db.reading() as session:
        texts = session.scalars(select(Entry.text).where(Entry.case_id == house.case(CALL).id, Entry.text != "")).all()
        numbers = session.scalars(select(Entry.id)).all()

    pages = [colleague.get(f"/staff/cases/{case.reference}?before={number}") for number in (*numbers, "-1", "x")]

    assert {page.status_code for page in pages} == {200}
    assert texts and not [page for page in pages if any(text in page.text for text in texts)]


@pytest.mark.parametrize("before", ["9" * 20, "9" * 5000, "²", "٣", "1e9", "0x10", "1;drop", "%00", "-0"])
def test_a_number_that_no_row_can_have_is_no_fault_of_ours(house: House, before: str) -> None:
    paths = [f"/s/{house.token(FRESH)}", f"/staff/cases/{house.case(FRESH).reference}"]

    codes = [house.colleague().get(f"{path}?before={before}").status_code for path in paths]

    assert codes == [200, 200]


# Links that were genuine


def test_an_expired_link_says_so_and_names_the_person(house: House, tuesday: Any) -> None:
    token = house.token(CLOSED_LONG_AGO)
    tuesday.shift(timedelta(days=60))
    visitor, before = house.visitor(), house.dump()

    pages = [visitor.get(f"/s/{token}{page}") for page in PAGES]
    posted = [house.visitor().post(house.below(token, name), data={"message": "x"}) for name in OF_A_LINK]

    assert {page.status_code for page in [*pages, *posted]} == {410}
    assert [page for page in pages if "Thomas Brandt" not in page.text or "089 99998-300" not in page.text] == []
    assert [
        page for page in pages if "Falsche Farbe" in page.text or house.customer(CLOSED_LONG_AGO).name in page.text
    ] == []
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize("page", PAGES)
def test_erased_discarded_revoked_and_unknown_look_alike(house: House, page: str) -> None:
    tokens = dead_tokens(house)
    visitor = house.visitor()

    answers = {why: visitor.get(f"/s/{token}{page}") for why, token in tokens.items()}

    assert {answer.status_code for answer in answers.values()} == {404}
    assert len({answer.data for answer in answers.values()}) == 1
    assert len({str(sorted(answer.headers)) for answer in answers.values()}) == 1


def test_erased_discarded_revoked_and_unknown_take_no_form(house: House) -> None:
    tokens = dead_tokens(house)
    before = house.dump()

    answers = {
        (why, name): house.visitor().post(house.below(token, name), data=FORMS[name].body)
        for why, token in tokens.items()
        for name in OF_A_LINK
    }

    assert {answer.status_code for answer in answers.values()} == {404}
    assert len({answer.data for answer in answers.values()}) == 1
    assert changes(before, house.dump()) == []


# Changing keys


@pytest.fixture
def rotated(environment: dict[str, str]) -> Iterator[Flask]:
    """The application after a change of keys: the old one still verifies."""
    changed = {"PORTAL_SECRET_KEY": NEW_KEY, "PORTAL_SECRET_KEY_FALLBACKS": SECRET_KEY}
    app = create_app({**environment, **changed})
    yield app
    let_go(app)


@pytest.fixture
def old_key_gone(environment: dict[str, str]) -> Iterator[Flask]:
    """The application once the old key has left the list."""
    app = create_app({**environment, "PORTAL_SECRET_KEY": NEW_KEY})
    yield app
    let_go(app)


def test_old_links_and_open_forms_outlive_a_change_of_keys(house: House, rotated: Flask) -> None:
    contact, message = house.filled("contact.send"), house.filled("status.message")
    after = rotated.test_client()

    assert after.get(f"/s/{house.token(FRESH)}").status_code == 200
    assert after.post(message.path, data=message.data).status_code == 303
    assert after.post(contact.path, data=contact.data).status_code == 303


def test_a_signed_in_colleague_and_an_open_form_outlive_a_change_of_keys(house: House, rotated: Flask) -> None:
    before = house.colleague()
    note = house.filled("staff.note", csrf=csrf_of(before))
    after = with_cookie_of(before, rotated)

    assert after.get("/staff/").status_code == 200
    assert after.post(note.path, data=note.data).status_code == 303


def test_after_a_change_of_keys_the_new_one_signs(house: House, rotated: Flask) -> None:
    token = House(rotated).token(FRESH)

    assert Links([NEW_KEY]).read(Purpose.STATUS, token) == house.case(FRESH).link_nonce
    assert token != house.token(FRESH)
    assert rotated.test_client().get(f"/s/{token}").status_code == 200


def test_a_key_that_left_the_list_opens_nothing_any_more(house: House, old_key_gone: Flask) -> None:
    colleague = house.colleague()
    contact = house.filled("contact.send")
    note = house.filled("staff.note", csrf=csrf_of(colleague))
    before, after = house.dump(), with_cookie_of(colleague, old_key_gone)

    assert after.get(f"/s/{house.token(FRESH)}").status_code == 404
    assert after.post(contact.path, data=contact.data).status_code == 422
    assert after.get("/staff/").status_code == 302
    assert after.post(note.path, data=note.data).status_code == 400
    assert changes(before, house.dump()) == []


def dead_tokens(house: House) -> dict[str, str]:
    """Links that lead to no case, each for another reason."""
    tokens = {
        "erased": house.token(CLOSED_BY_CUSTOMER),
        "discarded": house.token(DISCARDED),
        "revoked": house.token(FRESH),
        "replaced": house.token(CLOSED),
        "unknown": str(house.app.extensions["portal.links"].sign(Purpose.STATUS, new_secret())),
        "forged": Links([NEW_KEY]).sign(Purpose.STATUS, house.case(CALL).link_nonce),
        "not a token": KEY,
    }
    with house.app.test_request_context(), db.writing() as session:
        erasing.erase(session, session.get_one(Case, house.case(CLOSED_BY_CUSTOMER).id), now=clock.utc_now())
        linking.replace_link(session, session.get_one(Case, house.case(CLOSED).id), now=clock.utc_now())
        session.execute(update(Case).where(Case.id == house.case(FRESH).id).values(link_nonce=new_secret()))
    return tokens


def with_cookie_of(client: FlaskClient, app: Flask) -> FlaskClient:
    """The same browser, in front of another application."""
    cookie = client.get_cookie("durchwahl")
    assert cookie is not None
    other = app.test_client()
    other.set_cookie("durchwahl", cookie.value)
    return other

"""Every POST of the map: who may send it, that it counts once, and that it changes only what its form shows.

OWASP ASVS 3.5.1 (forged requests), 2.3.3 and 15.3.3 (fields a form does not have), 8.2 (who may do what).
"""

import random
import secrets
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from portal import db
from portal.cases.models import Case, CaseState
from portal.journal.models import Entry, Kind
from portal.people.models import Login, Person, SignIn
from tests.map.conftest import (
    ADMIN,
    CALL,
    FORMS,
    FRESH,
    JONAS,
    OF_A_LINK,
    OF_SIGNING,
    OF_STAFF,
    OPEN_TO_ALL,
    House,
    csrf_of,
)
from tests.support.dump import Kept, changes

EXTRA = {
    "state": "erased",
    "owner_id": "10",
    "acting_id": "10",
    "person_id": "10",
    "by_id": "10",
    "case_id": "1",
    "customer_id": "1",
    "id": "1",
    "role": "admin",
    "is_staff": "1",
    "is_admin": "true",
    "due_at": "2031-01-01T00:00:00+00:00",
    "promised_at": "2031-01-01T00:00:00+00:00",
    "received_at": "2001-01-01T00:00:00+00:00",
    "erase_on": "2026-11-25",
    "link_nonce": "evil-evil-evil-evil-22",
    "reference": "EVL-666",
    "language": "en",
    "visible": "1",
    "doubt": "",
    "notices": "66",
    "lead_since": "2026-01-01T00:00:00+00:00",
    "account_id": "1",
    "email_key": "evil@evil.example",
    "assignee_id": "10",
    "token": "evil",
    "_method": "DELETE",
    "password_hash": "evil",
    "active": "",
}
"""Columns, and words for columns, that no form has: each is sent with every form, plain and with the form's prefix."""
WITH_VISIBLE = ("staff.contact", "staff.mail", "staff.say_outcome")
ABOUT_A_CASE = tuple(name for name in OF_STAFF if name != "staff.feed_address")
REPEATED = tuple(name for name in (*OF_A_LINK, *OF_STAFF) if name != "staff.call")
"""Forms whose button may be pressed twice. *Anruf starten* is not among them: each press is an attempt to be logged."""

pytestmark = pytest.mark.usefixtures("tuesday")


def outcomes(send: Callable[[str], Any], endpoints: tuple[str, ...]) -> dict[str, int]:
    """The status code of each endpoint's form, sent in this way."""
    return {endpoint: send(endpoint).status_code for endpoint in endpoints}


def all_of(endpoints: tuple[str, ...], code: int) -> dict[str, int]:
    return dict.fromkeys(endpoints, code)


def test_every_post_of_the_map_is_in_these_tests(house: House) -> None:
    posts = {rule.endpoint for rule in house.app.url_map.iter_rules() if "POST" in (rule.methods or ())}

    assert posts == set(FORMS) == {*OF_STAFF, *OF_SIGNING, *OF_A_LINK, *OPEN_TO_ALL}


@pytest.mark.parametrize("endpoint", FORMS)
def test_each_form_is_accepted_when_nothing_is_wrong_with_it(house: House, endpoint: str) -> None:
    before = house.dump()
    client = house.colleague() if endpoint in OF_STAFF else house.visitor()

    answer = house.send(client, endpoint)

    accepted = {"link.wish": 200, "staff.call": 200}
    assert answer.status_code == accepted.get(endpoint, 303)
    assert (house.dump() != before) == (endpoint != "login.sign_out")


# Who may send it


def test_a_colleagues_form_without_its_token_is_refused(house: House) -> None:
    colleague = house.colleague()
    endpoints = OF_STAFF + OF_SIGNING
    before = house.dump()

    codes = outcomes(lambda endpoint: house.send(colleague, endpoint, csrf=""), endpoints)

    assert codes == all_of(endpoints, 400)
    assert changes(before, house.dump()) == []


def test_a_colleagues_form_with_another_sessions_token_is_refused(house: House) -> None:
    colleague, other = house.colleague(), csrf_of(house.colleague(ADMIN))
    endpoints = OF_STAFF + OF_SIGNING
    before = house.dump()

    codes = outcomes(lambda endpoint: house.send(colleague, endpoint, csrf=other), endpoints)

    assert codes == all_of(endpoints, 400)
    assert changes(before, house.dump()) == []


def test_who_is_not_signed_in_is_asked_to_and_keeps_what_was_typed(house: House) -> None:
    stranger = house.visitor()
    before = house.dump()

    answers = {endpoint: house.send(stranger, endpoint) for endpoint in OF_STAFF}

    with_text = [endpoint for endpoint in OF_STAFF if "text" in FORMS[endpoint].body]
    assert {endpoint: answer.status_code for endpoint, answer in answers.items()} == {
        endpoint: 401 if endpoint in with_text else 302 for endpoint in OF_STAFF
    }
    assert [name for name in with_text if FORMS[name].body["text"] not in answers[name].text] == []
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize("ending", ["signed out", "switched off", "has left"])
def test_a_cookie_whose_sign_in_has_ended_changes_nothing_any_more(house: House, ending: str) -> None:
    colleague = house.colleague()
    token = csrf_of(colleague)
    end_sign_ins(house, ending)
    before = house.dump()

    codes = outcomes(lambda endpoint: house.send(colleague, endpoint, csrf=token), OF_STAFF)

    assert set(codes.values()) == {302, 401}
    assert changes(before, house.dump()) == []


def test_a_bad_link_opens_no_form(house: House) -> None:
    visitor = house.visitor()
    before = house.dump()

    codes = outcomes(lambda endpoint: house.send(visitor, endpoint, token=f"{house.token(FRESH)}x"), OF_A_LINK)

    assert codes == all_of(OF_A_LINK, 404)
    assert changes(before, house.dump()) == []


def test_a_case_that_does_not_exist_cannot_be_worked_on(house: House) -> None:
    colleague = house.colleague()
    token = csrf_of(colleague)
    before = house.dump()

    def send(endpoint: str) -> Any:
        form = house.filled(endpoint, csrf=token)
        return colleague.post(form.path.replace(house.case(FORMS[endpoint].story).reference, "AAA-AAA"), data=form.data)

    assert outcomes(send, ABOUT_A_CASE) == all_of(ABOUT_A_CASE, 404)
    assert changes(before, house.dump()) == []


def test_an_unknown_thank_you_page_answers_like_any_other_and_changes_nothing(house: House) -> None:
    form = house.filled("contact.correct_address")
    unknown = form.path.replace(house.answer(FORMS["contact.correct_address"].story), "x" * 22)
    before = house.dump()

    answer = house.visitor().post(unknown, data=form.data)

    assert (answer.status_code, answer.location) == (303, f"{unknown.removesuffix('/address')}?done=address")
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize("token", ["", "x", "expired", "of a link"])
def test_a_contact_form_that_is_not_ours_is_refused_and_keeps_what_was_typed(house: House, token: str) -> None:
    tokens = {"expired": house.ticket(at=house.case(FRESH).received_at.replace(day=1)), "of a link": house.token(FRESH)}
    form = house.filled("contact.send", csrf=tokens.get(token, token))
    before = house.dump()

    answer = house.visitor().post(form.path, data=form.data)

    assert answer.status_code == 422
    assert form.data["message"] in answer.text
    assert changes(before, house.dump()) == []


def test_only_who_is_named_gets_the_number(house: House) -> None:
    shown = house.customer(CALL).phone_shown or ""
    before = house.dump()

    answer = house.send(house.colleague("Miriam Albrecht"), "staff.call")

    assert answer.status_code == 403
    assert shown not in answer.text
    assert [line for line in changes(before, house.dump()) if "sign_in:" not in line] == []


# Once


@pytest.mark.parametrize("endpoint", REPEATED)
def test_the_same_form_twice_is_accepted_once(house: House, endpoint: str) -> None:
    client = house.colleague() if endpoint in OF_STAFF else house.visitor()
    csrf = csrf_of(client) if endpoint in OF_STAFF else None
    form = house.filled(endpoint, csrf=csrf)

    first = client.post(form.path, data=form.data)
    after_one = house.dump()
    second = client.post(form.path, data=form.data)

    assert first.status_code == 303
    assert answers_alike(endpoint, first, second)
    assert changes(after_one, house.dump()) == []


def test_the_contact_form_twice_is_one_case(house: House) -> None:
    visitor, form = house.visitor(), house.filled("contact.send")

    first = visitor.post(form.path, data=form.data)
    after_one = house.dump()
    second = visitor.post(form.path, data=form.data)

    assert (first.status_code, first.location) == (second.status_code, second.location)
    assert changes(after_one, house.dump()) == []


@pytest.mark.parametrize("endpoint", [name for name in REPEATED if {"text", "message"} & set(FORMS[name].body)])
def test_one_key_with_two_bodies_counts_for_the_first_only(house: House, endpoint: str) -> None:
    client = house.colleague() if endpoint in OF_STAFF else house.visitor()
    csrf = csrf_of(client) if endpoint in OF_STAFF else None
    form = house.filled(endpoint, csrf=csrf)
    client.post(form.path, data=form.data)
    after_one = house.dump()
    name = next(name for name in form.data if name.endswith(("text", "message")))

    answer = client.post(form.path, data={**form.data, name: "Etwas ganz anderes."})

    assert answer.status_code in (409, 422)
    assert "Etwas ganz anderes." in answer.text
    assert changes(after_one, house.dump()) == []


@pytest.mark.parametrize("endpoint", ["status.close", "staff.reply", "staff.ask", "staff.promise", "staff.close"])
def test_a_form_made_for_an_older_state_of_the_case_is_refused(house: House, endpoint: str) -> None:
    client = house.colleague() if endpoint in OF_STAFF else house.visitor()
    csrf = csrf_of(client) if endpoint in OF_STAFF else None
    form = house.filled(endpoint, csrf=csrf)
    house.send(house.visitor(), "status.message", key="the-key-of-a-message-x")
    before = house.dump()

    answer = client.post(form.path, data=form.data)

    assert answer.status_code == 409
    assert [line for line in changes(before, house.dump()) if "sign_in:" not in line] == []


# Only what the form shows


@pytest.mark.parametrize("endpoint", FORMS)
def test_fields_that_a_form_does_not_have_change_nothing(
    house: House, kept: Kept, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = sent_with(house, endpoint, {}, monkeypatch)
    kept.put_back()

    loaded = sent_with(house, endpoint, EXTRA, monkeypatch)

    # The database itself throws the dice for the mark of the directory.
    assert [line for line in changes(plain, loaded) if "directory_revision:" not in line] == []


def test_a_field_that_a_form_does_have_would_be_seen(house: House, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sent_with(house, "staff.mail", {}, monkeypatch)
    kept.put_back()

    loaded = sent_with(house, "staff.mail", {"mail-visible": "1"}, monkeypatch)

    assert changes(plain, loaded) != []


def test_a_colleague_stays_a_colleague(house: House) -> None:
    colleague = house.colleague()
    form = house.filled("staff.note", csrf=csrf_of(colleague))

    colleague.post(form.path, data={**EXTRA, **form.data})

    with house.app.app_context(), db.reading() as session:
        role = session.scalars(select(Login.role).join(Person).where(Person.name == JONAS)).one()
        states = set(session.scalars(select(Case.state).where(Case.reference == house.case(FRESH).reference)))
    assert (role, states) == ("staff", {CaseState.OPEN})


@pytest.mark.parametrize("endpoint", ["staff.reply", "staff.ask", "staff.contact"])
def test_a_promise_of_another_case_is_not_kept_by_naming_it(house: House, endpoint: str) -> None:
    colleague = house.colleague()
    other = house.open_promise(CALL)

    answer = house.send(colleague, endpoint, keeps=str(other.id))

    assert answer.status_code == 303
    assert house.open_promise(CALL).id == other.id


def test_of_a_field_sent_twice_the_first_counts(house: House) -> None:
    visitor = house.visitor()
    form = house.filled("status.message")

    visitor.post(f"{form.path}?message=aus+der+Adresse", data={**form.data, "message": ["die erste", "die zweite"]})

    with house.app.app_context(), db.reading() as session:
        texts = session.scalars(
            select(Entry.text).where(Entry.case_id == house.case(FRESH).id, Entry.kind == Kind.MESSAGE)
        ).all()
    assert texts == ["die erste"]


def test_what_stands_in_the_address_is_no_form(house: House) -> None:
    form = house.filled("status.message")
    before = house.dump()

    answer = house.visitor().post(f"{form.path}?message=aus+der+Adresse&key={'k' * 22}", data={})

    assert answer.status_code == 422
    assert changes(before, house.dump()) == []


def answers_alike(endpoint: str, first: Any, second: Any) -> bool:
    """The second press leads where the first did; an entry that became a case is shown as one."""
    if endpoint == "staff.release":
        return bool(second.location == first.location.partition("?")[0])
    if endpoint in ("staff.discard", "staff.release_letters", "staff.drop_letters"):
        return bool(second.status_code == 409)
    if endpoint == "status.new_link":
        return bool(first.location.partition("&")[0] == second.location.partition("&")[0])
    return bool((first.status_code, first.location) == (second.status_code, second.location))


def sent_with(house: House, endpoint: str, extra: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The database after this form, with these fields on top; all that is random falls the same way every time."""
    dice = random.Random(endpoint)
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: dice.randbytes(size))
    monkeypatch.setattr(secrets, "choice", dice.choice)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=dice.getrandbits(128), version=4))
    client = house.colleague() if endpoint in OF_STAFF else house.visitor()
    csrf = csrf_of(client) if endpoint in OF_STAFF + OF_SIGNING else None
    form = house.filled(endpoint, csrf=csrf)
    prefix = FORMS[endpoint].prefix
    prefixed = {f"{prefix}{name}": value for name, value in extra.items() if f"{prefix}{name}" not in fields(endpoint)}
    answer = client.post(form.path, data={**extra, **prefixed, **form.data}, query_string=extra)
    assert answer.status_code in (200, 303)
    return house.dump()


def fields(endpoint: str) -> set[str]:
    """What the form has, though this test does not fill it in."""
    return {"contact-visible", "mail-visible", "outcome-visible"} if endpoint in WITH_VISIBLE else set()


def end_sign_ins(house: House, ending: str) -> None:
    today = house.case(FRESH).received_at.date()
    of_jonas = select(Person.id).where(Person.name == JONAS).scalar_subquery()
    statements = {
        "signed out": update(SignIn).values(ended_at=SignIn.created_at),
        "switched off": update(Login).where(Login.person_id == of_jonas).values(active=False),
        "has left": update(Person).where(Person.id == of_jonas).values(left_on=today),
    }
    with house.app.app_context(), db.writing() as session:
        session.execute(statements[ending])

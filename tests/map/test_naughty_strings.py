"""The whole big list of naughty strings through form, message and staff fields: read back as typed, or refused."""

import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from portal import db
from portal.customers.models import Customer
from portal.journal.models import Entry
from tests.map.conftest import House
from tests.map.test_hostile_input import DIRECTIONS, Sender, told

LIST = Path(__file__).with_name("vendor") / "blns" / "blns.txt"
NAUGHTY = list(
    dict.fromkeys(line for line in LIST.read_text(encoding="utf-8").split("\n") if line and not line.startswith("# "))
)
BREAKS = "\x0b\x0c\x85\u2028\u2029\r"
STAFF = ("staff.note", "staff.reply", "staff.ask", "staff.mail", "staff.contact", "staff.close")

pytestmark = [pytest.mark.usefixtures("tuesday"), pytest.mark.timeout(300)]


@pytest.fixture
def sender(house: House) -> Sender:
    return Sender(house)


def uniform(typed: str) -> str:
    """A text as it may be kept: composed, one kind of line break, no control character, no direction mark."""
    told_apart = (("\n" if sign in BREAKS else sign) for sign in unicodedata.normalize("NFC", typed))
    kept = (sign for sign in told_apart if sign in "\n\t" or unicodedata.category(sign) != "Cc")
    return "".join(sign for sign in kept if sign not in DIRECTIONS).strip()


def one_line(text: str) -> str:
    """A text with each run of spaces as one."""
    return " ".join(text.split())


def test_the_list_is_whole_and_the_one_we_name() -> None:
    described = (LIST.parent / "README.md").read_text()

    assert len(NAUGHTY) > 500
    assert sha256(LIST.read_bytes()).hexdigest() in described


def test_every_string_of_the_list_as_a_message_and_as_a_name(house: House, sender: Sender) -> None:
    wrong = {}
    for number, typed in enumerate(NAUGHTY):
        email = f"naughty.{number}@kunde.example"
        answer = sender.send("contact.send", message=typed, name=typed[:60], email=email)
        if answer.status_code == 422 and told(answer) and uniform(typed):
            answer = sender.send("contact.send", message=typed, email=email)
        if answer.status_code != (303 if uniform(typed) else 422):
            wrong[typed] = str(answer.status_code)

    assert wrong == {}
    with house.app.app_context(), db.reading() as session:
        texts = session.scalars(select(Entry.text).where(Entry.text != "")).all()
        names = session.scalars(select(Customer.name).where(Customer.email.like("naughty.%"))).all()
    assert {uniform(typed) for typed in NAUGHTY} - {""} <= set(texts)
    of_the_list = [name for name in names if name != "Erika Beispiel"]
    assert {one_line(name) for name in of_the_list} <= {one_line(uniform(typed[:60])) for typed in NAUGHTY}
    assert len(of_the_list) > 200


@pytest.mark.parametrize("endpoint", ["status.message", "staff.note"])
def test_every_string_of_the_list_in_the_course_of_a_case(house: House, sender: Sender, endpoint: str) -> None:
    _every_string(house, sender, endpoint, "message" if endpoint == "status.message" else "text")


@pytest.mark.nightly
@pytest.mark.parametrize("endpoint", ["staff.reply", "staff.ask", "staff.mail", "staff.contact"])
def test_every_string_of_the_list_in_every_field_of_staff(house: House, sender: Sender, endpoint: str) -> None:
    _every_string(house, sender, endpoint, "text")


def _every_string(house: House, sender: Sender, endpoint: str, field: str) -> None:
    answers = {typed: sender.send(endpoint, **{field: typed}) for typed in NAUGHTY}

    expected = {typed: 303 if uniform(typed) else 422 for typed in NAUGHTY}
    assert {typed: answer.status_code for typed, answer in answers.items()} == expected
    assert [typed for typed, answer in answers.items() if answer.status_code == 422 and not told(answer)] == []
    with house.app.app_context(), db.reading() as session:
        texts = session.scalars(select(Entry.text).where(Entry.text != "")).all()
    assert {uniform(typed) for typed in NAUGHTY} - {""} <= set(texts)

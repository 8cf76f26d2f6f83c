"""Who signs a letter that somebody wrote, where the answer goes, and who may not write one."""

from datetime import datetime

import pytest
from sqlalchemy.orm import Session

from portal.cases import answering, contacts
from portal.cases.errors import AuthorAbsent, AuthorDoesNotAnswer, Refused
from portal.cases.models import Case
from portal.mail.letters import LetterKind
from portal.people.models import Person
from tests.support.cast import TUESDAY, Mail, away, berlin, deliver, letters, open_case, read, refused, step

MIRIAM, JONAS, KATHARINA = "Miriam Albrecht", "Jonas Weidner", "Dr. Katharina Voss"
TEN = berlin("2026-11-24 10:00")


@pytest.fixture
def case(session: Session) -> Case:
    """Miriam Albrecht's case, its confirmation delivered."""
    found = open_case(session)
    deliver(session)
    return found


def test_the_owner_signs_and_gets_the_answer(session: Session, people: dict[str, int], case: Case) -> None:
    mail = written_by(session, case, people[MIRIAM])

    assert (name_of(mail), mail.reply_to) == (MIRIAM, "m.albrecht@beispielwerke.example")
    assert "in Vertretung" not in mail.text


def test_a_colleague_beside_a_present_owner_signs_for_nobody_and_the_answer_goes_to_the_owner(
    session: Session, people: dict[str, int], case: Case
) -> None:
    mail = written_by(session, case, people[JONAS])

    assert (name_of(mail), mail.reply_to) == (JONAS, "m.albrecht@beispielwerke.example")
    assert "in Vertretung" not in mail.text


def test_whoever_acts_for_an_absent_owner_says_so_and_gets_the_answer(
    session: Session, people: dict[str, int], case: Case
) -> None:
    away(session, people[MIRIAM], since=TUESDAY, deputy_id=people[JONAS])

    mail = written_by(session, case, people[JONAS])

    assert (name_of(mail), mail.reply_to) == (JONAS, "j.weidner@beispielwerke.example")
    assert "in Vertretung für Miriam Albrecht" in mail.text


def test_another_colleague_of_an_absent_owner_signs_for_nobody_and_the_answer_goes_to_the_deputy(
    session: Session, people: dict[str, int], case: Case
) -> None:
    away(session, people[MIRIAM], since=TUESDAY, deputy_id=people[JONAS])

    mail = written_by(session, case, people[KATHARINA])

    assert (name_of(mail), mail.reply_to) == (KATHARINA, "j.weidner@beispielwerke.example")
    assert "in Vertretung" not in mail.text


@pytest.mark.parametrize("author", [MIRIAM, JONAS])
def test_who_is_entered_as_absent_writes_to_no_customer(
    session: Session, people: dict[str, int], case: Case, author: str
) -> None:
    away(session, people[author], since=TUESDAY)
    step(session)

    assert_refused(session, case, people[author], AuthorAbsent)


def test_who_is_away_again_from_the_next_business_minute_on_writes_no_more(
    session: Session, people: dict[str, int], case: Case
) -> None:
    """Presence is judged at the next business minute: the letter is read when its author is gone."""
    away(session, people[JONAS], since=berlin("2026-11-25 00:00"))
    step(session)

    written_by(session, case, people[JONAS], at=berlin("2026-11-24 16:00"))
    assert_refused(session, case, people[JONAS], AuthorAbsent, at=berlin("2026-11-24 21:00"))


def test_where_nobody_else_is_left_the_last_instance_may_write_even_while_away(
    session: Session, people: dict[str, int], case: Case
) -> None:
    for name in (MIRIAM, JONAS, KATHARINA, "Martina Ebert"):
        away(session, people[name], since=TUESDAY)

    mail = written_by(session, case, people["Martina Ebert"])

    assert name_of(mail) == "Martina Ebert"


@pytest.mark.parametrize("lacking", [{"answers": False}, {"answers": False, "line_e164": None, "line_shown": None}])
def test_who_does_not_answer_customers_writes_to_none(
    session: Session, people: dict[str, int], case: Case, lacking: dict[str, object]
) -> None:
    for name, value in lacking.items():
        setattr(session.get_one(Person, people[JONAS]), name, value)
    step(session)

    assert_refused(session, case, people[JONAS], AuthorDoesNotAnswer)


def test_what_goes_to_no_customer_is_open_to_everybody(session: Session, people: dict[str, int], case: Case) -> None:
    away(session, people[JONAS], since=TUESDAY)

    contacts.note(session, case, by_id=people[JONAS], text="Rückruf am Montag.", now=TEN)


def written_by(session: Session, case: Case, by_id: int, *, at: datetime = TEN) -> Mail:
    """What the customer reads when somebody replies."""
    answering.reply(session, case, by_id=by_id, text="Ein Zwischenstand.", keeps=(), step=None, now=at)
    return read(letters(session, case, LetterKind.REPLY)[-1])


def assert_refused(session: Session, case: Case, by_id: int, error: type[Refused], *, at: datetime = TEN) -> None:
    before = len(letters(session, case))
    with refused(session, error):
        written_by(session, case, by_id, at=at)
    assert len(letters(session, case)) == before


def name_of(mail: Mail) -> str:
    """The name in front of the company's."""
    return mail.sender.partition(" – ")[0].strip('"')

"""Who among the colleagues hears of an agreed time."""

from datetime import timedelta

from sqlalchemy.orm import Session

from portal.cases import agreeing, replacing
from portal.mail.letters import LetterKind
from tests.support.agreed import agreed_case, booked
from tests.support.cast import TUESDAY, away, berlin, letters, step

NOW = TUESDAY + timedelta(minutes=5)


def test_whoever_is_away_gets_no_letter_about_what_others_keep_for_them(
    session: Session, people: dict[str, int]
) -> None:
    case = agreed_case(session)
    told = len(letters(session, case, LetterKind.STAFF_APPOINTMENT))
    until = berlin("2026-11-28 00:00")
    away(session, people["Miriam Albrecht"], since=NOW, until=until, deputy_id=people["Jonas Weidner"])
    step(session)

    replacing.replace(session, case, now=NOW)
    step(session)

    assert booked(session, case).person_id == people["Jonas Weidner"]
    readers = [one.to_address for one in letters(session, case, LetterKind.STAFF_APPOINTMENT)[told:]]
    assert readers == ["j.weidner@beispielwerke.example"]


def test_whoever_will_be_away_hears_of_it_while_they_are_there(session: Session, people: dict[str, int]) -> None:
    case = agreed_case(session)
    since, until = berlin("2026-11-26 00:00"), berlin("2026-11-28 00:00")
    away(session, people["Miriam Albrecht"], since=since, until=until, deputy_id=people["Jonas Weidner"])
    step(session)

    agreeing.cancel(session, case, version=booked(session, case).version, by_id=None, now=NOW)
    step(session)

    assert letters(session, case, LetterKind.STAFF_APPOINTMENT)[-1].to_address == "m.albrecht@beispielwerke.example"

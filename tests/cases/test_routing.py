"""Routing: the account's manager, else whom the customer knows, else the least busy of the topic's team."""

from datetime import date, timedelta

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.cases import closing, directory, doubtful, drafting
from portal.cases.models import Case, Doubt, Outcome, Route, RoutedBy
from portal.customers.models import Account
from portal.mail.letters import LetterKind
from portal.mail.models import Audience
from portal.people.models import Competence, Hours, Person, Team
from tests.support.cast import (
    TUESDAY,
    away,
    berlin,
    deliver,
    letters,
    open_case,
    person,
    read,
    step,
    topic,
)

LONG_AGO = TUESDAY - timedelta(days=30)
SOUTH, SERVICE, ORDERS = "Vertrieb Süd", "Kundendienst", "Auftrag und Rechnung"


def test_the_accounts_manager_owns_the_case_of_a_known_company(session: Session, people: dict[str, int]) -> None:
    case = open_case(session, customer_number="K-10042")

    assert (case.owner_id, case.routed_by) == (people["Jonas Weidner"], RoutedBy.ACCOUNT)
    account_id = session.scalars(select(Account.id).where(Account.number == "K-10042")).one()
    assert case.customer.account_id == account_id


def test_an_unknown_customer_number_counts_for_nothing(session: Session) -> None:
    case = open_case(session, customer_number="K-99999")

    assert (case.routed_by, case.customer.account_id) == (RoutedBy.TOPIC, None)


def test_a_manager_who_has_left_owns_no_new_case(session: Session, people: dict[str, int]) -> None:
    session.get_one(Person, people["Jonas Weidner"]).left_on = TUESDAY.date()

    case = open_case(session, customer_number="K-10042")

    assert (case.owner_id, case.routed_by) == (people["Miriam Albrecht"], RoutedBy.TOPIC)


def test_a_manager_who_leaves_tomorrow_still_owns_it(session: Session, people: dict[str, int]) -> None:
    session.get_one(Person, people["Jonas Weidner"]).left_on = TUESDAY.date() + timedelta(days=1)

    case = open_case(session, customer_number="K-10042")

    assert case.owner_id == people["Jonas Weidner"]


@pytest.mark.parametrize(
    "spelling",
    ["s.krueger@haustechnik.example", "S.Krueger@Haustechnik.EXAMPLE", "skrueger+angebot@haustechnik.example"],
)
def test_a_customer_keeps_the_person_they_know_however_the_mailbox_is_spelled(
    session: Session, people: dict[str, int], spelling: str
) -> None:
    first = open_case(session)

    second = open_case(session, email=spelling)

    assert first.owner_id == people["Miriam Albrecht"]
    assert (second.owner_id, second.routed_by) == (first.owner_id, RoutedBy.KNOWN)


def test_a_customer_keeps_the_person_they_know_for_another_topic_too(session: Session) -> None:
    first = open_case(session)

    second = open_case(session, "lieferung")

    assert second.owner_id == first.owner_id


def test_the_person_of_the_newest_case_is_the_one_the_customer_knows(session: Session) -> None:
    open_case(session, "lieferung")
    newest = open_case(session)
    handed_on = open_case(session, customer_number="K-10042")

    assert open_case(session).owner_id == handed_on.owner_id != newest.owner_id


def test_a_closed_case_is_remembered(session: Session) -> None:
    first = open_case(session)
    closing.close(session, first, by_id=None, outcome=Outcome.DONE, text="", now=TUESDAY)
    step(session)

    assert open_case(session).routed_by == RoutedBy.KNOWN


def test_an_entry_that_is_no_case_makes_nobody_known(session: Session) -> None:
    open_case(session, doubt=Doubt.TOO_FAST)

    assert open_case(session).routed_by == RoutedBy.TOPIC


def test_the_manager_comes_before_the_person_the_customer_knows(session: Session, people: dict[str, int]) -> None:
    known = open_case(session)

    case = open_case(session, customer_number="K-10042")

    assert known.owner_id == people["Miriam Albrecht"]
    assert case.owner_id == people["Jonas Weidner"]


def test_a_known_person_who_no_longer_answers_customers_is_not_the_owner(session: Session) -> None:
    first = open_case(session)
    session.get_one(Person, first.owner_id).answers = False

    second = open_case(session)

    assert (second.owner_id != first.owner_id, second.routed_by) == (True, RoutedBy.TOPIC)


def test_the_postcode_chooses_the_team(session: Session) -> None:
    elsewhere = person(session, "Nora Nord", team=SERVICE, topics=("angebot",))
    session.add(route(session, "angebot", "20000", "29999", SERVICE))

    assert open_case(session, postcode="22303", email="n@neu.example").owner_id == elsewhere


@pytest.mark.parametrize("postcode", ["19999", "30000", None])
def test_outside_the_range_the_topics_own_team_takes_it(session: Session, postcode: str | None) -> None:
    elsewhere = person(session, "Nora Nord", team=SERVICE, topics=("angebot",))
    session.add(route(session, "angebot", "20000", "29999", SERVICE))

    assert open_case(session, postcode=postcode).owner_id != elsewhere


def test_a_route_holds_for_its_topic_only(session: Session, people: dict[str, int]) -> None:
    session.add(route(session, "technik", "20000", "29999", ORDERS))

    assert open_case(session, postcode="22303").owner_id == people["Miriam Albrecht"]


def test_of_two_ranges_the_one_that_begins_later_counts(session: Session) -> None:
    person(session, "Nora Nord", team=SERVICE, topics=("angebot",))
    hamburg = person(session, "Henrik Hafen", team=ORDERS, topics=("angebot",))
    session.add(route(session, "angebot", "20000", "29999", SERVICE))
    session.add(route(session, "angebot", "22000", "22999", ORDERS))

    assert open_case(session, postcode="22303").owner_id == hamburg


@pytest.mark.parametrize("found_by", ["postcode", "customer_number"])
def test_the_promise_is_the_date_that_the_form_said_whichever_team_gets_the_case(
    session: Session, people: dict[str, int], found_by: str
) -> None:
    nora = person(session, "Nora Nord", team=SERVICE, topics=("angebot",))
    session.add(route(session, "angebot", "20000", "29999", SERVICE))
    session.scalars(select(Account).where(Account.number == "K-10042")).one().manager_id = nora
    service = session.scalars(select(Team).where(Team.name == SERVICE)).one()
    session.execute(delete(Hours).where(Hours.team_id == service.id))
    session.add_all(Hours(team_id=service.id, weekday=day, from_minute=600, until_minute=960) for day in range(5))
    step(session)
    offers = drafting.promised(session, language="de", now=TUESDAY)
    (said,) = [offer.due_at for offer in offers if offer.topic.slug == "angebot"]

    case = open_case(session, **{found_by: {"postcode": "22303", "customer_number": "K-10042"}[found_by]})

    assert case.owner_id == nora
    assert case.promise is not None
    assert case.promise.due_at == said == berlin("2026-11-25 16:30")
    assert "bis Mittwoch, 25. November, 16:30 Uhr" in read(letters(session, case)[0]).text


@pytest.mark.parametrize(
    ("left_on", "at", "stays"),
    [
        (date(2026, 11, 25), "2026-11-25 00:30", False),  # 23:30 of the day before in UTC
        (date(2026, 11, 25), "2026-11-24 23:30", True),
    ],
)
def test_the_first_day_without_somebody_begins_where_their_team_is(
    session: Session, people: dict[str, int], left_on: date, at: str, stays: bool
) -> None:
    session.get_one(Person, people["Jonas Weidner"]).left_on = left_on

    case = open_case(session, at=berlin(at), customer_number="K-10042")

    assert (case.routed_by == RoutedBy.ACCOUNT) is stays


def test_the_member_with_the_fewest_open_cases_gets_the_next_one(session: Session, people: dict[str, int]) -> None:
    owners = [open_case(session, email=f"{number}@neu.example").owner_id for number in range(4)]

    names = ["Miriam Albrecht", "Jonas Weidner", "Dr. Katharina Voss", "Miriam Albrecht"]
    assert owners == [people[name] for name in names]


def test_closed_cases_are_no_load(session: Session, people: dict[str, int]) -> None:
    first = open_case(session, email="1@neu.example")
    closing.close(session, first, by_id=None, outcome=Outcome.DONE, text="", now=TUESDAY)
    step(session)

    assert open_case(session, email="2@neu.example").owner_id == first.owner_id == people["Miriam Albrecht"]


def test_a_new_customer_never_gets_somebody_who_is_away(session: Session, people: dict[str, int]) -> None:
    away(session, people["Miriam Albrecht"], since=LONG_AGO, deputy_id=people["Dr. Katharina Voss"])

    assert open_case(session).owner_id == people["Jonas Weidner"]


def test_absence_is_judged_at_the_teams_next_business_minute(session: Session, people: dict[str, int]) -> None:
    """Robert Kessler works Monday to Wednesday; what comes on Wednesday evening is Thursday's work."""
    for name in ("Sandra Neumann", "Petra Lindner"):
        burden(session, people[name])

    in_time = open_case(session, "rechnung", at=berlin("2026-11-25 13:00"), email="1@neu.example")
    late = open_case(session, "rechnung", at=berlin("2026-11-25 20:00"), email="2@neu.example")

    assert in_time.owner_id == people["Robert Kessler"]
    assert late.owner_id != people["Robert Kessler"]


def test_a_holiday_of_ones_own_place_is_an_absence(session: Session, people: dict[str, int]) -> None:
    session.get_one(Person, people["Miriam Albrecht"]).place = "DE-SN"

    case = open_case(session, at=berlin("2026-11-18 10:00"))

    assert case.owner_id == people["Jonas Weidner"]


def test_only_who_is_competent_for_the_topic_may_own_it(session: Session, people: dict[str, int]) -> None:
    for name in ("Sandra Neumann", "Petra Lindner"):
        burden(session, people[name])

    assert open_case(session, "lieferung", email="1@neu.example").owner_id != people["Robert Kessler"]


def test_who_does_not_answer_customers_gets_no_case(session: Session, people: dict[str, int]) -> None:
    session.get_one(Person, people["Miriam Albrecht"]).answers = False

    assert open_case(session).owner_id == people["Jonas Weidner"]


def test_an_absent_manager_stays_the_owner(session: Session, people: dict[str, int]) -> None:
    away(session, people["Jonas Weidner"], since=LONG_AGO)

    case = open_case(session, customer_number="K-10042")

    assert case.owner_id == people["Jonas Weidner"]
    assert case.promise is not None
    assert case.promise.person_id == people["Jonas Weidner"]


def test_the_deputy_of_an_absent_manager_acts_and_signs_in_their_place(
    session: Session, people: dict[str, int]
) -> None:
    away(session, people["Jonas Weidner"], since=LONG_AGO)

    case = open_case(session, customer_number="K-10042")

    to_customer, to_staff = letters(session, case)
    mail = read(to_customer)
    assert "Miriam Albrecht – Beispielwerke" in mail.sender
    assert mail.reply_to == "m.albrecht@beispielwerke.example"
    assert "in Vertretung für Jonas Weidner" in mail.text
    assert "Miriam Albrecht antwortet bis" in mail.text
    assert (to_customer.person_id, to_staff.to_address) == (people["Miriam Albrecht"], mail.reply_to)
    assert "Sie vertreten dabei Jonas Weidner." in read(to_staff).text


def test_the_date_does_not_change_with_whoever_acts(session: Session, people: dict[str, int]) -> None:
    """Petra Lindner works in another place, with other hours and other holidays."""
    present = open_case(session, at=berlin("2026-11-17 09:12"), customer_number="K-10042")
    session.add(Competence(person_id=people["Petra Lindner"], topic_id=topic(session, "angebot").id))
    away(session, people["Jonas Weidner"], since=LONG_AGO, deputy_id=people["Petra Lindner"])

    acted_for = open_case(session, at=berlin("2026-11-17 09:12"), customer_number="K-10042")

    assert present.promise is not None
    assert acted_for.promise is not None
    assert acted_for.promise.due_at == present.promise.due_at == berlin("2026-11-18 16:30")
    assert "Petra Lindner – Beispielwerke" in read(letters(session, acted_for)[0]).sender


def test_no_letter_says_why_somebody_is_away(session: Session, people: dict[str, int]) -> None:
    away(session, people["Jonas Weidner"], since=LONG_AGO)

    case = open_case(session, customer_number="K-10042")

    told = " ".join(read(letter).everything for letter in letters(session, case)).lower()
    assert [word for word in ("krank", "urlaub", "abwesen", "nicht da", "verhindert") if word in told] == []


def test_the_deputy_named_for_the_absence_comes_before_the_standing_one(
    session: Session, people: dict[str, int]
) -> None:
    away(session, people["Jonas Weidner"], since=LONG_AGO, deputy_id=people["Dr. Katharina Voss"])

    case = open_case(session, customer_number="K-10042")

    assert "Dr. Katharina Voss – Beispielwerke" in read(letters(session, case)[0]).sender


def test_a_known_person_who_is_away_stays_the_owner_too(session: Session, people: dict[str, int]) -> None:
    first = open_case(session)
    away(session, people["Miriam Albrecht"], since=LONG_AGO)

    second = open_case(session)

    assert (second.owner_id, second.routed_by) == (first.owner_id, RoutedBy.KNOWN)


def test_without_a_present_member_the_lead_gets_the_case(session: Session, people: dict[str, int]) -> None:
    session.execute(delete(Competence).where(Competence.person_id == people["Dr. Katharina Voss"]))
    for name in ("Miriam Albrecht", "Jonas Weidner"):
        away(session, people[name], since=LONG_AGO)

    case = open_case(session)

    assert (case.owner_id, case.routed_by) == (people["Dr. Katharina Voss"], RoutedBy.TOPIC)


def test_without_the_lead_the_lead_deputy_gets_the_case(session: Session, people: dict[str, int]) -> None:
    session.get_one(Person, people["Thomas Brandt"]).deputy_id = people["Petra Lindner"]
    for name in ("Thomas Brandt", "Deniz Yılmaz", "Lena Hofmann"):
        away(session, people[name], since=LONG_AGO)

    assert open_case(session, "technik").owner_id == people["Petra Lindner"]


def test_when_the_whole_team_is_away_the_last_instance_gets_the_case(session: Session, people: dict[str, int]) -> None:
    for name in ("Thomas Brandt", "Deniz Yılmaz", "Lena Hofmann"):
        away(session, people[name], since=LONG_AGO)

    assert open_case(session, "technik").owner_id == people["Martina Ebert"]


def test_the_last_instance_gets_it_even_while_away(session: Session, people: dict[str, int]) -> None:
    for name in ("Thomas Brandt", "Deniz Yılmaz", "Lena Hofmann", "Martina Ebert"):
        away(session, people[name], since=LONG_AGO)

    assert open_case(session, "technik").owner_id == people["Martina Ebert"]


def test_a_released_entry_is_routed_when_it_is_released(session: Session, people: dict[str, int]) -> None:
    entry = open_case(session, doubt=Doubt.TOO_FAST)
    away(session, people["Miriam Albrecht"], since=TUESDAY + timedelta(minutes=10))
    step(session)

    doubtful.release(session, entry, by_id=people["Petra Lindner"], now=TUESDAY + timedelta(hours=2))

    assert entry.owner_id == people["Jonas Weidner"]


def test_whoever_acts_changes_with_the_day_and_the_owner_does_not(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    deliver(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-25 00:00"), until=berlin("2026-11-27 00:00"))
    step(session)

    days = [berlin(f"2026-11-{day} 10:00") for day in (24, 25, 26, 27)]
    acting = [directory.load(session, now=TUESDAY).acting_person(case, day).person_id for day in days]

    miriam, jonas = people["Miriam Albrecht"], people["Jonas Weidner"]
    assert acting == [miriam, jonas, jonas, miriam]
    assert case.owner_id == miriam


def test_no_letter_comes_from_somebody_who_is_away(session: Session, people: dict[str, int]) -> None:
    case = open_case(session)
    deliver(session)
    away(session, people["Miriam Albrecht"], since=berlin("2026-11-25 00:00"))
    step(session)

    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=berlin("2026-11-25 10:00"))

    (letter,) = letters(session, case, LetterKind.CLOSED, audience=Audience.CUSTOMER)
    assert "Jonas Weidner – Beispielwerke" in read(letter).sender


def burden(session: Session, person_id: int) -> None:
    """Give somebody an open case more than the others have."""
    case = open_case(session, at=berlin("2026-11-23 10:00"), email=f"burden{person_id}@neu.example")
    session.get_one(Case, case.id).owner_id = person_id
    step(session)


def route(session: Session, slug: str, first: str, last: str, team: str) -> Route:
    """A range of postcodes that a team takes for a topic."""
    team_id = session.scalars(select(Team.id).where(Team.name == team)).one()
    return Route(topic_id=topic(session, slug).id, postcode_from=first, postcode_to=last, team_id=team_id)

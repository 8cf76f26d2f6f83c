"""Presence: who is there, and who stands in for whom."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from portal.people.places import is_holiday
from portal.people.presence import (
    Absent,
    Acting,
    Colleague,
    NobodyActs,
    Roster,
    acting,
    available,
    back_at,
    is_present,
)

# Sales: Miriam leads, Ada owns, Ben and Cem stand in, Dora works until Wednesday and knows a second topic.
# Eve is the last instance, in a team of her own.
MIRIAM, ADA, BEN, CEM, DORA, EVE = range(1, 7)
SALES, BOARD = 1, 2
OFFER, INVOICE = 10, 11
THURSDAY = datetime(2026, 11, 26, 9, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_colleague(person_id: int, deputy_id: int | None = None, **differs: object) -> Colleague:
    """Somebody of the sales team in Munich who works Monday to Friday and answers offers."""
    colleague = Colleague(
        id=person_id,
        team_id=SALES,
        deputy_id=deputy_id,
        place="DE-BY",
        tz="Europe/Berlin",
        workdays=frozenset(range(5)),
        answers=True,
        left_on=None,
        topics=frozenset({OFFER}),
    )
    return replace(colleague, **differs)  # type: ignore[arg-type]  # the fields a test names


def away(
    person_id: int,
    deputy_id: int | None = None,
    *,
    start: str = "2026-11-23",
    end: str | None = "2026-11-30",
    order: int = 1,
) -> Absent:
    """An absence over the whole week around Thursday, 26 November."""
    return Absent(person_id, at(start), at(end) if end else None, deputy_id, order)


CAST = (
    make_colleague(MIRIAM),
    make_colleague(ADA, deputy_id=BEN),
    make_colleague(BEN, deputy_id=CEM),
    make_colleague(CEM),
    make_colleague(DORA, workdays=frozenset({0, 1, 2}), topics=frozenset({OFFER, INVOICE})),
    make_colleague(EVE, team_id=BOARD),
)


def make_roster(*absences: Absent, changed: tuple[Colleague, ...] = (), **differs: object) -> Roster:
    roster = Roster(
        colleagues={colleague.id: colleague for colleague in (*CAST, *changed)},
        absences=absences,
        leads={SALES: MIRIAM, BOARD: EVE},
        last_instance_id=EVE,
        is_holiday=is_holiday,
    )
    return replace(roster, **differs)  # type: ignore[arg-type]  # the fields a test names


# Who is there


def test_who_has_no_absence_and_works_that_day_is_present() -> None:
    assert is_present(make_roster(), ADA, THURSDAY)


@pytest.mark.parametrize(
    ("instant", "present"),
    [
        ("2026-11-24T08:59:59", True),
        ("2026-11-24T09:00", False),
        ("2026-11-25T16:59:59", False),
        ("2026-11-25T17:00", True),
    ],
)
def test_an_absence_begins_with_its_first_instant_and_ends_before_its_last(instant: str, present: bool) -> None:
    roster = make_roster(away(ADA, start="2026-11-24T09:00", end="2026-11-25T17:00"))

    assert is_present(roster, ADA, at(instant)) is present


def test_an_absence_without_an_end_goes_on() -> None:
    roster = make_roster(away(ADA, end=None))

    assert not is_present(roster, ADA, at("2029-06-07T10:00"))


def test_a_part_timer_is_away_on_days_without_hours_of_their_own() -> None:
    assert is_present(make_roster(), DORA, at("2026-11-25T10:00"))
    assert not is_present(make_roster(), DORA, THURSDAY)


@pytest.mark.parametrize(("place", "present"), [("DE-BY", False), ("DE-BE", True), ("AT-9", False)])
def test_a_holiday_of_their_own_place_keeps_people_away(place: str, present: bool) -> None:
    roster = make_roster(changed=(make_colleague(ADA, place=place),))
    corpus_christi = at("2026-06-04T10:00")

    assert is_present(roster, ADA, corpus_christi) is present


@pytest.mark.parametrize(("tz", "present"), [("Europe/Berlin", True), ("America/New_York", False)])
def test_the_day_is_the_one_on_their_own_wall_clock(tz: str, present: bool) -> None:
    roster = make_roster(changed=(make_colleague(ADA, tz=tz),))
    early_on_monday_in_berlin = at("2026-11-23T01:00")

    assert is_present(roster, ADA, early_on_monday_in_berlin) is present


@pytest.mark.parametrize(
    ("left_on", "present"), [(date(2026, 11, 27), True), (date(2026, 11, 26), False), (None, True)]
)
def test_who_has_left_is_away_from_that_day_on(left_on: date | None, present: bool) -> None:
    roster = make_roster(changed=(make_colleague(ADA, left_on=left_on),))

    assert is_present(roster, ADA, THURSDAY) is present


def test_nobody_unknown_is_present() -> None:
    assert not is_present(make_roster(), 99, THURSDAY)


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        is_present(make_roster(), ADA, datetime.fromisoformat("2026-11-26T09:00"))


# Until when


def test_somebody_is_back_when_the_absence_ends() -> None:
    assert back_at(make_roster(away(ADA)), ADA, THURSDAY) == at("2026-11-30")


@pytest.mark.parametrize(
    "roster",
    [
        make_roster(),
        make_roster(away(BEN)),
        make_roster(away(ADA, end=None)),
        make_roster(away(ADA, start="2026-12-01", end="2026-12-08")),
        make_roster(away(ADA), away(ADA, start="2026-11-30", end=None)),
    ],
)
def test_without_an_absence_or_a_known_end_there_is_no_day_of_return(roster: Roster) -> None:
    assert back_at(roster, ADA, THURSDAY) is None


@pytest.mark.parametrize(
    ("second", "back"),
    [
        (away(ADA, start="2026-11-25", end="2026-12-04", order=2), "2026-12-04"),
        (away(ADA, start="2026-11-25", end="2026-11-27", order=2), "2026-11-30"),
        (away(ADA, start="2026-11-30", end="2026-12-07", order=2), "2026-12-07"),
        (away(ADA, start="2026-12-01", end="2026-12-07", order=2), "2026-11-30"),
    ],
)
def test_nobody_is_back_while_another_absence_goes_on(second: Absent, back: str) -> None:
    assert back_at(make_roster(away(ADA), second), ADA, THURSDAY) == at(back)


# Who acts


def test_the_owner_acts_while_present() -> None:
    assert acting(make_roster(), ADA, THURSDAY) == Acting(ADA, for_id=None, alarm=False)


def test_the_deputy_named_for_the_absence_comes_first() -> None:
    assert acting(make_roster(away(ADA, CEM)), ADA, THURSDAY) == Acting(CEM, for_id=ADA, alarm=False)


def test_without_one_the_standing_deputy_acts() -> None:
    assert acting(make_roster(away(ADA)), ADA, THURSDAY) == Acting(BEN, for_id=ADA, alarm=False)


def test_the_standing_deputy_acts_on_a_day_off() -> None:
    roster = make_roster(changed=(make_colleague(DORA, deputy_id=CEM, workdays=frozenset({0})),))

    assert acting(roster, DORA, THURSDAY) == Acting(CEM, for_id=DORA, alarm=False)


def test_the_standing_deputy_elsewhere_acts_on_a_holiday_of_the_owner() -> None:
    roster = make_roster(changed=(make_colleague(BEN, place="DE-BE"),))

    assert acting(roster, ADA, at("2026-06-04T10:00")) == Acting(BEN, for_id=ADA, alarm=False)


def test_of_overlapping_absences_the_latest_entry_names_the_deputy() -> None:
    first = away(ADA, BEN, order=1)
    latest = away(ADA, CEM, start="2026-11-26", end="2026-11-27", order=2)

    assert acting(make_roster(latest, first), ADA, THURSDAY).person_id == CEM
    assert acting(make_roster(latest, first), ADA, at("2026-11-25T10:00")).person_id == BEN


def test_a_deputy_who_is_absent_is_followed_to_theirs() -> None:
    roster = make_roster(away(ADA, BEN), away(BEN, DORA), changed=(make_colleague(DORA),))

    assert acting(roster, ADA, THURSDAY) == Acting(DORA, for_id=ADA, alarm=False)


def test_whom_an_absent_deputy_named_comes_before_the_standing_deputy_of_the_owner() -> None:
    changed = (make_colleague(ADA, deputy_id=CEM), make_colleague(DORA))
    roster = make_roster(away(ADA, BEN), away(BEN, DORA), changed=changed)

    assert acting(roster, ADA, THURSDAY) == Acting(DORA, for_id=ADA, alarm=False)


def test_the_chain_goes_on_over_standing_deputies() -> None:
    assert acting(make_roster(away(ADA), away(BEN)), ADA, THURSDAY) == Acting(CEM, for_id=ADA, alarm=False)


def test_the_standing_deputy_acts_when_the_named_one_leads_nowhere() -> None:
    roster = make_roster(away(ADA, CEM), away(CEM))

    assert acting(roster, ADA, THURSDAY) == Acting(BEN, for_id=ADA, alarm=False)


@pytest.mark.parametrize(
    "unfit",
    [
        make_colleague(BEN, deputy_id=CEM, answers=False),
        make_colleague(BEN, deputy_id=CEM, left_on=date(2026, 1, 1)),
        make_colleague(BEN, deputy_id=CEM, topics=frozenset({INVOICE})),
        make_colleague(BEN, deputy_id=CEM, workdays=frozenset({0})),
    ],
)
def test_a_deputy_who_may_not_answer_is_skipped(unfit: Colleague) -> None:
    roster = make_roster(away(ADA), changed=(unfit,))

    assert acting(roster, ADA, THURSDAY, topic_id=OFFER) == Acting(CEM, for_id=ADA, alarm=False)


def test_no_competence_is_asked_where_no_topic_is_given() -> None:
    roster = make_roster(away(ADA), changed=(make_colleague(BEN, topics=frozenset()),))

    assert acting(roster, ADA, THURSDAY).person_id == BEN


def test_who_has_left_is_replaced_by_the_standing_deputy() -> None:
    roster = make_roster(changed=(make_colleague(ADA, deputy_id=BEN, left_on=date(2026, 10, 1)),))

    assert acting(roster, ADA, THURSDAY) == Acting(BEN, for_id=ADA, alarm=False)


@pytest.mark.parametrize(
    "roster",
    [
        # A circle of two, of three, and a deputy who is the owner.
        make_roster(away(ADA, BEN), away(BEN, ADA), changed=(make_colleague(BEN, deputy_id=ADA),)),
        make_roster(away(ADA), away(BEN), away(CEM, ADA)),
        make_roster(away(ADA, ADA), changed=(make_colleague(ADA, deputy_id=ADA),)),
        # An empty chain, and one that ends with a stranger.
        make_roster(away(ADA), changed=(make_colleague(ADA),)),
        make_roster(away(ADA, 99), changed=(make_colleague(ADA),)),
    ],
)
def test_a_circle_or_an_empty_chain_ends_with_the_team_lead_and_an_alarm(roster: Roster) -> None:
    assert acting(roster, ADA, THURSDAY, topic_id=OFFER) == Acting(MIRIAM, for_id=ADA, alarm=True)


def test_a_lead_who_is_the_named_deputy_is_no_alarm() -> None:
    assert acting(make_roster(away(ADA, MIRIAM)), ADA, THURSDAY) == Acting(MIRIAM, for_id=ADA, alarm=False)


ALONE = make_colleague(ADA)
FULL_TIME_DORA = make_colleague(DORA, topics=frozenset({OFFER, INVOICE}))


@pytest.mark.parametrize(
    "roster",
    [
        make_roster(away(ADA), away(MIRIAM), changed=(ALONE, FULL_TIME_DORA)),
        make_roster(away(ADA), changed=(ALONE, FULL_TIME_DORA, make_colleague(MIRIAM, answers=False))),
        make_roster(away(ADA), changed=(ALONE, FULL_TIME_DORA), leads={SALES: None}),
        make_roster(away(ADA), changed=(ALONE, FULL_TIME_DORA), leads={}),
    ],
)
def test_without_a_lead_the_competent_member_with_the_fewest_open_cases_acts(roster: Roster) -> None:
    load = {MIRIAM: 9, BEN: 4, CEM: 3, DORA: 3}

    assert acting(roster, ADA, THURSDAY, topic_id=OFFER, load=load) == Acting(CEM, for_id=ADA, alarm=True)
    assert acting(roster, ADA, THURSDAY, topic_id=INVOICE, load=load).person_id == DORA
    assert acting(roster, ADA, THURSDAY, load={BEN: 4, CEM: 3, MIRIAM: 9}).person_id == DORA


@pytest.mark.parametrize(
    "roster",
    [
        make_roster(away(ADA), away(MIRIAM), changed=(ALONE,)),
        make_roster(away(ADA), away(MIRIAM), away(EVE), changed=(ALONE,)),
        make_roster(away(ADA), away(MIRIAM), changed=(ALONE, make_colleague(EVE, left_on=date(2026, 1, 1)))),
    ],
)
def test_nobody_competent_ends_with_the_last_instance_present_or_not(roster: Roster) -> None:
    assert acting(roster, ADA, THURSDAY, topic_id=INVOICE) == Acting(EVE, for_id=ADA, alarm=True)


def test_the_last_instance_stands_in_for_nobody_in_cases_of_its_own() -> None:
    assert acting(make_roster(away(EVE)), EVE, THURSDAY) == Acting(EVE, for_id=None, alarm=True)


def test_an_owner_who_is_not_on_the_roster_leaves_the_case_to_the_last_instance() -> None:
    assert acting(make_roster(), 99, THURSDAY) == Acting(EVE, for_id=99, alarm=True)


def test_without_a_last_instance_nobody_acts() -> None:
    roster = make_roster(away(ADA), away(MIRIAM), changed=(ALONE,), last_instance_id=None)

    with pytest.raises(NobodyActs, match="no last instance"):
        acting(roster, ADA, THURSDAY, topic_id=INVOICE)


# Who could own a new case


def test_available_is_who_is_present_competent_and_answers() -> None:
    roster = make_roster(away(BEN), changed=(make_colleague(CEM, answers=False),))

    assert available(roster, SALES, OFFER, THURSDAY) == [MIRIAM, ADA]
    assert available(roster, SALES, OFFER, at("2026-11-25T10:00")) == [MIRIAM, ADA, DORA]
    assert available(roster, SALES, INVOICE, at("2026-11-25T10:00")) == [DORA]
    assert available(roster, SALES, INVOICE, THURSDAY) == []
    assert available(roster, BOARD, None, THURSDAY) == [EVE]

"""The ladder: reminded, then a new date before the old one passes, then the lead, and never an end in silence."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import absences, answering, calling, contacts, delaying, planning, promising, reminding, scheduling
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.models import Case
from portal.cases.promising import NewPromise
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, LetterState
from portal.people.models import Closure, ClosureKind, Person, Team
from portal.promises.models import Medium, PromiseKind, PromiseState
from tests.support.cast import (
    TUESDAY,
    all_promises,
    away,
    berlin,
    deliver,
    entries,
    kinds_of,
    letters,
    open_case,
    open_promises,
    promise_of,
    read,
    refused,
    step,
)

REMINDER = berlin("2026-11-25 12:30")
NOTICE = berlin("2026-11-25 15:30")
"""An hour before the reply that was promised for Wednesday, 16:30."""
SECOND = berlin("2026-11-27 13:30")
THIRD = berlin("2026-12-01 13:30")
REASON = "Das Werk bestätigt die Lieferzeit erst am Freitag."


@pytest.fixture
def case(session: Session) -> Iterator[Case]:
    """An offer that Miriam Albrecht answers by Wednesday, 16:30; everything that was written has arrived."""
    case = open_case(session)
    deliver(session)
    yield case


# --- the first notice ------------------------------------------------------------------------------------------------


def test_a_notice_moves_the_date_before_it_passes_and_says_so(session: Session, case: Case) -> None:
    notice(session, case)

    old, new = all_promises(session, case)
    (letter,) = letters(session, case, LetterKind.DELAY_NOTICE)
    mail = read(letter)
    assert (old.state, old.ended_at, new.replaces_id) == (PromiseState.MOVED, NOTICE, old.id)
    assert (new.due_at, new.first_due_at) == (berlin("2026-11-27 14:30"), berlin("2026-11-25 16:30"))
    assert case.promise_id == new.id
    assert letter.promise_id == new.id and letter.key == f"delay:{old.id}"
    assert "Miriam Albrecht – Beispielwerke" in mail.sender
    assert "Mittwoch, 25. November, 16:30 Uhr" in mail.text and "Freitag, 27. November, 14:30 Uhr" in mail.text
    assert "089 99998-214" in mail.text and "/s/" in mail.text


def test_the_person_hears_that_the_customer_was_told(session: Session, case: Case) -> None:
    notice(session, case)

    (letter,) = letters(session, case, LetterKind.STAFF_DELAYED)
    assert letter.to_address == "m.albrecht@beispielwerke.example"
    assert "Freitag, 27. November, 14:30 Uhr" in read(letter).text


def test_a_notice_is_in_the_journal_and_the_customer_sees_the_new_date(session: Session, case: Case) -> None:
    notice(session, case)

    (moved,) = entries(session, case, Kind.PROMISE_MOVED)
    (noticed,) = entries(session, case, Kind.NOTICE)
    assert moved.visible and moved.facts["before"] == berlin("2026-11-25 16:30").isoformat()
    assert not noticed.visible and noticed.facts == {"number": 1}
    assert (case.notices, case.noticed_at) == (1, NOTICE)


def test_nothing_happens_a_minute_before(session: Session, case: Case) -> None:
    notice(session, case, at=NOTICE - timedelta(minutes=1))

    assert letters(session, case, LetterKind.DELAY_NOTICE) == []
    assert case.notices == 0


def test_a_promise_kept_a_second_before_gets_no_notice(session: Session, case: Case) -> None:
    answer(session, case, at=NOTICE - timedelta(seconds=1))

    notice(session, case)

    assert letters(session, case, LetterKind.DELAY_NOTICE, LetterKind.STAFF_DELAYED) == []


def test_a_notice_comes_once_however_often_the_step_runs(session: Session, case: Case) -> None:
    for _ in range(3):
        notice(session, case)

    assert len(letters(session, case, LetterKind.DELAY_NOTICE)) == 1
    assert len(all_promises(session, case)) == 2


def test_an_unsent_letter_with_the_old_date_does_not_leave(session: Session) -> None:
    """The confirmation says more than the date: it is written anew; the colleague's letter is withdrawn."""
    case = open_case(session)

    delaying.give_notice(session, case, now=NOTICE)
    step(session)

    first, to_staff = letters(session, case, states=tuple(LetterState))[:2]
    assert (first.kind, first.state, first.valid_until) == (LetterKind.CONFIRMATION, LetterState.QUEUED, NOTICE)
    assert to_staff.state == LetterState.WITHDRAWN


def test_a_date_that_passed_while_the_worker_was_down_is_owned_up_to(session: Session, case: Case) -> None:
    late = berlin("2026-11-27 09:00")

    notice(session, case, at=late)

    text = read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text
    assert "verstrichen, ohne dass wir Ihnen vorher Bescheid gesagt haben" in text
    assert open_promises(session, case)[0].due_at > late


def test_whoever_acts_signs_the_notice(session: Session, case: Case, people: dict[str, int]) -> None:
    away(session, people["Miriam Albrecht"], since=REMINDER, deputy_id=people["Jonas Weidner"])

    notice(session, case)

    mail = read(letters(session, case, LetterKind.DELAY_NOTICE)[0])
    assert "Jonas Weidner – Beispielwerke" in mail.sender
    assert "Jonas Weidner antwortet bis" in mail.text


def test_a_customer_who_reads_english_gets_it_in_english(session: Session) -> None:
    case = open_case(session, language="en")
    deliver(session)

    notice(session, case)

    assert "2:30 pm on Friday 27 November" in read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text


def test_whoever_has_no_address_is_called_about_the_new_date(session: Session, case: Case) -> None:
    case.customer.email, case.customer.email_key = None, None

    notice(session, case)

    call, moved = promise_of(session, case, PromiseKind.CALL), promise_of(session, case, PromiseKind.REPLY)
    (told,) = letters(session, case, LetterKind.STAFF_UNDELIVERABLE)
    assert call.due_at > NOTICE and moved.given_at == NOTICE
    assert "„Verzögerungsmeldung“ an Sabine Krüger konnten wir nicht schicken." in " ".join(read(told).text.split())
    assert letters(session, case, LetterKind.DELAY_NOTICE) == []
    assert letters(session, case, LetterKind.STAFF_DELAYED) == []  # it would say that a notice had been sent


def test_a_lead_is_not_said_to_be_named_where_there_is_no_address(session: Session, case: Case) -> None:
    case.customer.email, case.customer.email_key = None, None

    for _ in range(3):
        notice(session, case, at=min(promise.notice_at for promise in open_promises(session, case)))

    beside, over = (read(letter).text for letter in letters(session, case, LetterKind.STAFF_ESCALATION))
    assert "Zuständig bleibt" in beside and "ab jetzt Ihre" in over
    assert "nennt" not in beside + over


def test_the_call_that_nobody_makes_is_moved_like_any_other_and_becomes_no_second_one(
    session: Session, case: Case
) -> None:
    case.customer.email, case.customer.email_key = None, None

    for _ in range(4):
        notice(session, case, at=min(promise.notice_at for promise in open_promises(session, case)))

    assert sorted(promise.kind for promise in open_promises(session, case)) == [PromiseKind.CALL, PromiseKind.REPLY]


# --- several promises ------------------------------------------------------------------------------------------------


def test_one_letter_moves_every_promise_whose_notice_falls_into_the_day(session: Session, case: Case) -> None:
    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-25 17:00"), "Lieferzeit"))

    notice(session, case)

    mail = read(letters(session, case, LetterKind.DELAY_NOTICE)[0])
    assert [promise.state for promise in all_promises(session, case)].count(PromiseState.MOVED) == 2
    assert "Mittwoch, 25. November, 16:30 Uhr" in mail.text and "Mittwoch, 25. November, 17 Uhr" in mail.text
    assert "Lieferzeit" in mail.text
    assert case.notices == 1


def test_a_promise_of_another_day_stays(session: Session, case: Case) -> None:
    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-26 12:00")))

    notice(session, case)

    result = promise_of(session, case, PromiseKind.RESULT)
    assert result.due_at == berlin("2026-11-26 12:00")
    assert case.promise_id == result.id
    assert "Donnerstag, 26. November, 12 Uhr" in read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text


def test_there_is_one_notice_a_day_and_no_promise_is_swallowed_by_that(session: Session, case: Case) -> None:
    """However short the time between updates is, the next notice falls on another day, and before its date."""
    level(session, answer_min=240, update_min=60)
    case = open_case(session, at=berlin("2026-11-25 08:00"))
    promise = open_promises(session, case)[0]

    notice(session, case, at=promise.notice_at)

    new = open_promises(session, case)[0]
    assert promise.notice_at < new.notice_at < new.due_at
    assert new.notice_at.date() > promise.notice_at.date()


def test_a_date_of_the_same_day_is_refused_after_a_notice(session: Session, case: Case) -> None:
    level(session, answer_min=120, update_min=480)
    case = open_case(session, at=berlin("2026-11-25 08:00"))
    at = open_promises(session, case)[0].notice_at
    notice(session, case, at=at)

    with refused(session, scheduling.NoticedToday):
        give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-25 16:00")), at=at)

    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-26 16:00")), at=at)


def test_a_second_notice_of_a_day_waits_for_the_next_where_the_date_allows(session: Session, case: Case) -> None:
    case.noticed_at = berlin("2026-11-25 09:00")
    promise = open_promises(session, case)[0]
    promise.due_at, promise.notice_at = berlin("2026-11-26 16:00"), NOTICE
    step(session)

    notice(session, case)

    assert letters(session, case, LetterKind.DELAY_NOTICE) == []
    assert open_promises(session, case)[0].notice_at == berlin("2026-11-26 07:00")


def test_a_date_that_would_pass_in_silence_gets_even_a_second_notice_of_a_day(session: Session, case: Case) -> None:
    case.noticed_at = berlin("2026-11-25 09:00")
    step(session)

    notice(session, case)

    assert len(letters(session, case, LetterKind.DELAY_NOTICE)) == 1


# --- the person's date and words -------------------------------------------------------------------------------------


def test_the_reason_is_read_on_every_rung(session: Session, case: Case) -> None:
    notices(session, case, NOTICE, SECOND)
    plan(session, case, None, at=THIRD - timedelta(hours=2))

    notice(session, case, at=THIRD)

    assert REASON in read(letters(session, case, LetterKind.LEAD_TAKES_OVER)[0]).text


def test_of_two_promises_each_has_its_own_reason(session: Session, case: Case) -> None:
    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-25 16:00")))
    for number, promise in enumerate(open_promises(session, case)):
        plan(session, case, None, at=berlin("2026-11-25 12:00"), promise_id=promise.id, reason=f"Grund {number}.")

    notice(session, case)

    text = read(letters(session, case, LetterKind.DELAY_NOTICE)[0]).text
    assert "Grund 0." in text and "Grund 1." in text


def test_a_notice_of_another_promise_takes_a_planned_date_along_with_its_reason(session: Session, case: Case) -> None:
    """One letter a day names every date that moves: the quarter of an hour to change it ends with that letter."""
    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-11-25 15:00")))
    to = berlin("2026-11-27 11:00")
    tells_at = plan(session, case, to, at=berlin("2026-11-25 13:58"))

    notice(session, case, at=berlin("2026-11-25 14:00"))
    notice(session, case, at=tells_at)

    (mail,) = letters(session, case, LetterKind.DELAY_NOTICE)
    assert promise_of(session, case, PromiseKind.REPLY).due_at == to
    assert REASON in read(mail).text and "Freitag, 27. November, 11 Uhr" in read(mail).text
    assert case.notices == 1


@pytest.mark.parametrize(
    ("other_due", "to", "planned_at", "noticed_at"),
    [
        ("2026-11-25 15:00", "2026-11-25 17:00", "2026-11-25 13:58", "2026-11-25 14:00"),
        ("2026-11-25 13:00", "2026-11-27 15:00", "2026-11-25 09:30", "2026-11-27 09:00"),
    ],
    ids=["on the same day", "after two days without a worker"],
)
def test_a_planned_date_that_would_need_a_second_notice_on_one_day_gives_way(
    session: Session, case: Case, other_due: str, to: str, planned_at: str, noticed_at: str
) -> None:
    give(session, case, NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin(other_due)))
    plan(session, case, berlin(to), at=berlin(planned_at))

    notice(session, case, at=berlin(noticed_at))

    assert len(letters(session, case, LetterKind.DELAY_NOTICE)) == 1
    midnight = berlin(f"{noticed_at[:10]} 23:59")
    assert min(one.notice_at for one in open_promises(session, case)) > midnight


def test_what_people_planned_on_one_day_goes_out_in_one_letter(session: Session, case: Case) -> None:
    give(session, case, NewPromise(PromiseKind.CALL, Medium.CALL, berlin("2026-11-25 16:00")))
    reply, call = promise_of(session, case, PromiseKind.REPLY), promise_of(session, case, PromiseKind.CALL)
    first, second = berlin("2026-11-26 11:00"), berlin("2026-11-27 12:00")
    tells_at = plan(session, case, first, at=berlin("2026-11-25 10:00"), promise_id=reply.id)
    plan(session, case, second, at=berlin("2026-11-25 10:04"), promise_id=call.id)

    notice(session, case, at=tells_at)

    assert {one.due_at for one in open_promises(session, case)} == {first, second}
    assert len(letters(session, case, LetterKind.DELAY_NOTICE)) == 1
    assert (case.notices, case.noticed_at) == (0, None)


def test_a_planned_date_that_passed_meanwhile_is_the_systems_to_move_and_leaves_a_day(
    session: Session, case: Case
) -> None:
    plan(session, case, berlin("2026-11-26 10:00"), at=berlin("2026-11-25 10:00"))
    back = berlin("2026-11-27 07:00")

    notice(session, case, at=back)

    promise = promise_of(session, case, PromiseKind.REPLY)
    assert case.noticed_at == back
    assert promise.notice_at > berlin("2026-11-28 00:00")


def test_a_planned_date_on_a_day_that_was_closed_meanwhile_is_pushed(session: Session, case: Case) -> None:
    tells_at = plan(session, case, berlin("2026-11-27 11:00"), at=berlin("2026-11-25 10:00"))
    day = date(2026, 11, 27)
    session.add(Closure(first_on=day, last_on=day, kind=ClosureKind.CLOSED))
    step(session)

    notice(session, case, at=tells_at)

    assert promise_of(session, case, PromiseKind.REPLY).due_at > berlin("2026-11-30 00:00")


# --- the lead --------------------------------------------------------------------------------------------------------


def test_the_second_in_a_row_names_the_lead_with_a_number(session: Session, case: Case) -> None:
    notices(session, case, NOTICE, SECOND)

    mail = read(letters(session, case, LetterKind.DELAY_NOTICE)[1])
    (told,) = letters(session, case, LetterKind.STAFF_ESCALATION)
    (joined,) = entries(session, case, Kind.LEAD_JOINED)
    assert "Miriam Albrecht – Beispielwerke" in mail.sender
    assert "Dr. Katharina Voss" in mail.text and "089 99998-200" in mail.text
    assert "zum zweiten Mal" in mail.text
    assert told.to_address == "k.voss@beispielwerke.example"
    assert (case.lead_since, joined.visible) == (SECOND, True)


def test_from_the_third_on_the_promise_is_the_leads(session: Session, case: Case, people: dict[str, int]) -> None:
    notices(session, case, NOTICE, SECOND, THIRD)

    (letter,) = letters(session, case, LetterKind.LEAD_TAKES_OVER)
    mail = read(letter)
    assert open_promises(session, case)[0].person_id == people["Dr. Katharina Voss"]
    assert "Dr. Katharina Voss – Beispielwerke" in mail.sender
    assert "bisher war Miriam Albrecht für Sie da" in mail.text
    assert mail.reply_to == "k.voss@beispielwerke.example"
    assert case.owner_id == people["Miriam Albrecht"]
    assert read(letters(session, case, LetterKind.STAFF_ESCALATION)[1]).text.count("ist ab jetzt Ihre") == 1


def test_until_then_it_was_with_whoever_really_acted(session: Session, case: Case, people: dict[str, int]) -> None:
    """The customer knows the first date alone, and whose it was; they have been ill since."""
    notices(session, case, NOTICE, SECOND)
    away(session, people["Miriam Albrecht"], since=SECOND + timedelta(minutes=5), deputy_id=people["Jonas Weidner"])
    step(session)

    notice(session, case, at=THIRD)

    text = read(letters(session, case, LetterKind.LEAD_TAKES_OVER)[0]).text
    assert "bisher war Jonas Weidner für Sie da" in text
    assert "Miriam Albrecht" not in text


def test_then_the_leads_deputy_then_the_last_instance_and_it_never_ends(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    named = []
    for _ in range(7):
        notice(session, case, at=open_promises(session, case)[0].notice_at)
        named.append(open_promises(session, case)[0].person_id)

    owner, lead = people["Miriam Albrecht"], people["Dr. Katharina Voss"]
    deputy, last = people["Jonas Weidner"], people["Martina Ebert"]
    assert named == [owner, owner, lead, deputy, last, last, last]
    assert len(letters(session, case, LetterKind.LEAD_TAKES_OVER)) == 5
    assert "Martina Ebert kümmert sich weiter" in read(letters(session, case, LetterKind.LEAD_TAKES_OVER)[-1]).text


def test_where_the_owner_is_the_lead_it_starts_with_the_leads_deputy(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    case.owner_id = people["Dr. Katharina Voss"]
    open_promises(session, case)[0].person_id = people["Dr. Katharina Voss"]
    step(session)

    notices(session, case, NOTICE, SECOND, THIRD)

    assert open_promises(session, case)[0].person_id == people["Jonas Weidner"]


def test_a_lead_who_is_away_is_passed_over(session: Session, case: Case, people: dict[str, int]) -> None:
    notices(session, case, NOTICE, SECOND)
    away(session, people["Dr. Katharina Voss"], since=SECOND)

    notice(session, case, at=THIRD)

    assert open_promises(session, case)[0].person_id == people["Jonas Weidner"]
    assert "Jonas Weidner – Beispielwerke" in read(letters(session, case, LetterKind.LEAD_TAKES_OVER)[0]).sender


def test_a_team_without_a_lead_goes_to_the_last_instance(session: Session, case: Case, people: dict[str, int]) -> None:
    team = session.get_one(Team, session.get_one(Person, people["Miriam Albrecht"]).team_id)
    team.lead_id = None
    step(session)

    notices(session, case, NOTICE, SECOND, THIRD)

    assert open_promises(session, case)[0].person_id == people["Martina Ebert"]


def test_a_kept_promise_sets_the_ladder_back(session: Session, case: Case) -> None:
    notices(session, case, NOTICE, SECOND)

    answer(session, case, at=SECOND + timedelta(hours=1))
    result = NewPromise(PromiseKind.RESULT, Medium.MAIL, berlin("2026-12-02 12:00"))
    give(session, case, result, at=berlin("2026-11-30 09:00"))
    notice(session, case, at=promise_of(session, case, PromiseKind.RESULT).notice_at)

    assert case.notices == 1
    assert read(letters(session, case, LetterKind.DELAY_NOTICE)[-1]).text.count("zum zweiten Mal") == 0


def test_the_lead_may_call_from_the_second_notice_on(session: Session, case: Case, people: dict[str, int]) -> None:
    lead = people["Dr. Katharina Voss"]
    directory = directories.load(session, now=SECOND)
    assert lead not in calling.may_call(directory, case, None, now=NOTICE)

    notices(session, case, NOTICE, SECOND)

    assert lead in calling.may_call(directories.load(session, now=SECOND), case, None, now=SECOND)


# --- the reminder ----------------------------------------------------------------------------------------------------


def test_the_acting_person_is_reminded_and_led_to_the_choices(session: Session, case: Case) -> None:
    remind(session, case)

    (letter,) = letters(session, case, LetterKind.STAFF_REMINDER)
    text = read(letter).text
    assert letter.to_address == "m.albrecht@beispielwerke.example"
    assert text.index("Anrufen und einen Zwischenstand geben") < text.index("neues Datum mit Grund")
    assert "Mittwoch, 25. November, 15:30 Uhr" in text  # when the customer will be told
    assert f"/staff/cases/{case.reference}/choices" in text


def test_a_reminder_goes_to_whoever_is_there(session: Session, case: Case, people: dict[str, int]) -> None:
    away(session, people["Miriam Albrecht"], since=TUESDAY, deputy_id=people["Jonas Weidner"])

    remind(session, case)

    assert letters(session, case, LetterKind.STAFF_REMINDER)[0].to_address == "j.weidner@beispielwerke.example"


def test_whoever_stands_in_suddenly_is_reminded_too(session: Session, case: Case, people: dict[str, int]) -> None:
    remind(session, case)
    sudden = REMINDER + timedelta(hours=1)

    for _ in range(2):  # entered twice, it reminds once
        absences.enter(
            session,
            person_id=people["Miriam Albrecht"],
            starts_at=sudden,
            ends_at=None,
            deputy_id=people["Jonas Weidner"],
            by_id=people["Dr. Katharina Voss"],
            now=sudden,
        )
        step(session)
        remind(session, case, at=sudden)

    assert [letter.to_address for letter in letters(session, case, LetterKind.STAFF_REMINDER)] == [
        "m.albrecht@beispielwerke.example",
        "j.weidner@beispielwerke.example",
    ]


@pytest.mark.parametrize("entered", ["before", "afterwards"])
def test_whoever_stands_in_as_planned_is_reminded_too_and_once(
    session: Session, case: Case, people: dict[str, int], entered: str
) -> None:
    goes = REMINDER + timedelta(hours=1)
    for moment in ("before", "afterwards"):
        if moment == entered:
            absences.enter(
                session,
                person_id=people["Miriam Albrecht"],
                starts_at=goes,
                ends_at=None,
                deputy_id=people["Jonas Weidner"],
                by_id=people["Dr. Katharina Voss"],
                now=REMINDER,
            )
            step(session)
        for _ in range(2):
            remind(session, case)
    assert len(letters(session, case, LetterKind.STAFF_REMINDER)) == 1

    for _ in range(2):
        remind(session, case, at=goes)

    assert [letter.to_address for letter in letters(session, case, LetterKind.STAFF_REMINDER)] == [
        "m.albrecht@beispielwerke.example",
        "j.weidner@beispielwerke.example",
    ]


def test_an_absence_that_begins_before_a_planned_one_reminds_whoever_acts_then(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    away(session, people["Miriam Albrecht"], since=REMINDER + timedelta(hours=2), deputy_id=people["Jonas Weidner"])
    remind(session, case)
    sooner = REMINDER + timedelta(hours=1)
    enter = {"ends_at": None, "deputy_id": None, "by_id": people["Dr. Katharina Voss"], "now": REMINDER}
    absences.enter(session, person_id=people["Miriam Albrecht"], starts_at=sooner, **enter)
    absences.enter(session, person_id=people["Jonas Weidner"], starts_at=REMINDER + timedelta(hours=2), **enter)
    step(session)

    for at in (sooner, REMINDER + timedelta(hours=2)):
        remind(session, case, at=at)

    to = [letter.to_address for letter in letters(session, case, LetterKind.STAFF_REMINDER)]
    assert to[:2] == ["m.albrecht@beispielwerke.example", "j.weidner@beispielwerke.example"]
    assert len(set(to)) == 3, "whoever acts for both"


def test_whoever_comes_back_before_the_notice_is_reminded_too(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    back = REMINDER + timedelta(hours=2)
    away(session, people["Miriam Albrecht"], since=TUESDAY, until=back, deputy_id=people["Jonas Weidner"])

    for at in (REMINDER, back - timedelta(minutes=1), back):
        remind(session, case, at=at)

    assert [letter.to_address for letter in letters(session, case, LetterKind.STAFF_REMINDER)] == [
        "j.weidner@beispielwerke.example",
        "m.albrecht@beispielwerke.example",
    ]


def test_an_absence_that_begins_with_the_notice_reminds_nobody(
    session: Session, case: Case, people: dict[str, int]
) -> None:
    away(session, people["Miriam Albrecht"], since=NOTICE, deputy_id=people["Jonas Weidner"])
    remind(session, case)

    (promise,) = open_promises(session, case)

    assert promise.reminded_at == REMINDER


def test_a_reminder_comes_once_and_not_before_its_time(session: Session, case: Case) -> None:
    remind(session, case, at=REMINDER - timedelta(minutes=1))
    assert letters(session, case, LetterKind.STAFF_REMINDER) == []

    for _ in range(3):
        remind(session, case)

    assert len(letters(session, case, LetterKind.STAFF_REMINDER)) == 1


def test_nobody_is_reminded_of_what_is_kept(session: Session, case: Case) -> None:
    answer(session, case, at=TUESDAY + timedelta(hours=1))

    remind(session, case)

    assert letters(session, case, LetterKind.STAFF_REMINDER) == []


def test_where_the_notice_is_due_too_the_reminder_is_left_out(session: Session, case: Case) -> None:
    remind(session, case, at=NOTICE)

    assert letters(session, case, LetterKind.STAFF_REMINDER) == []


# --- a call lights the dark, but keeps nothing -----------------------------------------------------------------------


def test_a_call_that_reached_nobody_keeps_nothing_and_the_notice_comes(session: Session, case: Case) -> None:
    contacts.log_contact(
        session,
        case,
        by_id=case.owner_id or 0,
        contact=Contact.CALL_NOT_REACHED,
        text="",
        at=REMINDER,
        keeps=frozenset(),
        step=None,
        visible=False,
        now=REMINDER,
    )
    step(session)

    notice(session, case)

    assert len(letters(session, case, LetterKind.DELAY_NOTICE)) == 1


def test_every_letter_of_the_ladder_to_a_customer_states_the_next_step_of_the_page(
    session: Session, case: Case
) -> None:
    for _ in range(5):
        notice(session, case, at=open_promises(session, case)[0].notice_at)
        newest = letters(session, case, audience=Audience.CUSTOMER)[-1]
        assert newest.promise_id == case.promise_id

    assert kinds_of(letters(session, case, audience=Audience.CUSTOMER))[-3:] == ["lead_takes_over"] * 3


# --- helpers ---------------------------------------------------------------------------------------------------------


def notice(session: Session, case: Case, *, at: datetime = NOTICE) -> None:
    """The worker's step, and all letters arrive."""
    delaying.give_notice(session, case, now=at)
    step(session)
    deliver(session, at=at)


def plan(
    session: Session,
    case: Case,
    to: datetime | None,
    *,
    at: datetime,
    promise_id: int | None = None,
    reason: str = REASON,
) -> datetime:
    """The person plans a date, or says a reason; when the customer is told."""
    promise_id = promise_id or promise_of(session, case, PromiseKind.REPLY).id
    tells_at = planning.plan_move(
        session, case, promise_id=promise_id, by_id=case.owner_id or 0, to=to, reason=reason, now=at
    )
    step(session)
    return tells_at


def notices(session: Session, case: Case, *instants: datetime) -> None:
    for at in instants:
        notice(session, case, at=at)


def remind(session: Session, case: Case, *, at: datetime = REMINDER) -> None:
    reminding.remind(session, case, now=at)
    step(session)


def give(session: Session, case: Case, next_step: NewPromise, *, at: datetime = TUESDAY) -> None:
    promising.promise_date(session, case, by_id=case.owner_id or 0, step=next_step, now=at)
    step(session)
    deliver(session, at=at)


def answer(session: Session, case: Case, *, at: datetime) -> None:
    """The reply that was promised, with a result to come later."""
    later = NewPromise(PromiseKind.FOLLOW_UP, Medium.MAIL, berlin("2026-12-10 12:00"))
    keeps = {promise_of(session, case, PromiseKind.REPLY).id}
    answering.reply(session, case, by_id=case.owner_id or 0, text="Bitte sehr.", keeps=keeps, step=later, now=at)
    step(session)
    deliver(session, at=at)


def level(session: Session, **minutes: int) -> None:
    """Every service level promises this from now on."""
    from portal.promises.models import ServiceLevel

    for row in session.query(ServiceLevel):
        for name, value in {"remind_min": 30, "notice_min": 60, **minutes}.items():
            setattr(row, name, value)
    step(session)

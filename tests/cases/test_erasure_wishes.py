"""The customer asks for deletion: confirmed through the mailbox, on a named date, taken back until then (law 8)."""

import json
from datetime import date, timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import (
    agreeing,
    answering,
    closing,
    contacts,
    delaying,
    erasing,
    erasure_wishes,
    exporting,
    finding,
    linking,
    planning,
    renewing,
    timeline,
    undelivered,
    writing,
)
from portal.cases.contacts import Contact
from portal.cases.erasing import BUSINESS_LETTERS
from portal.cases.errors import ErasureConfirmed, NotConfirmable, NotErasable, NotReopenable
from portal.cases.models import Case, CaseState, Outcome
from portal.cases.register import PERSONAL
from portal.journal.models import Kind
from portal.mail.letters import LetterKind
from portal.mail.models import LetterState
from tests.support.cast import berlin, deliver, entries, letters, open_case, open_promises, read, refused, step

TEN = berlin("2026-11-24 10:00")
DAY = date(2026, 12, 1)
"""A week after TEN."""
NIGHT = berlin("2026-12-01 00:05")
NAME, NUMBER = "Zyprian Zitronenfalter", "0171 3920077"


def asked(session: Session, slug: str = "lieferung", **changes: str) -> Case:
    """An open case whose customer has asked for deletion; the letter that asks to confirm it has left."""
    case = open_case(session, slug, name=NAME, phone_shown=NUMBER, phone_e164="+491713920077", **changes)
    deliver(session)
    erasure_wishes.ask(session, case, now=TEN)
    deliver(session)
    return case


def confirmed(session: Session, slug: str = "lieferung") -> Case:
    """The same, confirmed at once."""
    case = asked(session, slug)
    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=TEN)
    step(session)
    return case


def test_asking_changes_nothing_but_sends_a_letter_to_the_mailbox(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)

    erasure_wishes.ask(session, case, now=TEN)
    step(session)

    (letter,) = letters(session, case, LetterKind.ERASURE)
    mail = read(letter)
    assert (case.state, case.erase_on, mail.to) == (CaseState.OPEN, None, "s.krueger@haustechnik.example")
    assert f"/erase/{erasure_wishes.proof(case)}" in mail.text
    assert "bis Dienstag, 1. Dezember, 10 Uhr" in mail.text
    assert [entry.kind for entry in entries(session, case, Kind.ERASURE_ASKED)] == [Kind.ERASURE_ASKED]


def test_confirming_closes_an_open_case_and_names_the_date(session: Session) -> None:
    case = asked(session)

    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=TEN)
    step(session)

    assert (case.state, case.outcome, case.erase_on) == (CaseState.CLOSED, Outcome.WITHDRAWN, DAY)
    assert case.reopen_until == berlin("2026-11-30 23:59:59")
    told = [read(letter) for letter in letters(session, case, LetterKind.ERASURE, states=(LetterState.QUEUED,))]
    assert ["Am Dienstag, 1. Dezember, löschen wir Ihre Angaben." in mail.text for mail in told] == [True]
    assert "sechs Jahre" not in told[0].text
    assert letters(session, case, LetterKind.CLOSED) == []
    assert len(letters(session, case, LetterKind.STAFF_CLOSED)) == 1


def test_on_the_date_everything_is_gone(session: Session) -> None:
    case = confirmed(session)
    deliver(session)
    assert erasing.next_to_erase(session, today=DAY - timedelta(days=1)) is None
    assert erasing.next_to_erase(session, today=DAY) is case

    erasing.carry_out(session, case, now=NIGHT)
    step(session)

    assert (case.state, case.customer.name) == (CaseState.ERASED, "")


def test_a_wrong_link_confirms_nothing(session: Session) -> None:
    case = asked(session)
    other = asked(session)
    late = TEN + erasure_wishes.CONFIRM_WITHIN

    for proof, now in (
        ("nonsense", TEN),
        (finding.status_token(case), TEN),
        (erasure_wishes.proof(other), TEN),
        (erasure_wishes.proof(case), late),
    ):
        with refused(session, NotConfirmable):
            erasure_wishes.confirm(session, case, proof, now=now)

    assert case.state == CaseState.OPEN


def test_a_new_status_link_makes_the_letter_worthless(session: Session) -> None:
    case = asked(session)
    proof = erasure_wishes.proof(case)
    linking.replace_link(session, case, now=TEN)
    step(session)

    assert not erasure_wishes.proves(case, proof, now=TEN)


def test_who_asks_twice_within_an_hour_gets_one_letter_and_then_a_new_one(session: Session) -> None:
    case = asked(session)
    first = erasure_wishes.proof(case)
    erasure_wishes.ask(session, case, now=TEN + timedelta(minutes=59))
    assert len(letters(session, case, LetterKind.ERASURE)) == 1

    erasure_wishes.ask(session, case, now=TEN + timedelta(hours=1))
    step(session)

    assert len(letters(session, case, LetterKind.ERASURE)) == 2
    assert not erasure_wishes.proves(case, first, now=TEN + timedelta(hours=1))


def test_the_customer_can_take_it_back_and_retention_holds_again(session: Session) -> None:
    case = confirmed(session)

    erasure_wishes.take_back(session, case, now=berlin("2026-11-26 09:00"))
    step(session)

    assert (case.state, case.erasure_confirmed_at, case.erase_on) == (CaseState.CLOSED, None, date(2027, 5, 26))
    assert case.reopen_until == berlin("2026-12-08 23:59:59")
    (told,) = letters(session, case, LetterKind.ERASURE, states=(LetterState.QUEUED,))
    assert "Sie haben die Löschung zurückgenommen." in read(told).text
    with refused(session, NotErasable):
        erasure_wishes.take_back(session, case, now=TEN)


def test_reopening_takes_it_back_too_but_only_the_customer_may(session: Session) -> None:
    case = confirmed(session)
    with refused(session, ErasureConfirmed):
        closing.reopen(session, case, by_id=case.owner_id, text="", now=TEN)

    closing.reopen(session, case, by_id=None, text="Bitte doch.", now=TEN)
    step(session)

    assert (case.state, case.erase_on, case.erasure_confirmed_at) == (CaseState.OPEN, None, None)


def test_a_letter_that_dies_does_not_reopen_a_case_that_is_to_be_erased(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)
    closing.close(session, case, by_id=case.owner_id, outcome=Outcome.DONE, text="Erledigt.", now=TEN)
    erasure_wishes.ask(session, case, now=TEN)
    deliver(session)
    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=TEN)
    (letter,) = letters(session, case, LetterKind.CLOSED)

    undelivered.letter_died(session, letter.id, now=TEN)
    step(session)

    assert (case.state, case.erase_on) == (CaseState.CLOSED, DAY)


def test_nothing_can_be_asked_for_twice(session: Session) -> None:
    case = confirmed(session)

    with refused(session, NotErasable):
        erasure_wishes.ask(session, case, now=TEN)


def test_an_erasure_never_comes_later_than_retention_would(session: Session) -> None:
    case = open_case(session, "lieferung")
    closing.close(session, case, by_id=None, outcome=Outcome.DONE, text="", now=TEN)
    now = berlin("2027-05-24 10:00")
    erasure_wishes.ask(session, case, now=now)
    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=now)
    step(session)

    assert case.erase_on == date(2027, 5, 26)


# --- commercial correspondence ---------------------------------------------------------------------------------------


def commercial(session: Session) -> Case:
    """A case of a topic that is kept for six years, with letters and calls, confirmed for deletion."""
    case = asked(session, "angebot", postcode="80997")
    now, owner_id = TEN, case.owner_id
    answering.reply(session, case, by_id=owner_id, text="Das Angebot als Wortlaut.", keeps=(), step=None, now=now)
    contacts.note(session, case, by_id=owner_id, text="Notiz über den Kunden", now=now)
    contacts.log_contact(
        session,
        case,
        by_id=owner_id,
        contact=Contact.CALL_REACHED,
        text="Gespräch mit dem Kunden",
        at=now,
        keeps=(),
        step=None,
        visible=True,
        now=now,
    )
    deliver(session)
    erasure_wishes.confirm(session, case, erasure_wishes.proof(case), now=now)
    deliver(session)
    return case


def test_where_a_duty_keeps_letters_the_letter_says_what_stays_until_when(session: Session) -> None:
    case = commercial(session)

    told = read(letters(session, case, LetterKind.ERASURE)[-1]).text

    assert "Am Dienstag, 1. Dezember, löschen wir Ihre Angaben." in told
    assert "sechs Jahre aufbewahren. Bis Mittwoch, 24. November 2032, bleiben deshalb Ihr Name" in told


def test_on_the_date_everything_goes_but_the_business_letters(session: Session) -> None:
    case = commercial(session)

    erasing.carry_out(session, case, now=NIGHT)
    step(session)

    customer = case.customer
    assert (case.state, case.erase_on, customer.name) == (CaseState.CLOSED, date(2032, 11, 24), NAME)
    assert (customer.phone_e164, customer.phone_shown, customer.postcode, customer.email_key) == (None,) * 4
    said = {entry.kind: entry.text for entry in entries(session, case) if entry.text}
    assert said == {Kind.RECEIVED: "Wir brauchen 40 Umwälzpumpen.", Kind.REPLY: "Das Angebot als Wortlaut."}
    kept = {letter.kind for letter in letters(session, case, states=tuple(LetterState)) if letter.message}
    assert kept == {LetterKind.REPLY} <= BUSINESS_LETTERS
    assert entries(session, case, Kind.ERASED_PARTLY)[0].visible


def test_what_was_kept_goes_when_its_retention_has_passed(session: Session) -> None:
    case = commercial(session)
    erasing.carry_out(session, case, now=NIGHT)
    step(session)
    assert erasing.next_to_erase(session, today=date(2032, 11, 23)) is None
    assert erasing.next_to_erase(session, today=date(2032, 11, 24)) is case

    erasing.carry_out(session, case, now=berlin("2032-11-24 00:05"))
    step(session)

    assert (case.state, case.customer.name) == (CaseState.ERASED, "")
    assert {entry.text for entry in entries(session, case)} == {""}


def test_what_is_kept_is_used_for_nothing_else(session: Session) -> None:
    case = commercial(session)
    erasing.carry_out(session, case, now=NIGHT)
    step(session)

    status = timeline.status_of(session, case, now=NIGHT)

    assert status.can == {"export", "replace_link"}
    assert status.erasure is not None and status.erasure.partly
    with refused(session, NotReopenable):
        closing.reopen(session, case, by_id=case.owner_id, text="", now=NIGHT)


# --- export ----------------------------------------------------------------------------------------------------------

EXPORTED_AS = {
    "case.reachable": "reachable",
    "customer.phone_e164": "customer.phone",
    "customer.phone_shown": "customer.phone_as_typed",
    "customer.number_typed": "customer.customer_number",
    "case.outcome_text": "outcome_text",
    "entry.text": "history.text",
    "promise.what": "promises.what",
    "promise.reason": "promises.reason",
    "letter.to_address": "emails.to",
    "attachment.name": "history.files.name",
}
NOT_EXPORTED = {
    "customer.email_key",  # made from the address
    "entry.facts",  # dates, which are exported, and numbers of ours
    "letter.message",  # holds the link; what people wrote in it is in the history
    "letter.says",
    "letter.last_error",
    "submission.body_hash",
    "link_wish.email_key",
    "counter.name",
    "attachment.type",  # comes with the file itself, from the page
    "attachment.sha256",
    "attachment_data.data",
}


def test_the_customers_data_hold_every_agreed_time_and_no_colleagues_matters(session: Session) -> None:
    case, three = open_case(session, "rueckruf"), berlin("2026-11-25 15:00")
    case.reachable = "morning,afternoon"
    booked = agreeing.book(session, case, starts_at=three, by_id=None, now=TEN)
    agreeing.move(session, case, starts_at=three + timedelta(days=1), version=1, by_id=None, now=TEN)
    agreeing.cancel(session, case, version=booked.version, by_id=None, now=TEN)
    again = agreeing.book(session, case, starts_at=three, by_id=None, now=TEN)
    step(session)

    said = exporting.export(session, case, now=TEN)

    first, second = said["appointments"]
    assert (first["state"], first["starts_at"], first["moved_by_you"]) == ("cancelled", "2026-11-26T14:00:00+00:00", 1)
    assert (second["state"], second["uid"], second["ended_at"]) == ("booked", again.uid, None)
    assert (second["person"], second["medium"], second["time_zone"]) == ("Miriam Albrecht", "call", "Europe/Berlin")
    assert second["starts_at"] == "2026-11-25T14:00:00+00:00" and second["ends_at"] == "2026-11-25T14:20:00+00:00"
    assert said["reachable"] == ["morning", "afternoon"]
    assert [entry["starts_at"] for entry in said["history"] if entry["kind"] == Kind.APPOINTMENT_BOOKED] == [
        three.isoformat()
    ] * 2
    assert "late_told_at" not in json.dumps(said) and "alarmed_at" not in json.dumps(said)


def test_the_export_holds_every_personal_column_of_the_register(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)
    said = exporting.export(session, case, now=TEN)
    found = {*(f"customer.{name}" for name in said["customer"]), *said}
    found |= {f"{part}.{name}" for part in ("history", "promises", "emails") for name in said[part][0]}
    found |= {"history.files.name"}

    of_customers = {name for name in PERSONAL if PERSONAL[name].fate != "stays"}

    assert {EXPORTED_AS.get(name, name) for name in of_customers - NOT_EXPORTED} - found == set()


def test_the_export_is_all_the_customer_may_see_and_holds_no_link(session: Session) -> None:
    case = commercial(session)

    said = json.dumps(exporting.export(session, case, now=TEN), ensure_ascii=False)

    seen = (NAME, NUMBER, "80997", "Wir brauchen 40 Umwälzpumpen.", "Das Angebot als Wortlaut.", case.reference)
    assert [word for word in (*seen, "Gespräch mit dem Kunden") if word not in said] == []
    hidden = ("Notiz über den Kunden", case.link_nonce, finding.status_token(case), "/s/")
    assert [word for word in hidden if word in said] == []


def test_the_words_why_a_date_was_moved_are_exported_once_they_were_told(session: Session) -> None:
    case = open_case(session, "lieferung")
    assert case.promise is not None
    planned, why = case.promise, "Das Werk bestätigt."
    planning.plan_move(session, case, promise_id=planned.id, by_id=planned.person_id, to=None, reason=why, now=TEN)
    waiting = exporting.export(session, case, now=TEN)["promises"]
    delaying.give_notice(session, case, now=planned.notice_at)
    step(session)

    told = exporting.export(session, case, now=planned.notice_at)["promises"]

    assert [promise["reason"] for promise in waiting] == [None]
    assert [promise["reason"] for promise in told] == [why, None]


@pytest.mark.parametrize("days", [0, 7])
def test_the_page_names_the_date(session: Session, days: int) -> None:
    case = asked(session)
    now = TEN + timedelta(days=days)

    erasure = timeline.status_of(session, case, now=now).erasure

    assert erasure is not None
    assert (erasure.asked, erasure.on) == (days == 0, DAY + timedelta(days=days))


def test_with_a_new_status_link_the_letter_can_be_asked_for_again_at_once(session: Session) -> None:
    case = asked(session)
    linking.replace_link(session, case, now=TEN)
    step(session)
    view = timeline.status_of(session, case, now=TEN).erasure
    assert view is not None and not view.asked

    erasure_wishes.ask(session, case, now=TEN + timedelta(minutes=1))
    step(session)

    assert len(letters(session, case, LetterKind.ERASURE)) == 2


def test_a_letter_that_was_taken_back_before_it_left_can_be_asked_for_again_at_once(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)
    erasure_wishes.ask(session, case, now=TEN)
    closing.close(session, case, by_id=case.owner_id or 0, outcome=Outcome.DONE, text="", now=TEN)
    step(session)
    assert letters(session, case, LetterKind.ERASURE) == []

    erasure_wishes.ask(session, case, now=TEN + timedelta(minutes=1))
    step(session)

    assert len(letters(session, case, LetterKind.ERASURE)) == 1


def test_an_answer_that_keeps_the_promise_takes_no_letter_about_deletion_back(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)
    erasure_wishes.ask(session, case, now=TEN)
    step(session)
    kept = [promise.id for promise in open_promises(session, case)]
    follow_up = berlin("2026-11-26 10:00")
    answering.ask(session, case, by_id=case.owner_id or 0, text="?", keeps=kept, follow_up_at=follow_up, now=TEN)
    step(session)

    (letter,) = letters(session, case, LetterKind.ERASURE)
    renewing.renew(session, letter.id, now=TEN)
    step(session)
    (letter,) = letters(session, case, LetterKind.ERASURE)
    assert erasure_wishes.proof(case) in read(letter).text
    assert "26. November" in read(letter).text


def test_who_has_confirmed_and_takes_a_new_link_still_hears_the_date(session: Session) -> None:
    case = confirmed(session)
    linking.replace_link(session, case, now=TEN)
    step(session)

    *_, letter = letters(session, case, LetterKind.ERASURE)
    renewing.renew(session, letter.id, now=TEN)
    step(session)
    assert "1. Dezember" in read(letter).text
    assert writing.status_url(case) in read(letter).text
    assert letters(session, case, LetterKind.CLOSED) == []  # one letter says both


def test_a_letter_to_confirm_that_was_overtaken_by_another_does_not_leave(session: Session) -> None:
    case = open_case(session, "lieferung")
    deliver(session)
    erasure_wishes.ask(session, case, now=TEN)
    step(session)
    later = TEN + timedelta(hours=2)
    erasure_wishes.ask(session, case, now=later)
    step(session)

    for letter in letters(session, case, LetterKind.ERASURE):
        letter.valid_until = later
        session.flush()
        renewing.renew(session, letter.id, now=later)
        step(session)

    (letter,) = letters(session, case, LetterKind.ERASURE)
    assert erasure_wishes.proof(case) in read(letter).text

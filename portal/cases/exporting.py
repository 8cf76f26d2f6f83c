"""Everything a customer may see of a case, as plain values that a machine can read (law 8; Art. 15 and 20 GDPR).

It holds no link and no secret, so the file may be passed on. Internal notes and letters to colleagues are no part.
"""

from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from portal.appointments.models import Appointment
from portal.cases import directory as directories
from portal.cases import timeline
from portal.cases.directory import Directory
from portal.cases.models import Case
from portal.customers.models import Customer
from portal.mail.models import Audience, Letter, LetterState
from portal.promises.models import Promise, PromiseState

FORMAT = "durchwahl-case/1"
ENTRIES = 100_000
"""More than any history has."""


def export(session: Session, case: Case, *, now: datetime) -> dict[str, Any]:
    """The case at ``now``; every instant in UTC, every date in the team's place."""
    directory = directories.load(session, now=now)
    acting = directory.people[directory.acting_person(case, now).person_id]
    return {
        "format": FORMAT,
        "exported_at": now.isoformat(),
        "reference": case.reference,
        "topic": directory.topics[case.topic_id].name(case.language),
        "language": case.language,
        "state": case.state.value,
        "received_at": case.received_at.isoformat(),
        "opened_at": _instant(case.opened_at),
        "closed_at": _instant(case.closed_at),
        "outcome": None if case.outcome is None else case.outcome.value,
        "outcome_text": case.outcome_text,
        "reopen_until": _instant(case.reopen_until),
        "erase_on": None if case.erase_on is None else case.erase_on.isoformat(),
        "continues": timeline.reference_of(session, case.continues_id),
        "company": directory.company.name,
        "person": {"name": acting.name, "role": acting.role, "phone": acting.line_e164, "email": acting.email},
        "customer": _customer(case.customer),
        "promises": _promises(session, directory, case),
        "appointments": _appointments(session, directory, case),
        "reachable": [part for part in case.reachable.split(",") if part],
        "history": _history(session, directory, case, now=now),
        "emails": _emails(session, case),
    }


def _customer(customer: Customer) -> dict[str, str | None]:
    return {
        "name": customer.name,
        "email": customer.email,
        "phone": customer.phone_e164,
        "phone_as_typed": customer.phone_shown,
        "company": customer.company,
        "customer_number": customer.number_typed,
        "postcode": customer.postcode,
    }


def _promises(session: Session, directory: Directory, case: Case) -> list[dict[str, Any]]:
    given = session.scalars(select(Promise).where(Promise.case_id == case.id).order_by(Promise.id))
    return [
        {
            "kind": promise.kind.value,
            "medium": promise.medium.value,
            "person": directory.people[promise.person_id].name,
            "what": promise.what,
            "given_at": promise.given_at.isoformat(),
            "due_at": promise.due_at.isoformat(),
            "first_due_at": promise.first_due_at.isoformat(),
            "state": promise.state.value,
            "ended_at": _instant(promise.ended_at),
            # Told by the letter that moved it; until then it waits, and may still be changed.
            "reason": promise.reason if promise.state == PromiseState.MOVED else None,
        }
        for promise in given
    ]


def _appointments(session: Session, directory: Directory, case: Case) -> list[dict[str, Any]]:
    agreed = session.scalars(select(Appointment).where(Appointment.case_id == case.id).order_by(Appointment.id))
    return [
        {
            "uid": appointment.uid,
            "medium": appointment.medium.value,
            "person": directory.people[appointment.person_id].name,
            "starts_at": appointment.starts_at.isoformat(),
            "ends_at": appointment.ends_at.isoformat(),
            "time_zone": appointment.tz,
            "agreed_at": appointment.created_at.isoformat(),
            "moved_by_you": appointment.customer_moves,
            "on_hold_since": _instant(appointment.change_wished_at),
            "state": appointment.state.value,
            "ended_at": _instant(appointment.ended_at),
        }
        for appointment in agreed
    ]


def _history(session: Session, directory: Directory, case: Case, *, now: datetime) -> list[dict[str, Any]]:
    """What the page's history shows, oldest first, with the files of each entry."""
    voice = directory.voice_of(case)
    shown, _ = timeline.history(session, directory, case, voice, before=None, internal=False, now=now, limit=ENTRIES)
    return [
        {
            "at": entry.at.isoformat(),
            "kind": entry.kind.value,
            "channel": entry.channel.value,
            "direction": entry.direction.value,
            "by": entry.person_name or entry.actor.value,
            "text": entry.text,
            "due_at": entry.facts.get("due_at"),
            "starts_at": entry.facts.get("starts_at"),
            "files": [{"id": file.id, "name": file.name, "bytes": file.size} for file in entry.files],
        }
        for entry in reversed(shown)
    ]


def _emails(session: Session, case: Case) -> list[dict[str, Any]]:
    """What was sent to the customer: when, where to and about what. Their words hold the link, so they stay out."""
    sent = (
        select(Letter)
        .where(Letter.case_id == case.id, Letter.audience == Audience.CUSTOMER, Letter.state == LetterState.SENT)
        .order_by(Letter.id)
        .options(undefer(Letter.message))
    )
    return [
        {
            "kind": letter.kind,
            "sent_at": _instant(letter.ended_at),
            "to": letter.to_address,
            "subject": str(message_from_bytes(letter.message, policy=policy.default)["Subject"] or ""),
        }
        for letter in session.scalars(sent)
    ]


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()

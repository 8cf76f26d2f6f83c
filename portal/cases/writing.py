"""Writing letters about a case: what each states, who signs it, and its row in the outbox.

A letter is rendered once. That happens in the transaction that changes the domain, except for the letters of a form:
``drafting.draft`` writes them (``write_customer``, ``write_staff``) in a reading transaction right before, and
``opening.keep`` queues them, or drafts again when the directory has changed in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from portal import config
from portal.appointments import service as appointments
from portal.appointments.models import Appointment
from portal.cases import agreed_time, reaching, sending, signing
from portal.cases import steps as stepping
from portal.cases.directory import Directory
from portal.cases.models import Case, Step
from portal.cases.sending import Window
from portal.languages import Voice
from portal.links import Purpose
from portal.mail import letters, message, outbox
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, HoldReason, Letter, LetterState
from portal.people.models import Person
from portal.people.presence import Acting
from portal.promises import wording
from portal.promises.models import Promise, Waiting

WRITTEN_BY_HAND = {LetterKind.REPLY, LetterKind.QUESTION, LetterKind.RECAP}
"""Kinds whose words a person wrote: they carry no Auto-Submitted."""
ANSWERS_AN_ACT = {LetterKind.CONFIRMATION, LetterKind.MESSAGE_RECEIVED, LetterKind.LINK, LetterKind.ERASURE}
"""Kinds that answer what the customer just did (RFC 3834: auto-replied); other automatic ones are auto-generated."""
_UNASKED, _OLD_DUE_AT = "unasked", "old_due_at"
"""What is kept beside the values of a letter that nobody asked for: that it is one, and the date it replaces."""
_OLD_URL = "not_me_url"
"""What letters from before 0007 keep, too: the link in it may be dead by now."""


def status_url(case: Case) -> str:
    """The customer's page."""
    return f"{config.current().base_url}/s/{config.links().sign(Purpose.STATUS, case.link_nonce)}"


def staff_url(case: Case, kind: LetterKind, step: Step | None = None) -> str:
    """The page on which staff do what this letter asks for."""
    if kind is LetterKind.STAFF_REMINDER and isinstance(step, Promise):
        return f"{config.current().base_url}/staff/cases/{case.reference}/choices?promise={step.id}"
    page = "doubtful" if kind in (LetterKind.STAFF_DOUBTFUL, LetterKind.STAFF_NOT_ME) else "cases"
    return f"{config.current().base_url}/staff/{page}/{case.reference}"


@dataclass(frozen=True)
class Written:
    """A letter in words, addressed and signed, that is not yet in the outbox."""

    kind: LetterKind
    audience: Audience
    to_address: str
    person_id: int
    message: bytes
    message_id: str
    window: Window | None = None
    """When a letter we write by ourselves to a customer may leave; None: at once, whenever that is."""
    says: Mapping[str, Any] | None = None
    """What such a letter is written anew from when it waited too long."""
    appointment: Appointment | None = None
    """The one it tells of."""


def to_customer(
    session: Session,
    directory: Directory,
    case: Case,
    kind: LetterKind,
    *,
    key: str,
    now: datetime,
    step: Step | None = None,
    says: Mapping[str, Any] | None = None,
    by_id: int | None = None,
    unasked: bool = False,
    old_due_at: datetime | None = None,
    appointment: Appointment | None = None,
) -> None:
    """Queue a letter to the case's customer; see ``write_customer``."""
    written = write_customer(
        directory,
        case,
        kind,
        now=now,
        step=step,
        says=says,
        by_id=by_id,
        unasked=unasked,
        old_due_at=old_due_at,
        appointment=appointment,
    )
    if written is None:
        return
    # Nobody asked for it, and we do not know yet whether this mailbox is the customer's.
    held = HoldReason.CASE_HELD if unasked and outbox.has_held(session, case.id) else None
    queue(session, written, case_id=case.id, promise_id=promise_id_of(step), key=key, now=now, held=held)


def write_customer(
    directory: Directory,
    case: Case,
    kind: LetterKind,
    *,
    now: datetime,
    step: Step | None = None,
    says: Mapping[str, Any] | None = None,
    by_id: int | None = None,
    unasked: bool = False,
    old_due_at: datetime | None = None,
    appointment: Appointment | None = None,
    anew: bool = False,
) -> Written | None:
    """A letter to the case's customer, signed by the acting person (or ``by_id``, who wrote it).

    None where there is no address. ``says`` holds the values of this kind of letter and every time it speaks of: it may
    be written anew on another day, so no letter knows what day it is. Whoever signs, the answer goes to the
    acting person. ``unasked``: nobody's act asked for it, and it leaves inside the sending hours, unless
    ``old_due_at``, the date it replaces, would pass before. ``appointment`` is what it tells of, where that is not the
    step. ``anew``: ``by_id`` wrote it before, and signs it whoever is there now. Raises AuthorAbsent,
    AuthorDoesNotAnswer.
    """
    if not case.customer.email:
        return None
    voice, page = directory.voice_of(case), status_url(case)
    appointment = step if isinstance(step, Appointment) else appointment
    acting = signing.acting_person(directory, case, step, now)
    signer = acting if by_id is None else signing.author(directory, by_id, acting, now, anew=anew)
    values = {
        "customer": case.customer.name,
        "topic": directory.topics[case.topic_id].name(case.language),
        "reference": case.reference,
        "person": signing.signature(directory, signer, voice),
        "company": _company(directory),
        "status_url": page,
        "not_me_url": f"{page}/not-me",
        "country": voice.country,
        "zone": voice.zone,
        "step": None if step is None else _step(directory, case, step, voice, now),
        "agreed": agreed_time.in_letter(directory, case, appointment, kind, voice, page=page, now=now),
        **values_of(says),
    }
    written = _written(
        directory,
        case,
        kind,
        values,
        language=case.language,
        to_address=case.customer.email,
        person=directory.people[signer.person_id],
        reply_to=directory.people[acting.person_id].email,
        audience=Audience.CUSTOMER,
        now=now,
        calendar=agreed_time.calendar_of(directory, case, appointment, kind, voice, now=now),
    )
    written = replace(written, appointment=appointment)
    if kind in WRITTEN_BY_HAND:
        if appointment is None:
            return written
        # A person's words stay as they are; the agreed time below them is the one of when it leaves.
        return replace(written, window=_while_to_come(Window(now, None), appointment, now=now), says=dict(says or {}))
    kept = dict(says or {})
    if unasked:
        kept |= {_UNASKED: True, _OLD_DUE_AT: None if old_due_at is None else old_due_at.isoformat()}
    window = _window(directory, case, step, signer.person_id, unasked=unasked, old_due_at=old_due_at, now=now)
    return replace(written, window=_while_to_come(window, appointment, now=now), says=kept)


def asked_by_nobody(says: Mapping[str, Any] | None) -> tuple[bool, datetime | None]:
    """Whether a letter with these values is one nobody asked for, and the date it replaces."""
    if says is None or not says.get(_UNASKED):
        return False, None
    old = says[_OLD_DUE_AT]
    return True, None if old is None else datetime.fromisoformat(old)


def values_of(says: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values of its kind that a letter was written with."""
    return {name: value for name, value in (says or {}).items() if name not in (_UNASKED, _OLD_DUE_AT, _OLD_URL)}


def tell_promise(
    session: Session,
    directory: Directory,
    case: Case,
    promise: Promise,
    *,
    key: str,
    now: datetime,
    kind: LetterKind = LetterKind.PROMISE_GIVEN,
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write the customer what is promised until when, and which date it replaces; ``also`` says more, or otherwise."""
    voice = directory.voice_of(case)
    replaced = session.get(Promise, promise.replaces_id) if promise.replaces_id is not None else None
    before = None if replaced is None else reaching.last_known(session, replaced)
    later = before is not None and promise.due_at > before.due_at  # an earlier date needs no apology
    to_customer(
        session,
        directory,
        case,
        kind,
        key=key,
        step=promise,
        now=now,
        says={
            "what": promise.what,
            "moved": later,
            "before": voice.moment(before.due_at, now=now) if before is not None and later else None,
            "reason": None,
            **(also or {}),
        },
    )


def to_staff(
    session: Session,
    directory: Directory,
    case: Case,
    kind: LetterKind,
    *,
    key: str,
    now: datetime,
    step: Step | None = None,
    says: Mapping[str, Any] | None = None,
    reader_id: int | None = None,
) -> None:
    """Queue a letter to a colleague; see ``write_staff``."""
    written = write_staff(directory, case, kind, now=now, step=step, says=says, reader_id=reader_id)
    queue(session, written, case_id=case.id, promise_id=promise_id_of(step), key=key, now=now)


def write_staff(
    directory: Directory,
    case: Case,
    kind: LetterKind,
    *,
    now: datetime,
    step: Step | None = None,
    says: Mapping[str, Any] | None = None,
    reader_id: int | None = None,
) -> Written:
    """A letter to whoever acts in this case (or to ``reader_id``). It holds no number and no message text.

    One that waits past its day is written anew for whoever is there then.
    """
    acting = directory.acting_person(case, now) if reader_id is None else Acting(reader_id, None, False)
    reader = directory.people[acting.person_id]
    voice = directory.voice(directory.team_of(case), reader.language)
    values = {
        "person": {"name": reader.name},
        "case_url": staff_url(case, kind, step),
        "reference": case.reference,
        "topic": directory.topics[case.topic_id].name(reader.language),
        "customer": case.customer.name,
        "company": _company(directory),
        "country": voice.country,
        "zone": voice.zone,
        "for_name": None if acting.for_id is None else directory.people[acting.for_id].name,
        "due": None if step is None else voice.moment(stepping.at(step), now=now),
        "is_appointment": isinstance(step, Appointment),
        "step_sentence": None if step is None else _for_reader(directory, case, step, reader, voice, now),
        **(says or {}),
    }
    written = _written(
        directory,
        case,
        kind,
        values,
        language=reader.language,
        to_address=reader.email,
        person=reader,
        reply_to=config.current().mail_default_sender,
        audience=Audience.STAFF,
        now=now,
    )
    calendars = [directory.calendar(directory.teams[id_]) for id_ in {directory.team_of(case).id, reader.team_id}]
    window = sending.asked(calendars, now=now, gone_at=_gone_at(directory, reader.id, now))
    appointment = step if isinstance(step, Appointment) else None
    window = _while_to_come(window, appointment, now=now)
    return replace(written, window=window, says=dict(says or {}), appointment=appointment)


def queue(
    session: Session,
    written: Written,
    *,
    case_id: int,
    promise_id: int | None,
    key: str,
    now: datetime,
    held: HoldReason | None = None,
) -> None:
    """Put a letter about a case into the outbox, or, where there is a reason, hold it there for staff.

    The schema refuses a second one with this key.
    """
    waits = {} if held is None else {"state": LetterState.HELD, "hold_reason": held}
    outbox.queue(
        session,
        now=now,
        key=key,
        kind=written.kind,
        audience=written.audience,
        case_id=case_id,
        automatic=written.kind not in WRITTEN_BY_HAND,
        **_columns(written, promise_id),
        **waits,
    )


def replace_in_place(letter: Letter, written: Written, *, promise_id: int | None) -> None:
    """Let a letter that waits say this instead; it keeps its turn."""
    outbox.rewrite(letter, **{"valid_until": None, "says": None, **_columns(written, promise_id)})


def promise_id_of(step: Step | None) -> int | None:
    """The promise a letter states, where its step is one."""
    return step.id if isinstance(step, Promise) else None


def sentence(directory: Directory, case: Case, promise: Promise, voice: Voice, *, now: datetime) -> str:
    """What is promised until when, with the name of whoever sees to it now."""
    return _promised(directory, case, promise, voice.moment(promise.due_at, now=now), voice, now) + "."


def staff_voice(directory: Directory, case: Case, reader_id: int) -> Voice:
    """How a colleague is spoken to about this case."""
    return directory.voice(directory.team_of(case), directory.people[reader_id].language)


def _columns(written: Written, promise_id: int | None) -> dict[str, object]:
    """What a letter's row holds of its words, and of when they may leave."""
    told = written.appointment
    columns: dict[str, object] = {
        "to_address": written.to_address,
        "person_id": written.person_id,
        "message": written.message,
        "message_id": written.message_id,
        "promise_id": promise_id,
        "appointment_id": None if told is None else told.id,
        "appointment_version": None if told is None else told.version,
    }
    if written.window is None:
        return columns
    window = written.window
    return {**columns, "due_at": window.due_at, "valid_until": window.valid_until, "says": written.says}


def _written(
    directory: Directory,
    case: Case,
    kind: LetterKind,
    values: Mapping[str, Any],
    *,
    language: str,
    to_address: str,
    person: Person,
    reply_to: str,
    audience: Audience,
    now: datetime,
    calendar: message.Calendar | None = None,
) -> Written:
    rendered = letters.render(kind, language, values)
    sender = config.current().mail_default_sender
    domain = sender.rpartition("@")[2]
    message_id = message.new_message_id(domain)
    envelope = message.Envelope(
        from_name=f"{person.name} – {directory.company.name}"
        if audience is Audience.CUSTOMER
        else directory.company.name,
        from_address=sender,
        to_address=to_address,
        reply_to=reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=message_id,
        date=now,
        language=language,
        kind=kind,
        reference=case.reference,
        auto_submitted=_auto_submitted(kind),
        references=(f"<{case.reference.lower()}.{audience}@{domain}>",),
        calendar=calendar,
    )
    return Written(kind, audience, to_address, person.id, message.build(envelope), message_id)


def _while_to_come(window: Window, appointment: Appointment | None, *, now: datetime) -> Window:
    """A letter that names an agreed time is true until that time has come."""
    if appointment is None or not appointments.is_to_come(appointment, now=now):
        return window
    return replace(window, valid_until=min(window.valid_until or appointment.starts_at, appointment.starts_at))


def _window(
    directory: Directory,
    case: Case,
    step: Step | None,
    signer_id: int,
    *,
    unasked: bool,
    old_due_at: datetime | None,
    now: datetime,
) -> Window:
    team, named = directory.team_of(case), directory.people[signing.named(directory, case, step)]
    calendars = [directory.calendar(directory.teams[team_id]) for team_id in {team.id, named.team_id}]
    gone_at = _gone_at(directory, signer_id, now)
    if unasked:
        hours = directory.sending(team)
        return sending.unasked(calendars, hours, now=now, old_due_at=old_due_at, gone_at=gone_at)
    return sending.asked(calendars, now=now, gone_at=gone_at)


def _gone_at(directory: Directory, person_id: int, now: datetime) -> datetime | None:
    """When the person's next absence begins, as far as one is known."""
    ahead = (row.starts_at for row in directory.absences if row.person_id == person_id and row.starts_at > now)
    return min(ahead, default=None)


def _auto_submitted(kind: LetterKind) -> str | None:
    if kind in WRITTEN_BY_HAND:
        return None
    return "auto-replied" if kind in ANSWERS_AN_ACT else "auto-generated"


def _step(directory: Directory, case: Case, step: Step, voice: Voice, now: datetime) -> dict[str, str]:
    if isinstance(step, Appointment):
        return agreed_time.as_step(directory, case, step, voice, now=now)
    return {
        "name": signing.there_for(directory, case, step.person_id, now).name,
        "sentence": sentence(directory, case, step, voice, now=now),
        "short": _promised(directory, case, step, voice.short_moment(step.due_at, now=now), voice, now),
        "due": voice.moment(step.due_at, now=now),
        "kind": step.kind,
        "medium": step.medium,
    }


def _for_reader(directory: Directory, case: Case, step: Step, reader: Person, voice: Voice, now: datetime) -> str:
    """The step in a letter to a colleague, who is taken to be the one who sees to a promise."""
    if isinstance(step, Appointment):
        return agreed_time.for_colleagues(directory, case, step, voice, now=now)
    return wording.sentence(step.kind, step.medium, reader.name, voice.moment(step.due_at, now=now), voice)


def _promised(directory: Directory, case: Case, promise: Promise, due: str, voice: Voice, now: datetime) -> str:
    name, closes = signing.there_for(directory, case, promise.person_id, now).name, promise.waiting == Waiting.CLOSING
    return wording.sentence(promise.kind, promise.medium, name, due, voice, closes=closes)


def _company(directory: Directory) -> dict[str, Any]:
    company = directory.company
    return {
        "name": company.name,
        "legal_lines": company.legal_block.splitlines(),
        "privacy_url": company.privacy_url,
        "imprint_url": company.imprint_url,
        "accent": company.accent,
    }

"""Letters: each came (O3), none about nothing or to somebody else (O4), few twice (O5), all soon (O6), notices (O7)."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.cases import reconciling
from portal.cases.models import Case
from portal.customers.models import Customer
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise, PromiseState
from tests.faults.sink import AMBIGUOUS
from tests.faults.told import Sent

DOUBLES_PER_KILL = 0.2
NOTICE_WITHIN = 60.0
"""Seconds after its time in which a notice must have come while nothing else befalls the house."""


@dataclass(frozen=True)
class Taken:
    """One line of the relay's log."""

    at: float
    message_id: str
    recipient: str
    kind: str
    case: str | None
    mode: str
    stored: bool
    link: str | None


def read_relay(log: Path) -> list[Taken]:
    """What the relay was handed; a line that is being written is left out."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    return [Taken(**json.loads(line)) for line in lines]


def sent_ids(session: Session) -> set[str]:
    """The Message-IDs of all letters that count as sent."""
    return set(session.scalars(select(Letter.message_id).where(Letter.state == LetterState.SENT)))


def letters_came(
    session: Session, doomed: Collection[str], sent: Collection[str], taken: Sequence[Taken]
) -> tuple[list[str], dict[str, Any]]:
    """O3, O4: every confirmation came (or is seen to have died), none is about nothing, none went astray.

    A confirmation is known by its case: one that waited while its date moved is written anew, under another Message-ID.
    """
    stored = [line for line in taken if line.stored]
    came = {line.message_id for line in stored}
    confirmed = {line.case for line in stored if line.kind == LetterKind.CONFIRMATION}
    calls = set(session.scalars(select(Promise.case_id).where(Promise.state == PromiseState.OPEN)))
    rows = {row.case_id: row for row in session.scalars(_letters(LetterKind.CONFIRMATION))}
    wrong, mailboxes = [], dict[str, str]()
    for case, email in session.execute(select(Case, Customer.email).join(Customer, Customer.id == Case.customer_id)):
        mailboxes[case.reference], row = email or "", rows.get(case.id)
        if row is None:
            wrong.append(f"case {case.id}: no confirmation was written (O3)")
        elif email in doomed and (row.state != LetterState.FAILED or case.id not in calls):
            wrong.append(f"case {case.id}: a letter that cannot arrive is {row.state} (O3)")
        elif email not in doomed and case.reference not in confirmed:
            wrong.append(f"case {case.id}: the confirmation is {row.state} and did not come (O3)")
    rows_by_id = {row.message_id: row for row in session.scalars(select(Letter))}
    wrong += [
        f"letter {row.kind} of case {row.case_id}: sent, and the relay never had it (O3)"
        for row in rows_by_id.values()
        if row.message_id in sent and row.message_id not in came
    ]
    anew = sum(line.message_id not in rows_by_id for line in stored)
    return wrong + _astray(session, stored, rows_by_id, mailboxes), {"taken_and_written_anew": anew}


def _letters(kind: LetterKind) -> Any:
    return select(Letter).where(Letter.kind == kind).order_by(Letter.id.desc())


def _astray(
    session: Session, stored: Sequence[Taken], rows: Mapping[str, Letter], mailboxes: Mapping[str, str]
) -> list[str]:
    """O4. What was written anew is still a letter of its kind and case, and to the customer's mailbox if to any."""
    written = select(Letter.kind, Case.reference).join(Case, Case.id == Letter.case_id).distinct()
    kinds = {(row.kind, row.reference) for row in session.execute(written)}
    wrong = []
    for line in stored:
        row, to_customer = rows.get(line.message_id), not line.kind.startswith("staff_")
        if row is None and (line.kind, line.case) not in kinds:
            wrong.append(f"a letter {line.kind} that no row knows (O4)")
            continue
        strays = row is not None and row.to_address != line.recipient
        if strays or (to_customer and mailboxes.get(line.case or "") != line.recipient):
            wrong.append(f"a letter {line.kind} to somebody else (O4)")
    return wrong


def doubles(taken: Sequence[Taken], kills: int) -> tuple[list[str], dict[str, Any]]:
    """O5: no more doubles than endings that nobody can know, and a few for the kills."""
    counts = Counter(line.message_id for line in taken if line.stored)
    extra = sum(count - 1 for count in counts.values())
    ambiguous = sum(line.stored and line.mode in AMBIGUOUS for line in taken)
    beyond = extra - ambiguous
    allowed = DOUBLES_PER_KILL * kills
    figures = {
        "letters": len(counts),
        "doubles": extra,
        "ambiguous_endings": ambiguous,
        "doubles_minus_ambiguous": beyond,
        "kills_and_stops_of_workers": kills,
        "doubles_minus_ambiguous_per_kill": round(beyond / max(kills, 1), 3),
    }
    if beyond > allowed:
        return [f"{beyond} doubles more than ambiguous endings; allowed {allowed:g} (O5)"], figures
    return [], figures


def in_time(sent: Sequence[Sent], taken: Sequence[Taken]) -> dict[str, Any]:
    """O6, its first half: seconds from the answer to the first letter that came."""
    first: dict[str, float] = {}
    for line in taken:
        if line.stored and line.link:
            first.setdefault(line.recipient, line.at)
    took = sorted(first[one.visit.email] - one.answered_at for one in sent if one.visit.email in first)
    if len(took) < 2:
        return {}
    cuts = quantiles(took, n=100)
    return {"first_letter_p50": round(max(cuts[49], 0), 2), "first_letter_p99": round(max(cuts[98], 0), 2)}


def waiting(session: Session, *, now: datetime) -> int:
    """Letters that are to leave and have not."""
    open_ones = Letter.state.in_((LetterState.QUEUED, LetterState.SENDING))
    return session.scalar(select(func.count()).where(open_ones, Letter.due_at <= now + reconciling.GRACE)) or 0


def not_noticed(session: Session, *, now: datetime) -> int:
    """Promises whose notice is due and has not been given."""
    due = select(func.count()).where(Promise.state == PromiseState.OPEN, Promise.notice_at <= now)
    return session.scalar(due) or 0


def noticed(
    session: Session, due: Mapping[str, float], taken: Sequence[Taken], *, calm_from: float
) -> tuple[list[str], dict[str, Any]]:
    """O7: one notice for each date that is given up (``due``, by case), never too early, and soon once it is calm."""
    came: dict[str | None, float] = {}
    for line in taken:
        if line.stored and line.kind == LetterKind.DELAY_NOTICE:
            came.setdefault(line.case, line.at)
    written = _per_case(session, Letter, Letter.kind == LetterKind.DELAY_NOTICE)
    moved = _per_case(session, Entry, Entry.kind == Kind.PROMISE_MOVED)
    wrong, late = [], [0.0]
    for case, at in due.items():
        if (written[case], moved[case]) != (1, 1):
            wrong.append(f"{written[case]} notices of {moved[case]} moved dates in one case (O7)")
        elif case not in came:
            wrong.append("a notice did not come (O7)")
        elif came[case] < at:
            wrong.append("a notice came before its time (O7)")
        else:
            late.append(came[case] - max(at, calm_from))
    if max(late) > NOTICE_WITHIN:
        wrong.append(f"a notice came {max(late):.0f} s late (O7)")
    if set(written) - set(due):
        wrong.append(f"{len(set(written) - set(due))} notices that nobody owed (O7)")
    return wrong, {"notices": len(came), "latest_notice": round(max(late), 2)}


def _per_case(session: Session, model: type[Letter] | type[Entry], which: Any) -> Counter[str]:
    rows = select(Case.reference, func.count()).join(model, model.case_id == Case.id).where(which)
    return Counter(dict(session.execute(rows.group_by(Case.reference)).all()))

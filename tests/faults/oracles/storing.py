"""Whatever was answered is stored, once and whole (O1, O2), and the database is in order (O9)."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.cases import reconciling
from portal.cases.models import Case, Submission
from portal.cases.reconciling import Disorder
from portal.customers.models import Customer
from portal.journal.models import Attachment, AttachmentData, Entry, Kind
from portal.mail.models import Letter, LetterState
from tests.faults.plan import Act, Upload
from tests.faults.told import Sent

Entries = dict[tuple[int, str], list[tuple[int, str]]]
"""Number and text of the entries of one kind in one case."""
Files = dict[int, list[tuple[str, str]]]
"""Name and hash of the files of an entry."""


def stored_once(session: Session, sent: Sequence[Sent]) -> tuple[list[str], dict[str, Any]]:
    """O1, O2: whatever was answered is there, once and whole; whatever was not is there at most once."""
    cases: dict[str, list[Case]] = {}
    for case, email in session.execute(select(Case, Customer.email).join(Customer, Customer.id == Case.customer_id)):
        cases.setdefault(email or "", []).append(case)
    entries, files = _entries(session), _files(session)
    keys = Counter(session.scalars(select(Submission.key).where(Submission.purpose == "contact")))
    wrong, lost, once = [], 0, 0
    for one in sent:
        found = cases.get(one.visit.email, [])
        who = f"customer {one.visit.number}"
        wrong += [f"{who}: {fault}" for fault in one.wrong]
        if one.location and not found:
            lost += 1
            wrong.append(f"{who}: answered, and no case (O1)")
        elif len(found) > 1 or keys[one.key] > 1:
            wrong.append(f"{who}: {len(found)} cases (O1, O2)")
        elif found:
            once += 1
            wrong += [f"{who}: {fault} (O1)" for fault in _not_whole(one, found[0], entries, files)]
    answered = sum(one.location is not None for one in sent)
    figures = {
        "answered": answered,
        "lost": lost,
        "stored_once_percent": round(100 * once / max(len(sent), 1), 2),
        "files": sum(len(found) for found in files.values()),
    }
    return wrong, figures


def _entries(session: Session) -> Entries:
    found: Entries = {}
    for entry_id, case_id, kind, text in session.execute(select(Entry.id, Entry.case_id, Entry.kind, Entry.text)):
        found.setdefault((case_id, kind), []).append((entry_id, text))
    return found


def _files(session: Session) -> Files:
    """By entry; the hash is that of what is stored, read anew."""
    found: Files = {}
    rows = select(Attachment.entry_id, Attachment.name, AttachmentData.data).join(
        AttachmentData, AttachmentData.attachment_id == Attachment.id
    )
    for entry_id, name, data in session.execute(rows.execution_options(yield_per=10)):
        found.setdefault(entry_id, []).append((name, hashlib.sha256(data).hexdigest()))
    return found


def _not_whole(one: Sent, case: Case, entries: Entries, files: Files) -> Iterable[str]:
    visit = one.visit
    yield from _wrong(Kind.RECEIVED, [(visit.text, visit.files)], case, entries, files)
    if one.began and not one.acted:
        return
    later = {Act.MESSAGE: Kind.MESSAGE, Act.REOPEN: Kind.REOPENED}
    for act, kind in later.items():
        wrote = [(visit.later_text, visit.later_files)] if one.acted and visit.act is act else []
        yield from _wrong(kind, wrote, case, entries, files)
    closed = int(one.acted and visit.act in (Act.CLOSE, Act.REOPEN))
    if len(entries.get((case.id, Kind.CLOSED), [])) != closed:
        yield f"closed {len(entries.get((case.id, Kind.CLOSED), []))} times and not {closed}"


def _wrong(
    kind: Kind, wanted: list[tuple[str, tuple[Upload, ...]]], case: Case, entries: Entries, files: Files
) -> Iterable[str]:
    found = entries.get((case.id, kind), [])
    if [text for _, text in found] != [text for text, _ in wanted]:
        yield f"{len(found)} entries {kind} and not the {len(wanted)} that were sent"
        return
    for (entry_id, _), (_, sent) in zip(found, wanted, strict=True):
        if sorted(files.get(entry_id, [])) != sorted((file.name, file.sha256) for file in sent):
            yield f"the files of {kind} are not those that were sent"


def in_order(session: Session, damage: Sequence[str], *, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """O9: nothing broken, no loose end, and nothing that the reconciler had to put right but the clock."""
    wrong = [f"the database is damaged: {fault} (O9)" for fault in damage]
    found, after_id = set[int](), 0
    newest = session.scalar(select(func.max(Case.id))) or 0
    while after_id < newest:
        look = reconciling.look(session, now=now, after_id=after_id)
        found, after_id = found | set(look.case_ids), look.after_id
    if found:
        wrong.append(f"{len(found)} cases in disorder (O9)")
    if session.scalar(select(func.count()).where(Letter.state == LetterState.SENDING)):
        wrong.append("a lease is left (O9)")
    if session.scalar(select(func.count()).where(Attachment.entry_id.is_(None))):
        wrong.append("a file belongs to nothing (O9)")
    if session.scalar(select(func.count()).select_from(Attachment).where(~_has_data())):
        wrong.append("a file holds nothing (O9)")
    cases, keys = (session.scalar(select(func.count()).select_from(model)) or 0 for model in (Case, Submission))
    contacts = session.scalar(select(func.count()).where(Submission.purpose == "contact")) or 0
    if cases != contacts:
        wrong.append(f"{cases} cases of {contacts} forms (O9)")
    counted = reconciling.counted(session, now=now)
    mended = {disorder.value: count for disorder, count in counted.items() if count}
    wrong += [f"{count} disorders {name} (O9)" for name, count in mended.items() if name != Disorder.CLOCK]
    return wrong, {"cases": cases, "keys": keys, "disorders_mended": mended}


def _has_data() -> Any:
    return select(AttachmentData.attachment_id).where(AttachmentData.attachment_id == Attachment.id).exists()

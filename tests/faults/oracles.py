"""What must be true after everything that befell the house: the oracles of reference/security.md, section 6.

Each says what is wrong, in words; the figures are printed whatever they say.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import clock
from portal.cases import reconciling
from portal.cases.models import Case, Submission
from portal.cases.reconciling import Disorder
from portal.customers.models import Customer
from portal.journal.models import Entry, Kind
from portal.mail.letters import LetterKind
from portal.mail.models import Letter, LetterState
from portal.promises.models import Promise, PromiseState
from tests.faults.driver import Answer, Sent
from tests.faults.plan import Act
from tests.faults.sink import AMBIGUOUS

ALLOWED = {200, 303, 503}
LONGEST_ANSWER = 12.0
AGAIN_WITHIN = 10.0
"""Seconds after the database is back in which the first page must come; also how long it may still say 503."""
DOUBLES_PER_KILL = 0.2


@dataclass(frozen=True)
class Taken:
    """One line of the relay's log."""

    at: float
    message_id: str
    recipient: str
    mode: str
    stored: bool
    link: str | None


def read_relay(log: Path) -> list[Taken]:
    """What the relay was handed; a line that is being written is left out."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    return [Taken(**json.loads(line)) for line in lines]


def stored_once(session: Session, sent: Sequence[Sent]) -> tuple[list[str], dict[str, Any]]:
    """O1, O2: whatever was answered is there, once and whole; whatever was not is there at most once."""
    cases: dict[str, list[Case]] = {}
    for case, email in session.execute(select(Case, Customer.email).join(Customer, Customer.id == Case.customer_id)):
        cases.setdefault(email or "", []).append(case)
    entries = _entries(session)
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
            wrong += [f"{who}: {fault} (O1)" for fault in _not_whole(one, found[0], entries)]
    answered = sum(one.location is not None for one in sent)
    figures = {"answered": answered, "lost": lost, "stored_once_percent": round(100 * once / max(len(sent), 1), 2)}
    return wrong, figures


def _entries(session: Session) -> dict[tuple[int, str], list[str]]:
    found: dict[tuple[int, str], list[str]] = {}
    for case_id, kind, text in session.execute(select(Entry.case_id, Entry.kind, Entry.text)):
        found.setdefault((case_id, kind), []).append(text)
    return found


def _not_whole(one: Sent, case: Case, entries: dict[tuple[int, str], list[str]]) -> Iterable[str]:
    if entries.get((case.id, Kind.RECEIVED)) != [one.visit.text]:
        yield "not exactly one entry with the text"
    messages = entries.get((case.id, Kind.MESSAGE), [])
    wrote = [f"Nachtrag: {one.visit.text}"] if one.visit.act is Act.MESSAGE and one.acted else []
    if one.act_key is None or one.acted:
        if messages != wrote:
            yield f"{len(messages)} messages and not {len(wrote)}"
        if one.visit.act is Act.CLOSE and one.acted and len(entries.get((case.id, Kind.CLOSED), [])) != 1:
            yield "not closed exactly once"


def letters_came(session: Session, sent: Sequence[Sent], taken: Sequence[Taken]) -> list[str]:
    """O3, O4: every confirmation came (or is seen to have died), none is about nothing, none went astray."""
    stored = Counter(line.message_id for line in taken if line.stored)
    rows = session.execute(
        select(Letter.message_id, Letter.to_address, Letter.kind, Letter.audience, Letter.state, Letter.case_id)
    ).all()
    known = {row.message_id: row for row in rows}
    confirmed = {row.to_address: row for row in rows if row.kind == LetterKind.CONFIRMATION}
    calls = set(session.scalars(select(Promise.case_id).where(Promise.state == PromiseState.OPEN)))
    wrong = []
    for one in sent:
        row = confirmed.get(one.visit.email)
        who = f"customer {one.visit.number}"
        if one.location is None:
            continue
        if row is None:
            wrong.append(f"{who}: no confirmation was written (O3)")
        elif one.visit.doomed:
            if row.state != LetterState.FAILED or row.case_id not in calls:
                wrong.append(f"{who}: a letter that cannot arrive is {row.state} (O3)")
        elif not stored[row.message_id]:
            wrong.append(f"{who}: the confirmation is {row.state} and did not come (O3)")
    for row in rows:
        came = stored[row.message_id] > 0
        if row.state == LetterState.SENT and not came:
            wrong.append(f"letter {row.kind} of case {row.case_id}: sent, and the relay never had it (O3)")
    for line in taken:
        meant = known.get(line.message_id)
        if line.stored and meant is None:
            wrong.append("a letter that no row knows (O4)")
        elif meant is not None and meant.to_address != line.recipient:
            wrong.append(f"a letter {meant.kind} to somebody else (O4)")
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


def waiting(session: Session) -> int:
    """Letters that are to leave and have not."""
    soon = clock.utc_now() + reconciling.GRACE
    open_ones = Letter.state.in_((LetterState.QUEUED, LetterState.SENDING))
    return session.scalar(select(func.count()).where(open_ones, Letter.due_at <= soon)) or 0


def in_order(session: Session, damage: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """O9: nothing broken, no loose end, and nothing that the reconciler had to put right but the clock."""
    wrong = [f"the database is damaged: {fault} (O9)" for fault in damage]
    found, after_id = set[int](), 0
    newest = session.scalar(select(func.max(Case.id))) or 0
    while after_id < newest:
        look = reconciling.look(session, now=clock.utc_now(), after_id=after_id)
        found, after_id = found | set(look.case_ids), look.after_id
    if found:
        wrong.append(f"{len(found)} cases in disorder (O9)")
    if session.scalar(select(func.count()).where(Letter.state == LetterState.SENDING)):
        wrong.append("a lease is left (O9)")
    cases, keys = (session.scalar(select(func.count()).select_from(model)) or 0 for model in (Case, Submission))
    contacts = session.scalar(select(func.count()).where(Submission.purpose == "contact")) or 0
    if cases != contacts:
        wrong.append(f"{cases} cases of {contacts} forms (O9)")
    counted = reconciling.counted(session, now=clock.utc_now())
    mended = {disorder.value: count for disorder, count in counted.items() if count}
    wrong += [f"{count} disorders {name} (O9)" for name, count in mended.items() if name != Disorder.CLOCK]
    return wrong, {"cases": cases, "keys": keys, "disorders_mended": mended}


def answered_well(
    answers: Sequence[Answer], windows: Sequence[tuple[float, float]]
) -> tuple[list[str], dict[str, Any]]:
    """O12: only 503 with Retry-After, only while the database is away, soon over, and nobody waits for long."""
    codes = Counter(answer.code for answer in answers)
    wrong = [f"{count} answers {code} (O12)" for code, count in codes.items() if code not in ALLOWED]
    bare = sum(answer.code == 503 and not answer.retry_after for answer in answers)
    calm = sum(answer.code == 503 and not _within(answer, windows) for answer in answers)
    longest = max((answer.seconds for answer in answers), default=0.0)
    if bare:
        wrong.append(f"{bare} answers 503 without Retry-After (O12)")
    if calm:
        wrong.append(f"{calm} answers 503 while the database was there (O12)")
    if longest > LONGEST_ANSWER:
        wrong.append(f"an answer took {longest:.1f} s (O12)")
    back = []
    for _, ended in windows:
        after = [answer.at + answer.seconds - ended for answer in answers if answer.code != 503 and answer.at > ended]
        back += [min(after)] if after else []
    if back and max(back) > AGAIN_WITHIN:
        wrong.append(f"the first page came {max(back):.1f} s after the database was back (O12)")
    figures = {
        "answers": {str(code): count for code, count in sorted(codes.items())},
        "longest_answer": round(longest, 2),
        "back_after": round(max(back, default=0.0), 2),
    }
    return wrong, figures


def _within(answer: Answer, windows: Sequence[tuple[float, float]]) -> bool:
    ended = answer.at + answer.seconds
    return any(begun <= ended and answer.at <= over + AGAIN_WITHIN for begun, over in windows)


def silent_logs(said: str, sent: Sequence[Sent], links: Iterable[str]) -> list[str]:
    """O11: no address, name, word or secret of a customer in any log."""
    secrets = {"quellmalz", "umwälzpumpen", "rohrverschraubung"}
    secrets |= {link.rpartition("/")[2] for link in links} | {one.key for one in sent if one.key}
    told = said.lower()
    found = [secret for secret in secrets if secret.lower() in told]
    return [f"{len(found)} secrets in the logs (O11)"] if found else []


def faults_of_ours(said: str) -> dict[str, int]:
    """What the logs tell of faults, counted; for whoever reads the figures."""
    words = ("a page broke", "step failed", "lease lost", "leases ran out", "disorder not mended", "the clock was set")
    return {word: count for word in words if (count := said.count(word))}

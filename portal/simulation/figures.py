"""The figures of a run, from the database and the sink (the judge computes the same ones from the files alone)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from portal.simulation import spans
from portal.simulation.evidence import OUR_FAULT, Act
from portal.simulation.record import BY_HAND, NOTICES, UNASKED, CaseRecord, LetterRecord, PromiseRecord, Record
from portal.simulation.spans import Spans

Figures = dict[str, float | int]

ZERO = (
    "promises_lapsed_in_silence",
    "minutes_in_the_dark",
    "calls_at_an_old_time",
    "letters_naming_an_absent_person",
    "letters_to_an_absent_colleague",
    "letters_lost",
    "letters_doubled",
    "letters_outside_sending_hours",
    "letters_untrue",
    "notices_twice_a_day",
    "ladders_without_a_lead",
    "acts_refused_by_a_fault",
    "faults_in_steps",
    "broken_pages",
)
"""Figures whose target is zero."""
MOST_NOTICES = 2
"""The target of notices per case at the 95th percentile."""

EXCUSES = OUT_OF_REACH, WHILE_OFF, WHILE_MAIL_DOWN = "out_of_reach", "while_off", "while_mail_down"
"""Faults outside that keep a letter from its reader: the mailbox refuses it, the machine is off, no mail leaves."""
PAGE_ALONE = timedelta(minutes=15)
"""So long after a step is set the page may say it alone."""
ONE_DAY = timedelta(hours=24)
LEAD_FROM = 3
OVERTAKES = {"reply", "question", "closed", "promise_given"}
"""What somebody wrote before the receipt of a customer's act could leave takes its place."""
ANSWERS = {
    "form": {"confirmation"} | OVERTAKES,
    "message": {"message_received", "reopened", "confirmation"} | OVERTAKES,
    "reply": {"reply"},
    "ask": {"question"},
    "close": {"closed", "reopened"},  # who opens it again before the letter could leave knows that it was closed
}
"""Which letter answers an act."""


def of(record: Record) -> Figures:
    """All figures of the record of a run."""
    notices = Counter(letter.number for letter in record.customer_letters if letter.kind in NOTICES)
    figures: Figures = {
        "cases": len(record.forms),
        "letters": len(record.arrivals),
        "promises_kept": record.entries["promise_kept"],
        "promises_moved": record.entries["promise_moved"],
        **_lapses(record),
        **_dark(record),
        "calls_at_an_old_time": _calls(record),
        "letters_naming_an_absent_person": _count(record.customer_letters, lambda one: record.absent(one)),
        "letters_to_an_absent_colleague": _count(record.staff_letters, lambda one: record.absent(one)),
        "letters_lost": _lost(record),
        "letters_doubled": _doubled(record),
        "letters_ambiguous": len(record.ambiguous),
        "letters_outside_sending_hours": _count(record.customer_letters, lambda one: _outside(record, one)),
        "letters_untrue": _count(record.customer_letters, lambda one: _untrue(record, one)),
        "notices": sum(notices.values()),
        "notices_per_case_p95": _nearest_rank([notices[number] for number in record.forms], 0.95),
        "notices_twice_a_day": _twice_a_day(record),
        "ladders_without_a_lead": _without_a_lead(record),
        "acts_refused_by_a_fault": _refused(record),
        "median_first_answer_minutes": _first_answer(record),
    }
    return figures


def _count(letters: Iterable[LetterRecord], holds: Callable[[LetterRecord], bool]) -> int:
    return sum(1 for letter in letters if holds(letter))


def _lapses(record: Record) -> Figures:
    """Dates that passed while the customer knew of no newer step, and apart those for which a fault outside stood."""
    lapses: Figures = {f"promises_lapsed_{how}": 0 for how in ("in_silence", *EXCUSES)}
    for case in record.cases:
        for promise in case.promises:
            if promise.due_at >= record.ends_at or not _passed(record, case, promise):
                continue
            figure = f"promises_lapsed_{_excuse(record, case, promise)}"
            lapses[figure] += 1
            if figure in ZERO:
                record.note(figure, case, promise.due_at)
    return lapses


def _excuse(record: Record, case: CaseRecord, promise: PromiseRecord) -> str:
    """Why no letter came by then. What the mail kept back counts as excused only while the page says a step ahead.

    A date that had not even moved passed in silence whatever the mail did: the worker runs without it, and the page
    says the new date before the old one passes.
    """
    at = promise.due_at
    moved = promise.ended_at <= at
    shown = [one for one in case.promises if one.given_at <= at < min(one.ended_at, one.due_at)]
    if moved and case.refuses and shown:
        return OUT_OF_REACH
    if spans.holds(record.asleep(case), at):
        return WHILE_OFF
    if moved and any(spans.holds(record.mail_down(case, one.told_by), at) for one in shown):
        return WHILE_MAIL_DOWN
    return "in_silence"


def _passed(record: Record, case: CaseRecord, promise: PromiseRecord) -> bool:
    due_at = promise.due_at
    if not spans.holds(case.open, due_at):
        return False
    if promise.ended_at > due_at:
        return True  # whatever else was promised meanwhile
    if _is_resolved(case, promise, due_at) or promise.told_at > promise.ended_at:
        return False
    newer = (one for one in case.promises if one is not promise and one.due_at > due_at)
    return not any(one.told_at <= due_at and one.given_at > promise.given_at for one in newer)


def _is_resolved(case: CaseRecord, promise: PromiseRecord, by: datetime) -> bool:
    """Whether what was promised was kept or no longer needed by then, be it after its date had moved.

    A letter of the ladder of waiting keeps nothing before it is there, but whoever has written to us by then waits for
    it no longer.
    """
    while promise.state == "moved" or promise.kept_by_letter:
        successor = next((one for one in case.promises if _follows(one, promise)), None)
        if successor is None or successor.ended_at > by:
            return False
        promise = successor
    return promise.state in ("kept", "withdrawn")


def _follows(one: PromiseRecord, promise: PromiseRecord) -> bool:
    if promise.kept_by_letter:
        return one is not promise and one.given_at == promise.ended_at
    return one.replaces_id == promise.id


def _dark(record: Record) -> Figures:
    """Time in which an open case had no step ahead that its customer had been told of, by what stood in the way."""
    dark = {"minutes_in_the_dark": 0.0, **{f"minutes_in_the_dark_{how}": 0.0 for how in EXCUSES}}
    for case in record.cases:
        lit: Spans = []
        shown: Spans = []
        down: Spans = []
        for promise in case.promises:
            holds = [(promise.given_at, min(promise.ended_at, promise.due_at, record.ends_at))]
            told = [(promise.told_at, record.ends_at), (promise.given_at, promise.given_at + PAGE_ALONE)]
            lit += spans.both(holds, spans.joined(told))
            shown += holds
            down += spans.both(holds, record.mail_down(case, promise.told_by))
        left = spans.without(case.open, lit)
        excuses = (
            (OUT_OF_REACH, shown if case.refuses else []),
            (WHILE_OFF, record.asleep(case)),
            (WHILE_MAIL_DOWN, down),
        )
        for how, excused in excuses:
            dark[f"minutes_in_the_dark_{how}"] += spans.minutes(spans.both(left, excused))
            left = spans.without(left, excused)
        dark["minutes_in_the_dark"] += spans.minutes(left)
        if spans.minutes(left) > 0.01:
            record.note("minutes_in_the_dark", case, left[0][0])
    return {name: round(minutes, 1) for name, minutes in dark.items()}


def _calls(record: Record) -> int:
    wrong = [act for act in record.acts if act["kind"] == "staff" and act["act"] == "call" and act["ok"]
             and not act["allowed"]]  # fmt: skip
    return len(wrong)


def _lost(record: Record) -> int:
    """Acts that no letter answered within a day of running time."""
    stored = defaultdict(list)
    for letter in record.customer_letters:
        stored[letter.number, letter.kind].append(letter.at)
    lost = 0
    for act in record.acts:
        kinds = ANSWERS.get("form" if act["kind"] == "form" else act.get("act", ""))
        if kinds is None or not _accepted(act) or record.refuses(act["case"]):
            continue
        deadline = record.running_time_after(act["at"], ONE_DAY)
        if act["at"] > record.ends_at - ONE_DAY or deadline > record.ends_at:
            continue
        answered = any(act["at"] <= at <= deadline for kind in kinds for at in stored[act["case"], kind])
        if not answered:
            record.note("letters_lost", record.by_number[act["case"]], act["at"])
            lost += 1
    return lost


def _accepted(act: Act) -> bool:
    return act["status"] == 303 if act["kind"] in ("form", "customer") else bool(act.get("ok"))


def _doubled(record: Record) -> int:
    return sum(times - 1 for message_id, times in record.arrivals.items()
               if times > 1 and message_id not in record.ambiguous)  # fmt: skip


def _outside(record: Record, letter: LetterRecord) -> bool:
    """An unasked letter at an hour at which nobody wants one, although it could have waited."""
    case = letter.case
    if letter.kind not in UNASKED and not (letter.kind == "closed" and letter.by_itself):
        return False
    if record.may_send(case, letter.at):
        return False
    opens = record.next_sending(case, letter.at)
    known = letter.instead_of | {promise.due_at for promise in case.promises if promise.told_at < letter.at}
    could_wait = not any(letter.queued_at < date <= opens for date in known)
    if could_wait:
        record.note("letters_outside_sending_hours", case, letter.at)
    return could_wait


def _untrue(record: Record, letter: LetterRecord) -> bool:
    """A letter that names a step of a case that is closed, or a date that has passed."""
    case = letter.case
    if letter.step_due_at is None or spans.holds(record.asleep(case), letter.at):
        return False
    if spans.holds(record.mail_down(case, letter.kind), letter.at):
        return False
    # What somebody wrote by hand is never taken back; the letter that says what has changed follows it.
    said_at = letter.queued_at if letter.kind in BY_HAND else letter.at
    wrong = not spans.holds(case.open, said_at) or letter.step_due_at <= letter.at
    if wrong:
        record.note("letters_untrue", case, letter.at)
    return wrong


def _twice_a_day(record: Record) -> int:
    days = Counter(
        (letter.case.id, letter.case.local_day(letter.at))
        for letter in record.customer_letters
        if letter.kind in NOTICES and not letter.planned
    )
    return sum(1 for times in days.values() if times > 1)


def _without_a_lead(record: Record) -> int:
    missing = 0
    for case in record.cases:
        told = [(letter.queued_at, letter.kind) for letter in case.letters if letter.automatic]
        in_a_row = 0
        for at, what in sorted([*told, *((at, "anew") for at in case.begins_anew)]):
            in_a_row = 0 if what == "anew" else in_a_row + 1
            if in_a_row >= LEAD_FROM and what != "lead_takes_over":
                record.note("ladders_without_a_lead", case, at)
                missing += 1
    return missing


def _first_answer(record: Record) -> int:
    """Until a colleague first wrote or spoke; whoever closes a case here always says something with it."""
    answered: dict[int, float] = {}
    for act in record.acts:
        first = (
            act["kind"] == "staff"
            and act["ok"]
            and (act["act"] in ("reply", "close") or (act["act"] == "call" and act["reached"]))
        )
        if first and act["case"] in record.forms and act["case"] not in answered:
            answered[act["case"]] = (act["at"] - record.forms[act["case"]]).total_seconds() / 60
    return round(median(answered.values())) if answered else 0


def _refused(record: Record) -> int:
    """What customers did or looked at, and the server could not answer although the machine was on."""
    acts = [act["at"] for act in record.acts if act["kind"] in ("form", "customer") and act["status"] >= OUR_FAULT]
    return sum(1 for at in (*acts, *record.broken_pages) if not record.plan.is_off(at))


def _nearest_rank(values: list[int], share: float) -> int:
    return sorted(values)[ceil(share * len(values)) - 1] if values else 0

"""The figures of a run, from the database and the sink (the judge computes the same ones from the files alone)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from math import ceil
from statistics import median

from portal.journal.models import Kind
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
    "appointments_missed_in_silence",
    "appointments_changed_without_a_letter",
    "reminders_naming_an_old_time",
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
COUNTED = {
    "appointments": Kind.APPOINTMENT_BOOKED,
    "appointments_moved": Kind.APPOINTMENT_MOVED,
    "appointments_frozen": Kind.APPOINTMENT_FROZEN,
    "appointments_given": Kind.APPOINTMENT_GIVEN,
    "appointments_missed": Kind.APPOINTMENT_MISSED,
}
"""What happened to agreed times, as the journal says it to customers."""
LATE, ROUND = timedelta(minutes=15), timedelta(minutes=5)
"""When a customer is told that nobody has begun, and how long that letter may take."""
OF_TIMES = {f"appointment_{what}" for what in ("confirmed", "moved", "given", "frozen", "cancelled", "missed")}
"""Letters that say where an agreed time stands."""
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
    "book": OF_TIMES | {"closed"},
    "move": OF_TIMES | {"closed"},
    "keep": OF_TIMES | {"closed"},
    "freeze": OF_TIMES | {"closed"},
    "cancel_appointment": OF_TIMES | {"closed"},
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
        **{name: record.entries[kind] for name, kind in COUNTED.items()},
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
        "appointments_missed_in_silence": sum(_missed_in_silence(record, case) for case in record.cases),
        "appointments_changed_without_a_letter": sum(_changed_without_a_letter(record, case) for case in record.cases),
        "reminders_naming_an_old_time": _count(record.customer_letters, lambda one: _reminds_wrongly(record, one)),
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
        for agreed in case.agreed:
            holds = [(agreed.since, min(agreed.counts_until, record.ends_at))]
            told = [(agreed.told_at, record.ends_at), (agreed.since, agreed.since + PAGE_ALONE)]
            lit += spans.both(holds, spans.joined(told))
            shown += holds
            down += spans.both(holds, record.mail_down(case, agreed.told_by))
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
    """Numbers given out to somebody who was not named, or at a time that was not, or no longer, the agreed one."""
    wrong = 0
    for act in record.acts:
        if act["kind"] != "staff" or not act["ok"]:
            continue
        if (act["act"] == "call" and not act["allowed"]) or (act["act"] == "start" and _is_old(record, act)):
            record.note("calls_at_an_old_time", record.by_number[act["case"]], act["at"])
            wrong += 1
    return wrong


def _is_old(record: Record, act: Act) -> bool:
    slot, at = datetime.fromisoformat(act["slot"]), act["at"]
    cases = (case for case in record.cases if case.reference == act["reference"])
    agreed = [one for case in cases for one in case.agreed if one.since <= at < one.until]
    return not any(one.starts_at == slot for one in agreed)


def _missed_in_silence(record: Record, case: CaseRecord) -> int:
    """Agreed times that passed: nobody had begun, and the customer had not been told in time."""
    missed = 0
    for one in case.agreed:
        late_at, deadline = one.starts_at + LATE, one.starts_at + LATE + ROUND
        over = one.until <= late_at or one.started_at <= deadline or deadline >= record.ends_at
        if over or not spans.holds(case.open, late_at) or _kept_back(record, case, deadline):
            continue
        told = any(
            letter.kind in ("appointment_late", "appointment_missed") and one.starts_at < letter.at <= deadline
            for letter in case.letters
        )
        if not told and one.until > deadline:
            record.note("appointments_missed_in_silence", case, one.starts_at)
            missed += 1
    return missed


def _changed_without_a_letter(record: Record, case: CaseRecord) -> int:
    """Times that were moved or given to somebody else, of which no letter spoke before the old time came."""
    untold = 0
    for change in case.changes:
        deadline = max(change.old, change.at + PAGE_ALONE)
        if deadline >= record.ends_at or not spans.holds(case.open, deadline) or _kept_back(record, case, deadline):
            continue
        if not any(
            letter.kind in OF_TIMES and letter.queued_at >= change.at and letter.at <= deadline
            for letter in case.letters
        ):
            record.note("appointments_changed_without_a_letter", case, change.at)
            untold += 1
    return untold


def _kept_back(record: Record, case: CaseRecord, at: datetime) -> bool:
    """Whether a fault outside kept a letter from its reader until then."""
    down = record.mail_down(case, "appointment_late")
    return case.refuses or spans.holds(record.asleep(case), at) or spans.holds(down, at)


def _reminds_wrongly(record: Record, letter: LetterRecord) -> bool:
    """A reminder of a time that did not stand any more, or had come."""
    if letter.kind != "appointment_reminder":
        return False
    one = letter.agreed
    right = one is not None and one.since <= letter.at < min(one.until, one.starts_at)
    if not right:
        record.note("reminders_naming_an_old_time", letter.case, letter.at)
    return not right


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
    known |= {agreed.starts_at for agreed in case.agreed if agreed.told_at < letter.at}
    could_wait = not any(letter.queued_at < date <= opens for date in known)
    if could_wait:
        record.note("letters_outside_sending_hours", case, letter.at)
    return could_wait


def _untrue(record: Record, letter: LetterRecord) -> bool:
    """A letter that names a step of a case that is closed, or a date that has passed."""
    case = letter.case
    named = None if letter.agreed is None else letter.agreed.starts_at
    dates = [at for at in (letter.step_due_at, named) if at is not None]
    if not dates or spans.holds(record.asleep(case), letter.at):
        return False
    if spans.holds(record.mail_down(case, letter.kind), letter.at):
        return False
    # What somebody wrote by hand is never taken back; the letter that says what has changed follows it.
    said_at = letter.queued_at if letter.kind in BY_HAND else letter.at
    wrong = not spans.holds(case.open, said_at) or min(dates) <= letter.at
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
            and (act["act"] in ("reply", "close") or (act["act"] in ("call", "outcome") and act["reached"]))
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

"""Every figure of the simulation, from the evidence alone. A finding names its case, its time and its reason."""

import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tests.judge import agreed, light, timeline
from tests.judge.agreed import Agreed, Change
from tests.judge.evidence import DELAYS, REMINDER, UNASKED, Act, Arrival, Evidence, Story, read
from tests.judge.hours import Team
from tests.judge.reading import instant
from tests.judge.spans import joined, within

DAY = timedelta(hours=24)
INSTANT = timedelta(seconds=1)
"""Pages and Date headers name whole seconds."""
GRACE = 30
"""Sending minutes after a night of the machine in which what it kept back may still be on its way."""
UNTIL_SENT = 20
"""Minutes after an outage of the mail by which what waited has left; unasked letters need sending minutes."""
EDITABLE = timedelta(minutes=16)
"""What a colleague plans is told after a quarter of an hour in which it can be changed."""
BY_HAND = frozenset({"reply", "question"})
OF_TIMES = frozenset(f"appointment_{what}" for what in ("confirmed", "moved", "given", "frozen", "cancelled", "missed"))
"""Letters that say where an agreed time stands."""
CHANGES_TIMES = frozenset({"book", "move", "keep", "cancel_appointment"})
LATE, ROUND = timedelta(minutes=15), timedelta(minutes=5)
"""When a customer is told that nobody has begun, and how long that letter may take."""
OVERTAKES = BY_HAND | {"closed", "promise_given"}
"""Letters that take the place of a receipt that could not leave before them."""
LOOKS_AFTER = re.compile(r"kümmert sich darum|looks after it|übernimmt|takes over")
ANSWERED_BY = {"reply": {"reply"}, "ask": {"question"}}
COUNTED = (
    "calls_at_an_old_time",
    "letters_naming_an_absent_person",
    "letters_to_an_absent_colleague",
    "letters_lost",
    "letters_outside_sending_hours",
    "notices_twice_a_day",
    "ladders_without_a_lead",
    "letters_untrue",
    "appointments_missed_in_silence",
    "appointments_changed_without_a_letter",
    "reminders_naming_an_old_time",
    "acts_refused_by_a_fault",
    "promises_lapsed_in_silence",
    "promises_lapsed_while_off",
    "promises_lapsed_while_mail_down",
    "promises_lapsed_out_of_reach",
)
DARK = (
    "minutes_in_the_dark",
    "minutes_in_the_dark_while_off",
    "minutes_in_the_dark_while_mail_down",
    "minutes_in_the_dark_out_of_reach",
)
"""Figures that are the number of their findings."""


@dataclass(frozen=True)
class Finding:
    """Something that a figure counts."""

    figure: str
    case: str
    at: datetime
    why: str


@dataclass
class Verdict:
    """The figures, and what they count."""

    figures: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def find(self, figure: str, story: Story | None, at: datetime, why: str) -> None:
        """Note something that a figure counts."""
        case = "-" if story is None else f"{story.number} {story.reference}"
        self.findings.append(Finding(figure, case, at, why))


def judge(folder: Path | str) -> dict[str, float]:
    """All figures of the evidence in a folder, but those of the machine (run time and memory)."""
    return weigh(Path(folder)).figures


def weigh(folder: Path) -> Verdict:
    """All figures, and the findings behind them."""
    evidence, verdict = read(folder), Verdict()
    outages = {name: _outages(evidence, team) for name, team in evidence.company.teams.items()}
    dark = dict.fromkeys(DARK, timedelta())
    for story in evidence.stories.values():
        outage = outages[story.team.name]
        pages = timeline.stretches(story, evidence.end, evidence.end)
        times, changes = agreed.times_of(story)
        seen = light.Seen(story, pages, evidence.refused.get(story.email), outage, evidence.end, times)
        for figure, (start, end) in light.dark(seen):
            dark[figure] += end - start
            verdict.find(figure, story, start, f"until {end}")
        for at, figure, why in light.lapsed(seen):
            verdict.find(figure, story, at, why)
        _calls(evidence, story, seen, verdict)
        _lost(evidence, story, verdict)
        _notices(story, verdict)
        _missed_in_silence(seen, verdict)
        _changed_without_a_letter(seen, changes, verdict)
        for arrival in story.arrivals:
            _absent_sender(evidence, story, arrival, verdict)
            _outside_hours(evidence, story, arrival, verdict)
            _untrue(story, seen, arrival, verdict)
            _reminds_wrongly(seen, arrival, verdict)
    _absent_readers(evidence, verdict)
    _refused(evidence, verdict)
    _add_up(evidence, verdict, dark)
    return verdict


def _outages(evidence: Evidence, team: Team) -> light.Outages:
    """The windows, each until what it kept back must have left."""

    def sending(end: datetime, minutes: int) -> datetime:
        return evidence.company.after(team, end, minutes, known=end)

    down = [(start, end, _running_time_after(evidence, end, timedelta(minutes=UNTIL_SENT)))
            for start, end in evidence.down]  # fmt: skip
    return light.Outages(
        off=joined((start, sending(end, GRACE)) for start, end in evidence.off),
        down=joined((start, running) for start, _, running in down),
        down_unasked=joined((start, max(running, sending(end, UNTIL_SENT))) for start, end, running in down),
    )


def _calls(evidence: Evidence, story: Story, seen: light.Seen, verdict: Verdict) -> None:
    for act in story.acts:
        if act["kind"] == "staff" and act["act"] == "start" and act["ok"]:
            slot = instant(act["slot"])
            if not any(one.starts_at == slot for one in _standing(seen, act["at"])):
                verdict.find("calls_at_an_old_time", story, act["at"], f"{slot} did not stand")
            continue
        if act["kind"] != "staff" or act["act"] != "call" or not act.get("ok", True):
            continue
        if seen.is_closed(act["at"]):
            verdict.find("calls_at_an_old_time", story, act["at"], "the case was closed")
        elif act["by"] not in _may_call(evidence, story, act["at"]):
            verdict.find("calls_at_an_old_time", story, act["at"], f"{act['by']} is not who the page named")


def _standing(seen: light.Seen, at: datetime) -> list[Agreed]:
    """The agreed time that stood at a moment, if one did."""
    return [one for one in seen.agreed if one.since <= at < one.until]


def _missed_in_silence(seen: light.Seen, verdict: Verdict) -> None:
    """Agreed times that passed: nobody had begun, and no letter had told the customer in time."""
    starts = [act["at"] for act in seen.story.acts if act["kind"] == "staff" and act["act"] == "start" and act["ok"]]
    for one in seen.agreed:
        late_at, deadline = one.starts_at + LATE, one.starts_at + LATE + ROUND
        begun = any(one.since <= at <= deadline and at < one.until for at in starts)
        if one.until <= deadline or begun or deadline >= seen.end:
            continue
        if seen.is_closed(late_at) or _kept_back(seen, deadline):
            continue
        if not any(
            letter.kind in ("appointment_late", "appointment_missed") and one.starts_at < letter.at <= deadline
            for letter in seen.story.arrivals
        ):
            verdict.find("appointments_missed_in_silence", seen.story, one.starts_at, f"no word until {deadline}")


def _changed_without_a_letter(seen: light.Seen, changes: list[Change], verdict: Verdict) -> None:
    """Times that were moved or given to somebody else, of which no letter spoke before the old time came."""
    for change in changes:
        deadline = max(change.old, change.at + light.FRESH)
        if deadline >= seen.end or seen.is_closed(deadline) or _kept_back(seen, deadline):
            continue
        if not any(
            letter.kind in OF_TIMES and letter.written >= change.at and letter.at <= deadline
            for letter in seen.story.arrivals
        ):
            verdict.find("appointments_changed_without_a_letter", seen.story, change.at, f"no letter until {deadline}")


def _kept_back(seen: light.Seen, at: datetime) -> bool:
    """Whether a fault outside kept a letter from its reader until then."""
    refuses = seen.refuses is not None and seen.refuses <= at
    return refuses or within(at, seen.outages.off) or within(at, seen.outages.mail(unasked=False))


def _reminds_wrongly(seen: light.Seen, arrival: Arrival, verdict: Verdict) -> None:
    """A reminder of a time that did not stand any more, or had come."""
    if arrival.kind != REMINDER:
        return
    right = any(one.starts_at in arrival.agreed and arrival.at < one.starts_at for one in _standing(seen, arrival.at))
    if not right:
        verdict.find("reminders_naming_an_old_time", seen.story, arrival.at, f"names {arrival.agreed}")


def _may_call(evidence: Evidence, story: Story, at: datetime) -> set[str]:
    """Whom the page names at that moment, who stands in for them, and the lead once a letter named the lead."""
    fetched = [fetch for fetch in story.fetches if fetch.at <= at]
    named = set(fetched[-1].names) | {fetched[-1].person, fetched[-1].for_name or ""} if fetched else set()
    for line in story.lines:
        if line.at <= at and LOOKS_AFTER.search(line.sentence):
            named |= {name for name in evidence.company.people if name in line.sentence}
    for arrival in story.arrivals:
        if arrival.at <= at and (not fetched or arrival.at > fetched[-1].at):
            named.add(arrival.person)
        if arrival.at <= at and arrival.names_lead and story.team.lead:
            named.add(story.team.lead)
    return {deputy for name in named - {""} for deputy in _deputies(evidence, story.team, name, at)}


def _deputies(evidence: Evidence, team: Team, name: str, at: datetime) -> set[str]:
    """Who may act for somebody: that person; and while they are away whoever stands in.

    The plan does not say who is competent for what, so nobody of the team is ruled out then, and not the last instance.
    """
    company, found = evidence.company, {name}
    if not company.is_away(name, at, known=at):
        return found
    found |= {person.name for person in company.people.values() if person.team == team.name}
    found |= {company.last_instance} if company.last_instance else set()
    while company.is_away(name, at, known=at):
        deputy = company.people[name].deputy if name in company.people else None
        if deputy is None or deputy in found:
            break
        found.add(deputy)
        name = deputy
    return found


def _lost(evidence: Evidence, story: Story, verdict: Verdict) -> None:
    """Acts that no letter answered within a day."""
    if story.is_form:
        _answered(evidence, story, story.opened, {"confirmation"}, verdict)
    for act in story.acts:
        if act["kind"] == "customer" and act["act"] == "message" and act["status"] == 303:
            _answered(evidence, story, act["at"], {"message_received", "reopened"}, verdict)
        elif _changes_a_time(act):
            _answered(evidence, story, act["at"], set(OF_TIMES | {"closed"}), verdict)
        elif _closes(act):
            # Who opens it again before the letter could leave knows that it was closed.
            _answered(evidence, story, act["at"], {"closed", "reopened"}, verdict)
        elif act["kind"] == "staff" and act["act"] in ANSWERED_BY and act.get("ok", True):
            _answered(evidence, story, act["at"], ANSWERED_BY[act["act"]], verdict)


def _changes_a_time(act: Act) -> bool:
    if act["kind"] == "customer":
        return act["act"] in CHANGES_TIMES and act["status"] == 303
    return act["act"] in ("book", "move", "freeze") and bool(act.get("ok", True))


def _answered(evidence: Evidence, story: Story, at: datetime, kinds: set[str], verdict: Verdict) -> None:
    deadline = _running_time_after(evidence, at, DAY)
    if deadline > evidence.end or evidence.refused.get(story.email, evidence.end) < deadline:
        return
    late = [one for one in story.arrivals if one.written >= at - INSTANT and one.at <= deadline]
    if any(one.kind in kinds for one in late):
        return
    # What a customer did is answered as well by whatever was written by hand, or closed, before the receipt could go.
    by_customer = not kinds & {"reply", "question", "closed"}
    if by_customer and any(one.kind in OVERTAKES for one in late):
        return
    if "message_received" in kinds and any(
        one.kind in OVERTAKES | {"confirmation"} and at - INSTANT <= one.written and one.at <= deadline
        for other in evidence.stories.values()
        if not other.is_form and other.number == story.number
        for one in other.arrivals
    ):
        return
    verdict.find("letters_lost", story, at, f"no {' or '.join(sorted(kinds))} until {deadline}")


def _running_time_after(evidence: Evidence, at: datetime, length: timedelta) -> datetime:
    """So much later, outages not counted."""
    deadline = at + length
    for start, end in joined([*evidence.off, *evidence.down]):
        if start < deadline and end > at:
            deadline += end - max(start, at)
    return deadline


def _absent_sender(evidence: Evidence, story: Story, arrival: Arrival, verdict: Verdict) -> None:
    at = arrival.written if arrival.kind in BY_HAND else arrival.at
    if evidence.company.is_away(arrival.person, at, known=at):
        verdict.find("letters_naming_an_absent_person", story, at, f"{arrival.kind} from {arrival.person}")
        return
    for name in arrival.keepers:
        if any(evidence.company.is_away(name, then, known=at) for then in arrival.agreed):
            verdict.find("letters_naming_an_absent_person", story, at, f"{arrival.kind}: {name} will not be there")
            return


def _absent_readers(evidence: Evidence, verdict: Verdict) -> None:
    by_mailbox = {person.email: person.name for person in evidence.company.people.values()}
    for at, kind, to, reference in evidence.to_staff:
        story, name = evidence.stories.get(reference), by_mailbox.get(to)
        if story is not None and name is not None and evidence.company.is_away(name, at, known=at):
            verdict.find("letters_to_an_absent_colleague", story, at, f"{kind} to {name}")


def _outside_hours(evidence: Evidence, story: Story, arrival: Arrival, verdict: Verdict) -> None:
    if arrival.kind not in UNASKED and not (arrival.kind == "closed" and _closed_by_itself(story, arrival)):
        return
    ready = evidence.company.next_minute(story.team, arrival.at, known=arrival.at, sending=True)
    earlier = [one for one in story.arrivals if one.at < arrival.at]
    told = {step for one in earlier for step in (*one.steps, *one.agreed)} | arrival.before
    if ready > arrival.at and not any(arrival.written < step < ready for step in told):
        verdict.find("letters_outside_sending_hours", story, arrival.at, f"{arrival.kind}; next is {ready}")


def _closed_by_itself(story: Story, letter: Arrival) -> bool:
    """Whether neither the customer nor a colleague closed the case that this letter says is closed."""
    return not any(_closes(act) and abs(act["at"] - letter.written) <= timedelta(minutes=1) for act in story.acts)


def _closes(act: Act) -> bool:
    return act["act"] == "close" and (act.get("status") == 303 if act["kind"] == "customer" else act.get("ok", True))


def _untrue(story: Story, seen: light.Seen, arrival: Arrival, verdict: Verdict) -> None:
    kept_back = [*seen.outages.off, *seen.outages.mail(unasked=arrival.kind in UNASKED)]
    if arrival.invites_to is not None and arrival.invites_to not in arrival.agreed:
        verdict.find(
            "letters_untrue", story, arrival.at, f"{arrival.kind}: its calendar file says {arrival.invites_to}"
        )
        return
    dates = (*arrival.steps, *arrival.agreed)
    if not dates or within(arrival.at, kept_back):
        return
    # What somebody wrote by hand is never taken back; the letter that says what has changed follows it.
    at = arrival.written if arrival.kind in BY_HAND else arrival.at
    if seen.is_closed(at) and seen.is_closed(at - INSTANT):
        verdict.find("letters_untrue", story, arrival.at, f"{arrival.kind} for a closed case")
    elif min(dates) <= arrival.at:
        verdict.find("letters_untrue", story, arrival.at, f"{arrival.kind} says {min(dates)}")


def _refused(evidence: Evidence, verdict: Verdict) -> None:
    """What customers did or looked at, and a fault of the server answered although the machine was on."""
    stories = {story.number: story for story in evidence.stories.values() if story.is_form}
    for at, number, why in evidence.refusals:
        if not within(at, evidence.off):
            verdict.find("acts_refused_by_a_fault", stories.get(number), at, why)


def _notices(story: Story, verdict: Verdict) -> None:
    days: Counter[object] = Counter()
    anew, row = timeline.kept_at(story), 0
    last = story.opened
    for arrival in sorted(story.arrivals, key=lambda one: one.written):
        if arrival.kind not in DELAYS:
            continue
        day = arrival.at.astimezone(story.team.tz).date()
        days[day] += not _planned_by_hand(story, arrival)
        if days[day] == 2 and not _planned_by_hand(story, arrival):
            verdict.find("notices_twice_a_day", story, arrival.at, f"on {day}")
        if arrival.replanned:
            continue
        row = 1 if any(last < at <= arrival.written for at in anew) else row + 1
        last = arrival.written
        if row >= 3 and arrival.kind != "lead_takes_over":
            verdict.find("ladders_without_a_lead", story, arrival.at, f"notice {row} in a row is a {arrival.kind}")


def _planned_by_hand(story: Story, notice: Arrival) -> bool:
    """Whether a colleague has just planned the date that this notice tells: only automatic ones are one a day."""
    plans = (act["at"] for act in story.acts if act["act"] == "plan" and act.get("ok", True))
    return notice.replanned and any(timedelta() <= notice.written - at <= EDITABLE for at in plans)


def _add_up(evidence: Evidence, verdict: Verdict, dark: dict[str, timedelta]) -> None:
    stories = evidence.stories.values()
    forms = {story.number: story.opened for story in stories if story.is_form}
    lines = [line for story in stories for line in story.lines]
    told = Counter(story.number for story in stories for one in story.arrivals if one.kind in DELAYS)
    notices = sorted(told[number] for number in forms)
    surplus = {name: number - 1 for name, number in evidence.copies.items() if number > 1}
    counted = Counter(finding.figure for finding in verdict.findings)
    verdict.figures = {
        "cases": len(forms),
        "letters": len(evidence.copies),
        "promises_kept": timeline.count(lines, timeline.KEPT),
        "promises_moved": timeline.count(lines, timeline.MOVED),
        **{name: sum(bool(said.search(line.sentence)) for line in lines) for name, said in agreed.COUNTED.items()},
        **{figure: round(length / timedelta(minutes=1), 1) for figure, length in dark.items()},
        **{figure: counted[figure] for figure in COUNTED},
        "letters_doubled": sum(number for name, number in surplus.items() if name not in evidence.ambiguous),
        "letters_ambiguous": len(evidence.ambiguous),
        "notices": sum(told.values()),
        "notices_per_case_p95": notices[math.ceil(0.95 * len(notices)) - 1] if notices else 0,
        "median_first_answer_minutes": _median_first_answer(evidence, forms),
    }


def _median_first_answer(evidence: Evidence, forms: dict[int, datetime]) -> float:
    """Wall-clock minutes from the form until a colleague first replied, closed, or reached the customer by phone."""
    first: dict[int, datetime] = {}
    for acts in evidence.acts.values():
        for act in acts:
            if act["kind"] == "staff" and act.get("ok", True) and _answers(act):
                first[act["case"]] = min(act["at"], first.get(act["case"], act["at"]))
    minutes = [(at - forms[number]) / timedelta(minutes=1) for number, at in first.items()]
    return round(statistics.median(minutes)) if minutes else 0


def _answers(act: Act) -> bool:
    return act["act"] in ("reply", "close") or (act["act"] in ("call", "outcome") and bool(act.get("reached")))

"""Law 1 as a customer feels it: when no step ahead was told, and which dates passed without a word."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from tests.judge.agreed import Agreed
from tests.judge.dates import moments
from tests.judge.evidence import UNASKED, Story
from tests.judge.spans import Span, cut, joined, within, without
from tests.judge.timeline import ANNOUNCED, ASKED_AGAIN, CLOSED, GIVEN, GONE, KEPT, MOVED, Stretch

FRESH = timedelta(minutes=15)
"""So long the page alone tells a step, while its letter is on its way."""
ON_TIME = timedelta(minutes=1)
"""What is done within a minute of its date is done on that date."""


@dataclass(frozen=True)
class Outages:
    """When nothing worked and when no letter left, each until things had time to get going again."""

    off: list[Span]
    down: list[Span]
    down_unasked: list[Span]
    """The same for letters that nobody asked for: they wait for the sending hours."""

    def mail(self, *, unasked: bool) -> list[Span]:
        """When such a letter could not leave."""
        return self.down_unasked if unasked else self.down


@dataclass
class Seen:
    """What one customer was told: the page at every moment, and the letters."""

    story: Story
    pages: list[Stretch]
    refuses: datetime | None
    """Since when the mailbox takes no letter."""
    outages: Outages
    end: datetime
    agreed: list[Agreed] = field(default_factory=list)

    @cached_property
    def letters(self) -> dict[datetime, datetime]:
        """Each date and when the first letter that names it was there."""
        found: dict[datetime, datetime] = {}
        for arrival in sorted(self.story.arrivals, key=lambda one: one.at):
            for step in arrival.steps:
                found.setdefault(step, arrival.at)
        return found

    @cached_property
    def unasked(self) -> set[datetime]:
        """The dates that a letter nobody asked for told first; of those that none told, the moved ones."""
        found: dict[datetime, bool] = {}
        for arrival in sorted(self.story.arrivals, key=lambda one: one.at):
            for step in arrival.steps:
                found.setdefault(step, arrival.kind in UNASKED)
        for page, shown in zip(self.pages, self.shown, strict=True):
            moved = any(by.match(line) for line in page.lines for by in (MOVED, ANNOUNCED, ASKED_AGAIN))
            for step, since in shown.items():
                found.setdefault(step, moved and since == page.start)
        return {step for step, unasked in found.items() if unasked}

    @cached_property
    def shown(self) -> list[dict[datetime, datetime]]:
        """For each stretch: its dates, each with the moment since when the page has said it."""
        found: list[dict[datetime, datetime]] = []
        for page in self.pages:
            before = found[-1] if found else {}
            anew = self._given(page)
            found.append({step: page.start if step in anew else before.get(step, page.start) for step in page.steps})
        return found

    def _given(self, page: Stretch) -> set[datetime]:
        """The dates that were promised at the start of a stretch, be it a date that was promised before."""
        lines = (line for line in page.lines if GIVEN.match(line) or MOVED.match(line))
        return {step for line in lines for step in moments(line, self.story.team.tz, page.start)[:1]}

    def is_closed(self, at: datetime) -> bool:
        """Whether the page says that the case is closed."""
        page = self.page_at(at)
        return page is not None and page.closed

    def page_at(self, at: datetime) -> Stretch | None:
        """The page at a moment; None before the form."""
        return next((page for page in self.pages if page.start <= at < page.end), None)

    def told(self, step: datetime, since: datetime) -> list[Span]:
        """When a step that the page says ``since`` then counted as told and lay ahead."""
        spans = [(since, since + FRESH)]
        if step in self.letters:
            spans.append((self.letters[step], self.end))
        return [(start, min(end, step)) for start, end in spans]

    def excused(self, step: datetime) -> list[Span]:
        """When no mail left, and this step lay ahead."""
        return [(start, min(end, step)) for start, end in self.outages.mail(unasked=step in self.unasked)]

    def told_of(self, agreed: Agreed) -> datetime:
        """When the first letter was there that names this time and was written since it stands."""
        found = (
            one.at
            for one in self.story.arrivals
            if agreed.starts_at in one.agreed and one.written >= agreed.since.replace(microsecond=0)
        )
        return min(found, default=self.end)

    def lit_by(self, agreed: Agreed) -> list[Span]:
        """When an agreed time counted as told and lay ahead."""
        told = self.told_of(agreed)
        spans = [(agreed.since, agreed.since + FRESH), (max(told, agreed.since), self.end)]
        return [(start, min(end, agreed.counts_until)) for start, end in spans]

    def out_of_reach(self, step: datetime) -> list[Span]:
        """When the mailbox took no letter, and this step lay ahead."""
        return [] if self.refuses is None else [(self.refuses, step)]


def dark(seen: Seen) -> Iterator[tuple[str, Span]]:
    """The times in which the case was open and no step ahead had been told, each under its figure.

    A page that nobody saw may have said any step: in doubt that of a letter, or one that lies beyond the end.
    """
    found: dict[str, list[Span]] = {}
    agreed_lit = [span for one in seen.agreed for span in seen.lit_by(one)]
    agreed = [(one.since, one.counts_until) for one in seen.agreed]
    for page, shown in zip(seen.pages, seen.shown, strict=True):
        if not page.closed:
            steps = shown if page.known else dict.fromkeys([*seen.letters, seen.end], page.start)
            lit = (span for step, since in steps.items() for span in seen.told(step, since))
            left = without((page.start, min(page.end, seen.end)), [*lit, *agreed_lit])
            excuses = {
                "minutes_in_the_dark_out_of_reach": [
                    *(span for step in steps for span in seen.out_of_reach(step)),
                    *([] if seen.refuses is None else [(max(start, seen.refuses), end) for start, end in agreed]),
                ],
                "minutes_in_the_dark_while_off": seen.outages.off,
                "minutes_in_the_dark_while_mail_down": [
                    *(span for step in steps for span in seen.excused(step)),
                    *(part for span in agreed for part in cut(span, seen.outages.mail(unasked=False))),
                ],
            }
            for figure, excused in excuses.items():
                found.setdefault(figure, []).extend(part for span in left for part in cut(span, excused))
                left = [part for span in left for part in without(span, excused)]
            found.setdefault("minutes_in_the_dark", []).extend(left)
    for figure, spans in found.items():
        yield from ((figure, span) for span in joined(spans))


def lapsed(seen: Seen) -> Iterator[tuple[datetime, str, str]]:
    """Every date that passed in silence: when, under which figure, and why."""
    dates = {step for page in seen.pages for step in page.steps} | set(seen.letters)
    for date in sorted(date for date in dates if seen.story.opened < date < seen.end):
        page = seen.page_at(date - timedelta(seconds=1))
        if page is None or page.closed:
            continue
        if _is_open(seen, date):
            yield date, _excused_by_the_machine(seen, date), "still promised"
        elif _is_moved(seen, date):
            yield date, _excused(seen, date), "moved, and no letter said so"


def _excused(seen: Seen, date: datetime) -> str:
    """The figure of a date that the page had moved in time: a letter may be kept back while the page says a step."""
    ahead = [step for step in _shown_at(seen, date) if step > date]
    if ahead and seen.refuses is not None and seen.refuses <= date:
        return "promises_lapsed_out_of_reach"
    figure = _excused_by_the_machine(seen, date)
    if figure == "promises_lapsed_in_silence" and any(within(date, seen.excused(step)) for step in ahead):
        return "promises_lapsed_while_mail_down"
    return figure


def _excused_by_the_machine(seen: Seen, date: datetime) -> str:
    """The figure of a date that the page did not move either: nothing but the whole machine's night excuses that."""
    off = within(date, seen.outages.off)
    return "promises_lapsed_while_off" if off else "promises_lapsed_in_silence"


def _is_moved(seen: Seen, date: datetime) -> bool:
    """Whether a date that a letter had told was taken back, and by then no letter had told the newer one."""
    gone = max((page.end for page in seen.pages if date in page.steps and page.start < date), default=None)
    if _is_resolved(seen, date) or (gone is not None and seen.letters.get(date, gone) > gone):
        return False
    if gone is not None and date not in seen.letters:
        return False  # moved before any letter told it
    # A newer date that a letter told counts, even if it was moved once more by now; one promised before does not.
    last = max((since for shown in seen.shown for step, since in shown.items() if step == date), default=None)
    shown = _shown_at(seen, date)
    newer = {step for step, since in shown.items() if step > date and (last is None or since > last)}
    newer |= _told_after(seen, date)
    return not any(seen.letters.get(step, seen.end) <= date for step in newer)


def _told_after(seen: Seen, date: datetime) -> set[datetime]:
    """The later dates that letters told once a letter had told this one."""
    told = seen.letters.get(date, seen.end)
    return {step for step, at in seen.letters.items() if step > date and at > told}


def _is_open(seen: Seen, date: datetime) -> bool:
    """Whether the page goes on naming a date as promised when it has passed."""
    page = seen.page_at(date - timedelta(seconds=1))
    return page is not None and date in page.steps and page.end > date + ON_TIME


def _is_resolved(seen: Seen, date: datetime) -> bool:
    """Whether what was promised for a date was kept, was no longer needed, or ended on time with the case."""
    last = max((page.start for page in seen.pages if date in page.steps and page.start < date), default=None)
    since = last if last is not None else seen.letters[date]
    return any(
        KEPT.match(line) or GONE.match(line) or CLOSED.search(line)
        for page in seen.pages
        if since < page.start <= date + ON_TIME
        for line in page.lines
    )


def _shown_at(seen: Seen, date: datetime) -> dict[datetime, datetime]:
    return next(
        (shown for page, shown in zip(seen.pages, seen.shown, strict=True) if page.start <= date < page.end), {}
    )

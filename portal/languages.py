"""How we speak: language, country and time zone of one reader, and dates as people say them.

A date is always a weekday, a day and an hour ("Donnerstag, 26. November, 14 Uhr"); the year appears when it is another
one or more than six months away. German first, English second; Austria and Switzerland are regions of German.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.support import NullTranslations, Translations

LANGUAGES = ("de", "en")
CATALOGUES = Path(__file__).parent / "translations"
FAR = timedelta(days=183)


def marked(sentence: str) -> str:
    """The sentence itself; marks one that is said later for the translators' catalogue."""
    return sentence


@lru_cache
def catalogue(language: str) -> NullTranslations:
    """The sentences of a language; English is the language of the source and needs none."""
    return Translations.load(str(CATALOGUES), [language])


@lru_cache(maxsize=4096)
def _written(on: date, pattern: str, locale: str) -> str:
    """A day by a CLDR pattern. Every page and letter names the same few days, and Babel parses anew each time."""
    return str(format_date(on, pattern, locale))


@dataclass(frozen=True)
class Voice:
    """Language, country (ISO 3166 code) and time zone in which one reader is spoken to."""

    language: str
    country: str
    tz: str

    @property
    def locale(self) -> str:
        """Babel's name of the locale: it decides Jänner or Januar."""
        if self.language == "de":
            return f"de_{self.country}" if self.country in ("AT", "CH") else "de"
        return "en_GB"

    def say(self, sentence: str, /, **values: object) -> str:
        """The sentence in this language, with its ``%(name)s`` places filled."""
        translated = catalogue(self.language).gettext(sentence)
        return translated % values if values else translated

    def local(self, at: datetime) -> datetime:
        """An instant on this reader's wall clock."""
        return at.astimezone(ZoneInfo(self.tz))

    def instant(self, wall_clock: datetime) -> datetime:
        """The instant of a naive wall-clock time here; the first of the two in a doubled hour (PEP 495 fold=0)."""
        return wall_clock.replace(tzinfo=ZoneInfo(self.tz)).astimezone(UTC)

    def midnight(self, day: date) -> datetime:
        """The instant at which a day begins here."""
        return self.instant(datetime.combine(day, time()))

    def moment(self, at: datetime, *, now: datetime) -> str:
        """ "Donnerstag, 26. November, 14 Uhr" or "2 pm on Thursday 26 November"."""
        local = self.local(at)
        if self.language == "en":
            return f"{self.hour(local)} on {self.day(local.date(), now=now)}"
        return f"{self.day(local.date(), now=now)}, {self.hour(local)}"

    def agreed(self, at: datetime, *, now: datetime) -> str:
        """The moment of an agreed time: "Mittwoch, 2. Dezember, 15 Uhr (MEZ)". One hour of the year comes twice."""
        name = self.local(at).tzname() or ""
        german = {"CET": "MEZ", "CEST": "MESZ"}
        return f"{self.moment(at, now=now)} ({german.get(name, name) if self.language == 'de' else name})"

    def short_moment(self, at: datetime, *, now: datetime) -> str:
        """For subjects: "Do., 26. November, 14 Uhr" or "Thu 26 November, 2 pm"."""
        local = self.local(at)
        pattern = "EEE d MMMM" if self.language == "en" else "EEE, d. MMMM"
        day = _written(local.date(), pattern + self._year(local.date(), now), self.locale)
        return f"{day}, {self.hour(local)}"

    def day(self, on: date, *, now: datetime) -> str:
        """ "Donnerstag, 26. November" or "Thursday 26 November"."""
        pattern = "EEEE d MMMM" if self.language == "en" else "EEEE, d. MMMM"
        return _written(on, pattern + self._year(on, now), self.locale)

    def hour(self, at: datetime | time) -> str:
        """ "14 Uhr", "14:30 Uhr", "2 pm", "2:30 pm"; Switzerland writes "14.30 Uhr". Takes local wall-clock time."""
        if self.language == "en":
            return self._english_hour(at.hour, at.minute)
        return f"{self._german_hour(at.hour, at.minute)} Uhr"

    def time(self, at: datetime) -> str:
        """The hour of an instant on this reader's wall clock."""
        return self.hour(self.local(at))

    @property
    def zone(self) -> str:
        """ "deutsche Zeit", "German time": named where the reader may sit elsewhere."""
        names = {
            "Europe/Berlin": self.say("German time"),
            "Europe/Vienna": self.say("Austrian time"),
            "Europe/Zurich": self.say("Swiss time"),
        }
        return names.get(self.tz, self.tz)

    def week(self, hours: Mapping[int, Sequence[tuple[int, int]]]) -> str:
        """Working hours as a sentence: "Montag bis Donnerstag 8 bis 17 Uhr, Freitag 8 bis 14 Uhr"."""
        groups: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []
        for weekday in sorted(hours):
            spans = tuple(hours[weekday])
            if not spans:
                continue
            if groups and groups[-1][1] == weekday - 1 and groups[-1][2] == spans:
                groups[-1] = (groups[-1][0], weekday, spans)
            else:
                groups.append((weekday, weekday, spans))
        return ", ".join(f"{self._weekdays(first, last)} {self._spans(spans)}" for first, last, spans in groups)

    def _weekdays(self, first: int, last: int) -> str:
        names = Locale.parse(self.locale).days["format"]["wide"]
        if first == last:
            return str(names[first])
        word = self.say("to") if last - first > 1 else self.say("and")
        return f"{names[first]} {word} {names[last]}"

    def _spans(self, spans: Sequence[tuple[int, int]]) -> str:
        return f" {self.say('and')} ".join(self.span(start, end) for start, end in spans)

    def span(self, from_minute: int, until_minute: int) -> str:
        """ "8 bis 17 Uhr", "8 am to 5 pm", from minutes of the day."""
        start, end = divmod(from_minute, 60), divmod(until_minute, 60)
        if self.language == "en":
            return f"{self._english_hour(*start)} to {self._english_hour(*end)}"
        return f"{self._german_hour(*start)} bis {self._german_hour(*end)} Uhr"

    def _german_hour(self, hour: int, minute: int) -> str:
        mark = "." if self.country == "CH" else ":"
        return f"{hour}{mark}{minute:02d}" if minute else str(hour)

    def _english_hour(self, hour: int, minute: int) -> str:
        if (hour, minute) == (12, 0):
            return "12 noon"  # "12 pm" is midnight to many
        half = "am" if hour % 24 < 12 else "pm"
        shown = hour % 12 or 12
        return f"{shown}:{minute:02d} {half}" if minute else f"{shown} {half}"

    def _year(self, on: date, now: datetime) -> str:
        today = self.local(now).date()
        return " y" if on.year != today.year or abs(on - today) > FAR else ""


def best_language(wanted: str | None) -> str:
    """The language to use for a wanted code; German where we do not speak it."""
    return wanted if wanted in LANGUAGES else "de"


def iso(at: datetime) -> str:
    """The machine-readable form for ``<time datetime>``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

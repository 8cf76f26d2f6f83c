"""Dates as our letters and pages write them, read as a customer reads them: a wall clock, often without a year."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

MONTHS = {
    name: number
    for names in (
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        "Jänner Feber März April Mai Juni Juli August September Oktober November Dezember",
        "January February March April May June July August September October November December",
    )
    for number, name in enumerate(names.split(), 1)
}
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
GERMAN = re.compile(
    rf"(?P<day>\d{{1,2}})\. (?P<month>{_MONTH})(?: (?P<year>\d{{4}}))?,?(?: um)? "
    r"(?P<hour>\d{1,2})(?:[.:](?P<minute>\d\d))? Uhr"
)
ENGLISH = re.compile(
    r"(?:(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?(?P<half>am|pm)|(?P<word>noon|midnight))"
    rf"(?: \([^)]*\))? on (?:[A-Z][a-z]+day,? )?(?P<day>\d{{1,2}}) (?P<month>{_MONTH})(?: (?P<year>\d{{4}}))?"
)


def moments(text: str, tz: ZoneInfo, said: datetime) -> tuple[datetime, ...]:
    """Every day with an hour in ``text``, in UTC; ``said`` is when it was written: its year counts if none is named."""
    found = sorted([*GERMAN.finditer(text), *ENGLISH.finditer(text)], key=lambda match: match.start())
    return tuple(_moment(match, tz, said.astimezone(tz).year) for match in found)


def _moment(match: re.Match[str], tz: ZoneInfo, this_year: int) -> datetime:
    part = match.groupdict()
    wall_clock = datetime(  # noqa: DTZ001  # the zone comes next, for the hour that the clock reads
        int(part["year"] or this_year),
        MONTHS[part["month"]],
        int(part["day"]),
        _hour(part),
        int(part["minute"] or 0),
    )
    return wall_clock.replace(tzinfo=tz).astimezone(UTC)


def _hour(part: dict[str, str]) -> int:
    if part.get("word"):
        return 12 if part["word"] == "noon" else 0
    hour = int(part["hour"])
    return hour if not part.get("half") else hour % 12 + (12 if part["half"] == "pm" else 0)

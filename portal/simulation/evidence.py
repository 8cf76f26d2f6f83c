"""The three files that the independent judge reads: what was done, what arrived, what the pages said.

Lines of JSON, gzipped; instants in UTC with a Z. The acts are kept in memory too, because the figures need them.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from portal.simulation import company
from portal.simulation.company import House
from portal.simulation.sink import Arrived

NAMES = ("plan", "letters", "pages")
_QUICK = 2
"""gzip's level: pages are many and alike."""

Act = dict[str, Any]
OUR_FAULT = 500
"""From this status on it is the server that could not answer."""


def moment(at: datetime) -> str:
    """An instant as the files write it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Listener(Protocol):
    """Hears everything that is written down."""

    def act(self, act: Act) -> None: ...
    def letter(self, letter: Arrived) -> None: ...
    def page(self, at: datetime, number: int, status: int, html: str) -> None: ...


class Evidence:
    """Collects acts, and writes all three files where a folder is given."""

    def __init__(self, folder: Path | None, listener: Listener | None = None) -> None:
        self.acts: list[Act] = []
        self.broken_pages: list[datetime] = []
        """When a status page was answered by a fault of the server."""
        self._folder, self._listener = folder, listener
        self._files: dict[str, IO[str]] = {}

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                path = self._folder / f"{name}.jsonl.gz"
                self._files[name] = gzip.open(path, "wt", encoding="utf-8", compresslevel=_QUICK)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for file in self._files.values():
            file.close()

    @property
    def written(self) -> bool:
        """Whether somebody will read the files."""
        return bool(self._files) or self._listener is not None

    def company(self, house: House) -> None:
        """The first line of the plan."""
        self._line("plan", _house(house))

    def act(self, at: datetime, kind: str, **values: object) -> None:
        """Something the driver did or knew."""
        act: Act = {"at": at, "kind": kind, **values}
        self.acts.append(act)
        if self._listener is not None:
            self._listener.act(act)
        self._line("plan", {**act, "at": moment(at)})

    def letter(self, letter: Arrived) -> None:
        """A letter that the sink stored."""
        if self._listener is not None:
            self._listener.letter(letter)
        if self._files:
            raw = base64.b64encode(letter.raw).decode("ascii")
            self._line("letters", {"at": moment(letter.at), "to": letter.to, "raw": raw})

    def page(self, at: datetime, case: int, status: int, html: str, *, final: bool, older: bool) -> None:
        """A status page as its customer saw it."""
        if status >= OUR_FAULT:
            self.broken_pages.append(at)
        if self._listener is not None:
            self._listener.page(at, case, status, html)
        self._line("pages", {"at": moment(at), "case": case, "status": status, "html": html, "final": final,
                             "older": older})  # fmt: skip

    def _line(self, name: str, values: Mapping[str, object]) -> None:
        if name in self._files:
            self._files[name].write(json.dumps(values, ensure_ascii=False) + "\n")


def _house(house: House) -> dict[str, object]:
    return {
        "kind": "company",
        "name": company.NAME,
        "sends_from_minute": company.SENDS_FROM,
        "sends_until_minute": company.SENDS_UNTIL,
        "front_desk": house.front_desk,
        "last_instance": house.last_instance,
        "teams": [
            {"name": team.name, "place": team.place, "tz": team.tz, "lead": house.lead(team.name).name,
             "hours": _week(team.hours)}
            for team in house.teams
        ],
        "people": [
            {"name": one.name, "email": one.email, "team": one.team, "place": one.place, "hours": _week(one.hours),
             "deputy": one.deputy}
            for one in house.people
        ],
        "topics": [
            dict(zip(("slug", "team", "answer_min", "update_min", "remind_min", "notice_min", "slot_min"),
                     (topic.slug, team.name, *company.LEVELS[topic.level], topic.minutes), strict=True))
            for team in house.teams for topic in team.topics
        ],
    }  # fmt: skip


def _week(hours: company.Week) -> dict[str, list[list[int]]]:
    return {str(day): [list(span) for span in spans] for day, spans in hours.items()}

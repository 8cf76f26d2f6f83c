"""Small evidence folders made by hand: what a driver, a sink and a customer would have written down."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from pathlib import Path
from typing import Any

WEEK = {str(weekday): [[480, 1020]] for weekday in range(5)}
COMPANY = {
    "at": "2026-11-23T00:00:00Z",
    "kind": "company",
    "name": "Beispielwerke",
    "sends_from_minute": 420,
    "sends_until_minute": 1140,
    "front_desk": "Petra Lindner",
    "last_instance": "Gerda Ende",
    "teams": [
        {"name": "Süd", "place": "DE-BY", "tz": "Europe/Berlin", "lead": "Jonas Weber", "hours": WEEK},
        {"name": "Zürich", "place": "CH-ZH", "tz": "Europe/Zurich", "lead": "Reto Bär", "hours": WEEK},
    ],
    "people": [
        {"name": name, "email": f"p{n}@werke.example", "team": team, "place": place, "hours": WEEK, "deputy": deputy}
        for n, (name, team, place, deputy) in enumerate(
            [
                ("Miriam Albrecht", "Süd", "DE-BY", "Petra Lindner"),
                ("Petra Lindner", "Süd", "DE-BY", "Jonas Weber"),
                ("Jonas Weber", "Süd", "DE-BY", "Petra Lindner"),
                ("Reto Bär", "Zürich", "CH-ZH", None),
                ("Gerda Ende", "Süd", "DE-BE", None),
            ]
        )
    ],
    "topics": [
        {"slug": "offer", "team": "Süd", "answer_min": 480, "update_min": 960, "remind_min": 240, "notice_min": 60},
        {"slug": "swiss", "team": "Zürich", "answer_min": 480, "update_min": 960, "remind_min": 240, "notice_min": 60},
    ],
}
MIRIAM = "Miriam Albrecht"


def at(text: str) -> datetime:
    """ "24 9:12" is 9:12 German winter time on 24 November 2026; days past 30 run on into December."""
    day, _, clock = text.partition(" ")
    hour, minute = clock.split(":")
    midnight = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=int(day) - 1)
    return midnight + timedelta(hours=int(hour) - 1, minutes=int(minute))


class Life:
    """Evidence in the making. Times are texts as ``at`` reads them; case 101 goes on with case 1."""

    def __init__(self) -> None:
        self.plan: list[dict[str, Any]] = []
        self.letters: list[dict[str, Any]] = []
        self.pages: list[dict[str, Any]] = []
        self.said: dict[int, list[tuple[datetime, str]]] = {}
        self.lines: dict[int, list[tuple[datetime, str]]] = {}
        self.people: dict[int, str] = {}
        """Whom the pages of a case name."""

    def act(self, when: str, kind: str, **more: Any) -> None:
        """A line of the plan."""
        self.plan.append({"at": _iso(at(when)), "kind": kind, **more})

    def form(self, when: str, number: int = 1, *, topic: str = "offer", person: str = MIRIAM) -> None:
        """A form that was accepted; the page names ``person`` from then on."""
        self.act(
            when,
            "form",
            case=number,
            topic=topic,
            email=f"c{number}@kunde.example",
            language="de",
            status=303,
            reference=_reference(number),
        )
        self.people[number] = person
        self.line(when, "Anliegen eingegangen", number)

    def line(self, when: str, sentence: str, number: int = 1) -> None:
        """A line of the history."""
        self.lines.setdefault(number, []).append((at(when), sentence))

    def says(self, when: str, headline: str, *lines: str, number: int = 1) -> None:
        """From now on the page says this (the step, and after " | " what is also promised); the customer looks at once.

        What happened stands in the history.
        """
        self.said.setdefault(number, []).append((at(when), headline))
        for sentence in lines:
            self.line(when, sentence, number)
        self.look(when, number)

    def look(self, when: str, number: int = 1, *, final: bool = False) -> None:
        """The customer opens the page."""
        now = at(when)
        headline = [said for since, said in self.said[number] if since <= now][-1]
        lines = "".join(
            f'<li><h3>{escape(said)}</h3>\n<p class="by">System, <time datetime="{_iso(then)}">x</time></p></li>'
            for then, said in reversed(self.lines[number])
            if then <= now
        )
        headline, _, also = headline.partition(" | ")
        person = self.people.get(number, MIRIAM)
        html = (
            f'<p class="eyebrow">Vorgang <span class="keep">{_reference(number)}</span></p><h1>{escape(headline)}</h1>'
            f'<div class="also"><ul><li>{escape(also)}.</li></ul></div>'
            f'<h2 id="person-name"><span class="eyebrow">Für Sie da</span><span>{person}</span></h2>'
            f'<ol class="journal">{lines}</ol>'
        )
        page = {"at": _iso(now), "case": number % 100, "status": 200, "html": html, "final": final, "older": False}
        self.pages.append(page)

    def letter(
        self,
        when: str,
        kind: str,
        *steps: str,
        number: int = 1,
        person: str = MIRIAM,
        to: str = "",
        written: str = "",
        copies: int = 1,
        text: str = "",
    ) -> None:
        """A letter that the sink stored."""
        message = EmailMessage()
        message["From"] = f'"{person} – Beispielwerke" <post@werke.example>'
        message["To"] = to or f"c{number % 100}@kunde.example"
        message["Date"] = format_datetime(at(written or when))
        message["Message-ID"] = f"<{len(self.letters)}@werke.example>"
        message["X-Portal-Letter"] = kind
        message["X-Portal-Case"] = _reference(number)
        message.set_content("\n".join(steps) or "–")
        bold = "".join(f"<p><strong>{escape(step)}</strong></p>" for step in steps)
        message.add_alternative(f"<html><body><p>{escape(text)}</p>{bold}</body></html>", subtype="html")
        row = {"at": _iso(at(when)), "to": message["To"], "raw": base64.b64encode(message.as_bytes()).decode()}
        self.letters += [row] * copies

    def told(self, when: str, kind: str, step: str, *lines: str, number: int = 1, person: str = MIRIAM) -> None:
        """A step that letter and page tell at once."""
        self.letter(when, kind, f"{step}.", number=number, person=person)
        self.says(when, step, *lines, number=number)

    def folder(self, path: Path, end: str = "33 18:00") -> Path:
        """Write the three files; every page is opened once more at the end."""
        for number in self.said:
            self.look(end, number, final=True)
        self.act(end, "end")
        self.plan.sort(key=lambda row: row["at"])
        for name, rows in (("plan", [COMPANY, *self.plan]), ("letters", self.letters), ("pages", self.pages)):
            with gzip.open(path / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        return path


def good_life() -> Life:
    """One case told as it should be: asked on Tuesday, answered on Wednesday, closed on Monday."""
    life = Life()
    life.form("24 9:12")
    life.told("24 9:12", "confirmation", THURSDAY)
    life.act("25 11:00", "staff", case=1, by=MIRIAM, act="reply", reached=False, keeps=True, ok=True, why="")
    life.told("25 11:00", "reply", TUESDAY, f"{MIRIAM} hat geantwortet", "Zusage eingehalten", "Zugesagt: " + DUE)
    close(life, "30 10:00")
    return life


def close(life: Life, when: str) -> None:
    """A colleague closes the case."""
    life.act(when, "staff", case=1, by=MIRIAM, act="close", reached=False, keeps=True, ok=True, why="")
    life.letter(when, "closed", "Bis Montag, 14. Dezember, können Sie den Vorgang wieder öffnen.")
    life.says(when, "Ihr Vorgang ist abgeschlossen", f"Abgeschlossen von {MIRIAM}")


THURSDAY = f"{MIRIAM} antwortet bis Donnerstag, 26. November, 14 Uhr"
FRIDAY = f"{MIRIAM} antwortet bis Freitag, 27. November, 14 Uhr"
DUE = "Dienstag, 1. Dezember, 12 Uhr"
TUESDAY = f"{MIRIAM} meldet sich bis {DUE} wieder bei Ihnen"


def _reference(number: int) -> str:
    return f"ABC-{number:03d}"


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")

"""The story of one case, with times: who wrote, what each letter said, what the page said, who was away."""

import email
import gzip
import json
import re
from datetime import datetime
from email.header import decode_header, make_header
from html import unescape
from zoneinfo import ZoneInfo

from portal.simulation.evidence import Act
from portal.simulation.life import Wanted
from portal.simulation.plan import number_of_cases
from portal.simulation.scratch import Impossible
from portal.simulation.sink import Arrived

_STEP = re.compile(r"<strong[^>]*>(.*?)</strong>", re.DOTALL)
_REFERENCE = re.compile(r"\b[2-9A-HJ-NP-Z]{3}-[2-9A-HJ-NP-Z]{3}\b")
_HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
_CLOCK = ZoneInfo("Europe/Berlin")


class Story:
    """Listens to a run and keeps what concerns one case."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._lines: list[tuple[datetime, str]] = []
        self._letters: list[tuple[Arrived, str]] = []
        """With what each says: of some it turns out later that they belong to a case that goes on with this one."""
        self._mailbox = ""
        self._absences: list[tuple[datetime, str, str]] = []
        self._people: set[str] = set()
        self._references: set[str] = set()

    def act(self, act: Act) -> None:
        """Something the driver did or knew."""
        if act["kind"] == "absence":
            until = act["until"] or "an end not yet known"
            unknown = "" if act["entered"] else " (never entered)"
            self._absences.append(
                (act["at"], act["person"], f"{act['person']} is away from {act['from']} to {until}{unknown}")
            )
        elif act["kind"] in ("smtp_down", "smtp_up", "machine_off", "machine_on"):
            self._absences.append((act["at"], "", act["kind"].replace("_", " ")))
        elif act.get("case") == self.number:
            self._tell(act)

    def letter(self, letter: Arrived) -> None:
        """A letter that the sink stored."""
        if letter.reference not in self._references and letter.to.lower() != self._mailbox:
            return
        message = email.message_from_bytes(letter.raw)
        subject, sender = (str(make_header(decode_header(message[name] or ""))) for name in ("Subject", "From"))
        self._people.update(name for name in [sender.partition(" – ")[0].strip('"')] if name)
        step = " / ".join(_plain(found) for found in _STEP.findall(_html(message)))
        says = f"\n{'':22}it says: {step}" if step else ""
        self._letters.append((letter, f"letter {letter.kind} to {letter.to} from {sender}: {subject}{says}"))

    def page(self, at: datetime, number: int, status: int, html: str) -> None:
        """A status page as it was opened."""
        if number == self.number:
            self._references.update(_REFERENCE.findall(html))
            heading = _HEADING.search(html)
            self._lines.append((at, f"page {status}: {_plain(heading[1]) if heading else ''}"))

    def text(self) -> str:
        """All of it, in order; German time."""
        told = [*self._lines, *((one.at, line) for one, line in self._letters if one.reference in self._references)]
        if not told:
            return f"There was no case {self.number}."
        first, last = min(told)[0], max(told)[0]
        mattered = [(at, line) for at, person, line in self._absences
                    if first <= at <= last and (not person or person in self._people)]  # fmt: skip
        lines = sorted([*told, *mattered], key=lambda line: line[0])
        return "\n".join(f"{at.astimezone(_CLOCK):%a %Y-%m-%d %H:%M}  {line}" for at, line in lines)

    def _tell(self, act: Act) -> None:
        if act["kind"] == "form":
            self._references.add(act["reference"] or "")
            self._mailbox = act["email"].lower()
            line = f"form {act['topic']} from {act['email']}: {act['status']}, reference {act['reference']}"
        elif act["kind"] == "customer":
            line = f"customer: {act['act']} ({act['status']})"
        else:
            self._people.add(act["by"])
            result = "" if act["ok"] else f", refused: {act['why']}"
            kept = ", kept a promise" if act["keeps"] else ""
            reached = (
                {True: ", reached", False: ", not reached"}[act["reached"]] if act["act"] in ("call", "outcome") else ""
            )
            slot = f" of {act['slot']}" if act.get("slot") else ""
            line = f"{act['by']}: {act['act']}{slot}{reached}{kept}{result}"
        self._lines.append((act["at"], line))


def number_of(case: str, wanted: Wanted) -> int:
    """The number of a case in the plan; a reference is looked up in the evidence of an earlier run, because it is drawn
    anew in each. Raises Impossible."""
    if case.isascii() and case.isdecimal() and len(case) < 10:
        last = number_of_cases(wanted.days, wanted.cases)
        if not 1 <= int(case) <= last:
            raise Impossible(f"There is no case {case}: this run has the cases 1 to {last}.")
        return int(case)
    path = None if wanted.out is None else wanted.out / "plan.jsonl.gz"
    if path is not None and path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for act in map(json.loads, lines):
                if act["kind"] == "form" and act["reference"] == case.upper():
                    return int(act["case"])
    raise Impossible(
        f"There is no case {case}: references are drawn anew in each run, so name the case's number, "
        "or with --out the folder of the run the reference comes from."
    )


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def _html(message: "email.message.Message") -> str:
    for part in message.walk():
        payload = part.get_payload(decode=True)
        if part.get_content_type() == "text/html" and isinstance(payload, bytes):
            return payload.decode("utf-8", "replace")
    return ""

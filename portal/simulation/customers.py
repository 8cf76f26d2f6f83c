"""The customers: they fill in the form, read what arrives, answer or do not, close, reopen and write again.

They reach the program only as anybody does, by its addresses (the test client is the wire), and know only what a
letter or a page told them. Each decides by a generator of their own, so that nobody's act changes another's mind.
"""

import email
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import Message
from functools import partial
from html import unescape
from random import Random
from typing import Protocol

from flask.testing import FlaskClient

from portal.simulation import choosing
from portal.simulation.choosing import Times
from portal.simulation.evidence import Evidence
from portal.simulation.plan import Arrival, Plan, Waking
from portal.simulation.sink import Arrived

_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
_KEEP = re.compile(r'class="keep">([^<]+)<')
_LINK = re.compile(r"/s/([\w.-]+)")
_OLDER = re.compile(r'href="(/s/[\w.-]+\?before=\d+)#history"')
_KEPT_OPEN = re.compile(r'action="(/s/[\w.-]+/keep-open)"')
_OF_TIMES = {"book", "move", "move_twice", "keep", "wish", "cancel_appointment", "reachable"}
MOST_TRIES = 3
"""A visitor who gets no page tries again so often."""

SOON, LATER = (0.05, 3), (0.5, 30)
REACTIONS: dict[str, tuple[tuple[str, float, tuple[float, float]], ...]] = {
    "confirmation": (
        ("message", 0.06, (0.2, 20)),
        ("close", 0.02, (1, 30)),
        ("book", 0.12, (0.1, 8)),
        ("reachable", 0.03, SOON),
    ),
    "reply": (("message", 0.10, (0.3, 24)), ("close", 0.04, (0.5, 30)), ("book", 0.05, LATER)),
    "question": (("message", 0.62, (0.3, 40)), ("close", 0.06, (0.5, 30)), ("book", 0.06, LATER)),
    "agreed": (
        ("move", 0.14, LATER),
        ("move_twice", 0.04, SOON),
        ("wish", 0.10, LATER),
        ("cancel_appointment", 0.06, LATER),
        ("close", 0.03, LATER),
        ("message", 0.04, LATER),
        ("reachable", 0.02, SOON),
    ),
    "appointment_moved": (
        ("move", 0.24, SOON),
        ("move_twice", 0.04, SOON),
        ("wish", 0.06, LATER),
        ("cancel_appointment", 0.06, LATER),
    ),
    "appointment_given": (("move", 0.15, SOON), ("wish", 0.05, SOON)),
    "appointment_frozen": (("move", 0.45, (0.05, 20)), ("keep", 0.15, SOON), ("cancel_appointment", 0.06, LATER)),
    "appointment_cancelled": (("book", 0.25, LATER), ("close", 0.1, LATER)),
    "appointment_reminder": (("wish", 0.05, (0.05, 0.9)), ("move", 0.04, SOON), ("close", 0.02, SOON)),
    "appointment_late": (("message", 0.1, (0.02, 0.2)),),
    "appointment_missed": (("book", 0.45, LATER), ("message", 0.1, LATER), ("close", 0.05, LATER)),
    "call_attempted": (("book", 0.2, LATER), ("message", 0.1, LATER)),
    "recap": (("message", 0.08, LATER), ("close", 0.1, LATER)),
    "promise_given": (("message", 0.04, (0.5, 20)),),
    "delay_notice": (("message", 0.08, (0.2, 10)), ("close", 0.03, (0.2, 10))),
    "lead_takes_over": (("message", 0.1, (0.2, 10)),),
    "waiting_reminder": (("message", 0.3, (0.3, 30)),),
    "closing_announced": (("keep_open", 0.15, (0.3, 20)), ("message", 0.15, (0.3, 20))),
    "closed": (("reopen", 0.05, (0.5, 120)), ("message", 0.03, (14.2 * 24, 20 * 24))),
}
"""What a letter moves its reader to do: the act, how likely, and after how many hours.

``agreed`` is a letter that brings an agreed time: the confirmation of a time, or of a form on which one was chosen.
"""
EXPECTED = (404, 409, 410, 422, 429)
"""Answers that a customer can get to a form of a page that has changed since, or when a rule speaks against it."""


class Wire(Protocol):
    """What customers need of the driver."""

    def instant(self) -> datetime: ...
    def at(self, instant: datetime, act: Callable[[], None]) -> None: ...
    def reachable_from(self) -> datetime: ...


class Life:
    """One accepted form and what its customer knows."""

    def __init__(self, arrival: Arrival, seed: int) -> None:
        self.arrival = arrival
        self.random = Random(f"{seed}:customer:{arrival.number}")  # noqa: S311  # chooses what happens, guards nothing
        self.waking = Waking(self.random, arrival.tz)
        self.reference: str | None = None
        self.tokens: dict[str, str] = {}
        """The link by reference: a case that continues a closed one has its own."""
        self.offered: list[str] | None = None
        """The times that the form, or the answer to it, showed last."""
        self.agreed: dict[str, str] = {}
        """The time chosen last, by reference, as the page of times sends it."""


class Customers:
    """All of them."""

    def __init__(self, client: FlaskClient, plan: Plan, wire: Wire, evidence: Evidence) -> None:
        self._client, self._plan, self._wire, self._evidence = client, plan, wire, evidence
        self.lives: dict[int, Life] = {}
        self.by_reference: dict[str, Life] = {}
        self.broken_pages: list[str] = []
        """Answers nobody should ever get: the address's last word and the status."""
        self.on_wish: Callable[[str], None] = lambda _: None
        """Told of a case whose customer rings up because another time would suit better."""

    def begin(self) -> None:
        """Everybody waits for their hour."""
        for arrival in self._plan.arrivals:
            self._wire.at(arrival.at, partial(self._fill_in, Life(arrival, self._plan.seed)))

    def received(self, letter: Arrived, life: Life) -> None:
        """A letter is in the mailbox: its reader opens the page, and may do something later."""
        reference = letter.reference
        if reference not in life.tokens or letter.kind == "link":
            found = _LINK.search(_text(letter.raw))
            if found is None:
                return
            life.tokens[reference] = found[1]
        self.look(life, reference)
        draw, sum_ = life.random.random(), 0.0
        agreed = letter.kind == "appointment_confirmed" or (letter.kind == "confirmation" and reference in life.agreed)
        for act, share, hours in REACTIONS.get("agreed" if agreed else letter.kind, ()):
            sum_ += share
            if draw < sum_:
                at = life.waking.after(self._wire.instant(), hours)
                self._wire.at(at, partial(self._do, life, reference, act))
                return

    def look(self, life: Life, reference: str, *, final: bool = False, token: str | None = None) -> None:
        """Open the status page; at the end with all its earlier entries. Nothing but the evidence needs it."""
        path = f"/s/{token or life.tokens[reference]}"
        if not self._evidence.written:
            return
        html = self._open(life, path, final=final, older=False)
        for _ in range(200 if final else 0):
            further = _OLDER.search(html)
            if further is None:
                return
            html = self._open(life, unescape(further[1]), final=final, older=True)

    def _open(self, life: Life, path: str, *, final: bool, older: bool) -> str:
        page = self._client.get(path)
        html = page.get_data(as_text=True)
        if page.status_code != 200:
            self._wonder("page", page.status_code, 410)
        self._evidence.page(self._wire.instant(), life.arrival.number, page.status_code, html, final=final, older=older)
        return html

    def act_now(self, reference: str, act: str) -> None:
        """One customer does something in this very minute; nothing where no letter has reached them yet."""
        life = self.by_reference.get(reference)
        if life is not None and reference in life.tokens:
            self._do(life, reference, act)

    def _fill_in(self, life: Life, tries: int = 1) -> None:
        arrival = life.arrival
        if self._put_off(lambda: self._fill_in(life, tries)):
            return
        language = {"lang": arrival.language}
        shown = self._client.get("/contact", query_string=language)
        token = dict(_FIELD.findall(shown.get_data(as_text=True))).get("csrf_token", "")
        fields = {
            "csrf_token": token,
            "topic": arrival.topic.slug,
            "name": arrival.name,
            "email": arrival.email,
            "phone": arrival.phone or "",
            "customer_number": arrival.account or "",
            "message": f"Anfrage {arrival.number}: bitte melden Sie sich.",
        }
        if life.offered is None:
            life.offered = choosing.of_topic(shown.get_data(as_text=True), arrival.topic.slug)
        chooses = arrival.chooses and tries < MOST_TRIES  # who was refused twice wants no fixed time any more
        slot = choosing.pick(life.offered, life.random) if chooses else None
        if slot is not None:
            fields["slot"] = slot
        answer = self._client.post("/contact", query_string=language, data=fields)
        values: dict[str, object] = {"case": arrival.number, "topic": arrival.topic.slug, "email": arrival.email,
                                     "language": arrival.language}  # fmt: skip
        if answer.status_code != 303:
            self._evidence.act(self._wire.instant(), "form", **values, status=answer.status_code, reference=None)
            # Whoever will be responsible may not be free then: the answer says when they are.
            self._wonder("contact", answer.status_code, *((409, 422) if slot is not None else ()))
            life.offered = choosing.of_topic(answer.get_data(as_text=True), arrival.topic.slug)
            if tries < MOST_TRIES:
                self._wire.at(self._wire.instant() + timedelta(minutes=5), lambda: self._fill_in(life, tries + 1))
            return
        thanks = self._client.get(answer.location)
        found = _KEEP.search(thanks.get_data(as_text=True))
        if found is None:
            self._wonder("thanks", thanks.status_code)
            return
        life.reference = found[1]
        if slot is not None:
            life.agreed[life.reference] = slot
        self.lives[arrival.number] = self.by_reference[life.reference] = life
        self._evidence.act(self._wire.instant(), "form", **values, status=303, reference=life.reference)

    def _do(self, life: Life, reference: str, act: str) -> None:
        if self._put_off(lambda: self._do(life, reference, act)):
            return
        if act in _OF_TIMES:
            self._do_about_times(life, reference, act)
            return
        base = f"/s/{life.tokens[reference]}"
        shown = self._client.get(f"{base}/close" if act == "close" else base)
        html, target = shown.get_data(as_text=True), f"{base}/{act}"
        if act == "keep_open":
            offered = _KEPT_OPEN.search(html)
            if offered is None:
                return  # an announced closing may be over by now
            target = offered[1]
        if act == "reopen" and f'action="{base}/reopen"' not in html:
            act, target = "message", f"{base}/message"
        fields = dict(_FIELD.findall(html))
        texts = {"message": f"Nachricht zu {reference}", "outcome": life.random.choice(("done", "withdrawn"))}
        answer = self._client.post(target, data={**texts, **fields})
        self._note(life, reference, act, answer.status_code)
        if answer.status_code != 303:
            self._wonder(act, answer.status_code, 404, 409, 410)
        self.look(life, reference)

    def _do_about_times(self, life: Life, reference: str, act: str) -> None:
        times = Times(self._client, f"/s/{life.tokens[reference]}", life.arrival.phone)
        if act == "wish":
            self._note(life, reference, act, 200)
            self.on_wish(reference)
            return
        if act == "cancel_appointment":
            done = times.cancel()
        elif act == "reachable":
            done = times.say_reachable(life.random)
        elif act == "keep":
            done = times.choose(life.random, keep=life.agreed.get(reference))
        else:
            done = times.choose(life.random, twice=act == "move_twice")
        for what, status, slot in done:
            self._note(life, reference, what, status)
            if status != 303:
                self._wonder(what, status, *EXPECTED)
            elif slot is not None:
                life.agreed[reference] = slot
        self.look(life, reference)

    def _note(self, life: Life, reference: str, act: str, status: int) -> None:
        self._evidence.act(self._wire.instant(), "customer", case=life.arrival.number, act=act, reference=reference,
                           status=status)  # fmt: skip

    def _put_off(self, again: Callable[[], None]) -> bool:
        """Where the machine is off, nobody gets an answer; they try again when it is back."""
        from_ = self._wire.reachable_from()
        if from_ <= self._wire.instant():
            return False
        self._wire.at(from_ + timedelta(minutes=1), again)
        return True

    def _wonder(self, what: str, status: int, *expected: int) -> None:
        if status not in expected:
            self.broken_pages.append(f"{what}: {status}")


def _text(raw: bytes) -> str:
    """The text part of a letter."""
    message: Message = email.message_from_bytes(raw)
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return ""

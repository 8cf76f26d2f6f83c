"""What customers do about agreed times, on the pages their letters lead to: choose one, move it, keep it, call it off.

They know what a page shows them: its times, and the hidden fields of its form. Who presses an old form again sends what
that form said.
"""

import re
from collections.abc import Iterator
from html import unescape
from random import Random

from flask.testing import FlaskClient

_INPUT = re.compile(r"<(?:input|button)\b[^>]*>")
_ATTRIBUTE = re.compile(r'(\w[\w-]*)="([^"]*)"')
_OFFERED = re.compile(r'<fieldset[^>]*data-times="([^"]+)"(.*?)</fieldset>', re.DOTALL)
NEAR = (9, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1)
"""How often the first time of a page is chosen, the second and so on, in parts."""

NUMBER = "089 99998-499"
"""What those type who gave no number on the form."""
Did = tuple[str, int, str | None]
"""An act, how it was answered, and the time it was about, if any."""


class Times:
    """The pages of one case behind its link."""

    def __init__(self, client: FlaskClient, base: str, phone: str | None) -> None:
        self._client, self._base, self._phone = client, base, phone

    def choose(self, random: Random, *, keep: str | None = None, twice: bool = False) -> Iterator[Did]:
        """Choose a time: the act and how it was answered; nothing where there is nothing to choose.

        ``keep``: the time that was agreed, taken up again from a hold. ``twice``: the same form is sent for two times
        within one minute.
        """
        offered = slots(self._get("/appointment"))
        first = keep if keep is not None else pick(offered, random)
        if first is None:
            return
        checked = self._get("/appointment", slot=first)
        fields = hidden(checked)
        if "slot" not in fields:
            return  # taken by somebody else while it was looked at
        act = "keep" if keep is not None else "move" if fields.get("version") else "book"
        yield act, self._post("/appointment", {**fields, "phone": self._phone or NUMBER}), first
        second = pick([one for one in offered if one != first], random)
        if twice and second is not None:
            again = hidden(self._get("/appointment", slot=second))
            old = {**again, **{name: fields[name] for name in ("version",) if name in fields}, "slot": second}
            yield act, self._post("/appointment", {**old, "phone": self._phone or NUMBER}), second

    def cancel(self) -> Iterator[Did]:
        """Call it off."""
        fields = hidden(self._get("/appointment/cancel"))
        if fields.get("version"):
            yield (
                "cancel_appointment",
                self._post("/appointment/cancel", {**fields, "reason": "Es passt nicht mehr."}),
                None,
            )

    def say_reachable(self, random: Random) -> Iterator[Did]:
        """Say at which parts of the day they can be reached."""
        page = self._get("/appointment")
        parts = [found["value"] for found in inputs(page) if found.get("name") == "parts"]
        if parts:
            said = [part for part in parts if random.random() < 0.5]
            yield "reachable", self._post("/reachable", {**hidden(page), "parts": said}), None

    def _get(self, path: str, **query: str) -> str:
        return self._client.get(self._base + path, query_string=query).get_data(as_text=True)

    def _post(self, path: str, fields: dict[str, object]) -> int:
        return self._client.post(self._base + path, data=fields).status_code


def of_topic(html: str, slug: str) -> list[str]:
    """The times that the contact form shows for a topic."""
    return next((slots(list_) for topic, list_ in _OFFERED.findall(html) if unescape(topic) == slug), [])


def slots(html: str) -> list[str]:
    """The times of a page, in their order."""
    found = [one["value"] for one in inputs(html) if one.get("name") == "slot" and one.get("type") == "radio"]
    return list(dict.fromkeys(value for value in found if value))


def pick(offered: list[str], random: Random) -> str | None:
    """One of them, mostly an early one."""
    if not offered:
        return None
    return random.choices(offered[: len(NEAR)], NEAR[: len(offered)])[0]


def hidden(html: str) -> dict[str, object]:
    """The hidden fields of a page; of several with one name the last."""
    return {one["name"]: one["value"] for one in inputs(html) if one.get("type") == "hidden" and "name" in one}


def inputs(html: str) -> Iterator[dict[str, str]]:
    """The attributes of every field."""
    for tag in _INPUT.findall(html):
        found = {name: unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
        yield {"value": "", **found}

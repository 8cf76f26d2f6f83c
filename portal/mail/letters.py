"""The words of a letter: a kind, a language and plain values become subject, text and HTML.

A kind is a member of LetterKind and a folder ``templates/mail/<kind>/<language>/`` with ``subject.txt``,
``body.txt`` and ``body.html``; greeting, signature and company block come from ``templates/mail/_layout/``.
Text and HTML say the same words. Nothing here knows the database, the outbox or SMTP.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context
from markupsafe import Markup

WIDTH = 78
"""Columns of a text mail; RFC 5322 section 2.1.1 asks for no more."""
SUBJECT_LENGTH = 200

PROSE = frozenset({"text", "outcome_text", "question"})
"""Values whose line breaks are kept; every other value is one line."""
NAMES = frozenset({"customer", "name", "for_name", "before_name", "owner", "other"})
ADDRESSES = frozenset(
    {"case_url", "confirm_url", "email", "imprint_url", "not_me_url", "privacy_url", "status_url", "times_url"}
)
VERBATIM = NAMES | PROSE | ADDRESSES | {"files", "legal_lines", "reason", "what"}
"""Values Swiss spelling leaves alone: names, addresses and what a person wrote."""

UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, switches of writing direction and halves of characters: none may reach a mail."""
URL = re.compile(r"https?://[^\s<>\"'„“”«»]*[^\s<>\"'„“”«».,;:!?)\]}]", re.IGNORECASE)
DATE = re.compile(r"(?<=\d) (?=Uhr\b|[ap]m\b|noon\b|[A-ZÄÖÜ])|(?<=\d\.) (?=[A-ZÄÖÜ])")
"""The spaces inside "26. November", "26 November", "14 Uhr", "2 pm" and "12 noon", where no line ends."""
LEAD = re.compile(r" *(?:[-*•–] +)?")
KEPT_SHARP_S = "\ue0df"
"""Stands for a ß that stays one; from the private use area, so no text of ours holds it."""


class LetterKind(StrEnum):
    """What a letter says; the value is its folder and its X-Portal-Letter header."""

    CONFIRMATION = "confirmation"
    MESSAGE_RECEIVED = "message_received"
    PROMISE_GIVEN = "promise_given"
    REPLY = "reply"
    QUESTION = "question"
    CLOSED = "closed"
    REOPENED = "reopened"
    LINK = "link"
    ERASURE = "erasure"
    DELAY_NOTICE = "delay_notice"
    LEAD_TAKES_OVER = "lead_takes_over"
    WAITING_REMINDER = "waiting_reminder"
    CLOSING_ANNOUNCED = "closing_announced"
    CALL_ATTEMPTED = "call_attempted"
    APPOINTMENT_CONFIRMED = "appointment_confirmed"
    APPOINTMENT_MOVED = "appointment_moved"
    APPOINTMENT_GIVEN = "appointment_given"
    APPOINTMENT_CANCELLED = "appointment_cancelled"
    APPOINTMENT_FROZEN = "appointment_frozen"
    APPOINTMENT_REMINDER = "appointment_reminder"
    APPOINTMENT_LATE = "appointment_late"
    APPOINTMENT_MISSED = "appointment_missed"
    RECAP = "recap"
    STAFF_NEW_CASE = "staff_new_case"
    STAFF_MESSAGE = "staff_message"
    STAFF_DOUBTFUL = "staff_doubtful"
    STAFF_NOT_ME = "staff_not_me"
    STAFF_UNDELIVERABLE = "staff_undeliverable"
    STAFF_REOPENED = "staff_reopened"
    STAFF_CLOSED = "staff_closed"
    STAFF_REMINDER = "staff_reminder"
    STAFF_DELAYED = "staff_delayed"
    STAFF_ESCALATION = "staff_escalation"
    STAFF_APPOINTMENT = "staff_appointment"

    @property
    def is_for_staff(self) -> bool:
        """Whether a colleague reads it and not the customer."""
        return self.value.startswith("staff_")


NAMES_WHAT_IS_AHEAD = frozenset({LetterKind.CONFIRMATION, LetterKind.MESSAGE_RECEIVED, LetterKind.REOPENED})
"""Kinds that somebody waits for whatever became of the promise in them: they name the next step, whichever it is."""
NOTICES = frozenset({LetterKind.DELAY_NOTICE, LetterKind.LEAD_TAKES_OVER})
"""Kinds that list every promise that moved."""
RESTATED = (
    NAMES_WHAT_IS_AHEAD
    | NOTICES
    | {LetterKind.ERASURE, LetterKind.APPOINTMENT_CANCELLED, LetterKind.APPOINTMENT_FROZEN}
)
"""Kinds that say more than one promise: where that has ended before they left, they are written anew with the next."""
TELLS_AN_APPOINTMENT = frozenset(
    {
        LetterKind.APPOINTMENT_CONFIRMED,
        LetterKind.APPOINTMENT_MOVED,
        LetterKind.APPOINTMENT_GIVEN,
        LetterKind.APPOINTMENT_REMINDER,
    }
)
"""Kinds that are true only while the appointment stands as they tell it."""
WITH_THE_LINK_OF_NOW = RESTATED | TELLS_AN_APPOINTMENT | {LetterKind.APPOINTMENT_MISSED}
"""Kinds that are written anew where the link in them has died: nothing else tells what they tell."""
TELLS_A_COLLEAGUE = frozenset({LetterKind.STAFF_NEW_CASE, LetterKind.STAFF_MESSAGE, LetterKind.STAFF_REOPENED})
"""Kinds that tell a colleague of something that happened, and of the next step besides: where an appointment in them
has changed, they are written anew with what is ahead."""


@dataclass(frozen=True)
class Rendered:
    """A letter in words: the subject is one line, text and HTML hold the same sentences."""

    subject: str
    text: str
    html: str


def render(kind: LetterKind, language: str, values: Mapping[str, Any]) -> Rendered:
    """The letter of a kind in "de" or "en", with its places filled.

    ``values`` are plain: strings that are ready to be read, flags, None, and lists and mappings of these;
    dates and hours come as sentences in the reader's language and time zone.
    ``country`` ("DE", "AT", "CH") may be left out for staff.

    Raises jinja2.UndefinedError for a value that is missing, TypeError for one that is not plain.
    """
    plain = _each(values, _cleaned)
    swiss = language == "de" and plain.get("country") == "CH"
    spell = _swiss if swiss else str
    context = {"country": "DE", **(_with_names_kept(plain) if swiss else plain), "language": language}
    folder = f"{kind.value}/{language}"
    subject = _one_line(_filled(f"{folder}/subject.txt", context))
    html = _filled(f"{folder}/body.html", {**context, "subject": subject})
    return Rendered(
        subject=_shortened(spell(subject)),
        text=_text(spell(_filled(f"{folder}/body.txt", context))),
        html=spell(html) + "\n",
    )


def wrap(text: str, width: int = WIDTH) -> str:
    """The text with no line longer than ``width`` columns, except a line that is one long web address.

    Line breaks and indentation stay as they are; further lines of a list item stand under its first word.
    """
    return "\n".join(part for line in text.expandtabs(4).split("\n") for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    found = LEAD.match(line)
    lead = found[0][: width // 2] if found else ""
    room = width - len(lead)
    # textwrap keeps long words whole for the sake of web addresses, so other long words are cut beforehand.
    words = re.sub(rf"\S{{{room + 1},}}", lambda word: _cut(word[0], room), line[len(lead) :])
    folded = textwrap.wrap(
        words,
        width,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return folded or [""]


def _cut(word: str, room: int) -> str:
    if "://" in word:
        return word
    return " ".join(word[start : start + room] for start in range(0, len(word), room))


def _text(raw: str) -> str:
    """A filled text template as it is sent: wrapped, one blank line at most, no spaces at a line's end."""
    lines = (line.rstrip() for line in wrap(DATE.sub("\xa0", raw)).split("\n"))
    # Copying from a text mail must give plain spaces, so those that held words together end here.
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n").replace("\xa0", " ") + "\n"


def _each(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """The same plain value with every string changed by ``change(key, string)``."""
    if isinstance(value, str):
        return change(key, value)
    if isinstance(value, Mapping):
        return {name: _each(inner, change, name) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each(inner, change, key) for inner in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    raise TypeError(f"A letter takes plain values; {key} is a {type(value).__name__}.")


def _cleaned(key: str, text: str) -> str:
    if key in PROSE:
        return "\n".join(UNSEEN.sub("", line) for line in text.splitlines()).strip("\n")
    return _one_line(text)


def _one_line(text: str) -> str:
    if text.isprintable() and "  " not in text and text == text.strip():
        return text  # nearly every value; the only white space that counts as printable is the plain space
    return " ".join(UNSEEN.sub(" ", text).split())


def _shortened(subject: str) -> str:
    return subject if len(subject) <= SUBJECT_LENGTH else subject[: SUBJECT_LENGTH - 1].rstrip() + "…"


def _with_names_kept(values: dict[str, Any]) -> dict[str, Any]:
    """The values with each ß marked that Swiss spelling must not touch, also in a name inside a sentence."""
    names: set[str] = set()

    def collect(key: str, text: str) -> str:
        if key in NAMES and "ß" in text:
            names.add(text)
        return text

    def mark(key: str, text: str) -> str:
        for name in [text] if key in VERBATIM else names:
            text = text.replace(name, name.replace("ß", KEPT_SHARP_S))
        return text

    _each(values, collect)
    marked: dict[str, Any] = _each(values, mark)
    return marked


def _swiss(text: str) -> str:
    """Switzerland writes ss (Bundeskanzlei, Leitfaden zur deutschen Rechtschreibung)."""
    return text.replace("ß", "ss").replace(KEPT_SHARP_S, "ß")


@pass_context
def _quoted(context: Context, text: str) -> str:
    """The text in the quotation marks of its reader."""
    if context["language"] == "en":
        return f"“{text}”"
    return f"«{text}»" if context["country"] == "CH" else f"„{text}“"


@pass_context
def _opening(context: Context, words: str) -> str:
    """The first words after a German greeting: small where its comma runs on, large where there is none."""
    return words[:1].upper() + words[1:] if context["country"] == "CH" else words


def _together(text: str) -> str:
    """For text templates: words that stay on one line, such as a telephone number."""
    return text.replace(" ", "\xa0")


def _in_zone(sentence: str, zone: str) -> str:
    """The sentence with the time zone before its full stop."""
    return f"{sentence.removesuffix('.')} ({zone})."


def _paragraphs(text: str) -> Markup:
    """A person's own text as HTML: paragraphs, line breaks and web addresses, everything else escaped."""
    blocks = (block.split("\n") for block in re.split(r"\n\s*\n", text.strip()))
    return Markup("\n").join(
        Markup("<p>{}</p>").format(Markup("<br>\n").join(_linked(line) for line in block)) for block in blocks
    )


def _linked(line: str) -> Markup:
    linked, end = Markup(), 0
    for url in URL.finditer(line):
        linked += line[end : url.start()] + Markup('<a href="{0}">{0}</a>').format(url[0])
        end = url.end()
    return linked + line[end:]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """The templates, compiled once in a process."""
    environment = Environment(
        loader=PackageLoader("portal", "templates/mail"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters |= {
        "quoted": _quoted,
        "opening": _opening,
        "together": _together,
        "in_zone": _in_zone,
        "paragraphs": _paragraphs,
    }
    return environment


def _filled(name: str, context: Mapping[str, Any]) -> str:
    return _environment().get_template(name).render(context)

"""The local mailbox's pages: all letters, and one of them as text, as HTML, with its headers, and as it was sent."""

import re
from contextlib import suppress
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask import Blueprint, Response, abort, current_app, make_response, render_template
from markupsafe import Markup, escape

from portal.pages import headers, speaking
from portal.pages.mailbox import receiver

bp = Blueprint("mailbox", __name__, url_prefix="/mailbox")

# A letter's HTML may bring its own styles and nothing else; its links open in a tab of their own, out of the sandbox.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
LETTER_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox {SANDBOX}"
PAGE_POLICY = f"{headers.CONTENT_POLICY}; frame-src 'self'"

_LINK = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]")
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)


@bp.get("/")
def letters() -> str:
    """All letters, newest first."""
    directory = _directory()
    rows = []
    for name in receiver.names(directory):
        with suppress(FileNotFoundError):  # dropped as the oldest one since the names were read
            rows.append(_row(directory / name))
    return render_template("mailbox/letters.html", rows=rows, languages=True)


@bp.get("/<name>")
def letter(name: str) -> Response:
    """One letter: text, HTML, headers."""
    raw = _raw(name)
    message = _message(raw)
    page = render_template(
        "mailbox/letter.html",
        row=_row(_directory() / name),
        languages=True,
        fields=[(field, _shown(value)) for field, value in message_from_bytes(raw).items()],
        text=_part(message, "plain"),
        html=_part(message, "html"),
        sandbox=SANDBOX,
        with_links=with_links,
    )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


@bp.get("/<name>/html")
def html(name: str) -> Response:
    """The HTML part alone, for the frame on the letter's page."""
    part = _part(_message(_raw(name)), "html")
    if part is None:
        abort(404)
    response = make_response(_HEAD.sub(r'\g<0><base target="_blank">', part, count=1))
    response.headers["Content-Security-Policy"] = LETTER_POLICY
    return response


@bp.get("/<name>/raw")
def raw(name: str) -> Response:
    """The letter as it was sent."""
    return Response(_raw(name), mimetype="text/plain")


def with_links(text: str) -> Markup:
    """The text, escaped, its web addresses made clickable."""
    pieces, end = [], 0
    for found in _LINK.finditer(text):
        link = Markup('<a href="{0}" rel="noopener noreferrer">{0}</a>').format(found[0])
        pieces += [escape(text[end : found.start()]), link]
        end = found.end()
    return Markup("").join([*pieces, escape(text[end:])])


def _directory() -> Path:
    return Path(current_app.config["MAILBOX_DIR"])


def _raw(name: str) -> bytes:
    path = receiver.find(_directory(), name)
    if path is None:
        abort(404)
    return path.read_bytes()


def _row(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        heading = BytesHeaderParser().parse(file)
    at = receiver.received_at(path.name)
    zone = ZoneInfo(current_app.extensions["portal.settings"].timezone)
    return {
        "name": path.name,
        "at": at,
        "at_shown": format_datetime(at, "medium", zone, "en_GB" if speaking.language() == "en" else "de"),
        "sender": _shown(heading["From"]),
        "recipient": _shown(heading["To"]),
        "subject": _shown(heading["Subject"]),
    }


def _shown(value: object) -> str:
    # Not the newer parser of CPython: it puts spaces into long names (gh-128110).
    try:
        return re.sub(r"\r?\n[ \t]", " ", str(make_header(decode_header(str(value or "")))))
    except (MessageError, LookupError, ValueError):
        return str(value)


def _message(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    content = part.get_payload(decode=True)
    charset = part.get_content_charset("utf-8")
    try:
        return bytes(content).decode(charset, "replace")
    except LookupError:
        return bytes(content).decode("utf-8", "replace")

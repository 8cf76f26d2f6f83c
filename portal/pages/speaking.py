"""Which language a page is in, and who speaks where no case names a person.

The contact form, the link pages and the errors follow `?lang=`, else the browser; pages of a case follow the case
(``speak``). Flask-Babel asks ``language`` as its locale selector; templates get it as `language`.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask import Flask, g, has_request_context, request
from flask_babel import refresh
from markupsafe import Markup, escape
from sqlalchemy.orm import Session
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from portal.cases import directory as directories
from portal.cases import timeline
from portal.languages import LANGUAGES, best_language, catalogue, iso
from portal.people.models import Company

HOUR = re.compile(r"(?<=\d) (?=(?:am|pm|noon|Uhr)\b)")


def init_app(app: Flask) -> None:
    """Give every template its page's language and sentences, and the machine's form of an instant.

    Flask-Babel, already there, would look its catalogue up anew for each sentence, a tenth of a page's time.
    """
    app.context_processor(lambda: {"language": language()})
    app.add_template_filter(iso, "iso")
    app.add_template_filter(unbroken, "unbroken")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # Jinja's i18n extension adds it
        lambda sentence: catalogue(language()).gettext(sentence),
        lambda one, many, count: catalogue(language()).ngettext(one, many, count),
        newstyle=True,
    )


def unbroken(text: str) -> Markup:
    """The same with each hour and its word on one line: "9 am", "14 Uhr"."""
    whole = escape(text)
    for found in HOUR.finditer(whole):  # one character for another, so the places of the others stay
        whole = whole[: found.start()] + "\u00a0" + whole[found.end() :]
    return whole


def language() -> str:
    """The language of the page being made: what ``speak`` said, `?lang=`, the browser's wish, else German."""
    if not has_request_context():
        return best_language(None)
    return str(g.get("language") or _wanted())


def speak(code: str) -> None:
    """From here on this request's page is in the given language; what is not spoken here becomes German."""
    g.language = best_language(code)
    refresh()


def house(session: Session, *, now: datetime) -> dict[str, Any]:
    """What a page needs that belongs to no case: the company, and the front desk to turn to."""
    person, voice = timeline.front_desk(session, language=language(), now=now)
    return {"company": company(session, now=now), "person": person, "voice": voice, "now": now}


def company(session: Session, *, now: datetime) -> Company:
    """The firm whose page this is."""
    return directories.load(session, now=now).company


def _wanted() -> str:
    asked = request.args.get("lang")
    if asked in LANGUAGES:
        return asked
    return _understood(request.headers.get("Accept-Language", ""))


@lru_cache(maxsize=256)
def _understood(header: str) -> str:
    return best_language(parse_accept_header(header, LanguageAccept).best_match(LANGUAGES))

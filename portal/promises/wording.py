"""Promises as sentences: who, what, until when, and how much time is left."""

from datetime import datetime

from portal.languages import Voice
from portal.promises.business_time import Calendar, between
from portal.promises.models import Medium, PromiseKind


def sentence(kind: PromiseKind, medium: Medium, name: str, due: str, voice: Voice, *, closes: bool = False) -> str:
    """ "Miriam Albrecht antwortet bis Donnerstag, 26. November, 14 Uhr", without the full stop.

    ``due`` is a moment already in the reader's words. The medium speaks where it says more than the kind does.
    ``closes``: the next step is the announced closing for lack of an answer.
    """
    if closes:
        return voice.say("Unless we hear from you, %(name)s closes the request after %(due)s", name=name, due=due)
    if kind == PromiseKind.FOLLOW_UP:
        return voice.say("%(name)s gets in touch with you again by %(due)s", name=name, due=due)
    if kind == PromiseKind.CALL or medium == Medium.CALL:
        return voice.say("%(name)s will call you by %(due)s", name=name, due=due)
    if medium == Medium.VISIT:
        return voice.say("%(name)s will visit you by %(due)s", name=name, due=due)
    if medium == Medium.LETTER:
        return voice.say("%(name)s will write you a letter by %(due)s", name=name, due=due)
    if kind == PromiseKind.RESULT:
        return voice.say("%(name)s will send you the result by %(due)s", name=name, due=due)
    return voice.say("%(name)s will reply by %(due)s", name=name, due=due)


def agreed(medium: Medium, name: str, moment: str, voice: Voice, *, short: bool = False) -> str:
    """ "Miriam Albrecht ruft Sie am Donnerstag, 26. November, 14 Uhr an", without the full stop.

    ``short``: the moment is one for subjects, which in English begins with the day.
    """
    if short and medium == Medium.VISIT:
        return voice.say("%(name)s will visit you on %(moment)s", name=name, moment=moment)
    if short:
        return voice.say("%(name)s will call you on %(moment)s", name=name, moment=moment)
    if medium == Medium.VISIT:
        return voice.say("%(name)s will visit you at %(moment)s", name=name, moment=moment)
    return voice.say("%(name)s will call you at %(moment)s", name=name, moment=moment)


def agreed_for_colleagues(medium: Medium, name: str, moment: str, voice: Voice) -> str:
    """The same where a colleague reads it, who may be the one who calls."""
    if medium == Medium.VISIT:
        return voice.say("As agreed, %(name)s comes for a visit at %(moment)s", name=name, moment=moment)
    return voice.say("As agreed, %(name)s calls at %(moment)s", name=name, moment=moment)


def calendar_title(medium: Medium, name: str, company: str, voice: Voice) -> str:
    """What a calendar calls it: "Anruf von Miriam Albrecht, Beispielwerke"."""
    if medium == Medium.VISIT:
        return voice.say("Visit by %(name)s, %(company)s", name=name, company=company)
    return voice.say("Call from %(name)s, %(company)s", name=name, company=company)


def offer(is_call: bool, due: str, voice: Voice) -> str:
    """What the form says a topic gets: "Antwort bis Donnerstag, 26. November, 14 Uhr"."""
    return voice.say("Call by %(due)s", due=due) if is_call else voice.say("Reply by %(due)s", due=due)


def time_left(calendar: Calendar, due_at: datetime, voice: Voice, *, now: datetime) -> str:
    """How much of the team's working time is left, or has passed since, in whole hours or minutes."""
    late = due_at <= now
    minutes = between(calendar, due_at, now) if late else between(calendar, now, due_at)
    if minutes >= 60:
        hours = round(minutes / 60)
        if hours == 1:
            return voice.say("1 working hour late") if late else voice.say("1 working hour left")
        return (
            voice.say("%(n)s working hours late", n=hours) if late else voice.say("%(n)s working hours left", n=hours)
        )
    whole = int(minutes)
    return (
        voice.say("%(n)s working minutes late", n=whole) if late else voice.say("%(n)s working minutes left", n=whole)
    )

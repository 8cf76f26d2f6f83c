"""What all pages behind a status link have in common: the page, a step that is done once, a link that leads nowhere."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug import Response
from wtforms import Form

from portal import clock, db
from portal.cases import finding, submissions, timeline
from portal.cases.choosing import Done
from portal.cases.errors import KeyReused, Refused
from portal.cases.models import Case
from portal.cases.timeline import Status
from portal.journal.files import NoLongerHeld
from portal.links import new_secret
from portal.pages import speaking, uploads
from portal.pages.contact import typed
from portal.pages.contact.forms import EmailForm
from portal.pages.once import accepted_once
from portal.pages.status.forms import MessageForm, ReopenForm
from portal.pages.uploads import Chosen, OverQuota

bp = Blueprint("status", __name__, url_prefix="/s/<token>")


ASKS = {"status/close.html": "close", "status/replace_link.html": "replace_link", "status/not_me.html": "not_me"}
ASKS |= {"status/erase.html": "erase", "status/confirm_erasure.html": "erase"}
"""Pages that ask once before something is done, with the name of it in Status.can."""

Step = Callable[[Session, Case, datetime], str]
"""Does what was asked for and says in one word what happened (``_done`` has the sentence)."""
Show = Callable[[Session, Case, datetime], Mapping[str, Any] | None]
"""Reads what a page shows beside the case itself; None where there is nothing to show (any more)."""


def do(
    token: str,
    step: Step,
    word: str,
    *body: str,
    template: str = "status/page.html",
    form: Form | None = None,
    chosen: Chosen | None = None,
    refused_by: Callable[[Refused], ResponseReturnValue] | None = None,
    onto: Callable[[str], str] | None = None,
) -> ResponseReturnValue:
    """Do the step once, however often its button is pressed, and go on; where a rule refuses it, say why.

    ``refused_by`` answers a refusal in its own way; ``onto`` gives the address to go on to where that is not the page.
    """
    now = clock.utc_now()
    told = body if chosen is None else (*body, *chosen.field.data)
    try:
        return accepted_once(lambda session: _do_once(session, token, step, word, *told, onto=onto, now=now))
    except Refused as refused:
        earlier = _answered_meanwhile(token, word, *told, onto=onto)
        if earlier is not None:
            return earlier
        if refused_by is not None:
            return refused_by(refused)
        if chosen is not None and form is not None:
            anew = isinstance(refused, KeyReused)
            return come_back(token, form, chosen, [refused.sentence], code=409, anew=anew)
        return page(token, template, form=form, sentences=[refused.sentence], code=409)
    except NoLongerHeld:
        assert chosen is not None and form is not None
        uploads.say_no_longer_held(chosen)
        return come_back(token, form, chosen, anew=True)
    except OverQuota as over:
        assert chosen is not None
        uploads.say_over_quota(chosen)
        return over.told(page(token, template, form=form, code=429, key=typed.key(request.form.get("key"))))


def chosen_in(form: MessageForm | ReopenForm, token: str) -> Chosen:
    """The files of the form, with those that it brought when it was refused before."""
    return uploads.choose(form.attachments, "status", token, typed.key(request.form.get("key")))


def come_back(
    token: str, form: Form, chosen: Chosen, sentences: Collection[str] = (), *, code: int = 422, anew: bool = False
) -> Response:
    """The page once more, with the words and the files kept for its form. ``anew``: under a new key."""
    key, now = typed.key(request.form.get("key")), clock.utc_now()
    key = new_secret() if anew or key is None else key
    with db.reading() as session:  # for whoever has no link nothing is kept
        found = finding.by_token(session, token, now=now)
    if found is not None and not found.expired:
        uploads.hold(chosen, "status", token, key, now=now)
    return page(token, "status/page.html", form=form, sentences=sentences, code=code, key=key)


def _do_once(
    session: Session,
    token: str,
    step: Step,
    word: str,
    *body: str,
    onto: Callable[[str], str] | None,
    now: datetime,
) -> ResponseReturnValue:
    # Before the token: a second press of "replace the link" comes with a link that is dead by then.
    before = _answered(session, token, word, *body, onto=onto)
    if before is not None:
        return before
    found = finding.by_token(session, token, now=now)
    if found is None or found.expired:
        return lost(session, found, now=now)
    happened = step(session, found.case, now)
    key = _key()
    if key is not None:
        body_hash = submissions.body_hash([word, token, *body])
        submissions.keep(session, key=key, purpose=happened, body_hash=body_hash, case_id=found.case.id, now=now)
    return redirect(onto(happened) if onto else _after(token, happened, found.case.language), code=303)


def _answered(
    session: Session, token: str, word: str, *body: str, onto: Callable[[str], str] | None
) -> ResponseReturnValue | None:
    """What an earlier press of the same button was answered; None for the first. Raises KeyReused."""
    key = _key()
    before = None if key is None else submissions.find(session, key, submissions.body_hash([word, token, *body]))
    if before is None:
        return None
    language = session.scalar(select(Case.language).where(Case.id == before.case_id))
    return redirect(onto(before.purpose) if onto else _after(token, before.purpose, language), code=303)


def _answered_meanwhile(
    token: str, word: str, *body: str, onto: Callable[[str], str] | None
) -> ResponseReturnValue | None:
    """The same once a rule has refused the step: the other press may have been done while this one waited for it."""
    try:
        with db.reading() as session:
            return _answered(session, token, word, *body, onto=onto)
    except KeyReused:  # it was another button's
        return None


def _key() -> str | None:
    """The key of the form, if it is one."""
    return typed.key(request.form.get("key"))


def _after(token: str, word: str, language: str | None = None) -> str:
    """The page to go on to: this one, unless its link has just been replaced."""
    if word == "link":
        return url_for("link.show", done=word, lang=language)
    return url_for("status.show", token=token, done=word, _anchor="main")


def page(
    token: str,
    template: str,
    *,
    form: Form | None = None,
    sentences: Collection[str] = (),
    code: int = 200,
    key: str | None = None,
    show: Show | None = None,
    **values: Any,
) -> Response:
    """A page of the case in the case's language; the same page for every link that leads to none.

    A page that asks whether to do what cannot be done (any more), or that has nothing to show, gives way to the status
    page.
    """
    now, before = clock.utc_now(), typed.number(request.args.get("before"))
    with db.reading() as session:
        found = finding.by_token(session, token, now=now)
        if found is None or found.expired:
            return lost(session, found, now=now)
        speaking.speak(found.case.language)
        status = timeline.status_of(session, found.case, now=now, before=before)
        shown = {} if show is None else show(session, found.case, now)
        if shown is None or _asks_in_vain(template, status):
            if code == 200:
                return redirect(url_for("status.show", token=token))
            template, form, shown = "status/page.html", None, {}
        told: dict[str, Any] = {
            "status": status,
            "token": token,
            "key": key or new_secret(),
            "keep_key": new_secret(),  # a second form beside the first: who has sent one may send the other
            "form": form or (ReopenForm() if "reopen" in status.can else MessageForm()),
            "sentences": [gettext(sentence) for sentence in sentences],
            "done": _done(request.args.get("done"), status),
            "earlier": before is not None,
            "code": code,
            "failed": code != 200,
            "company": speaking.company(session, now=now),
            "voice": status.voice,
            "now": now,
        }
        text = render_template(template, **{**told, **values, **shown})
    return make_response(text, code)


def _asks_in_vain(template: str, status: Status) -> bool:
    return template in ASKS and ASKS[template] not in status.can


def lost(session: Session, found: finding.Found | None, *, now: datetime) -> Response:
    """Expired but genuine names the person; everything else is one page that reveals nothing."""
    values: dict[str, Any] = speaking.house(session, now=now)
    if found is None:
        return make_response(render_template("link/unknown.html", form=EmailForm(), **values), 404)
    speaking.speak(found.case.language)
    status = timeline.status_of(session, found.case, now=now)
    values |= {"status": status, "voice": status.voice}
    return make_response(render_template("link/expired.html", **values), 410)


def _done(word: str | None, status: Status) -> str | None:
    """What just happened, as a sentence; only for words of ours."""
    if word == Done.NUMBER_GIVEN and status.appointment is not None and status.appointment.ends_with:
        sentence = gettext(
            "The appointment stays as it is. We call you on the number that ends in %(digits)s.",
            digits=status.appointment.ends_with,
        )
        return str(sentence)
    return {
        "message": gettext("Thank you, your message has arrived."),
        "continued": gettext("Thank you. Your message is a new request; the confirmation comes by e-mail."),
        "kept-open": gettext("Thank you, your request stays open."),
        "closed": gettext("You have closed the request."),
        "reopened": gettext("The request is open again."),
        "erasure-asked": gettext("Please look into your mailbox: our e-mail holds the link to confirm it."),
        "erasure-confirmed": gettext("It is confirmed. This page shows the date."),
        "details-kept": gettext("The deletion is taken back."),
        "not-me": gettext("Thank you for telling us."),
        "appointment-booked": gettext("Your appointment is agreed."),
        "appointment-moved": gettext("Your appointment is moved."),
        "appointment-stays": gettext("The appointment stays as it is."),
        "appointment-cancelled": gettext("The appointment is cancelled."),
        "reachable": gettext("Thank you. Times that suit you now come first."),
    }.get(word or "")

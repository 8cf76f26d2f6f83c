"""The status page. Its address is the secret: no cookie, no login; every change is a POST behind a visible button."""

import json
from datetime import datetime

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug import Response

from portal import clock, db
from portal.cases import addressing, answering, closing, exporting, finding, linking, waiting
from portal.cases.models import Case, CaseState
from portal.pages import speaking, uploads
from portal.pages.contact import typed
from portal.pages.contact.forms import first_values
from portal.pages.status.forms import CloseForm, MessageForm, ReopenForm
from portal.pages.status.frame import bp, chosen_in, come_back, do, lost, page


@bp.get("")
def show(token: str) -> ResponseReturnValue:
    """The page itself."""
    return page(token, "status/page.html")


@bp.get("/files/<file_id>")
def file(token: str, file_id: str) -> ResponseReturnValue:
    """A file of this case, as a download."""
    now = clock.utc_now()
    with db.reading() as session:
        found = finding.by_token(session, token, now=now)
        if found is None or found.expired:
            return lost(session, found, now=now)
        speaking.speak(found.case.language)
        return uploads.download(session, found.case.id, file_id, visible_only=True)


@bp.post("/message")
@uploads.takes_files
def message(token: str) -> ResponseReturnValue:
    """The customer writes."""
    form = MessageForm(first_values(request.form))
    valid, chosen = form.validate(), chosen_in(form, token)
    if not valid or form.errors:
        return come_back(token, form, chosen)
    text = form.message.data or ""

    def write(session: Session, case: Case, now: datetime) -> str:
        uploads.count(session, chosen, now=now)
        kept_in = answering.customer_message(session, case, text, attached=chosen.files, now=now)
        return "message" if kept_in is case else "continued"

    return do(token, write, "message", text, form=form, chosen=chosen)


@bp.post("/keep-open")
def keep_open(token: str) -> ResponseReturnValue:
    """The announced closing is undone."""

    def keep(session: Session, case: Case, now: datetime) -> str:
        waiting.keep_open(session, case, now=now)
        return "kept-open"

    return do(token, keep, "kept-open")


@bp.get("/close")
def confirm_close(token: str) -> ResponseReturnValue:
    """Asks once."""
    return page(token, "status/close.html", form=CloseForm())


@bp.post("/close")
def close(token: str) -> ResponseReturnValue:
    """The customer closes the case."""
    posted = first_values(request.form)
    form, version = CloseForm(posted), typed.number(posted.get("version"))

    def end(session: Session, case: Case, now: datetime) -> str:
        closing.close(session, case, by_id=None, outcome=form.chosen(), text="", version=version, now=now)
        return "closed"

    return do(token, end, "closed", form.chosen(), form=form, template="status/close.html")


@bp.post("/reopen")
@uploads.takes_files
def reopen(token: str) -> ResponseReturnValue:
    """Something is still open."""
    form = ReopenForm(first_values(request.form))
    valid, chosen = form.validate(), chosen_in(form, token)
    if not valid or form.errors:
        return come_back(token, form, chosen)
    text = form.message.data or ""

    def open_again(session: Session, case: Case, now: datetime) -> str:
        uploads.count(session, chosen, now=now)
        closing.reopen(session, case, by_id=None, text=text, attached=chosen.files, now=now)
        return "reopened"

    return do(token, open_again, "reopened", text, form=form, chosen=chosen)


@bp.get("/replace-link")
def confirm_new_link(token: str) -> ResponseReturnValue:
    """Says what a new link means."""
    return page(token, "status/replace_link.html")


@bp.post("/replace-link")
def new_link(token: str) -> ResponseReturnValue:
    """The old link dies, so the way on leads to a page without one."""

    def replace(session: Session, case: Case, now: datetime) -> str:
        linking.replace_link(session, case, now=now)
        return "link"

    return do(token, replace, "link", template="status/replace_link.html")


@bp.get("/not-me")
def confirm_not_me(token: str) -> ResponseReturnValue:
    """A letter links here; only the button does something."""
    return page(token, "status/not_me.html")


@bp.post("/not-me")
def not_me(token: str) -> ResponseReturnValue:
    """Somebody else used this mailbox."""

    def stop(session: Session, case: Case, now: datetime) -> str:
        addressing.not_me(session, case, now=now)
        return "not-me"

    return do(token, stop, "not-me", template="status/not_me.html")


@bp.get("/export")
def export(token: str) -> ResponseReturnValue:
    """Everything the customer may see, as a file for machines; it holds no link. Files are downloaded one by one."""
    now = clock.utc_now()
    with db.reading() as session:
        found = finding.by_token(session, token, now=now)
        if found is None or found.expired:
            return lost(session, found, now=now)
        if found.case.state not in (CaseState.OPEN, CaseState.CLOSED):
            return redirect(url_for("status.show", token=token))
        said, name = exporting.export(session, found.case, now=now), found.case.reference.lower()
    answer = Response(json.dumps(said, ensure_ascii=False, indent=2), mimetype="application/json")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer

"""Sends the current link again to the stored address; never says whether there is one."""

from datetime import timedelta

from flask import Blueprint, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from portal import clock, db, limits
from portal.cases import linking
from portal.pages import speaking
from portal.pages.contact.forms import EmailForm, first_values

bp = Blueprint("link", __name__)

ARRIVES_WITHIN = timedelta(minutes=15)


@bp.get("/link")
def show() -> ResponseReturnValue:
    """One field."""
    replaced = gettext("The old link no longer works. The new one is on its way to you by e-mail.")
    return _form(EmailForm(), done=replaced if request.args.get("done") == "link" else None)


@bp.post("/link")
def wish() -> ResponseReturnValue:
    """The same answer, in the same time, whether or not the address is known."""
    form, now = EmailForm(first_values(request.form)), clock.utc_now()
    if not form.validate():
        return _form(form, code=422)
    with db.transaction() as session:
        network = limits.network_of(request.remote_addr)
        linking.wish_link(session, form.email.data or "", network=network, now=now)
        values = speaking.house(session, now=now)
    # On SQLite nobody else writes within the block: the page is made after it.
    voice, latest = values["voice"], now + ARRIVES_WITHIN
    same_day = voice.local(latest).date() == voice.local(now).date()
    return make_response(render_template("link/sent.html", latest=latest, same_day=same_day, **values))


def _form(form: EmailForm, *, done: str | None = None, code: int = 200) -> ResponseReturnValue:
    with db.reading() as session:
        values = speaking.house(session, now=clock.utc_now())
        page = render_template("link/form.html", form=form, done=done, failed=code != 200, languages=True, **values)
    return make_response(page, code)

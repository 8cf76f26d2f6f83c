"""The calendar feed. Its address is the secret: no cookie, no login, and reading is all it allows."""

import hashlib

from flask import Blueprint, abort, request
from werkzeug import Response

from portal import clock, db
from portal.cases import feeding
from portal.links import InvalidLink

bp = Blueprint("calendar", __name__)


@bp.get("/calendar/<token>.ics")
def feed(token: str) -> Response:
    """A colleague's appointments as they stand.

    No Last-Modified: it would go backwards when an appointment leaves. The bytes alone say whether something changed.
    """
    now = clock.utc_now()
    with db.reading() as session:
        try:
            person_id = feeding.reader(session, token, now=now)
        except InvalidLink:
            abort(404)
        if person_id is None:
            abort(410)
        body = feeding.feed(session, person_id, now=now)
    response = Response(body, content_type="text/calendar; charset=utf-8")
    response.set_etag(hashlib.sha256(body).hexdigest())
    response.headers["Cache-Control"] = "private, no-cache"
    return response.make_conditional(request)

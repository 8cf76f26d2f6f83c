"""Cases from before the first form: nobody keeps their dates, and their notices fall due while the forms come in."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.cases import directory as directories
from portal.cases import opening, replanning
from portal.cases.drafting import Wish
from portal.cases.models import Case, Topic
from portal.links import new_secret
from portal.promises.models import Promise
from tests.faults.plan import Profile

STARTING, UNTIL = 5.0, 0.6
"""Seconds until the first notice is due; until how much of the forms' time the last one is."""


def open_cases(session: Session, profile: Profile, *, now: datetime) -> dict[str, datetime]:
    """When the notice of each case is due, by its reference."""
    pause, due = profile.spread * UNTIL / max(profile.notices, 1), {}
    topic_id = session.scalars(select(Topic.id).where(Topic.slug == "angebot")).one()
    for number in range(profile.notices):
        email, message = f"alt{number}@quellmalz.example", f"Frage {number} zu den Umwälzpumpen."
        wish = Wish(topic_id, "Erika Quellmalz", email, message, "de")
        before, at = now - timedelta(hours=1), now + timedelta(seconds=STARTING + number * pause)
        kept = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=before)
        session.execute(update(Promise).where(Promise.case_id == kept.case_id).values(notice_at=at))
        due[session.get_one(Case, kept.case_id).reference] = at
    # No worker has seen these calendars yet: the first would give all these promises their true instants again.
    replanning.note_done(session, replanning.mark(directories.load(session, now=now)), None)
    return due
